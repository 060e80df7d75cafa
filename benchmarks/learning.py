"""Train kermany-lungs from three seeds, join them, and set the official test beside the published figures.

    python benchmarks/learning.py --kermany FOLDER [--set training.threads=1] [--out runs/learning]

Finished trainings in ``--out`` are not run again. Thresholds are frozen on validation; the test is read once by each
finished bundle.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import page

import laennec as ln
from laennec.evaluation import judged

PUBLISHED = [
    ("Kermany et al., Cell 2018, InceptionV3 from ImageNet weights", ".968", ".928", ".932", ".901"),
    ("MedMNIST v2, ResNet-18, 28 px", ".944", ".854", "", ""),
    ("MedMNIST v2, ResNet-50, 224 px", ".962", ".884", "", ""),
    ("MedMNIST v2, Google AutoML Vision", ".991", ".946", "", ""),
    ("MedMNIST+, ResNet-18, 224 px", ".980", ".911", "", ""),
    ("MedMNIST+, VGG16, 64 px", ".987", ".893", "", ""),
    ("MedMNIST+, DenseNet-121, 128 px", ".988", ".898", "", ""),
    ("MedMNIST+, DINO ViT-B/16, linear probe, 224 px", ".989", ".916", "", ""),
]
NAMES = ("auroc", "accuracy", "sensitivity", "specificity")


def row(name: str, bundle: ln.Bundle) -> str:
    """One bundle on the official test."""
    report, seen = judged(bundle), bundle.card.training
    cells = [report.metrics[metric].text() for metric in NAMES]
    cells += [f"{seen.validation['auroc']:.4f}", f"{bundle.card.parameters:,}", f"{seen.seconds / 60:.1f}"]
    return f"| {name} | " + " | ".join(cells) + " |"


def three_classes(bundle: ln.Bundle) -> list[str]:
    """Per-class figures of the three-class recipe."""
    report = judged(bundle)
    lines = ["| class | n | recall | precision | F1 |", "|---|---|---|---|---|"]
    for found in report.per_class:
        cells = [found.label, str(found.n), found.recall.text(), found.precision.text(), found.f1.text()]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Train what is missing and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kermany", type=Path, required=True, help="folder with train/ and test/")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="change a value of the recipes")
    parser.add_argument("--out", type=Path, default=Path("runs/learning"))
    parser.add_argument("--three", action="store_true", help="train kermany-three-class too")
    chosen = parser.parse_args()
    changes = [*chosen.changes, f"data.root={chosen.kermany.resolve()}"]
    recipes = Path(__file__).resolve().parents[1] / "recipes"
    joined = ln.train(ln.Recipe.read(recipes / "kermany-lungs-ensemble.toml", changes), chosen.out / "ensemble")
    seen = joined.card.ensemble
    members = [ln.open_bundle(joined.path / "members" / member.name) for member in (seen.members if seen else ())]
    # The members are the same; only where the thresholds are fitted differs.
    sober = ln.ensemble(members, chosen.out / "views", joined.recipe.ensemble, threshold_views=3)
    small = ln.export(sober, "onnxruntime", "int8", out=chosen.out / "views-int8")
    report = judged(joined)
    lines = [
        f"Official Kermany test, n = {report.images} images of {report.patients} patients; random starts; thresholds",
        "frozen on validation (rule `balanced`). Brackets: 95 % intervals, DeLong for the AUROC, Wilson for the rest.",
        "",
        "| bundle | AUROC | accuracy | sensitivity | specificity | validation AUROC | parameters | minutes |",
        "|---|---|---|---|---|---|---|---|",
        *(row(f"kermany-lungs, {member.name}", member) for member in members),
        row("the three, each with its mirror image, as one bundle", joined),
        row("the same, thresholds fitted on 3 changed views of each validation image", sober),
        row("that, int8", small),
        "",
        "Published, as their authors report them (several chose epochs or thresholds on the test, or fixed it at .5):",
        "",
        "| system | AUROC | accuracy | sensitivity | specificity |",
        "|---|---|---|---|---|",
        *("| " + " | ".join(cells) + " |" for cells in PUBLISHED),
        "",
    ]
    if chosen.three:
        three = ln.train(ln.Recipe.read(recipes / "kermany-three-class.toml", changes), chosen.out / "three")
        accuracy = judged(three).metrics
        lines += [
            f"Three classes (`kermany-three-class`): AUROC of any pneumonia {accuracy['auroc'].text()}.",
            "",
            *three_classes(three),
            "",
        ]
    command = "python benchmarks/learning.py --kermany FOLDER" + (" --three" if chosen.three else "")
    page.write("learning", "Learning better: Kermany's official test", command, lines)


if __name__ == "__main__":
    main()
