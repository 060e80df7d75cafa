"""Lungs as a DICOM Segmentation that lies beside its radiograph in the archive.

The object is of the class Segmentation Storage, BINARY, with one segment and one frame a lung on the radiograph's own
pixels (PS3.3 A.51). A plain radiograph has no place in the patient's space, so its frames have none either: each names
the radiograph as the image it was derived from, pixel for pixel (Derivation Image, Spatial Locations Preserved YES). A
frame of reference is left out even where the radiograph names one, for with it the standard wants planes placed in it.

The spacings of the pixels, calibrated and on the detector, are copied as the radiograph gives them, which makes the
object a Standard Extended one. The functional group Pixel Measures would hold only one of them, and highdicom (0.28)
opens no object whose Pixel Measures lack a slice thickness, which no projection has.

highdicom builds the object from a stand-in that knows nothing of the patient; patient, study and references are put
in afterwards, copied as they stand. So an odd name or date neither fails one of its checks nor gets into its log.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from laennec.errors import ImageError, UsageError, extra
from laennec.version import VERSION

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Side = Literal["right", "left"]
Mask = NDArray[np.bool_]

RESEARCH = "research use only"
# SNOMED CT as PS3.16 uses it (CID 7150 and 7151), and CIELab of the colours of `laennec.overlays`
_STRUCTURE = ("123037004", "SCT", "Anatomical Structure")
_LUNGS: dict[Side, tuple[tuple[str, str, str], tuple[float, float, float]]] = {
    "right": (("3341006", "SCT", "Right lung"), (69.83, -12.02, -34.77)),
    "left": (("44029006", "SCT", "Left lung"), (70.61, 16.48, 74.68)),
}
_CR = "1.2.840.10008.5.1.4.1.1.1"
_OURS = uuid.uuid5(uuid.NAMESPACE_DNS, "laennec.segments")
_SERIES_NUMBER = 9100  # far from the numbers that machines hand out
_LONGEST = 64  # characters of a DICOM long string

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")  # millimetres, two each
_KEPT = (
    "SpecificCharacterSet", "TimezoneOffsetFromUTC",
    "PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize",
    "PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber",
    "IssuerOfAccessionNumberSequence", "ReferringPhysicianName",
    "BodyPartExamined", "PatientOrientation", "PixelSpacingCalibrationType",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Algorithm:
    """The model that drew the masks.

    Attributes:
        name, version: as they are told to people; what DICOM cannot hold (no ASCII, over 64 characters) is replaced
            or cut.
        digest: of the model's files, hexadecimal, at most 64 digits.
    """

    name: str
    version: str
    digest: str


def segmentation_object(
    source: Path | bytes,
    masks: Mapping[Side, Mask],
    algorithm: Algorithm,
    *,
    note: str = RESEARCH,
    made: datetime | None = None,
) -> bytes:
    """A DICOM file (Part 10, explicit VR little endian) with the lungs of one radiograph.

    All UIDs are derived (UUID version 5 under 2.25) from the radiograph's SOP Instance UID, the algorithm, the note and
    the pixels of the masks: the same masks of the same model are the same object in the archive, another mask or model
    is another. With the same `made` the bytes are the same too.

    Args:
        source: the radiograph, one frame, that the masks were drawn on; a file that `laennec.images.read` takes.
        masks: ``bool [rows, columns]`` on the radiograph's own pixels by the patient's side; one or both. An empty mask
            is an empty segment.
        algorithm: what drew them.
        note: stands in the series' and the segments' descriptions.
        made: when they were drawn; now unless told, in local time unless it names a zone. Written in the radiograph's
            time zone where that names one, else in the local one.

    Raises:
        UsageError: no mask or one of an unknown side, of another type or shape than the radiograph; an empty name,
            version or digest.
        ImageError: ``not_found``; ``unsupported_type``: not DICOM, or its Patient Orientation puts the right lung where
            the masks have the left one; ``corrupt_image``: damaged, or without the UIDs that tell it from others;
            ``many_frames``.
        MissingExtra: the extra ``dicom-write`` is not installed.
    """
    with extra("dicom-write"):
        import highdicom  # noqa: F401
        import pydicom  # noqa: F401
    if not all((algorithm.name.strip(), algorithm.version.strip(), algorithm.digest.strip())):
        raise UsageError(
            "the algorithm's name, version or digest is empty, but a segmentation must name what drew it", "give all"
        )
    # pydicom and highdicom quote values in their warnings
    with warnings.catch_warnings(action="ignore"):
        header = _header(source)
        drawn = _checked(masks, header)
        _check_sides(drawn, header)
        made = _local(made or datetime.now().astimezone(), header)
        return _file(_joined(_built(drawn, header, algorithm, note), drawn, header, made))


def _header(source: Path | bytes) -> Dataset:
    """What is needed of the radiograph, pixels unread."""
    import pydicom

    wanted = [*_KEPT, *_UIDS, *_SPACINGS, "Rows", "Columns", "NumberOfFrames"]
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
            head = stream.read(132)
            if head[128:] != b"DICM" and head[:2] not in (b"\x02\0", b"\x08\0", b"\0\x08"):
                raise ImageError("unsupported_type", "the radiograph is no DICOM file", "give the DICOM file itself")
            stream.seek(0)
            header = pydicom.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=wanted)
            for tag in list(header.keys()):
                try:
                    header[tag]
                except (ValueError, TypeError, OverflowError):  # say, a spacing that is no number: as good as none
                    del header[tag]
            header.decode()
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("not_found", "there is no such file", "check the path") from error
    except Exception as error:  # pydicom raises whatever the damage runs into
        raise ImageError(
            "corrupt_image", "the header of the DICOM file cannot be read", "fetch or export it again"
        ) from error
    for keyword in _UIDS:
        if not re.fullmatch(r"[0-9.]{1,64}", str(header.get(keyword, ""))):
            raise ImageError(
                "corrupt_image",
                f"the DICOM file has no valid {keyword}, by which a segmentation names its radiograph",
                "export it again from the archive",
            )
    if (_number(header.get("NumberOfFrames")) or 1) > 1:
        raise ImageError("many_frames", "the DICOM file holds several frames, not one", "export one frame")
    return header


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _checked(masks: Mapping[Side, Mask], header: Dataset) -> dict[Side, Mask]:
    """The masks, right before left."""
    if not masks or set(masks) - set(_LUNGS):
        raise UsageError(
            f"masks of {', '.join(map(repr, masks)) or 'nothing'}, expected 'right', 'left' or both",
            "name each mask by the patient's side",
        )
    shape = header.get("Rows"), header.get("Columns")
    for side, mask in masks.items():
        if mask.dtype != np.bool_:
            raise UsageError(f"the {side} mask is of {mask.dtype}, expected bool", "compare it with a threshold first")
        if mask.shape != shape:
            raise UsageError(
                f"the {side} mask has the shape {mask.shape}, the radiograph has {shape} (rows, columns)",
                "bring the mask back onto the radiograph's pixels first",
            )
    return {side: masks[side] for side in _LUNGS if side in masks}


def _check_sides(masks: dict[Side, Mask], header: Dataset) -> None:
    """Hold the masks' sides against Patient Orientation, which says whither the rows and the columns run."""
    towards = [str(direction)[:1] for direction in header.get("PatientOrientation") or ()]
    axis = next((number for number, direction in enumerate(towards[:2]) if direction in ("L", "R")), None)
    if axis is None:
        return
    length = (header.Columns, header.Rows)[axis]
    middles = {
        side: float(np.average(np.arange(length), weights=along))
        for side, mask in masks.items()
        if (along := mask.sum(axis=axis)).any()
    }
    if not middles:
        return
    centre = (length - 1) / 2
    ahead = middles.get("left", centre) - middles.get("right", centre)
    if ahead and (ahead > 0) != (towards[axis] == "L"):
        raise ImageError(
            "unsupported_type",
            "the masks' right and left contradict the file's Patient Orientation: it is mirrored, turned or wrong",
            "exchange the masks if the picture is mirrored, or mend (0020,0020) in the file",
        )


def _local(made: datetime, header: Dataset) -> datetime:
    """`made` in the time zone that the radiograph's times are in."""
    offset = str(header.get("TimezoneOffsetFromUTC") or "")
    try:
        zone = datetime.strptime(offset, "%z").tzinfo
    except ValueError:
        zone = None
        header.pop("TimezoneOffsetFromUTC", None)
    return made.astimezone(zone)


def _uid(*parts: str) -> str:
    """A UID that depends on `parts` alone, PS3.5 B.2."""
    return f"2.25.{uuid.uuid5(_OURS, '|'.join(parts)).int}"


def _long(text: str) -> str:
    """`text` as a DICOM long string in the default character set."""
    plain = text.encode("ascii", "replace").decode().replace("\\", "/")
    return "".join(c if c.isprintable() else " " for c in plain).strip()[:_LONGEST].rstrip()


def _built(masks: dict[Side, Mask], header: Dataset, algorithm: Algorithm, note: str) -> Any:
    """The Segmentation of a stand-in with the radiograph's geometry."""
    import highdicom as hd
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

    pixels = hashlib.sha256()
    for side, mask in masks.items():
        pixels.update(side.encode() + np.packbits(mask).tobytes())
    named = (
        header.SOPInstanceUID, algorithm.digest, algorithm.name, algorithm.version, note, pixels.hexdigest(),
    )  # fmt: skip

    stand_in = Dataset()
    stand_in.SOPClassUID = _CR
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(stand_in, keyword, _uid("stand-in", keyword))
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(stand_in, keyword, "")
    stand_in.StudyDate = stand_in.StudyTime = stand_in.ReferringPhysicianName = None
    stand_in.Modality = "CR"
    stand_in.Rows, stand_in.Columns = header.Rows, header.Columns

    digest = _long(algorithm.digest)
    identification = hd.AlgorithmIdentificationSequence(
        name=_long(algorithm.name),
        family=Code("123109", "DCM", "Artificial Intelligence"),
        version=_long(algorithm.version),
        source="laennec",
        parameters={"model": digest},
    )
    segments = []
    for number, side in enumerate(masks, start=1):
        code, colour = _LUNGS[side]
        segment = hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=code[2],
            segmented_property_category=Code(*_STRUCTURE),
            segmented_property_type=Code(*code),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=identification,
            tracking_uid=_uid("segment", side, *named),
            tracking_id=code[2],
            display_color=hd.color.CIELabColor(*colour),
        )
        segment.SegmentDescription = _long(f"{code[2]}, {note}")
        segments.append(segment)
    return hd.seg.Segmentation(
        source_images=[stand_in],
        pixel_array=np.stack(list(masks.values()), axis=-1).astype(np.uint8)[np.newaxis],
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=_uid("series", *named),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=_uid("instance", *named),
        instance_number=1,
        manufacturer="laennec",
        manufacturer_model_name=_long(algorithm.name),
        software_versions=VERSION,
        device_serial_number=digest,
        omit_empty_frames=False,
        content_label="LUNGS",
        content_description=_long(f"Lungs outlined by a model, {note}"),
        content_creator_name="laennec^",
        content_qualification=hd.ContentQualificationValues.RESEARCH,
        series_description=_long(f"Lungs, {note}"),
    )


def _is_spacing(value: Any) -> bool:
    """Whether this is a distance between the rows and one between the columns."""
    pair = [_number(part) or 0.0 for part in value] if isinstance(value, Sequence) else []
    return len(pair) == 2 and min(pair) > 0 and math.isfinite(sum(pair))


def _joined(built: Any, masks: dict[Side, Mask], header: Dataset, made: datetime) -> Any:
    """The object with the radiograph's patient, study and references instead of the stand-in's."""
    for keyword in _KEPT:
        if keyword in header and (not header[keyword].is_empty or keyword in built):
            built[keyword] = header[keyword]
    built.setdefault("PatientOrientation", None)  # required, if unknown then empty
    for keyword in _SPACINGS:
        if _is_spacing(header.get(keyword)):
            built[keyword] = header[keyword]
    built.ReferencedSeriesSequence[0].SeriesInstanceUID = header.SeriesInstanceUID
    organisation = _uid("dimensions", built.SOPInstanceUID)
    for element in built.iterall():
        if element.keyword == "ReferencedSOPClassUID":
            element.value = header.SOPClassUID
        elif element.keyword == "ReferencedSOPInstanceUID":
            element.value = header.SOPInstanceUID
        elif element.keyword == "DimensionOrganizationUID":
            element.value = organisation
        elif element.keyword == "ContributionDateTime":
            element.value = made.strftime("%Y%m%d%H%M%S.%f")
    built.ContentDate = built.InstanceCreationDate = made.strftime("%Y%m%d")
    built.ContentTime = built.InstanceCreationTime = made.strftime("%H%M%S")
    # highdicom packs frames of under 8 pixels apart and fills up an odd length with the character 0
    built.PixelData = np.packbits(np.stack(list(masks.values())), axis=None, bitorder="little").tobytes()
    return built


def _file(built: Any) -> bytes:
    import pydicom

    written = io.BytesIO()
    pydicom.dcmwrite(written, built, enforce_file_format=True)
    return written.getvalue()
