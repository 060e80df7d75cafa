"""Decisions, thresholds and figures: a case small enough for a hand, scikit-learn, and properties."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from laennec.decisions import choose_threshold, decide, follow_threshold, truth_of
from laennec.errors import LaennecError, UsageError
from laennec.labels import LabelSet
from laennec.metrics import Judgement, judge

NAN = float("nan")
TWO = LabelSet(names=("normal", "pneumonia"), positive=("pneumonia",))
THREE = LabelSet(names=("normal", "bacterial", "viral"), positive=("bacterial", "viral"))
MANY = LabelSet(names=("opacity", "effusion", "mass"), exclusive=False, positive=("effusion",))


def binary(truth: np.ndarray, score: np.ndarray, threshold: float = 0.5, **options: object) -> Judgement:
    n = len(truth)
    named = {"patients": [f"p{i}" for i in range(n)], "ids": [f"i{i}" for i in range(n)]} | options
    return judge(TWO, np.stack([1 - truth, truth], 1), np.stack([1 - score, score], 1), threshold=threshold, **named)


def test_decide() -> None:
    probabilities = [[0.45, 0.30, 0.25], [0.45, 0.25, 0.30], [0.9, 0.05, 0.05]]
    score, positive, decided = decide(THREE, probabilities, 0.5)
    assert score == pytest.approx([0.55, 0.55, 0.1])
    assert positive.tolist() == [True, True, False]
    assert decided.tolist() == [1, 2, 0]  # the likeliest single label, normal, would contradict the threshold
    _, positive, decided = decide(MANY, [[0.9, 0.2, 0.9], [0.1, 0.6, 0.1]], 0.6)
    assert positive.tolist() == [False, True]
    assert decided.tolist() == [-1, 1]
    for bad in ([[0.1, 0.2]], [[NAN, 0.5, 0.5]], [[1.2, 0.0, 0.0]]):
        with pytest.raises(ValueError, match="probabilities"):
            decide(THREE, bad, 0.5)


@given(arrays(float, (12, 3), elements=st.floats(0.01, 1)), st.floats(0, 1))
def test_decisions_never_contradict_the_threshold(raw: np.ndarray, threshold: float) -> None:
    score, positive, decided = decide(THREE, raw / raw.sum(axis=1, keepdims=True), threshold)
    assert (positive == (score >= threshold)).all()
    assert (np.isin(decided, (1, 2)) == positive).all()


def test_truth_of() -> None:
    values = [[0, 1, 0], [1, 0, 0], [1, NAN, NAN], [NAN, 0, 0], [NAN, NAN, 0], [0, NAN, 1], [NAN, NAN, NAN]]
    assert truth_of(THREE, values).tolist() == pytest.approx([1, 0, 0, 0, NAN, 1, NAN], nan_ok=True)
    assert truth_of(MANY, [[1, 0, 1], [0, 1, 0], [1, NAN, 1]]).tolist() == pytest.approx([0, 1, NAN], nan_ok=True)
    with pytest.raises(ValueError, match="0, 1 or NaN"):
        truth_of(TWO, [[0.5, 0.5]])


def test_threshold_by_hand() -> None:
    truth = [0, 0, 1, 0, 1, 1]
    score = [0.1, 0.2, 0.3, 0.4, 0.7, 0.9]
    # Youden 2/3 both above .2 (3 of 3 found, 2 of 3 cleared) and above .4 (2 of 3, 3 of 3): the second gap is wider.
    assert choose_threshold(truth, score, "balanced") == (0.55, 2 / 3, 1.0)
    assert choose_threshold(truth, score, "rule_out") == (0.25, 1.0, 2 / 3)
    assert choose_threshold(truth, score, "rule_in") == (0.55, 2 / 3, 1.0)
    assert choose_threshold([0, 1, NAN], [0.2, 0.6, 0.5], "balanced") == (0.4, 1.0, 1.0)


def test_threshold_edges() -> None:
    with pytest.raises(UsageError, match="with the finding and without"):
        choose_threshold([1, 1], [0.2, 0.4], "balanced")
    with pytest.raises(UsageError, match="specificity"):
        choose_threshold([1, 0], [1.0, 1.0], "rule_in")
    with pytest.raises(ValueError, match="rule"):
        choose_threshold([1, 0], [1.0, 0.0], "best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scores"):
        choose_threshold([1, 0], [1.5, 0.0], "balanced")
    assert choose_threshold([1, 0], [0.0, 0.0], "rule_out") == (0.0, 1.0, 0.0)
    close = np.nextafter(0.5, 1)
    threshold, sensitivity, specificity = choose_threshold([0, 1], [0.5, close], "balanced")
    assert (threshold, sensitivity, specificity) == (close, 1.0, 1.0)


samples = st.integers(4, 60).flatmap(
    lambda n: st.tuples(arrays(float, n, elements=st.sampled_from([0.0, 1.0])),
                        arrays(float, n, elements=st.integers(0, 99).map(lambda v: v / 100)))
).filter(lambda case: 0 < case[0].sum() < len(case[0]))  # fmt: skip


@settings(max_examples=80)
@given(samples, st.sampled_from(["balanced", "rule_out", "rule_in"]))
def test_threshold_keeps_its_promise(case: tuple[np.ndarray, np.ndarray], rule: str) -> None:
    truth, score = case
    threshold, sensitivity, specificity = choose_threshold(truth, score, rule)
    called = score >= threshold
    assert sensitivity == pytest.approx(called[truth == 1].mean())
    assert specificity == pytest.approx((~called)[truth == 0].mean())
    assert json.loads(json.dumps(threshold)) == threshold
    assert threshold == round(threshold, 6)
    assert threshold == 0 or threshold not in score
    fpr, tpr, _ = sk.roc_curve(truth, score, drop_intermediate=False)
    if rule == "balanced":
        assert sensitivity + specificity == pytest.approx((tpr - fpr).max() + 1)
    elif rule == "rule_out":
        assert sensitivity >= 0.95
        assert specificity == pytest.approx((1 - fpr)[tpr >= 0.95].max())
    else:
        assert specificity >= 0.95
        assert sensitivity == pytest.approx(tpr[(1 - fpr) >= 0.95].max())


def test_every_figure_by_hand() -> None:
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 1.0])
    score = np.array([0.9, 0.8, 0.3, 0.1, 0.2, 0.6, 0.05, 0.7])
    found = binary(truth, score)
    value = {name: estimate.value for name, estimate in found.metrics.items()}
    # 3 found, 1 missed, 1 alarm, 3 cleared.
    assert found.confusion == ((3, 1), (1, 3))
    for name in ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1_macro"):
        assert value[name] == pytest.approx(0.75), name
    assert value["auroc"] == pytest.approx(15 / 16)  # of 16 pairs only (.3, .6) is the wrong way round
    assert value["auprc"] == pytest.approx((1 + 1 + 1 + 4 / 5) / 4)
    squares = [0.1, 0.2, 0.7, 0.1, 0.2, 0.6, 0.05, 0.3]
    assert value["brier"] == pytest.approx(sum(s * s for s in squares) / 8)
    # .6 and .7 fall in bins 9 and 10, .8 in 12, .9 in 13, .3 in 4, .2 in 3 (or 2), .1 in 1, .05 in 0: one image each.
    assert value["ece"] == pytest.approx(sum(squares) / 8)
    assert [bin_.n for bin_ in found.reliability] == [1] * 8
    assert [m.id for m in found.mistakes] == ["i2", "i5"]
    assert [(m.truth, m.decided) for m in found.mistakes] == [("pneumonia", "normal"), ("normal", "pneumonia")]
    assert [m.certainty for m in found.mistakes] == pytest.approx([0.4, 0.2])
    assert (found.images, found.patients, found.positives) == (8, 8, 4)
    assert found.scores["i0"] == 0.9
    assert found.truths["i3"] == 0
    assert found.roc[0] == (0.0, 0.0)
    assert found.roc[-1] == (1.0, 1.0)
    assert found.metrics["sensitivity"].n == 4
    assert found.metrics["ppv"].n == 4
    normal = found.per_class[0]
    assert (normal.label, normal.n) == ("normal", 4)
    assert normal.auroc.value == pytest.approx(15 / 16)
    assert set(value) == {
        "auroc", "auprc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1_macro",
        "ece", "brier",
    }  # fmt: skip


def test_against_scikit_learn() -> None:
    random = np.random.default_rng(0)
    named = random.integers(0, 3, 300)
    raw = random.random((300, 3)) + 1.2 * np.eye(3)[named]
    chances = raw / raw.sum(axis=1, keepdims=True)
    patients = [f"p{i // 3}" for i in range(300)]
    found = judge(THREE, np.eye(3)[named], chances, patients, [str(i) for i in range(300)], 0.6)
    score, _, decided = decide(THREE, chances, 0.6)
    truth = named > 0
    assert found.patients == 100
    assert np.array(found.confusion).tolist() == sk.confusion_matrix(named, decided).tolist()
    assert found.metrics["auroc"].value == pytest.approx(sk.roc_auc_score(truth, score))
    assert found.metrics["auprc"].value == pytest.approx(sk.average_precision_score(truth, score))
    assert found.metrics["accuracy"].value == pytest.approx(sk.accuracy_score(named, decided))
    assert found.metrics["balanced_accuracy"].value == pytest.approx(sk.balanced_accuracy_score(named, decided))
    assert found.metrics["f1_macro"].value == pytest.approx(sk.f1_score(named, decided, average="macro"))
    assert found.metrics["brier"].value == pytest.approx(sk.brier_score_loss(truth, score))
    precision, recall, f1, n = sk.precision_recall_fscore_support(named, decided)
    for j, figures in enumerate(found.per_class):
        assert figures.precision.value == pytest.approx(precision[j])
        assert figures.recall.value == pytest.approx(recall[j])
        assert figures.f1.value == pytest.approx(f1[j])
        assert figures.n == n[j]
        assert figures.auroc.value == pytest.approx(sk.roc_auc_score(named == j, chances[:, j]))
    assert len(found.mistakes) == (named != decided).sum()
    assert all(0 <= m.certainty <= 1 for m in found.mistakes)


def test_bootstrapped_average_precision_weighs_like_scikit_learn() -> None:
    from laennec.metrics import _weighted_ap

    random = np.random.default_rng(1)
    truth, score = (random.random(80) < 0.4).astype(float), np.round(random.random(80), 1)
    weights = random.integers(0, 4, (5, 80)).astype(float)
    expected = [sk.average_precision_score(truth, score, sample_weight=row) for row in weights]
    assert _weighted_ap(weights, truth, score) == pytest.approx(expected)


def test_unknown_labels_are_left_out_and_counted() -> None:
    truth = np.array([1, 0, NAN, 1, 0])
    found = binary(truth, np.array([0.9, 0.2, 0.99, 0.4, 0.1]))
    assert (found.images, found.positives, len(found.truths), len(found.scores)) == (5, 2, 4, 5)
    assert all(found.metrics[name].n == 4 for name in ("auroc", "auprc", "accuracy", "brier", "ece", "f1_macro"))
    assert np.sum(found.confusion) == 4
    assert [m.id for m in found.mistakes] == ["i3"]


def test_labels_that_hold_together() -> None:
    values = np.array([[1, 1, 0], [0, 0, 1], [1, 0, NAN], [0, 1, 0]], dtype=float)
    chances = np.array([[0.9, 0.8, 0.1], [0.2, 0.7, 0.8], [0.6, 0.1, 0.5], [0.1, 0.3, 0.2]])
    found = judge(MANY, values, chances, list("abcd"), list("wxyz"), 0.5)
    assert found.confusion == ()
    assert found.metrics["accuracy"].value == 0.5
    assert found.metrics["sensitivity"].value == 0.5
    assert found.metrics["balanced_accuracy"].value == 0.5
    assert [c.recall.value for c in found.per_class] == [1.0, 0.5, 1.0]
    assert found.per_class[2].auroc.n == 3
    assert {(m.id, m.truth, m.decided) for m in found.mistakes} == {("x", "", "effusion"), ("z", "effusion", "")}


@pytest.mark.parametrize("truth", [[], [1.0, 1.0], [0.0, 0.0], [NAN, NAN]])
def test_one_class_or_nothing(truth: list[float]) -> None:
    found = binary(np.array(truth, dtype=float), np.array([0.9, 0.2])[: len(truth)])
    assert found.metrics["auroc"].value is None
    assert found.roc == ()
    assert found.images == len(truth)
    json.dumps({name: e.model_dump() for name, e in found.metrics.items()}, allow_nan=False)


def test_a_broken_model_is_named() -> None:
    with pytest.raises(LaennecError, match="no probability for 1 of 2"):
        binary(np.array([1.0, 0.0]), np.array([NAN, 0.5]))
    with pytest.raises(ValueError, match="one row per image"):
        binary(np.array([1.0, 0.0]), np.array([0.1, 0.5]), ids=["a"])


@settings(max_examples=25, deadline=None)
@given(samples, st.floats(0, 1))
def test_judgement_is_consistent(case: tuple[np.ndarray, np.ndarray], threshold: float) -> None:
    truth, score = case
    found = binary(truth, score, threshold)
    assert np.sum(found.confusion) == len(truth)
    assert len(found.mistakes) == len(truth) - np.trace(np.array(found.confusion))
    for estimate in found.metrics.values():
        if estimate.value is not None and estimate.low is not None:
            assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1 + 1e-9
    json.dumps({name: e.model_dump() for name, e in found.metrics.items()}, allow_nan=False)


def test_curves_are_thinned_without_losing_shape() -> None:
    random = np.random.default_rng(0)
    truth = (random.random(6_000) < 0.5).astype(float)
    score = 1 / (1 + np.exp(-(random.normal(size=6_000) + 1.2 * truth)))
    found = binary(truth, score)
    fpr, tpr, _ = sk.roc_curve(truth, score)
    assert len(fpr) > 500
    assert len(found.roc) <= 400
    assert len(found.precision_recall) <= 400
    x, y = np.array(found.roc).T
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) >= 0).all()
    # Seen along the diagonal the curve is a function, its vertical steps included.
    assert np.abs(np.interp(fpr + tpr, x + y, y - x) - (tpr - fpr)).max() < 0.003
    assert np.trapezoid(y, x) == pytest.approx(sk.roc_auc_score(truth, score), abs=1e-3)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), st.floats(0, 1))
def test_a_followed_threshold_flips_as_few_decisions_as_any(made: list[tuple[float, bool]], near: float) -> None:
    """No threshold at all agrees with the given decisions on more images."""
    scores, wanted = np.array([s for s, _ in made]), np.array([w for _, w in made])
    threshold = follow_threshold(wanted, scores, near)
    assert 0 <= threshold <= 1
    flips = int(((scores >= threshold) != wanted).sum())
    reachable = [t for t in np.concatenate([[0.0], np.unique(scores), np.nextafter(np.unique(scores), 2)]) if t <= 1]
    assert flips == min(int(((scores >= t) != wanted).sum()) for t in reachable)


def test_a_followed_threshold_stays_where_it_can_and_else_moves_to_the_nearest_better_gap() -> None:
    assert follow_threshold([False, False, True], [0.1, 0.2, 0.8], 0.3) == 0.3
    assert follow_threshold([False, False, True], [0.1, 0.2, 0.8], 0.15) == 0.5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0, 1))
def test_the_same_model_keeps_the_same_threshold(scores: list[float], threshold: float) -> None:
    assert follow_threshold(np.array(scores) >= threshold, scores, threshold) == threshold
