"""What a study found: its runs judged on the same test images, beside each other and against the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from statistics import fmean, stdev
from typing import Literal

from pydantic import Field

from laennec.estimates import Estimate
from laennec.noun import Noun
from laennec.results import ClassFigures, Epoch
from laennec.samples import PartName
from laennec.segmentation import SegmentationFigures

# Of masks, means over images; the accuracy of pixels is left out, as its name is that of the decisions'.
MASKS = ("dice", "iou", "precision", "recall", "hd95", "hd95_mm")


class Trial(Noun):
    """One bundle of a run, trained with one seed, judged on the test part.

    Attributes:
        seed: of the training; None where the recipe's own was taken.
        folder: the bundle's, inside the study's.
        labels, metrics, per_class, confusion, roc, threshold: of the decisions; empty where none are made.
        segmentation: of the masks, without the single images' rows; None where none are made.
        dices: each image's Dice, rising.
        learning: parameters that learned, by phase.
        seconds: of its training; of an export, its parent's.
        history: the training's epochs; none for an export.
    """

    seed: int | None
    folder: str
    bundle_digest: str
    labels: tuple[str, ...] = ()
    metrics: dict[str, Estimate] = Field(default_factory=dict)
    per_class: tuple[ClassFigures, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    roc: tuple[tuple[float, float], ...] = ()
    threshold: float | None = None
    segmentation: SegmentationFigures | None = None
    dices: tuple[float, ...] = ()
    history: tuple[Epoch, ...]
    epochs: int
    kept_epoch: int
    learning: dict[str, int]
    seconds: float
    threads: int
    hardware: str

    @property
    def best_epoch(self) -> int | None:
        """The epoch of the highest validation AUROC, or Dice of masks alone, from 1; the first of equals."""
        areas = [epoch.val_auroc for epoch in self.history]
        if not any(area is not None for area in areas):
            areas = [epoch.val_dice for epoch in self.history]
        known = [area for area in areas if area is not None]
        return areas.index(max(known)) + 1 if known else None

    @property
    def figures(self) -> dict[str, Estimate]:
        """`metrics`, and of the masks the means over images named in `MASKS`."""
        if self.segmentation is None:
            return self.metrics
        mean = self.segmentation.mean
        return self.metrics | {name: mean[name] for name in MASKS if name in mean}


class Against(Noun):
    """A run held against the reference on the same images, in what both answer; the rest is None.

    Attributes:
        auroc: the run's AUROC less the reference's; of several seeds, of their means.
        dice: the run's mean Dice less the reference's, over the images both have a truth for; of several seeds, of
            their means.
        auroc_p, decisions_p, dice_p: p values of the paired tests (DeLong; McNemar, of the first seed; Wilcoxon's
            signed ranks of the images' Dice).
        auroc_holm, decisions_holm, dice_holm: the same, corrected for the number of runs tested.
        flipped: share of images decided otherwise (first seed).
    """

    auroc: Estimate | None = None
    auroc_p: float | None = None
    decisions_p: float | None = None
    auroc_holm: float | None = None
    decisions_holm: float | None = None
    flipped: float | None = None
    dice: Estimate | None = None
    dice_p: float | None = None
    dice_holm: float | None = None


class Speed(Noun):
    """An export and its parent, timed in one interleaved run: milliseconds for one image, images per second."""

    latency: float
    parent_latency: float
    throughput: float
    parent_throughput: float
    threads: int
    hardware: str


class RunFound(Noun):
    """One run: what it was, and its trials.

    Attributes:
        recipe: the recipe's name; of an export, none.
        of: the run it was exported from.
        reported: what a report claimed, by figure.
        trials: one per seed that was finished; none where the run failed or has not been run yet.
        against: the tests against the reference; None for the reference and where they make no sense.
    """

    name: str
    recipe: str
    description: str
    note: str
    note_fr: str
    of: str
    reported: dict[str, float]
    model: str = ""
    backend: str = ""
    precision: str = ""
    parameters: int | None = None
    megabytes: float | None = None
    starting_weights: str = ""
    trials: tuple[Trial, ...] = ()
    against: Against | None = None
    speed: Speed | None = None

    def figure(self, name: str) -> Estimate:
        """A metric over the trials: of one its estimate, of several their mean, which has no interval."""
        return self._over([trial.figures for trial in self.trials], name)

    def pooled(self, name: str) -> Estimate:
        """A figure of the masks over all pixels of all images together, over the trials as in `figure`."""
        return self._over([t.segmentation.pooled for t in self.trials if t.segmentation is not None], name)

    @staticmethod
    def _over(trials: Sequence[Mapping[str, Estimate]], name: str) -> Estimate:
        known = [figures[name] for figures in trials if name in figures]
        values = [estimate.value for estimate in known if estimate.value is not None]
        if len(known) == 1:
            return known[0]
        if not values:
            return Estimate(value=None, n=known[0].n if known else 0)
        return Estimate(value=fmean(values), n=known[0].n, method="seeds")

    def spread(self, name: str) -> float | None:
        """Standard deviation of a metric between seeds; None of fewer than two."""
        values = [trial.figures[name].value for trial in self.trials if name in trial.figures]
        known = [value for value in values if value is not None]
        return stdev(known) if len(known) > 1 else None

    @property
    def classifies(self) -> bool:
        """Whether it decides about a finding."""
        return any(trial.metrics for trial in self.trials)

    @property
    def segments(self) -> bool:
        """Whether its masks were held against the truth."""
        return any(trial.segmentation is not None for trial in self.trials)


class Ground(Noun):
    """The data some runs share; runs on other data or labels stand on another ground, and are not tested against these.

    Attributes:
        runs: their names.
        other: why these runs are shown apart: other labels or images, or another split.
        images, patients: by part of the split.
        masks: images with a true mask by part, where any run makes masks.
        labels, positive, positives, of_labels: empty where no run decides.
        positives: test images with the finding.
    """

    runs: tuple[str, ...]
    other: Literal["", "data", "split"]
    collection: str
    collection_digest: str
    split_digest: str
    split_how: str
    licence: str
    citation: str
    notes: tuple[str, ...]
    labels: tuple[str, ...]
    positive: tuple[str, ...]
    images: dict[str, int]
    patients: dict[str, int]
    masks: dict[str, int] = Field(default_factory=dict)
    positives: int
    of_labels: dict[str, int]


class Failure(Noun):
    """A run that did not end, and why; `folder` names its seed too."""

    run: str
    folder: str
    reason: str
    hint: str = ""


class Difference(Noun):
    """A key of the recipes that is not the same in all runs, and its value by run."""

    key: str
    values: dict[str, str]


class StudyReport(Noun):
    """What a study found.

    Attributes:
        grounds: the first holds the reference.
        failures: runs that did not end, with their reasons.
        pending: folders of runs not yet run; empty at the end.
    """

    version: Literal[1] = 1
    name: str
    title: str
    title_fr: str
    question: str
    question_fr: str
    reference: str
    seeds: tuple[int, ...]
    part: PartName = "test"
    reported_on: str
    reported_on_fr: str
    runs: tuple[RunFound, ...]
    grounds: tuple[Ground, ...]
    differences: tuple[Difference, ...]
    failures: tuple[Failure, ...]
    pending: tuple[str, ...] = ()
    made: str
    hardware: str
    laennec: str

    @cached_property
    def by_name(self) -> dict[str, RunFound]:
        """Runs under their names."""
        return {run.name: run for run in self.runs}

    def number(self, name: str) -> int:
        """A run's number on the page, from 1."""
        return [run.name for run in self.runs].index(name) + 1

    def on(self, ground: Ground) -> list[RunFound]:
        """The finished runs of one ground, in the report's order."""
        return [run for run in self.runs if run.name in ground.runs]

    @property
    def exit_code(self) -> int:
        """0 when every run ended, 3 when some did not, 1 when none did."""
        if not self.failures:
            return 0
        return 3 if any(run.trials for run in self.runs) else 1
