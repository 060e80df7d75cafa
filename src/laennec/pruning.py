"""The pruning stage: a trained bundle made smaller or sparser, retrained, and held against its parent by a gate.

Pruned in steps, each followed by a retraining on the training part with the parent's augmentation, loss and balance;
the gate and the thresholds come from validation. The test part is not read.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from laennec import checkpoints, family, gating, graphs, loader, progress, storage, thinning
from laennec.backends import Session
from laennec.bundle import CARD, Bundle, model_digest, open_bundle, seal, seals
from laennec.card import Card, Limits, PruningSeen
from laennec.errors import UsageError
from laennec.fit import Fit, pick_device, settled
from laennec.narrowing import narrow
from laennec.network import WEIGHTS, Deployed, Network, load_deployed, weights_bytes
from laennec.outputs import Outputs
from laennec.recipe import Recipe
from laennec.runtime import answers, infer
from laennec.sources import Pictures
from laennec.version import VERSION
from laennec.work import work_of

KINDS = ("structured", "magnitude")
_CHECKPOINTS = "checkpoints"
_ARGUMENTS = ("kind", "steps", "epochs", "learning_rate", "distil")
_MOSTLY = 0.5  # share of the parent's answers from which they decide what is learned
_RATE = 0.1  # of the parent's peak, for a network that is mostly trained
_ROUNDS = 60  # timings of one image, in pairs


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What was asked for: all that decides the pruned weights, but for the parent."""

    kind: str
    measure: str
    amount: float
    steps: int
    epochs: int
    learning_rate: float
    distil: float

    @property
    def wanted(self) -> str:
        return f"{self.measure} {self.amount}" + (" ms" if self.measure == "latency" else "")


def prune(
    bundle: Bundle | str | Path,
    *,
    out: str | Path,
    kind: str = "structured",
    flops: float | None = None,
    latency: float | None = None,
    share: float | None = None,
    steps: int = 3,
    epochs: int = 2,
    learning_rate: float | None = None,
    distil: float = 0.0,
    root: str | Path | None = None,
    limits: Limits | None = None,
    gate: bool = True,
) -> Bundle:
    """Prune a bundle's network, retrain it, fit its thresholds to its parent's decisions, and seal it.

    Give exactly one of `flops`, `latency` and `share`. Run again on an unfinished folder it goes on; on a finished one
    of the same pruning it returns what is there.

    Args:
        bundle: the parent, a torch bundle of one network.
        out: an empty or new folder, or one of this very pruning.
        kind: ``structured`` takes out channels: smaller and quicker everywhere. ``magnitude`` sets single weights to
            zero: neither, until a runtime makes use of zeros.
        flops: share of the parent's floating point operations to be left, in (0, 1).
        latency: milliseconds for one image in onnxruntime fp32 on this machine.
        share: of channels, or of weights, to be gone, in (0, 1).
        steps: how often to prune and retrain; each step takes its part, so that little is lost at once.
        epochs: of each retraining; the best on validation is kept.
        learning_rate: peak of each retraining; a tenth of the parent's by default.
        distil: share of the parent's answers in the targets, the labels have the rest (Hinton et al. 2015,
            arXiv:1503.02531); in [0, 1].
        root: where the data lies now, if it moved since the training.
        limits: what the gate allows.
        gate: refuse a network outside the limits; false seals it all the same, with no gate in its card.

    Raises:
        UsageError: what is asked for makes no sense or cannot be reached, the parent cannot be pruned, or `out` is
            taken.
        GateFailed: the gate does not hold; nothing is sealed, the retrained network is kept for a wider gate.
        StorageFull: no room for a checkpoint; the last one still opens.
    """
    parent = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    out, limits = Path(out), limits or Limits()
    _check_parent(parent, distil)
    amounts = {"flops": flops, "latency": latency, "share": share}
    asked = _asked(parent.recipe, kind, amounts, steps, epochs, learning_rate, distil)
    done = _finished(out, parent, asked, limits if gate else None)
    if done is not None:
        return done
    work = _Work(parent, asked, loader.reload(parent, ("train", "val"), root), out)
    with settled(work.pictures.device, work.threads):
        network, told = work.run()
    return _sealed(work, network, told, limits, gate)


class _Work:
    """A pruning under way: what its steps share."""

    def __init__(self, parent: Bundle, asked: _Asked, feed: loader.Feed, out: Path) -> None:
        recipe = parent.recipe
        self.parent, self.asked, self.feed, self.out = parent, asked, feed, out
        self.size, self.threads = parent.card.preprocess.size, recipe.training.threads or os.cpu_count() or 1
        device = pick_device(recipe.training.device, recipe.training.precision)
        self.network = self._of_parent().network
        self.pictures = Pictures(
            recipe=recipe,
            work=work_of(parent.card.task, parent.card.labels),
            train=feed.part("train"),
            val=feed.part("val"),
            device=device,
            teacher=self._of_parent().to(device) if asked.distil else None,
            taught_by=parent.digest if asked.distil else None,
        )
        self.flops_parent = thinning.operations(copy.deepcopy(self.network), self.size)

    def run(self) -> tuple[Network, dict[str, Any]]:
        """The pruned network, on the CPU, and what its card says of the steps."""
        folder = self.out / _CHECKPOINTS
        identity = {"parent": self.parent.digest, "pruning": storage.digest(dataclasses.asdict(self.asked))}
        state = checkpoints.last_state(folder, identity)
        if state is None:
            told: dict[str, Any] = {"step": 0, "aurocs": [], "seconds": 0.0, "left": self._left()}
            # a latency measured again would come out otherwise, and the step under way could not be gone on with
            checkpoints.save_state(folder, 0, checkpoints.State({}, told | identity))
        else:
            told = {key: state.values[key] for key in ("step", "aurocs", "seconds", "left")}
        if state is not None and told["step"]:
            progress.say(f"resumed after step {told['step']} of {self.asked.steps}")
            narrow(self.network, state.tensors)
            self.network.load_state_dict(state.tensors)
        for step in range(told["step"] + 1, self.asked.steps + 1):
            fit = self._step(step, told["left"], folder / f"step-{step}", identity)
            self.network = fit.kept.cpu().to(memory_format=torch.contiguous_format)
            best = max((epoch for epoch in fit.history if epoch.best), key=lambda epoch: epoch.epoch)
            told["step"] = step
            told["aurocs"].append(best.val_auroc)
            told["seconds"] += sum(epoch.seconds for epoch in fit.history)
            weights = dict(self.network.state_dict())
            checkpoints.save_state(folder, step, checkpoints.State(weights, told | identity))
            checkpoints.clear(folder / f"step-{step}")
        return self.network, told

    def _left(self) -> float:
        """The share to be left after the last step: of operations, or of channels or weights."""
        if self.asked.measure == "latency":
            return self._left_for(self.asked.amount)
        zero, total = thinning.zeros(self.network)
        if self.asked.kind == "magnitude" and zero >= self.asked.amount * total:
            raise UsageError(
                f"of the weights of '{self.parent.name}' {zero / total:.0%} are zero already",
                "ask for a larger --share",
            )
        return self.asked.amount if self.asked.measure == "flops" else 1 - self.asked.amount

    def _step(self, step: int, left: float, folder: Path, identity: dict[str, str]) -> Fit:
        """One pruning and its retraining; every step leaves the same share of what the step before it left."""
        asked, left = self.asked, left ** (step / self.asked.steps)
        called = f"pruned, step {step}"
        network = copy.deepcopy(self.network)
        if asked.kind == "structured":
            network = self._narrower(network, left)
            left_now = thinning.operations(network, self.size) / self.flops_parent
            progress.say(f"{called}: {left_now:.1%} of the operations left")
        network = network.to(self.pictures.device).to(memory_format=torch.channels_last)
        if asked.kind == "magnitude":
            thinning.hold_zeros(network, thinning.smallest(network, 1 - left))
            progress.say(f"{called}: {1 - left:.1%} of the weights are zero")
        self.pictures.recipe = _retraining(self.parent.recipe, asked, called)
        fit = Fit(self.pictures, network)
        fit.run(folder, identity | {"step": str(step)})
        return fit

    def _narrower(self, network: Network, left: float) -> Network:
        """The network with channels taken out until `left` is left, of the parent's operations or channels."""
        order = thinning.Thinner(network, self.size)
        if self.asked.measure == "share":
            of_parent = thinning.Thinner(self._of_parent().network, self.size).channels
            narrower = order.least(lambda _, channels: channels, left * of_parent)
        else:
            narrower = order.least(lambda one, _: thinning.operations(one, self.size), left * self.flops_parent)
        if narrower is None:
            raise UsageError(
                f"'{self.parent.name}' cannot be pruned to {self.asked.wanted}: too little of it can go",
                "ask for less, or take more --steps",
            )
        assert isinstance(narrower, Network)  # noqa: S101  a copy of one
        return narrower

    def _of_parent(self) -> Deployed:
        deployed = load_deployed(self.parent.card, self.parent.model_files())
        assert isinstance(deployed, Deployed)  # noqa: S101  ensembles were refused
        return deployed

    def _left_for(self, milliseconds: float) -> float:
        """The share of operations at which one image takes so long, found on narrower copies that are not retrained.

        Each copy is timed in turn with the parent, so that a busy machine slows both alike.
        """
        reference = self._session(self.network, self.parent.card)
        image = self.pictures.val.batch(slice(0, 1))
        full = timed(reference, reference, image)[0]
        if full <= milliseconds:
            raise UsageError(
                f"'{self.parent.name}' takes {full:.2f} ms for one image already", "ask for less, or for --flops"
            )

        def spent(narrower: torch.nn.Module, _: int) -> float:
            assert isinstance(narrower, Network)  # noqa: S101  a copy of one
            before, after = timed(reference, self._session(narrower, self.draft(narrower)), image)
            left, now = thinning.operations(narrower, self.size) / self.flops_parent, full * after / before
            progress.say(f"{left:.1%} of the operations: {now:.2f} ms for one image, {full:.2f} ms the parent")
            return now

        found = thinning.Thinner(self.network, self.size).least(spent, milliseconds, within=0.03, near=0.9)
        if found is None:
            raise UsageError(
                f"'{self.parent.name}' takes {full:.2f} ms for one image, and at its narrowest still more than "
                f"{milliseconds:g} ms",
                "ask for more, or prune for --flops and export to int8",
            )
        return thinning.operations(found, self.size) / self.flops_parent

    def _session(self, network: Network, card: Card) -> Session:
        graph = graphs.of(card, {WEIGHTS: weights_bytes(network)})
        session: Session = family.member("backends", "onnxruntime").start(card, {graphs.GRAPH: graph}, 0)
        return session

    def draft(self, network: Network, **told: Any) -> Card:
        """The card of the network as it is, without thresholds and gate of its own."""
        asked, card = self.asked, self.parent.card
        before = card.pruning is not None and card.pruning.narrowed
        parameters = list(network.parameters())
        seen = PruningSeen(
            kind="structured" if asked.kind == "structured" else "magnitude",
            wanted=asked.wanted,
            steps=asked.steps,
            epochs=asked.epochs,
            learning_rate=asked.learning_rate,
            distil=asked.distil,
            narrowed=before or asked.kind == "structured",
            flops_parent=self.flops_parent,
            flops=thinning.operations(copy.deepcopy(network), self.size),
            parameters=sum(p.numel() for p in parameters),
            nonzero=sum(int(p.count_nonzero()) for p in parameters),
            **told,
        )
        return card.model_copy(update={"pruning": seen, "parameters": seen.parameters, "parent": self.parent.digest})


def _sealed(work: _Work, network: Network, told: dict[str, Any], limits: Limits, gate: bool) -> Bundle:
    parent, out, val = work.parent, work.out, work.pictures.val
    torch_backend = family.member("backends", "torch")

    def answers_of(card: Card) -> Outputs:
        return infer(torch_backend.start(card, {WEIGHTS: weights_bytes(network)}, 0), val, out.name)

    card = work.draft(network)
    before, after = answers(parent, val), answers_of(card)
    standard = gating.Standard(parent.card, parent.digest, val, before, limits, towards=val.values)
    held = standard.gate(after)
    progress.say(gating.told(held))
    if gate and not held.passed:
        raise gating.failed(
            held,
            f"the network pruned to {work.asked.wanted}",
            parent.name,
            "more --epochs, or more of it left"
            + ("" if work.asked.distil or parent.card.segments else ", or --distil 0.7 to learn from its parent")
            + "; --no-gate seals it as it is",
        )
    temperature = standard.temperature(after)
    _cool(network, temperature)
    after, files = answers_of(card), {WEIGHTS: weights_bytes(network)}
    seen = {"aurocs": told["aurocs"], "seconds": round(told["seconds"], 1), "beside_parent": held}
    card = work.draft(network, **seen).model_copy(
        update={
            **standard.followed(after, (work.feed.split.digest, model_digest(seals(files))), card),
            "temperature": temperature,
            "gate": held if gate else None,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "laennec": VERSION,
        }
    )
    bundle = seal(out, card, files)
    checkpoints.clear(out / _CHECKPOINTS)
    return bundle


def _cool(network: Network, temperature: float) -> None:
    """Divide the logits of the labels by `temperature`, inside the last layer."""
    if not network.classifies:
        return
    last = network.head[-1]
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.div_(temperature)


def timed(before: Session, after: Session, image: np.ndarray) -> tuple[float, float]:
    """Median milliseconds that two sessions take for ``uint8 [1, 1, size, size]``, timed in turn."""
    times = np.zeros((_ROUNDS, 2))
    for turn in range(-5, _ROUNDS):  # the first few warm up
        for i, session in enumerate((before, after)):
            started = time.perf_counter()
            session.run(image)
            times[max(turn, 0), i] = 1000 * (time.perf_counter() - started)
    medians = np.median(times, axis=0)
    return float(medians[0]), float(medians[1])


def _check_parent(parent: Bundle, distil: float) -> None:
    card = parent.card
    if distil and card.segments:
        raise UsageError(f"'{parent.name}' makes masks, and only labels can be distilled", "leave out --distil")
    if card.ensemble is not None:
        raise UsageError(f"'{parent.name}' is an ensemble", "prune its members, then join them")
    if card.calibration is not None or card.backend != "torch":
        what, made = ("calibrated", "calibrated") if card.calibration else ("not a torch bundle", "exported")
        raise UsageError(f"'{parent.name}' is {what}", f"prune the bundle it was {made} from")


def _asked(
    recipe: Recipe,
    kind: str,
    amounts: dict[str, float | None],
    steps: int,
    epochs: int,
    learning_rate: float | None,
    distil: float,
) -> _Asked:
    if kind not in KINDS:
        raise UsageError(f"no kind of pruning '{kind}'", f"take one of: {', '.join(KINDS)}")
    given = {measure: amount for measure, amount in amounts.items() if amount is not None}
    if len(given) != 1:
        raise UsageError(
            f"one measure of what to prune is needed, not {' and '.join(given) or 'none'}",
            "give --flops, --latency or --share",
        )
    ((measure, amount),) = given.items()
    if kind == "magnitude" and measure != "share":
        raise UsageError("zeros take away no operations and no time", "give --share with --kind magnitude")
    if not (amount > 0 and (amount < 1 or measure == "latency") and amount < float("inf")):
        least = "above 0 ms" if measure == "latency" else "between 0 and 1"
        raise UsageError(f"{measure} is {amount}, and must lie {least}", f"correct --{measure}")
    if steps < 1 or epochs < 1 or not 0 <= distil <= 1:
        raise UsageError("steps and epochs must be at least 1, and distil in [0, 1]", "correct them")
    if learning_rate is None:
        whole = [phase.learning_rate for phase in recipe.phases if phase.train != "head"]
        learning_rate = _RATE * max(whole or [phase.learning_rate for phase in recipe.phases])
    return _Asked(kind, measure, amount, steps, epochs, learning_rate, distil)


def _retraining(recipe: Recipe, asked: _Asked, called: str) -> Recipe:
    """The parent's recipe with one phase; only a teacher that was asked for now."""
    # smote makes up kept embeddings of a frozen backbone, and here the whole network learns
    balance = "class_weights" if recipe.training.balance == "smote" else recipe.training.balance
    if asked.distil >= _MOSTLY and balance == "class_weights":
        balance = "none"  # the teacher's answers hold its weights already; weighted again they are shifted twice
    phase = {"name": called, "epochs": asked.epochs, "learning_rate": asked.learning_rate}
    return recipe.replace(
        phases=[phase], training__balance=balance, teacher={"share": asked.distil}, members=[], ranges={}
    )


def _finished(out: Path, parent: Bundle, asked: _Asked, limits: Limits | None) -> Bundle | None:
    """The bundle in `out` if it is this very pruning; `UsageError` if `out` holds anything else."""
    if not (out / CARD).is_file():
        storage.check_free(out, {_CHECKPOINTS, "reports", WEIGHTS})
        return None
    bundle = open_bundle(out)
    card, seen = bundle.card, bundle.card.pruning
    if card.parent == parent.digest and card.backend == "torch" and seen is not None:
        own = {"wanted": asked.wanted} | {name: getattr(asked, name) for name in _ARGUMENTS}
        same = all(getattr(seen, name) == value for name, value in own.items())
        if same and (card.gate is None if limits is None else card.gate is not None and card.gate.limits == limits):
            progress.say(f"{out} holds this very pruning already; delete it to prune again")
            return bundle
    raise UsageError(f"{out} holds another bundle", "take another --out, or delete that folder")
