"""Conformal sets, risk and coverage, prevalence, novelty: known answers and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from laennec import calibrators, conformal, intervals, novelty, prevalence
from laennec.errors import UsageError
from laennec.labels import LabelSet
from laennec.trust import ScoreMap

BOUND = ("s", "m")
TWO = LabelSet(names=("normal", "sick"), positive=("sick",))
THREE = LabelSet(names=("normal", "bacterial", "viral"), positive=("bacterial", "viral"))
BESIDE = LabelSet(names=("effusion", "mass"), exclusive=False, positive=("mass",))


def exchangeable(labels: LabelSet, n: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels, the first far more common, and probabilities that know them badly."""
    k = len(labels)
    if not labels.exclusive:
        held = (random.random((n, k)) < 0.15).astype(float)
        odds = random.normal(2 * held - 1.5, 1.2)
        return held, 1 / (1 + np.exp(-odds))
    own = random.choice(k, n, p=[0.8, *[0.2 / (k - 1)] * (k - 1)])
    odds = random.normal(np.eye(k)[own] * 1.5, 1.0)
    powers = np.exp(odds)
    return np.eye(k)[own], powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("labels", [TWO, THREE, BESIDE], ids=["two", "three", "beside"])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_sets_cover_each_class_as_promised(labels: LabelSet, coverage: float) -> None:
    """Mean over 150 draws of validation and test: within 1.5 % of the goal for each class, the rare ones too."""
    random = np.random.default_rng(5)
    seen: dict[str, list[float]] = {name: [] for name in conformal.classes(labels)}
    for _ in range(150):
        values, chances = exchangeable(labels, 2200, random)
        fitted = conformal.fit(labels, values[:1200], chances[:1200], coverage, bound_to=BOUND)
        sets = conformal.possible(fitted, labels, chances[1200:])
        truth = conformal._truth(labels, values[1200:])
        for at, name in enumerate(conformal.classes(labels)):
            seen[name].append(float(sets[truth == at, at].mean()))
    for name, shares in seen.items():
        assert np.mean(shares) == pytest.approx(coverage, abs=0.015), name


def test_the_quantile_is_the_rank_of_vovk() -> None:
    """Of 19 images of a class the set at 90 % leaves out what is below the 2nd smallest: floor(20 * 0.1) = 2."""
    chances = np.linspace(0.05, 0.95, 19)
    table = np.stack([1 - chances, chances], 1)
    fitted = conformal.fit(TWO, np.tile([0.0, 1.0], (19, 1)), table, 0.9, bound_to=BOUND)
    assert fitted.least["sick"] == pytest.approx(0.10)
    assert (fitted.n["sick"], fitted.n["normal"]) == (19, 0)
    assert fitted.least["normal"] == 0.0  # no image, no promise: always possible
    few = conformal.fit(TWO, np.tile([0.0, 1.0], (8, 1)), table[:8], 0.9, bound_to=BOUND)
    assert few.least["sick"] == 0.0


def test_two_labels_sets_do_not_depend_on_the_calibrator() -> None:
    values, chances = exchangeable(TWO, 400, np.random.default_rng(1))
    mapped = calibrators.calibrated(ScoreMap(method="beta", a=2.0, b=0.5, c=1.0), TWO, chances)
    sets = [
        conformal.possible(conformal.fit(TWO, values[:200], p[:200], 0.9, bound_to=BOUND), TWO, p[200:])
        for p in (chances, mapped.astype(np.float64))
    ]
    assert (sets[0] == sets[1]).mean() > 0.995  # float32 may tie a pair


def test_refers_unless_the_set_is_the_decided_label_alone() -> None:
    values, chances = exchangeable(TWO, 400, np.random.default_rng(2))
    fitted = conformal.fit(TWO, values, chances, 0.9, bound_to=BOUND).model_copy(
        update={"least": {"normal": 0.4, "sick": 0.3}}
    )
    table = np.array([[0.9, 0.1], [0.65, 0.35], [0.2, 0.8], [0.65, 0.35], [0.75, 0.25]])
    assert conformal.possible(fitted, TWO, table).tolist() == [[1, 0], [1, 1], [0, 1], [1, 1], [1, 0]]
    assert conformal.uncertain(fitted, TWO, table, 0.5).tolist() == [False, True, False, True, False]
    # at a threshold of 0.2 the last is decided sick against its set
    assert conformal.uncertain(fitted, TWO, table, 0.2).tolist() == [False, True, False, True, True]


def test_the_curve_and_its_area_by_hand() -> None:
    """Certain to doubtful: right, wrong, right, wrong. Risks 0, 1/2, 1/3, 1/2: their mean is the area."""
    points, area = conformal.risk_coverage([0, 1, 0, 1], [0.9, 0.8, 0.7, 0.6], list("abcd"))
    assert points == ((0.25, 0.0), (0.5, 0.5), (0.75, pytest.approx(1 / 3, abs=1e-6)), (1.0, 0.5))
    assert area.value == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    _, tied = conformal.risk_coverage([0, 1, 0, 1], [0.9, 0.9, 0.9, 0.9], list("abcd"))
    assert tied.value == pytest.approx(0.5)
    assert conformal.risk_coverage([], [], [])[1].value is None


def test_referring_takes_errors_out() -> None:
    values, chances = exchangeable(TWO, 4000, np.random.default_rng(3))
    fitted = conformal.fit(TWO, values[:2000], chances[:2000], 0.9, bound_to=BOUND)
    patients = [str(i) for i in range(2000)]
    strange = np.zeros(2000, np.bool_)
    strange[:100] = True
    found = conformal.judge(fitted, TWO, values[2000:], chances[2000:], 0.5, patients, strange)
    assert found.unlike is not None
    assert found.unlike.value == 0.05
    assert (found.error.value or 0) < (found.error_all.value or 0) < (found.error_referred.value or 0)
    assert sum(found.sizes.values()) == 2000
    assert found.error.n == 2000 - round((found.referred.value or 0) * 2000)


# ---- prevalence


def shifted(n: int, share: float, random: np.random.Generator) -> np.ndarray:
    """Probabilities calibrated at one half, of images of which `share` have the finding: normals at -1.5 and 1.5 with
    variance 3, whose log likelihood ratio is the value itself."""
    sick = random.random(n) < share
    return 1 / (1 + np.exp(-random.normal(np.where(sick, 1.5, -1.5), np.sqrt(3))))


@pytest.mark.parametrize("share", [0.02, 0.15, 0.5, 0.9])
def test_the_planted_prevalence_is_found(share: float) -> None:
    found = prevalence.estimated(shifted(20_000, share, np.random.default_rng(4)), 0.5)
    assert found.value == pytest.approx(share, abs=0.012)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= share <= found.high


def test_where_saerens_em_ends() -> None:
    score = shifted(500, 0.1, np.random.default_rng(5))
    share = 0.5
    for _ in range(5000):
        share = float(prevalence.adapted(score, 0.5, share).mean())
    assert prevalence.estimated(score, 0.5).value == pytest.approx(share, abs=1e-6)


def test_patients_widen_the_interval() -> None:
    score = np.repeat(shifted(150, 0.2, np.random.default_rng(6)), 4)
    alone = prevalence.estimated(score, 0.5)
    whole = prevalence.estimated(score, 0.5, [i // 4 for i in range(600)])
    assert (whole.high or 0) - (whole.low or 0) > 1.5 * ((alone.high or 0) - (alone.low or 0))


def test_adapting_is_bayes_and_goes_back() -> None:
    score = np.linspace(0, 1, 11)
    there = prevalence.adapted(score, 0.3, 0.05)
    assert there[5] == pytest.approx(0.5 * (0.05 / 0.3) / (0.5 * (0.05 / 0.3) + 0.5 * (0.95 / 0.7)))
    assert prevalence.adapted(there, 0.05, 0.3) == pytest.approx(score)
    for wrong in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="cannot be"):
            prevalence.check(wrong)


def test_predictive_values_by_hand() -> None:
    """Sensitivity .9, specificity .8: at 10 % PPV = .09/(.09+.18) = 1/3, NPV = .72/.73."""
    at = {one.prevalence: one for one in prevalence.predictive_values(90, 10, 40, 160)}
    assert at[0.1].ppv.value == pytest.approx(1 / 3)
    assert at[0.1].npv.value == pytest.approx(0.72 / 0.73)
    measured = [one for one in at.values() if one.measured]
    assert [one.prevalence for one in measured] == [pytest.approx(1 / 3)]
    assert measured[0].ppv.value == pytest.approx(90 / 130)
    assert prevalence.predictive_values(0, 0, 5, 5) == ()
    perfect = prevalence.predictive_values(30, 0, 0, 30)[0]
    assert (perfect.ppv.value, perfect.ppv.high) == (1.0, 1.0)
    assert (perfect.ppv.low or 0) < 0.5
    none = prevalence.predictive_values(0, 30, 0, 30)[0]
    assert none.ppv.value is None


# ---- coverage of intervals


@pytest.mark.parametrize(("sensitivity", "specificity", "share"), [(0.9, 0.9, 0.05), (0.95, 0.8, 0.5)])
def test_predictive_intervals_cover(sensitivity: float, specificity: float, share: float) -> None:
    """3,000 studies of 200 images with the finding and 200 without: 95 % within 1 % and the simulation's own error."""
    random, held = np.random.default_rng(7), [0, 0]
    found, alarms = random.binomial(200, sensitivity, 3000), random.binomial(200, 1 - specificity, 3000)
    up, down = sensitivity * share, (1 - specificity) * (1 - share)
    clear, missed = specificity * (1 - share), (1 - sensitivity) * share
    for hits, false in zip(found.tolist(), alarms.tolist(), strict=True):
        pair = prevalence.predictive_values(hits, 200 - hits, false, 200 - false, (share,))
        one = next(one for one in pair if not one.measured)
        for at, (estimate, true) in enumerate(((one.ppv, up / (up + down)), (one.npv, clear / (clear + missed)))):
            assert estimate.low is not None
            assert estimate.high is not None
            held[at] += estimate.low <= true <= estimate.high
    assert [share / 3000 for share in held] == [pytest.approx(0.95, abs=0.018)] * 2


def clustered(times: int, replicates: int) -> float:
    """Share of the intervals of a mean, 300 patients with three alike images each, that hold the true mean 0."""
    random, held = np.random.default_rng(8), 0
    owners = np.repeat(np.arange(300), 3).tolist()
    for number in range(times):
        values = (random.normal(0, 1, (300, 1)) + random.normal(0, 1, (300, 3))).ravel()
        low, high = intervals.patient_bootstrap(
            lambda w, v: (w @ v) / w.sum(1), values, patients=owners, replicates=replicates, seed=number
        )
        assert low is not None
        assert high is not None
        held += low <= 0 <= high
    return held / times


def test_patient_bootstrap_covers_quickly() -> None:
    assert clustered(200, 200) == pytest.approx(0.95, abs=0.05)


@pytest.mark.slow
def test_patient_bootstrap_covers() -> None:
    assert clustered(6000, 1000) == pytest.approx(0.95, abs=0.01)


def aurc_coverage(times: int) -> float:
    random, held = np.random.default_rng(9), 0
    certain = random.random(1_000_000)
    wrong = random.random(certain.size) < 0.3 * (1 - certain)
    true = float((np.cumsum(wrong[np.argsort(-certain)]) / np.arange(1, certain.size + 1)).mean())
    owners = [str(i) for i in range(600)]
    for _ in range(times):
        certain = random.random(600)
        wrong = random.random(600) < 0.3 * (1 - certain)
        area = conformal.risk_coverage(wrong, certain, owners)[1]
        assert area.low is not None
        assert area.high is not None
        held += area.low <= true <= area.high
    return held / times


@pytest.mark.slow
def test_aurc_intervals_cover() -> None:
    assert aurc_coverage(4000) == pytest.approx(0.95, abs=0.012)


def prevalence_coverage(times: int) -> float:
    random, held = np.random.default_rng(10), 0
    for number in range(times):
        found = prevalence.estimated(shifted(500, 0.12, random), 0.5, seed=number)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.12 <= found.high
    return held / times


@pytest.mark.slow
def test_prevalence_intervals_cover() -> None:
    assert prevalence_coverage(4000) == pytest.approx(0.95, abs=0.012)


# ---- novelty


def test_distances_are_mahalanobis_to_the_nearest_class() -> None:
    random = np.random.default_rng(11)
    spread = np.array([[2.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.5]])
    own = random.integers(0, 2, 4000)
    features = random.normal(size=(4000, 3)) @ spread + np.where(own[:, None] == 1, [4.0, -2.0, 1.0], 0.0)
    distance = novelty.fit(features, own)
    means = np.stack([features[own == kind].mean(0) for kind in (0, 1)])
    within = features - means[own]
    inverse = np.linalg.inv(within.T @ within / 3998)
    wanted = np.sqrt(
        np.min([np.einsum("ni,ij,nj->n", features - mean, inverse, features - mean) for mean in means], axis=0)
    )
    assert distance.kept == 3
    assert distance(features) == pytest.approx(wanted, rel=1e-3)
    again = novelty.read(distance.written(), 2)
    assert (again(features) == distance(features)).all()
    with pytest.raises(ValueError, match="shape"):
        again(features[:, :2])


def test_what_was_not_learned_from_lies_farther() -> None:
    """AUROC of the distance: images off the classes against fresh ones of them."""
    random = np.random.default_rng(12)
    base = random.normal(size=(12, 200))
    own = random.integers(0, 2, 700)
    known = random.normal(size=(700, 12)) @ base + own[:, None] * base[0] * 3
    odd = random.normal(size=(200, 12)) @ base * 2 + 1
    distance = novelty.fit(known[:500], own[:500])
    assert distance.kept == 12
    truth = np.repeat([0.0, 1.0], [200, 200])
    found = intervals.delong(truth, np.concatenate([distance(known[500:]), distance(odd)]))
    assert (found.low or 0) > 0.9


def test_features_that_never_vary_tell_nothing() -> None:
    with pytest.raises(UsageError, match="do not vary"):
        novelty.fit(np.ones((10, 4)), np.repeat([0, 1], 5))
    with pytest.raises(UsageError, match="two of a class"):
        novelty.fit(np.ones((3, 4)), [0, 1, 2])
