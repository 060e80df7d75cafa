"""Pictures of radiographs with their lungs outlined."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from laennec import overlays
from laennec.overlays import overlay, panels


def shown(png: bytes) -> Any:
    """A PNG as ``int [rows, columns, 3]``."""
    with Image.open(io.BytesIO(png)) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        return np.asarray(picture).astype(int)


def rgb(colour: str) -> Any:
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])


def near(picture: Any, colour: str, within: int = 40) -> Any:
    """Which pixels are about of a colour."""
    return np.abs(picture - rgb(colour)).max(axis=-1) <= within


def film(rows: int = 100, columns: int = 80, grey: float = 0.5) -> tuple[Any, Any, Any]:
    right, left = np.zeros((2, rows, columns), bool)
    right[rows // 4 : rows // 2, columns // 8 : columns // 3] = True
    left[rows // 4 : rows // 2, -columns // 3 : -columns // 8] = True
    return np.full((rows, columns), grey, np.float32), right, left


@pytest.mark.parametrize(("rows", "columns"), [(100, 80), (2000, 1000), (30, 700), (1, 1)])
@pytest.mark.parametrize("longest", [96, 1024])
def test_the_longest_side_is_as_asked_for_and_the_proportions_stay(rows: int, columns: int, longest: int) -> None:
    picture = shown(overlay(*film(rows, columns), longest))
    assert max(picture.shape[:2]) == longest
    assert picture.shape[1] == max(1, round(columns * longest / max(rows, columns)))


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("longest", [128, 400, 1024])
def test_each_lung_is_outlined_in_its_own_colour_on_any_grey(grey: float, longest: int) -> None:
    picture = shown(overlay(*film(grey=grey), longest))
    middle = picture.shape[1] // 2
    blue, orange = near(picture, overlays.RIGHT), near(picture, overlays.LEFT)
    assert blue[:, :middle].any()
    assert orange[:, middle:].any()
    assert not blue[:, middle:].any()
    assert not orange[:, :middle].any()
    across = blue[longest * 3 // 8, :middle]
    assert 2 <= across.sum() <= 2 * max(3, longest // 300)  # two lines


def test_inside_and_outside_of_the_lungs_the_radiograph_stays_legible() -> None:
    pixels, right, left = film()
    pixels[:, ::2] = 0.9
    picture = shown(overlay(pixels, right, left, 100))
    assert (picture[-20:] == picture[-20:, :, :1]).all()
    assert np.ptp(picture[30:45, 15:20], axis=1).max() > 60


def test_a_lung_cut_by_the_edge_is_closed_along_it() -> None:
    pixels, right, left = film()
    right[:, :20] = True
    picture = shown(overlay(pixels, right, left, 200))
    assert near(picture, overlays.RIGHT)[60:120, 0].all()


def test_without_lungs_the_radiograph_is_shown_as_it_is() -> None:
    pixels, _, _ = film()
    nothing = np.zeros(pixels.shape, bool)
    picture = shown(overlay(pixels, nothing, nothing, 100))
    assert (picture == 128).all()


def test_panels_show_truth_drawing_and_difference() -> None:
    pixels, truth, extra = film()
    truth[60:90, 30:50] = extra[60:90, 30:50] = True  # agreed, below
    picture = shown(panels(pixels, truth, extra, 200))
    width = 160
    gap = (picture.shape[1] - 3 * width) // 2
    assert (picture.shape[0], picture.shape[1]) == (200, 3 * width + 2 * gap)
    first, second, third = (picture[:, at * (width + gap) :][:, :width] for at in range(3))
    assert near(first, overlays.TRUTH)[:, :70].any()
    assert not near(first, overlays.TRUTH)[:110, 90:].any()
    assert near(second, overlays.DRAWN)[:, 90:].any()
    missed, added, agreed, outside = third[75, 36], third[75, 124], third[150, 80], third[180, 10]
    assert np.abs(missed - rgb(overlays.MISSED)).max() < 45
    assert np.abs(added - rgb(overlays.ADDED)).max() < 45
    assert np.ptp(agreed) == 0
    assert 5 < agreed[0] - outside[0] < 40


def test_equal_masks_differ_nowhere() -> None:
    pixels, truth, _ = film()
    third = shown(panels(pixels, truth, truth, 100))[:, -80:]
    assert (third == third[:, :, :1]).all()


def test_the_same_picture_gives_the_same_bytes_and_changes_nothing() -> None:
    pixels, right, left = film()
    before = pixels.copy(), right.copy(), left.copy()
    assert overlay(pixels, right, left) == overlay(pixels, right, left)
    assert panels(pixels, right, left) == panels(pixels, right, left)
    assert all(np.array_equal(a, b) for a, b in zip(before, (pixels, right, left), strict=True))


def test_values_out_of_range_are_clipped() -> None:
    pixels, right, left = film()
    pixels[:10], pixels[-10:], pixels[50] = -3, 7, np.nan
    picture = shown(overlay(pixels, np.zeros_like(right), np.zeros_like(left), 100))
    assert (picture[0] == 0).all()
    assert (picture[-1] == 255).all()


@pytest.mark.parametrize("make", [overlay, panels])
def test_arrays_that_do_not_fit_are_refused(make: Any) -> None:
    pixels, right, left = film()
    with pytest.raises(ValueError, match="one shape"):
        make(pixels, right[:-1], left)
    with pytest.raises(ValueError, match="at least 96"):
        make(pixels, right, left, 20)
