"""Synthetic chest radiographs, drawn on first use: no download, exact masks and boxes, two hospitals.

Labels: ``binary`` is NORMAL against OPACITY, a lung opacity of any kind (consolidation, interstitial pattern or
nodules); ``findings`` tells the four apart. Parts are drawn by patient, 60 / 15 / 25 %, alike in hospital and finding.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from laennec import progress, storage
from laennec.errors import LaennecError, StorageFull, UsageError, extra
from laennec.labels import LabelSet
from laennec.phantom import FINDINGS, MAX_SIZE, MIN_SIZE, images_of, source_of
from laennec.phantom.worker import write_patients
from laennec.samples import Box, Collection, Sample

EDITION = 2  # raise it when the same options draw other pictures: the cache then starts anew

_COLUMNS = ("id", "patient", "split", "finding", "age", "view", "source", "mask", "boxes")
_SMALL = 80  # images; below, starting processes costs more than it saves


class Options(BaseModel):
    """What ``[data]`` may say.

    Attributes:
        patients: number of patients; each has 1 to 4 images, 1.85 on average.
        size: side of the pictures, pixels.
        seed: of the population; another seed is other patients.
        task: two labels or four.
        format: files to write; ``mixed`` alternates PNG and DICOM by patient.
        root: folder for the files; default a folder of the user's cache named by these options.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    patients: int = Field(default=300, ge=1, le=100_000)
    size: int = Field(default=160, ge=MIN_SIZE, le=MAX_SIZE)
    seed: int = Field(default=0, ge=0, lt=2**32)
    task: Literal["binary", "findings"] = "binary"
    format: Literal["png", "dicom", "mixed"] = "png"
    root: Path | None = Field(default=None, strict=False)


def load(options: Options) -> Collection:
    """The data set, drawn if it is not there yet.

    Raises:
        UsageError: `root` holds something else.
        MissingExtra: DICOM is asked for and pydicom is not installed.
        StorageFull: the device has no room; nothing half-made is left.
    """
    recipe = _recipe(options)
    folder = (
        options.root.expanduser() if options.root else storage.cache_folder("phantom") / storage.digest(recipe)[:16]
    )
    if not _complete(folder, recipe):
        _build(folder, recipe, options)
    with (folder / "index.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    if options.task == "binary":
        labels = LabelSet(names=("NORMAL", "OPACITY"), positive=("OPACITY",))
    else:
        labels = LabelSet(names=FINDINGS, positive=FINDINGS[1:])
    return Collection(
        name="phantom",
        labels=labels,
        samples=tuple(_sample(row, folder, labels) for row in rows),
        licence="CC0-1.0",
        citation=f"laennec phantom, edition {EDITION}, seed {options.seed}",
        notes=(
            "The pictures are synthetic: a score on them says that the line works, not how a model does on people.",
        ),
    )


def _recipe(options: Options) -> dict[str, Any]:
    return {"edition": EDITION, **options.model_dump(include={"patients", "size", "seed", "format"})}


def _sample(row: dict[str, str], folder: Path, labels: LabelSet) -> Sample:
    finding = row["finding"]
    name = finding if finding in labels.names else "OPACITY"
    return Sample(
        id=row["id"],
        path=folder / row["id"],
        labels=tuple(float(label == name) for label in labels.names),
        patient=row["patient"],
        split=row["split"],
        view=row["view"],
        mask=folder / row["mask"],
        boxes=tuple(Box(**box) for box in json.loads(row["boxes"])),
        source=row["source"],
    )


def _complete(folder: Path, recipe: dict[str, Any]) -> bool:
    """Whether `folder` holds all the files of this recipe; `UsageError` if it holds anything else."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file", "name a folder in data.root")
    there = {path.name for path in folder.iterdir()}
    if not there:
        return False
    if "phantom.json" not in there:
        raise UsageError(f"{folder} holds something else than phantoms", "name an empty or new folder in data.root")
    if storage.read_json(folder / "phantom.json") != recipe:
        raise UsageError(f"{folder} holds phantoms of other options", "name another folder in data.root, or remove it")
    if "index.csv" not in there:
        return False
    with (folder / "index.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    have = {f"{kind}/{path.name}" for kind in ("images", "masks") for path in (folder / kind).glob("*")}
    return bool(rows) and all(row["id"] in have and row["mask"] in have for row in rows)


def _build(folder: Path, recipe: dict[str, Any], options: Options) -> None:
    """Draw everything into `folder`."""
    if options.format != "png":
        with extra("dicom"):
            import pydicom  # noqa: F401
    with storage.building(folder, lambda: _complete(folder, recipe)) as work:
        for kind in ("images", "masks"):
            (work / kind).mkdir()
        storage.write_json(work / "phantom.json", recipe)
        rows = _draw(work, options)
        parts = _parts(options)
        with storage.replacing(work / "index.csv") as part, part.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, _COLUMNS)
            writer.writeheader()
            for row in sorted(rows, key=lambda r: str(r["id"])):
                writer.writerow({**row, "split": parts[row["patient"]], "boxes": json.dumps(row["boxes"])})


def _parts(options: Options) -> dict[str, str]:
    """Part of each patient: a low-discrepancy walk over patients ordered by hospital and finding."""
    from laennec.phantom import finding_of

    order = np.random.default_rng([options.seed, 7]).permutation(options.patients).tolist()
    order.sort(key=lambda p: (source_of(options.seed, p), finding_of(options.seed, p)))
    parts = {}
    for place, patient in enumerate(order):
        at = (0.3 + place * 0.6180339887498949) % 1
        parts[f"p{patient:04d}"] = "train" if at < 0.6 else "test" if at < 0.85 else "val"
    return parts


def _draw(work: Path, options: Options) -> list[dict[str, Any]]:
    counts = [images_of(options.seed, patient) for patient in range(options.patients)]
    total = sum(counts)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    teams = min(cores, 8, total // _SMALL + 1)
    rows: list[dict[str, Any]] = []
    with progress.track("drawing phantoms", total) as step:

        def keep(row: dict[str, Any]) -> None:
            rows.append(row)
            step.advance()

        if teams == 1 or not sys.executable:
            everyone = list(range(options.patients))
            for row in write_patients(work, options.seed, everyone, options.size, options.format):
                keep(row)
        else:
            _teams(work, options, teams, keep)
    return rows


def _teams(work: Path, options: Options, teams: int, keep: Callable[[dict[str, Any]], None]) -> None:
    """Share the patients among processes; `keep` is called with each image's row, one at a time."""
    home = str(Path(storage.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([home, *filter(None, sys.path)])}
    lock = threading.Lock()
    procs, readers = [], []

    def read(proc: subprocess.Popen[str]) -> None:
        for line in proc.stdout or ():
            with lock:
                keep(json.loads(line))

    try:
        for team in range(teams):
            job = {
                "folder": str(work),
                "seed": options.seed,
                "size": options.size,
                "format": options.format,
                "patients": list(range(team, options.patients, teams)),
            }
            proc = subprocess.Popen(
                [sys.executable, "-m", "laennec.phantom.worker"],
                env=environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            procs.append(proc)
            if proc.stdin:
                proc.stdin.write(json.dumps(job))
                proc.stdin.close()
            reader = threading.Thread(target=read, args=(proc,), daemon=True)
            reader.start()
            readers.append(reader)
        for proc, reader in zip(procs, readers, strict=True):
            reader.join()
            if proc.wait():
                raise _failure(proc.returncode, proc.stderr.read() if proc.stderr else "")
    finally:
        for proc in procs:
            if proc.poll() is None:
                proc.terminate()
            proc.wait()
            for pipe in (proc.stdout, proc.stderr):
                if pipe:
                    pipe.close()


def _failure(code: int, text: str) -> LaennecError:
    last = text.strip().rpartition("\n")[2]
    try:
        message, hint = json.loads(last)
    except ValueError:
        return LaennecError(
            f"drawing phantoms failed: {last or f'exit {code}'}", "run it again; if it persists, report it"
        )
    return (StorageFull if code == StorageFull.exit_code else LaennecError)(message, hint)
