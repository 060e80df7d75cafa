"""Damage good files and requests at random and see that nothing crashes, hangs, overruns or answers 500.

    python -m tests.hostile.fuzz --mutations 10000 --seed 1                         # the decoding processes
    python -m tests.hostile.fuzz --mutations 2000 --seed 1 --bundle runs/k8         # a service at work
    python -m tests.hostile.fuzz --mutations 2000 --seed 1 --here                   # the readers, in this process
    python -m tests.hostile.fuzz --seed 1 --only 4711 --out FOLDER                  # one mutant again, as a file

Each mutant is told by the seed and its number. What is found is printed with both, and written to ``--out``; it then
becomes a case of the corpus.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from laennec.errors import ImageError
from laennec.images import read
from laennec.images.decoding import Decoders, shared_rows
from laennec.preprocess import Preprocess

from .case import STATUS
from .mutants import good, mutant
from .requests import Wire
from .sending import Memory, Service

PATIENCE, CAP = 4.0, 256  # seconds, MiB
MEMORY, PREPROCESS = 1024 << 20, Preprocess(size=32)
_LATE = 10.0


@dataclass(frozen=True)
class Found:
    """A mutant that was not dealt with as it should be."""

    seed: int
    number: int
    parent: str
    what: str


def through_decoders(seed: int, numbers: Iterable[int], told: Counter[str]) -> Iterator[Found]:
    """Mutants of files through a real decoding process, with its gate; one at a time, so that its memory is theirs."""
    with (
        tempfile.TemporaryDirectory() as folder,
        shared_rows(1, 32) as (place, _),
        Decoders(place, PREPROCESS, 1, what="chest", notes=True, patience=PATIENCE, memory=MEMORY, ahead=1) as team,
    ):
        path, pid = Path(folder) / "mutant", 0
        for _, whole in good():  # libraries load with the first of each kind
            path.write_bytes(whole)
            team.ask(0, str(path))
            team.answer()
        for number in numbers:
            name, data = mutant(seed, number)
            path.write_bytes(data)
            before = _reset(pid)
            if not before:  # it is new, and has still to load what it decodes with
                pid = _decoder()
            team.ask(0, str(path))
            answer = team.answer()
            grown = max(0, _peak(pid) - before) >> 20 if before else 0
            code = answer.code or "read"
            told[code] += 1
            if code in ("decoder_died", "timeout") or code not in {*STATUS, "read"}:
                yield Found(seed, number, name, code)
            elif grown > CAP:
                yield Found(seed, number, name, f"{grown} MiB")


def _decoder() -> int:
    """The process of this one that decodes."""
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            parent = int(place.read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and "images.decoder" in (place.parent / "cmdline").read_text():
                return int(place.parent.name)
    return 0


def _reset(pid: int) -> int:
    with suppress(OSError):
        if pid:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _peak(pid)


def _peak(pid: int) -> int:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    return 0


def here(seed: int, numbers: Iterable[int], told: Counter[str]) -> Iterator[Found]:
    """Mutants of files read in this process: what is read keeps the contract of `Picture`, else it is an ImageError."""
    for number in numbers:
        name, data = mutant(seed, number)
        what = ""
        try:
            pixels = read(data).pixels
            told["read"] += 1
            if pixels.dtype != np.float32 or pixels.ndim != 2 or not (pixels.min() >= 0 and pixels.max() <= 1):
                what = f"{pixels.dtype} {pixels.shape} from {pixels.min()} to {pixels.max()}"
        except ImageError as error:
            told[error.code] += 1
            what = "" if error.code in STATUS else f"code {error.code}"
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
        if what:
            yield Found(seed, number, name, what)


def _sent(service: Service, number: int, data: bytes, told: Counter[str]) -> str:
    """Send one mutant, every other a whole request; what was wrong with that."""
    started = time.monotonic()
    with Memory(service) as memory:
        try:
            if number % 2:
                replies = service.send(Wire([data], shut=True), 2 * _LATE)
            elif number % 4:
                replies = [service.send_files("/batch_predict", [data])]
            else:
                replies = [service.ask("POST", "/predict", data)]
        except TimeoutError:
            return "no answer"
    service.heard.clear()
    told.update(reply.code for reply in replies)
    for reply in replies:
        if reply.status >= 500 and reply.status not in (501, 503, 504):
            return f"status {reply.status} {reply.code}"
    if time.monotonic() - started > _LATE:
        return f"{time.monotonic() - started:.1f} s"
    return f"{memory.grown >> 20} MiB" if memory.grown > CAP << 20 else ""


def through_service(seed: int, numbers: Iterable[int], told: Counter[str], service: Service) -> Iterator[Found]:
    """Mutants of files in forms and bodies, and of whole requests, sent to a service at work."""
    workers, number = service.workers(), 0
    for number in numbers:
        whole = number % 2 == 1
        name, data = mutant(seed, number, "requests" if whole else "files")
        what = _sent(service, number, data, told)
        if not service.alive or (number % 50 == 0 and workers - service.workers()):
            what, workers = "a process that answers has died", service.workers()
        if what:
            yield Found(seed, number, name, what)
    ready = service.ask("GET", "/readyz")
    if ready.status != 200:
        yield Found(seed, number, "the end", f"not ready: {ready.code}")
    for line in service.log.read_text("utf-8", "replace").splitlines():
        if '"event": "fault"' in line or "Traceback" in line:
            yield Found(seed, number, "the log", line[:300])


@contextmanager
def _under(asked: argparse.Namespace) -> Iterator[Callable[[int, Iterable[int], Counter[str]], Iterator[Found]]]:
    if asked.bundle is None:
        yield here if asked.here else through_decoders
        return
    with tempfile.TemporaryDirectory() as folder, Service(asked.bundle, Path(folder)) as service:
        yield lambda seed, numbers, told: through_service(seed, numbers, told, service)


def _write(folder: Path, seed: int, number: int, served: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = mutant(seed, number, "requests" if served and number % 2 else "files")[1]
    (folder / f"{seed}-{number}").write_bytes(data)


def main() -> int:
    """Fuzz and say what was found; exit code 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bundle", type=Path, help="through a service of this bundle")
    parser.add_argument("--here", action="store_true", help="read in this process")
    parser.add_argument("--only", type=int, help="write this mutant to --out and do nothing else")
    parser.add_argument("--out", type=Path, help="folder for what is found")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    asked = parser.parse_args()
    numbers, told, found = range(asked.first, asked.first + asked.mutations), Counter[str](), 0
    started = time.monotonic()
    if asked.only is not None:
        if asked.out is None:
            parser.error("--only needs --out")
        _write(asked.out, asked.seed, asked.only, asked.bundle is not None)
        return 0
    with _under(asked) as fuzz:
        for one in fuzz(asked.seed, takewhile(lambda _: time.monotonic() - started < asked.seconds, numbers), told):
            found += 1
            print(f"seed {one.seed}, mutant {one.number} of {one.parent}: {one.what}", flush=True)
            if asked.out is not None:
                _write(asked.out, one.seed, one.number, asked.bundle is not None)
    told_ = ", ".join(f"{code} {count}" for code, count in told.most_common())
    print(f"{told.total()} mutants, {found} findings, {time.monotonic() - started:.0f} s: {told_}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
