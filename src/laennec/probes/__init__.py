"""The family of probes: each asks one thing of a model that a metric on untouched images does not tell.

A member is a module with:

    TITLE   a `laennec.wording.Text`: what is asked, in a few words
    probe   ``probe(case) -> Outcome``; what the data does not tell is an outcome with the verdict ``skipped``

It says what it says in both languages itself (`laennec.wording.tell`), so that a member is one file. A member that
raises costs its own check: `laennec.probing` writes down why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from laennec import decisions, images
from laennec.card import Card
from laennec.checks import Outcome
from laennec.outputs import Outputs
from laennec.samples import Sample
from laennec.wording import Text


@dataclass(frozen=True, eq=False)
class Case:
    """A model that classifies, and one part of its data. Arrays are in the order of `samples`.

    Attributes:
        card: the model's.
        part: ``train``, ``val`` or ``test``.
        samples: the readable images of the part.
        pixels: ``uint8 [n, 1, size, size]`` as the model reads them.
        given: what it answers.
        answer: what it answers for other pixels of that shape.
        seed: of every draw.
    """

    card: Card
    part: str
    samples: tuple[Sample, ...]
    pixels: NDArray[np.uint8]
    given: Outputs
    answer: Callable[[NDArray[np.uint8]], Outputs]
    seed: int = 0

    @cached_property
    def patients(self) -> tuple[str, ...]:
        """Patient of each image."""
        return tuple(sample.patient for sample in self.samples)

    @cached_property
    def truth(self) -> NDArray[np.float64]:
        """Whether each image has the positive finding: 1, 0, NaN for unknown."""
        return decisions.truth_of(self.card.labels, [sample.labels for sample in self.samples])

    @cached_property
    def score(self) -> NDArray[np.float64]:
        """Score ``[n]`` of each image as it is."""
        return self.score_of(self.given)

    def score_of(self, outputs: Outputs) -> NDArray[np.float64]:
        """Score ``[n]`` of some answers: the probability of the positive finding."""
        return decisions.decide(self.card.labels, outputs.probabilities, 0.5)[0]

    @cached_property
    def lungs(self) -> NDArray[np.bool_]:
        """Where the lungs are on the model's grid, ``bool [n, size, size]``, by the network that frames pictures; no
        pixel of an image in which it finds none."""
        found = images.lung_masks(self.samples, self.card.preprocess)
        row_of = {key: row for row, key in enumerate(found.kept)}
        nothing = np.zeros((self.card.preprocess.size,) * 2, np.uint8)
        rows = [found.pixels[row_of[s.id]] if s.id in row_of else nothing for s in self.samples]
        return np.stack(rows) >= 128 if rows else np.zeros((0, *nothing.shape), np.bool_)


class ProbeMember(Protocol):
    """What every member of the family offers."""

    TITLE: Text

    def probe(self, case: Case) -> Outcome:
        """Ask."""
