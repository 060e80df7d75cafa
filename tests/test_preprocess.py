"""The preprocessing noun: what it refuses, how it is written down, and what decides pixels."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from laennec import preprocess as module
from laennec.errors import UsageError
from laennec.preprocess import LOCATOR, Preprocess
from laennec.recipe import Recipe
from laennec.storage import digest

IMAGENET: dict[str, Any] = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
BY_LUNGS = [("frame", "lungs"), ("outside", "dim"), ("outside", "black"), ("normalise", "lungs")]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (IMAGENET, "channels = 3"),
        ({"channels": 1, "std": (0.2, 0.2, 0.2)}, "channels = 3"),
        ({"channels": 3, "mean": [0.1, 0.2]}, "three numbers"),
        ({"channels": 3, "mean": ["0.1", 0.2, 0.3]}, "three numbers"),
        ({"mean": "0.5"}, "needs a number"),
        ({"mean": True}, "needs a number"),
        ({"mean": float("nan")}, "must lie in"),
        ({"mean": 1.5}, "must lie in"),
        ({"std": 0}, "must lie in"),
        ({"std": float("inf")}, "must lie in"),
        ({"channels": 3, "std": [0.2, 0.0, 0.2]}, "must lie in"),
        ({"margin": 0.51}, "less than or equal"),
        ({"margin": -0.01}, "greater than or equal"),
        ({"margin": float("nan")}, "finite|less|greater"),
        ({"frame": "lung"}, "'whole' or 'lungs'"),
        ({"equalise": 1}, "boolean"),
        ({"outside": "grey"}, "'keep', 'dim' or 'black'"),
        ({"normalise": True}, "'none' or 'lungs'"),
        *(({key: value, "locator": "0" * 64}, "another lung locator") for key, value in BY_LUNGS),
    ],
)
def test_refused(values: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        Preprocess.model_validate(values)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"size": 96, "resize": "pad", "mean": 0, "std": 1},
        IMAGENET | {"channels": 3},
        {"frame": "lungs", "margin": 0.0},
        {"frame": "lungs", "equalise": True, "channels": 3, "mean": (0.1, 0.2, 0.3)},
        {"margin": 0.3},
        {"outside": "black", "margin": 0.0},
        {"normalise": "lungs", "outside": "dim", "frame": "lungs", "equalise": True, "decode": "reduced"},
    ],
)
def test_written_down_and_read_again_it_is_the_same(values: dict[str, Any]) -> None:
    made = Preprocess.model_validate(values)
    assert Preprocess.model_validate(made.model_dump()) == made
    assert Preprocess.model_validate_json(made.model_dump_json()) == made
    plain = made.model_dump(mode="json")
    assert Preprocess.model_validate(json.loads(json.dumps(plain))) == made
    toml = "\n".join(f"{key} = {json.dumps(value)}" for key, value in plain.items())
    assert Preprocess.model_validate(tomllib.loads(toml)) == made


def test_cards_from_before_keep_their_seals() -> None:
    """What a card of an earlier version says is what this one writes for it, so its digest is the same."""
    earlier = {"size": 96, "resize": "stretch", "channels": 1, "mean": 0.5, "std": 0.25}
    assert digest(Preprocess.model_validate(earlier).model_dump(mode="json")) == digest(earlier)
    assert Preprocess(size=96).pixel_digest == digest({"size": 96, "resize": "stretch"})
    framed = earlier | {"frame": "lungs", "margin": 0.1, "equalise": True, "locator": LOCATOR}
    assert Preprocess.model_validate(framed).model_dump(mode="json") == framed
    pixels = {name: framed[name] for name in ("size", "resize", "frame", "margin", "equalise", "locator")}
    assert Preprocess.model_validate(framed).pixel_digest == digest(pixels)


def test_a_recipe_may_choose_it() -> None:
    values = {"data": {"name": "phantom"}, "model": {"name": "cnn"}, "phases": [{"epochs": 1, "learning_rate": 1e-3}]}
    recipe = Recipe.parse(values | {"preprocess": IMAGENET | {"channels": 3, "frame": "lungs"}})
    assert recipe.preprocess.mean == (0.485, 0.456, 0.406) and recipe.preprocess.locator == LOCATOR
    back = recipe.changed({"preprocess.frame": "whole", "preprocess.equalise": True}).preprocess
    assert (back.frame, back.locator, back.equalise) == ("whole", "", True)
    assert Recipe.parse(recipe.model_dump(mode="json")) == recipe
    with pytest.raises(UsageError, match=r"preprocess\.mean"):
        Recipe.parse(values | {"preprocess": {"mean": [0.1]}})


@pytest.mark.parametrize(("key", "value"), BY_LUNGS)
def test_pixels_are_bound_to_the_network_that_made_them(monkeypatch: pytest.MonkeyPatch, key: str, value: str) -> None:
    framed, whole = Preprocess.model_validate({key: value}), Preprocess(equalise=True)
    assert framed.needs_lungs and not whole.needs_lungs and framed.locator == LOCATOR
    before = framed.pixel_digest, whole.pixel_digest
    written = framed.model_dump_json()
    assert LOCATOR in written
    monkeypatch.setattr(module, "LOCATOR", "f" * 64)
    assert Preprocess.model_validate({key: value}).pixel_digest != before[0]
    assert Preprocess(equalise=True).pixel_digest == before[1]
    with pytest.raises(ValidationError, match="another lung locator"):
        Preprocess.model_validate_json(written)


def test_what_decides_pixels_and_what_does_not() -> None:
    base: dict[str, Any] = {"size": 64, "frame": "lungs"}
    same = [{}, {"channels": 3}, {"mean": 0.1, "std": 0.2}]
    other: list[dict[str, Any]] = [{"size": 65}, {"resize": "crop"}, {"margin": 0.1}, {"equalise": True}]
    other += [{"frame": "whole"}, {"outside": "dim"}, {"outside": "black"}, {"normalise": "lungs"}]
    assert len({Preprocess.model_validate(base | change).pixel_digest for change in same}) == 1
    assert len({Preprocess.model_validate(base | change).pixel_digest for change in [*same[:1], *other]}) == 9
