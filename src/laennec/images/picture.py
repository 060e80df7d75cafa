"""What reading an image gives, and what it may cost: nouns shared by the readers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Done = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one image may cost. All three are held against the file's own header, before anything is decoded.

    Attributes:
        max_pixels: rows times columns.
        max_bytes: size of the file, and of a deflated DICOM once inflated.
        max_frames: frames of a DICOM or an animated PNG; where more than one is allowed, the first is read.
    """

    max_pixels: int = 25_000_000
    max_bytes: int = 256 * 2**20
    max_frames: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A radiograph as light: bones bright, air dark.

    Attributes:
        pixels: float32 [rows, columns] in [0, 1], 0 black and 1 white, no NaN.
        done: what was found in the file and done to it, in plain values; never anything about the patient. Always
            there: ``format`` (JPEG, PNG or DICOM), ``width`` and ``height`` of `pixels`, ``bits`` a sample in the
            file, ``photometric``, ``inverted``. The module that read the file documents the rest. `load` adds what
            `laennec.images.framing` did to the picture.
    """

    pixels: NDArray[np.float32]
    done: Done


def spacing_of(done: Done) -> tuple[float, float] | None:
    """Millimetres between the pixels of a picture, down and across, if its file says so."""
    down = done.get("pixel_spacing_mm")
    if not isinstance(down, float | int):
        return None
    across = done.get("pixel_spacing_across_mm", down)
    return float(down), float(across)
