"""What a phase learns from: changed pictures, or the embeddings of a frozen backbone, kept once for all epochs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np
import torch

from laennec import progress
from laennec.augment import augment, mix
from laennec.errors import UsageError, extra
from laennec.labels import LabelSet
from laennec.loader import Part
from laennec.network import Deployed, Joined, Network
from laennec.recipe import Recipe

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_NEIGHBOURS = 5


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
    """

    recipe: Recipe
    labels: LabelSet
    task: ModuleType
    train: Part
    val: Part
    device: torch.device
    teacher: Deployed | Joined | None = None

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


class Embeddings:
    """What a frozen backbone makes of several changed views of each training picture, computed once.

    Attributes:
        kept: ``float32 [views, n, features]``.
        targets: ``float32 [views, n, labels]``.
        val: ``float32 [n, features]`` of the unchanged validation pictures.
    """

    def __init__(self, pictures: Pictures, network: Network, views: int, seed: int) -> None:
        """Run the backbone. Raises `UsageError` where SMOTE was asked for and cannot be."""
        self._pictures = pictures
        network.eval()
        kept, targets = [], []
        for view in range(views):
            generator = torch.Generator().manual_seed((seed * 1_000 + view) % 2**31)
            made = self._view(network, generator, f"embedding view {view + 1} of {views}")
            kept.append(made[0])
            targets.append(made[1])
        self.kept, self.targets = torch.stack(kept), torch.stack(targets)
        self.values = pictures.values
        with torch.inference_mode():
            self.val = torch.cat([network.features(p.float() / 255.0).float() for p in pictures.validation()]).clone()
        if pictures.recipe.training.balance == "smote":
            self._add_between(seed)

    def _view(self, network: Network, generator: torch.Generator, title: str) -> tuple[torch.Tensor, torch.Tensor]:
        pictures, size = self._pictures, max(64, self._pictures.recipe.training.batch_size)
        kept, targets = [], []
        with progress.track(title, len(pictures.values)) as step, torch.inference_mode(), pictures.autocast():
            for at in range(0, len(pictures.values), size):
                which = np.arange(at, min(at + size, len(pictures.values)))
                images, wanted = pictures.batch(which, generator)
                kept.append(network.features(images).float().cpu().clone())
                targets.append(wanted.cpu().clone())
                step.advance(len(which))
        return torch.cat(kept), torch.cat(targets)

    def _add_between(self, seed: int) -> None:
        """SMOTE on the embeddings of the training part, view by view, up to the size of the largest class."""
        recipe = self._pictures.recipe
        if not self._pictures.labels.exclusive or recipe.augmentation.mixup or self._pictures.teacher is not None:
            raise UsageError(
                "smote needs one certain label an image: labels that exclude each other, no mixup, no teacher",
                'set training.balance = "class_weights" or "sampler"',
            )
        with extra("train"):
            from imblearn.over_sampling import SMOTE
        classes = self.values.argmax(axis=1)
        rarest = int(np.bincount(classes, minlength=self.values.shape[1]).min())
        if rarest < 2:
            raise UsageError("smote needs two training images of each label", "add images, or take another balance")
        kept = []
        for view in self.kept:
            smote = SMOTE(random_state=seed % 2**31, k_neighbors=min(_NEIGHBOURS, rarest - 1))
            more, labels = smote.fit_resample(view.numpy(), classes)
            kept.append(torch.from_numpy(more.astype(np.float32)))
        self.kept = torch.stack(kept)
        self.values = np.eye(self.values.shape[1], dtype=np.float32)[labels]
        self.targets = torch.from_numpy(self.values).expand(len(kept), -1, -1)

    def batch(self, which: np.ndarray, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings ``float [n, features]``, each of a view drawn anew, and targets."""
        view = torch.randint(len(self.kept), (len(which),), generator=generator)
        at = torch.from_numpy(np.asarray(which))
        device = self._pictures.device
        return self.kept[view, at].to(device), self.targets[view, at].to(device)

    def logits(self, network: Network, shown: torch.Tensor) -> torch.Tensor:
        """Logits ``[n, labels]`` of the head."""
        logits: torch.Tensor = network.head(shown)
        return logits

    def judged(self, network: Network) -> np.ndarray:
        """Probabilities of the validation part, by the head on its kept embeddings."""
        network.eval()
        with torch.inference_mode():
            answers = self._pictures.task.activate(self._pictures.labels, network.head(self.val))
        probabilities: np.ndarray = answers.float().cpu().numpy()
        return probabilities
