"""The costing stage: what one bundle costs here, in operations, size, time, memory and energy."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from laennec import counting, evaluation, family, hardware, images, loader, measuring, metering, progress, storage
from laennec.backends import Session
from laennec.bundle import Bundle, open_bundle
from laennec.costs import Consumption, Cost, Counts, Timing, quoted
from laennec.errors import ImageError, LaennecError, MissingExtra, UsageError
from laennec.graphs import GRAPH
from laennec.preprocess import Preprocess
from laennec.runtime import start
from laennec.samples import PART_NAMES
from laennec.version import VERSION

REPORT = "cost.json"
_FILES = 100
_SECONDS = 3.0  # of work for each figure of energy, and of timing for each setting
_FEWEST, _MOST = 5, 60  # rounds of timing
_WITHIN = "fp32", "bf16"  # precisions in which an fp32 graph can be computed


def cost(
    bundle: Bundle | str | Path,
    *,
    threads: Sequence[int] | None = None,
    batches: Sequence[int] = (1, 16),
    root: str | Path | None = None,
    split: str = "val",
    grid: str | None = None,
    meters: Sequence[str] | None = None,
) -> Cost:
    """Measure what a bundle costs on this machine, and write ``reports/cost.json`` beside it.

    A bundle with an ONNX graph is timed in every runtime installed that takes one, its own first; any other in its own.
    Energy, memory and the letter are of its own. Without the images it was made with the pixels are random, and
    accuracy and the cost of reading files are left out; time and energy hardly depend on what the pixels show.

    Args:
        bundle: an opened bundle or its folder.
        threads: numbers of threads to time; one and all by default. Energy is of the most.
        batches: images a call to time. Energy is of the largest.
        root: where the data lies now, if it moved since the training.
        split: the part whose images are answered for, and whose accuracy counts.
        grid: the place whose electricity is used, see `laennec.grids.grid`.
        meters: members of the family of meters; None takes what can run here.

    Raises:
        UsageError: a number of threads or images below 1, no such part, a meter that cannot run here, or `root` does
            not hold the data.
        UnknownName: there is no such grid, or no such meter.
        MissingExtra: the bundle's runtime is not installed.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    allowed = sorted(set(threads or (1, os.cpu_count() or 1)))
    sizes = sorted(set(batches))
    _check(allowed, sizes, split)
    metering.meter(grid, meters)  # a grid or meter that is not there is told before the work
    accuracy, pixels, files = _material(opened, split, root, sizes[-1])
    warnings: list[str] = []
    timings = tuple(
        timing for n in allowed for batch in sizes for timing in _timings(opened, pixels, n, batch, warnings)
    )
    own = start(opened, allowed[-1])
    (inference,) = measuring.energy([own], [pixels[: sizes[-1]]], seconds=_SECONDS, grid=grid, meters=meters)
    found = Cost(
        **counts(opened).model_dump(),
        **quoted(inference, accuracy),
        name=opened.name,
        bundle_digest=opened.digest,
        backend=opened.card.backend,
        precision=opened.card.precision,
        megabytes=opened.megabytes,
        timings=timings,
        peak_megabytes=measuring.peak_megabytes(opened.path, allowed[-1]),
        part=split if files else None,
        batch=sizes[-1],
        threads=allowed[-1],
        inference=inference,
        reading=_reading(files, opened.card.preprocess, grid, meters),
        accuracy=accuracy,
        warnings=tuple(dict.fromkeys(warnings)),
        hardware=hardware.describe(),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        laennec=VERSION,
    )
    path = opened.path / "reports" / REPORT
    storage.write_json(path, found.model_dump(mode="json"))
    progress.say(f"cost: {path}")
    return found


def counts(bundle: Bundle) -> Counts:
    """Parameters, those not 0, and operations; the card's parameters alone where what counts them is not installed."""
    try:
        return counting.counts(bundle.card, bundle.model_files())
    except MissingExtra as error:
        progress.say(f"warning: operations of '{bundle.name}' are not counted: {error.message}; {error.hint}")
        return Counts(parameters=bundle.card.parameters)


def _check(threads: Sequence[int], batches: Sequence[int], split: str) -> None:
    if split not in PART_NAMES:
        raise UsageError(f"there is no part '{split}'", f"take one of: {', '.join(PART_NAMES)}")
    for what, numbers in (("threads", threads), ("batches", batches)):
        if not numbers or numbers[0] < 1:
            raise UsageError(
                f"{what} holds {numbers[0] if numbers else 'nothing'}: expected whole numbers from 1 on",
                f"name them, as {what} 1,2",
            )


def _material(
    bundle: Bundle, split: str, root: str | Path | None, most: int
) -> tuple[float | None, np.ndarray, list[Path]]:
    """Accuracy on the part, ``uint8 [most, 1, size, size]`` of its pixels, and its files; no files where it is not to
    be had, and random pixels.
    """
    try:
        part = loader.reload(bundle, (split,), root).part(split)
        judged = evaluation.judged(bundle, split, root=root).metrics
        accuracy = judged["accuracy"].value if "accuracy" in judged else None
        return accuracy, part.batch(np.arange(most) % len(part)), [sample.path for sample in part.samples[:_FILES]]
    except (UsageError, MissingExtra, OSError) as error:
        if root is not None:
            raise
        progress.say(f"warning: random pixels, without accuracy and reading of files: {error}")
        size = bundle.card.preprocess.size
        return None, np.random.default_rng(0).integers(0, 256, (most, 1, size, size), dtype=np.uint8), []


def _runtimes(bundle: Bundle) -> list[tuple[str, str]]:
    """Backend and precision of everything installed that can run the bundle, its own first."""
    card = bundle.card
    found = [(card.backend, card.precision)]
    if GRAPH not in card.files:
        return found
    for name in family.names("backends"):
        member = family.member("backends", name)
        if not member.CALIBRATES:  # it takes no graph; whether it is there is not asked, for that may load much
            continue
        try:
            member.ready()
        except MissingExtra:
            continue
        computed = _WITHIN if card.precision == "fp32" else (card.precision,)
        found += [(name, p) for p in member.PRECISIONS if p in computed and member.computes(p)]
    return list(dict.fromkeys(found))


def _timings(bundle: Bundle, pixels: np.ndarray, threads: int, batch: int, warnings: list[str]) -> list[Timing]:
    """All runtimes in turns."""
    files, runtimes = bundle.model_files(), []
    sessions: list[Session] = []
    for backend, precision in _runtimes(bundle):
        card = bundle.card.model_copy(update={"backend": backend, "precision": precision})
        try:
            sessions.append(family.member("backends", backend).start(card, files, threads))
        except LaennecError as error:
            if backend == bundle.card.backend:
                raise
            progress.say(f"{backend} {precision} is left out: {error.message}")
            continue
        runtimes.append((backend, precision))
    asked = [pixels[:batch]] * len(sessions)
    for session in sessions:
        session.run(pixels[:batch])
    started = time.perf_counter()
    for session in sessions:
        session.run(pixels[:batch])
    rounds = int(np.clip(_SECONDS / (time.perf_counter() - started), _FEWEST, _MOST))
    times, calm = measuring.undisturbed(lambda: measuring.timed(sessions, asked, rounds))
    if not calm:
        progress.say(f"warning: {measuring.DISTURBED}")
        warnings.append(measuring.DISTURBED)
    return [
        Timing(
            backend=backend,
            precision=precision,
            threads=threads,
            batch=batch,
            milliseconds=float(np.median(taken)),
            milliseconds_p95=float(np.percentile(taken, 95)),
            images_per_second=1000 * batch / float(np.median(taken)),
        )
        for (backend, precision), taken in zip(runtimes, times, strict=True)
    ]


def _reading(
    files: Sequence[Path], preprocess: Preprocess, grid: str | None, meters: Sequence[str] | None
) -> Consumption | None:
    """What decoding and preparing 1,000 such files uses, one after the other; None where none can be read."""
    readable = [path for path in files if _load(path, preprocess)]  # what loads once is not what a file costs
    if not readable:
        return None
    with metering.meter(grid, meters) as metered:
        until, done = time.perf_counter() + _SECONDS, 0
        while time.perf_counter() < until:
            _load(readable[done % len(readable)], preprocess)
            done += 1
    return metered.consumption.scaled(measuring.STUDIES / done) if metered.consumption else None


def _load(path: Path, preprocess: Preprocess) -> bool:
    try:
        images.load(path, preprocess)
    except ImageError:
        return False
    return True
