"""What the runs of a study left, summed up in one `StudyReport`. Reads bundles and reports; runs nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from laennec import hardware, pairing
from laennec.bundle import Bundle
from laennec.card import Architecture
from laennec.findings import (
    Difference,
    Failure,
    Ground,
    RunFound,
    Speed,
    StudyReport,
    Trial,
)
from laennec.recipe import Recipe
from laennec.results import Epoch, Report
from laennec.studies import Run, Study
from laennec.version import VERSION

# Keys that tell where something lies or what it is called, not what a run is.
_UNTOLD = {"name", "description", "data.root"}


@dataclass(frozen=True)
class Step:
    """One run under one seed.

    Attributes:
        folder: where its bundle lies or will lie; its name is the step's.
        recipe: None where it is exported from another.
        needs: names of the folders it is made from.
    """

    run: Run
    seed: int | None
    folder: Path
    recipe: Recipe | None
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Done:
    """A finished step: its bundle, judged on the test part."""

    bundle: Bundle
    report: Report
    history: tuple[Epoch, ...]
    speed: Speed | None


def sum_up(
    study: Study, steps: Sequence[Step], done: Mapping[str, Done], failures: Mapping[str, Failure]
) -> StudyReport:
    """The report of a study as far as it has come.

    Args:
        study: what was asked.
        steps: all of them.
        done: finished steps by their folder's name.
        failures: those that ended badly, by their folder's name.
    """
    finished = {
        run.name: [(step, done[step.folder.name]) for step in steps if step.run is run and step.folder.name in done]
        for run in study.runs
    }
    grounds = _grounds(study, finished)
    tested = [name for name in grounds[0].runs if name != study.against] if grounds else []
    found: dict[str, Any] = {}
    if grounds and finished[study.against]:
        reports = {name: [end.report for _, end in finished[name]] for name in grounds[0].runs}
        found = dict(
            zip(tested, pairing.against(reports[study.against], [reports[name] for name in tested]), strict=True)
        )
    return StudyReport(
        name=study.name,
        title=study.title,
        title_fr=study.title_fr,
        question=study.question,
        question_fr=study.question_fr,
        reference=study.against,
        seeds=study.seeds,
        reported_on=study.reported_on,
        reported_on_fr=study.reported_on_fr,
        runs=tuple(_run(run, steps, finished[run.name], found.get(run.name)) for run in study.runs),
        grounds=tuple(grounds),
        differences=tuple(_differences(study, steps)),
        failures=tuple(failures.values()),
        pending=tuple(s.folder.name for s in steps if s.folder.name not in done and s.folder.name not in failures),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=hardware.describe(),
        laennec=VERSION,
    )


def _run(run: Run, steps: Sequence[Step], finished: Sequence[tuple[Step, Done]], against: Any) -> RunFound:
    recipe = next((step.recipe for step in steps if step.run is run), None)
    made: dict[str, Any] = {}
    if finished:
        bundle = finished[0][1].bundle
        card = bundle.card
        made = {
            "model": _model(bundle),
            "backend": card.backend,
            "precision": card.precision,
            "parameters": card.parameters,
            "megabytes": bundle.megabytes,
            "starting_weights": card.starting_weights,
            "speed": finished[0][1].speed,
        }
    return RunFound(
        name=run.name,
        recipe=Path(run.recipe).stem,
        description=recipe.description if recipe is not None else "",
        note=run.note,
        note_fr=run.note_fr,
        of=run.of,
        reported=run.reported.figures(),
        trials=tuple(_trial(step, end) for step, end in finished),
        against=against,
        **made,
    )


def _model(bundle: Bundle) -> str:
    """The network in a word or two: its backbone where it has one."""
    card = bundle.card
    if card.ensemble is not None:
        return " + ".join(_network(member.model) for member in card.ensemble.members)
    return _network(card.model)


def _network(architecture: Architecture) -> str:
    return str(architecture.options.get("backbone", architecture.name))


def _trial(step: Step, end: Done) -> Trial:
    report, seen = end.report, end.bundle.card.training
    return Trial(
        seed=step.seed,
        folder=step.folder.name,
        bundle_digest=end.bundle.digest,
        labels=report.labels,
        metrics=report.metrics,
        per_class=report.per_class,
        confusion=report.confusion,
        roc=report.roc,
        threshold=report.threshold,
        history=end.history,
        epochs=seen.epochs,
        kept_epoch=seen.kept_epoch,
        learning=seen.learning,
        seconds=seen.seconds,
        threads=seen.threads,
        hardware=seen.hardware,
    )


def _grounds(study: Study, finished: Mapping[str, Sequence[tuple[Step, Done]]]) -> list[Ground]:
    """The data the finished runs stand on, the reference's first; labels and images differ, or the split does."""
    ends = {name: found[0][1] for name, found in finished.items() if found}
    if not ends:
        return []
    first = study.against if study.against in ends else next(iter(ends))
    by_data: dict[tuple[object, ...], list[str]] = {_data(ends[first]): []}
    for name, end in ends.items():
        by_data.setdefault(_data(end), []).append(name)
    grounds: list[Ground] = []
    for data, names in by_data.items():
        other: Literal["", "data", "split"] = ""
        if grounds:
            other = "data" if data[:-1] != _data(ends[first])[:-1] else "split"
        report, seen = ends[names[0]].report, ends[names[0]].bundle.card.data
        grounds.append(
            Ground(
                runs=tuple(names),
                other=other,
                collection=report.collection,
                collection_digest=report.collection_digest,
                split_digest=report.split_digest,
                split_how=report.split_how,
                licence=report.licence,
                citation=report.citation,
                notes=report.notes,
                labels=report.labels,
                positive=report.positive,
                images=seen.images | {report.part: report.images},
                patients=seen.patients | {report.part: report.patients},
                positives=report.positives,
                of_labels={figures.label: figures.n for figures in report.per_class},
            )
        )
    return grounds


def _data(end: Done) -> tuple[object, ...]:
    """What runs must share to be tested against each other; a collection's digest knows nothing of its finding."""
    return end.report.collection_digest, end.report.positive, end.report.split_digest


def _differences(study: Study, steps: Sequence[Step]) -> list[Difference]:
    """Keys whose values are not the same in the recipes of all trained runs."""
    flat: dict[str, dict[str, str]] = {}
    for step in steps:
        if step.recipe is not None and step.run.name not in flat:
            values = step.recipe.model_dump(mode="json")
            if study.seeds:
                values.pop("seed")
            flat[step.run.name] = {key: text for key, text in _flat(values) if key not in _UNTOLD}
    keys = dict.fromkeys(key for values in flat.values() for key in values)
    rows = []
    for key in keys:
        values = {name: own.get(key, "") for name, own in flat.items()}
        if len(set(values.values())) > 1:
            rows.append(Difference(key=key, values=values))
    return rows


def _flat(values: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys and their values as a recipe writes them; a folder only by its name."""
    inner: Any = None
    if isinstance(values, Mapping):
        inner = values.items()
    elif isinstance(values, list) and any(isinstance(value, Mapping) for value in values):
        inner = enumerate(values)
    if inner is not None:
        for key, value in inner:
            yield from _flat(value, f"{at}.{key}" if at else str(key))
    elif at == "teacher.bundle" or (at == "model.weights" and str(values).endswith(".safetensors")):
        yield at, Path(values).name if values else ""
    else:
        yield at, values if isinstance(values, str) else json.dumps(values, ensure_ascii=False)
