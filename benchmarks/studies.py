"""Run the three studies that fit a small machine on real Kermany images, and write their tables.

    python benchmarks/studies.py --kermany FOLDER [--set training.precision=bf16] [--out runs/studies]

Each leaves its page, ``study.html``, in its folder below ``--out``; finished runs are not run again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import page

import laennec as ln
from laennec.findings import StudyReport

STUDIES = ("r1-kermany-small", "r3-kermany-small", "r4-kermany-small")
METRICS = ("auroc", "accuracy", "sensitivity", "specificity")


def rows(report: StudyReport) -> list[str]:
    """A line per run."""
    lines = [
        "| run | AUROC | accuracy | sensitivity | specificity | claimed AUROC, accuracy | parameters | minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in report.runs:
        if not run.trials:
            continue
        trial = run.trials[0]
        claimed = [run.reported.get(name) for name in ("auroc", "accuracy")]
        cells = [
            run.name,
            *(trial.metrics[name].text() for name in METRICS),
            ", ".join("-" if value is None else f"{value:.3f}" for value in claimed) if any(claimed) else "",
            f"{run.parameters:,}",
            f"{trial.seconds / 60:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Run what is missing and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kermany", type=Path, required=True, help="folder with train/ and test/")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="change a value of every recipe")
    parser.add_argument("--out", type=Path, default=Path("runs/studies"))
    chosen = parser.parse_args()
    root = Path(__file__).resolve().parents[1] / "studies"
    lines = [
        "Random weights and small pictures: this machine cannot fetch ImageNet weights, so what the reports claim of",
        "pretrained networks stands beside, not against. One seed; thresholds frozen on validation; official test.",
        "",
    ]
    for name in STUDIES:
        report = ln.study(
            root / f"{name}.toml", chosen.out / name, changes=chosen.changes, root=chosen.kermany.resolve()
        )
        lines += [f"**{report.title}.** {report.question}", "", *rows(report), ""]
    changes = "".join(f" --set {change}" for change in chosen.changes)
    page.write(
        "studies", "Studies of the reports, in small", f"python benchmarks/studies.py --kermany FOLDER{changes}", lines
    )


if __name__ == "__main__":
    main()
