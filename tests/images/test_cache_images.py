"""The cache of decoded images: right, durable, shared between processes, and never torn."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import corpus
import numpy as np
import pytest

from laennec.errors import LaennecError, StorageFull
from laennec.images import Decoded, cache, decoded, decoding, load
from laennec.preprocess import Preprocess
from laennec.samples import Sample

SMALL = Preprocess(size=32)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src"), "LAENNEC_QUIET": "1"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LAENNEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LAENNEC_QUIET", raising=False)
    yield tmp_path / "cache" / "images"
    left = [path.name for path in (tmp_path / "cache" / "images").glob(".*")]
    assert not left, "a builder left something behind"


def samples_in(folder: Path, n: int, bad: tuple[int, ...] = ()) -> list[Sample]:
    folder.mkdir(exist_ok=True)
    made = []
    for i in range(n):
        path = folder / f"é{i:03}.png"
        data = corpus.saved(corpus.noise((48, 40), seed=i))
        path.write_bytes(data[: len(data) // 2] if i in bad else data)
        made.append(Sample(path.name, path, (0.0,), str(i)))
    return made


def check(found: Decoded, samples: list[Sample], bad: tuple[int, ...] = ()) -> None:
    assert found.kept == tuple(s.id for i, s in enumerate(samples) if i not in bad)
    assert [r.id for r in found.refused] == [samples[i].id for i in bad]
    assert all(r.code == "corrupt_image" and r.reason for r in found.refused)
    kept = {s.id: s for s in samples}
    assert found.pixels.shape == (len(found.kept), 32, 32) and found.pixels.dtype == np.uint8
    for row, name in zip(found.pixels, found.kept, strict=True):
        assert np.array_equal(row, load(kept[name].path, SMALL)[0])


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_parallel_is_serial(store: Path, tmp_path: Path, workers: int) -> None:
    bad = (0, 33, 98, 99)
    samples = samples_in(tmp_path / "images", 100, bad)
    found = decoded(samples, SMALL, workers=workers)
    check(found, samples, bad)
    assert isinstance(found.pixels, np.memmap) and not found.pixels.flags.writeable
    assert found.folder.parent == store


def test_few_images_all_bad_and_none(store: Path, tmp_path: Path) -> None:
    check(decoded(samples_in(tmp_path / "a", 3), SMALL), samples_in(tmp_path / "a", 3))
    bad = samples_in(tmp_path / "b", 2, (0, 1))
    found = decoded(bad, SMALL)
    check(found, bad, (0, 1))
    again = decoded(bad, SMALL)
    assert again.refused == found.refused and again.pixels.shape == (0, 32, 32)
    missing = decoded([Sample("x", tmp_path / "none.png", (0.0,), "x")], SMALL)
    assert [r.code for r in missing.refused] == ["not_found"]
    assert decoded([], SMALL).kept == ()


def test_the_second_time_nothing_is_decoded(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_in(tmp_path / "images", 5)
    first = decoded(samples, SMALL)
    monkeypatch.setattr(cache, "_make", lambda *a: pytest.fail("built again"))
    check(decoded(samples, SMALL), samples)
    # what the network does with the pixels is no part of the key
    assert decoded(samples, Preprocess(size=32, channels=3, mean=0.1)).folder == first.folder


def test_another_file_order_or_size_is_another_array(store: Path, tmp_path: Path) -> None:
    samples = samples_in(tmp_path / "images", 4)
    folders = {decoded(samples, SMALL).folder, decoded(samples[::-1], SMALL).folder, decoded(samples[:3], SMALL).folder}
    folders |= {
        decoded(samples, Preprocess(size=16)).folder,
        decoded(samples, Preprocess(size=32, resize="pad")).folder,
    }
    samples[1].path.write_bytes(corpus.saved(corpus.noise((48, 40), seed=77)))
    changed = decoded(samples, SMALL)
    check(changed, samples)
    os.utime(samples[0].path, ns=(1, 1))
    assert len(folders | {changed.folder, decoded(samples, SMALL).folder}) == 7


@pytest.mark.parametrize("harm", ["byte", "cut", "empty", "header", "no header", "no pixels", "header of lies"])
def test_a_damaged_cache_is_said_and_made_again(
    store: Path, tmp_path: Path, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = samples_in(tmp_path / "images", 6, (2,))
    first = decoded(samples, SMALL)
    pixels, header = first.folder / "pixels.bin", first.folder / "header.json"
    before = np.array(first.pixels)
    del first
    if harm == "byte":
        with pixels.open("rb+") as stream:
            stream.seek(1234)
            old = stream.read(1)
            stream.seek(1234)
            stream.write(bytes([old[0] ^ 1]))
    elif harm in ("cut", "empty"):
        os.truncate(pixels, 0 if harm == "empty" else 3000)
    elif harm == "header":
        header.write_text("{")
    elif harm == "header of lies":
        header.write_text(header.read_text().replace(samples[0].id[1:], "0.png"))
    else:
        (header if harm == "no header" else pixels).unlink()
    again = decoded(samples, SMALL)
    assert "damaged" in capsys.readouterr().err
    assert np.array_equal(again.pixels, before)
    check(again, samples, (2,))
    decoded(samples, SMALL)
    assert "damaged" not in capsys.readouterr().err


BUILDER = """
import sys, hashlib
from pathlib import Path
from laennec.images import decoded
from laennec.preprocess import Preprocess
from laennec.samples import Sample
paths = sorted(Path(sys.argv[1]).iterdir())
found = decoded([Sample(p.name, p, (0.0,), p.name) for p in paths], Preprocess(size=32), Path(sys.argv[2]), 1)
print("once", len(found.kept), hashlib.sha256(found.pixels).hexdigest())
"""


def test_two_builders_at_once_in_scripts_without_a_main_guard(store: Path, tmp_path: Path) -> None:
    samples = samples_in(tmp_path / "images", 80)
    script = tmp_path / "plain.py"
    script.write_text(BUILDER)
    command = [sys.executable, str(script), str(tmp_path / "images"), str(store)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        for _ in range(3)
    ]
    answers = {process.communicate(timeout=60) for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    (answer,) = answers
    assert answer[0].startswith("once 80 ") and answer[0].count("once") == 1 and answer[1] == ""
    assert len(list(store.iterdir())) == 1
    check(decoded(samples, SMALL), samples)


def test_the_loser_takes_what_the_winner_made(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_in(tmp_path / "images", 5)
    build, calls = cache._build, []

    def slower(part: Path, *rest: object) -> None:
        calls.append(part)
        if len(calls) == 1:
            decoded(samples, SMALL)  # another builder comes first
        build(part, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(cache, "_build", slower)
    check(decoded(samples, SMALL), samples)
    assert len(calls) == 2 and len(list(store.iterdir())) == 1


def test_a_map_outlives_the_rebuilding(store: Path, tmp_path: Path) -> None:
    samples = samples_in(tmp_path / "images", 5)
    held = decoded(samples, SMALL)
    (held.folder / "header.json").write_text("")
    decoded(samples, SMALL)
    check(held, samples)


WORKER = """
import sys, os, signal, time
from laennec.images import decoder
load = decoder.load
def fragile(path, preprocess):
    if path.name.startswith("é007"): os.kill(os.getpid(), signal.SIGKILL)
    if path.name.startswith("é031"): time.sleep(60)
    return load(path, preprocess)
decoder.load = fragile
raise SystemExit(decoder.main())
"""


def test_a_decoder_that_dies_or_hangs_costs_one_image(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = samples_in(tmp_path / "images", 80)
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setattr(decoding, "PATIENCE", 1.5)
    with monkeypatch.context() as faulty:
        faulty.setattr(decoding, "COMMAND", (sys.executable, str(tmp_path / "worker.py")))
        found = decoded(samples, SMALL, workers=2)
    assert [(r.id[:4], r.code) for r in found.refused] == [("é007", "decoder_died"), ("é031", "timeout")]
    assert len(found.kept) == 78
    for row, name in zip(found.pixels, found.kept, strict=True):
        assert np.array_equal(row, load(tmp_path / "images" / name, SMALL)[0])
    again = decoded(samples, SMALL, workers=2)
    assert not again.refused, "what failed for a passing reason is tried again"


def test_workers_that_do_not_start_are_said(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "COMMAND", (sys.executable, "-c", "raise SystemExit('no such thing')"))
    with pytest.raises(LaennecError, match="does not start") as caught:
        decoded(samples_in(tmp_path / "images", 70), SMALL)
    assert "no such thing" in caught.value.hint


def test_workers_do_not_import_torch() -> None:
    script = "import sys, laennec.images.decoder; print('torch' in sys.modules, 'pydicom' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs posix_fallocate")
def test_a_full_disk_is_said_and_leaves_nothing(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_in(tmp_path / "images", 5)
    held = decoded(samples[:4], SMALL)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageFull):
        decoded(samples, SMALL)
    assert [path.name for path in store.iterdir()] == [held.folder.name]
    check(decoded(samples[:4], SMALL), samples[:4])


def test_a_disk_that_fills_under_the_workers(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip(reason="no /dev/full here")
    samples = samples_in(tmp_path / "images", 70)
    apart = cache._apart
    monkeypatch.setattr(cache, "_apart", lambda array, *rest: apart(Path("/dev/full"), *rest))
    with pytest.raises(StorageFull):
        decoded(samples, SMALL, workers=2)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LaennecError, match="cannot be written"):
        decoded(samples_in(tmp_path / "images", 2), SMALL, tmp_path / "file")


def test_old_leavings_are_swept_and_young_ones_are_not(tmp_path: Path) -> None:
    old, young = tmp_path / "cache" / ".a.part", tmp_path / "cache" / ".b.part"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (1, 1))
    decoded(samples_in(tmp_path / "images", 2), SMALL, tmp_path / "cache")
    assert young.is_dir() and not old.exists()


def test_real_images(store: Path, real_data: Path) -> None:
    paths = sorted((real_data / "kermany" / "test").rglob("*.jpeg"))[:96]
    paths += sorted((real_data / "dicom").iterdir())
    samples = [Sample(str(path.relative_to(real_data)), path, (0.0,), path.name) for path in paths]
    found = decoded(samples, Preprocess(), workers=2)
    assert found.pixels.shape == (99, 224, 224) and not found.refused
    assert found.pixels.std(axis=(1, 2)).min() > 10
