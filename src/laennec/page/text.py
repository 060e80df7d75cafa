"""Reports for the terminal, and what its tables are made of: English, like every message there, and 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from laennec.decisions import outcomes
from laennec.estimates import Estimate
from laennec.results import Report

RESEARCH = "Research use only. Not a medical device."
_NAMES = {
    "auroc": "AUROC",
    "auprc": "Average precision",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "Positive predictive value",
    "npv": "Negative predictive value",
    "f1_macro": "F1, mean over labels",
    "ece": "Calibration error",
    "brier": "Brier score",
}


def plain_table(title: str, columns: Sequence[str]) -> Table:
    """A table whose columns after the first are right-aligned; cells are plain text, never markup."""
    table = Table(
        title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim"
    )
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", overflow="fold", no_wrap=False)
    return table


def add_row(table: Table, *cells: str | Text) -> None:
    """A row of plain text, never markup."""
    table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.3f}–{estimate.high:.3f}"


def two_lines(estimate: Estimate | None) -> Text:
    """A figure over its interval."""
    if estimate is None or estimate.value is None:
        return Text("n/a", style="dim")
    return Text.assemble((f"{estimate.value:.3f}", "bold"), (f"\n{_interval(estimate)}", "dim"))


def report_text(report: Report) -> Group:
    """A report as rich tables; ``print(...)`` it on a `rich.console.Console` of 80 columns or more."""
    point = report.operating_point
    finding = " or ".join(report.positive)
    hits, missed, alarms, cleared = outcomes(report.scores, report.truths, point.threshold)
    parts: list[Text | Table] = [
        Text.assemble((report.model, "bold"), f"  {report.backend} {report.precision}"),
        Text(f"{report.collection}, {report.part} part: {report.images} images of {report.patients} patients"),
        Text(
            f"Of {hits + missed} with {finding} it found {hits} and missed {missed}; of {alarms + cleared} without, "
            f"{alarms} false alarms."
        ),
        Text(f"Threshold {point.threshold:.3f} ({point.rule}), fitted on {point.n} validation images.", style="dim"),
    ]
    if report.part != "test":
        parts.append(Text(f"Measured on the {report.part} part, not on test: expect less elsewhere.", style="yellow"))
    figures = plain_table("Figures", ["", "Value", "95 % interval", "Images", "Method"])
    for name, estimate in report.metrics.items():
        value = "n/a" if estimate.value is None else f"{estimate.value:.3f}"
        method = estimate.method.replace("_", " ")
        add_row(figures, _NAMES.get(name, name), Text(value, "bold"), _interval(estimate), str(estimate.n), method)
    classes = plain_table("By label", ["", "Images", "Precision", "Recall", "F1", "AUROC"])
    for c in report.per_class:
        shown = (two_lines(estimate) for estimate in (c.precision, c.recall, c.f1, c.auroc))
        add_row(classes, c.label, str(c.n), *shown)
    parts += [figures, classes]
    if report.mistakes:
        sure = report.mistakes[:5]
        errors = plain_table(f"The most certain of {len(report.mistakes)} errors", ["", "Truth", "Decision", "Score"])
        for m in sure:
            add_row(errors, m.id, m.truth or f"no {finding}", m.decided or f"no {finding}", f"{m.score:.3f}")
        parts.append(errors)
    if report.refused:
        refused = plain_table(f"Files refused, counted in no figure: {len(report.refused)}", ["", "Code"])
        for r in report.refused[:10]:
            add_row(refused, r.id, r.code)
        parts.append(refused)
    parts += [Text(f"Note: {note}", style="yellow") for note in report.notes]
    parts.append(Text(RESEARCH, style="dim"))
    return Group(*parts)
