"""Has what comes in changed? The population stability index of the last answers against a reference.

PSI = sum over ten bins, each a tenth of the reference, of (share now - share then) ln(share now / share then). Of use
since Lewis, An Introduction to Credit Scoring (1994): under .1 nothing, over .2 a shift that wants a look. Half a count
is added to each bin, so that an empty one stays finite.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from laennec import storage
from laennec.bundle import Bundle
from laennec.errors import LaennecError

BINS, WINDOW, LEAST, FIRST = 10, 1000, 200, 500


def psi(then: NDArray[np.int64], now: NDArray[np.int64]) -> float:
    """The index of two sets of counts in the same bins."""
    a, b = (then + 0.5) / (then.sum() + 0.5 * len(then)), (now + 0.5) / (now.sum() + 0.5 * len(now))
    return float(((b - a) * np.log(b / a)).sum())


class Drift:
    """One figure of the answers under watch.

    Args:
        reference: the figure's values where the model was judged; where there are under `LEAST`, the first `FIRST`
            answers become the reference.
    """

    def __init__(self, reference: Sequence[float] = ()) -> None:
        self._first: list[float] = []
        self._edges: NDArray[np.float64] | None = None
        self._window: deque[int] = deque(maxlen=WINDOW)
        if len(reference) >= LEAST:
            self._refer(reference)

    def _refer(self, values: Sequence[float]) -> None:
        known = np.asarray(values, np.float64)
        self._edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS))
        self._then = self._counted(np.searchsorted(self._edges, known, side="right"))

    def _counted(self, bins: NDArray[np.int64]) -> NDArray[np.int64]:
        assert self._edges is not None  # noqa: S101
        return np.bincount(bins, minlength=len(self._edges) + 1)

    def add(self, value: float) -> None:
        """One more answer."""
        if self._edges is not None:
            self._window.append(int(np.searchsorted(self._edges, value, side="right")))
            return
        self._first.append(value)
        if len(self._first) == FIRST:
            self._refer(self._first)
            self._first = []

    @property
    def value(self) -> float | None:
        """The index now; None until there are `LEAST` answers beside the reference."""
        if self._edges is None or len(self._window) < LEAST:
            return None
        return psi(self._then, self._counted(np.fromiter(self._window, np.int64)))


def judged_scores(bundle: Bundle) -> list[float]:
    """The scores of a report that lies in the bundle's folder and is of this bundle; empty without one."""
    for path in sorted((bundle.path / "reports").glob("*/report.json")):
        try:
            report = storage.read_json(path)
            if report["bundle_digest"] == bundle.digest and report["part"] in ("val", "test"):
                scores = [float(score) for score in report["scores"].values()]
                if len(scores) >= LEAST:
                    return scores
        except (LaennecError, OSError, KeyError, TypeError, ValueError, AttributeError):
            continue  # a report is no part of the bundle: a broken one is none
    return []
