# ruff: noqa: E501  one case, one line
"""Little that becomes much: files and requests whose cost is out of all proportion to their size."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from functools import cache, partial

import corpus
import numpy as np
from corpus import RLE, chunk
from pydicom.encaps import encapsulate

from .case import ANSWER, GATE, Case, Told, chest, codes, dicom, files_sent, jpeg, png

FAMILY = "bombs"


def cases(seed: int) -> list[Case]:
    """The family ``bombs``."""
    return files_sent(FAMILY, _files(), seed) + _archives()


def _zlib_of(size: int, byte: bytes = b"\0") -> bytes:
    machine = zlib.compressobj(9)
    block = byte * 1_000_000
    return b"".join([machine.compress(block) for _ in range(size // 1_000_000)] + [machine.flush()])


def _flat(width: int, height: int, bits: int = 8, kind: int = 0) -> bytes:
    """A black PNG of any size."""
    samples = {0: 1, 2: 3, 6: 4}[kind]
    row = bytes(1 + width * bits * samples // 8)
    machine, per = zlib.compressobj(9), max(1, 1_000_000 // len(row))
    body = b"".join(machine.compress(row * min(per, height - at)) for at in range(0, height, per)) + machine.flush()
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _beside(*chunks: bytes) -> bytes:
    data = png()
    return data[:33] + b"".join(chunks) + data[33:]


@cache
def _noise_under_limit() -> bytes:
    """The largest picture that is read: 24.9 million pixels of grain, as JPEG of few megabytes."""
    grain = np.random.default_rng(8).integers(96, 160, (1245, 1250), np.uint8)
    return corpus.saved(np.kron(grain, np.ones((4, 4), np.uint8)), "JPEG", quality=30)


def _frames(count: int) -> bytes:
    """A DICOM of very many small frames."""
    tiny = np.zeros((1, 2), np.uint8)
    return corpus.dicom(tiny, 8, NumberOfFrames=count, pixel_bytes=bytes(2 * count))


def _rle_packets(packets: int) -> bytes:
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * packets
    plain = np.zeros((64, 64), np.uint8)
    return corpus.dicom(plain, 8, syntax=RLE, pixel_bytes=encapsulate([frame]))


def _rle_empty(packets: int) -> bytes:
    """RLE of control bytes that stand for nothing."""
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x80" * packets
    return corpus.dicom(np.zeros((64, 64), np.uint8), 8, syntax=RLE, pixel_bytes=encapsulate([frame]))


def _many_fragments(count: int) -> bytes:
    good = corpus.dicom(chest(), 8, syntax=corpus.BASELINE, pixel_bytes=encapsulate([b"\0\0"]))
    at = good.index(b"\xe0\x7f\x10\0OB")
    empty = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    return good[: at + 12] + empty * count + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def _jpeg2000(width: int, height: int, tile: int = 0) -> bytes:
    """A DICOM whose JPEG 2000 stream declares a size its header agrees with, and next to no data."""
    stream = bytearray(corpus.compressed(corpus.ramp(8), 8, False, corpus.J2K_LOSSLESS))
    at = stream.index(b"\xff\x51")
    stream[at + 6 : at + 14] = struct.pack(">II", width, height)
    stream[at + 22 : at + 30] = struct.pack(">II", tile or width, tile or height)
    body = encapsulate([bytes(stream) + b"\0" * (len(stream) % 2)])
    return corpus.dicom(corpus.ramp(8), 8, syntax=corpus.J2K_LOSSLESS, pixel_bytes=body, Rows=height, Columns=width)


def _files() -> list[Told]:
    return [
        ("bomb: PNG of 13,300 squared in colour", corpus.png_bomb, "too_large"),
        ("bomb: PNG of 5,001 squared", partial(_flat, 5001, 5001), "too_large"),
        ("bomb: PNG of 25,000,000 x 1", partial(_flat, 25_000_000, 1), "blank"),
        ("bomb: PNG of 5,000 squared, black", partial(_flat, 5000, 5000), "blank"),
        ("bomb: PNG of 5,000 squared, 16 bits, colour and alpha", partial(_flat, 5000, 5000, 16, 6), "blank"),
        ("bomb: JPEG of 24.9 million pixels of grain", _noise_under_limit, (ANSWER, *GATE)),
        ("bomb: PNG, 200 MB of words", lambda: _beside(chunk(b"zTXt", b"a\0\0" + _zlib_of(200_000_000))), (ANSWER, "corrupt_image")),
        ("bomb: PNG, 200 MB of international words", lambda: _beside(chunk(b"iTXt", b"a\0\1\0\0\0" + _zlib_of(200_000_000))), (ANSWER, "corrupt_image")),
        ("bomb: PNG, 50 times 60 MB of words", lambda: _beside(*[chunk(b"zTXt", b"a\0\0" + _zlib_of(60_000_000))] * 50), (ANSWER, "corrupt_image")),
        ("bomb: PNG, colour profile of 200 MB", lambda: _beside(chunk(b"iCCP", b"a\0\0" + _zlib_of(200_000_000))), (ANSWER, "corrupt_image")),
        ("bomb: PNG, 300 MB of rows behind its rows", lambda: _rows_behind(300_000_000), (ANSWER, *GATE, "corrupt_image", "blank")),
        ("bomb: JPEG of 65,500 squared", lambda: jpeg().replace(b"\x08\1\0\1\0\1", b"\x08\xff\xdc\xff\xdc\1", 1), "too_large"),
        ("bomb: JPEG, progressive, 199 scans of 24 million pixels", partial(_slow_jpeg, 199), ("corrupt_image", "too_large", "timeout", *GATE, "blank", ANSWER)),
        ("bomb: deflated DICOM of 510 MB", corpus.deflate_bomb, "too_large"),
        ("bomb: RLE of 2,000,000 packets", partial(_rle_packets, 2_000_000), "corrupt_image"),
        ("bomb: RLE of 10,000,000 empty packets", partial(_rle_empty, 10_000_000), "corrupt_image"),
        ("bomb: 2,000,000 frames", partial(_frames, 2_000_000), "many_frames"),
        ("bomb: 1,000,000 fragments of nothing", partial(_many_fragments, 1_000_000), "corrupt_image"),
        ("bomb: JPEG 2000 of 5,000 squared in 100 bytes", partial(_jpeg2000, 5000, 5000), ("corrupt_image", *GATE, "blank", ANSWER)),
        ("bomb: JPEG 2000 in a million tiles", partial(_jpeg2000, 4000, 4000, 4), ("corrupt_image", *GATE, "blank", "timeout", ANSWER)),
        ("bomb: DICOM, 2,000,000 empty items", lambda: _items(2_000_000), ("too_large", "corrupt_image")),
        ("bomb: file of 33 MiB", lambda: jpeg() + bytes(33 << 20), "body_too_large"),
    ]  # fmt: skip


def _items(count: int) -> bytes:
    good = dicom()
    at = good.index(struct.pack("<HH", 0x7FE0, 0x0010))
    opened = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF)
    return good[:at] + opened + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * count + good[at:]


def _rows_behind(size: int) -> bytes:
    raw = b"".join(b"\0" + row.tobytes() for row in chest())
    machine = zlib.compressobj(9)
    parts = [machine.compress(raw)] + [machine.compress(bytes(1_000_000)) for _ in range(size // 1_000_000)]
    head = struct.pack(">IIBBBBB", 256, 256, 8, 0, 0, 0, 0)
    body = b"".join([*parts, machine.flush()])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _slow_jpeg(scans: int) -> bytes:
    """A progressive JPEG of 24 million pixels and nothing in it but the starts of scans."""
    data = bytearray(corpus.saved(chest(), "JPEG", progressive=True))
    at = data.index(b"\xff\xc2")
    data[at + 5 : at + 9] = struct.pack(">HH", 4896, 4896)
    return bytes(data[:-2]) + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * (scans - 20) + b"\xff\xd9"


# Archives ------------------------------------------------------------------------------------------------------------


def packed(*files: tuple[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, how)
    return out.getvalue()


def _zip_of_zeros(size: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive, archive.open("a.png", "w") as one:
        for _ in range(size // 1_000_000):
            one.write(bytes(1_000_000))
    return out.getvalue()


def _nested_zip(depth: int) -> bytes:
    data = packed(("a.png", bytes(1_000_000)))
    for _ in range(depth):
        data = packed(*[(f"{n}.zip", data) for n in range(10)])
    return data


def _overlapping(entries: int, size: int = 20_000_000) -> bytes:
    """Many entries of the directory that are all the same bytes of the file: its own size many times over."""
    plain = packed(("a.png", bytes(size)))
    at = plain.index(b"PK\1\2")
    entry, end = plain[at : plain.index(b"PK\5\6")], plain[plain.index(b"PK\5\6") :]
    many = entry * entries
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, entries % 65536, entries % 65536, len(many), at, 0)
    assert len(tail) == len(end)
    return plain[:at] + many + tail


def _lying_size() -> bytes:
    """A zip whose entry says it is of 10 bytes and inflates to 400 MB."""
    data = bytearray(_zip_of_zeros(400_000_000))
    for magic, place in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = data.index(magic)
        data[at + place : at + place + 4] = struct.pack("<I", 10)
    return bytes(data)


def _directory(entries: int) -> bytes:
    """A zip that is nothing but a directory of empty files."""
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    many = entry * entries
    most = min(entries, 65_535)
    return local + many + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, most, most, len(many), len(local), 0)


def _archives() -> list[Case]:
    big = ("body_too_large", "too_large", "corrupt_archive", "too_many_files")
    told: list[tuple[str, object, object]] = [
        ("bomb: zip of 1 GB of zeros", partial(_zip_of_zeros, 1_000_000_000), big),
        ("bomb: zip that says 10 bytes and holds 400 MB", _lying_size, (*big, ANSWER)),
        ("bomb: zips in zips, five deep", partial(_nested_zip, 4), (ANSWER, *big)),
        ("bomb: zip whose 1,000 entries are the same 20 MB", partial(_overlapping, 1000), big),
        ("bomb: zip whose 16 entries are the same 20 MB", partial(_overlapping, 16), big),
        ("bomb: zip of 65,535 empty files", partial(_directory, 65_535), big),
        ("bomb: zip of 600,000 empty files", partial(_directory, 600_000), big),
        ("bomb: zip of 5,001 pictures", lambda: packed(*[(f"{n}.png", b"x") for n in range(5001)]), "too_many_files"),
    ]
    return [Case(name, FAMILY, "zip", make, codes(expects)) for name, make, expects in told]  # type: ignore[arg-type]
