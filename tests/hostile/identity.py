# ruff: noqa: E501  one case, one line
"""Names planted wherever a request has room for one. They are sent, and then looked for in all the service leaves."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from functools import partial
from typing import Any

import corpus
from corpus import chunk

from .bombs import packed
from .case import ANSWER, GATE, Case, codes, deep, dicom, jpeg, png
from .requests import BOUNDARY, Wire, file_part, form, request

FAMILY = "identifying text"
PLANTED = "Qzplanted"
"""Every planted name begins so, whatever follows; nothing else in the world does."""


def planted(place: str) -> str:
    """A name, and where it was planted."""
    return f"{PLANTED}{place.title().replace(' ', '')}"


def cases(seed: int) -> list[Case]:
    """The family ``identifying text``."""
    files = [
        *[(f"planted in {name}", make, (ANSWER, *GATE, *more)) for name, make, *more in _files()],
        *[(f"planted in a refused file, {name}", make, tuple(more)) for name, make, *more in _refused()],
    ]
    sent = [Case(name, FAMILY, "body", make, codes(expects)) for name, make, expects in files]
    sent += [
        Case(f"{name}, in a job", FAMILY, "job", partial(_zip_of, make), codes(ANSWER)) for name, make, _ in files[:6]
    ]
    return sent + _requests()


def _tags() -> dict[str, Any]:
    words = {
        "PatientName": "patient^name", "PatientID": "id", "OtherPatientIDs": "other", "PatientAddress": "address",
        "ReferringPhysicianName": "referring", "InstitutionName": "institution", "StationName": "station",
        "StudyDescription": "study", "SeriesDescription": "series", "PatientComments": "comments",
        "AccessionNumber": "accession", "OperatorsName": "operator", "ProtocolName": "protocol",
    }  # fmt: skip
    return {keyword: planted(place) for keyword, place in words.items()}


def _private() -> bytes:
    """A name under a private tag, with a creator of that name."""
    value = planted("private").ljust(40).encode()
    more = struct.pack("<HH2sH", 0x0029, 0x0010, b"LO", len(value)) + value
    more += struct.pack("<HH2sH", 0x0029, 0x1010, b"LO", len(value)) + value
    data = dicom()
    at = data.index(struct.pack("<HH", 0x7FE0, 0x0010))
    return data[:at] + more + data[at:]


def _wrong_type() -> bytes:
    """A name where a number is expected, so that a complaint might quote it."""
    return corpus.dicom(deep(), **_tags()).replace(
        b"\x28\0\x10\0US\2\0\0\1", b"\x28\0\x10\0LO\x0a\0" + b"Qzplanted ", 1
    )


def _exif() -> bytes:
    name = planted("exif").encode()
    entry = struct.pack("<HHII", 0x010E, 2, len(name), 26) + struct.pack("<I", 0)
    body = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + name
    data = jpeg()
    return data[:2] + struct.pack(">BBH", 0xFF, 0xE1, len(body) + 2) + body + data[2:]


def _comment() -> bytes:
    body, data = planted("comment").encode() * 40, jpeg()
    return data[:2] + struct.pack(">BBH", 0xFF, 0xFE, len(body) + 2) + body + data[2:]


def _words(kind: bytes) -> bytes:
    data, name = png(), planted("words").encode()
    bodies = {b"tEXt": b"Author\0" + name, b"iTXt": b"Author\0\0\0\0\0" + name, b"eXIf": b"II*\0" + name, b"abCd": name}
    return data[:33] + chunk(kind, bodies[kind]) + data[33:]


def _files() -> list[tuple[Any, ...]]:
    return [
        ("tags", lambda: corpus.dicom(deep(), **_tags())),
        ("tags of a compressed file", lambda: corpus.dicom(deep(), syntax=corpus.J2K_LOSSLESS, **_tags())),
        ("private tags", _private),
        ("the preamble", lambda: planted("preamble").ljust(128).encode() + dicom()[128:]),
        ("EXIF", _exif),
        ("a JPEG's comment", _comment),
        ("a PNG's words", partial(_words, b"tEXt")),
        ("a PNG's international words", partial(_words, b"iTXt")),
        ("a PNG's EXIF", partial(_words, b"eXIf")),
        ("a PNG's unknown chunk", partial(_words, b"abCd")),
        ("what follows a PNG", lambda: png() + planted("behind").encode()),
        ("the view", lambda: corpus.dicom(deep(), ViewPosition=PLANTED.upper()[:16])),
    ]


def _refused() -> list[tuple[Any, ...]]:
    tags = _tags()
    photometric = "PhotometricInterpretation"
    return [
        ("a modality", lambda: corpus.dicom(deep(), **tags | {"Modality": PLANTED.upper()}), "not_radiograph"),
        ("a colour", lambda: corpus.dicom(deep(), **tags | {photometric: PLANTED.upper()}), "unsupported_type"),
        ("a transfer syntax", _syntax, "unknown_syntax"),
        ("a number that is none", _wrong_type, "corrupt_image", "too_large"),
        ("a report", lambda: corpus.dicom(deep(), **tags | {"Modality": "SR"}), "not_radiograph", "no_pixels"),
        ("a cut file", lambda: corpus.dicom(deep(), **tags)[:9000], "corrupt_image"),
        ("a text", lambda: f"patient: {planted('text')}\n".encode() * 30, "unsupported_type"),
        ("a page", f"<html>{planted('page')}</html>".encode, "unsupported_type"),
        ("noise with a name", lambda: b"\x01\x02" + planted("noise").encode() * 90, "unsupported_type"),
        ("a JPEG of nothing", lambda: b"\xff\xd8\xff" + planted("jpeg").encode() * 90, "corrupt_image"),
    ]  # fmt: skip


def _syntax() -> bytes:
    old = struct.pack("<HH2sH", 0x0002, 0x0010, b"UI", 20) + corpus.EXPLICIT.encode() + b"\0"
    new = struct.pack("<HH2sH", 0x0002, 0x0010, b"UI", 20) + planted("syntax").encode()[:20].ljust(20)
    data = dicom()
    assert old in data
    return data.replace(old, new, 1)


def _zip_of(make: Callable[[], bytes]) -> bytes:
    return packed((planted("entry") + ".dcm", make()), how=zipfile.ZIP_STORED)


def _requests() -> list[Case]:
    name, coded = planted("request"), planted("request").encode()
    disposition = b'Content-Disposition: form-data; name="' + coded + b'"'
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}

    def formed(*parts: tuple[bytes, bytes]) -> bytes:
        return request(body=form(*parts), headers=kind)

    away = ("not_found", "bad_request", "no_model", "no_rule", "bare")
    told: list[tuple[str, Callable[[], bytes], object, str]] = [
        ("a file's name", lambda: formed(file_part(png(), name=coded + b".png")), ANSWER, "POST"),
        ("a refused file's name", lambda: formed(file_part(b"x", name=coded + b".png")), "unsupported_type", "POST"),
        ("a field's name", lambda: formed((disposition, b"x"), file_part(png())), (ANSWER, "bad_request"), "POST"),
        ("a field", lambda: formed((b'Content-Disposition: form-data; name="note"', coded), file_part(png())), (ANSWER, "bad_request"), "POST"),
        ("a part's header", lambda: formed((b'X-A: ' + coded + b'\r\nContent-Disposition: form-data; name="file"', png())), (ANSWER, "bad_request"), "POST"),
        ("a broken form", lambda: formed((coded, png())), ("bad_request", "empty"), "POST"),
        ("a header", lambda: request(body=jpeg(), headers={"X-Patient": name, "User-Agent": name, "Referer": name, "Cookie": "a=" + name}), ANSWER, "POST"),
        ("a request id", lambda: request(body=jpeg(), headers={"X-Request-Id": name, "Traceparent": name}), ANSWER, "POST"),
        ("a host", lambda: request(body=jpeg(), headers={"Host": name + ".example"}), "bad_host", "POST"),
        ("an origin", lambda: request(body=jpeg(), headers={"Origin": "http://" + name}), "cross_site", "POST"),
        ("a content type", lambda: request(body=jpeg(), headers={"Content-Type": "image/" + name}), (ANSWER, "bad_request"), "POST"),
        ("a boundary", lambda: request(body=b"x", headers={"Content-Type": "multipart/form-data; boundary=" + name}), ("bad_request", "empty"), "POST"),
        ("a wrong key", lambda: request(body=jpeg(), headers={"X-API-Key": name}), "no_key", "POST"),
        ("a user's name beside the key", lambda: request(body=jpeg(), headers={"Authorization": "Bearer " + name}, drop=("X-API-Key",)), "no_key", "POST"),
        ("a query", lambda: request(path=f"/predict?patient={name}", body=jpeg()), (ANSWER, "bad_request"), "POST"),
        ("a model", lambda: request(path=f"/predict?model={name}", body=jpeg()), "no_model", "POST"),
        ("a rule", lambda: request(path=f"/predict?rule={name}", body=jpeg()), "no_rule", "POST"),
        ("a layer", lambda: request(path=f"/predict?with={name}", body=jpeg()), "bad_request", "POST"),
        ("a deadline", lambda: request(path=f"/predict?deadline_ms={name}", body=jpeg()), "bad_request", "POST"),
        ("a path", lambda: request("GET", f"/{name}"), away, "GET"),
        ("a page's path", lambda: request("GET", f"/page/{name}"), away, "GET"),
        ("a job's id", lambda: request("GET", f"/jobs/{name}"), away, "GET"),
        ("a model's card", lambda: request("GET", f"/model?model={name}"), away, "GET"),
        ("a method", lambda: request(name.upper(), "/predict"), ("method_not_allowed", "bad_request", "bare", "closed", "cross_site", "not_found"), "POST"),
        ("a broken request", lambda: coded + b" / nonsense\r\n\r\n", ("bare", "closed"), "POST"),
    ]  # fmt: skip

    def wire(make: Callable[[], bytes], method: str) -> Wire:
        return Wire([make()], methods=(method,))

    return [
        Case(f"planted in {place}", FAMILY, "raw", partial(wire, make, method), codes(expects))  # type: ignore[arg-type]
        for place, make, expects, method in told
    ]
