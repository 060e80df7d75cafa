"""A study as its file asks for it: the file is strict, and what is wrong in it or in a recipe is found beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest

import laennec as ln
from laennec import shelf, studying
from laennec.card import Limits
from laennec.errors import UnknownName, UsageError
from laennec.studies import Export, Run, Study, replaced
from laennec.summing import Done, Step
from tiny_studies import NARROW, WIDE, asked, recipe_file


@pytest.fixture
def recipe(pictures: Path, tmp_path: Path) -> Path:
    return recipe_file(tmp_path, pictures)


def test_a_study_is_one_strict_file(recipe: Path, tmp_path: Path) -> None:
    path = tmp_path / "why.toml"
    path.write_text('title = "T"\nquestion = "Q?"\n[[runs]]\nname = "a"\nrecipe = "tiny.toml"\n')
    study = Study.read(path)
    assert (study.name, study.against) == ("why", "a")
    assert study.runs[0].recipe == str(recipe)
    for line, told in (
        ("refrence = 'a'", "did you mean 'reference'"),
        ("title = 'again'", "not valid TOML"),
        ("[[runs]]\nname = 'b'\nrecipe = 'x'\nnotes = 'n'", "did you mean 'note'"),
        ("[[runs]]\nname = 'b'\nrecipe = 'x'\nreported = {acuracy = 0.9}", "did you mean 'accuracy'"),
        ("[[runs]]\nname = 'b'\nrecipe = 'x'\nreported = {accuracy = 94.0}", "less than or equal to 1"),
        ("[[runs]]\nname = 'b'\nrecipe = 'x'\nreported = {iou = 82.0}", "less than or equal to 1"),
        ("[[runs]]\nname = 'a'\nrecipe = 'x'", "same name"),
        ("[[runs]]\nname = '../b'\nrecipe = 'x'", "runs.1.name"),
        ("[[runs]]\nname = 'b'", "give the run a recipe"),
        ("[[runs]]\nname = 'b'\nexport = {precision = 'int8'}\nof = 'c'", "no earlier run"),
        ("[[runs]]\nname = 'b'\nexport = {precision = 'int8'}", "go together"),
        ("[[runs]]\nname = 'b'\nexport = {flipped = 5.0}\nof = 'a'", "'runs.1.export.flipped': Input should be less"),
        ("[[runs]]\nname = 'b'\nexport = {auroc_lost = -0.1}\nof = 'a'", "greater than or equal to 0"),
        ("[[runs]]\nname = 'b'\nrecipe = 'x'\nset = {\"teacher.bundle\" = '{b}'}", "no earlier run"),
    ):
        written = path.read_text()
        text = f"{line}\n{written}" if not line.startswith("[") else f"{written}{line}\n"
        wrong = tmp_path / "wrong.toml"
        wrong.write_text(text)
        with pytest.raises(UsageError) as caught:
            Study.read(wrong)
        assert told in caught.value.message + caught.value.hint, line
    with pytest.raises(UnknownName):
        ln.study("no-such-study")


def test_a_wrong_recipe_is_found_before_anything_is_trained(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studying, "train", lambda *_, **__: pytest.fail("trained"))
    study = asked(recipe, NARROW, {"name": "odd", "set": {"training.batchsize": 3}})
    with pytest.raises(UsageError, match=r"run 'odd': recipe: unknown key 'training\.batchsize'"):
        ln.study(study, tmp_path / "out")
    with pytest.raises(UsageError, match=r"run 'narrow'.*batch_size"):
        ln.study(asked(recipe, NARROW), tmp_path / "out", changes=["training.batch_size=many"])


def test_changes_come_in_order_and_seeds_reach_the_recipe(recipe: Path, tmp_path: Path) -> None:
    study = asked(recipe, WIDE, set={"model.widths": [4, 8], "training.batch_size": 8}, seeds=[3, 5])
    place = studying._Place(
        tmp_path / "o", ("training.batch_size=4", "training.threads=2"), str(tmp_path), "en", (), "s"
    )
    steps = studying._plan(study, place)
    assert [step.folder.name for step in steps] == ["wide-seed3", "wide-seed5"]
    for step, seed in zip(steps, (3, 5), strict=True):
        assert step.recipe is not None
        assert (step.recipe.seed, step.recipe.name) == (seed, step.folder.name)
        assert (step.recipe.training.batch_size, step.recipe.training.threads) == (4, 2)
        assert step.recipe.model.options["widths"] == [12, 16]
        assert step.recipe.data.options["root"] == str(tmp_path)


def test_an_earlier_run_in_braces_is_its_folder(recipe: Path, tmp_path: Path) -> None:
    taught = {"name": "taught", "set": {"teacher.bundle": "{narrow}"}}
    place = studying._Place(tmp_path / "o", (), None, "en", (), "s")
    steps = studying._plan(asked(recipe, NARROW, taught, seeds=[1, 2]), place)
    bundles = [step.recipe.teacher.bundle for step in steps if step.recipe]
    assert bundles == ["", "", str(tmp_path / "o" / "narrow-seed1"), str(tmp_path / "o" / "narrow-seed2")]
    assert steps[3].needs == ("narrow-seed2",)
    # a regular expression and a longer text are left alone
    kept = {"data.patient": r"^(p\d{3})_", "x": ["{a} and", {"y": 1}]}
    assert replaced(kept, lambda _: pytest.fail("replaced")) == kept


def test_the_limits_of_an_export_are_those_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Seen(Exception):
        pass

    def seen(*_: object, limits: Limits, **__: object) -> None:
        raise Seen(limits)

    monkeypatch.setattr(studying, "export", seen)
    how = Export(auroc_lost=0.1, flipped=0.2, ece_gained=0.3, dice_lost=0.4)
    run = Run(name="b", export=how, of="a")
    parent = Done(None, None, (), None)  # type: ignore[arg-type]  neither is looked at
    place = studying._Place(Path("out"), (), None, "en", (), "s")
    with pytest.raises(Seen) as caught:
        studying._run(Step(run, None, Path("out/b"), None, ("a",)), {"a": parent}, place)
    assert caught.value.args[0] == Limits(auroc_lost=0.1, flipped=0.2, ece_gained=0.3, dice_lost=0.4)


def test_every_shipped_study_reads_and_its_recipes_fit() -> None:
    found = shelf.studies()
    assert {"r1-kermany", "r2-three-class", "r3-mobilenet-inception", "r4-freezing"} <= {s.name for s in found}
    assert {"r1-kermany-small", "r3-kermany-small", "r4-kermany-small"} <= {s.name for s in found}
    assert {"r3-hybrid", "r4-segmentation"} <= {s.name for s in found}
    for listed in found:
        study = Study.read(listed.path)
        assert study.question_fr and study.title_fr
        assert listed.summary == study.title
        studying._plan(study, studying._Place(Path("out"), (), None, "en", (), "s"))
