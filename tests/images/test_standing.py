"""How a picture stands: the gate's codes on chests, on the same inverted or turned, by header, and what they cost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpus
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from laennec import phantom
from laennec.errors import ImageError
from laennec.images import chest, header, load, lungs, read, standing
from laennec.preprocess import Preprocess
from laennec.results import Prediction

Plane = NDArray[np.float32]
CHANGES: dict[str, tuple[str, Callable[[Plane], Plane]]] = {
    "as it is": ("", lambda x: x),
    "mirrored": ("", lambda x: x[:, ::-1]),
    "inverted": ("inverted", lambda x: 1 - x),
    "on its left": ("turned", np.rot90),
    "on its right": ("turned", lambda x: np.rot90(x, -1)),
    "upside down": ("turned", lambda x: x[::-1, ::-1]),
}


def changed(x: Plane, how: str) -> Plane:
    return np.ascontiguousarray(CHANGES[how][1](x))


@pytest.fixture(scope="module")
def radiographs() -> list[Plane]:
    return [phantom.draw(5, patient, 0, 96).pixels for patient in range(4)]


@pytest.fixture(scope="module")
def real(real_data: Path) -> tuple[list[Plane], list[Plane]]:
    children = sorted((real_data / "kermany" / "test").rglob("*.jpeg"))[::16]
    adults = sorted((real_data / "covid-ccby" / "images").glob("*.png"))[::3]
    first, second = ([read(path).pixels for path in paths] for paths in (children, adults))
    return first, second


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the runs of the network."""
    counted: list[int] = []
    locator = lungs.SHIPPED.locator()

    def counting(pixels: np.ndarray) -> Plane:
        counted.append(1)
        return locator.of_levels(pixels)

    monkeypatch.setattr(standing, "of_levels", counting)
    return counted


@pytest.mark.parametrize("how", CHANGES)
def test_real_radiographs_are_told_how_they_stand(real: tuple[list[Plane], list[Plane]], how: str) -> None:
    right = CHANGES[how][0]
    for group, most in zip(real, (0, 3), strict=True):
        told = [standing.standing(changed(x, how)).code for x in group]
        assert len(told) > 25 and sum(code != right for code in told) <= most, told
        # what was not understood is at least not taken for a chest that stands as it should
        assert not right or told.count("") <= 1


@pytest.mark.parametrize("how", CHANGES)
def test_synthetic_radiographs_are_told_how_they_stand(radiographs: list[Plane], how: str) -> None:
    told = [standing.standing(changed(x, how)).code for x in radiographs]
    assert told.count(CHANGES[how][0]) >= len(told) - 1


def test_words_say_how_to_turn_it_in_both_languages(real: tuple[list[Plane], list[Plane]]) -> None:
    left, right, over = (
        standing.standing(changed(real[0][0], how)).why for how in ("on its left", "on its right", "upside down")
    )
    assert left.en.endswith("quarter turn clockwise") and right.en.endswith("quarter turn anticlockwise")
    assert over.fr == "à l’envers" and "horaire" in left.fr


def test_a_plain_chest_costs_no_further_run(real: tuple[list[Plane], list[Plane]], runs: list[int]) -> None:
    children = real[0]
    assert all(not standing.standing(x).code for x in children)
    assert len(runs) == len(children)


def test_a_header_that_says_lateral_costs_no_further_run(radiographs: list[Plane], runs: list[int]) -> None:
    told = standing.standing(radiographs[0], {"view": "LATERAL", "view_by": "Patient Orientation"})
    assert told.code == "lateral" and "Patient Orientation" in told.why.en and len(runs) == 1
    assert not standing.standing(radiographs[0], {"view": "PA", "view_by": "View Position"}).code


def test_reasons_against_a_chest_stay_and_have_french() -> None:
    told = standing.standing(np.zeros((40, 50), np.float32))
    assert told.code == "not_chest" and told.why.en == chest.doubt(np.zeros((40, 50), np.float32))
    assert {reason for reason, _ in chest._REASONS} == set(standing._REASONS)


def test_every_figure_has_its_weight() -> None:
    assert [row[0] for row in standing._FITTED] == [*chest.FIGURES, "offset"]


# The header ---------------------------------------------------------------------------------------------------------


def coded(value: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "planted"
    return [item]


SAID: list[tuple[dict[str, Any], str, str]] = [
    ({"ViewPosition": "LL"}, "LATERAL", "View Position"),
    ({"ViewPosition": "LATERAL"}, "LATERAL", "View Position"),
    ({"ViewPosition": "PA", "PatientOrientation": ["A", "F"]}, "PA", "View Position"),
    ({"ViewPosition": "PA", "SeriesDescription": "THORAX LAT"}, "PA", "View Position"),
    ({"ViewPosition": "LLD"}, "OTHER", "View Position"),  # lying on one side, seen from the front
    ({"ViewCodeSequence": coded("399173006")}, "LATERAL", "View Code Sequence"),
    ({"ViewCodeSequence": coded("R-10206")}, "AP", "View Code Sequence"),
    ({"ViewCodeSequence": coded("planted")}, "OTHER", "View Code Sequence"),
    ({"PatientOrientation": ["A", "F"]}, "LATERAL", "Patient Orientation"),
    ({"PatientOrientation": ["PL", "F"]}, "LATERAL", "Patient Orientation"),
    ({"PatientOrientation": ["L", "F"]}, "", ""),
    ({"PatientOrientation": ["A", "L"]}, "", ""),
    ({"SeriesDescription": "Thorax seitl."}, "LATERAL", "Series Description"),
    ({"SeriesDescription": "Thorax de profil"}, "LATERAL", "Series Description"),
    ({"SeriesDescription": "CHEST P.A. + LAT"}, "", ""),
    ({"SeriesDescription": "LATERAL DECUBITUS"}, "", ""),
    ({"SeriesDescription": "platelet latency"}, "", ""),
    ({"SeriesDescription": "CHEST LAT", "PatientOrientation": ["L", "F"]}, "", ""),
]


@pytest.mark.parametrize(("attributes", "view", "by"), SAID)
def test_what_a_header_says_of_the_view(attributes: dict[str, Any], view: str, by: str, tmp_path: Path) -> None:
    for syntax in (corpus.EXPLICIT, corpus.IMPLICIT, corpus.BIG):
        data = corpus.dicom(corpus.ramp(12), syntax=syntax, **attributes)
        done = read(data).done
        assert (done.get("view", ""), done.get("view_by", "")) == (view, by)
        assert "planted" not in str(done).lower()
    path = tmp_path / "one.dcm"
    path.write_bytes(data)
    found = header(path)
    assert found is not None and found.view == ("" if view == "OTHER" else view)


def test_a_broken_view_code_spoils_no_sound_picture() -> None:
    data = corpus.dicom(corpus.ramp(12), ViewCodeSequence=coded("399173006"))
    at = data.index(b"\xfe\xff\x00\xe0")
    broken = data[: at + 4] + (1 << 20).to_bytes(4, "little") + data[at + 8 :]
    assert "view" not in read(broken).done


# Through the doors --------------------------------------------------------------------------------------------------


def as_dicom(x: Plane, **attributes: Any) -> bytes:
    return corpus.dicom(np.rint(x * 4095).astype(np.int64), StudyInstanceUID=generate_uid(), **attributes)


def test_load_tells_code_and_words(radiographs: list[Plane]) -> None:
    x, wanted = radiographs[0], Preprocess(size=64)
    for data, code in (
        (as_dicom(x), ""),
        (as_dicom(1 - x, photometric="MONOCHROME1"), ""),
        (as_dicom(x, photometric="MONOCHROME1"), "inverted"),  # the header lies of the greys
        (as_dicom(x[::-1, ::-1]), "turned"),
        (as_dicom(x, ViewPosition="RL"), "lateral"),
        (corpus.saved(corpus.noise((200, 180))), "not_chest"),
    ):
        _, done = load(data, wanted, gate=True)
        assert done["chest_code"] == code and bool(done["chest_doubt"]) == bool(code)
        assert "chest_code" not in load(data, wanted)[1]


def test_a_predictor_refuses_by_the_code_or_tells_it(trained: Any, radiographs: list[Plane], tmp_path: Path) -> None:
    import laennec as ln

    path = tmp_path / "over.png"
    path.write_bytes(corpus.saved(np.rint(radiographs[0][::-1, ::-1] * 255).astype(np.uint8)))
    with pytest.raises(ImageError) as refused:
        ln.open(trained.path, gate="refuse").predict(path)
    assert refused.value.code == "turned" and refused.value.hint == "turn it upright"
    told = ln.open(trained.path, gate="tell").predict(path)
    assert (told.doubt_code, told.doubt) == ("turned", "upside down") and told.score is not None
    assert Prediction.model_validate(told.model_dump(mode="json")).doubt_code == "turned"
    assert ln.open(trained.path).predict(path).doubt_code == ""


def test_the_runtime_leaves_and_sends_nothing(radiographs: list[Plane], tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    path.write_bytes(corpus.saved(np.rint(radiographs[0] * 255).astype(np.uint8)))
    home = tmp_path / "home"
    home.mkdir()
    asked = "from pathlib import Path; import sys; from laennec.images import load; from laennec.preprocess import *; "
    asked += "print(load(Path(sys.argv[1]), Preprocess(size=64), gate=True)[1]['chest_code'])"
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "TMPDIR": str(home)}
    plain = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", asked, str(path)], env=plain | own, capture_output=True, check=True)
    assert done.stdout.strip() == b"" and not [one for one in home.rglob("*") if one.is_file()]


def test_every_code_has_its_refusal() -> None:
    codes = {code for code, _, _ in standing._CHANGES} | {"not_chest", "lateral"}
    assert set(standing.CODES) == codes
    assert all(code in (ImageError.__doc__ or "") for code in codes)
