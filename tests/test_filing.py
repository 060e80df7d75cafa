"""From a bundle and a DICOM file to objects in the file's study: by function, by answers given before, by command."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import laennec as ln
from answers import NOON
from laennec import filing, images, outlining
from laennec.bundle import Bundle
from laennec.cli import run
from laennec.errors import ImageError, UnknownName
from laennec.predictor import Predictor
from test_objects import complaints, groups, values
from test_segmentation_line import recipe_of, tiny_lungs
from test_segments import radiograph

pydicom = pytest.importorskip("pydicom", reason="pydicom is in the extra 'dicom'")
pytest.importorskip("highdicom", reason="highdicom is in the extra 'dicom-write'")

KINDS = ("capture", "presentation", "report", "segmentation")


@pytest.fixture(scope="module")
def lungs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lungs(tmp_path_factory.mktemp("lungs"), patients=20)


@pytest.fixture(scope="module")
def hybrid(lungs: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return ln.train(
        recipe_of(lungs, "classify+segment", phases=[{"epochs": 4, "learning_rate": 2e-2}]),
        tmp_path_factory.mktemp("runs") / "hybrid",
    )


@pytest.fixture(scope="module")
def film(lungs: Path) -> bytes:
    """One of the pictures it learned from, as a DICOM file of 96 rows and 120 columns."""
    picture = next(path for path in sorted(lungs.rglob("*.png")) if "mask" not in str(path))
    codes = np.asarray(Image.open(picture).convert("L").resize((120, 96)))
    return radiograph(Rows=96, Columns=120, PixelData=codes.tobytes(), ImagerPixelSpacing=[0.2, 0.2])


@pytest.fixture(scope="module")
def predictor(hybrid: Bundle) -> Predictor:
    return Predictor(hybrid, explain=True)


def opened(written: bytes) -> Any:
    return pydicom.dcmread(io.BytesIO(written))


def test_one_file_becomes_all_kinds(predictor: Predictor, film: bytes, tmp_path: Path) -> None:
    filed = filing.file(predictor, film, made=NOON)
    assert tuple(filed.objects) == KINDS
    assert not filed.left_out
    assert filed.prediction.score == predictor.predict(film).score
    found = {kind: opened(written) for kind, written in filed.objects.items()}
    assert [found[kind].Modality for kind in KINDS] == ["OT", "PR", "SR", "SEG"]
    assert len({one.SeriesInstanceUID for one in found.values()}) == 4
    assert {str(one.StudyInstanceUID) for one in found.values()} == {"1.2.3"}
    finding, *_ = groups(filed.objects["report"])
    told = values(finding)
    assert told["Probability"][0] == pytest.approx(100 * (filed.prediction.score or 0), rel=1e-4)
    segmentation = str(found["segmentation"].SOPInstanceUID)
    assert segmentation.encode() in filed.objects["report"]
    assert filed.prediction.lungs is not None
    right = groups(filed.objects["report"])[-2]
    assert values(right)["Area"][0] == pytest.approx(filed.prediction.lungs.right.square_centimetres, rel=1e-4)
    for written in filed.objects.values():
        assert not complaints(written, tmp_path)


def test_an_answer_given_before_is_written_as_one_given_now(
    predictor: Predictor, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = filing.file(predictor, film, made=NOON)
    answer, picture = predictor.predict(film), images.read(film).pixels
    again = filing.assemble(answer, predictor.bundle, film, made=NOON)
    assert {k: opened(v).SOPInstanceUID for k, v in again.objects.items()} == {
        k: opened(v).SOPInstanceUID for k, v in now.objects.items()
    }
    monkeypatch.setattr(images, "read", lambda *_: pytest.fail("it was decoded again"))
    given = filing.assemble(answer, predictor.bundle, film, ["capture", "segmentation"], NOON, picture)
    assert tuple(given.objects) == ("capture", "segmentation")
    assert given.objects == {kind: again.objects[kind] for kind in given.objects}


def test_the_segmentation_is_the_one_that_predict_writes(predictor: Predictor, film: bytes, tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(film)
    beside = outlining.outline(predictor.bundle, path, predictor.predict(path), tmp_path).segmentation
    assert beside is not None
    filed = filing.file(predictor, path, ["segmentation"])
    assert opened(filed.objects["segmentation"]).SOPInstanceUID == pydicom.dcmread(beside).SOPInstanceUID


def test_what_a_model_cannot_say_is_left_out_with_the_reason(trained: Bundle, film: bytes) -> None:
    filed = filing.file(Predictor(trained, explain=True), film)
    assert tuple(filed.objects) == ("capture", "report")
    assert filed.left_out == dict.fromkeys(("presentation", "segmentation"), "the model outlined no lungs")
    assert filed.prediction.map is not None
    plain = filing.file(Predictor(trained), film, ["capture"])
    assert plain.objects["capture"] != filed.objects["capture"]  # no heat


def test_a_mirrored_film_keeps_the_patients_sides(predictor: Predictor, film: bytes) -> None:
    source = opened(film)
    source.PatientOrientation = ["R", "F"]
    source.PixelData = np.ascontiguousarray(source.pixel_array[:, ::-1]).tobytes()
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, source)
    filed = filing.file(predictor, stream.getvalue())
    assert not filed.left_out
    (right, *_) = opened(filed.objects["presentation"]).GraphicAnnotationSequence
    assert right.GraphicLayer == "RIGHT_LUNG"
    assert np.array(right.GraphicObjectSequence[0].GraphicData)[::2].mean() > 60


@pytest.mark.parametrize(
    ("source", "code"),
    [(b"\xff\xd8\xff" + bytes(300), "unsupported_type"), (Path("missing.dcm"), "not_found"), (b"", "unsupported_type")],
)
def test_what_nothing_can_join_is_refused_unasked(
    source: Any, code: str, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "predict", lambda *_: pytest.fail("the model was asked"))
    with pytest.raises(ImageError) as caught:
        filing.file(predictor, source)
    assert caught.value.code == code
    with pytest.raises(UnknownName, match="Known: capture, presentation, report, segmentation"):
        filing.file(predictor, source, ["raport"])


def test_the_command_writes_objects_and_says_what_is_missing(
    trained: Bundle, film: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "film.dcm").write_bytes(film)
    (tmp_path / "note.txt").write_text("no film")
    out = tmp_path / "out"
    files = [str(tmp_path / name) for name in ("film.dcm", "note.txt")]
    arguments = ["dicom", "write", str(trained.path), *files, "--out", str(out), "--kinds", "report, segmentation"]
    assert run([*arguments, "--json"]) == 3
    first, second = json.loads(capsys.readouterr().out)
    assert first["written"] == {"report": str(out / "film.report.dcm")}
    assert list(first["left_out"]) == ["segmentation"]
    assert (second["refused"], second["code"]) == (True, "unsupported_type")
    assert run([*arguments[:4], *arguments[5:]]) == 0
    said = capsys.readouterr().out
    assert "Not a medical device" in said
    assert said.splitlines()[0].startswith(f"{files[0]}: {'positive' if first['positive'] else 'negative'}, ")
    assert ("to review: " in said) == bool(first["to_review"])
    assert [path.name for path in out.iterdir()] == ["film.report.dcm"]  # the same answer is the same file
    assert run([*arguments[:-1], "rapport"]) == 2


def test_objects_of_another_radiograph_of_that_name_get_a_number(
    trained: Bundle, film: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, out = tmp_path / "film.dcm", tmp_path / "out"
    other = opened(film)
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, other)
    command = ["dicom", "write", str(trained.path), str(one), "--out", str(out), "--kinds", "report", "--json"]
    names = []
    for data in (film, stream.getvalue(), film, stream.getvalue()):
        one.write_bytes(data)
        assert run(command) == 0
        names.append(Path(json.loads(capsys.readouterr().out)[0]["written"]["report"]).name)
    assert names == ["film.report.dcm", "film-2.report.dcm"] * 2
    (out / "film.report.dcm").write_bytes(b"a note")  # nothing of ours: left alone
    one.write_bytes(film)
    assert run(command) == 0
    assert (out / "film.report.dcm").read_bytes() == b"a note"
    assert len(list(out.iterdir())) == 3
