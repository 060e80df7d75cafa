"""Objects of an answer, made in a process of its own that is watched: a stranger's header is parsed there, by pydicom
and highdicom, within bounds of time and memory. One that hangs or kills the process costs itself alone.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from laennec.bundle import Bundle
from laennec.errors import ImageError, LaennecError
from laennec.results import Prediction

COMMAND = (sys.executable, "-P", "-m", "laennec.receiving.maker")
PATIENCE = 60.0  # seconds making the objects of one radiograph may take
_START = 120.0  # seconds the process may take to start
_UNBORN = 3  # processes in a row that end before they are ready, until no other is tried


class MakerFault(LaennecError):
    """Making objects failed in a way that says nothing about the radiograph. `kind` is that of the error."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"the objects cannot be made ({kind})", "the radiograph stays in the spool: report it")
        self.kind = kind


class MakerMissing(LaennecError):
    """The process does not start."""


@dataclass(frozen=True)
class Made:
    """What became of one answer.

    Attributes:
        objects: kind, SOP Instance UID and DICOM file (Part 10) of each, in the order asked.
        left_out: why a kind was not made, by kind.
    """

    objects: tuple[tuple[str, str, bytes], ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)


class Maker:
    """One process that makes objects, started with the block it is used in and replaced when it dies or hangs.

    Args:
        bundle: whose answers they are.
        patience: seconds one radiograph may take.
        memory: bytes it may take beside what the process has when it starts; held where the system can (Linux).

    Attributes:
        restarts: processes replaced.
    """

    def __init__(self, bundle: Bundle, *, patience: float = PATIENCE, memory: int = 0) -> None:
        self.restarts = 0
        self._job = {"bundle": str(bundle.path.resolve()), "digest": bundle.digest, "memory": memory}
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False

    def __enter__(self) -> Self:
        self._launch()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def make(self, answer: Prediction, file: Path, kinds: Sequence[str] | None) -> Made:
        """The objects of an answer, see `laennec.filing.assemble`.

        Args:
            answer: with its mask and map where it has them.
            file: the DICOM file it is about.
            kinds: None takes all.

        Raises:
            ImageError: the header cannot be read; ``timeout``, ``decoder_died``: it made the process hang or die.
            MakerFault: another failure.
            MakerMissing: no process starts.
        """
        told, body = self._asked(
            {
                "file": str(file),
                "kinds": None if kinds is None else list(kinds),
                "answer": answer.model_dump(mode="json"),
                "mask": packed(answer.mask),
                "map": packed(answer.map),
            }
        )
        objects, at = [], 0
        for kind, uid, size in told["objects"]:
            objects.append((str(kind), str(uid), body[at : at + size]))
            at += size
        return Made(tuple(objects), dict(told["left_out"]))

    def strip(self, file: Path) -> bytes | None:
        """The file without what tells whose it is; None where text is burned into the picture.

        Raises:
            ImageError, MakerFault, MakerMissing: as `make`.
        """
        told, body = self._asked({"file": str(file)})
        return None if told["burned_in"] else body

    def _asked(self, job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        line = json.dumps(job).encode("ascii") + b"\n"
        for _ in range(2):  # a process may have died of something else: once more
            self._wait_until_ready()
            told, body, hung = self._exchange(line, self._patience)
            if hung:
                self._replace()
                raise ImageError("timeout", "making its objects took too long", "export it again")
            if told is None:
                self._replace()
            elif "code" in told:
                raise ImageError(told["code"], told["reason"])
            elif "fault" in told:
                raise MakerFault(told["fault"])
            else:
                return told, body
        raise ImageError("decoder_died", "the process that makes objects died of it", "export it again")

    def _wait_until_ready(self) -> None:
        for _ in range(_UNBORN):
            if self._ready:
                return
            if self._process is None:
                self._launch()
            told, _, _ = self._exchange(b"", _START)
            if told is not None:
                self._ready = "ready" in told
            if not self._ready:
                self._end()
        if not self._ready:
            raise MakerMissing(
                "the process that makes objects does not start",
                "see that this machine can start more processes, and that the bundle lies where it lay",
            )

    def _exchange(self, line: bytes, seconds: float) -> tuple[dict[str, Any] | None, bytes, bool]:
        """What the process answers to `line`, None when it ends over it, and whether it had to be killed."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None  # noqa: S101
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        clock = threading.Timer(seconds, kill)
        clock.daemon = True
        clock.start()
        try:
            with suppress(OSError):  # the process is gone; reading from it says so too
                process.stdin.write(line)
                process.stdin.flush()
            answer = process.stdout.readline()
            if not answer.endswith(b"\n"):
                return None, b"", late.is_set()
            told: dict[str, Any] = json.loads(answer)
            size = int(told.get("bytes", 0))
            body = process.stdout.read(size)
            return (told, body, False) if len(body) == size else (None, b"", late.is_set())
        finally:
            clock.cancel()

    def _launch(self) -> None:
        root, beside = str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")
        self._ready = False
        self._process = subprocess.Popen(  # noqa: S603  our own module
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what libraries warn of quotes values
            env=os.environ | {"PYTHONPATH": os.pathsep.join([root, beside] if beside else [root])},
        )
        with suppress(OSError):
            assert self._process.stdin is not None  # noqa: S101
            self._process.stdin.write(json.dumps(self._job).encode("ascii") + b"\n")
            self._process.stdin.flush()

    def _replace(self) -> None:
        self._end()
        self.restarts += 1

    def _end(self) -> None:
        process, self._process, self._ready = self._process, None, False
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):  # what was still to be flushed to a dead process
                        stream.close()


def packed(array: Any) -> dict[str, Any] | None:
    """An array as JSON; None of None."""
    if array is None:
        return None
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return {"shape": list(array.shape), "type": str(array.dtype), "data": data}


def unpacked(told: dict[str, Any] | None) -> Any:
    """The array that `packed` was given."""
    if told is None:
        return None
    return np.frombuffer(base64.b64decode(told["data"]), told["type"]).reshape(told["shape"])
