"""The figures of a comparison: quality against what it costs, with the Pareto front. A point's number is its row's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from laennec.page.study_plots import colour, log_ticks
from laennec.page.voice import Voice
from laennec.plots import INK, MUTED, drawing, nothing, ticks
from laennec.results import Comparison, ComparisonRow

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


def quality_against(comparison: Comparison, cost: str, voice: Voice, name: str = "auroc") -> str:
    """A figure with its interval against ``time`` or ``energy`` on a logarithmic axis, and the Pareto front.

    Rows without either figure, or whose cost is 0, are left out.

    Args:
        name: ``auroc`` or ``dice``.
    """
    rows = [(number, row, _COST[cost](row)) for number, row in enumerate(comparison.rows, 1)]
    shown = [
        (number, row.metrics[name], spent)
        for number, row, spent in rows
        if spent and name in row.metrics and row.metrics[name].value is not None
    ]
    words = voice.plot_words()
    title = str(voice(f"against.{cost}", figure=words[name]))
    with drawing(title, 4.8, 3.9, f"{name}{cost}{voice.lang}") as sheet:
        axes = sheet.axes()
        spending, values = [spent for _, _, spent in shown], [float(figure.value or 0) for _, figure, _ in shown]
        if shown:
            best = pareto(spending, values)
            axes.plot(
                [spending[i] for i in best], [values[i] for i in best], color=MUTED, linewidth=1.4,
                linestyle=(0, (4, 3)), drawstyle="steps-post", zorder=1,
            )  # fmt: skip
            for i in best:  # one by one: a mark drawn as a copy keeps its ink when a page turns dark
                axes.scatter(
                    [spending[i]], [values[i]], s=170, facecolors="none", edgecolors=INK, linewidths=1.3, zorder=3,
                    label=voice.plain("front") if i == best[0] else None,
                )  # fmt: skip
            axes.set_xscale("log")
            axes.minorticks_off()
            low, high = min(spending) / 1.6, max(spending) * 1.6
            axes.set_xlim(low, high)
            axes.set_xticks([tick for tick in _few(log_ticks(low, high)) if low <= tick <= high])
            axes.legend(loc="lower right")
        else:
            nothing(axes, words)
        for place, (number, figure, spent) in enumerate(shown):
            if figure.low is not None and figure.high is not None:
                axes.plot([spent] * 2, [figure.low, figure.high], color=colour(number), linewidth=1.6, zorder=2)
            axes.plot([spent], [values[place]], "o", color=colour(number), markersize=8, zorder=4)
            axes.annotate(
                str(number), (spent, values[place]), xytext=_offset(spending, values, place),
                textcoords="offset points", ha="center", va="center", fontweight="bold", zorder=5,
            )  # fmt: skip
        axes.margins(y=0.12)
        axes.set(xlabel=voice.plain(f"axis.{cost}"), ylabel=words[name])
        axes.xaxis.set_major_formatter(lambda value, _: voice.significant(value, 1))
        ticks(axes.yaxis, words)
    return sheet.svg


def _offset(costs: Sequence[float], values: Sequence[float], place: int) -> tuple[int, int]:
    """Where a point's number stands, in points from it: of a crowd the cheapest's left, the dearest's right."""
    wide, high = max(costs) / min(costs) * 2.6, max(max(values) - min(values), 0.02)
    near = [
        i
        for i in range(len(costs))
        if abs(math.log(costs[i] / costs[place])) < 0.07 * math.log(wide)
        and abs(values[i] - values[place]) < 0.1 * high
    ]
    rank = sorted(near, key=lambda i: (costs[i], i)).index(place)
    if rank == 0:
        return -11, 9
    return (11, 9) if rank == len(near) - 1 else (0, -13)


def _few(steps: list[float]) -> list[float]:
    """Ticks that have room: of more than seven, the powers of ten."""
    return steps if len(steps) <= 7 else [step for step in steps if f"{step:e}".startswith("1")]
