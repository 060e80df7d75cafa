"""Radiographs with the outlines of their lungs, as PNG.

Colours are Okabe & Ito's (Color Universal Design, 2008): lines have the lighter ones, for they lie on dark film; missed
and added are the red and the blue that the pages give to misses and false alarms. A dark seam beside every line keeps
it apart from bone. Nothing is written into a picture: the page beside it says what the colours mean (`RIGHT`, `LEFT`,
`TRUTH`, `DRAWN`, `MISSED`, `ADDED`).
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

RIGHT, LEFT = "#56b4e9", "#e69f00"
TRUTH, DRAWN = "#f0e442", "#56b4e9"
MISSED, ADDED = "#d55e00", "#0072b2"

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]
Levels = NDArray[np.uint8]

_SEAM = "#000000"
_DARK, _BRIGHT = 0.35, 0.95  # lightness of the coldest and the hottest colour
_COLD, _HOT, _CHROMA = 300.0, 95.0, 0.14  # their hues in degrees, and how vivid all are
_CLEAR, _OPAQUE = 0.15, 0.75  # heat from which a colour begins to show, and how opaque the hottest is
_FILL = 0.12  # how much of a lung's colour lies on the lung
_AGREED, _DIFFERS = 0.14, 0.75
_GAP = "#ffffff"
_FINEST = 96  # pixels of the longest side; below, an outline covers what it encloses


def overlay(pixels: Grey, right: Mask, left: Mask, longest: int = 1024) -> bytes:
    """A radiograph with each lung outlined and tinted: the patient's right in `RIGHT`, the left in `LEFT`.

    Args:
        pixels: grey ``float32 [rows, columns]`` in [0, 1], 0 black.
        right, left: ``bool [rows, columns]`` on the same pixels; either may be empty.
        longest: longest side of the result in pixels, at least 96; the picture is enlarged or reduced to it.

    Returns:
        A PNG in colour. Lines are 3 pixels wide at 1024, never under 2, and grow with the picture.

    Raises:
        ValueError: the arrays are not of one shape with two dimensions, or `longest` is too small.
    """
    canvas = _canvas(pixels, (right, left), longest)
    for mask, colour in ((right, RIGHT), (left, LEFT)):
        canvas = _outlined(canvas, mask, colour, _FILL)
    return _png(canvas)


def panels(pixels: Grey, truth: Mask, mask: Mask, longest: int = 384) -> bytes:
    """Three pictures side by side: the true outline, the one drawn by a model, and where they differ.

    The third tints faintly what both call lung; `MISSED` is lung in the truth alone, `ADDED` in `mask` alone.

    Args:
        pixels: grey ``float32 [rows, columns]`` in [0, 1], 0 black.
        truth, mask: ``bool [rows, columns]`` on the same pixels; either may be empty.
        longest: longest side of each picture in pixels, at least 96.

    Returns:
        A PNG in colour, three pictures and two gaps wide.

    Raises:
        ValueError: the arrays are not of one shape with two dimensions, or `longest` is too small.
    """
    canvas = _canvas(pixels, (truth, mask), longest)
    differing = canvas
    for part, colour, strength in (
        (truth & mask, _GAP, _AGREED), (truth & ~mask, MISSED, _DIFFERS), (mask & ~truth, ADDED, _DIFFERS),
    ):  # fmt: skip
        differing = _tinted(differing, _scaled(part, canvas.size), colour, strength)
    shown = (_outlined(canvas, truth, TRUTH, _FILL), _outlined(canvas, mask, DRAWN, _FILL), differing)
    gap = max(2, longest // 64)
    width, height = canvas.size
    sheet = Image.new("RGB", (3 * width + 2 * gap, height), _GAP)
    for place, picture in enumerate(shown):
        sheet.paste(picture, (place * (width + gap), 0))
    return _png(sheet)


def outline_layer(right: Mask, left: Mask, least: int = 0) -> bytes:
    """Both lungs outlined and tinted as by `overlay`, as a PNG to lay over the picture they were found on: of the same
    aspect, transparent elsewhere.

    Args:
        right, left: ``bool [rows, columns]`` of one shape; either may be empty.
        least: pixels of the longest side to draw on at least, for lines that are smooth where the picture is small.

    Returns:
        The bytes of an RGBA picture.

    Raises:
        ValueError: the masks are not of one shape with two dimensions.
    """
    rows, columns = right.shape
    if left.shape != right.shape:
        raise ValueError(f"expected two masks of one shape, got {right.shape} and {left.shape}")
    scale = max(1.0, least / max(rows, columns))
    layer = Image.new("RGBA", (round(columns * scale), round(rows * scale)))
    for mask, colour in ((right, RIGHT), (left, LEFT)):
        if not mask.any():
            continue
        shape, lines, seams = _drawn(mask, layer.size)
        for where, ink, strength in ((shape, colour, _FILL), (seams, _SEAM, 0.55), (lines, colour, 1.0)):
            paint = Image.new("RGBA", layer.size, ink)
            paint.putalpha(where.point([round(level * strength) for level in range(256)]))
            layer = Image.alpha_composite(layer, paint)
    return _png(layer)


def pictured(
    pixels: Grey, heat: Grey | None = None, lungs: tuple[Mask, Mask] | None = None, longest: int = 1024
) -> Levels:
    """A radiograph with its heat over it, and each lung outlined; tinted too where there is no heat.

    Args:
        pixels: grey ``float32 [rows, columns]`` in [0, 1], 0 black.
        heat: the same shape and range, as of `heat_layer`.
        lungs: the patient's right and left, ``bool [rows, columns]``.
        longest: longest side of the result in pixels, at least 96; the picture is enlarged or reduced to it.

    Returns:
        Colours ``uint8 [rows, columns, 3]``.

    Raises:
        ValueError: the arrays are not of one shape with two dimensions, or `longest` is too small.
    """
    none = np.zeros(pixels.shape, np.bool_)
    right, left = lungs or (none, none)
    canvas = _canvas(pixels, (right, left), longest)
    if heat is not None:
        if heat.shape != pixels.shape:
            raise ValueError(f"expected heat of the shape {pixels.shape}, got {heat.shape}")
        levels = Image.fromarray(np.rint(np.clip(heat, 0, 1) * 255).astype(np.uint8))
        warm = _ramp()[np.asarray(levels.resize(canvas.size, Image.Resampling.BILINEAR))]
        canvas = Image.alpha_composite(canvas.convert("RGBA"), Image.fromarray(warm, "RGBA")).convert("RGB")
    for mask, colour in ((right, RIGHT), (left, LEFT)):
        canvas = _outlined(canvas, mask, colour, _FILL if heat is None else 0.0)
    return np.array(canvas)


def swatches(count: int = 6) -> tuple[str, ...]:
    """Colours of heat from where one begins to show to the hottest, as ``#rrggbb``: for a legend."""
    levels = np.linspace(round(255 * _CLEAR), 255, count).round().astype(np.intp)
    return tuple(f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in _ramp()[levels, :3].tolist())


def heat_layer(heat: Grey) -> bytes:
    """Heat as a PNG to lay over its picture, of the same pixels: transparent where cold, from violet to yellow.

    Equal steps of heat are equal steps of lightness in Oklab (Ottosson 2020), so that the map shows no edge that is
    not there and can be read without telling colours apart.

    Args:
        heat: ``float32 [rows, columns]`` in [0, 1].

    Returns:
        The bytes of an RGBA picture.
    """
    levels = np.rint(np.clip(heat, 0, 1) * 255).astype(np.uint8)
    return _png(Image.fromarray(_ramp()[levels], "RGBA"))


def warmed(pixels: Grey, heat: Grey, side: int) -> bytes:
    """A picture with its heat laid over it, padded with black to a square of `side` pixels, as a PNG.

    Args:
        pixels: ``float32 [rows, columns]`` in [0, 1].
        heat: the same shape and range.
    """
    grey = Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)).convert("RGBA")
    layer = Image.fromarray(_ramp()[np.rint(np.clip(heat, 0, 1) * 255).astype(np.uint8)], "RGBA")
    scale = side / max(grey.size)
    size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
    small = Image.alpha_composite(grey, layer).convert("RGB").resize(size, Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side, side))
    square.paste(small, ((side - size[0]) // 2, (side - size[1]) // 2))
    return _png(square)


def _ramp() -> Levels:
    """Colour and opacity of 256 levels of heat, ``uint8 [256, 4]``."""
    at = np.linspace(0, 1, 256)
    hue = np.radians(_COLD + (_HOT - _COLD) % -360 * at)
    lightness, a, b = _DARK + (_BRIGHT - _DARK) * at, _CHROMA * np.cos(hue), _CHROMA * np.sin(hue)
    roots = np.stack([
        lightness + 0.3963377774 * a + 0.2158037573 * b,
        lightness - 0.1055613458 * a - 0.0638541728 * b,
        lightness - 0.0894841775 * a - 1.2914855480 * b,
    ])  # fmt: skip
    linear = np.array([
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]) @ roots**3  # fmt: skip
    linear = np.clip(linear, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    clear = _OPAQUE * np.clip((at - _CLEAR) / (1 - _CLEAR), 0, 1)
    ramp: Levels = np.rint(np.stack([*shown, clear], 1) * 255).astype(np.uint8)
    return ramp


def _canvas(pixels: Grey, masks: tuple[Mask, Mask], longest: int) -> Image.Image:
    """The radiograph in grey, as a colour picture of the size asked for."""
    shapes = {pixels.shape, *(mask.shape for mask in masks)}
    if len(shapes) != 1 or pixels.ndim != 2 or not pixels.size:
        raise ValueError(f"expected a picture and two masks of one shape [rows, columns], got {shapes}")
    if longest < _FINEST:
        raise ValueError(f"longest is {longest}, expected at least {_FINEST} pixels")
    rows, columns = pixels.shape
    scale = longest / max(rows, columns)
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    levels = np.rint(np.clip(np.nan_to_num(pixels), 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC).convert("RGB")


def _scaled(mask: Mask, size: tuple[int, int]) -> Image.Image:
    """The mask at a picture's size, its edges soft where it was enlarged or reduced."""
    return Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).resize(size, Image.Resampling.BICUBIC)


def _tinted(canvas: Image.Image, where: Image.Image, colour: str, strength: float) -> Image.Image:
    return Image.composite(
        Image.new("RGB", canvas.size, colour), canvas, where.point([round(level * strength) for level in range(256)])
    )


def _outlined(canvas: Image.Image, mask: Mask, colour: str, fill: float) -> Image.Image:
    """The picture with `mask` tinted and a line along the inside of its edge."""
    if not mask.any():
        return canvas
    shape, lines, seams = _drawn(mask, canvas.size)
    picture = _tinted(canvas, shape, colour, fill)
    return _tinted(_tinted(picture, seams, _SEAM, 0.55), lines, colour, 1.0)


def _drawn(mask: Mask, size: tuple[int, int]) -> tuple[Image.Image, Image.Image, Image.Image]:
    """Of a mask at a picture's size: what it encloses, a line along the inside of its edge, and a seam around that."""
    shape = _solid(mask, size)
    # beyond the picture there is no lung, so that a lung cut by its edge is closed along it
    inside = outside = np.pad(np.asarray(shape), 1)
    for _ in range(max(2, round(max(size) / 400))):
        inside = ~_spread(~inside)
    line = outside - inside
    lines, seams = (Image.fromarray(np.ascontiguousarray(band[1:-1, 1:-1])) for band in (line, _spread(line)))
    return shape, lines, seams


def _spread(levels: Levels) -> Levels:
    """The largest level among each pixel and its eight neighbours."""
    for _ in range(2):
        spread = levels.copy()
        np.maximum(spread[1:], levels[:-1], out=spread[1:])
        np.maximum(spread[:-1], levels[1:], out=spread[:-1])
        levels = spread.T
    return levels


def _solid(mask: Mask, size: tuple[int, int]) -> Image.Image:
    """The mask at a picture's size with smooth edges one pixel soft, whatever it was enlarged from."""
    shape = _scaled(mask, size)
    enlarged = max(size) / max(mask.shape)
    if enlarged <= 1:
        return shape
    shape = shape.filter(ImageFilter.GaussianBlur(enlarged / 2))
    steep = max(1.0, enlarged)
    return shape.point([round(min(255.0, max(0.0, (level - 127.5) * steep + 127.5))) for level in range(256)])


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
