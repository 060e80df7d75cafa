"""Energy counters of NVIDIA GPUs, by the driver's library and nvidia-ml-py; boards with their memory.

From Volta on the driver keeps a counter of millijoules; elsewhere power is asked for ten times a second and summed.
The cards in ``CUDA_VISIBLE_DEVICES`` are read, all of them where it is not set. A card counts whoever works on it.

Error, as we believe it: 10 % by counter, 30 % by sampled power. NVIDIA states 5 % of the power drawn for Fermi and
Kepler and nothing since. Yang et al., Part-time Power Measurements (2024) find that A100 and H100 watch their power
for a quarter of the time only, so loads that come and go quickly are further off.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any, Literal

from laennec.costs import EnergyReading
from laennec.meters import Sampler

KIND: Literal["measured"] = "measured"
SLOW = False
EVERY = 0.1  # seconds between samples of power, where there is no counter
ERROR_COUNTED, ERROR_SAMPLED = 0.10, 0.30


def missing() -> str:
    """Whether the library, the driver or a card is not there."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return 'nvidia-ml-py is not installed: pip install "laennec[energy]"'
    try:
        pynvml.nvmlInit()
    except Exception as error:  # the library has one class of error for each way to fail
        return f"no NVIDIA driver answers ({error})"
    try:
        return "" if _cards(pynvml) else "no NVIDIA GPU, or none that CUDA_VISIBLE_DEVICES lets this process use"
    finally:
        pynvml.nvmlShutdown()


def start() -> Cards:
    """Begin to count on every card in use."""
    import pynvml

    return Cards(pynvml)


class Cards:
    """The cards in use, from now on."""

    def __init__(self, library: Any, every: float = EVERY) -> None:
        self._library = library
        library.nvmlInit()
        self._cards = [_Card(library, index, handle) for index, handle in _cards(library)]
        self._from = time.perf_counter()
        self._sampled = [card for card in self._cards if card.counter is None]
        self._sampler = Sampler(self._sample, every) if self._sampled else None

    def stop(self) -> tuple[EnergyReading, ...]:
        """One reading for each card that could be read at both ends."""
        try:
            if self._sampler is not None:
                self._sampler.stop()
            seconds = time.perf_counter() - self._from
            readings = []
            for card in self._cards:
                with suppress(self._library.NVMLError):
                    readings.append(card.reading(seconds))
            return tuple(readings)
        finally:
            self._library.nvmlShutdown()

    def _sample(self) -> None:
        for card in self._sampled:
            card.sample()


class _Card:
    def __init__(self, library: Any, index: int, handle: Any) -> None:
        self._library, self._index, self._handle = library, index, handle
        self.counter: int | None = None
        with suppress(library.NVMLError):
            self.counter = library.nvmlDeviceGetTotalEnergyConsumption(handle)
        self._joules = 0.0
        if self.counter is None:
            self._last = time.perf_counter(), self._watts()

    def sample(self) -> None:
        """Add the energy since the last sample, as if power had moved in a straight line."""
        (then, before), now, watts = self._last, time.perf_counter(), self._watts()
        self._joules += (watts + before) / 2 * (now - then)
        self._last = now, watts

    def reading(self, seconds: float) -> EnergyReading:
        counted = self.counter is not None
        if self.counter is not None:
            self._joules = (self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle) - self.counter) / 1000
        how = "the driver's energy counter" if counted else f"power sampled every {EVERY:g} s"
        return EnergyReading(
            meter="nvml",
            kind=KIND,
            covers="gpu",
            device=f"GPU {self._index}",
            method=f"NVML, {how} ({_text(self._library.nvmlDeviceGetName(self._handle))})",
            error=ERROR_COUNTED if counted else ERROR_SAMPLED,
            joules=self._joules,
            seconds=seconds,
        )

    def _watts(self) -> float:
        return float(self._library.nvmlDeviceGetPowerUsage(self._handle)) / 1000


def _cards(library: Any) -> list[tuple[int, Any]]:
    """The cards that this process may use: (index, handle).

    CUDA numbers the fastest card first unless ``CUDA_DEVICE_ORDER`` is ``PCI_BUS_ID``, NVML numbers by bus; where
    cards differ, name them by UUID.
    """
    every = [(i, library.nvmlDeviceGetHandleByIndex(i)) for i in range(library.nvmlDeviceGetCount())]
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return every
    chosen = [name.strip() for name in wanted.split(",") if name.strip()]
    return [
        (index, handle)
        for index, handle in every
        if any(
            name == str(index)
            or (name.startswith("GPU-") and _text(library.nvmlDeviceGetUUID(handle)).startswith(name))
            for name in chosen
        )
    ]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
