"""The library codecarbon, offline and for this process alone; measured where it reads counters, else its own model.

Without counters codecarbon multiplies the share of all threads that were busy by a power: the processor's rated one,
or 4 W a thread where it does not know the processor; memory is watts by the number of modules it supposes, at least
two of 5 W. Those figures are modelled and are labelled so. What it says of CO2e is not used: `laennec.grids` holds
one table for all meters.

Error 40 %, as claimed by Fischer, Ground-Truthing AI Energy Consumption (arXiv 2509.22092, 2025), who compared it
with external measurements: "errors of up to 40%". With counters, Jay et al. (CCGrid 2023) saw it tell nearly twice
what other tools read from the same ones (codecarbon's issue 788). Issue 477 says how it guesses without.

It looks for hardware for 5 to 7 s when it starts, before it begins to count.
"""

from __future__ import annotations

import importlib.util
import logging
import time
from importlib.metadata import version
from typing import Any, Literal

from laennec.costs import Component, EnergyReading
from laennec.errors import LaennecError

KIND: Literal["modelled"] = "modelled"
SLOW = True
ERROR = 0.40
EVERY = 5.0  # seconds between its samples

_JOULES_PER_KILOWATT_HOUR = 3.6e6
_COUNTERS = {"Intel Rapl": "RAPL", "Intel Power Gadget": "Power Gadget", "Windows Emi": "Windows' energy meter"}


def missing() -> str:
    """Whether the library is not installed."""
    found = importlib.util.find_spec("codecarbon") is not None
    return "" if found else 'codecarbon is not installed: pip install "laennec[energy]"'


def start() -> Tracker:
    """Begin, after some seconds."""
    return Tracker()


class Tracker:
    """codecarbon at work; nothing is written, sent or printed.

    Raises:
        LaennecError: it did not start.
    """

    def __init__(self) -> None:
        from codecarbon import OfflineEmissionsTracker

        logging.getLogger("codecarbon").setLevel(logging.ERROR)
        # Each way out is closed by name: codecarbon's own settings, in files and the environment, could open them. The
        # country and the token decide over its CO2e alone, which nobody reads here.
        self._tracker = OfflineEmissionsTracker(
            country_iso_code="FRA",
            electricitymaps_api_token="",
            tracking_mode="process",
            measure_power_secs=EVERY,
            log_level="error",
            output_methods=[],
            output_handlers=[],
            emissions_endpoint=None,
            allow_multiple_runs=True,
            pue=1.0,
        )
        self._tracker.start()
        if getattr(self._tracker, "_start_time", 0) is None:
            raise LaennecError("codecarbon did not start", "try it alone, with CODECARBON_LOG_LEVEL=debug")
        self._from = time.perf_counter()

    def stop(self) -> tuple[EnergyReading, ...]:
        """Readings for the processor, the memory and, if there are any, the GPUs together."""
        seconds = time.perf_counter() - self._from
        self._tracker.stop()
        told = getattr(self._tracker, "final_emissions_data", None)
        if told is None:
            return ()
        counter = self._counter()
        processor = f"{counter}, whole machine" if counter else f"its model, {told.cpu_count} threads"
        readings = [
            self._reading("processor", "processor", processor, told.cpu_energy, seconds, measured=bool(counter)),
            self._reading("memory", "memory", "its model", told.ram_energy, seconds, measured=False),
        ]
        if told.gpu_count:
            readings.append(
                self._reading("gpu", "all GPUs", "NVML or AMD SMI", told.gpu_energy, seconds, measured=True)
            )
        return tuple(readings)

    def _counter(self) -> str:
        """The name of the processor's counter that codecarbon reads, or empty; it tells it in no public way."""
        shown = [repr(hardware) for hardware in getattr(self._tracker, "_hardware", [])]
        return next((name for mark, name in _COUNTERS.items() if f"CPU({mark})" in shown), "")

    @staticmethod
    def _reading(
        covers: Component, device: str, how: str, kilowatt_hours: Any, seconds: float, measured: bool
    ) -> EnergyReading:
        return EnergyReading(
            meter="codecarbon",
            kind="measured" if measured else "modelled",
            covers=covers,
            device=device,
            method=f"codecarbon {version('codecarbon')}, offline, process mode: {how}",
            error=ERROR,
            joules=float(kilowatt_hours) * _JOULES_PER_KILOWATT_HOUR,
            seconds=seconds,
        )
