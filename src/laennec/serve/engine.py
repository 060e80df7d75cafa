"""One model at work: images that wait are answered together, each before its deadline or not at all.

A thread of its own runs the model, for a session is used by one thread at a time. When it is free it takes what waits,
up to the largest batch. It lingers a moment for images that are still decoded only where some are.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from laennec.errors import LaennecError, NotFinite
from laennec.images.picture import Done
from laennec.predictor import Predictor
from laennec.results import Prediction
from laennec.serve.faults import Fault, too_late
from laennec.serve.logs import log, where


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """An answer with how long it waited for the model, and how long the model took for its batch; seconds."""

    prediction: Prediction
    waited: float
    model: float
    batch: int


@dataclass(eq=False, slots=True)
class _Waiting:
    pixels: NDArray[np.uint8]
    done: Done
    seconds: float
    how: tuple[str | None, bool]  # operating point, whether to explain
    deadline: float
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Answered]
    since: float = field(default_factory=time.monotonic)


def model_fault() -> Fault:
    """The model answered what is no number."""
    return Fault(500, "model_fault", "the model answers no number", "the service is no longer ready: see its log")


class Engine:
    """A predictor at work.

    Args:
        predictor: opened; used by this engine's thread alone from now on.
        most: images in a batch.
        linger: seconds a batch waits for images that are under way.
        under_way: how many images are being read for it now.
        faulty: called when the model answered NaN.
        took: called with the images of each batch.
    """

    def __init__(
        self,
        predictor: Predictor,
        most: int,
        linger: float,
        under_way: Callable[[], int],
        faulty: Callable[[], None],
        took: Callable[[int], None],
    ) -> None:
        self.predictor, self._most, self._linger = predictor, most, linger
        self._under_way, self._faulty, self._took = under_way, faulty, took
        self._at: dict[tuple[str | None, bool], Predictor] = {}
        self._urgent: deque[_Waiting] = deque()
        self._patient: deque[_Waiting] = deque()
        self._change, self._over = threading.Condition(), False
        self._thread = threading.Thread(target=self._work, name="laennec-engine", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Images that wait."""
        return len(self._urgent) + len(self._patient)

    @property
    def age(self) -> float:
        """Seconds that the oldest image of a request, not of a job, has waited; 0 where none does."""
        try:
            return time.monotonic() - self._urgent[0].since
        except IndexError:
            return 0.0

    async def answer(
        self,
        pixels: NDArray[np.uint8],
        done: Done,
        seconds: float,
        *,
        rule: str | None = None,
        explain: bool = False,
        deadline: float = float("inf"),
        patient: bool = False,
    ) -> Answered:
        """The answer for one picture.

        Args:
            pixels, done, seconds: as it was read.
            rule, explain: as of `Predictor.at`.
            deadline: on the monotonic clock.
            patient: of a job: it lets the others go first.

        Raises:
            Fault: the deadline passed while it waited, or the model answers NaN.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(pixels, done, seconds, (rule, explain), deadline, loop, loop.create_future())
        with self._change:
            if self._over:
                raise LaennecError("the model is at work no more", "the service is being stopped")
            (self._patient if patient else self._urgent).append(waiting)
            self._change.notify()
        return await waiting.future

    def close(self) -> None:
        """Stop; what waits is not answered."""
        with self._change:
            self._over = True
            self._change.notify()
        self._thread.join(timeout=30)

    def _work(self) -> None:
        while True:
            batch = self._next()
            if batch is None:
                return
            ready = []
            for one in batch:
                if one.deadline < time.monotonic():
                    _tell(one, too_late())
                elif not one.future.cancelled():
                    ready.append(one)
            for how in dict.fromkeys(one.how for one in ready):
                alike = [one for one in ready if one.how == how]
                # explained ones go one by one: runtimes compile each size and set of answers apart
                for few in [[one] for one in alike] if how[1] else [alike]:
                    self._run(few, *how)

    def _next(self) -> list[_Waiting] | None:
        """What the model is given next; None when it is over."""
        with self._change:
            while not self._over and not self.depth:
                self._change.wait()
            if self._over:
                return None
            if self._linger and self.depth < self._most and self._under_way() > self.depth:
                self._change.wait(self._linger)
            batch: list[_Waiting] = []
            for queue in (self._urgent, self._patient):
                while queue and len(batch) < self._most:
                    batch.append(queue.popleft())
            return batch

    def _run(self, batch: Sequence[_Waiting], rule: str | None, explain: bool) -> None:
        began = time.monotonic()
        try:
            if (rule, explain) not in self._at:
                self._at[rule, explain] = self.predictor.at(rule, explain)
            found = self._at[rule, explain].answers(
                [one.pixels for one in batch], [one.done for one in batch], [one.seconds for one in batch]
            )
            why: Fault | None = None
        except NotFinite:
            self._faulty()
            found, why = [], model_fault()
        except Exception as error:  # of one batch: the next may do
            log("fault", what=type(error).__name__, where=where(error))
            found, why = [], Fault(500, "fault", "a fault of the service", "report it with the request's id")
        took = time.monotonic() - began
        self._took(len(batch))
        for place, one in enumerate(batch):
            _tell(one, why or Answered(found[place], began - one.since, took, len(batch)))


def _tell(one: _Waiting, told: Answered | Fault) -> None:
    def tell() -> None:
        if one.future.done():
            return
        if isinstance(told, Fault):
            one.future.set_exception(told)
            one.future.exception()  # who asked may be gone
        else:
            one.future.set_result(told)

    with suppress(RuntimeError):  # the loop is closed
        one.loop.call_soon_threadsafe(tell)
