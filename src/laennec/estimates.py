"""A figure with its interval: what every measure comes back as."""

from __future__ import annotations

from laennec.noun import Noun


class Estimate(Noun):
    """A figure with its interval.

    Attributes:
        value: the point estimate; None where it is undefined (no positive image, say).
        low, high: bounds of the two-sided 95 % interval; None where undefined.
        n: number of images (or of images of that class) it rests on.
        method: how the interval was made: ``delong``, ``wilson``, ``mover`` (MOVER, from the bounds of the parts),
            ``patient_bootstrap``, ``image_bootstrap`` (pairs of answers to the same images); empty where there is none.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    method: str = ""

    def text(self, digits: int = 3) -> str:
        """``0.953 [0.937, 0.969]``, or ``n/a``."""
        if self.value is None:
            return "n/a"
        if self.low is None or self.high is None:
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"
