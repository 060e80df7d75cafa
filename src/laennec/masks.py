"""Masks of lungs: parted into components, tidied, told right from left, and brought back onto the picture.

A model that segments answers levels, ``uint8 [size, size]``: 255 x the probability that a pixel is lung, on its own
square grid. An `Outline` says from which level on a pixel is lung and what is done about strays and holes. Right and
left are the patient's: the right lung lies on the left of the picture. Only numpy and Pillow are needed here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec.segmentation import Lung, Lungs, Outline

Flags = NDArray[np.bool_]
Levels = NDArray[np.uint8]
Resize = Literal["stretch", "pad", "crop"]
Rectangle = tuple[int, int, int, int]

THRESHOLDS = tuple(step / 100 for step in range(30, 75, 5))  # tried by `fitted`
TRUE = 128  # level from which a pixel of a truth is lung
_KEPT = 2  # components: a patient has two lungs

_SECOND = 0.1  # a component smaller than this share of the largest is no second lung
_ASIDE = 0.5  # two components are two lungs where they share less than this of the narrower one's columns
_SLIM = 0.7  # a component narrower than this share of its height is one lung
_CENTRE = 0.3, 0.7  # where between its edges a component of both lungs may be cut
_LEAST, _MOST = 0.08, 0.8  # share of the picture that lungs may cover
_SHORTEST = 0.25  # width and height of the box around both lungs, share of the picture's
_SURE = 0.75  # mean probability inside the lungs


@dataclass(frozen=True, slots=True)
class _Runs:
    """A mask [rows, columns] as k runs of pixels along its rows, and the component, from 0, that each belongs to.

    Places count through the rows, each with one pixel of background added at its end, so that no run touches the next.
    """

    shape: tuple[int, int]
    starts: NDArray[np.intp]
    stops: NDArray[np.intp]
    owner: NDArray[np.intp]
    count: int

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Pixels of each component [count]."""
        return self.summed(self.stops - self.starts).astype(np.int64)

    def summed(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Sums [count] over the runs of each component."""
        return np.asarray(np.bincount(self.owner, values, self.count), np.float64)

    def painted(self, values: NDArray[Any]) -> NDArray[Any]:
        """A picture [rows, columns] with one value [count] for each component and 0 elsewhere."""
        rows, columns = self.shape
        ends = np.stack([self.starts, self.stops], 1).ravel()
        colours = np.zeros(len(ends) + 1, values.dtype)
        colours[1::2] = values[self.owner]
        flat = np.repeat(colours, np.diff(ends, prepend=0, append=rows * (columns + 1)))
        return np.ascontiguousarray(flat.reshape(rows, columns + 1)[:, :columns])


def _settled(parent: NDArray[np.intp]) -> NDArray[np.intp]:
    """Roots [k] of a forest whose every member names one before it, or itself."""
    while True:
        higher = parent[parent]
        if np.array_equal(higher, parent):
            return parent
        parent = higher


def _runs(mask: Flags) -> _Runs:
    """Runs and components of a mask [rows, columns].

    Each run is hung under the first it touches in the row above, all at once; only where it touches more than one
    are trees joined one by one (union-find).
    """
    rows, columns = mask.shape
    stride = columns + 1
    flat = np.zeros(rows * stride + 1, np.bool_)
    flat[1:].reshape(rows, stride)[:, :columns] = mask
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    starts, stops = edges[::2], edges[1::2]
    first = stops.searchsorted(starts - stride, "right")
    last = starts.searchsorted(stops - stride, "left")
    own = np.arange(len(starts))
    roots = _settled(np.where(last > first, first, own))
    more = np.maximum(last - first - 1, 0)
    if more.any():
        below = np.repeat(own, more)
        other = first[below] + 1 + np.arange(len(below)) - np.repeat(more.cumsum() - more, more)
        roots = _joined(roots, roots[below], roots[other])
    heads = roots == own
    return _Runs((rows, columns), starts, stops, (heads.cumsum() - 1)[roots], int(heads.sum()))


def _joined(roots: NDArray[np.intp], some: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.intp]:
    """Roots [k] after the trees of `some` and `others` [m] were joined pair by pair, the earlier root leading."""
    parent = list(range(len(roots)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = run = parent[parent[run]]
        return run

    for one, other in zip(some.tolist(), others.tolist(), strict=True):
        a, b = root(one), root(other)
        parent[max(a, b)] = min(a, b)
    return _settled(np.array(parent, np.intp))[roots]


def components(mask: Flags) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The components (4-neighbourhood) of a mask ``bool [rows, columns]``.

    Returns:
        Labels ``int32 [rows, columns]``, 0 for the background, from 1 in the order of their first pixels; and the
        number of pixels of each.
    """
    runs = _runs(mask)
    labels: NDArray[np.int32] = runs.painted(np.arange(1, runs.count + 1, dtype=np.int32))
    return labels, runs.sizes


def level(outline: Outline) -> int:
    """The smallest of the levels 1 to 255 that counts as lung."""
    # 255 x 0.6 must not become 154 by the last bit of a float
    return max(1, math.ceil(round(outline.threshold * 255, 6)))


def tidied(levels: Levels, outline: Outline) -> Levels:
    """Levels ``uint8 [rows, columns]`` after the post-processing.

    The pixels of ``level(outline)`` and above are then the tidied mask: its largest components (of equal ones the
    first), then without holes, which are whatever cannot be reached from the picture's edge by 4-neighbour steps.
    Levels that need no change keep their value, so that an edge brought to another size is smooth. Tidied twice is
    tidied once. The array itself comes back where nothing changes.
    """
    least = level(outline)
    mask: Flags = levels >= least
    kept = mask
    if outline.keep:
        runs = _runs(mask)
        if runs.count > outline.keep:
            largest = np.zeros(runs.count, np.bool_)
            largest[np.argsort(-runs.sizes, kind="stable")[: outline.keep]] = True
            kept = runs.painted(largest)
    whole = _filled(kept) if outline.fill else kept
    if whole is mask:
        return levels
    changed = np.where(whole, np.maximum(levels, np.uint8(least)), levels)
    changed[mask & ~whole] = 0
    return changed


def _filled(mask: Flags) -> Flags:
    """Without holes; the mask itself where it has none."""
    around = np.ones((mask.shape[0] + 2, mask.shape[1] + 2), np.bool_)
    np.logical_not(mask, out=around[1:-1, 1:-1])
    runs = _runs(around)
    if runs.count == 1:
        return mask
    inside = np.ones(runs.count, np.bool_)
    inside[0] = False  # holds the first pixel of the ring added around the picture
    holes: Flags = runs.painted(inside)[1:-1, 1:-1]
    return mask | holes


def parted(mask: Flags) -> tuple[Flags, Flags]:
    """The patient's right and left lung of a mask ``bool [rows, columns]`` of a frontal radiograph as it is hung.

    The largest component and the largest one beside it are the two lungs, and every other component goes to the side
    of the middle between them that it lies on. Where nothing lies beside the largest, it is both lungs, grown together,
    if it is wide and reaches over the picture's middle, and is cut along its thinnest column near its own middle;
    else it is one lung alone, on its side of the picture's middle.

    Returns:
        Two masks without a pixel in common that together are `mask`; either may be empty.
    """
    runs = _runs(mask)
    if not runs.count:
        return mask.copy(), mask.copy()
    sizes, stride = runs.sizes, mask.shape[1] + 1
    rows, near, far = runs.starts // stride, runs.starts % stride, runs.stops % stride
    middles = runs.summed((far - near) * (far + near) / 2) / sizes
    lefts, rights = np.full(runs.count, stride), np.zeros(runs.count, np.intp)
    np.minimum.at(lefts, runs.owner, near)
    np.maximum.at(rights, runs.owner, far)
    main, cut = int(sizes.argmax()), mask.shape[1] / 2
    second = _beside(main, sizes, lefts, rights)
    if second is not None:
        cut = float(middles[main] + middles[second]) / 2
    start, stop, of_main = int(lefts[main]), int(rights[main]), rows[runs.owner == main]
    slim = stop - start < max(2.0, _SLIM * (int(of_main[-1] - of_main[0]) + 1))
    if second is not None or slim or not start < cut < stop:
        right: Flags = runs.painted(middles < cut)
        return right, mask & ~right
    body = np.arange(runs.count) == main
    grown_together = runs.painted(body)
    at = _thinnest(grown_together.sum(axis=0), start, stop)
    right = runs.painted(~body & (middles < at))
    right[:, :at] |= grown_together[:, :at]
    return right, mask & ~right


def _beside(main: int, sizes: NDArray[np.int64], near: NDArray[np.intp], far: NDArray[np.intp]) -> int | None:
    """The largest component that is large enough for a lung and lies beside the component `main`, not over it."""
    shared = np.minimum(far, far[main]) - np.maximum(near, near[main])
    narrower = np.minimum(far - near, far[main] - near[main])
    fit = (sizes >= _SECOND * sizes[main]) & (shared < _ASIDE * narrower)
    return int(np.where(fit, sizes, 0).argmax()) if fit.any() else None


def _thinnest(heights: NDArray[np.intp], near: int, far: int) -> int:
    """The column, between `near` and `far` but not near them, with the fewest pixels; of equal ones the middlemost."""
    low, high = (near + share * (far - near) for share in _CENTRE)
    columns = np.arange(max(near + 1, math.floor(low)), min(far - 1, math.ceil(high)) + 1)
    away = np.abs(columns - (near + far) / 2)
    return int(columns[np.lexsort((away, heights[columns]))[0]])


def _place(size: int, shape: tuple[int, int], resize: Resize) -> tuple[Rectangle, Rectangle]:
    """What part of the model's square shows what part of a picture of `shape`: as `laennec.images.to_input` resizes.

    Both as top, left, bottom, right in pixels, far sides not included.
    """
    rows, columns = shape
    if resize == "crop":
        side = min(rows, columns)
        top, left = (rows - side) // 2, (columns - side) // 2
        return (0, 0, size, size), (top, left, top + side, left + side)
    height = width = size
    if resize == "pad":
        longest = max(rows, columns)
        height, width = max(1, round(rows * size / longest)), max(1, round(columns * size / longest))
    top, left = (size - height) // 2, (size - width) // 2
    return (top, left, top + height, left + width), (0, 0, rows, columns)


def placed(levels: Levels, shape: tuple[int, int], resize: Resize, grid: tuple[int, int] | None = None) -> Levels:
    """Levels ``uint8 [size, size]`` back on the picture they were found on: the inverse of the model's resizing.

    Bilinear, antialiased where it shrinks. Outside a central crop, where the model saw nothing, they are 0.

    Args:
        shape, resize: rows and columns of the picture; as of `Preprocess`.
        grid: rows and columns to answer on, for a truth that is kept at another size than its picture; `shape` if None.

    Returns:
        ``uint8 [rows, columns]``.
    """
    (top, left, bottom, right), seen = _place(len(levels), shape, resize)
    rows, columns = grid or shape
    scales = (rows / shape[0], columns / shape[1]) * 2
    onto = [round(side * scale) for side, scale in zip(seen, scales, strict=True)]
    height, width = max(1, onto[2] - onto[0]), max(1, onto[3] - onto[1])
    part = levels[top:bottom, left:right]
    if part.shape != (height, width):
        image = Image.fromarray(np.ascontiguousarray(part))
        part = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    if part.shape == (rows, columns):
        return np.array(part)
    whole = np.zeros((rows, columns), np.uint8)
    whole[onto[0] : onto[0] + height, onto[1] : onto[1] + width] = part
    return whole


def lungs_of(
    levels: Levels,
    outline: Outline,
    shape: tuple[int, int],
    resize: Resize,
    spacing_mm: tuple[float, float] | None = None,
) -> Lungs:
    """What is said of the lungs that a model found on one picture.

    Args:
        levels: ``uint8 [size, size]`` as the model gives them.
        shape, resize: rows and columns of the picture; as of `Preprocess`. Padding is no part of the picture; of a crop
            only the central square is seen, and areas are still shares of the whole picture.
        spacing_mm: between the centres of the picture's pixels, down and across, in millimetres.
    """
    (top, left, bottom, right), seen = _place(len(levels), shape, resize)
    inside = tidied(levels, outline)[top:bottom, left:right]
    mask: Flags = inside >= level(outline)
    both, *sides = (_lung(part, seen, shape, spacing_mm) for part in (mask, *parted(mask)))
    sure = float(inside[mask].mean()) / 255 if both.box else 0.0
    return Lungs(
        share=both.share,
        square_centimetres=both.square_centimetres,
        right=sides[0],
        left=sides[1],
        components=_runs(mask).count,
        doubt=_doubt(both, sides, sure),
    )


def _lung(mask: Flags, seen: Rectangle, shape: tuple[int, int], spacing_mm: tuple[float, float] | None) -> Lung:
    """One mask of what is `seen` of a picture of `shape`."""
    (rows, columns), (top, left, bottom, right) = shape, seen
    down, across = (bottom - top) / mask.shape[0] / rows, (right - left) / mask.shape[1] / columns
    share = int(np.count_nonzero(mask)) * down * across
    area = None if spacing_mm is None else share * rows * columns * spacing_mm[0] * spacing_mm[1] / 100
    if not share:
        return Lung(share=0.0, square_centimetres=area)
    over, beside = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, far_x = (min(1.0, left / columns + at * across) for at in (int(beside[0]), int(beside[-1]) + 1))
    y, far_y = (min(1.0, top / rows + at * down) for at in (int(over[0]), int(over[-1]) + 1))
    return Lung(share=min(1.0, share), square_centimetres=area, box=(x, y, far_x, far_y))


def _doubt(both: Lung, sides: list[Lung], sure: float) -> str:
    """Why these may be no lungs; empty where nothing speaks against it."""
    if both.box is None:
        return "no lungs found"
    if not _LEAST <= both.share <= _MOST:
        return f"too {'small' if both.share < _LEAST else 'large'} to be lungs"
    if sure < _SURE:
        return "too faint to be lungs"
    left, top, right, bottom = both.box
    if min(right - left, bottom - top) < _SHORTEST:
        return "too narrow to be lungs"
    if min(side.share for side in sides) < _SECOND * max(side.share for side in sides):
        return "one lung alone"
    return ""


def mean_dice(levels: Levels, truths: Levels, threshold: float) -> float:
    """Mean Dice of masks against their truths, without post-processing; NaN without an image.

    Args:
        levels: ``uint8 [n, size, size]``.
        truths: ``uint8 [n, size, size]``; 128 and above is lung.
        threshold: in (0, 1). Two empty masks agree: their Dice is 1.

    Raises:
        ValueError: the shapes differ.
    """
    _check(levels, truths)
    return _mean_dice(levels >= level(Outline(threshold=threshold)), truths >= TRUE)


def _check(levels: Levels, truths: Levels) -> None:
    if levels.shape != truths.shape or levels.ndim != 3:
        raise ValueError(f"expected levels and truths [n, size, size] alike, got {levels.shape} and {truths.shape}")


def _mean_dice(masks: Flags, truths: Flags) -> float:
    if not len(masks):
        return float("nan")
    counts = [
        (np.count_nonzero(mask & truth), np.count_nonzero(mask) + np.count_nonzero(truth))
        for mask, truth in zip(masks, truths, strict=True)
    ]
    return math.fsum(2 * both / total if total else 1.0 for both, total in counts) / len(counts)


def fitted(levels: Levels, truths: Levels, bound_to: tuple[str, str] = ("", "")) -> Outline:
    """The rule that makes masks of a model's levels, chosen on validation images.

    The threshold among `THRESHOLDS` with the largest mean Dice (of equal ones the nearest to one half, then the
    lower); then the two largest components alone, then the filling of holes, each only where the mean Dice is not
    lower with it. Without an image the rule is the default one and its figures are None.

    Args:
        levels: ``uint8 [n, size, size]`` as the model gives them.
        truths: ``uint8 [n, size, size]``; 128 and above is lung.
        bound_to: digests of the split and of the model's files.

    Raises:
        ValueError: the shapes differ.
    """
    _check(levels, truths)
    bound = {"split_digest": bound_to[0], "model_digest": bound_to[1]}
    if not len(levels):
        return Outline(**bound)
    lung = truths >= TRUE
    # rounded, so that a tie is no matter of the order of a sum
    dice = {
        threshold: round(_mean_dice(levels >= level(Outline(threshold=threshold)), lung), 12)
        for threshold in THRESHOLDS
    }
    threshold = min(dice, key=lambda tried: (-dice[tried], round(abs(tried - 0.5), 6), tried))
    chosen, best = Outline(threshold=threshold, keep=0, fill=False, **bound), dice[threshold]
    for change in ({"keep": _KEPT}, {"fill": True}):
        tried = chosen.model_copy(update=change)
        masks = np.stack([tidied(one, tried) for one in levels]) >= level(tried)
        found = round(_mean_dice(masks, lung), 12)
        if found >= best:
            chosen, best = tried, found
    return chosen.model_copy(update={"dice_raw": dice[threshold], "dice": best, "n": len(levels)})
