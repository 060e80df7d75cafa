"""A picture for a person beside the array for the model: grey at the size of a screen, and where the lungs are found.

It travels from the process that decodes in a file of raw bytes (`View.written`), for the one who asked has no decoder.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec.images.lungs import outlined, probabilities
from laennec.images.picture import Done, Limits
from laennec.images.read import read
from laennec.images.resize import prepared
from laennec.preprocess import Preprocess

LONGEST = 1024  # pixels of the longest side
LIMITS = Limits(max_bytes=64 * 2**20)  # of what a stranger sends: a file, and a deflated DICOM once inflated
_SIZES = struct.Struct("<II")


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A picture for a person.

    Attributes:
        grey: ``uint8 [rows, columns]``, 0 black; windowed as the file asks, reduced to `LONGEST`.
        lungs: ``bool`` of the same shape: where the network that frames pictures finds them; nowhere where it does not.
    """

    grey: NDArray[np.uint8]
    lungs: NDArray[np.bool_]

    def written(self) -> bytes:
        """As bytes that `of` takes."""
        return _SIZES.pack(*self.grey.shape) + self.grey.tobytes() + np.packbits(self.lungs).tobytes()

    @classmethod
    def of(cls, data: bytes) -> View:
        """The view in the bytes of `written`. Raises `ValueError` where they hold none."""
        if len(data) < _SIZES.size:
            raise ValueError("no view")
        rows, columns = _SIZES.unpack_from(data)
        count, flags = rows * columns, (rows * columns + 7) // 8
        if not 0 < max(rows, columns) <= LONGEST or len(data) != _SIZES.size + count + flags:
            raise ValueError("no view")
        grey = np.frombuffer(data, np.uint8, count, _SIZES.size).reshape(rows, columns)
        packed = np.frombuffer(data, np.uint8, flags, _SIZES.size + count)
        return cls(grey, np.unpackbits(packed, count=count).astype(bool).reshape(rows, columns))


def view_of(pixels: NDArray[np.float32]) -> View:
    """The view of a picture ``float32 [rows, columns]`` in [0, 1].

    Raises:
        UntrustedBundle: the network that finds the lungs is not the one shipped.
    """
    rows, columns = pixels.shape
    scale = min(1.0, LONGEST / max(rows, columns))
    if scale < 1:
        size = max(1, round(columns * scale)), max(1, round(rows * scale))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    grey = np.rint(np.clip(pixels, 0, 1) * np.float32(255)).astype(np.uint8)
    return View(grey, outlined(probabilities(pixels), (grey.shape[0], grey.shape[1])))


def load_shown(
    source: Path | bytes, view: Path, preprocess: Preprocess, limits: Limits = LIMITS
) -> tuple[NDArray[np.uint8], Done]:
    """As `laennec.images.load` with its gate, of a stranger's file; its view is written to `view`, where that has a
    name.

    Raises:
        ImageError, MissingExtra, UntrustedBundle: as `load`.
        OSError: the view cannot be written.
    """
    picture = read(source, limits, preprocess.least_side)
    given = prepared(picture, preprocess, gate=True)
    if view.name:
        if given[1].get("scale", 1) != 1:
            picture = read(source, limits)
        view.write_bytes(view_of(picture.pixels).written())
    return given
