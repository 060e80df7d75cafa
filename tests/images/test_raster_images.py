"""JPEG and PNG: every pixel type to the grey it stands for."""

from __future__ import annotations

import io

import corpus
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from laennec.images import read


def image_file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_png_of_8_bits_is_exact(grey: NDArray[np.uint8]) -> None:
    picture = read(corpus.saved(grey))
    assert np.array_equal(picture.pixels, grey.astype(np.float32) / np.float32(255))
    assert np.array_equal(np.rint(picture.pixels * 255), grey)


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.uint16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_png_of_16_bits_is_exact(grey: NDArray[np.uint16]) -> None:
    picture = read(corpus.saved(grey))
    assert picture.done["bits"] == 16
    full = next(2**bits - 1 for bits in range(8, 17) if grey.max() < 2**bits)
    assert picture.done["range"] == full
    assert np.array_equal(picture.pixels, (grey / np.float64(full)).astype(np.float32))


def test_twelve_bits_in_a_png_of_sixteen_are_not_read_as_black() -> None:
    """A radiograph's 0 to 4095 exported as 16-bit PNG spans the whole range, like the same picture as DICOM."""
    picture = read(corpus.saved(np.arange(4096, dtype=np.uint16).reshape(64, 64)))
    assert picture.pixels.min() == 0 and picture.pixels.max() == 1


@settings(max_examples=20, deadline=None)
@given(hnp.arrays(np.uint8, (6, 9)), st.sampled_from(["RGB", "P", "RGBA", "LA"]))
def test_grey_saved_as_colour_keeps_its_values(grey: NDArray[np.uint8], mode: str) -> None:
    picture = read(corpus.saved(grey, mode=mode))
    assert np.array_equal(np.rint(picture.pixels * 255), grey)


def test_luminance_weights() -> None:
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    picture = read(corpus.saved(primaries))
    assert np.allclose(picture.pixels[0], [0.299, 0.587, 0.114, 1], atol=0.5 / 255)
    assert picture.done["colour"] == "luminance"


def test_transparency_is_composed_on_black() -> None:
    both = np.array([[[255, 255, 255, 255], [255, 255, 255, 51], [255, 255, 255, 0]]], np.uint8)
    picture = read(corpus.saved(both))
    assert np.allclose(picture.pixels[0], [1, 0.2, 0]) and picture.done["alpha"] is True


def test_one_bit_and_colour_key() -> None:
    bits = np.eye(8, dtype=bool)
    assert np.array_equal(read(corpus.saved(bits)).pixels, bits.astype(np.float32))
    keyed = image_file(Image.fromarray(np.array([[0, 100, 200]], np.uint8)), transparency=100)
    assert np.allclose(read(keyed).pixels[0] * 255, [0, 0, 200])


def test_jpeg_grey_colour_progressive_and_cmyk() -> None:
    grey = corpus.noise((64, 80))
    flat = np.repeat(np.repeat(grey[::16, ::16], 16, 0), 16, 1)
    for mode, options in (("L", {}), ("RGB", {}), ("L", {"progressive": True}), ("CMYK", {})):
        picture = read(image_file(Image.fromarray(flat).convert(mode), "JPEG", quality=100, **options))
        assert np.abs(picture.pixels * 255 - flat).max() <= 3, mode
        assert (picture.done["format"], picture.done["width"], picture.done["height"]) == ("JPEG", 80, 64)


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_applied(turn: int) -> None:
    grey = np.zeros((16, 32), np.uint8)
    grey[:8, :8] = 255  # white corner at the top left as it should be seen
    back = {1: "", 2: "h", 3: "hv", 4: "v", 5: "t", 6: "tv", 7: "thv", 8: "th"}[turn]
    stored = grey
    for step in back:
        stored = {"h": stored[:, ::-1], "v": stored[::-1], "t": stored.T}[step]
    exif = Image.Exif()
    exif[0x0112] = turn
    for kind in ("JPEG", "PNG"):
        picture = read(image_file(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif))
        assert picture.done["orientation"] == turn
        assert picture.pixels.shape == grey.shape
        assert np.abs(picture.pixels - grey / 255).max() < 0.05


def test_damaged_exif_does_not_damage_the_picture() -> None:
    data = image_file(Image.fromarray(corpus.noise()), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert read(data).pixels.shape == (40, 56)


def test_texts_are_not_repeated() -> None:
    from PIL import PngImagePlugin

    note = PngImagePlugin.PngInfo()
    note.add_text("Patient", "Planted^Identity")
    assert "Planted" not in str(read(image_file(Image.fromarray(corpus.noise()), pnginfo=note)).done)
