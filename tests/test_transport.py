"""Leave-one-source-out: what is trained without a source is judged on it, and held against what learned from it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from laennec import intervals, transport
from laennec.cli import run
from laennec.errors import UsageError
from laennec.estimates import Estimate
from laennec.results import Report
from laennec.studies import Study

RECIPE = """
[data]
name = "table"
root = {root}
positive = ["sick"]
[split]
validation = 0.3
test = 0.3
[preprocess]
size = 32
[model]
name = "cnn"
widths = [8, 16]
[[phases]]
epochs = 4
learning_rate = 1e-2
[training]
batch_size = 16
threads = 1
"""


@pytest.fixture
def recipe(pictures: Path, tmp_path: Path) -> Path:
    """The tiny pictures as a table, patients in turn from two hospitals."""
    with (tmp_path / "images.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["path", "label", "patient", "source"])
        for path in sorted(pictures.rglob("*.png")):
            number = int(path.name[1:4])
            rows.writerow([path, path.parent.name, f"p{number}", ("St. Anne", "St Anne")[number // 2 % 2]])
    file = tmp_path / "tiny.toml"
    file.write_text(RECIPE.format(root=json.dumps(str(tmp_path / "images.csv"))))
    return file


@pytest.mark.slow
def test_each_source_is_judged_by_a_model_that_never_saw_it(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["leave-out", str(recipe), "--out", str(out), "--json"]) == 0
    audit = json.loads(capsys.readouterr().out)
    (check,) = audit["checks"]
    alone, paired = (table["rows"] for table in check["tables"])
    assert [row[:3] for row in alone] == [["St Anne", 60, 30], ["St. Anne", 60, 30]]
    for row, beside in zip(alone, paired, strict=True):
        auroc, (shared, learned, left, gap) = row[3], beside[1:5]
        assert auroc["n"] == 60
        assert auroc["value"] > 0.6
        assert 0 < shared == learned["n"] == left["n"] < 60
        assert gap["value"] == pytest.approx(left["value"] - learned["value"])
    assert {path.name for path in out.iterdir() if path.is_dir()} >= {"all", "without-St-Anne", "without-St-Anne-2"}
    assert (out / "audit.html").is_file()
    assert (out / "study.html").is_file()
    card = json.loads((out / "without-St-Anne" / "card.json").read_text())
    assert card["recipe"]["split"]["leave_out"] == "St Anne"
    assert "leave_out" not in json.loads((out / "all" / "card.json").read_text())["recipe"]["split"]


def test_what_cannot_be_left_out_is_told_before_any_training(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "study", lambda *_, **__: pytest.fail("trained"))
    for options, told in (
        ({"only": ["St Bart"]}, "no image of 'images' is from 'St Bart'"),
        ({"changes": ["split.leave_out=St Anne"]}, "leaves out a source itself"),
        ({"changes": ["data.source=hospital"]}, "does not say where its images are from"),
    ):
        with pytest.raises(UsageError, match=told):
            transport.leave_one_source_out(recipe, tmp_path / "out", **options)
    table = tmp_path / "images.csv"
    table.write_text(table.read_text().replace("p3,St. Anne", "p3,St Anne", 1))
    if "p3,St. Anne" in table.read_text():
        with pytest.raises(UsageError, match="and from elsewhere"):
            transport.leave_one_source_out(recipe, tmp_path / "out")


def test_runs_are_named_apart_and_make_a_study() -> None:
    names = ["A/B", "a b", "É", "-"]
    found = transport.folders(names)
    assert found == ["without-A-B", "without-a-b-2", "without-3", "without-4"]
    study = transport.asked("tiny", names)
    assert [one.set for one in study.runs[1:]] == [{"split.leave_out": name} for name in names]
    assert Study.parse(study.model_dump()) == study


def report(truths: dict[str, int], scores: np.ndarray) -> Report:
    auroc = intervals.delong(list(truths.values()), scores)
    share = Estimate(value=0.5, low=0.4, high=0.6, n=10, method="wilson")
    return Report(
        model="m", bundle_digest="", backend="torch", precision="fp32", collection="c", collection_digest="",
        licence="", citation="", split_digest="", split_how="", part="test", images=len(truths), patients=len(truths),
        positives=sum(truths.values()), metrics={"auroc": auroc, "sensitivity": share, "specificity": share},
        scores=dict(zip(truths, scores.tolist(), strict=True)), truths=truths, made="", hardware="", laennec="",
    )  # fmt: skip


def test_a_source_that_needs_to_be_learned_is_told_and_a_hard_one_is_not() -> None:
    """B is hard for both models; A is easy for the one that learned from it alone."""
    random = np.random.default_rng(0)
    truth = {f"{source}{n}": n % 2 for source in "AB" for n in range(200)}
    clear = {key: value + random.normal(0, 0.3) for key, value in truth.items()}
    blurred = {key: value + random.normal(0, 1.5) for key, value in truth.items()}

    def judged(keys: list[str], by: dict[str, dict[str, float]]) -> Report:
        scores = np.array([by[key[0]][key] for key in keys])
        return report({key: truth[key] for key in keys}, scores)

    of = {source: [key for key in truth if key[0] == source] for source in "AB"}
    reports = {
        "all": judged([*of["A"][:120], *of["B"][:120]], {"A": clear, "B": blurred}),
        "without-A": judged(of["A"], {"A": blurred}),
        "without-B": judged(of["B"], {"B": {key: 1.001 * value for key, value in blurred.items()}}),
    }
    runs = {"A": "without-A", "B": "without-B", "C": "without-C"}
    outcome = transport.compared(runs, reports)
    assert outcome.verdict == "warn"
    assert outcome.said[0].en.startswith("On images from A")
    assert "without C" in outcome.said[-1].en
    assert not any("from B" in text.en for text in outcome.said)
    alone, paired = ({str(row[0]): row[1] for row in table.rows} for table in outcome.tables)
    assert alone == {"A": 200, "B": 200}
    assert paired == {"A": 120, "B": 120}
    assert outcome.figures["without-A_change"].high is not None
    assert outcome.figures["without-A_change"].high < -0.05
    assert outcome.figures["without-B_change"].value == pytest.approx(0, abs=1e-9)
    del reports["without-A"], runs["C"], runs["A"]
    assert transport.compared(runs, reports).verdict == "pass"
    alone = transport.compared(runs, {"without-B": reports["without-B"]})
    assert alone.figures["worst_auroc"].n == 200
    assert alone.verdict == "warn"
    assert any("training on every source did not end" in text.en for text in alone.said)


def test_what_was_not_compared_does_not_pass() -> None:
    scores = np.random.default_rng(0).random(40)
    here, there = ({f"{name}{n}": n % 2 for n in range(40)} for name in "AB")
    sick = {f"C{n}": 1 for n in range(40)}
    whole = report(there, scores)
    apart = transport.compared({"A": "a"}, {"all": whole, "a": report(here, scores)})
    assert apart.verdict == "skipped"
    assert "A were judged by both models" in " ".join(text.en for text in apart.said)
    assert not any("No source is shown" in text.en for text in apart.said)
    some = transport.compared({"A": "a", "B": "b"}, {"all": whole, "a": report(here, scores), "b": whole})
    assert some.verdict == "warn"
    one = transport.compared({"B": "b", "C": "c"}, {"all": whole, "b": whole, "c": report(sick, scores)})
    assert one.figures["worst_auroc"] == whole.metrics["auroc"]
    assert not any("1.000 [0.000, 1.000]" in text.en for text in one.said)
    none = transport.compared({"C": "c"}, {"all": whole, "c": report(sick, scores)})
    assert "worst_auroc" not in none.figures
    assert none.verdict == "skipped"
