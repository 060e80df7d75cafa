"""JPEGs decoded at a reduced scale: which scale, how close to the whole, and one truth at every door."""

from __future__ import annotations

import io
from pathlib import Path

import corpus
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from laennec.images import decoded, load, read
from laennec.preprocess import Preprocess
from laennec.samples import Sample

FULL, REDUCED = Preprocess(size=32), Preprocess(size=32, decode="reduced")


def smooth(height: int, width: int) -> np.ndarray:
    """A soft picture ``uint8``, as radiographs are."""
    y, x = np.mgrid[:height, :width]
    light = 120 + 70 * np.sin(7 * x / width) * np.cos(5 * y / height) + 20 * (x > width / 2)
    return np.asarray(light.clip(0, 255), np.uint8)


def jpeg(pixels: np.ndarray, mode: str = "L", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "JPEG", quality=92, **options)
    return stream.getvalue()


def test_the_default_reads_in_full_and_keeps_its_key() -> None:
    assert "decode" not in FULL.model_dump() and FULL.pixel_digest == Preprocess(size=32, decode="full").pixel_digest
    assert REDUCED.model_dump()["decode"] == "reduced" and REDUCED.pixel_digest != FULL.pixel_digest
    assert Preprocess.model_validate(REDUCED.model_dump()) == REDUCED
    assert "scale" not in load(jpeg(smooth(300, 300)), FULL)[1]


@given(st.integers(16, 500), st.integers(16, 500))
def test_the_scale_is_the_smallest_that_keeps_twice_the_side(height: int, width: int) -> None:
    picture = read(jpeg(smooth(height, width)), least=REDUCED.least_side)
    scale = picture.done["scale"]
    assert isinstance(scale, int) and scale in (1, 2, 4, 8)
    assert picture.pixels.shape == (-(-height // scale), -(-width // scale))
    assert scale == 1 or min(picture.pixels.shape) >= 64
    assert scale == 8 or -(-min(height, width) // (2 * scale)) < 64
    assert (picture.done["height"], picture.done["width"]) == picture.pixels.shape


def test_a_frame_around_the_lungs_keeps_three_times_the_side() -> None:
    assert FULL.least_side is None and REDUCED.least_side == 64
    assert Preprocess(size=32, decode="reduced", frame="lungs").least_side == 96


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("side", [40, 140, 300, 900])
def test_it_is_nearly_the_whole_picture(mode: str, side: int) -> None:
    data = jpeg(smooth(side, side + 30), mode)
    whole, reduced = load(data, FULL)[0].astype(int), load(data, REDUCED)[0]
    assert np.abs(whole - reduced).mean() < 1
    if side == 40:
        assert np.array_equal(whole, reduced), "nothing was reduced, and grey saved as colour is the same grey"


def test_a_turned_picture_is_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = smooth(400, 300)
    turned, done = load(jpeg(pixels, exif=exif), REDUCED)
    assert (done["width"], done["height"], done["scale"], done["orientation"]) == (100, 75, 4, 6)
    assert np.abs(turned.astype(int) - load(jpeg(np.rot90(pixels, -1)), REDUCED)[0]).mean() < 1


def test_other_formats_are_read_in_full(real_data: Path) -> None:
    for source in (corpus.saved(smooth(300, 300)), sorted((real_data / "dicom").iterdir())[0]):
        whole, reduced = load(source, FULL), load(source, REDUCED)
        assert np.array_equal(whole[0], reduced[0]) and whole[1] == reduced[1]


def test_the_cache_holds_what_a_file_gives(tmp_path: Path) -> None:
    samples = []
    for n in range(66):
        path = tmp_path / f"{n:02}.jpeg"
        path.write_bytes(jpeg(np.roll(smooth(200, 260), 5 * n, axis=1)))
        samples.append(Sample(path.name, path, (0.0,), path.name))
    for workers in (0, 1):
        found = decoded(samples, REDUCED, tmp_path / f"cache{workers}", workers)
        assert all(np.array_equal(row, load(s.path, REDUCED)[0]) for row, s in zip(found.pixels, samples, strict=True))


def test_real_radiographs_differ_by_less_than_a_grey_level(real_data: Path) -> None:
    half = Preprocess(size=56), Preprocess(size=56, decode="reduced")
    for path in sorted((real_data / "kermany" / "test").rglob("*.jpeg"))[::60]:
        # the files have 224 pixels a side: exactly twice 112, four times 56
        assert np.array_equal(
            *(load(path, p)[0] for p in (Preprocess(size=128), Preprocess(size=128, decode="reduced")))
        )
        whole, (reduced, done) = load(path, half[0])[0].astype(int), load(path, half[1])
        assert done["scale"] == 2 and np.abs(whole - reduced).mean() < 1
