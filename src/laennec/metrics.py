"""From probabilities to every figure of a Report; decisions and thresholds are handed on from `laennec.decisions`.

Unknown labels (NaN) are left out of each figure, and each Estimate's `n` counts what it rests on. Curves come from
scikit-learn; intervals from `laennec.intervals`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from laennec.decisions import Flags, Floats, Indices, decide, table_of, truth_of
from laennec.errors import LaennecError, extra
from laennec.estimates import Estimate
from laennec.intervals import delong, patient_bootstrap, wilson
from laennec.labels import LabelSet
from laennec.results import ClassFigures, Mistake, ReliabilityBin

Points = tuple[tuple[float, float], ...]

BINS = 15  # of the reliability diagram and the ECE: Guo et al. 2017
CURVE_POINTS = 400


@dataclass(frozen=True)
class Judgement:
    """The measured fields of a `Report`, under the same names, so that ``Report(..., **vars(judgement))`` fits."""

    labels: tuple[str, ...]
    positive: tuple[str, ...]
    images: int
    patients: int
    positives: int
    metrics: dict[str, Estimate]
    per_class: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    roc: Points
    precision_recall: Points
    reliability: tuple[ReliabilityBin, ...]
    mistakes: tuple[Mistake, ...]
    scores: dict[str, float]
    truths: dict[str, int]
    decided: dict[str, str]


def _thin(x: Floats, y: Floats, most: int = CURVE_POINTS) -> Points:
    """A polyline in at most `most` of its own points, each added where the thinned line strays most from the full."""

    def worst(start: int, end: int) -> tuple[float, int, int, int]:
        if end - start < 2:
            return 0.0, start, start, end
        inner = slice(start + 1, end)
        dx, dy = x[end] - x[start], y[end] - y[start]
        length = float(np.hypot(dx, dy))
        away_x, away_y = x[inner] - x[start], y[inner] - y[start]
        strays = np.hypot(away_x, away_y) if length == 0 else np.abs(dx * away_y - dy * away_x) / length
        at = int(strays.argmax())
        return -float(strays[at]), start + 1 + at, start, end

    kept = {0, len(x) - 1}
    heap = [worst(0, len(x) - 1)]
    while heap and len(kept) < most:
        stray, at, start, end = heapq.heappop(heap)
        if stray > -1e-9:
            break
        kept.add(at)
        heapq.heappush(heap, worst(start, at))
        heapq.heappush(heap, worst(at, end))
    return tuple((round(float(x[i]), 6), round(float(y[i]), 6)) for i in sorted(kept))


def _curves(truth: Floats, score: Floats) -> tuple[Points, Points]:
    if truth.sum() in (0, truth.size):
        return (), ()
    with extra("eval"):
        from sklearn.metrics import precision_recall_curve, roc_curve
    false_alarms, found, _ = roc_curve(truth, score, drop_intermediate=True)
    precision, recall, _ = precision_recall_curve(truth, score, drop_intermediate=True)
    return _thin(false_alarms, found), _thin(recall[::-1], precision[::-1])


def _bin_of(score: Floats) -> Indices:
    return np.minimum((score * BINS).astype(np.intp), BINS - 1)


def _reliability(truth: Floats, score: Floats) -> tuple[ReliabilityBin, ...]:
    bins = _bin_of(score)
    return tuple(
        ReliabilityBin(score=float(score[inside].mean()), frequency=float(truth[inside].mean()), n=int(inside.sum()))
        for inside in (bins == b for b in range(BINS))
        if inside.any()
    )


def _over(top: Floats, bottom: Floats) -> Floats:
    """`top` / `bottom`, NaN where `bottom` is 0."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


def _weighted_ap(weights: Floats, truth: Floats, score: Floats) -> Floats:
    """Average precision [r] under image weights [r, n]; scikit-learn's definition, ties taken together."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=np.nan) != 0)
    ordered = weights[:, order]
    called = np.cumsum(ordered, axis=1)[:, ends]
    hits = np.cumsum(ordered * truth[order], axis=1)[:, ends]
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    return _over((np.diff(hits, axis=1, prepend=0.0) * precision).sum(axis=1), hits[:, -1])


def _weighted_ece(weights: Floats, truth: Floats, score: Floats) -> Floats:
    """Expected calibration error [r] under image weights [r, n]."""
    gaps = np.zeros((len(score), BINS))
    gaps[np.arange(len(score)), _bin_of(score)] = truth - score
    ece: Floats = np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1)
    return ece


def calibration_error(truth: Floats, score: Floats) -> float:
    """Expected calibration error over `BINS` equal bins of the score, of images whose truth is known (1 or 0)."""
    return float(_weighted_ece(np.ones((1, len(score))), truth, score)[0])


def _weighted_brier(weights: Floats, truth: Floats, score: Floats) -> Floats:
    brier: Floats = weights @ ((score - truth) ** 2) / weights.sum(axis=1)
    return brier


def calibration_figures(truth: Floats, score: Floats, patients: Sequence[str]) -> dict[str, Estimate]:
    """``ece``, ``brier`` and ``log_loss`` (nats) of scores whose truth is known (1 or 0), by patient bootstrap.

    Probabilities of 0 and 1 count as one millionth from there in the log loss.
    """
    sure = np.clip(score, 1e-6, 1 - 1e-6)
    losses = -np.where(truth == 1, np.log(sure), np.log1p(-sure))
    return {
        "ece": _bootstrapped(_weighted_ece, truth, score, patients=patients, mirrored=True),
        "brier": _bootstrapped(_weighted_brier, truth, score, patients=patients),
        "log_loss": _bootstrapped(lambda w, own: (w @ own) / w.sum(axis=1), losses, patients=patients),
    }


def _mean_seen(values: Floats) -> Floats:
    """Mean [r] over the columns of `values` [r, k] that are not NaN; NaN where all are."""
    seen = ~np.isnan(values)
    return _over(np.where(seen, values, 0.0).sum(axis=1), seen.sum(axis=1).astype(np.float64))


def _weighted_recall(weights: Floats, held: Floats, called: Floats) -> Floats:
    """Mean over the classes seen in a resample of the share found; `held`, `called` [n, k] are 0 or 1."""
    return _mean_seen(_over(weights @ (held * called), weights @ held))


def _weighted_f1(weights: Floats, held: Floats, called: Floats) -> Floats:
    """Mean over the classes seen in a resample of F1."""
    support = weights @ held
    f1 = _over(2 * (weights @ (held * called)), support + weights @ called)
    return _mean_seen(np.where(support > 0, f1, np.nan))


def _bootstrapped(
    statistic: Callable[..., Floats], *arrays: Floats, patients: Sequence[str], mirrored: bool = False
) -> Estimate:
    """The figure at weight 1 with its patient bootstrap interval, widened where needed to hold the figure itself.

    `mirrored` reflects the interval about the figure (the basic bootstrap): binning noise makes the ECE of a resample
    larger than that of the sample, and the reflection takes that excess off instead of adding it twice.
    """
    n = len(patients)
    value = float(statistic(np.ones((1, n)), *arrays)[0]) if n else float("nan")
    if np.isnan(value):
        return Estimate(value=None, n=n, method="patient_bootstrap")
    low, high = patient_bootstrap(statistic, *arrays, patients=patients)
    if low is None or high is None:
        return Estimate(value=value, n=n, method="patient_bootstrap")
    if mirrored:
        low, high = max(0.0, 2 * value - high), min(1.0, 2 * value - low)
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n, method="patient_bootstrap")


def _per_class(
    labels: LabelSet, held: Floats, called: Floats, probabilities: Floats, patients: Sequence[str]
) -> tuple[ClassFigures, ...]:
    """One entry per label; `held` [n, k] is 1, 0 or NaN."""
    figures = []
    for j, label in enumerate(labels.names):
        known = ~np.isnan(held[:, j])
        truth, answer = held[known, j : j + 1], called[known, j : j + 1]
        owners = [patient for patient, keep in zip(patients, known, strict=True) if keep]
        hits, support = int((truth * answer).sum()), int(truth.sum())
        figures.append(
            ClassFigures(
                label=label,
                n=support,
                precision=wilson(hits, int(answer.sum())),
                recall=wilson(hits, support),
                f1=_bootstrapped(_weighted_f1, truth, answer, patients=owners),
                auroc=delong(truth[:, 0], probabilities[known, j]),
            )
        )
    return tuple(figures)


def _confusion(truth: Indices, decided: Indices, k: int) -> tuple[tuple[int, ...], ...]:
    if not truth.size:
        return tuple((0,) * k for _ in range(k))
    with extra("eval"):
        from sklearn.metrics import confusion_matrix
    counts = confusion_matrix(truth, decided, labels=list(range(k)))
    return tuple(tuple(int(cell) for cell in row) for row in counts)


def _beyond(score: float, threshold: float) -> float:
    """How far a score lies beyond the threshold on its side, as a share of the room there, in [0, 1]."""
    room = 1 - threshold if score >= threshold else threshold
    return min(1.0, abs(score - threshold) / room) if room > 0 else 0.0


def judge(
    labels: LabelSet,
    values: ArrayLike,
    probabilities: ArrayLike,
    patients: Sequence[str],
    ids: Sequence[str],
    threshold: float,
) -> Judgement:
    """Every figure of a report, from labels and probabilities at one frozen threshold.

    Figures: AUROC by DeLong; AUPRC as average precision; accuracy over the labels (over the positive finding where
    labels can hold together), sensitivity, specificity, PPV and NPV of the positive finding by Wilson, which takes
    images as independent and is optimistic where patients have several; balanced accuracy (mean recall) and macro F1
    over the labels that have images; Brier score (Brier, Monthly Weather Review 1950) of the positive finding; ECE,
    15 equal-width bins on the score of the positive finding (Naeini et al., AAAI 2015; Guo et al., ICML 2017). AUPRC,
    balanced accuracy, macro F1, ECE and Brier have intervals by patient bootstrap.

    Where labels can hold together, the label other than the positive one is decided at 0.5, there is no confusion
    matrix, and balanced accuracy is the mean of sensitivity and specificity.

    Args:
        values: [n, k] of 1, 0 or NaN.
        probabilities: [n, k] in [0, 1].
        patients, ids: [n].
        threshold: in [0, 1].

    Raises:
        LaennecError: a probability is not a number in [0, 1]: the model is broken.
        ValueError: lengths or shapes differ, or a label value is not 0, 1 or NaN.
        MissingExtra: scikit-learn is not installed.
    """
    table, chances = table_of(labels, values, "label values"), table_of(labels, probabilities, "probabilities")
    if not len(table) == len(chances) == len(patients) == len(ids):
        raise ValueError("values, probabilities, patients and ids must have one row per image")
    broken = int((~((chances >= 0) & (chances <= 1 + 1e-6)).all(axis=1)).sum())
    if broken:
        raise LaennecError(
            f"the model gave no probability for {broken} of {len(chances)} images",
            "its training diverged or its file is damaged: train it again with a lower learning rate",
        )
    score, positive, decided = decide(labels, chances, threshold)
    truth = truth_of(labels, table)
    return _Bench(
        labels, table, chances, tuple(patients), tuple(ids), threshold, score, positive, decided, truth
    ).judge()


@dataclass(frozen=True)
class _Bench:
    """The arrays of one judgement, so that its parts need not hand ten of them around."""

    labels: LabelSet
    values: Floats
    probabilities: Floats
    patients: tuple[str, ...]
    ids: tuple[str, ...]
    threshold: float
    score: Floats
    positive: Flags
    decided: Indices
    truth: Floats

    def _owners(self, keep: Flags) -> list[str]:
        return [patient for patient, kept in zip(self.patients, keep, strict=True) if kept]

    def _classes(self) -> tuple[Indices, Floats, Floats]:
        """Label that holds [n] (-1 unknown or none), and held and called [n, k] for the figures per label."""
        k = len(self.labels)
        if not self.labels.exclusive:
            called = self.probabilities >= 0.5
            called[:, self.labels.positive_indices[0]] = self.positive
            return np.full(len(self.ids), -1), self.values, called.astype(np.float64)
        settled = (self.values == 1).any(axis=1)
        named = np.where(settled, (self.values == 1).argmax(axis=1), -1)
        held = np.where(settled[:, None], np.eye(k)[named], self.values)
        return named, held, np.eye(k)[self.decided]

    def judge(self) -> Judgement:
        named, held, called = self._classes()
        known = ~np.isnan(self.truth)
        truth, score = self.truth[known], self.score[known]
        roc, precision_recall = _curves(truth, score)
        scored = {key: float(s) for key, s in zip(self.ids, self.score, strict=True)}
        return Judgement(
            labels=self.labels.names,
            positive=self.labels.positive,
            images=len(self.ids),
            patients=len(set(self.patients)),
            positives=int(truth.sum()),
            metrics=self._metrics(named, held, called),
            per_class=_per_class(self.labels, held, called, self.probabilities, self.patients),
            confusion=_confusion(named[named >= 0], self.decided[named >= 0], len(self.labels))
            if self.labels.exclusive
            else (),
            roc=roc,
            precision_recall=precision_recall,
            reliability=_reliability(truth, score),
            mistakes=self._mistakes(named),
            scores=scored,
            truths={key: int(t) for key, t in zip(self.ids, self.truth, strict=True) if not np.isnan(t)},
            decided={
                key: self.labels.names[at] if at >= 0 else ""
                for key, at in zip(self.ids, self.decided.tolist(), strict=True)
            },
        )

    def _metrics(self, named: Indices, held: Floats, called: Floats) -> dict[str, Estimate]:
        known = ~np.isnan(self.truth)
        truth, score, positive = self.truth[known], self.score[known], self.positive[known]
        owners = self._owners(known)
        tp, fp = int((positive & (truth == 1)).sum()), int((positive & (truth == 0)).sum())
        fn, tn = int((~positive & (truth == 1)).sum()), int((~positive & (truth == 0)).sum())
        if self.labels.exclusive:
            rows: Flags = np.array(named >= 0, dtype=np.bool_)
            accuracy = wilson(int((named == self.decided)[rows].sum()), int(rows.sum()))
            sides = held[rows], called[rows]
        else:
            rows = known
            accuracy = wilson(tp + tn, tp + tn + fp + fn)
            sides = np.stack([truth, 1 - truth], 1), np.stack([positive, ~positive], 1).astype(np.float64)
        whole: Flags = np.array(~np.isnan(held).any(axis=1), dtype=np.bool_)
        some = truth.size and truth.any()
        return {
            "auroc": delong(truth, score),
            "auprc": _bootstrapped(_weighted_ap, truth, score, patients=owners)
            if some
            else Estimate(value=None, n=truth.size, method="patient_bootstrap"),
            "accuracy": accuracy,
            "balanced_accuracy": _bootstrapped(_weighted_recall, *sides, patients=self._owners(rows)),
            "sensitivity": wilson(tp, tp + fn),
            "specificity": wilson(tn, tn + fp),
            "ppv": wilson(tp, tp + fp),
            "npv": wilson(tn, tn + fn),
            "f1_macro": _bootstrapped(_weighted_f1, held[whole], called[whole], patients=self._owners(whole)),
            "ece": _bootstrapped(_weighted_ece, truth, score, patients=owners, mirrored=True),
            "brier": _bootstrapped(_weighted_brier, truth, score, patients=owners),
        }

    def _mistakes(self, named: Indices) -> tuple[Mistake, ...]:
        """Images decided wrongly, the most certain first.

        An error among labels on one side of the threshold is as certain as the decided label outweighs the true one.
        """
        names = (*self.labels.names, "")  # -1: none of them
        found = []
        for i, key in enumerate(self.ids):
            if np.isnan(self.truth[i]):
                continue
            wrong_side = bool(self.positive[i]) != (self.truth[i] == 1)
            if self.labels.exclusive:
                true, certainty = int(named[i]), _beyond(float(self.score[i]), self.threshold)
                if true == self.decided[i] or (true < 0 and not wrong_side):
                    continue
                if not wrong_side:
                    gap = self.probabilities[i, self.decided[i]] - self.probabilities[i, true]
                    certainty = float(np.clip(gap, 0.0, 1.0))
            elif wrong_side:
                true = self.labels.positive_indices[0] if self.truth[i] == 1 else -1
                certainty = _beyond(float(self.score[i]), self.threshold)
            else:
                continue
            found.append(
                Mistake(
                    id=key,
                    truth=names[true],
                    decided=names[self.decided[i]],
                    score=float(self.score[i]),
                    certainty=certainty,
                )
            )
        return tuple(sorted(found, key=lambda mistake: (-mistake.certainty, mistake.id)))
