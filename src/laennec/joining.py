"""DICOM objects that join a radiograph's study: what is read of its header, copied from it and derived from it.

An object is built from a stand-in that knows nothing of the patient (`stand_in`); patient, study and references are put
in afterwards, copied as they stand (`join`). So an odd name or date neither fails a check of the library that builds
nor gets into its log.

All UIDs are derived (UUID version 5 under 2.25, PS3.5 B.2): the same answer is the same object in the archive.
"""

from __future__ import annotations

import io
import logging
import math
import re
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laennec.errors import ImageError, extra
from laennec.version import VERSION

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

RESEARCH = "research use only"
NOTICE = "Research use only. Not a medical device."
CR = "1.2.840.10008.5.1.4.1.1.1"  # the class of every stand-in
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")  # millimetres, two each
_OURS = uuid.uuid5(uuid.NAMESPACE_DNS, "laennec.segments")
_LONGEST = 64  # characters of a DICOM long string
_QUIET = threading.RLock()

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_KEPT = (
    "SpecificCharacterSet", "TimezoneOffsetFromUTC",
    "PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize",
    "PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber",
    "IssuerOfAccessionNumberSequence", "ReferringPhysicianName",
)  # fmt: skip
_KEPT_BY_IMAGES = (
    "BodyPartExamined", "PatientOrientation", "PixelSpacingCalibrationType",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Algorithm:
    """The model that made the object.

    Attributes:
        name, version: as they are told to people; what DICOM cannot hold (no ASCII, over 64 characters) is replaced
            or cut.
        digest: of the model's files, hexadecimal, at most 64 digits.
    """

    name: str
    version: str
    digest: str


@contextmanager
def quietly() -> Iterator[None]:
    """Swallow what pydicom and highdicom warn of and log inside the block, one thread at a time: they quote values."""
    # what is changed here is the whole process's; without the lock a thread that leaves lets another's speak
    with _QUIET, warnings.catch_warnings(action="ignore"):
        loggers = [logging.getLogger(name) for name in ("pydicom", "highdicom")]
        before = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)


def header(source: Path | bytes, also: Sequence[str] = ()) -> Dataset:
    """What is needed of the radiograph, pixels unread.

    Args:
        source: a file or its bytes.
        also: keywords of further attributes; what is damaged is left out.

    Raises:
        ImageError: ``not_found``; ``unsupported_type``: not DICOM; ``corrupt_image``: damaged, or without the UIDs that
            tell it from others; ``many_frames``.
        MissingExtra: the extra ``dicom-write`` is not installed.
    """
    with extra("dicom-write"):
        import pydicom

    wanted = [*_KEPT, *_KEPT_BY_IMAGES, *_UIDS, *SPACINGS, "Rows", "Columns", "NumberOfFrames", "Laterality", *also]
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
            head = stream.read(132)
            if head[128:] != b"DICM" and head[:2] not in (b"\x02\0", b"\x08\0", b"\0\x08"):
                raise ImageError("unsupported_type", "the radiograph is no DICOM file", "give the DICOM file itself")
            stream.seek(0)
            found = pydicom.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=wanted)
            for tag in list(found.keys()):
                try:
                    found[tag]
                except (ValueError, TypeError, OverflowError):  # say, a spacing that is no number: as good as none
                    del found[tag]
            found.decode()
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("not_found", "there is no such file", "check the path") from error
    except Exception as error:  # pydicom raises whatever the damage runs into
        raise ImageError(
            "corrupt_image", "the header of the DICOM file cannot be read", "fetch or export it again"
        ) from error
    for keyword in _UIDS:
        if not re.fullmatch(r"[0-9.]{1,64}", str(found.get(keyword, ""))):
            raise ImageError(
                "corrupt_image",
                f"the DICOM file has no valid {keyword}, by which an object names its radiograph",
                "export it again from the archive",
            )
    if (number(found.get("NumberOfFrames")) or 1) > 1:
        raise ImageError("many_frames", "the DICOM file holds several frames, not one", "export one frame")
    return found


def number(value: Any) -> float | None:
    """`value` as a number; None where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def local(made: datetime, header: Dataset) -> datetime:
    """`made` in the time zone that the radiograph's times are in; a zone that is none is taken out of the header."""
    offset = str(header.get("TimezoneOffsetFromUTC") or "")
    try:
        zone = datetime.strptime(offset, "%z").tzinfo
    except ValueError:
        zone = None
        header.pop("TimezoneOffsetFromUTC", None)
    return made.astimezone(zone)


def uid(*parts: str) -> str:
    """A UID that depends on `parts` alone."""
    return f"2.25.{uuid.uuid5(_OURS, '|'.join(parts)).int}"


def long_string(text: str) -> str:
    """`text` as a DICOM long string in the default character set, which every other one contains."""
    return plain(text)[:_LONGEST].rstrip()


def plain(text: str) -> str:
    """`text` in printable ASCII without a backslash, which parts values."""
    ascii_ = text.encode("ascii", "replace").decode().replace("\\", "/")
    return "".join(c if c.isprintable() else " " for c in ascii_).strip()


def stand_in(header: Dataset) -> Dataset:
    """A radiograph with the geometry of this one and nothing else of it."""
    from pydicom.dataset import Dataset

    made = Dataset()
    made.SOPClassUID = CR
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(made, keyword, uid("stand-in", keyword))
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(made, keyword, "")
    made.StudyDate = made.StudyTime = made.ReferringPhysicianName = None
    made.Modality = "CR"
    made.Rows, made.Columns = header.Rows, header.Columns
    return made


def equipment(algorithm: Algorithm) -> dict[str, Any]:
    """What the constructors of highdicom ask of the equipment."""
    return {
        "manufacturer": "laennec",
        "manufacturer_model_name": long_string(algorithm.name),
        "software_versions": VERSION,
        "device_serial_number": long_string(algorithm.digest),
    }


def spacing(value: Any) -> tuple[float, float] | None:
    """The distances between the rows and between the columns in millimetres, where these are such."""
    pair = [number(part) or 0.0 for part in value] if isinstance(value, Sequence) and len(value) == 2 else []
    return (pair[0], pair[1]) if pair and min(pair) > 0 and math.isfinite(sum(pair)) else None


def side(header: Dataset) -> str | None:
    """The side of a paired organ that the radiograph's series is of (``R``, ``L``); None where it says none."""
    told = str(header.get("Laterality") or "")
    return told if told in {"R", "L"} else None


def join(built: Any, header: Dataset, made: datetime, *, image: bool = False, spaced: bool = False) -> Any:
    """The object with the radiograph's patient, study and references instead of the stand-in's.

    Args:
        built: of `stand_in`; changed in place.
        header: of the radiograph.
        made: in the radiograph's time zone (`local`).
        image: it has pixels, which show what the radiograph shows.
        spaced: these are the radiograph's own pixels: it has their spacings too.
    """
    for keyword in (*_KEPT, *(_KEPT_BY_IMAGES if image else ())):
        if keyword in header and (not header[keyword].is_empty or keyword in built):
            built[keyword] = header[keyword]
    if image:
        built.setdefault("PatientOrientation", None)  # required, if unknown then empty
    for keyword in SPACINGS if spaced else ():
        if spacing(header.get(keyword)):
            built[keyword] = header[keyword]
    changed = {uid("stand-in", keyword): str(header[keyword].value) for keyword in _UIDS[1:]}
    _refer(built, changed, str(header.SOPClassUID))
    for element in built.iterall():
        if element.keyword == "ContributionDateTime":
            element.value = made.strftime("%Y%m%d%H%M%S.%f")
    for keyword in ("InstanceCreation", "Content", "PresentationCreation"):
        if f"{keyword}Date" in built:
            setattr(built, f"{keyword}Date", made.strftime("%Y%m%d"))
            setattr(built, f"{keyword}Time", made.strftime("%H%M%S"))
    return built


def _refer(item: Any, changed: Mapping[str, str], sop_class: str) -> None:
    """Name the radiograph wherever the stand-in is named."""
    instance = str(item.get("ReferencedSOPInstanceUID", ""))
    if instance in changed:
        item.ReferencedSOPInstanceUID, item.ReferencedSOPClassUID = changed[instance], sop_class
    for element in item:
        if element.VR == "SQ":
            for below in element.value:
                _refer(below, changed, sop_class)
        elif element.VR == "UI" and str(element.value) in changed:
            element.value = changed[str(element.value)]


def written(built: Any) -> bytes:
    """The object as a file (Part 10)."""
    import pydicom

    stream = io.BytesIO()
    pydicom.dcmwrite(stream, built, enforce_file_format=True)
    return stream.getvalue()
