"""What is left of a patient in a radiograph that was de-identified: looked for in its bytes."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from laennec import images, joining
from laennec.cli import run
from laennec.deidentifying import WARNING, codestreams, deidentify, profile
from laennec.errors import ImageError, UsageError
from test_segments import BIG, DEFLATED, DX, EXPLICIT, IMPLICIT, radiograph

pydicom = pytest.importorskip("pydicom", reason="pydicom is in the extra 'dicom'")
pytest.importorskip("scipy", reason="scipy is in the extra 'eval'")

KEY, OTHER = b"k" * 16, b"o" * 32
NAME, NUMBER, BORN, UID = "DOE^JANE", "ID4711", "19700102", "1.2.276.0.7230010.3.4711"
TRACES = [b"DOE", b"JANE", b"doe", b"4711", b"0102", b"1970", b"1.2.276"]
ROWS, COLUMNS = 60, 80
PLANTED = {
    "AE": NUMBER, "AS": "047Y", "CS": "DOE JANE^", "DA": BORN, "DS": "4711.1970", "DT": f"{BORN}101112", "IS": "4711",
    "LO": NAME, "LT": NAME, "PN": NAME, "SH": NUMBER, "ST": NAME, "TM": "010203.4711", "UC": NAME, "UI": UID,
    "UR": f"http://{NUMBER}", "UT": NAME,
}  # fmt: skip
# what makes a picture of the file, with values that are checked
NEEDED = {
    "SOPClassUID", "Modality", "PhotometricInterpretation", "PixelData", "SpecificCharacterSet", "NumberOfFrames",
    "PresentationLUTShape", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "PixelSpacing", "ModalityLUTSequence",
}  # fmt: skip


def opened(data: bytes) -> Any:
    return pydicom.dcmread(io.BytesIO(data))


def film(**values: Any) -> bytes:
    codes = np.linspace(20, 200, ROWS * COLUMNS).astype(np.uint8)
    return radiograph(**({"Rows": ROWS, "Columns": COLUMNS, "PixelData": codes.tobytes()} | values))


def traces(data: bytes) -> list[bytes]:
    """What of the patient stands in the bytes, in one byte a character or in two."""
    return [one for one in TRACES if one in data or one.decode().encode("utf-16-le") in data]


def everywhere(syntax: str = EXPLICIT) -> bytes:
    """A radiograph with the patient in every attribute of the dictionary that holds text, alone and in sequences."""
    from pydicom.datadict import DicomDictionary

    dataset = opened(film(PatientName=NAME, PatientID=NUMBER, PatientBirthDate=BORN))
    with joining.quietly():
        leaf = pydicom.Dataset()
        for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
            if vr in PLANTED and keyword and keyword not in NEEDED | profile.NUMBERS and tag >> 16 not in (0, 2, 4):
                leaf.add_new(tag, vr, PLANTED[vr])
        leaf.private_block(0x0009, f"{NAME} INC", create=True).add_new(1, "LO", NAME)
        for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
            if vr == "SQ" and keyword and keyword not in NEEDED:
                small = pydicom.Dataset()
                small.PatientName, small.CodeMeaning, small.CodeValue = NAME, NAME, NUMBER
                small.ReferencedSOPInstanceUID = UID
                small.CodingSchemeDesignator = "DCM"
                small.ReferencedImageSequence = [pydicom.Dataset()]
                small.ReferencedImageSequence[0].PersonName = NAME
                small.private_block(0x0011, "ACME", create=True).add_new(1, "UT", NAME)
                dataset.add_new(tag, vr, [small])
        for element in leaf:
            dataset[element.tag] = element
        dataset.SourceImageSequence = [leaf]
        dataset.ViewCodeSequence[0].CodeValue, dataset.ViewCodeSequence[0].CodingSchemeDesignator = "399348003", "SCT"
        dataset.add_new(0x60003000, "OW", NAME.encode() * 2)
        dataset.add_new(0x60000022, "LO", NAME)
        dataset.add_new(0x50003000, "OW", NAME.encode() * 2)
        dataset.add_new(0x00420011, "OB", NAME.encode())
        dataset.add_new(0x00080FFE, "UN", NAME.encode())
        dataset.add_new(0xFFFCFFFC, "OB", NAME.encode())
        dataset.LUTData = None
        del dataset.LUTData
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.file_meta.SourceApplicationEntityTitle = NUMBER
        dataset.file_meta.PrivateInformationCreatorUID = UID
        dataset.file_meta.PrivateInformation = NAME.encode()
        dataset.preamble = (NAME.encode() * 16)[:128]
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_nothing_of_the_patient_is_left_anywhere(syntax: str) -> None:
    source = everywhere(syntax)
    assert len(traces(source)) >= 6  # the search finds what is there
    done = deidentify(source, KEY)
    assert not traces(done.data)
    found = opened(done.data)
    assert not [element for element in found.iterall() if element.tag.is_private or element.tag.group % 2]
    assert {element.keyword for element in found.iterall()} <= profile.KEPT | {
        "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence", "CodeValue",
        "CodingSchemeDesignator", "CodeMeaning", "LongitudinalTemporalInformationModified",
    }  # fmt: skip
    assert np.array_equal(images.read(done.data).pixels, images.read(source).pixels)
    assert found.ViewCodeSequence[0].CodeMeaning != NAME
    assert done.removed["private"] >= 2
    assert done.removed["removed"] > 1000


def test_the_file_says_what_was_done_to_it() -> None:
    found = opened(deidentify(film(), KEY).data)
    assert (found.PatientIdentityRemoved, found.LongitudinalTemporalInformationModified) == ("YES", "REMOVED")
    (method,) = found.DeidentificationMethodCodeSequence
    assert (method.CodeValue, method.CodingSchemeDesignator) == ("113100", "DCM")
    for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"):
        assert keyword in found
        assert not found[keyword].value, keyword
    assert (found.Rows, found.Columns, found.PatientOrientation) == (ROWS, COLUMNS, ["L", "F"])


def test_the_same_key_keeps_studies_and_patients_together() -> None:
    first, second = (opened(deidentify(film(SOPInstanceUID=uid), KEY).data) for uid in ("1.2.3.4.5", "1.2.3.4.6"))
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "PatientName"):
        assert first[keyword] == second[keyword] != opened(film())[keyword], keyword
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SOPInstanceUID == first.file_meta.MediaStorageSOPInstanceUID
    named = film()
    dataset = opened(named)
    dataset.SourceImageSequence = [pydicom.Dataset()]
    dataset.SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3.4.6"
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset)
    pointing = opened(deidentify(stream.getvalue(), KEY).data)
    assert pointing.SourceImageSequence[0].ReferencedSOPInstanceUID == second.SOPInstanceUID
    elsewhere = opened(deidentify(film(), OTHER).data)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID"):
        assert elsewhere[keyword] != first[keyword], keyword
    assert opened(deidentify(film()).data).PatientID != opened(deidentify(film()).data).PatientID
    assert deidentify(film(), KEY).data == deidentify(film(), KEY).data


@pytest.mark.parametrize(
    ("sop_class", "syntax", "values"),
    [
        (DX, EXPLICIT, {"WindowCenter": 90, "WindowWidth": 60, "ImagerPixelSpacing": [0.2, 0.1]}),
        (DX, IMPLICIT, {"RescaleSlope": "2.5", "RescaleIntercept": "-3", "RescaleType": NAME}),
        (DX, BIG, {"PhotometricInterpretation": "MONOCHROME1"}),
        (DX, DEFLATED, {"PixelPaddingValue": 20}),
    ],
)
def test_pictures_stay_what_they_were(sop_class: str, syntax: str, values: dict[str, Any]) -> None:
    source = film(sop_class=sop_class, syntax=syntax, **values)
    done = deidentify(source, KEY)
    before, after = images.read(source), images.read(done.data)
    assert np.array_equal(before.pixels, after.pixels)
    assert {k: v for k, v in before.done.items() if k != "burned_in"} == after.done
    assert not traces(done.data)


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("syntax", [EXPLICIT, BIG])
def test_bits_that_the_picture_does_not_use_are_cleared(signed: int, syntax: str) -> None:
    order = ">" if syntax == BIG else "<"
    codes = np.linspace(-2000, 2000, ROWS * COLUMNS).astype(np.int16) if signed else np.arange(ROWS * COLUMNS) % 4096
    drawn = (np.arange(ROWS * COLUMNS) % 16 << 12).astype(np.uint16)  # an overlay in the upper bits
    stored = (codes.astype(np.int64) & 0x0FFF) | drawn
    told = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": signed, "syntax": syntax}
    source = film(PixelData=stored.astype(f"{order}u2").tobytes(), **told)
    done = opened(deidentify(source, KEY).data)
    expected = codes if signed else codes & 0x0FFF
    kept = np.frombuffer(done.PixelData, f"{order}i2" if signed else f"{order}u2")
    assert np.array_equal(kept, expected)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG 2000", "RLE"])
def test_compressed_pictures_lose_their_comments(kind: str) -> None:
    from pydicom.encaps import encapsulate

    codes = np.linspace(20, 200, ROWS * COLUMNS).astype(np.uint8).reshape(ROWS, COLUMNS)
    syntax = {"JPEG": "1.2.840.10008.1.2.4.50", "JPEG 2000": "1.2.840.10008.1.2.4.90", "RLE": "1.2.840.10008.1.2.5"}[
        kind
    ]
    dataset = opened(film())
    if kind == "RLE":
        dataset.compress(syntax)
    else:
        stream = io.BytesIO()
        if kind == "JPEG":
            Image.fromarray(codes).save(stream, "JPEG", comment=NAME.encode(), exif=b"Exif\0\0" + NAME.encode())
        else:
            Image.fromarray(codes).save(stream, "JPEG2000", no_jp2=True, comment=NAME)
        assert b"DOE" in stream.getvalue()
        dataset.PixelData = encapsulate([stream.getvalue()])
    dataset.file_meta.TransferSyntaxUID = syntax
    written = io.BytesIO()
    pydicom.dcmwrite(written, dataset)
    source = written.getvalue()
    before = images.read(source).pixels
    done = deidentify(source, KEY)
    assert not traces(done.data)
    assert np.array_equal(images.read(done.data).pixels, before)


def test_comments_are_found_between_the_parts_of_a_picture() -> None:
    codes = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    stream = io.BytesIO()
    Image.fromarray(codes).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    scan = data.rindex(b"\xff\xda")
    comment = b"\xff\xfe\0\x0a" + NAME.encode()
    clean = codestreams.jpeg(data[:scan] + comment + data[scan:] + NAME.encode())
    assert b"DOE" not in clean
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(clean))), np.asarray(Image.open(io.BytesIO(data))))
    stream = io.BytesIO()
    Image.fromarray(codes).save(stream, "JPEG2000", no_jp2=True, tile_size=(64, 64))
    data = stream.getvalue()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(codestreams.jpeg2000(data)))), codes)
    stream = io.BytesIO()
    Image.fromarray(codes).save(stream, "JPEG2000", comment=NAME)  # in boxes
    assert codestreams.jpeg2000(stream.getvalue())[:4] == b"\xff\x4f\xff\x51"
    assert b"DOE" not in codestreams.jpeg2000(stream.getvalue())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["JPEG", "JPEG2000"]), st.data())
def test_damaged_codestreams_end_in_an_error_of_ours(kind: str, data: st.DataObject) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(
        stream, kind, **({"no_jp2": True} if kind != "JPEG" else {})
    )
    whole = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(2, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(2, len(whole)))])
    clean = codestreams.jpeg if kind == "JPEG" else codestreams.jpeg2000
    try:
        assert clean(cut)
    except ImageError as error:
        assert error.code == "corrupt_image"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_values_of_any_kind_under_any_tag_leave_no_trace(data: st.DataObject) -> None:
    dataset = opened(film())
    with joining.quietly():
        for _ in range(data.draw(st.integers(1, 12))):
            tag = data.draw(st.integers(0x00080001, 0x00280009) | st.integers(0x00281000, 0x7FDFFFFF))
            vr = data.draw(st.sampled_from(["LO", "PN", "UT", "UN", "OB", "LT"]))
            if tag & 0xFFFF and tag not in (0x00080016, 0x00080060, 0x00280008, 0x00280002, 0x00280004, 0x00080005):
                with suppress(ValueError, TypeError):  # the library knows another kind for that tag
                    dataset.add_new(tag, vr, NAME.encode() if vr in {"UN", "OB"} else NAME)
        stream = io.BytesIO()
        try:
            pydicom.dcmwrite(stream, dataset)
        except Exception:  # likewise
            reject()
        with suppress(ImageError):  # then it is not passed on at all
            assert not traces(deidentify(stream.getvalue(), KEY).data)


def lettered(size: int) -> bytes:
    canvas = Image.fromarray(np.full((900, 700), 60, np.uint8))
    ImageDraw.Draw(canvas).text((80, 90), "Doe Jane 02.01.1970", fill=230, font=ImageFont.load_default(size))
    return film(Rows=900, Columns=700, PixelData=canvas.tobytes())


@pytest.mark.parametrize("size", [16, 24, 48])
def test_text_in_the_picture_is_told(size: int) -> None:
    done = deidentify(lettered(size), KEY)
    assert done.burned_in
    assert done.warning == WARNING
    assert opened(done.data).BurnedInAnnotation == "YES"


@pytest.mark.parametrize(("told", "burned"), [("YES", True), ("NO", False), (None, False)])
def test_what_the_header_says_of_text_is_believed(told: str | None, burned: bool) -> None:
    done = deidentify(film(BurnedInAnnotation=told), KEY)
    assert (done.burned_in, bool(done.warning)) == (burned, burned)
    assert opened(done.data).get("BurnedInAnnotation") == told


@pytest.mark.parametrize(
    ("source", "code"),
    [(b"no film", "unsupported_type"), (film()[:400], "corrupt_image"), (film(Modality="CT"), "not_radiograph")],
)
def test_what_cannot_be_looked_at_is_not_passed_on(source: bytes, code: str) -> None:
    with pytest.raises(ImageError) as caught:
        deidentify(source, KEY)
    assert caught.value.code in {code, "no_pixels"}
    stream = io.BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(stream, "PNG")
    with pytest.raises(ImageError, match="no DICOM file"):
        deidentify(stream.getvalue(), KEY)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(UsageError, match="16"):
        deidentify(film(), b"secret")


def test_the_command_names_files_by_what_they_became(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "DOE_JANE.dcm").write_bytes(everywhere())
    (folder / "lettered.dcm").write_bytes(lettered(24))
    (folder / "notes.txt").write_text("nothing")
    arguments = [
        "dicom",
        "deidentify",
        str(folder),
        "--out",
        str(tmp_path / "out"),
        "--key-file",
        str(tmp_path / "k" / "key"),
    ]
    assert run([*arguments, "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["written"] == 2
    assert len(told["burned_in"]) == 1
    assert [item["code"] for item in told["refused"]] == ["unsupported_type"]
    written = sorted((tmp_path / "out").iterdir())
    assert [path.stem for path in written] == sorted(str(opened(path.read_bytes()).SOPInstanceUID) for path in written)
    assert not any(traces(path.read_bytes()) for path in written)
    assert (tmp_path / "k" / "key").stat().st_mode & 0o777 == 0o600
    again = [*arguments[:4], str(tmp_path / "again"), *arguments[5:]]
    assert run(again) == 3
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == [path.name for path in written]


def test_real_radiographs_lose_their_patients_and_stay_valid(real_data: Path, tmp_path: Path) -> None:
    for path in sorted((real_data / "dicom").glob("*RG3*.dcm")):
        source = path.read_bytes()
        before, done = opened(source), deidentify(source, KEY)
        for keyword in ("PatientID", "AccessionNumber", "InstitutionName", "StudyDescription", "SOPInstanceUID"):
            assert str(before[keyword].value).encode() not in done.data, keyword
        assert not done.burned_in
        assert np.array_equal(images.read(done.data).pixels, images.read(source).pixels)
        if shutil.which("dciodvfy"):
            written = tmp_path / "film.dcm"
            written.write_bytes(done.data)
            said = subprocess.run(
                ["dciodvfy", str(written)], capture_output=True, text=True, errors="replace", check=False
            )
            assert "Error" not in said.stderr + said.stdout
