"""The outlining stage: the lungs of a prediction as files: a mask, a picture to look at, and a DICOM Segmentation."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laennec import images, masks, overlays, segments, storage
from laennec.bundle import Bundle, model_digest
from laennec.errors import ImageError, MissingExtra, UsageError
from laennec.results import Prediction
from laennec.version import VERSION

_Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Outlined:
    """Where the lungs of one radiograph were written.

    Attributes:
        mask: a PNG on the radiograph's own pixels: 0, 1 the patient's right lung, 2 the left one. Read it as numbers;
            to the eye it is black.
        overlay: a PNG of the radiograph with both outlined.
        segmentation: a DICOM Segmentation joined to the radiograph's study, where that is a DICOM file.
        lost: why there is none of a DICOM file; empty otherwise.
    """

    mask: Path
    overlay: Path
    segmentation: Path | None = None
    lost: str = ""


def outline(bundle: Bundle, source: str | Path, answer: Prediction, out: str | Path) -> Outlined:
    """Write the lungs of one radiograph into the folder `out`, under its own name; a name taken gets a number.

    Args:
        bundle: that gave the answer.
        source: the radiograph.
        answer: of `Predictor.predict` for it.
        out: made where it is not there.

    Raises:
        UsageError: the bundle outlines nothing.
        ImageError: the radiograph cannot be read.
        StorageFull: no room.
    """
    source, out = Path(source), Path(out)
    pixels = images.read(source).pixels
    right, left = lungs(bundle, answer, pixels.shape)
    stem = _free(out, source.stem)
    numbered = right.astype(np.uint8) + np.uint8(2) * left.astype(np.uint8)
    made = Outlined(out / f"{stem}.mask.png", out / f"{stem}.lungs.png")
    storage.write_bytes(made.mask, _png(numbered))
    storage.write_bytes(made.overlay, overlays.overlay(pixels, right, left))
    if answer.image.get("format") != "DICOM":
        return made
    algorithm = segments.Algorithm(bundle.card.name, f"laennec {VERSION}", model_digest(bundle.card.files))
    try:
        data = segments.segmentation_object(source, {"right": right, "left": left}, algorithm)
    except (ImageError, MissingExtra, UsageError) as error:
        return Outlined(made.mask, made.overlay, lost=f"{error.message}: {error.hint}")
    path = out / f"{stem}.seg.dcm"
    storage.write_bytes(path, data)
    return Outlined(made.mask, made.overlay, path)


def lungs(bundle: Bundle, answer: Prediction, shape: tuple[int, ...]) -> tuple[_Flags, _Flags]:
    """The patient's right and left lung ``bool [rows, columns]`` on a picture of `shape`.

    Raises:
        UsageError: the bundle outlines nothing.
    """
    card = bundle.card
    if card.outline is None or answer.mask is None:
        raise UsageError(f"'{bundle.name}' outlines nothing", "take a bundle of the task segment or classify+segment")
    placed = masks.placed(answer.mask, (shape[0], shape[1]), card.preprocess.resize)
    right, left = masks.parted(placed >= masks.level(card.outline))
    return (left, right) if answer.image.get("mirrored") else (right, left)


def _png(numbers: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(numbers).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _free(out: Path, stem: str) -> str:
    """`stem`, or `stem` with a number where a mask of that name is there already."""
    taken, number = stem, 2
    while (out / f"{taken}.mask.png").exists():
        taken, number = f"{stem}-{number}", number + 1
    return taken
