"""The training stage: a recipe in, a sealed Bundle out. Reads train and validation, never test."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import torch

from laennec import checkpoints, family, hardware, loader, operating, progress, storage
from laennec.bundle import (
    CARD,
    Architecture,
    Bundle,
    Card,
    TrainingSeen,
    dump,
    model_digest,
    open_bundle,
    seal,
    seals,
)
from laennec.errors import UsageError
from laennec.fit import Fit, pick_device, settled
from laennec.network import Network, weights_bytes
from laennec.recipe import Recipe
from laennec.version import VERSION

TASK = "classify"
WEIGHTS = "weights.safetensors"
HISTORY = "history.json"
_CHECKPOINTS = "checkpoints"


def train(recipe: Recipe, out: str | Path) -> Bundle:
    """Train `recipe` into the folder `out` and return the sealed bundle.

    Run again on an unfinished folder it resumes; on a finished one of the same recipe it returns what is there.

    Raises:
        UsageError: the recipe does not fit its data, or `out` holds something else.
        StorageFull: no room for a checkpoint; the last one still opens.
        LaennecError: the loss became NaN, or pretrained weights cannot be had.
    """
    out = Path(out)
    done = _finished(out, recipe)
    if done is not None:
        return done
    feed = loader.load(recipe, ("train", "val"))
    labels, device = feed.collection.labels, pick_device(recipe.training.device, recipe.training.precision)
    threads = recipe.training.threads or os.cpu_count() or 1
    architecture = Architecture(name=recipe.model.name, options=recipe.model.options, head=recipe.head)
    with settled(device, threads):
        torch.manual_seed(recipe.seed)
        network = Network(architecture, recipe.preprocess, len(labels))
        fit = Fit(
            recipe=recipe,
            labels=labels,
            task=family.member("tasks", TASK),
            train=feed.part("train"),
            val=feed.part("val"),
            network=network.to(device).to(memory_format=torch.channels_last),
            device=device,
        )
        fit.run(
            out / _CHECKPOINTS,
            {"recipe": recipe.digest, "split": feed.split.digest, "collection": feed.collection.digest},
        )
        probabilities = fit.probabilities(fit.kept, fit.val)
    files = {WEIGHTS: weights_bytes(fit.kept), HISTORY: dump([e.model_dump(mode="json") for e in fit.history])}
    kept = max(i for i, epoch in enumerate(fit.history) if epoch.best)
    member = family.member("models", recipe.model.name)
    card = Card(
        name=recipe.name or recipe.data.name,
        task=TASK,
        labels=labels,
        preprocess=recipe.preprocess,
        backend="torch",
        precision="fp32",
        model=architecture,
        parameters=sum(p.numel() for p in fit.kept.parameters()),
        starting_weights=member.starting_weights(member.Options.model_validate(recipe.model.options)),
        operating_points=operating.fit(
            labels,
            fit.val.values,
            probabilities,
            decision=recipe.decision.rule,
            bound_to=(feed.split.digest, model_digest(seals(files))),
        ),
        decision=recipe.decision.rule,
        data=feed.seen(),
        recipe=recipe.model_dump(mode="json"),
        training=TrainingSeen(
            epochs=len(fit.history),
            kept_epoch=kept + 1,
            seconds=round(sum(epoch.seconds for epoch in fit.history), 1),
            hardware=torch.cuda.get_device_name() if device.type == "cuda" else hardware.describe(),
            threads=threads,
            validation={
                "loss": fit.history[kept].val_loss,
                "auroc": fit.history[kept].val_auroc,
                "accuracy": fit.history[kept].val_accuracy,
            },
        ),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        laennec=VERSION,
    )
    bundle = seal(out, card, files)
    checkpoints.clear(out / _CHECKPOINTS)
    return bundle


def _finished(out: Path, recipe: Recipe) -> Bundle | None:
    """The bundle in `out` if it is this very training; `UsageError` if `out` holds anything else."""
    if (out / CARD).is_file():
        bundle = open_bundle(out)
        if bundle.card.parent is None and bundle.recipe.digest == recipe.digest:
            loader.check_same_data(bundle, *loader.collect(recipe))
            progress.say(f"{out} holds this very training already; delete it to train again")
            return bundle
        raise UsageError(f"{out} holds another bundle", "take another --out, or delete that folder")
    storage.check_free(out, {_CHECKPOINTS, WEIGHTS, HISTORY})
    return None
