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
_FOLDERS = {"teacher.bundle", "data.masks"}  # told by their last name alone


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
    finished: dict[str, list[tuple[Step, Done]]] = {
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
        threshold=report.threshold if report.operating_point is not None else None,
        segmentation=report.segmentation and report.segmentation.model_copy(update={"rows": ()}),
        dices=tuple(sorted(dice for dice in _dices(report) if dice is not None)),
        history=end.history,
        epochs=seen.epochs,
        kept_epoch=seen.kept_epoch,
        learning=seen.learning,
        seconds=seen.seconds,
        threads=seen.threads,
        hardware=seen.hardware,
    )


def _dices(report: Report) -> list[float | None]:
    return [] if report.segmentation is None else [row.dice for row in report.segmentation.rows]


@dataclass
class _Footing:
    """The data one run stands on, or several that share theirs: what they answer must have the same truth.

    Attributes:
        collection, split: digests. A collection's knows nothing of its finding, nor of masks.
        positive: the finding; None where none is decided on.
        masks: digest of the judged part's masks; None where none are made.
    """

    collection: str
    split: str
    positive: tuple[str, ...] | None
    masks: str | None
    runs: list[str]

    @classmethod
    def of(cls, name: str, end: Done) -> _Footing:
        report, seen = end.report, end.bundle.card.data
        positive = report.positive if report.operating_point is not None else None
        masks = seen.mask_files.get(report.part) if report.segmentation is not None else None
        return cls(report.collection_digest, report.split_digest, positive, masks, [name])

    def same_data(self, other: _Footing) -> bool:
        """Whether both have the same images, and the same truth where both have one."""
        both = ((self.positive, other.positive), (self.masks, other.masks))
        return self.collection == other.collection and all(a is None or b is None or a == b for a, b in both)

    def joins(self, other: _Footing) -> bool:
        """Whether runs of both may be told in one table."""
        return self.split == other.split and self.same_data(other)

    def join(self, other: _Footing) -> None:
        """Take in the runs of another, and the truth this one had none of."""
        self.positive = other.positive if self.positive is None else self.positive
        self.masks = other.masks if self.masks is None else self.masks
        self.runs += other.runs


def _grounds(study: Study, finished: Mapping[str, Sequence[tuple[Step, Done]]]) -> list[Ground]:
    """The data the finished runs stand on, the reference's first; labels, masks or images differ, or the split does."""
    ends = {name: found[0][1] for name, found in finished.items() if found}
    if not ends:
        return []
    first = study.against if study.against in ends else next(iter(ends))
    footings: list[_Footing] = []
    for name in (first, *(name for name in ends if name != first)):
        own = _Footing.of(name, ends[name])
        shared = next((footing for footing in footings if footing.joins(own)), None)
        if shared is None:
            footings.append(own)
        else:
            shared.join(own)
    grounds: list[Ground] = []
    for footing in footings:
        other: Literal["", "data", "split"] = ""
        if grounds:
            other = "split" if footing.same_data(footings[0]) else "data"
        grounds.append(_ground([(name, end) for name, end in ends.items() if name in footing.runs], other))
    return grounds


def _ground(runs: Sequence[tuple[str, Done]], other: Literal["", "data", "split"]) -> Ground:
    """What runs on the same data share; those that only segment see the images with a mask alone, and are not asked."""
    ends = [end for _, end in runs]
    end = next((end for end in ends if end.report.operating_point is not None), ends[0])
    report, seen = end.report, end.bundle.card.data
    masked = next((end for end in ends if end.report.segmentation is not None), None)
    masks: dict[str, int] = {}
    if masked is not None and masked.report.segmentation is not None:
        masks = masked.bundle.card.data.masks | {report.part: masked.report.segmentation.images}
    return Ground(
        runs=tuple(name for name, _ in runs),
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
        masks=masks,
        positives=report.positives,
        of_labels={figures.label: figures.n for figures in report.per_class},
    )


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
    elif at in _FOLDERS or (at == "model.weights" and str(values).endswith(".safetensors")):
        yield at, Path(str(values)).name if values else ""
    else:
        yield at, values if isinstance(values, str) else json.dumps(values, ensure_ascii=False)
