"""The export stage: a Bundle turned into another backend and precision, and held against its parent by a gate.

Calibration images come from the training part; the gate and the new thresholds come from validation. The test part is
not read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from laennec import decisions, family, intervals, operating, progress, storage
from laennec.bundle import CARD, Bundle, model_digest, open_bundle, seal, seals
from laennec.card import Card, Gate
from laennec.errors import GateFailed, UsageError
from laennec.labels import LabelSet
from laennec.loader import Part, reload
from laennec.runtime import infer, start
from laennec.version import VERSION

AUROC_LOST = 0.002
FLIPPED = 0.01
ROUNDING = 1e-3  # largest difference of any probability where the precision stays the same
_FOLDS = 5
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
        flipped: largest share of validation images decided otherwise, each model at its own threshold, the child's
            fitted on other patients.

    Raises:
        UsageError: `out` is taken, or the backend does not make that precision.
        GateFailed: the gate does not hold; nothing is sealed.
    """
    parent = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    member, out = family.member("backends", backend), Path(out)
    done = _finished(out, parent, backend, precision, (auroc_lost, flipped))
    if done is not None:
        return done
    feed = reload(parent, ("train", "val"), root)
    val, labels = feed.part("val"), parent.card.labels
    calibration = _calibration_images(feed.part("train"), parent.recipe.seed)
    progress.say(f"exporting {parent.name} to {backend} {precision}")
    files = member.export(parent.card, parent.model_files(), precision, calibration)
    before = infer(start(parent), val, parent.name)
    after = infer(member.start(parent.card, files, 0), val, out.name)
    limits = (auroc_lost, flipped, ROUNDING if precision == parent.card.precision else None)
    gate = _gate(val, parent.card, before, after, limits)
    progress.say(
        f"gate on {gate.images} validation images: AUROC {gate.auroc_parent:.4f} -> {gate.auroc:.4f}, "
        f"{gate.flipped:.2%} of decisions flipped, largest difference {gate.largest_difference:.2g}"
    )
    if not gate.passed:
        raise GateFailed(
            f"the {precision} model does not decide like '{parent.name}' on {gate.images} validation images: AUROC "
            f"{gate.auroc_parent:.4f} -> {gate.auroc:.4f} (may lose {auroc_lost}), "
            f"{round(gate.flipped * gate.images)} decisions flipped (may be {int(flipped * gate.images)}), "
            f"largest difference {gate.largest_difference:.2g}",
            "train longer or on more images, or allow more with --auroc-lost and --flipped",
        )
    bound_to = (feed.split.digest, model_digest(seals(files)))
    card = parent.card.model_copy(
        update={
            "backend": backend,
            "precision": precision,
            "parent": parent.digest,
            "operating_points": operating.follow(
                parent.card.operating_points, labels, val.values, before, after, bound_to=bound_to
            ),
            "gate": gate,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "laennec": VERSION,
        }
    )
    with storage.building(out, (out / CARD).is_file) as work:
        seal(work, card, files)
    return open_bundle(out)


def _finished(out: Path, parent: Bundle, backend: str, precision: str, limits: tuple[float, float]) -> Bundle | None:
    """The bundle in `out` if it is this very export; `UsageError` if `out` holds anything else."""
    if not (out / CARD).is_file():
        storage.check_free(out)
        return None
    bundle = open_bundle(out)
    gate = bundle.card.gate
    same = (bundle.card.parent, bundle.card.backend, bundle.card.precision) == (parent.digest, backend, precision)
    if same and gate is not None and (gate.auroc_lost_limit, gate.flipped_limit) == limits:
        progress.say(f"{out} holds this very export already; delete it to export again")
        return bundle
    raise UsageError(f"{out} holds another bundle", "take another --out, or delete that folder")


def _calibration_images(train: Part, seed: int) -> np.ndarray:
    chosen = np.random.default_rng(seed).permutation(len(train))[:_CALIBRATION_IMAGES]
    return train.batch(np.sort(chosen))


def _flips(val: Part, labels: LabelSet, before: np.ndarray, after: np.ndarray, threshold: float) -> float:
    """Share of validation images decided otherwise, the child's threshold fitted on other patients each time.

    Fitted and counted on the same images the share would come out too small; five folds of patients part the two.
    """
    _, positive, _ = decisions.decide(labels, before, threshold)
    score, _, _ = decisions.decide(labels, after, 0.5)
    patients = sorted({sample.patient for sample in val.samples})
    fold_of = {patient: number % _FOLDS for number, patient in enumerate(patients)}
    fold = np.array([fold_of[sample.patient] for sample in val.samples])
    flipped = np.zeros(len(val), dtype=bool)
    for number in range(_FOLDS):
        here = fold == number
        if here.any() and not here.all():
            own = decisions.follow_threshold(positive[~here], score[~here], threshold)
            flipped[here] = decisions.differ(labels, before[here], after[here], (threshold, own))
    return float(flipped.mean())


def _gate(
    val: Part, parent: Card, before: np.ndarray, after: np.ndarray, limits: tuple[float, float, float | None]
) -> Gate:
    """Hold a child's probabilities on validation against its parent's.

    `limits` are AUROC lost, share of decisions flipped, and the largest difference of any probability.
    """
    truth = decisions.truth_of(parent.labels, val.values)
    aurocs = [
        intervals.delong(truth, decisions.decide(parent.labels, probabilities, 0.5)[0]).value or 0.0
        for probabilities in (before, after)
    ]
    flipped = _flips(val, parent.labels, before, after, parent.operating_point.threshold)
    difference = float(np.abs(before - after).max())
    return Gate(
        images=len(val),
        largest_difference=difference,
        auroc_parent=aurocs[0],
        auroc=aurocs[1],
        flipped=flipped,
        auroc_lost_limit=limits[0],
        flipped_limit=limits[1],
        largest_difference_limit=limits[2],
        passed=aurocs[0] - aurocs[1] <= limits[0]
        and flipped <= limits[1]
        and (limits[2] is None or difference <= limits[2]),
    )
