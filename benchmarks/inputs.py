"""What a service is asked: radiographs, and what nobody should send."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from openloop import Payload
from PIL import Image

from laennec import phantom

Made = Callable[..., Payload]  # `Service.payload`
TESTS = Path(__file__).resolve().parents[1] / "tests"
BOUNDARY = "radiographs-follow"


def radiographs(folder: Path | None, n: int, seed: int = 0, side: int = 512) -> list[bytes]:
    """`n` JPEG files: of `folder`, drawn with `seed`, or phantoms of `side` pixels where there is none.

    Raises:
        SystemExit: the folder holds too few.
    """
    if folder is None:
        return [_jpeg(phantom.draw(seed, patient, size=side).pixels) for patient in range(n)]
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpeg", ".jpg"})
    if len(found) < n:
        raise SystemExit(f"{folder} holds {len(found)} JPEG files, {n} are needed")
    return [found[at].read_bytes() for at in np.random.default_rng([seed, 3]).choice(len(found), n, replace=False)]


def _jpeg(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def form(files: Sequence[bytes]) -> tuple[bytes, str]:
    """A form with `files` in the field ``file``, and its content type."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{n}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + content
        + b"\r\n"
        for n, content in enumerate(files)
    ]
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()]), f"multipart/form-data; boundary={BOUNDARY}"


def hostile(made: Made, good: bytes, seed: int = 0, most: int | None = None) -> list[Payload]:
    """The corpus of ``tests/hostile`` as single requests, and clients that go away; `made` is `Service.payload`.

    Left out: what needs more than one connection or waits in between, what is rightly answered by nothing, what takes
    longer than usual, jobs.

    Args:
        good: a radiograph.
        most: so many of them, drawn with `seed`; they are costly to make.
    """
    sys.path.insert(0, str(TESTS))
    from hostile.case import CLOSED, PLAIN_SECONDS
    from hostile.cases import all_cases

    cases = [case for case in all_cases(seed) if CLOSED not in case.expects and case.seconds <= PLAIN_SECONDS]
    order = np.random.default_rng([seed, 5]).permutation(len(cases))
    found: list[Payload] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for at in order:
            if most is not None and len(found) >= most:
                break
            payload = _of_case(made, cases[at], good)
            found += [payload] if payload else []
    whole = made("/predict", good).data
    return [
        *found,
        Payload("half a body, then gone", whole[: len(whole) // 2], True, True, 0.05),
        Payload("does not wait", whole, True, True, 0.01),
    ]


def _of_case(made: Made, case: Any, good: bytes) -> Payload | None:
    """One case as one request; None where it is more than that."""
    query, content = f"?{case.query}" if case.query else "", case.make()
    if case.way == "raw":
        from hostile.requests import HOST, KEY

        plain = content.answers == 1 and not content.beside and not content.shut
        if not plain or not all(isinstance(step, bytes) for step in content.steps):
            return None
        host = made("/").data.split(b"Host: ")[1].split(b"\r\n")[0]
        data = b"".join(content.steps).replace(HOST, host).replace(KEY, b"none")
        return Payload(case.name, data, True, True)
    if case.way in ("form", "batch"):
        batch = content if isinstance(content, list) else [good, content, good]
        body, kind = form(batch if case.way == "batch" else [content])
        path = "/batch_predict" if case.way == "batch" else "/predict"
        return Payload(case.name, made(path + query, body, kind=kind).data, True)
    if case.way in ("body", "zip"):
        path = "/predict" if case.way == "body" else "/batch_predict"
        more = {name.replace("-", "_"): value for name, value in case.headers}
        kind = more.pop("Content_Type", "application/octet-stream")
        return Payload(case.name, made(path + query, content, kind=kind, **more).data, True, bool(more))
    return None


def mixture(good: Sequence[Payload], bad: Sequence[Payload], n: int, share: float, seed: int = 0) -> list[Payload]:
    """`n` requests, `share` of them hostile and spread at random; each kind of them about as often."""
    rng = np.random.default_rng([seed, 9])
    chosen = np.zeros(n, bool)
    chosen[rng.choice(n, round(n * share), replace=False)] = True
    order = rng.permutation(np.arange(chosen.sum()) % len(bad))
    turns = iter(order)
    return [bad[next(turns)] if one else good[at % len(good)] for at, one in enumerate(chosen)]
