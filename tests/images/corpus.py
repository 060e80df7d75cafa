"""Makers of image files, good and bad, for tests. Seeded: the same call gives the same bytes.

`dicom` writes one good file by its parts; `bad_files` lists the bad ones with the code each must be refused with. A
crash found later becomes a line of `bad_files`.
"""

from __future__ import annotations

import io
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, BASELINE, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5"
EXTENDED, J2K_LOSSLESS, J2K = "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
JPEG_LOSSLESS, JPEG_LOSSLESS_1 = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"
JPEG_LS, JPEG_LS_NEAR = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
CR = "1.2.840.10008.5.1.4.1.1.1"
NATIVE = (IMPLICIT, EXPLICIT, BIG, DEFLATED)
LOSSLESS = (RLE, J2K_LOSSLESS, JPEG_LOSSLESS, JPEG_LOSSLESS_1, JPEG_LS)


def ramp(bits: int, signed: bool = False, shape: tuple[int, int] = (24, 40)) -> NDArray[np.int64]:
    """Stored values from the smallest to the largest that `bits` can hold, in reading order."""
    count = shape[0] * shape[1]
    rising = np.arange(count) * ((1 << bits) - 1) // (count - 1) - (1 << (bits - 1) if signed else 0)
    return rising.reshape(shape)


def dicom(
    values: NDArray[Any],
    bits: int = 12,
    signed: bool = False,
    syntax: str = EXPLICIT,
    photometric: str = "MONOCHROME2",
    pixel_bytes: bytes | None = None,
    preamble: bool = True,
    drop: tuple[str, ...] = (),
    **attributes: Any,
) -> bytes:
    """A CR file whose stored values are `values`, ints [rows, columns] or uint8 [rows, columns, 3].

    `attributes` are set last, so they can lie; `drop` removes keywords; `pixel_bytes` replaces the pixel data.
    """
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = CR, "1.2.3.4", "CR"
    ds.PatientName, ds.PatientID = "Planted^Identity", "PLANTED-0042"
    ds.Rows, ds.Columns = values.shape[:2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = (3 if values.ndim == 3 else 1), photometric
    if values.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = (8 if bits <= 8 else 16), bits, bits - 1
    ds.PixelRepresentation = int(signed)
    kind = f"{'>' if syntax == BIG else '<'}{'i' if signed else 'u'}{ds.BitsAllocated // 8}"
    raw = values.astype(kind).tobytes()
    if syntax in NATIVE:
        ds.PixelData = raw + b"\0" * (len(raw) % 2)
    else:
        ds.PixelData = encapsulate([compressed(values, bits, signed, syntax, photometric)])
        ds["PixelData"].is_undefined_length = True
    if pixel_bytes is not None:
        ds.PixelData = pixel_bytes
    ds["PixelData"].VR = "OB" if syntax not in NATIVE or (bits <= 8 and syntax != IMPLICIT) else "OW"
    for name, value in attributes.items():
        setattr(ds, name, value)
    for name in drop:
        delattr(ds, name)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, "1.2.3.4"
    ds.file_meta.ImplementationClassUID = "1.2.3.4.5"
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue() if preamble else out.getvalue()[132:]


def compressed(values: NDArray[Any], bits: int, signed: bool, syntax: str, photometric: str = "MONOCHROME2") -> bytes:
    """The coded stream of `values` in `syntax`, made by gdcm; JPEG 2000 in colour by openjpeg."""
    if values.ndim == 3 and syntax == J2K_LOSSLESS:
        from openjpeg.utils import encode_array

        return bytes(encode_array(values.astype(np.uint8), photometric_interpretation=1, use_mct=False))
    with tempfile.TemporaryDirectory() as folder:
        plain, coded = str(Path(folder) / "plain.dcm"), str(Path(folder) / "coded.dcm")
        Path(plain).write_bytes(dicom(values, bits, signed, EXPLICIT, photometric))
        reader = gdcm.ImageReader()
        reader.SetFileName(plain)
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change(), syntax
        writer = gdcm.ImageWriter()
        writer.SetFileName(coded)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        ds = pydicom.dcmread(coded)
        stream = b"".join(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
    # gdcm writes 16 for the precision of its 12-bit JPEG; the standard's process 4 says 12
    return stream.replace(b"\xff\xc1\0\x0b\x10", b"\xff\xc1\0\x0b\x0c") if syntax == EXTENDED else stream


def lut(entries: list[int], first: int, bits: int) -> Dataset:
    """An item of a look-up table sequence."""
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries) % 65536, first % 65536, bits])
    item.add_new(0x00283006, "US", entries)
    return item


def saved(pixels: NDArray[Any], kind: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    """Pillow's file of an array."""
    image = Image.fromarray(pixels)
    out = io.BytesIO()
    (image.convert(mode) if mode else image).save(out, kind, **options)
    return out.getvalue()


def noise(shape: tuple[int, ...] = (40, 56), seed: int = 7) -> NDArray[np.uint8]:
    """Smooth enough to compress, rough enough to notice."""
    rng = np.random.default_rng(seed)
    return (np.cumsum(rng.integers(-9, 10, shape), axis=1) + 128).clip(0, 255).astype(np.uint8)


def chunk(name: bytes, body: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@cache
def png_bomb(side: int = 13_300) -> bytes:
    """A black PNG of `side` squared pixels in colour, a few hundred kilobytes that decode to half a gigabyte."""
    machine, line = zlib.compressobj(9), bytes(1 + 3 * side)
    body = b"".join(machine.compress(line) for _ in range(side)) + machine.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@cache
def deflate_bomb(size: int = 510_000_000) -> bytes:
    """A deflated DICOM of about half a megabyte that inflates to `size` bytes of pixels."""
    head = dicom(noise(), 8, syntax=DEFLATED)
    start = 132 + 12 + struct.unpack_from("<I", head, 140)[0]
    plain = zlib.decompress(head[start:], -15)
    cut = plain.index(struct.pack("<HH", 0x7FE0, 0x0010))
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [machine.compress(plain[:cut] + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, size))]
    parts += [machine.compress(bytes(1_000_000)) for _ in range(size // 1_000_000)] + [machine.flush()]
    return head[:start] + b"".join(parts)


def rle_bomb(rows: int = 64, columns: int = 64, packets: int = 2_000_000) -> bytes:
    """An RLE frame whose one segment runs on to a hundred times and more what Rows and Columns allow."""
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * packets
    plain = np.zeros((rows, columns), np.uint8)
    return dicom(plain, 8, syntax=RLE, pixel_bytes=encapsulate([frame]))


def nested_bomb(depth: int = 20_000) -> bytes:
    """A DICOM with sequences inside sequences, none of them closed."""
    good = dicom(noise(), 8)
    cut = good.index(struct.pack("<HH", 0x7FE0, 0x0010))
    opened = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return good[:cut] + opened * depth + good[cut:]


def crowd(count: int = 300_000) -> bytes:
    """A DICOM with very many small elements."""
    good = dicom(noise(), 8)
    cut = good.index(struct.pack("<HH", 0x7FE0, 0x0010))
    return good[:cut] + struct.pack("<HH2sH", 0x0029, 0x1010, b"LO", 0) * count + good[cut:]


@dataclass(frozen=True)
class Bad:
    """A file that must be refused: its name in the test's output, how it is made, the code expected."""

    name: str
    make: Callable[[], bytes]
    code: str


def many_scans() -> bytes:
    """A progressive JPEG whose hundreds of scans each cost a pass."""
    data = saved(noise(), "JPEG", progressive=True)
    return data[:-2] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 300 + data[-2:]


def _cut(name: str, make: Callable[[], bytes]) -> list[Bad]:
    def at(share: float) -> bytes:
        data = make()
        return data[: max(9, int(len(data) * share))]

    cuts = [Bad(f"{name} cut at {share:.0%}", partial(at, share), "corrupt_image") for share in (0.3, 0.6, 0.9, 0.99)]
    return [*cuts, Bad(f"{name} less its last byte", lambda: make()[:-1], "corrupt_image")]


def _swap(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


def bad_files() -> list[Bad]:
    """The corpus, by family."""
    return _types() + _truncated() + _bombs() + _meaning() + _structure()


def _full(**more: Any) -> bytes:
    return dicom(ramp(12), **more)


_CODED = {"RLE": RLE, "JPEG 2000": J2K_LOSSLESS, "JPEG lossless": JPEG_LOSSLESS, "JPEG-LS": JPEG_LS}


def _types() -> list[Bad]:
    grey = noise()
    foreign = {
        "GIF": saved(grey, "GIF"),
        "TIFF": saved(grey, "TIFF"),
        "BMP": saved(grey, "BMP"),
        "WebP": saved(np.stack([grey] * 3, -1), "WEBP"),
        "bare JPEG 2000": saved(grey, "JPEG2000"),
        "PDF": b"%PDF-1.7\n" + bytes(400),
        "zip": b"PK\x03\x04" + bytes(400),
        "gzip": b"\x1f\x8b\x08\0" + bytes(400),
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "text": b"this was renamed to chest.png\n" * 9,
        "zeros": bytes(4000),
        "one byte": b"\x89",
    }
    return [Bad(name, partial(bytes, data), "unsupported_type") for name, data in foreign.items()]


def _half_of_png() -> bytes:
    """A PNG of 40 rows whose data end, in good order, after 20: its decoder leaves the rest black."""
    raw = b"".join(b"\0" + row.tobytes() for row in noise()[:20])
    header = struct.pack(">IIBBBBB", 56, 40, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def _ended_jpeg(share: float) -> bytes:
    """A JPEG cut inside its scan, its end put back: its decoder leaves the rest mid-grey."""
    data = saved(noise(), "JPEG", quality=95)
    scan = data.index(b"\xff\xda") + 14
    return data[: scan + int(share * (len(data) - scan))].rstrip(b"\xff") + b"\xff\xd9"


def _truncated() -> list[Bad]:
    cuts = _cut("JPEG", partial(saved, noise(), "JPEG")) + _cut("PNG", partial(saved, noise())) + _cut("DICOM", _full)
    for name, syntax in _CODED.items():
        cuts += _cut(name, partial(_full, syntax=syntax))
    cuts += [Bad("PNG closed after half its rows", _half_of_png, "corrupt_image")]
    cuts += [Bad(f"JPEG ended at {n} %", partial(_ended_jpeg, n / 100), "corrupt_image") for n in (20, 50, 80)]
    return cuts + [
        Bad(f"deflated less {n}", lambda n=n: _full(syntax=DEFLATED)[:-n], "corrupt_image") for n in (1, 9, 400)
    ]


def _bombs() -> list[Bad]:
    grey = noise()
    huge = partial(_swap, saved(grey, "JPEG"), struct.pack(">HH", *grey.shape), struct.pack(">HH", 65_000, 65_000))
    film = partial(saved, grey, save_all=True, append_images=[Image.fromarray(noise(seed=8))])
    return [
        Bad("PNG bomb", png_bomb, "too_large"),
        Bad("JPEG that declares 65,000 squared", huge, "too_large"),
        Bad("JPEG of many scans", many_scans, "too_large"),
        Bad("deflate bomb", deflate_bomb, "too_large"),
        Bad("RLE bomb", rle_bomb, "corrupt_image"),
        Bad("DICOM that declares 60,000 squared", partial(_full, Rows=60_000, Columns=60_000), "too_large"),
        Bad("nested sequences", nested_bomb, "corrupt_image"),
        Bad("crowd of elements", crowd, "too_large"),
        Bad("animated PNG", film, "many_frames"),
    ]


def _meaning() -> list[Bad]:
    lies: list[tuple[str, dict[str, Any], str]] = [
        ("no pixels", {"drop": ("PixelData",)}, "no_pixels"),
        ("structured report", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11", "Modality": "SR"}, "no_pixels"),
        ("many frames", {"NumberOfFrames": 40}, "many_frames"),
        ("no frames", {"NumberOfFrames": 0}, "corrupt_image"),
        ("CT class", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "drop": ("Modality",)}, "not_radiograph"),
        ("lying rows, fewer", {"Rows": 12}, "corrupt_image"),
        ("lying rows, more", {"Rows": 25}, "corrupt_image"),
        ("lying columns", {"Columns": 39}, "corrupt_image"),
        ("no rows", {"drop": ("Rows",)}, "corrupt_image"),
        ("nil rows", {"Rows": 0}, "corrupt_image"),
        ("more stored than allocated", {"BitsStored": 17}, "corrupt_image"),
        ("high bit below stored", {"HighBit": 3}, "corrupt_image"),
        ("one bit", {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "unsupported_type"),
        ("32 bits", {"BitsAllocated": 32}, "unsupported_type"),
        ("palette", {"PhotometricInterpretation": "PALETTE COLOR"}, "unsupported_type"),
        ("colour of one sample", {"PhotometricInterpretation": "RGB"}, "corrupt_image"),
        ("malformed modality LUT", {"ModalityLUTSequence": [lut([1, 2, 3], 0, 40)]}, "corrupt_image"),
    ]
    others = ("CT", "MR", "US", "NM", "PT", "MG", "SM", "IO")
    lies += [(f"modality {word}", {"Modality": word}, "not_radiograph") for word in others]
    for name, syntax in _CODED.items():
        lies += [(f"{name}, rows {n}", {"syntax": syntax, "Rows": n}, "corrupt_image") for n in (12, 48)]
    return [Bad(name, partial(_full, **attributes), code) for name, attributes, code in lies]


def _structure() -> list[Bad]:
    deep, coded, explicit = ramp(12), partial(_full, syntax=J2K_LOSSLESS), EXPLICIT.encode()

    def garbage() -> bytes:
        stream = compressed(deep, 12, False, EXTENDED).replace(b"\xff\xc1", b"\xff\xc3", 1)
        return dicom(deep, syntax=JPEG_LOSSLESS, pixel_bytes=encapsulate([stream]))

    jpeg = encapsulate([saved(noise(), "JPEG")])
    return [
        Bad("only the magic", lambda: bytes(128) + b"DICM", "corrupt_image"),
        Bad("random after it", lambda: bytes(128) + b"DICM" + np.random.default_rng(1).bytes(4000), "corrupt_image"),
        Bad("private syntax", lambda: _swap(_full(), explicit + b"\0", b"1.2.840.113619.5.2\0\0"), "unknown_syntax"),
        Bad("retired syntax", lambda: _swap(coded(), b"1.2.4.90", b"1.2.4.52"), "unknown_syntax"),
        Bad(
            "coded, said to be plain",
            lambda: _swap(coded(), J2K_LOSSLESS.encode(), explicit + b"\0" * 3),
            "corrupt_image",
        ),
        Bad("no fragments", lambda: dicom(deep, syntax=RLE, pixel_bytes=encapsulate([b"\0\0"])), "corrupt_image"),
        Bad("JPEG, said to be JPEG 2000", lambda: dicom(noise(), 8, syntax=J2K, pixel_bytes=jpeg), "corrupt_image"),
        Bad("JPEG of 12 bits", lambda: _full(syntax=EXTENDED), "unknown_syntax"),
        Bad("JPEG lossless of garbage", garbage, "corrupt_image"),
    ]
