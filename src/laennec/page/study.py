"""The page and the terminal text about a study."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from laennec import plots
from laennec.estimates import Estimate
from laennec.findings import MASKS, Ground, RunFound, StudyReport
from laennec.page.html import render
from laennec.page.measures import HEADLINES, between, heading, plain, written
from laennec.page.study_plots import (
    colour,
    cost_kind,
    cost_of_quality,
    dice_curves,
    ink,
    learning_curves,
    roc_curves,
)
from laennec.page.text import RESEARCH, add_row, plain_table
from laennec.page.voice import LANGUAGES, Language, Voice

if TYPE_CHECKING:
    from markupsafe import Markup

QUALITY = ("auroc", "accuracy", "sensitivity", "specificity", "f1_macro")
_FITTING = (*QUALITY[:4], "dice", "iou", "hd95")  # for the terminal
_SIDES = ("dice", "hd95")  # told of each lung
_DIGITS = {"auroc": 3, "dice": 4}  # of a difference
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
        "tested": _tested(main),
        "exported": [run for run in finished if run.speed is not None],
        "outcome": _outcome(report, voice),
        "cautions": _cautions(report, voice),
        "tables": _tables,
        "names": _names_of(finished),
        "masked": [run for run in finished if run.segments],
        "sides": _SIDES,
        "heading": partial(heading, voice),
        "written": partial(written, voice),
        "between": partial(between, voice),
        "several": len(report.seeds) > 1,
        "absent": Estimate(value=None, n=0),
        "colour": colour,
        "ink": ink,
        "figures": _figures(report, main, voice),
        "classes": [_by_label(runs) for runs in on],
    }


def _figures(report: StudyReport, main: Sequence[RunFound], voice: Voice) -> dict[str, Any]:
    words, several = voice.plot_words(), len(report.seeds) > 1
    charts = [_charts(report, report.on(ground), voice) for ground in report.grounds]
    if charts:
        note = voice("study.note_cost_seeds" if several else "study.note_cost")
        charts[0].append((voice(f"study.cost_plot.{cost_kind(main)}"), cost_of_quality(report, main, voice), [note]))
    return {
        "charts": charts,
        "learning": learning_curves(report, voice),
        "confusion": {
            run.name: plots.confusion_matrix(run.trials[0], words, key=f"{voice.lang}{run.name}")
            for run in report.runs
            if run.trials and run.trials[0].confusion
        },
    }


def _charts(report: StudyReport, runs: Sequence[RunFound], voice: Voice) -> list[tuple[Markup, str, list[Markup]]]:
    """Title, SVG and notes of the figures that runs on one ground share."""
    several, charts = len(report.seeds) > 1, []
    if any(run.classifies for run in runs):
        notes = ["study.note_roc", *(["study.note_roc_seeds"] if several else [])]
        charts.append((voice("plot.roc"), roc_curves(report, runs, voice), [voice(note) for note in notes]))
    if any(run.segments for run in runs):
        charts.append((voice("study.dice_plot"), dice_curves(report, runs, voice), [voice("study.note_dice")]))
    return charts


def _names_of(runs: Sequence[RunFound]) -> list[str]:
    """The figures that any trial has, of decisions and then of masks."""
    return [name for name in (*QUALITY, *MASKS) if any(name in t.figures for run in runs for t in run.trials)]


def _tables(runs: Sequence[RunFound]) -> list[dict[str, Any]]:
    """The tables of quality of runs on one ground: those that decide, and those that outline; some stand in both."""
    decide, outline = [run for run in runs if run.classifies], [run for run in runs if run.segments]
    kinds = {"quality": (decide, QUALITY), "masks": (outline, MASKS)}
    return [
        {"kind": kind, "runs": able, "names": [name for name in _names_of(able) if name in names]}
        for kind, (able, names) in kinds.items()
        if able
    ]


def _tested(runs: Sequence[RunFound]) -> dict[str, list[RunFound]]:
    """Runs tested against the reference, by the figure tested."""
    return {
        name: [run for run in runs if run.against is not None and getattr(run.against, name) is not None]
        for name in HEADLINES
    }


def _by_label(runs: Sequence[RunFound]) -> list[dict[str, Any]]:
    """Per label, the figures of each run that decides, of its first seed."""
    runs = [run for run in runs if run.trials[0].per_class]
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
    for name in HEADLINES:
        ranked = [run for run in main if run.figure(name).value is not None]
        if len(ranked) > 1:
            best = max(ranked, key=lambda run: run.figure(name).value or 0.0)
            said.append(_best(report.grounds[0], best, name, voice))
    if main and not report.by_name[report.reference].trials:
        said.append(voice("study.no_tests", reference=report.reference))
    for name, runs in _tested(main).items():
        said += [_verdict(report, run, name, voice) for run in runs if getattr(run.against, name).value is not None]
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


def _verdict(report: StudyReport, run: RunFound, name: str, voice: Voice) -> Markup:
    """A run against the reference by its AUROC or its Dice, in a sentence."""
    difference, p = getattr(run.against, name), getattr(run.against, f"{name}_holm")
    told = "same" if p >= _LEVEL else "above" if difference.value > 0 else "below"
    return voice(
        f"study.{told}" if name == "auroc" else f"study.{told}_{name}",
        name=run.name,
        reference=report.reference,
        difference=voice.signed(difference.value, _DIGITS[name]),
        interval=_signed(difference, voice, _DIGITS[name]),
        p=_p(p, voice),
    )


def _best(ground: Ground, best: RunFound, name: str, voice: Voice) -> Markup:
    estimate, spread, masks = best.figure(name), best.spread(name), best.trials[0].segmentation
    images, patients = ground.images["test"], ground.patients["test"]
    if name == "dice" and masks is not None:
        images, patients = masks.images, masks.patients
    interval: Markup | str = ""
    if estimate.low is not None:
        interval = voice("study.range", interval=voice.interval(estimate))
    elif spread is not None:
        interval = voice("study.range_seeds", n=len(best.trials), spread=voice.number(spread))
    return voice(
        "study.best" if name == "auroc" else f"study.best_{name}",
        name=best.name,
        figure=voice.value(estimate),
        interval=interval,
        images=voice.count(images),
        patients=voice.count(patients),
    )


def _p(value: float, voice: Voice) -> str:
    told = voice.p(value)
    return f"p\u00a0{told}" if told.startswith("<") else f"p\u00a0=\u00a0{told}"


def _signed(estimate: Estimate, voice: Voice, digits: int = 3) -> str:
    if estimate.low is None or estimate.high is None:
        return "–"
    # A dash between two signed numbers reads badly.
    return f"{voice.signed(estimate.low, digits)} … {voice.signed(estimate.high, digits)}"


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
    if ground.positive:
        said.append(
            voice(
                "study.care.n",
                images=voice.count(ground.images["test"]),
                positives=voice.count(ground.positives),
                finding=voice.names(ground.positive),
            )
        )
    if ground.masks:
        said.append(voice("study.care.masks", masks=voice.count(ground.masks["test"])))
    if ground.positive and ground.patients["test"] < ground.images["test"]:
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
            why = "other labels, masks or images" if ground.other == "data" else "another split"
            parts.append(Text(f"On {why}, so not tested against {report.reference}:", style="yellow"))
        parts.append(
            Text(
                f"{ground.collection}, test part: {ground.images['test']} images of {ground.patients['test']} patients"
                + (f"; mean and standard deviation over {len(report.seeds)} seeds" if len(report.seeds) > 1 else "")
            )
        )
        parts += [_quality_text(report, table, voice) for table in _tables(runs)]
    parts += [_tests_text(report, runs, name, voice) for name, runs in _tested(report.runs).items() if runs]
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


def _quality_text(report: StudyReport, table: dict[str, Any], voice: Voice) -> Table:
    """One of `_tables` for the terminal, as many columns as fit beside the runs' names."""
    title = {"quality": "How well they decide", "masks": "How well they outline the lungs"}[table["kind"]]
    names = [name for name in table["names"] if name in _FITTING]
    columns = [str(heading(voice, name)).replace(" (Jaccard)", "").replace("pixels", "px") for name in names]
    quality = plain_table(title, ["", *columns])
    for run in table["runs"]:
        add_row(quality, f"{report.number(run.name)}  {run.name}", *(_cell(run, name) for name in names))
    return quality


def _tests_text(report: StudyReport, runs: Sequence[RunFound], name: str, voice: Voice) -> Table:
    """The paired tests of one figure for the terminal."""
    columns = {"auroc": ["AUROC, difference", "p (DeLong)", "p (McNemar)", "Otherwise"]}
    tests = plain_table(
        f"Against {report.reference}, paired; p by Holm for {len(runs)}",
        ["", *columns.get(name, ["Dice, difference", "p (Wilcoxon)"])],
    )
    for run in runs:
        against, digits = run.against, _DIGITS[name]
        assert against is not None  # noqa: S101  # chosen so
        difference = getattr(against, name)
        cells = [f"{voice.signed(difference.value, digits)}\n{_signed(difference, voice, digits)}"]
        cells.append(voice.p(getattr(against, f"{name}_holm")).replace("\u00a0", " "))
        if name == "auroc":
            cells.append(voice.p(against.decisions_holm).replace("\u00a0", " "))
            cells.append("n/a" if against.flipped is None else f"{100 * against.flipped:.1f} %")
        add_row(tests, f"{report.number(run.name)}  {run.name}", *cells)
    return tests


def _cell(run: RunFound, name: str) -> Text:
    estimate, spread = run.figure(name), run.spread(name)
    if estimate.value is None:
        return Text("n/a", style="dim")
    below = f"± {plain(name, spread)}" if spread is not None else ""
    if estimate.low is not None and estimate.high is not None:
        below = f"{plain(name, estimate.low)}–{plain(name, estimate.high)}"
    claimed = run.reported.get(name)
    told = [(plain(name, estimate.value), "bold"), (f"\n{below}", "dim")]
    if claimed is not None:
        told.append((f"\nclaimed {plain(name, claimed)}", "dim italic"))
    return Text.assemble(*told)
