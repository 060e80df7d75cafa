"""The search: it tries what the ranges allow, resumes where it was cut, and never reads the test part."""

from __future__ import annotations

from pathlib import Path

import pytest

import laennec as ln
from conftest import tiny_recipe
from laennec import loader, storage, tuning
from laennec.cli import run
from laennec.errors import LaennecError, UsageError
from laennec.recipe import Recipe

RANGES = {
    "phases.0.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "head.dropout": {"choices": [0.0, 0.3]},
    "augmentation.rotation": {"low": 0.0, "high": 20.0},
}
SHORT = [{"epochs": 2, "learning_rate": 1e-2}]


def test_it_searches_resumes_and_writes_the_best_recipe(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(pictures, phases=SHORT, ranges=RANGES)
    load, parts = loader.load, []
    monkeypatch.setattr(loader, "load", lambda r, p=(): (parts.append(tuple(p)), load(r, p))[1])
    train, calls = tuning.train, []

    def killed_in_the_third(one: Recipe, out: Path, **more: object) -> object:
        calls.append(out.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(one, out, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(tuning, "train", killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        ln.tune(recipe, tmp_path / "search", 4)
    found = ln.tune(recipe, tmp_path / "search", 4)
    assert calls[3] == calls[2]  # the trial that was cut goes on, in its folder
    ended = [t for t in found.trials if t.state in {"complete", "pruned"}]
    assert len(ended) == 4 and len({t.folder for t in ended}) == 4
    assert all(1e-4 <= t.values["phases.0.learning_rate"] <= 1e-1 for t in ended)
    assert {t.values["head.dropout"] for t in ended} <= {0.0, 0.3}
    best = next(t for t in found.trials if t.number == found.best)
    assert best.reached == max(t.reached for t in ended if t.reached is not None)
    written = Recipe.read(tmp_path / "search" / "best.toml")
    assert written.phases[0].learning_rate == best.values["phases.0.learning_rate"] and not written.ranges
    assert ln.open_bundle(tmp_path / "search" / best.folder).recipe.digest == written.digest
    assert set(parts) == {("train", "val")}
    before = len(calls)
    assert ln.tune(recipe, tmp_path / "search", 4).best == found.best and len(calls) == before
    with pytest.raises(UsageError, match="another recipe"):
        ln.tune(recipe.replace(seed=3), tmp_path / "search", 4)


def test_a_trial_that_falls_behind_is_stopped(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import optuna

    recipe = tiny_recipe(pictures, phases=SHORT, ranges=RANGES)
    monkeypatch.setattr(optuna.trial.Trial, "should_prune", lambda self: self.number == 1)
    found = ln.tune(recipe, tmp_path / "search", 3)
    assert [t.state for t in found.trials] == ["complete", "pruned", "complete"]
    assert found.trials[1].epochs == 1


def test_a_failing_trial_is_told_and_the_rest_done(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, calls = tuning.train, []

    def failing(one: Recipe, out: Path, **more: object) -> object:
        calls.append(one)
        if len(calls) == 1:
            raise LaennecError("the loss became NaN")
        return train(one, out, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(tuning, "train", failing)
    found = ln.tune(tiny_recipe(pictures, phases=SHORT, ranges=RANGES), tmp_path / "search", 1)
    assert [(t.state, t.reason) for t in found.trials] == [("fail", "the loss became NaN"), ("complete", "")]


@pytest.mark.parametrize(
    ("ranges", "says"),
    [
        ({}, "no ranges"),
        ({"phases.0.learningrate": {"low": 1.0, "high": 2.0}}, "learningrate"),
        ({"head.dropout": {"low": 1.5, "high": 2.0}}, "dropout"),
        ({"head.dropout": {"low": 0.5, "high": 0.2}}, "low must be below high"),
        ({"head.dropout": {"low": 0.0, "high": 0.2, "log": True}}, "above 0"),
        ({"head.dropout": {"low": 0.0, "high": 0.2, "choices": [0.1]}}, "or choices"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(
    pictures: Path, tmp_path: Path, ranges: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        ln.tune(tiny_recipe(pictures, ranges=ranges), tmp_path / "search", 1)
    assert not (tmp_path / "search").exists()


def test_the_command_prints_the_table(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tiny_recipe(pictures, phases=SHORT, ranges=RANGES)
    (tmp_path / "r.toml").write_text(recipe.to_toml(), encoding="utf-8")
    assert Recipe.read(tmp_path / "r.toml").digest == recipe.digest
    assert run(["tune", str(tmp_path / "r.toml"), "--out", str(tmp_path / "s"), "--trials", "2"]) == 0
    said = capsys.readouterr().out
    assert "2 trials" in said and "best.toml" in said and "flattered" in said
    assert storage.read_json(tmp_path / "s" / "search.json")["best"] in {1, 2}


def test_every_shipped_recipe_survives_being_written_and_read(tmp_path: Path) -> None:
    from laennec import shelf

    for listed in shelf.recipes():
        recipe = Recipe.read(listed.path)
        (tmp_path / "again.toml").write_text(recipe.to_toml(), encoding="utf-8")
        assert Recipe.read(tmp_path / "again.toml").digest == recipe.digest, listed.name
