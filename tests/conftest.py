"""Shared by the tests: real radiographs (`$LAENNEC_DATA`, then `../shared/data`) and a tiny trained bundle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from laennec.card import Limits

ROOT = Path(__file__).parents[1]


def data_folder() -> Path | None:
    """The folder of real radiographs, or None."""
    named = os.environ.get("LAENNEC_DATA")
    for folder in [Path(named)] if named else [ROOT.parent / "shared" / "data"]:
        if (folder / "kermany").is_dir():
            return folder
    return None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with `kermany/`, `dicom/`, `covid-ccby/`; skips the test where it is missing."""
    folder = data_folder()
    if folder is None:
        pytest.skip(reason="no real radiographs: set LAENNEC_DATA to a folder with kermany/, dicom/ and covid-ccby/")
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests decode into a cache of their own and say nothing on stderr."""
    before = dict(os.environ)
    os.environ["LAENNEC_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["LAENNEC_QUIET"] = "1"
    yield
    os.environ.clear()
    os.environ.update(before)


def tiny_pictures(folder: Path, patients: int = 60, size: int = 32, seed: int = 0) -> Path:
    """Two images of each of `patients` patients: grain, with a soft bright spot where sick."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    for patient in range(patients):
        sick = patient % 2 == 1
        for image in range(2):
            pixels = rng.normal(90, 18, (size, size))
            if sick:
                across, down = rng.uniform(8, size - 8, 2)
                pixels += 70 * np.exp(-((x - across) ** 2 + (y - down) ** 2) / 40)
            path = folder / ("sick" if sick else "normal") / f"p{patient:03}_{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return folder


def tiny_recipe(folder: Path, **changes: Any) -> Any:
    """A recipe that learns `tiny_pictures` in a few seconds."""
    from laennec.recipe import Recipe

    values = {
        "name": "tiny",
        "data": {"name": "folder", "root": str(folder), "patient": r"^(p\d+)_"},
        "split": {"validation": 0.3, "test": 0.3},
        "preprocess": {"size": 32},
        "model": {"name": "cnn", "widths": [8, 16]},
        "phases": [{"epochs": 6, "learning_rate": 1e-2}],
        "training": {"batch_size": 16, "threads": 2, "ema": 0.8},
        "augmentation": {"rotation": 10, "noise": 0.02, "erase": 0.2, "gamma": 0.1, "flip": 0.5, "blur": 0.1},
    }
    return Recipe.parse(values | changes)


def cut_after(epoch: int, recipe: Any, out: Path) -> None:
    """A training interrupted as soon as the state after `epoch` is saved."""
    from laennec import checkpoints
    from laennec.training import train

    save = checkpoints.save_state

    def save_then_stop(folder: Path, saved: int, state: checkpoints.State) -> None:
        save(folder, saved, state)
        if saved == epoch:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(checkpoints, "save_state", save_then_stop)
        train(recipe, out)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny pictures in two classes."""
    return tiny_pictures(tmp_path_factory.mktemp("pictures"))


# One of so few validation images is many percent of them.
LOOSE = Limits(auroc_lost=0.1, flipped=0.3, ece_gained=0.3)


def without_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """int8 tries one setting and leaves no layer floating: for gates that nothing would pass."""
    from laennec import mixing

    first = mixing.settings()[:1]
    monkeypatch.setattr(mixing, "settings", lambda: first)
    monkeypatch.setattr(mixing, "_by_sensitivity", lambda *_: [])


@pytest.fixture(scope="session")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A bundle trained on the tiny pictures."""
    from laennec.training import train

    return train(tiny_recipe(pictures), tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def quantised(trained: Any) -> Any:
    """The same, exported to onnxruntime int8; the gate is wide, for so few validation images."""
    from laennec.conversion import export

    return export(trained, "onnxruntime", "int8", out=trained.path.parent / "int8", limits=LOOSE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say plainly which radiographs the run used."""
    found = data_folder()
    told = f"real radiographs: {'found' if found else 'MISSING, their tests were skipped (set LAENNEC_DATA)'}"
    terminalreporter.write_line(told)
