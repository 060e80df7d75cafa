"""The process that decodes images for the cache: ``python -m laennec.images.cache_worker``.

A process of its own, started by name, because a pool of `multiprocessing` would run the caller's script again, and
most scripts that train have no ``if __name__ == "__main__"``.

It reads lines of JSON from stdin: first the job ``{"pixels", "preprocess", "images"}``, then pairs ``[start, stop]``
of rows. For each row it prints ``{"row"}`` when it begins, ``{"row", "code", "reason"}`` when the image is refused;
after each pair ``{"end"}``; and ``{"fatal", "message", "hint"}`` when nothing more can be done.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from laennec.errors import ImageError, MissingExtra, UntrustedBundle
from laennec.images.resize import load
from laennec.preprocess import Preprocess


def decode_rows(
    pixels: Path,
    preprocess: Preprocess,
    images: Sequence[Path],
    rows: Iterable[int],
    tell: Callable[[dict[str, Any]], None],
) -> None:
    """Decode ``images[row]`` into row `row` of the raw array in the file `pixels`, ``uint8 [n, size, size]``.

    Calls `tell` with ``{"row"}`` before each and ``{"row", "code", "reason"}`` after one that is refused.

    Raises:
        OSError: the array cannot be written.
        MissingExtra: a library is missing.
        UntrustedBundle: lungs are wanted and the network that finds them is not the one shipped.
    """
    row_bytes = preprocess.size**2
    with pixels.open("rb+", buffering=0) as stream:
        for row in rows:
            tell({"row": row})
            try:
                array, _ = load(images[row], preprocess)
            except ImageError as error:
                tell({"row": row, "code": error.code, "reason": error.message})
                continue
            stream.seek(row * row_bytes)
            left = memoryview(array.tobytes())
            while left:
                left = left[stream.write(left) :]


def main() -> int:
    """Serve one parent until it closes stdin. Exit code 0, or 1 after a fatal message."""
    # what a native decoder prints must not land among the answers
    answers = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    os.dup2(2, 1)

    def tell(fact: dict[str, Any]) -> None:
        answers.write(json.dumps(fact) + "\n")

    job = json.loads(sys.stdin.readline())
    preprocess = Preprocess.model_validate(job["preprocess"])
    images = [Path(name) for name in job["images"]]
    try:
        for line in sys.stdin:
            start, stop = json.loads(line)
            decode_rows(Path(job["pixels"]), preprocess, images, range(start, stop), tell)
            tell({"end": True})
    except MissingExtra as error:
        tell({"fatal": "extra", "message": error.message, "hint": error.hint})
        return 1
    except UntrustedBundle as error:
        tell({"fatal": "untrusted", "message": error.message, "hint": error.hint})
        return 1
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        tell({"fatal": "full" if full else "write", "message": os.strerror(error.errno or 0), "hint": ""})
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
