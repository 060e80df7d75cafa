"""What one case of hostile input is, and the picture that honest ones show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import corpus
import numpy as np
from numpy.typing import NDArray

Way = Literal["body", "form", "batch", "zip", "job", "raw", "command"]
"""How a case is sent: as the body of `/predict`, as a field of a form there, between two good files in a form of
`/batch_predict`, as the body of `/batch_predict` or of `/jobs`, as bytes of its own on a socket, or as files given to
the command line."""

ANSWER, CLOSED, BARE = "answer", "closed", "bare"
"""Answered 200; the connection ends without an answer; refused by the HTTP server itself, with no code of ours."""

STATUS = {
    **dict.fromkeys(("bad_request", "bad_host", "cross_site"), 400),
    "no_key": 401,
    **dict.fromkeys(("not_found", "no_model", "no_rule"), 404),
    "method_not_allowed": 405,
    "stalled": 408,
    **dict.fromkeys(("not_done", "other_job"), 409),
    **dict.fromkeys(("body_too_large", "too_many_files", "too_large"), 413),
    **dict.fromkeys(("unsupported_type", "unknown_syntax", "missing_extra"), 415),
    **dict.fromkeys(("empty", "corrupt_image", "no_pixels", "many_frames", "not_radiograph", "blank"), 422),
    **dict.fromkeys(("timeout", "decoder_died", "corrupt_archive"), 422),
    **dict.fromkeys(("not_chest", "lateral", "inverted", "turned"), 422),
    "too_often": 429,
    **dict.fromkeys(("model_fault", "fault"), 500),
    "no_state": 501,
    **dict.fromkeys(("overloaded", "stopping"), 503),
    "deadline": 504,
    "no_space": 507,
}
"""Status of every code that `docs/serving.md` lists."""

GATE = ("not_chest", "lateral", "inverted", "turned")
"""Codes of the gate: what is shown is not a frontal chest radiograph as it should be."""

PLAIN_SECONDS, PLAIN_MEGABYTES = 5.0, 256


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Attributes:
        name: unique.
        family: what it is hostile by.
        way: how it is sent.
        make: its content, made when asked: bytes of a file or archive; for ``raw`` what to do on the wire
            (`laennec` sees `Step`s); for ``command`` a `Command`.
        expects: codes any of which is right, and `ANSWER`, `CLOSED`, `BARE`; for ``command`` exit codes as text.
        seconds: until the answer.
        megabytes: by which the service and its decoders may grow meanwhile.
        query: of the URL.
        headers: sent besides.
        flagged: an answer is right only where it says ``refer``.
    """

    name: str
    family: str
    way: Way
    make: Callable[[], Any]
    expects: frozenset[str]
    seconds: float = PLAIN_SECONDS
    megabytes: int = PLAIN_MEGABYTES
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    flagged: bool = False


Told = tuple[str, Callable[[], bytes], str | Sequence[str]]


def files_sent(family: str, told: Sequence[Told], seed: int, **more: Any) -> list[Case]:
    """Cases of single files, each sent as body, in a form or amid a batch, as the seed deals it."""
    random = np.random.default_rng([seed, sum(family.encode())])
    ways: list[Way] = ["body", "body", "form", "batch"]
    dealt = random.integers(0, len(ways), len(told))
    return [
        Case(name, family, ways[way], make, codes(expects), **more)
        for (name, make, expects), way in zip(told, dealt, strict=True)
    ]


def codes(expects: str | Sequence[str]) -> frozenset[str]:
    """One code or several."""
    return frozenset([expects] if isinstance(expects, str) else expects)


@cache
def chest(side: int = 256, patient: int = 1) -> NDArray[np.uint8]:
    """An honest chest ``uint8 [side, side]``: a phantom that the gate lets in."""
    from laennec import phantom

    return np.rint(phantom.draw(2, patient, 0, side).pixels * 255).astype(np.uint8)


@cache
def deep() -> NDArray[np.int64]:
    """The same with 12 bits, ``[256, 256]``."""
    from laennec import phantom

    return np.rint(phantom.draw(2, 1, 0, 256).pixels * 4095).astype(np.int64)


@cache
def jpeg() -> bytes:
    """An honest chest as JPEG."""
    return corpus.saved(chest(), "JPEG", quality=92)


@cache
def png() -> bytes:
    """An honest chest as PNG."""
    return corpus.saved(chest())


@cache
def dicom() -> bytes:
    """An honest chest as DICOM."""
    return corpus.dicom(deep())


def swapped(data: bytes, old: bytes, new: bytes) -> bytes:
    """`data` with the first `old` made `new`."""
    assert old in data
    return data.replace(old, new, 1)
