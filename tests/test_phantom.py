"""Phantoms: one seed, one set of pictures; the truth is exact; the label cannot be read off the exposure."""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pydantic import ValidationError
from pydicom.pixels import apply_voi_lut
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from laennec.datasets.phantom import Options, load
from laennec.errors import UsageError
from laennec.images import read
from laennec.phantom import FINDINGS, SOURCES, Phantom, draw, images_of
from laennec.phantom.boxes import mark
from laennec.phantom.write import write_dicom, write_mask, write_png

PEOPLE = 140


@cache
def population() -> tuple[Phantom, ...]:
    return tuple(draw(5, patient, 0, 72) for patient in range(PEOPLE))


def same(a: Phantom, b: Phantom) -> bool:
    arrays_equal = all(np.array_equal(getattr(a, k), getattr(b, k)) for k in ("pixels", "lungs", "opacity"))
    return arrays_equal and a.boxes == b.boxes and a.finding == b.finding


def test_same_seed_same_picture_whatever_was_drawn_before():
    first = draw(3, 4, 1, 96)
    for patient in range(20):
        draw(3, patient, 0, 48)
    assert same(first, draw(3, 4, 1, 96))
    assert not same(first, draw(4, 4, 1, 96))
    assert not same(first, draw(3, 5, 1, 96))
    assert not same(first, draw(3, 4, 2, 96))


def test_same_picture_in_another_process():
    code = "import hashlib,laennec.phantom as p;print(hashlib.sha256(p.draw(3,4,1,96).pixels.tobytes()).hexdigest())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert out == hashlib.sha256(draw(3, 4, 1, 96).pixels.tobytes()).hexdigest()


def test_shapes_ranges_and_variety():
    for phantom in population():
        assert phantom.pixels.dtype == np.float32
        assert phantom.pixels.shape == phantom.lungs.shape == phantom.opacity.shape == (72, 72)
        assert phantom.pixels.min() >= 0
        assert phantom.pixels.max() <= 1
        assert phantom.pixels.std() > 0.08
    for field, values in (("finding", set(FINDINGS)), ("source", set(SOURCES)), ("view", {"PA", "AP"})):
        assert {getattr(p, field) for p in population()} == values
    assert {p.adult for p in population()} == {True, False}


def test_lungs_are_where_lungs_are():
    for phantom in population():
        right, left = (phantom.lungs == 1), (phantom.lungs == 2)
        assert 0.06 < right.mean() < 0.36
        assert 0.03 < left.mean() < 0.34
        assert np.nonzero(right)[1].mean() < np.nonzero(left)[1].mean()
        body = phantom.pixels[18:60, 30:42]
        assert phantom.pixels[phantom.lungs > 0].mean() < body.mean()


def test_opacity_lies_in_the_lungs_and_boxes_are_tight():
    for phantom in population():
        assert not (phantom.opacity & (phantom.lungs == 0)).any()
        assert phantom.opacity.any() == (phantom.finding != "NORMAL") == bool(phantom.boxes)
        covered = np.zeros_like(phantom.opacity)
        for box in phantom.boxes:
            x, y, w, h = (int(v) for v in (box.x, box.y, box.width, box.height))
            inside = phantom.opacity[y : y + h, x : x + w]
            assert inside.shape == (h, w)
            assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
            assert box.label == phantom.finding
            covered[y : y + h, x : x + w] = True
        assert not (phantom.opacity & ~covered).any()


@settings(max_examples=60, deadline=None)
@given(arrays(bool, (9, 11)), st.integers(1, 6))
def test_mark_against_flooding(mask, least):
    clean, boxes = mark(mask, least, "x")
    seen, parts = np.zeros_like(mask), []
    for start in zip(*np.nonzero(mask), strict=True):
        if seen[start]:
            continue
        stack, part = [start], []
        seen[start] = True
        while stack:
            r, c = stack.pop()
            part.append((r, c))
            for q in ((r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
                if 0 <= q[0] < 9 and 0 <= q[1] < 11 and mask[q] and not seen[q]:
                    seen[q] = True
                    stack.append(q)
        parts.append(part)
    kept = [p for p in parts if len(p) >= least] or ([max(parts, key=len)] if parts else [])
    assert len(boxes) == len(kept)
    assert clean.sum() == sum(len(p) for p in kept)
    want = sorted((min(c for _, c in p), min(r for r, _ in p), max(c for _, c in p) + 1) for p in kept)
    if any(len(p) >= least for p in parts):
        assert sorted((b.x, b.y, b.x + b.width) for b in boxes) == want


def test_opacity_is_denser_than_the_same_lung_without_it():
    from laennec import phantom as module

    found = {}
    for patient in range(60):
        who = module._patient(9, patient)
        if who.disease.finding in found or who.disease.finding == "NORMAL":
            continue
        ill = replace(who, disease=replace(who.disease, severity=0.9))
        well = replace(who, disease=replace(who.disease, finding="NORMAL"))
        pictures = []
        for state in (ill, well):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "_patient", lambda *_, s=state: s)
                pictures.append(draw(9, patient, 0, 128))
        mask = pictures[0].opacity
        rise = pictures[0].pixels - pictures[1].pixels
        outside = (pictures[0].lungs > 0) & ~mask
        found[who.disease.finding] = rise[mask].mean() - rise[outside].mean()
    assert set(found) == set(FINDINGS[1:])
    assert min(found.values()) > 0.015, found


def test_images_of_a_patient_share_the_anatomy():
    for patient in range(6):
        a, b = draw(1, patient, 0, 48), draw(1, patient, 1, 48)
        assert (a.patient, a.adult, a.view, a.source) == (b.patient, b.adult, b.view, b.source)
        areas = [(p.lungs > 0).mean() for p in (a, b)]
        assert 0.5 < areas[0] / areas[1] < 2
        assert not np.array_equal(a.pixels, b.pixels)
        assert b.finding in (a.finding, "NORMAL")
    assert {images_of(1, p) for p in range(40)} == {1, 2, 3, 4}


def test_size_changes_resolution_not_anatomy():
    small, large = draw(2, 3, 0, 80), draw(2, 3, 0, 240)
    shrunk = large.lungs[1::3, 1::3] > 0
    both = (small.lungs > 0) & shrunk
    assert 2 * both.sum() / ((small.lungs > 0).sum() + shrunk.sum()) > 0.96
    assert small.finding == large.finding


@pytest.mark.parametrize("bad", [(0, 0, 0, 20), (0, 0, 0, 9999), (-1, 0, 0, 64), (0, -1, 0, 64), (0, 0, -1, 64)])
def test_draw_refuses(bad):
    with pytest.raises(UsageError):
        draw(*bad)


def test_exposure_does_not_give_the_label_away():
    rows = []
    for phantom in population():
        a = phantom.pixels
        rows.append(
            [
                a.mean(),
                a.std(),
                ((a - a.mean()) ** 3).mean(),
                *np.quantile(a, (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)),
                np.abs(np.diff(a, axis=0)).mean(),
                np.abs(np.diff(a, axis=1)).mean(),
            ]
        )
    truth = np.array([p.finding != "NORMAL" for p in population()])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    score = cross_val_predict(model, np.array(rows), truth, cv=5, method="predict_proba")[:, 1]
    assert roc_auc_score(truth, score) < 0.8
    hospital = np.array([p.source == "north" for p in population()])
    assert abs(truth[hospital].mean() - truth[~hospital].mean()) < 0.2


def test_png_and_mask_round_trip(tmp_path):
    phantom = draw(0, 0, 0, 64)
    write_png(phantom, tmp_path / "a.png")
    write_mask(phantom, tmp_path / "m.png")
    back = np.asarray(Image.open(tmp_path / "a.png"))
    assert back.dtype == np.uint8
    assert np.abs(back / 255 - phantom.pixels).max() <= 0.5 / 255 + 1e-6
    mask = np.asarray(Image.open(tmp_path / "m.png"))
    assert set(np.unique(mask)) == {0, 255}
    assert np.array_equal(mask > 0, phantom.lungs > 0)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("window", [True, False])
def test_dicom_round_trip(tmp_path, photometric, bits, window):
    phantom = draw(0, bits, 0, 65)
    path = tmp_path / "a.dcm"
    write_dicom(phantom, path, photometric=photometric, bits=bits, window=window)
    ds = pydicom.dcmread(path)
    assert ds.PhotometricInterpretation == photometric
    assert str(ds.PatientName).startswith("Phantom^")
    assert (ds.BodyPartExamined, ds.ViewPosition, ds.BitsStored) == ("CHEST", phantom.view, bits)
    stored = ds.pixel_array
    assert stored.max() < 2**bits
    assert ("WindowCenter" in ds) == window
    seen = (apply_voi_lut(stored, ds) if window else stored) / (2**bits - 1)
    shown = 1 - seen if photometric == "MONOCHROME1" else seen
    assert np.abs(shown - phantom.pixels).max() <= 1 / 2**bits
    correlation = np.corrcoef(stored.ravel(), phantom.pixels.ravel())[0, 1]
    assert (correlation < -0.99) if photometric == "MONOCHROME1" else (correlation > 0.99)


def test_dicom_refuses_other_depths_and_repeats_its_bytes(tmp_path):
    phantom = draw(0, 1, 0, 64)
    with pytest.raises(UsageError):
        write_dicom(phantom, tmp_path / "a.dcm", bits=7)
    for name in ("a", "b"):
        write_dicom(phantom, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_dicom_through_the_reader(tmp_path):
    phantom = draw(0, 2, 0, 64)
    write_dicom(phantom, tmp_path / "a.dcm", photometric="MONOCHROME1")
    pixels = read(tmp_path / "a.dcm").pixels
    assert np.corrcoef(pixels.ravel(), phantom.pixels.ravel())[0, 1] > 0.99


def small(root: Path, **more: object) -> Options:
    return Options.model_validate({"patients": 24, "size": 48, "root": str(root), **more})


def content(root: Path) -> dict[str, str]:
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("phantom") / "set"
    load(small(root))
    return root


def test_collection(built):
    collection = load(small(built))
    assert collection.labels.names == ("NORMAL", "OPACITY")
    parts, sources = defaultdict(set), defaultdict(set)
    for sample in collection.samples:
        parts[sample.patient].add(sample.split)
        sources[sample.split].add(sample.source)
        assert sample.path.is_file()
        assert sample.mask is not None and sample.mask.is_file()
        assert sum(sample.labels) == 1
        assert bool(sample.boxes) == (sample.labels[1] == 1)
    assert all(len(p) == 1 for p in parts.values())
    assert all(s == set(SOURCES) for s in sources.values())
    assert set(sources) == {"train", "val", "test"}
    four = load(small(built, task="findings"))
    assert four.labels.names == FINDINGS
    assert four.labels.positive == FINDINGS[1:]
    assert [s.labels[0] for s in four.samples] == [s.labels[0] for s in collection.samples]


def test_large_split_has_the_announced_shares(tmp_path):
    from laennec.datasets.phantom import _parts

    parts = list(_parts(Options(patients=400)).values())
    for part, share in (("train", 0.6), ("val", 0.15), ("test", 0.25)):
        assert parts.count(part) / 400 == pytest.approx(share, abs=0.02)


def test_complete_folder_is_reused_and_interrupted_one_rebuilt(built):
    before = content(built)
    stamp = (built / "index.csv").stat().st_mtime_ns
    load(small(built))
    assert (built / "index.csv").stat().st_mtime_ns == stamp
    for victim in ("index.csv", "images/p0003_0.png", "masks/p0003_0.png"):
        (built / victim).unlink()
        load(small(built))
        assert content(built) == before
    assert not list(built.parent.glob(".*.part"))


def test_foreign_folders_are_left_alone(tmp_path, built):
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(UsageError, match="something else"):
        load(small(tmp_path))
    assert (tmp_path / "thesis.txt").read_text() == "dear"
    with pytest.raises(UsageError, match="other options"):
        load(small(built, seed=1))


def test_two_processes_at_once_give_one_result(tmp_path, built):
    code = (
        "import sys;from laennec.datasets.phantom import *;"
        "load(Options.model_validate(dict(patients=24,size=48,root=sys.argv[1])))"
    )
    env = {**os.environ, "LAENNEC_QUIET": "1"}
    procs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "x")], env=env) for _ in range(2)]
    assert [p.wait() for p in procs] == [0, 0]
    assert content(tmp_path / "x") == content(built)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_processes_and_one_process_write_the_same(tmp_path, built, monkeypatch):
    monkeypatch.setattr("laennec.datasets.phantom._SMALL", 20)
    load(small(tmp_path / "x"))
    assert content(tmp_path / "x") == content(built)


def test_cache_variable_and_mixed_format(tmp_path, monkeypatch):
    monkeypatch.setenv("LAENNEC_CACHE", str(tmp_path))
    collection = load(Options(patients=6, size=48, format="mixed"))
    assert {s.path.suffix for s in collection.samples} == {".png", ".dcm"}
    assert all(tmp_path in s.path.parents for s in collection.samples)
    root = collection.samples[0].path.parents[1]
    with (root / "index.csv").open(newline="") as stream:
        assert {r["age"] for r in csv.DictReader(stream)} <= {"adult", "child"}


def test_options_are_strict():
    for bad in ({"patient": 3}, {"patients": 0}, {"size": "160"}, {"format": "jpeg"}):
        with pytest.raises(ValidationError):
            Options.model_validate(bad)
