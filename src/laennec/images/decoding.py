"""Processes that decode images, or the masks of images, into the rows of one raw array, watched: one that dies or hangs
costs its file alone.

Pixels never travel through a pipe: a process writes them where they are wanted, into a file (the cache) or into memory
that the processes share (`shared_rows`). Paths and answers are lines of text.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from laennec.errors import LaennecError, MissingExtra, UntrustedBundle
from laennec.images.picture import Done
from laennec.preprocess import Preprocess

What = Literal["image", "chest", "shown", "truth", "lungs"]
"""What is decoded: an image, one that is asked too whether it is of a chest, the same with a view of it for a person,
the truth in an image's lung mask, or where the lungs are found in an image."""

PATIENCE = 60.0  # seconds one image may take
COMMAND = (sys.executable, "-P", "-m", "laennec.images.decoder")
_START = 120.0  # seconds it may take a process to start
_AHEAD = 2  # images a process is given at a time: while its answer travels, it has the next one
_UNBORN = 30  # processes killed in a row before they are ready, until no other is tried; three that end by themselves
_GLANCE = 0.25  # seconds between looks for a process that hangs
_Asked = tuple[int, tuple[str, ...]]  # row, files


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one image.

    Attributes:
        row: the row it was asked for.
        seconds: reading and decoding it, wall time.
        code: why it is refused; empty where row `row` of the array now holds it.
        reason: the same in words.
        done: what was done to the file, where notes are wanted.
    """

    row: int
    seconds: float
    code: str = ""
    reason: str = ""
    done: Done | None = None


def cores() -> int:
    """Cores this process may use; in a container with a quota, as many as that pays for."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(allowed, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no such system, or "max"
        return allowed


@contextmanager
def shared_rows(rows: int, size: int) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """An array ``uint8 [rows, size, size]`` in memory that other processes can open by the path given with it.

    Where the system has no such memory it is a file, which goes at the end.
    """
    wanted = rows * size * size
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("laennec-images")
        path, named = Path(f"/proc/{os.getpid()}/fd/{handle}"), False
    else:
        handle, name = tempfile.mkstemp(prefix="laennec-images-")
        path, named = Path(name), True
    try:
        os.ftruncate(handle, wanted)
        yield path, np.frombuffer(mmap.mmap(handle, wanted), np.uint8).reshape(rows, size, size)
    finally:
        os.close(handle)
        if named:
            with suppress(OSError):  # Windows keeps a file that is still mapped; its temporary folder is cleared
                path.unlink(missing_ok=True)


def write_row(stream: IO[bytes], row: int, pixels: memoryview) -> None:
    """Write `pixels`, one whole row of bytes, into row `row` of the raw array in `stream`, which has no buffer.

    Raises:
        OSError: the array cannot be written.
    """
    stream.seek(row * pixels.nbytes)
    while pixels:
        pixels = pixels[stream.write(pixels) :]


class Decoders:
    """A team of decoding processes, started at once and ended with the block they are used in.

    ``ask`` for images in any number, take as many ``answer``s, in the order they come.

    Args:
        array: a file that holds a raw ``uint8 [n, size, size]``, already of full length.
        preprocess: how the pixels are made.
        workers: processes, at least one.
        what: ``image`` and ``chest`` are asked for by one file, ``truth`` by two, the mask and its image, ``shown`` by
            the image and the file its view is written to (`laennec.images.shown`), empty for none.
        strict: a missing library ends the whole; else it refuses the images that need it.
        notes: answers say what was done to each file.
        patience: seconds one image may take.
        memory: bytes that decoding may take in each process, beside what it has when it starts; 0 for no bound. Held
            where the system can (Linux).
        ahead: images a process is given at a time.

    Attributes:
        restarts: processes replaced because theirs died or hung.
    """

    def __init__(
        self,
        array: Path,
        preprocess: Preprocess,
        workers: int,
        *,
        what: What = "image",
        strict: bool = False,
        notes: bool = False,
        patience: float | None = None,
        memory: int = 0,
        ahead: int = _AHEAD,
    ) -> None:
        self.restarts, self.ahead = 0, ahead
        self._job = {
            "array": str(array),
            "what": what,
            "preprocess": preprocess.model_dump(mode="json"),
            "strict": strict,
            "notes": notes,
            "memory": memory,
        }
        self._patience = PATIENCE if patience is None else patience
        self._todo: deque[_Asked] = deque()
        self._change = threading.Condition()
        self._closed = False
        self._answers: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()
        self._looked = time.monotonic()
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed with the block
        self._team = [_Worker(self) for _ in range(workers)]

    def __enter__(self) -> Self:
        for worker in self._team:
            worker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._change:
            self._closed = True
            self._todo.clear()
            self._change.notify_all()
        for worker in self._team:
            worker.kill()
        for worker in self._team:
            worker.join()
        self._log.close()

    def ask(self, row: int, *files: str) -> None:
        """Have what is in `files` decoded into row `row`, which nothing else asked for may hold meanwhile."""
        with self._change:
            self._todo.append((row, files))
            self._change.notify()

    def forget(self, row: int) -> bool:
        """Take back what was asked for, if no process has it yet; whether that could be."""
        with self._change:
            for job in self._todo:
                if job[0] == row:
                    self._todo.remove(job)
                    return True
        return False

    def answer(self) -> Answer:
        """The next answer; waits for it. Only call it when one is owed.

        Raises:
            OSError: no space left in the array.
            MissingExtra: a library is missing, and the team is strict.
            UntrustedBundle: the network that finds the lungs is not the one shipped.
            LaennecError: the processes do not start, or cannot write.
        """
        while True:
            if time.monotonic() - self._looked >= _GLANCE:
                self._looked = time.monotonic()
                for worker in self._team:
                    worker.check(self._patience)
            with suppress(queue.Empty):
                got = self._answers.get(timeout=_GLANCE)
                if isinstance(got, Exception):
                    raise got
                return got

    def take(self, wait: bool) -> _Asked | None:
        """For a worker: the next image; None when there is none now, or, if it waits, none ever again."""
        with self._change:
            while wait and not self._todo and not self._closed:
                self._change.wait()
            return self._todo.popleft() if self._todo and not self._closed else None

    def tell(self, answer: Answer | Exception) -> None:
        """For a worker: hand over an answer, or what ends the whole."""
        self._answers.put(answer)

    @property
    def closed(self) -> bool:
        """Whether the block has ended."""
        return self._closed

    def launch(self) -> subprocess.Popen[bytes]:
        """A fresh process that knows the job."""
        root = str(Path(__file__).parents[2])
        beside = os.environ.get("PYTHONPATH")
        process = subprocess.Popen(  # noqa: S603  our own module
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([root, beside] if beside else [root])},
        )
        _send(process, self._job)
        return process

    def last_words(self) -> str:
        """The last line that a process wrote on stderr."""
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else "see that this machine can start more processes"


def _send(process: subprocess.Popen[bytes], message: Any) -> None:
    assert process.stdin is not None  # noqa: S101
    with suppress(OSError):  # the process is gone; reading from it says so too
        process.stdin.write(json.dumps(message).encode("ascii") + b"\n")
        process.stdin.flush()


class _Worker(threading.Thread):
    """Feeds one process; when that dies or hangs, refuses the image it was at and starts another."""

    def __init__(self, team: Decoders) -> None:
        super().__init__(daemon=True)
        self.team = team
        self.process: subprocess.Popen[bytes] | None = None
        self.given: deque[_Asked] = deque()
        self.since, self.ready, self.hung = time.monotonic(), False, False
        self.unborn = 0
        self.died = -1  # the row first in hand when a process last died

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self.team.tell(error)
        finally:
            self.end()

    def _work(self) -> None:
        while not self.team.closed:
            self.ready, self.since = False, time.monotonic()
            process = self.process = self.team.launch()
            for row, files in self.given:
                _send(process, [row, *files])
            self._feed(process)
            self.end()
            if self.team.closed:
                return
            self.team.restarts += 1
            if not self.ready:
                # one that is killed may have been unlucky, one that ends by itself will again
                self.unborn += 1 if (process.returncode or 0) < 0 else _UNBORN // 3
                if self.unborn >= _UNBORN:
                    raise LaennecError("the process that decodes images does not start", self.team.last_words())
                self.hung = False
                continue
            self.unborn = 0
            if self.given and not self.hung and self.given[0][0] != self.died:
                self.died = self.given[0][0]  # it may have died of something else: once more
            elif self.given:
                row, _ = self.given.popleft()
                why = ("timeout", "decoding took too long") if self.hung else ("decoder_died", "the decoder died of it")
                self.team.tell(Answer(row, time.monotonic() - self.since, *why))
            self.hung = False

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        """Give images and pass on the answers until the process ends or nothing more will come."""
        assert process.stdout is not None  # noqa: S101
        while True:
            while len(self.given) < self.team.ahead:
                job = self.team.take(wait=self.ready and not self.given)
                if job is None:
                    break
                if not self.given:
                    self.since = time.monotonic()
                self.given.append(job)
                _send(process, [job[0], *job[1]])
            if self.team.closed:
                return
            line = process.stdout.readline()
            if not line.endswith(b"\n"):
                return
            self._pass_on(json.loads(line))

    def _pass_on(self, fact: Any) -> None:
        self.since = time.monotonic()
        if isinstance(fact, dict):
            raise _error(fact)
        if not fact:
            self.ready = True
            return
        row, _ = self.given.popleft()
        # it answered after all: a kill on its way is not the fault of what is given next
        self.hung, self.died = False, -1
        if len(fact) == 3:
            self.team.tell(Answer(row, *fact))
        else:
            self.team.tell(Answer(row, fact[0], done=fact[1]))

    def check(self, patience: float) -> None:
        """Kill a process that has been at one image for longer than `patience` seconds."""
        process = self.process
        patience = patience if self.ready else _START
        if process is not None and self.given and not self.hung and time.monotonic() - self.since > patience:
            self.hung = True
            process.kill()

    def kill(self) -> None:
        """Kill the process, if one runs."""
        process = self.process
        if process is not None:
            process.kill()

    def end(self) -> None:
        """Kill the process and clear up after it."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):  # what was still to be flushed to a dead process
                        stream.close()


def _error(fact: dict[str, Any]) -> Exception:
    if fact["fatal"] == "extra":
        return MissingExtra(fact["message"], fact["hint"])
    if fact["fatal"] == "untrusted":
        return UntrustedBundle(fact["message"], fact["hint"])
    if fact["fatal"] == "full":
        return OSError(errno.ENOSPC, fact["message"])
    return LaennecError("decoded images cannot be written: " + fact["message"], "check the folder")
