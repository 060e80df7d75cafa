"""Text burned into a picture: rows of small bright glyphs of one height."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec.errors import extra

TEXT = 4  # glyphs side by side from which a row is text and no side letter
_BRIGHT = 50  # grey levels above what an opening of the picture leaves, from which a pixel is a stroke
_LOWEST, _HIGHEST = 4, 24  # of a glyph, pixels of 256
_EVEN = 0.2  # of its height, that glyphs of a row may differ at top and bottom
_GAP = 1.2  # of its height, between neighbours
_TILE = 256
_STROKE = 7  # pixels; wider is no stroke


def longest_row(pixels: NDArray[np.uint8]) -> tuple[int, tuple[float, float]]:
    """Glyphs in the longest row of text on a picture ``uint8 [side, side]``, and where it is (across, down) in [0, 1].

    A row is glyphs of like height side by side; neighbours that touch count as one. A side letter is a row of one.
    Glyphs of 4 to 24 pixels at a side of 256 are seen, brighter than what is around them by 50 levels.

    Raises:
        MissingExtra: scipy is not installed.
    """
    with extra("eval"):
        from scipy import ndimage
    strokes = pixels.astype(np.int16) - _opened(pixels) > _BRIGHT
    if not strokes.any():
        return 0, (0.0, 0.0)
    labels, _ = ndimage.label(strokes, structure=np.ones((3, 3)))
    boxes = [(r.start, r.stop, c.start, c.stop) for r, c in ndimage.find_objects(labels)]
    glyphs = np.array(
        [b for b in boxes if _LOWEST <= b[1] - b[0] <= _HIGHEST and b[3] - b[2] <= _HIGHEST], np.float64
    ).reshape(-1, 4)
    longest, where = 0, (0.0, 0.0)
    for top, bottom, left, _ in glyphs:
        height = bottom - top
        near = max(1.0, _EVEN * height)
        row = glyphs[(np.abs(glyphs[:, 0] - top) <= near) & (np.abs(glyphs[:, 1] - bottom) <= near)]
        row = row[np.argsort(row[:, 2])]
        apart = np.flatnonzero(row[1:, 2] - row[:-1, 3] > _GAP * height) + 1
        lengths = np.diff([0, *apart, len(row)])
        if lengths.max() > longest:
            longest, where = int(lengths.max()), (left / pixels.shape[1], top / pixels.shape[0])
    return longest, where


def longest_anywhere(grey: NDArray[np.uint8], finest: int = 2048) -> int:
    """Glyphs in the longest row of text of any size on a picture ``uint8 [rows, columns]``, bright or dark.

    The picture is looked at whole, and with its longest side at 512, 1024 and so on up to its own, or 1024 where it has
    less, in overlapping tiles of 256: glyphs from 4 pixels there are seen.

    Args:
        grey: 0 black.
        finest: longest side to go to.

    Raises:
        MissingExtra: scipy is not installed.
    """
    image, longest = Image.fromarray(grey), 0
    whole = np.asarray(image.resize((_TILE, _TILE), Image.Resampling.BILINEAR))
    sides = [side for side in (512, 1024, 2048, 4096) if side <= min(finest, max(1024, *grey.shape))]
    for levels in (whole, np.uint8(255) - whole):
        longest = max(longest, longest_row(levels)[0])
    for side in sides:
        scale = side / max(grey.shape)
        size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
        finer = np.asarray(image.resize(size, Image.Resampling.BILINEAR if scale > 1 else Image.Resampling.LANCZOS))
        for top in _tops(size[1]):
            for left in _tops(size[0]):
                tile = np.ascontiguousarray(finer[top : top + _TILE, left : left + _TILE])
                for levels in (tile, np.uint8(255) - tile):
                    longest = max(longest, longest_row(levels)[0])
    return longest


def _tops(length: int) -> list[int]:
    """Where tiles begin that cover a length, overlapping by a quarter or more."""
    if length <= _TILE:
        return [0]
    count = -(-4 * (length - _TILE) // (3 * _TILE))
    return [round(number * (length - _TILE) / count) for number in range(count + 1)]


def _opened(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Morphological opening by a square: what is brighter and narrower than it goes."""
    reach = _STROKE // 2
    least = _extreme(np.pad(pixels, reach, mode="edge"), np.minimum)
    return _extreme(np.pad(least, reach, mode="edge"), np.maximum)


def _extreme(padded: NDArray[np.uint8], of: Any) -> NDArray[np.uint8]:
    """Least or largest of each square, by doubling along both axes."""
    for _ in range(2):
        two = of(padded[:-1], padded[1:])
        four = of(two[:-2], two[2:])
        padded = of(four[:-3], four[3:]).T
    return padded
