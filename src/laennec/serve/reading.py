"""Bytes of strangers to pictures: decoded in processes that are watched, bounded in memory and time, and replaced.

The bytes never touch a disk where the system has memory that can be opened by a path (Linux).
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laennec.errors import ImageError, LaennecError
from laennec.images.decoding import Answer, Decoders, shared_rows
from laennec.images.picture import Done
from laennec.images.shown import View
from laennec.preprocess import Preprocess


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A picture as it was read.

    Attributes:
        pixels: ``uint8 [size, size]``, what the model reads.
        done: what was done to the file.
        seconds: that took.
        view: for a person, where one was asked for.
    """

    pixels: NDArray[np.uint8]
    done: Done
    seconds: float
    view: View | None


class _Held:
    """Bytes in memory, or a file, that another process can open by a path."""

    def __init__(self, data: bytes = b"") -> None:
        if hasattr(os, "memfd_create"):
            self._handle = os.memfd_create("laennec-input")
            self.path, self._named = f"/proc/{os.getpid()}/fd/{self._handle}", False
        else:
            self._handle, self.path = tempfile.mkstemp(prefix="laennec-input-")
            self._named = True
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]

    def read(self) -> bytes:
        os.lseek(self._handle, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._handle), "rb") as stream:
            return stream.read()

    def close(self) -> None:
        os.close(self._handle)
        if self._named:
            with suppress(OSError):
                Path(self.path).unlink(missing_ok=True)


@dataclass(eq=False, slots=True)
class _Job:
    future: asyncio.Future[Seen]
    loop: asyncio.AbstractEventLoop
    source: _Held
    view: _Held | None


class Reader:
    """Decoding processes for one way to prepare pictures.

    Args:
        preprocess: of the model.
        workers: processes.
        rows: pictures that may be under way at once; more wait.
        patience: seconds one picture may take.
        memory: bytes one picture may take.
        broken: called with the error when no process can be started any more.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        workers: int,
        rows: int,
        patience: float,
        memory: int,
        broken: Callable[[Exception], None],
    ) -> None:
        self._broken = broken
        self._block = ExitStack()
        place, self._array = self._block.enter_context(shared_rows(rows, preprocess.size))
        self._team = self._block.enter_context(
            Decoders(place, preprocess, workers, what="shown", notes=True, patience=patience, memory=memory, ahead=1)
        )
        self._free, self._jobs = deque(range(rows)), dict[int, _Job]()
        self._room = asyncio.Semaphore(rows)
        self._owed = threading.Semaphore(0)
        self._lock, self._over = threading.Lock(), False
        self._thread = threading.Thread(target=self._collect, name="laennec-reader", daemon=True)
        self._thread.start()

    @property
    def restarts(self) -> int:
        """Decoding processes that were replaced."""
        return self._team.restarts

    async def read(self, data: bytes, view: bool = False) -> Seen:
        """Read one file.

        Args:
            data: its bytes.
            view: whether it is wanted for a person too.

        Raises:
            ImageError: it cannot be read; also ``timeout`` and ``decoder_died``.
            LaennecError: no decoding process can be started.
        """
        await self._room.acquire()
        row = self._free.popleft()
        job = None
        try:
            loop = asyncio.get_running_loop()
            job = _Job(loop.create_future(), loop, _Held(data), None)
            job.view = _Held() if view else None
            with self._lock:
                if self._over:
                    raise LaennecError("no picture can be read any more", "the service is being started again")
                self._jobs[row] = job
        except BaseException:
            if job is not None:
                _close(job)
            self._give_back(row)
            raise
        self._team.ask(row, job.source.path, job.view.path if job.view else "")
        self._owed.release()
        try:
            return await asyncio.shield(job.future)
        except asyncio.CancelledError:
            # what no decoder has begun with need not be done; what is begun keeps its row until it is done with
            if self._team.forget(row):
                self._owed.acquire(blocking=False)
                with self._lock:
                    self._jobs.pop(row, None)
                _close(job)
                self._give_back(row)
            raise

    def close(self) -> None:
        """End the processes; what is still asked for is refused."""
        with self._lock:
            self._over = True
        self._owed.release()
        self._block.close()
        self._thread.join(timeout=5)

    def _collect(self) -> None:
        """Take answers as they come and hand them to who waits."""
        while True:
            self._owed.acquire()
            if self._over:
                return
            try:
                answer = self._team.answer()
            except Exception as error:
                self._fail(error)
                return
            with self._lock:
                job = self._jobs.pop(answer.row)
            try:
                result: Seen | Exception = self._seen(answer, job)
            except ValueError:
                result = ImageError("decoder_died", "the decoder wrote no view", "")
            except Exception as error:  # no descriptor or no memory left: this picture's loss alone
                result = LaennecError(f"a picture cannot be taken over ({type(error).__name__})", "try again")
            _close(job)
            self._tell(job, answer.row, result)

    def _seen(self, answer: Answer, job: _Job) -> Seen | Exception:
        if answer.code:
            return ImageError(answer.code, answer.reason)
        view = View.of(job.view.read()) if job.view is not None else None
        return Seen(self._array[answer.row].copy(), answer.done or {}, answer.seconds, view)

    def _tell(self, job: _Job, row: int, result: Seen | Exception) -> None:
        def tell() -> None:
            self._give_back(row)
            if job.future.done():
                return
            if isinstance(result, Exception):
                job.future.set_exception(result)
                job.future.exception()  # who asked may be gone
            else:
                job.future.set_result(result)

        _soon(job.loop, tell)

    def _give_back(self, row: int) -> None:
        self._free.append(row)
        self._room.release()

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._over, jobs = True, dict(self._jobs)
            self._jobs.clear()
        for row, job in jobs.items():
            _close(job)
            self._tell(job, row, LaennecError("no picture can be read any more", "the service is being started again"))
        self._broken(error)


def _close(job: _Job) -> None:
    job.source.close()
    if job.view is not None:
        job.view.close()


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], Any]) -> None:
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(call)
