"""Two-sided 95 % intervals and paired tests.

Every interval comes back as an `Estimate` that names its method. A figure that cannot be computed (no image of a
class, no image at all) is an Estimate without a value, never an exception: a report is still worth reading then.
Only numpy is needed here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from statistics import NormalDist, fmean
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laennec.estimates import Estimate

Floats = NDArray[np.float64]

_Z = NormalDist().inv_cdf(0.975)
_NOISE = 1e-12  # a variance below this is rounding, not spread
_CELLS = 4_000_000  # weights held at once by the bootstrap (32 MB)


def _wilson_bounds(proportion: float, n: float) -> tuple[float, float]:
    middle = proportion + _Z**2 / (2 * n)
    reach = _Z * math.sqrt(proportion * (1 - proportion) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    # At 0 and 1 the bound equals the proportion; rounding must not push it past.
    return max(0.0, min(proportion, (middle - reach) / scale)), min(1.0, max(proportion, (middle + reach) / scale))


def wilson(successes: int, n: int) -> Estimate:
    """Proportion with its Wilson score interval.

    Never leaves [0, 1], and is not of zero width at 0 or 1 as the textbook (Wald) interval is. It takes the images as
    independent: several images of one patient make it too narrow.

    Args:
        successes: count in [0, n].
        n: number of trials; 0 gives an Estimate without a value.

    Raises:
        ValueError: `successes` is outside [0, n].

    Source: Wilson, JASA 1927; recommended by Newcombe, Statistics in Medicine 1998 (method 3).
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie in [0, {n}], not {successes}")
    if n == 0:
        return Estimate(value=None, n=0, method="wilson")
    low, high = _wilson_bounds(successes / n, n)
    return Estimate(value=successes / n, low=low, high=high, n=n, method="wilson")


def _midranks(values: Floats) -> Floats:
    """Ranks from 1 along one axis [n]; equal values share the mean of their ranks."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Floats = (ends - (counts - 1) / 2.0)[where]
    return ranks


def _known(truth: ArrayLike, *scores: ArrayLike) -> tuple[NDArray[np.bool_], list[Floats]]:
    """Truth as booleans and the scores, without the images of unknown (NaN) truth."""
    values = np.asarray(truth, dtype=np.float64)
    columns = [np.asarray(score, dtype=np.float64) for score in scores]
    if values.ndim != 1 or any(column.shape != values.shape for column in columns):
        raise ValueError("truth and scores must be one-dimensional and of one length")
    known = ~np.isnan(values)
    if not np.isin(values[known], (0.0, 1.0)).all():
        raise ValueError("truth must be 0, 1 or NaN")
    columns = [column[known] for column in columns]
    if not all(np.isfinite(column).all() for column in columns):
        raise ValueError("scores must be finite")
    return values[known] == 1.0, columns


def _components(positive: NDArray[np.bool_], score: Floats) -> tuple[float, Floats, Floats]:
    """AUROC, and for each positive (each negative) image the share of the other class that it ranks rightly.

    Algorithm 2 of Sun & Xu 2014: midranks among all images less midranks within the class, O(n log n).
    """
    above, below = score[positive], score[~positive]
    ranks = _midranks(score)
    of_positives = (ranks[positive] - _midranks(above)) / below.size
    of_negatives = 1.0 - (ranks[~positive] - _midranks(below)) / above.size
    return float(of_positives.mean()), of_positives, of_negatives


def delong(truth: ArrayLike, score: ArrayLike) -> Estimate:
    """Area under the ROC curve with DeLong's variance and an interval made on the logit scale.

    The logit interval stays inside (0, 1) and covers better than the plain one where good models live, close to 1
    (the plain one reaches past 1 and, clipped, covers too seldom). Ties count one half (midranks).

    When the variance is zero or cannot be estimated (perfect separation, all scores equal, one image of a class)
    DeLong would give a width of zero. The interval is then Wilson's on min(positives, negatives) trials, which is
    sound because so many disjoint positive-negative pairs are independent trials whose chance of success is the
    AUROC. It is wide on purpose, and `method` says ``wilson``.

    Args:
        truth: [n] 1, 0, or NaN for unknown (left out).
        score: [n] finite, higher means more positive.

    Returns:
        Estimate with `n` the images of known truth; without a value where a class has no image.

    Raises:
        ValueError: the shapes differ, a truth is not 0, 1 or NaN, or a score is not finite.

    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 1988; Sun & Xu, IEEE Signal Processing Letters 2014 (fast
    algorithm); Pepe, The Statistical Evaluation of Medical Tests, 2003 (logit scale).
    """
    positive, (values,) = _known(truth, score)
    m = int(positive.sum())
    n = positive.size - m
    if m == 0 or n == 0:
        return Estimate(value=None, n=m + n, method="delong")
    area, of_positives, of_negatives = _components(positive, values)
    variance = float(of_positives.var(ddof=1) / m + of_negatives.var(ddof=1) / n) if min(m, n) > 1 else 0.0
    if variance < _NOISE**2 or not _NOISE < area < 1 - _NOISE:
        low, high = _wilson_bounds(area, min(m, n))
        return Estimate(value=area, low=low, high=high, n=m + n, method="wilson")
    logit = math.log(area / (1 - area))
    reach = _Z * math.sqrt(variance) / (area * (1 - area))
    low, high = _expit(logit - reach), _expit(logit + reach)
    return Estimate(value=area, low=min(low, area), high=max(high, area), n=m + n, method="delong")


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _areas(truth: ArrayLike, a: ArrayLike, b: ArrayLike) -> tuple[int, int, tuple[float, float] | None, float]:
    """Positives, negatives, the areas of `a` and `b`, and the variance of their difference by DeLong.

    Of several scores ``[k, n]`` the areas are averaged; so are each image's components, of which the mean area is then
    the same kind of mean as one area is of its own.
    """
    rows = [np.atleast_2d(np.asarray(score, dtype=np.float64)) for score in (a, b)]
    positive, columns = _known(truth, *rows[0], *rows[1])
    m = int(positive.sum())
    n = positive.size - m
    if m == 0 or n == 0:
        return m, n, None, 0.0
    parts = [_components(positive, column) for column in columns]
    first, second = parts[: len(rows[0])], parts[len(rows[0]) :]
    variance = 0.0
    if min(m, n) > 1:
        of_positives = np.mean([part[1] for part in first], axis=0) - np.mean([part[1] for part in second], axis=0)
        of_negatives = np.mean([part[2] for part in first], axis=0) - np.mean([part[2] for part in second], axis=0)
        variance = float(of_positives.var(ddof=1) / m + of_negatives.var(ddof=1) / n)
    return m, n, (fmean(part[0] for part in first), fmean(part[0] for part in second)), variance


def delong_paired(truth: ArrayLike, a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p value that two scores of the same images have the same AUROC.

    Args:
        truth: [n] 1, 0, or NaN for unknown (left out).
        a, b: [n] finite scores; or [k, n], the scores of k models (one recipe under k seeds), whose areas are averaged.
            The p value then speaks of these models on other images, not of other seeds.

    Returns:
        p in [0, 1]. 1.0 for scores that rank alike, or where a class has no image. Where the areas differ but the
        variance of the difference is zero (one perfect, one reversed), a sign test on min(positives, negatives)
        disjoint pairs, for the reason given at `delong`.

    Raises:
        ValueError: as `delong`.

    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 1988.
    """
    m, n, areas, variance = _areas(truth, a, b)
    if areas is None or abs(areas[0] - areas[1]) < _NOISE:
        return 1.0
    if variance < _NOISE**2:
        return min(1.0, 2 * 0.5 ** min(m, n))
    return math.erfc(abs(areas[0] - areas[1]) / math.sqrt(2 * variance))


def delong_difference(truth: ArrayLike, a: ArrayLike, b: ArrayLike) -> Estimate:
    """AUROC of `b` less that of `a` on the same images, with DeLong's interval.

    Args:
        truth: [n] 1, 0, or NaN for unknown (left out).
        a, b: as `delong_paired` takes them.

    Returns:
        Estimate in [-1, 1]; without an interval where the variance cannot be estimated, without a value where a class
        has no image.

    Raises:
        ValueError: as `delong`.

    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 1988.
    """
    m, n, areas, variance = _areas(truth, a, b)
    if areas is None:
        return Estimate(value=None, n=m + n, method="delong")
    value = areas[1] - areas[0]
    if variance < _NOISE**2:
        return Estimate(value=value, n=m + n, method="delong")
    reach = _Z * math.sqrt(variance)
    return Estimate(value=value, low=max(-1.0, value - reach), high=min(1.0, value + reach), n=m + n, method="delong")


def either_way(auroc: Estimate) -> Estimate:
    """An AUROC read the way round that tells more: what is known, whichever way it points, in [.5, 1].

    An interval that holds .5 begins there and reaches as far as it does on either side. Without a value as given.
    """
    if auroc.value is None or auroc.low is None or auroc.high is None:
        return auroc
    low, high = auroc.low, auroc.high
    bounds = (0.5, max(high, 1 - low)) if low <= 0.5 <= high else (low, high) if low > 0.5 else (1 - high, 1 - low)
    value = max(auroc.value, 1 - auroc.value)
    return auroc.model_copy(update={"value": value, "low": bounds[0], "high": bounds[1]})


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number, in the order given: the chance of any false alarm among them stays bounded.

    Source: Holm, Scandinavian Journal of Statistics 1979 (step-down Bonferroni).
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = highest
    return corrected


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """Two-sided exact p value that two models are right equally often on the same images.

    Only the images on which exactly one of them is right speak; their split is held against a fair coin.

    Args:
        correct_a, correct_b: [n] True where that model decided rightly.

    Returns:
        p in (0, 1]; 1.0 when they are right on the same images.

    Raises:
        ValueError: the shapes differ.

    Source: McNemar, Psychometrika 1947; exact form: Fagerland, Lydersen & Laake, BMC Med Res Methodol 2013.
    """
    first, second = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    if first.shape != second.shape:
        raise ValueError("both models must be judged on the same images")
    only_a, only_b = int((first & ~second).sum()), int((~first & second).sum())
    n, least = only_a + only_b, min(only_a, only_b)
    whole = math.lgamma(n + 1) - n * math.log(2)
    tail = math.fsum(math.exp(whole - math.lgamma(i + 1) - math.lgamma(n - i + 1)) for i in range(least + 1))
    return min(1.0, 2 * tail)


def patient_bootstrap(
    statistic: Callable[..., NDArray[Any]],
    *arrays: ArrayLike,
    patients: Sequence[Hashable],
    replicates: int = 1000,
    seed: int = 0,
) -> tuple[float | None, float | None]:
    """95 % percentile interval of any figure, resampling whole patients so that images of one patient stay together.

    A resample is a row of weights: how many times each image's patient was drawn. The figure is computed for many
    rows at once, which is what makes a thousand replicates cheap.

    Args:
        statistic: called as ``statistic(weights [r, n], *arrays)``, returns [r] values, one per row of non-negative
            integer weights; NaN where the figure is undefined in that resample.
        arrays: each [n, …], passed on unchanged.
        patients: [n] keys.
        replicates: number of resamples, at least 1.
        seed: of the draw; the same seed gives the same interval.

    Returns:
        (low, high), quantiles .025 and .975 over the resamples in which the figure is defined; (None, None) with no
        image or where fewer than half of the resamples define it.

    Raises:
        ValueError: an array and `patients` differ in length.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993 (percentile); Field & Welsh, JRSS B 2007
    (clusters).
    """
    held = [np.asarray(array) for array in arrays]
    n = len(patients)
    if any(len(array) != n for array in held):
        raise ValueError("every array needs one row per image")
    if n == 0:
        return None, None
    numbers: dict[Hashable, int] = {}
    owner = np.array([numbers.setdefault(patient, len(numbers)) for patient in patients])
    count = len(numbers)
    random = np.random.default_rng(seed)
    found: list[NDArray[Any]] = []
    rows = max(1, _CELLS // n)
    for start in range(0, replicates, rows):
        size = min(rows, replicates - start)
        # Counting equal draws is the multinomial law, several times faster than drawing from it.
        drawn = random.integers(0, count, size=(size, count)) + np.arange(size)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        found.append(np.asarray(statistic(times[:, owner].astype(np.float64), *held), dtype=np.float64))
    values = np.concatenate(found)
    values = values[~np.isnan(values)]
    if values.size * 2 < replicates:
        return None, None
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def patient_mean(values: ArrayLike, patients: Sequence[Hashable], seed: int = 0) -> Estimate:
    """Mean of values of -1, 0 or 1 by image, patients resampled (`patient_bootstrap`); where all agree, which leaves
    nothing to resample, Wilson's bound instead.

    Args:
        values: [n], n at least 1.
        patients: [n] keys.
        seed: of the draw.
    """
    held = np.asarray(values, np.float64)
    value = float(held.mean())
    if np.ptp(held) > 0:
        low, high = patient_bootstrap(
            lambda weights, each: weights @ each / weights.sum(1), held, patients=patients, seed=seed
        )
        return Estimate(value=value, low=low, high=high, n=len(held), method="patient_bootstrap")
    sure = _wilson_bounds(1.0, len(held))[0]
    reach = {1.0: (sure, 1.0), 0.0: (sure - 1, 1 - sure), -1.0: (-1.0, -sure)}[value]
    return Estimate(value=value, low=reach[0], high=reach[1], n=len(held), method="wilson")
