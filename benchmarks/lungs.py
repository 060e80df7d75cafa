"""Lungs outlined, and a network that outlines and classifies: figures for docs/benchmarks.md.

    python benchmarks/lungs.py DATA [--work runs/lungs] [--threads 1] [--parts abcd] [--train NAME…]

DATA holds ``kermany/``, ``kermany-lungmasks/`` and ``covid-ccby/``. Trains what is not there yet (an hour and more a
network on one core), chooses on validation, and reads the official test and the adults once, at the end. Parts: a
outlines, b what they cost, c the hybrid against the single networks, d where they look.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import page

import laennec as ln
from laennec import evaluation, explaining, intervals, masks, measuring
from laennec.bundle import Bundle
from laennec.card import Limits
from laennec.errors import GateFailed
from laennec.estimates import Estimate
from laennec.loader import collect, decode
from laennec.network import Deployed, load_deployed
from laennec.pairing import paired
from laennec.recipe import Recipe, data_of
from laennec.results import Report
from laennec.runtime import start
from laennec.segmentation import SegmentationFigures

ROOT = Path(__file__).resolve().parents[1]
PLAIN = {
    "augmentation": dict.fromkeys(
        ("rotation", "zoom", "aspect", "shift", "gamma", "contrast", "brightness", "blur", "noise", "tone"), 0.0
    )
}
SHORT = {"preprocess.size": 128, "phases.0.epochs": 3}
OUTLINERS: dict[str, tuple[str, dict[str, Any]]] = {
    "r4-unet": ("r4-unet", {}),
    "lungs": ("lungs", {}),
    "short": ("lungs", SHORT),
    "short-plain": ("lungs", SHORT | PLAIN),
}
HYBRIDS: dict[str, tuple[str, dict[str, Any]]] = {
    "classify": ("hybrid", {"task": "classify"}),
    "segment": ("hybrid", {"task": "segment", "training.monitor": "dice"}),
    "hybrid": ("hybrid", {}),
    "attention": ("hybrid", {"head.attention": True}),
}
TOLD = {
    "r4-unet": "R4's U-Net, augmented",
    "lungs": "light network, augmented",
    "short": "light network, 128 px, 3 epochs, augmented",
    "short-plain": "the same, not augmented",
    "classify": "classifies alone",
    "segment": "outlines alone",
    "hybrid": "both (hybrid)",
    "attention": "both, attention on the lungs it sees",
}
MEASURES = ("iou", "dice", "precision", "recall", "hd95")


class Bench:
    """The networks, trained when first asked for."""

    def __init__(self, data: Path, work: Path, threads: int) -> None:
        self.data, self.work, self.threads = data, work, threads

    def recipe(self, name: str) -> Recipe:
        """The recipe of a network by its name in `OUTLINERS` or `HYBRIDS`."""
        of, changes = (OUTLINERS | HYBRIDS)[name]
        own = {"data.root": str(self.data / "kermany"), "training.threads": self.threads}
        own |= {key: value for key, value in changes.items() if not isinstance(value, dict)}
        for section, values in changes.items():
            if isinstance(values, dict):
                own |= {f"{section}.{key}": value for key, value in values.items()}
        return Recipe.read(ROOT / "recipes" / f"{of}.toml").changed(own)

    def trained(self, name: str) -> Bundle:
        """The bundle of a network."""
        return ln.train(self.recipe(name), self.work / name)

    def made(self, names: Sequence[str]) -> dict[str, Bundle]:
        """The bundles there are already, by name; what is not trained is left out and told."""
        found = {}
        for name in names:
            if (self.work / name / "card.json").is_file():
                found[name] = ln.open_bundle(self.work / name)
            else:
                print(f"{name} is not trained: left out")
        return found

    def adults(self, bundle: Bundle) -> Report:
        """The report on the adults of covid-ccby, whom no network has seen."""
        options = ["images=images", "masks=lung_masks", "table=index.csv"]
        return ln.evaluate(bundle, on=data_of("pairs", [f"root={self.data / 'covid-ccby'}", *options]))


def told(estimate: Estimate, digits: int = 3) -> str:
    """A figure with its interval."""
    return estimate.text(digits)


def judged(report: Report) -> SegmentationFigures:
    """The figures of the masks."""
    if report.segmentation is None:
        raise SystemExit(f"error: the report on {report.model} judges no mask")
    return report.segmentation


def outlines(bench: Bench) -> list[str]:
    """Official test and adults."""
    lines = []
    for title, judge in (
        ("Official test of Kermany (n = {n} images of {p} patients), masks on their own 224 x 224", evaluation.judged),
        (
            "Adults of covid-ccby (n = {n} images of {p} patients), never seen, at most 512 px a side",
            bench.adults,
        ),
    ):
        reports = {name: judge(bundle) for name, bundle in bench.made(list(OUTLINERS)).items()}
        first = judged(next(iter(reports.values())))
        lines += [
            f"{title.format(n=first.images, p=first.patients)}; means over images, 95 % intervals by patient:",
            "",
        ]
        head = ["", "IoU", "Dice", "precision", "recall", "HD95, px", "IoU pooled", "Dice right, left", "Dice, raw"]
        lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for name, report in reports.items():
            found = judged(report)
            cells = [told(found.mean[measure], 2 if measure == "hd95" else 3) for measure in MEASURES]
            sides = f"{found.right['dice'].text(3).split()[0]}, {found.left['dice'].text(3).split()[0]}"
            raw = f"{found.raw['dice'].value or 0:.4f} -> {found.mean['dice'].value or 0:.4f}"
            lines.append(f"| {TOLD[name]} | " + " | ".join([*cells, told(found.pooled["iou"]), sides, raw]) + " |")
        lines.append("")
    lines += [
        "R4 reports IoU .820 and F1 .901 on its own data. Raw -> is the post-processing: the two largest components,",
        "holes filled, each switched on by validation alone.",
        "",
    ]
    return lines


def costs(bench: Bench) -> list[str]:
    """Size, time, and throughput of `score` from JPEG files."""
    rows: list[tuple[str, int, dict[str, Bundle], list[float]]] = []
    failed: list[str] = []
    for name in ("r4-unet", "lungs"):
        if name not in (there := bench.made([name])):
            continue
        parent = there[name]
        made = {"torch fp32": parent}
        for backend, precision in (("onnxruntime", "int8"), ("openvino", "fp32"), ("openvino", "int8")):
            out = bench.work / f"{name}-{backend}-{precision}"
            try:
                made[f"{backend} {precision}"] = ln.export(parent, backend, precision, out=out, limits=Limits())
            except GateFailed as error:
                failed.append(f"{TOLD[name]}, {backend} {precision}, is left out: {error.message}.")
        for threads in (1, 2):
            sessions = [start(bundle, threads) for bundle in made.values()]
            size = parent.card.preprocess.size
            image = np.random.default_rng(0).integers(0, 256, (1, 1, size, size), dtype=np.uint8)
            times = measuring.single_image(sessions, [image] * len(sessions), 40)
            rows.append((name, threads, made, [float(np.median(row)) for row in times]))
    head = ["", "made by", "gate: Dice on validation", "parameters", "MB", "ms, 1 thread", "ms, 2 threads"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for one, two in zip(rows[::2], rows[1::2], strict=True):
        for place, (made, bundle) in enumerate(one[2].items()):
            gate = bundle.card.gate
            kept = "" if gate is None else f"{gate.dice_parent:.4f} -> {gate.dice:.4f}"
            cells = [TOLD[one[0]], made, kept, f"{bundle.card.parameters:,}", f"{bundle.megabytes:.2f}"]
            lines.append("| " + " | ".join([*cells, f"{one[3][place]:.2f}", f"{two[3][place]:.2f}"]) + " |")
    return [*lines, "", *failed, *([""] if failed else []), *throughput(bench)]


def throughput(bench: Bench) -> list[str]:
    """`score` with the light network's int8 bundle, files and all."""
    path = bench.work / "lungs-openvino-int8"
    if not path.is_dir():
        return []
    files = sorted((bench.data / "kermany" / "test").glob("*/*.jp*g"))
    rates = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(4):
            for file in files:
                shutil.copy(file, folder / f"{number}-{file.name}")
        for turn in range(3):
            started = time.perf_counter()
            scored = ln.score(ln.open(path), folder, bench.work / f"scored-{turn}.csv")
            rates.append(scored.images / (time.perf_counter() - started))
    return [
        f"`laennec score` with the light network in openvino int8, {4 * len(files)} JPEG files of 224 px, areas of "
        f"both lungs of each: {', '.join(f'{rate:.0f}' for rate in rates)} images/s in three runs, start-up included "
        "(asked 150).",
        "",
    ]


def hybrids(bench: Bench) -> list[str]:
    """The hybrid against the two single networks: quality and cost."""
    made = bench.made(list(HYBRIDS))
    reports = {name: evaluation.judged(bundle) for name, bundle in made.items()}
    sizes = {name: bundle.card.parameters for name, bundle in made.items()}
    exported = {
        name: ln.export(bundle, "openvino", "fp32", out=bench.work / f"{name}-openvino")
        for name, bundle in made.items()
    }
    sessions = [start(bundle) for bundle in exported.values()]
    sides = [bundle.card.preprocess.size for bundle in made.values()]
    image = [np.zeros((1, 1, side, side), np.uint8) for side in sides]
    times = dict(zip(made, (float(np.median(t)) for t in measuring.single_image(sessions, image, 40)), strict=True))
    head = [
        "",
        "AUROC",
        "accuracy",
        "sensitivity",
        "specificity",
        "Dice",
        "IoU",
        "p against the single",
        "parameters",
        "ms",
    ]
    lines = [
        "Official test; thresholds of validation; ms: one image, openvino fp32, all cores, side by side.",
        "",
    ]
    lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, report in reports.items():
        figures = report.figures
        cells = [
            figures[key].text() if key in figures else ""
            for key in ("auroc", "accuracy", "sensitivity", "specificity", "dice", "iou")
        ]
        against = []
        for other in ("classify", "segment"):
            if name not in (other, "classify", "segment") and other in reports:
                tests = paired(reports[other], report)
                against += [f"{key}: {tests[key]:.2g}" for key in ("auroc_delong", "dice_wilcoxon") if key in tests]
        cells += [", ".join(against), f"{sizes[name]:,}", f"{times[name]:.2f}"]
        lines.append(f"| {TOLD[name]} | " + " | ".join(cells) + " |")
    if {"classify", "segment", "hybrid"} <= set(times):
        both = times["classify"] + times["segment"]
        lines += [
            "",
            f"The two single networks one after the other: {both:.2f} ms, the hybrid {times['hybrid']:.2f} ms.",
        ]
    return [*lines, ""]


def where(bench: Bench) -> list[str]:
    """How much of Grad-CAM lies on the true lungs."""
    head = ["", "heat inside the lungs", "expected if spread evenly", "right lung lit", "left lung lit"]
    lines = [
        "Grad-CAM on the official test against the true masks; lit: half as hot as the hottest pixel or more.",
        "",
    ]
    lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, bundle in bench.made(["classify", "hybrid", "attention"]).items():
        recipe = bench.recipe("hybrid")
        part = decode(recipe, *collect(recipe), ("test",)).part("test")
        known = np.flatnonzero(part.masked)
        deployed = load_deployed(bundle.card, bundle.model_files())
        if not isinstance(deployed, Deployed):
            raise SystemExit(f"error: {name} is an ensemble")
        looks = []
        for at in range(0, len(known), 32):
            which = known[at : at + 32]
            heats = explaining.heat(deployed.network, part.batch(which), bundle.card.labels.positive_indices)
            truths = part.truth(which) >= masks.TRUE
            looks += [explaining.looks(h, *masks.parted(t)) for h, t in zip(heats, truths, strict=True)]
        patients = [part.samples[place].patient for place in known]
        cells = []
        for field in explaining.Looks._fields:
            pairs = [(getattr(one, field), who) for one, who in zip(looks, patients, strict=True)]
            kept = [(value, who) for value, who in pairs if value is not None]
            cells.append(_mean(kept))
        lines.append(f"| {TOLD[name]} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _mean(values: Sequence[tuple[float, str]]) -> str:
    low, high = intervals.patient_bootstrap(
        lambda weights, figures: weights @ figures / weights.sum(axis=1),
        np.array([value for value, _ in values]),
        patients=[who for _, who in values],
    )
    mean = float(np.mean([value for value, _ in values]))
    return Estimate(value=mean, low=low, high=high, n=len(values)).text()


PARTS: Mapping[str, Any] = {"a": outlines, "b": costs, "c": hybrids, "d": where}
TITLES = {
    "a": "Lungs outlined",
    "b": "What outlining costs",
    "c": "One network for both questions",
    "d": "Where the classifiers look",
}


def main() -> None:
    """Train what is missing, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/lungs"))
    parser.add_argument("--threads", type=int, default=1, help="of trainings; bit-for-bit repeats need the same number")
    parser.add_argument("--parts", default="abcd")
    parser.add_argument("--train", nargs="*", default=None, help="train these networks and write nothing")
    parser.add_argument("--as-they-are", action="store_true", help="train nothing: leave out what is not there")
    chosen = parser.parse_args()
    bench = Bench(chosen.data.resolve(), chosen.work.resolve(), chosen.threads)
    wanted = chosen.train
    if wanted is None and not chosen.as_they_are:
        wanted = list(OUTLINERS) if set(chosen.parts) & set("ab") else []
        wanted += list(HYBRIDS) if set(chosen.parts) & set("cd") else []
    for name in wanted or ():
        bench.trained(name)
    if chosen.train is not None:
        return
    for part in chosen.parts:
        page.write(f"lungs-{part}", TITLES[part], f"python benchmarks/lungs.py DATA --parts {part}", PARTS[part](bench))


if __name__ == "__main__":
    main()
