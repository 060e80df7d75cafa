"""The figures of a study: all its runs on one plot. Each run keeps one colour, line style and number throughout.

Colours are Okabe & Ito's and never the only carrier of a meaning; see `laennec.plots`.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

import numpy as np

from laennec.findings import RunFound, StudyReport, Trial
from laennec.page.voice import Voice
from laennec.plots import GREEN, MUTED, ORANGE, RED, SKY, drawing, nothing, short_name, ticks, unit_axes

# Not the page's own blue and ink, which it recolours for dark mode: a run is the same colour in text and plot.
_BLUE, _PURPLE, _BROWN, _BLACK = "#0073b3", "#cc79a7", "#8b6f47", "#101418"
_COLOURS = (_BLUE, RED, GREEN, ORANGE, _PURPLE, SKY, _BROWN)
_LIGHT = {ORANGE, _PURPLE, SKY}
_STYLES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 1.6, 1, 1.6)), (0, (3, 1, 1, 1, 1, 1)))
_GRID = np.linspace(0, 1, 201)
_COST = {"decisions": ("auroc", "accuracy"), "masks": ("dice", "iou"), "both": ("auroc", "dice")}


def look(number: int) -> dict[str, Any]:
    """Colour and line style of the run with this number; 35 runs differ in one or the other."""
    return {"color": _COLOURS[(number - 1) % len(_COLOURS)], "linestyle": _STYLES[(number - 1) % len(_STYLES)]}


def colour(number: int) -> str:
    """Colour of the run with this number."""
    return str(look(number)["color"])


def ink(number: int) -> str:
    """Colour of a text on a run's colour."""
    return _BLACK if colour(number) in _LIGHT else "#ffffff"


def roc_curves(report: StudyReport, runs: Sequence[RunFound], voice: Voice) -> str:
    """The ROC curves of runs on the same images; a disc stands where a run decides.

    Of several seeds the curve is their vertical average (Fawcett, Pattern Recognition Letters 2006).
    """
    words, numbers = voice.plot_words(), [report.number(run.name) for run in runs]
    with drawing(words["roc"], 4.7, 4.6, f"roc{voice.lang}{runs[0].name if runs else ''}") as sheet:
        axes = unit_axes(sheet, words, words["false_alarms"], words["sensitivity"])
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        drawn = False
        for number, run in zip(numbers, runs, strict=True):
            curves = [trial.roc for trial in run.trials if trial.roc]
            if not curves:
                continue
            drawn = True
            x, y = _average(curves)
            area = voice.value(run.figure("auroc"))
            axes.plot(x, y, **look(number), label=f"{number}  {short_name(run.name, 20)}  {area}")
        for number, run in zip(numbers, runs, strict=True):
            if not run.trials or not run.trials[0].metrics:
                continue
            specificity, sensitivity = (run.trials[0].metrics[name].value for name in ("specificity", "sensitivity"))
            if specificity is not None and sensitivity is not None:
                _disc(axes, 1 - specificity, sensitivity, number)
        if drawn:
            legend = axes.legend(
                loc="lower right", title=f"{voice.plain('study.run')}, {words['auroc']}", handlelength=3
            )
            legend.get_title().set(fontsize=9, color=MUTED)
        else:
            nothing(axes, words)
    return sheet.svg


def _disc(axes: Any, x: float, y: float, number: int) -> None:
    """A disc with a run's number; of discs in one place the later lies on top, so each is drawn whole with its text."""
    above = 5 + 0.01 * number
    axes.plot(
        [x], [y], "o", color=colour(number), markersize=13, markeredgecolor="white", markeredgewidth=1.2,
        clip_on=False, zorder=above,
    )  # fmt: skip
    axes.text(
        x, y, str(number), color=ink(number), fontsize=8, fontweight="bold", ha="center", va="center_baseline",
        zorder=above,
    )  # fmt: skip


def _average(curves: Sequence[Sequence[tuple[float, float]]]) -> tuple[Any, Any]:
    if len(curves) == 1:
        x, y = zip(*curves[0], strict=True)
        return x, y
    heights = [np.interp(_GRID, [x for x, _ in curve], [y for _, y in curve]) for curve in curves]
    return _GRID, np.mean(heights, axis=0)


def dice_curves(report: StudyReport, runs: Sequence[RunFound], voice: Voice) -> str:
    """Share of images whose Dice reaches a value, against that value; a disc stands at the median.

    Of several seeds the images of all count alike.
    """
    words = voice.plot_words()
    shown = [(report.number(run.name), run, sorted(d for t in run.trials for d in t.dices)) for run in runs]
    shown = [(number, run, dices) for number, run, dices in shown if dices]
    with drawing(voice.plain("study.dice_plot"), 4.7, 4.6, f"dice{voice.lang}{runs[0].name if runs else ''}") as sheet:
        axes = sheet.axes(xlabel=words["dice"], ylabel=voice.plain("study.dice_share"))
        for number, run, dices in shown:
            heights = 1 - np.arange(len(dices) + 1) / len(dices)
            label = f"{number}  {short_name(run.name, 20)}  {voice.value(run.figure('dice'))}"
            axes.step([0, *dices, dices[-1]], [1, *heights], where="pre", **look(number), label=label)
        for number, _, dices in shown:
            _disc(axes, median(dices), 0.5, number)
        if shown:
            # what the worst image in twenty does is told; the few below it would flatten all the others
            low = min(float(np.quantile(dices, 0.05)) for _, _, dices in shown)
            axes.set_xlim(max(0.0, low - 0.1 * (1 - low)), 1.0)
            legend = axes.legend(
                loc="lower left", title=f"{voice.plain('study.run')}, {voice.plain('seg.mean_dice')}", handlelength=3
            )
            legend.get_title().set(fontsize=9, color=MUTED)
        else:
            nothing(axes, words)
        axes.set_ylim(-0.02, 1.02)
        ticks(axes.xaxis, words)
        ticks(axes.yaxis, words)
    return sheet.svg


def learning_curves(report: StudyReport, voice: Voice) -> str:
    """Validation AUROC, Dice and loss by epoch, as far as runs have them, of each run's first seed.

    A star is the kept epoch, a bar starts a phase.
    """
    words = voice.plot_words()
    runs = [
        (report.number(run.name), run, run.trials[0]) for run in report.runs if run.trials and run.trials[0].history
    ]
    with drawing(
        voice.plain("study.learning"), 9.4, 4.0 + 0.22 * ((len(runs) + 2) // 3), f"learn{voice.lang}"
    ) as sheet:
        watched = {
            name: {number: [getattr(epoch, name) for epoch in trial.history] for number, _, trial in runs}
            for name in ("val_auroc", "val_dice", "val_loss")
        }
        watched = {
            name: series
            for name, series in watched.items()
            if name == "val_loss" or any(value is not None for values in series.values() for value in values)
        }
        panels = [(name, sheet.axes(1, len(watched), place)) for place, name in enumerate(watched, 1)]
        for name, axes in panels:
            for number, run, trial in runs:
                values = [np.nan if value is None else value for value in watched[name][number]]
                label = f"{number}  {short_name(run.name, 26)}" if name == "val_loss" else ""
                _curve(axes, values, trial, number, label)
            axes.set_ylabel(voice.plain(f"study.{name}"))
            axes.set_xlabel(words["epoch"])
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.margins(x=0.04)
            ticks(axes.xaxis, words)
            ticks(axes.yaxis, words)
            if not runs:
                nothing(axes, words)
        panels[-1][1].set_ylim(bottom=0)
        if runs:
            sheet.figure.legend(loc="outside lower center", ncols=3, handlelength=3, columnspacing=1.6)
    return sheet.svg


def _curve(axes: Any, values: Sequence[float], trial: Trial, number: int, label: str) -> None:
    x = list(range(1, len(values) + 1))
    axes.plot(x, values, **look(number), label=label, linewidth=1.8, marker="." if len(x) < 3 else "")
    starts = [i for i in range(1, len(x)) if trial.history[i].phase != trial.history[i - 1].phase]
    if starts:
        axes.plot(
            [x[i] for i in starts], [values[i] for i in starts], "|", color=colour(number), markersize=13,
            markeredgewidth=1.8,
        )  # fmt: skip
    kept = trial.kept_epoch - 1
    if 0 <= kept < len(x):
        axes.plot(
            [x[kept]], [values[kept]], "*", color=colour(number), markersize=12, markeredgecolor="white",
            markeredgewidth=0.8, zorder=5,
        )  # fmt: skip


def cost_of_quality(report: StudyReport, runs: Sequence[RunFound], voice: Voice) -> str:
    """The figures of `cost_kind`, each with its interval, against training time; the number is the run's."""
    words = voice.plot_words()
    shown = [(report.number(run.name), run) for run in runs if run.trials and not run.of]
    minutes = [fmean(trial.seconds for trial in run.trials) / 60 for _, run in shown]
    kind = cost_kind(runs)
    with drawing(voice.plain(f"study.cost_plot.{kind}"), 4.7, 4.6, f"cost{voice.lang}") as sheet:
        upper, lower = _COST[kind]
        panels = [(upper, sheet.axes(2, 1, 1))]
        panels.append((lower, sheet.axes(2, 1, 2, sharex=panels[0][1])))
        for name, axes in panels:
            for (number, run), minute in zip(shown, minutes, strict=True):
                estimate, spread = run.figure(name), run.spread(name)
                if estimate.value is None:
                    continue
                low, high = estimate.low, estimate.high
                if spread is not None:
                    low, high = estimate.value - spread, estimate.value + spread
                if low is not None and high is not None:
                    axes.plot([minute] * 2, [low, high], color=colour(number), linewidth=1.8, zorder=2)
                _disc(axes, minute, estimate.value, number)
            if not shown:
                nothing(axes, words)
            elif min(minutes) > 0 and max(minutes) / min(minutes) > 8:
                axes.set_xscale("log")
                axes.minorticks_off()
                axes.set_xticks(log_ticks(min(minutes), max(minutes)))
            axes.margins(x=0.14, y=0.16)
            axes.set_ylabel(voice.plain("seg.short.iou") if name == "iou" else words[name])
            ticks(axes.xaxis, words)
            ticks(axes.yaxis, words)
        panels[1][1].set_xlabel(voice.plain("study.minutes_axis"))
    return sheet.svg


def cost_kind(runs: Sequence[RunFound]) -> str:
    """``decisions``, ``masks`` or ``both``: what runs have to be judged by."""
    decisions, masks = any(run.classifies for run in runs), any(run.segments for run in runs)
    return "both" if decisions and masks else "masks" if masks else "decisions"


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis at 1, 2 and 5 of each power of ten."""
    steps = [base * 10.0**power for power in range(-9, 9) for base in (1, 2, 5)]
    return [step for step in steps if low / 2 <= step <= high * 2]
