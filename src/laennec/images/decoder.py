"""The process that decodes images for others: ``python -m laennec.images.decoder``.

A process of its own, started by name, because a pool of `multiprocessing` would run the caller's script again, and
most scripts that train have no ``if __name__ == "__main__"``.

It reads lines of JSON from stdin: first the job ``{"array", "what", "preprocess", "strict", "notes", "memory"}``, then
one ``[row, path]`` an image, ``[row, mask, image]`` a truth, or ``[row, path, view]`` an image to be shown. It prints
``[]`` once it is ready, then a line for each, in order: ``[seconds, done]`` with what was done (null unless notes are
wanted), or ``[seconds, code, reason]`` when it is refused; and ``{"fatal", "message", "hint"}`` when it can do nothing
more.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from laennec.errors import ImageError, MissingExtra, UntrustedBundle
from laennec.images.decoding import write_row
from laennec.images.dicom_frame import load_decoders
from laennec.images.picture import Done
from laennec.images.resize import load, load_lungs
from laennec.images.shown import load_shown
from laennec.images.truth import load_truth
from laennec.preprocess import Preprocess

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_Read = Callable[..., tuple[NDArray[np.uint8], Done]]


def serve(job: dict[str, Any], asked: IO[str], tell: Callable[[Any], None]) -> None:
    """Decode what `asked` names, line by line, until it ends; `job` and the lines are as the module says.

    Raises:
        OSError: the array cannot be written.
        MissingExtra: a library is missing, and the job is strict.
        UntrustedBundle: lungs are wanted and the network that finds them is not the one shipped.
    """
    preprocess = Preprocess.model_validate(job["preprocess"])
    readers: dict[str, _Read] = {"image": load, "chest": partial(load, gate=True), "truth": load_truth}
    readers |= {"lungs": load_lungs, "shown": load_shown}
    read = readers[job["what"]]
    if job["memory"]:
        load_decoders()
        bound(job["memory"])
    with Path(job["array"]).open("rb+", buffering=0) as stream:
        tell([])
        for line in asked:
            row, *files = json.loads(line)
            started = time.perf_counter()
            try:
                pixels, done = read(*map(Path, files), preprocess)
            except ImageError as error:
                tell([time.perf_counter() - started, error.code, error.message])
                continue
            except MissingExtra as error:
                if job["strict"]:
                    raise
                tell([time.perf_counter() - started, "missing_extra", f"{error.message}: {error.hint}"])
                continue
            write_row(stream, row, pixels.data.cast("B"))
            tell([time.perf_counter() - started, done if job["notes"] else None])


def bound(more: int) -> None:
    """Let this process take no more than `more` bytes beside what it has, and end with the process that started it."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[5])
        most = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            system = ctypes.CDLL(None)
            system.prctl(_DIES_WITH_PARENT, signal.SIGKILL)
            system.unshare(_NEW_NETWORK)  # from here on it has no network, where it may be cut off


def main() -> int:
    """Serve one parent until it closes stdin. Exit code 0, or 1 after a fatal message."""
    # an interrupt is for the parent, which ends this process when it heeds it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # what a native decoder prints must not land among the answers
    answers = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    os.dup2(2, 1)

    def tell(fact: Any) -> None:
        answers.write(json.dumps(fact) + "\n")

    try:
        serve(json.loads(sys.stdin.readline()), sys.stdin, tell)
    except MissingExtra as error:
        tell({"fatal": "extra", "message": error.message, "hint": error.hint})
        return 1
    except UntrustedBundle as error:
        tell({"fatal": "untrusted", "message": error.message, "hint": error.hint})
        return 1
    except BrokenPipeError:  # the parent is gone
        return 1
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        tell({"fatal": "full" if full else "write", "message": os.strerror(error.errno or 0), "hint": ""})
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
