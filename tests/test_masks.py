"""Masks of lungs: components, the post-processing, right and left, back onto the picture, and the fitted rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from laennec.images import to_input
from laennec.masks import (
    THRESHOLDS,
    Resize,
    components,
    fitted,
    level,
    lungs_of,
    mean_dice,
    parted,
    placed,
    tidied,
)
from laennec.preprocess import Preprocess
from laennec.segmentation import Outline

Mask = NDArray[np.bool_]
Levels = NDArray[np.uint8]
SHAPES = [(96, 96), (301, 257), (150, 421), (77, 64), (512, 511)]
MODES: list[Resize] = ["stretch", "pad", "crop"]
masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=14))


def ellipse(shape: tuple[int, int], down: float, across: float, high: float, wide: float) -> Mask:
    """Centre and half axes are shares of the picture."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside: Mask = ((y / shape[0] - down) / high) ** 2 + ((x / shape[1] - across) / wide) ** 2 <= 1
    return inside


def chest(shape: tuple[int, int] = (96, 96)) -> Mask:
    """Two lungs, the patient's left one the smaller."""
    return ellipse(shape, 0.5, 0.3, 0.35, 0.15) | ellipse(shape, 0.5, 0.7, 0.33, 0.12)


def levels_of(mask: Mask, inside: int = 230, outside: int = 20) -> Levels:
    return np.where(mask, inside, outside).astype(np.uint8)


def iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / (a | b).sum())


# components


@given(masks)
def test_components_are_those_of_scipy(mask: Mask) -> None:
    labels, sizes = components(mask)
    expected, count = ndimage.label(mask)
    assert labels.dtype == np.int32
    assert labels.shape == mask.shape
    assert sizes.tolist() == np.bincount(labels.ravel(), minlength=count + 1)[1:].tolist()
    assert len(sizes) == count
    assert len(set(zip(labels.ravel().tolist(), expected.ravel().tolist(), strict=True))) <= count + 1
    assert ((labels == 0) == ~mask).all()
    firsts = [int(np.flatnonzero(labels == k)[0]) for k in range(1, count + 1)]
    assert firsts == sorted(firsts)


def test_a_spiral_is_one_component_and_corners_do_not_touch() -> None:
    spiral = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]], bool)
    assert components(spiral)[1].tolist() == [17]
    assert components(np.eye(4, dtype=bool))[1].tolist() == [1, 1, 1, 1]
    labels, sizes = components(np.zeros((3, 4), bool))
    assert not labels.any()
    assert sizes.size == 0


# the post-processing


@pytest.mark.parametrize(
    ("threshold", "least"), [(0.5, 128), (0.6, 153), (0.4, 102), (0.3, 77), (1e-9, 1), (0.999, 255)]
)
def test_level_is_the_smallest_that_reaches_the_threshold(threshold: float, least: int) -> None:
    assert level(Outline(threshold=threshold)) == least


def test_strays_go_and_holes_are_filled() -> None:
    mask = chest()
    mask[40:44, 26:30] = False
    mask[2:5, 2:5] = True
    both = tidied(levels_of(mask), Outline())
    assert ((both >= 128) == chest()).all()
    assert components(tidied(levels_of(mask), Outline(keep=0)) >= 128)[1].size == 3
    assert not (tidied(levels_of(mask), Outline(fill=False)) >= 128)[41, 27]
    assert (tidied(levels_of(mask), Outline(keep=1)) >= 128)[:, 48:].sum() == 0


def test_levels_beside_an_edge_that_stays_keep_their_value() -> None:
    soft = np.asarray(Image.fromarray(levels_of(chest((24, 24)), 255, 0)).resize((96, 96), Image.Resampling.BILINEAR))
    stray = soft.copy()
    stray[2:5, 2:5] = 255
    assert (tidied(stray, Outline())[10:] == soft[10:]).all()
    assert tidied(soft, Outline()) is soft


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12)), st.integers(0, 3), st.booleans())
def test_tidied_is_idempotent_and_does_what_the_rule_says(levels: Levels, keep: int, fill: bool) -> None:
    outline = Outline(keep=keep, fill=fill)
    before = levels.copy()
    once = tidied(levels, outline)
    mask = once >= level(outline)
    assert (tidied(once, outline) == once).all()
    assert (levels == before).all()
    if keep:
        assert components(mask)[1].size <= keep
    else:
        raw = levels >= level(outline)
        assert (mask == (ndimage.binary_fill_holes(raw) if fill else raw)).all()
    if fill:
        assert (ndimage.binary_fill_holes(mask) == mask).all()
    # what is brought to another size crosses the threshold nowhere but at the mask's own edge
    assert (once[~mask] < level(outline)).all()


# right and left


@given(masks)
def test_parted_is_a_partition(mask: Mask) -> None:
    right, left = parted(mask)
    assert not (right & left).any()
    assert ((right | left) == mask).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_two_lungs_are_the_patients_right_and_left(shape: tuple[int, int]) -> None:
    right, left = parted(chest(shape))
    assert (right == ellipse(shape, 0.5, 0.3, 0.35, 0.15)).all()
    assert (left == ellipse(shape, 0.5, 0.7, 0.33, 0.12)).all()


def test_a_mirrored_picture_has_its_lungs_exchanged() -> None:
    mask = chest((90, 110))
    right, left = parted(mask)
    other_right, other_left = parted(mask[:, ::-1])
    assert (other_right == left[:, ::-1]).all()
    assert (other_left == right[:, ::-1]).all()


@pytest.mark.parametrize("row", [20, 48, 70])
def test_lungs_grown_together_are_cut_between_them(row: int) -> None:
    mask = chest()
    mask[row : row + 6, 30:70] = True
    right, left = parted(mask)
    assert components(mask)[1].size == 1
    # the bridge is as thin anywhere between the lungs: columns 43 to 55
    assert not right[:, 56:].any()
    assert not left[:, :43].any()
    assert right[48, 30]
    assert left[48, 67]


def test_lungs_grown_together_off_the_middle_are_cut_at_their_thinnest() -> None:
    mask = np.zeros((100, 140), bool)
    mask[10:90, 20:60] = mask[20:80, 64:100] = mask[40:50, 60:64] = True
    right, left = parted(mask)
    assert right.sum() + left.sum() == mask.sum()
    assert 60 <= np.flatnonzero(left.any(0))[0] <= 64
    assert left.any(0)[99]


@pytest.mark.parametrize(("across", "side"), [(0.3, 0), (0.7, 1)])
def test_one_lung_alone_goes_to_its_side(across: float, side: int) -> None:
    lung = ellipse((120, 120), 0.5, across, 0.3, 0.14)
    both = parted(lung)
    assert (both[side] == lung).all()
    assert not both[1 - side].any()


def test_pieces_go_with_the_lung_of_their_side() -> None:
    whole = chest((120, 120))
    mask = whole.copy()
    mask[55:58, :60] = False  # the right lung in two halves
    mask[100:103, 100:103] = True
    right, left = parted(mask)
    assert not right[:, 60:].any()
    assert not left[:, :60].any()
    assert left[101, 101]


def test_no_lung_has_no_sides() -> None:
    assert not np.any(parted(np.zeros((5, 6), bool)))


def test_real_masks_have_two_lungs(real_data: Path) -> None:
    paths = sorted((real_data / "kermany-lungmasks").rglob("*.png"))[::25]
    paths += sorted((real_data / "covid-ccby" / "lung_masks").rglob("*.png"))[::4]
    shares = []
    for path in paths:
        mask = np.asarray(Image.open(path).convert("L")) > 127
        right, left = parted(mask)
        shares.append(min(right.sum(), left.sum()) / max(right.sum(), left.sum(), 1))
    assert len(shares) > 200
    assert np.mean(np.array(shares) > 0.3) >= 0.98


# back onto the picture


@pytest.mark.parametrize("resize", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_placed_is_the_inverse_of_the_models_resizing(shape: tuple[int, int], resize: Resize) -> None:
    disc = ellipse(shape, 0.5, 0.48, 0.4, 0.4)
    square = to_input(disc.astype(np.float32), Preprocess(size=96, resize=resize))
    back = placed(square, shape, resize)
    assert back.shape == shape
    assert back.dtype == np.uint8
    rows, columns = shape
    side = min(shape) if resize == "crop" else max(shape)
    top, left = max(0, (rows - side) // 2), max(0, (columns - side) // 2)
    window = (slice(top, top + side), slice(left, left + side))
    assert iou(back[window] >= 128, disc[window]) >= 0.98
    seen = np.zeros(shape, bool)
    seen[window] = True
    assert not back[~seen].any()


def test_a_picture_of_the_models_size_is_not_resampled() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    for resize in MODES:
        assert (placed(levels, (32, 32), resize) == levels).all()


@pytest.mark.parametrize("resize", MODES)
def test_a_truth_kept_in_other_proportions_meets_its_picture(resize: Resize) -> None:
    shape, grid = (150, 420), (224, 224)
    square = to_input(ellipse(shape, 0.5, 0.5, 0.3, 0.1).astype(np.float32), Preprocess(size=128, resize=resize))
    assert iou(placed(square, shape, resize, grid) >= 128, ellipse(grid, 0.5, 0.5, 0.3, 0.1)) >= 0.96


@settings(max_examples=30)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(MODES))
def test_any_shape_can_be_placed(rows: int, columns: int, resize: Resize) -> None:
    assert placed(np.full((16, 16), 200, np.uint8), (rows, columns), resize).max() == 200


# what is said of the lungs


def test_shares_boxes_and_areas_by_hand() -> None:
    levels = np.zeros((100, 100), np.uint8)
    levels[20:70, 10:40] = 255
    levels[30:70, 60:80] = 255
    found = lungs_of(levels, Outline(), (200, 400), "stretch", (0.5, 0.25))
    assert found.right.share == pytest.approx(0.15)
    assert found.left.share == pytest.approx(0.08)
    assert found.share == pytest.approx(0.23)
    assert found.right.box == pytest.approx((0.1, 0.2, 0.4, 0.7))
    assert found.left.box == pytest.approx((0.6, 0.3, 0.8, 0.7))
    assert found.square_centimetres == pytest.approx(0.23 * 200 * 0.5 * 400 * 0.25 / 100)
    assert found.left.square_centimetres == pytest.approx(0.08 * 100)
    assert (found.components, found.doubt) == (2, "")
    assert lungs_of(levels, Outline(), (200, 400), "stretch").square_centimetres is None


def test_a_crop_shares_the_whole_picture() -> None:
    levels = np.zeros((100, 100), np.uint8)
    levels[:, :50] = 255
    found = lungs_of(levels, Outline(), (100, 200), "crop")
    assert found.share == pytest.approx(0.25)
    assert found.right.box == pytest.approx((0.25, 0.0, 0.5, 1.0))


@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (257, 401)])
def test_areas_and_boxes_know_no_padding(shape: tuple[int, int]) -> None:
    picture = chest(shape).astype(np.float32)
    found = {
        resize: lungs_of(to_input(picture, Preprocess(size=192, resize=resize)), Outline(), shape, resize)
        for resize in ("stretch", "pad")
    }
    assert found["pad"].share == pytest.approx(float(picture.mean()), rel=0.02)
    assert found["pad"].share == pytest.approx(found["stretch"].share, rel=0.02)
    for side in ("right", "left"):
        padded, stretched = getattr(found["pad"], side), getattr(found["stretch"], side)
        assert padded.box == pytest.approx(stretched.box, abs=0.01)


def test_strays_are_not_measured() -> None:
    levels = levels_of(chest())
    clean = lungs_of(levels, Outline(), (96, 96), "stretch")
    levels[1:4, 1:4] = 255
    assert lungs_of(levels, Outline(), (96, 96), "stretch") == clean


@pytest.mark.parametrize(
    ("mask", "inside", "doubt"),
    [
        (np.zeros((96, 96), bool), 255, "no lungs found"),
        (ellipse((96, 96), 0.5, 0.3, 0.1, 0.05), 255, "too small to be lungs"),
        (np.ones((96, 96), bool), 255, "too large to be lungs"),
        (chest(), 140, "too faint to be lungs"),
        (ellipse((96, 96), 0.5, 0.5, 0.45, 0.1), 255, "too narrow to be lungs"),
        (ellipse((96, 96), 0.5, 0.28, 0.4, 0.2), 255, "one lung alone"),
        (chest(), 255, ""),
    ],
)
def test_what_can_be_no_lungs_is_doubted(mask: Mask, inside: int, doubt: str) -> None:
    assert lungs_of(levels_of(mask, inside, 0), Outline(), (300, 280), "stretch").doubt == doubt


# the rule


def test_mean_dice_by_hand() -> None:
    truths = np.zeros((3, 4, 4), np.uint8)
    truths[0, :2] = 255
    truths[1, 0, 0] = 127  # no lung
    truths[2, 0] = 128
    levels = np.zeros((3, 4, 4), np.uint8)
    levels[0, 1:3] = 128
    levels[2, 0, :2] = 255
    assert mean_dice(levels, truths, 0.5) == pytest.approx((0.5 + 1 + 2 * 2 / 6) / 3)
    assert mean_dice(levels, truths, 0.51) == pytest.approx((0 + 1 + 2 * 2 / 6) / 3)
    assert np.isnan(mean_dice(levels[:0], truths[:0], 0.5))
    with pytest.raises(ValueError, match=r"\[n, size, size\]"):
        mean_dice(levels, truths[:2], 0.5)


def batch(*pictures: Levels) -> Levels:
    return np.stack(pictures)


@pytest.mark.parametrize(
    ("inside", "around", "expected"), [(255, 0, 0.5), (100, 40, 0.35), (255, 140, 0.55), (150, 0, 0.5)]
)
def test_the_threshold_with_the_best_dice_is_taken(inside: int, around: int, expected: float) -> None:
    truth = chest()
    levels = levels_of(ndimage.binary_dilation(truth, iterations=3), around, 0)
    levels[truth] = inside
    chosen = fitted(batch(levels, levels), batch(levels_of(truth, 255, 0), levels_of(truth, 255, 0)), ("s", "m"))
    assert chosen.threshold == expected
    assert chosen.threshold in THRESHOLDS
    assert (chosen.dice_raw, chosen.dice, chosen.n) == (1.0, 1.0, 2)
    assert (chosen.keep, chosen.fill) == (2, True)
    assert (chosen.split_digest, chosen.model_digest) == ("s", "m")


def test_post_processing_is_kept_only_where_it_does_no_harm() -> None:
    truth = chest()
    third = truth.copy()
    third[2:9, 2:9] = True
    hollow = truth.copy()
    hollow[44:50, 26:32] = False
    cases = {
        "both help": (third & hollow, truth, 2, True),
        "third is lung": (third, third, 0, True),
        "hole is no lung": (hollow, hollow, 2, False),
    }
    for name, (mask, held, keep, fill) in cases.items():
        chosen = fitted(levels_of(mask)[None], levels_of(held, 255, 0)[None])
        assert (chosen.keep, chosen.fill) == (keep, fill), name
        assert chosen.dice is not None
        assert chosen.dice_raw is not None
        assert chosen.dice >= chosen.dice_raw


def test_what_is_fitted_is_what_masks_give() -> None:
    random = np.random.default_rng(3)
    truths = np.stack([levels_of(chest((48, 48)), 255, 0)] * 4)
    noise = random.normal(0, 60, truths.shape)
    levels = np.clip(ndimage.gaussian_filter(truths * 0.8 + noise, (0, 1, 1)), 0, 255).astype(np.uint8)
    chosen = fitted(levels, truths)
    after = np.stack([tidied(one, chosen) for one in levels])
    assert chosen.dice_raw == pytest.approx(mean_dice(levels, truths, chosen.threshold))
    assert chosen.dice == pytest.approx(mean_dice(after, truths, chosen.threshold))
    assert chosen.dice_raw == pytest.approx(max(mean_dice(levels, truths, threshold) for threshold in THRESHOLDS))


def test_without_validation_masks_the_rule_is_the_default() -> None:
    none = np.zeros((0, 8, 8), np.uint8)
    assert fitted(none, none, ("s", "m")) == Outline(split_digest="s", model_digest="m")
