"""Many images decoded by several processes into one raw array, surviving a decoder that dies or hangs."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from laennec.errors import LaennecError, MissingExtra, UntrustedBundle
from laennec.images.cache_worker import decode_rows
from laennec.preprocess import Preprocess
from laennec.progress import Step

_CHUNK = 32  # images a worker is given at a time
_PATIENCE = 60.0  # seconds one image may take

Refusals = dict[int, tuple[str, str]]


class _Worker(threading.Thread):
    """Feeds one process; when that dies or hangs, refuses the image it was at and starts another."""

    def __init__(self, build: Build) -> None:
        super().__init__(daemon=True)
        self.build = build
        self.process: subprocess.Popen[str] | None = None
        self.row, self.since, self.hung = -1, time.monotonic(), False

    def run(self) -> None:
        try:
            while (todo := self.build.take()) is not None:
                self._serve(todo)
        except Exception as error:
            self.build.fail(error)
        finally:
            self.stop()

    def _serve(self, todo: tuple[int, int]) -> None:
        start, stop = todo
        while start < stop:
            self.row, self.since = -1, time.monotonic()
            if self.process is None:
                self.process = self.build.launch()
            if self._ask(self.process, start, stop):
                return
            self.stop()
            if self.build.failed:
                return
            if self.row < 0:
                raise LaennecError("the process that decodes images does not start", self.build.last_words())
            self.build.refuse(
                self.row,
                *(("timeout", "decoding took too long") if self.hung else ("decoder_died", "the decoder died of it")),
            )
            start, self.hung = self.row + 1, False

    def _ask(self, process: subprocess.Popen[str], start: int, stop: int) -> bool:
        """Have rows `start` to `stop` decoded; False when the process ended on the way."""
        assert process.stdin is not None and process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(f"[{start}, {stop}]\n")
            process.stdin.flush()
        except OSError:
            return False
        for line in process.stdout:
            fact: dict[str, Any] = json.loads(line)
            if "fatal" in fact:
                raise _error(fact)
            if "code" in fact:
                self.build.refuse(fact["row"], fact["code"], fact["reason"])
            else:
                if self.row >= 0:
                    self.build.step.advance()
                self.row, self.since = fact.get("row", -1), time.monotonic()
            if "end" in fact:
                return True
        return False

    def stop(self) -> None:
        """End the process, if one runs."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    try:
                        stream.close()
                    except OSError:  # what was still to be flushed to a dead process
                        continue


def _error(fact: dict[str, Any]) -> Exception:
    if fact["fatal"] == "extra":
        return MissingExtra(fact["message"], fact["hint"])
    if fact["fatal"] == "untrusted":
        return UntrustedBundle(fact["message"], fact["hint"])
    if fact["fatal"] == "full":
        return OSError(errno.ENOSPC, fact["message"])
    return LaennecError("the image cache cannot be written: " + fact["message"], "check the folder")


class Build:
    """One array being built: `images` into the file `pixels`, raw ``uint8 [n, size, size]``, already of full length."""

    def __init__(self, pixels: Path, preprocess: Preprocess, images: Sequence[Path], step: Step) -> None:
        self.pixels, self.preprocess, self.images, self.step = pixels, preprocess, images, step
        self.refused: Refusals = {}
        self._todo: deque[tuple[int, int]] = deque()
        self._lock = threading.Lock()
        self._errors: list[Exception] = []
        self._log: IO[str] | None = None

    def here(self) -> Refusals:
        """Decode in this process. Returns row to (code, reason) of the refused."""

        def tell(fact: dict[str, Any]) -> None:
            if "code" in fact:
                self.refuse(fact["row"], fact["code"], fact["reason"])
            else:
                self.step.advance()

        decode_rows(self.pixels, self.preprocess, self.images, range(len(self.images)), tell)
        return self.refused

    def apart(self, workers: int) -> Refusals:
        """Decode in `workers` processes. Returns row to (code, reason) of the refused.

        Raises:
            OSError: no space left.
            MissingExtra: a library is missing.
            UntrustedBundle: the network that finds the lungs is not the one shipped.
            LaennecError: the processes do not start.
        """
        n = len(self.images)
        self._todo.extend((start, min(start + _CHUNK, n)) for start in range(0, n, _CHUNK))
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as self._log:
            team = [_Worker(self) for _ in range(workers)]
            try:
                for worker in team:
                    worker.start()
                while any(worker.is_alive() for worker in team):
                    team[0].join(0.1) if team[0].is_alive() else time.sleep(0.05)
                    self._watch(team)
            finally:
                self._todo.clear()
                for worker in team:
                    process = worker.process
                    if process is not None:
                        process.kill()
                for worker in team:
                    worker.join()
        if self._errors:
            raise self._errors[0]
        return self.refused

    def _watch(self, team: list[_Worker]) -> None:
        for worker in team:
            process = worker.process
            if process is not None and worker.row >= 0 and time.monotonic() - worker.since > _PATIENCE:
                worker.hung, worker.since = True, time.monotonic()
                process.kill()

    @property
    def failed(self) -> bool:
        """Whether one worker met what ends the whole."""
        return bool(self._errors)

    def take(self) -> tuple[int, int] | None:
        """The next rows to decode, or None when there are no more."""
        with self._lock:
            return self._todo.popleft() if self._todo and not self._errors else None

    def refuse(self, row: int, code: str, reason: str) -> None:
        """Note that the image of `row` cannot be read."""
        with self._lock:
            self.refused[row] = (code, reason)

    def fail(self, error: Exception) -> None:
        """Note an error that ends the whole."""
        with self._lock:
            self._errors.append(error)
            self._todo.clear()

    def launch(self) -> subprocess.Popen[str]:
        """A fresh worker process that knows the job."""
        root = str(Path(__file__).parents[2])
        beside = os.environ.get("PYTHONPATH")
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, beside] if beside else [root])}
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "laennec.images.cache_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="ascii",
            env=environment,
        )
        job = {
            "pixels": str(self.pixels),
            "preprocess": self.preprocess.model_dump(),
            "images": [str(path) for path in self.images],
        }
        assert process.stdin is not None  # noqa: S101
        try:
            process.stdin.write(json.dumps(job) + "\n")
        except OSError:  # it died at once; the next write says so too
            return process
        return process

    def last_words(self) -> str:
        """The last line that a worker wrote on stderr."""
        if self._log is None:
            return ""
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else "try again with workers=0"
