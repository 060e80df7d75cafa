"""Phantoms as files: PNG as an archive exports them, DICOM as a modality sends them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from laennec.errors import UsageError, extra
from laennec.phantom import Phantom
from laennec.storage import replacing

Photometric = Literal["MONOCHROME1", "MONOCHROME2"]

_ROOT = "1.2.826.0.1.3680043.8.498."  # pydicom's root for generated identifiers


def write_png(phantom: Phantom, path: Path) -> None:
    """Write the picture as 8-bit grey PNG, durably.

    Raises:
        StorageFull: the device has no room.
    """
    with replacing(path) as part:
        _picture(phantom).save(part, format="PNG", compress_level=3)


def write_mask(phantom: Phantom, path: Path) -> None:
    """Write the lung mask (0 outside, 255 in either lung) as 8-bit PNG, durably.

    Raises:
        StorageFull: the device has no room.
    """
    with replacing(path) as part:
        mask_image(phantom).save(part, format="PNG")


def mask_image(phantom: Phantom) -> Image.Image:
    """The lung mask as an 8-bit picture, 0 or 255."""
    return Image.fromarray((phantom.lungs > 0).astype(np.uint8) * np.uint8(255))


def _picture(phantom: Phantom) -> Image.Image:
    return Image.fromarray(np.round(phantom.pixels * 255).astype(np.uint8))


def _uid(*parts: object) -> str:
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()
    return _ROOT + str(int(digest[:24], 16))


def write_dicom(
    phantom: Phantom,
    path: Path,
    *,
    photometric: Photometric = "MONOCHROME2",
    bits: int = 12,
    window: bool = True,
    image: int = 0,
) -> None:
    """Write a Digital X-Ray (hospital south) or Computed Radiography (north) object, Explicit VR Little Endian.

    The stored values fill the middle of the range of `bits` and the window spans them, as a modality's do: seen
    through the window the picture is `phantom.pixels` to within one stored level. MONOCHROME1 is stored inverted.
    Patient tags are plainly invented. The same phantom gives the same bytes.

    Args:
        phantom: what to write.
        path: the file; replaced whole or not at all.
        photometric: whether high values are white (MONOCHROME2) or black (MONOCHROME1).
        bits: bits stored, 8 to 16.
        window: write WindowCenter and WindowWidth; without them the values fill the whole range.
        image: number of the image in the patient's study; part of the identifiers.

    Raises:
        MissingExtra: pydicom is not installed.
        UsageError: `bits` is out of range.
        StorageFull: the device has no room.
    """
    if not 8 <= bits <= 16:
        raise UsageError(f"a radiograph of {bits} bits cannot be written", "take bits from 8 to 16")
    with extra("dicom"):
        import pydicom
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian

    top = 2**bits - 1
    # the slack at both ends is what a reader that ignores the window shows as a flat picture
    low, high = (top // 16, top - top // 8) if window and bits > 8 else (0, top)
    shown = phantom.pixels if photometric == "MONOCHROME2" else 1 - phantom.pixels
    stored = np.round(low + shown.astype(np.float64) * (high - low)).astype(np.uint16)

    direct = phantom.source == "south"
    kind = "1.2.840.10008.5.1.4.1.1.1.1" if direct else "1.2.840.10008.5.1.4.1.1.1"
    study = (phantom.source, phantom.patient, image)
    instance = _uid("instance", study, phantom.pixels.tobytes(), photometric, bits, window)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.UID(kind)
    meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(instance)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.SOPClassUID, ds.SOPInstanceUID = kind, instance
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid("study", study), _uid("series", study)
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.StudyID = (
        f"2001{image % 12 + 1:02}01",
        "120000",
        "",
        str(image + 1),
    )
    ds.ReferringPhysicianName = ""
    number = phantom.patient.removeprefix("p")
    ds.PatientName, ds.PatientID = f"Phantom^{number}", f"PHANTOM-{number}"
    ds.PatientBirthDate, ds.PatientSex = "", "O"
    ds.PatientAge = "045Y" if phantom.adult else "004Y"
    ds.Modality = "DX" if direct else "CR"
    ds.Manufacturer, ds.InstitutionName = "laennec phantom", f"Phantom Hospital {phantom.source.title()}"
    ds.SeriesNumber, ds.InstanceNumber, ds.BodyPartExamined, ds.ViewPosition = 1, image + 1, "CHEST", phantom.view
    ds.PatientOrientation, ds.Laterality = ["L", "F"], ""
    if direct:
        ds.PresentationIntentType = "FOR PRESENTATION"
        ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = (
            "LOG",
            -1 if photometric == "MONOCHROME1" else 1,
        )
        ds.BurnedInAnnotation, ds.LossyImageCompression, ds.ImageLaterality = "YES", "00", "U"
        ds.PresentationLUTShape = "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, photometric
    ds.Rows, ds.Columns = stored.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = (8 if bits == 8 else 16), bits, bits - 1, 0
    if window:
        # PS3.3 C.11.2.1.2.1: this centre and width send `low` to black and `high` to white exactly
        ds.WindowCenter, ds.WindowWidth = f"{(low + high + 1) / 2:g}", f"{high - low + 1:g}"
    data = stored.astype(np.uint8) if bits == 8 else stored.astype("<u2")
    ds.PixelData = data.tobytes() + b"\0" * (data.nbytes % 2)
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    with replacing(path) as part:
        ds.save_as(part, enforce_file_format=True)
