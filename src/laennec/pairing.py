"""Reports of the same images held against each other by paired tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from laennec import intervals
from laennec.errors import extra
from laennec.findings import Against
from laennec.results import Report
from laennec.segmentation import SegmentationFigures


def paired(first: Report, other: Report) -> dict[str, float]:
    """p values of paired tests on the images both reports hold, and how far they differ.

    Of decisions: ``auroc_delong``, ``decisions_mcnemar``, and ``flipped``, the share of images decided otherwise. Of
    masks: ``dice_wilcoxon`` (signed ranks of the images' Dice; Wilcoxon, Biometrics Bulletin 1945), and
    ``dice_difference``, the other's mean less the first's. Each where both reports have it.
    """
    tests: dict[str, float] = {}
    if first.operating_point is not None and other.operating_point is not None:
        tests |= _decisions(first, other)
    if first.segmentation is not None and other.segmentation is not None:
        tests |= _masks(first.segmentation, other.segmentation)
    return tests


def _masks(first: SegmentationFigures, other: SegmentationFigures) -> dict[str, float]:
    with extra("eval"):
        from scipy.stats import wilcoxon
    rows = [{row.id: row.dice for row in figures.rows if row.dice is not None} for figures in (first, other)]
    gains = np.array([rows[1][id_] - rows[0][id_] for id_ in sorted(rows[0].keys() & rows[1].keys())])
    if not len(gains):
        return {}
    p = float(wilcoxon(gains).pvalue) if np.any(gains) else 1.0
    return {"dice_wilcoxon": p, "dice_difference": float(gains.mean())}


def _decisions(first: Report, other: Report) -> dict[str, float]:
    truth, (a, b) = _scores([first, other])
    called = [s >= r.threshold for s, r in zip((a, b), (first, other), strict=True)]
    both = first.decided.keys() & other.decided.keys()
    return {
        "auroc_delong": intervals.delong_paired(truth, a, b),
        "decisions_mcnemar": intervals.mcnemar(called[0] == truth, called[1] == truth),
        "flipped": sum(first.decided[i] != other.decided[i] for i in both) / len(both),
    }


def against(reference: Sequence[Report], others: Sequence[Sequence[Report]]) -> list[Against]:
    """Each of `others` against the reference, its p values corrected for their number by Holm's method.

    Args:
        reference: the reports of the reference, one per seed.
        others: the same of each other run, all of the same images.

    The areas of several seeds are averaged; decisions are those of each run's first seed.
    """
    found = []
    for reports in others:
        truth, scores = _scores([*reference, *reports])
        of_reference, of_run = scores[: len(reference)], scores[len(reference) :]
        difference = intervals.delong_difference(truth, of_reference, of_run)
        p = intervals.delong_paired(truth, of_reference, of_run)
        found.append((difference, p, paired(reference[0], reports[0])))
    corrected = intervals.holm([p for _, p, _ in found])
    decisions = intervals.holm([tests["decisions_mcnemar"] for _, _, tests in found])
    return [
        Against(
            auroc=difference,
            auroc_p=p,
            auroc_holm=area,
            decisions_p=tests["decisions_mcnemar"],
            decisions_holm=decided,
            flipped=tests["flipped"],
        )
        for (difference, p, tests), area, decided in zip(found, corrected, decisions, strict=True)
    ]


def _scores(reports: Sequence[Report]) -> tuple[np.ndarray, np.ndarray]:
    """Truth ``[n]`` and scores ``[reports, n]`` of the images that all reports hold."""
    ids = sorted(set.intersection(*(set(report.truths) for report in reports)))
    truth = np.array([reports[0].truths[i] for i in ids])
    return truth, np.array([[report.scores[i] for i in ids] for report in reports])
