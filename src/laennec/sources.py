"""What a phase learns from: the pictures of the training part, changed anew each time (`Pictures`).

`laennec.embeddings` is the other source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from laennec import progress
from laennec.augment import augment, augment_pairs, mix
from laennec.loader import Part
from laennec.network import Deployed, Joined, Network
from laennec.outputs import Outputs
from laennec.recipe import Recipe
from laennec.sections import Augmentation
from laennec.work import Answered, Logits, Targets, Work

_BATCH = 64
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def views_of(
    model: Deployed | Joined, part: Part, how: Augmentation, views: int, seed: int, device: torch.device
) -> np.ndarray:
    """A model's probabilities ``float32 [views * n, labels]`` for changed views of a part's pictures, view by view."""
    generator, answers = torch.Generator().manual_seed(seed % 2**31), []
    with progress.track("changed views", views * len(part)) as step, torch.inference_mode():
        for _ in range(views):
            for at in range(0, len(part), _BATCH):
                pixels = torch.from_numpy(part.batch(slice(at, at + _BATCH))).to(device)
                probabilities = model.answer(augment(pixels.float() / 255.0, how, generator)).probabilities
                assert probabilities is not None  # noqa: S101
                answers.append(probabilities.float().cpu().numpy())
                step.advance(len(pixels))
    return np.concatenate(answers)


def outputs_of(answered: Sequence[Answered]) -> Outputs:
    """Answers of torch networks for batches that follow one another, in numpy."""
    several = []
    for one in answered:
        masks = None if one.masks is None else one.masks.cpu().numpy()
        if one.probabilities is not None:
            several.append(Outputs(one.probabilities.float().cpu().numpy(), masks))
        elif masks is not None:
            several.append(Outputs(np.empty((len(masks), 0), np.float32), masks))
    return Outputs.joined(several)


class Source(Protocol):
    """Training examples of one phase.

    Attributes:
        values: labels ``float32 [n, labels]`` of the examples, NaN for unknown: what sampling goes by.
    """

    values: np.ndarray

    def batch(self, which: np.ndarray, generator: torch.Generator) -> tuple[torch.Tensor, Targets]:
        """What the examples at these places show the network, and what is wanted of it."""

    def logits(self, network: Network, shown: torch.Tensor) -> Logits:
        """The network's logits for what `batch` gave."""

    def judged(self, network: Network) -> Outputs:
        """Answers for the validation part, in evaluation mode."""


def order(values: np.ndarray, balance: str, generator: torch.Generator) -> np.ndarray:
    """The places of an epoch's examples, in the order they are shown.

    ``sampler`` draws with replacement, each class equally often (where labels can hold together: each combination of
    labels); everything else shows every example once.
    """
    if balance != "sampler":
        return torch.randperm(len(values), generator=generator).numpy()
    _, kind, count = np.unique(np.nan_to_num(values, nan=-1), axis=0, return_inverse=True, return_counts=True)
    chances = torch.from_numpy(1.0 / count[kind.reshape(-1)])
    return torch.multinomial(chances, len(values), replacement=True, generator=generator).numpy()


@dataclass
class Pictures:
    """The pictures of the training part, changed anew each time they are shown.

    Attributes:
        teacher: answers for the changed pictures too, and its answers are mixed into the targets.
        taught_by: the teacher's digest.
    """

    recipe: Recipe
    work: Work
    train: Part
    val: Part
    device: torch.device
    teacher: Deployed | Joined | None = None
    taught_by: str | None = None

    def __post_init__(self) -> None:
        self.values = self.train.values

    def batch(self, which: np.ndarray, generator: torch.Generator) -> tuple[torch.Tensor, Targets]:
        """Changed pictures ``float [n, 1, size, size]`` in [0, 1], and targets, masks changed with their pictures."""
        how = self.recipe.augmentation
        images = torch.from_numpy(self.train.batch(which)).to(self.device).float() / 255.0
        targets = torch.from_numpy(self.values[which]).to(self.device)
        if self.work.segment is not None:
            images, masks = augment_pairs(images, self._masks(which).to(self.device), how, generator)
            return images.contiguous(memory_format=torch.channels_last), Targets(targets, masks)
        images = augment(images, how, generator)
        if how.mixup:
            images, targets = mix(images, targets, how.mixup, generator)
        images = images.contiguous(memory_format=torch.channels_last)
        return images, Targets(self._taught(images, targets))

    def _masks(self, which: np.ndarray) -> torch.Tensor:
        """True masks ``float [n, size, size]`` in [0, 1], NaN where there is none."""
        size = self.recipe.preprocess.size
        masks = np.full((len(which), size, size), np.nan, dtype=np.float32)
        known = self.train.masked[which]
        if known.any():
            masks[known] = self.train.truth(which[known]) / np.float32(255)
        return torch.from_numpy(masks)

    def _taught(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.teacher is None:
            return targets
        with torch.inference_mode(), self.autocast():
            probabilities = self.teacher.answer(images).probabilities
        assert probabilities is not None  # noqa: S101
        answers = probabilities.float().clone()
        share = self.recipe.teacher.share
        return torch.where(targets.isnan(), answers, share * answers + (1 - share) * targets)

    def autocast(self) -> torch.autocast:
        """Mixed precision as the recipe asks for it."""
        dtype = DTYPES[self.recipe.training.precision]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32)

    def logits(self, network: Network, shown: torch.Tensor) -> Logits:
        """Logits of labels, of pixels, or of both."""
        return network.logits(shown)

    def judged(self, network: Network) -> Outputs:
        """Answers for the validation part."""
        deployed = Deployed(network, self.work).eval()
        with torch.inference_mode():
            answered = [deployed.answer(pixels.float() / 255.0) for pixels in self.validation()]
        return outputs_of(answered)

    def validation(self) -> Iterator[torch.Tensor]:
        """The unchanged pictures of the validation part, ``uint8``, in batches."""
        size = max(64, self.recipe.training.batch_size)
        for at in range(0, len(self.val), size):
            yield torch.from_numpy(self.val.batch(slice(at, at + size))).to(self.device)
