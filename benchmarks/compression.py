"""Measure what compression brings and write its sections of ``docs/benchmarks.md``.

    python benchmarks/compression.py --kermany FOLDER [--work runs/compression] [--parts nets,roof]

Parts:

    nets  ResNet-50, DenseNet-121 and MobileNetV2-0.5 at 224 px, trained on Kermany for a few epochs from random
          weights, pruned, quantised; every side in one run, in turns
    roof  the machine's peak in a matrix product, and each net's share of it

Trainings and prunings that are in ``--work`` already are not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import page
import roof

import laennec as ln
from laennec import counting, graphs
from laennec.backends import Session
from laennec.bundle import Bundle
from laennec.card import Limits
from laennec.outputs import Outputs
from laennec.recipe import Recipe
from laennec.runtime import start

EPOCHS = {"resnet50": 2, "densenet121": 2, "mobilenetv2_050": 4}
CALLED = {"resnet50": "ResNet-50", "densenet121": "DenseNet-121", "mobilenetv2_050": "MobileNetV2-0.5"}
SIZE = 224
LEFT = 0.8  # share of the operations that pruning leaves
RETRAINING: dict[str, Any] = {"steps": 1, "epochs": 1, "learning_rate": 3e-4, "distil": 0.7}
ROUNDS = {1: 40, 16: 8}
FAST = [("openvino", "bf16"), ("openvino", "int8")]
ANYTHING = Limits(auroc_lost=1.0, flipped=1.0, ece_gained=1.0)


def recipe_of(backbone: str, kermany: Path, threads: int) -> Recipe:
    """A short training of a backbone on Kermany at 224 px."""
    return Recipe.parse(
        {
            "name": backbone,
            "description": f"Compression benchmark: {backbone} at 224 px on Kermany from random weights",
            "data": {"name": "kermany", "root": str(kermany), "task": "binary"},
            "split": {"validation": 0.2},
            "preprocess": {"size": SIZE, "equalise": True},
            "model": {"name": "timm", "backbone": backbone, "weights": "none"},
            "phases": [{"name": "from scratch", "epochs": EPOCHS[backbone], "learning_rate": 1e-3, "warmup": 0.2}],
            "training": {
                "batch_size": 64 if backbone == "mobilenetv2_050" else 32,
                "balance": "class_weights",
                "ema": 0.99,
                "monitor": "auroc",
                "precision": "bf16",
                "threads": threads,
            },
            "augmentation": {"rotation": 10.0, "zoom": 0.15, "flip": 0.5, "gamma": 0.25, "contrast": 0.2},
        }
    )


class Contiguous:
    """The network as timm gives it, eager, in the memory format torch starts with: what most people run."""

    def __init__(self, bundle: Bundle) -> None:
        import torch

        from laennec.network import load_deployed

        self._torch, self._network = torch, load_deployed(bundle.card, bundle.model_files())

    def run(self, pixels: np.ndarray) -> Outputs:
        """As a session."""
        with self._torch.inference_mode():
            return Outputs(self._network(self._torch.from_numpy(pixels)).numpy())


class PlainInt8:
    """onnxruntime's own static quantisation of the exported graph with its defaults, in a session with its defaults."""

    def __init__(self, graph: bytes, calibration: np.ndarray) -> None:
        import onnxruntime
        from onnxruntime import quantization

        class Images(quantization.CalibrationDataReader):
            def __init__(self) -> None:
                self.left = iter([{"pixels": calibration[i : i + 8]} for i in range(0, len(calibration), 8)])

            def get_next(self) -> dict[str, Any] | None:
                """The next batch."""
                return next(self.left, None)

        with tempfile.TemporaryDirectory() as name, graphs.quiet():
            folder = Path(name)
            (folder / "fp32.onnx").write_bytes(graph)
            quantization.quantize_static(folder / "fp32.onnx", folder / "int8.onnx", Images(), per_channel=True)
            self._session = onnxruntime.InferenceSession(
                (folder / "int8.onnx").read_bytes(), providers=["CPUExecutionProvider"]
            )

    def run(self, pixels: np.ndarray) -> Outputs:
        """As a session."""
        return Outputs(self._session.run(None, {"pixels": pixels})[0])


def exported(parent: Bundle, like: Bundle, backend: str, precision: str, out: Path) -> Bundle:
    """An export whose gate is told, not enforced, so that a table shows what failed too."""
    return ln.export(parent, backend, precision, out=out, limits=ANYTHING, like=like)


def verdict(bundle: Bundle) -> str:
    """Whether the gate with its usual limits holds, and what was lost."""
    gate, usual = bundle.card.gate, Limits()
    if gate is None:
        return ""
    lost, worse = gate.auroc_parent - gate.auroc, gate.ece - gate.ece_parent
    held = lost <= usual.auroc_lost and gate.flipped <= usual.flipped and worse <= usual.ece_gained
    return f"{'holds' if held else 'fails'}: {lost:+.4f}, {gate.flipped:.1%}, {worse:+.3f}"


def in_turns(sides: dict[str, Session], images: np.ndarray, rounds: int) -> dict[str, float]:
    """Median milliseconds of a call of each side."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for session in sides.values():
        for _ in range(3):
            session.run(images)
    for _ in range(rounds):
        for name, session in sides.items():
            began = time.perf_counter()
            session.run(images)
            taken[name].append(1000 * (time.perf_counter() - began))
            time.sleep(0.02)  # lets the threads of the side before go to sleep
    return {name: statistics.median(row) for name, row in taken.items()}


def sides_of(
    backbone: str, kermany: Path, work: Path, threads: int, prune: bool
) -> tuple[dict[str, Session], dict[str, str], dict[str, int]]:
    """Sessions by name, the verdict of each gate, and the operations of the network whole and pruned."""
    parent = ln.train(recipe_of(backbone, kermany, threads), work / backbone)
    # the fp32 graph in openvino decides like torch to rounding, and answers the validation part in half the time
    like = exported(parent, parent, "openvino", "fp32", work / f"{backbone}-openvino-fp32")
    made = {"openvino fp32": like}
    for backend, precision in [("onnxruntime", "fp32"), ("onnxruntime", "int8"), *FAST]:
        out = work / f"{backbone}-{backend}-{precision}"
        made[f"{backend} {precision}"] = exported(like, like, backend, precision, out)
    operations = {"whole": counting.counts(parent.card, parent.model_files()).operations or 0}
    if prune:
        small = ln.prune(parent, out=work / f"{backbone}-pruned", flops=LEFT, gate=False, **RETRAINING)
        operations["pruned"] = counting.counts(small.card, small.model_files()).operations or 0
        compiled = exported(small, like, "openvino", "fp32", work / f"{backbone}-pruned-openvino-fp32")
        for backend, precision in FAST:
            out = work / f"{backbone}-pruned-{backend}-{precision}"
            made[f"pruned, {backend} {precision}"] = exported(compiled, like, backend, precision, out)
    graph = made["onnxruntime fp32"].model_files()[graphs.GRAPH]
    noise = np.random.default_rng(0).integers(0, 256, (16, 1, SIZE, SIZE), np.uint8)
    sides: dict[str, Session] = {
        "torch eager fp32": Contiguous(parent),
        "torch eager fp32, channels last": start(parent),
        "plain onnxruntime int8": PlainInt8(graph, noise),
        **{name: start(bundle) for name, bundle in made.items()},
    }
    return sides, {name: verdict(bundle) for name, bundle in made.items()}, operations


def nets(kermany: Path, work: Path, threads: int, which: list[str], pruned: list[str]) -> None:
    """The table of the three nets."""
    lines = [
        f"224 px, {os.cpu_count()} threads for torch and for every runtime; median of {ROUNDS[1]} and {ROUNDS[16]}",
        "rounds in turns. x: times as fast as torch eager fp32. y: as onnxruntime's own int8 with its defaults.",
        "Gate, on validation against the fp32 parent: AUROC lost, decisions flipped, ECE gained; it holds within .002,",
        f"1 % and .01. Pruned: {LEFT:.0%} of the operations left, one step and one epoch of retraining with the",
        "parent's answers; FLOPs are 2 x MAC.",
        "",
        "| net | side | one image, ms | x | batch of 16, ms | x | y, one / 16 | gate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    saved = {}
    for backbone in which:
        sides, gates, operations = sides_of(backbone, kermany, work, threads, backbone in pruned)
        generator = np.random.default_rng(1)
        times = {
            batch: in_turns(sides, generator.integers(0, 256, (batch, 1, SIZE, SIZE), np.uint8), ROUNDS[batch])
            for batch in (1, 16)
        }
        saved[backbone] = {"milliseconds": times, "operations": operations}
        for name in sides:
            one, many = times[1], times[16]
            against = "torch eager fp32"
            plain = "plain onnxruntime int8"
            y = f"{one[plain] / one[name]:.1f} / {many[plain] / many[name]:.1f}" if "int8" in name else ""
            lines.append(
                f"| {CALLED[backbone]} | {name} | {one[name]:.2f} | {one[against] / one[name]:.1f} | {many[name]:.1f} "
                f"| {many[against] / many[name]:.1f} | {y} | {gates.get(name, '')} |"
            )
        told = ", ".join(f"{name} {count / 1e9:.2f}" for name, count in operations.items())
        lines.append(f"| {CALLED[backbone]} | GFLOPs an image: {told} | | | | | | |")
    (work / "nets.json").write_text(json.dumps(saved, indent=2))
    page.write(
        "nets",
        "Three backbones, compressed",
        "python benchmarks/compression.py --kermany FOLDER --parts nets",
        [*lines, ""],
    )


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kermany", type=Path, required=True, help="folder with train/ and test/")
    parser.add_argument("--work", type=Path, default=Path("runs/compression"))
    parser.add_argument("--parts", default="nets,roof")
    parser.add_argument("--nets", default=",".join(CALLED), help="which backbones")
    parser.add_argument("--threads", type=int, default=2, help="of trainings; bit-for-bit repeats need the same number")
    parser.add_argument("--prune", default=",".join(CALLED), help="which of them are pruned too")
    chosen = parser.parse_args()
    kermany, work = chosen.kermany.resolve(), chosen.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    parts = chosen.parts.split(",")
    if "nets" in parts:
        nets(kermany, work, chosen.threads, chosen.nets.split(","), chosen.prune.split(","))
    if "roof" in parts:
        roof.write(json.loads((work / "nets.json").read_text()), CALLED)


if __name__ == "__main__":
    main()
