# ruff: noqa: E501  one case, one line
"""DICOM files whose structure is broken, or whose header says what no radiograph is."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import corpus
import numpy as np
from corpus import BASELINE, BIG, EXPLICIT, IMPLICIT, J2K, J2K_LOSSLESS, JPEG_LOSSLESS_1, JPEG_LS, RLE, lut
from pydicom.encaps import encapsulate

from .case import ANSWER, GATE, Case, Told, chest, deep, dicom, files_sent, swapped

_ODD = (ANSWER, *GATE, "blank")  # read as the standard says; what is then shown need not be a chest
_DAMAGED = ("corrupt_image", *_ODD)
_UNDEFINED = 0xFFFFFFFF


def cases(seed: int) -> list[Case]:
    """The families ``DICOM structure`` and ``DICOM meaning``."""
    return files_sent("DICOM structure", _structure(), seed) + files_sent("DICOM meaning", _meaning(), seed)


def _with(**attributes: Any) -> bytes:
    return corpus.dicom(deep(), **attributes)


@cache
def _eight(**attributes: Any) -> bytes:
    return corpus.dicom(chest(), 8, **attributes)


def _element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """One element, explicit little endian; `length` lies if given."""
    size = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    long = vr in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"UC", b"UR")
    return head + (struct.pack("<HI", 0, size) if long else struct.pack("<H", size)) + value


def _before(tag: int, more: bytes, data: bytes | None = None) -> bytes:
    """`more` put before an element of an honest file."""
    data = dicom() if data is None else data
    at = data.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF), 132)
    return data[:at] + more + data[at:]


def _replaced(tag: int, value: bytes, vr: bytes | None = None) -> bytes:
    """An honest file whose element `tag` (of a short type) holds other bytes, or says another type."""
    data = dicom()
    at = data.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF), 200)
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    return data[:at] + _element(tag, vr or data[at + 4 : at + 6], value) + data[at + 8 + length :]


def _nested(depth: int, closed: bool) -> bytes:
    opened = _element(0x00400275, b"SQ", b"", _UNDEFINED) + struct.pack("<HHI", 0xFFFE, 0xE000, _UNDEFINED)
    shut = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return _before(0x7FE00010, opened * depth + (shut * depth if closed else b""))


def _nested_by_length(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = _element(0x00400275, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner)
    return _before(0x7FE00010, inner)


def _coded(*parts: bytes, table: bytes = b"", end: bool = True, syntax: str = BASELINE, **more: Any) -> bytes:
    """A file of these fragments, whatever they hold."""
    items = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(p)) + p for p in (table, *parts))
    items += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if end else b""
    good = corpus.dicom(chest(), 8, syntax=BASELINE, pixel_bytes=encapsulate([b"\0\0"]), **more)
    good = swapped(good, BASELINE.encode(), syntax.encode()[: len(BASELINE)].ljust(len(BASELINE), b"\0"))
    at = good.index(b"\xe0\x7f\x10\0OB")
    return good[:at] + _element(0x7FE00010, b"OB", b"", _UNDEFINED) + items


@cache
def _stream() -> bytes:
    data = corpus.saved(chest(), "JPEG", quality=92)
    return data + b"\0" * (len(data) % 2)


def _rle(offsets: list[int], body: bytes) -> bytes:
    frame = struct.pack("<16I", *(offsets + [0] * 16)[:16]) + body
    return corpus.dicom(chest(), 8, syntax=RLE, pixel_bytes=encapsulate([frame]))


def _cuts(name: str, make: Callable[[], bytes], shares: tuple[float, ...]) -> list[Told]:
    def cut(share: float) -> bytes:
        data = make()
        return data[: max(140, round(len(data) * share))]

    return [(f"{name} cut at {share:.1%}", partial(cut, share), "corrupt_image") for share in shares]


def _in_header(offset: int) -> bytes:
    return dicom()[:offset]


def _structure() -> list[Told]:
    pixels = 0x7FE00010
    explicit = EXPLICIT.encode() + b"\0"
    j2k, ls = partial(_with, syntax=J2K_LOSSLESS), partial(_with, syntax=JPEG_LS)
    offsets = (133, 139, 147, 160, 200, 260, 300, 340, 380, 420, 460)
    return [
        ("DICOM without its preamble", lambda: _with(preamble=False), ANSWER),
        ("DICOM, preamble of a JPEG", lambda: b"\xff\xd8\xff\xe0" + dicom()[4:], ANSWER),
        ("DICOM, preamble of a TIFF", lambda: b"II*\0" + dicom()[4:], ANSWER),
        ("DICOM, preamble of a program", lambda: b"MZ" + dicom()[2:], ANSWER),
        ("DICOM, then a zip", lambda: dicom() + b"PK\3\4" + bytes(90), ANSWER),
        ("DICOM, magic alone", lambda: bytes(128) + b"DICM", "corrupt_image"),
        ("DICOM, magic and noise", lambda: bytes(128) + b"DICM" + np.random.default_rng(1).bytes(9000), "corrupt_image"),
        ("DICOM, magic and zeros", lambda: bytes(128) + b"DICM" + bytes(9000), ("corrupt_image", "no_pixels")),
        *[(f"DICOM cut at byte {n}", partial(_in_header, n), ("corrupt_image", "no_pixels")) for n in offsets],
        *_cuts("DICOM", dicom, (0.01, 0.1, 0.5, 0.9, 0.999)),
        *_cuts("DICOM of JPEG 2000", j2k, (0.1, 0.5, 0.9, 0.99)),
        *_cuts("DICOM of JPEG-LS", ls, (0.1, 0.5, 0.9, 0.99)),
        *_cuts("DICOM of RLE", partial(_with, syntax=RLE), (0.1, 0.5, 0.9, 0.99)),
        *_cuts("DICOM of lossless JPEG", partial(_with, syntax=JPEG_LOSSLESS_1), (0.1, 0.5, 0.9, 0.99)),
        *_cuts("DICOM, deflated,", partial(_with, syntax=corpus.DEFLATED), (0.05, 0.5, 0.99)),
        ("DICOM, odd length of a word", lambda: _before(0x00280002, _element(0x00181000, b"LO", b"abc")), ANSWER),
        ("DICOM, length of a word past the end", lambda: _before(0x00280002, _element(0x00181000, b"LO", b"", 0xFFFE)), "corrupt_image"),
        ("DICOM, length of 4 GB", lambda: _before(0x00280002, _element(0x00181000, b"OB", b"", 0xFFFFFFFE)), "corrupt_image"),
        ("DICOM, a word of undefined length", lambda: _before(0x00280002, _element(0x00181000, b"UN", b"", _UNDEFINED)), "corrupt_image"),
        ("DICOM, pixels of 4 GB", lambda: swapped(dicom(), _element(pixels, b"OW", b"", 131_072), _element(pixels, b"OW", b"", 0xFFFFFFFE)), "corrupt_image"),
        ("DICOM, plain pixels of undefined length", lambda: swapped(dicom(), _element(pixels, b"OW", b"", 131_072), _element(pixels, b"OW", b"", _UNDEFINED)), "corrupt_image"),
        ("DICOM, sequences 10,000 deep, not closed", partial(_nested, 10_000, False), ("corrupt_image", "too_large")),
        ("DICOM, sequences 10,000 deep, closed", partial(_nested, 10_000, True), (ANSWER, "too_large")),
        ("DICOM, sequences 100,000 deep, closed", partial(_nested, 100_000, True), "too_large"),
        ("DICOM, sequences 2,000 deep by length", partial(_nested_by_length, 2000), ANSWER),
        ("DICOM, an item outside of sequences", lambda: _before(0x00280002, struct.pack("<HHI", 0xFFFE, 0xE000, 4) + b"abcd"), "corrupt_image"),
        ("DICOM, the end of a sequence that none began", lambda: _before(0x00280002, struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)), "corrupt_image"),
        ("DICOM, the end of an item that none began", lambda: _before(0x00280002, struct.pack("<HHI", 0xFFFE, 0xE00D, 0)), ("corrupt_image", "no_pixels")),
        ("DICOM, an item longer than its sequence", lambda: _before(0x00280002, _element(0x00283010, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 999) + b"abcd")), "corrupt_image"),
        ("DICOM, 300,000 elements", lambda: _before(pixels, _element(0x00291010, b"LO", b"") * 300_000), "too_large"),
        ("DICOM, elements in no order", lambda: _before(0x00080060, _element(0x00281050, b"DS", b"2048")), (ANSWER, *GATE)),
        ("DICOM, Rows twice", lambda: _before(pixels, _element(0x00280010, b"US", b"\1\0")), "corrupt_image"),
        ("DICOM, pixels twice", lambda: _before(pixels, _element(pixels, b"OW", bytes(8))), "corrupt_image"),
        ("DICOM, a private block of 10 MB", lambda: _before(pixels, _element(0x00291010, b"OB", bytes(10 << 20))), ANSWER),
        ("DICOM, types of no letters", lambda: _replaced(0x00280010, b"\0\1", b"\1\2"), "corrupt_image"),
        ("DICOM, Rows as text", lambda: _replaced(0x00280010, b"256 ", b"LO"), ("corrupt_image", "too_large")),
        ("DICOM, Rows of 1 byte", lambda: _replaced(0x00280010, b"\1"), "corrupt_image"),
        ("DICOM, Rows of no bytes", lambda: _replaced(0x00280010, b""), "corrupt_image"),
        ("DICOM, implicit, said to be explicit", lambda: _said(IMPLICIT, EXPLICIT), (ANSWER, "corrupt_image", "no_pixels", "not_radiograph")),
        ("DICOM, explicit, said to be implicit", lambda: _said(EXPLICIT, IMPLICIT), (ANSWER, "corrupt_image", "no_pixels", "not_radiograph")),
        ("DICOM, little endian, said to be big", lambda: _said(EXPLICIT, BIG), ("corrupt_image", "no_pixels", "not_radiograph")),
        ("DICOM, big endian, said to be little", lambda: _said(BIG, EXPLICIT), ("corrupt_image", "no_pixels", "not_radiograph")),
        ("DICOM, big endian", lambda: _with(syntax=BIG), ANSWER),
        ("DICOM, plain, said to be deflated", lambda: _said(EXPLICIT, corpus.DEFLATED), "corrupt_image"),
        ("DICOM, plain, said to be JPEG", lambda: swapped(_eight(), explicit, BASELINE.encode()[:20].ljust(20, b"\0")), ("corrupt_image", "unknown_syntax")),
        ("DICOM, private transfer syntax", lambda: swapped(dicom(), explicit, b"1.2.840.113619.5.2\0\0"), "unknown_syntax"),
        ("DICOM, film as MPEG-4", lambda: _coded(_stream(), syntax="1.2.840.10008.1.2.4.10"), "unknown_syntax"),
        ("DICOM, transfer syntax of 64 kB", lambda: swapped(dicom(), _element(0x00020010, b"UI", explicit), _element(0x00020010, b"UI", b"1." * 32_000)), ("corrupt_image", "unknown_syntax")),
        ("DICOM, no transfer syntax", lambda: swapped(dicom(), _element(0x00020010, b"UI", explicit), b""), ANSWER),
        ("DICOM, no fragments", _coded, "corrupt_image"),
        ("DICOM, one fragment of nothing", lambda: _coded(b""), "corrupt_image"),
        ("DICOM, fragments without an end", lambda: _coded(_stream(), end=False), ("corrupt_image", ANSWER)),
        ("DICOM, a fragment of 4 GB", lambda: swapped(_coded(_stream()), struct.pack("<HHI", 0xFFFE, 0xE000, len(_stream())), struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFF0)), "corrupt_image"),
        ("DICOM, one frame in 1,000 fragments", lambda: _coded(*[_stream()[n : n + 26] for n in range(0, len(_stream()), 26)]), (ANSWER, "corrupt_image")),
        ("DICOM, offset table that lies", lambda: _coded(_stream(), table=struct.pack("<I", 0xFFFFFFF0)), (ANSWER, "corrupt_image")),
        ("DICOM, offset table of 999 frames", lambda: _coded(_stream(), table=struct.pack("<999I", *range(999))), (ANSWER, "corrupt_image")),
        ("DICOM, offset table of 3 bytes", lambda: _coded(_stream(), table=b"abc"), (ANSWER, "corrupt_image")),
        ("DICOM, two JPEGs, one frame declared", lambda: _coded(_stream(), _stream()), (ANSWER, "corrupt_image")),
        ("DICOM, JPEG of another size", lambda: _coded(corpus.saved(chest(64), "JPEG")), "corrupt_image"),
        ("DICOM, JPEG in colour, grey declared", lambda: _coded(corpus.saved(np.stack([chest()] * 3, -1), "JPEG")), "corrupt_image"),
        ("DICOM, JPEG without tables", lambda: _coded(_stream().replace(b"\xff\xdb", b"\xff\xfe")), "corrupt_image"),
        ("DICOM, JPEG, its scan of noise", lambda: _coded(_noisy_scan()), _DAMAGED),
        ("DICOM, PNG for a fragment", lambda: _coded(corpus.saved(chest())), "corrupt_image"),
        ("DICOM, JPEG 2000, its data of noise", lambda: _noise_in(j2k()), _DAMAGED),
        ("DICOM, JPEG-LS, its data of noise", lambda: _noise_in(ls()), _DAMAGED),
        ("DICOM, lossless JPEG, its data of noise", lambda: _noise_in(_with(syntax=JPEG_LOSSLESS_1)), _DAMAGED),
        ("DICOM, JPEG said to be JPEG 2000", lambda: _with_stream(J2K), "corrupt_image"),
        ("DICOM, JPEG said to be lossless", lambda: _with_stream(JPEG_LOSSLESS_1), "corrupt_image"),
        ("DICOM, RLE of no segments", lambda: _rle([0], b""), "corrupt_image"),
        ("DICOM, RLE of 15 segments", lambda: _rle([15, *range(64, 79)], b"\0" * 99), "corrupt_image"),
        ("DICOM, RLE of 4 billion segments", lambda: _rle([0xFFFFFFFF, 64], b"\0" * 99), "corrupt_image"),
        ("DICOM, RLE whose segment lies beyond", lambda: _rle([1, 0xFFFFFFF0], b"\0" * 99), "corrupt_image"),
        ("DICOM, RLE of noise", lambda: _rle([1, 64], np.random.default_rng(4).bytes(40_000)), "corrupt_image"),
    ]  # fmt: skip


def _said(true: str, said: str) -> bytes:
    """A file in one transfer syntax that says it is in another."""
    old, new = (_element(0x00020010, b"UI", one.encode() + b"\0" * (len(one) % 2)) for one in (true, said))
    return swapped(_with(syntax=true), old, new)


def _with_stream(syntax: str) -> bytes:
    return corpus.dicom(chest(), 8, syntax=syntax, pixel_bytes=encapsulate([_stream()]))


def _noisy_scan() -> bytes:
    data = bytearray(_stream())
    at = data.index(b"\xff\xda") + 12
    data[at:-4] = bytes(np.random.default_rng(2).integers(0, 255, len(data) - 4 - at, np.uint8))
    return bytes(data)


def _noise_in(data: bytes) -> bytes:
    """Every 97th byte of the later two thirds changed, but for the very end."""
    out, random = bytearray(data), np.random.default_rng(6)
    for at in range(len(out) // 3, len(out) - 300, 97):
        out[at] = int(random.integers(0, 255))
    return bytes(out)


def _class(uid: str, modality: str, **more: Any) -> Callable[[], bytes]:
    return partial(_with, SOPClassUID="1.2.840.10008.5.1.4.1.1." + uid, Modality=modality, **more)


def _raw(**texts: str) -> bytes:
    """A chest with decimal strings no library would write: put in by hand."""
    tags = {"slope": 0x00281053, "intercept": 0x00281052, "center": 0x00281050, "width": 0x00281051, "frames": 0x00280008, "spacing": 0x00280030}  # fmt: skip
    kinds = {"frames": b"IS"}
    more = b""
    for name, text in sorted(texts.items(), key=lambda one: tags[one[0]]):
        value = text.encode() + b" " * (len(text) % 2)
        more += _element(tags[name], kinds.get(name, b"DS"), value)
    return _before(0x7FE00010, more)


def _meaning() -> list[Told]:
    objects = [
        ("CT", _class("2", "CT")), ("CT, enhanced", _class("2.1", "CT")), ("MR", _class("4", "MR")),
        ("ultrasound", _class("6.1", "US")), ("PET", _class("128", "PT")), ("mammogram", _class("1.2", "MG")),
        ("dental", _class("1.3", "IO")), ("angiogram", _class("12.1", "XA")), ("slide", _class("77.1.6", "SM")),
        ("dose", _class("481.2", "RTDOSE")), ("CT class, no modality", _class("2", "")),
    ]  # fmt: skip
    others = [
        ("report", _class("88.11", "SR")), ("report without pixels", _class("88.33", "SR", drop=("PixelData",))),
        ("presentation state", _class("11.1", "PR")), ("encapsulated PDF", _class("104.1", "DOC")),
        ("electrocardiogram", _class("9.1.1", "ECG")), ("no pixels", partial(_with, drop=("PixelData",))),
    ]  # fmt: skip
    lies: list[tuple[str, dict[str, Any], Any]] = [
        ("more Rows", {"Rows": 512}, "corrupt_image"), ("fewer Rows", {"Rows": 255}, "corrupt_image"),
        ("no Rows", {"Rows": 0}, "corrupt_image"), ("Columns and Rows swapped in size", {"Rows": 128, "Columns": 512}, _ODD),
        ("65,535 squared", {"Rows": 65_535, "Columns": 65_535}, "too_large"),
        ("8 bits allocated, 16 there", {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}, "corrupt_image"),
        ("0 bits", {"BitsAllocated": 0, "BitsStored": 0, "HighBit": 0}, ("unsupported_type", "corrupt_image")),
        ("32 bits", {"BitsAllocated": 32}, "unsupported_type"), ("17 bits stored", {"BitsStored": 17}, "corrupt_image"),
        ("0 bits stored", {"BitsStored": 0}, "corrupt_image"), ("1 bit stored", {"BitsStored": 1, "HighBit": 0}, _ODD),
        ("high bit 65,535", {"HighBit": 65_535}, "corrupt_image"), ("high bit below", {"HighBit": 2}, "corrupt_image"),
        ("PixelRepresentation 7", {"PixelRepresentation": 7}, "corrupt_image"),
        ("3 samples of grey", {"SamplesPerPixel": 3}, ("corrupt_image", "unsupported_type")),
        ("2 samples", {"SamplesPerPixel": 2}, ("corrupt_image", "unsupported_type")),
        ("palette", {"PhotometricInterpretation": "PALETTE COLOR"}, "unsupported_type"),
        ("an unknown photometric", {"PhotometricInterpretation": "HSV"}, "unsupported_type"),
        ("no photometric", {"drop": ("PhotometricInterpretation",)}, ("corrupt_image", "unsupported_type")),
        ("0 frames", {"NumberOfFrames": 0}, "corrupt_image"), ("2 frames", {"NumberOfFrames": 2}, "many_frames"),
        ("2 billion frames", {"NumberOfFrames": 2_000_000_000}, "many_frames"),
        ("MONOCHROME1", {"photometric": "MONOCHROME1"}, ("inverted", "not_chest")),
        ("window of width 0", {"WindowCenter": 2048, "WindowWidth": 0}, ANSWER),
        ("window of width -1", {"WindowCenter": 2048, "WindowWidth": -1}, ANSWER),
        ("window that shows nothing", {"WindowCenter": 90_000, "WindowWidth": 2}, "blank"),
        ("window of width 1", {"WindowCenter": 2048, "WindowWidth": 1}, _ODD),
        ("window, unknown function", {"WindowCenter": 2048, "WindowWidth": 4096, "VOILUTFunction": "CUBIC"}, ANSWER),
        ("look-up table of 1 entry", {"VOILUTSequence": [lut([7], 0, 12)]}, (*_ODD, "corrupt_image")),
        ("look-up table that lies on its length", {"VOILUTSequence": [_short_lut()]}, _ODD),
        ("look-up table of 40 bits", {"VOILUTSequence": [lut([1, 2, 3], 0, 40)]}, _ODD),
        ("modality table of 40 bits", {"ModalityLUTSequence": [lut([1, 2, 3], 0, 40)]}, "corrupt_image"),
        ("modality table of 0 entries", {"ModalityLUTSequence": [lut([], 0, 12)]}, ("corrupt_image", *_ODD)),
        ("all of it padding", {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 4095}, "blank"),
        ("padding below its limit", {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 1}, _ODD),
        ("signed", {"signed": True}, _ODD),
    ]  # fmt: skip
    texts = [
        ("slope NaN", {"slope": "NaN"}), ("slope infinite", {"slope": "inf"}), ("slope 1e308", {"slope": "1e308"}),
        ("slope 1e-308", {"slope": "1e-308"}), ("slope 0", {"slope": "0"}), ("slope a word", {"slope": "wide"}),
        ("intercept 1e308 and slope 1e308", {"intercept": "1e308", "slope": "1e308"}),
        ("intercept NaN", {"intercept": "nan"}), ("window NaN", {"center": "NaN", "width": "NaN"}),
        ("window infinite", {"center": "1", "width": "inf"}), ("window 1e308", {"center": "1e308", "width": "1e308"}),
        ("window 1e-320", {"center": "2048", "width": "1e-320"}), ("windows, 200 of them", {"center": "\\".join("1" * 200), "width": "\\".join("0" * 200)}),
        ("spacing negative", {"spacing": "-1\\-1"}), ("spacing NaN", {"spacing": "NaN\\NaN"}), ("spacing 1e308", {"spacing": "1e308\\1e308"}),
    ]  # fmt: skip
    plain = [
        ("frames in words", {"frames": "many"}),
        ("frames NaN", {"frames": "NaN"}),
        ("frames 1.5", {"frames": "1.5"}),
    ]
    return [
        *[(f"DICOM of a {name}", make, ("not_radiograph", "no_pixels")) for name, make in objects],
        *[(f"DICOM of a {name}", make, ("no_pixels", "not_radiograph")) for name, make in others],
        *[(f"DICOM, {name}", partial(_with, **attributes), expects) for name, attributes, expects in lies],
        *[(f"DICOM, {name}", partial(_raw, **told), _ODD) for name, told in texts],
        *[(f"DICOM, {name}", partial(_raw, **told), ("corrupt_image", "many_frames")) for name, told in plain],
        ("DICOM in colour", lambda: corpus.dicom(np.stack([chest()] * 3, -1), 8, photometric="RGB"), ANSWER),
    ]  # fmt: skip


def _short_lut() -> Any:
    item = lut([1, 2, 3, 4], 0, 12)
    item[0x00283002].value = [4096, 0, 12]
    return item
