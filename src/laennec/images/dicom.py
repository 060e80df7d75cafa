"""DICOM radiographs to grey: what is refused, and the order in which the rest is done.

Everything is refused that can be before a pixel is decoded: other modalities, objects without a picture, several
frames, transfer syntaxes nobody here can decode, sizes over the limit, sizes that do not agree with the data.

Read: modality CR, DX, RG, XR and RF (a fluoroscopy room also makes plain films), and OT, SC or none, under which
scanned films and exports travel. Grey of 8 or 16 bits allocated; colour of 8 bits, RGB or YBR, as luminance (Rec. 601,
no window). PALETTE COLOR is refused. Overlays are not drawn. A file without the 128-byte preamble is read when it
starts with group 0002 or 0008. The file is held against its own bytes, not parsed into a data set, and pydicom's
decoders are used for compressed pixels only; an uncompressed file needs no extra.

`done` holds besides the keys of every picture: ``transfer_syntax``, ``modality``, ``intent`` ("presentation",
"processing", "unknown"), ``colour`` ("none", "luminance"); for grey ``rescale`` ("none", "linear" with
``rescale_slope`` and ``rescale_intercept``, "lut", "ignored"), ``window`` ("voi lut", "window" with ``window_center``,
``window_width``, ``window_function``, "bit range", "full range" with ``range_low``, ``range_high``) and ``padding``;
where the file says so
``pixel_spacing_mm`` (between rows), ``pixel_spacing_across_mm`` (when columns differ), ``view`` (PA, AP, LATERAL,
OTHER) and ``view_by`` (the name of the element that says it, `laennec.images.projection`), ``mirrored`` (its Patient
Orientation begins with R: the patient's left is on the left) and ``burned_in`` (annotation in the pixels).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laennec.errors import ImageError
from laennec.images import dicom_grey as tags
from laennec.images import projection
from laennec.images.dicom_file import PIXEL_DATA, Elements, parse
from laennec.images.dicom_frame import SYNTAXES, Layout, stored_codes
from laennec.images.headers import corrupt
from laennec.images.picture import Done, Limits, Picture
from laennec.images.raster import check_size

_SOP_CLASS, _MODALITY, _BURNED = 0x00080016, 0x00080060, 0x00280301
_ORIENTATION = 0x00200020
_IMAGER_SPACING, _SPACING = 0x00181164, 0x00280030
_SAMPLES, _PHOTOMETRIC, _PLANAR, _FRAMES = 0x00280002, 0x00280004, 0x00280006, 0x00280008
_ROWS, _COLUMNS = 0x00280010, 0x00280011
_ALLOCATED, _STORED, _HIGH, _SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_WANTED = projection.WANTED | frozenset(
    {
        _SOP_CLASS, _MODALITY, _BURNED, _ORIENTATION, _IMAGER_SPACING, _SPACING, _SAMPLES, _PHOTOMETRIC,
        _PLANAR, _FRAMES, _ROWS, _COLUMNS, _ALLOCATED, _STORED, _HIGH, _SIGNED, tags.INTERCEPT, tags.SLOPE,
        tags.MODALITY_LUT, tags.CENTER, tags.WIDTH, tags.FUNCTION, tags.VOI_LUT, tags.PADDING, tags.PADDING_LIMIT,
        tags.INTENT, tags.LUT_SHAPE,
    }
)  # fmt: skip
_PLAIN_FILM = frozenset({"CR", "DX", "RG", "XR", "RF", "OT", "SC", ""})
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_OTHER_CLASSES = ("2", "3", "4", "6", "7.1", "12", "13", "14", "20", "30", "66", "77", "128", "130", "131", "481")
_NOT_IMAGES = ("9", "11", "88", "104", "67", "68", "78", "79", "80", "81", "82")
_FINEST, _COARSEST = 0.01, 10.0  # millimetres between pixels that a radiograph may have; else the file errs
_GREY, _COLOUR = ("MONOCHROME1", "MONOCHROME2"), ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_INTENTS = {"FOR PRESENTATION": "presentation", "FOR PROCESSING": "processing"}


def read_dicom(data: bytes, limits: Limits) -> Picture:
    """The picture in the bytes of a DICOM file, bones bright whatever its photometric interpretation.

    Raises:
        ImageError: ``no_pixels``, ``not_radiograph``, ``many_frames``, ``unknown_syntax``, ``too_large``,
            ``unsupported_type`` (bits or colours that no radiograph has), ``corrupt_image``.
        MissingExtra: the pixels are compressed and the extra ``dicom`` is not installed.
    """
    found, syntax = parse(data, _WANTED, limits, SYNTAXES.__contains__)
    modality = _check_kind(found)
    layout = _layout(found, limits)
    codes = stored_codes(found, layout, syntax)
    done: Done = {
        "format": "DICOM", "bits": layout.stored, "width": layout.columns, "height": layout.rows,
        "photometric": layout.photometric, "inverted": False, "transfer_syntax": SYNTAXES[syntax],
        "modality": modality, "intent": _INTENTS.get(found.text(tags.INTENT), "unknown"), "colour": "none",
    }  # fmt: skip
    if layout.samples == 3:
        done["colour"] = "luminance"
        return Picture(_luminance(codes), done | _facts(found))
    pixels, how = tags.grey(codes.astype(np.uint16, copy=False), found, layout)
    return Picture(pixels, done | how | _facts(found))


def _check_kind(found: Elements) -> str:
    """The modality, once it is known that this is an image that can be a radiograph."""
    sop_class = found.text(_SOP_CLASS)
    branch = sop_class.removeprefix(_STORAGE) if sop_class.startswith(_STORAGE) else ""

    def among(branches: tuple[str, ...]) -> bool:
        return any(branch == b or branch.startswith(b + ".") for b in branches)

    if among(_NOT_IMAGES) or (PIXEL_DATA not in found.places and found.text(_MODALITY) in _PLAIN_FILM):
        raise ImageError("no_pixels", "the DICOM file holds no image", "give the image object itself")
    modality = found.text(_MODALITY)
    if modality not in _PLAIN_FILM or among(_OTHER_CLASSES):
        raise ImageError("not_radiograph", "the DICOM file is of another modality", "give a plain radiograph (CR, DX)")
    if PIXEL_DATA not in found.places:
        raise ImageError("no_pixels", "the DICOM file holds no image", "give the image object itself")
    return modality


def _layout(found: Elements, limits: Limits) -> Layout:
    """How the pixels are laid out, every declared number checked before any of them is used."""
    frames = found.numbers(_FRAMES)
    count = frames[0] if frames else 1.0
    if not count >= 1 or count != int(count):
        raise corrupt("the number of frames is not a positive whole number")
    if count > limits.max_frames:
        raise ImageError("many_frames", "the DICOM file holds several frames", "export one frame")
    rows, columns = found.integer(_ROWS), found.integer(_COLUMNS)
    check_size(columns, rows, limits)
    allocated, photometric = found.integer(_ALLOCATED), found.text(_PHOTOMETRIC)
    stored = found.integer(_STORED, allocated)
    high, samples = found.integer(_HIGH, stored - 1), found.integer(_SAMPLES, 1)
    signed = found.integer(_SIGNED, 0)
    if allocated not in (8, 16):
        raise ImageError("unsupported_type", "the samples are not of 8 or 16 bits", "export it with 8 or 16 bits")
    if not (1 <= stored <= allocated and stored - 1 <= high < allocated) or signed not in (0, 1):
        raise corrupt("the declared bits contradict one another")
    wanted = {1: _GREY, 3: _COLOUR}.get(samples, ())
    if photometric not in _GREY + _COLOUR or (samples == 3 and allocated != 8):
        raise ImageError("unsupported_type", "the colours are not those of a radiograph", "export it in grey")
    if photometric not in wanted:
        raise corrupt("the declared samples and colours contradict one another")
    planar = found.integer(_PLANAR, 0) == 1
    return Layout(rows, columns, allocated, stored, high, bool(signed), samples, photometric, planar, int(count))


def _luminance(colour: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.float32]:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(colour, dtype=np.uint8))
    light: NDArray[np.float32] = np.divide(np.asarray(image.convert("L")), 255, dtype=np.float32)
    return light


def _facts(found: Elements) -> Done:
    """What the file says of the exposure. Words are taken from a list, so that no free text gets out."""
    facts: Done = {}
    for tag in (_IMAGER_SPACING, _SPACING):
        spacing = found.numbers(tag)
        if len(spacing) == 2 and all(_FINEST <= step <= _COARSEST for step in spacing):
            facts["pixel_spacing_mm"] = spacing[0]
            if spacing[1] != spacing[0]:
                facts["pixel_spacing_across_mm"] = spacing[1]
            break
    view, by = projection.view(found)
    if view:
        facts |= {"view": view, "view_by": by}
    if found.text(_ORIENTATION).startswith("R"):  # the rows run towards the patient's right
        facts["mirrored"] = True
    burned = found.text(_BURNED)
    if burned in ("YES", "NO"):
        facts["burned_in"] = burned == "YES"
    return facts
