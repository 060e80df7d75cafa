"""One image, one set of label probabilities: softmax where labels exclude each other, sigmoid where they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from laennec.labels import LabelSet

if TYPE_CHECKING:
    import torch

    from laennec.sections import Training

ANSWERS = "probabilities"
SECTION = "training"
_SURE = 1e-6  # a power below 1 has no slope at 0


def activate(labels: LabelSet, logits: torch.Tensor) -> torch.Tensor:
    """Probabilities ``[n, labels]`` in [0, 1]; rows sum to 1 for exclusive labels."""
    return logits.softmax(dim=1) if labels.exclusive else logits.sigmoid()


def loss(
    labels: LabelSet, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, how: Training
) -> torch.Tensor:
    """Cross-entropy (exclusive) or binary cross-entropy over the known labels, weighted by class, plain or focal.

    Args:
        labels: the label set.
        logits: ``float [n, labels]``.
        targets: ``float [n, labels]`` in [0, 1], 1 present, 0 absent, between where images or answers are mixed, NaN
            unknown.
        weights: ``float [labels]``: of each class, or of a present label against an absent one.
        how: label smoothing (Szegedy et al. 2016), and the focal loss's exponent (Lin et al. 2017), which turns the
            loss of an answer given with probability p down by ``(1 - p) ** focusing``.
    """
    from torch.nn import functional

    focusing = how.focusing if how.loss == "focal" else 0.0
    if labels.exclusive:
        soft = targets * (1 - how.label_smoothing) + how.label_smoothing / len(labels)
        logs = functional.log_softmax(logits, dim=1)
        each = -soft * logs * weights
        if focusing:
            each = each * (1 - logs.exp()).clamp_min(_SURE) ** focusing
        # the same mean as torch's for whole labels: over the weights of the classes present
        total: torch.Tensor = each.sum() / (targets * weights).sum()
        return total
    known = ~targets.isnan()
    soft = targets.nan_to_num(0.0) * (1 - how.label_smoothing) + how.label_smoothing / 2
    each = functional.binary_cross_entropy_with_logits(logits, soft, pos_weight=weights, reduction="none")
    if focusing:
        chance = logits.sigmoid()
        each = each * (soft * (1 - chance) + (1 - soft) * chance).clamp_min(_SURE) ** focusing
    return (each * known).sum() / known.sum().clamp(min=1)


def weights(labels: LabelSet, values: np.ndarray) -> np.ndarray:
    """Weights ``float32 [labels]`` that balance the training labels ``values [n, labels]``.

    Exclusive: ``n / (classes * count)``. Otherwise: absent over present, counted among the known.
    """
    present = np.nansum(values, axis=0)
    known = np.sum(~np.isnan(values), axis=0)
    if labels.exclusive:
        balanced = len(values) / (len(labels) * np.maximum(present, 1))
    else:
        balanced = np.maximum(known - present, 1) / np.maximum(present, 1)
    return np.asarray(balanced, dtype=np.float32)


def log_loss(labels: LabelSet, probabilities: np.ndarray, values: np.ndarray) -> float:
    """Mean negative log-likelihood of known labels, unweighted and unsmoothed: the loss to validate by.

    Args:
        labels: the label set.
        probabilities: ``float [n, labels]``.
        values: ``float [n, labels]``, 1, 0 or NaN.
    """
    chances = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    if labels.exclusive:
        return float(-np.log(chances[values == 1]).mean())
    each = np.where(values == 1, np.log(chances), np.log(1 - chances))
    return float(-each[~np.isnan(values)].mean())
