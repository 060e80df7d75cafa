"""Intervals and paired tests against definitions, published numbers, other libraries and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, logit
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from laennec.estimates import Estimate
from laennec.intervals import (
    delong,
    delong_difference,
    delong_paired,
    either_way,
    holm,
    mcnemar,
    patient_bootstrap,
    wilson,
)

Z = 1.959963984540054


def scored(m: int, n: int, gap: float, seed: int, decimals: int = 12) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = np.repeat([1.0, 0.0], [m, n])
    return truth, np.round(random.normal(size=m + n) + gap * truth, decimals)


def naive(truth: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """AUROC and structural components straight from DeLong 1988, O(mn)."""
    difference = score[truth == 1][:, None] - score[truth == 0][None, :]
    kernel = (difference > 0) + 0.5 * (difference == 0)
    return float(kernel.mean()), kernel.mean(axis=1), kernel.mean(axis=0)


# Newcombe, Statistics in Medicine 1998, table I, method 3.
@pytest.mark.parametrize(
    ("r", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_published(r: int, n: int, low: float, high: float) -> None:
    found = wilson(r, n)
    assert (found.value, found.n, found.method) == (r / n, n, "wilson")
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_contains_its_value_and_mirrors(pair: tuple[int, int]) -> None:
    r, n = pair
    found, mirrored = wilson(r, n), wilson(n - r, n)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)
    exact = binomtest(r, n).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_wilson_edges() -> None:
    assert wilson(0, 0).value is None
    for bad in ((-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="successes"):
            wilson(*bad)


@pytest.mark.parametrize("decimals", [12, 1, 0])
def test_delong_is_the_naive_definition(decimals: int) -> None:
    truth, score = scored(37, 53, 1.4, seed=3, decimals=decimals)
    area, v10, v01 = naive(truth, score)
    se = math.sqrt(v10.var(ddof=1) / 37 + v01.var(ddof=1) / 53)
    found = delong(truth, score)
    assert found.value == pytest.approx(area, abs=1e-12)
    assert found.value == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    reach = Z * se / (area * (1 - area))
    assert (found.low, found.high) == pytest.approx((expit(logit(area) - reach), expit(logit(area) + reach)), abs=1e-9)
    assert (found.n, found.method) == (90, "delong")


def test_delong_paired_is_the_naive_definition() -> None:
    truth, a = scored(40, 60, 1.5, seed=1, decimals=2)
    b = a + np.random.default_rng(2).normal(size=100) * 0.8
    (area_a, a10, a01), (area_b, b10, b01) = naive(truth, a), naive(truth, b)
    s10, s01 = np.cov(a10, b10), np.cov(a01, b01)
    contrast = np.array([1, -1])
    variance = contrast @ (s10 / 40 + s01 / 60) @ contrast
    expected = 2 * norm.sf(abs(area_a - area_b) / math.sqrt(variance))
    assert delong_paired(truth, a, b) == pytest.approx(expected, rel=1e-9)
    assert delong_paired(truth, b, a) == pytest.approx(expected, rel=1e-9)


def test_delong_paired_edges() -> None:
    truth, score = scored(10, 12, 1.0, seed=0)
    assert delong_paired(truth, score, score) == 1.0
    assert delong_paired(truth, score, np.exp(score)) == 1.0
    assert delong_paired(np.ones(5), np.arange(5.0), np.arange(5.0)) == 1.0
    assert delong_paired(truth, truth, 1 - truth) == pytest.approx(2 * 0.5**10)


def test_delong_leaves_out_the_unknown() -> None:
    truth, score = scored(20, 20, 1.0, seed=4)
    with_unknown = delong(np.append(truth, np.nan), np.append(score, np.nan))
    assert with_unknown == delong(truth, score)


def test_delong_degenerate() -> None:
    perfect = delong([1] * 30 + [0] * 50, [0.9] * 30 + [0.1] * 50)
    assert (perfect.value, perfect.high, perfect.method) == (1.0, 1.0, "wilson")
    assert perfect.low == pytest.approx(30 / (30 + Z**2))
    tied = delong([1, 1, 0, 0], [0.5] * 4)
    assert tied.value == 0.5
    assert tied.low < 0.25
    assert tied.high > 0.75
    one = delong([1, 0, 0, 0], [0.5, 0.1, 0.2, 0.9])
    assert one.low < 0.1
    for truth in ([], [1.0, 1.0], [0.0], [np.nan]):
        empty = delong(truth, [0.5] * len(truth))
        assert (empty.value, empty.low, empty.high) == (None, None, None)
    with pytest.raises(ValueError, match="0, 1 or NaN"):
        delong([0.5, 1], [0, 1])
    with pytest.raises(ValueError, match="finite"):
        delong([0, 1], [np.nan, 1])
    with pytest.raises(ValueError, match="one length"):
        delong([0, 1], [1])


def test_delong_covers() -> None:
    """Nominal 95 %; the true area of two unit normals `gap` apart is Phi(gap / sqrt 2)."""
    for gap, m, n in ((1.0, 40, 60), (2.5, 60, 40)):
        area = norm.cdf(gap / math.sqrt(2))
        hits = sum((e := delong(*scored(m, n, gap, seed))).low <= area <= e.high for seed in range(400))
        assert 0.925 <= hits / 400 <= 0.98, (gap, hits)


def test_delong_paired_keeps_its_level() -> None:
    rejected = 0
    for seed in range(400):
        truth, noise = scored(30, 40, 0.0, seed)
        random = np.random.default_rng(10_000 + seed)
        a, b = (noise + truth + random.normal(size=70) for _ in range(2))
        rejected += delong_paired(truth, a, b) < 0.05
    assert 0.025 <= rejected / 400 <= 0.075


cases = st.integers(2, 40).flatmap(
    lambda n: st.tuples(arrays(float, n, elements=st.sampled_from([0.0, 1.0])),
                        arrays(float, n, elements=st.integers(0, 20).map(float)))
)  # fmt: skip


@settings(max_examples=80)
@given(cases)
def test_auroc_properties(case: tuple[np.ndarray, np.ndarray]) -> None:
    truth, score = case
    found = delong(truth, score)
    if found.value is None:
        assert truth.min() == truth.max()
        return
    assert found.value == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0
    assert delong(truth, np.exp(score / 7) + 3) == found
    assert found.value + delong(truth, -score).value == pytest.approx(1.0)
    assert found.value + delong(1 - truth, score).value == pytest.approx(1.0)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 10))
def test_mcnemar_is_a_fair_coin(b: int, c: int, both: int) -> None:
    first = np.array([True] * b + [False] * c + [True] * both)
    second = np.array([False] * b + [True] * c + [True] * both)
    expected = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(second, first) == mcnemar(first, second)


def test_mcnemar_shapes() -> None:
    with pytest.raises(ValueError, match="same images"):
        mcnemar([True], [True, False])


def test_holm_by_hand() -> None:
    """Holm 1979: .01 x 4, .03 x 3, then .04 x 2 = .08 is raised to .09, and .2 x 1 stays."""
    assert holm([0.03, 0.01, 0.2, 0.04]) == pytest.approx([0.09, 0.04, 0.2, 0.09])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_difference_of_areas() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200)
    a, b = (truth * shift + rng.normal(size=200) for shift in (0.8, 1.6))
    found = delong_difference(truth, a, b)
    assert found.value == pytest.approx(delong(truth, b).value - delong(truth, a).value)
    # the interval leaves out 0 just where the test rejects
    assert (found.low > 0) == (delong_paired(truth, a, b) < 0.05)
    swapped = delong_difference(truth, b, a)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))
    # the mean of one model twice is that model, and averaging models narrows nothing it should not
    assert delong_paired(truth, [a, a], [b]) == pytest.approx(delong_paired(truth, a, b))
    assert delong_difference(truth, [a, b], [b, a]).value == pytest.approx(0)


def mean(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    return weights @ x / weights.sum(axis=1)


def test_bootstrap_agrees_with_wilson_and_widens_with_clusters() -> None:
    x = (np.arange(400) % 4 > 0).astype(float)
    alone = patient_bootstrap(mean, x, patients=[str(i) for i in range(400)])
    expected = wilson(300, 400)
    assert alone == pytest.approx((expected.low, expected.high), abs=0.01)
    grouped = np.sort(x)
    clustered = patient_bootstrap(mean, grouped, patients=[str(i // 8) for i in range(400)])
    assert clustered[1] - clustered[0] > 2 * (alone[1] - alone[0])


def test_bootstrap_matches_plain_resampling() -> None:
    random = np.random.default_rng(0)
    x, owners = random.normal(size=60), random.integers(0, 20, size=60)
    members = [np.flatnonzero(owners == k) for k in np.unique(owners)]
    plain = []
    for _ in range(4000):
        drawn = random.integers(0, len(members), len(members))
        plain.append(x[np.concatenate([members[k] for k in drawn])].mean())
    found = patient_bootstrap(mean, x, patients=owners.tolist(), replicates=4000)
    assert found == pytest.approx(np.quantile(plain, (0.025, 0.975)), abs=0.03)


def test_bootstrap_edges() -> None:
    x = np.arange(10.0)
    keys = [str(i) for i in range(10)]
    assert patient_bootstrap(mean, x, patients=keys) == patient_bootstrap(mean, x, patients=keys)
    assert patient_bootstrap(mean, x, patients=keys, seed=1) != patient_bootstrap(mean, x, patients=keys)
    assert patient_bootstrap(mean, np.array([]), patients=[]) == (None, None)
    assert patient_bootstrap(lambda w, v: np.full(len(w), np.nan), x, patients=keys) == (None, None)
    with pytest.raises(ValueError, match="one row per image"):
        patient_bootstrap(mean, x, patients=["a"])


@given(st.floats(0, 1), st.floats(0, 0.3), st.floats(0, 0.3))
def test_what_an_auroc_knows_is_the_same_either_way(value: float, below: float, above: float) -> None:
    one = Estimate(value=value, low=max(0.0, value - below), high=min(1.0, value + above), n=9)
    flipped = Estimate(value=1 - value, low=1 - (one.high or 0), high=1 - (one.low or 0), n=9)
    read, other = either_way(one), either_way(flipped)
    assert (read.low, read.value, read.high) == pytest.approx((other.low, other.value, other.high))
    assert 0.5 <= read.low <= read.value + 1e-9 and read.value <= read.high + 1e-9
    assert either_way(Estimate(value=None, n=0)).value is None
