"""From probabilities to a decision, and the threshold that decides.

One place turns a score into an answer; the report, the service and the page all ask here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laennec import errors
from laennec.labels import LabelSet

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]
Rule = Literal["balanced", "rule_out", "rule_in"]

_TARGET = 95  # percent promised by rule_out and rule_in


def table_of(labels: LabelSet, values: ArrayLike, what: str) -> Floats:
    """`values` as floats of shape [n, k]. Raises `ValueError` naming `what` for another shape."""
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(labels):
        raise ValueError(f"{what} must have shape [n, {len(labels)}], not {list(table.shape)}")
    return table


def decide(labels: LabelSet, probabilities: ArrayLike, threshold: float) -> tuple[Floats, Flags, Indices]:
    """Decisions at a threshold, the one place where a score becomes an answer.

    Exclusive labels: at or above the threshold the likeliest positive label is decided for, below it the likeliest of
    the others; so two labels obey the threshold alone and more labels never contradict it.

    Args:
        probabilities: [n, k] in label order.
        threshold: in [0, 1], against the score.

    Returns:
        score [n], the summed probability of the positive labels, at most 1; positive [n], score >= threshold; decided
        [n], index of the label decided for. Labels that can hold together: the positive label, or -1.

    Raises:
        ValueError: wrong shape, or a probability that is NaN or outside [0, 1].
    """
    table = table_of(labels, probabilities, "probabilities")
    if not ((table >= 0) & (table <= 1 + 1e-6)).all():
        raise ValueError("probabilities must be finite and lie in [0, 1]")
    wanted = list(labels.positive_indices)
    score: Floats = np.minimum(table[:, wanted].sum(axis=1), 1.0)
    positive: Flags = score >= threshold
    if not labels.exclusive:
        return score, positive, np.where(positive, wanted[0], -1).astype(np.intp)
    is_wanted = np.isin(np.arange(len(labels)), wanted)
    allowed = is_wanted[None, :] == positive[:, None]
    return score, positive, np.where(allowed, table, -1.0).argmax(axis=1)


def truth_of(labels: LabelSet, values: ArrayLike) -> Floats:
    """Whether each image has the positive finding: 1, 0, or NaN where that is not known.

    Exclusive labels: a label known to hold settles it; otherwise it is 0 only when every positive label is known
    absent.

    Args:
        values: [n, k] of 1, 0 or NaN.

    Returns:
        [n] of 1, 0 or NaN.

    Raises:
        ValueError: wrong shape, or another value.
    """
    table = table_of(labels, values, "label values")
    if not (np.isnan(table) | (table == 0) | (table == 1)).all():
        raise ValueError("label values must be 0, 1 or NaN")
    wanted = np.isin(np.arange(len(labels)), labels.positive_indices)
    inside = table[:, wanted]
    if not labels.exclusive:
        return inside[:, 0].copy()
    present = (inside == 1).any(axis=1)
    absent = (inside == 0).all(axis=1) | (table[:, ~wanted] == 1).any(axis=1)
    return np.where(present, 1.0, np.where(absent, 0.0, np.nan))


def _round_inside(low: float, high: float) -> float:
    """The middle of (low, high] in as few decimals as stay inside it, six at least."""
    middle = low + (high - low) / 2
    for digits in range(6, 17):
        value = round(middle, digits)
        if low < value <= high:
            return value
    return high


def _in_widest(lows: Floats, highs: Floats, allowed: Flags) -> tuple[int, float]:
    """The widest of the allowed gaps (low, high] between scores, and the threshold in its middle."""
    best = int(np.where(allowed, highs - np.maximum(lows, 0), -1.0).argmax())
    return best, 0.0 if highs[best] == 0 else _round_inside(float(max(lows[best], 0.0)), float(highs[best]))


def choose_threshold(truth: ArrayLike, score: ArrayLike, rule: Rule) -> tuple[float, float, float]:
    """Threshold that a rule picks on these images, with the sensitivity and specificity it has on them.

    ``balanced`` takes the largest sensitivity + specificity (Youden, Cancer 1950); ``rule_out`` the largest
    specificity whose sensitivity is at least 0.95; ``rule_in`` the largest sensitivity whose specificity is at least
    0.95. A threshold may lie anywhere between two neighbouring scores: it is put in the middle, and of equally good
    gaps the widest is taken, so that no image sits on it and rounding in another runtime flips none.

    Args:
        truth: [n] 1, 0, or NaN for unknown (left out).
        score: [n] in [0, 1].

    Returns:
        (threshold in [0, 1], sensitivity, specificity). The threshold has six decimals, more only where neighbouring
        scores are closer than that, and survives JSON exactly.

    Raises:
        UsageError: a class has no image, or too many negatives score exactly 1 for ``rule_in``.
        ValueError: a score is outside [0, 1] or the rule is unknown.
    """
    values, scores = np.asarray(truth, dtype=np.float64), np.asarray(score, dtype=np.float64)
    known = ~np.isnan(values)
    positive, scores = values[known] == 1, scores[known]
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores must lie in [0, 1]")
    p, n = int(positive.sum()), int((~positive).sum())
    if p == 0 or n == 0:
        raise errors.UsageError(
            "a threshold needs images with the finding and without it",
            f"these are {p} with and {n} without: fit it on a part that has both",
        )
    levels, where = np.unique(scores, return_inverse=True)
    # Gap i lies above i distinct scores: what scores there or higher is called positive.
    hits = p - np.concatenate([[0], np.cumsum(np.bincount(where, weights=positive))]).astype(np.int64)
    cleared = np.concatenate([[0], np.cumsum(np.bincount(where, weights=~positive))]).astype(np.int64)
    lows = np.concatenate([[-1e-9], levels])
    highs = np.concatenate([levels, [1.0]])
    open_gaps = highs > lows
    # Whole numbers, so that equal is equal.
    if rule == "balanced":
        allowed, order = open_gaps, [hits * n + cleared * p]
    elif rule == "rule_out":
        allowed, order = open_gaps & (100 * hits >= _TARGET * p), [cleared, hits]
    elif rule == "rule_in":
        allowed, order = open_gaps & (100 * cleared >= _TARGET * n), [hits, cleared]
    else:
        raise ValueError(f"no rule named '{rule}'")
    for merit in order:
        if allowed.any():
            allowed = allowed & (merit == merit[allowed].max())
    if not allowed.any():
        raise errors.UsageError(
            f"no threshold keeps a specificity of 0.95: too many of the {n} images without the finding score exactly 1",
            "calibrate the model first, or train it longer",
        )
    best, threshold = _in_widest(lows, highs, allowed)
    return threshold, int(hits[best]) / p, int(cleared[best]) / n


def differ(labels: LabelSet, a: ArrayLike, b: ArrayLike, thresholds: tuple[float, float]) -> Flags:
    """Images that two models decide differently, each at its own threshold.

    Exclusive labels: the decided label differs. Otherwise: any label does, the ones beside the positive at 0.5.

    Args:
        a, b: probabilities [n, k] of the two models on the same images.
        thresholds: of the two.
    """
    first, second = table_of(labels, a, "probabilities"), table_of(labels, b, "probabilities")
    (_, _, decided_a), (_, _, decided_b) = decide(labels, first, thresholds[0]), decide(labels, second, thresholds[1])
    changed: Flags = decided_a != decided_b
    if not labels.exclusive:
        beside = [i for i in range(len(labels)) if i not in labels.positive_indices]
        changed = changed | ((first[:, beside] >= 0.5) != (second[:, beside] >= 0.5)).any(axis=1)
    return changed


def outcomes(scores: Mapping[str, float], truths: Mapping[str, int], threshold: float) -> tuple[int, int, int, int]:
    """Images counted as (found, missed, false alarms, cleared): true and false positives and negatives at a threshold.

    Args:
        scores: id to score; ids without a truth are not counted.
        truths: id to 1 or 0.
    """
    cells = [0, 0, 0, 0]
    for key, truth in truths.items():
        called = scores[key] >= threshold
        cells[(0 if called else 1) if truth else (2 if called else 3)] += 1
    return cells[0], cells[1], cells[2], cells[3]


def follow_threshold(positive: ArrayLike, score: ArrayLike, near: float) -> float:
    """Threshold under which `score` decides most like decisions already made, as near to `near` as that allows.

    What a derived model's threshold is fitted by: its scores move a little, and choosing by labels anew would jump
    between equally good gaps and flip decisions the model itself did not change. Where the parent's threshold `near`
    is as good as any it stays; else it goes to the middle of the nearest gap that is better.

    Args:
        positive: [n] bool, the decisions to follow.
        score: [n] in [0, 1].
        near: the threshold those decisions were made at.

    Returns:
        A threshold in [0, 1], rounded as by `choose_threshold` where it moved.
    """
    wanted, scores = np.asarray(positive, dtype=bool), np.asarray(score, dtype=np.float64)
    levels, where = np.unique(scores, return_inverse=True)
    below_positive = np.concatenate([[0], np.cumsum(np.bincount(where, weights=wanted))])
    below_negative = np.concatenate([[0], np.cumsum(np.bincount(where, weights=~wanted))])
    flips = below_positive + (int((~wanted).sum()) - below_negative)
    lows, highs = np.concatenate([[-1e-9], levels]), np.concatenate([levels, [1.0]])
    allowed = highs > lows
    best = allowed & (flips == flips[allowed].min())
    if (best & (lows < near) & (near <= highs)).any():
        return near
    away = np.where(best, np.maximum(lows - near, near - highs), np.inf)
    return _in_widest(lows, highs, best & (away == away.min()))[1]
