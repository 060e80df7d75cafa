"""One image, one mask of the lungs: for each pixel the probability that it is lung, by a sigmoid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from laennec.labels import LabelSet

if TYPE_CHECKING:
    import torch

    from laennec.sections import Segmentation

ANSWERS = "masks"
SECTION = "segmentation"
_LUNG = 128  # a truth is lung from this level on
_SMOOTH = 1.0  # pixel added above and below, so that an empty mask has a Dice
_SURE = 1e-6


def activate(labels: LabelSet, logits: torch.Tensor) -> torch.Tensor:
    """``uint8 [n, size, size]``: 255 times the probability of lung, rounded, from logits ``[n, 1, size, size]``."""
    import torch

    return (logits[:, 0].sigmoid() * 255.0).round().to(torch.uint8)


def loss(
    labels: LabelSet, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, how: Segmentation
) -> torch.Tensor:
    """Cross-entropy, soft Dice, their sum, or the focal loss, over the images whose mask is known.

    Args:
        labels: not used.
        logits: ``float [n, 1, size, size]``.
        targets: ``float [n, size, size]`` in [0, 1]; an image with NaN in it has no known mask.
        weights: not used.
        how: which loss. Soft Dice is one minus twice the overlap over the sum of both areas, an image at a time
            (Milletari et al. 2016, arXiv:1606.04797); focal as Lin et al. 2017, arXiv:1708.02002.
    """
    import torch
    from torch.nn import functional

    known = ~targets.isnan().flatten(1).any(1)
    # a sum over none, so that the network still gets its (zero) gradients
    if not bool(known.any()):
        return logits.sum() * 0.0
    given, wanted = logits[:, 0][known].float(), targets[known]
    total = torch.zeros((), device=logits.device)
    if how.loss in {"bce", "bce_dice", "focal"}:
        each = functional.binary_cross_entropy_with_logits(given, wanted, reduction="none")
        if how.loss == "focal":
            chance = given.sigmoid()
            missed = wanted * (1 - chance) + (1 - wanted) * chance
            each = each * missed.clamp_min(_SURE) ** how.focusing
        total = total + each.mean()
    if how.loss in {"dice", "bce_dice"}:
        chance = given.sigmoid().flatten(1)
        flat = wanted.flatten(1)
        shared = (chance * flat).sum(1)
        dice = (2 * shared + _SMOOTH) / (chance.sum(1) + flat.sum(1) + _SMOOTH)
        total = total + (1 - dice).mean()
    return total


def weights(labels: LabelSet, values: np.ndarray) -> np.ndarray:
    """Ones: pixels are not balanced by the images' labels."""
    return np.ones(len(labels), dtype=np.float32)


def log_loss(labels: LabelSet, answers: np.ndarray, truths: np.ndarray) -> float:
    """Mean negative log-likelihood over all pixels: the loss to validate by.

    Args:
        labels: not used.
        answers: ``uint8 [n, size, size]``, 255 times the probability; half a step from certainty at most.
        truths: ``uint8 [n, size, size]``, from 128 on lung.
    """
    chance = np.clip(np.arange(256) / 255, 0.5 / 255, 1 - 0.5 / 255)
    of_lung, of_none = -np.log(chance), -np.log(1 - chance)
    lung = np.bincount(answers[truths >= _LUNG].ravel(), minlength=256)
    none = np.bincount(answers.ravel(), minlength=256) - lung
    return float((lung @ of_lung + none @ of_none) / max(1, answers.size))
