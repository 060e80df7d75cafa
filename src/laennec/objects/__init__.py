"""The family of DICOM objects that an answer is written as, each joined to the study of its radiograph.

A member is a module with:

    TITLE   a `laennec.wording.Text`: what is written, in a few words
    encode  ``encode(answered) -> bytes``: a DICOM file (Part 10). Raises `UsageError` where the answer lacks what it
            needs, and `ImageError` where the radiograph cannot be joined. The same answer gives the same UIDs; with the
            same `Answered.made` the same bytes

What stands in an object is English, as its codes' meanings are: the character set is the radiograph's own and need not
hold an accent. Nothing of the patient is told but in the attributes copied as they stand (`laennec.joining`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from laennec import joining, storage
from laennec.bundle import Bundle, model_digest
from laennec.errors import UsageError
from laennec.labels import LabelSet
from laennec.results import OperatingPoint, Prediction
from laennec.version import VERSION
from laennec.wording import Text

Mask = NDArray[np.bool_]
BECAUSE = {
    "uncertain": "The labels that stay possible are not the answer alone",
    "unlike": "The image is unlike those the model learned from",
    "doubt": "This may be no frontal chest radiograph",
}
"""Why a person should decide, in words, by `Answered.refer`."""


@dataclass(frozen=True)
class Model:
    """What an object says of the model that answered.

    Attributes:
        name: of the bundle's card.
        digest: of the model's files, hexadecimal.
        bundle: digest of the bundle, hexadecimal.
        labels: what it may answer; None of a model that only segments.
        points: its operating points by rule.
        learned: the data set it learned from.
        calibrated: whether its probabilities were mapped to frequencies.
        note: what it is for.
    """

    name: str
    digest: str
    bundle: str
    labels: LabelSet | None = None
    points: dict[str, OperatingPoint] = field(default_factory=dict)
    learned: str = ""
    calibrated: bool = False
    note: str = joining.NOTICE

    @property
    def algorithm(self) -> joining.Algorithm:
        """As every object names it."""
        return joining.Algorithm(self.name, f"laennec {VERSION}", self.digest)


def model_of(bundle: Bundle) -> Model:
    """What objects say of a bundle."""
    card = bundle.card
    return Model(
        name=card.name,
        digest=model_digest(card.files),
        bundle=bundle.digest,
        labels=card.labels if card.classifies else None,
        points=dict(card.operating_points),
        learned=card.data.collection,
        calibrated=card.calibration is not None,
    )


@dataclass(frozen=True, eq=False)
class Answered:
    """A radiograph and what a model answered.

    Attributes:
        source: the radiograph, a DICOM file's bytes.
        answer: of the model.
        picture: grey ``float32 [rows, columns]`` in [0, 1], 0 black, as `laennec.images.read` gives it, or reduced.
        model: that answered.
        made: when; with a time zone.
        right, left: the patient's lungs on the radiograph's own pixels, ``bool [rows, columns]``; None of a model that
            outlines none.
        heat: likewise, ``float32`` in [0, 1], where the model looks; None where that was not asked.
        segmentation: the object of the member ``segmentation`` that goes along, for others to refer to.
    """

    source: bytes
    answer: Prediction
    picture: NDArray[np.float32]
    model: Model
    made: datetime
    right: Mask | None = None
    left: Mask | None = None
    heat: NDArray[np.float32] | None = None
    segmentation: bytes | None = None

    @property
    def lungs(self) -> tuple[Mask, Mask]:
        """The patient's right and left lung. Raises `UsageError` where there are none."""
        if self.right is None or self.left is None:
            raise UsageError("the model outlined no lungs", "take a bundle of the task segment or classify+segment")
        return self.right, self.left

    @property
    def finding(self) -> str:
        """The positive label in words; several are parted by " or ". Empty of a model that only segments."""
        return " or ".join(self.model.labels.positive) if self.model.labels is not None else ""

    @property
    def refer(self) -> tuple[str, ...]:
        """Why a person should decide: ``uncertain``, ``unlike``, ``doubt`` (whether it is a chest radiograph at all);
        empty where nothing speaks against the decision."""
        because = tuple(self.answer.refer_because) if self.answer.refer else ()
        return (*because, "doubt") if self.answer.doubt else because

    def parts(self, kind: str, source_uid: str, *content: object) -> tuple[str, ...]:
        """What the UIDs of an object of this kind are derived from: the radiograph, the model and what is said.

        Args:
            kind: the member's name.
            source_uid: SOP Instance UID of the radiograph.
            content: plain values that JSON holds.
        """
        algorithm = self.model.algorithm
        said = storage.digest([self.model.bundle, *content])
        return (kind, source_uid, algorithm.digest, algorithm.name, algorithm.version, said)


class ObjectMember(Protocol):
    """What every member of the family offers."""

    TITLE: Text

    def encode(self, answered: Answered) -> bytes:
        """The object as a DICOM file."""
