"""Exchanges and samples summed up, and figures held against what is asked of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from openloop import Exchange

HEAD = ["| what | asked | measured | holds |", "|---|---|---|---|"]
REFUSALS = (429, 503)
NONE = float("nan")


@dataclass(frozen=True)
class Told:
    """Exchanges summed up; times in milliseconds.

    Attributes:
        requests: how many.
        seconds: over which they were due.
        statuses: how many of each status; 0 for none.
        faults: how many of each fault.
        good: answers of 200 a second.
        p50, p99, most: of the answers of 200, from due to done; NaN without any.
        lag: 99th percentile of how late the generator itself was.
        unexplained: refusals (429, 503) without ``Retry-After``.
    """

    requests: int
    seconds: float
    statuses: dict[int, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    good: float = 0.0
    p50: float = NONE
    p99: float = NONE
    most: float = NONE
    lag: float = 0.0
    unexplained: int = 0

    @property
    def share(self) -> float:
        """Of the requests those answered 200."""
        return self.statuses.get(200, 0) / max(1, self.requests)

    def others(self, *expected: int) -> int:
        """Requests that had neither of these statuses; faults included."""
        return self.requests - sum(self.statuses.get(status, 0) for status in expected)

    def text(self) -> str:
        """``200: 4,000, 503: 12,345, reset: 2``."""
        answered = {str(status): n for status, n in self.statuses.items() if status}
        return ", ".join(f"{name}: {n:,}" for name, n in (answered | self.faults).items())


def told(exchanges: Sequence[Exchange], seconds: float) -> Told:
    """`exchanges` that were due within `seconds`, summed up."""
    taken = np.array([1000 * one.seconds for one in exchanges if one.status == 200])
    p50, p99, most = np.percentile(taken, (50, 99, 100)) if len(taken) else (NONE,) * 3
    late = [1000 * (one.began - one.due) for one in exchanges]
    return Told(
        len(exchanges),
        seconds,
        dict(sorted(Counter(one.status for one in exchanges).items())),
        dict(sorted(Counter(one.fault for one in exchanges if one.fault).items())),
        len(taken) / seconds,
        float(p50),
        float(p99),
        float(most),
        float(np.percentile(late, 99)) if late else 0.0,
        sum(one.status in REFUSALS and not one.retry_after for one in exchanges),
    )


def recovered(exchanges: Sequence[Exchange], p99: float, window: float = 10.0, step: float = 0.5) -> float:
    """Seconds after the first of `exchanges` was due until a window starts in which all is as before the overload.

    That is: everything due in it is answered 200 and its 99th percentile is at most 1.2 x `p99` (ms). Infinite where
    no window is like that.
    """
    if not exchanges:
        return float("inf")
    ordered = sorted(exchanges, key=lambda one: one.due)
    first, last = ordered[0].due, ordered[-1].due
    due = np.array([one.due - first for one in ordered])
    taken = np.array([1000 * one.seconds if one.status == 200 else np.inf for one in ordered])
    for start in np.arange(0.0, max(step, last - first - window + step), step):
        inside = taken[(due >= start) & (due < start + window)]
        if len(inside) and np.percentile(inside, 99, method="higher") <= 1.2 * p99:
            return float(start)
    return float("inf")


def growth(samples: Sequence[float]) -> float:
    """How much more there is at the end than at the start: medians of the last and of the first fifth of `samples`.

    Medians, so that one large picture at the wrong moment is no growth and one small moment hides none.
    """
    if len(samples) < 2:
        return 0.0
    fifth = max(1, len(samples) // 5)
    return float(np.median(samples[-fifth:]) - np.median(samples[:fifth]))


def row(what: str, asked: str, measured: str, holds: bool) -> str:
    """A line of the table under `HEAD`."""
    return f"| {what} | {asked} | {measured} | {'yes' if holds else '**no**'} |"


def all_hold(lines: Sequence[str]) -> bool:
    """Whether no line of the table says no."""
    return not any(line.endswith("| **no** |") for line in lines)
