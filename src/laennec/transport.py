"""Leave-one-source-out: one recipe trained once for each hospital or collection that it does not see, told in a table.

Whether a model travels is asked of images from a place it has learned nothing of. Beside the figure there stands what
the same recipe reaches on the same images when it learned from that place too: without it a hard hospital would look
like a model that does not travel.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from laennec import auditing, hardware, intervals, loader, shelf, work
from laennec.bundle import CARD, open_bundle
from laennec.checks import INDEPENDENT, Audit, Check, Outcome, Table, Verdict
from laennec.errors import LaennecError, UsageError
from laennec.estimates import Estimate
from laennec.evaluation import judged
from laennec.findings import StudyReport
from laennec.outputs import PROBABILITIES
from laennec.page import Language
from laennec.recipe import Recipe
from laennec.results import Report
from laennec.samples import Collection, patients_of
from laennec.split import part
from laennec.studies import Run, Study
from laennec.studying import study
from laennec.version import VERSION
from laennec.wording import Text, tell, written

ALL = "all"
TITLE = Text(en="A hospital never seen", fr="Un hôpital jamais vu")
METHOD = tell(
    "The recipe is trained once as it is and once without each source, whose images are then the test; patients never "
    "straddle. AUROC with DeLong’s interval, sensitivity and specificity at the threshold fitted on validation, which "
    "has no image of the source. Both models are held against each other on the images neither learned from, by "
    "DeLong’s paired test (DeLong 1988), p corrected by Holm’s method. One training each: what another seed would "
    "give is not in the intervals. {i}",
    "La recette est entraînée une fois telle quelle, puis une fois sans chaque source, dont les images forment alors "
    "le test ; aucun patient n’est dans deux parties. AUROC avec l’intervalle de DeLong, sensibilité et spécificité au "
    "seuil ajusté sur la validation, qui n’a aucune image de la source. Les deux modèles sont comparés sur les images "
    "dont aucun n’a appris, par le test apparié de DeLong (DeLong 1988), p corrigé par la méthode de Holm. Un seul "
    "entraînement pour chacun : ce qu’une autre graine donnerait n’est pas dans les intervalles. {i}",
    i=INDEPENDENT,
)
_HEAD = {
    "Source left out": "Source écartée",
    "Images": "Images",
    "With the finding": "Avec l’anomalie",
    "AUROC": "AUROC",
    "Sensitivity": "Sensibilité",
    "Specificity": "Spécificité",
}
_HEAD_PAIRED = {
    "Source": "Source",
    "Images judged by both": "Images jugées par les deux",
    "AUROC, learned from it": "AUROC, source apprise",
    "AUROC, left out": "AUROC, source écartée",
    "Difference": "Écart",
    "p (Holm)": "p (Holm)",
}


def sources_of(recipe: Recipe) -> tuple[Collection, list[str]]:
    """The data set of a recipe, and the sources it names, in order.

    Raises:
        UsageError: it names fewer than two; or as loading the data set does.
    """
    collection = loader.load_collection(recipe.data)
    names = sorted({sample.source for sample in collection.samples if sample.source})
    if len(names) < 2:
        told = f"all its images are from '{names[0]}'" if names else "it does not say where its images are from"
        raise UsageError(
            f"'{collection.name}' has no two sources: {told}", "take a table with a source column (data.source)"
        )
    return collection, names


def asked(recipe: str | Path, names: Sequence[str]) -> Study:
    """The study that trains a recipe as it is, and once without each of these sources."""
    runs = [Run(name=ALL, recipe=str(recipe), note="Learns from every source.", note_fr="Apprend de chaque source.")]
    for name, folder in zip(names, folders(names), strict=True):
        runs.append(Run(name=folder, recipe=str(recipe), set={"split.leave_out": name}))
    return Study(
        name=f"{Path(recipe).stem}-sources",
        title="A hospital never seen",
        title_fr="Un hôpital jamais vu",
        question="How does the recipe do on images from a source it has learned nothing of?",
        question_fr="Que vaut la recette sur les images d’une source dont elle n’a rien appris ?",
        reference=ALL,
        runs=tuple(runs),
    )


def folders(names: Sequence[str]) -> list[str]:
    """The run of each source: its name with other signs made hyphens, numbered where two would be the same."""
    found: list[str] = []
    for number, name in enumerate(names, 1):
        plain = "without-" + (re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or str(number))
        found.append(plain if plain.lower() not in {one.lower() for one in found} else f"{plain}-{number}")
    return found


def leave_one_source_out(
    recipe: str | Path,
    out: str | Path | None = None,
    *,
    only: Sequence[str] = (),
    changes: Sequence[str] = (),
    root: str | Path | None = None,
    language: Language = "en",
    trackers: Sequence[str] = (),
) -> tuple[Audit, StudyReport]:
    """Train a recipe as it is and once without each source, judge each on what it has not seen, and tell it.

    Writes what a study writes, and ``audit.json`` and ``audit.html`` with the table. Run again, it goes on where it
    was cut, as a study does.

    Args:
        recipe: its file, or the name of one at hand.
        out: folder of the results; ``runs/`` and the recipe's name with ``-sources`` by default.
        only: sources to leave out; each that the data set names by default.
        changes: ``key=value`` for every run, as ``--set`` takes them.
        root: where the data lies.
        language: the pages open in.
        trackers: beside ``jsonl``.

    Returns:
        The table as an audit of one check, and the report of the study; its `failures` name the runs that did not end.

    Raises:
        UsageError: the data set names fewer than two sources, or not one of `only`; a source cannot be left out; a
            recipe that leaves one out itself, or one that decides nothing. Before anything is trained.
        LaennecError: no run ended.
    """
    started = time.perf_counter()
    path = shelf.find(recipe)
    base = Recipe.read(path, [*changes, *([] if root is None else [f"data.root={root}"])])
    if base.split.leave_out:
        raise UsageError("the recipe leaves out a source itself", "take split.leave_out out of it")
    if PROBABILITIES not in work.check(base.task):
        raise UsageError(f"the task '{base.task}' decides nothing", "take a recipe that classifies")
    collection, names = sources_of(base)
    strangers = sorted(set(only) - set(names))
    if strangers:
        raise UsageError(f"no image of '{collection.name}' is from '{strangers[0]}'", f"sources: {', '.join(names)}")
    names = [name for name in names if not only or name in only]
    for name in names:  # what cannot be parted is told before the first training
        part(collection, base.split.model_copy(update={"leave_out": name}))
    wanted = asked(path, names)
    folder = Path(out) if out is not None else Path("runs") / wanted.name
    told = study(wanted, folder, changes=changes, root=root, language=language, trackers=trackers)
    reports = {
        run.name: judged(open_bundle(folder / run.name), "test", root=root)
        for run in wanted.runs
        if told.by_name[run.name].trials and (folder / run.name / CARD).is_file()
    }
    if not reports:
        raise LaennecError("no training ended", told.failures[0].reason if told.failures else "")
    outcome = compared(dict(zip(names, folders(names), strict=True)), reports)
    first = next(iter(reports.values()))
    seconds = time.perf_counter() - started
    audit = Audit(
        of="model",
        name=wanted.name,
        collection=collection.name,
        collection_digest=collection.digest,
        split_digest=first.split_digest,
        split_how="one source is the test, by patient",
        part="test",
        positive=collection.labels.positive,
        images=len(collection.samples),
        patients=patients_of(collection.samples),
        checks=(Check(name="sources", title=TITLE, seconds=seconds, **dict(outcome)),),
        seconds=seconds,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=hardware.describe(),
        laennec=VERSION,
    )
    auditing.write(audit, folder, {sample.id: sample.path for sample in collection.samples}, language)
    return audit, told


def compared(runs: dict[str, str], reports: dict[str, Report]) -> Outcome:
    """What the reports of the trainings say: a row for each source whose training ended.

    Nothing passes that was not compared: the verdict is ``warn`` where a training did not end or a source has no image
    that both models could be judged on, ``skipped`` where no source has any.

    Args:
        runs: the run that left out each source.
        reports: of the runs that ended, by run, on their test parts; `ALL` is the one that left out none.
    """
    done = {name: reports[run] for name, run in runs.items() if run in reports}
    pairs = {name: _paired(report, reports.get(ALL)) for name, report in done.items()}
    corrected = dict(zip(pairs, intervals.holm([p for *_, p in pairs.values()]), strict=True))
    figures: dict[str, Estimate] = {}
    rows, paired = [], []
    for name, report in done.items():
        learned, left, gap, _ = pairs[name]
        shown = [report.metrics[key] for key in ("auroc", "sensitivity", "specificity")]
        figures |= {f"{runs[name]}_auroc": shown[0], f"{runs[name]}_change": gap}
        rows.append((name, report.images, report.positives, *shown))
        paired.append((name, gap.n, learned, left, gap, corrected[name]))
    areas = {name: report.metrics["auroc"] for name, report in done.items()}
    known = {name: area.value for name, area in areas.items() if area.value is not None}
    lowest = min(known, key=known.__getitem__, default="")
    if known:
        figures["worst_auroc"] = areas[lowest]
    worse = [name for name in done if corrected[name] < 0.05 and (pairs[name][2].value or 0.0) < 0]
    apart = [name for name in done if pairs[name][2].value is None]
    said = [_say_worse(name, *pairs[name][:3]) for name in worse]
    if not worse and len(apart) < len(done):
        said.append(
            tell(
                "No source is shown to be judged worse by a model that has not learned from it.",
                "Rien ne montre qu’un modèle juge moins bien une source dont il n’a pas appris.",
            )
        )
    if known:
        said.append(
            tell(
                "Lowest AUROC on a source left out: {a} ({s}); being chosen as the lowest it looks worse than it is.",
                "AUROC la plus basse sur une source écartée : {a} ({s}) ; choisie comme la plus basse, elle paraît "
                "pire qu’elle n’est.",
                a=written(areas[lowest]), s=lowest,
            )
        )  # fmt: skip
    missing = [name for name in runs if name not in done]
    if missing:
        said.append(
            tell(
                "No training ended without {m}.",
                "Aucun entraînement n’a abouti sans {m}.",
                m=", ".join(missing),
            )
        )
    if ALL not in reports:
        said.append(
            tell(
                "The training on every source did not end: nothing can be said of what leaving one out costs.",
                "L’entraînement sur toutes les sources n’a pas abouti : rien ne peut être dit de ce que coûte la mise "
                "à l’écart de l’une d’elles.",
            )
        )
    elif apart:
        said.append(
            tell(
                "No images of both classes from {s} were judged by both models: what leaving it out costs is "
                "not known.",
                "Aucune image des deux classes provenant de {s} n’a été jugée par les deux modèles : on ignore ce que "
                "coûte sa mise à l’écart.",
                s=", ".join(apart),
            )
        )
    verdict: Verdict = "warn" if worse or missing or apart or ALL not in reports else "pass"
    if done and not worse and not missing and ALL in reports and len(apart) == len(done):
        verdict = "skipped"
    tables = (
        Table(title=Text(en="Sources left out", fr="Sources écartées"), head=_titles(_HEAD), rows=tuple(rows)),
        Table(
            title=Text(en="The same images, with and without", fr="Les mêmes images, avec et sans"),
            head=_titles(_HEAD_PAIRED),
            rows=tuple(paired),
        ),
    )
    return Outcome(verdict=verdict, said=tuple(said), method=METHOD, figures=figures, tables=tables)


def _titles(words: dict[str, str]) -> tuple[Text, ...]:
    return tuple(Text(en=en, fr=fr) for en, fr in words.items())


def _paired(left: Report, whole: Report | None) -> tuple[Estimate, Estimate, Estimate, float]:
    """On the images that both judged, all of the source that one left out: AUROC of the model that learned from it, of
    the one that did not, their difference, and p that there is none.
    """
    both = [] if whole is None else sorted(left.truths.keys() & whole.truths.keys())
    if whole is None or not both:
        nothing = Estimate(value=None, n=0)
        return nothing, nothing, nothing, 1.0
    truth = np.array([left.truths[key] for key in both])
    with_it, without = (np.array([report.scores[key] for key in both]) for report in (whole, left))
    return (
        intervals.delong(truth, with_it),
        intervals.delong(truth, without),
        intervals.delong_difference(truth, with_it, without),
        intervals.delong_paired(truth, with_it, without),
    )


def _say_worse(name: str, learned: Estimate, left: Estimate, gap: Estimate) -> Text:
    return tell(
        "On images from {s} a model that has not learned from them reaches {b} instead of {a}: {c:.3f} less.",
        "Sur les images de {s}, un modèle qui n’en a rien appris atteint {b} au lieu de {a} : {c:.3f} de moins.",
        s=name, a=written(learned), b=written(left), c=-(gap.value or 0.0),
    )  # fmt: skip
