"""The run of an audit: nothing passes because nobody could look, and sets of one name stay apart."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import laennec as ln
from laennec import auditing, family, probing
from laennec.audits import patients
from laennec.checks import INDEPENDENT, Audit, Outcome
from laennec.cli import run
from laennec.errors import MissingExtra, UsageError
from laennec.recipe import data_of
from laennec.version import VERSION
from laennec.wording import Text

WORD = Text(en="looked", fr="regardé")


def broken(error: Exception) -> Any:
    def ask() -> Outcome:
        raise error

    return ask


def test_what_nobody_could_look_at_says_so_to_programs() -> None:
    asked = {
        "well": (WORD, lambda: Outcome(verdict="pass", said=(WORD,), method=WORD)),
        "bare": (WORD, lambda: Outcome(verdict="skipped", said=(WORD,), method=WORD)),
        "lacking": (WORD, broken(MissingExtra("no such library", "pip install it"))),
        "odd": (WORD, broken(UsageError("too few"))),
        "torn": (WORD, broken(ZeroDivisionError("by nought"))),
    }
    found = {check.name: (check.verdict, check.unlooked) for check in auditing.run(asked)}
    assert found == {
        "well": ("pass", ""),
        "bare": ("skipped", ""),  # the data has nothing to look at
        "lacking": ("skipped", "missing_extra"),
        "odd": ("fail", "broken"),
        "torn": ("fail", "broken"),
    }


@pytest.fixture
def table(pictures: Path, tmp_path: Path) -> Path:
    """A few of the tiny pictures as a recipe over a table."""
    rows = [["path", "label", "patient"]]
    chosen = zip(*(sorted((pictures / name).glob("*.png"))[::5] for name in ("normal", "sick")), strict=False)
    for number, path in enumerate(path for pair in chosen for path in pair):
        rows.append([str(path), path.parent.name, f"p{number // 2}"])
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        with (tmp_path / folder / "test.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([rows[0], *rows[1:7]] if folder == "a" else [rows[0], *rows[7:13]])
    with (tmp_path / "test.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([rows[0], *rows[5:25]])
    (tmp_path / "recipe.toml").write_text(
        f'[data]\nname = "table"\nroot = {json.dumps(str(tmp_path / "test.csv"))}\npositive = ["sick"]\n'
        '[model]\nname = "cnn"\n[[phases]]\nepochs = 1\nlearning_rate = 1e-3\n'
    )
    return tmp_path


def test_strict_does_not_let_a_missing_library_pass(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["data", "audit", str(table / "recipe.toml"), "--out", str(table / "out"), "--only", "patients", "--json"]
    done = Outcome(verdict="pass", said=(WORD,), method=WORD)
    monkeypatch.setattr(patients, "audit", lambda _: done)
    assert run([*asked, "--strict"]) == 0
    monkeypatch.setattr(patients, "audit", lambda _: broken(MissingExtra("no such library", "pip install it"))())
    assert run(asked) == 0
    capsys.readouterr()
    assert run([*asked, "--strict"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [check["unlooked"] for check in told["checks"]] == ["missing_extra"]
    assert Audit.model_validate(told).verdict == "skipped"  # the worst, as ever


def test_an_audit_that_could_not_look_is_made_anew(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lying(unlooked: str) -> Audit:
        asked = dict.fromkeys(
            family.names("probes"), (WORD, lambda: Outcome(verdict="pass", said=(WORD,), method=WORD))
        )
        if unlooked:
            asked["shortcuts"] = (WORD, broken(MissingExtra("no such library", "")))
        return Audit(
            of="model", name="tiny", collection="c", collection_digest="", split_digest="", split_how="", part="test",
            bundle_digest=trained.digest, positive=("sick",), images=1, patients=1, checks=auditing.run(asked),
            seconds=1, made="", hardware="", laennec=VERSION,
        )  # fmt: skip

    monkeypatch.setattr(probing, "audit", lambda *_, **__: "anew")
    path = trained.path / "reports" / "audit-test" / "audit.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    for unlooked, anew in (("", False), ("missing_extra", True)):
        made = lying(unlooked)
        path.write_text(made.model_dump_json())
        assert (probing.audited(trained, "test") == "anew") is anew
        monkeypatch.setattr(probing, "audit", lambda *_, made=made, **__: made)
        assert run(["audit", str(trained.path), "--json", "--strict"]) == int(anew)
        monkeypatch.setattr(probing, "audit", lambda *_, **__: "anew")
    path.unlink()


def test_sets_of_one_name_are_held_apart(table: Path) -> None:
    against = [data_of("table", [f"root={table / one / 'test.csv'}", 'positive=["sick"]']) for one in "ab"]
    recipe = ln.Recipe.read(table / "recipe.toml")
    audit = ln.audit_data(recipe, table / "out", against=against, only=["beside", "provenance"])
    beside, origin = audit.checks
    assert [beside.figures[f"exact:{name}"].value for name in ("test-2", "test-3")] == [2, 6]
    assert {one.beside[0].partition(":")[0] for one in beside.suspects} == {"test-2", "test-3"}
    assert origin.figures["unknown"].n == 2
    assert [row[0] for row in origin.tables[-1].rows] == ["test-2", "test-3"]
    assert audit.name == "test"


@pytest.mark.parametrize(
    "member", [family.member(kind, name) for kind in ("audits", "probes") for name in family.names(kind)]
)
def test_intervals_that_ignore_patients_are_said_to(member: Any) -> None:
    assert ("DeLong" in member.METHOD.en or "Wilson" in member.METHOD.en) == member.METHOD.en.endswith(INDEPENDENT.en)
    assert ("DeLong" in member.METHOD.fr or "Wilson" in member.METHOD.fr) == member.METHOD.fr.endswith(INDEPENDENT.fr)


def test_a_check_asked_alone_leaves_the_others_of_the_very_same_data(table: Path) -> None:
    recipe, out = ln.Recipe.read(table / "recipe.toml"), table / "alone"
    names = lambda audit: [check.name for check in audit.checks]  # noqa: E731
    assert names(ln.audit_data(recipe, out, only=["patients"])) == ["patients"]
    assert names(ln.audit_data(recipe, out, only=["counts"])) == ["counts", "patients"]
    kept = Audit.model_validate_json((out / "audit.json").read_text())
    (out / "audit.json").write_text(kept.model_copy(update={"split_digest": "another"}).model_dump_json())
    assert names(ln.audit_data(recipe, out, only=["counts"])) == ["counts"], "of another split nothing is kept"
