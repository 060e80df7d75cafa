"""The gate: chests pass, other pictures do not and are told why, and exposure or mirroring changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from laennec import phantom
from laennec.images import chest, lungs, read

Plane = NDArray[np.float32]
NAMES = list(chest.FIGURES)
REASONS = {reason for reason, _ in chest._REASONS}
PLANES = hnp.arrays(np.float32, (64, 64), elements=st.floats(0, 1, width=32))


def read_all(paths: list[Path]) -> list[Plane]:
    return [read(path).pixels for path in paths]


def page_of_text() -> Plane:
    lines = np.ones((300, 220), np.float32)
    random = np.random.default_rng(0)
    for top in range(20, 280, 9):
        lines[top : top + 4, 20 : random.integers(120, 200)] = random.random((4, 1)) * 0.4
    return lines


def others() -> dict[str, Plane]:
    down, across = np.mgrid[-1:1:90j, -1:1:120j].astype(np.float32)
    random = np.random.default_rng(1)
    return {
        "black": np.zeros((50, 70), np.float32),
        "white": np.ones((50, 70), np.float32),
        "slope": (across + 1) / 2,
        "round slope": np.clip(1 - np.hypot(down, across), 0, 1),
        "stripes": (np.sin(across * 20) + 1) / 2,
        "noise": random.random((200, 150), dtype=np.float32),
        "disc": (np.hypot(down, across) < 0.5).astype(np.float32),
        "two dark discs": 1 - ((np.abs(np.abs(across) - 0.4) < 0.2) & (np.abs(down) < 0.3)).astype(np.float32),
        "page": page_of_text(),
        "one pixel": np.full((1, 1), 0.5, np.float32),
    }


@pytest.fixture(scope="module")
def radiographs() -> list[Plane]:
    return [phantom.draw(5, patient, 0, 96).pixels for patient in range(4)]


def test_synthetic_radiographs_pass(radiographs: list[Plane]) -> None:
    assert [chest.doubt(x) for x in radiographs] == [""] * len(radiographs)


def test_real_radiographs_pass(real_data: Path) -> None:
    children = read_all(sorted((real_data / "kermany" / "test").rglob("*.jpeg"))[::12])
    adults = read_all(sorted((real_data / "covid-ccby" / "images").glob("*.png"))[::8])
    thorax = read_all(sorted((real_data / "dicom").glob("*RG1*.dcm")))
    refused = sum(bool(chest.doubt(x)) for x in children + adults + thorax)
    assert len(children) > 50 and refused <= 1


def test_real_limbs_are_refused(real_data: Path) -> None:
    assert all(chest.doubt(x) in REASONS for x in read_all(sorted((real_data / "dicom").glob("*RG3*.dcm"))))


@pytest.mark.parametrize("name", others())
def test_other_pictures_are_refused_with_a_reason(name: str) -> None:
    assert chest.doubt(others()[name]) in REASONS


def test_a_radiograph_on_its_side_is_no_chest(radiographs: list[Plane]) -> None:
    assert all(chest.doubt(np.rot90(x)) for x in radiographs)


def test_nothing_found_says_there_are_no_lungs(radiographs: list[Plane]) -> None:
    nothing = np.zeros((64, 64), np.float32)
    assert chest.doubt_of(nothing, lungs.squeezed(radiographs[0])) == "no lungs where lungs would be"


def test_a_network_that_is_sure_of_nothing_makes_no_chest(radiographs: list[Plane]) -> None:
    assert chest.doubt_of(np.full((64, 64), 0.5, np.float32), lungs.squeezed(radiographs[0])) in REASONS


def test_one_sure_patch_in_a_corner_makes_no_chest(radiographs: list[Plane]) -> None:
    patch = np.zeros((64, 64), np.float32)
    patch[:18, :18] = 1
    assert chest.doubt_of(patch, lungs.squeezed(radiographs[0])) in REASONS


def test_one_run_of_the_network_serves_both_ways(radiographs: list[Plane]) -> None:
    locator = lungs.SHIPPED.locator()
    for x in [*radiographs, *others().values()]:
        assert chest.doubt(x) == chest.doubt_of(locator.probabilities(x), lungs.squeezed(x))


def test_every_figure_has_its_weight() -> None:
    assert [row[0] for row in chest._FITTED] == [*NAMES, "offset"]
    assert (chest._OF.sum(0) == 1).all()


@given(PLANES, hnp.arrays(np.uint8, (64, 64)))
@settings(max_examples=20, deadline=None)
def test_any_answer_of_the_network_can_be_judged(probabilities: Plane, levels: NDArray[np.uint8]) -> None:
    assert np.isfinite(chest.figures(probabilities, levels)).all()
    assert chest.doubt_of(probabilities, levels) in REASONS | {""}


@given(st.integers(0, 3), st.floats(0.4, 2.5))
@settings(max_examples=15, deadline=None)
def test_greys_do_not_know_the_exposure(radiographs: list[Plane], patient: int, gamma: float) -> None:
    levels = np.random.default_rng(patient).integers(0, 100, (64, 64)).astype(np.uint8)
    table = np.cumsum(np.random.default_rng(int(gamma * 1000)).integers(1, 3, 100)).astype(np.uint8)
    probabilities = lungs.SHIPPED.locator().probabilities(radiographs[patient])
    kept = [n for n, name in enumerate(NAMES) if name != "black"]
    before, after = (chest.figures(probabilities, x)[kept] for x in (levels, table[levels]))
    np.testing.assert_array_equal(before, after)


def test_a_mirrored_picture_has_the_same_figures_but_for_its_centre(radiographs: list[Plane]) -> None:
    for x in radiographs:
        levels = lungs.squeezed(x)
        probabilities = lungs.SHIPPED.locator().probabilities(x)
        plain = chest.figures(probabilities, levels)
        mirrored = chest.figures(probabilities[:, ::-1].copy(), levels[:, ::-1].copy())
        across = NAMES.index("across")
        mirrored[across] = 1 - mirrored[across]
        np.testing.assert_allclose(plain, mirrored, atol=2e-3)
