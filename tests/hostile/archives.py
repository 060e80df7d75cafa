"""Zips that lie, escape, hide or break."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from functools import partial

from .bombs import packed
from .case import ANSWER, Case, codes, jpeg, png

FAMILY = "archives"


def cases(seed: int) -> list[Case]:
    """The family ``archives``."""
    return [
        *[Case(name, FAMILY, "zip", make, codes(expects)) for name, make, expects in _zips()],
        Case("archive: sent as one picture", FAMILY, "body", _good, codes("unsupported_type")),
        Case("archive: 17 files in a form", FAMILY, "batch", lambda: [png()] * 17, codes("too_many_files")),
        Case("archive: a form of no files", FAMILY, "batch", list, codes(("empty", "bad_request"))),
    ]


def _good() -> bytes:
    return packed(("a.png", png()), ("b.jpg", jpeg()))


def _named(name: str) -> bytes:
    return packed((name, png()))


def _mode(mode: int, content: bytes) -> bytes:
    """A zip whose one entry says it is of that Unix type."""
    data = bytearray(packed(("a.png", content)))
    at = data.index(b"PK\1\2")
    data[at + 5] = 3
    data[at + 38 : at + 42] = struct.pack("<I", mode << 16)
    return bytes(data)


def _edited(place: int, value: bytes, magics: tuple[tuple[bytes, int], ...]) -> bytes:
    data = bytearray(_good())
    for magic, off in magics:
        at = data.index(magic) + off + place
        data[at : at + len(value)] = value
    return bytes(data)


_BOTH = ((b"PK\3\4", 6), (b"PK\1\2", 8))  # the flags of an entry, where it stands and in the directory


def _flagged(flag: int) -> bytes:
    return _edited(0, struct.pack("<H", flag), _BOTH)


def _method(method: int) -> bytes:
    return _edited(2, struct.pack("<H", method), _BOTH)


def _sum_wrong() -> bytes:
    return _edited(8, b"\xde\xad\xbe\xef", _BOTH)


def _inside_wrong() -> bytes:
    data = bytearray(_good())
    data[60:90] = bytes(30)
    return bytes(data)


def _end(change: Callable[[list[int]], None]) -> bytes:
    data = _good()
    at = data.index(b"PK\5\6")
    said = list(struct.unpack("<4H2IH", data[at + 4 :]))
    change(said)
    return data[: at + 4] + struct.pack("<4H2IH", *said)


def _set(place: int, value: int) -> bytes:
    def change(said: list[int]) -> None:
        said[place] = value

    return _end(change)


def _quine() -> bytes:
    """A zip with a zip with itself, cut where it would go on: what is inside is no picture at any depth."""
    data = _good()
    for _ in range(40):
        data = packed(("again.zip", data), how=zipfile.ZIP_STORED)
    return data


def _twice() -> bytes:
    return packed(("a.png", png()), ("b.png", jpeg())).replace(b"b.png", b"a.png")


def _zips() -> list[tuple[str, Callable[[], bytes], object]]:
    broken, any_ = "corrupt_archive", (ANSWER, "corrupt_archive")
    names = {
        "upwards": "../../../../tmp/escaped.png",
        "absolute": "/tmp/escaped.png",  # noqa: S108  hostile on purpose
        "of a drive": "C:\\escaped.png",
        "with backslashes": "..\\..\\escaped.png",
        "with a NUL": "a.png\0.exe",
        "of 60,000 letters": "a" * 60_000,
        "of no letters": "",
        "of a device": "CON",
        "of control characters": "\x1b[2J\r\n.png",
        "turning right to left": "\u202egnp.exe",
    }
    return [
        *[(f"archive: a name {told}", partial(_named, name), (*any_, "empty")) for told, name in names.items()],
        ("archive: a link to /etc/passwd", partial(_mode, 0o120777, b"/etc/passwd"), (*any_, "unsupported_type")),
        ("archive: a device", partial(_mode, 0o020666, png()), any_),
        ("archive: a pipe", partial(_mode, 0o010666, png()), any_),
        ("archive: encrypted", partial(_flagged, 1), broken),
        ("archive: strongly encrypted", partial(_flagged, 0x41), broken),
        ("archive: patched data", partial(_flagged, 0x20), broken),
        ("archive: wrong sum", _sum_wrong, broken),
        ("archive: its data overwritten", _inside_wrong, broken),
        ("archive: method 99", partial(_method, 99), broken),
        ("archive: says stored, is deflated", partial(_method, 0), broken),
        ("archive: says LZMA", partial(_method, 14), broken),
        ("archive: says bzip2", partial(_method, 12), broken),
        ("archive: empty", packed, ("empty", broken)),
        ("archive: folders alone", partial(packed, ("a/", b""), ("b/", b"")), ("empty", broken)),
        ("archive: 17 pictures", lambda: packed(*[(f"{n}.png", png()) for n in range(17)]), "too_many_files"),
        ("archive: one name twice", _twice, any_),
        ("archive: cut in half", lambda: _good()[: len(_good()) // 2], broken),
        ("archive: cut before its directory", lambda: _good()[: _good().index(b"PK\1\2")], broken),
        ("archive: less its last byte", lambda: _good()[:-1], broken),
        ("archive: two magic letters", lambda: b"PK\3\4", broken),
        ("archive: of noise", lambda: b"PK\3\4" + bytes(range(256)) * 30, broken),
        ("archive: a directory past its end", partial(_set, 5, 0xFFFFFFF0), broken),
        ("archive: a directory of 4 GB", partial(_set, 4, 0xFFFFFFF0), broken),
        ("archive: on four disks", partial(_set, 0, 4), any_),
        ("archive: a comment past its end", partial(_set, 6, 65_535), any_),
        ("archive: 65,535 entries declared, 2 there", partial(_set, 3, 65_535), any_),
        ("archive: in itself, 40 deep", _quine, (ANSWER, broken)),
        ("archive: something else before it", lambda: b"PK\3\4" + bytes(900) + _good(), any_),
        ("archive: something else behind it", lambda: _good() + bytes(900), any_),
        ("archive: of texts", lambda: packed(("a.txt", b"hello"), ("b.html", b"<p>")), ANSWER),
        ("archive: of nothing long", lambda: packed(("a.png", b"")), ANSWER),
    ]
