"""Progress with time left, on stderr: a bar on a terminal, a line now and then in a log, nothing when quiet.

Library code says ``with progress.track("decoding", total) as step`` and ``step.advance()``; what a person sees is
decided here alone.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_LINE_EVERY = 15.0  # seconds between lines when stderr is not a terminal


class Step(Protocol):
    """One piece of long work under way."""

    def advance(self, n: int = 1) -> None:
        """`n` more units are done."""

    def note(self, text: str) -> None:
        """Show `text` beside the bar (the current loss, say)."""


class _Silent:
    def advance(self, n: int = 1) -> None:
        return

    def note(self, text: str) -> None:
        return


class _Lines:
    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done, self.text = label, total, 0, ""
        self.start = self.last = time.monotonic()

    def advance(self, n: int = 1) -> None:
        self.done += n
        now = time.monotonic()
        if now - self.last >= _LINE_EVERY and self.done < self.total:
            self.last = now
            left = (now - self.start) / max(self.done, 1) * (self.total - self.done)
            sys.stderr.write(f"{self.label}: {self.done}/{self.total}, {clock(left)} left {self.text}\n")
            sys.stderr.flush()

    def note(self, text: str) -> None:
        self.text = text

    def end(self) -> None:
        seconds = time.monotonic() - self.start
        if seconds >= 1:
            sys.stderr.write(f"{self.label}: {self.done}/{self.total} in {clock(seconds)} {self.text}\n")
            sys.stderr.flush()


def clock(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def say(text: str) -> None:
    """One line to the person, on stderr; nothing when ``LAENNEC_QUIET`` is set."""
    if not os.environ.get("LAENNEC_QUIET"):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


@contextmanager
def track(label: str, total: int) -> Iterator[Step]:
    """Show `total` units of work under `label` until the block ends."""
    if os.environ.get("LAENNEC_QUIET"):
        yield _Silent()
    elif sys.stderr.isatty():
        with _bar(label, total) as step:
            yield step
    else:
        lines = _Lines(label, total)
        try:
            yield lines
        finally:
            lines.end()


@contextmanager
def _bar(label: str, total: int) -> Iterator[Step]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(label, total=total, note="")

        class Bar:
            def advance(self, n: int = 1) -> None:
                bars.advance(task, n)

            def note(self, text: str) -> None:
                bars.update(task, note=text)

        yield Bar()
