"""From a picture to the square a model reads."""

from __future__ import annotations

import corpus
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from laennec.errors import ImageError
from laennec.images import is_blank, load, to_input
from laennec.preprocess import Preprocess

RULES = ("stretch", "pad", "crop")


def rule(name: str, size: int = 32) -> Preprocess:
    return Preprocess.model_validate({"size": size, "resize": name})


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.uint8, (16, 16)), st.sampled_from(RULES))
def test_8_bits_of_the_right_size_come_out_bit_for_bit(grey: NDArray[np.uint8], name: str) -> None:
    assert np.array_equal(to_input(grey / np.float32(255), rule(name, 16)), grey)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=70), elements=st.floats(0, 1, width=32)),
    st.sampled_from(RULES),
)
def test_any_shape_gives_the_square(pixels: NDArray[np.float32], name: str) -> None:
    made = to_input(pixels, rule(name))
    assert made.shape == (32, 32) and made.dtype == np.uint8
    assert made.max() <= np.rint(pixels.max() * 255)


def test_pad_keeps_the_aspect_on_black() -> None:
    made = to_input(np.ones((64, 128), np.float32), rule("pad"))
    assert (made[8:24] == 255).all() and not made[:8].any() and not made[24:].any()
    tall = to_input(np.ones((128, 64), np.float32), rule("pad"))
    assert np.array_equal(tall, made.T)


def test_crop_takes_the_central_square() -> None:
    plane = np.zeros((32, 65), np.float32)
    plane[:, 16:48] = np.linspace(0, 1, 32)
    assert np.array_equal(to_input(plane, rule("crop")), np.rint(plane[:, 16:48] * 255).astype(np.uint8))


def test_stretch_is_antialiased() -> None:
    board = np.indices((320, 320)).sum(0) % 2
    made = to_input(board.astype(np.float32), rule("stretch"))
    assert made.std() < 1 and abs(float(made.mean()) - 127.5) < 2


def test_a_ramp_stays_a_ramp() -> None:
    plane = np.tile(np.linspace(0, 1, 96, dtype=np.float32), (96, 1))
    made = to_input(plane, rule("stretch"))
    middle = (np.arange(32) + 0.5) * 3 - 0.5  # centre of each output pixel in input pixels
    assert np.abs(made[16, 1:-1] - middle[1:-1] / 95 * 255).max() <= 0.51


def test_a_wrong_array_is_the_callers_fault() -> None:
    for wrong in (np.zeros((3, 4, 5), np.float32), np.zeros((0, 4), np.float32)):
        with pytest.raises(ValueError, match="shape"):
            to_input(wrong, rule("pad"))


def test_blank() -> None:
    assert is_blank(np.full((4, 4), 0.3, np.float32))
    assert not is_blank(np.eye(4, dtype=np.float32))
    for blank in (
        corpus.saved(np.full((40, 40), 90, np.uint8)),
        corpus.dicom(np.full((40, 40), 90), PresentationIntentType=""),
    ):
        with pytest.raises(ImageError) as caught:
            load(blank, rule("stretch"))
        assert caught.value.code == "blank"


def test_load_is_read_then_to_input() -> None:
    grey = corpus.noise((32, 32))
    array, done = load(corpus.saved(grey), rule("stretch"))
    assert np.array_equal(array, grey) and done["format"] == "PNG"
    # the same picture, whatever file it travels in
    again, _ = load(corpus.dicom(255 - grey.astype(int), 8, photometric="MONOCHROME1"), rule("stretch"))
    assert np.array_equal(again, grey)
