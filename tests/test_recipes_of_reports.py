"""Every recipe runs the whole line: on its data set's true layout filled with phantoms, made small, but else as it is.

A recipe file put into ``recipes/`` is tested by itself; a new data set needs its layout in `Ground`. Torch takes
seconds to write a graph, so each backbone is exported in one recipe, and in all of them under ``pytest -m slow``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import laennec as ln
from conftest import LOOSE
from laennec import checkpoints, family, loader
from laennec.errors import UsageError
from laennec.estimates import Estimate
from laennec.phantom import Phantom, draw
from laennec.recipe import Recipe
from laennec.samples import PART_NAMES
from layouts import medmnist_arrays, write_classes, write_covid, write_csv, write_kermany, write_rsna

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
SIDES = (32, 64, 80, 96, 224)


class Ground:
    """The data sets, each written once when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def phantoms(self) -> list[Phantom]:
        return [draw(11, patient, size=64) for patient in range(48)]

    def data(self, recipe: Recipe) -> dict[str, Any]:
        """The changes of ``[data]`` that make the recipe read its data set here."""
        made: dict[str, Any] = getattr(self, f"_{recipe.data.name}")(recipe)
        return {f"data.{key}": value for key, value in made.items()}

    def _once(self, name: str, write: Any, *given: Any) -> dict[str, Any]:
        place = self.folder / name
        if not place.exists():
            write(place, self.phantoms, *given)
        return {"root": str(place)}

    def _kermany(self, recipe: Recipe) -> dict[str, Any]:
        return self._once("kermany", write_kermany)

    def _rsna(self, recipe: Recipe) -> dict[str, Any]:
        return self._once("rsna", write_rsna)

    def _covid_radiography(self, recipe: Recipe) -> dict[str, Any]:
        return self._once("COVID-19_Radiography_Dataset", write_covid)

    def _folder(self, recipe: Recipe) -> dict[str, Any]:
        names = ("normal", *(recipe.data.options["positive"] or ["pneumonia"]))
        return self._once("-".join(names), write_classes, names)

    def _table(self, recipe: Recipe) -> dict[str, Any]:
        (self.folder / "own").mkdir(exist_ok=True)
        return self._once("own/table.csv", write_csv, ("normal", *recipe.data.options["positive"]))

    def _medmnist(self, recipe: Recipe) -> dict[str, Any]:
        return self._once("set.npz", lambda place, phantoms: np.savez_compressed(place, **medmnist_arrays(phantoms)))

    def _phantom(self, recipe: Recipe) -> dict[str, Any]:
        return {"patients": 30, "size": 64, "root": str(self.folder / "phantoms")}


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground"))


def short(phases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [phase | {"epochs": 1, "views": min(phase.get("views", 0), 2)} for phase in phases]


def small(values: dict[str, Any]) -> dict[str, Any]:
    """A member's changes with short phases and random weights."""
    made = {key: value for key, value in values.items() if key != "preprocess.size"}
    if "model.weights" in made:
        made["model.weights"] = "none"
    if "phases" in made:
        made["phases"] = short(made["phases"])
    return made


def side(recipe: Recipe) -> int:
    """The smallest of some sides that the backbones of the recipe and its members take."""

    def takes(one: Recipe, size: int) -> bool:
        member = family.member("models", one.model.name)
        try:
            member.build(member.Options.model_validate(one.model.options), 1, size, start=False)
        except UsageError:
            return False
        return True

    return max(next(size for size in SIDES if takes(one, size)) for one in [recipe, *recipe.of_members().values()])


def shrunk(path: Path, ground: Ground) -> Recipe:
    """A recipe as it is but for its size and length, on phantoms."""
    recipe = Recipe.read(path)
    values = recipe.model_dump(mode="json")
    phases = {"phases": short(values["phases"])}
    members = [member | {"set": small(member["set"])} for member in values["members"]]
    weights = {"model.weights": "none"} if "weights" in recipe.model.options else {}
    quick = {"training.batch_size": 16, "training.threads": 1, "training.device": "cpu", "training.precision": "fp32"}
    return recipe.changed(
        ground.data(recipe) | phases | weights | quick | {"members": members, "preprocess.size": side(recipe)}
    )


def sound(estimate: Estimate) -> bool:
    known = [v for v in (estimate.low, estimate.value, estimate.high) if v is not None]
    return all(0 <= v <= 1 for v in known) and known == sorted(known)


# A minute of two cores and more each; their backbones are in other recipes too, or in test_models.
LONG = {"r0-rsna-resnet50", "r1-densenet121", "r1-vgg16", "r2-ensemble", "r3-bacterial-viral"}


def each_recipe() -> Iterator[Any]:
    """Path, and whether to export; `pytest.param` with ids and marks."""
    seen: set[tuple[str, str]] = set()
    for path in RECIPES:
        recipe = Recipe.read(path)
        if recipe.task != "classify":
            continue
        backbone = (recipe.model.name, recipe.model.options.get("backbone", ""))
        new = backbone not in seen and not recipe.members  # test_ensembling exports an ensemble
        seen.add(backbone)
        yield pytest.param(path, new, id=path.stem, marks=[pytest.mark.slow] if path.stem in LONG else [])
        if not new:
            yield pytest.param(path, True, id=f"{path.stem}-exported", marks=pytest.mark.slow)


@pytest.mark.parametrize(("path", "export"), each_recipe())
def test_a_recipe_trains_evaluates_exports_and_predicts(
    path: Path, export: bool, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # half a gigabyte for each epoch of a ResNet-50; test_training holds checkpoints to their word
    monkeypatch.setattr(checkpoints.Saver, "save", lambda *_, **__: None)
    recipe = shrunk(path, ground)
    collection, split = loader.collect(recipe)
    patients = [{s.patient for s in collection.take(split.part(name))} for name in PART_NAMES]
    assert all(patients) and len(set.union(*patients)) == sum(map(len, patients))

    bundle = ln.train(recipe, tmp_path / "run")
    card = bundle.card
    assert card.labels == collection.labels
    assert card.data.split_digest == split.digest
    assert list(card.data.images.values()) == [len(split.part(name)) for name in PART_NAMES]
    assert card.preprocess == recipe.preprocess
    assert card.decision == recipe.decision.rule

    report = ln.evaluate(bundle)
    assert report.labels == collection.labels.names
    assert (report.images, report.patients) == (len(split.test), len(patients[2]))
    assert 0 < report.positives < report.images
    assert {"auroc", "sensitivity", "specificity", "accuracy"} <= set(report.metrics)
    assert all(sound(estimate) for estimate in report.metrics.values())
    assert [figures.label for figures in report.per_class] == list(report.labels)
    assert sum(map(sum, report.confusion)) == report.images
    assert set(report.scores) == set(split.test)

    answering = bundle
    if export:
        answering = ln.export(bundle, "onnxruntime", "fp32", out=tmp_path / "onnx", limits=LOOSE)
        assert answering.card.gate is not None and answering.card.gate.largest_difference < 1e-3
        assert answering.card.labels == card.labels

    sample = collection.by_id[split.test[0]]
    answer = ln.open(answering.path, threads=1).predict(sample.path)
    assert tuple(answer.probabilities) == collection.labels.names
    assert answer.label in collection.labels.names
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-3)
    assert answer.score == pytest.approx(report.scores[sample.id], abs=1e-3)
    assert answer.positive == (answer.score >= answer.threshold)
    assert os.fspath(sample.path) == answer.id


@pytest.mark.parametrize("path", [p for p in RECIPES if Recipe.read(p).task != "classify"], ids=lambda path: path.stem)
def test_a_recipe_that_outlines_trains_evaluates_and_predicts(path: Path, ground: Ground, tmp_path: Path) -> None:
    recipe = shrunk(path, ground)
    collection, split = loader.collect(recipe)
    bundle = ln.train(recipe, tmp_path / "run")
    assert bundle.card.task == recipe.task
    report = ln.evaluate(bundle)
    assert report.segmentation is not None and report.segmentation.images == len(split.test)
    assert sound(report.segmentation.mean["dice"])
    assert bool(report.metrics) == bundle.card.classifies
    answer = ln.open(bundle.path, threads=1).predict(collection.by_id[split.test[0]].path)
    assert answer.lungs is not None and 0 <= answer.lungs.share <= 1
    assert (answer.score is not None) == bundle.card.classifies


def test_a_recipe_says_the_report_it_follows() -> None:
    """Each report has a recipe for each system it describes, and no two are the same."""
    names = {path.stem for path in RECIPES}
    assert {name[:2] for name in names if name[0] == "r" and name[1].isdigit()} >= {"r0", "r1", "r2", "r3", "r4"}
    read = [Recipe.read(path) for path in RECIPES]
    assert len({recipe.description for recipe in read}) == len(read)
    assert all(recipe.description and "\n" not in recipe.description for recipe in read)
    assert len({recipe.replace(name="", description="").digest for recipe in read}) == len(read)
