"""The charts of an audit's checks."""

from __future__ import annotations

from laennec.checks import Chart
from laennec.page.study_plots import colour, look
from laennec.page.voice import Voice
from laennec.plots import MUTED, drawing, nothing, short_name, ticks

_MARKED = 12  # points of a line up to which each has a mark
_WIDE = 6  # lines from which the legend stands beside the axes, not on them


def chart(drawn: Chart, voice: Voice, key: str) -> str:
    """Lines with bands where bounds are known, and the dashed level they are read by, as SVG."""
    beside = len(drawn.lines) >= _WIDE
    title = drawn.title.in_(voice.lang)
    with drawing(title, 6.4 if beside else 4.8, 3.6, f"{key}{voice.lang}") as sheet:
        axes = sheet.axes(xlabel=drawn.x.in_(voice.lang), ylabel=drawn.y.in_(voice.lang))
        words = voice.plot_words()
        for number, line in enumerate(drawn.lines, 1):
            if not line.points:
                continue
            x, y = zip(*line.points, strict=True)
            if len(line.bounds) == len(line.points):
                low, high = zip(*line.bounds, strict=True)
                axes.fill_between(x, low, high, color=colour(number), alpha=0.14, linewidth=0)
            marks = {"marker": "o", "markersize": 4.5} if len(x) <= _MARKED else {}
            axes.plot(x, y, **look(number), **marks, label=short_name(line.name.in_(voice.lang), 34))
        if drawn.level is not None:
            dashes = (0, (4, 3))
            axes.axhline(drawn.level, color=MUTED, linewidth=1, linestyle=dashes, label=voice.plain("audit.level"))
        if axes.lines:
            axes.margins(y=0.1)
            if beside:
                sheet.figure.legend(loc="outside right upper", handlelength=2.6)
            else:
                axes.legend(handlelength=2.6)
        else:
            nothing(axes, words)
        ticks(axes.xaxis, words)
        ticks(axes.yaxis, words)
    return sheet.svg
