"""The charts of a report's parts: predictive values over prevalence, and risk over coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from laennec.estimates import Estimate
from laennec.page.voice import Voice
from laennec.plots import BLUE, GREEN, MUTED, drawing, nothing, ticks
from laennec.trust import Abstained, AtPrevalence

GRID = tuple(float(share) for share in np.geomspace(0.001, 0.9, 121))  # prevalences of the curve


def predictive_values(points: Sequence[AtPrevalence], voice: Voice) -> str:
    """PPV and NPV over prevalence with their intervals, from `laennec.prevalence.predictive_values`; a dotted line
    where the images judged are."""
    with drawing(voice.plain("predictive"), 4.8, 3.6, f"predictive{voice.lang}") as sheet:
        axes = sheet.axes(xlabel=voice.plain("axis.prevalence"), ylabel=voice.plain("axis.predictive"))
        words = voice.plot_words()
        curves: tuple[tuple[str, list[tuple[float, Estimate]]], ...] = (
            ("metric.ppv", [(one.prevalence, one.ppv) for one in points]),
            ("metric.npv", [(one.prevalence, one.npv) for one in points]),
        )
        for (name, curve), colour, style in zip(curves, (BLUE, GREEN), ("-", (0, (5, 2))), strict=True):
            known = [(share, e.value) for share, e in curve if e.value is not None]
            banded = [(share, e.low, e.high) for share, e in curve if e.low is not None and e.high is not None]
            if banded:
                axes.fill_between(*zip(*banded, strict=True), color=colour, alpha=0.14, linewidth=0)
            if known:
                axes.plot(*zip(*known, strict=True), color=colour, linestyle=style, label=voice.plain(name))
        if not axes.lines:
            nothing(axes, words)
        else:
            for one in points:
                if one.measured:
                    axes.axvline(one.prevalence, color=MUTED, linewidth=1, linestyle=":")
            axes.set_xscale("log")
            axes.minorticks_off()
            axes.set(xlim=(GRID[0], GRID[-1]), ylim=(-0.02, 1.02))
            axes.set_xticks([0.001, 0.01, 0.05, 0.2, 0.5])
            axes.xaxis.set_major_formatter(lambda value, _: voice.percent(value, 0 if value >= 0.01 else 1))
            axes.yaxis.set_ticks(np.linspace(0, 1, 6))
            ticks(axes.yaxis, words)
            axes.legend(loc="center left")
    return sheet.svg


def risk_coverage(found: Abstained, voice: Voice) -> str:
    """Error among the images answered over the share answered (El-Yaniv & Wiener, JMLR 2010)."""
    points: Sequence[tuple[float, float]] = found.risk_coverage
    with drawing(voice.plain("risk_coverage"), 4.8, 3.6, f"risk{voice.lang}") as sheet:
        axes = sheet.axes(xlabel=voice.plain("axis.answered"), ylabel=voice.plain("axis.error"))
        words = voice.plot_words()
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=BLUE, label=voice.plain("risk_coverage"))
            if found.error.value is not None and found.referred.value is not None:
                axes.plot(
                    [1 - found.referred.value], [found.error.value], "o", color=GREEN, markersize=8,
                    markeredgecolor="white", markeredgewidth=1.5, zorder=5, label=words["operating_point"],
                )  # fmt: skip
            axes.set_xlim(0, 1.02)
            axes.set_ylim(bottom=0)
            axes.legend(loc="upper left")
        else:
            nothing(axes, words)
        ticks(axes.xaxis, words)
        ticks(axes.yaxis, words)
    return sheet.svg
