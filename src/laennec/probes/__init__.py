"""The family of probes: each asks one thing of a model that a metric on untouched images does not tell.

A member is a module with:

    TITLE   a `laennec.wording.Text`: what is asked, in a few words
    probe   ``probe(case) -> Outcome``; what the data does not tell is an outcome with the verdict ``skipped``

It says what it says in both languages itself (`laennec.wording.tell`), so that a member is one file. A member that
raises costs its own check: `laennec.probing` writes down why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from laennec import decisions, images, intervals
from laennec.card import Card
from laennec.checks import Outcome
from laennec.estimates import Estimate
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

    @property
    def threshold(self) -> float:
        """Of the operating point the model decides at, as it was frozen."""
        return self.card.operating_point.threshold

    def take(self, rows: NDArray[np.intp]) -> Case:
        """The case of some of its images, by their places ``[m]``."""
        samples = tuple(self.samples[row] for row in rows)
        some = replace(self, samples=samples, pixels=self.pixels[rows], given=self.given[rows])
        if "lungs" in self.__dict__:
            some.__dict__["lungs"] = self.lungs[rows]
        return some

    def drawn(self, most: int) -> Case:
        """The case of at most about `most` images: whole patients as the seed draws them, in the order they have here.

        All of it where it has no more than that. The last patient drawn may bring a few images beyond.
        """
        if len(self.samples) <= most:
            return self
        _, owner, count = np.unique(np.array(self.patients), return_inverse=True, return_counts=True)
        order = np.random.default_rng([self.seed, 7]).permutation(len(count))
        enough = int(np.searchsorted(count[order].cumsum(), most)) + 1
        return self.take(np.flatnonzero(np.isin(owner, order[:enough])))


class ProbeMember(Protocol):
    """What every member of the family offers."""

    TITLE: Text

    def probe(self, case: Case) -> Outcome:
        """Ask."""


def rates(truth: NDArray[np.float64], score: NDArray[np.float64], threshold: float) -> tuple[Estimate, Estimate]:
    """Sensitivity and specificity at a threshold with Wilson's intervals; images of unknown truth (NaN) do not count.

    Args:
        truth: ``[n]`` 1, 0 or NaN.
        score: ``[n]``; at or above the threshold an image is called positive.
    """
    called, sick, well = score >= threshold, truth == 1, truth == 0
    return (
        intervals.wilson(int((called & sick).sum()), int(sick.sum())),
        intervals.wilson(int((~called & well).sum()), int(well.sum())),
    )
