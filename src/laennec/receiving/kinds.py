"""What an object is before anything is asked of a model: a radiograph, another object, or one laennec made."""

from __future__ import annotations

from dataclasses import dataclass

from laennec.errors import ImageError
from laennec.images.dicom_file import parse
from laennec.images.dicom_frame import SYNTAXES
from laennec.images.headers import corrupt, looks_like
from laennec.images.picture import Limits

MAKER = "LAENNEC"  # Manufacturer of every object laennec makes, as text() gives it
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_CLASSES = frozenset(  # computed and digital radiography, and Secondary Capture, under which scanned films travel
    _STORAGE + branch for branch in ("1", "1.1", "1.1.1", "7", "7.2", "7.3", "7.4")
)
_SOP_CLASS, _SOP_INSTANCE, _MANUFACTURER = 0x00080016, 0x00080018, 0x00080070
_WANTED = frozenset({_SOP_CLASS, _SOP_INSTANCE, _MANUFACTURER})
PASSED_OVER = ("not_radiograph", "no_pixels", "many_frames")
"""Codes of what is no radiograph: nothing is wrong with it, it is not answered."""


@dataclass(frozen=True)
class Seen:
    """What a header says.

    Attributes:
        instance: SOP Instance UID; empty where the file has none.
        ours: laennec made it.
        radiograph: it is of a class that radiographs are of.
    """

    instance: str
    ours: bool
    radiograph: bool


def may_be_radiograph(sop_class: str) -> bool:
    """Whether radiographs come as objects of this SOP Class UID."""
    return sop_class.strip("\0 ") in _CLASSES


def look(data: bytes, most: int) -> Seen:
    """Read the header of a DICOM file.

    Raises:
        ImageError: ``empty``, ``too_large``, ``unsupported_type`` (no DICOM), ``unknown_syntax``, ``corrupt_image``.
    """
    if not data:
        raise ImageError("empty", "the file is empty", "send it again")
    if len(data) > most:
        raise ImageError("too_large", f"the file is larger than {most:,} bytes", "export one image")
    if looks_like(data) != "DICOM":
        raise ImageError("unsupported_type", "this is no DICOM file", "give the DICOM file itself")
    try:
        found, _ = parse(data, _WANTED, Limits(max_bytes=most), SYNTAXES.__contains__)
    except ImageError:
        raise
    except Exception as error:  # whatever the broken byte leads to
        raise corrupt("the DICOM file is damaged") from error
    return Seen(
        found.text(_SOP_INSTANCE),
        found.text(_MANUFACTURER) == MAKER,
        may_be_radiograph(found.text(_SOP_CLASS)),
    )
