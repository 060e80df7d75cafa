"""What a model costs: operations, size, time, memory, energy. Nouns only; `laennec.costing` measures them.

Every figure of energy says whether it was measured or modelled, by which meter, and how far off it may be.
"""

from __future__ import annotations

from typing import Any, Literal

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

    def scaled(self, factor: float) -> EnergyReading:
        """The reading of `factor` times as much of the same work; `method` says so.

        Raises:
            ValueError: the factor is not above zero.
        """
        if not factor > 0:
            raise ValueError(f"work cannot be scaled by {factor}: expected a number above 0")
        changes = {
            "method": f"{self.method}; times {factor:.4g}",
            "joules": self.joules * factor,
            "seconds": self.seconds * factor,
        }
        return self.model_copy(update=changes)


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
    def meters(self) -> tuple[str, ...]:
        """The meters whose readings are quoted."""
        return tuple(dict.fromkeys(reading.meter for reading in self.quoted))

    @property
    def label(self) -> str:
        """What must stand beside the figure: ``modelled ±75 %, processor meter``."""
        return f"{self.kind} ±{100 * self.error:.0f} %, {' and '.join(self.meters)} meter" + "s" * (
            len(self.meters) > 1
        )

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

    def scaled(self, factor: float) -> Consumption:
        """What `factor` times as much of the same work uses. Raises `ValueError` unless the factor is above zero."""
        return self.model_copy(update={"readings": tuple(reading.scaled(factor) for reading in self.readings)})


class Timing(Noun):
    """How long one runtime takes, decoded images in and probabilities out.

    Attributes:
        backend, precision: what ran.
        threads: it was allowed.
        batch: images a call.
        milliseconds, milliseconds_p95: a call takes: the median, and the 95th percentile.
        images_per_second: by the median.
    """

    backend: str
    precision: str
    threads: int = Field(ge=1)
    batch: int = Field(ge=1)
    milliseconds: float = Field(ge=0.0)
    milliseconds_p95: float = Field(ge=0.0)
    images_per_second: float = Field(ge=0.0)


class Counts(Noun):
    """What can be counted of a model without running it; None where it is not known.

    Attributes:
        parameters: weights, biases, and what normalisations learned.
        nonzero: of them, those that are not 0.
        operations: FLOPs (2 x MAC) of one image: two for each multiply and add of convolutions and matrix products. Of
            an int8 model the same count, most of them on integers.
    """

    parameters: int | None
    nonzero: int | None = None
    operations: int | None = None


class Cost(Counts):
    """What a bundle costs on one machine.

    Attributes:
        name, bundle_digest: of the bundle.
        backend, precision: its own; `timings` may hold others that can run the same graph.
        megabytes: of the model's files, 10^6 bytes.
        timings: by backend, threads and batch, all interleaved; the images are decoded before.
        peak_megabytes: the most memory that a fresh process held until it had answered for one image: the whole
            process, its libraries included. None where that process failed, or the system does not tell.
        part: whose images were answered for; None where they were not to be had and the pixels were random.
        batch, threads: of `inference`.
        inference: used by 1,000 studies, decoded before; None where no meter could read.
        reading: used by decoding and preparing the files of 1,000 studies, one after the other.
        watt_hours, grams: of `inference`, as quoted. Read with its kind and error.
        letter: of `inference`, see `letter`.
        accuracy: on `part`.
        accuracy_per_watt_hour: accuracy over the watt hours of 1,000 studies.
        warnings: what was amiss while it was measured.
    """

    version: Literal[1] = 1
    name: str
    bundle_digest: str
    backend: str
    precision: str
    megabytes: float
    timings: tuple[Timing, ...]
    peak_megabytes: float | None = None
    part: str | None = None
    batch: int
    threads: int
    inference: Consumption | None = None
    reading: Consumption | None = None
    watt_hours: float | None = None
    grams: float | None = None
    letter: str = ""
    accuracy: float | None = None
    accuracy_per_watt_hour: float | None = None
    warnings: tuple[str, ...] = ()
    hardware: str
    made: str
    laennec: str


def quoted(inference: Consumption | None, accuracy: float | None) -> dict[str, Any]:
    """The figures to quote of 1,000 inferences: ``watt_hours``, ``grams``, ``letter``, ``accuracy_per_watt_hour``.

    Empty where no meter could read. Nothing that used no energy has an accuracy per watt hour.
    """
    if inference is None:
        return {}
    used = inference.watt_hours
    gained = None if accuracy is None or used == 0 else accuracy / used
    figures = {"watt_hours": used, "grams": inference.grams, "accuracy_per_watt_hour": gained}
    return figures | {"letter": letter(used)}


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
