"""A model that needs nothing: processor time of this process and its children times watts, and resident memory.

    joules = WATTS_PER_THREAD x processor seconds  +  WATTS_PER_GIGABYTE x gigabytes x seconds

It answers for this work alone, not for the machine's idle draw or for its other work.

Watts per busy thread: 4. Rated power over threads of common processors runs from 1.9 W (EPYC 9654, 2022: 360 W, 192
threads) over 3.1 (Xeon 8480+, 2023: 350 W, 112), 3.5 (laptop Core i7-1165G7, 2020: 28 W, 8) and 4.3 (Xeon E5-2680 v4,
2016: 120 W, 28) to 6.6 (desktop Ryzen 7 5800X, 2020: 105 W, 16). Cloud Carbon Footprint (2023) takes 3.5 to 4.3 W for
a busy virtual processor of AWS, Azure and Google, out of SPECpower; codecarbon (3.3) takes 4 W where it does not know
the processor. Error 75 %: 1 to 7 W. One thread that runs alone at full turbo may draw more.

Watts per gigabyte: 0.392, the mean of Crucial's 0.375 and Micron's 0.408, as in Cloud Carbon Footprint (2023). Error
75 %: memory draws about as much whether it is filled or not, and whose the empty part is, is a matter of opinion.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Literal

from laennec.costs import EnergyReading
from laennec.meters import Sampler

KIND: Literal["modelled"] = "modelled"
SLOW = False
WATTS_PER_THREAD = 4.0
WATTS_PER_GIGABYTE = 0.392
ERROR = 0.75
EVERY = 5.0  # seconds between looks at the memory

_GIGA = 1e9
_PROC = Path("/proc")


def joules(cpu_seconds: float, wall_seconds: float, gigabytes: float) -> float:
    """Energy of `cpu_seconds` of busy threads and of `gigabytes` (10^9 bytes) resident over `wall_seconds`."""
    return WATTS_PER_THREAD * cpu_seconds + WATTS_PER_GIGABYTE * gigabytes * wall_seconds


def missing() -> str:
    """Nothing ever is."""
    return ""


def start() -> Work:
    """Begin to count."""
    return Work()


class Work:
    """Processor time and memory of this process and its descendants, from now on."""

    def __init__(self, every: float = EVERY) -> None:
        self._gigabytes: list[float] = []
        self._look()
        self._cpu = cpu_seconds()
        self._from = time.perf_counter()
        self._sampler = Sampler(self._look, every)

    def stop(self) -> tuple[EnergyReading, ...]:
        """One reading for the threads and, where the system tells it, one for the memory."""
        cpu = max(0.0, cpu_seconds() - self._cpu)
        seconds = time.perf_counter() - self._from
        self._sampler.stop()
        gigabytes = sum(self._gigabytes) / len(self._gigabytes)
        threads = EnergyReading(
            meter="processor",
            kind=KIND,
            covers="processor",
            device="threads at work",
            method=f"{cpu:.4g} s of processor time x {WATTS_PER_THREAD:g} W (rated power over threads, see docs)",
            error=ERROR,
            joules=joules(cpu, seconds, 0.0),
            seconds=seconds,
        )
        if gigabytes == 0:
            return (threads,)
        memory = EnergyReading(
            meter="processor",
            kind=KIND,
            covers="memory",
            device="memory in use",
            method=f"{gigabytes:.3g} GB resident x {WATTS_PER_GIGABYTE:g} W (Cloud Carbon Footprint 2023)",
            error=ERROR,
            joules=joules(0.0, seconds, gigabytes),
            seconds=seconds,
        )
        return threads, memory

    def _look(self) -> None:
        self._gigabytes.append(resident_gigabytes())


def cpu_seconds() -> float:
    """Processor time of this process and its descendants so far, user and system.

    A child that was waited for is in the system's own account. One still alive is read from ``/proc``, on Linux; on
    other systems it counts once it was waited for. One whose parent died before it, or never waited, is lost.
    """
    alive = 0.0
    ticks = os.sysconf("SC_CLK_TCK") if _PROC.is_dir() else 1
    for child in _descendants():
        fields = _stat(child)
        alive += sum(int(x) for x in fields[11:15]) / ticks  # its own user and system time, and its waited children's
    waited = os.times()
    return alive + time.process_time() + waited.children_user + waited.children_system


def resident_gigabytes() -> float:
    """Memory that this process and its descendants hold, in 10^9 bytes; 0 where the system does not tell it.

    Linux tells it for each process, so what two share counts twice. Elsewhere on Unix it is this process's highest
    so far; on Windows nothing is told without a library.
    """
    if _PROC.is_dir():
        held = [_stat(process)[21:22] for process in (os.getpid(), *_descendants())]
        pages = sum(int(pages) for one in held for pages in one)
        return pages * os.sysconf("SC_PAGE_SIZE") / _GIGA
    if sys.platform == "win32":
        return 0.0
    import resource

    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest * (1 if sys.platform == "darwin" else 1024) / _GIGA


def _descendants() -> list[int]:
    """Process numbers of the children, their children and so on that are alive; none but on Linux."""
    if not _PROC.is_dir():
        return []
    parents: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, wave = [], [os.getpid()]
    while wave:
        wave = [child for parent in wave for child in parents.get(parent, [])]
        found += wave
    return found


def _stat(process: int) -> list[str]:
    """The fields of ``/proc/<n>/stat`` from the third (state) on; empty once the process is gone."""
    try:
        line = (_PROC / str(process) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return line.rpartition(")")[2].split()
