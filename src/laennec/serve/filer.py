"""DICOM objects of an answer, made in a process of its own: a stranger's header is parsed there, within bounds.

``python -m laennec.serve.filer`` reads from stdin a line of JSON, then the DICOM file; it writes a zip to stdout, or a
line of JSON with code and reason to stderr and ends with 3.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from laennec.errors import ImageError, LaennecError
from laennec.images.headers import looks_like
from laennec.serve.faults import Fault, bad_request, too_late

if TYPE_CHECKING:
    from laennec.results import Prediction
    from laennec.serve.service import Ask, Service

_SECONDS = 30.0
_ROOM = asyncio.Semaphore(1)


async def filed(service: Service, data: bytes, ask: Ask, kinds: tuple[str, ...]) -> bytes:
    """A zip with the DICOM objects of one DICOM file's answer.

    Raises:
        ImageError: it cannot be read, or is no DICOM file.
        Fault: an unknown kind; the objects cannot be made.
    """
    if looks_like(data) != "DICOM":
        raise ImageError("unsupported_type", "DICOM objects join a DICOM study", "send the DICOM file")
    known = known_kinds()
    if set(kinds) - set(known):
        raise bad_request("there is no such kind of object", f"known: {', '.join(known)}")
    from dataclasses import replace

    told = await service.answer(data, replace(ask, wanted=("map",)))
    head = {
        "bundle": str(ask.model.bundle.path.resolve()),
        "kinds": list(kinds) or None,
        "answer": told.prediction.model_dump(mode="json"),
        "mask": _packed(told.prediction.mask),
        "map": _packed(told.prediction.map),
        "memory": service.settings.decoder_bytes,
    }
    try:
        async with asyncio.timeout(max(0.0, min(_SECONDS, ask.deadline - time.monotonic()))):
            async with _ROOM:
                return await _asked(json.dumps(head).encode() + b"\n" + data)
    except TimeoutError as error:
        raise too_late() from error


def known_kinds() -> tuple[str, ...]:
    """The kinds of objects there are."""
    from laennec import family

    return tuple(sorted(family.names("objects")))


async def _asked(message: bytes) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "laennec.serve.filer",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    try:
        out, said = await process.communicate(message)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode == 0:
        return out
    try:
        told = json.loads(said.decode("ascii", "replace").strip().splitlines()[-1])
        raise Fault(422, str(told["code"]), str(told["reason"]), "send the file as the scanner made it")
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise Fault(422, "corrupt_image", "the header lacks what the objects need", "send it as it was made") from error


def _packed(array: Any) -> dict[str, Any] | None:
    if array is None:
        return None
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return {"shape": list(array.shape), "type": str(array.dtype), "data": data}


def _unpacked(packed: dict[str, Any] | None) -> Any:
    if packed is None:
        return None
    return np.frombuffer(base64.b64decode(packed["data"]), packed["type"]).reshape(packed["shape"])


def main() -> int:
    """Make the objects of one file. 0, or 3 with the reason."""
    from laennec.bundle import open_bundle
    from laennec.filing import assemble
    from laennec.images.decoder import bound
    from laennec.results import Prediction

    head = json.loads(sys.stdin.buffer.readline())
    data = sys.stdin.buffer.read()
    bound(head["memory"])
    answer: Prediction = Prediction.model_validate(head["answer"]).model_copy(
        update={"mask": _unpacked(head["mask"]), "map": _unpacked(head["map"])}
    )
    try:
        made = assemble(answer, open_bundle(Path(head["bundle"])), data, head["kinds"])
    except LaennecError as error:
        code = error.code if isinstance(error, ImageError) else "corrupt_image"
        sys.stderr.write(json.dumps({"code": code, "reason": error.message}) + "\n")
        return 3
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind, written in made.objects.items():
            archive.writestr(zipfile.ZipInfo(f"{kind}.dcm"), written)
        if made.left_out:
            archive.writestr(zipfile.ZipInfo("left-out.json"), json.dumps(made.left_out, indent=2))
    sys.stdout.buffer.write(stream.getvalue())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
