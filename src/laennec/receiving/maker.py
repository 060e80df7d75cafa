"""The process that makes objects for the receiver: ``python -m laennec.receiving.maker``.

It reads lines of JSON from stdin: first ``{"bundle", "digest", "memory"}``, then for each radiograph ``{"file",
"kinds", "answer", "mask", "map"}``, or ``{"file"}`` alone for one to be de-identified. It writes ``{"ready"}`` once it
can be asked, then for each a line ``{"bytes", "objects", "left_out"}`` or ``{"bytes", "burned_in"}``, followed by as
many bytes: the files one after another. What cannot be done is ``{"code", "reason"}``, or ``{"fault"}`` where it is not
the file's fault.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from laennec.bundle import Bundle, open_bundle
from laennec.errors import ImageError, UntrustedBundle
from laennec.images.decoder import bound
from laennec.images.dicom_frame import load_decoders
from laennec.nodes import discreet, instance_uid
from laennec.receiving.making import unpacked
from laennec.results import Prediction

_Tell = Callable[[dict[str, Any], list[bytes]], None]


def serve(job: dict[str, Any], asked: IO[bytes], tell: _Tell) -> None:
    """Make what `asked` names, line by line, until it ends; `job` and the lines are as the module says.

    Raises:
        UntrustedBundle: the bundle is not the one that answers.
    """
    bundle = open_bundle(Path(job["bundle"]))
    if bundle.digest != job["digest"]:
        raise UntrustedBundle("the bundle was changed since it was opened", "start the receiver again")
    load_decoders()
    with suppress(ImportError):  # each radiograph says what is missing
        import highdicom  # noqa: F401

        from laennec import deidentifying, filing  # noqa: F401
    if job["memory"]:
        bound(job["memory"])
    with discreet():
        tell({"ready": True}, [])
        for line in asked:
            try:
                tell(*_done(json.loads(line), bundle))
            except ImageError as error:
                tell({"code": error.code, "reason": error.message}, [])
            except MemoryError:
                tell({"code": "too_large", "reason": "making its objects takes too much memory"}, [])
            except BrokenPipeError:
                raise
            except Exception as error:  # the receiver keeps what this was about
                tell({"fault": type(error).__name__}, [])


def _done(job: dict[str, Any], bundle: Bundle) -> tuple[dict[str, Any], list[bytes]]:
    from laennec import deidentifying, filing

    data = Path(job["file"]).read_bytes()
    if "answer" not in job:
        without = deidentifying.deidentify(data)
        return {"burned_in": without.burned_in}, [] if without.burned_in else [without.data]
    answer: Prediction = Prediction.model_validate(job["answer"]).model_copy(
        update={"mask": unpacked(job["mask"]), "map": unpacked(job["map"])}
    )
    filed = filing.assemble(answer, bundle, data, job["kinds"])
    files = list(filed.objects.values())
    objects = [[kind, instance_uid(one), len(one)] for kind, one in filed.objects.items()]
    return {"objects": objects, "left_out": filed.left_out}, files


def main() -> int:
    """Serve one parent until it closes stdin. Exit code 0, or 1 where it cannot begin or the parent is gone."""
    # an interrupt is for the parent, which ends this process when it heeds it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # what a native decoder prints must not land among the answers
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def tell(fact: dict[str, Any], files: list[bytes]) -> None:
        answers.write(json.dumps(fact | {"bytes": sum(map(len, files))}).encode("ascii") + b"\n")
        for one in files:
            answers.write(one)
        answers.flush()

    try:
        serve(json.loads(sys.stdin.buffer.readline()), sys.stdin.buffer, tell)
    except Exception:  # the parent notices that it ended
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
