"""Lungs as a DICOM Segmentation that lies beside its radiograph in the archive.

The object is of the class Segmentation Storage, BINARY, with one segment and one frame a lung on the radiograph's own
pixels (PS3.3 A.51). A plain radiograph has no place in the patient's space, so its frames have none either: each names
the radiograph as the image it was derived from, pixel for pixel (Derivation Image, Spatial Locations Preserved YES). A
frame of reference is left out even where the radiograph names one, for with it the standard wants planes placed in it.

The spacings of the pixels, calibrated and on the detector, are copied as the radiograph gives them, which makes the
object a Standard Extended one. The functional group Pixel Measures would hold only one of them, and highdicom (0.28)
opens no object whose Pixel Measures lack a slice thickness, which no projection has.

highdicom builds the object from a stand-in, which then joins the radiograph's study (`laennec.joining`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from laennec import joining
from laennec.errors import ImageError, UsageError, extra
from laennec.joining import RESEARCH, Algorithm

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Side = Literal["right", "left"]
Mask = NDArray[np.bool_]

__all__ = ["RESEARCH", "Algorithm", "Mask", "Side", "segmentation_object"]

# SNOMED CT as PS3.16 uses it (CID 7150 and 7151), and CIELab of the colours of `laennec.overlays`
_STRUCTURE = ("123037004", "SCT", "Anatomical Structure")
_LUNGS: dict[Side, tuple[tuple[str, str, str], tuple[float, float, float]]] = {
    "right": (("3341006", "SCT", "Right lung"), (69.83, -12.02, -34.77)),
    "left": (("44029006", "SCT", "Left lung"), (70.61, 16.48, 74.68)),
}
_SERIES_NUMBER = 9100  # far from the numbers that machines hand out


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
    with joining.quietly():
        header = joining.header(source)
        drawn = _checked(masks, header)
        _check_sides(drawn, header)
        made = joining.local(made or datetime.now().astimezone(), header)
        return joining.written(_joined(_built(drawn, header, algorithm, note), drawn, header, made))


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


def _built(masks: dict[Side, Mask], header: Dataset, algorithm: Algorithm, note: str) -> Any:
    """The Segmentation of a stand-in with the radiograph's geometry."""
    import highdicom as hd
    from pydicom.sr.coding import Code

    pixels = hashlib.sha256()
    for side, mask in masks.items():
        pixels.update(side.encode() + np.packbits(mask).tobytes())
    named = (
        header.SOPInstanceUID, algorithm.digest, algorithm.name, algorithm.version, note, pixels.hexdigest(),
    )  # fmt: skip

    identification = hd.AlgorithmIdentificationSequence(
        name=joining.long_string(algorithm.name),
        family=Code("123110", "DCM", "Artificial Intelligence"),
        version=joining.long_string(algorithm.version),
        source="laennec",
        parameters={"model": joining.long_string(algorithm.digest)},
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
            tracking_uid=joining.uid("segment", side, *named),
            tracking_id=code[2],
            display_color=hd.color.CIELabColor(*colour),
        )
        segment.SegmentDescription = joining.long_string(f"{code[2]}, {note}")
        segments.append(segment)
    return hd.seg.Segmentation(
        source_images=[joining.stand_in(header)],
        pixel_array=np.stack(list(masks.values()), axis=-1).astype(np.uint8)[np.newaxis],
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=joining.uid("series", *named),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=joining.uid("instance", *named),
        instance_number=1,
        **joining.equipment(algorithm),
        omit_empty_frames=False,
        content_label="LUNGS",
        content_description=joining.long_string(f"Lungs outlined by a model, {note}"),
        content_creator_name="laennec^",
        content_qualification=hd.ContentQualificationValues.RESEARCH,
        series_description=joining.long_string(f"Lungs, {note}"),
    )


def _joined(built: Any, masks: dict[Side, Mask], header: Dataset, made: datetime) -> Any:
    """The object with the radiograph's patient, study and references instead of the stand-in's."""
    joining.join(built, header, made, image=True, spaced=True)
    organisation = joining.uid("dimensions", built.SOPInstanceUID)
    for element in built.iterall():
        if element.keyword == "DimensionOrganizationUID":
            element.value = organisation
    # highdicom packs frames of under 8 pixels apart and fills up an odd length with the character 0
    built.PixelData = np.packbits(np.stack(list(masks.values())), axis=None, bitorder="little").tobytes()
    return built
