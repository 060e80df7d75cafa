"""What a bundle costs, for the terminal; no figure of energy without how it came about."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from laennec.costs import Consumption, Cost
from laennec.page.text import RESEARCH, add_row, plain_table
from laennec.page.voice import Voice

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def cost_text(cost: Cost) -> Group:
    """A cost as rich tables; ``print(...)`` it on a `rich.console.Console` of 80 columns or more."""
    parts: list[Text | Table] = [
        Text.assemble((cost.name, "bold"), f"  {cost.backend} {cost.precision}, {cost.hardware}"),
    ]
    if cost.part is None:
        parts.append(Text("Random pixels: the images were not to be had. No accuracy.", style="yellow"))
    size = plain_table("How large it is", ["", "Figure"])
    nonzero = "" if cost.nonzero is None else f", {cost.nonzero:,} not 0"
    add_row(size, "Parameters", "n/a" if cost.parameters is None else f"{cost.parameters:,}{nonzero}")
    add_row(size, "FLOPs (2 x MAC), one image", flops(cost.operations))
    add_row(size, "Files", f"{cost.megabytes:.2f} MB")
    held = "n/a" if cost.peak_megabytes is None else f"{cost.peak_megabytes:.0f} MB"
    add_row(size, "Memory at most, whole process", held)
    speed = plain_table(
        "How quick it is, in turns, images decoded before",
        ["Runtime", "Threads", "Batch", "ms", "ms, 95th", "img/s"],
    )
    for one in cost.timings:
        name = f"{one.backend} {one.precision}"
        times = (one.milliseconds, one.milliseconds_p95, one.images_per_second)
        add_row(speed, name, str(one.threads), str(one.batch), *(significant(figure) for figure in times))
    energy = plain_table("Energy of 1,000 studies", ["", "Wh", "g CO2e", "Letter", "How"])
    for name, used, letter in (
        ("Inference", cost.inference, cost.letter),
        ("Reading the files", cost.reading, ""),
    ):
        if used is not None:
            add_row(energy, name, significant(used.watt_hours), significant(used.grams), letter, used.label)
    parts += [size, speed]
    if energy.row_count:
        parts.append(energy)
    if cost.accuracy is not None:
        gained = cost.accuracy_per_watt_hour
        ratio = "" if gained is None else f"; {significant(gained)} for each Wh of 1,000 inferences"
        parts.append(Text(f"Accuracy {cost.accuracy:.3f} on the {cost.part} part{ratio}."))
    if cost.inference is not None and cost.reading is not None and cost.inference.watt_hours:
        times_more = cost.reading.watt_hours / cost.inference.watt_hours
        if times_more >= 1:
            parts.append(Text(f"Reading the files takes {significant(times_more, 2)} times the energy of inference."))
    parts += energy_notes([cost.inference], f"in batches of {cost.batch}, threads: {cost.threads}")
    parts += [Text(f"Note: {warning}", style="yellow") for warning in cost.warnings]
    parts.append(Text(RESEARCH, style="dim"))
    return Group(*parts)


def energy_notes(used: Sequence[Consumption | None], how: str) -> list[Text]:
    """How the figures of energy in a table came about, and by which grid they became CO2e; `how` they were run."""
    read = [one for one in used if one is not None]
    if not read:
        return [Text("No meter could read energy on this machine.", style="yellow")]
    labels = "; ".join(dict.fromkeys(one.label for one in read))
    grids = dict.fromkeys(one.grid for one in read)
    places = "; ".join(f"{g.place} {g.year}, {g.intensity:g} g CO2e per kWh ±10 %" for g in grids)
    return [
        Text(f"Inference {how}: {labels}.", style="dim"),
        Text(f"Grid: {places}.", style="dim"),
        Text("A letter orders models judged on one machine by one meter; see docs/energy.md.", style="dim"),
    ]


def flops(operations: int | None) -> str:
    """``8.02 G``; "n/a" for None."""
    if operations is None:
        return "n/a"
    for size, prefix in _PREFIXES:
        if operations >= size:
            return f"{significant(operations / size)} {prefix}"
    return str(operations)


def significant(value: float | None, figures: int = 3) -> str:
    """A figure of any size to `figures` digits that count: ``0.00213``, ``18,800``; "n/a" for None."""
    return "n/a" if value is None else Voice("en").significant(value, figures)
