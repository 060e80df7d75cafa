"""A comparison as a page and for the terminal: quality beside time, size and energy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from laennec.estimates import Estimate
from laennec.page.comparison_plots import quality_against
from laennec.page.cost import energy_notes, flops, significant
from laennec.page.html import render
from laennec.page.measures import HEADLINES, between, heading, plain, written
from laennec.page.text import RESEARCH, add_row, plain_table, two_lines
from laennec.page.voice import LANGUAGES, Language, Voice
from laennec.results import Comparison, ComparisonRow

_DECISIONS = ("auroc", "sensitivity", "specificity", "accuracy", "f1_macro", "ece")
_MASKS = ("dice", "iou", "hd95")
_SHORT = ("accuracy", "f1_macro", "dice", "hd95")  # beside the costs
_TESTS = ("auroc_delong", "decisions_mcnemar", "flipped", "dice_difference", "dice_wilcoxon")
_ENERGY = ("Letter", "Wh", "g CO2e", "Accuracy/Wh", "Saved")
_GIGA = 1e9
_ABSENT = Estimate(value=None, n=0)


def comparison_page(comparison: Comparison, language: Language = "en") -> str:
    """A comparison as one HTML page, in English and French, that needs nothing else.

    Args:
        language: the one shown first; the page's switch shows the other.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    used = [row.inference for row in comparison.rows if row.inference is not None]
    costs = ("time", "energy") if used else ("time",)
    ranking = [name for name in HEADLINES if any(_known(row, name) for row in comparison.rows)]
    bodies = {}
    for lang in LANGUAGES:
        voice = Voice(lang)
        labels = list(dict.fromkeys(voice.label(one) for one in used))
        bodies[lang] = {
            "comparison": comparison,
            "figures": {n: {cost: quality_against(comparison, cost, voice, n) for cost in costs} for n in ranking},
            "v": voice,
            "heading": partial(heading, voice),
            "written": partial(written, voice),
            "between": partial(between, voice),
            "tested": partial(_tested, voice),
            "tables": _tables(comparison),
            "short": [name for name in _SHORT if any(name in row.metrics for row in comparison.rows)],
            "decides": any("accuracy" in row.metrics for row in comparison.rows),
            "tests": _tests(comparison),
            "labels": "; ".join(labels),
            "grids": list(dict.fromkeys(one.grid for one in used)),
            "readings": sum(len(one.readings) for one in used),
            "giga": _GIGA,
            "absent": _ABSENT,
        }
    title = Voice(language)("comparison_title", n=len(comparison.rows))
    return render("comparison.html.j2", language, title, bodies)


def _known(row: ComparisonRow, name: str) -> bool:
    return row.metrics.get(name, _ABSENT).value is not None


def _tables(comparison: Comparison) -> list[dict[str, Any]]:
    """The tables of quality: of the rows that decide, and of those that outline; a row may stand in both."""
    numbered = list(enumerate(comparison.rows, 1))
    decisions: dict[str, Any] = {"title": "quality", "text": "methods_text", "names": _DECISIONS, "thresholds": True}
    masks: dict[str, Any] = {
        "title": "quality_masks",
        "text": "quality_masks_text",
        "names": _MASKS,
        "thresholds": False,
    }
    tables = [
        table | {"rows": [(number, row) for number, row in numbered if table["names"][0] in row.metrics]}
        for table in (decisions, masks)
    ]
    return [table for table in tables if table["rows"]]


def _tests(comparison: Comparison) -> list[str]:
    """The paired tests that any row has."""
    return [name for name in _TESTS if any(name in row.against_first for row in comparison.rows[1:])]


def _tested(voice: Voice, name: str, value: float | None) -> str:
    if name == "flipped":
        return voice.percent(value)
    return voice.signed(value, 4) if name == "dice_difference" else voice.p(value)


def comparison_text(comparison: Comparison) -> Group:
    """A comparison as rich tables; ``print(...)`` it on a `rich.console.Console` of 80 columns or more."""
    names = [f"{i}  {row.name}" for i, row in enumerate(comparison.rows, 1)]
    decides = any("accuracy" in row.metrics for row in comparison.rows)
    speed = plain_table("How quick they are", ["", "", "ms", "ms, 95th", "img/s", "speed"])
    size = plain_table("How large they are; FLOPs (2 x MAC) of one image", ["", "Parameters", "Not 0", "FLOPs", "MB"])
    columns = [name for name in _ENERGY if decides or name != "Accuracy/Wh"]
    energy = plain_table("Energy of 1,000 studies, files decoded before", ["", *columns])
    for name, row in zip(names, comparison.rows, strict=True):
        times = (row.latency_p50, row.latency_p95, row.throughput)
        add_row(speed, name, row.precision, *(significant(time) for time in times), f"×{row.speedup:.2f}")
        counted = ("n/a" if n is None else f"{n:,}" for n in (row.parameters, row.nonzero))
        add_row(size, name, *counted, flops(row.operations), significant(row.megabytes))
        used = _energy(row)
        add_row(energy, name, *(used[column] for column in columns))
    return Group(
        Text(
            f"{comparison.collection}, {comparison.part} part: {comparison.images} images of "
            f"{comparison.patients} patients; {comparison.threads} threads, {comparison.hardware}"
        ),
        *_quality_text(comparison, names),
        speed,
        size,
        energy,
        *energy_notes([row.inference for row in comparison.rows], f"in batches of {comparison.batch}"),
        *_tests_text(comparison, names),
        *(Text(f"Note: {warning}", style="yellow") for warning in comparison.warnings),
        Text(RESEARCH, style="dim"),
    )


def _quality_text(comparison: Comparison, names: Sequence[str]) -> list[Table]:
    decisions = plain_table("How well they decide", ["", "AUROC", "Sensitivity", "Specificity", "Accuracy", "F1"])
    masks = plain_table("How well they outline the lungs", ["", "Dice", "IoU", "HD95, px"])
    for name, row in zip(names, comparison.rows, strict=True):
        if "auroc" in row.metrics:
            keys = ("auroc", "sensitivity", "specificity", "accuracy")
            f1 = plain("f1_macro", row.metrics.get("f1_macro", _ABSENT).value)
            add_row(decisions, name, *(two_lines(row.metrics.get(key)) for key in keys), f1)
        if "dice" in row.metrics:
            add_row(masks, name, *(two_lines(row.metrics.get(key), 1 if key == "hd95" else 3) for key in _MASKS))
    return [table for table in (decisions, masks) if table.row_count]


def _tests_text(comparison: Comparison, names: Sequence[str]) -> list[Table]:
    """The paired tests there are, as a table."""
    titles = {
        "auroc_delong": "AUROC, p",
        "decisions_mcnemar": "Decisions, p",
        "flipped": "Otherwise",
        "dice_difference": "Dice, difference",
        "dice_wilcoxon": "Dice, p",
    }
    voice, told = Voice("en"), _tests(comparison)
    if not told:
        return []
    table = plain_table("Against the first, paired", ["", *(titles[name] for name in told)])
    for name, row in list(zip(names, comparison.rows, strict=True))[1:]:
        values = (_tested(voice, test, row.against_first.get(test)) for test in told)
        add_row(table, name, *(value.replace("\u00a0", " ") for value in values))
    return [table]


def _energy(row: ComparisonRow) -> dict[str, str | Text]:
    """Cells by column; the figure with how it came about under it."""
    if row.inference is None:
        return dict.fromkeys(_ENERGY, "n/a")
    used = Text.assemble(
        (significant(row.watt_hours), "bold"), (f"\n{row.inference.kind} ±{100 * row.inference.error:.0f} %", "dim")
    )
    saved = "" if row.energy_saved is None else f"{100 * row.energy_saved:.0f} %"
    return {
        "Letter": row.letter,
        "Wh": used,
        "g CO2e": significant(row.grams),
        "Accuracy/Wh": significant(row.accuracy_per_watt_hour),
        "Saved": saved,
    }
