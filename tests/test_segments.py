"""Lungs as DICOM Segmentation objects: read back by pydicom and highdicom, and checked by dciodvfy where it is."""

from __future__ import annotations

import io
import logging
import re
import shutil
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laennec import overlays
from laennec.errors import ImageError, MissingExtra, UsageError
from laennec.segments import Algorithm, segmentation_object

pydicom = pytest.importorskip("pydicom", reason="pydicom is in the extra 'dicom'")
hd = pytest.importorskip("highdicom", reason="highdicom is in the extra 'dicom-write'")

CR, DX, SC = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.7"
IMPLICIT, EXPLICIT, BIG, DEFLATED = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99"))
MODEL = Algorithm("lungs-unet", "1.2", "ab" * 32)
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def radiograph(sop_class: str = CR, syntax: str = EXPLICIT, **values: Any) -> bytes:
    """A tiny radiograph of 9 rows and 15 columns as a file; a value of None leaves the attribute out."""
    dataset = pydicom.Dataset()
    told = {
        "SpecificCharacterSet": "ISO_IR 100", "SOPClassUID": sop_class, "SOPInstanceUID": "1.2.3.4.5",
        "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "PatientID": "P-77", "PatientName": "Müller^Eva",
        "PatientBirthDate": "19700102", "PatientSex": "F", "StudyID": "S1", "StudyDate": "20250304",
        "StudyTime": "101500", "AccessionNumber": "A9", "ReferringPhysicianName": "Ström^Åsa",
        "StudyDescription": "THORAX", "Modality": "CR", "PatientOrientation": ["L", "F"], "Rows": 9, "Columns": 15,
        "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 8, "BitsStored": 8,
        "HighBit": 7, "PixelRepresentation": 0, "PixelData": bytes(136),
    }  # fmt: skip
    for keyword, value in (told | values).items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    # a test writes damaged values on purpose
    pydicom.dcmwrite(stream, dataset, enforce_file_format="SOPInstanceUID" in dataset)
    return stream.getvalue()


def lungs(rows: int = 9, columns: int = 15, *, mirrored: bool = False) -> dict[Any, Any]:
    right, left = np.zeros((2, rows, columns), bool)
    right[rows // 4 : rows // 2, columns // 8 : columns // 3] = True
    left[rows // 5 : rows // 2, columns // 2 + 1 : columns - columns // 8] = True
    return {"right": left, "left": right} if mirrored else {"right": right, "left": left}


def drawn(written: bytes, source_uid: str = "1.2.3.4.5") -> Any:
    """The frames that highdicom reads of one radiograph, ``bool [rows, columns, segments]``."""
    return hd.seg.segread(io.BytesIO(written)).get_pixels_by_source_instance([source_uid])[0].astype(bool)


def opened(written: bytes) -> Any:
    return pydicom.dcmread(io.BytesIO(written))


def complaints(written: bytes, folder: Path) -> list[str]:
    """What dciodvfy calls an error; nothing where it is not installed."""
    if shutil.which("dciodvfy") is None:
        return []
    path = folder / "seg.dcm"
    path.write_bytes(written)
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
    return [line for line in (said.stderr + said.stdout).splitlines() if line.startswith(("Error", "Abort"))]


@pytest.mark.parametrize(
    ("sop_class", "syntax", "values"),
    [
        (CR, EXPLICIT, {"ImagerPixelSpacing": [0.2, 0.1]}),
        (CR, IMPLICIT, {}),
        (
            DX,
            BIG,
            {"PixelSpacing": [0.3, 0.3], "PixelSpacingCalibrationType": "FIDUCIAL", "ImagerPixelSpacing": [0.4, 0.4]},
        ),
        (SC, DEFLATED, {"PatientOrientation": None, "NominalScannedPixelSpacing": [0.5, 0.5]}),
        ("1.2.840.10008.5.1.4.1.1.7.2", EXPLICIT, {"NumberOfFrames": 1}),
    ],
)
def test_an_object_lies_beside_its_radiograph(
    sop_class: str, syntax: str, values: dict[str, Any], tmp_path: Path
) -> None:
    data, masks = radiograph(sop_class, syntax, **values), lungs()
    written = segmentation_object(data, masks, MODEL)
    found, source = opened(written), opened(data)
    for keyword in (
        "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyID",
        "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "Rows", "Columns", "PatientOrientation",
        "PixelSpacing", "PixelSpacingCalibrationType", "ImagerPixelSpacing", "NominalScannedPixelSpacing",
    ):  # fmt: skip
        assert (found.get(keyword) or None) == source.get(keyword), keyword
    assert (found.SOPClassUID, found.Modality) == ("1.2.840.10008.5.1.4.1.1.66.4", "SEG")
    assert found.SeriesInstanceUID != source.SeriesInstanceUID
    assert found.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID
    frames = found.PerFrameFunctionalGroupsSequence
    of_frames = [frame.DerivationImageSequence[0].SourceImageSequence[0] for frame in frames]
    assert [reference.SpatialLocationsPreserved for reference in of_frames] == ["YES", "YES"]
    references = [
        *of_frames,
        found.SourceImageSequence[0],
        found.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0],
    ]
    assert {(r.ReferencedSOPClassUID, r.ReferencedSOPInstanceUID) for r in references} == {(sop_class, "1.2.3.4.5")}
    assert np.array_equal(drawn(written), np.stack([masks["right"], masks["left"]], axis=-1))
    assert np.array_equal(found.pixel_array.astype(bool), np.stack([masks["right"], masks["left"]]))
    assert not complaints(written, tmp_path)


def test_what_a_projection_cannot_have_is_left_out() -> None:
    data = radiograph(DX, FrameOfReferenceUID="1.2.9", PixelSpacing=[0, 0], ImagerPixelSpacing=[0.2, 0.2])
    found = opened(segmentation_object(data, lungs(), MODEL))
    assert "FrameOfReferenceUID" not in found  # for no frame is placed in it
    assert "PixelSpacing" not in found
    assert [float(part) for part in found.ImagerPixelSpacing] == [0.2, 0.2]


def test_segments_say_what_they_are_and_what_drew_them() -> None:
    found = opened(segmentation_object(radiograph(), lungs(), MODEL))
    assert found.SegmentationType == "BINARY"
    assert found.SegmentsOverlap == "NO"
    codes = [segment.SegmentedPropertyTypeCodeSequence[0] for segment in found.SegmentSequence]
    assert [(code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) for code in codes] == [
        ("3341006", "SCT", "Right lung"), ("44029006", "SCT", "Left lung"),
    ]  # fmt: skip
    for segment in found.SegmentSequence:
        assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "123037004"
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        by = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert (by.AlgorithmName, by.AlgorithmVersion) == ("lungs-unet", "1.2")
        assert MODEL.digest in by.AlgorithmParameters
        assert "research use only" in segment.SegmentDescription
    assert "research use only" in found.SeriesDescription
    assert found.ContentQualification == "RESEARCH"
    assert (found.DeviceSerialNumber, found.ManufacturerModelName) == (MODEL.digest, "lungs-unet")


def test_the_same_masks_are_the_same_object_and_others_are_another(tmp_path: Path) -> None:
    data, masks = radiograph(), lungs()
    (tmp_path / "a.dcm").write_bytes(data)
    first = segmentation_object(data, masks, MODEL, made=NOON)
    assert segmentation_object(tmp_path / "a.dcm", masks, MODEL, made=NOON) == first
    later = opened(segmentation_object(data, masks, MODEL))
    uids = re.compile(rb"2\.25\.\d+")
    assert set(uids.findall(first)) == {
        str(element.value).encode()
        for element in later.iterall()
        if element.VR == "UI" and "2.25." in str(element.value)
    }
    changed = {side: mask.copy() for side, mask in masks.items()}
    changed["right"][0, 0] = True
    others = [
        segmentation_object(data, changed, MODEL),
        segmentation_object(data, masks, Algorithm("lungs-unet", "1.2", "cd" * 32)),
        segmentation_object(radiograph(SOPInstanceUID="1.2.3.4.6"), masks, MODEL),
        segmentation_object(data, {"right": masks["right"]}, MODEL),
    ]
    assert len({opened(written).SOPInstanceUID for written in [first, *others]}) == 5
    assert len({opened(written).SeriesInstanceUID for written in [first, *others]}) == 5


def test_times_are_in_the_time_zone_of_the_radiograph() -> None:
    found = opened(segmentation_object(radiograph(TimezoneOffsetFromUTC="-0400"), lungs(), MODEL, made=NOON))
    assert (found.ContentDate, found.ContentTime, found.TimezoneOffsetFromUTC) == ("20261121", "080000", "-0400")


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_masks_come_back_pixel_for_pixel(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    sides = data.draw(st.sampled_from([("right",), ("left",), ("right", "left"), ("left", "right")]))
    bits = data.draw(st.binary(min_size=rows * columns * 2, max_size=rows * columns * 2))
    both = (np.frombuffer(bits, np.uint8) % 3 == 0).reshape(2, rows, columns)
    masks: dict[Any, Any] = dict(zip(sides, both, strict=False))
    source = radiograph(Rows=rows, Columns=columns, PatientOrientation=None)
    written = segmentation_object(source, masks, MODEL)
    order = [side for side in ("right", "left") if side in masks]
    assert np.array_equal(drawn(written), np.stack([masks[side] for side in order], axis=-1))
    pixels = opened(written).PixelData
    used = len(order) * rows * columns
    assert len(pixels) % 2 == 0
    assert not np.unpackbits(np.frombuffer(pixels, np.uint8), bitorder="little")[used:].any()


def test_a_lung_that_was_not_found_is_an_empty_segment() -> None:
    nothing = np.zeros((9, 15), bool)
    written = segmentation_object(radiograph(), {"right": nothing, "left": nothing}, MODEL)
    assert drawn(written).shape == (9, 15, 2)
    assert not drawn(written).any()


@pytest.mark.parametrize("orientation", [["R", "F"], ["F", "L"], ["RH", "F"]])
def test_masks_whose_sides_contradict_the_file_are_refused(orientation: list[str]) -> None:
    picture = radiograph(PatientOrientation=orientation)
    masks = lungs(mirrored=orientation == ["F", "L"])
    if orientation == ["F", "L"]:
        masks = {side: np.zeros((9, 15), bool) for side in masks}
        masks["right"][7, 5], masks["left"][1, 5] = True, True
    with pytest.raises(ImageError, match="contradict the file's Patient Orientation"):
        segmentation_object(picture, masks, MODEL)
    with pytest.raises(ImageError, match="contradict"):
        segmentation_object(picture, {"right": masks["right"]}, MODEL)
    segmentation_object(picture, {"right": masks["left"], "left": masks["right"]}, MODEL)


@pytest.mark.parametrize("orientation", [["A", "F"], ["L"], "L", ""])
def test_an_orientation_that_tells_no_sides_or_the_same_is_taken(orientation: Any) -> None:
    segmentation_object(radiograph(PatientOrientation=orientation), lungs(), MODEL)


@pytest.mark.parametrize(
    ("source", "code", "told"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(300), "unsupported_type", "no DICOM file"),
        (b"", "unsupported_type", "no DICOM file"),
        (Path("missing.dcm"), "not_found", "no such file"),
        (radiograph(SOPInstanceUID=None), "corrupt_image", "no valid SOPInstanceUID"),
        (radiograph(StudyInstanceUID=None), "corrupt_image", "no valid StudyInstanceUID"),
        (radiograph(NumberOfFrames=2), "many_frames", "several frames"),
        (radiograph()[:300], "corrupt_image", "."),
    ],
)
def test_sources_that_cannot_be_joined_are_refused(source: Any, code: str, told: str) -> None:
    with pytest.raises(ImageError, match=told) as caught:
        segmentation_object(source, lungs(), MODEL)
    assert caught.value.code == code
    assert caught.value.hint


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        ({}, "masks of nothing, expected 'right', 'left' or both"),
        ({"heart": np.zeros((9, 15), bool)}, "masks of 'heart'"),
        ({"right": np.zeros((15, 9), bool)}, r"the shape \(15, 9\), the radiograph has \(9, 15\)"),
        ({"left": np.zeros((9, 15), np.uint8)}, "of uint8, expected bool"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        segmentation_object(radiograph(), masks, MODEL)


def test_an_algorithm_without_a_digest_is_refused() -> None:
    with pytest.raises(UsageError, match="must name what drew it"):
        segmentation_object(radiograph(), lungs(), Algorithm("lungs", "1", ""))


def test_names_that_dicom_cannot_hold_are_made_to_fit(tmp_path: Path) -> None:
    written = segmentation_object(
        radiograph(), lungs(), Algorithm("poumons\\né " * 20, "1\n2", "ab" * 32), note="é" * 90
    )
    assert len(opened(written).ManufacturerModelName) <= 64
    assert not complaints(written, tmp_path)


def test_nothing_of_the_patient_is_told_on_the_way(caplog: pytest.LogCaptureFixture) -> None:
    secret = {"PatientName": "Geheimrat", "PatientID": "Geheim-1", "StudyDate": "20250304", "PatientSex": "X"}
    data = radiograph(**secret).replace(b"20250304", b"GEHEIM04")
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        written = segmentation_object(data, lungs(), MODEL)
    said = caplog.text + "".join(str(warning.message) for warning in warned)
    assert "geheim" not in said.lower()
    assert b"Geheimrat" in written
    assert b"GEHEIM04" in written


def test_a_file_without_preamble_and_with_bad_numbers_is_joined() -> None:
    data = radiograph(ImagerPixelSpacing=[0.125, 0.125])[132:].replace(b"0.125\\0.125", b"0.x25\\0.125")
    found = opened(segmentation_object(data, lungs(), MODEL))
    assert "ImagerPixelSpacing" not in found


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(MissingExtra, match="highdicom") as caught:
        segmentation_object(radiograph(), lungs(), MODEL)
    assert "laennec[dicom-write]" in caught.value.hint


def test_viewers_are_asked_for_the_colours_of_our_own_pictures() -> None:
    found = hd.seg.segread(io.BytesIO(segmentation_object(radiograph(), lungs(), MODEL)))
    for segment, colour in zip(found.SegmentSequence, (overlays.RIGHT, overlays.LEFT), strict=True):
        asked = hd.color.CIELabColor.from_dicom_value(list(segment.RecommendedDisplayCIELabValue)).to_rgb(clip=True)
        assert np.allclose(asked, [int(colour[at : at + 2], 16) for at in (1, 3, 5)], atol=2)


def test_objects_of_real_radiographs(real_data: Path, tmp_path: Path) -> None:
    files = sorted((real_data / "dicom").glob("*.dcm"))
    assert files
    for path in files:
        source = pydicom.dcmread(path, stop_before_pixels=True)
        masks = lungs(source.Rows, source.Columns, mirrored=source.PatientOrientation[0] == "R")
        written = segmentation_object(path, masks, MODEL, made=NOON)
        assert np.array_equal(drawn(written, source.SOPInstanceUID), np.stack([masks["right"], masks["left"]], axis=-1))
        found = opened(written)
        for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "PatientOrientation", "Rows", "Columns"):
            assert found.get(keyword) == source.get(keyword), keyword
        assert not complaints(written, tmp_path)
