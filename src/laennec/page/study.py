"""The page and the terminal text about a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from laennec import plots
from laennec.estimates import Estimate
from laennec.findings import Ground, RunFound, StudyReport
from laennec.page.html import SHARES, render
from laennec.page.study_plots import colour, cost_of_quality, ink, learning_curves, roc_curves
from laennec.page.text import RESEARCH, add_row, plain_table
from laennec.page.voice import LANGUAGES, Language, Voice

if TYPE_CHECKING:
    from markupsafe import Markup

QUALITY = ("auroc", "accuracy", "sensitivity", "specificity", "f1_macro")
_LEVEL = 0.05  # of the corrected p value below which a difference is told as one


def study_page(report: StudyReport, language: Language = "en") -> str:
    """A study as one HTML page, in English and French, that needs nothing else.

    Args:
        language: the one shown first; the page's switch shows the other.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    bodies = {lang: _body(report, Voice(lang)) for lang in LANGUAGES}
    return render("study.html.j2", language, _told(report, "title", language), bodies)


def _told(thing: StudyReport | RunFound, name: str, language: str) -> str:
    """A text of the study's author in `language`, in English where there is no other."""
    return str((language == "fr" and getattr(thing, f"{name}_fr")) or getattr(thing, name))


def _body(report: StudyReport, voice: Voice) -> dict[str, Any]:
    on = [report.on(ground) for ground in report.grounds]
    main = on[0] if on else []
    finished = [run for run in report.runs if run.trials]
    return {
        "v": voice,
        "report": report,
        "told": lambda thing, name: _told(thing, name, voice.lang),
        "foreign": lambda thing, name: "en" if voice.lang == "fr" and not getattr(thing, f"{name}_fr") else None,
        "grounds": [{"ground": ground, "runs": runs} for ground, runs in zip(report.grounds, on, strict=True)],
        "main": main,
        "finished": finished,
        "tested": [run for run in main if run.against is not None],
        "exported": [run for run in finished if run.speed is not None],
        "outcome": _outcome(report, voice),
        "cautions": _cautions(report, voice),
        "quality": QUALITY,
        "shares": SHARES,
        "several": len(report.seeds) > 1,
        "absent": Estimate(value=None, n=0),
        "colour": colour,
        "ink": ink,
        "figures": _figures(report, main, voice),
        "classes": [_by_label(runs) for runs in on],
    }


def _figures(report: StudyReport, main: Sequence[RunFound], voice: Voice) -> dict[str, Any]:
    words = voice.plot_words()
    return {
        "roc": [roc_curves(report, report.on(ground), voice) for ground in report.grounds],
        "cost": cost_of_quality(report, main, voice),
        "learning": learning_curves(report, voice),
        "confusion": {
            run.name: plots.confusion_matrix(run.trials[0], words, key=f"{voice.lang}{run.name}")
            for run in report.runs
            if run.trials and run.trials[0].confusion
        },
    }


def _by_label(runs: Sequence[RunFound]) -> list[dict[str, Any]]:
    """Per label, each run's figures of its first seed."""
    labels = [figures.label for figures in runs[0].trials[0].per_class] if runs else []
    return [
        {
            "label": label,
            "n": runs[0].trials[0].per_class[at].n,
            "rows": [(run, run.trials[0].per_class[at]) for run in runs],
        }
        for at, label in enumerate(labels)
    ]


def _outcome(report: StudyReport, voice: Voice) -> list[Markup]:
    """What the study found, a sentence each; only what its figures say."""
    main = report.on(report.grounds[0]) if report.grounds else []
    said: list[Markup] = []
    if not main:
        said.append(voice("study.none_ended"))
    ranked = [run for run in main if run.figure("auroc").value is not None]
    if len(ranked) > 1:
        best = max(ranked, key=lambda run: run.figure("auroc").value or 0.0)
        said.append(_best(report.grounds[0], best, voice))
    if main and not report.by_name[report.reference].trials:
        said.append(voice("study.no_tests", reference=report.reference))
    for run in main:
        found = run.against
        if found is None or found.auroc.value is None:
            continue
        told = "same" if found.auroc_holm >= _LEVEL else "above" if found.auroc.value > 0 else "below"
        said.append(
            voice(
                f"study.{told}",
                name=run.name,
                reference=report.reference,
                difference=voice.signed(found.auroc.value, 3),
                interval=_signed(found.auroc, voice),
                p=_p(found.auroc_holm, voice),
            )
        )
    decided = [run for run in main if run.figure("sensitivity").value is not None]
    if len(decided) > 1:
        least = max(decided, key=lambda run: (run.figure("sensitivity").value, run.figure("specificity").value or 0.0))
        sensitivity, specificity = (voice.percent(least.figure(n).value) for n in ("sensitivity", "specificity"))
        said.append(voice("study.least_missed", name=least.name, sensitivity=sensitivity, specificity=specificity))
    for run in report.runs:
        if run.speed is not None:
            latency, before = voice.number(run.speed.latency, 1), voice.number(run.speed.parent_latency, 1)
            said.append(voice("study.faster", name=run.name, parent=run.of, latency=latency, before=before))
    if report.failures:
        said.append(voice("study.failed_count", n=voice.count(len(report.failures))))
    return said


def _best(ground: Ground, best: RunFound, voice: Voice) -> Markup:
    estimate, spread = best.figure("auroc"), best.spread("auroc")
    interval: Markup | str = ""
    if estimate.low is not None:
        interval = voice("study.range", interval=voice.interval(estimate))
    elif spread is not None:
        interval = voice("study.range_seeds", n=len(best.trials), spread=voice.number(spread))
    return voice(
        "study.best",
        name=best.name,
        auroc=voice.value(estimate),
        interval=interval,
        images=voice.count(ground.images["test"]),
        patients=voice.count(ground.patients["test"]),
    )


def _p(value: float, voice: Voice) -> str:
    told = voice.p(value)
    return f"p\u00a0{told}" if told.startswith("<") else f"p\u00a0=\u00a0{told}"


def _signed(estimate: Estimate, voice: Voice) -> str:
    if estimate.low is None or estimate.high is None:
        return "–"
    # A dash between two signed numbers reads badly.
    return f"{voice.signed(estimate.low, 3)} … {voice.signed(estimate.high, 3)}"


def _cautions(report: StudyReport, voice: Voice) -> list[tuple[str, Markup | str]]:
    """What a reader must bear in mind, as (language, sentence); the data set's own notes are English."""
    finished = [run for run in report.runs if run.trials]
    if not finished:
        return []
    said: list[Markup] = []
    ground = report.grounds[0]
    said.append(
        voice("study.care.seeds", n=len(report.seeds)) if len(report.seeds) > 1 else voice("study.care.one_seed")
    )
    said.append(
        voice(
            "study.care.n",
            images=voice.count(ground.images["test"]),
            positives=voice.count(ground.positives),
            finding=voice.names(ground.positive),
        )
    )
    if ground.patients["test"] < ground.images["test"]:
        said.append(
            voice("several", images=voice.count(ground.images["test"]), patients=voice.count(ground.patients["test"]))
        )
    trained = [run for run in finished if not run.of]
    last = [run.name for run in trained if run.trials[0].epochs and run.trials[0].kept_epoch == run.trials[0].epochs]
    if last:
        said.append(voice("study.care.last", names=_names(last, trained, voice)))
    random = [run.name for run in trained if run.starting_weights == "random"]
    if random:
        said.append(voice("study.care.random", names=_names(random, trained, voice)))
    machines = {(trial.hardware, trial.threads) for run in trained for trial in run.trials}
    said.append(voice("study.care.hardware") if len(machines) > 1 else voice("study.care.times"))
    said.append(voice("study.care.chosen"))
    notes = dict.fromkeys(note for one in report.grounds for note in one.notes)
    return [(voice.lang, sentence) for sentence in said] + [("en", note) for note in notes]


def _names(names: Sequence[str], of: Sequence[RunFound], voice: Voice) -> str:
    return voice.plain("study.all") if len(names) == len(of) > 1 else ", ".join(names)


def study_text(report: StudyReport) -> Group:
    """A study as rich tables; ``print(...)`` it on a `rich.console.Console` of 80 columns or more."""
    voice = Voice("en")
    parts: list[Any] = [Text(report.title, style="bold"), Text(report.question)]
    if report.pending:
        parts.append(Text(f"Not finished. Still to run: {', '.join(report.pending)}.", style="yellow"))
    for ground in report.grounds:
        runs = report.on(ground)
        if ground.other:
            why = "other labels or images" if ground.other == "data" else "another split"
            parts.append(Text(f"On {why}, so not tested against {report.reference}:", style="yellow"))
        parts.append(
            Text(
                f"{ground.collection}, test part: {ground.images['test']} images of {ground.patients['test']} patients"
                + (f"; mean and standard deviation over {len(report.seeds)} seeds" if len(report.seeds) > 1 else "")
            )
        )
        quality = plain_table("How well they decide", ["", "AUROC", "Accuracy", "Sensitivity", "Specificity"])
        for run in runs:
            cells = [_cell(run, name, voice) for name in QUALITY[:4]]
            add_row(quality, f"{report.number(run.name)}  {run.name}", *cells)
        parts.append(quality)
    tested = [run for run in report.runs if run.against is not None]
    if tested:
        tests = plain_table(
            f"Against {report.reference}, paired; p by Holm for {len(tested)}",
            ["", "AUROC, difference", "p (DeLong)", "p (McNemar)", "Otherwise"],
        )
        for run in tested:
            against = run.against
            assert against is not None  # noqa: S101  # chosen so
            difference = f"{voice.signed(against.auroc.value, 3)}\n{_signed(against.auroc, voice)}"
            ps = (voice.p(p).replace("\u00a0", " ") for p in (against.auroc_holm, against.decisions_holm))
            add_row(tests, f"{report.number(run.name)}  {run.name}", difference, *ps, f"{100 * against.flipped:.1f} %")
        parts.append(tests)
    cost = plain_table("What they cost", ["", "Parameters", "MB", "Training, min", "Epochs", "Kept"])
    for run in report.runs:
        if run.trials:
            first = run.trials[0]
            minutes = sum(trial.seconds for trial in run.trials) / len(run.trials) / 60
            trained = (
                (f"as {run.of}", "", "") if run.of else (f"{minutes:.1f}", str(first.epochs), str(first.kept_epoch))
            )
            size = "" if run.megabytes is None else f"{run.megabytes:.1f}"
            add_row(cost, f"{report.number(run.name)}  {run.name}", voice.count(run.parameters), size, *trained)
    failed = [Text(f"Did not end: {f.folder}: {f.reason}", style="yellow") for f in report.failures]
    parts += [cost, *failed, Text(RESEARCH, style="dim")]
    return Group(*parts)


def _cell(run: RunFound, name: str, voice: Voice) -> Text:
    estimate, spread = run.figure(name), run.spread(name)
    if estimate.value is None:
        return Text("n/a", style="dim")
    below = f"± {spread:.3f}" if spread is not None else ""
    if estimate.low is not None and estimate.high is not None:
        below = f"{estimate.low:.3f}–{estimate.high:.3f}"
    claimed = run.reported.get(name)
    told = [(f"{estimate.value:.3f}", "bold"), (f"\n{below}", "dim")]
    if claimed is not None:
        told.append((f"\nclaimed {claimed:.3f}", "dim italic"))
    return Text.assemble(*told)
