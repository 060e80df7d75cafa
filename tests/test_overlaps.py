"""Masks against their truths: cases small enough for a hand, brute force, and properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from laennec.images import to_input
from laennec.overlaps import Counts, Measured, counted, hd95, judge, measured, outline_of
from laennec.preprocess import Preprocess
from laennec.segmentation import MEASURES, Outline, SegmentationFigures

Mask = NDArray[np.bool_]
Levels = NDArray[np.uint8]
RULE = Outline()


def rectangle(top: int, left: int, bottom: int, right: int, shape: tuple[int, int] = (64, 64)) -> Mask:
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def disc(down: float, across: float, radius: float, side: int = 128) -> Mask:
    y, x = np.mgrid[:side, :side]
    inside: Mask = np.hypot(y - down, x - across) <= radius
    return inside


def chest() -> Mask:
    return rectangle(10, 8, 54, 26) | rectangle(12, 38, 54, 54)


def levels_of(mask: Mask) -> Levels:
    return np.where(mask, 255, 0).astype(np.uint8)


def brute(a: Mask, b: Mask, spacing: tuple[float, float]) -> float | None:
    """Every pixel of one outline against every pixel of the other, pixel by pixel."""

    def outline(mask: Mask) -> list[tuple[int, int]]:
        rows, columns = mask.shape
        found = []
        for y, x in zip(*np.nonzero(mask), strict=True):
            near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            if any(not (0 <= r < rows and 0 <= c < columns) or not mask[r, c] for r, c in near):
                found.append((int(y), int(x)))
        return found

    one, other = outline(a), outline(b)
    if not one or not other:
        return None

    def away(p: tuple[int, int], points: list[tuple[int, int]]) -> float:
        return min(float(np.hypot((p[0] - q[0]) * spacing[0], (p[1] - q[1]) * spacing[1])) for q in points)

    return float(np.percentile([away(p, other) for p in one] + [away(q, one) for q in other], 95))


pairs = array_shapes(min_dims=2, max_dims=2, max_side=9).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


def of(mask: Mask, truth: Mask, id: str = "a", **options: object) -> Measured:
    return measured(id, levels_of(mask), truth, RULE, "stretch", **options)  # type: ignore[arg-type]


# counts


def test_counts_by_hand() -> None:
    counts = counted(rectangle(0, 0, 4, 4, (8, 8)), rectangle(2, 0, 6, 4, (8, 8)))
    assert counts == Counts(both=8, added=8, missed=8, neither=40)
    assert (counts.dice, counts.iou) == (pytest.approx(0.5), pytest.approx(1 / 3))
    assert (counts.precision, counts.recall, counts.accuracy) == (0.5, 0.5, 0.75)


def test_empty_masks_agree_and_one_empty_mask_does_not() -> None:
    nothing, something = np.zeros((4, 4), bool), rectangle(0, 0, 2, 2, (4, 4))
    both = counted(nothing, nothing)
    assert (both.dice, both.iou, both.precision, both.recall, both.accuracy) == (1, 1, None, None, 1)
    missed = counted(nothing, something)
    assert (missed.dice, missed.iou, missed.precision, missed.recall) == (0, 0, None, 0)
    added = counted(something, nothing)
    assert (added.dice, added.iou, added.precision, added.recall) == (0, 0, 0, None)


@given(pairs)
def test_dice_and_iou_are_one_figure_and_symmetric(pair: tuple[Mask, Mask]) -> None:
    counts, swapped = counted(*pair), counted(*pair[::-1])
    assert counts.dice == pytest.approx(2 * counts.iou / (1 + counts.iou))
    assert (counts.dice, counts.iou, counts.precision) == (swapped.dice, swapped.iou, swapped.recall)
    assert sum(counts) == pair[0].size


# distances


def test_the_outline_is_the_outermost_ring_also_at_the_pictures_edge() -> None:
    ring = outline_of(np.ones((4, 5), bool))
    assert len(ring) == 14
    assert [1.0, 2.0] not in ring.tolist()
    thin = rectangle(3, 1, 4, 6, (8, 8))
    assert len(outline_of(thin)) == 5


@pytest.mark.parametrize("shift", [1, 3, 7])
def test_a_shifted_square_is_as_far_away_as_it_was_shifted(shift: int) -> None:
    square = rectangle(10, 10, 40, 40)
    assert hd95(square, rectangle(10, 10 + shift, 40, 40 + shift)) == shift
    assert hd95(square, rectangle(10 + shift, 10, 40 + shift, 40)) == shift


def test_rings_around_one_another_are_as_far_as_their_radii_differ() -> None:
    assert hd95(disc(64, 64, 30), disc(64, 64, 40)) == pytest.approx(10, abs=0.5)
    assert hd95(disc(64, 64, 30), disc(64, 64, 30)) == 0


def test_spacing_stretches_each_way_by_itself() -> None:
    square = rectangle(10, 10, 40, 40)
    assert hd95(square, rectangle(13, 10, 43, 40), (2.0, 0.5)) == pytest.approx(6)
    assert hd95(square, rectangle(10, 13, 40, 43), (2.0, 0.5)) == pytest.approx(1.5)


@settings(max_examples=150)
@given(pairs, st.sampled_from([(1.0, 1.0), (0.7, 0.2), (1.0, 3.0)]))
def test_hd95_is_what_brute_force_finds(pair: tuple[Mask, Mask], spacing: tuple[float, float]) -> None:
    expected = brute(*pair, spacing)
    assert hd95(*pair, spacing) == (None if expected is None else pytest.approx(expected))
    assert hd95(*pair[::-1], spacing) == (None if expected is None else pytest.approx(expected))


# one image


def test_a_mask_against_itself_is_perfect() -> None:
    overlap = of(chest(), chest(), spacing_mm=(0.2, 0.2)).overlap
    assert {getattr(overlap, name) for name in ("dice", "iou", "precision", "recall", "accuracy")} == {1.0}
    assert (overlap.hd95, overlap.hd95_mm, overlap.right_dice, overlap.left_dice, overlap.raw_dice) == (0, 0, 1, 1, 1)


def test_each_lung_is_held_against_its_own_truth() -> None:
    found = of(chest() & ~rectangle(0, 32, 64, 46), chest())
    assert found.overlap.right_dice == 1
    assert found.overlap.left_dice == pytest.approx(2 * 8 / (8 + 16))
    assert (found.right.hd95, found.left.hd95) == (0, 8)
    assert found.left.iou == pytest.approx(0.5)


def test_strays_count_before_the_post_processing_alone() -> None:
    mask = chest() | rectangle(0, 0, 4, 4)
    found = of(mask, chest())
    assert found.overlap.dice == 1
    assert found.overlap.raw_dice == found.raw.dice == counted(mask, chest()).dice
    assert found.raw.iou == counted(mask, chest()).iou
    assert found.raw.hd95 == hd95(mask, chest())
    assert found.counts == counted(chest(), chest())


def test_masks_without_a_pixel() -> None:
    nothing = np.zeros((64, 64), bool)
    both, missed = of(nothing, nothing).overlap, of(nothing, chest(), spacing_mm=(1.0, 2.0)).overlap
    assert (both.dice, both.iou, both.precision, both.recall, both.hd95) == (1, 1, None, None, None)
    assert (missed.dice, missed.recall, missed.hd95, missed.hd95_mm) == (0, 0, None, None)
    assert (missed.right_dice, missed.left_dice) == (0, 0)
    for bad in (np.zeros((0, 4), bool), np.zeros((4, 4, 1), bool)):
        with pytest.raises(ValueError, match=r"\[rows, columns\]"):
            of(nothing, bad)


def test_millimetres_follow_the_spacing() -> None:
    moved = np.roll(chest(), 3, axis=0)
    assert of(moved, chest()).overlap.hd95_mm is None
    even, uneven = (of(moved, chest(), spacing_mm=spacing).overlap for spacing in ((0.5, 0.5), (2.0, 0.5)))
    assert even.hd95 == uneven.hd95 == 3
    assert (even.hd95_mm, uneven.hd95_mm) == (pytest.approx(1.5), pytest.approx(6))


def test_a_large_truth_is_reduced_and_keeps_its_millimetres() -> None:
    truth = np.kron(chest(), np.ones((24, 16), bool))
    found = of(np.roll(chest(), 4, axis=1), truth, spacing_mm=(0.1, 0.3))
    assert truth.shape == (1536, 1024)
    assert sum(found.counts) == 512 * 341
    assert found.overlap.hd95_mm == pytest.approx(4 * 16 * 0.3, abs=0.91)  # a pixel is 0.9 mm now
    assert of(chest(), truth).overlap.dice == pytest.approx(1, abs=0.01)


def test_a_truth_of_other_proportions_needs_the_pictures() -> None:
    picture = np.kron(chest(), np.ones((2, 5))).astype(np.float32)
    square = to_input(picture, Preprocess(size=96, resize="pad"))
    told = measured("a", square, chest(), RULE, "pad", picture=(128, 320)).overlap
    assert told.dice is not None
    assert told.dice > 0.95
    untold = measured("a", square, chest(), RULE, "pad").overlap
    assert untold.dice is not None
    assert untold.dice < 0.8


def test_real_masks_survive_the_models_grid(real_data: Path) -> None:
    paths = sorted((real_data / "covid-ccby" / "lung_masks").rglob("*.png"))[::12]
    for path in paths:
        truth = np.asarray(Image.open(path).convert("L")) > 127
        levels = to_input(truth.astype(np.float32), Preprocess(size=192, resize="pad"))
        overlap = measured(path.stem, levels, truth, RULE, "pad", (0.7, 0.7)).overlap
        assert overlap.dice is not None
        assert overlap.dice > 0.985
        assert overlap.hd95 is not None
        assert overlap.hd95 < 3


# many images


def figures(*pairs_of_masks: tuple[Mask, Mask], patients: list[str] | None = None) -> SegmentationFigures:
    rows = [of(mask, truth, f"i{i}") for i, (mask, truth) in enumerate(pairs_of_masks)]
    return judge(iter(rows), RULE, patients or [f"p{i}" for i in range(len(rows))])


def test_means_and_pooled_figures_by_hand() -> None:
    half = chest() & rectangle(0, 0, 64, 32)
    found = figures((chest(), chest()), (half, chest()), (np.zeros((64, 64), bool), chest()))
    of_half = counted(half, chest())
    assert found.mean["dice"].value == pytest.approx((1 + of_half.dice + 0) / 3)
    assert found.mean["iou"].value == pytest.approx((1 + of_half.iou + 0) / 3)
    assert found.mean["precision"].value == 1
    assert (found.mean["precision"].n, found.mean["recall"].n, found.mean["hd95"].n) == (2, 3, 2)
    area, of_right = int(chest().sum()), int(half.sum())
    summed = Counts(area + of_right, 0, 2 * area - of_right, 3 * 64 * 64 - 3 * area)
    for name, figure in found.pooled.items():
        assert figure.value == pytest.approx(getattr(summed, name)), name
    assert found.right["dice"].value == pytest.approx(2 / 3)
    assert found.left["dice"].value == pytest.approx(1 / 3)
    assert (found.left["hd95"].value, found.left["hd95"].n) == (0, 1)
    assert [row.id for row in found.rows] == ["i2", "i1", "i0"]
    assert (found.images, found.patients, found.outline) == (3, 3, RULE)


def test_every_measure_is_there_with_its_interval() -> None:
    found = figures(*[(np.roll(chest(), i % 7, axis=0), chest()) for i in range(20)])
    assert set(found.mean) == set(MEASURES)
    assert set(found.pooled) == set(MEASURES) - {"hd95"}
    assert set(found.raw) == set(found.right) == set(found.left) == {"dice", "iou", "hd95"}
    for group in (found.mean, found.pooled, found.raw, found.right, found.left):
        for figure in group.values():
            assert figure.value is not None
            assert figure.low is not None
            assert figure.high is not None
            assert figure.low <= figure.value <= figure.high
            assert (figure.n, figure.method) == (20, "patient_bootstrap")
    dice, iou = found.pooled["dice"].value, found.pooled["iou"].value
    assert dice == pytest.approx(2 * (iou or 0) / (1 + (iou or 0)))
    assert found == SegmentationFigures.model_validate_json(found.model_dump_json())


def test_images_of_one_patient_are_drawn_together() -> None:
    pairs_of_masks = [(np.roll(chest(), 4 * (i // 5), axis=0), chest()) for i in range(20)]
    apart = figures(*pairs_of_masks).mean["dice"]
    together = figures(*pairs_of_masks, patients=[f"p{i // 5}" for i in range(20)])
    clustered = together.mean["dice"]
    assert together.patients == 4
    assert apart.value == clustered.value
    assert clustered.high is not None
    assert clustered.low is not None
    assert apart.high is not None
    assert apart.low is not None
    assert clustered.high - clustered.low > 1.5 * (apart.high - apart.low)


def test_millimetres_are_told_only_where_known() -> None:
    known, unknown = of(chest(), chest(), spacing_mm=(1.0, 1.0)), of(chest(), chest(), "b")
    assert judge([known, unknown], RULE, ["p", "q"]).mean["hd95_mm"].n == 1
    assert "hd95_mm" not in judge([unknown], RULE, ["q"]).mean


def test_no_image_has_no_figure_and_every_image_needs_a_patient() -> None:
    none = judge([], RULE, [])
    assert none.images == none.patients == 0
    assert {figure.value for group in (none.mean, none.pooled, none.raw) for figure in group.values()} == {None}
    with pytest.raises(ValueError, match="one patient for each of 1 image"):
        judge([of(chest(), chest())], RULE, [])
