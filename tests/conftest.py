"""Where tests find real radiographs: `$LAENNEC_DATA`, then `../shared/data`. Without them those tests say so and skip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
        pytest.skip("no real radiographs: set LAENNEC_DATA to a folder that holds kermany/, dicom/ and covid-ccby/")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say plainly which radiographs the run used."""
    found = data_folder()
    told = f"real radiographs: {'found' if found else 'MISSING, their tests were skipped (set LAENNEC_DATA)'}"
    terminalreporter.write_line(told)
