"""int8 that decides like its parent: settings tried one after the other, then the most sensitive layers left floating.

Which settings and how many layers is decided by the gate on validation; which layers, by what rounding each alone does
to the answers for the calibration images, of the training part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from laennec import gating, graphs, progress
from laennec.card import Card, Gate, Quantisation
from laennec.noun import Noun
from laennec.outputs import Outputs
from laennec.quantising import Quantiser
from laennec.runtime import infer

_PROBES = 64  # calibration images on which a layer's sensitivity is measured
_MOST = 0.5  # share of the layers that may stay floating: beyond, int8 is no longer what it is called


class Tried(Noun):
    """One line of the search: what was tried, and what the gate said."""

    how: Quantisation
    gate: Gate


@dataclass(frozen=True)
class Found:
    """The outcome of a search: the files and settings taken, what they answer, and every try."""

    files: dict[str, bytes]
    how: Quantisation
    after: Outputs
    gate: Gate
    tried: tuple[Tried, ...] = ()


def settings() -> tuple[Quantisation, ...]:
    """The settings to try, the one that most often does best first."""
    methods = ("minmax", "percentile", "entropy")
    return tuple(Quantisation(per_channel=pc, ranges=m) for m in methods for pc in (True, False))


def search(
    member: ModuleType,
    parent: Card,
    files: Mapping[str, bytes],
    quantiser: Quantiser,
    standard: gating.Standard,
    *,
    first: Quantisation | None = None,
    thorough: bool = False,
) -> Found:
    """Find int8 settings under which the gate holds; where none does, the best ones with its gate not passed.

    Args:
        member: the backend.
        parent: the fp32 bundle's card.
        files: its model files.
        quantiser: holds the calibration images.
        standard: what the result must decide like.
        first: settings to try before all others.
        thorough: try all settings and keep the best, instead of stopping at the first that holds.
    """
    tried: list[Tried] = []

    def attempt(how: Quantisation) -> Found:
        made = member.export(parent, files, "int8", quantiser, how)
        after = infer(member.start(_as_int8(member, parent), made, 0), standard.val, f"int8 {told(how)}")
        gate = standard.gate(after, cooled=member.CALIBRATES)
        tried.append(Tried(how=how, gate=gate))
        progress.say(f"int8 {told(how)}: {'' if gate.passed else 'not enough: '}{gating.told(gate)}")
        return Found(made, how, after, gate)

    best: Found | None = None
    for how in dict.fromkeys((*([first] if first else []), *(settings() if member.CALIBRATES else settings()[:1]))):
        found = attempt(how)
        best = found if best is None or _rank(found.gate) < _rank(best.gate) else best
        if best.gate.passed and not thorough:
            break
    if best is None:
        raise AssertionError("there are settings to try")
    if not best.gate.passed and member.CALIBRATES:
        best = _relieved(best, attempt, _by_sensitivity(member, parent, files, quantiser, best.how))
    if member.CALIBRATES:
        layers = quantiser.calibrated(graphs.of(parent, files), best.how.ranges).layers
        best = dataclasses.replace(best, how=best.how.model_copy(update={"layers": len(layers)}))
    return dataclasses.replace(best, tried=tuple(tried))


def _relieved(best: Found, attempt: Callable[[Quantisation], Found], layers: Sequence[str]) -> Found:
    """Leave more and more of the layers, the most sensitive first, in floating point until the gate holds."""
    count = 1
    while count <= _MOST * len(layers) and not best.gate.passed:
        found = attempt(best.how.model_copy(update={"floating": tuple(layers[:count])}))
        best = found if _rank(found.gate) < _rank(best.gate) else best
        count *= 2
    return best


def _by_sensitivity(
    member: ModuleType, parent: Card, files: Mapping[str, bytes], quantiser: Quantiser, how: Quantisation
) -> list[str]:
    """The layers, the one first whose rounding alone moves the answers for calibration images most."""
    layers = quantiser.calibrated(graphs.of(parent, files), how.ranges).layers
    images, card = quantiser.images[:_PROBES], _as_int8(member, parent)

    def answers(floating: Sequence[str]) -> Outputs:
        made = member.export(parent, files, "int8", quantiser, how.model_copy(update={"floating": tuple(floating)}))
        given: Outputs = member.start(card, made, 0).run(images)
        return given

    plain = answers(layers)
    moved = {}
    with progress.track("sensitivity of the layers", len(layers)) as step:
        for layer in layers:
            moved[layer] = _moved(answers([other for other in layers if other != layer]), plain)
            step.advance()
    return sorted(layers, key=lambda layer: -moved[layer])


def _moved(one: Outputs, other: Outputs) -> float:
    """Mean absolute difference of probabilities, of labels and of pixels each counted once."""
    moved = float(np.abs(one.probabilities - other.probabilities).mean()) if one.probabilities.size else 0.0
    if one.masks is not None and other.masks is not None:
        moved += float(np.abs(one.masks.astype(np.float32) - other.masks).mean()) / 255
    return moved


def _rank(gate: Gate) -> tuple[bool, float, float]:
    """Smaller is better: a gate that holds, then fewer flips, then less AUROC and Dice lost."""
    lost = (gate.auroc_parent or 0.0) - (gate.auroc or 0.0) + (gate.dice_parent or 0.0) - (gate.dice or 0.0)
    return (not gate.passed, gate.flipped or 0.0, lost)


def _as_int8(member: ModuleType, parent: Card) -> Card:
    return parent.model_copy(update={"backend": member.__name__.rpartition(".")[2], "precision": "int8"})


def told(how: Quantisation) -> str:
    """Settings in a few words."""
    scales = "per channel" if how.per_channel else "per layer"
    left = f", {len(how.floating)} layers floating" if how.floating else ""
    return f"{scales}, {how.ranges}{left}"
