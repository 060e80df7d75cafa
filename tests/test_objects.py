"""DICOM objects that an answer is written as: read back by pydicom and highdicom, checked by dciodvfy where it is."""

from __future__ import annotations

import io
import logging
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from answers import LABELS, MODEL, NOON, SPACED, answered, prediction
from laennec import contours, family, images, joining, overlays
from laennec.errors import ImageError, MissingExtra, UsageError
from laennec.joining import NOTICE
from laennec.labels import LabelSet
from laennec.objects import Answered
from laennec.objects.capture import drawn
from laennec.objects.report import code_of
from test_segments import BIG, CR, DX, EXPLICIT, IMPLICIT, SC, radiograph

pydicom = pytest.importorskip("pydicom", reason="pydicom is in the extra 'dicom'")
hd = pytest.importorskip("highdicom", reason="highdicom is in the extra 'dicom-write'")

KINDS = family.names("objects")
ROWS, COLUMNS = 60, 80
HIDDEN = "GEHEIM"


def film(**values: Any) -> bytes:
    """A radiograph of 60 rows and 80 columns as a file."""
    told: dict[str, Any] = {"Rows": ROWS, "Columns": COLUMNS, "PixelData": bytes(ROWS * COLUMNS)}
    return radiograph(**(told | values))


def case(**changes: Any) -> Answered:
    return answered(changes.pop("source", None) or film(), ROWS, COLUMNS, **changes)


def encode(kind: str, answered: Answered) -> bytes:
    written: bytes = family.member("objects", kind).encode(answered)
    return written


def opened(written: bytes) -> Any:
    return pydicom.dcmread(io.BytesIO(written))


def complaints(written: bytes, folder: Path) -> list[str]:
    """What dciodvfy calls an error; nothing where it is not installed."""
    if shutil.which("dciodvfy") is None:
        return []
    path = folder / "object.dcm"
    path.write_bytes(written)
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
    return [line for line in (said.stderr + said.stdout).splitlines() if line.startswith(("Error", "Abort"))]


def with_segmentation(answered: Answered) -> Answered:
    from dataclasses import replace

    return replace(answered, segmentation=encode("segmentation", answered))


def values(item: Any) -> dict[str, Any]:
    """What the items of a container say, by the meaning of their names."""
    told = {}
    for below in item.ContentSequence:
        name = below.ConceptNameCodeSequence[0].CodeMeaning
        if below.ValueType == "NUM":
            measured = below.MeasuredValueSequence[0]
            told[name] = (float(measured.NumericValue), measured.MeasurementUnitsCodeSequence[0].CodeValue)
        elif below.ValueType == "CODE":
            code = below.ConceptCodeSequence[0]
            told[name] = (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning)
        elif below.ValueType == "TEXT":
            told.setdefault(name, []).append(below.TextValue)
    return told


def groups(written: bytes) -> list[Any]:
    (measured,) = [
        item
        for item in opened(written).ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    ]
    return list(measured.ContentSequence)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("sop_class", "syntax", "told"),
    [
        (CR, EXPLICIT, {"ImagerPixelSpacing": [0.2, 0.1], "BodyPartExamined": "CHEST"}),
        (DX, BIG, {"PixelSpacing": [0.3, 0.3], "TimezoneOffsetFromUTC": "-0400"}),
        (SC, IMPLICIT, {"PatientOrientation": None, "BodyPartExamined": "LUNG"}),
    ],
)
def test_every_object_lies_in_the_study_of_its_radiograph(
    kind: str, sop_class: str, syntax: str, told: dict[str, Any], tmp_path: Path
) -> None:
    source = film(sop_class=sop_class, syntax=syntax, **told)
    written = encode(kind, case(source=source))
    found, radiograph_ = opened(written), opened(source)
    for keyword in (
        "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
        "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
    ):  # fmt: skip
        assert found.get(keyword) == radiograph_.get(keyword), keyword
    assert found.SeriesInstanceUID != radiograph_.SeriesInstanceUID
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID != radiograph_.SOPInstanceUID
    named = [item for item in walked(found) if item.get("ReferencedSOPInstanceUID") == radiograph_.SOPInstanceUID]
    assert named
    assert {item.ReferencedSOPClassUID for item in named} == {sop_class}
    assert "research use only" in found.SeriesDescription
    assert MODEL.digest == found.DeviceSerialNumber
    assert (found.Manufacturer, found.ManufacturerModelName) == ("laennec", "k8")
    hour = "080000" if "TimezoneOffsetFromUTC" in told else NOON.astimezone().strftime("%H%M%S")
    assert found.InstanceCreationTime == hour
    stand_ins = {element.value for element in found.iterall() if element.VR == "UI"} & {
        "2.25.0", *(str(uid) for uid in stand_in_uids())
    }  # fmt: skip
    assert not stand_ins
    assert not complaints(written, tmp_path)


def walked(item: Any) -> list[Any]:
    found = [item]
    for element in item:
        if element.VR == "SQ":
            for below in element.value:
                found += walked(below)
    return found


def stand_in_uids() -> list[str]:
    return [joining.uid("stand-in", keyword) for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_answer_is_the_same_object_and_another_is_another(kind: str) -> None:
    first = encode(kind, case())
    assert encode(kind, case()) == first
    later = encode(kind, case(made=NOON.replace(hour=13)))
    assert opened(later).SOPInstanceUID == opened(first).SOPInstanceUID
    other_model = Answered(**(vars(case()) | {"model": MODEL.__class__("k8", "ef" * 32, "cd" * 32, LABELS)}))
    flipped = case()
    flipped = case(right=flipped.right[::-1] & (np.arange(ROWS)[:, None] > 20))
    others = [
        first,
        encode(kind, other_model),
        encode(kind, flipped),
        encode(kind, case(source=film(SOPInstanceUID="1.9"))),
    ]
    assert len({opened(one).SOPInstanceUID for one in others}) == 4
    assert len({opened(one).SeriesInstanceUID for one in others}) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_lacks_what_is_written_is_refused(kind: str) -> None:
    nothing = prediction(
        ROWS, COLUMNS, score=None, threshold=None, positive=None, probabilities={}, label="", operating_point=""
    )
    with pytest.raises(UsageError) as caught:
        encode(kind, case(outlined=False, answer=nothing))
    assert caught.value.hint


@pytest.mark.parametrize("kind", KINDS)
def test_a_radiograph_that_cannot_be_joined_is_refused(kind: str) -> None:
    for source, code in ((film(StudyInstanceUID=None), "corrupt_image"), (b"\x89PNG" + bytes(200), "unsupported_type")):
        with pytest.raises(ImageError) as caught:
            encode(kind, case(source=source))
        assert caught.value.code == code


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_library_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtra, match="pydicom"):
        encode(kind, case())


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_patient_is_told_on_the_way(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    source = film(PatientName=HIDDEN, PatientID=f"{HIDDEN}-1", StudyDate="20250304", PatientSex="X")
    source = source.replace(b"20250304", b"GEHEIM04")
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        written = encode(kind, case(source=source))
    assert HIDDEN not in caplog.text + "".join(str(warning.message) for warning in warned)
    assert HIDDEN.encode() in written


def test_what_libraries_say_is_swallowed_in_every_thread(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogger("pydicom").level

    def talk(number: int) -> None:
        with joining.quietly():
            warnings.warn(HIDDEN, stacklevel=1)
            logging.getLogger("pydicom").error(HIDDEN)
            logging.getLogger("highdicom.base").error(HIDDEN)
            with joining.quietly():
                warnings.warn(HIDDEN, stacklevel=1)
            logging.getLogger("pydicom").error(f"{HIDDEN}{number}")

    with warnings.catch_warnings(record=True) as warned, ThreadPoolExecutor(8) as pool:
        warnings.simplefilter("always")
        list(pool.map(talk, range(200)))
    assert not warned
    assert HIDDEN not in caplog.text
    assert logging.getLogger("pydicom").level == before


_TEXT = st.text(st.characters(codec="latin-1", exclude_characters="\\\x1b"), max_size=70)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(KINDS),
    name=_TEXT,
    patient=_TEXT,
    date=st.sampled_from(["", "20250304", "00000000", "2025.03.04", "yesterday"]),
    charset=st.sampled_from([None, "ISO_IR 100", "ISO_IR 999", "GB18030", "ISO 2022 IR 13"]),
    spacing=st.sampled_from([None, b"0.125\\0.125", b"0.x25\\0.125", b"0.000\\0.000", b"1e999\\1    "]),
    side=st.sampled_from([None, "R", "U", "LEFT"]),
)
def test_odd_headers_are_joined(
    kind: str, name: str, patient: str, date: str, charset: str | None, spacing: bytes | None, side: str | None
) -> None:
    with warnings.catch_warnings(action="ignore"):
        source = film(
            PatientName=name,
            PatientID=patient,
            StudyDate="20250304",
            PatientBirthDate="20250304",
            Laterality=side,
            TimezoneOffsetFromUTC="20250304"[: len(date)] or None,
            ImagerPixelSpacing=None if spacing is None else [0.125, 0.125],
        )
    if charset is not None:
        source = source.replace(b"ISO_IR 100", f"{charset:<10}"[:10].encode())
    source = source.replace(b"20250304", f"{date:<8}"[:8].encode())
    source = source if spacing is None else source.replace(b"0.125\\0.125", spacing)
    with warnings.catch_warnings(action="ignore"):
        assert opened(encode(kind, case(source=source))).StudyInstanceUID == "1.2.3"


# --- report ---------------------------------------------------------------------------------------------------------


def test_a_report_says_what_was_found_by_what_and_how_sure() -> None:
    written = encode("report", with_segmentation(case(answer=prediction(ROWS, COLUMNS, lungs=SPACED))))
    document = hd.sr.srread(io.BytesIO(written))
    assert isinstance(document, hd.sr.EnhancedSR)
    assert (document.CompletionFlag, document.VerificationFlag, document.PreliminaryFlag) == (
        "COMPLETE", "UNVERIFIED", "PRELIMINARY",
    )  # fmt: skip
    content = document.content
    (observer,) = content.get_observer_contexts()
    assert observer.observer_type.meaning == "Device"
    finding, other = content.get_image_measurement_groups()
    assert (finding.finding_type.value, finding.finding_type.scheme_designator) == ("233604007", "SCT")
    assert other.finding_type.meaning == "Normal"
    told = values(finding[0])
    assert told["Probability"] == (88.0, "%")
    assert told["Threshold of the probability"] == (41.0, "%")
    assert told["Presence of property"] == ("121053", "DCM", "Present")
    assert told["Operating point"] == ("BALANCED", "99LAENNEC", "balanced")
    assert told["Algorithm Name"] == ["k8"]
    assert f"model sha256 {MODEL.digest}" in told["Algorithm Parameters"]
    assert any("sensitivity 0.950" in words for words in told["Algorithm Parameters"])
    assert values(other[0])["Probability"] == (12.0, "%")
    lungs = content.get_planar_roi_measurement_groups()
    assert [values(lung[0])["Area"] for lung in lungs] == [(220.0, "cm2"), (190.0, "cm2")]
    segmentation = opened(with_segmentation(case()).segmentation or b"")
    assert [lung.referenced_segmentation_frame[0].ReferencedSOPSequence[0].ReferencedFrameNumber for lung in lungs] == [
        1,
        2,
    ]
    assert {lung.referenced_segmentation_frame[0].referenced_sop_instance_uid for lung in lungs} == {
        segmentation.SOPInstanceUID
    }
    evidence = {(study, instance) for study, _, instance, _ in document.get_evidence()}
    assert evidence == {("1.2.3", "1.2.3.4.5"), ("1.2.3", segmentation.SOPInstanceUID)}
    assert values(document)["Comment"] == [NOTICE]


@pytest.mark.parametrize(
    ("changes", "presence"),
    [
        ({"score": 0.2, "positive": False, "label": "NORMAL"}, "Absent"),
        ({"refer": True, "refer_because": ("uncertain", "unlike")}, "Presence Undetermined"),
        ({"refer": False}, "Present"),
        ({"doubt": "no chest"}, "Presence Undetermined"),
    ],
)
def test_a_report_tells_absence_and_referral(changes: dict[str, Any], presence: str, tmp_path: Path) -> None:
    answer = prediction(ROWS, COLUMNS, **changes)
    written = encode("report", case(outlined=False, answer=answer))
    (finding, _) = groups(written)
    assert values(finding)["Presence of property"][2] == presence
    reasons = [
        item.ConceptCodeSequence[0].CodeValue
        for item in finding.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "REFERRED"
    ]
    assert reasons == [why.upper() for why in case(answer=answer).refer]
    assert values(opened(written))["Comment"][0] == NOTICE
    assert not complaints(written, tmp_path)


def test_a_report_of_lungs_alone_and_of_several_positive_labels(tmp_path: Path) -> None:
    nothing = prediction(
        ROWS, COLUMNS, score=None, threshold=None, positive=None, probabilities={}, label="", operating_point=""
    )
    alone = encode("report", case(answer=nothing))
    assert [values(group)["Finding"][2] for group in groups(alone)] == ["Right lung", "Left lung"]
    assert "Area" not in values(groups(alone)[0])
    labels = LabelSet(
        names=("normal", "bacterial pneumonia", "Grün \\ blau"), positive=("bacterial pneumonia", "Grün \\ blau")
    )
    model = MODEL.__class__("k8", "ab" * 32, "cd" * 32, labels)
    chances = {"normal": 0.12, "bacterial pneumonia": 0.5, "Grün \\ blau": 0.38}
    several = encode(
        "report", case(outlined=False, model=model, answer=prediction(ROWS, COLUMNS, probabilities=chances))
    )
    found = [values(group) for group in groups(several)]
    assert [told["Probability"][0] for told in found] == [88.0, 12.0, 50.0, 38.0]
    assert found[0]["Finding"][:2] == ("FINDING", "99LAENNEC")
    assert found[2]["Finding"][:2] == ("53084003", "SCT")
    assert not complaints(alone, tmp_path)
    assert not complaints(several, tmp_path)


@given(st.lists(st.text(max_size=80), unique=True, min_size=2, max_size=6))
def test_codes_of_labels_fit_and_tell_them_apart(labels: list[str]) -> None:
    unknown = [label for label in labels if code_of(label)[1] == "99LAENNEC"]
    assert all(0 < len(code_of(label)[0]) <= 16 and 0 < len(code_of(label)[2]) <= 64 for label in labels)
    assert all(code_of(label)[0].isascii() for label in labels)
    exact = {label.upper() for label in unknown}
    if len(exact) == len(unknown):
        assert len({code_of(label)[0] for label in unknown}) == len(unknown)


@pytest.mark.slow
def test_dcmtk_reads_the_report(tmp_path: Path) -> None:
    if shutil.which("dsrdump") is None:
        pytest.skip(reason="dsrdump (Debian's dcmtk) is not installed")
    path = tmp_path / "report.dcm"
    path.write_bytes(encode("report", with_segmentation(case())))
    said = subprocess.run(["dsrdump", str(path)], capture_output=True, text=True, errors="replace", check=True)
    assert '(233604007,SCT,"Pneumonia")' in said.stdout
    assert '"Probability")="88.0' in said.stdout
    assert not said.stderr.strip()


# --- capture --------------------------------------------------------------------------------------------------------


def test_a_capture_draws_beside_the_words_and_not_under_them() -> None:
    found = opened(encode("capture", case()))
    assert (found.PhotometricInterpretation, found.Modality, found.ConversionType) == ("RGB", "OT", "WSD")
    pixels = found.pixel_array
    assert np.array_equal(pixels, drawn(case()))
    height = round(1024 * ROWS / COLUMNS)
    assert pixels.shape[1] == 1024
    picture, strip = pixels[:height], pixels[height:]
    assert np.array_equal(picture, overlays.pictured(case().picture, case().heat, case().lungs, 1024))
    assert len(strip) > 100
    assert (strip.reshape(-1, 3).max(1) > 200).mean() > 0.005  # there are words
    assert "PixelSpacing" not in found
    shown = {tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)) for colour in (overlays.RIGHT, overlays.LEFT)}
    assert shown <= {tuple(colour) for colour in strip.reshape(-1, 3).tolist()}


def test_a_capture_takes_a_reduced_picture() -> None:
    small = Image.fromarray(case().picture).resize((COLUMNS // 2, ROWS // 2), Image.Resampling.BILINEAR)
    whole, reduced = drawn(case()), drawn(case(picture=np.asarray(small)))
    assert whole.shape == reduced.shape
    assert np.abs(whole.astype(float) - reduced).mean() < 8


@pytest.mark.parametrize(
    ("told", "lettered", "expected"),
    [("YES", False, "YES"), ("NO", False, "NO"), (None, False, None), ("NO", True, "YES"), (None, True, "YES")],
)
def test_a_capture_is_honest_about_what_was_burned_in(told: str | None, lettered: bool, expected: str | None) -> None:
    picture = np.full((ROWS * 8, COLUMNS * 8), 0.3, np.float32)
    if lettered:
        from PIL import ImageDraw, ImageFont

        canvas = Image.fromarray((picture * 255).astype(np.uint8))
        ImageDraw.Draw(canvas).text((60, 60), "D O E  J A N E  1 9", fill=255, font=ImageFont.load_default(36))
        picture = np.asarray(canvas, np.float32) / np.float32(255)
    found = opened(encode("capture", case(source=film(BurnedInAnnotation=told), picture=picture, outlined=False)))
    assert found.get("BurnedInAnnotation") == expected


# --- presentation ---------------------------------------------------------------------------------------------------


def test_a_presentation_draws_the_outlines_on_layers_of_their_colours() -> None:
    found = opened(encode("presentation", case()))
    layers = [layer.GraphicLayer for layer in found.GraphicLayerSequence]
    assert layers == ["RIGHT_LUNG", "LEFT_LUNG", "NOTICE"]
    for layer, mask in zip(layers[:2], case().lungs, strict=True):
        (annotation,) = [one for one in found.GraphicAnnotationSequence if one.GraphicLayer == layer]
        (line,) = annotation.GraphicObjectSequence
        points = np.array(line.GraphicData).reshape(-1, 2)
        assert np.array_equal(points[0], points[-1])
        x, y = points.T
        area = abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
        assert area == pytest.approx(mask.sum(), rel=0.05)
        assert (x.mean() < COLUMNS / 2) == (layer == "RIGHT_LUNG")
    assert NOTICE in found.GraphicAnnotationSequence[-1].TextObjectSequence[0].UnformattedTextValue
    for layer, colour in zip(found.GraphicLayerSequence, (overlays.RIGHT, overlays.LEFT), strict=False):
        asked = hd.color.CIELabColor.from_dicom_value(list(layer.GraphicLayerRecommendedDisplayCIELabValue))
        assert np.allclose(asked.to_rgb(clip=True), [int(colour[at : at + 2], 16) for at in (1, 3, 5)], atol=2)


WINDOWS = [
    {},
    {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11},
    {"PhotometricInterpretation": "MONOCHROME1"},
    {"WindowCenter": 90, "WindowWidth": 120},
    {"WindowCenter": 90.5, "WindowWidth": 120, "VOILUTFunction": "LINEAR_EXACT"},
    {"WindowCenter": 90, "WindowWidth": 60, "VOILUTFunction": "SIGMOID"},
    {"RescaleSlope": 2.5, "RescaleIntercept": -100, "RescaleType": "US", "WindowCenter": 200, "WindowWidth": 300},
    {"RescaleSlope": -1, "RescaleIntercept": 4095, "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11},
    {"PixelRepresentation": 1, "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11},
    {"PresentationIntentType": "FOR PRESENTATION", "BitsAllocated": 16, "BitsStored": 10, "HighBit": 9},
]


def graded(**told: Any) -> bytes:
    """A film whose pixels take many values."""
    wide = told.get("BitsAllocated") == 16
    span = 2 ** told.get("BitsStored", 8)
    codes = np.linspace(0.1, 0.8, ROWS * COLUMNS) * span - (span // 2 if told.get("PixelRepresentation") else 0)
    return film(PixelData=codes.astype("<i2" if wide else "u1").tobytes(), **told)


def presented(state: Any, source: Any) -> Any:
    """Greys of a radiograph under a presentation state, by PS3.4 N.2 and PS3.3 C.11.2, in double precision."""
    stored = source.pixel_array.astype(np.float64)
    stored = stored * float(state.get("RescaleSlope", 1)) + float(state.get("RescaleIntercept", 0))
    voi = state.SoftcopyVOILUTSequence[0]
    center, width = float(voi.WindowCenter), float(voi.WindowWidth)
    function = voi.get("VOILUTFunction", "LINEAR")
    if function == "SIGMOID":
        shown = 1 / (1 + np.exp(-4 * (stored - center) / width))
    elif function == "LINEAR_EXACT":
        shown = np.clip((stored - center) / width + 0.5, 0, 1)
    else:
        shown = np.clip((stored - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
    return 1 - shown if state.PresentationLUTShape == "INVERSE" else shown


@pytest.mark.parametrize("told", WINDOWS)
def test_a_presentation_shows_the_greys_that_the_model_was_given(told: dict[str, Any]) -> None:
    source = graded(**told)
    picture = images.read(source)
    answer = prediction(ROWS, COLUMNS, image=picture.done)
    state = opened(encode("presentation", case(source=source, answer=answer, picture=picture.pixels)))
    assert np.abs(presented(state, opened(source)) - picture.pixels).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("told", WINDOWS)
def test_dcmtk_shows_the_same_greys(told: dict[str, Any], tmp_path: Path) -> None:
    if shutil.which("dcmp2pgm") is None:
        pytest.skip(reason="dcmp2pgm (Debian's dcmtk) is not installed")
    source = graded(**told)
    picture = images.read(source)
    answer = prediction(ROWS, COLUMNS, image=picture.done)
    (tmp_path / "film.dcm").write_bytes(source)
    state = encode("presentation", case(source=source, answer=answer, picture=picture.pixels))
    (tmp_path / "state.dcm").write_bytes(state)
    names = [str(tmp_path / name) for name in ("state.dcm", "film.dcm", "shown.pgm")]
    subprocess.run(["dcmp2pgm", "--pstate", *names], check=True, capture_output=True)
    shown = np.asarray(Image.open(names[2]), np.float64) / 255
    if told.get("VOILUTFunction") is None:  # dcmtk knows no other function in a state
        assert np.abs(shown - picture.pixels).max() < 1.5 / 255
    assert not complaints(state, tmp_path)


def test_a_presentation_of_a_radiograph_in_colour_is_refused() -> None:
    answer = prediction(ROWS, COLUMNS, image={"height": ROWS, "width": COLUMNS, "colour": "luminance"})
    with pytest.raises(UsageError, match="in colour"):
        encode("presentation", case(answer=answer))


def test_a_lung_that_was_not_found_has_no_line(tmp_path: Path) -> None:
    nothing = np.zeros((ROWS, COLUMNS), bool)
    written = encode("presentation", case(right=nothing, left=nothing))
    assert [one.GraphicLayer for one in opened(written).GraphicAnnotationSequence] == ["NOTICE"]
    assert not complaints(written, tmp_path)


# --- contours -------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_outlines_enclose_what_they_were_drawn_of(rows: int, columns: int, data: st.DataObject) -> None:
    bits = data.draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
    mask = np.array(bits, bool).reshape(rows, columns)
    lines = contours.outlines(mask, 0)
    areas = [float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2 for x, y in (line.T for line in lines)]
    assert sum(areas) == pytest.approx(mask.sum())  # holes run the other way
    steps = sum(float(np.abs(np.diff(line, axis=0)).sum()) for line in lines)
    padded = np.pad(mask, 1).astype(int)
    assert steps == np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    for line in lines:
        assert np.array_equal(line[0], line[-1])
        assert len(line) >= 4


def test_simpler_outlines_stay_near() -> None:
    y, x = np.mgrid[:400, :300]
    mask = np.hypot((x - 150) / 90, (y - 200) / 150) < 1
    (exact,), (line,) = contours.outlines(mask, 0), contours.outlines(mask, 1.0)
    assert len(line) < len(exact) / 4
    away = [min(contours._distances(point[None], *pair)[0] for pair in pairwise(line)) for point in exact[::20]]
    assert max(away) <= 1.0
