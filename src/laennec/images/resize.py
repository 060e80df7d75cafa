"""From a picture of any size to the square a model reads, and the single door to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec.errors import ImageError
from laennec.images.framing import framed, lung_plane
from laennec.images.lungs import of_levels, squeezed
from laennec.images.picture import Done, Limits, Picture
from laennec.images.read import read
from laennec.images.standing import standing_of
from laennec.preprocess import Preprocess

_DEFAULT = Limits()


def to_input(picture_pixels: NDArray[np.float32], preprocess: Preprocess) -> NDArray[np.uint8]:
    """Grey ``float32 [rows, columns]`` in [0, 1] to ``uint8 [size, size]``, 0 black to 255 white.

    First framed and equalised where `preprocess` says so (`laennec.images.framing`). Then bilinear, antialiased when
    it shrinks, rounded to the nearest of 256 steps. A picture that already has the size is not resampled, so an 8-bit
    one comes out bit for bit. ``pad`` centres the picture on black, ``crop`` takes the central square (the odd row or
    column goes at the far side).

    Raises:
        ValueError: the array does not have two dimensions, or has no pixel.
        UntrustedBundle: lungs are wanted and the network that finds them is not the one shipped.
    """
    return _input(picture_pixels, preprocess)[0]


def _input(
    picture_pixels: NDArray[np.float32], preprocess: Preprocess, chances: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.uint8], Done]:
    if picture_pixels.ndim != 2 or picture_pixels.size == 0:
        raise ValueError(f"expected an array of [rows, columns], got shape {picture_pixels.shape}")
    plane, done = framed(picture_pixels, preprocess, chances)
    return _resized(plane, preprocess), done


def _resized(plane: NDArray[np.float32], preprocess: Preprocess) -> NDArray[np.uint8]:
    (rows, columns), size = plane.shape, preprocess.size
    if preprocess.resize == "crop":
        side = min(rows, columns)
        top, left = (rows - side) // 2, (columns - side) // 2
        plane = plane[top : top + side, left : left + side]
    height = width = size
    if preprocess.resize == "pad":
        longest = max(rows, columns)
        height, width = max(1, round(rows * size / longest)), max(1, round(columns * size / longest))
    if plane.shape != (height, width):
        image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
        plane = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    levels: NDArray[np.uint8] = np.rint(np.clip(plane, 0, 1) * np.float32(255)).astype(np.uint8)
    if levels.shape == (size, size):
        return levels
    square = np.zeros((size, size), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = levels
    return square


def is_blank(pixels: NDArray[np.float32] | NDArray[np.uint8]) -> bool:
    """Whether every pixel has the same value."""
    return bool(pixels.size == 0 or pixels.max() == pixels.min())


def load(
    source: Path | bytes, preprocess: Preprocess, limits: Limits = _DEFAULT, gate: bool = False
) -> tuple[NDArray[np.uint8], Done]:
    """The array a model reads, ``uint8 [size, size]``, and what was done to the file and to the picture in it.

    Training, scoring and serving all come through here. With `gate` the notes say in ``chest_doubt`` why the whole
    picture is no upright frontal chest radiograph, and in ``chest_code`` by a stable word: ``not_chest``, ``lateral``,
    ``inverted`` or ``turned``. Both are empty where it is one (`laennec.images.standing`).

    Raises:
        ImageError: as `read`, and ``blank`` when every pixel has the same value.
        MissingExtra: a compressed DICOM needs the extra ``dicom``.
        UntrustedBundle: lungs are wanted and the network that finds them is not the one shipped.
    """
    return prepared(read(source, limits, preprocess.least_side), preprocess, gate)


def prepared(picture: Picture, preprocess: Preprocess, gate: bool = False) -> tuple[NDArray[np.uint8], Done]:
    """The same of a picture that was read.

    Raises:
        ImageError: ``blank``.
        UntrustedBundle: as `load`.
    """
    if is_blank(picture.pixels):
        raise ImageError("blank", "every pixel of the image has the same value", "check the export")
    if not gate:
        pixels, done = _input(picture.pixels, preprocess)
    else:  # one run of the locator serves the frame and the gate
        levels = squeezed(picture.pixels)
        lungs = of_levels(levels)
        pixels, done = _input(picture.pixels, preprocess, lungs)
        found = standing_of(levels, lungs, picture.done)
        done |= {"chest_code": found.code, "chest_doubt": found.why.en}
    return pixels, picture.done | done


def load_lungs(
    source: Path | bytes, preprocess: Preprocess, limits: Limits = _DEFAULT
) -> tuple[NDArray[np.uint8], Done]:
    """Where the lungs are on the array that `load` makes of the same file: ``uint8 [size, size]``, from 128 on lung.

    They are found by the network that frames pictures; where it finds none, no pixel is lung.

    Raises:
        ImageError, MissingExtra, UntrustedBundle: as `load`.
    """
    picture = read(source, limits, preprocess.least_side)
    if is_blank(picture.pixels):
        raise ImageError("blank", "every pixel of the image has the same value", "check the export")
    return _resized(lung_plane(picture.pixels, preprocess), preprocess), picture.done
