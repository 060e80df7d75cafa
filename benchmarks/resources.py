"""What the processes of a service hold: memory, descriptors, threads, temporary files. Linux, from ``/proc``."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
SHARED = Path("/dev/shm")  # noqa: S108


@dataclass(frozen=True)
class Held:
    """What a process and all that descend from it hold at one moment.

    Attributes:
        pss: MB of memory, pages that several share divided among them (``Pss`` of ``smaps_rollup``).
        rss: MB of memory, shared pages counted in each.
        processes, descriptors, threads: how many.
        files: names in the temporary folder and of shared memory segments.
    """

    pss: float
    rss: float
    processes: int
    descriptors: int
    threads: int
    files: frozenset[str]


def running() -> Iterator[tuple[int, int, int]]:
    """Process, parent and session of everything that runs."""
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            try:
                text = (folder / "stat").read_text()
            except OSError:  # it ended meanwhile
                continue
            state, parent, _, session = text.rpartition(")")[2].split()[:4]
            if state not in "ZX":
                yield int(folder.name), int(parent), int(session)


def tree(root: int) -> list[int]:
    """`root`, its descendants and whatever else is left in its session, ascending."""
    stats = list(running())
    found = {number for number, _, session in stats if root in (number, session)}
    while True:
        more = {number for number, parent, _ in stats if parent in found} - found
        if not more:
            return sorted(found)
        found |= more


def command(process: int) -> str:
    """How it was called; empty where it is gone."""
    try:
        return (PROC / str(process) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _kilobytes(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def files(temporary: Path, own: Collection[int]) -> frozenset[str]:
    """Everything below the temporary folder, and shared memory segments of this user that no process but `own` maps."""
    found = {str(path.relative_to(temporary)) for path in temporary.rglob("*")}
    segments = set(SHARED.iterdir()) if SHARED.is_dir() else set[Path]()
    if segments:
        for number in {number for number, _, _ in running()} - set(own):
            try:
                mapped = (PROC / str(number) / "maps").read_text()
            except OSError:  # it ended meanwhile, or is another's
                continue
            segments = {path for path in segments if str(path) not in mapped}
    for path in segments:
        try:
            if path.stat().st_uid == os.getuid():
                found.add(f"shared memory {path.name}")
        except OSError:  # it is gone
            continue
    return frozenset(found)


def held(root: int, temporary: Path | None = None) -> Held:
    """What `root` and its descendants hold now; of files only if given the folder that their ``TMPDIR`` names."""
    pss = rss = descriptors = threads = processes = 0
    own = tree(root)
    for number in own:
        folder = PROC / str(number)
        try:
            open_now = len(list((folder / "fd").iterdir()))
            active = _kilobytes(folder / "status", "Threads")
            resident = _kilobytes(folder / "status", "VmRSS")
            rollup = folder / "smaps_rollup"
            share = _kilobytes(rollup, "Pss") if rollup.exists() else resident
        except OSError:  # it ended meanwhile
            continue
        pss, rss, processes = pss + share, rss + resident, processes + 1
        descriptors, threads = descriptors + open_now, threads + active
    found = files(temporary, own) if temporary else frozenset[str]()
    return Held(pss / 1024, rss / 1024, processes, descriptors, threads, found)


class Watch(threading.Thread):
    """Memory of a process and its descendants, looked at every `seconds`, as long as the ``with`` lasts."""

    def __init__(self, root: int, seconds: float = 2.0) -> None:
        super().__init__(daemon=True)
        self.root, self.seconds, self.samples, self._over = root, seconds, list[float](), threading.Event()

    def run(self) -> None:
        """Look, wait, look again."""
        while True:
            self.samples.append(held(self.root).pss)
            if self._over.wait(self.seconds):
                return

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    @property
    def most(self) -> float:
        """The largest sample, MB."""
        return max(self.samples, default=0.0)
