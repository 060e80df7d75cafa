"""The stored values of a DICOM picture, decoded only after the coded stream agrees with the file's header.

Grey values come as codes: ``uint16``, stored value minus the smallest value the bits can hold. Unsigned data are their
own codes; signed ones are shifted by half the range. Bits outside BitsStored are removed (or, where a lossy codec had
more room than BitsStored, cut off at the top). Colour comes as ``uint8 [rows, columns, 3]``, red, green, blue.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laennec.errors import ImageError, extra
from laennec.images import headers
from laennec.images.dicom_file import BIG, DEFLATED, EXPLICIT, IMPLICIT, PIXEL_DATA, Elements, fragments
from laennec.images.headers import Codestream, corrupt

_JPEG8, _JPEG12 = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
_RLE = "1.2.840.10008.1.2.5"
_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 91, 203))
SYNTAXES = {
    IMPLICIT: "implicit little endian",
    EXPLICIT: "explicit little endian",
    DEFLATED: "deflated",
    BIG: "explicit big endian",
    _JPEG8: "JPEG baseline",
    _JPEG12: "JPEG extended",
    "1.2.840.10008.1.2.4.57": "JPEG lossless",
    "1.2.840.10008.1.2.4.70": "JPEG lossless, first-order",
    "1.2.840.10008.1.2.4.80": "JPEG-LS lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS near-lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "HTJ2K lossless",
    "1.2.840.10008.1.2.4.202": "HTJ2K lossless, RPCL",
    "1.2.840.10008.1.2.4.203": "HTJ2K",
    _RLE: "RLE",
}
_RLE_SPARE = 1024  # bytes that pad a segment, at most
_JPEG_LS = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
_GDCM = _JPEG_LS | {"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"}
_NATIVE = frozenset({IMPLICIT, EXPLICIT, DEFLATED, BIG})
_PROCESSES = {  # start-of-frame markers a syntax may carry
    _JPEG8: {0xC0, 0xC1, 0xC2},
    _JPEG12: {0xC0, 0xC1, 0xC2},
    "1.2.840.10008.1.2.4.57": {0xC3},
    "1.2.840.10008.1.2.4.70": {0xC3},
    "1.2.840.10008.1.2.4.80": {0xF7},
    "1.2.840.10008.1.2.4.81": {0xF7},
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels are laid out, as the file declares; checked for sense before it is made.

    Attributes:
        allocated: bits a sample takes in memory, 8 or 16.
        stored: bits of it that count.
        high: number of the topmost bit that counts.
        signed: two's complement.
        samples: 1 grey, 3 colour.
        photometric: DICOM's word for what the samples mean.
        planar: colour planes one after the other.
    """

    rows: int
    columns: int
    allocated: int
    stored: int
    high: int
    signed: bool
    samples: int
    photometric: str
    planar: bool
    frames: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame when not compressed."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * (self.allocated // 8)


def stored_codes(found: Elements, layout: Layout, syntax: str) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """The first frame: ``uint16 [rows, columns]`` codes, or ``uint8 [rows, columns, 3]`` when it is in colour.

    Raises:
        ImageError: ``corrupt_image`` when the pixel data are damaged or not of the declared size.
        MissingExtra: the decoder needs the extra ``dicom``.
    """
    if syntax in _NATIVE:
        return _native(found, layout)
    place = found.places[PIXEL_DATA]
    if place.stop >= 0:
        raise corrupt("the compressed pixels are not in fragments")
    parts = fragments(found)
    stream = b"".join(parts) if layout.frames == 1 else parts[0]
    if syntax == _RLE:
        return _run_lengths(stream, layout)
    said = _agree(stream, layout, syntax)
    values = _by_gdcm(stream, layout, syntax) if syntax in _GDCM else _by_pydicom(found, layout, syntax)
    shape = (layout.rows, layout.columns) if layout.samples == 1 else (layout.rows, layout.columns, 3)
    if values.shape != shape or values.dtype.itemsize > 2:
        raise corrupt("the decoded pixels are not of the declared size")
    return _codes(values, layout, said.bits, syntax in _LOSSY) if layout.samples == 1 else values.view(np.uint8)


def load_decoders() -> None:
    """Load the libraries that decode compressed pixels, those that are installed, before the first picture needs them.

    That takes a second, and many on a busy machine: time that a picture must not be charged with.
    """
    for name in ("gdcm", "openjpeg", "pydicom.pixels.decoders"):
        with suppress(ImportError):
            importlib.import_module(name)


def _agree(stream: bytes, layout: Layout, syntax: str) -> Codestream:
    """The coded stream's own header, once it agrees with the file's."""
    processes = _PROCESSES.get(syntax)
    said = headers.jpeg2000(stream) if processes is None else headers.jpeg(stream)
    if processes is not None and said.kind not in processes:
        raise corrupt("the compressed pixels are not of the declared kind")
    if (said.width, said.height, said.samples) != (layout.columns, layout.rows, layout.samples):
        raise corrupt("the compressed picture is not of the declared size")
    if syntax == _JPEG12 and said.bits > 8:
        raise ImageError("unknown_syntax", "a JPEG of 12 bits cannot be read", "export it uncompressed")
    if said.bits > layout.allocated or (layout.samples == 3 and said.bits != 8):
        raise corrupt("the compressed picture has more bits than declared")
    return said


def _native(found: Elements, layout: Layout) -> NDArray[np.uint16] | NDArray[np.uint8]:
    place = found.places[PIXEL_DATA]
    size = place.stop - place.start
    expected = layout.frame_bytes * layout.frames
    if place.stop < 0 or size not in (expected, expected + expected % 2):
        raise corrupt("the pixel data are not of the length that Rows and Columns declare")
    if layout.samples == 3:
        return _native_colour(found, layout)
    count = layout.rows * layout.columns
    swapped = not found.little and layout.allocated == 8 and place.vr == b"OW"
    if swapped:  # bytes travel in pairs there
        words = np.frombuffer(found.data, ">u2", (count + 1) // 2, place.start)
        flat: NDArray[Any] = words.astype("<u2").view(np.uint8)[:count]
    else:
        kind = "u1" if layout.allocated == 8 else "<u2" if found.little else ">u2"
        flat = np.frombuffer(found.data, kind, count, place.start)
    return _codes(flat.reshape(layout.rows, layout.columns), layout, layout.allocated, lossy=False)


def _native_colour(found: Elements, layout: Layout) -> NDArray[np.uint8]:
    place = found.places[PIXEL_DATA]
    if layout.photometric == "YBR_FULL_422" or not found.little:
        raise ImageError("unsupported_type", "this uncompressed colour layout is not read", "export it in grey")
    shape = (layout.rows, layout.columns, 3)
    flat = np.frombuffer(found.data, np.uint8, layout.frame_bytes, place.start)
    colour = flat.reshape(3, *shape[:2]).transpose(1, 2, 0) if layout.planar else flat.reshape(shape)
    return _to_rgb(colour, layout)


def _to_rgb(colour: NDArray[np.uint8], layout: Layout) -> NDArray[np.uint8]:
    if layout.photometric == "RGB":
        return colour
    from PIL import Image

    ycbcr = Image.merge("YCbCr", [Image.fromarray(np.ascontiguousarray(colour[..., n])) for n in range(3)])
    return np.asarray(ycbcr.convert("RGB"))


def _run_lengths(stream: bytes, layout: Layout) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """RLE (PS3.5 annex G): a segment for each byte of each sample, the high byte first.

    Our own, for the libraries' decoders grow without bound or panic on a damaged segment.
    """
    count, planes = layout.rows * layout.columns, layout.samples * layout.allocated // 8
    offsets = np.frombuffer(stream[:64], "<u4").astype(int).tolist()
    starts = [*offsets[1 : planes + 1], len(stream)]
    if len(stream) < 64 or offsets[0] != planes or starts[0] != 64 or sorted(starts) != starts:
        raise corrupt("the RLE header does not fit the declared bits")
    segments = [_segment(stream[starts[n] : starts[n + 1]], count) for n in range(planes)]
    if layout.samples == 3:
        return _to_rgb(np.stack(segments, -1).reshape(layout.rows, layout.columns, 3), layout)
    whole: NDArray[Any] = segments[0]
    if planes == 2:
        whole = segments[0].astype(np.uint16) << np.uint16(8) | segments[1]
    return _codes(whole.reshape(layout.rows, layout.columns), layout, layout.allocated, lossy=False)


def _segment(packed: bytes, count: int) -> NDArray[np.uint8]:
    """The `count` bytes of one segment."""
    plain, position, place, end = bytearray(count), 0, 0, len(packed)
    if end > 2 * count + _RLE_SPARE:  # a run of one takes two bytes; nothing takes more
        raise corrupt("the RLE data are not of the declared size")
    while place < count and position + 1 < end:
        head = packed[position]
        if head < 128:
            run = head + 1
            plain[place : place + run] = packed[position + 1 : position + 1 + run]
            position += 1 + run
        elif head > 128:
            run = 257 - head
            plain[place : place + run] = packed[position + 1 : position + 2] * run
            position += 2
        else:
            run = 0
            position += 1
        place += run
    if place != count or len(plain) != count or packed[position:].strip(b"\0\x80"):
        raise corrupt("the RLE data are not of the declared size")
    return np.frombuffer(plain, np.uint8)


def _codes(values: NDArray[Any], layout: Layout, bits: int, lossy: bool) -> NDArray[np.uint16]:
    """Decoded samples to codes; `bits` is what the decoder's samples hold."""
    order = values.dtype.byteorder
    whole = values.view(np.dtype(f"u{values.dtype.itemsize}").newbyteorder(order)).astype(np.uint16)
    stored = layout.stored
    if bits == layout.allocated and layout.high + 1 > stored and not lossy:
        whole >>= layout.high + 1 - stored
    mask = np.uint16((1 << stored) - 1)
    if layout.signed:
        if bits < stored:  # the decoder filled fewer bits: its sign bit is lower
            sign = 1 << (bits - 1)
            whole &= np.uint16(2 * sign - 1)
            whole ^= np.uint16(sign)
            whole -= np.uint16(sign)
        whole &= mask
        whole ^= np.uint16(1 << (stored - 1))
        return whole
    if lossy and bits > stored:
        return np.minimum(whole, mask, out=whole)
    whole &= mask
    return whole


def _by_pydicom(found: Elements, layout: Layout, syntax: str) -> NDArray[Any]:
    """JPEG of 8 bits by Pillow, JPEG 2000 by openjpeg, both behind pydicom."""
    with extra("dicom"):
        from pydicom.pixels.decoders.base import get_decoder
        from pydicom.uid import UID
    decoder = get_decoder(UID(syntax))
    plugin = "pillow" if syntax in (_JPEG8, _JPEG12) else "pylibjpeg"
    if plugin not in decoder.available_plugins:
        with extra("dicom"):
            raise ModuleNotFoundError(name=plugin)
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "number_of_frames": layout.frames,
        "photometric_interpretation": layout.photometric,
        "pixel_keyword": "PixelData",
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "correct_unused_bits": False,
    }
    if layout.samples == 3:
        options["planar_configuration"] = int(layout.planar)
    coded = found.data[found.places[PIXEL_DATA].start :]
    array, _ = decoder.as_array(coded, index=0, decoding_plugin=plugin, **options)
    return np.asarray(array)


def _by_gdcm(stream: bytes, layout: Layout, syntax: str) -> NDArray[Any]:
    """Lossless JPEG and JPEG-LS, by gdcm's codecs themselves.

    The way through its Image class, which pydicom takes, hands out memory nobody wrote to when decoding fails.
    """
    with extra("dicom"):
        import gdcm
    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    chain = gdcm.SequenceOfFragments.New()
    chain.AddFragment(fragment)
    coded, plain = (gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010)) for _ in range(2))
    coded.SetValue(chain.__ref__())
    codec = gdcm.JPEGLSCodec() if syntax in _JPEG_LS else gdcm.JPEGCodec()
    codec.SetNumberOfDimensions(2)
    codec.SetDimensions((layout.columns, layout.rows, 1))
    kind = gdcm.PhotometricInterpretation.GetPIType(layout.photometric)
    codec.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    codec.SetPlanarConfiguration(0)
    form = (layout.samples, layout.allocated, layout.stored, layout.stored - 1, int(layout.signed))
    codec.SetPixelFormat(gdcm.PixelFormat(*form))
    if not codec.Decode(coded, plain):
        raise corrupt("the compressed pixels are damaged")
    raw = plain.GetByteValue().GetBuffer().encode("utf-8", "surrogateescape")
    shape = (layout.rows, layout.columns, layout.samples)[: 2 if layout.samples == 1 else 3]
    if len(raw) != layout.rows * layout.columns * layout.samples * layout.allocated // 8:
        raise corrupt("the decoded pixels are not of the declared size")
    return np.frombuffer(raw, f"<u{layout.allocated // 8}").reshape(shape)
