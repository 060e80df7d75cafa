"""Operating points and the rule of masks: fitted on validation, bound to the model and split they were fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import numpy as np

from laennec import decisions, masks
from laennec.errors import UsageError
from laennec.labels import LabelSet
from laennec.results import OperatingPoint
from laennec.segmentation import Outline


def fit(
    labels: LabelSet,
    values: np.ndarray,
    probabilities: np.ndarray,
    *,
    decision: str,
    bound_to: tuple[str, str],
    views: np.ndarray | None = None,
) -> dict[str, OperatingPoint]:
    """One operating point for each rule that can be held, from validation labels and probabilities.

    Args:
        labels: the label set.
        values: ``float [n, labels]``, 1, 0 or NaN.
        probabilities: ``float [n, labels]``.
        decision: the rule that must be among them.
        bound_to: digests of the split and of the model files the thresholds are for.
        views: ``float [views * n, labels]``: answers to changed views of the same images, view by view; thresholds are
            then chosen on these, and told with what they do to the images as they are.

    Raises:
        UsageError: validation lacks positive or negative images, or no threshold holds the rule `decision`.
    """
    truth = decisions.truth_of(labels, values)
    score, _, _ = decisions.decide(labels, probabilities, 0.5)
    seen, judged = truth, score
    if views is not None:
        seen, judged = np.tile(truth, len(views) // len(truth)), decisions.decide(labels, views, 0.5)[0]
    points = {}
    for rule in get_args(decisions.Rule):
        try:
            threshold, _, _ = decisions.choose_threshold(seen, judged, rule)
        except UsageError:
            # A saturated model may hold one rule and not another; only the one it decides by must be there.
            if rule == decision:
                raise
            continue
        points[rule] = _point(rule, threshold, truth, score, bound_to)
    return points


def follow(
    parents: Mapping[str, OperatingPoint],
    labels: LabelSet,
    values: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    *,
    bound_to: tuple[str, str],
) -> dict[str, OperatingPoint]:
    """A derived model's operating points: thresholds under which it decides most like its parent on validation.

    Args:
        parents: the parent's operating points.
        labels: the label set.
        values: ``float [n, labels]``, 1, 0 or NaN; only to say the sensitivity and specificity.
        before: the parent's probabilities ``float [n, labels]``.
        after: the derived model's, on the same images.
        bound_to: digests of the split and of the derived model's files.
    """
    truth = decisions.truth_of(labels, values)
    score, _, _ = decisions.decide(labels, after, 0.5)
    points = {}
    for rule, parent in parents.items():
        _, positive, _ = decisions.decide(labels, before, parent.threshold)
        threshold = decisions.follow_threshold(positive, score, parent.threshold)
        points[rule] = _point(rule, threshold, truth, score, bound_to)
    return points


def outlined(outline: Outline, levels: np.ndarray, truths: np.ndarray, *, bound_to: tuple[str, str]) -> Outline:
    """The parent's rule for masks, kept for a derived model, with the Dice it has there.

    Args:
        outline: the parent's.
        levels: the derived model's masks ``uint8 [n, size, size]`` of validation images.
        truths: the true ones, likewise.
        bound_to: digests of the split and of the derived model's files.
    """
    tidy = np.stack([masks.tidied(one, outline) for one in levels])
    return outline.model_copy(
        update={
            "dice_raw": masks.mean_dice(levels, truths, outline.threshold),
            "dice": masks.mean_dice(tidy, truths, outline.threshold),
            "n": len(levels),
            "split_digest": bound_to[0],
            "model_digest": bound_to[1],
        }
    )


def _point(
    rule: str, threshold: float, truth: np.ndarray, score: np.ndarray, bound_to: tuple[str, str]
) -> OperatingPoint:
    known = ~np.isnan(truth)
    sick, called = truth[known] == 1, score[known] >= threshold
    return OperatingPoint.model_validate(
        {
            "rule": rule,
            "threshold": threshold,
            "sensitivity": float(np.mean(called[sick])),
            "specificity": float(np.mean(~called[~sick])),
            "n": int(known.sum()),
            "split_digest": bound_to[0],
            "model_digest": bound_to[1],
        }
    )
