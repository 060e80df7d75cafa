"""`laennec key`: shown once, or written where nothing was before."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from laennec.cli import run
from laennec.serve import keys


def test_a_key_written_to_a_file_opens_the_service_and_is_never_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "keys.txt", tmp_path / "scrape.key"
    asked = ["key", "prometheus", "--file", str(file), "--out", str(out)]
    assert run(asked) == 0
    drawn = out.read_text()
    assert drawn.strip() not in capsys.readouterr().out
    assert os.name == "nt" or stat.S_IMODE(out.stat().st_mode) == 0o600
    header = {b"authorization": b"Bearer " + drawn.strip().encode()}
    whose = keys.Ring(keys.read(file)).whose(header)
    assert whose is not None
    assert whose.name == "prometheus"
    held = file.read_bytes()
    assert run(asked) == 2
    assert run(["key", "another", "--file", str(file), "--out", str(out)]) == 2  # no key that nobody holds
    assert (out.read_text(), file.read_bytes()) == (drawn, held)
    assert "is there already" in capsys.readouterr().err


def test_a_key_that_cannot_be_drawn_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys.txt"
    assert run(["key", "ward", "--file", str(file)]) == 0
    held = file.read_bytes()
    for name, out in (("ward", tmp_path / "ward.key"), ("ward-2", tmp_path / "missing" / "ward.key")):
        assert run(["key", name, "--file", str(file), "--out", str(out)]) == 2
        assert not out.exists()
    assert file.read_bytes() == held
