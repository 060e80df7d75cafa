"""One JSON object a line in the run's own folder: needs no library, no server and no reader."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laennec.storage import guard_space
from laennec.trackers import Run, curves, figures
from laennec.version import VERSION

if TYPE_CHECKING:
    from laennec.bundle import Bundle
    from laennec.results import Epoch, Report

FILE = "training.jsonl"


def ready() -> None:
    """Nothing is needed."""


def start(run: Run) -> Lines:
    """Open ``reports/training.jsonl``, or go on with it; half a line that a kill left is taken away."""
    path = run.reports / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = Lines(path)
    lines.write(
        "resumed" if run.resumed else "started",
        name=run.name,
        experiment=run.experiment,
        recipe=run.recipe.digest,
        laennec=VERSION,
        tags=dict(run.tags),
    )
    return lines


class Lines:
    """The open file. Every line is on the device before the next begins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists():
            _mend(path)

    def write(self, event: str, **values: Any) -> None:
        """Append one event with the time in UTC."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **values}
        with guard_space(self.path), self.path.open("ab") as stream:
            stream.write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def epoch(self, entry: Epoch, step: int) -> None:
        """The epoch's figures and its place."""
        self.write("epoch", step=step, phase=entry.phase, epoch=entry.epoch, best=entry.best, **curves(entry))

    def report(self, report: Report) -> None:
        """The figures with their bounds and what they rest on; no sample's name."""
        about = report.model_dump(include={"part", "images", "patients", "bundle_digest", "split_digest"}, mode="json")
        self.write("report", **about, figures=figures(report))

    def bundle(self, bundle: Bundle) -> None:
        """The bundle's digest and the kept epoch's figures."""
        card = bundle.card
        self.write("bundle", digest=bundle.digest, kept_epoch=card.training.kept_epoch, **card.training.validation)

    def close(self, ok: bool) -> None:
        """Whether it ended well."""
        self.write("ended", ok=ok)


def _mend(path: Path) -> None:
    """Give the last line its end, or take it away if it is only half there."""
    data = path.read_bytes()
    whole, newline, rest = data.rpartition(b"\n")
    if not rest:
        return
    try:
        json.loads(rest)
    except ValueError:
        os.truncate(path, len(whole) + len(newline))
    else:
        with path.open("ab") as stream:
            stream.write(b"\n")
