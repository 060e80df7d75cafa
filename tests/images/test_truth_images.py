"""Lung masks to truths: what counts as lung, where it lies on the model's grid, and the cache of it."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import corpus
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from laennec.errors import ImageError
from laennec.images import cache, decoded, decoding, to_input, truths
from laennec.images.truth import load_truth, read_truth
from laennec.preprocess import Preprocess
from laennec.samples import Sample

SIZE = 32
PLAIN = Preprocess(size=SIZE)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAENNEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LAENNEC_QUIET", raising=False)
    return tmp_path / "cache" / "images"


def lungs(rows: int = 64, columns: int = 64) -> NDArray[np.bool_]:
    """Two boxes of different size, unlike when mirrored or turned."""
    mask = np.zeros((rows, columns), bool)
    mask[rows // 8 : rows * 3 // 4, columns // 8 : columns * 3 // 8] = True
    mask[rows // 4 : rows * 7 // 8, columns * 5 // 8 : columns * 3 // 4] = True
    return mask


def palette(colours: list[int], marked: int) -> bytes:
    """A mask whose lungs have the number `marked` in the table of `colours`, the background the other of 0 and 1."""
    image = Image.fromarray(np.where(lungs(), marked, 1 - marked).astype(np.uint8), "L")
    image.putpalette(colours)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def truth_of(mask: bytes, folder: Path, image: bytes | None = None, preprocess: Preprocess = PLAIN) -> Any:
    (folder / "mask").write_bytes(mask)
    (folder / "image").write_bytes(corpus.saved(corpus.noise((64, 64))) if image is None else image)
    return load_truth(folder / "mask", folder / "image", preprocess)[0]


MARKED = lungs().astype(np.uint8)
COLOUR = np.stack([MARKED * 0, MARKED * 0, MARKED * 255], -1)
EACH = np.where(lungs() & (np.arange(64) > 31), 2, lungs()).astype(np.uint8)  # right lung 1, left lung 2
ALPHA = np.stack([*np.moveaxis(COLOUR, -1, 0), MARKED * 255], -1)
OF_TWO_VALUES = {
    "0 and 1": corpus.saved(MARKED),
    "0 and 255": corpus.saved(MARKED * 255),
    "0 and 100": corpus.saved(MARKED * 100),
    "one bit": corpus.saved(lungs()),
    "16 bits": corpus.saved(MARKED.astype(np.uint16) * 65535),
    "16 bits, 0 and 1": corpus.saved(MARKED.astype(np.uint16)),
    "palette": palette([0, 0, 0, 128, 0, 0], marked=1),
    "palette, black last": palette([255, 255, 255, 0, 0, 0], marked=0),
    "blue": corpus.saved(COLOUR),
    "grey as colour": corpus.saved(np.stack([MARKED * 255] * 3, -1)),
    "on nothing": corpus.saved(ALPHA),
    "a number for each lung": corpus.saved(EACH),
    "a dark and a bright lung": corpus.saved((EACH * 127).astype(np.uint8)),
    "JPEG": corpus.saved(MARKED * 255, "JPEG", quality=60),
}


@pytest.mark.parametrize("name", OF_TWO_VALUES)
def test_what_is_not_background_is_lung(tmp_path: Path, name: str) -> None:
    plain = to_input(lungs().astype(np.float32), PLAIN)
    assert np.array_equal(truth_of(OF_TWO_VALUES[name], tmp_path) >= 128, plain >= 128)


def test_soft_edges_are_cut_at_half(tmp_path: Path) -> None:
    fine = np.kron(lungs(), np.ones((4, 4), bool))
    soft = np.asarray(Image.fromarray(fine.astype(np.uint8) * 255).resize((100, 100), Image.Resampling.BICUBIC))
    assert len(np.unique(soft)) > 4
    truth = truth_of(corpus.saved(soft), tmp_path)
    assert np.array_equal(truth, to_input((soft > 127).astype(np.float32), PLAIN))


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (corpus.saved(corpus.noise((64, 64))), "many greys"),
        (corpus.saved(corpus.noise((64, 64)), "JPEG"), "many greys"),
        (corpus.saved(MARKED, "JPEG", quality=100), "many greys"),
        (corpus.saved(lungs() * np.tile(np.arange(1, 9, dtype=np.uint8), 8)), "many greys"),
        (corpus.saved(np.full((64, 64), 255, np.uint8)), "every pixel"),
        (corpus.saved(np.full((64, 64), 255, np.uint8), "JPEG"), "every pixel"),
    ],
    ids=["radiograph", "radiograph as JPEG", "0 and 1 as JPEG", "eight numbers", "all lung", "all lung as JPEG"],
)
def test_what_is_no_mask_is_refused(tmp_path: Path, mask: bytes, says: str) -> None:
    with pytest.raises(ImageError, match=rf"lung mask: .*{says}") as caught:
        truth_of(mask, tmp_path)
    assert caught.value.code == "not_mask" and caught.value.hint


def test_on_its_own_grid_a_mask_is_what_it_marks(tmp_path: Path) -> None:
    (tmp_path / "mask").write_bytes(corpus.saved(EACH))
    assert np.array_equal(read_truth(tmp_path / "mask"), lungs())
    (tmp_path / "mask").write_bytes(corpus.saved(corpus.noise()))
    with pytest.raises(ImageError, match="lung mask: ") as caught:
        read_truth(tmp_path / "mask")
    assert caught.value.code == "not_mask"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_no_lung_is_a_truth(tmp_path: Path, kind: str) -> None:
    assert truth_of(corpus.saved(np.zeros((64, 64), np.uint8), kind), tmp_path).max() == 0


def test_dicom_foreign_and_broken_masks_are_refused_as_masks(tmp_path: Path) -> None:
    for mask, code in (
        (corpus.dicom(corpus.noise(), 8), "unsupported_type"),
        (b"text\n" * 9, "unsupported_type"),
        (b"", "empty"),
        (corpus.saved(MARKED)[:-20], "corrupt_image"),
    ):
        with pytest.raises(ImageError, match="lung mask: ") as caught:
            truth_of(mask, tmp_path)
        assert caught.value.code == code
    with pytest.raises(ImageError, match="lung mask: ") as caught:
        load_truth(tmp_path / "none", tmp_path / "image", PLAIN)
    assert caught.value.code == "not_found"


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(40, 120), st.integers(40, 120)),
    factor=st.integers(1, 3),
    resize=st.sampled_from(["stretch", "pad", "crop"]),
)
def test_a_truth_lies_where_its_image_lies(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int], factor: int, resize: Any
) -> None:
    """The image shows the mask itself: what a model reads of the one is the truth in the other, at any resolution."""
    folder = tmp_path_factory.getbasetemp()
    rows, columns = shape
    preprocess = Preprocess(size=SIZE, resize=resize)
    mask = lungs(rows, columns)
    picture = np.kron(mask, np.ones((factor, factor), bool)).astype(np.uint8) * 255
    truth = truth_of(corpus.saved(mask), folder, corpus.saved(picture), preprocess)
    seen = to_input((picture > 0).astype(np.float32), preprocess)
    near = np.abs(truth.astype(int) - seen.astype(int))
    if factor == 1:
        assert near.max() == 0
    else:
        # shrunk once or twice, an edge is a little softer or harder; no pixel's worth of it moves
        assert near.max() <= 140 and near.mean() < 6


@pytest.mark.parametrize("resize", ["pad", "crop"])
def test_a_mask_of_rounded_proportions_is_stretched_to_its_image(tmp_path: Path, resize: Any) -> None:
    preprocess = Preprocess(size=224, resize=resize)
    picture = np.asarray(Image.fromarray(lungs(608, 400).astype(np.uint8) * 255))
    rounded = np.asarray(Image.fromarray(picture).resize((300, 464), Image.Resampling.BILINEAR)) > 127
    truth = truth_of(corpus.saved(rounded), tmp_path, corpus.saved(picture), preprocess) >= 128
    seen = to_input((picture > 0).astype(np.float32), preprocess) >= 128
    alone = to_input(rounded.astype(np.float32), preprocess) >= 128
    assert np.array_equal(truth, seen)
    assert not np.array_equal(alone, seen)


def turned(pixels: NDArray[np.uint8], kind: str, orientation: int = 6) -> bytes:
    notes = Image.Exif()
    notes[0x0112] = orientation
    return corpus.saved(pixels, kind, exif=notes)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_proportions_are_those_of_the_picture_upright(tmp_path: Path, kind: str) -> None:
    image = turned(corpus.noise((60, 90)), kind)
    assert truth_of(corpus.saved(lungs(90, 60)), tmp_path, image).any()
    with pytest.raises(ImageError) as caught:
        truth_of(corpus.saved(lungs(60, 90)), tmp_path, image)
    assert caught.value.code == "mask_mismatch"
    assert "90 x 60 pixels, the image 60 x 90" in caught.value.message


def test_other_proportions_are_refused_from_two_percent_on(tmp_path: Path) -> None:
    image = corpus.saved(corpus.noise((100, 100)))
    assert truth_of(corpus.saved(lungs(100, 102)), tmp_path, image).any()
    with pytest.raises(ImageError) as caught:
        truth_of(corpus.saved(lungs(100, 103)), tmp_path, image)
    assert caught.value.code == "mask_mismatch"


@pytest.mark.parametrize("image", [corpus.dicom(corpus.noise((40, 90)), 8), b"\x89PNG\r\n\x1a\nno more", b""])
def test_an_image_whose_size_is_not_known_judges_no_mask(tmp_path: Path, image: bytes) -> None:
    assert truth_of(corpus.saved(MARKED), tmp_path, image).any()


def test_the_image_itself_is_not_decoded(tmp_path: Path) -> None:
    large = corpus.png_bomb(4_900)
    assert truth_of(corpus.saved(MARKED), tmp_path, large[: len(large) // 2]).any()


# --- the cache --------------------------------------------------------------------------------------------------------


def samples_in(folder: Path, n: int, bad: tuple[int, ...] = ()) -> list[Sample]:
    for name in ("images", "masks"):
        (folder / name).mkdir(exist_ok=True, parents=True)
    made = []
    for i in range(n):
        image, mask = folder / "images" / f"é{i:03}.png", folder / "masks" / f"é{i:03}.png"
        image.write_bytes(corpus.saved(corpus.noise((64, 64), seed=i)))
        mask.write_bytes(b"no mask" if i in bad else corpus.saved(np.roll(MARKED, i % 7, axis=1)))
        made.append(Sample(image.name, image, (0.0,), str(i), mask=mask))
    return made


@pytest.mark.parametrize("workers", [0, 1])
def test_row_i_is_the_truth_of_sample_i(store: Path, tmp_path: Path, workers: int) -> None:
    samples = samples_in(tmp_path, 66, (3, 65))
    found = truths(samples, PLAIN, workers=workers)
    assert [refused.id for refused in found.refused] == [samples[3].id, samples[65].id]
    assert {refused.code for refused in found.refused} == {"unsupported_type"}
    assert found.pixels.shape == (64, SIZE, SIZE) and not found.pixels.flags.writeable
    of = {sample.id: sample for sample in samples}
    for row, name in zip(found.pixels, found.kept, strict=True):
        assert of[name].mask is not None
        assert np.array_equal(row, load_truth(of[name].mask, of[name].path, PLAIN)[0])  # type: ignore[arg-type]
    assert found.folder.parent == store


def test_images_and_truths_do_not_mix(store: Path, tmp_path: Path) -> None:
    samples = samples_in(tmp_path, 4)
    pixels, truth = decoded(samples, PLAIN), truths(samples, PLAIN)
    assert pixels.folder != truth.folder
    assert not np.array_equal(pixels.pixels, truth.pixels)
    # what the network does with the pixels, and their greys, do not move a mask
    assert truths(samples, Preprocess(size=SIZE, equalise=True, decode="reduced", mean=0.1)).folder == truth.folder
    assert truths(samples, Preprocess(size=SIZE, resize="pad")).folder != truth.folder


@pytest.mark.parametrize("which", ["images", "masks"])
def test_a_changed_mask_or_image_is_another_truth(store: Path, tmp_path: Path, which: str) -> None:
    samples = samples_in(tmp_path, 3)
    first = truths(samples, PLAIN)
    os.utime(tmp_path / which / samples[1].id, ns=(1, 1))
    assert truths(samples, PLAIN).folder != first.folder
    assert (decoded(samples, PLAIN).folder == decoded(samples, PLAIN).folder) and len(list(store.iterdir())) == 3


def test_the_second_time_no_mask_is_decoded_unless_it_was_missing(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = samples_in(tmp_path, 3)
    assert samples[0].mask is not None
    content = samples[0].mask.read_bytes()
    samples[0].mask.unlink()
    assert [refused.code for refused in truths(samples, PLAIN).refused] == ["not_found"]
    assert [refused.code for refused in truths(samples, PLAIN).refused] == ["not_found"]
    assert "some lung masks could not be read last time" in capsys.readouterr().err
    samples[0].mask.write_bytes(content)
    assert not truths(samples, PLAIN).refused
    monkeypatch.setattr(cache, "_make", lambda *_: pytest.fail("made again"))
    assert len(truths(samples, PLAIN).kept) == 3


def test_a_damaged_array_of_truths_is_made_again(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = samples_in(tmp_path, 3)
    first = truths(samples, PLAIN)
    before = np.array(first.pixels)
    with (first.folder / "pixels.bin").open("rb+") as stream:
        stream.write(b"\x07")
    assert np.array_equal(truths(samples, PLAIN).pixels, before)
    assert "damaged" in capsys.readouterr().err


WORKER = """
import sys, os, signal
from laennec.images import decoder
read = decoder.load_truth
def fragile(mask, image, preprocess):
    if mask.name.startswith("é007"): os.kill(os.getpid(), signal.SIGKILL)
    return read(mask, image, preprocess)
decoder.load_truth = fragile
raise SystemExit(decoder.main())
"""


def test_a_mask_that_kills_its_decoder_costs_itself_alone(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = samples_in(tmp_path, 64)
    (tmp_path / "worker.py").write_text(WORKER, encoding="utf-8")
    with monkeypatch.context() as faulty:
        faulty.setattr(decoding, "COMMAND", (sys.executable, str(tmp_path / "worker.py")))
        found = truths(samples, PLAIN, workers=1)
    assert [(refused.id, refused.code) for refused in found.refused] == [("é007.png", "decoder_died")]
    assert not truths(samples, PLAIN, workers=0).refused


def test_a_sample_without_a_mask_and_a_frame_around_the_lungs_are_mistakes_of_the_caller(tmp_path: Path) -> None:
    bare = Sample("bare.png", tmp_path / "bare.png", (0.0,), "p")
    with pytest.raises(ValueError, match=r"bare\.png has none"):
        truths([bare], PLAIN)
    with pytest.raises(ValueError, match="frame"):
        truths([], Preprocess(size=SIZE, frame="lungs"))


# --- real masks -------------------------------------------------------------------------------------------------------


def test_real_masks_fit_their_images_and_radiographs_are_no_masks(store: Path, real_data: Path) -> None:
    adults = sorted((real_data / "covid-ccby" / "images").iterdir())
    samples = [Sample(p.name, p, (0.0,), p.name, mask=p.parents[1] / "lung_masks" / p.name) for p in adults]
    for resize in ("stretch", "pad", "crop"):
        found = truths(samples, Preprocess(size=64, resize=resize), workers=0)
        assert not found.refused and len(found.kept) == 83
        share = (found.pixels >= 128).mean(axis=(1, 2))
        assert share.min() > 0.08 and share.max() < 0.7
    swapped = [Sample(p.name, p, (0.0,), p.name, mask=p) for p in adults[::4]]
    assert [refused.code for refused in truths(swapped, PLAIN, workers=0).refused] == ["not_mask"] * len(swapped)
