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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from laennec import checkpoints, decisions, intervals, progress
from laennec.augment import augment
from laennec.errors import LaennecError, UsageError
from laennec.labels import LabelSet
from laennec.loader import Part
from laennec.network import Deployed, Network
from laennec.recipe import Phase, Recipe
from laennec.results import Epoch

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
    """

    recipe: Recipe
    labels: LabelSet
    task: ModuleType
    train: Part
    val: Part
    network: Network
    device: torch.device
    average: Network = field(init=False)
    kept: Network = field(init=False)
    class_weights: torch.Tensor = field(init=False)
    history: list[Epoch] = field(default_factory=list)
    best: float = -math.inf
    stale: int = 0

    def __post_init__(self) -> None:
        self.average, self.kept = copy.deepcopy(self.network), copy.deepcopy(self.network)
        balanced = self.recipe.training.balance == "class_weights"
        weights = self.task.weights(self.labels, self.train.values) if balanced else np.ones(len(self.labels))
        self.class_weights = torch.as_tensor(weights, dtype=torch.float32, device=self.device)

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last, incomplete one is left out."""
        return max(1, len(self.train) // self.recipe.training.batch_size)

    def run(self, folder: Path, identity: dict[str, str]) -> None:
        """Run all phases, from the last checkpoint in `folder` if there is one; `identity` says whose it must be.

        Raises:
            UsageError: the checkpoints are of another training.
            LaennecError: the loss became NaN.
        """
        state = checkpoints.last_state(folder, identity)
        at_phase, at_epoch = (0, 0) if state is None else self._restore(state)
        with progress.track("training", sum(p.epochs for p in self.recipe.phases) * self.steps) as step:
            step.advance(len(self.history) * self.steps)
            for index, phase in enumerate(self.recipe.phases):
                if index < at_phase:
                    continue
                self.network.learn(phase.train)
                optimiser = _optimiser(self.network, phase, self.recipe)
                scaler = torch.amp.GradScaler(self.device.type, enabled=self.recipe.training.precision == "fp16")
                first = at_epoch if index == at_phase else 0
                if first and state is not None:
                    _load_optimiser(optimiser, state)
                    scaler.load_state_dict(state.values["scaler"])
                else:
                    self.stale = 0
                for epoch in range(first, phase.epochs):
                    if phase.patience and self.stale >= phase.patience:
                        step.advance((phase.epochs - epoch) * self.steps)
                        break
                    started = time.monotonic()
                    loss = self._learn(index, epoch, optimiser, scaler, step)
                    self._judge(phase, epoch, loss, started)
                    step.note(_line(self.history[-1]))
                    values = {"phase": index, "epoch": epoch + 1, "scaler": scaler.state_dict()}
                    checkpoints.save_state(folder, len(self.history), self._state(optimiser, values | identity))

    def probabilities(self, network: Network, part: Part) -> np.ndarray:
        """``float32 [n, labels]`` of `network` on the images of `part`, in evaluation mode."""
        deployed = Deployed(network, self.task, self.labels).eval()
        size = max(64, self.recipe.training.batch_size)
        with torch.inference_mode():
            answers = [
                deployed(torch.from_numpy(part.batch(slice(at, at + size))).to(self.device)).float().cpu().numpy()
                for at in range(0, len(part), size)
            ]
        return np.concatenate(answers)

    def _learn(
        self,
        index: int,
        epoch: int,
        optimiser: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        step: progress.Step,
    ) -> float:
        """One pass over the training part; the mean loss."""
        how, phase = self.recipe.training, self.recipe.phases[index]
        seed = (self.recipe.seed * 1_000_003 + index * 10_007 + epoch) % 2**31
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.train), generator=generator).numpy()
        dtype = _DTYPES[how.precision]
        self.network.train()
        total = torch.zeros((), device=self.device)
        for i in range(self.steps):
            for group in optimiser.param_groups:
                group["lr"] = _rate(phase, epoch * self.steps + i, phase.epochs * self.steps)
            which = np.sort(order[i * how.batch_size : (i + 1) * how.batch_size])
            images = torch.from_numpy(self.train.batch(which)).to(self.device).float() / 255.0
            images = augment(images, self.recipe.augmentation, generator).contiguous(memory_format=torch.channels_last)
            targets = torch.from_numpy(self.train.values[which]).to(self.device)
            with torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32):
                logits = self.network(images)
            loss = self.task.loss(self.labels, logits.float(), targets, self.class_weights, how.label_smoothing)
            optimiser.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            if how.clip:
                scaler.unscale_(optimiser)
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), how.clip)
            scaler.step(optimiser)
            scaler.update()
            self._move_average(len(self.history) * self.steps + i)
            total += loss.detach()
            step.advance()
        mean = float(total) / self.steps
        if not math.isfinite(mean):
            raise _diverged(f"the training loss became {mean}", epoch, phase)
        return mean

    def _move_average(self, steps: int) -> None:
        """Move the averaged weights towards the raw ones; early on the average is short, so that it can follow."""
        decay = min(self.recipe.training.ema, (1 + steps) / (10 + steps))
        with torch.no_grad():
            for mean, raw in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if decay and mean.is_floating_point():
                    mean.lerp_(raw, 1 - decay)
                else:
                    mean.copy_(raw)

    def _judge(self, phase: Phase, epoch: int, loss: float, started: float) -> None:
        """Validate the average, keep it if it is the best so far, and write the epoch's line of history."""
        probabilities = self.probabilities(self.average, self.val)
        if not np.isfinite(probabilities).all():
            raise _diverged("the network's answers became NaN", epoch, phase)
        truth = decisions.truth_of(self.labels, self.val.values)
        score, positive, _ = decisions.decide(self.labels, probabilities, 0.5)
        known = ~np.isnan(truth)
        auroc = intervals.delong(truth[known], score[known]).value
        val_loss = self.task.log_loss(self.labels, probabilities, self.val.values)
        monitored = -val_loss if self.recipe.training.monitor == "loss" or auroc is None else auroc
        better = monitored > self.best
        self.stale = 0 if better else self.stale + 1
        if better:
            self.best = monitored
            self.kept.load_state_dict(self.average.state_dict())
        self.history.append(
            Epoch(
                phase=phase.name,
                epoch=epoch + 1,
                learning_rate=_rate(phase, (epoch + 1) * self.steps - 1, phase.epochs * self.steps),
                train_loss=loss,
                val_loss=val_loss,
                val_auroc=auroc,
                val_accuracy=float(np.mean(positive[known] == truth[known])),
                seconds=time.monotonic() - started,
                best=better,
            )
        )

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
        return checkpoints.State(tensors, values | {"history": history, "best": self.best, "stale": self.stale})

    def _restore(self, state: checkpoints.State) -> tuple[int, int]:
        """Take up a checkpoint's state; its place as (phase, epochs of that phase done)."""
        for name, network in self._networks.items():
            start = f"{name}/"
            network.load_state_dict({k[len(start) :]: t for k, t in state.tensors.items() if k.startswith(start)})
        self.history = [Epoch.model_validate(epoch) for epoch in state.values["history"]]
        self.best, self.stale = state.values["best"], state.values["stale"]
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


def _rate(phase: Phase, step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to zero (Loshchilov & Hutter 2017, arXiv:1608.03983)."""
    warm = int(phase.warmup * steps)
    if step < warm:
        return phase.learning_rate * (step + 1) / warm
    return phase.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _line(epoch: Epoch) -> str:
    auroc = "n/a" if epoch.val_auroc is None else f"{epoch.val_auroc:.4f}"
    return f"loss {epoch.train_loss:.3f}, validation loss {epoch.val_loss:.3f}, AUROC {auroc}"
