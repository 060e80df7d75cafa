"""What an answer says of itself: which labels stay possible, when a person should decide, what another prevalence makes
of it. The decision follows none of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laennec import conformal, novelty, prevalence
from laennec.bundle import Bundle
from laennec.errors import UntrustedBundle, UsageError
from laennec.outputs import FEATURES, Outputs
from laennec.trust import UNCERTAIN, UNLIKE, Adapted


@dataclass(frozen=True, eq=False)
class Told:
    """Of each of n images.

    Attributes:
        possible: the labels that stay possible; empty of a bundle without abstention.
        because: why a person should decide; empty where the answer may stand.
        strangeness: distance over its threshold ``[n]``; None of a bundle without novelty.
        adapted: the score at the prevalence asked for ``[n]``; None where none was.
    """

    possible: tuple[tuple[str, ...], ...]
    because: tuple[tuple[str, ...], ...]
    strangeness: NDArray[np.float64] | None = None
    adapted: NDArray[np.float64] | None = None


class Caution:
    """A bundle's abstention, novelty and calibration, ready to be asked.

    Args:
        bundle: an opened bundle.
        at: adapt scores to this prevalence, in (0, 1).

    Attributes:
        refers: whether it tells when a person should decide.
        also: what the model must answer beside its task.
        at: as given.

    Raises:
        UsageError: a prevalence that cannot be, or of a bundle that is not calibrated.
        UntrustedBundle: the file of the novelty holds none for this bundle.
    """

    def __init__(self, bundle: Bundle, at: float | None = None) -> None:
        self.labels, self.at = bundle.card.labels, None if at is None else prevalence.check(at)
        self.abstention, self.novelty = bundle.card.abstention, bundle.card.novelty
        self.refers = self.abstention is not None or self.novelty is not None
        self.also = () if self.novelty is None else (FEATURES,)
        self.calibrated_to = None if at is None else calibrated_to(bundle)
        if self.novelty is not None:
            try:
                self._distance = novelty.read(bundle.read(self.novelty.file), self.novelty.classes)
            except ValueError as error:
                raise UntrustedBundle(f"{self.novelty.file} is no distance", "calibrate the bundle again") from error

    def strangeness(self, given: Outputs) -> NDArray[np.float64] | None:
        """Distance to the training images over its threshold ``[n]``: unlike from 1 on.

        Raises:
            UntrustedBundle: the distance is of other features than the model gives.
        """
        if self.novelty is None:
            return None
        try:
            if given.features is None:
                raise ValueError("no features")
            return self._distance(given.features) / self.novelty.threshold
        except ValueError as error:
            raise UntrustedBundle(
                f"{self.novelty.file} is of other features than the model's", "calibrate the bundle again"
            ) from error

    def told(self, given: Outputs, score: NDArray[np.float64], threshold: float) -> Told:
        """All of it, of answers to n images with their scores, decided at a threshold."""
        because: list[tuple[str, ...]] = [()] * len(score)
        possible: tuple[tuple[str, ...], ...] = ()
        if self.abstention is not None:
            names = conformal.classes(self.labels)
            sets = conformal.possible(self.abstention, self.labels, given.probabilities)
            possible = tuple(tuple(n for n, one in zip(names, row, strict=True) if one) for row in sets.tolist())
            doubted = conformal.uncertain(self.abstention, self.labels, given.probabilities, threshold)
            because = [(UNCERTAIN,) if one else () for one in doubted.tolist()]
        strange = self.strangeness(given)
        if strange is not None:
            because = [
                (*why, UNLIKE) if far else why for why, far in zip(because, (~(strange < 1)).tolist(), strict=True)
            ]
        adapted = None
        if self.at is not None and self.calibrated_to is not None:
            adapted = prevalence.adapted(score, self.calibrated_to, self.at)
        return Told(possible, tuple(because), strange, adapted)

    def noun(self, probability: float) -> Adapted:
        """An adapted score with where it holds."""
        assert self.at is not None  # noqa: S101
        return Adapted(probability=probability, prevalence=self.at, source="stated")


def calibrated_to(bundle: Bundle) -> float:
    """The prevalence a bundle's probabilities are calibrated to. Raises `UsageError` where they are not calibrated."""
    if bundle.card.calibration is None:
        raise UsageError(
            f"'{bundle.name}' is not calibrated: its probabilities cannot be brought to another prevalence",
            f"laennec calibrate {bundle.path} --out {bundle.path}-calibrated",
        )
    return bundle.card.calibration.prevalence
