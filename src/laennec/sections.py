"""The sections of a recipe: what each key means and which values it takes. `laennec.recipe` reads them from TOML."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator


class Section(BaseModel):
    """Strict and frozen: unknown keys, wrong types and NaN are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Head(Section):
    """What turns a backbone's features into one output per label.

    Attributes:
        hidden: sizes of dense layers (ReLU) before the last one; none makes a linear head, [1024, 512] R4's.
        dropout: chance of dropping a feature before each dense layer.
        attention: of a network that classifies and segments: features are averaged where it sees lungs itself, not
            over the whole picture.
    """

    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(default=(), strict=False)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    attention: bool = False

    @model_serializer(mode="wrap")
    def _without_what_is_not_used(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # recipes and cards from before this key keep their digests
        plain: dict[str, Any] = serialise(self)
        if not self.attention:
            plain.pop("attention", None)
        return plain


class Parting(Section):
    """How the parts a publisher does not fix are drawn, always by patient and stratified by the positive finding.

    Attributes:
        validation: share of the training patients set apart for choices, where no official validation part exists.
        test: share of all patients set apart for the test, where no official test part exists.
        seed: seed of the draw, apart from the training's seed so that several seeds share one split.
        official: keep the publisher's parts; false draws all parts anew from all patients.
        folds: cross-validation: the training patients are dealt into this many folds, and `validation` is not used;
            0 draws one validation part.
        fold: which fold is the validation part, counted from 0.
        exchange: swap the validation and the test part once they stand, as R1 does.
        leave_out: a source (hospital, collection) whose images are the test part, all of them and nothing else; the
            others are training and validation, drawn by patient, whatever parts their publisher gave them.
    """

    validation: float = Field(default=0.15, gt=0.0, lt=0.9)
    test: float = Field(default=0.2, gt=0.0, lt=0.9)
    seed: int = Field(default=0, ge=0)
    official: bool = True
    folds: int = Field(default=0, ge=0, le=100)
    fold: int = Field(default=0, ge=0)
    exchange: bool = False
    leave_out: str = ""

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.folds == 1 or (self.folds == 0 and self.fold) or (self.folds and self.fold >= self.folds):
            raise ValueError("fold counts from 0 and must be below folds, and folds must be 0 or at least 2")
        if self.leave_out and self.exchange:
            raise ValueError("a source that is left out is the test part: leave out exchange, or leave_out")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_used(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # recipes and cards from before this key keep their digests
        plain: dict[str, Any] = serialise(self)
        if not self.leave_out:
            plain.pop("leave_out", None)
        return plain


class Phase(Section):
    """A stretch of training with one choice of what learns.

    Attributes:
        name: what the history and the curves call it.
        epochs: passes over the training part.
        train: ``all``; ``head``: the backbone is frozen, its batch-norm statistics included; or the head and the end of
            the backbone, from the n-th last convolution, layer with weights, or stage on: ``last_convs:2``,
            ``last_layers:20``, ``last_stages:1``.
        learning_rate: peak of the schedule.
        schedule: ``cosine``: linear warm-up, then half a cosine to 0; ``one_cycle``: half a cosine up from a 25th over
            `warmup`, then half a cosine down to nearly 0; ``plateau``: warm-up, then a tenth of the rate after every
            `plateau` epochs without a better validation figure; ``constant``: warm-up only.
        warmup: share of the phase's steps in which the rate rises.
        plateau: epochs that the plateau schedule waits.
        patience: epochs without a better validation figure before the phase ends; 0 never ends early.
        views: with ``head`` only: the frozen backbone runs once over this many randomly changed views of each training
            image, and the head learns from the kept embeddings; 0 runs the backbone in every epoch.
        statistics: batch-norm statistics of frozen layers. ``moving`` lets them drift, as some frameworks do unasked;
            it is here to show what that costs.
    """

    name: str = "training"
    train: str = Field(default="all", pattern=r"^(all|head|last_(convs|layers|stages):[1-9][0-9]{0,3})$")
    epochs: int = Field(ge=1, le=10_000)
    learning_rate: float = Field(gt=0.0, le=10.0)
    schedule: Literal["cosine", "one_cycle", "plateau", "constant"] = "cosine"
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    plateau: int = Field(default=3, ge=1)
    patience: int = Field(default=0, ge=0)
    views: int = Field(default=0, ge=0, le=1000)
    statistics: Literal["frozen", "moving"] = "frozen"

    @model_validator(mode="after")
    def _views_need_a_frozen_backbone(self) -> Self:
        if self.views and self.train != "head":
            raise ValueError('views keep embeddings of a frozen backbone: they need train = "head"')
        if self.views and self.statistics == "moving":
            raise ValueError("kept embeddings and moving batch-norm statistics exclude each other")
        return self


class Training(Section):
    """The loop.

    Attributes:
        batch_size: images a step; the last, incomplete batch of an epoch is left out.
        optimiser: AdamW, or SGD with Nesterov momentum 0.9.
        label_smoothing: share of the target spread over the other labels.
        weight_decay: decoupled, not applied to biases and normalisation.
        loss: ``cross_entropy`` (binary where labels do not exclude each other), or ``focal`` (Lin et al. 2017,
            arXiv:1708.02002).
        focusing: exponent of the focal loss.
        balance: ``class_weights`` weighs the loss by inverse class frequency in the training part; ``sampler`` draws
            each class equally often, with replacement; ``smote`` adds embeddings between neighbours of the rare classes
            (Chawla et al. 2002) in phases with `views`, and weighs the loss in the others.
        ema: decay of the exponential moving average of the weights that is validated and kept; 0 keeps the raw weights.
        clip: largest norm of the gradient; 0 does not clip.
        precision: ``fp32``, or mixed precision in ``bf16`` or ``fp16`` (CUDA and MPS; bf16 also on CPU).
        monitor: validation figure that picks the kept epoch; the first of equals wins. ``auroc`` is of the labels,
            ``dice`` of the masks, ``loss`` of the labels where any are learned.
        threads: CPU threads of the training; bit-for-bit repeats need the same number. 0 takes all cores.
        device: ``auto`` takes CUDA, then MPS, then CPU.
    """

    batch_size: int = Field(default=64, ge=2, le=4096)
    optimiser: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = Field(default=0.05, ge=0.0, le=1.0)
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    focusing: float = Field(default=2.0, ge=0.0, le=10.0)
    balance: Literal["none", "class_weights", "sampler", "smote"] = "class_weights"
    ema: float = Field(default=0.0, ge=0.0, lt=1.0)
    clip: float = Field(default=5.0, ge=0.0)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    monitor: Literal["loss", "auroc", "dice"] = "loss"
    threads: int = Field(default=0, ge=0, le=1024)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


class Segmentation(Section):
    """How masks are learned, by the task ``segment``.

    Attributes:
        loss: ``bce``: cross-entropy of each pixel; ``dice``: one minus the soft Dice of each image (Milletari et al.
            2016, arXiv:1606.04797); ``bce_dice``: their sum; ``focal`` (Lin et al. 2017, arXiv:1708.02002).
        focusing: exponent of the focal loss.
        weight: of this loss beside that of the labels, in ``classify+segment``.
    """

    loss: Literal["bce", "dice", "bce_dice", "focal"] = "bce_dice"
    focusing: float = Field(default=2.0, ge=0.0, le=10.0)
    weight: float = Field(default=1.0, gt=0.0, le=100.0)


class Augmentation(Section):
    """Random changes of training images, drawn per image. Zero everywhere means none.

    Attributes:
        rotation: largest turn either way, degrees.
        zoom, aspect: largest relative change of scale and of width to height.
        shift: largest displacement, share of the side.
        flip: chance of a left-right flip. It puts the heart on the right: off unless asked for.
        tone: spread of a random rising grey curve: the standard deviation of the logarithm of its slope over each
            eighth of the range; it takes from the network what global grey values tell.
        gamma, contrast: largest relative change, drawn log-uniformly.
        brightness: largest addition, in units of the full grey range.
        blur: chance of a 3x3 box blur.
        noise: largest standard deviation of added Gaussian noise, share of the full grey range.
        erase: chance that a rectangle of 10 to 30 % of each side is painted over with one grey.
        mixup: parameter of the beta distribution by which two images and their labels are mixed (Zhang et al. 2018,
            arXiv:1710.09412); 0 mixes none. One share is drawn for each batch.
    """

    rotation: float = Field(default=0.0, ge=0.0, le=180.0)
    zoom: float = Field(default=0.0, ge=0.0, lt=1.0)
    aspect: float = Field(default=0.0, ge=0.0, lt=1.0)
    shift: float = Field(default=0.0, ge=0.0, le=0.5)
    flip: float = Field(default=0.0, ge=0.0, le=1.0)
    tone: float = Field(default=0.0, ge=0.0, le=2.0)
    gamma: float = Field(default=0.0, ge=0.0, lt=1.0)
    contrast: float = Field(default=0.0, ge=0.0, lt=1.0)
    brightness: float = Field(default=0.0, ge=0.0, lt=1.0)
    blur: float = Field(default=0.0, ge=0.0, le=1.0)
    noise: float = Field(default=0.0, ge=0.0, lt=1.0)
    erase: float = Field(default=0.0, ge=0.0, le=1.0)
    mixup: float = Field(default=0.0, ge=0.0, le=10.0)


class Decision(Section):
    """Which operating point the model decides at; its threshold is fitted on validation, never on test.

    Attributes:
        rule: ``balanced``, ``rule_out`` or ``rule_in``.
        views: fit thresholds on so many randomly changed views of each validation image, changed as in training,
            instead of on the image itself; 0 takes the images as they are. Where the pictures to be judged differ from
            those trained on, validation as it is lies too close to training, and its thresholds are too sure.
    """

    rule: Literal["balanced", "rule_out", "rule_in"] = "balanced"
    views: int = Field(default=0, ge=0, le=100)


class Teacher(Section):
    """A bundle whose answers the network learns beside the labels (Hinton et al. 2015, arXiv:1503.02531).

    The teacher answers for the very views the network is shown, changed as they are (Beyer et al. 2022,
    arXiv:2106.05237). It must have been made with the same split, or its training images could be our test images.

    Attributes:
        bundle: folder of the teacher's bundle; none learns from labels alone.
        share: share of the teacher's answer in the target; the label has the rest.
    """

    bundle: str = ""
    share: float = Field(default=0.7, ge=0.0, le=1.0)


class Ensemble(Section):
    """How `members` become one bundle.

    Attributes:
        rule: ``mean`` averages probabilities; ``vote`` lets each member decide at its own operating point and adds up
            the votes (majority vote).
        weights: ``fitted`` to validation: of a mean by likelihood, of a vote by the log-odds of each member's accuracy
            (Kuncheva 2014); or ``equal``.
        views: each member answers for each of these views of an image, and the answers are averaged.
    """

    rule: Literal["mean", "vote"] = "mean"
    weights: Literal["fitted", "equal"] = "fitted"
    views: tuple[Literal["plain", "flip"], ...] = Field(default=("plain",), min_length=1, strict=False)


class Member(Section):
    """One member of an ensemble: the recipe with some values changed.

    Attributes:
        name: of the member, and of its folder.
        set: dotted keys and their values, as ``--set`` takes them; data, split and decision are common to all.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    set: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _same_data(self) -> Self:
        common = {"data", "split", "decision", "members", "ensemble", "ranges", "name", "task"}
        wrong = sorted(key for key in self.set if key.partition(".")[0] in common)
        if wrong:
            raise ValueError(f"a member cannot change '{wrong[0]}': it is common to the ensemble")
        return self


class Range(Section):
    """The values ``laennec tune`` tries for one key: an interval, or a list of choices.

    Attributes:
        low, high: ends of the interval; whole numbers search whole numbers.
        log: search evenly in the logarithm.
        choices: the values themselves.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[Any, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if bool(self.choices) == (self.low is not None or self.high is not None):
            raise ValueError("give low and high, or choices")
        if not self.choices:
            if self.low is None or self.high is None or not self.low < self.high:
                raise ValueError("low must be below high")
            if self.log and self.low <= 0:
                raise ValueError("a logarithmic search needs low above 0")
        return self
