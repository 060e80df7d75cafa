"""The task `segment`, alone and beside `classify`, through the whole line on tiny pictures of two lungs."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import laennec as ln
from conftest import LOOSE, cut_after
from laennec import family, masks, outlining, overlays
from laennec.augment import augment_pairs
from laennec.bundle import Bundle, open_bundle
from laennec.card import Limits
from laennec.cli import run
from laennec.errors import GateFailed, UnknownName, UntrustedBundle, UsageError
from laennec.labels import LabelSet
from laennec.loader import load
from laennec.network import Network, of_work
from laennec.outputs import Outputs
from laennec.recipe import Recipe
from laennec.results import Prediction
from laennec.runtime import infer, start
from laennec.sections import Augmentation, Segmentation
from laennec.storage import read_json
from laennec.tasks import segment
from laennec.work import Logits, Targets, work_of

TWO = LabelSet(names=("normal", "sick"), positive=("sick",))
SIZE = 32


def tiny_lungs(folder: Path, patients: int = 40, seed: int = 0) -> Path:
    """Two images a patient: two dark ellipses on grey, a bright spot in one where sick; every fifth has no mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    with (folder / "table.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "label", "patient", "mask"])
        for patient in range(patients):
            for image in range(2):
                name, sick = f"p{patient:03}_{image}.png", patient % 2 == 1
                lungs = np.zeros((SIZE, SIZE), bool)
                for side in (-1, 1):
                    across, down = 16 + side * rng.uniform(6, 8), rng.uniform(14, 18)
                    wide, high = rng.uniform(3.5, 5), rng.uniform(8, 11)
                    lungs |= ((x - across) / wide) ** 2 + ((y - down) / high) ** 2 < 1
                pixels = np.where(lungs, 60, 150) + rng.normal(0, 10, lungs.shape)
                if sick:
                    down, across = np.argwhere(lungs)[rng.integers(lungs.sum())]
                    pixels += 90 * np.exp(-((x - across) ** 2 + (y - down) ** 2) / 8)
                Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / "images" / name)
                masked = patient % 5 != 4
                if masked:
                    Image.fromarray(lungs.astype(np.uint8) * 255).save(folder / "masks" / name)
                kind = "sick" if sick else "normal"
                table.writerow([f"images/{name}", kind, f"p{patient}", f"masks/{name}" if masked else ""])
    return folder


def recipe_of(folder: Path, task: str, **changes: Any) -> Recipe:
    data = {"name": "table", "root": str(folder / "table.csv"), "positive": ["sick"]}
    if task == "segment":
        data = {"name": "pairs", "root": str(folder), "patient": r"^(p\d+)_"}
    values = {
        "name": "lungs",
        "task": task,
        "data": data,
        "split": {"validation": 0.3, "test": 0.3},
        "preprocess": {"size": SIZE},
        "model": {"name": "unet", "widths": [8, 16], "norm": True},
        "phases": [{"epochs": 6, "learning_rate": 1e-2}],
        "training": {"batch_size": 8, "threads": 2, "monitor": "dice"},
        "augmentation": {"rotation": 5, "shift": 0.05, "noise": 0.02, "contrast": 0.1},
    }
    return Recipe.parse(values | changes)


@pytest.fixture(scope="module")
def lungs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lungs(tmp_path_factory.mktemp("lungs"))


@pytest.fixture(scope="module")
def outlining_bundle(lungs: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return ln.train(recipe_of(lungs, "segment"), tmp_path_factory.mktemp("runs") / "segment")


@pytest.fixture(scope="module")
def hybrid(lungs: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    recipe = recipe_of(lungs, "classify+segment", head={"attention": True})
    return ln.train(recipe, tmp_path_factory.mktemp("runs") / "hybrid")


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


# --- the task


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["bce", "dice", "bce_dice", "focal"]))
def test_a_loss_is_least_for_the_truth(seed: int, loss: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    truth = (torch.rand(3, 8, 8, generator=generator) < 0.4).float()
    right = (truth * 2 - 1)[:, None] * 12
    how, ones = Segmentation(loss=loss), torch.ones(2)
    best = segment.loss(TWO, right, truth, ones, how)
    wrong = segment.loss(TWO, -right, truth, ones, how)
    unsure = segment.loss(TWO, right * 0, truth, ones, how)
    assert 0 <= float(best) < 0.02 < float(unsure) < float(wrong)


def test_the_losses_are_what_they_are_called() -> None:
    logits, truth = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 4, 4)
    truth[:, :2] = 1
    p = logits[:, 0].sigmoid()
    bce = -(truth * p.log() + (1 - truth) * (1 - p).log())
    dice = 1 - (2 * (p * truth).sum((1, 2)) + 1) / (p.sum((1, 2)) + truth.sum((1, 2)) + 1)
    off = torch.where(truth == 1, 1 - p, p)
    expected = {"bce": bce.mean(), "dice": dice.mean(), "bce_dice": bce.mean() + dice.mean()}
    expected["focal"] = (bce * off**2).mean()
    for name, value in expected.items():
        given_ = segment.loss(TWO, logits, truth, torch.ones(2), Segmentation(loss=name))  # type: ignore[arg-type]
        assert float(given_) == pytest.approx(float(value), rel=1e-5), name


def test_images_without_a_mask_teach_nothing_of_masks() -> None:
    logits = torch.randn(3, 1, 4, 4, requires_grad=True)
    truth = torch.rand(3, 4, 4).round()
    truth[1] = torch.nan
    segment.loss(TWO, logits, truth, torch.ones(2), Segmentation()).backward()
    assert logits.grad is not None
    assert logits.grad[1].abs().sum() == 0 < logits.grad[0].abs().sum()
    nothing = segment.loss(TWO, logits, truth * torch.nan, torch.ones(2), Segmentation())
    assert float(nothing.detach()) == 0
    nothing.backward()


def test_answers_are_probabilities_in_255_steps() -> None:
    logits = torch.linspace(-9, 9, 64).view(1, 1, 8, 8)
    given_ = segment.activate(TWO, logits)
    assert given_.dtype == torch.uint8
    assert given_.shape == (1, 8, 8)
    assert (given_.float() / 255 - logits[:, 0].sigmoid()).abs().max() <= 0.5 / 255 + 1e-6


def test_validation_watches_the_likelihood_of_every_pixel() -> None:
    levels, truths = np.array([[[51, 204]]], np.uint8), np.array([[[0, 255]]], np.uint8)
    assert segment.log_loss(TWO, levels, truths) == pytest.approx(-math.log(0.8))
    assert segment.log_loss(TWO, truths, truths) < 0.003
    assert 5 < segment.log_loss(TWO, 255 - truths, truths) < 7


def test_two_tasks_are_weighed_and_two_of_a_kind_refused(lungs: Path) -> None:
    work = work_of("classify+segment", TWO)
    assert work.outputs == ("probabilities", "masks")
    recipe = recipe_of(lungs, "classify+segment", segmentation={"weight": 3.0})
    logits = Logits(torch.randn(2, 2), torch.randn(2, 1, 4, 4))
    targets = Targets(torch.eye(2), torch.ones(2, 4, 4))
    both = float(work.loss(logits, targets, torch.ones(2), recipe))
    labels = float(work.loss(Logits(logits.labels), Targets(targets.labels), torch.ones(2), recipe))
    pixels = float(segment.loss(TWO, logits.masks, targets.masks, torch.ones(2), recipe.segmentation))
    assert both == pytest.approx(labels + 3 * pixels, rel=1e-5)
    with pytest.raises(UsageError, match="two tasks that make masks"):
        work_of("segment+segment", TWO)
    with pytest.raises(UnknownName):
        recipe_of(lungs, "outline")


@pytest.mark.parametrize(
    ("task", "change", "told"),
    [
        ("segment", {"preprocess": {"size": 32, "frame": "lungs"}}, "whole pictures"),
        ("segment", {"augmentation": {"mixup": 0.2}}, "mixup"),
        ("segment", {"teacher": {"bundle": "x"}}, "teachers"),
        ("segment", {"training": {"monitor": "auroc"}}, "no AUROC"),
        ("classify", {"training": {"monitor": "dice"}}, "no Dice"),
        ("classify", {"training": {}, "head": {"attention": True}}, "attention"),
        ("segment", {"head": {"attention": True}}, "attention"),
        ("segment", {"phases": [{"epochs": 1, "learning_rate": 0.1, "train": "head"}]}, "no part of the head"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(lungs: Path, task: str, change: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        recipe_of(lungs, task, **change)


def test_a_backbone_without_maps_is_refused(lungs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="outlines nothing") as caught:
        ln.train(recipe_of(lungs, "segment", model={"name": "cnn", "widths": [8]}), tmp_path / "a")
    assert "unet" in caught.value.hint


def test_a_data_set_without_masks_is_refused(pictures: Path, tmp_path: Path) -> None:
    data = {"name": "folder", "root": str(pictures), "patient": r"^(p\d+)_"}
    recipe = Recipe.parse(recipe_of(pictures, "segment").model_dump(mode="json") | {"data": data})
    with pytest.raises(UsageError, match="learns masks"):
        ln.train(recipe, tmp_path / "a")


# --- augmentation


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_masks_move_with_their_images(seed: int) -> None:
    mask = torch.zeros(2, 32, 32)
    mask[0, 8:20, 10:16], mask[1, 4:28, 18:26] = 1, 1
    how = Augmentation(rotation=20, zoom=0.2, aspect=0.1, shift=0.1, flip=0.5)
    image, moved = augment_pairs(mask[:, None].clone(), mask, how, torch.Generator().manual_seed(seed))
    assert torch.allclose(image[:, 0], moved, atol=1e-5)
    assert not torch.equal(moved, mask)


def test_greys_change_and_masks_do_not() -> None:
    image, mask = torch.rand(4, 1, 16, 16), torch.rand(4, 16, 16).round()
    mask[2] = torch.nan
    how = Augmentation(gamma=0.4, contrast=0.4, brightness=0.2, noise=0.1, blur=1.0, erase=1.0, tone=0.5)
    changed, same = augment_pairs(image, mask, how, torch.Generator().manual_seed(0))
    assert torch.equal(same.nan_to_num(-1), mask.nan_to_num(-1))
    assert not torch.allclose(changed, image)
    turned = augment_pairs(image, mask, Augmentation(rotation=30), torch.Generator().manual_seed(0))[1]
    assert turned[2].isnan().all()
    assert not turned[:2].isnan().any()


# --- the network


def test_attention_averages_where_the_network_sees_lungs(hybrid: Bundle) -> None:
    recipe = hybrid.recipe
    torch.manual_seed(0)
    network = of_work(hybrid.card.model, recipe.preprocess, work_of("classify+segment", TWO)).eval()
    assert network.attention
    deep, pixels = torch.zeros(1, 3, 2, 2), torch.full((1, 1, 8, 8), -20.0)
    deep[0, :, 0, 0] = 1.0
    even = network.pooled(deep, pixels)
    pixels[:, :, :4, :4] = 20.0
    looking = network.pooled(deep, pixels)
    assert torch.allclose(even, torch.full((1, 3), 0.25), atol=1e-4)
    assert torch.allclose(looking, torch.full((1, 3), 1.05 / 1.2), atol=1e-4)


def test_the_backbone_alone_makes_the_vector_the_head_reads(hybrid: Bundle) -> None:
    recipe = hybrid.recipe.changed({"head.attention": False})
    architecture = hybrid.card.model.model_copy(update={"head": recipe.head})
    network = Network(architecture, recipe.preprocess, 2, segments=True).eval()
    grey = torch.rand(2, 1, SIZE, SIZE)
    with torch.inference_mode():
        labels = network.logits(grey).labels
        assert labels is not None
        assert torch.allclose(labels, network.head(network.features(grey)), atol=1e-5)


# --- the line


def test_masks_are_learned_and_told_in_the_card(outlining_bundle: Bundle, lungs: Path) -> None:
    card = outlining_bundle.card
    assert (card.task, card.classifies, card.segments, card.operating_points) == ("segment", False, True, {})
    assert card.outline is not None
    assert card.outline.dice is not None
    assert card.outline.dice > 0.9
    assert card.data.masks["val"] == card.outline.n
    assert sum(card.data.images.values()) == 64
    assert card.training.validation["dice"] is not None
    assert card.training.validation["auroc"] is None
    feed = load(outlining_bundle.recipe, ("val",))
    val = feed.part("val")
    given_ = infer(start(outlining_bundle), val, "x")
    assert given_.probabilities.shape == (len(val), 0)
    assert given_.masks is not None
    assert masks.fitted(given_.masks, val.truth(slice(None)), bound_to=("", "")).dice == card.outline.dice


def test_a_hybrid_learns_both_and_takes_images_without_masks(hybrid: Bundle) -> None:
    card = hybrid.card
    assert card.outputs == ("probabilities", "masks")
    assert set(card.operating_points) >= {"balanced"}
    assert card.outline is not None
    assert card.outline.dice is not None
    assert card.outline.dice > 0.85
    assert sum(card.data.images.values()) == 80
    assert sum(card.data.masks.values()) == 64
    assert card.training.validation["auroc"] is not None


def test_a_cut_training_ends_with_the_same_weights(hybrid: Bundle, tmp_path: Path) -> None:
    cut_after(2, hybrid.recipe, tmp_path / "cut")
    again = ln.train(hybrid.recipe, tmp_path / "cut")
    assert again.card.files["weights.safetensors"] == hybrid.card.files["weights.safetensors"]


def test_other_masks_are_other_data(outlining_bundle: Bundle, lungs: Path, tmp_path: Path) -> None:
    import shutil

    moved = tmp_path / "moved"
    shutil.copytree(lungs, moved)
    assert ln.evaluate(outlining_bundle, "val", root=moved).segmentation is not None
    for path in (moved / "masks").iterdir():
        pixels = np.asarray(Image.open(path)).copy()
        pixels[0, 0] = 255
        Image.fromarray(pixels).save(path)
    with pytest.raises(UsageError, match="masks are not the files"):
        ln.evaluate(outlining_bundle, "val", root=moved)


@pytest.mark.parametrize("which", ["outlining_bundle", "hybrid"])
def test_a_report_holds_what_the_model_answers(which: str, request: pytest.FixtureRequest) -> None:
    bundle: Bundle = request.getfixturevalue(which)
    report = ln.evaluate(bundle, "test")
    figures = report.segmentation
    assert figures is not None
    assert figures.mean["dice"].value is not None
    assert figures.mean["dice"].value > 0.85
    assert figures.images == bundle.card.data.masks["test"]
    assert bool(report.metrics) == bundle.card.classifies
    assert bool(report.scores) == bundle.card.classifies
    page = (bundle.path / "reports" / "test" / "report.html").read_text()
    assert page.count("data:image/png") >= 10
    assert "HD95" in page
    assert run(["evaluate", str(bundle.path), "--split", "val"]) == 0


def test_the_graph_answers_as_torch_does_and_int8_holds_its_gate(outlining_bundle: Bundle, tmp_path: Path) -> None:
    fp32 = ln.export(outlining_bundle, "onnxruntime", out=tmp_path / "fp32")
    gate = fp32.card.gate
    assert gate is not None
    assert (gate.auroc, gate.flipped, gate.largest_difference) == (None, None, 0.0)
    assert gate.dice == pytest.approx(gate.dice_parent, abs=1e-4)
    int8 = ln.export(outlining_bundle, "onnxruntime", "int8", out=tmp_path / "int8", limits=Limits(dice_lost=0.05))
    assert int8.card.gate is not None
    assert int8.card.gate.dice is not None
    assert int8.card.outline is not None
    assert int8.card.outline.threshold == outlining_bundle.card.outline.threshold  # type: ignore[union-attr]
    assert int8.card.outline.model_digest != fp32.card.outline.model_digest  # type: ignore[union-attr]
    val = load(int8.recipe, ("val",)).part("val")
    before, after = (infer(start(b), val, "x").masks for b in (outlining_bundle, int8))
    assert before is not None
    assert after is not None
    # a skip that ends in a ReLU meets an upsampling that does not: one range for both would undo the ReLU
    assert 0 < np.abs(before.astype(int) - after).mean() < 8
    with pytest.raises(GateFailed, match="Dice"):
        ln.export(outlining_bundle, "onnxruntime", "int8", out=tmp_path / "x", limits=Limits(dice_lost=-0.5))


def test_a_hybrid_exports_to_every_runtime(hybrid: Bundle, tmp_path: Path) -> None:
    val = load(hybrid.recipe, ("val",)).part("val")
    expected = infer(start(hybrid), val, "x")
    for backend, precision in (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "int8")):
        made = ln.export(hybrid, backend, precision, out=tmp_path / f"{backend}{precision}", limits=LOOSE)
        given_ = infer(start(made), val, "x")
        far = 0.08 if precision == "int8" else 2e-3
        assert np.abs(given_.probabilities - expected.probabilities).max() < far
        assert expected.masks is not None
        assert given_.masks is not None
        assert np.abs(given_.masks.astype(int) - expected.masks).mean() < 255 * far
        assert made.card.gate is not None
        assert made.card.gate.auroc is not None
        assert made.card.gate.dice is not None


def test_pruning_takes_channels_out_of_both_heads_networks(hybrid: Bundle, tmp_path: Path) -> None:
    loose = LOOSE.model_copy(update={"dice_lost": 0.5, "auroc_lost": 0.5, "flipped": 0.9, "ece_gained": 0.9})
    made = ln.prune(hybrid, out=tmp_path / "a", flops=0.6, steps=1, epochs=1, limits=loose)
    assert made.card.parameters < hybrid.card.parameters
    given_ = start(open_bundle(made.path)).run(np.zeros((2, 1, SIZE, SIZE), np.uint8))
    assert given_.probabilities.shape == (2, 2)
    assert given_.masks is not None
    assert given_.masks.shape == (2, SIZE, SIZE)
    with pytest.raises(UsageError, match="distilled"):
        ln.prune(hybrid, out=tmp_path / "b", flops=0.6, distil=0.5)


def test_a_network_of_masks_alone_is_pruned_by_command(
    outlining_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "a"), "--flops", "0.6", "--steps", "1", "--epochs", "1", "--dice-lost", "0.5"]
    assert run(["prune", str(outlining_bundle.path), *out]) == 0
    assert "Dice" in capsys.readouterr().out


def test_masks_must_be_known_where_they_are_learned_and_where_they_are_chosen_by(lungs: Path, tmp_path: Path) -> None:
    import shutil

    moved = tmp_path / "moved"
    shutil.copytree(lungs, moved)
    rows = table_of(moved / "table.csv")
    with (moved / "table.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, [*rows[0], "split"])
        table.writeheader()
        for row in rows:
            part = ("train", "val", "test")[int(row["patient"][1:]) // 2 % 3]
            table.writerow(row | {"split": part, "mask": row["mask"] if part == "train" else ""})
    with pytest.raises(UsageError, match="no image of the val part has a known mask"):
        ln.train(recipe_of(moved, "classify+segment"), tmp_path / "a")


def test_labels_that_nobody_knows_are_not_learned(lungs: Path, tmp_path: Path) -> None:
    recipe = recipe_of(lungs, "segment").changed({"task": "classify+segment"})
    with pytest.raises(UsageError, match="has a label to learn"):
        ln.train(recipe, tmp_path / "a")


def test_a_hybrid_is_judged_where_there_are_no_masks(hybrid: Bundle, lungs: Path, tmp_path: Path) -> None:
    import shutil

    from laennec.recipe import data_of

    shutil.copytree(lungs / "images", tmp_path / "other" / "images")
    rows = table_of(lungs / "table.csv")
    with (tmp_path / "other" / "other.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, ["path", "label", "patient"], extrasaction="ignore")
        table.writeheader()
        table.writerows(rows[:40])
    data = data_of("table", [f"root={tmp_path / 'other' / 'other.csv'}", 'positive=["sick"]'])
    report = ln.evaluate(hybrid, on=data)
    assert (report.part, report.place, report.images) == ("external", "on-other", 40)
    assert any("Whether this test is external is not known" in note for note in report.notes)
    assert report.segmentation is None
    assert report.metrics["auroc"].n == 40


def test_ensembles_are_for_labels(hybrid: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="makes masks"):
        ln.ensemble([hybrid, hybrid], tmp_path / "a")


def test_a_rule_of_masks_belongs_to_its_model(outlining_bundle: Bundle, tmp_path: Path) -> None:
    import shutil

    from laennec.storage import digest, write_json

    shutil.copytree(outlining_bundle.path, tmp_path / "b")
    card = read_json(tmp_path / "b" / "card.json")
    card["outline"]["model_digest"] = "0" * 64
    card["seal"] = digest({key: value for key, value in card.items() if key != "seal"})
    write_json(tmp_path / "b" / "card.json", card)
    with pytest.raises(UntrustedBundle, match="rule of the masks"):
        open_bundle(tmp_path / "b")


# --- answers


def test_a_prediction_tells_each_lungs_area(outlining_bundle: Bundle, lungs: Path) -> None:
    name = "p000_0.png"
    answer = ln.open(outlining_bundle.path).predict(lungs / "images" / name)
    truth = np.asarray(Image.open(lungs / "masks" / name)) > 0
    assert answer.lungs is not None
    assert answer.lungs.share == pytest.approx(truth.mean(), abs=0.04)
    assert answer.lungs.right.share + answer.lungs.left.share == pytest.approx(answer.lungs.share)
    assert answer.lungs.square_centimetres is None
    assert (answer.score, answer.positive, answer.probabilities) == (None, None, {})
    right, left = outlining.lungs(outlining_bundle, answer, truth.shape)
    assert 2 * ((right | left) & truth).sum() / (truth.sum() + (right | left).sum()) > 0.85
    assert right.nonzero()[1].mean() < 16 < left.nonzero()[1].mean()
    assert "mask" not in answer.model_dump()


def test_predict_writes_masks_and_overlays(
    hybrid: Bundle, lungs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(lungs / "images" / f"p00{i}_0.png") for i in range(3)] + [str(lungs / "table.csv")]
    code = run(["predict", str(hybrid.path), *files, "--out", str(tmp_path / "out"), "--json"])
    assert code == 3
    rows = json.loads(capsys.readouterr().out)
    assert [row["refused"] for row in rows] == [False, False, False, True]
    for row in rows[:3]:
        numbered = np.asarray(Image.open(row["mask"]))
        assert numbered.shape == (SIZE, SIZE)
        assert set(np.unique(numbered)) == {0, 1, 2}
        assert (numbered > 0).mean() == pytest.approx(row["lungs"]["share"], abs=0.02)
        assert Image.open(row["overlay"]).mode == "RGB"
    run(["predict", str(hybrid.path), files[0], "--out", str(tmp_path / "out")])
    assert (tmp_path / "out" / "p000_0-2.mask.png").is_file()
    assert "lungs" in capsys.readouterr().out


def test_out_is_for_models_that_segment(trained: Bundle, pictures: Path, tmp_path: Path) -> None:
    image = next(pictures.rglob("*.png"))
    assert run(["predict", str(trained.path), str(image), "--out", str(tmp_path / "x")]) == 2
    assert not (tmp_path / "x").exists()
    with pytest.raises(UsageError, match="outlines nothing"):
        outlining.outline(trained, image, ln.open(trained.path).predict(image), tmp_path)


def test_a_dicom_file_gets_a_segmentation_object(outlining_bundle: Bundle, real_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="highdicom is in the extra 'dicom-write'")
    import pydicom

    predictor = ln.open(outlining_bundle.path)
    source = sorted((real_data / "dicom").glob("*.dcm"))[0]
    answer = predictor.predict(source)
    made = outlining.outline(outlining_bundle, source, answer, tmp_path)
    assert made.segmentation is not None
    written, read = pydicom.dcmread(made.segmentation), pydicom.dcmread(source, stop_before_pixels=True)
    assert (written.StudyInstanceUID, written.Rows) == (read.StudyInstanceUID, read.Rows)
    numbered = np.asarray(Image.open(made.mask))
    assert int((numbered > 0).sum()) == int(written.pixel_array.sum())


def test_areas_that_are_not_known_go_into_parquet(outlining_bundle: Bundle, lungs: Path, tmp_path: Path) -> None:
    from pyarrow import parquet

    ln.score(ln.open(outlining_bundle.path, gate="tell"), lungs / "images", tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.num_rows == 80
    assert table["lungs_cm2"].null_count == 80
    assert table["lungs"].null_count == 0
    assert set(table["chest_doubt"].to_pylist()) != {None}


def test_the_gate_tells_or_refuses_in_this_process_and_in_others(
    outlining_bundle: Bundle, lungs: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    for decoders in (0, 1):
        told = list(ln.open(outlining_bundle.path, gate="tell").stretches([tmp_path / "noise.png"], decoders=decoders))
        assert told[0].done[0]["chest_doubt"]
        stopped = ln.open(outlining_bundle.path, gate="refuse").stretches([tmp_path / "noise.png"], decoders=decoders)
        assert [error.code for error in next(iter(stopped)).refused.values()] == ["not_chest"]
    assert ln.open(outlining_bundle.path).predict(tmp_path / "noise.png").doubt == ""


def test_score_tells_areas_and_doubts(hybrid: Bundle, outlining_bundle: Bundle, lungs: Path, tmp_path: Path) -> None:
    both = ln.score(ln.open(hybrid.path), lungs / "images", tmp_path / "both.csv")
    alone = ln.score(ln.open(outlining_bundle.path), lungs / "images", tmp_path / "alone.csv")
    assert both.images == alone.images == 80
    rows, fewer = table_of(tmp_path / "both.csv"), table_of(tmp_path / "alone.csv")
    assert set(rows[0]) - set(fewer[0]) == {
        "label", "positive", "score", "threshold", "operating_point", "p_normal", "p_sick",
    }  # fmt: skip
    predictor = ln.open(outlining_bundle.path)
    for row in fewer[:10]:
        answer = predictor.predict(lungs / "images" / row["file"])
        assert isinstance(answer, Prediction)
        assert answer.lungs is not None
        told = (answer.lungs.share, answer.lungs.right.share, answer.lungs.left.share)
        assert tuple(float(row[name]) for name in ("lungs", "lung_right", "lung_left")) == pytest.approx(told)
        assert (row["lungs_cm2"], row["lungs_doubt"]) == ("", answer.lungs.doubt)


def test_bundles_that_segment_are_compared_and_costed(outlining_bundle: Bundle, tmp_path: Path) -> None:
    fp32 = ln.export(outlining_bundle, "onnxruntime", out=tmp_path / "fp32")
    found = ln.compare([outlining_bundle, fp32], out=tmp_path)
    assert found.rows[1].metrics["dice"].value == pytest.approx(found.rows[0].metrics["dice"].value, abs=1e-3)
    assert found.rows[1].threshold is None
    assert found.rows[1].against_first["dice_difference"] == pytest.approx(0, abs=1e-3)
    page = (tmp_path / "comparison.html").read_text()
    assert "Dice" in page
    assert ln.cost(fp32, threads=[1], batches=[1]).timings


def test_outputs_are_taken_and_joined_together() -> None:
    whole = Outputs(np.arange(6, dtype=np.float32).reshape(3, 2), np.arange(12, dtype=np.uint8).reshape(3, 2, 2))
    parts = [whole[:1], whole[1:]]
    again = Outputs.joined(parts)
    assert again.masks is not None
    assert np.array_equal(again.masks, whole.masks)  # type: ignore[arg-type]
    assert np.array_equal(again.probabilities, whole.probabilities)
    assert Outputs.joined([Outputs(whole.probabilities)]).masks is None
    assert not Outputs(np.full((1, 2), np.nan, np.float32)).finite


def test_models_that_segment_are_listed_and_built() -> None:
    able = [name for name in family.names("models") if getattr(family.member("models", name), "SEGMENTS", False)]
    assert {"unet", "encoder_unet"} <= set(able)
    assert overlays.overlay(np.zeros((8, 8), np.float32), np.zeros((8, 8), bool), np.zeros((8, 8), bool))
