"""What a network is trained to say: one task of the family, or two that make different answers, joined by ``+``.

``classify`` gives label probabilities, ``segment`` masks of the lungs, ``classify+segment`` both from one network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from laennec import family
from laennec.errors import UsageError
from laennec.labels import LabelSet
from laennec.outputs import MASKS, PROBABILITIES

if TYPE_CHECKING:
    import numpy as np
    import torch


class Logits(NamedTuple):
    """What a network says before its activation: ``labels [n, labels]`` and ``masks [n, 1, size, size]``, or None."""

    labels: torch.Tensor | None = None
    masks: torch.Tensor | None = None


class Targets(NamedTuple):
    """What is wanted: ``labels [n, labels]`` in [0, 1], ``masks [n, size, size]`` in [0, 1]; NaN where unknown."""

    labels: torch.Tensor
    masks: torch.Tensor | None = None


class Answered(NamedTuple):
    """What a deployed network answers, or None: ``probabilities [n, labels]``, ``masks uint8 [n, size, size]``, and
    where they were asked for ``features [n, d]`` and ``maps [n, h, w]``; see `laennec.outputs.Outputs`.
    """

    probabilities: torch.Tensor | None = None
    masks: torch.Tensor | None = None
    features: torch.Tensor | None = None
    maps: torch.Tensor | None = None

    def tensors(self) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """The answers there are: one tensor, or several in the order of `Work.outputs`, auxiliary ones last."""
        there = tuple(one for one in self if one is not None)
        return there[0] if len(there) == 1 else there


@dataclass(frozen=True)
class Work:
    """One or two tasks at once.

    Attributes:
        name: as a recipe and a card call it.
        labels: the label set.
        members: the tasks by the answers they make.
    """

    name: str
    labels: LabelSet
    members: Mapping[str, ModuleType]

    @property
    def classify(self) -> ModuleType | None:
        """The task that makes label probabilities, if any."""
        return self.members.get(PROBABILITIES)

    @property
    def segment(self) -> ModuleType | None:
        """The task that makes masks, if any."""
        return self.members.get(MASKS)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the answers, in the order a deployed network gives them."""
        return tuple(name for name in (PROBABILITIES, MASKS) if name in self.members)

    def activate(self, logits: Logits) -> Answered:
        """Answers from logits."""
        labels = self.classify.activate(self.labels, logits.labels) if self.classify else None
        return Answered(labels, self.segment.activate(self.labels, logits.masks) if self.segment else None)

    def loss(self, logits: Logits, targets: Targets, weights: torch.Tensor, recipe: Any) -> torch.Tensor:
        """The training loss of a batch; of two tasks the segmentation's counts ``recipe.segmentation.weight`` times."""
        losses: list[torch.Tensor] = []
        for name, given, wanted in (
            (PROBABILITIES, logits.labels, targets.labels),
            (MASKS, logits.masks, targets.masks),
        ):
            member = self.members.get(name)
            if member is None or given is None or wanted is None:
                continue
            how = getattr(recipe, member.SECTION)
            share = how.weight if name == MASKS and len(self.members) > 1 else 1.0
            losses.append(share * member.loss(self.labels, given.float(), wanted, weights, how))
        return sum(losses[1:], losses[0])

    def weights(self, values: np.ndarray) -> np.ndarray:
        """Class weights of the labels; ones where nothing is classified."""
        member = self.classify or self.segment
        assert member is not None  # noqa: S101
        weights: np.ndarray = member.weights(self.labels, values)
        return weights


def check(name: str) -> tuple[str, ...]:
    """The answers the tasks named make.

    Raises:
        UnknownName: no such task.
        UsageError: two of them make the same answer.
    """
    return tuple(_members(name))


def work_of(name: str, labels: LabelSet) -> Work:
    """The work a recipe or a card names.

    Raises:
        UnknownName: no such task.
        UsageError: two of them make the same answer.
    """
    return Work(name, labels, _members(name))


def _members(name: str) -> dict[str, ModuleType]:
    members: dict[str, ModuleType] = {}
    for part in name.split("+"):
        member = family.member("tasks", part)
        if member.ANSWERS in members:
            raise UsageError(f"'{name}' names two tasks that make {member.ANSWERS}", "join tasks of different answers")
        members[member.ANSWERS] = member
    return members
