"""What pages show of one check of an audit: its verdict, sentences, figures, tables and charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from laennec import checks, wording
from laennec.checks import VERDICTS, Audit, Check
from laennec.estimates import Estimate
from laennec.page.audit_plots import chart
from laennec.page.voice import Voice

LISTED = 200  # points of a chart
_TINY = 1e-5  # below it a number is written by its power of ten
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SYMBOLS = {"pass": "✓", "note": "i", "skipped": "–", "warn": "!", "fail": "✕"}


def ordered(audit: Audit) -> list[Check]:
    """The checks as they are told: the worst verdict first, otherwise as they were made."""
    return sorted(audit.checks, key=lambda check: -VERDICTS.index(check.verdict))


def listed(titles: Sequence[str]) -> str:
    """Titles in one line, parted by semicolons where one has a comma of its own."""
    return " ; ".join(titles).replace(" ;", "\u202f;") if any("," in title for title in titles) else ", ".join(titles)


def written(voice: Voice, value: float | None, *, digits: int | None = None) -> str:
    """A number as its size asks: ``5,840``, ``0.953``, ``12.4``, ``0.00002``, ``1.6 × 10⁻³⁶``; a dash for None."""
    if value is None:
        return "–"
    if digits is None:
        if float(value).is_integer():
            digits = 0
        elif abs(value) < _TINY:
            return ("−" if value < 0 else "") + _powered(voice, abs(value))
        elif abs(value) < 0.0005:
            return ("−" if value < 0 else "") + voice.significant(abs(value), 2)
        else:
            digits = _digits(value)
    return ("−" if round(value, digits) < 0 else "") + voice.number(abs(value), digits)


def _powered(voice: Voice, value: float) -> str:
    """A tiny number by its power of ten, which a table can hold."""
    digits, power = f"{value:.1e}".split("e")
    return f"{voice.number(float(digits), 1)}\u00a0×\u00a010{str(int(power)).translate(_RAISED)}"


def _digits(value: float) -> int:
    return 3 if abs(value) < 10 else 2 if abs(value) < 100 else 1


def cell(voice: Voice, value: object) -> dict[str, Any]:
    """A cell of a check's table: its text, the interval under it, and whether it is a number."""
    if isinstance(value, wording.Text):
        return {"text": value.in_(voice.lang), "range": "", "number": False}
    if isinstance(value, Estimate):
        if value.value is None:
            return {"text": "–", "range": "", "number": True}
        if value.low is None or value.high is None:
            return {"text": written(voice, value.value), "range": "", "number": True}
        digits = _digits(max(abs(value.low), abs(value.high), abs(value.value)))
        low, high = (written(voice, bound, digits=digits) for bound in (value.low, value.high))
        told = {"text": written(voice, value.value, digits=digits), "range": f"{low}\u00a0–\u2060\u00a0{high}"}
        return {**told, "number": True}
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return {"text": written(voice, value), "range": "", "number": True}
    return {"text": str(value), "range": "", "number": False}


def table_of(table: checks.Table, voice: Voice) -> dict[str, Any]:
    """A check's table: a title, columns and cells; a column is of numbers where all its cells are."""
    rows = [[cell(voice, value) for value in row] for row in table.rows]
    numbers = [all(row[i]["number"] for row in rows if i < len(row)) for i in range(len(table.head))]
    return {
        "title": table.title.in_(voice.lang),
        "head": [{"text": h.in_(voice.lang), "number": n} for h, n in zip(table.head, numbers, strict=True)],
        "rows": rows,
    }


def _chart(drawn: checks.Chart, voice: Voice, key: str) -> dict[str, Any]:
    points = []
    for line in drawn.lines:
        bounds: Sequence[tuple[float | None, float | None]] = line.bounds
        if len(bounds) != len(line.points):
            bounds = [(None, None)] * len(line.points)
        for (x, y), (low, high) in zip(line.points, bounds, strict=True):
            estimate = Estimate(value=y, low=low, high=high, n=0)
            points.append({"line": line.name.in_(voice.lang), "x": written(voice, x), "y": cell(voice, estimate)})
    return {
        "title": drawn.title.in_(voice.lang),
        "svg": chart(drawn, voice, key),
        "x": drawn.x.in_(voice.lang),
        "y": drawn.y.in_(voice.lang),
        "points": points[:LISTED],
        "n": len(points),
    }


def checked(check: Check, voice: Voice, key: str) -> dict[str, Any]:
    """A check in one language; `key` tells its charts from all others of the page."""
    return {
        "check": check,
        "symbol": SYMBOLS[check.verdict],
        "title": check.title.in_(voice.lang),
        "said": [sentence.in_(voice.lang) for sentence in check.said],
        "method": check.method.in_(voice.lang),
        "seconds": voice.significant(check.seconds, 2),
        "figures": [(name, cell(voice, figure), figure) for name, figure in check.figures.items()],
        "tables": [table_of(table, voice) for table in check.tables],
        "charts": [_chart(drawn, voice, f"{key}{i}") for i, drawn in enumerate(check.charts)],
        "n": len(check.suspects),
    }
