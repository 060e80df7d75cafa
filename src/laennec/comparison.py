"""The comparison stage: bundles side by side on the same images, timed and metered in one interleaved run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from laennec import costing, hardware, loader, measuring, metering, page, progress, storage
from laennec.bundle import Bundle, open_bundle
from laennec.costs import Consumption, quoted
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
_SECONDS = 1.0  # of work for the energy of each bundle


def compare(
    bundles: Sequence[Bundle | str | Path],
    split: str = "test",
    *,
    root: str | Path | None = None,
    out: str | Path | None = None,
    language: Language = "en",
    grid: str | None = None,
    meters: Sequence[str] | None = None,
) -> Comparison:
    """Compare bundles of one collection and split: quality with intervals and paired tests, size, time, energy.

    A bundle not yet judged on that part is evaluated first. Timing takes all cores, one bundle after the other in
    each round, so that a busy machine slows all alike; latency is one image at a time, decoding left out. Energy is of
    batches, in stretches that take turns likewise, for 1,000 studies without decoding.

    Args:
        bundles: two or more; the first is what the others are held against.
        split: the part judged on.
        root: where the data lies now, if it moved.
        out: folder for ``comparison.json`` and ``comparison.html``; the last bundle's by default.
        language: of the page when it opens.
        grid: the place whose electricity is used, see `laennec.grids.grid`.
        meters: members of the family of meters; None takes what can run here.

    Raises:
        UsageError: fewer than two bundles, bundles of different splits, or a meter that cannot run here.
        UnknownName: there is no such grid, or no such meter.
    """
    opened = [b if isinstance(b, Bundle) else open_bundle(b) for b in bundles]
    if len(opened) < 2:
        raise UsageError("a comparison needs two bundles or more", "laennec compare BUNDLE BUNDLE…")
    first = opened[0].card.data
    for bundle in opened[1:]:
        seen = bundle.card.data
        same_data = (seen.split_digest, seen.collection_digest) == (first.split_digest, first.collection_digest)
        if not _common(bundle, opened[0]):
            raise UsageError(
                f"'{bundle.name}' answers with {' and '.join(bundle.card.outputs)}, '{opened[0].name}' with "
                f"{' and '.join(opened[0].card.outputs)}: there is nothing to compare",
                "compare bundles of the same task, or with one that does both",
            )
        if not same_data or bundle.card.labels != opened[0].card.labels:
            raise UsageError(
                f"'{bundle.name}' was made with another split or other labels than '{opened[0].name}': its test images "
                "may be the other's training images",
                "compare bundles trained on the same data with the same [split]",
            )
    metering.meter(grid, meters)  # a grid or meter that is not there is told before the work
    reports = [judged(bundle, split, root=root, language=language) for bundle in opened]
    sessions, batches = [start(bundle) for bundle in opened], [_images(bundle, split, root) for bundle in opened]
    ones, calm = measuring.undisturbed(lambda: measuring.single_image(sessions, batches, _ROUNDS))
    if not calm:
        progress.say(f"warning: {measuring.DISTURBED}")
    many = measuring.timed(sessions, batches, _BATCH_ROUNDS)
    used = measuring.energy(sessions, batches, seconds=_SECONDS, grid=grid, meters=meters)
    rows: list[ComparisonRow] = []
    for bundle, report, one, batch, time, energy in zip(opened, reports, ones, batches, many, used, strict=True):
        rate = 1000 * len(batch) / float(np.median(time))
        rows.append(_row(bundle, report, one, rate, energy))
    comparison = Comparison(
        part=reports[0].part,
        collection=reports[0].collection,
        images=reports[0].images,
        patients=reports[0].patients,
        rows=tuple(
            _beside(row, rows[0], {} if number == 0 else paired(reports[0], report))
            for number, (row, report) in enumerate(zip(rows, reports, strict=True))
        ),
        threads=os.cpu_count() or 1,
        batch=len(batches[0]),
        warnings=() if calm else (measuring.DISTURBED,),
        hardware=hardware.describe(),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        laennec=VERSION,
    )
    folder = Path(out) if out is not None else opened[-1].path / "reports"
    storage.write_json(folder / "comparison.json", comparison.model_dump(mode="json"))
    storage.write_bytes(folder / "comparison.html", page.comparison_page(comparison, language=language).encode())
    progress.say(f"comparison: {folder / 'comparison.html'}")
    return comparison


def _common(bundle: Bundle, first: Bundle) -> bool:
    """Whether two bundles answer with anything that can be held against the other."""
    return bool(set(bundle.card.outputs) & set(first.card.outputs))


def _images(bundle: Bundle, split: str, root: str | Path | None) -> np.ndarray:
    part = loader.reload(bundle, (split,), root).part(split)
    return part.batch(slice(0, _BATCH))


def _row(bundle: Bundle, report: Report, times: np.ndarray, rate: float, energy: Consumption | None) -> ComparisonRow:
    return ComparisonRow(
        **costing.counts(bundle).model_dump(),
        **quoted(energy, report.metrics["accuracy"].value if "accuracy" in report.metrics else None),
        name=bundle.name,
        bundle_digest=bundle.digest,
        backend=report.backend,
        precision=report.precision,
        megabytes=bundle.megabytes,
        metrics=report.figures,
        threshold=report.threshold if report.operating_point else None,
        latency_p50=float(np.median(times)),
        latency_p95=float(np.percentile(times, 95)),
        throughput=rate,
        speedup=1.0,
        inference=energy,
        against_first={},
    )


def _beside(row: ComparisonRow, first: ComparisonRow, tests: dict[str, float]) -> ComparisonRow:
    """A row with what it says against the first: speed, energy, paired tests; of the first itself, nothing."""
    saved = None
    if row is not first and row.watt_hours is not None and first.watt_hours:
        saved = 1 - row.watt_hours / first.watt_hours
    against = {"speedup": first.latency_p50 / row.latency_p50, "energy_saved": saved, "against_first": tests}
    return row.model_copy(update=against)
