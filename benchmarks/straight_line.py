"""Measure the straight line and write its section of ``docs/benchmarks.md``.

    python benchmarks/straight_line.py --kermany FOLDER [--seeds 0 1 2] [--out runs/benchmark]

Times are of whole commands, as a person waits for them; finished trainings in ``--out`` are not run again (their
seconds stand in their cards). Quality and speed of the three bundles of a seed come from one `laennec compare`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import page

ROOT = Path(__file__).resolve().parents[1]
LAENNEC = [sys.executable, "-m", "laennec"]


def command(*arguments: str) -> tuple[float, float, str]:
    """Wall and CPU seconds of one laennec command, and what it printed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([*LAENNEC, *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def kermany(folder: Path, seed: int, out: Path) -> dict[str, Any]:
    """Train, export and compare one seed; the comparison and the training's facts."""
    places = {name: str(out / f"seed{seed}-{name}") for name in ("fp32", "onnx", "int8")}
    changes = ["--set", f"data.root={folder}", "--set", f"seed={seed}"]
    command("train", "recipes/kermany-quick.toml", *changes, "--out", places["fp32"])
    command("export", places["fp32"], "--precision", "fp32", "--out", places["onnx"])
    command("export", places["fp32"], "--precision", "int8", "--out", places["int8"])
    compared = command("compare", *places.values(), "--json")[2]
    cards = {name: json.loads((Path(place) / "card.json").read_text()) for name, place in places.items()}
    return {"seed": seed, "cards": cards, "comparison": json.loads(compared)}


def figure(metric: dict[str, Any]) -> str:
    """``.973 [.961, .982]``."""
    return f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"


def quality_rows(runs: list[dict[str, Any]]) -> list[str]:
    """A line per bundle."""
    lines = [
        "| seed | bundle | AUROC | accuracy | sensitivity | specificity | flipped | MB | ms an image | images/s | x |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        for row in run["comparison"]["rows"]:
            m, flipped = row["metrics"], row["against_first"].get("flipped")
            cells = [
                str(run["seed"]),
                f"{row['backend']} {row['precision']}",
                *(figure(m[name]) for name in ("auroc", "accuracy", "sensitivity", "specificity")),
                "" if flipped is None else f"{flipped:.2%}",
                f"{row['megabytes']:.2f}",
                f"{row['latency_p50']:.2f}",
                f"{row['throughput']:.0f}",
                f"{row['speedup']:.1f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def gate_rows(runs: list[dict[str, Any]]) -> list[str]:
    """What int8 cost on validation and on test."""
    lines = [
        "| seed | training | validation AUROC lost | validation flipped | test AUROC lost | test flipped |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        gate, training = run["cards"]["int8"]["gate"], run["cards"]["fp32"]["training"]
        graph, small = run["comparison"]["rows"][1:]
        lost = graph["metrics"]["auroc"]["value"] - small["metrics"]["auroc"]["value"]
        lines.append(
            f"| {run['seed']} | {training['seconds'] / 60:.1f} min, {training['epochs']} epochs "
            f"| {gate['auroc_parent'] - gate['auroc']:+.4f} | {gate['flipped']:.2%} "
            f"| {lost:+.4f} | {small['against_first']['flipped']:.2%} |"
        )
    return lines


def main() -> None:
    """Run everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kermany", type=Path, required=True, help="folder with train/ and test/")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    chosen = parser.parse_args()
    out = chosen.out.resolve()
    help_cpu = statistics.median(command("--help")[1] for _ in range(7))
    timed = out / "demo-seconds.json"
    if not timed.is_file():
        timed.parent.mkdir(parents=True, exist_ok=True)
        timed.write_text(json.dumps(command("demo", "--out", str(out / "demo"))[0]))
    demo_wall = json.loads(timed.read_text())
    runs = [kermany(chosen.kermany.resolve(), seed, out) for seed in chosen.seeds]
    last = runs[-1]["comparison"]
    lines = [
        "| what | measured |",
        "|---|---|",
        f"| `laennec --help`, CPU seconds, median of 7 | {help_cpu:.2f} |",
        f"| `laennec demo`, wall, installed, cold cache | {demo_wall:.0f} s |",
        "",
        f"kermany-quick on the official test part (n = {last['images']} images, {last['patients']} patients), from",
        "random weights; threshold frozen on validation (rule `balanced`). Brackets: 95 % intervals, DeLong for AUROC,",
        "Wilson for the rest. x: speed of one image against torch. Flipped: decisions other than torch's.",
        "",
        *quality_rows(runs),
        "",
        "int8 held against fp32 ONNX:",
        "",
        *gate_rows(runs),
        "",
    ]
    seeds = " ".join(map(str, chosen.seeds))
    command_line = f"python benchmarks/straight_line.py --kermany FOLDER --seeds {seeds}"
    page.write("straight line", "The straight line", command_line, lines)


if __name__ == "__main__":
    main()
