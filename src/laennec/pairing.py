"""Reports of the same images held against each other by paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from laennec import intervals
from laennec.errors import extra
from laennec.estimates import Estimate
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
    rows = [{row.id: row.dice for row in figures.rows if row.dice is not None} for figures in (first, other)]
    gains = np.array([rows[1][id_] - rows[0][id_] for id_ in sorted(rows[0].keys() & rows[1].keys())])
    if not len(gains):
        return {}
    return {"dice_wilcoxon": _signed_ranks(gains), "dice_difference": float(gains.mean())}


def _decisions(first: Report, other: Report) -> dict[str, float]:
    truth, (a, b) = _scores([first, other])
    called = [s >= r.threshold for s, r in zip((a, b), (first, other), strict=True)]
    both = first.decided.keys() & other.decided.keys()
    return {
        "auroc_delong": intervals.delong_paired(truth, a, b),
        "decisions_mcnemar": intervals.mcnemar(called[0] == truth, called[1] == truth),
        "flipped": sum(first.decided[i] != other.decided[i] for i in both) / len(both),
    }


def against(reference: Sequence[Report], others: Sequence[Sequence[Report]]) -> list[Against | None]:
    """Each of `others` against the reference, its p values corrected for their number by Holm's method.

    Args:
        reference: the reports of the reference, one per seed.
        others: the same of each other run, all of the same images.

    The areas of several seeds are averaged, and so is each image's Dice; decisions are those of each run's first seed.
    The interval of the Dice's difference resamples images. What one of both does not answer stays None, and a run
    that answers nothing the reference does is None itself.
    """
    found: list[dict[str, Any]] = []
    for reports in others:
        both, tests = [*reference, *reports], paired(reference[0], reports[0])
        told: dict[str, Any] = {}
        if all(report.operating_point is not None for report in both):
            truth, scores = _scores(both)
            of_reference, of_run = scores[: len(reference)], scores[len(reference) :]
            told["auroc"] = intervals.delong_difference(truth, of_reference, of_run)
            told["auroc_p"] = intervals.delong_paired(truth, of_reference, of_run)
            told |= {"decisions_p": tests["decisions_mcnemar"], "flipped": tests["flipped"]}
        ids, dices = _dices(both)
        if ids:
            gains = dices[len(reference) :].mean(axis=0) - dices[: len(reference)].mean(axis=0)
            told |= {"dice": _mean_gain(gains, ids), "dice_p": _signed_ranks(gains)}
        found.append(told)
    for name in ("auroc", "decisions", "dice"):
        having = [told for told in found if f"{name}_p" in told]
        corrected = intervals.holm([told[f"{name}_p"] for told in having])
        for told, p in zip(having, corrected, strict=True):
            told[f"{name}_holm"] = p
    return [Against(**told) if told else None for told in found]


def _dices(reports: Sequence[Report]) -> tuple[list[str], np.ndarray]:
    """Ids [n] of the images whose Dice all reports have, and their Dice ``[reports, n]``; empty where one has none."""
    rows = [
        {row.id: row.dice for row in report.segmentation.rows if row.dice is not None}
        for report in reports
        if report.segmentation is not None
    ]
    ids = sorted(set.intersection(*(set(row) for row in rows))) if len(rows) == len(reports) else []
    return ids, np.array([[row[id_] for id_ in ids] for row in rows])


def _mean_gain(gains: np.ndarray, ids: Sequence[str]) -> Estimate:
    """The mean of differences [n] with its interval."""

    def mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.asarray(weights @ values / weights.sum(axis=1))

    low, high = intervals.patient_bootstrap(mean, gains, patients=ids)
    return Estimate(value=float(gains.mean()), low=low, high=high, n=len(ids), method="image_bootstrap")


def _signed_ranks(gains: np.ndarray) -> float:
    """Two-sided p value that differences [n] lie around 0; 1 where there are none."""
    with extra("eval"):
        from scipy.stats import wilcoxon
    return float(wilcoxon(gains).pvalue) if np.any(gains) else 1.0


def _scores(reports: Sequence[Report]) -> tuple[np.ndarray, np.ndarray]:
    """Truth ``[n]`` and scores ``[reports, n]`` of the images that all reports hold."""
    ids = sorted(set.intersection(*(set(report.truths) for report in reports)))
    truth = np.array([reports[0].truths[i] for i in ids])
    return truth, np.array([[report.scores[i] for i in ids] for report in reports])
