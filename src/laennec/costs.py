"""What a model costs: operations, size, time, memory, energy. Nouns only; `laennec.costing` measures them.

Every figure of energy says whether it was measured or modelled, by which meter, and how far off it may be.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

JOULES_PER_WATT_HOUR = 3600.0


class _Noun(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EnergyReading(_Noun):
    """Energy that one device used over a stretch of time, as one meter tells it.

    Attributes:
        meter: the member of the family of meters.
        kind: ``measured`` by a counter of the hardware, or ``modelled`` from what ran.
        device: what the figure covers, for example ``processor packages``, ``processor and memory``, ``GPU 0``.
        method: how the figure came about, with its constants and their source, in one line.
        error: relative half-width that the method is known or believed to be off by, 0.3 for ±30 %.
        joules, seconds: energy over the stretch, and its length.
    """

    meter: str
    kind: Literal["measured", "modelled"]
    device: str
    method: str
    error: float = Field(ge=0.0)
    joules: float = Field(ge=0.0)
    seconds: float = Field(ge=0.0)

    @property
    def watt_hours(self) -> float:
        """The energy in watt hours."""
        return self.joules / JOULES_PER_WATT_HOUR


class Grid(_Noun):
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


class Consumption(_Noun):
    """What a piece of work used: readings of all meters side by side, and the grid they are turned into CO2e by.

    Attributes:
        readings: the one to quote first: measured before modelled. Readings of one kind cover the same work and are
            never added up, but for devices of different names by the same meter.
    """

    readings: tuple[EnergyReading, ...]
    grid: Grid

    @property
    def quoted(self) -> EnergyReading:
        """The reading to quote."""
        return self.readings[0]

    @property
    def watt_hours(self) -> float:
        """Watt hours by the reading to quote."""
        return self.quoted.watt_hours

    @property
    def grams(self) -> float:
        """Grams of CO2 equivalent by the reading to quote and the grid."""
        return self.watt_hours / 1000 * self.grid.intensity
