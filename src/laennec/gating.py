"""The gate: does a derived model still decide like its parent? Asked on validation images only.

What is fitted for the child on these images (its temperature, its threshold) is fitted on other patients than it is
counted on, in five folds of patients: on the same images the price would come out too small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from laennec import conformal, decisions, intervals, masks, metrics, operating
from laennec.card import Card, Gate, Limits
from laennec.errors import GateFailed, UsageError
from laennec.labels import LabelSet
from laennec.loader import Part
from laennec.outputs import Outputs
from laennec.results import OperatingPoint

ROUNDING = 1e-3  # largest difference of any probability where the precision stays the same
_FOLDS = 5
_COLDEST, _HOTTEST = 0.25, 4.0
_SURE = 1e-7


def tempered(labels: LabelSet, probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities ``[n, labels]`` as if their logits had been divided by `temperature`; see `graphs.tempered`."""
    if temperature == 1.0:
        return probabilities
    powers = probabilities.astype(np.float64) ** (1 / temperature)
    whole = powers.sum(axis=1, keepdims=True) if labels.exclusive else powers + (1 - probabilities) ** (1 / temperature)
    brought: np.ndarray = (powers / whole).astype(np.float32)
    return brought


def temperature_of(labels: LabelSet, wanted: np.ndarray, after: np.ndarray) -> float:
    """The temperature, to three digits, that brings a child's probabilities nearest `wanted`.

    Least cross-entropy (Guo et al. 2017, arXiv:1706.04599), by golden section over the logarithm, from 0.25 to 4.

    Args:
        labels: the label set.
        wanted: ``[n, labels]``: the answers of the parent, whose calibration is kept that way; or the labels, NaN for
            unknown.
        after: the child's probabilities ``float32 [n, labels]``.
    """
    known = ~np.isnan(wanted)
    targets = np.nan_to_num(wanted.astype(np.float64))

    def divergence(log_temperature: float) -> float:
        given = np.clip(tempered(labels, after, math.exp(log_temperature)).astype(np.float64), _SURE, 1 - _SURE)
        far = targets * np.log(given)
        if not labels.exclusive:
            far = far + (1 - targets) * np.log(1 - given)
        return float(-far[known].mean())

    low, high, golden = math.log(_COLDEST), math.log(_HOTTEST), (math.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if divergence(left) <= divergence(right):
            high = right
        else:
            low = left
    best = (low + high) / 2
    return float(f"{math.exp(best):.3g}") if divergence(best) < divergence(0.0) else 1.0


@dataclass(frozen=True)
class Standard:
    """The bundle a child is to decide like, as it answers for the validation images.

    Attributes:
        card, digest: its card and digest.
        val: the validation part.
        before: its answers.
        limits: what a child may lose.
        towards: what the child's temperature is fitted to ``[n, labels]``: probabilities of its own parent, or the
            labels of a network that was trained again.
    """

    card: Card
    digest: str
    val: Part
    before: Outputs
    limits: Limits
    towards: np.ndarray

    def temperature(self, after: Outputs) -> float:
        """The temperature of the labels of a child that answers `after`; 1 where it names none."""
        if not self.card.classifies:
            return 1.0
        return temperature_of(self.card.labels, self.towards, after.probabilities)

    def gate(self, after: Outputs, same_precision: bool = False, cooled: bool = True) -> Gate:
        """Hold a child's answers, before any temperature, against it: its decisions, its masks, or both.

        Args:
            after: the child's answers for `val`.
            same_precision: an export that may differ by rounding only; no temperature is fitted.
            cooled: whether the child will be given a temperature.

        Raises:
            UsageError: all validation images are of one patient, or of one class.
        """
        limits = self.limits.model_copy(update={"difference": ROUNDING}) if same_precision else self.limits
        held: dict[str, Any] = {"images": len(after), "limits": limits, "against": self.digest}
        differences = []
        if self.card.classifies:
            held |= self._decisions(after.probabilities, same_precision, cooled)
            differences.append(held.pop("difference"))
        if self.card.segments and after.masks is not None and self.before.masks is not None:
            held |= self._masks(after.masks)
            # masks come in steps: one step is rounding, in whatever precision
            moved = np.abs(after.masks.astype(np.int16) - self.before.masks.astype(np.int16)).max(initial=0)
            differences.append(max(0.0, (int(moved) - 1) / 255))
        held["largest_difference"] = max(differences)
        passed = limits.difference is None or held["largest_difference"] <= limits.difference
        if self.card.classifies:
            passed = passed and held["auroc_parent"] - held["auroc"] <= limits.auroc_lost
            passed = passed and held["flipped"] <= limits.flipped
            passed = passed and held["ece"] - held["ece_parent"] <= limits.ece_gained
        if "dice" in held:
            passed = passed and held["dice_parent"] - held["dice"] <= limits.dice_lost
        return Gate(**held, passed=passed)

    def followed(self, after: Outputs, bound_to: tuple[str, str], own: Card) -> dict[str, Any]:
        """What a child's card says of its decisions: thresholds that follow the parent's, the rule of its masks, and
        which labels stay possible, fitted anew. What is unlike is not told by a child: its features are its own.

        Args:
            after: the child's answers for `val`, brought to its temperature.
            bound_to: digests of the split and of the child's model.
            own: the child's card as far as it is known: whether it is calibrated and refers images.
        """
        card, val, outline = self.card, self.val, self.card.outline
        points: dict[str, OperatingPoint] = {}
        if card.classifies:
            given = (self.before.probabilities, after.probabilities)
            points = operating.follow(card.operating_points, card.labels, val.values, *given, bound_to=bound_to)
        if outline is not None and after.masks is not None:
            known = val.masked
            outline = operating.outlined(outline, after.masks[known], val.truth(known), bound_to=bound_to)
        decided: dict[str, Any] = {"operating_points": points, "outline": outline, "novelty": None}
        binding = {"split_digest": bound_to[0], "model_digest": bound_to[1]}
        if own.calibration is not None:
            decided["calibration"] = own.calibration.model_copy(update=binding)
        if own.abstention is not None:
            coverage = own.abstention.coverage
            fitted = conformal.fit(own.labels, val.values, after.probabilities, coverage, bound_to=bound_to)
            decided["abstention"] = fitted
        return decided

    def _masks(self, after: np.ndarray) -> dict[str, Any]:
        """Mean Dice of both at the parent's threshold, where the true masks are known."""
        known, outline = self.val.masked, self.card.outline
        if self.before.masks is None or outline is None or not known.any():
            return {}
        truths = self.val.truth(known)
        pair = (masks.mean_dice(levels[known], truths, outline.threshold) for levels in (self.before.masks, after))
        return {"masks": int(known.sum())} | dict(zip(("dice_parent", "dice"), pair, strict=True))

    def _decisions(self, after: np.ndarray, same_precision: bool, cooled: bool) -> dict[str, Any]:
        labels, before = self.card.labels, self.before.probabilities
        truth = decisions.truth_of(labels, self.val.values)
        known = ~np.isnan(truth)
        threshold = self.card.operating_point.threshold
        flips, others = np.zeros(len(after), dtype=bool), after.copy()
        for here in _folds(self.val):
            heat = 1.0 if same_precision or not cooled else temperature_of(labels, self.towards[~here], after[~here])
            rest, others[here] = tempered(labels, after[~here], heat), tempered(labels, after[here], heat)
            _, positive, _ = decisions.decide(labels, before[~here], threshold)
            own = decisions.follow_threshold(positive, decisions.decide(labels, rest, 0.5)[0], threshold)
            flips[here] = decisions.differ(labels, before[here], others[here], (threshold, own))
        scores = [decisions.decide(labels, p, 0.5)[0] for p in (before, others)]
        aurocs = [intervals.delong(truth, decisions.decide(labels, p, 0.5)[0]).value for p in (before, after)]
        if aurocs[0] is None or aurocs[1] is None:
            raise UsageError("the gate needs validation images with the finding and without", "use a larger validation")
        eces = [metrics.calibration_error(truth[known], score[known]) for score in scores]
        difference, flipped = float(np.abs(before - others).max()), float(flips.mean())
        return {
            "difference": difference,
            "auroc_parent": aurocs[0],
            "auroc": aurocs[1],
            "ece_parent": eces[0],
            "ece": eces[1],
            "flipped": flipped,
        }


def _folds(val: Part) -> Iterator[np.ndarray]:
    """Each fold of patients as flags over the images; folds that would leave nothing to fit on are left out."""
    patients = sorted({sample.patient for sample in val.samples})
    fold_of = {patient: number % _FOLDS for number, patient in enumerate(patients)}
    fold = np.array([fold_of[sample.patient] for sample in val.samples])
    if len(patients) < 2:
        raise UsageError("the gate needs validation images of two patients or more", "use a larger validation part")
    for number in range(_FOLDS):
        here = fold == number
        if here.any() and not here.all():
            yield here


def told(gate: Gate) -> str:
    """A gate's figures in one line."""
    return f"gate on {gate.images} validation images: {', '.join(_figures(gate, limited=False))}"


def failed(gate: Gate, child: str, parent: str, hint: str) -> GateFailed:
    """The error for a gate that does not hold: what was lost against what may be."""
    return GateFailed(
        f"{child} does not decide like '{parent}' on {gate.images} validation images: "
        f"{', '.join(_figures(gate, limited=True))}",
        hint,
    )


def _figures(gate: Gate, limited: bool) -> Iterator[str]:
    """Each figure of a gate in words, with what may be lost where `limited`."""
    limits = gate.limits

    def but(limit: str) -> str:
        return f" ({limit})" if limited else ""

    if gate.auroc_parent is not None and gate.auroc is not None:
        yield f"AUROC {gate.auroc_parent:.4f} -> {gate.auroc:.4f}{but(f'may lose {limits.auroc_lost}')}"
    if gate.flipped is not None:
        counted = f"{round(gate.flipped * gate.images)} decisions flipped (may be {int(limits.flipped * gate.images)})"
        yield counted if limited else f"{gate.flipped:.2%} of decisions flipped"
    if gate.ece_parent is not None and gate.ece is not None:
        yield f"ECE {gate.ece_parent:.3f} -> {gate.ece:.3f}{but(f'may gain {limits.ece_gained}')}"
    if gate.dice_parent is not None and gate.dice is not None:
        yield f"Dice {gate.dice_parent:.4f} -> {gate.dice:.4f}{but(f'may lose {limits.dice_lost}')}"
    yield f"largest difference {gate.largest_difference:.2g}"
