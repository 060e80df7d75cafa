"""The family of tasks: what a network is trained to say, and how its outputs become answers.

A recipe names one task, or two that make different answers, joined by ``+``; `laennec.work` puts them together.
A member is a module with:

    ANSWERS    ``probabilities`` (of labels, one set an image) or ``masks`` (of lung, one for each pixel): see
               `laennec.outputs`
    SECTION    the recipe's section its loss is told by
    activate   ``activate(labels, logits) -> answers``, torch tensors, part of every exported graph: logits ``float
               [n, labels]`` to probabilities of that shape, or logits ``float [n, 1, size, size]`` to ``uint8 [n, size,
               size]``, 255 times the probability, rounded
    loss       ``loss(labels, logits, targets, weights, how) -> scalar``; targets ``float`` in [0, 1] with NaN for
               unknown, ``[n, labels]`` or ``[n, size, size]``; `how` is the recipe's section
    weights    ``weights(labels, values) -> array`` of class weights from training labels ``float [n, labels]``
    log_loss   ``log_loss(labels, answers, truths) -> float``: what validation watches, in numpy; truths of masks are
               ``uint8 [n, size, size]``, from 128 on lung
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch

    from laennec.labels import LabelSet


class Task(Protocol):
    """What every member of the family offers."""

    ANSWERS: str
    SECTION: str

    def activate(self, labels: LabelSet, logits: torch.Tensor) -> torch.Tensor:
        """Answers of a batch."""

    def loss(
        self, labels: LabelSet, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, how: Any
    ) -> torch.Tensor:
        """The mean training loss of a batch."""

    def weights(self, labels: LabelSet, values: np.ndarray) -> np.ndarray:
        """Class weights that balance the loss."""

    def log_loss(self, labels: LabelSet, answers: np.ndarray, truths: np.ndarray) -> float:
        """The unweighted loss of answers."""
