"""The elements of a DICOM file, found without decoding a value that is not needed.

A walk over the bytes: only the elements asked for are kept, as places in the file. Nothing recurses, the number of
elements is bounded, and no text of the patient is ever turned into a string, so none can reach a warning or a log.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from laennec.errors import ImageError
from laennec.images.headers import LONG_VRS, VRS, corrupt
from laennec.images.picture import Limits

UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = 0x7FE00010
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_MAX_ELEMENTS = 50_000
_HEADER_ROOM = 16 * 2**20  # bytes a deflated file may hold besides its pixels


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value lies: its type (two letters, empty if implicit), first byte, one past the last.

    `stop` is -1 for pixel data of undefined length, which is a chain of fragments.
    """

    vr: bytes
    start: int
    stop: int


@dataclass(frozen=True)
class Elements:
    """Elements of one data set by tag, and how to read their numbers."""

    data: bytes
    explicit: bool
    little: bool
    places: dict[int, Place] = field(default_factory=dict)

    def raw(self, tag: int) -> bytes:
        """The value's bytes; empty when the element is absent."""
        place = self.places.get(tag)
        return self.data[place.start : place.stop] if place else b""

    def text(self, tag: int) -> str:
        """A code string in capitals, without padding; empty when absent."""
        return self.raw(tag)[:64].decode("ascii", "replace").strip("\0 ").upper()

    def integers(self, tag: int) -> list[int]:
        """Unsigned 16-bit values."""
        raw = self.raw(tag)
        return list(struct.unpack(f"{'<' if self.little else '>'}{len(raw) // 2}H", raw[: len(raw) // 2 * 2]))

    def integer(self, tag: int, default: int = -1) -> int:
        """The first unsigned 16-bit value."""
        return next(iter(self.integers(tag)), default)

    def numbers(self, tag: int) -> list[float]:
        """Decimal strings as floats; NaN where a part is not a finite number."""
        parts = self.raw(tag)[:1024].decode("ascii", "replace").strip("\0 ")
        return [_finite(part) for part in parts.split("\\")] if parts else []

    def item(self, tag: int, wanted: frozenset[int]) -> Elements | None:
        """The first item of a sequence, or None when the sequence is absent or empty."""
        place = self.places.get(tag)
        if place is None or place.stop - place.start < 8:
            return None
        group, element, length = struct.unpack_from("<HHI" if self.little else ">HHI", self.data, place.start)
        if group << 16 | element != _ITEM:
            return None
        start = place.start + 8
        stop = place.stop if length == UNDEFINED else start + length
        if stop > place.stop:
            raise corrupt("a sequence item is longer than its sequence")
        found = Elements(self.data, self.explicit, self.little)
        _walk(found, start, stop, wanted)
        return found


def _finite(part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def parse(data: bytes, wanted: frozenset[int], limits: Limits, readable: Callable[[str], bool]) -> tuple[Elements, str]:
    """The `wanted` elements of a file and its transfer syntax, inflated with a bound where it is deflated.

    A file that names no transfer syntax is taken for what its first element looks like.

    Raises:
        ImageError: ``corrupt_image``; ``unknown_syntax`` when `readable` says no; ``too_large`` when the inflated
            data exceed what an image within `limits` can need, or there are too many elements.
    """
    position = 132 if data[128:132] == b"DICM" else 0
    meta = Elements(data, explicit=True, little=True)
    position = _walk(meta, position, len(data), frozenset({0x00020010}), group=2)
    syntax = meta.raw(0x00020010)[:64].decode("ascii", "replace").strip("\0 ")
    if syntax and not readable(syntax):
        raise ImageError("unknown_syntax", "the DICOM transfer syntax cannot be read", "export it uncompressed")
    if syntax == DEFLATED:
        data, position = _inflate(data[position:], limits), 0
    first = data[position : position + 8]
    if len(first) < 8:
        raise corrupt("the DICOM file ends after its header")
    explicit = first[4:6] in VRS
    little = syntax != BIG if syntax else not (explicit and first[0] == 0 and first[1] > 0)
    if not syntax:
        syntax = IMPLICIT if not explicit else EXPLICIT if little else BIG
    found = Elements(data, explicit, little)
    _walk(found, position, len(data), wanted)
    return found, syntax


def _inflate(packed: bytes, limits: Limits) -> bytes:
    bound = min(limits.max_bytes, 3 * limits.max_pixels + _HEADER_ROOM)
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = machine.decompress(packed, bound)
    except zlib.error as error:
        raise corrupt("the deflated DICOM data are damaged") from error
    if machine.eof:
        return data
    if len(data) >= bound:
        raise ImageError("too_large", f"the deflated file holds more than {bound:,} bytes", "export it uncompressed")
    raise corrupt("the deflated DICOM data are truncated")


@dataclass(frozen=True, slots=True)
class _Open:
    """A sequence or item of undefined length that the walk is inside of."""

    sequence: bool
    tag: int
    start: int
    explicit: bool  # coding of what surrounds it


def _walk(found: Elements, position: int, stop: int, wanted: frozenset[int], group: int = 0) -> int:
    """Note the `wanted` elements from `position` on; stop at the pixel data, the item's end, or another `group`.

    Returns the position reached. Sequences of undefined length are followed with a list, not by calls.
    """
    data, explicit = found.data, found.explicit
    order = "<" if found.little else ">"
    inside: list[_Open] = []
    for _ in range(_MAX_ELEMENTS):
        if position >= stop and not inside:
            return position
        if position + 8 > stop:
            raise corrupt("the DICOM file ends inside an element")
        high, low = struct.unpack_from(order + "HH", data, position)
        tag = high << 16 | low
        if not inside and ((group and high != group) or tag == _ITEM_END):
            return position
        if high == 0xFFFE:
            (length,) = struct.unpack_from(order + "I", data, position + 4)
            position, explicit = _delimiter(found, inside, tag, length, position + 8, explicit=explicit, wanted=wanted)
            continue
        vr, length, value = _element(data, position, stop, order, explicit)
        position = value if length == UNDEFINED else value + length
        if position > stop:
            raise corrupt("the DICOM file ends inside an element")
        if not inside and tag == PIXEL_DATA:
            found.places[tag] = Place(vr, value, -1 if length == UNDEFINED else position)
            return value
        if length == UNDEFINED:
            inside.append(_Open(True, tag, value, explicit))
            explicit = explicit and vr != b"UN"
        elif not inside and tag in wanted:
            found.places[tag] = Place(vr, value, position)
    raise ImageError("too_large", "the DICOM file holds too many elements", "export the image alone")


def _delimiter(
    found: Elements,
    inside: list[_Open],
    tag: int,
    length: int,
    position: int,
    *,
    explicit: bool,
    wanted: frozenset[int],
) -> tuple[int, bool]:
    """Step over the start or end of an item or sequence. Returns the next position and the coding there."""
    in_sequence = bool(inside) and inside[-1].sequence
    if tag == _ITEM and in_sequence:
        if length != UNDEFINED:
            return position + length, explicit
        inside.append(_Open(False, 0, position, explicit))
        return position, explicit
    if not inside or tag not in (_ITEM_END, _SEQUENCE_END) or in_sequence != (tag == _SEQUENCE_END):
        raise corrupt("the DICOM sequences are not well formed")
    ended = inside.pop()
    if not inside and ended.tag in wanted:
        found.places[ended.tag] = Place(b"SQ", ended.start, position - 8)
    return position, ended.explicit


def _element(data: bytes, position: int, stop: int, order: str, explicit: bool) -> tuple[bytes, int, int]:
    """Type, length and first byte of the value of the element at `position`."""
    vr = data[position + 4 : position + 6] if explicit else b""
    if vr in LONG_VRS:
        if position + 12 > stop:
            raise corrupt("the DICOM file ends inside an element")
        return vr, struct.unpack_from(order + "I", data, position + 8)[0], position + 12
    if vr in VRS or (vr.isalpha() and vr.isupper()):  # a type newer than this table has the short form
        return vr, struct.unpack_from(order + "H", data, position + 6)[0], position + 8
    # implicit coding, or a writer that fell into it inside an explicit file
    return b"", struct.unpack_from(order + "I", data, position + 4)[0], position + 8


def fragments(found: Elements) -> list[bytes]:
    """The coded fragments of encapsulated pixel data, the offset table left out.

    Raises:
        ImageError: ``corrupt_image`` when the chain is broken or has no end.
    """
    data, position = found.data, found.places[PIXEL_DATA].start
    parts: list[bytes] = []
    while True:
        if position + 8 > len(data):
            raise corrupt("the DICOM file ends inside its pixels")
        high, low, length = struct.unpack_from("<HHI", data, position)
        position += 8
        if high << 16 | low == _SEQUENCE_END:
            break
        if high << 16 | low != _ITEM or position + length > len(data):
            raise corrupt("the DICOM file ends inside its pixels")
        parts.append(data[position : position + length])
        position += length
    if len(parts) < 2 or not parts[1]:
        raise corrupt("the DICOM file holds an empty picture")
    return parts[1:]
