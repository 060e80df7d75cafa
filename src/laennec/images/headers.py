"""What an image file says of itself, read from its bytes before anything is decoded."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from laennec.errors import ImageError

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "zip archive"),
    (b"PK\x05\x06", "zip archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"BZh", "bzip2 archive"),
    (b"\xfd7zXZ\0", "xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (b"Rar!", "RAR archive"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\x93NUMPY", "NumPy array"),
    (b"\x89HDF", "HDF5"),
    (b"\x7fELF", "program"),
    (b"MZ", "program"),
)
_SHORT_VR = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
VRS = _SHORT_VR | LONG_VRS
_SOF = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_WOVEN = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))  # Adam7
_AT_A_TIME = 1 << 20  # bytes
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_NOISE = bytes(n * n * 37 % 251 for n in range(4096))  # no 255, which would be a marker
_MAX_SCANS = 200  # a progressive JPEG has about ten; each one costs a pass over the whole picture


@dataclass(frozen=True, slots=True)
class Codestream:
    """Header of one coded picture: size in pixels, bits a sample, samples a pixel, and how it is coded.

    Attributes:
        kind: the JPEG start-of-frame marker (0xC0 baseline … 0xF7 JPEG-LS), the PNG colour type, 0 for JPEG 2000.
        frames: pictures in the file.
    """

    width: int
    height: int
    bits: int
    samples: int
    kind: int
    frames: int = 1


def corrupt(what: str) -> ImageError:
    """The error for a file whose structure contradicts itself or ends too early."""
    return ImageError("corrupt_image", what, "fetch or export the file again")


def looks_like(data: bytes) -> str:
    """Name of the file type by its first bytes: ``JPEG``, ``PNG``, ``DICOM``, or what else it looks like.

    A DICOM preamble may hold anything, so ``DICM`` at byte 128 is looked for first. A DICOM without preamble is
    recognised when its first element belongs to group 0002 or 0008.
    """
    if data[128:132] == b"DICM":
        return "DICOM"
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        return "HEIF, AVIF or film"
    if _bare_dicom(data):
        return "DICOM"
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"<"):
        return "HTML, XML or SVG"
    if head and all(byte >= 32 or byte in b"\t\r\n\f" for byte in head):
        return "text"
    return "unknown"


def _bare_dicom(data: bytes) -> bool:
    if len(data) < 16:
        return False
    little = data[:2] in (b"\x02\0", b"\x08\0")
    if not little and data[:2] != b"\0\x08":
        return False
    element = int.from_bytes(data[2:4], "little" if little else "big")
    if element > 0x0100:
        return False
    if data[4:6] in VRS:
        return True
    return little and int.from_bytes(data[4:8], "little") <= min(1024, len(data) - 8)


def png(data: bytes) -> Codestream:
    """Header of a PNG, its chunks walked to the end.

    Raises:
        ImageError: ``corrupt_image`` when a chunk runs past the end or the first or last one is missing.
    """
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise corrupt("the PNG ends inside its header")
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(data[25])
    if samples is None:
        raise corrupt("the PNG has an impossible colour type")
    position, frames, name = 8, 1, b""
    while name != b"IEND":
        if position + 12 > len(data):
            raise corrupt("the PNG ends before its last chunk")
        length, name = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        if name == b"acTL":
            frames = int.from_bytes(data[position + 8 : position + 12], "big")
        position += 12 + length
    if position > len(data):
        raise corrupt("the PNG ends inside its last chunk")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return Codestream(width, height, data[24], samples, data[25], frames)


def png_is_whole(data: bytes) -> bool:
    """Whether the data of a PNG that `png` has walked inflate to all the rows its header declares.

    A stream that is closed properly but too early leaves the rest of the picture black, without a word from the
    decoder. What is inflated is counted, not kept.
    """
    said = png(data)
    steps = _WOVEN if data[28] == 1 else ((0, 0, 1, 1),)
    wanted = 0
    for top, left, down, across in steps:
        rows, columns = -(-(said.height - top) // down), -(-(said.width - left) // across)
        if rows > 0 and columns > 0:
            wanted += rows * (1 + -(-columns * said.bits * said.samples // 8))
    machine, position = zlib.decompressobj(), 8
    try:
        while wanted > 0 and position < len(data):
            length, name = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
            rest = data[position + 8 : position + 8 + length] if name == b"IDAT" else b""
            while rest and wanted > 0:
                wanted -= len(machine.decompress(rest, _AT_A_TIME))
                rest = machine.unconsumed_tail
            position += 12 + length
        return wanted <= 0 or wanted <= len(machine.flush())
    except zlib.error:
        return False


def with_noise(data: bytes) -> bytes:
    """A JPEG that `jpeg` has walked, with noise put behind the coded blocks of its first scan.

    A decoder that has all blocks passes over it; one that lacks some makes them of it, instead of mid-grey.
    """
    position = 2
    while True:
        while data[position : position + 2] == b"\xff\xff":
            position += 1
        marker = data[position + 1]
        position += 2
        if marker != 0x01 and not 0xD0 <= marker <= 0xD7:
            position += int.from_bytes(data[position : position + 2], "big")
        if marker == 0xDA:
            break
    after = _NEXT_MARKER.search(data, position)
    end = after.start() if after else len(data)
    return data[:end] + _NOISE + data[end:]


def jpeg(data: bytes) -> Codestream:
    """Header of a JPEG of any process, JPEG lossless and JPEG-LS among them.

    Raises:
        ImageError: ``corrupt_image`` when it has no frame header, no scan or no end; ``too_large`` when it holds
            more scans than any radiograph needs.
    """
    position, found = 2, None
    while True:
        while data[position : position + 2] == b"\xff\xff":
            position += 1
        segment = data[position : position + 4]
        if len(segment) < 4 or segment[0] != 0xFF:
            raise corrupt("the JPEG ends or breaks off inside its header")
        marker, length = segment[1], int.from_bytes(segment[2:4], "big")
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            position += 2
            continue
        if length < 2 or position + 2 + length > len(data):
            raise corrupt("the JPEG ends inside its header")
        if marker in _SOF:
            if found is not None or length < 8:
                raise corrupt("the JPEG has a broken frame header")
            body = data[position + 4 : position + 2 + length]
            height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            found = Codestream(width, height, body[0], body[5], marker)
        position += 2 + length
        if marker == 0xDA:
            break
    if found is None:
        raise corrupt("the JPEG has no frame header")
    if data.find(b"\xff\xd9", position) < 0:
        raise corrupt("the JPEG has no end")
    if data.count(b"\xff\xda", position) > _MAX_SCANS:
        raise ImageError("too_large", "the JPEG holds hundreds of scans", "save it again as a baseline JPEG")
    return found


def jpeg2000(data: bytes) -> Codestream:
    """Header of a JPEG 2000 codestream, bare or in a JP2 box.

    Raises:
        ImageError: ``corrupt_image`` when there is none, or the stream has no end marker.
    """
    start = data[:4096].find(b"\xff\x4f\xff\x51")
    siz = data[start + 4 :][:44]
    if start < 0 or len(siz) < 39:
        raise corrupt("the JPEG 2000 stream has no header")
    if data.rfind(b"\xff\xd9") < max(start, len(data) - 256):
        raise corrupt("the JPEG 2000 stream has no end")
    right, bottom, left, top = (int.from_bytes(siz[n : n + 4], "big") for n in (4, 8, 12, 16))
    samples, bits = int.from_bytes(siz[36:38], "big"), (siz[38] & 0x7F) + 1
    return Codestream(right - left, bottom - top, bits, samples, 0)
