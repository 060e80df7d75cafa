"""Recipes are strict: what is not understood is refused, with the key, what is known, and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from laennec import shelf
from laennec.errors import UnknownName, UsageError
from laennec.recipe import Recipe

GOOD = """
[data]
name = "folder"
root = "images"
one_image_per_patient = true
[model]
name = "cnn"
[[phases]]
epochs = 3
learning_rate = 1e-3
"""


def read(tmp_path: Path, text: str, changes: list[str] | None = None) -> Recipe:
    path = tmp_path / "a-recipe.toml"
    path.write_text(text, encoding="utf-8")
    return Recipe.read(path, changes or [])


def test_defaults_are_filled_in_and_the_file_names_the_recipe(tmp_path: Path) -> None:
    recipe = read(tmp_path, GOOD)
    assert recipe.name == "a-recipe"
    assert recipe.data.options["patient"] == ""
    assert recipe.model.options["widths"] == [24, 48, 96, 192]
    assert recipe.phases[0].train == "all"


def test_written_out_and_parsed_again_it_is_the_same(tmp_path: Path) -> None:
    recipe = read(tmp_path, GOOD)
    assert Recipe.parse(recipe.model_dump(mode="json")).digest == recipe.digest


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        (GOOD + "\n[training]\nbatchsize = 3\n", "unknown key 'training.batchsize'", "batch_size"),
        (GOOD.replace("root =", "rot ="), "unknown key 'rot'", "root"),
        (GOOD.replace('name = "cnn"', 'name = "cmn"'), "no model named 'cmn'", "did you mean 'cnn'?"),
        (GOOD.replace('"folder"', '"kermani"'), "no data set named 'kermani'", "kermany"),
        (GOOD.replace("epochs = 3", "epochs = 3.5"), "'phases.0.epochs'", "epochs"),
        (GOOD.replace("1e-3", "nan"), "'phases.0.learning_rate'", "learning_rate"),
        (GOOD.replace("1e-3", '"fast"'), "'phases.0.learning_rate'", "learning_rate"),
        (GOOD.replace("epochs = 3", "epochs = 0"), "'phases.0.epochs'", "epochs"),
        (GOOD + "\n[head]\nhidden = [64, 0]\n", "'head.hidden.1': Input should be greater than or equal to 1", "1"),
        (GOOD + "\n[augmentation]\nzoom = 2.0\n", "'augmentation.zoom'", "zoom"),
        (GOOD + "\n[model]\nname='cnn'\n", "not valid TOML", "line"),
        (GOOD.replace("epochs = 3", "epochs = 3\nepochs = 4"), "not valid TOML", "line"),
        (GOOD.replace("[data]", "[date]"), "unknown key 'date'", "data"),
        ("", "'data'", "data"),
        (GOOD.replace("one_image_per_patient = true", 'patient = "("'), "not a regular expression", "patient"),
        (GOOD.replace("one_image_per_patient = true", 'patient = "a"'), "exactly one group", "patient"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(tmp_path: Path, text: str, says: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert says in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_set_changes_a_value_and_is_checked_like_the_file(tmp_path: Path) -> None:
    recipe = read(tmp_path, GOOD, ["phases.0.epochs=9", "data.root=/elsewhere", "training.ema=0.5"])
    assert recipe.phases[0].epochs == 9
    assert recipe.data.options["root"] == "/elsewhere"
    assert recipe.training.ema == 0.5
    for change in ("nonsense", "training.emma=0.5", "phases.7.epochs=1", "name.x.y=1"):
        with pytest.raises(UsageError):
            read(tmp_path, GOOD, [change])


def test_replace_gives_a_checked_copy(tmp_path: Path) -> None:
    recipe = read(tmp_path, GOOD)
    assert recipe.replace(epochs=7).phases[-1].epochs == 7
    assert recipe.replace(data__root="x").data.options["root"] == "x"
    with pytest.raises(UsageError):
        recipe.replace(epocs=7)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Recipe.read(tmp_path / "none.toml")


def test_every_shipped_recipe_reads_and_says_what_it_is() -> None:
    listed = shelf.recipes()
    assert {"demo", "kermany-quick"} <= {item.name for item in listed}
    for item in listed:
        assert Recipe.read(item.path).description, item.name


def test_recipes_are_found_by_name_and_strangers_are_not() -> None:
    assert shelf.find("demo").name == "demo.toml"
    with pytest.raises(UnknownName) as caught:
        shelf.find("kermany-quik")
    assert "kermany-quick" in caught.value.hint
    with pytest.raises(UsageError, match="no recipe file"):
        shelf.find("none.toml")
