"""Look for R4's collapse: batch norm in MobileNetV2 0.5, tuned head only, + last convolution, + last two convolutions.

    python benchmarks/batch_norm.py --kermany FOLDER [--out runs/batch-norm]

In place of ImageNet weights the network is first trained on Kermany, normal against pneumonia, 64 px, inputs in
[-1, 1]. It is then tuned for normal, bacterial or viral on values / 255, as R4 fed a network that expects [-1, 1]:
laennec's loop, R4's head, Adam at a constant 1e-3, batches of 32. Momentum is Keras' count: the share of the old
statistics kept at each step (torch's 0.1 is .9; the MobileNetV2 of Keras has .999).
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import page
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import laennec as ln
from laennec import family, intervals, loader, progress
from laennec.card import Architecture
from laennec.fit import Fit, settled
from laennec.network import WEIGHTS, Deployed, Network
from laennec.sources import Pictures

SIZE, BATCH = 64, 32
DEPTHS = {"head": "head", "+ 1": "last_convs:1", "+ 2": "last_convs:2"}
PRETRAINING = 5


@dataclass(frozen=True)
class Case:
    """How batch norm behaves in a tuning.

    Attributes:
        guard: frozen layers stay in evaluation mode.
        momentum: Keras' count; `frozen_momentum` where frozen layers have another.
        shifted: inputs lie in [0, 1], where pretraining had [-1, 1].
    """

    name: str
    guard: bool
    momentum: float
    depths: tuple[str, ...] = tuple(DEPTHS)
    frozen_momentum: float | None = None
    shifted: bool = True
    epochs: int = 3
    schedule: str = "constant"


CASES = (
    Case("guard on, .9 (laennec)", True, 0.9),
    Case("the same, rate falling (cosine)", True, 0.9, ("+ 2",), schedule="cosine"),
    Case("guard on, .999 (Keras of TF 2)", True, 0.999, ("+ 1", "+ 2")),
    Case("guard on, .999, 12 epochs", True, 0.999, ("+ 2",), epochs=12),
    Case("guard on, .999, inputs as in pretraining", True, 0.999, shifted=False),
    Case("guard on, .99 (a Keras layer's default)", True, 0.99, ("+ 2",)),
    Case("guard off, .9", False, 0.9),
    Case("guard off, .999", False, 0.999),
    Case("batch statistics, none kept (Keras 2 on TF 1)", False, 0.999, ("head",), frozen_momentum=1.0),
)


def recipe(folder: Path, task: str, shifted: bool, **sections: object) -> ln.Recipe:
    """What pretraining and tuning share."""
    scaling = {"mean": 0.0, "std": 1.0} if shifted else {"mean": 0.5, "std": 0.5}
    return ln.Recipe.parse(
        {
            "data": {"name": "kermany", "root": str(folder), "task": task},
            "preprocess": {"size": SIZE, "channels": 3, **scaling},
            **sections,
        }
    )


def pretrain(folder: Path, out: Path) -> tuple[Path, ln.Bundle]:
    """The stand-in for ImageNet weights: the backbone alone, in timm's naming."""
    made = recipe(
        folder,
        "binary",
        False,
        name="pre",
        model={"name": "timm", "backbone": "mobilenetv2_050", "weights": "none"},
        phases=[{"epochs": PRETRAINING, "learning_rate": 3e-3}],
        training={"batch_size": BATCH, "threads": 1, "monitor": "auroc"},
        augmentation={"rotation": 10, "zoom": 0.1, "shift": 0.05},
    )
    bundle = ln.train(made, out / "pretraining")
    weights = load_file(bundle.path / WEIGHTS)
    at = out / "backbone.safetensors"
    save_file({k.removeprefix("backbone."): v for k, v in weights.items() if k.startswith("backbone.")}, at)
    return at, bundle


class Watched(Pictures):
    """Pictures that note the validation accuracy of each epoch."""

    def judged(self, network: Network) -> np.ndarray:
        """As `Pictures.judged`."""
        answers = super().judged(network)
        self.path = [*getattr(self, "path", []), share_right(answers, self.val.values)]
        return answers


class Kept(Watched):
    """The same, but what the frozen layers answer is kept, as with the guard on it never changes."""

    def keep(self, network: Network) -> None:
        """Run the layers before the last two convolutions over both parts."""
        network.eval()
        with torch.inference_mode():
            train = [torch.from_numpy(self.train.batch(slice(i, i + 64))) for i in range(0, len(self.train), 64)]
            self.kept = torch.cat([before(network, pixels) for pixels in train]).clone()
            self.kept_val = torch.cat([before(network, pixels) for pixels in self.validation()]).clone()

    def batch(self, which: np.ndarray, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Kept answers, and targets."""
        return self.kept[which], torch.from_numpy(self.values[which])

    def logits(self, network: Network, shown: torch.Tensor) -> torch.Tensor:
        """The rest of the network on what `batch` gave."""
        block, backbone = network.backbone.blocks[-1][-1], network.backbone
        shown = block.bn3(block.conv_pwl(shown))
        logits: torch.Tensor = network.head(backbone.global_pool(backbone.bn2(backbone.conv_head(shown))))
        return logits

    def judged(self, network: Network) -> np.ndarray:
        """As `Pictures.judged`, from the kept answers."""
        network.eval()
        with torch.inference_mode():
            answers = self.task.activate(self.labels, self.logits(network, self.kept_val)).numpy()
        self.path = [*getattr(self, "path", []), share_right(answers, self.val.values)]
        return answers


def before(network: Network, pixels: torch.Tensor) -> torch.Tensor:
    """What reaches the second last convolution (the projection of the last block, which has no shortcut)."""
    grey = (pixels.float() / 255.0).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
    backbone, block = network.backbone, network.backbone.blocks[-1][-1]
    shown = backbone.blocks[:-1](backbone.bn1(backbone.conv_stem((grey - network.mean) / network.std)))
    return block.bn2(block.conv_dw(block.bn1(block.conv_pw(backbone.blocks[-1][:-1](shown)))))


def tune(folder: Path, weights: Path, case: Case, depth: str) -> tuple[Fit, list[float], dict[str, torch.Tensor]]:
    """A tuning in laennec's own loop, its accuracy after each epoch, and the statistics it started from."""
    phase = {"train": DEPTHS[depth], "epochs": case.epochs, "learning_rate": 1e-3, "schedule": case.schedule}
    made = recipe(
        folder,
        "etiology",
        case.shifted,
        model={"name": "timm", "backbone": "mobilenetv2_050", "weights": str(weights)},
        head={"hidden": [1024, 512]},
        phases=[{**phase, "warmup": 0.0, "statistics": "frozen" if case.guard else "moving"}],
        training={"batch_size": BATCH, "weight_decay": 0.0, "balance": "none", "clip": 0.0, "device": "cpu"},
    )
    feed = loader.load(made, ("train", "val"))
    torch.manual_seed(made.seed)
    architecture = Architecture(name=made.model.name, options=made.model.options, head=made.head)
    network = Network(architecture, made.preprocess, len(feed.collection.labels)).to(memory_format=torch.channels_last)
    pictures = (Kept if case.guard else Watched)(
        recipe=made,
        labels=feed.collection.labels,
        task=family.member("tasks", "classify"),
        train=feed.part("train"),
        val=feed.part("val"),
        device=torch.device("cpu"),
    )
    if isinstance(pictures, Kept):
        pictures.keep(network)
    network.learn(DEPTHS[depth])
    frozen = case.momentum if case.frozen_momentum is None else case.frozen_momentum
    for layer in norms(network).values():
        layer.momentum = 1 - (case.momentum if layer.weight.requires_grad else frozen)
    start = {name: running(layer) for name, layer in norms(network).items()}
    fit = Fit(pictures, network)
    with tempfile.TemporaryDirectory() as checkpoints:
        fit.run(Path(checkpoints), {})
    return fit, pictures.path, start


def norms(network: Network) -> dict[str, nn.BatchNorm2d]:
    """The backbone's batch norms, in order."""
    return {name: m for name, m in network.backbone.named_modules() if isinstance(m, nn.BatchNorm2d)}


def running(layer: nn.BatchNorm2d) -> torch.Tensor:
    """Running mean and deviation as one vector."""
    return torch.cat([layer.running_mean, layer.running_var.sqrt()]).clone()


def share_right(answers: np.ndarray, truth: np.ndarray) -> float:
    """Accuracy of the likeliest label."""
    return float(np.mean(answers.argmax(1) == truth.argmax(1)))


def accuracy(network: Network, pictures: Pictures) -> float:
    """Validation accuracy in evaluation mode, by the whole network."""
    return share_right(Pictures.judged(pictures, network), pictures.val.values)


def accuracy_of_batches(network: Network, pictures: Pictures) -> float:
    """Validation accuracy with the statistics of each validation batch, in the layers that took them in training."""
    # shuffled, as in training: the part lies in the order of its classes
    order = np.random.default_rng(0).permutation(len(pictures.val))
    deployed = Deployed(copy.deepcopy(network).train(), pictures.task, pictures.labels).train()
    places = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
    with torch.inference_mode():
        answers = np.concatenate([deployed(torch.from_numpy(pictures.val.batch(which))).numpy() for which in places])
    return share_right(answers, pictures.val.values[order])


def anew(network: Network, pictures: Pictures, frozen_too: bool) -> Network:
    """A copy whose running statistics are taken anew from 64 training batches; no weight changes."""
    fresh = copy.deepcopy(network).eval()
    for layer in norms(fresh).values():
        if frozen_too or layer.weight.requires_grad:
            layer.train()
            layer.reset_running_stats()
            layer.momentum = None  # the plain mean of all batches
    order = np.random.default_rng(1).permutation(len(pictures.train))[: 64 * BATCH]
    with torch.inference_mode():
        for at in range(0, len(order), BATCH):
            fresh(torch.from_numpy(pictures.train.batch(order[at : at + BATCH])).float() / 255.0)
    return fresh.eval()


def apart(network: Network, others: dict[str, torch.Tensor], learning: bool) -> str:
    """Relative distance of the running statistics from `others`: median over the layers that learn, or do not."""
    layers = {n: running(m) for n, m in norms(network).items() if m.weight.requires_grad == learning}
    far = [float((now - others[name]).norm() / others[name].norm()) for name, now in layers.items()]
    return f"{statistics.median(far):.2f}" if far else ""


@dataclass(frozen=True)
class Tuned:
    """What one tuning left.

    Attributes:
        right: validation accuracy with statistics as trained, of batches, anew, and anew in learning layers only.
        distances: of frozen and of learning layers' statistics from the start, then from those taken anew.
        path: validation accuracy after each epoch.
        loss: of training, in the last epoch.
        images: in the validation part.
    """

    right: list[float]
    distances: list[str]
    path: list[float]
    loss: float
    images: int


def measure(folder: Path, weights: Path, case: Case, depth: str) -> Tuned:
    """Tune and measure the weights of the last epoch."""
    fit, path, start = tune(folder, weights, case, depth)
    network, pictures = fit.network, fit.pictures
    fresh = anew(network, pictures, not case.guard)
    now = {name: running(layer) for name, layer in norms(fresh).items()}
    shown = accuracy(network, pictures)
    if abs(shown - path[-1]) > 0.005:  # rounding may flip an image or two
        raise RuntimeError("the kept answers and the whole network disagree")
    right = [shown, accuracy_of_batches(network, pictures), accuracy(fresh, pictures)]
    right.append(right[-1] if case.guard else accuracy(anew(network, pictures, False), pictures))
    distances = [apart(network, other, learning) for other in (start, now) for learning in (False, True)]
    return Tuned(right, distances, path, fit.history[-1].train_loss, len(pictures.val))


def section(done: dict[tuple[str, str], Tuned], pretrained: ln.Bundle) -> list[str]:
    """The lines of the page."""
    images = next(iter(done.values())).images
    wide = intervals.wilson(round(0.6 * images), images)
    auroc = pretrained.card.training.validation["auroc"]
    rows = []
    for name, depth in [(case.name, depth) for case in CASES for depth in case.depths]:
        one = done[name, depth]
        moved, stale = (" / ".join(filter(None, pair)) for pair in (one.distances[:2], one.distances[2:]))
        epochs = " ".join(f"{each:.2f}" for each in one.path)
        cells = [*(f"{each:.3f}" for each in one.right), moved, stale, f"{one.loss:.2f}", epochs]
        rows.append(f"| {name} | {depth} | " + " | ".join(cells) + " |")
    return [
        f"Pretraining: normal against pneumonia, {SIZE} px, {PRETRAINING} epochs from random weights, inputs in",
        f"[-1, 1], validation AUROC {auroc:.3f}. Tuning: normal, bacterial or viral, one seed, inputs in [0, 1],",
        f"3 epochs of batches of {BATCH} at a rate of 1e-3 unless said otherwise; weights of the last epoch, not",
        "of the best. Momentum in Keras' count. Both tasks are split by patient, but each by its own draw: most images",
        "of this validation part were seen in pretraining, by all rows alike.",
        "",
        f"Validation accuracy, n = {images} (95 % interval at .6: [{wide.low:.3f}, {wide.high:.3f}]), with statistics",
        "",
        "- **as trained**: running ones, evaluation mode, as a user sees it;",
        "- **of batches**: each validation batch's own, in the layers that took them so in training;",
        "- **anew**: taken anew from training images in those layers, evaluation mode, no weight changed;",
        "- **learning anew**: the same in the layers that learn only.",
        "",
        "**Moved**: relative distance of the running means and deviations from the start; **stale**: from those taken",
        "anew. Medians over the layers, frozen / learning. Loss: of training, last epoch. By epoch: as trained.",
        "",
        "| batch norm | depth | as trained | of batches | anew | learning anew | moved | stale | loss | by epoch |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def main() -> None:
    """Pretrain, tune every case at its depths, write the section. What is finished in `out` is not done again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kermany", type=Path, required=True, help="folder with train/ and test/")
    parser.add_argument("--out", type=Path, default=Path("runs/batch-norm"))
    chosen = parser.parse_args()
    folder, kept = chosen.kermany.resolve(), chosen.out / "tuned.json"
    chosen.out.mkdir(parents=True, exist_ok=True)
    done: dict[tuple[str, str], Tuned] = {}
    if kept.is_file():
        done = {(name, depth): Tuned(**values) for name, depth, values in json.loads(kept.read_text())}
    with settled(torch.device("cpu"), 1):
        weights, pretrained = pretrain(folder, chosen.out)
        for case in CASES:
            for depth in case.depths:
                if (case.name, depth) in done:
                    continue
                progress.say(f"{case.name}, {depth}")
                done[case.name, depth] = measure(folder, weights, case, depth)
                kept.write_text(json.dumps([[*key, asdict(one)] for key, one in done.items()]))
    page.write(
        "batch norm",
        "Batch-norm statistics in a tuning: R4's collapse",
        "python benchmarks/batch_norm.py --kermany FOLDER",
        section(done, pretrained),
    )


if __name__ == "__main__":
    main()
