"""The family of trackers: where the course of a training is written down while it runs.

A member is a module with:

    ready   ``ready()``: raises `MissingExtra` if a library it needs is not installed; quick, loads nothing heavy
    start   ``start(run) -> Tracker``: begins to write down `run`, or goes on where an earlier process left off

A tracker may fail or hang as it likes: `laennec.tracking` calls it on a thread of its own and drops it at its first
error. A report holds scores by sample: what a tracker sends to another machine must leave them out.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from laennec.errors import extra

if TYPE_CHECKING:
    from laennec.bundle import Bundle
    from laennec.recipe import Recipe
    from laennec.results import Epoch, Report


@dataclass(frozen=True)
class Run:
    """A training, or a later judgement of its bundle, as a tracker knows it.

    Attributes:
        name: what a person calls it.
        experiment: what it is compared within: the study, or the data set.
        folder: the bundle's folder. The folder above it holds the stores that several runs share.
        recipe: what is trained.
        resumed: whether it goes on where an earlier process left off.
        tags: further facts, by name.
    """

    name: str
    experiment: str
    folder: Path
    recipe: Recipe
    resumed: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def reports(self) -> Path:
        """The folder beside the model's files in which a run may leave files."""
        return self.folder / "reports"

    @property
    def shared(self) -> Path:
        """The folder of the stores that several runs share."""
        return self.folder.resolve().parent


class Tracker(Protocol):
    """One run being written down. Its methods are called from one thread, in order."""

    def epoch(self, entry: Epoch, step: int) -> None:
        """An epoch is over; `step` counts the epochs of all phases from 1. After a resume some come again."""

    def report(self, report: Report) -> None:
        """The model was judged on a part; the report's files lie in ``<folder>/reports/<part>``."""

    def bundle(self, bundle: Bundle) -> None:
        """The bundle is sealed."""

    def close(self, ok: bool) -> None:
        """Nothing more comes; `ok` is False when the training failed or was stopped."""


class TrackerMember(Protocol):
    """What every member of the family offers."""

    def ready(self) -> None:
        """Raise `MissingExtra` if a library is not installed."""

    def start(self, run: Run) -> Tracker:
        """Begin to write down `run`."""


def require(name: str, *libraries: str) -> None:
    """Raise `MissingExtra`, naming the extra `name`, if one of `libraries` is not installed. Imports none of them."""
    with extra(name):
        for library in libraries:
            if importlib.util.find_spec(library) is None:
                raise ModuleNotFoundError(name=library)


def settings(recipe: Recipe) -> dict[str, str | int | float | bool]:
    """A recipe as flat settings with dotted keys (``phases.0.epochs``); a list of plain values becomes JSON."""
    flat: dict[str, str | int | float | bool] = {}

    def lay(key: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                lay(f"{key}.{name}" if key else str(name), inner)
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value):
                lay(f"{key}.{number}", item)
        elif isinstance(value, str | int | float):
            flat[key] = value
        elif value is not None:
            flat[key] = json.dumps(value, ensure_ascii=False)

    lay("", recipe.model_dump(mode="json"))
    return flat


def curves(entry: Epoch) -> dict[str, float]:
    """The finite figures of an epoch, by name."""
    values = entry.model_dump(exclude={"phase", "epoch", "best"})
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def figures(report: Report) -> dict[str, float]:
    """The finite figures of a report with the bounds of their intervals: ``test/auroc``, ``test/auroc_low`` …."""
    found: dict[str, float] = {}
    for name, estimate in report.figures.items():
        for suffix, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high)):
            if value is not None and math.isfinite(value):
                found[f"{report.place}/{name}{suffix}"] = value
    return found
