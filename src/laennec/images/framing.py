"""What of a picture a model is shown, and in which greys: the frame around the lungs, and the equalised histogram."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laennec.images.lungs import Lungs, find
from laennec.images.picture import Done
from laennec.preprocess import Preprocess


def framed(pixels: NDArray[np.float32], preprocess: Preprocess) -> tuple[NDArray[np.float32], Done]:
    """The part of a picture ``float32 [rows, columns]`` in [0, 1] that is to be resized, and what was done to it.

    The notes are empty for a picture that stays as it is. ``frame`` is "lungs", or "whole" where no lungs were found,
    with the reason in ``frame_doubt``; ``lung_share`` is the share of the whole picture that is lung; ``frame_left``,
    ``frame_top``, ``frame_right`` and ``frame_bottom`` are the cut in pixels of the whole picture, far sides not
    included; ``equalised`` is true where the histogram was.

    Raises:
        UntrustedBundle: the network that finds the lungs is missing or is not the one shipped.
    """
    done: Done = {}
    if preprocess.frame == "lungs":
        found = find(pixels)
        left, top, right, bottom = cut(found, preprocess.margin, pixels.shape)
        pixels = pixels[top:bottom, left:right]
        done = {"frame": "whole" if found.doubt else "lungs", "lung_share": round(found.share, 4)}
        done |= {"frame_left": left, "frame_top": top, "frame_right": right, "frame_bottom": bottom}
        if found.doubt:
            done["frame_doubt"] = found.doubt
    if preprocess.equalise:
        pixels = equalised(pixels)
        done["equalised"] = True
    return pixels, done


def cut(found: Lungs, margin: float, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in pixels, far sides not included, of a box with `margin` times its side added on each
    side, inside a picture of `shape` ``[rows, columns]``. At least one pixel remains.
    """
    rows, columns = shape[:2]
    left, top, right, bottom = found.box
    wide, high = margin * (right - left), margin * (bottom - top)
    x, y = (min(max(0, round((near - by) * n)), n - 1) for near, by, n in ((left, wide, columns), (top, high, rows)))
    far_x, far_y = (min(n, round((far + by) * n)) for far, by, n in ((right, wide, columns), (bottom, high, rows)))
    return x, y, max(far_x, x + 1), max(far_y, y + 1)


def equalised(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture ``float32`` in [0, 1] with its histogram spread evenly at 256 levels: black stays black, and every
    other level becomes the share, among the pixels that are not black, of those no brighter than it.
    """
    levels = np.rint(np.clip(pixels, 0, 1) * np.float32(255)).astype(np.uint8)
    count = np.bincount(levels.ravel(), minlength=256).cumsum()
    risen = (count - count[0]) / max(1, count[-1] - count[0])
    spread: NDArray[np.float32] = risen.astype(np.float32)[levels]
    return spread
