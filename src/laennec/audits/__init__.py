"""The family of audits of data: each looks for one thing that makes figures on a data set worth less than they look.

A member is a module with:

    TITLE   a `laennec.wording.Text`: what is looked for, in a few words
    audit   ``audit(subject) -> Outcome``; what a library is missing for, or what the data does not tell, is an outcome
            with the verdict ``skipped``. Never reads labels of images it was not given

It says what it says in both languages itself (`laennec.wording.tell`), so that a member is one file. A member that
raises costs its own check: `laennec.auditing` writes down why.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from laennec import decisions, images
from laennec.checks import Outcome
from laennec.results import Refused
from laennec.samples import PART_NAMES, Collection, Sample, Split
from laennec.wording import Text

SIDE = 256  # of the greys that audits look at


@dataclass(frozen=True, eq=False)
class Subject:
    """A data set as audits see it. Arrays are in the order of `samples`.

    Attributes:
        samples: the readable images.
        pixels: ``uint8 [n, SIDE, SIDE]``, 0 black: the whole picture stretched to a square, greys as the readers give
            them (windowed, inverted where the file says so).
        refused: images that could not be read.
        beside: other data sets to be held against this one.
        seed: of every draw.
        called: what it goes by among the sets of one audit, where another has the collection's name too.
    """

    collection: Collection
    split: Split
    samples: tuple[Sample, ...]
    pixels: NDArray[np.uint8]
    refused: tuple[Refused, ...] = ()
    beside: tuple[Subject, ...] = ()
    seed: int = 0
    called: str = ""

    @property
    def name(self) -> str:
        """What it goes by in this audit: the collection's name, numbered where another set has it too."""
        return self.called or self.collection.name

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Of the samples."""
        return tuple(sample.id for sample in self.samples)

    @cached_property
    def parts(self) -> NDArray[np.str_]:
        """``train``, ``val`` or ``test`` of each image; empty for one in no part."""
        part_of = {key: part for part in PART_NAMES for key in self.split.part(part)}
        return np.array([part_of.get(sample.id, "") for sample in self.samples], dtype="<U5")

    @cached_property
    def patients(self) -> tuple[str, ...]:
        """Patient of each image."""
        return tuple(sample.patient for sample in self.samples)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Labels ``[n, labels]``: 1, 0, NaN for unknown."""
        return np.array([sample.labels for sample in self.samples], dtype=np.float64).reshape(len(self.samples), -1)

    @cached_property
    def truth(self) -> NDArray[np.float64]:
        """Whether each image has the positive finding: 1, 0, NaN for unknown."""
        return decisions.truth_of(self.collection.labels, self.values)

    @cached_property
    def headers(self) -> tuple[images.Header | None, ...]:
        """What each file says of itself; None for one that changed since it was read."""
        return tuple(images.header(sample.path) for sample in self.samples)

    @cached_property
    def lungs(self) -> NDArray[np.float32]:
        """Probability of lung ``[n, 64, 64]`` over each picture, by the network that frames pictures."""
        found = [images.lung_probabilities(one.astype(np.float32) / np.float32(255)) for one in self.pixels]
        return np.stack(found) if found else np.empty((0, 64, 64), np.float32)


class AuditMember(Protocol):
    """What every member of the family offers."""

    TITLE: Text

    def audit(self, subject: Subject) -> Outcome:
        """Look."""
