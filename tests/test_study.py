"""A study run: it goes on where it was cut, tells what failed, and its tests are the saved scores'."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import laennec as ln
from laennec import comparison, intervals, page, studying
from laennec.cli import run
from laennec.errors import StorageFull
from laennec.findings import StudyReport
from laennec.page import study_page, study_text
from laennec.results import Report
from laennec.studies import Study
from tiny_studies import NARROW, WIDE, asked, recipe_file


@pytest.fixture(scope="module", autouse=True)
def no_single_reports() -> Iterator[None]:
    """The pages of single runs have tests of their own; here they would take most of the time."""
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(page, "report_page", lambda *_, **__: "")
        yield


@pytest.fixture
def recipe(pictures: Path, tmp_path: Path) -> Path:
    return recipe_file(tmp_path, pictures)


def export_of(name: str) -> dict[str, object]:
    how = {"backend": "onnxruntime", "precision": "int8", "auroc_lost": 1.0, "flipped": 1.0}
    return {"name": f"{name}-int8", "recipe": "", "export": how, "of": name}


@pytest.fixture(scope="module")
def finished(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path, StudyReport]:
    """Three runs and an export; one run's teacher is another, one cannot work."""
    folder = tmp_path_factory.mktemp("study")
    taught = {"name": "taught", "set": {"teacher.bundle": "{narrow}"}}
    lost = {"name": "lost", "set": {"data.root": str(folder / "nowhere")}}
    pupil = {"name": "pupil", "set": {"teacher.bundle": "{lost}"}}
    study = asked(recipe_file(folder, pictures), NARROW, WIDE, taught, export_of("narrow"), lost, pupil)
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(comparison, "_ROUNDS", 4)
        quick.setattr(comparison, "_BATCH_ROUNDS", 1)
        report = ln.study(study, folder / "out")
    return study, folder / "out", report


def saved(folder: Path, name: str) -> Report:
    return Report.model_validate_json((folder / name / "reports" / "test" / "report.json").read_text())


def test_the_failed_are_told_and_the_rest_is_done(finished: tuple[Study, Path, StudyReport]) -> None:
    _, out, report = finished
    done = {run.name: len(run.trials) for run in report.runs}
    assert done == {"narrow": 1, "wide": 1, "taught": 1, "narrow-int8": 1, "lost": 0, "pupil": 0}
    reasons = {failure.folder: failure.reason for failure in report.failures}
    assert set(reasons) == {"lost", "pupil"}
    assert "nowhere" in reasons["lost"]
    assert reasons["pupil"] == "it needs 'lost', which failed"
    assert (report.exit_code, report.pending) == (3, ())
    assert StudyReport.model_validate_json((out / "study.json").read_text()) == report
    taught = report.by_name["taught"].trials[0]
    assert taught.history
    from laennec.bundle import open_bundle

    assert open_bundle(out / "taught").card.training.teacher == open_bundle(out / "narrow").digest
    assert report.by_name["narrow-int8"].precision == "int8"
    assert report.by_name["narrow-int8"].speed is not None


def test_a_finished_study_trains_and_judges_nothing_again(
    finished: tuple[Study, Path, StudyReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, out, first = finished
    from laennec import evaluation, fit

    monkeypatch.setattr(fit.Fit, "run", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: pytest.fail("read the test part again"))
    monkeypatch.setattr(studying, "compare", lambda *_, **__: pytest.fail("timed again"))
    again = ln.study(study, out)
    assert again.model_copy(update={"made": first.made}) == first


def test_a_study_that_was_cut_goes_on(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut between two runs, then its data moves: what is finished counts, the rest is trained."""
    study, out = asked(recipe, NARROW, WIDE), tmp_path / "out"
    real, trained = studying.train, []

    def cut(recipe: ln.Recipe, folder: Path, **how: Any) -> ln.Bundle:
        trained.append(folder.name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(recipe, folder, **how)

    monkeypatch.setattr(studying, "train", cut)
    with pytest.raises(KeyboardInterrupt):
        ln.study(study, out)
    moved = tmp_path / "moved"
    shutil.copytree(Path(re.search(r'root = "(.*)"', recipe.read_text())[1]), moved)
    report = ln.study(study, out, root=moved)
    assert trained == ["narrow", "wide", "wide"]
    assert report.exit_code == 0


def test_a_full_disk_stops_the_study(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageFull("no space left", "free some")

    monkeypatch.setattr(studying, "train", full)
    with pytest.raises(StorageFull):
        ln.study(asked(recipe, NARROW, WIDE), tmp_path / "out")


def test_the_report_under_way_tells_what_is_left_and_stops_nothing(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def drawn(report: StudyReport, language: str) -> str:
        seen.append(study_page(report))
        if report.pending:
            raise RuntimeError("no font")
        return seen[-1]

    monkeypatch.setattr(studying, "_WRITTEN_EVERY", 0.0)
    monkeypatch.setattr(page, "study_page", drawn)
    report = ln.study(asked(recipe, NARROW, WIDE), tmp_path / "out")
    assert (report.exit_code, len(seen)) == (0, 2)
    assert "Still to run: wide." in seen[0]
    assert "Still to run" not in seen[1]


def test_a_fault_of_ours_in_one_run_does_not_stop_the_others(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(studying, "train", broken)
    report = ln.study(asked(recipe, NARROW, WIDE), tmp_path / "out")
    assert [f.reason for f in report.failures] == ["RuntimeError: out of memory"] * 2
    assert report.exit_code == 1
    assert "No run has ended" in (tmp_path / "out" / "study.html").read_text()


def test_paired_tests_are_those_of_the_saved_scores(finished: tuple[Study, Path, StudyReport]) -> None:
    _, out, report = finished
    first = saved(out, "narrow")
    ids = sorted(first.scores)
    truth = np.array([first.truths[i] for i in ids])
    a = np.array([first.scores[i] for i in ids])
    raw = {}
    for name in ("wide", "taught", "narrow-int8"):
        other = saved(out, name)
        b = np.array([other.scores[i] for i in ids])
        against = report.by_name[name].against
        assert against is not None
        raw[name] = intervals.delong_paired(truth, a, b)
        assert against.auroc_p == raw[name]
        assert against.auroc.value == pytest.approx(other.metrics["auroc"].value - first.metrics["auroc"].value)
        right = [(s >= r.operating_point.threshold) == truth for s, r in ((a, first), (b, other))]
        assert against.decisions_p == intervals.mcnemar(*right)
    assert report.by_name["narrow"].against is None
    corrected = dict(zip(raw, intervals.holm(list(raw.values())), strict=True))
    assert {name: report.by_name[name].against.auroc_holm for name in raw} == corrected


def test_seeds_give_mean_and_spread(recipe: Path, tmp_path: Path) -> None:
    study = asked(recipe, NARROW, WIDE, seeds=[0, 1])
    report = ln.study(study, tmp_path / "out")
    narrow = report.by_name["narrow"]
    values = [saved(tmp_path / "out", f"narrow-seed{seed}").metrics["auroc"].value for seed in (0, 1)]
    assert values[0] != values[1]
    assert narrow.figure("auroc").value == pytest.approx(np.mean(values))
    assert narrow.spread("auroc") == pytest.approx(np.std(values, ddof=1))
    assert narrow.figure("auroc").low is None
    scores = [
        np.array([[saved(tmp_path / "out", f"{name}-seed{s}").scores[i] for i in ids] for s in (0, 1)])
        for name in ("narrow", "wide")
        for ids in [sorted(saved(tmp_path / "out", "narrow-seed0").scores)]
    ]
    first = saved(tmp_path / "out", "narrow-seed0")
    truth = [first.truths[i] for i in sorted(first.scores)]
    assert report.by_name["wide"].against.auroc_p == intervals.delong_paired(truth, *scores)
    text = study_page(report)
    assert "Seed by seed" in text
    assert "2 seeds" in text


def test_runs_on_other_data_are_shown_apart_untested(recipe: Path, tmp_path: Path) -> None:
    study = asked(
        recipe,
        NARROW,
        {"name": "other-split", "set": {"split.seed": 1}},
        {"name": "other-finding", "set": {"data.positive": ["normal"]}},
    )
    report = ln.study(study, tmp_path / "out")
    told = [(*g.runs, g.other) for g in report.grounds]
    assert told == [("narrow", ""), ("other-split", "split"), ("other-finding", "data")]
    assert all(run.against is None for run in report.runs)
    text = study_page(report)
    assert "no test against narrow would be sound" in text
    assert "answer another question" in text
    assert "aucun test contre narrow" in text


def test_the_page_tells_every_run_in_both_languages(finished: tuple[Study, Path, StudyReport]) -> None:
    _, out, report = finished
    text = (out / "study.html").read_text()
    from test_page import Parsed

    parsed = Parsed(text)
    words = " ".join(" ".join(parsed.words).split())
    for one in report.runs:
        assert words.count(one.name) >= 4, one.name
    for part in (
        "Does width help?",
        "Plus large ?",
        "Twelve first.",
        "Douze d’abord.",
        "claimed 94.0\u00a0%",
        "annoncé 94,0\u00a0%",
        "Holm’s method",
        "la méthode de Holm",
        "Runs that did not end",
        "Essais qui n’ont pas abouti",
        "Each run was trained once",
        "Research use only",
        "model.widths",
    ):
        assert part in words or part in text, part
    assert not parsed.all("script")
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert not any("style" in attributes for _, attributes in parsed.tags)
    assert "/nowhere" not in [d.values.get("lost") for d in report.differences]


def test_nothing_from_a_study_file_becomes_markup(finished: tuple[Study, Path, StudyReport]) -> None:
    _, _, report = finished
    evil = "<script>alert(1)</script>"
    hostile = report.model_copy(
        update={
            "title": evil,
            "question": evil,
            "runs": tuple(run.model_copy(update={"note": evil, "description": evil}) for run in report.runs),
        }
    )
    assert "<script" not in study_page(hostile, "fr")


def test_the_terminal_at_80_columns(finished: tuple[Study, Path, StudyReport]) -> None:
    stream = io.StringIO()
    Console(file=stream, width=80, color_system=None).print(study_text(finished[2]))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "Research use only" in text
    assert "Did not end: lost" in text
    assert "claimed 0.940" in text


def test_study_on_the_command_line(
    finished: tuple[Study, Path, StudyReport], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = finished
    file = tmp_path / "s.toml"
    recipe = out.parent / "tiny.toml"
    file.write_text(
        f'title = "T"\nquestion = "Q?"\n[[runs]]\nname = "a"\nrecipe = {json.dumps(str(recipe))}\n'
        f'[[runs]]\nname = "b"\nrecipe = {json.dumps(str(recipe))}\nset = {{"data.root" = "nowhere"}}\n'
    )
    assert run(["study", str(file), "--out", str(tmp_path / "out"), "--lang", "fr", "--json"]) == 3
    said = capsys.readouterr()
    assert json.loads(said.out)["failures"][0]["run"] == "b"
    assert "failed: b:" in said.err
    assert '<html lang="fr">' in (tmp_path / "out" / "study.html").read_text()
    assert run(["study", str(file), "--lang", "de"]) == 2
