"""Time a phase with a frozen backbone: embeddings kept against the backbone run in every epoch.

    python benchmarks/frozen.py --kermany FOLDER [--backbone resnet50] [--size 96] [--out runs/frozen]

The same recipe three times: ``views = 0`` (the backbone runs in every epoch, in laennec's own loop), ``views = 1``
with nothing kept, and ``views = 1`` again, as another head, seed of a study or trial of a search finds it. Ten epochs,
random weights, pictures decoded beforehand; wall seconds of the whole training call.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import page

import laennec as ln


def recipe(folder: Path, backbone: str, size: int, threads: int, views: int, dropout: float) -> ln.Recipe:
    """R1's first phase on Kermany, from a random start."""
    return ln.Recipe.parse(
        {
            "name": f"frozen-{views}",
            "data": {"name": "kermany", "root": str(folder), "task": "binary"},
            "preprocess": {"size": size, "channels": 3},
            "model": {"name": "timm", "backbone": backbone, "weights": "none"},
            "head": {"dropout": dropout},
            "phases": [{"train": "head", "epochs": 10, "learning_rate": 1e-2, "views": views}],
            "training": {"monitor": "auroc", "threads": threads, "precision": "bf16"},
            "augmentation": {"rotation": 10, "zoom": 0.1, "shift": 0.05},
        }
    )


def main() -> None:
    """Run the three and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kermany", type=Path, required=True, help="folder with train/ and test/")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("runs/frozen"))
    chosen = parser.parse_args()
    folder = chosen.kermany.resolve()
    out = chosen.out / chosen.backbone
    rows, first = [], 0.0
    with tempfile.TemporaryDirectory() as cache:  # nothing kept from before
        os.environ["LAENNEC_CACHE"] = cache
        for name, views, dropout in (
            ("backbone in every epoch", 0, 0.0),
            ("embeddings kept, first time", 1, 0.0),
            ("embeddings kept, another head", 1, 0.2),
        ):
            one = recipe(folder, chosen.backbone, chosen.size, chosen.threads, views, dropout)
            if not rows:
                from laennec import loader

                loader.load(one, ("train", "val"))
            place = out / name.replace(" ", "-").replace(",", "")
            shutil.rmtree(place, ignore_errors=True)
            started = time.monotonic()
            bundle = ln.train(one, place)
            seconds = time.monotonic() - started
            first = first or seconds
            report = ln.evaluate(bundle)
            auroc = report.metrics["auroc"]
            rows.append(
                f"| {name} | {seconds:.1f} | {first / seconds:.1f} "
                f"| {auroc.value:.3f} [{auroc.low:.3f}, {auroc.high:.3f}] |"
            )
    command = f"python benchmarks/frozen.py --kermany FOLDER --backbone {chosen.backbone} --size {chosen.size}"
    page.write(
        f"frozen {chosen.backbone}",
        f"Ten epochs with a frozen {chosen.backbone}, {chosen.size} px, random weights, {chosen.threads} threads",
        command,
        [
            "Wall seconds of the whole training; Kermany, 4,432 training and 784 validation images; AUROC on the",
            "official test (n = 624).",
            "",
            "| what | seconds | x | test AUROC |",
            "|---|---|---|---|",
            *rows,
            "",
        ],
    )


if __name__ == "__main__":
    main()
