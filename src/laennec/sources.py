"""What a phase learns from: the pictures of the training part, changed anew each time (`Pictures`).

`laennec.embeddings` is the other source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np
import torch

from laennec import progress
from laennec.augment import augment, mix
from laennec.labels import LabelSet
from laennec.loader import Part
from laennec.network import Deployed, Joined, Network
from laennec.recipe import Recipe
from laennec.sections import Augmentation

_BATCH = 64
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def views_of(
    model: Deployed | Joined, part: Part, how: Augmentation, views: int, seed: int, device: torch.device
) -> np.ndarray:
    """A model's answers ``float32 [views * n, labels]`` to changed views of a part's pictures, view by view."""
    generator, answers = torch.Generator().manual_seed(seed % 2**31), []
    with progress.track("changed views", views * len(part)) as step, torch.inference_mode():
        for _ in range(views):
            for at in range(0, len(part), _BATCH):
                pixels = torch.from_numpy(part.batch(slice(at, at + _BATCH))).to(device)
                answers.append(model.answer(augment(pixels.float() / 255.0, how, generator)).float().cpu().numpy())
                step.advance(len(pixels))
    return np.concatenate(answers)


class Source(Protocol):
    """Training examples of one phase.

    Attributes:
        values: labels ``float32 [n, labels]`` of the examples, NaN for unknown: what sampling goes by.
    """

    values: np.ndarray

    def batch(self, which: np.ndarray, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """What the examples at these places show the network, and the targets ``float [n, labels]``."""

    def logits(self, network: Network, shown: torch.Tensor) -> torch.Tensor:
        """The network's logits for what `batch` gave."""

    def judged(self, network: Network) -> np.ndarray:
        """Probabilities ``float32 [n, labels]`` for the validation part, in evaluation mode."""


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
    labels: LabelSet
    task: ModuleType
    train: Part
    val: Part
    device: torch.device
    teacher: Deployed | Joined | None = None
    taught_by: str | None = None

    def __post_init__(self) -> None:
        self.values = self.train.values

    def batch(self, which: np.ndarray, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Changed pictures ``float [n, 1, size, size]`` in [0, 1], and targets."""
        how = self.recipe.augmentation
        images = torch.from_numpy(self.train.batch(which)).to(self.device).float() / 255.0
        images = augment(images, how, generator)
        targets = torch.from_numpy(self.values[which]).to(self.device)
        if how.mixup:
            images, targets = mix(images, targets, how.mixup, generator)
        images = images.contiguous(memory_format=torch.channels_last)
        return images, self._taught(images, targets)

    def _taught(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.teacher is None:
            return targets
        with torch.inference_mode(), self.autocast():
            answers = self.teacher.answer(images).float().clone()
        share = self.recipe.teacher.share
        return torch.where(targets.isnan(), answers, share * answers + (1 - share) * targets)

    def autocast(self) -> torch.autocast:
        """Mixed precision as the recipe asks for it."""
        dtype = DTYPES[self.recipe.training.precision]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32)

    def logits(self, network: Network, shown: torch.Tensor) -> torch.Tensor:
        """Logits ``[n, labels]``."""
        logits: torch.Tensor = network(shown)
        return logits

    def judged(self, network: Network) -> np.ndarray:
        """Probabilities of the validation part."""
        deployed = Deployed(network, self.task, self.labels).eval()
        with torch.inference_mode():
            return np.concatenate([deployed(pixels).float().cpu().numpy() for pixels in self.validation()])

    def validation(self) -> Iterator[torch.Tensor]:
        """The unchanged pictures of the validation part, ``uint8``, in batches."""
        size = max(64, self.recipe.training.batch_size)
        for at in range(0, len(self.val), size):
            yield torch.from_numpy(self.val.batch(slice(at, at + size))).to(self.device)
