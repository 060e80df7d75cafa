"""The comparison stage: bundles side by side on the same images, timed in one interleaved run."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from laennec import hardware, loader, page, progress, storage
from laennec.backends import Session
from laennec.bundle import Bundle, open_bundle
from laennec.errors import UsageError
from laennec.evaluation import judged
from laennec.page import Language
from laennec.pairing import paired
from laennec.results import Comparison, ComparisonRow, Report
from laennec.runtime import start
from laennec.version import VERSION

_ROUNDS = 60
_BATCH = 32
_BATCH_ROUNDS = 8
_WARM_UP = 3
_CALM = 5  # the 95th percentile over the median, above which something else was running
_TRIES = 3


def compare(
    bundles: Sequence[Bundle | str | Path],
    split: str = "test",
    *,
    root: str | Path | None = None,
    out: str | Path | None = None,
    language: Language = "en",
) -> Comparison:
    """Compare bundles of one collection and split: quality with intervals and paired tests, size, latency, throughput.

    A bundle not yet judged on that part is evaluated first. Timing takes all cores, one bundle after the other in
    each round, so that a busy machine slows all alike; latency is one image at a time, decoding left out.

    Args:
        bundles: two or more; the first is what the others are held against.
        split: the part judged on.
        root: where the data lies now, if it moved.
        out: folder for ``comparison.json`` and ``comparison.html``; the last bundle's by default.
        language: of the page when it opens.

    Raises:
        UsageError: fewer than two bundles, or bundles of different splits.
    """
    opened = [b if isinstance(b, Bundle) else open_bundle(b) for b in bundles]
    if len(opened) < 2:
        raise UsageError("a comparison needs two bundles or more", "laennec compare BUNDLE BUNDLE…")
    first = opened[0].card.data
    for bundle in opened[1:]:
        seen = bundle.card.data
        same_data = (seen.split_digest, seen.collection_digest) == (first.split_digest, first.collection_digest)
        if not same_data or bundle.card.labels != opened[0].card.labels:
            raise UsageError(
                f"'{bundle.name}' was made with another split or other labels than '{opened[0].name}': its test images "
                "may be the other's training images",
                "compare bundles trained on the same data with the same [split]",
            )
    reports = [judged(bundle, split, root=root, language=language) for bundle in opened]
    models = [(start(bundle), _images(bundle, split, root)) for bundle in opened]
    for _ in range(_TRIES):
        latencies, rates = _times(models)
        if all(np.percentile(row, 95) <= _CALM * np.median(row) for row in latencies):
            break
    else:
        progress.say("warning: these timings are unreliable, another program is using this machine; repeat when idle")
    rows = tuple(
        _row(bundle, report, reports[0], latency, rate, float(np.median(latencies[0])))
        for bundle, report, latency, rate in zip(opened, reports, latencies, rates, strict=True)
    )
    comparison = Comparison(
        part=reports[0].part,
        collection=reports[0].collection,
        images=reports[0].images,
        patients=reports[0].patients,
        rows=rows,
        threads=os.cpu_count() or 1,
        hardware=hardware.describe(),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        laennec=VERSION,
    )
    folder = Path(out) if out is not None else opened[-1].path / "reports"
    storage.write_json(folder / "comparison.json", comparison.model_dump(mode="json"))
    storage.write_bytes(folder / "comparison.html", page.comparison_page(comparison, language=language).encode())
    progress.say(f"comparison: {folder / 'comparison.html'}")
    return comparison


def _images(bundle: Bundle, split: str, root: str | Path | None) -> np.ndarray:
    part = loader.reload(bundle, (split,), root).part(split)
    return part.batch(slice(0, _BATCH))


def _times(models: Sequence[tuple[Session, np.ndarray]]) -> tuple[list[np.ndarray], list[float]]:
    """Milliseconds ``[rounds]`` for one image and images per second in batches, per model, interleaved."""
    ones, many = np.zeros((len(models), _ROUNDS)), np.zeros((len(models), _BATCH_ROUNDS))
    with progress.track("timing", (_ROUNDS + _BATCH_ROUNDS) * len(models)) as step:
        for session, images in models:
            for _ in range(_WARM_UP):
                session.run(images[:1])
                session.run(images)
        for times, most in ((ones, 1), (many, _BATCH)):
            for turn in range(times.shape[1]):
                for i, (session, images) in enumerate(models):
                    started = time.perf_counter()
                    session.run(images[:most])
                    times[i, turn] = time.perf_counter() - started
                    step.advance()
    rates = [len(images) / float(np.median(row)) for (_, images), row in zip(models, many, strict=True)]
    return [1000 * row for row in ones], rates


def _row(
    bundle: Bundle, report: Report, first: Report, latency: np.ndarray, rate: float, baseline: float
) -> ComparisonRow:
    return ComparisonRow(
        name=bundle.name,
        bundle_digest=bundle.digest,
        backend=report.backend,
        precision=report.precision,
        parameters=bundle.card.parameters,
        megabytes=bundle.megabytes,
        metrics=report.metrics,
        threshold=report.operating_point.threshold,
        latency_p50=float(np.median(latency)),
        latency_p95=float(np.percentile(latency, 95)),
        throughput=rate,
        speedup=baseline / float(np.median(latency)),
        against_first={} if report is first else paired(first, report),
    )
