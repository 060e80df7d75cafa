"""How masks of lungs agree with their truths: overlap and the distance between outlines, per image and together.

Everything is measured on the truth's own grid, at most `LONGEST` pixels a side. Where truth and mask are both empty
they agree: Dice and IoU are 1. Intervals resample patients (`laennec.intervals`).

HD95 is the 95th percentile (linear between ranks) of the distances from each pixel of either outline to the nearest
pixel of the other, both directions in one pool, as MedPy does it; a quantile in place of the maximum of the Hausdorff
distance goes back to Huttenlocher, Klanderman & Rucklidge, IEEE TPAMI 1993 (Taha & Hanbury, BMC Medical Imaging 2015,
advise it against outliers). Others take the percentile in each direction and the larger of the two (Maier-Hein et al.,
Metrics Reloaded, Nature Methods 2024; MONAI): that figure is seldom the smaller, so compare like with like. An outline
is made of the pixels of a mask with a 4-neighbour outside it, and what lies beyond the picture's edge is outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec.errors import extra
from laennec.estimates import Estimate
from laennec.intervals import patient_bootstrap
from laennec.masks import TRUE, Flags, Levels, Resize, level, parted, placed, tidied
from laennec.segmentation import MEASURES, Outline, Overlap, SegmentationFigures

Floats = NDArray[np.float64]

LONGEST = 512  # pixels a side of the grid that is measured on
POOLED = tuple(name for name in MEASURES if name != "hd95")
CLOSENESS = ("dice", "iou", "hd95")
_METHOD = "patient_bootstrap"


class Counts(NamedTuple):
    """Pixels that are lung in mask and truth, in the mask alone (added), in the truth alone (missed), in neither."""

    both: int
    added: int
    missed: int
    neither: int

    @property
    def dice(self) -> float:
        """Twice the common pixels over those of both masks; 1 where both are empty."""
        lung = 2 * self.both + self.added + self.missed
        return 2 * self.both / lung if lung else 1.0

    @property
    def iou(self) -> float:
        """Common pixels over those of either mask; 1 where both are empty."""
        lung = self.both + self.added + self.missed
        return self.both / lung if lung else 1.0

    @property
    def precision(self) -> float | None:
        """Share of the mask that is lung; None where it is empty."""
        called = self.both + self.added
        return self.both / called if called else None

    @property
    def recall(self) -> float | None:
        """Share of the truth that was found; None where it is empty."""
        held = self.both + self.missed
        return self.both / held if held else None

    @property
    def accuracy(self) -> float | None:
        """Share of all pixels that are the same in both; None without a pixel."""
        pixels = sum(self)
        return (self.both + self.neither) / pixels if pixels else None


@dataclass(frozen=True, slots=True)
class Closeness:
    """How one mask agrees with its truth: Dice and IoU in [0, 1], HD95 in pixels (None where a mask is empty)."""

    dice: float
    iou: float
    hd95: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """One image's mask against its truth, with what `judge` needs beside the `Overlap`.

    Attributes:
        counts: of the mask after the post-processing.
        raw: before the post-processing.
        right, left: the patient's lungs, after it.
    """

    overlap: Overlap
    counts: Counts
    raw: Closeness
    right: Closeness
    left: Closeness


def counted(mask: Flags, truth: Flags) -> Counts:
    """Pixels of a mask and its truth, ``bool [rows, columns]`` both, by whether they are lung in each."""
    both, called, held = (int(np.count_nonzero(pixels)) for pixels in (mask & truth, mask, truth))
    return Counts(both, called - both, held - both, mask.size - called - held + both)


def outline_of(mask: Flags) -> Floats:
    """Rows and columns [k, 2] of the pixels of a mask with a 4-neighbour outside it or beyond the picture's edge."""
    wide = np.pad(mask, 1)
    inner = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return np.argwhere(mask & ~inner).astype(np.float64)


def hd95(mask: Flags, truth: Flags, spacing: tuple[float, float] = (1.0, 1.0)) -> float | None:
    """95th percentile of the distances between the outlines of two masks ``bool [rows, columns]``, as defined above.

    Args:
        spacing: between the centres of pixels, down and across; the answer has its unit.

    Returns:
        The distance, or None where a mask is empty.

    Raises:
        MissingExtra: scipy is not installed.
    """
    return _hd95(outline_of(mask) * spacing, outline_of(truth) * spacing)


def _hd95(points: Floats, others: Floats) -> float | None:
    if not len(points) or not len(others):
        return None
    with extra("eval"):
        from scipy.spatial import cKDTree
    # an outline has some hundred pixels: asking a tree is exact, and far quicker than a distance map of the picture
    trees = [cKDTree(some, compact_nodes=False, balanced_tree=False) for some in (points, others)]
    ways = [trees[1].query(points)[0], trees[0].query(others)[0]]
    return float(np.percentile(np.concatenate(ways), 95))


def _closeness(mask: Flags, truth: Flags) -> Closeness:
    counts = counted(mask, truth)
    return Closeness(counts.dice, counts.iou, hd95(mask, truth))


def _reduced(truth: Flags) -> Flags:
    """The truth at most `LONGEST` pixels a side; the edge goes where half of a pixel is lung."""
    rows, columns = truth.shape
    if max(rows, columns) <= LONGEST:
        return truth
    scale = LONGEST / max(rows, columns)
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    image = Image.fromarray(truth.astype(np.uint8) * np.uint8(255))
    smaller: Flags = np.asarray(image.resize(size, Image.Resampling.BILINEAR)) >= TRUE
    return smaller


def measured(
    id: str,
    levels: Levels,
    truth: Flags,
    outline: Outline,
    resize: Resize,
    spacing_mm: tuple[float, float] | None = None,
    picture: tuple[int, int] | None = None,
    mirrored: bool = False,
) -> Measured:
    """One image's mask against its truth.

    Args:
        levels: ``uint8 [size, size]`` as the model gives them.
        truth: ``bool [rows, columns]`` over the whole picture; reduced first where a side is longer than `LONGEST`.
        resize: as of `Preprocess`.
        spacing_mm: between the centres of the truth's pixels, down and across, in millimetres; None where unknown.
        picture: rows and columns of the picture, where the truth is kept in other proportions; without it a mask made
            of a padded or cropped picture would be put in the wrong place.
        mirrored: the patient's left lies on the picture's left.

    Raises:
        ValueError: the truth does not have two dimensions, or has no pixel.
        MissingExtra: scipy is not installed.
    """
    if truth.ndim != 2 or not truth.size:
        raise ValueError(f"expected a truth of [rows, columns], got shape {truth.shape}")
    least, shape, whole = level(outline), picture or truth.shape, _reduced(truth)
    post_processed = tidied(levels, outline)
    mask: Flags = placed(post_processed, shape, resize, whole.shape) >= least
    counts, closeness = counted(mask, whole), _closeness(mask, whole)
    raw = closeness
    if post_processed is not levels:
        raw = _closeness(placed(levels, shape, resize, whole.shape) >= least, whole)
    sides = zip(parted(mask), parted(whole), strict=True)
    right, left = (_closeness(of_mask, of_truth) for of_mask, of_truth in sides)
    if mirrored:
        right, left = left, right
    distance_mm = closeness.hd95
    if spacing_mm is None:
        distance_mm = None
    elif distance_mm is not None:
        down, across = (step * n / m for step, n, m in zip(spacing_mm, truth.shape, whole.shape, strict=True))
        distance_mm = distance_mm * down if down == across else hd95(mask, whole, (down, across))
    overlap = Overlap(
        id=id,
        dice=counts.dice,
        iou=counts.iou,
        precision=counts.precision,
        recall=counts.recall,
        accuracy=counts.accuracy,
        hd95=closeness.hd95,
        hd95_mm=distance_mm,
        right_dice=right.dice,
        left_dice=left.dice,
        raw_dice=raw.dice,
    )
    return Measured(overlap, counts, raw, right, left)


def judge(rows: Iterable[Measured], outline: Outline, patients: Sequence[str]) -> SegmentationFigures:
    """Every figure of masks on one part of one split, with 95 % intervals that resample patients.

    A figure that an image does not have (a distance to an empty mask) is left out of its mean, and `n` counts the
    images that have it. Pooled figures weigh every pixel of every image alike.

    Args:
        rows: [n] as `measured` gives them.
        outline: the rule they were made by.
        patients: [n] the patient of each, in the same order.

    Raises:
        ValueError: there are not as many patients as rows.
    """
    images = tuple(rows)
    if len(images) != len(patients):
        raise ValueError(f"expected one patient for each of {len(images)} images, got {len(patients)}")
    overlaps = [image.overlap for image in images]
    named = [*MEASURES, *(["hd95_mm"] if any(overlap.hd95_mm is not None for overlap in overlaps) else [])]

    def sides(side: str) -> dict[str, Estimate]:
        parts = [getattr(image, side) for image in images]
        return {name: _mean([getattr(part, name) for part in parts], patients) for name in CLOSENESS}

    return SegmentationFigures(
        outline=outline,
        images=len(images),
        patients=len(set(patients)),
        mean={name: _mean([getattr(overlap, name) for overlap in overlaps], patients) for name in named},
        pooled=_pooled([image.counts for image in images], patients),
        raw=sides("raw"),
        right=sides("right"),
        left=sides("left"),
        rows=tuple(sorted(overlaps, key=lambda overlap: (overlap.dice, overlap.id))),
    )


def _mean(values: Sequence[float | None], patients: Sequence[str]) -> Estimate:
    known = [(value, patient) for value, patient in zip(values, patients, strict=True) if value is not None]

    def mean(weights: Floats, figures: Floats) -> Floats:
        return np.asarray(weights @ figures / weights.sum(axis=1))

    return _bootstrapped(mean, np.array([value for value, _ in known]), [patient for _, patient in known])


def _pooled(counts: Sequence[Counts], patients: Sequence[str]) -> dict[str, Estimate]:
    """Figures of the summed counts."""
    table = np.array(counts, np.float64).reshape(-1, len(Counts._fields))

    def of(name: str) -> Callable[[Floats, Floats], Floats]:
        def figure(weights: Floats, pixels: Floats) -> Floats:
            found = (getattr(Counts(*(int(n) for n in row)), name) for row in weights @ pixels)
            return np.array([np.nan if value is None else value for value in found])

        return figure

    return {name: _bootstrapped(of(name), table, patients) for name in POOLED}


def _bootstrapped(statistic: Callable[[Floats, Floats], Floats], figures: Floats, patients: Sequence[str]) -> Estimate:
    """The figure at weight 1 with its patient bootstrap interval, widened where needed to hold the figure itself."""
    n = len(patients)
    value = float(statistic(np.ones((1, n)), figures)[0]) if n else float("nan")
    if np.isnan(value):
        return Estimate(value=None, n=n, method=_METHOD)
    low, high = patient_bootstrap(statistic, figures, patients=patients)
    if low is None or high is None:
        return Estimate(value=value, n=n, method=_METHOD)
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n, method=_METHOD)
