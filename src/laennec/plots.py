"""Figures as SVG text, ready to stand inside a page.

Text stays text, colours are Okabe & Ito's (Color Universal Design, 2008) and never the only carrier of a meaning. The
SVG holds no script, no style element, no style attribute and no address, so the strictest page policy lets it in; the
same input gives the same bytes. Ink, grid and series are plain colour attributes, which a page may recolour for dark
mode. The background is transparent.

Every function takes `words`, the texts to print (see `WORDS` for the keys; ``decimal`` is the decimal sign), and
`key`: two figures on one page never share an id when their content or their key differs.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from laennec.decisions import outcomes
from laennec.errors import extra
from laennec.findings import Trial
from laennec.intervals import wilson
from laennec.results import Epoch, Report

Words = Mapping[str, str]

INK, MUTED, GRID = "#1b2733", "#5b6776", "#dde3ea"
BLUE, SKY, GREEN, ORANGE, RED = "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00"

WORDS = (
    "decimal", "roc", "precision_recall", "reliability", "confusion", "scores", "training",
    "false_alarms", "sensitivity", "precision", "chance", "prevalence", "operating_point", "mean_score", "observed",
    "perfect", "truth", "decision", "score", "images_sqrt", "with_finding", "without_finding", "threshold", "epoch",
    "loss", "train_loss", "val_loss", "auroc", "accuracy", "val_auroc", "val_accuracy",
    "dice", "val_dice", "kept", "nothing",
)  # fmt: skip

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "laennec",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10.0,
    "axes.linewidth": 1.0,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.linewidth": 2.0,
}


class Sheet:
    """A figure under way and, at the end, its SVG."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure
        self.svg = ""

    def axes(self, *where: int, **options: Any) -> Any:
        """A place to draw on, as `matplotlib.figure.Figure.add_subplot` takes it."""
        return self.figure.add_subplot(*where, **options)


@contextmanager
def drawing(title: str, width: float, height: float, key: str) -> Iterator[Sheet]:
    """A figure of `width` by `height` inches; after the block the sheet's `svg` is ready."""
    with extra("eval"):
        import matplotlib as mpl
        from matplotlib.figure import Figure
    with mpl.rc_context(_STYLE):
        sheet = Sheet(Figure(figsize=(width, height), layout="constrained"))
        yield sheet
        stream = io.StringIO()
        sheet.figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    sheet.svg = _clean(stream.getvalue(), title, key)


def _clean(svg: str, title: str, key: str) -> str:
    """Matplotlib's file without prolog, metadata, style and useless ids, its remaining ids made its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*</defs>", "", svg)
    named = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    prefix = "p" + hashlib.sha256(f"{key}\0{title}\0{svg}".encode()).hexdigest()[:10]

    def own(tag: re.Match[str]) -> str:
        text = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}{m[1]}"' if m[1] in named else "", tag[0])
        text = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}", text)
        text = re.sub(r' style="([^"]*)"', lambda m: _attributes(m[1]), text)
        text = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", text)
        return " ".join(text.split())

    svg = re.sub(r"<[^>]*>", own, svg)
    svg = re.sub(r">\s+<", "><", svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" class="plot" '
        f'{box[0] if box else ""} role="img" aria-label={quoteattr(title)} '
        'font-family="system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif" stroke-linejoin="round">'
    )
    return opening + svg[svg.index(">") + 1 :].strip()


def _attributes(style: str) -> str:
    """A style attribute as presentation attributes, without the font's name."""
    found: dict[str, str] = {}
    for part in style.split(";"):
        name, _, value = (piece.strip() for piece in part.partition(":"))
        if name == "font":
            size = re.search(r"([\d.]+px)", value)
            found["font-size"] = size[1] if size else "9px"
            if re.search(r"\b(bold|[6-9]00)\b", value):
                found["font-weight"] = "700"
        elif name and name != "font-family":
            found[name] = value.replace('"', "'")
    return "".join(f' {name}="{value}"' for name, value in found.items())


def _number(value: float, words: Words, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace(".", words["decimal"])


def short_name(name: str, most: int) -> str:
    """A name cut to `most` characters."""
    return name if len(name) <= most else name[: most - 1] + "…"


def ticks(axis: Any, words: Words) -> None:
    """Tick labels with the language's decimal sign, no more digits than they need."""
    axis.set_major_formatter(lambda value, _: f"{value:g}".replace(".", words["decimal"]).replace("-", "−"))


def unit_axes(sheet: Sheet, words: Words, x: str, y: str) -> Any:
    """Square axes from 0 to 1 either way."""
    axes = sheet.axes()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel=x, ylabel=y)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.linspace(0, 1, 6))
        ticks(axis, words)
    return axes


def nothing(axes: Any, words: Words) -> None:
    """Say on empty axes that there is nothing to draw."""
    axes.text(0.5, 0.5, words["nothing"], ha="center", va="center", color=MUTED, transform=axes.transAxes)


def roc_curve(report: Report, words: Words, *, key: str = "") -> str:
    """Sensitivity against false alarms, chance, and the operating point as decided on these very images.

    Source: Hanley & McNeil, Radiology 1982.
    """
    with drawing(words["roc"], 4.0, 3.9, key) as sheet:
        axes = unit_axes(sheet, words, words["false_alarms"], words["sensitivity"])
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label=words["chance"])
        if report.roc:
            x, y = zip(*report.roc, strict=True)
            axes.plot(x, y, color=BLUE, label=words["roc"])
            axes.fill_between(x, y, color=BLUE, alpha=0.08, linewidth=0)
            hits, missed, alarms, cleared = outcomes(report.scores, report.truths, report.threshold)
            axes.plot(
                [alarms / (alarms + cleared)], [hits / (hits + missed)], "o", color=RED, markersize=8,
                markeredgecolor="white", markeredgewidth=1.5, label=words["operating_point"], clip_on=False, zorder=5,
            )  # fmt: skip
            axes.legend(loc="lower right")
        else:
            nothing(axes, words)
    return sheet.svg


def precision_recall_curve(report: Report, words: Words, *, key: str = "") -> str:
    """Precision against recall; the dashed line is the share of positives, what chance would reach.

    Drawn in steps, never interpolated: Davis & Goadrich, ICML 2006.
    """
    with drawing(words["precision_recall"], 4.0, 3.9, key) as sheet:
        axes = unit_axes(sheet, words, words["sensitivity"], words["precision"])
        if report.precision_recall:
            x, y = zip(*report.precision_recall, strict=True)
            share = sum(report.truths.values()) / len(report.truths)
            axes.axhline(share, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label=words["prevalence"])
            axes.step(x, y, where="pre", color=BLUE, label=words["precision_recall"])
            hits, missed, alarms, _ = outcomes(report.scores, report.truths, report.threshold)
            if hits + alarms:
                axes.plot(
                    [hits / (hits + missed)], [hits / (hits + alarms)], "o", color=RED, markersize=8, clip_on=False,
                    markeredgecolor="white", markeredgewidth=1.5, label=words["operating_point"], zorder=5,
                )  # fmt: skip
            axes.legend(loc="lower left")
        else:
            nothing(axes, words)
    return sheet.svg


def reliability_diagram(report: Report, words: Words, *, key: str = "") -> str:
    """Observed frequency with its Wilson interval against mean score per bin; a mark's area grows with its images.

    Source: DeGroot & Fienberg, The Statistician 1983; Niculescu-Mizil & Caruana, ICML 2005.
    """
    with drawing(words["reliability"], 4.0, 3.9, key) as sheet:
        axes = unit_axes(sheet, words, words["mean_score"], words["observed"])
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label=words["perfect"])
        if report.reliability:
            x, y = [b.score for b in report.reliability], [b.frequency for b in report.reliability]
            most = max(b.n for b in report.reliability)
            axes.plot(x, y, color=BLUE, linewidth=1.5, alpha=0.6)
            for b in report.reliability:
                size = 3 + 8 * (b.n / most) ** 0.5
                spread = wilson(round(b.frequency * b.n), b.n)
                axes.plot([b.score] * 2, [spread.low, spread.high], color=BLUE, linewidth=1.2, alpha=0.6)
                axes.plot([b.score], [b.frequency], "o", color=BLUE, markersize=size, alpha=0.9, clip_on=False)
            axes.legend(loc="upper left")
        else:
            nothing(axes, words)
    return sheet.svg


def confusion_matrix(report: Report | Trial, words: Words, *, key: str = "") -> str:
    """Counts and row shares, truth downwards, decision across; right decisions green, wrong ones red and slanted."""
    counts = np.array(report.confusion or [[0]])
    k = len(counts)
    short = [short_name(name, 18) for name in report.labels]
    with drawing(words["confusion"], max(4.0, 1.1 + 0.95 * k), max(3.5, 0.9 + 0.8 * k), key) as sheet:
        axes = sheet.axes()
        axes.grid(visible=False)
        for side in axes.spines.values():
            side.set_visible(False)
        if not report.confusion:
            axes.set_axis_off()
            nothing(axes, words)
        else:
            from matplotlib.patches import Rectangle

            shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            for i, j in itertools.product(range(k), range(k)):
                colour, right = (GREEN, True) if i == j else (RED, False)
                face = Rectangle(
                    (j - 0.47, i - 0.47), 0.94, 0.94, facecolor=colour, alpha=0.06 + 0.6 * float(shares[i, j])
                )
                axes.add_patch(face)
                axes.text(
                    j, i - 0.04, f"{counts[i, j]}", ha="center", va="center", fontsize=15 if k < 4 else 11,
                    fontweight="bold", fontstyle="normal" if right else "italic",
                )  # fmt: skip
                share = _number(100 * float(shares[i, j]), words, 1)
                axes.text(j, i + 0.27, f"{share} %", ha="center", va="center", fontsize=9)
            axes.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5), xlabel=words["decision"], ylabel=words["truth"])
            axes.set_xticks(range(k), short, color=INK, rotation=0 if k < 4 else 25, ha="center" if k < 4 else "right")
            axes.set_yticks(range(k), short, color=INK, rotation=90 if k < 4 else 0, va="center")
    return sheet.svg


def score_histogram(report: Report, words: Words, *, key: str = "") -> str:
    """Scores of images with the finding upwards, without it downwards, on a square-root scale so that one image shows.

    Source: the mirrored scale of Tukey's rootogram, Exploratory Data Analysis 1977.
    """
    edges = np.linspace(0, 1, 31)
    width = float(edges[1])
    sides = [
        np.histogram([report.scores[key] for key, truth in report.truths.items() if truth == side], edges)[0]
        for side in (1, 0)
    ]
    with drawing(words["scores"], 4.0, 3.9, key) as sheet:
        axes = sheet.axes()
        for counts, sign, colour, name in (
            (sides[0], 1, RED, "with_finding"),
            (sides[1], -1, BLUE, "without_finding"),
        ):
            axes.bar(
                edges[:-1], sign * np.sqrt(counts), width * 0.88, align="edge", color=colour, alpha=0.85,
                linewidth=0, label=words[name],
            )  # fmt: skip
        axes.axhline(0, color=MUTED, linewidth=0.8)
        at = report.threshold
        axes.axvline(at, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label=words["threshold"])
        most = max(int(side.max(initial=1)) for side in sides)
        steps = [step for step in (1, 10, 50, 100, 500, 1000, 5000, 10000, 50000) if step <= most] or [1]
        steps = [step for i, step in enumerate(steps) if i == 0 or step >= most / 60]
        axes.set_yticks([sign * step**0.5 for step in steps for sign in (1, -1)], [str(s) for s in steps for _ in "+-"])
        axes.set(xlim=(0, 1), xlabel=words["score"], ylabel=words["images_sqrt"])
        up, down = (max(1, int(side.max(initial=1))) ** 0.5 for side in sides)
        axes.set_ylim(-1.08 * down - 0.04 * up, 1.08 * up + 0.04 * down)
        axes.xaxis.set_ticks(np.linspace(0, 1, 6))
        ticks(axes.xaxis, words)
        sheet.figure.legend(loc="outside upper center", ncols=3, columnspacing=1.2, handlelength=1.4)
    return sheet.svg


def training_curves(history: Sequence[Epoch], words: Words, *, key: str = "") -> str:
    """Loss, then what was watched on the validation part of AUROC, accuracy and Dice; dotted where a phase begins."""
    x = list(range(1, len(history) + 1))
    watched = {
        "auroc": [e.val_auroc for e in history],
        "accuracy": [e.val_accuracy for e in history],
        "dice": [e.val_dice for e in history],
    }
    watched = {name: values for name, values in watched.items() if any(value is not None for value in values)}
    looks: dict[str, Any] = {
        "auroc": {"color": BLUE},
        "accuracy": {"color": GREEN, "linestyle": (0, (4, 2))},
        "dice": {"color": ORANGE, "linestyle": (0, (6, 1.6, 1, 1.6))},
    }
    with drawing(words["training"], 8.8, 3.3, key) as sheet:
        left, right = sheet.axes(1, 2, 1), sheet.axes(1, 2, 2)
        left.plot(x, [e.train_loss for e in history], color=ORANGE, linestyle=(0, (4, 2)), label=words["train_loss"])
        left.plot(x, [e.val_loss for e in history], color=BLUE, label=words["val_loss"])
        series = {name: [np.nan if value is None else value for value in values] for name, values in watched.items()}
        for name, values in series.items():
            right.plot(x, values, label=words[f"val_{name}"], **looks[name])
        first = next(iter(series.values()), [np.nan] * len(x))
        kept = [i for i, e in enumerate(history) if e.best][-1:]
        for axes, marked in ((left, [e.val_loss for e in history]), (right, first)):
            for i in kept:
                axes.plot(
                    [x[i]], [marked[i]], "*", color=RED, markersize=12, label=words["kept"], zorder=5,
                    markeredgecolor="white", markeredgewidth=0.8,
                )  # fmt: skip
            for i in range(1, len(history)):
                if history[i].phase != history[i - 1].phase:
                    axes.axvline(x[i] - 0.5, color=MUTED, linewidth=1, linestyle=":")
            axes.set_xlabel(words["epoch"])
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.margins(x=0.03)
            ticks(axes.xaxis, words)
            ticks(axes.yaxis, words)
            if axes.lines:
                axes.legend()
        left.set_ylabel(words["loss"])
        names = {"auroc": words["auroc"], "accuracy": words["accuracy"].lower(), "dice": words["dice"]}
        right.set_ylabel(", ".join(names[name] for name in watched))
        if not history:
            nothing(left, words)
            nothing(right, words)
    return sheet.svg
