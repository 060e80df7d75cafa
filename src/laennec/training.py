"""The training stage: a recipe in, a sealed Bundle out. Reads train and validation, never test."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from laennec import (
    checkpoints,
    ensembling,
    family,
    hardware,
    loader,
    masks,
    metering,
    operating,
    progress,
    storage,
    tracking,
)
from laennec.bundle import CARD, Bundle, dump, model_digest, open_bundle, seal, seals
from laennec.card import Architecture, Card, TrainingSeen
from laennec.errors import UsageError
from laennec.fit import Fit, pick_device, settled
from laennec.network import WEIGHTS, Deployed, Joined, load_deployed, of_work, weights_bytes
from laennec.outputs import Outputs
from laennec.recipe import Recipe
from laennec.results import Epoch, OperatingPoint
from laennec.segmentation import Outline
from laennec.sources import Pictures, views_of
from laennec.trackers import Run
from laennec.version import VERSION
from laennec.work import work_of

HISTORY = "history.json"
_CHECKPOINTS = "checkpoints"


def train(
    recipe: Recipe,
    out: str | Path,
    *,
    trackers: Sequence[str] = (),
    experiment: str = "",
    told: Callable[[Epoch, int], None] = lambda _, __: None,
) -> Bundle:
    """Train `recipe` into the folder `out` and return the sealed bundle.

    Run again on an unfinished folder it resumes; on a finished one of the same recipe it returns what is there. A
    recipe with members trains each of them below ``members/`` and joins them.

    Args:
        recipe: what to train.
        out: an empty or new folder, or one of this very training.
        trackers: members of the family of trackers beside ``jsonl``, which always writes ``reports/training.jsonl``.
        experiment: what trackers compare the run within; the data set's name by default.
        told: hears of every epoch and its number over all phases, but not of members; what it raises ends the
            training, which can be resumed.

    Raises:
        UsageError: the recipe does not fit its data, or `out` holds something else.
        StorageFull: no room for a checkpoint; the last one still opens.
        LaennecError: the loss became NaN, or pretrained weights cannot be had.
    """
    out = Path(out)
    done = _finished(out, recipe)
    if done is not None:
        return done
    if recipe.members:
        return _joined(recipe, out, trackers, experiment)
    run = Run(
        name=out.resolve().name,
        experiment=experiment or recipe.data.name,
        folder=out,
        recipe=recipe,
        resumed=(out / _CHECKPOINTS).is_dir(),
    )
    with tracking.start(trackers, run) as tracked:
        bundle = _trained(recipe, out, tracked, told)
        tracked.bundle(bundle)
    return bundle


def _trained(recipe: Recipe, out: Path, tracked: tracking.Trackers, told: Callable[[Epoch, int], None]) -> Bundle:
    feed = loader.load(recipe, ("train", "val"))
    labels, device = feed.collection.labels, pick_device(recipe.training.device, recipe.training.precision)
    threads = recipe.training.threads or os.cpu_count() or 1
    architecture = Architecture(name=recipe.model.name, options=recipe.model.options, head=recipe.head)
    ledger_file = out / _CHECKPOINTS / "energy.json"
    with settled(device, threads), metering.Ledger(ledger_file, device.type == "cuda") as ledger:
        torch.manual_seed(recipe.seed)
        work = work_of(recipe.task, labels)
        network = of_work(architecture, recipe.preprocess, work)
        teacher, taught_by = _teacher(recipe, feed, device)
        pictures = Pictures(
            recipe=recipe,
            work=work,
            train=feed.part("train"),
            val=feed.part("val"),
            device=device,
            teacher=teacher,
            taught_by=taught_by,
        )
        _check_masks(pictures)
        fit = Fit(pictures, network.to(device).to(memory_format=torch.channels_last))
        identity = {"recipe": recipe.digest, "split": feed.split.digest, "collection": feed.collection.digest}
        if work.segment is not None:
            learned = feed.collection.take((*feed.split.train, *feed.split.val))
            identity["masks"] = loader.mask_digest(learned)

        def heard(epoch: Epoch) -> None:
            ledger.note()
            tracked.epoch(epoch, len(fit.history))
            told(epoch, len(fit.history))

        fit.run(out / _CHECKPOINTS, identity | {"teacher": taught_by or ""}, heard)
        given, views = pictures.judged(fit.kept), None
        if recipe.decision.views and work.classify is not None:
            deployed = Deployed(fit.kept, work).eval()
            how, count = recipe.augmentation, recipe.decision.views
            views = views_of(deployed, pictures.val, how, count, recipe.seed, device)
        energy = ledger.note()
    files = {WEIGHTS: weights_bytes(fit.kept), HISTORY: dump([e.model_dump(mode="json") for e in fit.history])}
    kept = max(i for i, epoch in enumerate(fit.history) if epoch.best)
    member = family.member("models", recipe.model.name)
    bound_to = (feed.split.digest, model_digest(seals(files)))
    points, outline = _decided(recipe, pictures, given, views, bound_to)
    card = Card(
        name=recipe.name or recipe.data.name,
        task=recipe.task,
        labels=labels,
        preprocess=recipe.preprocess,
        backend="torch",
        precision="fp32",
        model=architecture,
        parameters=sum(p.numel() for p in fit.kept.parameters()),
        starting_weights=member.starting_weights(member.Options.model_validate(recipe.model.options)),
        operating_points=points,
        decision=recipe.decision.rule,
        outline=outline,
        data=feed.seen(),
        recipe=recipe.model_dump(mode="json"),
        training=TrainingSeen(
            epochs=len(fit.history),
            kept_epoch=kept + 1,
            learning=fit.learning,
            teacher=taught_by,
            seconds=round(sum(epoch.seconds for epoch in fit.history), 1),
            hardware=torch.cuda.get_device_name() if device.type == "cuda" else hardware.describe(),
            threads=threads,
            validation={
                "loss": fit.history[kept].val_loss,
                "auroc": fit.history[kept].val_auroc,
                "accuracy": fit.history[kept].val_accuracy,
                "dice": fit.history[kept].val_dice,
            },
            energy=energy,
        ),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        laennec=VERSION,
    )
    bundle = seal(out, card, files)
    checkpoints.clear(out / _CHECKPOINTS)
    return bundle


def _check_masks(pictures: Pictures) -> None:
    """Refuse to learn masks where none is known to learn from, or to choose on."""
    for name, part in (("train", pictures.train), ("val", pictures.val)):
        if pictures.work.segment is not None and not part.masked.any():
            raise UsageError(f"no image of the {name} part has a known mask", "add masks, or change [split]")


def _decided(
    recipe: Recipe, pictures: Pictures, given: Outputs, views: np.ndarray | None, bound_to: tuple[str, str]
) -> tuple[dict[str, OperatingPoint], Outline | None]:
    """Thresholds of the labels and the rule of the masks, as far as the work has them, fitted on validation."""
    work, val, outline = pictures.work, pictures.val, None
    if work.segment is not None and given.masks is not None and val.masked.any():
        outline = masks.fitted(given.masks[val.masked], val.truth(val.masked), bound_to=bound_to)
    if work.classify is None:
        return {}, outline
    labels, rule = work.labels, recipe.decision.rule
    points = operating.fit(labels, val.values, given.probabilities, decision=rule, bound_to=bound_to, views=views)
    return points, outline


def _joined(recipe: Recipe, out: Path, trackers: Sequence[str], experiment: str) -> Bundle:
    """Train the members of an ensemble, each in a folder of its own, and join them."""
    members, recipes = [], recipe.of_members()
    ensembling.check_recipes(recipe, recipes)
    for number, (name, of_member) in enumerate(recipes.items()):
        progress.say(f"member {number + 1} of {len(recipe.members)}: {name}")
        folder = out / ensembling.MEMBERS / name
        members.append(train(of_member, folder, trackers=trackers, experiment=experiment or recipe.name))
    return ensembling.ensemble(members, out, recipe.ensemble, recipe=recipe)


def _teacher(recipe: Recipe, feed: loader.Feed, device: torch.device) -> tuple[Deployed | Joined | None, str | None]:
    """The teacher a recipe names, and its digest.

    Raises:
        UsageError: it is no fp32 torch bundle, reads other pixels, has other labels, or saw another split.
    """
    if not recipe.teacher.bundle:
        return None, None
    bundle = open_bundle(recipe.teacher.bundle)
    card = bundle.card
    if not card.classifies:
        raise UsageError(f"the teacher '{bundle.name}' names no label", "take one that classifies")
    if card.backend != "torch":
        raise UsageError(f"the teacher '{bundle.name}' is not a torch bundle", "name the bundle it was exported from")
    if (card.labels, card.preprocess.pixel_digest) != (feed.collection.labels, recipe.preprocess.pixel_digest):
        raise UsageError(
            f"the teacher '{bundle.name}' has other labels or reads other pixels", "give both the same [preprocess]"
        )
    seen = feed.seen()
    own = (seen.split_digest, seen.collection_digest, seen.files)
    if (card.data.split_digest, card.data.collection_digest, card.data.files) != own:
        raise UsageError(
            f"the teacher '{bundle.name}' was made with another split or other files: it may have seen our test images",
            "train the teacher on the same data with the same [split]",
        )
    return load_deployed(card, bundle.model_files()).to(device), bundle.digest


def _same_start(bundle: Bundle, recipe: Recipe) -> bool:
    """Whether what a recipe names by its path, and what it joins, is what the bundle was made from."""
    card = bundle.card
    if bool(card.ensemble) != bool(recipe.members):
        return False
    if recipe.members:
        return True
    teacher = recipe.teacher.bundle
    member = family.member("models", recipe.model.name)
    starting = member.starting_weights(member.Options.model_validate(recipe.model.options))
    taught_by = open_bundle(teacher).digest if teacher else None
    return (card.training.teacher, card.starting_weights) == (taught_by, starting)


def _finished(out: Path, recipe: Recipe) -> Bundle | None:
    """The bundle in `out` if it is this very training; `UsageError` if `out` holds anything else."""
    if (out / CARD).is_file():
        bundle = open_bundle(out)
        if bundle.card.parent is None and bundle.recipe.digest == recipe.digest and _same_start(bundle, recipe):
            loader.check_same_data(bundle, *loader.collect(recipe))
            progress.say(f"{out} holds this very training already; delete it to train again")
            return bundle
        raise UsageError(f"{out} holds another bundle", "take another --out, or delete that folder")
    storage.check_free(
        out, {_CHECKPOINTS, "reports", WEIGHTS, HISTORY, ensembling.MEMBERS, *ensembling.own_files(len(recipe.members))}
    )
    return None
