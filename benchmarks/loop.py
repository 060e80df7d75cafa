"""Time one fine-tuning epoch against the plain loop: torchvision's ImageFolder and DataLoader around a timm network.

    python benchmarks/loop.py --kermany FOLDER [--backbone resnet18] [--size 224] [--images 640] [--rounds 3]

Same network, batch, optimiser, number of images and threads, from the same JPEG files; the two run one after the other,
`rounds` times, and the medians are compared. Both sides turn, shift and zoom the pictures. laennec's first epoch, which
decodes into the cache, is told apart from the later ones. ``--profile`` prints where each side's time goes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import page
import timm
import torch
from torchvision import datasets, transforms

from laennec import family, loader, schedules
from laennec.card import Architecture
from laennec.fit import Fit, settled
from laennec.network import Network
from laennec.progress import track
from laennec.recipe import Recipe
from laennec.sources import Pictures

BATCH = 32


def plain(folder: Path, backbone: str, size: int, images: int, workers: int) -> float:
    """Seconds of one epoch of the loop that every tutorial shows."""
    change = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomAffine(15, translate=(0.05, 0.05), scale=(0.8, 1.2)),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    files = datasets.ImageFolder(str(folder / "train"), transform=change)
    chosen = np.random.default_rng(0).permutation(len(files))[:images].tolist()
    feed = torch.utils.data.DataLoader(
        torch.utils.data.Subset(files, chosen), batch_size=BATCH, shuffle=True, num_workers=workers, drop_last=True
    )
    net = timm.create_model(backbone, num_classes=2)
    optimiser, criterion = torch.optim.AdamW(net.parameters(), lr=1e-3), torch.nn.CrossEntropyLoss()
    net.train()
    started = time.monotonic()
    for pictures, labels in feed:
        loss = criterion(net(pictures), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return time.monotonic() - started


def ours(folder: Path, backbone: str, size: int, images: int, precision: str) -> tuple[float, float]:
    """Seconds to have the pictures (decoded, or mapped from the cache), and of one epoch of laennec's loop."""
    recipe = Recipe.parse(
        {
            "data": {"name": "kermany", "root": str(folder), "task": "binary"},
            "preprocess": {
                "size": size,
                "channels": 3,
                "mean": [0.485, 0.456, 0.406],
                "std": [0.229, 0.224, 0.225],
            },
            "model": {"name": "timm", "backbone": backbone, "weights": "none"},
            "phases": [{"epochs": 1, "learning_rate": 1e-3}],
            "training": {"batch_size": BATCH, "precision": precision, "balance": "none"},
            "augmentation": {"rotation": 15, "shift": 0.05, "zoom": 0.2},
        }
    )
    started = time.monotonic()
    feed = loader.load(recipe, ("train", "val"))
    have = time.monotonic() - started
    part = feed.part("train")
    chosen = np.random.default_rng(0).permutation(len(part))[:images]
    part = loader.Part(tuple(part.samples[i] for i in chosen), part.rows[chosen], part.pixels, ())
    device = torch.device("cpu")
    task = family.member("tasks", "classify")
    pictures = Pictures(recipe, feed.collection.labels, task, part, feed.part("val"), device)
    architecture = Architecture(name="timm", options=recipe.model.options, head=recipe.head)
    network = Network(architecture, recipe.preprocess, 2).to(memory_format=torch.channels_last)
    fit = Fit(pictures, network)
    network.learn("all")
    optimiser = torch.optim.AdamW(network.parameters(), lr=schedules.rate(recipe.phases[0], 0, fit.steps))
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    with settled(device, torch.get_num_threads()), track("epoch", fit.steps) as step:
        started = time.monotonic()
        fit._learn(pictures, 0, 0, optimiser, scaler, step)
        return have, time.monotonic() - started


def main() -> None:
    """Interleave the sides and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kermany", type=Path, required=True, help="folder with train/ and test/")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    folder = chosen.kermany.resolve()
    what = (folder, chosen.backbone, chosen.size, chosen.images)
    times: dict[str, list[float]] = {"plain": [], "plain, 2 workers": [], "laennec fp32": [], "laennec bf16": []}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["LAENNEC_CACHE"] = cache
        decoding = ours(*what, "fp32")[0]
        for _ in range(chosen.rounds):
            times["plain"].append(plain(*what, 0))
            times["plain, 2 workers"].append(plain(*what, 2))
            times["laennec fp32"].append(ours(*what, "fp32")[1])
            times["laennec bf16"].append(ours(*what, "bf16")[1])
    middle = {name: statistics.median(values) for name, values in times.items()}
    best = min(middle["plain"], middle["plain, 2 workers"])
    rows = [
        f"| {name} | {middle[name]:.1f} | {chosen.images / middle[name]:.1f} | {best / middle[name]:.2f} "
        f"| {min(values):.1f} to {max(values):.1f} |"
        for name, values in times.items()
    ]
    page.write(
        f"loop {chosen.backbone}",
        f"One fine-tuning epoch: {chosen.backbone}, {chosen.size} px, batch {BATCH}, {chosen.threads} threads",
        f"python benchmarks/loop.py --kermany FOLDER --backbone {chosen.backbone} --size {chosen.size} "
        f"--images {chosen.images} --rounds {chosen.rounds}",
        [
            f"{chosen.images} images an epoch, median of {chosen.rounds} interleaved rounds; x: against the better of",
            f"the two plain loops. laennec decodes all 5,216 images once, here in {decoding:.0f} s, and never again.",
            "",
            "| loop | seconds | images/s | x | range |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ],
    )


if __name__ == "__main__":
    main()
