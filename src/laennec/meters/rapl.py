"""Counters of the processor packages and their memory, by Linux powercap; they cover the whole machine.

Intel calls them RAPL (running average power limit); AMD's are served under the same names. Packages and memory are
read. The platform domain (``psys``) is not: what it covers is up to the maker of the board, so it compares with no
other machine, and it holds the packages a second time.

Error, as we believe it; the makers state none: 15 % for packages, 20 % for memory. Khan et al., RAPL in Action (2018)
find readings "highly correlated with plug power"; Desrochers et al. (2016) find memory off by a constant that differs
between systems. Fahad et al. (2019) find the work's own share, over idle, much further off (up to 73 % on average):
whole runs of minutes compare well, small differences between runs do not.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

from laennec.costs import Component, EnergyReading
from laennec.meters import Sampler

KIND: Literal["measured"] = "measured"
SLOW = False
ROOT = Path("/sys/class/powercap")
EVERY = 20.0  # seconds; the smallest range in use, 65 kJ, lasts a package of 400 W for 160 s

_BETWEEN_READS = 1_000_000  # microjoules; what a package uses at most between two reads a few milliseconds apart
_DEVICES: dict[Component, tuple[str, float]] = {
    "processor": ("processor packages", 0.15),
    "memory": ("memory (DRAM)", 0.20),
}


def missing() -> str:
    """Why there is nothing to read."""
    return missing_under(ROOT)


def start() -> Counters:
    """Begin to count."""
    return Counters(ROOT)


def missing_under(root: Path) -> str:
    """`missing` for the powercap tree at `root`."""
    found = _zones(root)
    if not any(covers == "processor" for _, covers in found):
        return f"no processor package under {root}: not Linux on bare metal, or its driver intel_rapl is not loaded"
    closed = [zone for zone, _ in found if not os.access(zone / "energy_uj", os.R_OK)]
    if closed:
        return f"{closed[0] / 'energy_uj'} may be read by root alone (since CVE-2020-8694); ask who runs the machine"
    return ""


class Counters:
    """All counters of the tree at `root` from now on.

    Raises:
        OSError: a counter cannot be read.
    """

    def __init__(self, root: Path, every: float = EVERY) -> None:
        self._counters: list[_Counter] = []
        for zone, covers in _zones(root):
            counter = _Counter(zone, covers)
            if not any(counter.mirrors(other) for other in self._counters):
                self._counters.append(counter)
        self._from = time.perf_counter()
        self._sampler = Sampler(self._sample, every)

    def stop(self) -> tuple[EnergyReading, ...]:
        """One reading for all packages and one for all memory.

        A device is left out where one of its counters vanished or never moved: a part of the sum would mislead.
        """
        self._sampler.stop()
        seconds = time.perf_counter() - self._from
        readings = []
        for covers, (device, error) in _DEVICES.items():
            counters = [c for c in self._counters if c.covers == covers]
            if counters and all(c.microjoules for c in counters):
                names = ", ".join(c.name for c in counters)
                readings.append(
                    EnergyReading(
                        meter="rapl",
                        kind=KIND,
                        covers=covers,
                        device=device,
                        method=f"RAPL counters by Linux powercap ({names}), whole machine",
                        error=error,
                        joules=sum(c.microjoules or 0 for c in counters) / 1e6,
                        seconds=seconds,
                    )
                )
        return tuple(readings)

    def _sample(self) -> None:
        for counter in self._counters:
            counter.sample()


class _Counter:
    """One counter; `microjoules` since it was opened, or None once it could not be read."""

    def __init__(self, zone: Path, covers: Component) -> None:
        self.name, self.covers = _read(zone / "name"), covers
        self._path = zone / "energy_uj"
        self._range = int(_read(zone / "max_energy_range_uj"))
        self._last = int(_read(self._path))
        self.microjoules: int | None = 0

    def mirrors(self, other: _Counter) -> bool:
        """Whether it shows the same count: some processors of several dies show one counter for each of them."""
        same = self.covers == other.covers and self._last > 0
        return same and abs(self._last - other._last) < _BETWEEN_READS

    def sample(self) -> None:
        if self.microjoules is None:
            return
        try:
            now = int(_read(self._path))
        except (OSError, ValueError):
            self.microjoules = None
            return
        wrapped = self._range if now < self._last else 0
        self.microjoules += now - self._last + wrapped
        self._last = now


def _zones(root: Path) -> list[tuple[Path, Component]]:
    """The packages and the memory under `root`. ``intel-rapl-mmio`` shows the packages again and is left alone."""
    found: list[tuple[Path, Component]] = []
    for zone in sorted(root.glob("intel-rapl:*")):
        try:
            name = _read(zone / "name")
        except OSError:
            continue
        if name.startswith("package"):
            found.append((zone, "processor"))
        elif name == "dram":
            found.append((zone, "memory"))
    return found


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()
