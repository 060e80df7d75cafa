"""Hostile and broken files: each refused with its code, at little cost, and never with another exception."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import corpus
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from laennec.errors import ImageError
from laennec.images import Limits, read

BAD = corpus.bad_files()


@pytest.mark.parametrize("bad", BAD, ids=[bad.name for bad in BAD])
def test_refused_with_its_code(bad: corpus.Bad, capfd: pytest.CaptureFixture[str]) -> None:
    data = bad.make()
    with pytest.raises(ImageError) as caught:
        read(data)
    assert caught.value.code == bad.code
    told = caught.value.message + caught.value.hint + "".join(capfd.readouterr())
    assert "PLANTED" not in told.upper()


def test_names_of_bad_files_differ() -> None:
    assert len({bad.name for bad in BAD}) == len(BAD) >= 90


def test_empty_missing_and_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    cases = {"empty": tmp_path / "empty.png", "not_found": tmp_path / "none.png", "unsupported_type": tmp_path}
    for code, path in cases.items():
        with pytest.raises(ImageError) as caught:
            read(path)
        assert caught.value.code == code
        assert str(tmp_path) not in caught.value.message + caught.value.hint
    with pytest.raises(ImageError) as caught:
        read(b"")
    assert caught.value.code == "empty"
    for odd in ("a\0b", "x" * 5000):
        with pytest.raises(ImageError) as caught:
            read(Path(odd))
        assert caught.value.code == "not_found"


def test_a_device_is_not_read() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip(reason="no /dev/zero here")
    with pytest.raises(ImageError) as caught:
        read(Path("/dev/zero"))
    assert caught.value.code == "unsupported_type"


def test_the_name_does_not_decide(tmp_path: Path) -> None:
    grey = corpus.noise()
    path = tmp_path / "chest.dcm"
    path.write_bytes(corpus.saved(grey))
    assert np.array_equal(read(path).pixels * 255, grey)


def test_limits_are_the_callers() -> None:
    good = corpus.saved(corpus.noise())
    for limits in (Limits(max_pixels=100), Limits(max_bytes=100)):
        with pytest.raises(ImageError) as caught:
            read(good, limits)
        assert caught.value.code == "too_large"
    two = corpus.dicom(np.vstack([corpus.ramp(12)] * 2), Rows=24, NumberOfFrames=2)
    first = read(two, Limits(max_frames=2)).pixels
    assert np.array_equal(first, read(corpus.dicom(corpus.ramp(12))).pixels)


@pytest.mark.parametrize("bomb", ["png_bomb", "deflate_bomb", "rle_bomb", "crowd", "nested_bomb"])
def test_a_bomb_costs_little_memory(bomb: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(getattr(corpus, bomb)())
    script = (
        "import resource, sys, numpy, PIL.PngImagePlugin, pydicom.pixels, rle\n"
        "from pathlib import Path\n"
        "from laennec.images import read\n"
        "from laennec.errors import ImageError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read(Path(sys.argv[1])); code = 'none'\n"
        "except ImageError as error: code = error.code\n"
        "print(code, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    code, megabytes = done.stdout.split()
    assert code in ("too_large", "corrupt_image")
    assert (
        int(megabytes) < 256
    )  # the cap of the safety plan; a deflated file may inflate to some 90 MB before it is refused


def _good() -> list[bytes]:
    grey, deep = corpus.noise(), corpus.ramp(12)
    files = [corpus.saved(grey), corpus.saved(grey, "JPEG"), corpus.saved(grey, "JPEG", progressive=True)]
    files += [corpus.saved(np.stack([grey] * 3, -1), mode="P"), corpus.saved(grey.astype(np.uint16) * 257)]
    tables = {"VOILUTSequence": [corpus.lut([0, 9, 99], 0, 12)], "ModalityLUTSequence": [corpus.lut([3, 2, 1], 0, 12)]}
    files += [corpus.dicom(deep, syntax=syntax, WindowCenter=900, WindowWidth=700) for syntax in corpus.NATIVE]
    files += [corpus.dicom(deep, syntax=syntax) for syntax in corpus.LOSSLESS]
    files += [corpus.dicom(deep, **tables), corpus.dicom(deep, preamble=False)]
    files += [corpus.dicom(grey, 8, syntax=corpus.BASELINE), corpus.dicom(grey, 8, syntax=corpus.EXTENDED)]
    return files


GOOD = _good()


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    which=st.integers(0, len(GOOD) - 1),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.floats(0, 1),
    keep=st.booleans(),
)
@example(which=0, edits=[(0.0, 0)], cut=0.5, keep=False)
def test_mutated_files_never_surprise(which: int, edits: list[tuple[float, int]], cut: float, keep: bool) -> None:
    data = bytearray(GOOD[which])
    for place, byte in edits:
        data[int(place * len(data))] = byte
    _answers(bytes(data if keep else data[: int(cut * len(data))]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    magic=st.sampled_from([b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", bytes(128) + b"DICM", b"\x02\0\0\0UL\4\0"]),
    rest=st.binary(max_size=400),
)
def test_random_bytes_with_a_valid_magic_never_surprise(magic: bytes, rest: bytes) -> None:
    _answers(magic + rest)


def _answers(data: bytes) -> None:
    """A picture that keeps the contract, or an ImageError."""
    try:
        picture = read(data)
    except ImageError as error:
        assert error.code in ImageError.__doc__  # type: ignore[operator]
        return
    assert picture.pixels.dtype == np.float32 and picture.pixels.ndim == 2
    assert picture.pixels.min() >= 0 and picture.pixels.max() <= 1
