"""The same model where the finding is rarer or more common: probabilities adapted, the prevalence estimated, PPV, NPV.

All of it holds under one assumption, that only the frequency of the finding differs and not how it looks (label shift);
and adapted probabilities mean something only where those they were made from are calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laennec.errors import UsageError
from laennec.estimates import Estimate
from laennec.intervals import patient_bootstrap, wilson
from laennec.trust import AtPrevalence

Floats = NDArray[np.float64]
STATED = (0.01, 0.05, 0.10, 0.20, 0.50)

_NONE = 1e-15
_SURE = 1e-9
_HALVINGS = 32
_BINS = 2000  # of scores, for the bootstrap: a folder may hold a million images
_REPLICATES = 500


def check(prevalence: float) -> float:
    """A prevalence, as it is. Raises `UsageError` unless it lies between 0 and 1, both left out."""
    if not 0 < prevalence < 1:
        raise UsageError(f"a prevalence of {prevalence:g} cannot be", "give a share between 0 and 1, such as 0.05")
    return prevalence


def adapted(score: ArrayLike, before: float, now: float) -> Floats:
    """Calibrated probabilities ``[n]`` of the finding brought from one prevalence to another, by Bayes' rule.

    Args:
        score: in [0, 1].
        before: the prevalence they are calibrated to, in (0, 1).
        now: the other, in (0, 1).

    Source: Saerens, Latinne & Decaestecker, Neural Computation 2002, equation 2.4.
    """
    s = np.asarray(score, np.float64)
    up, down = s * (now / before), (1 - s) * ((1 - now) / (1 - before))
    whole: Floats = up / (up + down)
    return whole


def estimated(score: ArrayLike, before: float, patients: Sequence[Hashable] | None = None, seed: int = 0) -> Estimate:
    """The prevalence of images whose truth nobody knows: the most likely one, where Saerens' EM ends.

    The likelihood has one summit, which is found by halving instead of by EM's steps. The interval is a percentile
    bootstrap of the images; it does not know how well the model is calibrated, nor whether the finding looks otherwise
    here.

    Args:
        score: [n] calibrated probabilities of the finding, in [0, 1].
        before: the prevalence they are calibrated to, in (0, 1).
        patients: [n] keys; every image its own patient by default.
        seed: of the bootstrap.

    Returns:
        Estimate in [0, 1]; without a value of no image.

    Source: Saerens, Latinne & Decaestecker, Neural Computation 2002, section 2.2; that it is the maximum of the
    likelihood and unique: du Plessis & Sugiyama, Neural Networks 2014.
    """
    s = np.clip(np.asarray(score, np.float64), _SURE, 1 - _SURE)
    n = s.size
    if not n:
        return Estimate(value=None, n=0, method="patient_bootstrap")
    value = float(_summit(np.ones((1, n)), s, before)[0])
    if patients is not None:
        low, high = patient_bootstrap(
            lambda weights, of: _summit(weights, of, before), s, patients=patients, replicates=_REPLICATES, seed=seed
        )
    else:
        groups = np.array_split(np.sort(s), min(n, _BINS))
        middles, counts = np.array([group.mean() for group in groups]), np.array([len(group) for group in groups])
        drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=_REPLICATES).astype(np.float64)
        low, high = (float(q) for q in np.quantile(_summit(drawn, middles, before), (0.025, 0.975)))
    if low is None or high is None:
        return Estimate(value=value, n=n, method="patient_bootstrap")
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n, method="patient_bootstrap")


def _summit(weights: Floats, score: Floats, before: float) -> Floats:
    """The likeliest prevalence ``[r]`` under image weights ``[r, n]``."""
    with_, without = score / before, (1 - score) / (1 - before)
    low, high = np.zeros(len(weights)), np.ones(len(weights))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        slope = (weights * ((with_ - without) / (without + middle[:, None] * (with_ - without)))).sum(axis=1)
        low, high = np.where(slope > 0, middle, low), np.where(slope > 0, high, middle)
    return (low + high) / 2


def predictive_values(
    found: int, missed: int, false_alarms: int, cleared: int, prevalences: Sequence[float] = STATED
) -> tuple[AtPrevalence, ...]:
    """PPV and NPV at each of `prevalences` and at that of the images, from counts of decisions, the rarest first.

    Each is a function of a likelihood ratio, the ratio of two independent proportions; its interval is made of their
    Wilson bounds by MOVER-R (Donner & Zou, Statistics in Medicine 2012; compared by Fagerland & Newcombe, Statistics in
    Medicine 2013), which holds near 0 and 1 too. Images count as independent.

    Args:
        found, missed, false_alarms, cleared: images; see `decisions.outcomes`.
        prevalences: each in (0, 1).

    Returns:
        One entry a prevalence; none where a class has no image.
    """
    p, n = found + missed, false_alarms + cleared
    if not p or not n:
        return ()
    wanted = [(own, False) for own in prevalences] + [(p / (p + n), True)]
    return tuple(
        AtPrevalence(
            prevalence=own,
            measured=measured,
            ppv=_value(found, p, false_alarms, n, own),
            npv=_value(cleared, n, missed, p, 1 - own),
        )
        for own, measured in sorted(wanted)
    )


def _value(hits: int, among: int, wrong: int, others: int, share: float) -> Estimate:
    """Share of the right among all called so: `hits` of `among` were rightly called, `wrong` of `others` wrongly.

    `share` is how common those are of whom the call is right.
    """
    right, false = hits / among * share, wrong / others * (1 - share)
    count = hits + wrong
    if right + false == 0:
        return Estimate(value=None, n=count, method="mover")
    value = right / (right + false)
    odds = share / (1 - share)
    low, high = (_share(ratio * odds) for ratio in _ratio(wilson(hits, among), wilson(wrong, others)))
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=count, method="mover")


def _share(odds: float) -> float:
    return 1.0 if math.isinf(odds) else odds / (1 + odds)


def _ratio(top: Estimate, bottom: Estimate) -> tuple[float, float]:
    """Bounds of the ratio of two independent proportions from the bounds of each, by MOVER-R."""
    (p, low, high), (q, least, most) = ((e.value or 0.0, e.low or 0.0, e.high or 0.0) for e in (top, bottom))

    def bound(inner: float, outer: float, side: int) -> float:
        under, scale = (p * q) ** 2 - inner * outer * (2 * p - inner) * (2 * q - outer), outer * (2 * q - outer)
        if abs(scale) < _NONE:
            return math.inf
        return (p * q + side * math.sqrt(max(0.0, under))) / scale

    return max(0.0, bound(low, most, -1)), max(0.0, bound(high, least, 1))
