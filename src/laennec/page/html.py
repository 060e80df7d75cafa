"""The pages: what is computed for them, their policy, and their assembly from the templates of this folder.

A page asks nothing of any network and runs no script: styles are allowed by their digest, pictures as data. Both
languages stand in it; two radio buttons and the style sheet choose, which works offline, on paper and by keyboard.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from laennec import plots
from laennec.card import Card
from laennec.checks import Audit
from laennec.costs import Cost
from laennec.decisions import outcomes
from laennec.errors import extra
from laennec.estimates import Estimate
from laennec.page.report_parts import parts
from laennec.page.segmentation import lungs_body, lungs_charts
from laennec.page.voice import LANGUAGES, Language, Voice
from laennec.results import Epoch, Mistake, Report

if TYPE_CHECKING:
    from jinja2 import Environment

SHARES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv")  # written as percentages
PICTURES = 12
LISTED = 200
_KINDS = ("missed", "alarm", "confused")


@cache
def _environment() -> Environment:
    with extra("eval"):
        from jinja2 import Environment, PackageLoader, StrictUndefined
    return Environment(
        loader=PackageLoader("laennec", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, language: Language, title: str, bodies: Mapping[Language, Mapping[str, Any]]) -> str:
    """A template filled with a body for each language, under the policy that lets in its own style sheet and no more.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    style = files("laennec.page").joinpath("style.css").read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{allowed}'; script-src 'none'; base-uri 'none'; "
        "form-action 'none'"
    )
    return (
        _environment()
        .get_template(template)
        .render(
            language=language,
            title=title,
            policy=policy,
            style=style,
            voices=[Voice(lang) for lang in LANGUAGES],
            bodies=bodies,
        )
    )


def picture_uri(data: bytes | None) -> str | None:
    """A PNG or JPEG as a data URI; None for anything else."""
    kinds = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}
    for start, kind in kinds.items():
        if data and data.startswith(start):
            return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return None


def _picked(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most `PICTURES` of the errors with a picture; missed findings may not crowd out the other kinds entirely."""
    missed = [row for row in rows if row["kind"] == "missed"]
    others = [row for row in rows if row["kind"] != "missed"]
    room = min(len(missed), max(PICTURES - len(others), PICTURES * 2 // 3))
    return missed[:room] + others[: PICTURES - room]


def errors_pictured(report: Report) -> list[str]:
    """Ids of the errors whose pictures the page shows, missed findings before false alarms; at most `PICTURES`."""
    if report.operating_point is None:
        return []
    return [row["mistake"].id for row in _picked(_errors(report))]


def _errors(report: Report) -> list[dict[str, Any]]:
    """Every error with its kind, as the page tells them: missed findings first, each kind by falling certainty."""
    rows = [{"mistake": mistake, "kind": _kind(mistake, report)} for mistake in report.mistakes]
    return sorted(rows, key=lambda row: (_KINDS.index(str(row["kind"])), -row["mistake"].certainty))


def _kind(mistake: Mistake, report: Report) -> str:
    called = mistake.score >= report.threshold
    if called == (report.truths.get(mistake.id) == 1):
        return "confused"
    return "alarm" if called else "missed"


def _elsewhere(report: Report) -> list[dict[str, Any]]:
    """The report's predictive values by prevalence, with what would come of 1,000 people there (Altman & Bland, BMJ
    1994); nothing of an older report, which has none."""
    hits, missed, alarms, cleared = outcomes(report.scores, report.truths, report.threshold)
    here = {one.prevalence for one in report.prevalences if one.measured}
    rows = []
    for one in report.prevalences:
        if one.prevalence in here and not one.measured:
            continue
        found = 1000 * one.prevalence * hits / (hits + missed)
        called = found + 1000 * (1 - one.prevalence) * alarms / (alarms + cleared)
        rows.append({"at": one, "called": called, "hits": found, "missed": 1000 * one.prevalence - found})
    return rows


def _report_figures(report: Report, history: Sequence[Epoch], voice: Voice) -> dict[str, str]:
    words = voice.plot_words()
    drawn: dict[str, Callable[..., str]] = {}
    if report.operating_point is not None:
        drawn = {
            "roc": plots.roc_curve,
            "precision_recall": plots.precision_recall_curve,
            "reliability": plots.reliability_diagram,
            "scores": plots.score_histogram,
        }
    if report.confusion:
        drawn["confusion"] = plots.confusion_matrix
    figures = {name: draw(report, words, key=voice.lang) for name, draw in drawn.items()}
    if history:
        figures["training"] = plots.training_curves(history, words, key=voice.lang)
    return figures


def _decisions(report: Report, thumbnails: Mapping[str, bytes], maps: Mapping[str, bytes]) -> dict[str, Any]:
    """What the page's part about decisions is made of; empty for a report without an operating point."""
    if report.operating_point is None:
        return {}
    errors = _errors(report)
    shown = [
        row | {"picture": picture_uri(thumbnails.get(key)), "map": picture_uri(maps.get(key))}
        for row in errors
        for key in (row["mistake"].id,)
    ]
    picked = _picked([row for row in shown if row["picture"]])
    hits, missed, alarms, cleared = outcomes(report.scores, report.truths, report.threshold)
    return {
        "shares": SHARES,
        "hits": hits,
        "missed": missed,
        "alarms": alarms,
        "cleared": cleared,
        "elsewhere": _elsewhere(report),
        "errors": errors[:LISTED],
        "shown": picked,
        "mapped": any(row["map"] for row in picked),
        "absent": Estimate(value=None, n=0),
    }


def report_page(
    report: Report,
    *,
    history: Sequence[Epoch] = (),
    thumbnails: Mapping[str, bytes] | None = None,
    panels: Mapping[str, bytes] | None = None,
    maps: Mapping[str, bytes] | None = None,
    card: Card | None = None,
    audits: Sequence[Audit] = (),
    cost: Cost | None = None,
    language: Language = "en",
) -> str:
    """A report as one HTML page, in English and French, that needs nothing else.

    Args:
        history: the training's epochs, drawn as curves where given.
        thumbnails: sample id to PNG (or JPEG) bytes, for the pictures of the errors that `errors_pictured` names.
        panels: sample id to a PNG of `overlays.panels`, for the pictures of outlined lungs. Those that
            `laennec.page.pictured` names are shown.
        maps: sample id to a PNG of the picture with what raised its score laid over it, shown beside its thumbnail.
        card: of the bundle judged: intended use, data, thresholds by name, cost of training, provenance.
        audits: of this model (told by its digest) and of these data; others are left out.
        cost: of this bundle; another's is left out.
        language: the one shown first; the page's switch shows the other.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    decisions = _decisions(report, thumbnails or {}, maps or {})
    bodies = {}
    for lang in LANGUAGES:
        voice = Voice(lang)
        bodies[lang] = decisions | parts(report, card, audits, cost, voice)
        bodies[lang] |= {
            "report": report,
            "figures": _report_figures(report, history, voice),
            "lungs": lungs_body(report, panels or {}, voice),
            "charts": {} if report.segmentation is None else lungs_charts(report.segmentation, voice),
            "v": voice,
        }
    title = Voice(language)("report_title", model=report.model)
    return render("report.html.j2", language, title, bodies)
