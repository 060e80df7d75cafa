"""How much is at work at once, and how often one asks: bounds that are held before any work is done."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from laennec.serve.faults import Fault, overloaded

_ASKERS = 10_000


class Places:
    """Places for work; who finds none is sent away at once, for a queue that grows answers nobody in time.

    Attributes:
        most: how many there are.
        taken: how many are.
    """

    def __init__(self, most: int) -> None:
        self.most, self.taken = most, 0
        self._mean = 0.05  # seconds a place is held, a moving mean

    @property
    def full(self) -> bool:
        """Whether none is left."""
        return self.taken >= self.most

    @contextmanager
    def taken_for(self, weight: int = 1) -> Iterator[None]:
        """Hold places while the block runs. Raises `Fault` where there are not so many."""
        weight = min(weight, self.most)
        if self.taken + weight > self.most:
            raise overloaded(self.most * self._mean)
        self.taken += weight
        began = time.monotonic()
        try:
            yield
        finally:
            self.taken -= weight
            self._mean += 0.05 * (time.monotonic() - began - self._mean)


class Rates:
    """How often each asker may ask: so many requests a second, and as many at once.

    Args:
        usual: requests a second of who has no rate of his own; 0 for no bound.
    """

    def __init__(self, usual: float) -> None:
        self._usual = usual
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def ask(self, who: str, rate: float | None = None) -> None:
        """Count one request. Raises `Fault` where it is one too many."""
        rate = self._usual if rate is None else rate
        if not rate:
            return
        now, most = time.monotonic(), max(1.0, rate)
        left, since = self._left.pop(who, (most, now))
        left = min(most, left + (now - since) * rate)
        self._left[who] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > _ASKERS:
            self._left.popitem(last=False)
        if left < 1:
            wait = max(1, round((1 - left) / rate + 0.5))
            raise Fault(429, "too_often", f"more than {rate:g} requests a second", "ask less often", wait)
