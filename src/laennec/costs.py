"""What a model costs: operations, size, time, memory, energy. Nouns only; `laennec.costing` measures them.

Every figure of energy says whether it was measured or modelled, by which meter, and how far off it may be.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from laennec.noun import Noun

JOULES_PER_WATT_HOUR = 3600.0
LETTERS = "ABCDEFG"

Component = Literal["processor", "memory", "gpu"]


class EnergyReading(Noun):
    """Energy that one device used over a stretch of time, as one meter tells it.

    Attributes:
        meter: the member of the family of meters.
        kind: ``measured`` by a counter of the hardware, or ``modelled`` from what ran.
        covers: the component of the machine. Readings of one component by several meters are never added up.
        device: what the figure is of, for example ``processor packages``, ``threads at work``, ``GPU 0``.
        method: how the figure came about, with its constants and their source, in one line.
        error: relative half-width that the method is known or believed to be off by, 0.3 for ±30 %.
        joules, seconds: energy over the stretch, and its length.
    """

    meter: str
    kind: Literal["measured", "modelled"]
    covers: Component
    device: str
    method: str
    error: float = Field(ge=0.0)
    joules: float = Field(ge=0.0)
    seconds: float = Field(ge=0.0)

    @property
    def watt_hours(self) -> float:
        """The energy in watt hours."""
        return self.joules / JOULES_PER_WATT_HOUR


class Grid(Noun):
    """Carbon intensity of the electricity of a place.

    Attributes:
        place: ISO 3166 code, or ``world``.
        intensity: grams of CO2 equivalent per kWh.
        year: the intensity is of.
        source: who published it.
    """

    place: str
    intensity: float = Field(ge=0.0)
    year: int
    source: str


class Consumption(Noun):
    """What a piece of work used: readings of all meters side by side, and the grid they are turned into CO2e by.

    Attributes:
        readings: one or more, by meter and device, measured before modelled. Several meters may read one component;
            `quoted` takes the first that does.
        grid: where the electricity came from.
    """

    readings: tuple[EnergyReading, ...] = Field(min_length=1)
    grid: Grid

    @property
    def quoted(self) -> tuple[EnergyReading, ...]:
        """The readings to quote: for each component, those of the first meter that read it."""
        first: dict[str, str] = {}
        return tuple(r for r in self.readings if first.setdefault(r.covers, r.meter) == r.meter)

    @property
    def kind(self) -> str:
        """How the figure to quote came about: ``measured``, ``modelled``, or ``measured and modelled``."""
        return " and ".join(sorted({reading.kind for reading in self.quoted}))

    @property
    def error(self) -> float:
        """Relative half-width of the figure to quote, as if all its readings erred the same way."""
        joules = sum(reading.joules for reading in self.quoted)
        if joules == 0:
            return max(reading.error for reading in self.quoted)
        return sum(reading.joules * reading.error for reading in self.quoted) / joules

    @property
    def watt_hours(self) -> float:
        """Watt hours by the readings to quote."""
        return sum(reading.watt_hours for reading in self.quoted)

    @property
    def grams(self) -> float:
        """Grams of CO2 equivalent by the readings to quote and the grid."""
        return self.watt_hours / 1000 * self.grid.intensity


def letter(watt_hours_per_1000: float) -> str:
    """The letter of a model on laennec's own scale, by the energy of 1,000 inferences without decoding the files.

    ``A`` up to 0.002 Wh; each letter after it allows four times as much: ``B`` 0.008, ``C`` 0.032, ``D`` 0.128,
    ``E`` 0.512, ``F`` 2.048, ``G`` above. It orders models judged on one machine by one meter; it is no label of any
    authority. A modelled figure's error can move it by a letter.

    Raises:
        ValueError: not a number, or below zero.
    """
    if not watt_hours_per_1000 >= 0:
        raise ValueError(f"energy cannot be {watt_hours_per_1000} Wh")
    return next((x for i, x in enumerate(LETTERS[:-1]) if watt_hours_per_1000 <= 0.002 * 4**i), LETTERS[-1])
