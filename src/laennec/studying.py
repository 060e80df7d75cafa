"""The study stage: several recipes trained, judged on the same test images, and told in one report.

Every run keeps its own folder, so a study that was cut goes on where it stood. A run that fails is told with its
reason and does not stop the others; the runs made from it are left out with that reason.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from laennec import loader, page, progress, shelf, storage
from laennec.bundle import CARD, Bundle, open_bundle
from laennec.card import Limits
from laennec.comparison import compare
from laennec.conversion import export
from laennec.errors import LaennecError, StorageFull, UsageError
from laennec.evaluation import history, judged
from laennec.findings import Failure, Speed, StudyReport
from laennec.page import Language
from laennec.recipe import Recipe, apply_change
from laennec.results import Comparison
from laennec.studies import Export, Run, Study, replaced
from laennec.summing import Done, Step, sum_up
from laennec.training import train

_WRITTEN_EVERY = 60.0  # seconds of work between two writes of the unfinished report


@dataclass(frozen=True)
class _Place:
    """Where and how a study runs."""

    out: Path
    changes: tuple[str, ...]
    root: str | None
    language: Language
    trackers: tuple[str, ...]
    experiment: str


def study(
    what: Study | str | Path,
    out: str | Path | None = None,
    *,
    changes: Sequence[str] = (),
    root: str | Path | None = None,
    language: Language = "en",
    trackers: Sequence[str] = (),
) -> StudyReport:
    """Run a study into `out` and write ``study.json`` and ``study.html`` there.

    Each run is trained into a folder of its own name (with ``-seedN`` where the study names seeds) and judged on the
    test part once. Finished runs are taken as they are, an unfinished training is resumed, a failed run is tried again.

    Args:
        what: a study, its file, or the name of one at hand.
        out: folder of the results; ``runs/`` and the study's name by default.
        changes: ``key=value`` for the recipe of every run, as ``--set`` takes them; they come after the study's own.
        root: where the data lies, for every run.
        language: of the page when it opens.
        trackers: beside ``jsonl``; they find the runs under the study's name.

    Returns:
        The report; its `failures` name the runs that did not end.

    Raises:
        UsageError: the study, or the recipe of a run, is refused: before anything is trained.
        StorageFull: no room; what was finished is intact.
    """
    asked = what if isinstance(what, Study) else Study.read(shelf.find_study(what))
    folder = Path(out) if out is not None else Path("runs") / (asked.name or "study")
    where = str(root) if root is not None else None
    place = _Place(folder, tuple(changes), where, language, tuple(trackers), asked.name or "study")
    if folder.is_file():
        raise UsageError(f"{folder} is a file", "name a folder in --out")
    steps = _plan(asked, place)
    done: dict[str, Done] = {}
    failures: dict[str, Failure] = {}
    written = time.monotonic()
    for number, step in enumerate(steps, 1):
        progress.say(f"run {number} of {len(steps)}: {step.folder.name}")
        try:
            _check_parents(step, failures)
            done[step.folder.name] = _run(step, done, place)
        except StorageFull:
            raise
        except Exception as error:
            failures[step.folder.name] = _failure(step, error)
        if number < len(steps) and time.monotonic() - written > _WRITTEN_EVERY:
            _write_unfinished(sum_up(asked, steps, done, failures), place)
            written = time.monotonic()
    report = sum_up(asked, steps, done, failures)
    _write(report, place)
    progress.say(f"study: {folder / 'study.html'}")
    return report


def _plan(asked: Study, place: _Place) -> list[Step]:
    """Every run under every seed, with its recipe and its folder."""
    steps = []
    for run in asked.runs:
        seeds: Sequence[int | None] = asked.seeds or (None,)
        for seed in seeds:
            try:
                recipe = _recipe(asked, run, seed, place)
            except UsageError as error:
                raise UsageError(f"run '{run.name}': {error.message}", error.hint) from error
            needs = tuple(_folder(place.out, name, seed).name for name in sorted(run.needs))
            steps.append(Step(run, seed, _folder(place.out, run.name, seed), recipe, needs))
    return steps


def _folder(out: Path, name: str, seed: int | None) -> Path:
    return out / (name if seed is None else f"{name}-seed{seed}")


def _recipe(asked: Study, run: Run, seed: int | None, place: _Place) -> Recipe | None:
    """The recipe of a run with the changes of study, run and command line, in this order; None for an export."""
    if run.export is not None:
        return None
    name = _folder(place.out, run.name, seed).name
    recipe = Recipe.read(shelf.find(run.recipe))
    values = replaced({**asked.set, **run.set}, lambda other: str(_folder(place.out, other, seed)))
    values |= {} if seed is None else {"seed": seed}
    values |= {} if place.root is None else {"data.root": place.root}
    own = recipe.changed({**values, "name": name}).model_dump(mode="json")
    for change in place.changes:
        apply_change(own, change)
    return Recipe.parse(own)


def _check_parents(step: Step, failures: dict[str, Failure]) -> None:
    for parent in step.needs:
        if parent in failures:
            raise LaennecError(f"it needs '{parent}', which failed", "mend that run and start the study again")


def _run(step: Step, done: dict[str, Done], place: _Place) -> Done:
    """Train or export a step, unless it is there, and judge it on the test part."""
    parent: Bundle | None = None
    if step.recipe is not None:
        bundle = _finished(step)
        if bundle is None:
            bundle = train(step.recipe, step.folder, trackers=place.trackers, experiment=place.experiment)
    else:
        how = step.run.export or Export()
        parent = done[step.needs[0]].bundle
        bundle = export(
            parent,
            how.backend,
            how.precision,
            out=step.folder,
            root=place.root,
            limits=Limits(**how.model_dump(include=set(Limits.model_fields))),
        )
    trackers, experiment = place.trackers, place.experiment
    report = judged(bundle, "test", root=place.root, language=place.language, trackers=trackers, experiment=experiment)
    return Done(bundle, report, tuple(history(bundle)), _speed(parent, bundle, place) if parent else None)


def _finished(step: Step) -> Bundle | None:
    """The bundle at a step's place if it is that training and only its data or its teacher moved since."""
    if step.recipe is None or not (step.folder / CARD).is_file():
        return None
    bundle = open_bundle(step.folder)
    teacher = step.recipe.teacher.bundle
    taught_by = open_bundle(teacher).digest if teacher else None
    same = _unplaced(bundle.recipe) == _unplaced(step.recipe) and bundle.card.training.teacher == taught_by
    if not same or bundle.card.parent is not None:
        return None
    loader.check_same_data(bundle, *loader.collect(step.recipe))
    return bundle


def _unplaced(recipe: Recipe) -> dict[str, Any]:
    """A recipe without the folders it names."""
    values = recipe.model_dump(mode="json")
    values["data"].pop("root", None)
    if isinstance(values["data"].get("masks"), str):  # a folder; of another data set it may be a switch
        values["data"].pop("masks")
    values["teacher"].pop("bundle")
    return values


def _speed(parent: Bundle, child: Bundle, place: _Place) -> Speed:
    """Child against parent in one interleaved run; one that was timed before is taken from its comparison."""
    path = child.path / "reports" / "comparison.json"
    timed: Comparison | None = None
    if path.is_file():
        with suppress(ValidationError, LaennecError):
            timed = Comparison.model_validate(storage.read_json(path))
    if timed is None or [row.bundle_digest for row in timed.rows] != [parent.digest, child.digest]:
        timed = compare([parent, child], root=place.root, language=place.language)
    before, after = timed.rows
    return Speed(
        latency=after.latency_p50,
        parent_latency=before.latency_p50,
        throughput=after.throughput,
        parent_throughput=before.throughput,
        threads=timed.threads,
        hardware=timed.hardware,
    )


def _failure(step: Step, error: Exception) -> Failure:
    if os.environ.get("LAENNEC_DEBUG"):
        traceback.print_exc()
    known = isinstance(error, LaennecError)
    reason = error.message if isinstance(error, LaennecError) else f"{type(error).__name__}: {error}"
    hint = error.hint if isinstance(error, LaennecError) else "`laennec --debug study …` shows where"
    progress.say(f"{'failed' if known else 'broke'}: {step.folder.name}: {reason}")
    return Failure(run=step.run.name, folder=step.folder.name, reason=reason, hint=hint)


def _write_unfinished(report: StudyReport, place: _Place) -> None:
    """A report under way is a courtesy: what goes wrong with it, but for a full disk, stops no training."""
    try:
        _write(report, place)
    except StorageFull:
        raise
    except Exception as error:
        progress.say(f"the unfinished report could not be written: {type(error).__name__}: {error}")


def _write(report: StudyReport, place: _Place) -> None:
    storage.write_json(place.out / "study.json", report.model_dump(mode="json"))
    storage.write_bytes(place.out / "study.html", page.study_page(report, language=place.language).encode())
