"""Event files for TensorBoard: curves of every epoch, settings side by side, figures of the reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laennec.errors import extra
from laennec.outputs import MASKS, PROBABILITIES
from laennec.trackers import Run, curves, figures, require, settings
from laennec.work import check

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from laennec.bundle import Bundle
    from laennec.results import Epoch, Report

_COMPARED = {
    PROBABILITIES: ("val_auroc", "test/auroc", "test/accuracy"),
    MASKS: ("val_dice", "test/dice", "test/hd95"),
}


def ready() -> None:
    """`MissingExtra` if TensorBoard or torch is not there."""
    require("tensorboard", "tensorboard")
    require("train", "torch")


def start(run: Run) -> Events:
    """Write into ``tensorboard/<name of the run's folder>`` beside that folder."""
    with extra("tensorboard"):
        import torch.utils.tensorboard  # noqa: F401  to fail here if it does, not at the first epoch
    return Events(run)


class Events:
    """The open event file; it is opened at the first event, which says what a resumed run writes again."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.step = 0
        self._writer: SummaryWriter | None = None

    def epoch(self, entry: Epoch, step: int) -> None:
        """One point on every curve."""
        writer = self._open(step)
        self.step = step
        for name, value in curves(entry).items():
            writer.add_scalar(name, value, step)
        writer.flush()

    def report(self, report: Report) -> None:
        """The figures with their bounds, and the curves as pictures."""
        writer = self._open()
        for name, value in figures(report).items():
            writer.add_scalar(name, value, self.step)
        for name, figure in _pictures(report).items():
            writer.add_figure(f"{report.part}/{name}", figure, self.step)
        writer.flush()

    def bundle(self, bundle: Bundle) -> None:
        """What the model is and what it was made from, as text."""
        card = bundle.card
        rows = {
            "bundle": bundle.digest,
            "kept epoch": card.training.kept_epoch,
            "parameters": f"{card.parameters:,}",
            "data": card.data.collection,
            "licence": card.data.licence,
            "citation": card.data.citation,
            "split": card.data.split_digest,
        }
        self._open().add_text("bundle", "\n".join(f"- {name}: {value}" for name, value in rows.items()), self.step)

    def close(self, ok: bool) -> None:
        """Say how it ended, and close the file."""
        if self._writer is not None:
            self._writer.add_text("ended", "well" if ok else "failed or stopped", self.step)
            self._writer.close()

    def _open(self, step: int | None = None) -> SummaryWriter:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter
            from torch.utils.tensorboard.summary import hparams

            folder = self.run.shared / "tensorboard" / self.run.folder.resolve().name
            new = not any(folder.glob("events.*"))
            # TensorBoard forgets what an earlier file holds from `purge_step` on: the epochs that now come again.
            self._writer = SummaryWriter(str(folder), purge_step=None if new else step)
            if new:
                compared = ["val_loss", *(name for kind in check(self.run.recipe.task) for name in _COMPARED[kind])]
                for summary in hparams(settings(self.run.recipe), dict.fromkeys(compared, 0.0)):  # type: ignore[no-untyped-call]
                    self._writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]
        return self._writer


def _pictures(report: Report) -> dict[str, Any]:
    """The report's curves as matplotlib figures, by name."""
    with extra("eval"):
        from matplotlib.figure import Figure

    found = {}
    lines: dict[str, tuple[str, str, list[tuple[float, float]]]] = {
        "roc": ("1 - specificity", "sensitivity", list(report.roc)),
        "precision_recall": ("recall", "precision", list(report.precision_recall)),
        "reliability": (
            "mean score",
            "observed frequency",
            [(b.score, b.frequency) for b in report.reliability if b.n],
        ),
    }
    for name, (across, up, points) in lines.items():
        if not points:
            continue
        figure = Figure(figsize=(4, 4), layout="constrained")
        axes = figure.add_subplot(xlim=(0, 1), ylim=(0, 1.02), xlabel=across, ylabel=up)
        axes.plot(*zip(*points, strict=True), marker="o" if name == "reliability" else "")
        axes.grid(alpha=0.3)
        found[name] = figure
    if report.confusion:
        figure = Figure(figsize=(4, 4), layout="constrained")
        axes = figure.add_subplot(xlabel="decision", ylabel="truth")
        axes.imshow(report.confusion, cmap="Blues")
        axes.set_xticks(range(len(report.labels)), report.labels, rotation=30)
        axes.set_yticks(range(len(report.labels)), report.labels)
        for row, counts in enumerate(report.confusion):
            for column, count in enumerate(counts):
                axes.text(column, row, str(count), ha="center", va="center")
        found["confusion"] = figure
    return found
