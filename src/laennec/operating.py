"""Operating points: thresholds chosen on validation and bound to the model and split they were fitted on."""

from __future__ import annotations

from typing import get_args

import numpy as np

from laennec import decisions
from laennec.labels import LabelSet
from laennec.results import OperatingPoint


def fit(
    labels: LabelSet, values: np.ndarray, probabilities: np.ndarray, split_digest: str, model_digest: str
) -> dict[str, OperatingPoint]:
    """One operating point per rule, from validation labels and probabilities, both ``float [n, labels]``.

    Raises:
        UsageError: validation lacks positive or negative images.
    """
    truth = decisions.truth_of(labels, values)
    score, _, _ = decisions.decide(labels, probabilities, 0.5)
    known = ~np.isnan(truth)
    points = {}
    for rule in get_args(decisions.Rule):
        threshold, sensitivity, specificity = decisions.choose_threshold(truth[known], score[known], rule)
        points[rule] = OperatingPoint(
            rule=rule,
            threshold=threshold,
            sensitivity=sensitivity,
            specificity=specificity,
            n=int(known.sum()),
            split_digest=split_digest,
            model_digest=model_digest,
        )
    return points
