"""The card of a bundle: what a model is, how its input is prepared, its labels, thresholds and parent. Nouns only."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from laennec.errors import UnknownName
from laennec.labels import LabelSet
from laennec.preprocess import Preprocess
from laennec.results import OperatingPoint
from laennec.sections import Head


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileSeal(_Part):
    """A file of the bundle: its SHA-256 (hex) and size in bytes."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Architecture(_Part):
    """Enough to build the network again: the model's name and options, and the head on top of it."""

    name: str
    options: dict[str, Any]
    head: Head


class MemberSeen(_Part):
    """One member of an ensemble.

    Attributes:
        digest: of the bundle it was.
        file: its weights in this bundle.
        preprocess: as the card's in what decides pixels; its channels and scaling are its own.
        weight: its share of the answer; the members' weights sum to 1.
        threshold: where it decides when the members vote.
    """

    name: str
    digest: str
    file: str
    model: Architecture
    preprocess: Preprocess
    weight: float = Field(ge=0.0, le=1.0)
    threshold: float


class EnsembleSeen(_Part):
    """How several networks answer as one; see the recipe's ``[ensemble]``."""

    rule: Literal["mean", "vote"]
    views: tuple[Literal["plain", "flip"], ...]
    members: tuple[MemberSeen, ...]


class DataSeen(_Part):
    """The data the model was made with: which collection, which split, images and patients of each part.

    Attributes:
        files: digest over the files' bytes, part by part: the same names with other pixels are other data.
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


class TrainingSeen(_Part):
    """How the training went: epochs run, the kept one, wall seconds, hardware, figures on validation.

    Attributes:
        learning: parameters that learned, by phase.
        teacher: digest of the bundle whose answers were learned beside the labels.
    """

    epochs: int
    kept_epoch: int
    learning: dict[str, int] = {}
    teacher: str | None = None
    seconds: float
    hardware: str
    threads: int
    validation: dict[str, float | None]


class Gate(_Part):
    """How a derived model compares with its parent on validation images.

    Attributes:
        images: validation images both were run on.
        largest_difference: largest absolute difference of any probability.
        auroc_parent, auroc: of parent and of this model.
        flipped: share of images decided otherwise, the child's threshold fitted on other patients.
        auroc_lost_limit, flipped_limit, largest_difference_limit: what the gate allows; None where anything goes.
        passed: whether the limits hold.
    """

    images: int
    largest_difference: float
    auroc_parent: float
    auroc: float
    flipped: float
    auroc_lost_limit: float
    flipped_limit: float
    largest_difference_limit: float | None
    passed: bool


class Card(_Part):
    """What a bundle says of itself. See the attributes' own classes for the parts.

    Attributes:
        model: the network; of an ensemble, its first member's.
        ensemble: the members, where there are several.
        starting_weights: where training started: ``random``, or what the weights had seen.
        operating_points: thresholds by rule, fitted on validation and bound to the model's files.
        decision: the rule `predict` uses unless told otherwise.
        recipe: as it was run, defaults filled in; read it with `Bundle.recipe`.
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
    data: DataSeen
    recipe: dict[str, Any]
    training: TrainingSeen
    gate: Gate | None = None
    parent: str | None = None
    made: str
    laennec: str
    files: dict[str, FileSeal] = {}
    seal: str = ""

    @property
    def operating_point(self) -> OperatingPoint:
        """The operating point of `decision`."""
        return self.operating_points[self.decision]

    def point(self, rule: str) -> OperatingPoint:
        """The operating point `rule`. Raises `UnknownName` if the card has none such."""
        if rule not in self.operating_points:
            raise UnknownName("operating point", rule, self.operating_points)
        return self.operating_points[rule]
