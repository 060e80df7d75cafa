"""The figures of outlined lungs: how Dice spreads, where the edge strays, which side is harder.

Colours are Okabe & Ito's and never the only carrier of a meaning: the worst images have a shape of their own. See
`laennec.plots`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from laennec.page.voice import Voice
from laennec.plots import BLUE, INK, MUTED, RED, drawing, nothing, ticks
from laennec.segmentation import Overlap

_SIZE = (4.0, 3.6)
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)

Point = tuple[float, float, bool]


def dice_histogram(rows: Sequence[Overlap], worst: Collection[str], voice: Voice) -> str:
    """How many images reach which Dice, on a square-root scale so that one image shows; triangles mark the worst."""
    values = [row.dice for row in rows if row.dice is not None]
    words = voice.plot_words()
    with drawing(voice.plain("seg.plot.histogram"), *_SIZE, key=voice.lang) as sheet:
        axes = sheet.axes()
        if values:
            low = _start(values)
            counts, edges = np.histogram(values, np.linspace(low, 1, 31))
            axes.bar(edges[:-1], np.sqrt(counts), np.diff(edges) * 0.88, align="edge", color=BLUE, linewidth=0)
            middle = float(np.median(values))
            axes.axvline(middle, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label=voice.plain("seg.plot.median"))
            most = int(counts.max())
            marked = [row.dice for row in rows if row.id in worst and row.dice is not None]
            axes.plot(
                marked, [-0.05 * most**0.5] * len(marked), "^", color=RED, markersize=7, markeredgecolor="white",
                markeredgewidth=0.6, label=voice.plain("seg.plot.worst"), clip_on=False, zorder=5,
            )  # fmt: skip
            steps = _steps(most)
            axes.set_yticks([math.sqrt(step) for step in steps], [voice.count(step) for step in steps])
            axes.set(xlim=(low, 1), ylim=(-0.11 * most**0.5, 1.08 * most**0.5))
            axes.set(xlabel=voice.plain("seg.plot.dice"), ylabel=words["images_sqrt"])
            ticks(axes.xaxis, words)
            _legend(sheet, axes)
        else:
            nothing(axes, words)
    return sheet.svg


def distance_against_dice(rows: Sequence[Overlap], worst: Collection[str], voice: Voice) -> str:
    """HD95 (pixels, square-root scale) against Dice: the area may be right where the edge strays."""
    points = [(row.dice, row.hd95, row.id in worst) for row in rows if row.dice is not None and row.hd95 is not None]
    words = voice.plot_words()
    with drawing(voice.plain("seg.plot.distance"), *_SIZE, key=voice.lang) as sheet:
        axes = sheet.axes()
        if points:
            _discs(axes, points, voice, up=np.sqrt)
            most = max(1.0, *(point[1] for point in points))
            steps = [0, *_steps(int(most))]
            axes.set_yticks([math.sqrt(step) for step in steps], [voice.count(step) for step in steps])
            axes.set(xlim=(_start(point[0] for point in points), 1), ylim=(0, 1.08 * most**0.5))
            axes.set(xlabel=voice.plain("seg.plot.dice"), ylabel=voice.plain("seg.plot.hd95"))
            ticks(axes.xaxis, words)
            _legend(sheet, axes)
        else:
            nothing(axes, words)
    return sheet.svg


def left_against_right(rows: Sequence[Overlap], worst: Collection[str], voice: Voice) -> str:
    """Dice of the patient's left lung against that of the right; on the diagonal both are alike."""
    points = [
        (row.right_dice, row.left_dice, row.id in worst)
        for row in rows
        if row.right_dice is not None and row.left_dice is not None
    ]
    words = voice.plot_words()
    with drawing(voice.plain("seg.plot.sides"), *_SIZE, key=voice.lang) as sheet:
        axes = sheet.axes()
        if points:
            low = _start(value for point in points for value in point[:2])
            axes.plot([low, 1], [low, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
            _discs(axes, points, voice)
            axes.set(xlim=(low, 1), ylim=(low, 1), aspect="equal")
            axes.set(xlabel=voice.plain("seg.plot.right"), ylabel=voice.plain("seg.plot.left"))
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(_locator())
                ticks(axis, words)
            _legend(sheet, axes)
        else:
            nothing(axes, words)
    return sheet.svg


def _discs(axes: Any, points: Sequence[Point], voice: Voice, up: Any = np.asarray) -> None:
    """A disc an image, and a red triangle for each shown as one of the worst; heights go through `up`."""
    looks: dict[str, dict[str, Any]] = {
        "others": {"marker": "o", "color": BLUE, "markersize": 4.5, "alpha": 0.55, "markeredgewidth": 0},
        "worst": {"marker": "^", "color": RED, "markersize": 7, "markeredgecolor": "white", "markeredgewidth": 0.6},
    }
    for name, look in looks.items():
        chosen = [point for point in points if point[2] == (name == "worst")]
        if chosen:
            x, y, _ = zip(*chosen, strict=True)
            axes.plot(
                x, up(y), linestyle="none", label=voice.plain(f"seg.plot.{name}"), clip_on=False, zorder=4, **look
            )


def _legend(sheet: Any, axes: Any) -> None:
    """The legend above; the labels of both axes stand clear of each other where these meet."""
    axes.tick_params(pad=6)
    sheet.figure.legend(loc="outside upper center", ncols=2, columnspacing=1.2, handlelength=1.4)


def _locator() -> Any:
    """Few and the same ticks on both axes."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)


def _steps(most: int) -> list[int]:
    """Round numbers up to `most` that lie apart on a square-root scale."""
    kept: list[int] = []
    for step in (s for s in _STEPS if s <= max(1, most)):
        if not kept or math.sqrt(step) - math.sqrt(kept[-1]) >= 0.08 * math.sqrt(most):
            kept.append(step)
    return kept


def _start(values: Iterable[float]) -> float:
    """Where an axis of Dice begins so that the lowest value still shows: a twentieth, at most 0.9."""
    return min(0.9, max(0.0, math.floor(20 * (min(values) - 0.01)) / 20))
