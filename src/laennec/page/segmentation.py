"""What pages and terminal say of masks held against the truth: figures in words, rows of tables, pictures picked."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from laennec import overlays
from laennec.estimates import Estimate
from laennec.page.segmentation_plots import dice_histogram, distance_against_dice, left_against_right
from laennec.page.voice import Voice
from laennec.results import Report
from laennec.segmentation import Overlap, SegmentationFigures

WORST, TYPICAL = 10, 6
LISTED = 200
LOW = 0.9  # below it the page counts the images
SHARES = ("precision", "recall", "accuracy")  # written as percentages
DISTANCES = {"hd95": "px", "hd95_mm": "mm"}
MEASURED = ("dice", "iou", "precision", "recall", "accuracy", "hd95", "hd95_mm")
_HEADLINE = ("dice", "iou", "hd95", "hd95_mm")
# As in the pictures of `overlays.panels`; what both call lung is only made paler.
_COLOURS = {
    "truth": overlays.TRUTH,
    "prediction": overlays.DRAWN,
    "missed": overlays.MISSED,
    "added": overlays.ADDED,
    "agreed": "#c9ced4",
}


def ranked(figures: SegmentationFigures) -> list[Overlap]:
    """The images that have a Dice, the lowest first."""
    return sorted((row for row in figures.rows if row.dice is not None), key=lambda row: (row.dice or 0.0, row.id))


def worst(figures: SegmentationFigures) -> list[Overlap]:
    """At most `WORST` images of lowest Dice, and never more than half of them all (but one of a single image)."""
    rows = ranked(figures)
    return rows[: min(WORST, max(1, len(rows) // 2))]


def typical(figures: SegmentationFigures) -> list[Overlap]:
    """At most `TYPICAL` images of Dice nearest to the median, none of them among the worst; the lowest first."""
    rows = ranked(figures)
    if not rows:
        return []
    middle = median(row.dice or 0.0 for row in rows)
    rest = rows[len(worst(figures)) :]
    nearest = sorted(rest, key=lambda row: abs((row.dice or 0.0) - middle))[:TYPICAL]
    return sorted(nearest, key=lambda row: (row.dice or 0.0, row.id))


def pictured(figures: SegmentationFigures) -> tuple[str, ...]:
    """Ids of the images whose panels a page shows: the worst first, then typical ones."""
    return tuple(row.id for row in (*worst(figures), *typical(figures)))


def told(voice: Voice, name: str, value: float | None) -> str:
    """A measure's value in its unit: ``0.967``, ``97.1 %``, ``4.2 px``; a dash for None."""
    if value is None:
        return "–"
    if name in DISTANCES:
        return f"{voice.number(value, 1)}\u00a0{DISTANCES[name]}"
    return voice.percent(value) if name in SHARES else voice.number(value)


def interval(voice: Voice, name: str, estimate: Estimate) -> str:
    """The bounds of the interval as `told` writes values, the unit once; empty where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    if name not in DISTANCES:
        return voice.interval(estimate, share=name in SHARES)
    low, high = voice.number(estimate.low, 1), voice.number(estimate.high, 1)
    return f"{low}\u00a0–\u2060\u00a0{high}\u00a0{DISTANCES[name]}"


def _cell(voice: Voice, name: str, estimate: Estimate | None, n: int | None = None) -> dict[str, str]:
    """A table's cell; it tells on how many images it rests where that is not `n`."""
    if estimate is None or estimate.value is None:
        return {"value": "–", "range": "", "n": ""}
    other = "" if n is None or estimate.n == n else str(voice("seg.n", n=voice.count(estimate.n)))
    return {"value": told(voice, name, estimate.value), "range": interval(voice, name, estimate), "n": other}


def _measures(figures: SegmentationFigures, voice: Voice) -> list[dict[str, Any]]:
    """Rows of the table of all measures."""
    columns = (figures.mean, figures.pooled, figures.right, figures.left)
    return [
        {
            "name": voice(f"seg.{name}"),
            "n": voice.count(figures.mean[name].n),
            "cells": [_cell(voice, name, column.get(name), figures.mean[name].n) for column in columns],
        }
        for name in MEASURED
        if name in figures.mean
    ]


def _said(figures: SegmentationFigures, voice: Voice) -> list[str]:
    """What the figures mean, sentence by sentence; the first is the lead."""
    said: list[str] = []
    precision, recall = (figures.pooled.get(name, Estimate(value=None, n=0)).value for name in ("precision", "recall"))
    if precision is not None and recall is not None:
        base = 100 if max(precision, recall) < 0.995 else 1000
        marked, found = (voice.count(math.floor(base * share + 1e-9)) for share in (precision, recall))
        said.append(voice("seg.pixels", base=voice.count(base), marked=marked, found=found))
    pixels, millimetres = (figures.mean.get(name) for name in ("hd95", "hd95_mm"))
    if pixels is not None and pixels.value is not None:
        said.append(voice("seg.distance", distance=told(voice, "hd95", pixels.value)))
        if millimetres is not None and millimetres.value is not None:
            distance = told(voice, "hd95_mm", millimetres.value)
            said.append(voice("seg.millimetres", n=voice.count(millimetres.n), distance=distance))
    values = [row.dice for row in ranked(figures) if row.dice is not None]
    if values:
        said.append(
            voice(
                "seg.spread",
                median=voice.number(median(values)),
                worst=voice.number(values[0]),
                limit=voice.number(LOW, 2),
                below=voice.count(sum(value < LOW for value in values)),
                n=voice.count(len(values)),
            )
        )
    dice = figures.mean.get("dice")
    if dice is not None and dice.low is not None:
        said.append(voice("seg.uncertain", interval=interval(voice, "dice", dice)))
    return said


def _steps(figures: SegmentationFigures, voice: Voice) -> list[str]:
    """The rule that makes a mask, step by step."""
    rule = figures.outline
    chosen = "fitted" if rule.n else "given"
    fields: dict[str, object] = {"threshold": voice.number(rule.threshold, 2)}
    if rule.n:
        fields["n"] = voice.count(rule.n)
    pieces = {0: "all", 1: "1", 2: "2"}.get(rule.keep, "more")
    return [
        voice(f"seg.threshold_{chosen}", **fields),
        voice(f"seg.keep_{pieces}", **({"keep": voice.count(rule.keep)} if pieces == "more" else {})),
        voice("seg.fill" if rule.fill else "seg.leave"),
    ]


def _effect(figures: SegmentationFigures, voice: Voice) -> str:
    """On how many images the post-processing raised, lowered and kept Dice."""
    if not figures.outline.keep and not figures.outline.fill:
        return voice("seg.no_steps")
    pairs = [(row.raw_dice, row.dice) for row in figures.rows if row.raw_dice is not None and row.dice is not None]
    up, down = sum(before < after for before, after in pairs), sum(before > after for before, after in pairs)
    counted = {"up": up, "down": down, "same": len(pairs) - up - down}
    return voice("seg.changed", **{name: voice.count(n) for name, n in counted.items()}) if pairs else ""


def _tidied(figures: SegmentationFigures, part: str, voice: Voice) -> list[dict[str, str]]:
    """Rows before and after the post-processing: Dice on validation, then the measures of this part."""
    pairs: list[tuple[str, str, float | None, float | None]] = [
        ("dice", str(voice("seg.on_validation")), figures.outline.dice_raw, figures.outline.dice)
    ]
    here = str(voice("seg.on_part", part=voice(f"part.{part}")))
    for name, before in figures.raw.items():
        after = figures.mean.get(name)
        pairs.append((name, here, before.value, None if after is None else after.value))
    return [
        {
            "name": voice(f"seg.{name}"),
            "where": where,
            "before": told(voice, name, before),
            "after": told(voice, name, after),
            "change": voice.signed(after - before, 1 if name in DISTANCES else 4),
        }
        for name, where, before, after in pairs
        if before is not None and after is not None
    ]


def _thirds(width: int, height: int) -> tuple[float, float]:
    """Width of each of three pictures side by side and of the gap between them, as `overlays.panels` lays them out."""
    for each in range(width // 3, 0, -1):
        gap = max(2, max(each, height) // 64)
        if 3 * each + 2 * gap == width:
            return each, gap
    return width / 3, 0.0


def _embedded(data: bytes | None) -> dict[str, Any] | None:
    """A PNG of three pictures as a data URI with its measures; None for anything else."""
    if not data or not data.startswith(b"\x89PNG\r\n\x1a\n") or len(data) < 33:
        return None
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if not width or not height:
        return None
    each, gap = _thirds(width, height)
    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"uri": uri, "width": width, "height": height, "each": each, "step": each + gap}


def _row(row: Overlap, voice: Voice) -> dict[str, Any]:
    """An image's measures as the lists tell them."""
    named = {name: getattr(row, name) for name in MEASURED} | {"right": row.right_dice, "left": row.left_dice}
    tidied = row.raw_dice is not None and row.dice is not None and abs(row.raw_dice - row.dice) >= 0.0005
    return {
        "id": row.id,
        "raw": told(voice, "dice", row.raw_dice) if tidied else "",
        "values": {name: told(voice, name, value) for name, value in named.items() if value is not None},
    }


def _shown(rows: Sequence[Overlap], panels: Mapping[str, bytes], group: str, voice: Voice) -> list[dict[str, Any]]:
    """The images of a group that have a picture, numbered."""
    pairs = [(row, picture) for row in rows if (picture := _embedded(panels.get(row.id))) is not None]
    return [
        _row(row, voice) | {"picture": picture, "number": number, "anchor": f"{group}-{number}"}
        for number, (row, picture) in enumerate(pairs, 1)
    ]


def lungs_body(report: Report, panels: Mapping[str, bytes], voice: Voice) -> dict[str, Any] | None:
    """What the page's part about the lungs is made of; None for a report without masks.

    Args:
        panels: sample id to a PNG of `overlays.panels`.
    """
    figures = report.segmentation
    if figures is None:
        return None
    lowest, middling = worst(figures), typical(figures)
    groups = {"worst": _shown(lowest, panels, "worst", voice), "typical": _shown(middling, panels, "typical", voice)}
    anchors = {row["id"]: row["anchor"] for rows in groups.values() for row in rows}
    mean = figures.mean
    values = [row.dice for row in ranked(figures) if row.dice is not None]
    listed = [*ranked(figures), *(row for row in figures.rows if row.dice is None)]
    return {
        "figures": figures,
        "tiles": [
            {"name": voice(f"seg.mean_{name}")} | _cell(voice, name, mean[name], -1)
            for name in _HEADLINE
            if name in mean
        ],
        "said": _said(figures, voice),
        "steps": _steps(figures, voice),
        "effect": _effect(figures, voice),
        "tidied": _tidied(figures, report.part, voice),
        "measures": _measures(figures, voice),
        "groups": groups,
        "colours": _COLOURS,
        "median": voice.number(median(values)) if values else "",
        "listed": [_row(row, voice) | {"anchor": anchors.get(row.id, "")} for row in listed[:LISTED]],
        "total": len(listed),
        "columns": [name for name in MEASURED if any(getattr(row, name) is not None for row in figures.rows)],
        "maskless": max(0, report.images - figures.images),
        "marked": len(lowest),
    }


def lungs_charts(figures: SegmentationFigures, voice: Voice) -> dict[str, str]:
    """The figures of the page's part about the lungs, as SVG."""
    marked = {row.id for row in worst(figures)}
    drawn = {"histogram": dice_histogram, "distance": distance_against_dice, "sides": left_against_right}
    return {name: draw(figures.rows, marked, voice) for name, draw in drawn.items()}
