"""A study of a network that decides and outlines, and of one for each: every pair is tested in what both answer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import laennec as ln
from laennec import page, pairing, tuning
from laennec.estimates import Estimate
from laennec.findings import MASKS, StudyReport
from laennec.page import comparison_page, comparison_text, study_page, study_text
from laennec.results import Comparison, Epoch, Report
from laennec.summing import _Footing
from laennec.trackers import figures
from test_page import Parsed, made_comparison
from test_segmentation_line import recipe_of, tiny_lungs
from tiny_studies import asked

RUNS: tuple[dict[str, object], ...] = (
    {"name": "both"},
    {"name": "decides", "set": {"task": "classify", "training.monitor": "auroc"}},
    {"name": "outlines", "set": {"task": "segment"}, "reported": {"dice": 0.9012, "precision": 0.9392}},
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, StudyReport]]:
    folder = tmp_path_factory.mktemp("study")
    recipe = folder / "hybrid.toml"
    training = {"batch_size": 8, "threads": 1, "monitor": "dice"}
    phases = [{"epochs": 3, "learning_rate": 1e-2}]
    made = recipe_of(tiny_lungs(folder / "data"), "classify+segment", training=training, phases=phases)
    recipe.write_text(made.to_toml())
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(page, "report_page", lambda *_, **__: "")
        yield folder / "out", ln.study(asked(recipe, *RUNS, reference="both"), folder / "out")


def saved(folder: Path, name: str) -> Report:
    return Report.model_validate_json((folder / name / "reports" / "test" / "report.json").read_text())


def words_of(text: str) -> str:
    return " ".join(" ".join(Parsed(text).words).split())


def at_80_columns(renderable: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80, color_system=None).print(renderable)
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    return text


# --- the study


def test_all_three_stand_on_one_ground(finished: tuple[Path, StudyReport]) -> None:
    out, report = finished
    assert (report.exit_code, [ground.runs for ground in report.grounds]) == (0, [("both", "decides", "outlines")])
    ground, masks = report.grounds[0], saved(out, "outlines").segmentation
    assert masks is not None
    assert (ground.masks["test"], ground.images["test"]) == (masks.images, saved(out, "decides").images)
    assert (sum(ground.masks.values()), sum(ground.images.values())) == (64, 80)
    assert ground.positive == ("sick",)
    able = {run.name: (run.classifies, run.segments) for run in report.runs}
    assert able == {"both": (True, True), "decides": (True, False), "outlines": (False, True)}
    trial = report.by_name["outlines"].trials[0]
    assert (trial.metrics, trial.threshold, trial.roc) == ({}, None, ())
    assert trial.segmentation is not None
    assert trial.segmentation.rows == ()
    assert list(trial.dices) == sorted(row.dice for row in masks.rows if row.dice is not None)
    assert trial.best_epoch == 1 + np.argmax([epoch.val_dice for epoch in trial.history])


def test_each_pair_is_tested_in_what_both_answer(finished: tuple[Path, StudyReport]) -> None:
    out, report = finished
    first = saved(out, "both")
    decides, outlines = report.by_name["decides"].against, report.by_name["outlines"].against
    assert decides is not None
    assert outlines is not None
    tests = pairing.paired(first, saved(out, "decides"))
    assert decides.dice is decides.dice_p is None
    assert (decides.auroc_p, decides.decisions_p) == (tests["auroc_delong"], tests["decisions_mcnemar"])
    tests = pairing.paired(first, saved(out, "outlines"))
    assert outlines.auroc is outlines.auroc_p is outlines.decisions_p is outlines.flipped is None
    assert outlines.dice is not None
    assert outlines.dice.value == pytest.approx(tests["dice_difference"])
    assert outlines.dice_p == outlines.dice_holm == tests["dice_wilcoxon"]
    assert outlines.dice.low is not None
    assert outlines.dice.high is not None
    assert outlines.dice.low <= outlines.dice.value <= outlines.dice.high


def test_the_page_shows_each_run_where_it_has_figures(finished: tuple[Path, StudyReport]) -> None:
    out, report = finished
    text = (out / "study.html").read_text()
    words = words_of(text)
    for told in (
        "How well they outline the lungs",
        "Comment ils tracent les poumons",
        "The lungs are outlined best by",
        "Le meilleur contour des poumons",
        "claimed 0.901",
        "claimed 93.9\u00a0%",
        "annoncé 0,901",
        "all pixels",
        "Wilcoxon’s signed ranks",
        "rangs signés de Wilcoxon",
        "How many images reach which Dice",
        "Lung by lung",
        f"{report.grounds[0].masks['train']} with a mask",
    ):
        assert told in words or told in text, told
    assert "not enough images" not in text
    english = text[: text.index('id="main-fr"')]
    start = english.index('aria-label="How well they outline the lungs"')
    table = english[start : english.index("</table>", start)]
    assert "outlines" in table
    assert "decides" not in table
    ids = [attributes["id"] for _, attributes in Parsed(text).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_study_of_masks_alone_speaks_of_no_finding(finished: tuple[Path, StudyReport]) -> None:
    report = finished[1]
    run = report.by_name["outlines"].model_copy(update={"against": None})
    bare = {"runs": ("outlines",), "labels": (), "positive": (), "positives": 0, "of_labels": {}}
    ground = report.grounds[0].model_copy(update=bare)
    alone = report.model_copy(update={"runs": (run,), "grounds": (ground,), "reference": "outlines"})
    alone = StudyReport.model_validate_json(alone.model_dump_json())
    words = words_of(study_page(alone))
    for absent in (
        "ROC curve",
        "sick",
        "Sensitivity",
        "By label",
        "Confusion",
        "DeLong",
        "Test images by label",
    ):
        assert absent not in words, absent
    assert "Mean Dice" in words
    text = at_80_columns(study_text(alone))
    assert "How well they decide" not in text
    assert "Dice" in text


def test_the_terminal_tells_both_tables(finished: tuple[Path, StudyReport]) -> None:
    text = at_80_columns(study_text(finished[1]))
    assert "claimed 0.901" in text
    assert "p (Wilcoxon)" in text
    assert "p (DeLong)" in text
    assert "HD95 (px)" in text
    assert "nan" not in text


# --- data that is shared, and data that is not

FOOT: dict[str, Any] = {"collection": "c", "split": "s", "positive": ("sick",), "masks": "m", "runs": []}


@pytest.mark.parametrize(
    ("one", "other", "joined", "same"),
    [
        ({}, {"positive": None}, True, True),
        ({"masks": None}, {"positive": None}, True, True),
        ({}, {"masks": "n"}, False, False),
        ({"masks": None}, {"positive": ("normal",), "masks": None}, False, False),
        ({}, {"split": "t", "positive": None}, False, True),
        ({}, {"collection": "d", "positive": None}, False, False),
    ],
)
def test_runs_share_a_ground_where_what_both_answer_has_one_truth(
    one: dict[str, Any], other: dict[str, Any], joined: bool, same: bool
) -> None:
    a, b = _Footing(**FOOT | one), _Footing(**FOOT | other)
    assert (a.joins(b), b.joins(a), a.same_data(b)) == (joined, joined, same)


def test_a_ground_of_masks_learns_its_finding_and_keeps_others_out() -> None:
    ground = _Footing(**FOOT | {"positive": None, "runs": ["a"]})
    ground.join(_Footing(**FOOT | {"masks": None, "runs": ["b"]}))
    assert (ground.positive, ground.runs) == (("sick",), ["a", "b"])
    assert not ground.joins(_Footing(**FOOT | {"positive": ("normal",)}))


# --- the tests against the reference


def of_dices(report: Report, dices: list[float | None]) -> Report:
    assert report.segmentation is not None
    row = report.segmentation.rows[0]
    rows = tuple(row.model_copy(update={"id": f"i{n}", "dice": dice}) for n, dice in enumerate(dices))
    return report.model_copy(update={"segmentation": report.segmentation.model_copy(update={"rows": rows})})


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 30))
def test_a_difference_of_dice_turns_its_sign_with_the_reference(
    finished: tuple[Path, StudyReport], seed: int, n: int
) -> None:
    random, report = np.random.default_rng(seed), saved(finished[0], "outlines")
    a, b = (of_dices(report, [float(d) for d in random.random(n)]) for _ in range(2))
    (there,), (back,) = pairing.against([a], [[b]]), pairing.against([b], [[a]])
    assert there is not None
    assert back is not None
    assert there.dice is not None
    assert back.dice is not None
    assert there.dice.value == pytest.approx(-(back.dice.value or 0))
    assert there.dice.low == pytest.approx(-(back.dice.high or 0))
    assert there.dice_p == pytest.approx(back.dice_p)


def test_seeds_are_averaged_image_by_image_and_p_values_corrected(finished: tuple[Path, StudyReport]) -> None:
    out = finished[0]
    report = saved(out, "outlines")
    reference = [of_dices(report, [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, None]) for _ in range(2)]
    better = [of_dices(report, [0.9, 0.8, 0.7, 0.6, 0.55, 0.52]), of_dices(report, [0.5, 0.6, 0.7, 0.8, 0.85, 0.9])]
    same = [of_dices(report, [0.5] * 7)] * 2
    found = pairing.against(reference, [better, same, [saved(out, "decides")] * 2])
    assert found[2] is None
    first, second = found[0], found[1]
    assert first is not None
    assert second is not None
    assert first.dice == first.dice.model_copy(update={"value": pytest.approx(0.2016667), "n": 6})  # type: ignore[union-attr]
    assert first.dice_p == 2 / 2**6  # all six are above
    assert first.dice_holm == 2 * (first.dice_p or 0)
    assert (second.dice_p, second.dice_holm) == (1.0, 1.0)


# --- the comparison


def compared(*kinds: str) -> Comparison:
    """Rows that decide, outline, or both, in the order given."""
    whole = made_comparison()
    dice = {"dice": 0.96, "iou": 0.92, "hd95": 4.2}
    masks = {name: Estimate(value=value, low=0.9 * value, high=value, n=20) for name, value in dice.items()}
    decisions = whole.rows[0].metrics
    tests = {"dice_difference": -0.0123, "dice_wilcoxon": 0.0301}
    rows = []
    for number, kind in enumerate(kinds):
        metrics = (decisions if kind != "masks" else {}) | (masks if kind != "decisions" else {})
        against = {"masks": tests, "both": {"flipped": 0.02} | tests, "decisions": {"flipped": 0.02}}[kind]
        changed = {"metrics": metrics, "against_first": against if number else {}, "name": f"{kind}{number}"}
        changed |= {"threshold": None, "accuracy_per_watt_hour": None} if kind == "masks" else {}
        rows.append(whole.rows[0].model_copy(update=changed))
    return whole.model_copy(update={"rows": tuple(rows)})


def test_a_comparison_of_masks_speaks_of_masks_alone() -> None:
    found = compared("masks", "masks")
    text = comparison_page(found)
    words = words_of(text)
    for absent in ("AUROC", "Accuracy", "Decisions", "Threshold", "DeLong", "How well they decide"):
        assert absent not in words, absent
    for told in ("Dice against time", "Dice et durée", "Dice against energy", "−0.0123", "0.030", "4.2 px"):
        assert told in words, told
    terminal = at_80_columns(comparison_text(found))
    assert "AUROC" not in terminal
    assert "Accuracy" not in terminal
    assert "−0.0123" in terminal


def test_a_comparison_of_both_kinds_shows_each_in_its_table() -> None:
    found = compared("both", "decisions", "masks")
    text = comparison_page(found)
    for label, own, other in (
        ("How well they decide", "decisions1", "masks2"),
        ("How well they outline the lungs", "masks2", "decisions1"),
    ):
        start = text.index(f'aria-label="{label}"')
        table = text[start : text.index("</table>", start)]
        assert "both0" in table
        assert own in table
        assert other not in table
    words = words_of(text)
    for told in ("AUROC against time", "Dice against time", "Dice, p (Wilcoxon)", "Decided otherwise"):
        assert told in words, told
    ids = [attributes["id"] for _, attributes in Parsed(text).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert "How well they outline" in at_80_columns(comparison_text(found))


# --- searches and trackers


def epoch(**figures: float | None) -> Epoch:
    known: dict[str, Any] = {"val_auroc": None, "val_accuracy": None} | figures
    return Epoch(phase="a", epoch=1, learning_rate=1.0, train_loss=1.0, val_loss=0.7, seconds=1.0, best=True, **known)


@pytest.mark.parametrize(
    ("task", "monitor", "told"),
    [
        ("segment", "dice", [0.9]),
        ("segment", "loss", [0.9]),
        ("classify+segment", "dice", [0.9]),
        ("classify+segment", "auroc", [0.8]),
        ("classify+segment", "loss", [0.8]),
        ("classify", "auroc", [0.8]),
    ],
)
def test_a_search_follows_the_figure_of_its_task(
    task: str, monitor: str, told: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(tmp_path, task, training={"monitor": monitor})
    seen: list[float] = []
    trial = SimpleNamespace(report=lambda value, _: seen.append(value), should_prune=lambda: False)
    monkeypatch.setattr(
        tuning, "train", lambda *_, told: [told(epoch(val_auroc=0.8, val_dice=0.9), 1), told(epoch(), 2)]
    )
    tuning._attempt(recipe, {}, tmp_path, trial)
    assert seen == [*told, -0.7]


def test_a_finished_trial_counts_by_the_masks_it_hands_out(finished: tuple[Path, StudyReport]) -> None:
    out = finished[0]
    for name in ("both", "outlines"):  # both monitor the Dice
        bundle = ln.open_bundle(out / name)
        assert bundle.card.outline is not None
        assert tuning._figure(bundle) == bundle.card.outline.dice
    decides = ln.open_bundle(out / "decides")
    assert tuning._figure(decides) == decides.card.training.validation["auroc"]


def test_trackers_are_told_of_the_masks(finished: tuple[Path, StudyReport]) -> None:
    report = saved(finished[0], "outlines")
    assert report.segmentation is not None
    told = figures(report)
    assert told["test/dice"] == report.segmentation.mean["dice"].value
    assert told["test/hd95_high"] == report.segmentation.mean["hd95"].high
    assert set(finished[1].by_name["outlines"].trials[0].figures) <= set(MASKS)
