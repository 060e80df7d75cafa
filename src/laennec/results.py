"""What the line answers: a Prediction for one image, a Report for one split, and the figures they are made of."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from laennec.costs import Consumption
from laennec.estimates import Estimate
from laennec.noun import Noun
from laennec.segmentation import Lungs, SegmentationFigures
from laennec.trust import Abstained, Adapted, AtPrevalence


class OperatingPoint(Noun):
    """A decision threshold, frozen with what it was fitted on.

    Attributes:
        rule: ``balanced`` (largest sensitivity + specificity), ``rule_out`` (sensitivity >= 0.95) or ``rule_in``
            (specificity >= 0.95).
        threshold: the image is positive when its score is at or above it, in [0, 1].
        sensitivity, specificity: as measured on the images it was fitted on.
        n: number of those images.
        split_digest: the split whose validation part it was fitted on.
        model_digest: the model files whose scores it was fitted on; used with another model it is refused.
    """

    rule: Literal["balanced", "rule_out", "rule_in"]
    threshold: float = Field(ge=0.0, le=1.0)
    sensitivity: float
    specificity: float
    n: int
    split_digest: str
    model_digest: str


class Refused(Noun):
    """An input that could not be read: which, the stable code of the reason, and the reason in words."""

    id: str
    code: str
    reason: str


class Prediction(Noun):
    """The answer for one image.

    Attributes:
        probabilities: label to probability, in the bundle's label order; empty of a bundle that only segments, as are
            the decision's fields.
        score: probability of the positive finding, what the threshold is held against.
        label: the label decided for (exclusive labels), or the positive label or "" (multi-label).
        positive: decision at the operating point.
        lungs: of a bundle that segments.
        possible: the labels that stay possible at the coverage of the card's abstention; "" is the absence of the
            positive label. Empty without one, and where no label is possible.
        refer: whether a person should decide; None of a bundle without abstention and novelty.
        refer_because: ``uncertain`` (the set is not the decided label alone), ``unlike`` (the training images).
        strangeness: distance to the training images over its threshold: unlike from 1 on; None where not measured.
        adapted: the score at another prevalence, where that was asked; the decision does not follow it.
        doubt: why this may be no upright frontal chest radiograph, where that was asked; empty where it is one.
        doubt_code: the same as a stable word: ``not_chest``, ``lateral``, ``inverted``, ``turned``, or empty.
        mask: ``uint8 [size, size]`` on the model's grid after the post-processing, 255 times the probability of lung;
            `laennec.masks` brings it onto the picture. Never written down with the rest.
        map: ``float32 [h, w]``, the class activation map of the positive finding (`laennec.outputs.Outputs.maps`) where
            the predictor was opened to explain and the network has one; likewise.
        image: what was done to the file: format, bits, windowing, inversion.
        milliseconds: reading and inference together.
    """

    id: str
    probabilities: dict[str, float] = Field(default_factory=dict)
    score: float | None = None
    label: str = ""
    positive: bool | None = None
    threshold: float | None = None
    operating_point: str = ""
    possible: tuple[str, ...] = ()
    refer: bool | None = None
    refer_because: tuple[str, ...] = ()
    strangeness: float | None = None
    adapted: Adapted | None = None
    lungs: Lungs | None = None
    doubt: str = ""
    doubt_code: str = ""
    mask: Any = Field(default=None, exclude=True, repr=False)
    map: Any = Field(default=None, exclude=True, repr=False)
    bundle_digest: str
    image: dict[str, str | int | float | bool]
    milliseconds: float


class ClassFigures(Noun):
    """Figures of one label: its images and precision, recall, F1, AUROC one against the rest."""

    label: str
    n: int
    precision: Estimate
    recall: Estimate
    f1: Estimate
    auroc: Estimate


class ReliabilityBin(Noun):
    """One bin of the reliability diagram: mean score, observed frequency of the positive finding, images."""

    score: float
    frequency: float
    n: int


class Mistake(Noun):
    """An image decided wrongly; `certainty` in [0, 1] is how far its score lies beyond the threshold."""

    id: str
    truth: str
    decided: str
    score: float
    certainty: float


class Report(Noun):
    """A model judged on one part of one split.

    A model that only segments has no operating point, and nothing of what follows from one: those fields stay empty.

    Attributes:
        task: ``classify``, ``segment`` or ``classify+segment``.
        metrics: ``auroc``, ``auprc``, ``accuracy``, ``balanced_accuracy``, ``sensitivity``, ``specificity``, ``ppv``,
            ``npv``, ``f1_macro``, ``ece``, ``brier``.
        confusion: counts, rows are the truth and columns the decision, in label order; empty for multi-label.
        roc: points (1 - specificity, sensitivity), from (0, 0) to (1, 1).
        precision_recall: points (recall, precision).
        scores: sample id to score, so that two reports can be compared by a paired test.
        truths: sample id to 1 or 0 for the positive finding.
        decided: sample id to the label decided for; "" for none of several.
        segmentation: the masks against the truth; None of a model that only classifies.
        abstention: what referring would do here; None where the bundle does not abstain.
        prevalences: PPV and NPV where the finding is rarer or more common, by prevalence.
    """

    version: Literal[1] = 1
    task: str = "classify"
    model: str
    bundle_digest: str
    backend: str
    precision: str
    collection: str
    collection_digest: str
    licence: str
    citation: str
    split_digest: str
    split_how: str
    part: Literal["train", "val", "test", "external", "shared"]
    labels: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    images: int
    patients: int
    positives: int = 0
    refused: tuple[Refused, ...] = ()
    operating_point: OperatingPoint | None = None
    metrics: dict[str, Estimate] = Field(default_factory=dict)
    per_class: tuple[ClassFigures, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    roc: tuple[tuple[float, float], ...] = ()
    precision_recall: tuple[tuple[float, float], ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    scores: dict[str, float] = Field(default_factory=dict)
    truths: dict[str, int] = Field(default_factory=dict)
    decided: dict[str, str] = Field(default_factory=dict)
    segmentation: SegmentationFigures | None = None
    abstention: Abstained | None = None
    prevalences: tuple[AtPrevalence, ...] = ()
    notes: tuple[str, ...] = ()
    made: str
    hardware: str
    laennec: str

    @property
    def place(self) -> str:
        """The part, or ``on-`` and the name of another data set: the report's folder, and the prefix of its figures."""
        return f"on-{self.collection}" if self.elsewhere else self.part

    @property
    def elsewhere(self) -> bool:
        """Whether it was judged on another data set than it was made with: ``external``, or ``shared``, known to have
        images in common with it."""
        return self.part in ("external", "shared")

    @property
    def figures(self) -> dict[str, Estimate]:
        """`metrics`, and of masks the means over images of ``dice``, ``iou`` and ``hd95``."""
        if self.segmentation is None:
            return self.metrics
        return self.metrics | {name: self.segmentation.mean[name] for name in ("dice", "iou", "hd95")}

    @property
    def threshold(self) -> float:
        """Of the operating point. Raises `ValueError` for a model that decides nothing."""
        if self.operating_point is None:
            raise ValueError(f"the report on {self.model} has no operating point: its task is {self.task}")
        return self.operating_point.threshold


class Epoch(Noun):
    """One line of a training's history.

    Attributes:
        val_auroc, val_accuracy: None where nothing is classified, or a label never shows.
        val_dice: mean Dice of the masks; None where nothing is outlined.
    """

    phase: str
    epoch: int
    learning_rate: float
    train_loss: float
    val_loss: float
    val_auroc: float | None
    val_accuracy: float | None
    val_dice: float | None = None
    seconds: float
    best: bool


class Trial(Noun):
    """One trial of a search: the values tried, and the validation figure they reached.

    Attributes:
        reached: the search's figure; where it is undefined, minus the loss.
        state: ``complete``, ``pruned`` (stopped because it fell behind) or ``fail``.
        epochs: epochs run.
        folder: where its bundle lies, below the search's folder.
    """

    number: int
    values: dict[str, Any]
    state: str
    reached: float | None
    epochs: int
    seconds: float
    folder: str
    reason: str = ""


class Search(Noun):
    """A search over a recipe's ranges. Figures are of validation: the winner's are flattered by having won.

    Attributes:
        figure: what was searched for.
    """

    recipe: str
    recipe_digest: str
    figure: Literal["auroc", "dice"] = "auroc"
    keys: tuple[str, ...]
    trials: tuple[Trial, ...]
    best: int
    hardware: str
    made: str
    laennec: str


class ComparisonRow(Noun):
    """One bundle in a comparison.

    Attributes:
        parameters, nonzero, operations: see `costs.Counts`; operations are FLOPs (2 x MAC) of one image.
        latency_p50, latency_p95: milliseconds for one image.
        throughput: images per second in batches.
        speedup: the first row's median latency over this one's.
        inference: used by 1,000 studies in batches, decoded before; None where no meter could read.
        watt_hours, grams: of `inference`, as quoted: watt hours, and grams of CO2 equivalent. Read with its kind and
            error.
        letter: of `inference`, see `costs.letter`; empty without it.
        accuracy_per_watt_hour: accuracy over the watt hours of 1,000 studies.
        energy_saved: share of the first row's energy that this one does without; below 0 where it takes more.
        against_first: p values of paired tests against the first row: ``auroc_delong``, ``decisions_mcnemar``,
            ``dice_wilcoxon``; ``flipped``, the share of images decided otherwise; ``dice_difference``, this row's mean
            Dice less the first's. Of what both answer.
    """

    name: str
    bundle_digest: str
    backend: str
    precision: str
    parameters: int | None
    nonzero: int | None = None
    operations: int | None = None
    megabytes: float
    metrics: dict[str, Estimate]
    threshold: float | None
    latency_p50: float
    latency_p95: float
    throughput: float
    speedup: float
    inference: Consumption | None = None
    watt_hours: float | None = None
    grams: float | None = None
    letter: str = ""
    accuracy_per_watt_hour: float | None = None
    energy_saved: float | None = None
    against_first: dict[str, float]


class Comparison(Noun):
    """Bundles side by side on the same images, timed and metered in one interleaved run.

    Attributes:
        threads: each was allowed.
        batch: images a call, of throughput and energy.
        warnings: what was amiss while they were timed.
    """

    part: Literal["train", "val", "test"]
    collection: str
    images: int
    patients: int
    rows: tuple[ComparisonRow, ...]
    threads: int
    batch: int = 32
    warnings: tuple[str, ...] = ()
    hardware: str
    made: str
    laennec: str
