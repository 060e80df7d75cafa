"""Class-conditional split conformal sets: which labels stay possible for an image, and what referring the rest costs.

A label stays possible where its probability is no smaller than all but a share of those that validation images of that
very class had; so the set holds the truth for the share asked of each class's images, the rare class's too, as long as
the images are exchangeable with those of validation (Vovk 2012, Conditional validity of inductive conformal predictors;
Angelopoulos & Bates 2021, arXiv:2107.07511, section 4.1). Several images of one patient, and thresholds or calibrators
fitted on the same images, bend that a little: a report measures it on other patients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laennec.decisions import Flags, Floats, decide, table_of, truth_of
from laennec.errors import UsageError
from laennec.estimates import Estimate
from laennec.intervals import patient_bootstrap, wilson
from laennec.labels import LabelSet
from laennec.trust import Abstained, Abstention

CURVE_POINTS = 100
_ABSENT = ""


def classes(labels: LabelSet) -> tuple[str, ...]:
    """What a set may hold: the labels; of labels that hold together the positive one, and ``""`` for its absence."""
    return labels.names if labels.exclusive else (*labels.positive, _ABSENT)


def fit(
    labels: LabelSet, values: ArrayLike, probabilities: ArrayLike, coverage: float, *, bound_to: tuple[str, str]
) -> Abstention:
    """The smallest probability at which each class stays possible, from validation images.

    Args:
        labels: the label set.
        values: [n, k] of 1, 0 or NaN.
        probabilities: [n, k].
        coverage: share of each class's images whose set shall hold the truth, in (0, 1).
        bound_to: digests of the split and of the model.

    Raises:
        UsageError: the coverage is outside (0, 1).
    """
    if not 0 < coverage < 1:
        raise UsageError(f"a coverage of {coverage} cannot be promised", "choose one between 0 and 1, such as 0.9")
    truth, chances = _truth(labels, values), _chances(labels, probabilities)
    least, counts = {}, {}
    for at, name in enumerate(classes(labels)):
        own = np.sort(chances[truth == at, at])
        # of n + 1 exchangeable images the new one lies below the rank-th with at most this chance; see Vovk
        rank = math.floor((len(own) + 1) * (1 - coverage) + 1e-9)
        least[name], counts[name] = (float(own[rank - 1]) if rank else 0.0), len(own)
    return Abstention(coverage=coverage, least=least, n=counts, split_digest=bound_to[0], model_digest=bound_to[1])


def possible(abstention: Abstention, labels: LabelSet, probabilities: ArrayLike) -> Flags:
    """Whether each of `classes` stays possible ``[n, c]``."""
    least = np.array([abstention.least[name] for name in classes(labels)])
    flags: Flags = _chances(labels, probabilities) >= least
    return flags


def uncertain(abstention: Abstention, labels: LabelSet, probabilities: ArrayLike, threshold: float) -> Flags:
    """Images whose set is not the label decided for alone ``[n]``."""
    sets = possible(abstention, labels, probabilities)
    decided = _decided(labels, probabilities, threshold)
    alone: Flags = sets[np.arange(len(sets)), decided] & (sets.sum(axis=1) == 1)
    return ~alone


def judge(
    abstention: Abstention,
    labels: LabelSet,
    values: ArrayLike,
    probabilities: ArrayLike,
    threshold: float,
    patients: Sequence[str],
    unlike: NDArray[np.bool_] | None = None,
) -> Abstained:
    """What referring does on images whose truth is known; the others count for nothing.

    Intervals are Wilson's, which takes images as independent; that of the AURC is by patient bootstrap. The certainty
    of the curve is how far a score lies beyond the threshold, as a share of the room there.

    Args:
        abstention: fitted on other images.
        labels: the label set.
        values, probabilities: [n, k].
        threshold: of the decision.
        patients: [n].
        unlike: [n], where the bundle tells what is unlike.

    Source of the curve and its area: Geifman & El-Yaniv 2017, arXiv:1705.08500; Geifman, Uziel & El-Yaniv 2019,
    arXiv:1805.08206.
    """
    truth, known = _truth(labels, values), _truth(labels, values) >= 0
    chances = table_of(labels, probabilities, "probabilities")
    sets, doubted = possible(abstention, labels, chances), uncertain(abstention, labels, chances, threshold)
    wrong = (_decided(labels, chances, threshold) != truth)[known]
    strange = np.zeros(len(truth), np.bool_) if unlike is None else unlike
    out = (doubted | strange)[known]
    covered = {}
    for at, name in enumerate(classes(labels)):
        own = truth == at
        covered[name] = wilson(int(sets[own, at].sum()), int(own.sum()))
    sizes, counts = np.unique(sets[known].sum(axis=1), return_counts=True)
    score, _, _ = decide(labels, chances, threshold)
    owners = [patient for patient, keep in zip(patients, known, strict=True) if keep]
    points, area = risk_coverage(wrong, certainty(score, threshold)[known], owners)

    def share(of: Flags) -> Estimate:
        return wilson(int(of.sum()), of.size)

    return Abstained(
        asked=abstention.coverage,
        covered=covered,
        referred=share(out),
        uncertain=share(doubted[known]),
        unlike=None if unlike is None else share(strange[known]),
        sizes={int(size): int(count) for size, count in zip(sizes, counts, strict=True)},
        error=share(wrong[~out]),
        error_all=share(wrong),
        error_referred=share(wrong[out]),
        risk_coverage=points,
        aurc=area,
    )


def certainty(score: ArrayLike, threshold: float) -> Floats:
    """How far scores ``[n]`` lie beyond the threshold on their side, as a share of the room there, in [0, 1]."""
    values = np.asarray(score, np.float64)
    room = np.where(values >= threshold, 1 - threshold, threshold)
    beyond: Floats = np.divide(np.abs(values - threshold), room, out=np.zeros_like(values), where=room > 0)
    return np.minimum(beyond, 1.0)


def risk_coverage(
    wrong: ArrayLike, certain: ArrayLike, patients: Sequence[str]
) -> tuple[tuple[tuple[float, float], ...], Estimate]:
    """The error among the most certain share of the images, and its mean over all shares (AURC).

    Images equally certain are taken together: each of them carries the error among all at least as certain.

    Args:
        wrong: [n] whether each was decided wrongly.
        certain: [n], higher is more certain.
        patients: [n].

    Returns:
        Points (share answered, error) in at most `CURVE_POINTS`, the last at share 1, and the area with its interval by
        patient bootstrap; no point and no value of no image.
    """
    errors, levels = np.asarray(wrong, np.float64), np.asarray(certain, np.float64)
    n = len(errors)
    if not n:
        return (), Estimate(value=None, n=0, method="patient_bootstrap")
    order = np.argsort(-levels, kind="stable")
    ends = np.flatnonzero(np.diff(levels[order], append=np.nan) != 0)

    def curve(weights: Floats) -> tuple[Floats, Floats]:
        """Images answered and the error among them ``[r, levels]``."""
        ordered = weights[:, order]
        answered = np.cumsum(ordered, axis=1)[:, ends]
        failed = np.cumsum(ordered * errors[order], axis=1)[:, ends]
        return answered, np.divide(failed, answered, out=np.zeros_like(failed), where=answered > 0)

    def area(weights: Floats, _: Floats) -> Floats:
        answered, risk = curve(weights)
        mean: Floats = (np.diff(answered, axis=1, prepend=0.0) * risk).sum(axis=1) / answered[:, -1]
        return mean

    whole = np.ones((1, n))
    answered, risk = (rows[0] for rows in curve(whole))
    value = float(area(whole, errors)[0])
    low, high = patient_bootstrap(area, errors, patients=patients)
    bounds = {} if low is None or high is None else {"low": min(low, value), "high": max(high, value)}
    kept = np.unique(np.linspace(0, len(ends) - 1, CURVE_POINTS).round().astype(int))
    points = tuple((round(float(answered[i]) / n, 6), round(float(risk[i]), 6)) for i in kept)
    return points, Estimate(value=value, n=n, method="patient_bootstrap", **bounds)


def _chances(labels: LabelSet, probabilities: ArrayLike) -> Floats:
    """Probability of each of `classes` ``[n, c]``."""
    table = table_of(labels, probabilities, "probabilities")
    if labels.exclusive:
        return table
    found = table[:, labels.positive_indices[0]]
    return np.stack([found, 1 - found], axis=1)


def _truth(labels: LabelSet, values: ArrayLike) -> NDArray[np.intp]:
    """Place among `classes` of what holds ``[n]``; -1 where that is not known."""
    table = table_of(labels, values, "label values")
    if labels.exclusive:
        return np.where((table == 1).any(axis=1), (table == 1).argmax(axis=1), -1)
    found = truth_of(labels, table)
    return np.where(np.isnan(found), -1, np.where(found == 1, 0, 1)).astype(np.intp)


def _decided(labels: LabelSet, probabilities: ArrayLike, threshold: float) -> NDArray[np.intp]:
    """Place among `classes` of what is decided for ``[n]``."""
    _, positive, decided = decide(labels, probabilities, threshold)
    return decided if labels.exclusive else np.where(positive, 0, 1).astype(np.intp)
