"""A comparison as a page and for the terminal: quality beside time, size and energy."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from laennec.estimates import Estimate
from laennec.page.comparison_plots import quality_against
from laennec.page.cost import energy_notes, flops, significant
from laennec.page.html import SHARES, render
from laennec.page.text import RESEARCH, add_row, plain_table, two_lines
from laennec.page.voice import LANGUAGES, Language, Voice
from laennec.results import Comparison, ComparisonRow

_QUALITY = ("auroc", "sensitivity", "specificity", "accuracy", "f1_macro", "ece")
_GIGA = 1e9


def comparison_page(comparison: Comparison, language: Language = "en") -> str:
    """A comparison as one HTML page, in English and French, that needs nothing else.

    Args:
        language: the one shown first; the page's switch shows the other.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    used = [row.inference for row in comparison.rows if row.inference is not None]
    costs = ("time", "energy") if used else ("time",)
    bodies = {}
    for lang in LANGUAGES:
        voice = Voice(lang)
        labels = list(dict.fromkeys(voice.label(one) for one in used))
        bodies[lang] = {
            "comparison": comparison,
            "figures": {cost: quality_against(comparison, cost, voice) for cost in costs},
            "v": voice,
            "shares": SHARES,
            "quality": _QUALITY,
            "labels": "; ".join(labels),
            "grids": list(dict.fromkeys(one.grid for one in used)),
            "readings": sum(len(one.readings) for one in used),
            "giga": _GIGA,
            "absent": Estimate(value=None, n=0),
        }
    title = Voice(language)("comparison_title", n=len(comparison.rows))
    return render("comparison.html.j2", language, title, bodies)


def comparison_text(comparison: Comparison) -> Group:
    """A comparison as rich tables; ``print(...)`` it on a `rich.console.Console` of 80 columns or more."""
    names = [f"{i}  {row.name}" for i, row in enumerate(comparison.rows, 1)]
    quality = plain_table("How well they decide", ["", "AUROC", "Sensitivity", "Specificity", "Accuracy", "F1"])
    speed = plain_table("How quick they are", ["", "", "ms", "ms, 95th", "img/s", "speed"])
    size = plain_table("How large they are; FLOPs (2 x MAC) of one image", ["", "Parameters", "Not 0", "FLOPs", "MB"])
    energy = plain_table(
        "Energy of 1,000 studies, files decoded before", ["", "Letter", "Wh", "g CO2e", "Accuracy/Wh", "Saved"]
    )
    tests = plain_table("Against the first, paired", ["", "AUROC, p", "Decisions, p", "Decided otherwise"])
    for name, row in zip(names, comparison.rows, strict=True):
        keys = ("auroc", "sensitivity", "specificity", "accuracy")
        f1 = row.metrics.get("f1_macro", Estimate(value=None, n=0)).value
        add_row(quality, name, *(two_lines(row.metrics.get(key)) for key in keys), "n/a" if f1 is None else f"{f1:.3f}")
        times = (row.latency_p50, row.latency_p95, row.throughput)
        add_row(speed, name, row.precision, *(significant(time) for time in times), f"×{row.speedup:.2f}")
        counted = ("n/a" if n is None else f"{n:,}" for n in (row.parameters, row.nonzero))
        add_row(size, name, *counted, flops(row.operations), significant(row.megabytes))
        add_row(energy, name, *_energy(row))
    for name, row in list(zip(names, comparison.rows, strict=True))[1:]:
        flipped = row.against_first.get("flipped")
        told = "n/a" if flipped is None else f"{100 * flipped:.1f} %"
        test = row.against_first
        add_row(tests, name, _p(test.get("auroc_delong")), _p(test.get("decisions_mcnemar")), told)
    return Group(
        Text(
            f"{comparison.collection}, {comparison.part} part: {comparison.images} images of "
            f"{comparison.patients} patients; {comparison.threads} threads, {comparison.hardware}"
        ),
        quality,
        speed,
        size,
        energy,
        *energy_notes([row.inference for row in comparison.rows], f"in batches of {comparison.batch}"),
        *([tests] if len(comparison.rows) > 1 else []),
        *(Text(f"Note: {warning}", style="yellow") for warning in comparison.warnings),
        Text(RESEARCH, style="dim"),
    )


def _energy(row: ComparisonRow) -> list[str | Text]:
    """Cells; the figure with how it came about under it."""
    if row.inference is None:
        return ["n/a"] * 5
    used = Text.assemble(
        (significant(row.watt_hours), "bold"), (f"\n{row.inference.kind} ±{100 * row.inference.error:.0f} %", "dim")
    )
    saved = "" if row.energy_saved is None else f"{100 * row.energy_saved:.0f} %"
    return [row.letter, used, significant(row.grams), significant(row.accuracy_per_watt_hour), saved]


def _p(value: float | None) -> str:
    if value is None:
        return "n/a"
    return "<0.001" if value < 0.001 else f"{value:.3f}"
