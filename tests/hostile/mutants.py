# ruff: noqa: E501  one seed, one line
"""Good files, and how they are damaged: bytes, lengths, chunks, segments, elements, frames of a form.

A mutant is told by a seed and a number alone: `mutant(seed, number)` gives it again.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import corpus
import numpy as np

from .bombs import packed
from .case import chest, deep, jpeg, png
from .rasters import interlaced
from .requests import file_part, form, request

Random = np.random.Generator
Change = Callable[[Random, bytearray], bytearray]
_DATA = Path(__file__).parents[3] / "shared" / "data"
_NUMBERS = (0, 1, 2, 3, 7, 8, 15, 16, 127, 128, 255, 256, 32_767, 32_768, 65_534, 65_535, 2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)  # fmt: skip
_TEXTS = (
    b"NaN",
    b"inf",
    b"-1",
    b"0",
    b"1e308",
    b"1e-320",
    b"",
    b"\\",
    b"9" * 40,
    b"\0",
    b"%n%n",
    b"MONOCHROME1",
    b"RGB",
)


@cache
def good(kinds: str = "files") -> tuple[tuple[str, bytes], ...]:
    """Good files by name: ``files`` that the readers take, or ``requests``, whole ones for a socket."""
    if kinds == "requests":
        return tuple(_requests())
    small, colour, tables = chest(96), np.stack([chest(64)] * 3, -1), [corpus.lut([0, 9, 99], 0, 12)]
    found = [
        ("JPEG", jpeg()), ("JPEG, progressive", corpus.saved(small, "JPEG", progressive=True)),
        ("JPEG, colour", corpus.saved(colour, "JPEG")), ("JPEG, restarts", corpus.saved(small, "JPEG", restart_marker_rows=1)),
        ("JPEG, inks", corpus.saved(small, "JPEG", "CMYK")),
        ("PNG", corpus.saved(small)), ("PNG, 16 bits", corpus.saved(small.astype(np.uint16) * 257)),
        ("PNG, palette", corpus.saved(colour, mode="P")), ("PNG, alpha", corpus.saved(colour, mode="RGBA")),
        ("PNG, interlaced", interlaced()), ("PNG, 1 bit", corpus.saved(small, mode="1")),
    ]  # fmt: skip
    grey = deep()[::2, ::2]
    for name, syntax in (
        ("implicit", corpus.IMPLICIT), ("explicit", corpus.EXPLICIT), ("big endian", corpus.BIG), ("deflated", corpus.DEFLATED),
        ("RLE", corpus.RLE), ("JPEG 2000", corpus.J2K_LOSSLESS), ("lossless JPEG", corpus.JPEG_LOSSLESS_1), ("JPEG-LS", corpus.JPEG_LS),
    ):  # fmt: skip
        found.append((f"DICOM, {name}", corpus.dicom(grey, syntax=syntax, WindowCenter=2000, WindowWidth=3000)))
    plain = partial(corpus.dicom, grey)
    found += [
        ("DICOM, JPEG", corpus.dicom(small, 8, syntax=corpus.BASELINE)),
        ("DICOM, tables", plain(VOILUTSequence=tables, ModalityLUTSequence=tables)),
        ("DICOM, rescaled", plain(RescaleSlope=2, RescaleIntercept=-1024, PixelPaddingValue=0)),
        ("DICOM, signed", plain(signed=True)), ("DICOM, no preamble", plain(preamble=False)),
        ("DICOM, colour", corpus.dicom(colour, 8, photometric="RGB")),
    ]  # fmt: skip
    real = [*sorted((_DATA / "dicom").glob("*RG1*.dcm"))[:1], *sorted((_DATA / "kermany").glob("test/*/*.jpeg"))[:2]]
    return tuple(found + [(path.name, path.read_bytes()) for path in real])


def _requests() -> list[tuple[str, bytes]]:
    kind = {"Content-Type": "multipart/form-data; boundary=laennec-hostile-7f3a"}
    three = form(*[file_part(one) for one in (png(), jpeg(), b"x")])
    archive = packed(("a.png", png()), ("b/c.jpg", jpeg()), how=zipfile.ZIP_STORED)
    chunks = b"".join(f"{len(c):x}\r\n".encode() + c + b"\r\n" for c in (jpeg()[:5000], jpeg()[5000:], b""))
    return [
        ("a body", request(body=jpeg())),
        ("a form", request(body=form(file_part(png())), headers=kind)),
        ("a batch", request(path="/batch_predict", body=three, headers=kind)),
        ("a zip", request(path="/batch_predict", body=archive)),
        ("a packed zip", request(path="/batch_predict", body=packed(("a.png", png()), ("b.png", png())))),
        ("a job", request(path="/jobs", body=archive)),
        ("chunks", request(body=chunks, headers={"Transfer-Encoding": "chunked"}, length=False)),
        (
            "a query",
            request(path="/predict?model=tiny&rule=balanced&with=picture,lungs,map&deadline_ms=500", body=png()),
        ),
        ("a page", request("GET", "/jobs/0123456789abcdef0123456789abcdef/results")),
        ("objects", request(path="/objects?kinds=report", body=corpus.dicom(deep()))),
    ]


def mutant(seed: int, number: int, kinds: str = "files") -> tuple[str, bytes]:
    """Mutant `number`: the name of what it was, and its bytes."""
    random, parents = np.random.default_rng([seed, number]), good(kinds)
    name, data = parents[int(random.integers(len(parents)))]
    out, changes = bytearray(data), _changes(data)
    for _ in range(int(random.integers(1, 5))):
        out = changes[int(random.integers(len(changes)))](random, out) or bytearray(data)
    return name, bytes(out)


def _changes(data: bytes) -> Sequence[Change]:
    plain: list[Change] = [_flip, _number, _delete, _repeat, _splice, _cut, _text]
    if data.startswith(b"\x89PNG"):
        return [*plain[:3], _chunks, _chunks, _chunks, _rows]
    if data.startswith(b"\xff\xd8"):
        return [*plain[:3], _segments, _segments, _segments, _scan]
    if data[128:132] == b"DICM":
        return [*plain[:3], _elements, _elements, _elements, _elements, _coded]
    if data.startswith((b"POST", b"GET")):
        return [_flip, _number, _head, _head, _head, _delete, _repeat, _text, _archive]
    return plain


# Any bytes -----------------------------------------------------------------------------------------------------------


def _place(random: Random, data: bytearray) -> int:
    """Somewhere, more often near the start, where headers are."""
    most = len(data) if random.random() < 0.5 else min(len(data), 700)
    return int(random.integers(max(1, most)))


def _flip(random: Random, data: bytearray) -> bytearray:
    for _ in range(int(random.integers(1, 9))):
        if data:
            data[_place(random, data)] ^= 1 << int(random.integers(8))
    return data


def _number(random: Random, data: bytearray) -> bytearray:
    """A number of 1, 2 or 4 bytes, in either order, becomes one at which programs err."""
    value, kind = int(random.choice(_NUMBERS)), str(random.choice(["B", "<H", ">H", "<I", ">I"]))
    coded = struct.pack(kind, value % 256 ** struct.calcsize(kind))
    at = _place(random, data)
    data[at : at + len(coded)] = coded
    return data


def _delete(random: Random, data: bytearray) -> bytearray:
    at = _place(random, data)
    del data[at : at + int(random.integers(1, 300))]
    return data


def _repeat(random: Random, data: bytearray) -> bytearray:
    at, size = _place(random, data), int(random.integers(1, 60))
    data[at:at] = data[at : at + size] * int(random.choice([1, 2, 50, 2000]))
    return data


def _splice(random: Random, data: bytearray) -> bytearray:
    others = good()
    other = others[int(random.integers(len(others)))][1]
    start = int(random.integers(len(other)))
    at = _place(random, data)
    data[at : at + int(random.integers(2000))] = other[start : start + int(random.integers(1, 4000))]
    return data


def _cut(random: Random, data: bytearray) -> bytearray:
    return data[: int(random.integers(len(data) + 1))]


def _text(random: Random, data: bytearray) -> bytearray:
    at = _place(random, data)
    data[at:at] = _TEXTS[int(random.integers(len(_TEXTS)))]
    return data


# PNG -----------------------------------------------------------------------------------------------------------------


def _read_chunks(data: bytearray) -> list[tuple[bytes, bytearray]]:
    found, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append((bytes(data[at + 4 : at + 8]), data[at + 8 : at + 8 + min(length, len(data))]))
        at += 12 + length
    return found


def _written(chunks: Sequence[tuple[bytes, bytearray]]) -> bytearray:
    return bytearray(b"\x89PNG\r\n\x1a\n" + b"".join(corpus.chunk(name, bytes(body)) for name, body in chunks))


def _chunks(random: Random, data: bytearray) -> bytearray:
    """Chunks changed, left out, doubled or put in, every sum right."""
    chunks = _read_chunks(data)
    if not chunks:
        return data
    one, what = int(random.integers(len(chunks))), int(random.integers(6))
    if what <= 1:
        chunks[one if what else 0] = (chunks[one if what else 0][0], _number(random, chunks[one if what else 0][1]))
    elif what == 2:
        del chunks[one]
    elif what == 3:
        chunks.insert(int(random.integers(len(chunks) + 1)), chunks[one])
    elif what == 4:
        chunks[one] = (chunks[one][0], chunks[one][1][: int(random.integers(len(chunks[one][1]) + 1))])
    else:
        names = (
            b"tRNS",
            b"PLTE",
            b"gAMA",
            b"iCCP",
            b"zTXt",
            b"iTXt",
            b"eXIf",
            b"pHYs",
            b"acTL",
            b"fcTL",
            b"fdAT",
            b"cHRM",
            b"IDAT",
            b"ABCD",
        )
        chunks.insert(
            min(1, len(chunks)),
            (names[int(random.integers(len(names)))], bytearray(random.bytes(int(random.integers(40))))),
        )
    return _written(chunks)


def _rows(random: Random, data: bytearray) -> bytearray:
    """The rows inside the packed data changed, packed again."""
    chunks = _read_chunks(data)
    packed_ = b"".join(body for name, body in chunks if name == b"IDAT")
    try:
        raw = bytearray(zlib.decompress(packed_))
    except zlib.error:
        return data
    raw = (_flip, _delete, _repeat, _cut)[int(random.integers(4))](random, raw)
    first = next((n for n, (name, _) in enumerate(chunks) if name == b"IDAT"), 0)
    kept = [one for one in chunks if one[0] != b"IDAT"]
    return _written([*kept[:first], (b"IDAT", bytearray(zlib.compress(bytes(raw[:2_000_000])))), *kept[first:]])


# JPEG ----------------------------------------------------------------------------------------------------------------


def _segments(random: Random, data: bytearray) -> bytearray:
    """Segments before the first scan changed, left out, doubled, moved or named otherwise, every length right."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        found.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + length
    if not found:
        return _flip(random, data)
    one, what = int(random.integers(len(found))), int(random.integers(6))
    marker, body = found[one]
    if what <= 1:
        found[one] = (marker, _number(random, body) if what else _flip(random, body))
    elif what == 2:
        del found[one]
    elif what == 3:
        found.insert(int(random.integers(len(found) + 1)), found[one])
    elif what == 4:
        found[one] = (int(random.integers(0xC0, 0xFF)), body)
    else:
        found[one] = (marker, body[: int(random.integers(len(body) + 1))])
    told = b"".join(struct.pack(">BBH", 0xFF, m, len(b[:65_000]) + 2) + b[:65_000] for m, b in found)
    return data[:2] + told + data[at:]


def _scan(random: Random, data: bytearray) -> bytearray:
    at = data.find(b"\xff\xda")
    inside = (_flip, _delete, _repeat, _number)[int(random.integers(4))](random, data[at + 2 :])
    return data[: at + 2] + inside


# DICOM ---------------------------------------------------------------------------------------------------------------


def _elements(random: Random, data: bytearray) -> bytearray:
    """An element of an explicit file given another value, length, type or tag; left out, doubled, or nested."""
    places, at = [], 132
    while at + 8 <= len(data):
        long = bytes(data[at + 4 : at + 6]) in (b"OB", b"OW", b"SQ", b"UN", b"UT")
        length = int.from_bytes(data[at + 8 : at + 12] if long else data[at + 6 : at + 8], "little")
        start = at + (12 if long else 8)
        if not bytes(data[at + 4 : at + 6]).isalpha() or start + length > len(data):
            break
        places.append((at, start, start + length))
        at = start + length
    if not places:
        return _flip(random, data)
    at, start, stop = places[int(random.integers(len(places)))]
    what = int(random.integers(8))
    if what == 0:
        data[start:stop] = _number(random, data[start:stop])[: stop - start]
    elif what == 1:
        data[at + 6 : at + 8] = struct.pack("<H", int(random.choice(_NUMBERS)) % 65_536)
    elif what == 2:
        kinds = b"AE AS AT CS DA DS DT FL FD IS LO LT OB OW PN SH SL SQ SS ST TM UI UL UN US UT ZZ".split()
        data[at + 4 : at + 6] = kinds[int(random.integers(len(kinds)))]
    elif what == 3:
        del data[at:stop]
    elif what == 4:
        data[stop:stop] = data[at:stop] * int(random.choice([1, 2, 300]))
    elif what == 5:
        text = _TEXTS[int(random.integers(len(_TEXTS)))]
        text += b" " * (len(text) % 2)
        data[start:stop] = text
        data[at + 6 : at + 8] = struct.pack("<H", len(text))
    elif what == 6:
        tags = (
            0x00281050,
            0x00281051,
            0x00281052,
            0x00281053,
            0x00280008,
            0x00280120,
            0x00283010,
            0x00283000,
            0x20500020,
            0x00185101,
        )
        tag = tags[int(random.integers(len(tags)))]
        text = _TEXTS[int(random.integers(len(_TEXTS)))]
        text += b" " * (len(text) % 2)
        data[at:at] = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"DS", len(text)) + text
    else:
        opened = struct.pack("<HH2sHI", 0x40, 0x275, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
            "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
        )
        shut = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        depth = int(random.integers(1, 200))
        data[at:at] = opened * depth + shut * int(depth - random.integers(2))
    return data


def _coded(random: Random, data: bytearray) -> bytearray:
    """The pixels, mostly a coded stream, changed."""
    at = data.find(b"\xe0\x7f\x10\0")
    if at < 0:
        return data
    inside = (_flip, _number, _delete, _repeat)[int(random.integers(4))](random, data[at + 8 :])
    return data[: at + 8] + inside


# Requests ------------------------------------------------------------------------------------------------------------


def _head(random: Random, data: bytearray) -> bytearray:
    """The request line, the headers and the frame of a form."""
    end = data.find(b"\r\n\r\n") + 4
    what = int(random.integers(4))
    if what == 0:
        lines = bytes(data[:end]).split(b"\r\n")
        one = int(random.integers(len(lines)))
        lines[one : one + 1] = [lines[one]] * int(random.choice([0, 2, 30]))
        return bytearray(b"\r\n".join(lines)) + data[end:]
    head = (_flip, _number, _text)[what - 1](random, data[: end + int(random.integers(200))])
    return head + data[end:]


def _archive(random: Random, data: bytearray) -> bytearray:
    """The directory of a zip."""
    magics = [at for magic in (b"PK\1\2", b"PK\5\6", b"PK\3\4") if (at := data.find(magic)) >= 0]
    if not magics:
        return _flip(random, data)
    at = magics[int(random.integers(len(magics)))] + int(random.integers(4, 46))
    value = int(random.choice(_NUMBERS))
    kind = str(random.choice(["<H", "<I"]))
    coded = struct.pack(kind, value % 256 ** struct.calcsize(kind))
    data[at : at + len(coded)] = coded
    return data
