"""The training loop: phases, mixed precision, moving average, early stopping, exact resume.

Every random number of an epoch derives from the recipe's seed and the epoch's place, never from what ran before it in
the process; so a training killed at any moment resumes at its last epoch to the same weights, bit for bit on a CPU
with the same number of threads. Knows nothing of data sets or bundles.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from laennec import checkpoints, decisions, intervals, masks, progress, schedules, sources
from laennec.embeddings import Embeddings
from laennec.errors import LaennecError, UsageError
from laennec.network import Network
from laennec.outputs import Outputs
from laennec.recipe import Recipe
from laennec.results import Epoch
from laennec.sections import Phase
from laennec.sources import Pictures, Source


@dataclass
class Fit:
    """A training under way: what changes with every epoch, and what a checkpoint holds.

    Attributes:
        network: the weights being trained.
        average: their exponential moving average: what is validated.
        kept: the average at the best epoch: what becomes the bundle.
        history: one entry per epoch run.
        best: the monitored figure of `kept`, larger is better.
        stale: epochs of this phase since `best` improved.
        rate: the learning rate of the last step.
        drops: how often this phase's plateau schedule has lowered the rate.
        learning: parameters that learned, by phase.
    """

    pictures: Pictures
    network: Network
    average: Network = field(init=False)
    kept: Network = field(init=False)
    history: list[Epoch] = field(default_factory=list)
    best: float = -math.inf
    stale: int = 0
    drops: int = 0
    rate: float = 0.0
    learning: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.recipe, self.device = self.pictures.recipe, self.pictures.device
        self.work = self.pictures.work
        self.average, self.kept = copy.deepcopy(self.network), copy.deepcopy(self.network)

    @property
    def steps(self) -> int:
        """Batches in an epoch of the training part; the last, incomplete one is left out."""
        return max(1, len(self.pictures.values) // self.recipe.training.batch_size)

    def run(self, folder: Path, identity: dict[str, str], told: Callable[[Epoch], None] = lambda _: None) -> None:
        """Run all phases, from the last checkpoint in `folder` if there is one; `identity` says whose it must be.

        Each phase starts from the weights kept so far. `told` hears of every epoch.

        Raises:
            UsageError: the checkpoints are of another training.
            LaennecError: the loss became NaN.
        """
        state = checkpoints.last_state(folder, identity)
        at_phase, at_epoch = (0, 0) if state is None else self._restore(state)
        saver = checkpoints.Saver(folder)
        with progress.track("training", sum(p.epochs for p in self.recipe.phases) * self.steps) as step:
            step.advance(len(self.history) * self.steps)
            for index, phase in enumerate(self.recipe.phases):
                self.network.learn(phase.train, phase.statistics)
                called = phase.name if phase.name not in self.learning else f"{phase.name} {index + 1}"
                self.learning[called] = sum(p.numel() for p in self.network.parameters() if p.requires_grad)
                if index < at_phase:
                    continue
                first = at_epoch if index == at_phase else 0
                resumed = state is not None and first > 0
                if not resumed:
                    self.stale = self.drops = 0
                    for network in (self.network, self.average):
                        network.load_state_dict(self.kept.state_dict())
                optimiser = _optimiser(self.network, phase, self.recipe)
                scaler = torch.amp.GradScaler(self.device.type, enabled=self.recipe.training.precision == "fp16")
                if state is not None and resumed:
                    _load_optimiser(optimiser, state)
                    scaler.load_state_dict(state.values["scaler"])
                source = self._source(index, phase)
                for epoch in range(first, phase.epochs):
                    if phase.patience and self.stale >= phase.patience:
                        step.advance((phase.epochs - epoch) * self.steps)
                        break
                    started = time.monotonic()
                    loss = self._learn(source, index, epoch, optimiser, scaler, step)
                    self._judge(source, phase, epoch, loss, started)
                    step.note(_line(self.history[-1]))
                    told(self.history[-1])
                    values = {"phase": index, "epoch": epoch + 1, "scaler": scaler.state_dict()} | identity
                    last = epoch + 1 == phase.epochs
                    saver.save(len(self.history), partial(self._state, optimiser, values), sure=last)

    def _source(self, index: int, phase: Phase) -> Source:
        if not phase.views:
            return self.pictures
        return Embeddings(self.pictures, self.network, phase.views, _seed(self.recipe, index, 0))

    def _learn(
        self,
        source: Source,
        index: int,
        epoch: int,
        optimiser: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        step: progress.Step,
    ) -> float:
        """One pass over the training part; the mean loss."""
        how, phase = self.recipe.training, self.recipe.phases[index]
        seed = _seed(self.recipe, index, epoch)
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        order = sources.order(source.values, how.balance, generator)
        steps = max(1, len(order) // how.batch_size)
        moving, weights = self._moving(phase), self._class_weights(phase)
        self.network.train()
        total = torch.zeros((), device=self.device)
        for i in range(steps):
            self.rate = schedules.rate(phase, epoch * steps + i, phase.epochs * steps, self.drops)
            for group in optimiser.param_groups:
                group["lr"] = self.rate
            which = np.sort(order[i * how.batch_size : (i + 1) * how.batch_size])
            shown, targets = source.batch(which, generator)
            with self.pictures.autocast():
                logits = source.logits(self.network, shown)
            loss = self.work.loss(logits, targets, weights, self.recipe)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(scaler.scale(loss))
            if how.clip:
                scaler.unscale_(optimiser)
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), how.clip)
            scaler.step(optimiser)
            scaler.update()
            self._move_average(moving, len(self.history) * steps + i)
            total += loss.detach()
            step.advance((i + 1) * self.steps // steps - i * self.steps // steps)
        mean = float(total) / steps
        if not math.isfinite(mean):
            raise _diverged(f"the training loss became {mean}", epoch, phase)
        return mean

    def _class_weights(self, phase: Phase) -> torch.Tensor:
        balance = self.recipe.training.balance
        balanced = balance == "class_weights" or (balance == "smote" and not phase.views)
        weights = self.work.weights(self.pictures.values) if balanced else np.ones(len(self.work.labels))
        return torch.as_tensor(weights, dtype=torch.float32, device=self.device)

    def _moving(self, phase: Phase) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The pairs of averaged and raw tensors that this phase changes."""
        raw, average = self.network.state_dict(), self.average.state_dict()
        still = {name for name, p in self.network.named_parameters() if not p.requires_grad}
        if phase.views:
            still |= {name for name in raw if name.startswith("backbone.")}
        return [(average[name], tensor) for name, tensor in raw.items() if name not in still]

    def _move_average(self, moving: list[tuple[torch.Tensor, torch.Tensor]], steps: int) -> None:
        """Move the averaged weights towards the raw ones; early on the average is short, so that it can follow."""
        decay = min(self.recipe.training.ema, (1 + steps) / (10 + steps))
        with torch.no_grad():
            for mean, raw in moving:
                if decay and mean.is_floating_point():
                    mean.lerp_(raw, 1 - decay)
                else:
                    mean.copy_(raw)

    def _judge(self, source: Source, phase: Phase, epoch: int, loss: float, started: float) -> None:
        """Validate the average, keep it if it is the best so far, and write the epoch's line of history."""
        given = source.judged(self.average)
        # masks come in whole steps, in which NaN does not show
        sound = all(bool(t.isfinite().all()) for t in self.average.state_dict().values() if t.is_floating_point())
        if not given.finite or not sound:
            raise _diverged("the network's answers became NaN", epoch, phase)
        seen = self._figures(given)
        monitor = self.recipe.training.monitor
        figure = {"loss": None, "auroc": seen["auroc"], "dice": seen["dice"]}[monitor]
        monitored = -(seen["loss"] or 0.0) if figure is None else figure
        better = monitored > self.best
        self.stale = 0 if better else self.stale + 1
        if self.stale and self.stale % phase.plateau == 0:
            self.drops += 1
        if better:
            self.best = monitored
            self.kept.load_state_dict(self.average.state_dict())
        self.history.append(
            Epoch(
                phase=phase.name,
                epoch=epoch + 1,
                learning_rate=self.rate,
                train_loss=loss,
                val_loss=seen["loss"] or 0.0,
                val_auroc=seen["auroc"],
                val_accuracy=seen["accuracy"],
                val_dice=seen["dice"],
                seconds=time.monotonic() - started,
                best=better,
            )
        )

    def _figures(self, given: Outputs) -> dict[str, float | None]:
        """Validation figures: loss (of the labels where any are learned), AUROC, accuracy at a half, mean Dice."""
        val, labels = self.pictures.val, self.work.labels
        seen: dict[str, float | None] = dict.fromkeys(("loss", "auroc", "accuracy", "dice"))
        if self.work.segment is not None and given.masks is not None and val.masked.any():
            levels, truths = given.masks[val.masked], val.truth(val.masked)
            seen["dice"] = masks.mean_dice(levels, truths, 0.5)
            seen["loss"] = self.work.segment.log_loss(labels, levels, truths)
        if self.work.classify is not None:
            truth = decisions.truth_of(labels, val.values)
            score, positive, _ = decisions.decide(labels, given.probabilities, 0.5)
            known = ~np.isnan(truth)
            seen["auroc"] = intervals.delong(truth[known], score[known]).value
            seen["accuracy"] = float(np.mean(positive[known] == truth[known]))
            seen["loss"] = self.work.classify.log_loss(labels, given.probabilities, val.values)
        return seen

    @property
    def _networks(self) -> dict[str, Network]:
        return {"network": self.network, "average": self.average, "kept": self.kept}

    def _state(self, optimiser: torch.optim.Optimizer, values: dict[str, Any]) -> checkpoints.State:
        tensors: dict[str, torch.Tensor] = {}
        for name, network in self._networks.items():
            tensors |= {f"{name}/{key}": tensor for key, tensor in network.state_dict().items()}
        for number, slots in optimiser.state_dict()["state"].items():
            filled = {key: value for key, value in slots.items() if value is not None}
            tensors |= {f"optimiser/{number}/{key}": torch.as_tensor(value) for key, value in filled.items()}
        history = [epoch.model_dump(mode="json") for epoch in self.history]
        return checkpoints.State(
            tensors, values | {"history": history, "best": self.best, "stale": self.stale, "drops": self.drops}
        )

    def _restore(self, state: checkpoints.State) -> tuple[int, int]:
        """Take up a checkpoint's state; its place as (phase, epochs of that phase done)."""
        for name, network in self._networks.items():
            start = f"{name}/"
            network.load_state_dict({k[len(start) :]: t for k, t in state.tensors.items() if k.startswith(start)})
        self.history = [Epoch.model_validate(epoch) for epoch in state.values["history"]]
        self.best, self.stale = state.values["best"], state.values["stale"]
        self.drops = state.values["drops"]
        progress.say(f"resumed after epoch {len(self.history)}")
        return state.values["phase"], state.values["epoch"]


def _diverged(what: str, epoch: int, phase: Phase) -> LaennecError:
    return LaennecError(
        f"{what} in epoch {epoch + 1} of phase '{phase.name}'",
        'lower phases.learning_rate, or set training.precision = "fp32"',
    )


def pick_device(wanted: str, precision: str = "fp32") -> torch.device:
    """The device a recipe asks for. Raises `UsageError` if the machine has none such, or it cannot do `precision`."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        wanted = next(name for name, here in present.items() if here)
    if not present[wanted]:
        raise UsageError(f"this machine has no {wanted}", 'set training.device = "auto"')
    if wanted == "cpu" and precision == "fp16":
        raise UsageError("fp16 is for GPUs", 'set training.precision = "fp32", or "bf16" where the processor has it')
    return torch.device(wanted)


@contextlib.contextmanager
def settled(device: torch.device, threads: int) -> Iterator[None]:
    """Fixed threads and, on the CPU, deterministic kernels; as before afterwards."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(device.type == "cpu")
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def _optimiser(network: Network, phase: Phase, recipe: Recipe) -> torch.optim.Optimizer:
    learning = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": recipe.training.weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.training.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=phase.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=phase.learning_rate)


def _load_optimiser(optimiser: torch.optim.Optimizer, state: checkpoints.State) -> None:
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in state.tensors.items():
        if name.startswith("optimiser/"):
            _, number, key = name.split("/")
            slots.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict({"state": slots, "param_groups": optimiser.state_dict()["param_groups"]})


def _seed(recipe: Recipe, phase: int, epoch: int) -> int:
    return (recipe.seed * 1_000_003 + phase * 10_007 + epoch) % 2**31


def _line(epoch: Epoch) -> str:
    figures = f"loss {epoch.train_loss:.3f}, validation loss {epoch.val_loss:.3f}"
    for name, value in (("AUROC", epoch.val_auroc), ("Dice", epoch.val_dice)):
        figures += "" if value is None else f", {name} {value:.4f}"
    return figures
