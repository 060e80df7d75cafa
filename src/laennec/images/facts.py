"""What a file says of itself before a pixel of it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from laennec.errors import ImageError
from laennec.images.dicom_file import parse
from laennec.images.headers import jpeg, looks_like, png
from laennec.images.picture import Limits
from laennec.images.projection import WANTED as OF_VIEW
from laennec.images.projection import view as view_of

_ROWS, _COLUMNS, _BITS, _SAMPLES = 0x00280010, 0x00280011, 0x00280101, 0x00280002
_SEX, _AGE, _BURNED = 0x00100040, 0x00101010, 0x00280301
_WANTED = OF_VIEW | {_ROWS, _COLUMNS, _BITS, _SAMPLES, _SEX, _AGE, _BURNED}
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by PNG colour type
_OLDEST = 130  # years
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


@dataclass(frozen=True, slots=True)
class Header:
    """Size as stored and format; of a DICOM file what it says of view and patient.

    Attributes:
        bits: a sample.
        channels: samples a pixel.
        bytes: of the file.
        view: ``PA``, ``AP``, ``LATERAL`` or empty (`laennec.images.projection`).
        sex: ``M``, ``F``, ``O`` or empty.
        age: years; None where the file does not say.
        annotated: whether a DICOM file says that text is burned into its pixels; None where it does not say.
    """

    width: int
    height: int
    format: str
    bits: int
    channels: int
    bytes: int
    view: str = ""
    sex: str = ""
    age: float | None = None
    annotated: bool | None = None


def header(path: Path) -> Header | None:
    """The header of a file; None of one that cannot be read."""
    limits = Limits()
    try:
        with path.open("rb") as stream:
            data = stream.read(limits.max_bytes)
        kind = looks_like(data)
        if kind in ("JPEG", "PNG"):
            said = png(data) if kind == "PNG" else jpeg(data)
            channels = _CHANNELS[said.kind] if kind == "PNG" else said.samples
            return Header(said.width, said.height, kind, said.bits, channels, len(data))
        found, _ = parse(data, _WANTED, limits, lambda _: True)
    except (ImageError, OSError):
        return None
    if min(found.integer(_COLUMNS), found.integer(_ROWS)) < 1:
        return None
    (view, _), sex = view_of(found), found.text(_SEX)
    return Header(
        width=found.integer(_COLUMNS),
        height=found.integer(_ROWS),
        format="DICOM",
        bits=found.integer(_BITS),
        channels=found.integer(_SAMPLES, 1),
        bytes=len(data),
        view="" if view == "OTHER" else view,
        sex=sex if sex in ("M", "F", "O") else "",
        age=years(found.text(_AGE)),
        annotated={"YES": True, "NO": False}.get(found.text(_BURNED)),
    )


def years(said: str) -> float | None:
    """Years of an age as DICOM writes it, ``045Y`` or ``006M``, or as a plain number; None for anything else."""
    number, unit = (said[:-1], said[-1].upper()) if said[-1:].isalpha() else (said, "Y")
    try:
        found = float(number) * _YEARS[unit]
    except (ValueError, KeyError):
        return None
    return found if 0 <= found < _OLDEST else None
