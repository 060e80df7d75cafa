"""The export stage: a Bundle turned into another backend and precision, and held against its parent by a gate.

Calibration images come from the training part; the gate and the new thresholds come from validation. The test part is
not read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from laennec import decisions, family, intervals, operating, progress
from laennec.bundle import CARD, Bundle, Card, Gate, model_digest, open_bundle, seal, seals
from laennec.errors import GateFailed, UsageError
from laennec.loader import Part, reload
from laennec.runtime import infer, start
from laennec.version import VERSION

AUROC_LOST = 0.002
FLIPPED = 0.01
_CALIBRATION_IMAGES = 256


def export(
    bundle: Bundle | str | Path,
    backend: str = "onnxruntime",
    precision: str = "fp32",
    *,
    out: str | Path,
    root: str | Path | None = None,
    auroc_lost: float = AUROC_LOST,
    flipped: float = FLIPPED,
) -> Bundle:
    """Export a bundle, fit its thresholds to its parent's decisions on validation, and seal it if the gate holds.

    Args:
        bundle: the parent, fp32.
        backend: the runtime to export to.
        precision: ``fp32`` or ``int8``, as the backend offers.
        out: an empty or new folder; if it holds this very export, that is returned.
        root: where the data lies now, if it moved since the training.
        auroc_lost: largest validation AUROC the gate lets go.
        flipped: largest share of validation images decided otherwise, each model at its own threshold.

    Raises:
        UsageError: `out` is taken, or the backend does not make that precision.
        GateFailed: the gate does not hold; nothing is sealed.
    """
    parent = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    member, out = family.member("backends", backend), Path(out)
    done = _finished(out, parent, backend, precision)
    if done is not None:
        return done
    feed = reload(parent, ("train", "val"), root)
    val = feed.part("val")
    calibration = _calibration_images(feed.part("train"), parent.recipe.seed)
    progress.say(f"exporting {parent.name} to {backend} {precision}")
    files = member.export(parent.card, parent.model_files(), precision, calibration)
    before = infer(start(parent), val, parent.name)
    card = parent.card.model_copy(
        update={
            "backend": backend,
            "precision": precision,
            "parent": parent.digest,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "laennec": VERSION,
        }
    )
    after = infer(member.start(card, files, 0), val, out.name)
    bound_to = (feed.split.digest, model_digest(seals(files)))
    points = operating.follow(parent.card.operating_points, card.labels, val.values, before, after, bound_to=bound_to)
    card = card.model_copy(update={"operating_points": points})
    gate = _gate(val, (parent.card, before), (card, after), (auroc_lost, flipped))
    progress.say(
        f"gate on {gate.images} validation images: AUROC {gate.auroc_parent:.4f} -> {gate.auroc:.4f}, "
        f"{gate.flipped:.2%} of decisions flipped, largest difference {gate.largest_difference:.2g}"
    )
    if not gate.passed:
        raise GateFailed(
            f"the {precision} model does not decide like '{parent.name}' on {gate.images} validation images: AUROC "
            f"{gate.auroc_parent:.4f} -> {gate.auroc:.4f} (may lose {auroc_lost}), "
            f"{gate.flipped:.2%} of decisions flipped (may be {flipped:.2%})",
            "train longer or on more images, or allow more with --auroc-lost and --flipped",
        )
    return seal(out, card.model_copy(update={"gate": gate}), files)


def _finished(out: Path, parent: Bundle, backend: str, precision: str) -> Bundle | None:
    """The bundle in `out` if it is this very export; `UsageError` if `out` holds anything else."""
    if not out.exists() or not any(out.iterdir()):
        return None
    if (out / CARD).is_file():
        bundle = open_bundle(out)
        if (bundle.card.parent, bundle.card.backend, bundle.card.precision) == (parent.digest, backend, precision):
            progress.say(f"{out} holds this very export already; delete it to export again")
            return bundle
    raise UsageError(f"{out} is not empty and holds something else", "take another --out, or an empty folder")


def _calibration_images(train: Part, seed: int) -> np.ndarray:
    chosen = np.random.default_rng(seed).permutation(len(train))[:_CALIBRATION_IMAGES]
    return train.batch(np.sort(chosen))


def _gate(
    val: Part, parent: tuple[Card, np.ndarray], child: tuple[Card, np.ndarray], limits: tuple[float, float]
) -> Gate:
    """Hold two cards' probabilities on validation against each other; `limits` are AUROC lost and share flipped."""
    truth = decisions.truth_of(child[0].labels, val.values)
    known = ~np.isnan(truth)
    aurocs, positives = [], []
    for card, probabilities in (parent, child):
        score, positive, _ = decisions.decide(card.labels, probabilities, card.operating_point.threshold)
        aurocs.append(intervals.delong(truth[known], score[known]).value or 0.0)
        positives.append(positive)
    flipped = float(np.mean(positives[0] != positives[1]))
    return Gate(
        images=len(val),
        largest_difference=float(np.abs(parent[1] - child[1]).max()),
        auroc_parent=aurocs[0],
        auroc=aurocs[1],
        flipped=flipped,
        auroc_lost_limit=limits[0],
        flipped_limit=limits[1],
        passed=aurocs[0] - aurocs[1] <= limits[0] and flipped <= limits[1],
    )
