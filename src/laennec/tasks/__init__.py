"""The family of tasks: what a network is trained to say, and how its outputs become probabilities.

A member is a module with:

    activate   ``activate(labels, logits) -> probabilities``, both ``float [n, labels]`` torch tensors; part of every
               exported graph
    loss       ``loss(labels, logits, targets, weights, how) -> scalar``; targets ``float [n, labels]`` in [0, 1] with
               NaN for unknown; `how` is the recipe's ``[training]``
    weights    ``weights(labels, values) -> array`` of class weights from training labels ``float [n, labels]``
    log_loss   ``log_loss(labels, probabilities, values) -> float``: what validation watches, in numpy
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch

    from laennec.labels import LabelSet
    from laennec.sections import Training


class Task(Protocol):
    """What every member of the family offers."""

    def activate(self, labels: LabelSet, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities of the labels."""

    def loss(
        self, labels: LabelSet, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, how: Training
    ) -> torch.Tensor:
        """The mean training loss of a batch."""

    def weights(self, labels: LabelSet, values: np.ndarray) -> np.ndarray:
        """Class weights that balance the loss."""

    def log_loss(self, labels: LabelSet, probabilities: np.ndarray, values: np.ndarray) -> float:
        """The unweighted loss of probabilities."""
