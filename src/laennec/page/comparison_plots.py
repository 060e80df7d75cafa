"""The figures of a comparison: quality against what it costs, with the Pareto front. A point's number is its row's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from laennec.page.study_plots import colour, log_ticks
from laennec.page.voice import Voice
from laennec.plots import INK, MUTED, drawing, nothing, ticks
from laennec.results import Comparison, ComparisonRow

_OFFSETS = ((-11, 9), (11, 9), (11, -10), (-11, -10))  # of numbers from their points
_COST: dict[str, Callable[[ComparisonRow], float | None]] = {
    "time": lambda row: row.latency_p50,
    "energy": lambda row: row.watt_hours,
}


def pareto(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Places of the points that no other one beats, by rising cost.

    A point is beaten where another costs no more, is worth no less, and is better in one of both. Of equal points all
    are kept.
    """
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -values[i]))
    front: list[int] = []
    for i in order:
        if not front or values[i] > values[front[-1]] or (costs[i], values[i]) == (costs[front[-1]], values[front[-1]]):
            front.append(i)
    return front


def quality_against(comparison: Comparison, cost: str, voice: Voice) -> str:
    """AUROC with its interval against ``time`` or ``energy`` on a logarithmic axis, and the Pareto front.

    Rows without either figure, or whose cost is 0, are left out.
    """
    rows = [(number, row, _COST[cost](row)) for number, row in enumerate(comparison.rows, 1)]
    shown = [
        (number, row.metrics["auroc"], spent)
        for number, row, spent in rows
        if spent and "auroc" in row.metrics and row.metrics["auroc"].value is not None
    ]
    words = voice.plot_words()
    with drawing(voice.plain(f"against.{cost}"), 4.8, 3.9, f"{cost}{voice.lang}") as sheet:
        axes = sheet.axes()
        spending, areas = [spent for _, _, spent in shown], [float(auroc.value or 0) for _, auroc, _ in shown]
        if shown:
            best = pareto(spending, areas)
            axes.plot(
                [spending[i] for i in best], [areas[i] for i in best], color=MUTED, linewidth=1.4,
                linestyle=(0, (4, 3)), drawstyle="steps-post", zorder=1,
            )  # fmt: skip
            axes.plot(
                [spending[i] for i in best], [areas[i] for i in best], "o", color="none", markersize=13,
                markeredgecolor=INK, markeredgewidth=1.3, label=voice.plain("front"), zorder=3,
            )  # fmt: skip
            axes.set_xscale("log")
            axes.minorticks_off()
            low, high = min(spending) / 1.6, max(spending) * 1.6
            axes.set_xlim(low, high)
            axes.set_xticks([tick for tick in _few(log_ticks(low, high)) if low <= tick <= high])
            axes.legend(loc="lower right")
        else:
            nothing(axes, words)
        for place, (number, auroc, spent) in enumerate(shown):
            if auroc.low is not None and auroc.high is not None:
                axes.plot([spent] * 2, [auroc.low, auroc.high], color=colour(number), linewidth=1.6, zorder=2)
            axes.plot([spent], [areas[place]], "o", color=colour(number), markersize=8, zorder=4)
            x, y = _OFFSETS[_crowd(spending, areas, place) % len(_OFFSETS)]
            axes.annotate(
                str(number), (spent, areas[place]), xytext=(x, y), textcoords="offset points", ha="center", va="center",
                fontweight="bold", zorder=5,
            )  # fmt: skip
        axes.margins(y=0.12)
        axes.set(xlabel=voice.plain(f"axis.{cost}"), ylabel=words["auroc"])
        axes.xaxis.set_major_formatter(lambda value, _: voice.significant(value, 1))
        ticks(axes.yaxis, words)
    return sheet.svg


def _crowd(costs: Sequence[float], values: Sequence[float], place: int) -> int:
    """How many earlier points lie so near that their numbers would be written over each other."""
    wide, high = max(costs) / min(costs) * 2.6, max(max(values) - min(values), 0.02)
    near = (
        abs(math.log(costs[i] / costs[place])) < 0.06 * math.log(wide) and abs(values[i] - values[place]) < 0.06 * high
        for i in range(place)
    )
    return sum(near)


def _few(steps: list[float]) -> list[float]:
    """Ticks that have room: of more than seven, the powers of ten."""
    return steps if len(steps) <= 7 else [step for step in steps if f"{step:e}".startswith("1")]
