"""The calibration stage: a Bundle whose probabilities mean frequencies, and which says when a person should decide.

Everything is fitted on validation; how far an image may lie from those learned from is measured on training images. The
test part is not read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from laennec import calibrators, conformal, decisions, familiarity, graphs, metrics, progress, storage
from laennec.bundle import CARD, Bundle, model_digest, open_bundle, seal, seals
from laennec.card import Card
from laennec.errors import LaennecError, UsageError
from laennec.loader import Part, reload
from laennec.outputs import Outputs
from laennec.results import OperatingPoint
from laennec.runtime import answers, infer, start_with
from laennec.trust import Calibration, CalibrationTried, ScoreMap
from laennec.version import VERSION

AUTO = "auto"
_FIGURES = ("ece", "brier", "log_loss")


def calibrate(
    bundle: Bundle | str | Path,
    out: str | Path,
    method: str = AUTO,
    coverage: float = 0.9,
    *,
    root: str | Path | None = None,
) -> Bundle:
    """Calibrate a bundle's probabilities inside its model, and fit which labels stay possible for an image.

    No decision changes: thresholds move with the probabilities. All methods are judged on validation patients they were
    not fitted on, and the card keeps those figures; what is sealed is fitted on all of validation.

    Args:
        bundle: the parent, of any backend and precision.
        out: an empty or new folder; if it holds this very calibration, that is returned.
        method: ``temperature``, ``isotonic``, ``beta`` (`laennec.calibrators`); ``auto`` takes the one of least
            cross-fitted log loss, and leaves the probabilities where none is better than that.
        coverage: share of each class's images whose set of possible labels shall hold the truth, in (0, 1).
        root: where the data lies now, if it moved since the training.

    Raises:
        UsageError: `out` is taken; the bundle names no label or is calibrated already; there is no such method or
            coverage; validation has too few patients of a class.
        LaennecError: the model's precision is too coarse for the decisions to stay.
    """
    parent = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    out = Path(out)
    _check(parent, method, coverage)
    done = _finished(out, parent, method, coverage)
    if done is not None:
        return done
    feed = reload(parent, ("train", "val"), root)
    val, labels = feed.part("val"), parent.card.labels
    before = answers(parent, val)
    how = _fitted(parent.card, val, before, method)
    files = {name: parent.read(name) for name in parent.card.files}
    if parent.card.novelty is not None:
        files.pop(parent.card.novelty.file)
    if graphs.GRAPH in files:
        files[graphs.GRAPH] = calibrators.in_graph(how, labels, files[graphs.GRAPH])
    bound_to = (feed.split.digest, model_digest(seals(files), how))
    binding = {"split_digest": bound_to[0], "model_digest": bound_to[1]}
    how = how.model_copy(update=binding)
    card = parent.card.model_copy(update={"calibration": how, "novelty": None})
    session = start_with(card, files)
    after = infer(session, val, out.name)
    outline = card.outline.model_copy(update=binding) if card.outline is not None else None
    stranger = familiarity.fitted(session, card, feed, bound_to=bound_to, seed=parent.recipe.seed)
    if stranger is not None:
        files[stranger[0].file] = stranger[1]
    card = card.model_copy(
        update={
            "operating_points": _moved(parent.card, how, before, after, binding),
            "outline": outline,
            "abstention": conformal.fit(labels, val.values, after.probabilities, coverage, bound_to=bound_to),
            "novelty": stranger[0] if stranger is not None else None,
            "parent": parent.digest,
            "gate": None,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "laennec": VERSION,
        }
    )
    with storage.building(out, (out / CARD).is_file) as work:
        seal(work, card, files)
    return open_bundle(out)


def _check(parent: Bundle, method: str, coverage: float) -> None:
    if method not in {AUTO, *calibrators.METHODS}:
        raise UsageError(f"no method '{method}'", f"take one of: {', '.join((AUTO, *calibrators.METHODS))}")
    if not 0 < coverage < 1:
        raise UsageError(f"a coverage of {coverage:g} cannot be promised", "choose one between 0 and 1, such as 0.9")
    if not parent.card.classifies:
        raise UsageError(f"'{parent.name}' names no label", "calibrate a bundle that classifies")
    if parent.card.calibration is not None:
        raise UsageError(f"'{parent.name}' is calibrated already", "calibrate the bundle it was calibrated from")


def _finished(out: Path, parent: Bundle, method: str, coverage: float) -> Bundle | None:
    """The bundle in `out` if it is this very calibration; `UsageError` if `out` holds anything else."""
    if not (out / CARD).is_file():
        storage.check_free(out)
        return None
    bundle = open_bundle(out)
    how, abstention = bundle.card.calibration, bundle.card.abstention
    if bundle.card.parent == parent.digest and how is not None and abstention is not None:
        asked = AUTO if how.chosen == "log_loss" else how.method
        if (asked, abstention.coverage) == (method, coverage):
            progress.say(f"{out} holds this very calibration already; delete it to calibrate again")
            return bundle
    raise UsageError(f"{out} holds another bundle", "take another --out, or delete that folder")


def _fitted(card: Card, val: Part, given: Outputs, method: str) -> Calibration:
    """The map, with the figures of all methods; bound to nothing yet."""
    truth = decisions.truth_of(card.labels, val.values)
    known = ~np.isnan(truth)
    truth = truth[known]
    score, rest = (side[known] for side in calibrators.sides(card.labels, given.probabilities))
    patients = [sample.patient for sample, keep in zip(val.samples, known, strict=True) if keep]
    crossed = {"none": score} | {name: np.empty_like(score) for name in calibrators.METHODS}
    for here in calibrators.folds(patients, truth):
        for name in calibrators.METHODS:
            of_others = calibrators.fit(name, truth[~here], score[~here], rest[~here])
            crossed[name][here] = calibrators.mapped(of_others, score[here], rest[here])
    tried = tuple(
        CalibrationTried.model_validate({"method": name} | metrics.calibration_figures(truth, scores, patients))
        for name, scores in crossed.items()
    )
    for one in tried:
        progress.say(f"{one.method}: " + ", ".join(f"{name} {getattr(one, name).text(4)}" for name in _FIGURES))
    best = min(tried, key=lambda one: one.log_loss.value if one.log_loss.value is not None else np.inf)
    wanted = best.method if method == AUTO else method
    if wanted == "none":
        progress.say("no method is better than the probabilities as they are: they stay")
    fitted: ScoreMap = calibrators.IDENTITY if wanted == "none" else calibrators.fit(wanted, truth, score, rest)
    return Calibration(
        **fitted.model_dump(),
        prevalence=float(truth.mean()),
        n=len(truth),
        positives=int(truth.sum()),
        patients=len(set(patients)),
        tried=tried,
        chosen="log_loss" if method == AUTO else "asked",
        split_digest="",
        model_digest="",
    )


def _moved(
    card: Card, how: ScoreMap, before: Outputs, after: Outputs, binding: dict[str, Any]
) -> dict[str, OperatingPoint]:
    """The operating points under the map: the same decisions on validation.

    Raises:
        LaennecError: a decision changed.
    """
    labels, points = card.labels, {}
    score, _, _ = decisions.decide(labels, after.probabilities, 0.5)
    for rule, point in card.operating_points.items():
        _, positive, _ = decisions.decide(labels, before.probabilities, point.threshold)
        near = float(np.clip(calibrators.mapped(how, [point.threshold])[0], 0.0, 1.0))
        threshold = decisions.follow_threshold(positive, score, near)
        pair = (point.threshold, threshold)
        changed = int(decisions.differ(labels, before.probabilities, after.probabilities, pair).sum())
        if changed:
            raise LaennecError(
                f"calibration would change {changed} of {len(score)} decisions at '{rule}': {card.precision} is too "
                "coarse for it",
                "calibrate the fp32 bundle it came from, then export that",
            )
        points[rule] = point.model_copy(update={"threshold": threshold} | binding)
    return points
