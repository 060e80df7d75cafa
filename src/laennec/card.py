"""The card of a bundle: what a model is, how its input is prepared, its labels, thresholds and parent. Nouns only."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from laennec.costs import Consumption
from laennec.errors import UnknownName
from laennec.labels import LabelSet
from laennec.noun import Noun
from laennec.outputs import MASKS, PROBABILITIES
from laennec.preprocess import Preprocess
from laennec.results import OperatingPoint
from laennec.sections import Head
from laennec.segmentation import Outline
from laennec.trust import Abstention, Calibration, Novelty
from laennec.work import work_of

_LATER = ("calibration", "abstention", "novelty", "auxiliary")


class FileSeal(Noun):
    """A file of the bundle: its SHA-256 (hex) and size in bytes."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Architecture(Noun):
    """Enough to build the network again: the model's name and options, and the head on top of it."""

    name: str
    options: dict[str, Any]
    head: Head


class MemberSeen(Noun):
    """One member of an ensemble.

    Attributes:
        digest: of the bundle it was.
        file: its weights in this bundle.
        preprocess: as the card's in what decides pixels; its channels and scaling are its own.
        weight: its share of the answer; the members' weights sum to 1.
        threshold: where it decides when the members vote.
        narrowed: pruning took channels out of it: its weights tell its widths.
    """

    name: str
    digest: str
    file: str
    model: Architecture
    preprocess: Preprocess
    weight: float = Field(ge=0.0, le=1.0)
    threshold: float
    narrowed: bool = False


class EnsembleSeen(Noun):
    """How several networks answer as one; see the recipe's ``[ensemble]``."""

    rule: Literal["mean", "vote"]
    views: tuple[Literal["plain", "flip"], ...]
    members: tuple[MemberSeen, ...]


class DataSeen(Noun):
    """The data the model was made with: which collection, which split, images and patients of each part.

    Attributes:
        files: digest over the files' bytes, part by part: the same names with other pixels are other data.
        masks: images of each part that have a mask; empty where no mask was learned.
        mask_files: as `files`, of the masks.
    """

    collection: str
    collection_digest: str
    licence: str
    citation: str
    notes: tuple[str, ...]
    split_digest: str
    split_how: str
    images: dict[str, int]
    patients: dict[str, int]
    files: dict[str, str]
    masks: dict[str, int] = Field(default_factory=dict)
    mask_files: dict[str, str] = Field(default_factory=dict)


class TrainingSeen(Noun):
    """How the training went: epochs run, the kept one, wall seconds, hardware, figures on validation.

    Attributes:
        learning: parameters that learned, by phase.
        teacher: digest of the bundle whose answers were learned beside the labels.
        energy: what the training used, stretches that were done again included; None where nothing could tell.
    """

    epochs: int
    kept_epoch: int
    learning: dict[str, int] = Field(default_factory=dict)
    teacher: str | None = None
    seconds: float
    hardware: str
    threads: int
    validation: dict[str, float | None]
    energy: Consumption | None = None


class Limits(Noun):
    """What a derived model may lose against its parent on validation images; None where anything goes.

    Attributes:
        auroc_lost: AUROC.
        flipped: share of images decided otherwise.
        ece_gained: expected calibration error.
        difference: of any probability; for exports in the same precision.
        dice_lost: mean Dice of the masks, where there are any.
    """

    auroc_lost: float = 0.002
    flipped: float = 0.01
    ece_gained: float = 0.01
    difference: float | None = None
    dice_lost: float = 0.003


class Gate(Noun):
    """How a derived model compares with its parent on validation images.

    Attributes:
        images: validation images both were run on.
        masks: of them, those whose true mask is known.
        dice_parent, dice: mean Dice of both on these, at the parent's threshold, on the model's grid; None of networks
            that outline nothing. The figures of decisions are None of networks that outline alone.
        largest_difference: largest absolute difference of any probability.
        auroc_parent, auroc: of parent and of this model.
        ece_parent, ece: expected calibration error of both, the child's temperature fitted on other patients.
        flipped: share of images decided otherwise, the child's threshold and temperature fitted on other patients.
        limits: what the gate allows.
        against: digest of the bundle it was held against: the parent, or what the parent was pruned from.
        passed: whether the limits hold.
    """

    images: int
    largest_difference: float
    auroc_parent: float | None = None
    auroc: float | None = None
    ece_parent: float | None = None
    ece: float | None = None
    flipped: float | None = None
    masks: int = 0
    dice_parent: float | None = None
    dice: float | None = None
    limits: Limits
    against: str = ""
    passed: bool


class Quantisation(Noun):
    """How a network was brought to 8 bits.

    Attributes:
        per_channel: weights have a scale per output channel, not one per layer.
        ranges: how the ranges of activations were taken from the calibration images; see `quantising.calibrated`.
        floating: layers left in floating point because rounding them cost most, beside the first scaling and the last
            layer, which always are.
        layers: layers with weights in all.
    """

    per_channel: bool
    ranges: Literal["minmax", "percentile", "entropy"]
    floating: tuple[str, ...] = ()
    layers: int = 0


class Fastest(Noun):
    """Why a backend was chosen: the median milliseconds of one image by each that could be, on one processor."""

    processor: str
    threads: int
    milliseconds: dict[str, float]


class PruningSeen(Noun):
    """How a network was pruned, and what that did.

    Attributes:
        kind: ``structured``: channels were taken out, so that it is smaller and quicker; ``magnitude``: single weights
            were set to zero, which no runtime here gains by: not smaller, not quicker.
        wanted: ``flops``, ``latency`` or ``share``, and how much, as it was asked for.
        steps: how often it was pruned and retrained.
        epochs, learning_rate: of each retraining.
        distil: share of the parent's answers in what it learned from.
        narrowed: some layers are narrower than the architecture says, by this pruning or one before: the weights tell
            their widths.
        flops_parent, flops: floating point operations for one image, two for each multiply and add.
        parameters: of the network as it is.
        nonzero: of them, those that are not zero.
        aurocs: on validation, after each step.
        seconds: of retraining.
        beside_parent: how it compares with its parent, told whether or not the gate was to hold.
    """

    kind: Literal["structured", "magnitude"]
    wanted: str
    steps: int = Field(ge=1)
    epochs: int = Field(ge=1)
    learning_rate: float
    distil: float = Field(ge=0.0, le=1.0)
    narrowed: bool
    flops_parent: int = Field(ge=0)
    flops: int = Field(ge=0)
    parameters: int = Field(ge=0)
    nonzero: int = Field(ge=0)
    aurocs: tuple[float | None, ...] = ()
    seconds: float = 0.0
    beside_parent: Gate | None = None


class Card(Noun):
    """What a bundle says of itself. See the attributes' own classes for the parts.

    Attributes:
        model: the network; of an ensemble, its first member's.
        ensemble: the members, where there are several.
        starting_weights: where training started: ``random``, or what the weights had seen.
        operating_points: thresholds by rule, fitted on validation and bound to the model's files.
        decision: the rule `predict` uses unless told otherwise.
        outline: how masks are made of the pixels' probabilities, fitted on validation and bound likewise; None of a
            network that outlines nothing.
        auxiliary: of a graph, what it answers beside its task when asked (`laennec.outputs.AUXILIARY`), with the shape
            of each but for the batch; networks of torch are asked themselves.
        temperature: what the logits were divided by after the model was derived, so that it is as sure as its parent;
            inside the graph.
        calibration: how the score was mapped to a frequency, inside the model; None where it was not.
        abstention: which labels stay possible for an image; None of a bundle that refers nobody.
        novelty: what is unlike the images learned from; None where that is not told.
        recipe: as it was run, defaults filled in; read it with `Bundle.recipe`.
        pruning: how it, or what it was derived from, was pruned.
        parent: digest of the bundle this one was derived from.
        seal: SHA-256 of the card without this line. It tells damage and careless edits; it is no signature.
    """

    version: Literal[1] = 1
    name: str
    task: str
    labels: LabelSet
    preprocess: Preprocess
    backend: str
    precision: str
    model: Architecture
    ensemble: EnsembleSeen | None = None
    parameters: int
    starting_weights: str
    operating_points: dict[str, OperatingPoint]
    decision: str
    outline: Outline | None = None
    auxiliary: dict[Literal["features", "maps"], tuple[Annotated[int, Field(ge=1)], ...]] = Field(default_factory=dict)
    data: DataSeen
    recipe: dict[str, Any]
    training: TrainingSeen
    gate: Gate | None = None
    temperature: float = 1.0
    calibration: Calibration | None = None
    abstention: Abstention | None = None
    novelty: Novelty | None = None
    quantisation: Quantisation | None = None
    fastest: Fastest | None = None
    pruning: PruningSeen | None = None
    parent: str | None = None
    made: str
    laennec: str
    files: dict[str, FileSeal] = Field(default_factory=dict)
    seal: str = ""

    @model_serializer(mode="wrap")
    def _without_what_is_not_used(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # a bundle without them is one that an older version opens too
        plain: dict[str, Any] = serialise(self)
        for name in _LATER:
            if name in plain and not plain[name]:
                del plain[name]
        return plain

    @property
    def classifies(self) -> bool:
        """Whether it answers with label probabilities."""
        return PROBABILITIES in self.outputs

    @property
    def segments(self) -> bool:
        """Whether it answers with masks."""
        return MASKS in self.outputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of its answers, in the order its graph gives them. Raises `UnknownName` for a task not installed."""
        return work_of(self.task, self.labels).outputs

    @property
    def operating_point(self) -> OperatingPoint:
        """The operating point of `decision`."""
        return self.operating_points[self.decision]

    def point(self, rule: str) -> OperatingPoint:
        """The operating point `rule`. Raises `UnknownName` if the card has none such."""
        if rule not in self.operating_points:
            raise UnknownName("operating point", rule, self.operating_points)
        return self.operating_points[rule]
