"""Trackers at work: what a run tells them, and the promise that none of them stops it or slows it down.

Each tracker lives on a thread of its own behind a bounded queue. One that raises, falls too far behind or does not
come to an end is told once and dropped; the run goes on. `jsonl` always writes.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from types import ModuleType, TracebackType
from typing import Any, Self

from laennec import family, progress
from laennec.bundle import Bundle
from laennec.results import Epoch, Report
from laennec.trackers import Run, Tracker

ALWAYS = "jsonl"
WAIT = 60.0  # seconds that all trackers together get to finish what is left at the end
_BEHIND = 256  # events a tracker may lag


def start(names: Iterable[str], run: Run, wait: float = WAIT) -> Trackers:
    """Start the trackers `names`, and `jsonl`, on `run`.

    Args:
        names: members of the family of trackers.
        run: what they write down.
        wait: seconds that `close` waits for them at most.

    Raises:
        UnknownName: there is no such tracker.
        MissingExtra: its library is not installed.
    """
    members = {name: family.member("trackers", name) for name in dict.fromkeys((ALWAYS, *names))}
    for member in members.values():
        member.ready()
    return Trackers([_Worker(name, member, run) for name, member in members.items()], wait)


class Trackers:
    """All trackers of a run. Nothing it does raises or waits, but for `close`, which waits a stated time at most.

    As a context manager it closes itself, and says by the way the block ended whether the run went well.
    """

    def __init__(self, workers: list[_Worker], wait: float) -> None:
        self._workers, self._wait = workers, wait

    def epoch(self, entry: Epoch, step: int) -> None:
        """An epoch is over; `step` counts the epochs of all phases from 1."""
        self._tell("epoch", entry, step)

    def report(self, report: Report) -> None:
        """The model was judged on a part, and the report's files are written."""
        self._tell("report", report)

    def bundle(self, bundle: Bundle) -> None:
        """The bundle is sealed."""
        self._tell("bundle", bundle)

    def close(self, ok: bool = True) -> None:
        """Let the trackers finish; one that does not is told and left behind. A second call does nothing."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.ask("close", ok)
        until = time.monotonic() + self._wait
        for worker in workers:
            worker.join(max(0.0, until - time.monotonic()), self._wait)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close(ok=kind is None)

    def _tell(self, what: str, *given: Any) -> None:
        for worker in self._workers:
            worker.ask(what, *given)


class _Worker:
    """One tracker on its thread."""

    def __init__(self, name: str, member: ModuleType, run: Run) -> None:
        self.name, self._member, self._run = name, member, run
        self._events: queue.Queue[tuple[str, tuple[Any, ...]]] = queue.Queue(_BEHIND)
        self._lock, self._dropped = threading.Lock(), False
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def ask(self, what: str, *given: Any) -> None:
        if not self._dropped:
            try:
                self._events.put_nowait((what, given))
            except queue.Full:
                self._drop(f"is more than {_BEHIND} events behind")

    def join(self, seconds: float, stated: float) -> None:
        if not self._dropped:
            self._thread.join(seconds)
            if self._thread.is_alive():
                self._drop(f"did not finish within {stated:g} s")

    def _work(self) -> None:
        tracker: Tracker | None = None
        try:
            tracker = self._member.start(self._run)
            what = ""
            while what != "close" and not self._dropped:
                what, given = self._events.get()
                getattr(tracker, what)(*given)
        except BaseException as error:  # an exit that a tracker asks for is no reason to end a training either
            self._drop(f"failed: {_words(error)}")
            if tracker is not None:
                with suppress(BaseException):
                    tracker.close(ok=False)

    def _drop(self, why: str) -> None:
        """Give the tracker up, and say so once."""
        with self._lock:
            told, self._dropped = self._dropped, True
        if not told:
            progress.say(f"warning: the tracker '{self.name}' {why}; the run goes on without it")


def _words(error: BaseException) -> str:
    """An error in one short line, without the password an address may hold."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return re.sub(r"//[^/@\s]+@", "//…@", line)[:200]
