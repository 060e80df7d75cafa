# ruff: noqa: E501  one case, one line
"""JPEG and PNG files whose structure lies, breaks off or says more than a radiograph does."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import partial

import corpus
import numpy as np
from corpus import chunk
from PIL import Image

from .case import ANSWER, GATE, Case, Told, chest, files_sent, jpeg, png

_DAMAGED = (ANSWER, "corrupt_image", "blank", *GATE)  # what a lenient decoder may still read, and the gate then judges


def cases(seed: int) -> list[Case]:
    """The family ``image structure``."""
    return files_sent("image structure", [*_jpegs(), *_pngs(), *_types()], seed)


def _cuts(name: str, make: Callable[[], bytes], at: Sequence[float]) -> list[Told]:
    def cut(share: float) -> bytes:
        data = make()
        return data[: max(9, round(len(data) * share))]

    return [(f"{name} cut at {share:.1%}", partial(cut, share), "corrupt_image") for share in at]


# JPEG ----------------------------------------------------------------------------------------------------------------


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _after_start(*segments: bytes) -> bytes:
    data = jpeg()
    return data[:2] + b"".join(segments) + data[2:]


def _without(marker: int) -> bytes:
    """An honest JPEG without its segments of one kind."""
    data, kept, at = jpeg(), [jpeg()[:2]], 2
    while data[at + 1] != 0xDA:
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != marker:
            kept.append(data[at : at + length])
        at += length
    return b"".join(kept) + data[at:]


def _frame(change: Callable[[bytearray], None], marker: bytes = b"\xff\xc0") -> bytes:
    """An honest JPEG whose frame header `change` alters; it begins at the marker."""
    data = bytearray(jpeg())
    at = data.index(marker)
    head = data[at : at + 19]
    change(head)
    data[at : at + 19] = head
    return bytes(data)


def _sized(height: int, width: int) -> bytes:
    def change(head: bytearray) -> None:
        head[5:9] = struct.pack(">HH", height, width)

    return _frame(change)


def _set(place: int, value: int) -> bytes:
    def change(head: bytearray) -> None:
        head[place] = value

    return _frame(change)


def _table(marker: bytes, place: int, content: bytes) -> bytes:
    data = bytearray(jpeg())
    at = data.index(marker) + place
    data[at : at + len(content)] = content
    return bytes(data)


def _scan_of(content: bytes) -> bytes:
    data = jpeg()
    at = data.index(b"\xff\xda")
    return data[: at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")] + content + b"\xff\xd9"


def _exif(entries: bytes, count: int) -> bytes:
    body = b"Exif\0\0II*\0" + struct.pack("<IH", 8, count) + entries
    return _after_start(_segment(0xE1, body))


def _turned(orientation: int) -> bytes:
    entry = struct.pack("<HHII", 0x0112, 3, 1, orientation)
    return _exif(entry + struct.pack("<I", 0), 1)


def _colour(mode: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(chest()).convert("RGB").convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def _jpegs() -> list[Told]:
    grey, twelve = chest(64), corpus.ramp(12)
    lossless = partial(corpus.compressed, twelve, 12, False)
    both = partial(_both_formats, jpeg)
    return [
        *_cuts("JPEG", jpeg, (0.0005, 0.002, 0.01, 0.03, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.9995)),
        ("JPEG, two bytes", lambda: b"\xff\xd8", "unsupported_type"),
        ("JPEG, three bytes", lambda: b"\xff\xd8\xff", "corrupt_image"),
        ("JPEG, start and end alone", lambda: b"\xff\xd8\xff\xd9", "corrupt_image"),
        ("JPEG of filling bytes", lambda: b"\xff\xd8" + b"\xff" * 300_000, "corrupt_image"),
        *[(f"JPEG cut at {n} % with its end put back", partial(_ended, n / 100), "corrupt_image") for n in (10, 50, 90)],
        ("JPEG less its last marker", lambda: jpeg()[:-2], "corrupt_image"),
        ("JPEG of no rows", partial(_sized, 0, 256), "corrupt_image"),
        ("JPEG of no columns", partial(_sized, 256, 0), "corrupt_image"),
        ("JPEG that declares more rows", partial(_sized, 512, 256), _DAMAGED),
        ("JPEG that declares fewer rows", partial(_sized, 64, 256), _DAMAGED),
        ("JPEG that declares other columns", partial(_sized, 256, 311), _DAMAGED),
        ("JPEG of 65,535 squared", partial(_sized, 65_535, 65_535), "too_large"),
        ("JPEG of 5,000 squared and nothing in it", partial(_sized, 5000, 5000), _DAMAGED),
        ("JPEG of 0 components", partial(_set, 9, 0), "corrupt_image"),
        ("JPEG of 4 components, one declared", partial(_set, 9, 4), "corrupt_image"),
        ("JPEG of 255 components", partial(_set, 9, 255), "corrupt_image"),
        ("JPEG of impossible sampling", partial(_set, 11, 0), "corrupt_image"),
        ("JPEG that names a table it lacks", partial(_set, 12, 3), "corrupt_image"),
        ("JPEG that says 12 bits", partial(_set, 4, 12), "unsupported_type"),
        ("JPEG that says 0 bits", partial(_set, 4, 0), "unsupported_type"),
        ("JPEG that says arithmetic coding", partial(_set, 1, 0xC9), _DAMAGED),
        ("JPEG that says hierarchical", partial(_set, 1, 0xC5), ("corrupt_image", "unsupported_type")),
        ("JPEG with two frame headers", _frame_twice, "corrupt_image"),
        ("JPEG without a frame header", partial(_without, 0xC0), "corrupt_image"),
        ("JPEG without Huffman tables", partial(_without, 0xC4), _DAMAGED),
        ("JPEG without quantisation tables", partial(_without, 0xDB), "corrupt_image"),
        ("JPEG, Huffman table of 4,080 codes", partial(_table, b"\xff\xc4", 5, b"\xff" * 16), "corrupt_image"),
        ("JPEG, Huffman table of too many short codes", partial(_table, b"\xff\xc4", 5, b"\x09"), "corrupt_image"),
        ("JPEG, Huffman table number 9", partial(_table, b"\xff\xc4", 4, b"\x09"), "corrupt_image"),
        ("JPEG, quantisation by 0", partial(_table, b"\xff\xdb", 5, bytes(64)), _DAMAGED),
        ("JPEG, scan of noise", lambda: _scan_of(np.random.default_rng(3).bytes(40_000)), _DAMAGED),
        ("JPEG, scan of nothing", lambda: _scan_of(b""), _DAMAGED),
        ("JPEG, scan of restart markers", lambda: _scan_of(b"\xff\xd0" * 50_000), _DAMAGED),
        ("JPEG of 12 bits", lambda: lossless(corpus.EXTENDED), "unsupported_type"),
        ("JPEG, lossless", lambda: lossless(corpus.JPEG_LOSSLESS), "unsupported_type"),
        ("JPEG, lossless of 8 bits", lambda: corpus.compressed(grey, 8, False, corpus.JPEG_LOSSLESS_1), "unsupported_type"),
        ("JPEG-LS", lambda: lossless(corpus.JPEG_LS), "unsupported_type"),
        ("JPEG of inks", partial(_colour, "CMYK"), (ANSWER, *GATE)),
        ("JPEG in colour", partial(_colour, "RGB", quality=92), ANSWER),
        ("JPEG in colour, every pixel", partial(_colour, "RGB", quality=92, subsampling=0), ANSWER),
        ("JPEG, progressive", lambda: corpus.saved(chest(), "JPEG", quality=92, progressive=True), ANSWER),
        ("JPEG, restarts at every row", lambda: corpus.saved(chest(), "JPEG", quality=92, restart_marker_rows=1), ANSWER),
        ("JPEG, length of a segment is 0", lambda: _after_start(b"\xff\xe1\0\0"), "corrupt_image"),
        ("JPEG, length of a segment runs past the end", lambda: _after_start(b"\xff\xe1\xff\xff"), _DAMAGED),
        ("JPEG of a thousand comments", lambda: _after_start(*[_segment(0xFE, b"x" * 60)] * 1000), ANSWER),
        ("JPEG with 10 MB of comments", lambda: _after_start(*[_segment(0xFE, b"x" * 65_000)] * 155), ANSWER),
        ("JPEG, EXIF of 65,535 entries, none there", lambda: _exif(b"", 65_535), ANSWER),
        ("JPEG, EXIF that points at itself", lambda: _exif(struct.pack("<HHIII", 0x8769, 4, 1, 8, 8), 1), ANSWER),
        ("JPEG, EXIF value of 4 GB", lambda: _exif(struct.pack("<HHIII", 0x0112, 3, 0xFFFFFFFF, 26, 0), 1), ANSWER),
        ("JPEG, EXIF orientation 9", partial(_turned, 9), ANSWER),
        ("JPEG, EXIF orientation 3", partial(_turned, 3), (ANSWER, "turned", "not_chest")),
        ("JPEG, colour profile in 255 missing parts", lambda: _after_start(_segment(0xE2, b"ICC_PROFILE\0\1\xff" + b"x" * 900)), ANSWER),
        ("JPEG, colour profiles of 16 MB", lambda: _after_start(*[_segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 255]) + b"x" * 65_000) for n in range(1, 256)]), ANSWER),
        ("JPEG, Photoshop block that lies", lambda: _after_start(_segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\xff\xff\xff\xff")), ANSWER),
        ("JPEG, Multi-Picture block that lies", lambda: _after_start(_segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff")), ANSWER),
        ("JPEG, then a zip", lambda: jpeg() + b"PK\3\4" + bytes(300), ANSWER),
        ("JPEG, then a page", lambda: jpeg() + b"<script>alert(1)</script>", ANSWER),
        ("JPEG, then another", lambda: jpeg() + jpeg(), ANSWER),
        ("JPEG that is a DICOM at byte 128", both, ("corrupt_image", "no_pixels")),
        ("JPEG with the page of a browser inside", lambda: _after_start(_segment(0xFE, b"<html><script>")), ANSWER),
        ("JPEG of hundreds of scans", corpus.many_scans, "too_large"),
        ("JPEG, all of one value", lambda: corpus.saved(np.full((256, 256), 90, np.uint8), "JPEG"), "blank"),
        ("JPEG of one pixel", lambda: corpus.saved(np.zeros((1, 1), np.uint8), "JPEG"), "blank"),
        ("JPEG of one row", lambda: corpus.saved(chest()[:1], "JPEG"), (*GATE, "corrupt_image")),
    ]  # fmt: skip


def _ended(share: float) -> bytes:
    data = jpeg()
    return data[: round(len(data) * share)].rstrip(b"\xff") + b"\xff\xd9"


def _frame_twice() -> bytes:
    data = jpeg()
    at = data.index(b"\xff\xc0")
    head = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
    return data[:at] + head + data[at:]


def _both_formats(make: Callable[[], bytes]) -> bytes:
    """A picture with ``DICM`` where a DICOM file has it."""
    data = make()
    pad = 128 - 6
    return data[:2] + _segment(0xFE, b"x" * (pad) + b"DICM" + b"\2\0\0\0UL\4\0\0\0\0\0" + bytes(80)) + data[2:]


# PNG -----------------------------------------------------------------------------------------------------------------


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _joined(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def _before_data(*more: tuple[bytes, bytes]) -> bytes:
    chunks = _chunks(png())
    return _joined([chunks[0], *more, *chunks[1:]])


def _header(place: int, value: int) -> bytes:
    chunks = _chunks(png())
    head = bytearray(chunks[0][1])
    head[place] = value
    return _joined([(b"IHDR", bytes(head)), *chunks[1:]])


def _size(width: int, height: int) -> bytes:
    chunks = _chunks(png())
    return _joined([(b"IHDR", struct.pack(">II", width, height) + chunks[0][1][8:]), *chunks[1:]])


def _drawn(bits: int, kind: int, raw: bytes, *more: tuple[bytes, bytes], interlace: int = 0, side: int = 64) -> bytes:
    """A PNG of `side` squared from its filtered rows."""
    head = struct.pack(">IIBBBBB", side, side, bits, kind, 0, 0, interlace)
    return _joined([(b"IHDR", head), *more, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")])


def _rows(bits: int) -> bytes:
    """The rows of a small chest at 1, 2, 4, 8 or 16 bits, each after its filter byte."""
    grey = chest(64)
    if bits == 16:
        return b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in grey)
    levels = np.unpackbits((grey >> (8 - bits))[..., None], axis=2)[..., 8 - bits :].reshape(64, -1)
    return b"".join(b"\0" + np.packbits(row).tobytes() for row in levels)


def _woven() -> bytes:
    """The seven passes of an interlaced PNG (Adam7)."""
    grey, passes = (
        chest(64),
        ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
    )
    rows = [row for top, left, down, across in passes for row in grey[top::down, left::across]]
    return b"".join(b"\0" + row.tobytes() for row in rows)


def interlaced() -> bytes:
    """A small chest as interlaced PNG."""
    return _drawn(8, 0, _woven(), interlace=1)


def _broken_sum(name: bytes) -> bytes:
    data = bytearray(png())
    at = data.index(name)
    length = int.from_bytes(data[at - 4 : at], "big")
    data[at + 4 + length] ^= 0xFF
    return bytes(data)


def _data(change: Callable[[bytes], bytes]) -> bytes:
    return _joined([(name, change(body) if name == b"IDAT" else body) for name, body in _chunks(png())])


def _lying_length(length: int) -> bytes:
    data = bytearray(png())
    at = data.index(b"IDAT")
    data[at - 4 : at] = struct.pack(">I", length)
    return bytes(data)


def _in_pieces(size: int, empty: int) -> bytes:
    chunks = _chunks(png())
    body = b"".join(body for name, body in chunks if name == b"IDAT")
    pieces = [(b"IDAT", body[at : at + size]) for at in range(0, len(body), size)]
    return _joined([chunks[0], *[(b"IDAT", b"")] * empty, *pieces, (b"IEND", b"")])


def _pngs() -> list[Told]:
    grey, ramp = chest(64), bytes(n for level in range(256) for n in [level] * 3)
    film = partial(corpus.saved, grey, save_all=True, append_images=[Image.fromarray(grey[::-1].copy())])
    raw = _rows(8)
    return [
        *_cuts("PNG", png, (0.0005, 0.002, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.9999)),
        ("PNG, magic alone", lambda: png()[:8], "corrupt_image"),
        ("PNG less its last byte", lambda: png()[:-1], "corrupt_image"),
        ("PNG of no rows", partial(_size, 256, 0), "corrupt_image"),
        ("PNG of no columns", partial(_size, 0, 256), "corrupt_image"),
        ("PNG of 2^31 columns", partial(_size, 2**31, 1), ("too_large", "corrupt_image")),
        ("PNG of 2^32 - 1 squared", partial(_size, 2**32 - 1, 2**32 - 1), "too_large"),
        ("PNG that declares more rows", partial(_size, 256, 512), "corrupt_image"),
        ("PNG that declares fewer rows", partial(_size, 256, 128), _DAMAGED),
        ("PNG that declares more columns", partial(_size, 300, 256), _DAMAGED),
        ("PNG, interlaced, without its last passes", lambda: _drawn(8, 0, _woven()[:2000], interlace=1), "corrupt_image"),
        ("PNG, its stream closed after half", lambda: _drawn(8, 0, raw[: len(raw) // 2]), "corrupt_image"),
        ("PNG of 25,000,000 x 1 and nothing in it", partial(_size, 25_000_000, 1), "corrupt_image"),
        ("PNG, wrong sum of its header", partial(_broken_sum, b"IHDR"), "corrupt_image"),
        ("PNG, wrong sum of its data", partial(_broken_sum, b"IDAT"), _DAMAGED),
        ("PNG, wrong sum of its end", partial(_broken_sum, b"IEND"), _DAMAGED),
        ("PNG of colour type 1", partial(_header, 9, 1), "corrupt_image"),
        ("PNG of colour type 255", partial(_header, 9, 255), "corrupt_image"),
        ("PNG of 3 bits", partial(_header, 8, 3), "corrupt_image"),
        ("PNG of 0 bits", partial(_header, 8, 0), "corrupt_image"),
        ("PNG of another compression", partial(_header, 10, 7), _DAMAGED),
        ("PNG of another filter method", partial(_header, 11, 7), "corrupt_image"),
        ("PNG of another interlacing", partial(_header, 12, 7), _DAMAGED),
        ("PNG that says interlaced and is not", partial(_header, 12, 1), _DAMAGED),
        ("PNG without data", lambda: _joined([c for c in _chunks(png()) if c[0] != b"IDAT"]), "corrupt_image"),
        ("PNG without its end", lambda: _joined(_chunks(png())[:-1]), "corrupt_image"),
        ("PNG whose header is not first", lambda: _joined(_chunks(png())[::-1]), "corrupt_image"),
        ("PNG with two headers", lambda: _before_data(_chunks(png())[0]), _DAMAGED),
        ("PNG with two headers that differ", lambda: _before_data((b"IHDR", struct.pack(">IIBBBBB", 9999, 9999, 8, 0, 0, 0, 0))), "corrupt_image"),
        ("PNG of noise for data", lambda: _data(lambda body: np.random.default_rng(5).bytes(len(body))), "corrupt_image"),
        ("PNG of impossible filters", lambda: _drawn(8, 0, raw.replace(b"\0", b"\x09")), _DAMAGED),
        ("PNG with a length of 2^32 - 1", partial(_lying_length, 2**32 - 1), "corrupt_image"),
        ("PNG with a length of 2^31", partial(_lying_length, 2**31), "corrupt_image"),
        ("PNG with a length of 0", partial(_lying_length, 0), "corrupt_image"),
        ("PNG in pieces of one byte", partial(_in_pieces, 1, 0), ANSWER),
        ("PNG with 100,000 empty pieces", partial(_in_pieces, 8192, 100_000), (ANSWER, "corrupt_image")),
        ("PNG with 100,000 words", lambda: _before_data(*[(b"tEXt", b"a\0b")] * 100_000), (ANSWER, "corrupt_image")),
        ("PNG with an unknown critical chunk", lambda: _before_data((b"ABCD", b"x")), _DAMAGED),
        ("PNG with a name of no letters", lambda: _before_data((b"\0\1\2\3", b"x")), _DAMAGED),
        ("PNG of gamma 0", lambda: _before_data((b"gAMA", bytes(4))), ANSWER),
        ("PNG, gamma cut short", lambda: _before_data((b"gAMA", b"\1")), _DAMAGED),
        ("PNG, resolution cut short", lambda: _before_data((b"pHYs", b"\1")), _DAMAGED),
        ("PNG, transparent colour cut short", lambda: _before_data((b"tRNS", b"\1")), _DAMAGED),
        ("PNG, broken EXIF", lambda: _before_data((b"eXIf", b"II*\0\xff\xff\xff\xff")), ANSWER),
        ("PNG of 16 bits", lambda: _drawn(16, 0, _rows(16)), ANSWER),
        ("PNG of 4 bits", lambda: _drawn(4, 0, _rows(4)), (ANSWER, *GATE)),
        ("PNG of 2 bits", lambda: _drawn(2, 0, _rows(2)), (ANSWER, *GATE)),
        ("PNG of 1 bit", lambda: _drawn(1, 0, _rows(1)), (ANSWER, *GATE)),
        ("PNG, interlaced", interlaced, ANSWER),
        ("PNG, palette of greys", lambda: _drawn(8, 3, raw, (b"PLTE", ramp)), ANSWER),
        ("PNG, palette of three colours", lambda: _drawn(8, 3, raw, (b"PLTE", ramp[:9])), _DAMAGED),
        ("PNG, palette of 4 bytes", lambda: _drawn(8, 3, raw, (b"PLTE", ramp[:4])), _DAMAGED),
        ("PNG, palette missing", lambda: _drawn(8, 3, raw), _DAMAGED),
        ("PNG, palette, all transparent", lambda: _drawn(8, 3, raw, (b"PLTE", ramp), (b"tRNS", bytes(256))), "blank"),
        ("PNG in colour", lambda: corpus.saved(np.stack([chest()] * 3, -1)), ANSWER),
        ("PNG, transparent", lambda: corpus.saved(np.stack([chest()] * 3 + [np.zeros_like(chest())], -1)), "blank"),
        ("PNG, animated", film, "many_frames"),
        ("PNG that declares 4 billion pictures", lambda: _before_data((b"acTL", b"\xff" * 8)), "many_frames"),
        ("PNG, its animation cut short", lambda: _before_data((b"acTL", b"")), ("many_frames", "corrupt_image")),
        ("PNG, then a page", lambda: png() + b"<html><script>alert(1)</script>", ANSWER),
        ("PNG, then a zip", lambda: png() + b"PK\3\4" + bytes(300), ANSWER),
        ("PNG of one pixel", lambda: corpus.saved(np.zeros((1, 1), np.uint8)), "blank"),
        ("PNG of 20,000 x 1", lambda: corpus.saved(np.tile(chest()[100], 79)[None, :20_000]), GATE),
        ("PNG, a grey that differs in one pixel", lambda: corpus.saved(_almost_blank()), (*GATE, "blank")),
    ]  # fmt: skip


def _almost_blank() -> np.ndarray:
    flat = np.full((256, 256), 128, np.uint8)
    flat[100, 100] = 129
    return flat


# Other types ---------------------------------------------------------------------------------------------------------


def _types() -> list[Told]:
    known = [(bad.name, bad.make, bad.code) for bad in corpus.bad_files() if bad.code == "unsupported_type"]
    named = [(f"type: {name}", make, code) for name, make, code in known if " " not in name or name == "one byte"]
    colour = np.stack([chest(64)] * 3, -1)
    return [
        *named,
        ("type: nothing", lambda: b"", "empty"),
        ("type: AVIF", lambda: b"\0\0\0\x1cftypavif" + bytes(400), "unsupported_type"),
        ("type: PostScript", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n/cat run\n" * 20, "unsupported_type"),
        ("type: SVG with an entity", lambda: b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><svg>&b;</svg>", "unsupported_type"),
        ("type: pickle", lambda: b"\x80\x04cos\nsystem\n(S'id'\ntR.", "unsupported_type"),
        ("type: NumPy array", lambda: b"\x93NUMPY\1\0" + bytes(300), "unsupported_type"),
        ("type: program", lambda: b"\x7fELF\2\1\1" + bytes(900), "unsupported_type"),
        ("type: WebP in colour", lambda: corpus.saved(colour, "WEBP"), "unsupported_type"),
        ("type: TGA", lambda: corpus.saved(colour, "TGA"), "unsupported_type"),
        ("type: random", lambda: b"\x01" + np.random.default_rng(9).bytes(9000), "unsupported_type"),
    ]  # fmt: skip
