"""The straight line, end to end: a bundle is judged, exported, compared and asked, by Python and by command."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import laennec as ln
from conftest import LOOSE, tiny_pictures, tiny_recipe, without_search
from laennec import decisions, family, images, shelf
from laennec.bundle import Bundle
from laennec.cli import run
from laennec.errors import GateFailed, ImageError, MissingExtra, UnknownName, UsageError
from laennec.results import Refused, Report
from laennec.runtime import start


def answer(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = run(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def some_files(pictures: Path, tmp_path: Path) -> list[Path]:
    """A PNG that is sick, one that is normal, a text file, and a file that is not there."""
    (tmp_path / "note.png").write_text("no image")
    return [
        pictures / "sick" / "p001_0.png",
        pictures / "normal" / "p000_0.png",
        tmp_path / "note.png",
        tmp_path / "no",
    ]


def test_the_report_counts_images_and_patients_and_gives_intervals(trained: Bundle) -> None:
    report = ln.evaluate(trained, "test")
    assert (report.images, report.patients, report.positives) == (36, 18, 18)
    assert report.bundle_digest == trained.digest
    for name in ("auroc", "auprc", "accuracy", "sensitivity", "specificity", "ece", "brier", "f1_macro"):
        estimate = report.metrics[name]
        assert estimate.n > 0 and estimate.low <= estimate.value <= estimate.high, name
    assert report.metrics["auroc"].value > 0.9
    assert report.operating_point == trained.card.operating_point
    folder = trained.path / "reports" / "test"
    assert Report.model_validate(json.loads((folder / "report.json").read_text())) == report
    assert "Research use only" in (folder / "report.html").read_text()


def test_validation_gives_back_the_frozen_operating_point(trained: Bundle) -> None:
    """What the card says of its threshold is what evaluating the same images says."""
    report = ln.evaluate(trained, "val")
    assert report.metrics["sensitivity"].value == pytest.approx(trained.card.operating_point.sensitivity)
    assert report.metrics["specificity"].value == pytest.approx(trained.card.operating_point.specificity)


def test_another_data_set_is_not_the_split_the_bundle_was_made_with(trained: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="other images or split"):
        ln.evaluate(trained, "test", root=tiny_pictures(tmp_path / "other", patients=40))


def test_other_pixels_under_the_same_names_are_not_the_bundles_data(pictures: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(pictures, tmp_path / "in")
    recipe = tiny_recipe(tmp_path / "in", phases=[{"epochs": 1, "learning_rate": 1e-3}])
    bundle = ln.train(recipe, tmp_path / "run")
    key = next(iter(ln.evaluate(bundle).scores))
    shutil.copy(pictures / "sick" / "p001_0.png", tmp_path / "in" / key)
    with pytest.raises(UsageError, match="other bytes"):
        ln.evaluate(bundle)
    assert ln.evaluate(bundle, "val").images


def test_data_that_moved_is_found_by_root(trained: Bundle, tmp_path: Path) -> None:
    assert ln.evaluate(trained, "val", root=tiny_pictures(tmp_path / "moved")).images > 0


@pytest.mark.parametrize("backend", [n for n in family.names("backends") if family.member("backends", n).PRECISIONS])
def test_backends_give_the_parents_answers(trained: Bundle, tmp_path: Path, backend: str) -> None:
    """Contract: fp32 differs by rounding only, any batch size gives the same, and the card's precisions all run."""
    member = family.member("backends", backend)
    pixels = np.random.default_rng(0).integers(0, 256, (9, 1, 32, 32), np.uint8)
    expected = start(trained).run(pixels).probabilities
    for precision in member.PRECISIONS:
        made = ln.export(trained, backend, precision, out=tmp_path / precision, limits=LOOSE)
        session = start(made, threads=1)
        got = session.run(pixels).probabilities
        assert got.dtype == np.float32 and got.shape == expected.shape
        assert np.allclose(got.sum(1), 1, atol=1e-3)
        assert np.abs(got - expected).max() < (1e-4 if precision == "fp32" else 0.25)
        assert np.allclose(
            np.concatenate([session.run(pixels[i : i + 1]).probabilities for i in range(9)]), got, atol=1e-5
        )
        assert made.card.gate.largest_difference < (1e-4 if precision == "fp32" else 0.25)


def test_an_int8_parent_is_not_quantised_twice(quantised: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="already"):
        ln.export(quantised, "onnxruntime", "int8", out=tmp_path / "again")


def test_onnx_fp32_can_be_quantised_and_the_parent_chain_holds(trained: Bundle, tmp_path: Path) -> None:
    graph = ln.export(trained, "onnxruntime", "fp32", out=tmp_path / "a")
    small = ln.export(graph, "onnxruntime", "int8", out=tmp_path / "b", limits=LOOSE)
    assert (graph.card.parent, small.card.parent) == (trained.digest, graph.digest)
    assert ln.export(trained, "onnxruntime", "fp32", out=tmp_path / "a").digest == graph.digest
    with pytest.raises(UsageError, match="holds another bundle"):
        ln.export(trained, "onnxruntime", "int8", out=tmp_path / "a")
    with pytest.raises(UsageError, match="is not empty"):
        ln.export(trained, "onnxruntime", "int8", out=tmp_path)


def test_a_gate_that_does_not_hold_seals_nothing(
    trained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_search(monkeypatch)
    with pytest.raises(GateFailed) as caught:
        ln.export(trained, "onnxruntime", "int8", out=tmp_path / "x", limits=ln.Limits(auroc_lost=-0.5))
    assert caught.value.exit_code == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("left", ["models", "hidden"])
def test_an_export_that_was_cut_is_taken_up_again(trained: Bundle, tmp_path: Path, left: str) -> None:
    """A killed export leaves nothing at its place; what it leaves beside is no obstacle."""
    (tmp_path / ".x.abc.part").mkdir()
    if left == "hidden":
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / ".DS_Store").touch()
    assert ln.export(trained, "onnxruntime", "fp32", out=tmp_path / "x").card.parent == trained.digest


def test_other_labels_of_the_same_images_are_not_the_bundles_data(pictures: Path, tmp_path: Path) -> None:
    """The split's digest would not tell: it holds ids alone."""
    rows = ["path,label,patient,split"]
    for number, path in enumerate(sorted(pictures.rglob("*.png"))):
        part = ("train", "val", "test")[number // 2 % 60 // 2 % 3]
        rows.append(f"{path.relative_to(pictures)},{path.parent.name},{path.name[:4]},{part}")
    table = tmp_path / "t.csv"
    table.write_text("\n".join(rows))
    data = {"name": "table", "root": str(table), "images": str(pictures), "positive": ["sick"]}
    recipe = tiny_recipe(pictures, data=data, phases=[{"epochs": 1, "learning_rate": 1e-3}])
    bundle = ln.train(recipe, tmp_path / "run")
    swap = {"sick": "normal", "normal": "sick"}
    swapped = [",".join([f[0], swap[f[1]], *f[2:]]) for f in (row.split(",") for row in rows[1:])]
    table.write_text("\n".join([rows[0], *swapped]))
    for ask in (lambda: ln.evaluate(bundle), lambda: ln.train(recipe, tmp_path / "run")):
        with pytest.raises(UsageError, match="other labels or patients"):
            ask()


def test_prediction_and_evaluation_tell_one_truth(quantised: Bundle) -> None:
    """The score of a test image is the same number through evaluate (cache) and through predict (file)."""
    report = ln.evaluate(quantised, "test")
    root = Path(quantised.recipe.data.options["root"])
    predictor = ln.Predictor(quantised, threads=1)
    for key, score in list(report.scores.items())[:12]:
        assert predictor.predict(root / key).score == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"frame": "lungs", "equalise": True}, {"frame": "lungs", "equalised": True}),
        ({"decode": "reduced"}, {"scale": 2}),
    ],
    ids=["lungs", "reduced"],
)
def test_other_ways_of_reading_tell_one_truth_too(
    real_data: Path, tmp_path: Path, chosen: dict[str, Any], told: dict[str, Any]
) -> None:
    """Framed, equalised or decoded at a reduced scale: what the model was fed in training is what a file gives it."""
    for number, path in enumerate(sorted((real_data / "kermany" / "test").rglob("*.jpeg"))[::13]):
        place = tmp_path / "data" / ("sick" if path.parent.name == "PNEUMONIA" else "normal") / f"p{number:03}_0.jpeg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    recipe = tiny_recipe(
        tmp_path / "data", preprocess={"size": 32} | chosen, phases=[{"epochs": 1, "learning_rate": 1e-2}]
    )
    bundle = ln.train(recipe, tmp_path / "run")
    assert ln.open_bundle(bundle.path).card.preprocess == recipe.preprocess
    report, predictor = ln.evaluate(bundle, "test"), ln.Predictor(bundle, threads=1)
    for key, score in list(report.scores.items())[:8]:
        answer = predictor.predict(tmp_path / "data" / key)
        assert answer.score == pytest.approx(score, abs=1e-6)
        assert answer.image.items() >= told.items()


def test_the_decision_is_held_against_the_frozen_threshold(quantised: Bundle, some_files: list[Path]) -> None:
    for rule in ("balanced", "rule_out", "rule_in"):
        predictor = ln.Predictor(quantised, rule)
        prediction = predictor.predict(some_files[0])
        assert prediction.threshold == quantised.card.operating_points[rule].threshold
        assert prediction.positive == (prediction.score >= prediction.threshold)
        assert prediction.bundle_digest == quantised.digest
    with pytest.raises(UnknownName):
        ln.Predictor(quantised, "strict")


def test_bytes_and_files_give_the_same_answer(quantised: Bundle, some_files: list[Path]) -> None:
    predictor = ln.Predictor(quantised)
    path = some_files[0]
    assert predictor.predict(path).score == predictor.predict(path.read_bytes()).score
    with pytest.raises(ImageError):
        predictor.predict(some_files[2])


def test_many_keep_their_order_around_the_refused(quantised: Bundle, some_files: list[Path]) -> None:
    paths = some_files * 9
    answers = list(ln.Predictor(quantised).predict_many(paths, batch=7))
    assert [a.id for a in answers] == [str(p) for p in paths]
    assert [isinstance(a, Refused) for a in answers] == [False, False, True, True] * 9


def test_predict_on_the_command_line(
    quantised: Bundle, some_files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(f) for f in some_files]
    code, out, err = answer(["predict", str(quantised.path), *files, "--json"], capsys)
    rows = json.loads(out)
    assert code == 3
    assert [row["refused"] for row in rows] == [False, False, True, True]
    assert rows[0]["positive"] and not rows[1]["positive"]
    assert rows[2]["code"] == "unsupported_type" and rows[3]["code"] == "not_found"
    assert err.count("refused:") == 2
    code, out, _ = answer(["predict", str(quantised.path), *files[:2]], capsys)
    assert code == 0 and "sick" in out and "Research use only" in out


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_score_does_the_rest_of_a_folder_with_bad_files(
    quantised: Bundle, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_pictures(tmp_path / "in", patients=6)
    (folder / "=cmd.png").write_bytes((folder / "sick" / "p001_0.png").read_bytes())
    (folder / "empty.png").touch()
    (folder / ".hidden.png").touch()
    out = tmp_path / f"out.{kind}"
    code, said, _ = answer(["score", str(quantised.path), str(folder), "--out", str(out)], capsys)
    assert code == 3 and "13 images" in said
    if kind == "csv":
        rows = list(csv.DictReader(out.open(newline="")))
        assert rows[0]["file"] == "'=cmd.png"
    else:
        from pyarrow import parquet

        rows = parquet.read_table(out).to_pylist()
        assert rows[0]["file"] == "=cmd.png"
    assert [r["file"] for r in rows[1:]] == sorted(r["file"] for r in rows[1:])
    assert {r["label"] for r in rows} == {"normal", "sick"}
    refused = list(csv.DictReader((tmp_path / f"out.{kind}.refused.csv").open(newline="")))
    assert [(r["id"], r["code"]) for r in refused] == [("empty.png", "empty")]


def test_a_file_name_that_is_no_utf8_is_scored_too(quantised: Bundle, tmp_path: Path) -> None:
    folder = tiny_pictures(tmp_path / "in", patients=2)
    source = folder / "sick" / "p001_0.png"
    try:
        source.rename(Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")))
    except OSError:
        pytest.skip(reason="this file system takes UTF-8 names only")
    scored = ln.score(ln.Predictor(quantised), folder, tmp_path / "out.csv")
    assert scored.images == 4 and "caf\\xe9.png" in (tmp_path / "out.csv").read_text()


def test_results_inside_the_scored_folder_are_not_scored(quantised: Bundle, tmp_path: Path) -> None:
    folder = tiny_pictures(tmp_path / "in", patients=2)
    (folder / "bad.png").write_text("no image")
    for _ in range(2):
        scored = ln.score(ln.Predictor(quantised), folder, folder / "out.csv")
        assert (scored.images, [r.id for r in scored.refused]) == (4, ["bad.png"])


def test_a_missing_extra_refuses_one_file_not_the_batch(
    quantised: Bundle, some_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = images.load

    def without_dicom(source: Path, *rest: object, **more: object) -> object:
        if source.name == "note.png":
            raise MissingExtra("this needs the library 'pydicom'", 'pip install "laennec[dicom]"')
        return load(source, *rest, **more)

    monkeypatch.setattr(images, "load", without_dicom)
    answers = list(ln.Predictor(quantised).predict_many(some_files))
    assert [a.code if isinstance(a, Refused) else "" for a in answers] == ["", "", "missing_extra", "not_found"]


def test_score_refuses_what_it_cannot_write_or_find(
    quantised: Bundle, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for source, out in ((pictures, "a.xlsx"), (tmp_path / "none", "a.csv"), (tmp_path, "a.csv")):
        code, _, err = answer(["score", str(quantised.path), str(source), "--out", str(tmp_path / out)], capsys)
        assert code == 2 and err.startswith("error: ") and "\nhint:  " in err


def test_compare_holds_every_bundle_against_the_first(
    trained: Bundle, quantised: Bundle, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["compare", str(trained.path), str(quantised.path), "--out", str(tmp_path), "--json"]
    code, out, _ = answer(arguments, capsys)
    rows = json.loads(out)["rows"]
    assert code == 0
    assert [row["precision"] for row in rows] == ["fp32", "int8"]
    assert rows[0]["against_first"] == {} and rows[0]["speedup"] == 1
    assert 0 <= rows[1]["against_first"]["auroc_delong"] <= 1
    assert all(0 < row["latency_p50"] <= row["latency_p95"] for row in rows)
    assert "Research use only" in (tmp_path / "comparison.html").read_text()
    code, out, _ = answer(arguments[:-1], capsys)
    assert code == 0 and "int8" in out
    assert answer(["compare", str(trained.path)], capsys)[0] == 2


def test_bundles_of_different_splits_are_not_compared(trained: Bundle, pictures: Path, tmp_path: Path) -> None:
    other = ln.train(
        tiny_recipe(pictures, split={"seed": 5}, phases=[{"epochs": 1, "learning_rate": 1e-3}]), tmp_path / "o"
    )
    with pytest.raises(UsageError, match="another split"):
        ln.compare([trained, other])


def test_several_labels_at_once_run_the_line(pictures: Path, tmp_path: Path) -> None:
    """Labels that can hold together, one unknown here and there: sigmoid, masked loss, per-label figures."""
    lines = ["path,spot,dark,patient"]
    for number, path in enumerate(sorted(pictures.rglob("*.png"))):
        spot = "" if number % 11 == 0 else str(int(path.parent.name == "sick"))
        lines.append(f"{path.relative_to(pictures)},{spot},{number % 2},{path.name[:4]}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    data = {"name": "table", "root": str(tmp_path / "t.csv"), "images": str(pictures), "positive": ["spot"]}
    recipe = tiny_recipe(pictures, data=data | {"labels": ["spot", "dark"]})
    bundle = ln.train(recipe, tmp_path / "run")
    report = ln.evaluate(bundle)
    assert not bundle.card.labels.exclusive
    assert report.metrics["auroc"].value > 0.85
    assert [row.label for row in report.per_class] == ["spot", "dark"]
    graph = ln.export(bundle, out=tmp_path / "onnx")
    assert ln.compare([bundle, graph]).rows[1].against_first["flipped"] == 0
    prediction = ln.Predictor(graph).predict(pictures / "sick" / "p001_0.png")
    assert set(prediction.probabilities) == {"spot", "dark"}


def test_unreadable_training_images_are_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_pictures(tmp_path / "in", patients=40)
    broken = folder / "sick" / "p001_0.png"
    broken.write_bytes(broken.read_bytes()[:60])
    monkeypatch.delenv("LAENNEC_QUIET")
    bundle = ln.train(tiny_recipe(folder, phases=[{"epochs": 1, "learning_rate": 1e-3}]), tmp_path / "run")
    refused = [r for p in ("train", "val", "test") for r in ln.evaluate(bundle, p).refused]
    assert [r.id for r in refused] == ["sick/p001_0.png"]
    seen = bundle.card.data.images
    assert seen["train"] + seen["val"] == sum(ln.evaluate(bundle, p).images for p in ("train", "val"))
    assert "p001_0.png" in capsys.readouterr().err


def test_lists_and_counts(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in (*family.FAMILIES, "recipes", "studies"):
        code, out, _ = answer(["list", kind], capsys)
        assert code == 0 and out.strip()
        assert json.loads(answer(["list", kind, "--json"], capsys)[1])[0]["name"]
    assert answer(["list", "datasetz"], capsys)[0] == 2
    (tmp_path / "r.toml").write_text(
        f"[data]\nname='folder'\nroot='{pictures}'\npatient='^(p[0-9]+)_'\n[model]\nname='cnn'\n"
        "[[phases]]\nepochs=1\nlearning_rate=0.1\n"
    )
    code, out, _ = answer(["data", "show", str(tmp_path / "r.toml"), "--json"], capsys)
    shown = json.loads(out)
    assert code == 0 and shown["whole"]["images"] == 120 and shown["whole"]["patients"] == 60
    assert sum(part["images"] for part in shown["parts"]) == 120
    assert answer(["data", "show", str(tmp_path / "r.toml")], capsys)[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [["trian"], ["train"], ["train", "demo"], ["train", "none.toml", "--out", "x"], ["list"], ["evaluate", "nowhere"]],
)
def test_wrong_usage_is_two_lines_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = answer(arguments, capsys)
    assert code == 2
    assert err.startswith("error: ") and err.count("\n") == 2 and "\nhint:  " in err


def test_predict_and_score_load_no_torch(quantised: Bundle, pictures: Path, tmp_path: Path) -> None:
    bundle, out = str(quantised.path), str(tmp_path / "o.csv")
    code = (
        "import sys; from laennec.cli import run\n"
        f"assert run(['predict', {bundle!r}, {str(pictures / 'sick' / 'p001_0.png')!r}]) == 0\n"
        f"assert run(['score', {bundle!r}, {str(pictures)!r}, '--out', {out!r}]) == 0\n"
        "heavy = {'torch', 'timm', 'torchvision', 'sklearn', 'scipy', 'matplotlib', 'onnx', 'safetensors'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


PLUGINS = {
    "datasets": (
        "stripes",
        '''"""Striped pictures, a data set from outside."""
import numpy as np
from pathlib import Path
from typing import Any
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from laennec.labels import LabelSet
from laennec.samples import Collection, Sample

class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    root: Path
    n: int = 40

def load(options):
    options.root.mkdir(parents=True, exist_ok=True)
    samples = []
    for i in range(options.n):
        pixels = np.zeros((32, 32), np.uint8) + 60 + i
        pixels[:: 4 if i % 2 else 9] = 220
        Image.fromarray(pixels).save(options.root / f"{i}.png")
        labels = (1.0 - i % 2, float(i % 2))
        samples.append(Sample(id=f"{i}", path=options.root / f"{i}.png", labels=labels, patient=str(i)))
    return Collection("stripes", LabelSet(names=("wide", "narrow"), positive=("narrow",)), tuple(samples))
''',
    ),
    "models": (
        "flat",
        '''"""One dense layer over the pixels, a model from outside."""
from pydantic import BaseModel, ConfigDict

class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    width: int = 12

def starting_weights(options):
    return "random"

def build(options, channels, size, start=True):
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, options.width), nn.ReLU()), options.width
''',
    ),
    "backends": (
        "numpyrun",
        '''"""The dense model run by numpy alone, a backend from outside."""
import numpy as np

PRECISIONS = ("fp32",)
CALIBRATES = False

def ready():
    pass

def computes(precision):
    return True

def start(card, files, threads):
    from laennec.outputs import Outputs
    from safetensors.numpy import load
    w = load(files["plain.safetensors"])
    mean, std = card.preprocess.mean, card.preprocess.std

    class Session:
        def run(self, pixels):
            x = ((pixels.astype(np.float32) / 255 - mean) / std).reshape(len(pixels), -1)
            hidden = np.maximum(x @ w["network.backbone.1.weight"].T + w["network.backbone.1.bias"], 0)
            logits = hidden @ w["network.head.1.weight"].T + w["network.head.1.bias"]
            odds = np.exp(logits - logits.max(1, keepdims=True))
            return Outputs((odds / odds.sum(1, keepdims=True)).astype(np.float32))

    return Session()

def export(parent, files, precision, quantiser, how):
    from safetensors.numpy import load, save
    weights = load(files["weights.safetensors"])
    return {"plain.safetensors": save({f"network.{k}": v for k, v in weights.items()})}
''',
    ),
}


def test_a_data_set_a_model_and_a_backend_join_by_one_file_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One file and one entry point each, installed beside laennec; they are listed, checked and run like built-ins."""
    site = tmp_path / "site"
    info = site / "stranger-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    points = ""
    for kind, (name, code) in PLUGINS.items():
        (site / f"stranger_{name}.py").write_text(code)
        points += f"[laennec.{kind}]\n{name} = stranger_{name}\n"
    (info / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(site))
    for kind, (name, _) in PLUGINS.items():
        assert name in family.names(kind)
        assert "from outside" in answer(["list", kind], capsys)[1]
    recipe = ln.Recipe.parse(
        {
            "name": "stranger",
            "data": {"name": "stripes", "root": str(tmp_path / "images")},
            "split": {"validation": 0.3, "test": 0.3},
            "preprocess": {"size": 32},
            "model": {"name": "flat", "width": 8},
            "phases": [{"epochs": 8, "learning_rate": 1e-2}],
            "training": {"batch_size": 8, "threads": 2},
        }
    )
    with pytest.raises(UsageError, match="unknown key 'widht'"):
        recipe.replace(model__widht=3)
    bundle = ln.train(recipe, tmp_path / "run")
    made = ln.export(bundle, "numpyrun", "fp32", out=tmp_path / "plain")
    assert ln.evaluate(made).metrics["auroc"].value > 0.9
    assert ln.open(tmp_path / "plain").predict(tmp_path / "images" / "1.png").label == "narrow"


def test_dicom_and_png_of_one_picture_give_one_answer(quantised: Bundle, tmp_path: Path) -> None:
    from laennec import phantom
    from laennec.phantom.write import write_dicom, write_png

    made = phantom.draw(0, 1)
    write_png(made, tmp_path / "a.png")
    write_dicom(made, tmp_path / "a.dcm", photometric="MONOCHROME1", bits=12)
    predictor = ln.Predictor(quantised)
    png, dicom = (predictor.predict(tmp_path / f"a.{kind}") for kind in ("png", "dcm"))
    assert dicom.score == pytest.approx(png.score, abs=0.03)
    assert dicom.image["format"] == "DICOM" and dicom.image["inverted"]


def test_real_radiographs_run_the_line(real_data: Path, tmp_path: Path) -> None:
    """Four hundred images of Kermany and the real DICOM files: six epochs, int8, scored; not a benchmark."""
    import random
    import shutil

    from laennec.datasets import kermany

    everything = kermany.load(kermany.Options(root=real_data / "kermany")).samples
    for split, most in (("train", 160), ("test", 40)):
        for folder in ("NORMAL", "PNEUMONIA"):
            mine = [s for s in everything if s.id.startswith(f"{split}/{folder}/")]
            for sample in random.Random(0).sample(mine, most):
                (tmp_path / "k" / sample.id).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(sample.path, tmp_path / "k" / sample.id)
    changes = [f"data.root={tmp_path / 'k'}", "phases.0.epochs=6", "preprocess.size=64", "training.ema=0.8"]
    recipe = ln.Recipe.read(shelf.find("kermany-quick"), changes).replace(augmentation={})
    bundle = ln.train(recipe, tmp_path / "run")
    small = ln.export(bundle, "onnxruntime", "int8", out=tmp_path / "int8", limits=LOOSE)
    assert ln.evaluate(small).metrics["auroc"].value > 0.8
    dicoms = sorted((real_data / "dicom").glob("*.dcm"))
    answers = list(ln.Predictor(small).predict_many(dicoms))
    assert not [a for a in answers if isinstance(a, Refused)]
    assert all(0 <= a.score <= 1 for a in answers)


def test_decisions_follow_the_positive_labels() -> None:
    labels = ln.LabelSet(names=("NORMAL", "BACTERIAL", "VIRAL"), positive=("BACTERIAL", "VIRAL"))
    score, positive, decided = decisions.decide(labels, np.array([[0.4, 0.35, 0.25], [0.7, 0.1, 0.2]]), 0.5)
    assert score == pytest.approx([0.6, 0.3])
    assert positive.tolist() == [True, False] and decided.tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_grey_image_of_the_models_size_reaches_the_model_unchanged(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a.{kind}")
    read, _ = images.load(tmp_path / f"a.{kind}", ln.Preprocess(size=32))
    assert np.array_equal(read, np.asarray(Image.open(tmp_path / f"a.{kind}")))


def test_decisions_of_any_label_count_as_flipped() -> None:
    """Bacterial and viral swapped: the positive finding stays, every decision changes."""
    labels = ln.LabelSet(names=("NORMAL", "BACTERIAL", "VIRAL"), positive=("BACTERIAL", "VIRAL"))
    before = np.array([[0.1, 0.8, 0.1], [0.9, 0.05, 0.05]])
    assert decisions.differ(labels, before, before[:, [0, 2, 1]], (0.5, 0.5)).tolist() == [True, False]
    several = ln.LabelSet(names=("nodule", "effusion"), exclusive=False, positive=("nodule",))
    assert decisions.differ(several, [[0.9, 0.2], [0.1, 0.2]], [[0.9, 0.7], [0.2, 0.1]], (0.5, 0.5)).tolist() == [
        True,
        False,
    ]
