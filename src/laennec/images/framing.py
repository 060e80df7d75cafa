"""What of a picture a model is shown, and in which greys: what the lungs decide, and the equalised histogram.

The order, each step only where it is asked for:

1. `stretched`: the lungs' own greys set the scale. First, as nothing has touched them yet; later it would also lift
   what was made black.
2. `faded`: what lies outside the lungs loses contrast, or all light.
3. `cut`: the frame. The first two work pixel by pixel with figures of the whole picture, so they are done inside the
   frame alone: the same pixels for less work.
4. `equalised`: last, for it spreads the greys that the model sees. Black does not count, so that with ``outside =
   "black"`` the levels are spread over the lungs.

The lungs are looked for once, on the picture as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec.images.lungs import LUNG, Lungs, lungs_of, probabilities
from laennec.images.picture import Done
from laennec.preprocess import Preprocess

Cut = tuple[int, int, int, int]

GRID = 128  # side of the mask of the lungs: twice the network's, so that its edges fall between pixels
LOW, HIGH = (2, 0.1), (98, 0.9)  # a percentile of the lungs' greys and the level it is given
_DIMMED = 0.25  # contrast left
_FADE = 1.5  # the picture has faded at this many times the margin
_CORNER = 1.5  # at least this many cells are added, so that no pixel of the mask meets the fading, not at its corners
_LEAST = 1 / 255  # lungs with a narrower span of greys set no scale


def framed(
    pixels: NDArray[np.float32], preprocess: Preprocess, chances: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], Done]:
    """The part of a picture ``float32 [rows, columns]`` in [0, 1] that is to be resized, and what was done to it.

    The notes are empty for a picture that stays as it is. Where lungs were looked for, ``lung_share`` is the share of
    the whole picture that is lung, and ``lung_doubt`` says why none were found. Of what was asked for:

    - ``frame``: "lungs", or "whole" where no lungs were found, with the reason in ``frame_doubt`` too; ``frame_left``,
      ``frame_top``, ``frame_right`` and ``frame_bottom``: the cut in pixels of the whole picture, far sides not
      included.
    - ``outside``: "dim" or "black", or "keep" where no lungs were found.
    - ``normalised``, ``equalised``: true where the greys were; ``normalised`` is false where no lungs were found, or
      where theirs are all but one grey.

    Args:
        pixels, preprocess: the picture, and what is asked for.
        chances: where the lungs are (`laennec.images.lungs.probabilities`), where that is known.

    Raises:
        UntrustedBundle: the network that finds the lungs is missing or is not the one shipped.
    """
    done: Done = {}
    if preprocess.needs_lungs:
        chances = probabilities(pixels) if chances is None else chances
        found = lungs_of(chances)
        done["lung_share"] = round(found.share, 4)
        if found.doubt:
            done["lung_doubt"] = found.doubt
        frame = (0, 0, pixels.shape[1], pixels.shape[0])
        if preprocess.frame == "lungs":
            frame = cut(found, preprocess.margin, pixels.shape)
            done |= dict(zip(("frame_left", "frame_top", "frame_right", "frame_bottom"), frame, strict=True))
            done["frame"] = "whole" if found.doubt else "lungs"
            if found.doubt:
                done["frame_doubt"] = found.doubt
        if preprocess.outside != "keep" or preprocess.normalise != "none":
            region = None if found.doubt else Region.of(chances, found)
            pixels = _by_greys(pixels, frame, region, preprocess, done)
        else:
            pixels = _inside(pixels, frame)
    if preprocess.equalise:
        pixels = equalised(pixels)
        done["equalised"] = True
    return pixels, done


def lung_plane(pixels: NDArray[np.float32], preprocess: Preprocess) -> NDArray[np.float32]:
    """Where the lungs are in the frame that `framed` cuts of the same picture: 1 inside them, 0 outside; 0 everywhere
    where none were found. Greys stay out of it: only the frame of `preprocess` counts.

    Raises:
        UntrustedBundle: as `framed`.
    """
    chances = probabilities(pixels)
    found = lungs_of(chances)
    plane = np.zeros(pixels.shape, np.float32)
    if not found.doubt:
        plane[Region.of(chances, found).inside(pixels.shape)] = 1
    if preprocess.frame == "lungs":
        plane = _inside(plane, cut(found, preprocess.margin, pixels.shape))
    return plane


def _by_greys(
    pixels: NDArray[np.float32], frame: Cut, region: Region | None, preprocess: Preprocess, done: Done
) -> NDArray[np.float32]:
    """What lies inside `frame`, normalised and faded as asked; `done` is told."""
    shown = _inside(pixels, frame)
    if preprocess.normalise == "lungs":
        done["normalised"] = False
    if preprocess.outside != "keep":
        done["outside"] = "keep" if region is None else preprocess.outside
    if region is None:
        return shown
    greys = pixels[region.inside(pixels.shape)]
    if preprocess.normalise == "lungs":
        low, high = (float(level) for level in np.percentile(greys, (LOW[0], HIGH[0])))
        if high - low >= _LEAST:
            shown, greys = stretched(shown, low, high), stretched(greys, low, high)
            done["normalised"] = True
    if preprocess.outside != "keep":
        kept = region.kept(pixels.shape, preprocess.margin, frame)
        black = preprocess.outside == "black"
        shown = faded(shown, kept, *((0.0, 0.0) if black else (float(greys.mean(dtype=np.float64)), _DIMMED)))
    return shown


def _inside(pixels: NDArray[np.float32], frame: Cut) -> NDArray[np.float32]:
    left, top, right, bottom = frame
    return pixels[top:bottom, left:right]


def cut(found: Lungs, margin: float, shape: tuple[int, ...]) -> Cut:
    """Left, top, right, bottom in pixels, far sides not included, of a box with `margin` times its side added on each
    side, inside a picture of `shape` ``[rows, columns]``. At least one pixel remains.
    """
    rows, columns = shape[:2]
    left, top, right, bottom = found.box
    wide, high = margin * (right - left), margin * (bottom - top)
    x, y = (min(max(0, round((near - by) * n)), n - 1) for near, by, n in ((left, wide, columns), (top, high, rows)))
    far_x, far_y = (min(n, round((far + by) * n)) for far, by, n in ((right, wide, columns), (bottom, high, rows)))
    return x, y, max(far_x, x + 1), max(far_y, y + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Where the lungs are, pixel by pixel.

    Attributes:
        mask: ``bool [GRID, GRID]`` over the whole picture, its aspect ignored; not empty.
        sides: width and height of the box around both lungs, fractions of the picture's.
    """

    mask: NDArray[np.bool_]
    sides: tuple[float, float]

    @classmethod
    def of(cls, probabilities: NDArray[np.float32], found: Lungs) -> Self:
        """The pixels inside the box of the lungs `found` that the network's probabilities ``float32 [64, 64]`` call
        lung; what lies outside the box is no part of them.
        """
        fine = np.asarray(Image.fromarray(probabilities).resize((GRID, GRID), Image.Resampling.BILINEAR)) > LUNG
        left, top, right, bottom = cut(found, 0.0, fine.shape)
        mask = np.zeros_like(fine)
        mask[top:bottom, left:right] = fine[top:bottom, left:right]
        return cls(mask, (found.box[2] - found.box[0], found.box[3] - found.box[1]))

    def inside(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """The mask on a picture of `shape` ``[rows, columns]``; of a picture too small to meet it, all of it."""
        rows, columns = ((2 * np.arange(n) + 1) * GRID // (2 * n) for n in shape[:2])
        lung: NDArray[np.bool_] = self.mask[rows][:, columns]
        return lung if lung.any() else np.ones_like(lung)

    def kept(self, shape: tuple[int, ...], margin: float, frame: Cut) -> NDArray[np.float32]:
        """How much of each pixel is kept, ``float32 [rows, columns]`` in [0, 1], of the part `frame` of a picture of
        `shape`: 1 on the lungs and within `margin` times the box's width and height of them, falling to 0 at half as
        far again. The margin is at least what keeps every pixel of the mask.
        """
        left, top, right, bottom = frame
        scales = [GRID / n for n in (shape[1], shape[0])]
        wide, high = (
            margin * side * GRID + _CORNER * max(1.0, scale) for side, scale in zip(self.sides, scales, strict=True)
        )
        weight = np.clip((_FADE - _distance(self.mask, wide, high)) / (_FADE - 1), 0, 1)
        # 256 steps are exact at both ends, where fractions would be a little less than 1
        steps = Image.fromarray(np.rint(weight * np.float32(255)).astype(np.uint8))
        box = (left * scales[0], top * scales[1], min(GRID, right * scales[0]), min(GRID, bottom * scales[1]))
        steps = steps.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=box)
        kept: NDArray[np.float32] = np.divide(np.asarray(steps), 255, dtype=np.float32)
        return kept


def _distance(mask: NDArray[np.bool_], wide: float, high: float) -> NDArray[np.float32]:
    """Distance of each cell from the nearest one of the mask, where `wide` cells across, or `high` down, count 1;
    infinite beyond `_FADE`.
    """
    square = np.where(mask, np.float32(0), np.float32(np.inf))
    for axis, reach in ((0, high), (1, wide)):
        near = square.copy()
        source, target = (square, near) if axis == 0 else (square.T, near.T)
        for step in range(1, min(int(_FADE * reach), GRID - 1) + 1):
            farther = np.float32((step / reach) ** 2)
            np.minimum(target[step:], source[:-step] + farther, out=target[step:])
            np.minimum(target[:-step], source[step:] + farther, out=target[:-step])
        square = near
    distance: NDArray[np.float32] = np.sqrt(square)
    return distance


def stretched(pixels: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Grey levels ``float32`` on the scale that takes `low` to 0.1 and `high` to 0.9, cut off at 0 and 1."""
    slope = np.float32((HIGH[1] - LOW[1]) / (high - low))
    scaled = (pixels - np.float32(low)) * slope + np.float32(LOW[1])
    return np.clip(scaled, 0, 1, out=scaled)


def faded(pixels: NDArray[np.float32], kept: NDArray[np.float32], level: float, contrast: float) -> NDArray[np.float32]:
    """A picture ``float32 [rows, columns]`` in [0, 1] drawn towards `level`, to the share `contrast` of the distance
    where nothing is `kept`; where `kept` is 1 no pixel changes.
    """
    change = 1 - kept
    change *= np.float32(1 - contrast)
    change *= np.float32(level) - pixels
    change += pixels
    return change


def equalised(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture ``float32`` in [0, 1] with its histogram spread evenly at 256 levels: black stays black, and every
    other level becomes the share, among the pixels that are not black, of those no brighter than it.
    """
    levels = np.rint(np.clip(pixels, 0, 1) * np.float32(255)).astype(np.uint8)
    count = np.bincount(levels.ravel(), minlength=256).cumsum()
    risen = (count - count[0]) / max(1, count[-1] - count[0])
    spread: NDArray[np.float32] = risen.astype(np.float32)[levels]
    return spread


def reread(
    changed: NDArray[np.float32], before: NDArray[np.float32], lungs: NDArray[np.bool_], preprocess: Preprocess
) -> NDArray[np.float32]:
    """A picture that was changed after `framed` had made it, as the same change of the file would show it: what
    `preprocess` does to greys is done again. What that undoes (a brightness, a contrast) was no change to the model.

    Args:
        changed: ``float32 [rows, columns]`` in [0, 1], nothing in it moved.
        before: what it was made of, as `framed` answered it.
        lungs: where the lungs are in it, ``bool [rows, columns]``; no pixel where none were found, and its greys are
            then equalised alone.
    """
    picture = changed
    if lungs.any():
        # equalised, a picture has the same greys on any scale
        if preprocess.normalise == "lungs" and not preprocess.equalise:
            low, high = (float(level) for level in np.percentile(picture[lungs], (LOW[0], HIGH[0])))
            picture = stretched(picture, low, high) if high - low >= _LEAST else picture
        if preprocess.outside != "keep":
            picture = _faded_again(picture, before, lungs, preprocess)
    return equalised(picture) if preprocess.equalise else picture


def _faded_again(
    changed: NDArray[np.float32], before: NDArray[np.float32], lungs: NDArray[np.bool_], preprocess: Preprocess
) -> NDArray[np.float32]:
    """What lies outside the lungs is faded already; what fades now is the change, drawn towards that of the lungs."""
    mask = np.asarray(Image.fromarray(lungs.astype(np.uint8) * 255).resize((GRID, GRID))) >= 128
    if not mask.any():
        return changed
    spans = [np.flatnonzero(mask.any(axis)) for axis in (0, 1)]
    across, down = ((span[-1] + 1 - span[0]) / GRID for span in spans)
    kept = Region(mask, (across, down)).kept(changed.shape, preprocess.margin, (0, 0, *changed.shape[::-1]))
    black, change = preprocess.outside == "black", changed - before
    level, contrast = (0.0, 0.0) if black else (float(change[lungs].mean(dtype=np.float64)), _DIMMED)
    return before + faded(change, kept, level, contrast)
