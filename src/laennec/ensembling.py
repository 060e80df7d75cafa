"""The ensemble stage: several bundles of one split, or several views by one bundle, turned into one bundle.

The result answers, exports and compares like any other. Weights and thresholds are fitted on validation; the test part
is not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from laennec import decisions, family, hardware, intervals, loader, metering, operating, progress, storage
from laennec.bundle import CARD, Bundle, model_digest, open_bundle, seal, seals
from laennec.card import Card, EnsembleSeen, MemberSeen, TrainingSeen
from laennec.errors import UsageError
from laennec.labels import LabelSet
from laennec.recipe import Recipe
from laennec.runtime import infer
from laennec.sections import Decision, Ensemble
from laennec.version import VERSION

WEIGHTS = "weights.safetensors"
MEMBERS = "members"
_ROUNDS = 200
_EVEN = 0.5  # added to right and wrong votes alike, so that no member is infinitely sure


def ensemble(
    bundles: Sequence[Bundle | str | Path],
    out: str | Path,
    how: Ensemble | None = None,
    *,
    root: str | Path | None = None,
    recipe: Recipe | None = None,
    threshold_views: int | None = None,
) -> Bundle:
    """Join `bundles` into one; their order is kept.

    Args:
        bundles: fp32 torch bundles of one data set, split and input; one is enough where `how` has two views.
        out: an empty or new folder (it may hold the members); if it holds this very ensemble, that is returned.
        how: rule, weights and views; plain averaging with fitted weights by default.
        root: where the data lies now, if it moved since the training.
        recipe: the recipe of the whole, where there is one; the first member's otherwise.
        threshold_views: fit the whole's thresholds on so many changed views of each validation image, as
            ``decision.views`` in a recipe, which it overrides.

    Raises:
        UsageError: `out` is taken, or the bundles do not go together.
    """
    how = how or Ensemble()
    members = [b if isinstance(b, Bundle) else open_bundle(b) for b in bundles]
    _check_together(members, how)
    out, first = Path(out), members[0].card
    recipe, named = recipe or members[0].recipe, recipe.name if recipe else ""
    if threshold_views is not None:
        recipe = recipe.changed({"decision.views": threshold_views})
    recipe = recipe.replace(ensemble=how.model_dump(mode="json"))
    done = _finished(out, members, how, recipe.decision)
    if done is not None:
        return done
    feed = loader.reload(members[0], ("val",), root)
    val, labels = feed.part("val"), first.labels
    files = {name: m.read(WEIGHTS) for name, m in zip(own_files(len(members)), members, strict=True)}
    answers, seen = [], []
    for name, member in zip(files, members, strict=True):
        answers.append(_answers(member.card, {name: files[name]}, _one(member, name, how), val))
        point = operating.fit(
            labels, val.values, answers[-1], decision=first.decision, bound_to=(feed.split.digest, member.digest)
        )[first.decision]
        seen.append((member, name, point.threshold))
    weights = _weights(how, labels, val.values, answers, [threshold for _, _, threshold in seen])
    joined = EnsembleSeen(
        rule=how.rule,
        views=how.views,
        members=tuple(
            _seen(member, name, weight, threshold)
            for (member, name, threshold), weight in zip(seen, weights, strict=True)
        ),
    )
    probabilities = _answers(first, files, joined, val)
    said = ", ".join(f"{m.name} {weight:.2f}" for m, weight in zip(members, weights, strict=True))
    progress.say(f"ensemble by {how.rule}: {said}")
    card = first.model_copy(
        update={
            "name": named or out.resolve().name,
            "ensemble": joined,
            "parameters": sum(m.card.parameters for m in members),
            "starting_weights": "; ".join(dict.fromkeys(m.card.starting_weights for m in members)),
            "operating_points": operating.fit(
                labels,
                val.values,
                probabilities,
                decision=first.decision,
                bound_to=(feed.split.digest, model_digest(seals(files))),
                views=_views(first, files, joined, val, recipe),
            ),
            "recipe": recipe.model_dump(mode="json"),
            "training": _training(members, labels, val.values, probabilities),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "laennec": VERSION,
        }
    )
    if (out / MEMBERS).is_dir():
        return seal(out, card, files)
    with storage.building(out, (out / CARD).is_file) as work:
        seal(work, card, files)
    return open_bundle(out)


def own_files(members: int) -> list[str]:
    """The names of the weights of an ensemble of so many members."""
    return [f"member-{i}.safetensors" for i in range(members)]


def check_recipes(recipe: Recipe, of_members: Mapping[str, Recipe]) -> None:
    """Refuse, before anything is trained, members that could not be joined. Raises `UsageError`."""
    if len(of_members) == 1 and recipe.ensemble.views == ("plain",):
        raise UsageError("an ensemble needs two members or more, or one with two views", "add [[members]], or views")
    for name, one in of_members.items():
        if one.preprocess.pixel_digest != recipe.preprocess.pixel_digest:
            raise UsageError(
                f"the member '{name}' reads other pixels than the ensemble",
                "members share size, resize, frame and equalise; channels, mean and std may differ",
            )


def _check_together(members: Sequence[Bundle], how: Ensemble) -> None:
    if not members or (len(members) == 1 and how.views == ("plain",)):
        raise UsageError("an ensemble needs two bundles or more, or one with two views", "add bundles, or --view flip")
    first = members[0].card
    for bundle in members:
        card = bundle.card
        if card.segments:
            raise UsageError(f"'{bundle.name}' makes masks", "join bundles that answer with label probabilities alone")
        if card.calibration is not None:
            raise UsageError(
                f"'{bundle.name}' is calibrated", "join the bundle it was calibrated from, then calibrate the whole"
            )
        if card.backend != "torch" or card.ensemble is not None:
            raise UsageError(f"'{bundle.name}' is no single torch bundle", "join the bundles that training made")
        same = [
            ("other labels", card.labels == first.labels),
            ("another input size or framing", card.preprocess.pixel_digest == first.preprocess.pixel_digest),
            ("other data", card.data.collection_digest == first.data.collection_digest),
            (
                "another split: it may have learned from our test images",
                card.data.split_digest == first.data.split_digest,
            ),
            ("other image files", card.data.files == first.data.files),
            ("another decision rule", card.decision == first.decision),
        ]
        wrong = [what for what, holds in same if not holds]
        if wrong:
            raise UsageError(
                f"'{bundle.name}' does not go with '{members[0].name}': {wrong[0]}",
                "train the members with the same [data], [split], [preprocess] and [decision]",
            )


def _finished(out: Path, members: Sequence[Bundle], how: Ensemble, decision: Decision) -> Bundle | None:
    """The bundle in `out` if it is this very ensemble; `UsageError` if `out` holds anything else."""
    if not (out / CARD).is_file():
        storage.check_free(out, {MEMBERS, "reports", *own_files(len(members))})
        return None
    bundle = open_bundle(out)
    joined = bundle.card.ensemble
    if (
        joined is not None
        and [seen.digest for seen in joined.members] == [member.digest for member in members]
        and (joined.rule, joined.views) == (how.rule, how.views)
        and (bundle.recipe.decision, bundle.recipe.ensemble) == (decision, how)
    ):
        progress.say(f"{out} holds this very ensemble already; delete it to make it again")
        return bundle
    raise UsageError(f"{out} holds another bundle", "take another --out, or delete that folder")


def _seen(member: Bundle, file: str, weight: float, threshold: float) -> MemberSeen:
    return MemberSeen(
        name=member.name,
        digest=member.digest,
        file=file,
        model=member.card.model,
        preprocess=member.card.preprocess,
        weight=weight,
        threshold=threshold,
        narrowed=member.card.pruning is not None and member.card.pruning.narrowed,
    )


def _one(member: Bundle, file: str, how: Ensemble) -> EnsembleSeen:
    """The member alone, answering for all views."""
    return EnsembleSeen(rule="mean", views=how.views, members=(_seen(member, file, 1.0, 0.5),))


def _answers(card: Card, files: dict[str, bytes], joined: EnsembleSeen, val: loader.Part) -> np.ndarray:
    session = family.member("backends", "torch").start(card.model_copy(update={"ensemble": joined}), files, 0)
    name = joined.members[0].name if len(joined.members) == 1 else "ensemble"
    return infer(session, val, name).probabilities


def _views(
    card: Card, files: dict[str, bytes], joined: EnsembleSeen, val: loader.Part, recipe: Recipe
) -> np.ndarray | None:
    """Answers to changed views of the validation images, where the thresholds are to be fitted on them."""
    if not recipe.decision.views:
        return None
    import torch

    from laennec.network import load_deployed
    from laennec.sources import views_of

    model = load_deployed(card.model_copy(update={"ensemble": joined}), files)
    return views_of(model, val, recipe.augmentation, recipe.decision.views, recipe.seed, torch.device("cpu"))


def _weights(
    how: Ensemble, labels: LabelSet, values: np.ndarray, answers: Sequence[np.ndarray], thresholds: Sequence[float]
) -> list[float]:
    """Weights of the members, summing to 1.

    A mean's maximise the likelihood of the validation labels under the mixture (EM, Dempster et al. 1977); a vote's are
    the log-odds of being right (Kuncheva 2014, section 4.3), and no less than 0.
    """
    n = len(answers)
    raw = np.ones(n)
    if how.weights == "fitted" and how.rule == "mean":
        known = values == 1 if labels.exclusive else ~np.isnan(values)
        right = np.stack([np.where(values == 1, a, 1 - a)[known] for a in answers]).astype(np.float64)
        right = np.clip(right, 1e-7, 1.0)
        raw = np.full(n, 1 / n)
        for _ in range(_ROUNDS):
            held = raw[:, None] * right
            raw = (held / held.sum(0)).mean(1)
    elif how.weights == "fitted":
        truth = decisions.truth_of(labels, values)
        known = ~np.isnan(truth)
        for i, (answer, threshold) in enumerate(zip(answers, thresholds, strict=True)):
            _, positive, _ = decisions.decide(labels, answer, threshold)
            right_votes = int((positive[known] == truth[known]).sum())
            raw[i] = max(0.0, float(np.log((right_votes + _EVEN) / (known.sum() - right_votes + _EVEN))))
    total = raw.sum()
    return [float(w) for w in (raw / total if total > 0 else np.full(n, 1 / n))]


def _training(
    members: Sequence[Bundle], labels: LabelSet, values: np.ndarray, probabilities: np.ndarray
) -> TrainingSeen:
    """The members' trainings together, and the whole's figures on validation."""
    truth = decisions.truth_of(labels, values)
    known = ~np.isnan(truth)
    score, positive, _ = decisions.decide(labels, probabilities, 0.5)
    seen = [m.card.training for m in members]
    return TrainingSeen(
        epochs=sum(t.epochs for t in seen),
        kept_epoch=0,
        learning={f"{m.name}: {phase}": n for m in members for phase, n in m.card.training.learning.items()},
        seconds=round(sum(t.seconds for t in seen), 1),
        hardware=seen[0].hardware or hardware.describe(),
        threads=seen[0].threads,
        validation={
            "loss": family.member("tasks", members[0].card.task).log_loss(labels, probabilities, values),
            "auroc": intervals.delong(truth[known], score[known]).value,
            "accuracy": float(np.mean(positive[known] == truth[known])),
        },
        energy=metering.combined(used) if len(used := [t.energy for t in seen if t.energy]) == len(seen) else None,
    )
