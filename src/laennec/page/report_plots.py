"""The charts of a report's parts: predictive values over prevalence, and risk over coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from laennec.estimates import Estimate
from laennec.page.voice import Voice
from laennec.plots import BLUE, GREEN, MUTED, drawing, nothing, ticks
from laennec.trust import Abstained

_PREVALENCES = np.geomspace(0.001, 0.9, 121)


def predictive_values(sensitivity: Estimate, specificity: Estimate, here: float | None, voice: Voice) -> str:
    """PPV and NPV over prevalence by Bayes' rule (Altman & Bland, BMJ 1994), each band from both figures' worse and
    better bounds; `here` is the prevalence of the images judged."""
    with drawing(voice.plain("predictive"), 4.8, 3.6, f"predictive{voice.lang}") as sheet:
        axes = sheet.axes(xlabel=voice.plain("axis.prevalence"), ylabel=voice.plain("axis.predictive"))
        words = voice.plot_words()
        if sensitivity.value is None or specificity.value is None:
            nothing(axes, words)
        else:
            middle = _both(sensitivity.value, specificity.value)
            bounds = [
                _both(sens, spec)
                for sens, spec in ((sensitivity.low, specificity.low), (sensitivity.high, specificity.high))
                if sens is not None and spec is not None
            ]
            looks = (("metric.ppv", BLUE, "-"), ("metric.npv", GREEN, (0, (5, 2))))
            for place, (name, colour, style) in enumerate(looks):
                if len(bounds) == 2:
                    low, high = bounds[0][place], bounds[1][place]
                    axes.fill_between(_PREVALENCES, low, high, color=colour, alpha=0.14, linewidth=0)
                axes.plot(_PREVALENCES, middle[place], color=colour, linestyle=style, label=voice.plain(name))
            if here is not None:
                axes.axvline(here, color=MUTED, linewidth=1, linestyle=":")
            axes.set_xscale("log")
            axes.minorticks_off()
            axes.set(xlim=(0.001, 0.9), ylim=(-0.02, 1.02))
            axes.set_xticks([0.001, 0.01, 0.05, 0.2, 0.5])
            axes.xaxis.set_major_formatter(lambda value, _: voice.percent(value, 0 if value >= 0.01 else 1))
            axes.yaxis.set_ticks(np.linspace(0, 1, 6))
            ticks(axes.yaxis, words)
            axes.legend(loc="center left")
    return sheet.svg


def _both(sensitivity: float, specificity: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p = _PREVALENCES
    hits, alarms = p * sensitivity, (1 - p) * (1 - specificity)
    missed, cleared = p * (1 - sensitivity), (1 - p) * specificity
    with np.errstate(invalid="ignore"):
        return hits / (hits + alarms), cleared / (cleared + missed)


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
