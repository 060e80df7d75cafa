"""What a classifier gains by what it is not shown: one recipe, the lungs used in several ways, judged side by side.

    python benchmarks/lung_ablation.py KERMANY [--epochs 12] [--seed 0] [--out runs/lung-ablation] [--only VARIANT]

Trains `recipes/kermany-lungs.toml` once for each of `VARIANTS`, each into its own folder below ``--out``, and judges
each on the official test part at its own frozen threshold. Finished trainings are not run again and cut ones go on.
``--only`` (may be repeated) trains those variants and writes nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import page

import laennec as ln
from laennec.bundle import Bundle
from laennec.evaluation import judged
from laennec.findings import Against
from laennec.pairing import against
from laennec.recipe import Recipe
from laennec.results import Report

ROOT = Path(__file__).resolve().parents[1]
BASE = ROOT / "recipes" / "kermany-lungs.toml"
METRICS = ("auroc", "accuracy", "sensitivity", "specificity")
# What each is called in the table, and what it changes in the recipe; all others are held against the first.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "whole": ("whole picture", {"preprocess.frame": "whole"}),
    "plain": ("whole picture, greys as they are", {"preprocess.frame": "whole", "preprocess.equalise": False}),
    "frame": ("cut to the lungs", {}),
    "black": ("black outside the lungs", {"preprocess.frame": "whole", "preprocess.outside": "black"}),
    "frame-black": ("cut, black outside", {"preprocess.outside": "black"}),
    "frame-dim": ("cut, dim outside", {"preprocess.outside": "dim"}),
    "frame-normalise": (
        "cut, greys by the lungs",
        {"preprocess.normalise": "lungs", "preprocess.equalise": False},
    ),
}
HEAD = (
    *("variant", "validation AUROC", "AUROC", "accuracy", "sensitivity", "specificity"),
    *("AUROC against the whole picture", "p", "p, Holm", "decided otherwise", "minutes"),
)


def recipes(kermany: Path, epochs: int, seed: int, threads: int) -> dict[str, Recipe]:
    """The recipe of each variant."""
    base = Recipe.read(BASE).replace(
        data__root=str(kermany.resolve()), epochs=epochs, seed=seed, training__threads=threads
    )
    return {
        name: base.changed({"name": f"{base.name}.{name}", "description": told, **changes})
        for name, (told, changes) in VARIANTS.items()
    }


def row_of(told: str, bundle: Bundle, report: Report, beside: Against | None) -> str:
    """A line of the table; `beside` is None for the reference."""
    seen = bundle.card.training
    learnt = ("", "") if seen is None else (f"{seen.validation['auroc']:.3f}", f"{seen.seconds / 60:.1f}")
    cells = [
        told,
        learnt[0],
        *(report.metrics[name].text() for name in METRICS),
        *(
            ("", "", "", "")
            if beside is None
            else (beside.auroc.text(), f"{beside.auroc_p:.2g}", f"{beside.auroc_holm:.2g}", f"{beside.flipped:.1%}")
        ),
        learnt[1],
    ]
    return "| " + " | ".join(cells) + " |"


def table(bundles: dict[str, Bundle], reports: dict[str, Report]) -> list[str]:
    """A line per variant, the first one being what the others are held against."""
    first, *others = bundles
    beside: Sequence[Against] = against([reports[first]], [[reports[name]] for name in others])
    found = dict(zip(others, beside, strict=True))
    return [
        "| " + " | ".join(HEAD) + " |",
        "|---" * len(HEAD) + "|",
        *(row_of(VARIANTS[name][0], bundle, reports[name], found.get(name)) for name, bundle in bundles.items()),
    ]


def main() -> None:
    """Train what is missing, judge, write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kermany", type=Path, help="folder with train/ and test/")
    parser.add_argument("--epochs", type=int, default=12, help="of the last phase; the recipe itself has 24")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="bit-for-bit repeats need the same number")
    parser.add_argument("--out", type=Path, default=Path("runs/lung-ablation"))
    parser.add_argument(
        "--only", choices=[*VARIANTS], action="append", help="a variant, the first first; all if left out"
    )
    chosen = parser.parse_args()
    wanted = recipes(chosen.kermany, chosen.epochs, chosen.seed, chosen.threads)
    bundles = {name: ln.train(wanted[name], chosen.out / name) for name in chosen.only or VARIANTS}
    reports = {name: judged(bundle) for name, bundle in bundles.items()}
    first = reports[next(iter(bundles))]
    lines = [
        f"kermany-lungs with {chosen.epochs} epochs, seed {chosen.seed}, {chosen.threads} thread(s); official test, "
        f"n = {first.images} images of {first.patients} patients, read once by each; thresholds frozen on validation.",
        "Greys are equalised but where the line says otherwise. p: paired DeLong, then corrected by Holm's method for "
        f"the {len(bundles) - 1} tests. One seed: what another seed changes is not in the intervals.",
        "",
        *table(bundles, reports),
    ]
    options = f"--epochs {chosen.epochs} --seed {chosen.seed} --threads {chosen.threads}"
    options += "".join(f" --only {name}" for name in chosen.only or ())
    page.write(
        "lung-ablation",
        "What lies outside the lungs, shown and hidden",
        f"python benchmarks/lung_ablation.py KERMANY {options}",
        lines,
    )


if __name__ == "__main__":
    main()
