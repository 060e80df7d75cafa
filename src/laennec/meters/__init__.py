"""The family of meters: what tells the energy that a piece of work used.

A member is a module with:

    KIND      ``measured`` by counters of the hardware, or ``modelled`` from what ran; a reading may say otherwise
              where a meter turns out to do the other
    SLOW      whether starting takes seconds; such meters start before the others and stop after them, so that what
              they do to get going is in nobody's figure
    missing   ``missing() -> str``: empty where the meter can run; else why not, in words. Quick, loads nothing heavy
    start     ``start() -> Running``: begins. `Running.stop` ends and gives one reading for each device

A meter may fail as it likes: `laennec.metering` drops it with one line, and the work goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, Protocol

from laennec.costs import EnergyReading


class Running(Protocol):
    """A meter under way."""

    def stop(self) -> tuple[EnergyReading, ...]:
        """End, and give one reading for each device; empty only if nothing could be read. Called once."""


class MeterMember(Protocol):
    """What every member of the family offers."""

    KIND: Literal["measured", "modelled"]
    SLOW: bool

    def missing(self) -> str:
        """Why the meter cannot run here, in words; empty where it can."""

    def start(self) -> Running:
        """Begin."""


class Sampler:
    """Calls `sample` every `seconds` on a thread of its own, and once more when stopped.

    An error of `sample` ends the sampling and is raised by `stop`.
    """

    def __init__(self, sample: Callable[[], None], seconds: float) -> None:
        self._sample, self._seconds = sample, seconds
        self._over = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="meter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take the last sample."""
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            while not self._over.wait(self._seconds):
                self._sample()
            self._sample()
        except Exception as error:  # told where the meter is stopped
            self._error = error
