"""Operating points: thresholds chosen on validation and bound to the model and split they were fitted on."""

from __future__ import annotations

from typing import get_args

import numpy as np

from laennec import decisions
from laennec.errors import UsageError
from laennec.labels import LabelSet
from laennec.results import OperatingPoint


def fit(
    labels: LabelSet, values: np.ndarray, probabilities: np.ndarray, *, decision: str, bound_to: tuple[str, str]
) -> dict[str, OperatingPoint]:
    """One operating point for each rule that can be held, from validation labels and probabilities.

    Args:
        labels: the label set.
        values: ``float [n, labels]``, 1, 0 or NaN.
        probabilities: ``float [n, labels]``.
        decision: the rule that must be among them.
        bound_to: digests of the split and of the model files the thresholds are for.

    Raises:
        UsageError: validation lacks positive or negative images, or no threshold holds the rule `decision`.
    """
    truth = decisions.truth_of(labels, values)
    score, _, _ = decisions.decide(labels, probabilities, 0.5)
    known = ~np.isnan(truth)
    points = {}
    for rule in get_args(decisions.Rule):
        try:
            threshold, sensitivity, specificity = decisions.choose_threshold(truth[known], score[known], rule)
        except UsageError:
            # A saturated model may hold one rule and not another; only the one it decides by must be there.
            if rule == decision:
                raise
            continue
        points[rule] = OperatingPoint(
            rule=rule,
            threshold=threshold,
            sensitivity=sensitivity,
            specificity=specificity,
            n=int(known.sum()),
            split_digest=bound_to[0],
            model_digest=bound_to[1],
        )
    return points
