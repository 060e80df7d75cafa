"""Reports for the terminal, and what its tables are made of: English, like every message there, and 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from laennec.decisions import outcomes
from laennec.estimates import Estimate
from laennec.page.segmentation import DISTANCES, MEASURED, ranked
from laennec.page.words import WORDS
from laennec.results import Report
from laennec.segmentation import Outline, SegmentationFigures

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


def _interval(estimate: Estimate | None, digits: int = 3) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.{digits}f}–{estimate.high:.{digits}f}"


def two_lines(estimate: Estimate | None, digits: int = 3) -> Text:
    """A figure over its interval."""
    if estimate is None or estimate.value is None:
        return Text("n/a", style="dim")
    return Text.assemble((f"{estimate.value:.{digits}f}", "bold"), (f"\n{_interval(estimate, digits)}", "dim"))


def _decided(report: Report) -> list[Text | Table]:
    """What the model decided: figures, labels, the most certain errors."""
    finding = " or ".join(report.positive)
    figures = plain_table("Figures", ["", "Value", "95 % interval", "Images", "Method"])
    for name, estimate in report.metrics.items():
        value = "n/a" if estimate.value is None else f"{estimate.value:.3f}"
        method = estimate.method.replace("_", " ")
        add_row(figures, _NAMES.get(name, name), Text(value, "bold"), _interval(estimate), str(estimate.n), method)
    classes = plain_table("By label", ["", "Images", "Precision", "Recall", "F1", "AUROC"])
    for c in report.per_class:
        shown = (two_lines(estimate) for estimate in (c.precision, c.recall, c.f1, c.auroc))
        add_row(classes, c.label, str(c.n), *shown)
    parts: list[Text | Table] = [figures, classes]
    if report.mistakes:
        sure = report.mistakes[:5]
        errors = plain_table(f"The most certain of {len(report.mistakes)} errors", ["", "Truth", "Decision", "Score"])
        for m in sure:
            add_row(errors, m.id, m.truth or f"no {finding}", m.decided or f"no {finding}", f"{m.score:.3f}")
        parts.append(errors)
    return parts


def _rule(outline: Outline) -> str:
    """How the masks came about, in a sentence."""
    where = f"chosen on {outline.n} validation images" if outline.n else "set in advance"
    keep = {0: "every piece kept", 1: "the largest piece kept", 2: "the two largest pieces kept"}
    pieces = keep.get(outline.keep, f"the {outline.keep} largest pieces kept")
    holes = "holes filled" if outline.fill else "holes left"
    return f"Lung from a probability of {outline.threshold:.2f}, {where}; {pieces}, {holes}."


def _outlined(figures: SegmentationFigures) -> list[Text | Table]:
    """The masks against the truth: every measure, before and after the post-processing, the lowest Dice."""
    names = {name: WORDS[f"seg.{name}"][0] for name in MEASURED if name in figures.mean}
    digits = {name: 1 if name in DISTANCES else 3 for name in names}
    measures = plain_table(
        "Lungs: masks against the truth", ["", "Images", "Mean", "Pooled", "Right lung", "Left lung"]
    )
    for name, word in names.items():
        columns = (figures.mean, figures.pooled, figures.right, figures.left)
        cells = (two_lines(column[name], digits[name]) if name in column else Text("") for column in columns)
        add_row(measures, word, str(figures.mean[name].n), *cells)
    steps = plain_table("The post-processing", ["", "Before", "After"])
    if figures.outline.dice_raw is not None and figures.outline.dice is not None:
        add_row(steps, "Dice, validation", f"{figures.outline.dice_raw:.3f}", f"{figures.outline.dice:.3f}")
    for name in (name for name in names if name in figures.raw):
        values = (figures.raw[name].value, figures.mean[name].value)
        add_row(steps, names[name], *("n/a" if v is None else f"{v:.{digits[name]}f}" for v in values))
    parts: list[Text | Table] = [
        measures,
        Text("Right and left are the patient's."),
        Text(_rule(figures.outline), style="dim"),
        steps,
    ]
    rows = ranked(figures)
    if rows:
        lowest = plain_table(f"The lowest Dice of {len(rows)} images", ["", "Dice", "IoU", "HD95", "Right", "Left"])
        for row in rows[:5]:
            shares = (row.dice, row.iou, row.right_dice, row.left_dice)
            dice, iou, right, left = ("n/a" if share is None else f"{share:.3f}" for share in shares)
            add_row(lowest, row.id, dice, iou, "n/a" if row.hd95 is None else f"{row.hd95:.1f}", right, left)
        parts.append(lowest)
    return parts


def report_text(report: Report) -> Group:
    """A report as rich tables; ``print(...)`` it on a `rich.console.Console` of 80 columns or more."""
    point = report.operating_point
    parts: list[Text | Table] = [
        Text.assemble((report.model, "bold"), f"  {report.backend} {report.precision}"),
        Text(f"{report.collection}, {report.part} part: {report.images} images of {report.patients} patients"),
    ]
    if point is not None:
        hits, missed, alarms, cleared = outcomes(report.scores, report.truths, point.threshold)
        found = (
            f"Of {hits + missed} with {' or '.join(report.positive)} it found {hits} and missed {missed}; "
            f"of {alarms + cleared} without, {alarms} false alarms."
        )
        fitted = f"Threshold {point.threshold:.3f} ({point.rule}), fitted on {point.n} validation images."
        parts += [Text(found), Text(fitted, style="dim")]
    if report.part in ("train", "val"):
        parts.append(Text(f"Measured on the {report.part} part, not on test: expect less elsewhere.", style="yellow"))
    if point is not None:
        parts += _decided(report)
    if report.segmentation is not None:
        parts += _outlined(report.segmentation)
    if report.refused:
        refused = plain_table(f"Files refused, counted in no figure: {len(report.refused)}", ["", "Code"])
        for r in report.refused[:10]:
            add_row(refused, r.id, r.code)
        parts.append(refused)
    parts += [Text(f"Note: {note}", style="yellow") for note in report.notes]
    parts.append(Text(RESEARCH, style="dim"))
    return Group(*parts)
