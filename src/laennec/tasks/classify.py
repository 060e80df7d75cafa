"""One image, one set of label probabilities: softmax where labels exclude each other, sigmoid where they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from laennec.labels import LabelSet

if TYPE_CHECKING:
    import torch


def activate(labels: LabelSet, logits: torch.Tensor) -> torch.Tensor:
    """Probabilities ``[n, labels]`` in [0, 1]; rows sum to 1 for exclusive labels."""
    return logits.softmax(dim=1) if labels.exclusive else logits.sigmoid()


def loss(
    labels: LabelSet, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """Cross-entropy (exclusive) or binary cross-entropy over the known labels, weighted by class.

    Args:
        labels: the label set.
        logits: ``float [n, labels]``.
        targets: ``float [n, labels]``, 1 present, 0 absent, NaN unknown.
        weights: ``float [labels]``: of each class, or of a present label against an absent one.
        smoothing: label smoothing in [0, 1), Szegedy et al. 2016.
    """
    from torch.nn import functional

    if labels.exclusive:
        return functional.cross_entropy(logits, targets.argmax(dim=1), weight=weights, label_smoothing=smoothing)
    known = ~targets.isnan()
    soft = targets.nan_to_num(0.0) * (1 - smoothing) + smoothing / 2
    each = functional.binary_cross_entropy_with_logits(logits, soft, pos_weight=weights, reduction="none")
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
