"""Meters at work: what a stretch of work used, and the promise that none of them breaks it.

    with meter("FR") as metered:
        ...
    metered.consumption.watt_hours

Meters that cannot run here are left out without a word, unless they were asked for by name. One that fails is told
once and dropped; the work goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from laennec import family, progress, storage
from laennec.costs import Consumption, EnergyReading, Grid
from laennec.errors import LaennecError, UsageError
from laennec.grids import grid as grid_of
from laennec.meters import MeterMember, Running

# codecarbon takes seconds to start; a GPU that does not do the work would be charged to it: both where asked for.
DEFAULT = ("rapl", "processor")


def meter(grid: str | None = None, names: Sequence[str] | None = None) -> Metered:
    """Meters ready to start: use it in ``with``, or call `Metered.start` and `Metered.stop`.

    Args:
        grid: the place whose electricity is used, see `laennec.grids.grid`.
        names: members of the family of meters; None takes what can run here of rapl and processor.

    Raises:
        UnknownName: there is no such grid, or no such meter.
        UsageError: a meter that was asked for by name cannot run here; the message says why.
    """
    place = grid_of(grid)
    members: dict[str, MeterMember] = {}
    for name in dict.fromkeys(DEFAULT if names is None else names):
        member: MeterMember = family.member("meters", name)
        why = member.missing()
        if not why:
            members[name] = member
        elif names is not None:
            raise UsageError(f"the meter '{name}' cannot run here: {why}", "leave it out, or mend that")
    return Metered(members, place)


class Metered:
    """A stretch of work under its meters.

    Attributes:
        consumption: what it used, once stopped; None before, and where no meter could read anything.
    """

    def __init__(self, members: dict[str, MeterMember], grid: Grid) -> None:
        self._members, self._grid = members, grid
        self._running: dict[str, Running] = {}
        self.consumption: Consumption | None = None

    def start(self) -> Self:
        """Start the meters, the slow ones first."""
        for name in sorted(self._members, key=lambda name: not self._members[name].SLOW):
            try:
                self._running[name] = self._members[name].start()
            except Exception as error:
                _told(name, error)
        return self

    def stop(self) -> Consumption | None:
        """Stop the meters, the slow ones last; a second call changes nothing."""
        running, self._running = self._running, {}
        read: dict[str, tuple[EnergyReading, ...]] = {}
        for name, meter in reversed(running.items()):
            try:
                read[name] = meter.stop()
                if not read[name]:
                    _told(name, "it read nothing")
            except Exception as error:
                _told(name, error)
        if any(read.values()):
            readings = (reading for name in self._members for reading in read.get(name, ()))
            self.consumption = Consumption(readings=_ordered(readings), grid=self._grid)
        return self.consumption

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


class Ledger:
    """What a work used that may be cut and gone on with: noted in a file as it goes.

    A stretch that a kill cut short is lost since the last note; what is done again after it counts again, as it was
    used again.
    """

    def __init__(self, path: Path, gpu: bool = False) -> None:
        self._path = path
        self._names = (
            [name for name in (*DEFAULT, "nvml") if not family.member("meters", name).missing()] if gpu else None
        )
        self._parts: list[Consumption] = []
        if path.is_file():
            with suppress(LaennecError, ValidationError):  # damaged by a cut: what it held is lost
                self._parts = [Consumption.model_validate(storage.read_json(path))]
        self._metered = meter(names=self._names).start()

    def note(self) -> Consumption | None:
        """Write down what was used so far, and go on; None where no meter could read anything."""
        used = self._metered.stop()
        self._parts += [used] if used is not None else []
        if not self._parts:
            return None
        self._parts = [combined(self._parts)]
        storage.write_json(self._path, self._parts[0].model_dump(mode="json"))
        self._metered = meter(names=self._names).start()
        return self._parts[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._metered.stop()


def combined(parts: Sequence[Consumption]) -> Consumption:
    """What successive stretches of one piece of work used together: a training that was resumed, phases.

    Readings are added up by meter and device. One that some stretch lacks is left out where another meter read the
    same component in every stretch, and the readings that stay say so: a sum of half the work would mislead. Where
    no meter did, as for a GPU that only one stretch had, it is kept and says how many stretches it read. A device that
    was measured here and modelled there is modelled. Errors are weighted by energy, as if they all went the same way.
    Stretches on several grids have the mean intensity, weighted by energy.

    Raises:
        ValueError: no parts.
    """
    if not parts:
        raise ValueError("nothing to combine: expected one consumption or more")
    if len(parts) == 1:
        return parts[0]
    found: dict[tuple[str, str], list[EnergyReading]] = {}
    for part in parts:
        for reading in part.readings:
            found.setdefault((reading.meter, reading.device), []).append(reading)
    whole = {readings[0].covers for readings in found.values() if len(readings) == len(parts)}
    kept: list[list[EnergyReading]] = []
    left: list[list[EnergyReading]] = []
    for readings in found.values():
        partial = len(readings) < len(parts) and readings[0].covers in whole
        (left if partial else kept).append(readings)
    sums = (_sum(readings, [r for r in left if r[0].covers == readings[0].covers], len(parts)) for readings in kept)
    return Consumption(readings=_ordered(sums), grid=_mean_grid(parts))


def _sum(readings: list[EnergyReading], left: list[list[EnergyReading]], stretches: int) -> EnergyReading:
    """One device's readings added up; the method tells of the meters `left` out for the same component."""
    methods = list(dict.fromkeys(reading.method for reading in readings))
    method = methods[0] if len(methods) == 1 else f"{methods[0]}; and {len(methods) - 1} more like it"
    if len(readings) < stretches:
        method += f"; read in {len(readings)} of {stretches} stretches"
    for other in left:
        method += f"; {other[0].meter} left out, it read {len(other)} of {stretches} stretches"
    joules = sum(reading.joules for reading in readings)
    error = max(reading.error for reading in readings)
    if joules > 0:
        error = sum(reading.joules * reading.error for reading in readings) / joules
    changes = {
        "kind": "measured" if all(reading.kind == "measured" for reading in readings) else "modelled",
        "method": method,
        "error": error,
        "joules": joules,
        "seconds": sum(reading.seconds for reading in readings),
    }
    return EnergyReading.model_validate(readings[0].model_dump() | changes)


def _mean_grid(parts: Sequence[Consumption]) -> Grid:
    grids = list(dict.fromkeys(part.grid for part in parts))
    total = sum(part.watt_hours for part in parts)
    if len(grids) == 1:
        return grids[0]
    weights = [part.watt_hours / total if total > 0 else 1 / len(parts) for part in parts]
    return Grid(
        place=" and ".join(grid.place for grid in grids),
        intensity=sum(weight * part.grid.intensity for weight, part in zip(weights, parts, strict=True)),
        year=min(grid.year for grid in grids),
        source="mean weighted by energy; " + "; ".join(dict.fromkeys(grid.source for grid in grids)),
    )


def _ordered(readings: Iterable[EnergyReading]) -> tuple[EnergyReading, ...]:
    """Measured before modelled; otherwise as they come."""
    return tuple(sorted(readings, key=lambda reading: reading.kind != "measured"))


def _told(name: str, why: object) -> None:
    words = next(iter(str(why).splitlines()), "") or type(why).__name__
    progress.say(f"warning: the meter '{name}' failed: {words[:200]}; the work goes on without it")
