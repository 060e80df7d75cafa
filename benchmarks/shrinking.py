"""R0's table for the Kermany bundle: `laennec shrink`, then the official test part.

    python benchmarks/shrinking.py --kermany FOLDER [--work runs/compression]

Baseline, weights stored in 8 bits, half the weights zero, pruned, quantised, pruned and quantised. The search reads
validation; the test part is read once, by the comparison at the end. Finished parts in ``--work`` are not made again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import page

import laennec as ln
from laennec.bundle import Bundle
from laennec.card import Limits
from laennec.recipe import Recipe
from laennec.results import Comparison, ComparisonRow
from laennec.shrinking import Shrunk

ROOT = Path(__file__).resolve().parents[1]
SHARES = (0.7, 0.5)
ANYTHING = Limits(auroc_lost=1.0, flipped=1.0, ece_gained=1.0)
HEAD = [
    *("", "made by", "AUROC", "accuracy", "F1", "flipped", "parameters", "not 0"),
    *("MFLOPs", "MB", "ms", "x", "Wh", "g CO2e", "accuracy per Wh"),
]


def ranked(parent: Bundle, found: Shrunk, work: Path) -> dict[str, Bundle]:
    """The bundles of the table, by what was done to them."""
    sparse = ln.prune(
        parent, out=work / "lungs-magnitude", kind="magnitude", share=0.5, steps=2, epochs=1, distil=0.7, gate=False
    )
    stored = ln.export(parent, "torch", "int8", out=work / "lungs-torch-int8", limits=ANYTHING)
    rows = {"baseline": parent, "weights stored in 8 bits": stored, "half the weights zero": sparse}
    int8 = ln.export(parent, "openvino", "int8", out=work / "lungs-int8", limits=ANYTHING)
    rows["quantised"] = int8
    folder = work / "lungs-shrink" / "candidates"
    for one in found.candidates:
        left = f"{one.flops:.0%} of the operations"
        if (folder / f"{one.name}-fp32").is_dir():
            rows[f"pruned to {left}"] = ln.open_bundle(folder / f"{one.name}-fp32")
        if one.passed:
            rows["fastest, not pruned" if one.flops == 1 else f"pruned to {left}, then the fastest"] = ln.open_bundle(
                folder / one.name
            )
    for name, bundle in list(rows.items()):
        if name.startswith("pruned") and bundle.card.backend == "torch":
            out = work / f"lungs-int8-{bundle.path.name}"
            rows[f"{name}, quantised"] = ln.export(bundle, "openvino", "int8", out=out, limits=ANYTHING, like=parent)
    return rows


def row_of(name: str, row: ComparisonRow) -> str:
    """A line of the table."""
    flipped = row.against_first.get("flipped")
    cells = [
        name,
        f"{row.backend} {row.precision}",
        row.metrics["auroc"].text(),
        row.metrics["accuracy"].text(),
        row.metrics["f1_macro"].text(),
        "" if flipped is None else f"{flipped:.1%}",
        f"{row.parameters or 0:,}",
        f"{row.nonzero or 0:,}",
        f"{(row.operations or 0) / 1e6:.0f}",
        f"{row.megabytes:.2f}",
        f"{row.latency_p50:.2f}",
        f"{row.speedup:.1f}",
        "" if row.watt_hours is None else f"{row.watt_hours:.5f} ({row.letter})",
        "" if row.grams is None else f"{row.grams:.4f}",
        "" if row.accuracy_per_watt_hour is None else f"{row.accuracy_per_watt_hour:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def search_lines(found: Shrunk) -> list[str]:
    """What the search tried, on validation."""
    lines = ["| candidate | fastest that passes | on validation | ms | MB |", "|---|---|---|---|---|"]
    for one in found.candidates:
        size = "" if one.megabytes is None else f"{one.megabytes:.2f}"
        taken = "" if one.milliseconds is None else f"{one.milliseconds:.2f}"
        lines.append(f"| {one.name} | {one.made or 'none'} | {one.told} | {taken} | {size} |")
    return lines


def energy_label(comparison: Comparison) -> str:
    """How the energy figures came about."""
    used = comparison.rows[0].inference
    if used is None:
        return "No meter could read anything."
    grid = used.grid
    return f"Energy: inference of 1,000 studies in batches, {used.label}; grid {grid.place} {grid.year}, {grid.source}."


def main() -> None:
    """Train, search, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kermany", type=Path, required=True, help="folder with train/ and test/")
    parser.add_argument("--work", type=Path, default=Path("runs/compression"))
    parser.add_argument(
        "--threads", type=int, default=2, help="of the training; bit-for-bit repeats need the same number"
    )
    chosen = parser.parse_args()
    work = chosen.work.resolve()
    recipe = Recipe.read(ROOT / "recipes" / "kermany-lungs.toml").replace(
        data__root=str(chosen.kermany.resolve()), training__threads=chosen.threads
    )
    parent = ln.train(recipe, work / "lungs")
    found = ln.shrink(parent, out=work / "lungs-shrink", shares=SHARES)
    rows = ranked(parent, found, work)
    comparison = ln.compare(list(rows.values()), "test", out=work / "lungs-table")
    (work / "lungs-table.json").write_text(json.dumps(comparison.model_dump(mode="json"), indent=2))
    best = found.bundle.card
    lines = [
        f"kermany-lungs (seed 0), official test, n = {comparison.images} images of {comparison.patients} patients.",
        f"`laennec shrink` chose, on validation, `{best.backend} {best.precision}`"
        + (f" pruned ({best.pruning.wanted})" if best.pruning else " of the whole network")
        + ". ms: one image, 2 cores.",
        energy_label(comparison),
        "",
        "| " + " | ".join(HEAD) + " |",
        "|---" * len(HEAD) + "|",
        *(row_of(name, row) for name, row in zip(rows, comparison.rows, strict=True)),
        "",
        "The search:",
        "",
        *search_lines(found),
        "",
    ]
    page.write(
        "shrink", "R0's table: Kermany's bundle made small", "python benchmarks/shrinking.py --kermany FOLDER", lines
    )


if __name__ == "__main__":
    main()
