"""Compressed pictures without what is not the picture: comments, and what applications left in their headers."""

from __future__ import annotations

from laennec.images.headers import corrupt

_ADOBE = b"Adobe"  # tells how the colours are to be understood


def jpeg(data: bytes) -> bytes:
    """A JPEG, JPEG lossless or JPEG-LS without comments and application segments (but Adobe's), to its end marker.

    Raises:
        ImageError: ``corrupt_image``: its segments do not follow one another.
    """
    kept, at = [data[:2]], 2
    while True:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if at + 2 > len(data) or data[at] != 0xFF:
            raise corrupt("the JPEG breaks off")
        marker = data[at + 1]
        if marker == 0xD9:
            return b"".join([*kept, b"\xff\xd9"])
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        stop = at + 2 + length
        if length < 2 or stop > len(data):
            raise corrupt("the JPEG breaks off")
        said = data[at + 4 : stop]
        if not 0xE0 <= marker <= 0xEF and marker != 0xFE:
            kept.append(data[at:stop])
        elif marker == 0xEE and said.startswith(_ADOBE) and len(said) >= 12:
            kept.append(b"\xff\xee\0\x0e" + said[:12])
        at = stop
        if marker == 0xDA:
            at = _coded_until(data, at)
            kept.append(data[stop:at])


def _coded_until(data: bytes, at: int) -> int:
    """Where the coded picture that begins at `at` ends: at the next marker that is no restart."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise corrupt("the JPEG has no end")
        if data[at + 1] >= 0x80 and not 0xD0 <= data[at + 1] <= 0xD7 and data[at + 1] != 0xFF:
            return at
        at += 1


def jpeg2000(data: bytes) -> bytes:
    """A JPEG 2000 codestream, taken out of its boxes if it lies in some, its comments overwritten with zeros.

    Raises:
        ImageError: ``corrupt_image``: its segments do not follow one another.
    """
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0:
        raise corrupt("the JPEG 2000 stream has no header")
    stream, at = bytearray(data[start:]), 2
    while True:
        marker = bytes(stream[at : at + 2])
        if marker == b"\xff\xd9":
            return bytes(stream[: at + 2])
        length = int.from_bytes(stream[at + 2 : at + 4], "big")
        if len(marker) < 2 or marker[0] != 0xFF or length < 2 or at + 2 + length > len(stream):
            raise corrupt("the JPEG 2000 stream breaks off")
        if marker == b"\xff\x90":
            at = _tile(stream, at)
            continue
        _silence(stream, at, length)
        at += 2 + length


def _tile(stream: bytearray, start: int) -> int:
    """Go through the header of a tile-part; where the next begins."""
    size = int.from_bytes(stream[start + 6 : start + 10], "big")
    stop = start + size if size else stream.rfind(b"\xff\xd9")
    at = start + 12
    while bytes(stream[at : at + 2]) != b"\xff\x93":
        length = int.from_bytes(stream[at + 2 : at + 4], "big")
        if length < 2 or at + 2 + length > stop:
            raise corrupt("the JPEG 2000 stream breaks off")
        _silence(stream, at, length)
        at += 2 + length
    if not at < stop <= len(stream):
        raise corrupt("the JPEG 2000 stream breaks off")
    return stop


def _silence(stream: bytearray, at: int, length: int) -> None:
    """Overwrite a comment, whose length others count on."""
    if stream[at + 1] == 0x64:
        stream[at + 6 : at + 2 + length] = bytes(length - 4)
