"""Time, energy and memory of sessions that answer: several in turns, so that a busy machine is unfair to none.

All times are of inference alone: the pixels are decoded before.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from laennec import family, metering, progress
from laennec.backends import Session
from laennec.bundle import open_bundle
from laennec.costs import Consumption
from laennec.runtime import start

STUDIES = 1000  # that a figure of energy is for
DISTURBED = "these timings are unreliable, another program is using this machine; repeat when idle"
_WARM_UP = 3
_CALM = 5  # the 95th percentile over the median, above which something else was running
_TRIES = 3
_STRETCHES = 4
_PAUSE = 0.05  # seconds in which the threads of the model before give up waiting for more work
_PATIENCE = 600
_STATUS = Path("/proc/self/status")


def timed(sessions: Sequence[Session], images: Sequence[np.ndarray], rounds: int) -> list[np.ndarray]:
    """Milliseconds ``[rounds]`` of each call, per session, in turns, after a warm-up.

    Args:
        sessions: what is timed.
        images: for each session the batch that it answers for, ``uint8 [n, 1, size, size]``.
        rounds: calls of each.
    """
    taken = np.zeros((len(sessions), rounds))
    with progress.track("timing", rounds * len(sessions)) as step:
        for session, batch in zip(sessions, images, strict=True):
            for _ in range(_WARM_UP):
                session.run(batch)
        for turn in range(rounds):
            for number, (session, batch) in enumerate(zip(sessions, images, strict=True)):
                started = time.perf_counter()
                session.run(batch)
                taken[number, turn] = 1000 * (time.perf_counter() - started)
                step.advance()
    return list(taken)


def single_image(sessions: Sequence[Session], images: Sequence[np.ndarray], rounds: int = 30) -> list[np.ndarray]:
    """Milliseconds ``[rounds]`` for the first of each session's images, in turns, after a warm-up."""
    return timed(sessions, [batch[:1] for batch in images], rounds)


def undisturbed(measure: Callable[[], list[np.ndarray]]) -> tuple[list[np.ndarray], bool]:
    """The times that `measure` gives, and whether the machine seemed to do nothing else.

    A 95th percentile of more than five medians tells of another program; then all is measured again, three times at
    most.
    """
    for _ in range(_TRIES):
        times = measure()
        if all(np.percentile(row, 95) <= _CALM * np.median(row) for row in times):
            return times, True
    return times, False


def energy(
    sessions: Sequence[Session],
    images: Sequence[np.ndarray],
    *,
    seconds: float = 1.0,
    grid: str | None = None,
    meters: Sequence[str] | None = None,
) -> list[Consumption | None]:
    """What each session uses for `STUDIES` images, batch after batch, decoded before; None where no meter could read.

    Every session works for at least `seconds` under its own meters, in stretches that take turns; with meters that
    are slow to start, in one. What meters read of a whole process (memory) or machine holds all sessions.

    Args:
        sessions: what is metered.
        images: for each session the batch that it answers for.
        seconds: of work for each.
        grid: the place whose electricity is used, see `laennec.grids.grid`.
        meters: members of the family of meters; None takes what can run here.

    Raises:
        UnknownName: there is no such grid, or no such meter.
        UsageError: a meter that was asked for by name cannot run here.
    """
    slow = any(family.member("meters", name).SLOW for name in meters or ())
    stretches = 1 if slow else _STRETCHES
    parts: list[list[Consumption | None]] = [[] for _ in sessions]
    answered = [0] * len(sessions)
    with progress.track("energy", stretches * len(sessions)) as step:
        for _ in range(stretches):
            for number, (session, batch) in enumerate(zip(sessions, images, strict=True)):
                time.sleep(_PAUSE)
                session.run(batch)
                metered = metering.meter(grid, meters)
                with metered:
                    answered[number] += len(batch) * _work(session, batch, seconds / stretches)
                parts[number].append(metered.consumption)
                step.advance()
    return [_of_studies(stretch, images) for stretch, images in zip(parts, answered, strict=True)]


def _work(session: Session, batch: np.ndarray, seconds: float) -> int:
    """Calls until `seconds` are over, one at least."""
    until, calls = time.perf_counter() + seconds, 0
    while calls == 0 or time.perf_counter() < until:
        session.run(batch)
        calls += 1
    return calls


def _of_studies(stretches: Sequence[Consumption | None], answered: int) -> Consumption | None:
    """Of `STUDIES`, from stretches in which so many images were answered for."""
    read = [stretch for stretch in stretches if stretch is not None]
    if len(read) < len(stretches) or not read:
        return None
    return metering.combined(read).scaled(STUDIES / answered)


def peak_megabytes(bundle: Path, threads: int = 0) -> float | None:
    """The most memory, 10^6 bytes, that a fresh process holds until `bundle` has answered for one image.

    The whole process counts, Python and the runtime's libraries included. None where the process failed, or the system
    does not tell.
    """
    root = str(Path(__file__).parents[1])
    beside = os.environ.get("PYTHONPATH")
    try:
        done = subprocess.run(  # noqa: S603  our own module
            [sys.executable, "-P", "-m", "laennec.measuring", str(bundle), str(threads)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([root, beside] if beside else [root])},
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
        return float(done.stdout.split()[-1]) or None
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None


def _most_held() -> float:
    """The most memory this process has held, 10^6 bytes; 0 where the system does not tell."""
    # Linux hands a process's record on to what it starts, so rusage would tell of the parent; the status does not.
    if _STATUS.is_file():
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
        kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), "0")
        return int(kilobytes) * 1024 / 1e6
    if sys.platform == "win32":
        return 0.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def _answer(path: str, threads: str) -> None:
    bundle = open_bundle(path)
    size = bundle.card.preprocess.size
    start(bundle, int(threads)).run(np.zeros((1, 1, size, size), np.uint8))
    print(_most_held())


if __name__ == "__main__":
    _answer(*sys.argv[1:])
