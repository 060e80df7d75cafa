"""From stored values to light, in the order of the DICOM standard (PS3.3 C.7.6.16.2, C.11.1, C.11.2).

    stored value ─▶ modality LUT, or slope and intercept ─▶ VOI LUT, or window, or a full range ─▶ inversion ─▶ [0, 1]

Pixels have 16 bits at most, so the whole chain is worked out once, in double precision, for every value the bits can
hold; the picture is then a look-up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from laennec.images.dicom_file import Elements
from laennec.images.dicom_frame import Layout
from laennec.images.headers import corrupt
from laennec.images.picture import Done

INTERCEPT, SLOPE, MODALITY_LUT = 0x00281052, 0x00281053, 0x00283000
CENTER, WIDTH, FUNCTION, VOI_LUT = 0x00281050, 0x00281051, 0x00281056, 0x00283010
PADDING, PADDING_LIMIT = 0x00280120, 0x00280121
INTENT, LUT_SHAPE = 0x00080068, 0x20500020
_DESCRIPTOR, _LUT_DATA = 0x00283002, 0x00283006
_LUT_TAGS = frozenset({_DESCRIPTOR, _LUT_DATA})

_BLOCK = 16_384  # pixels
_MOST = 1e30  # no detector counts so far; beyond, differences of values leave the range of the numbers

Values = NDArray[np.float64]


def grey(codes: NDArray[np.uint16], found: Elements, layout: Layout) -> tuple[NDArray[np.float32], Done]:
    """Codes ``uint16 [rows, columns]`` to light ``float32 [rows, columns]`` in [0, 1], and what was done.

    The range shown is, in this order: the first item of the VOI LUT sequence; the first valid window (LINEAR,
    LINEAR_EXACT or SIGMOID); every value the bits can hold, when the file says FOR PRESENTATION or holds 8 bits or
    fewer, for such values are meant for the screen as they are; the smallest to the largest value of the picture. A
    window that is not a number, or too narrow for its function, is passed over.

    FOR PRESENTATION does not mean that the window was applied: PS3.3 C.8.11.1 leaves VOI LUT and window to the viewer
    in both kinds of image, so they are applied wherever they are present.

    The picture is inverted once, and last, when it is MONOCHROME1 or its presentation LUT shape is INVERSE: two ways
    of saying the same thing, which the DX module demands together. Pixels of the padding value, or between it and the
    padding range limit, are black, and are no part of the smallest and largest value.

    Raises:
        ImageError: ``corrupt_image`` when the modality LUT is malformed.
    """
    lowest = -(1 << (layout.stored - 1)) if layout.signed else 0
    stored = np.arange(lowest, lowest + (1 << layout.stored), dtype=np.float64)
    padding = _padding(found, layout, stored)

    @cache
    def present() -> NDArray[np.bool_]:
        """Which values the picture holds; a pass over the picture, so only on demand."""
        seen = np.zeros(stored.size, bool)
        seen[codes.ravel()] = True
        return seen

    done: Done = {}
    values, bounds = _modality(found, layout, stored, done)
    light = _voi(found, layout, values, bounds, present=lambda: present() & ~padding, done=done)
    inverted = layout.photometric == "MONOCHROME1" or found.text(LUT_SHAPE) == "INVERSE"
    if inverted:
        light = 1 - light
    light[padding] = 0
    done |= {"inverted": inverted, "padding": bool(padding.any() and (present() & padding).any())}
    return _light_of(codes, light.astype(np.float32)), done


def _light_of(codes: NDArray[np.uint16], light: NDArray[np.float32]) -> NDArray[np.float32]:
    """``light[codes]``, a block at a time, so that what a look-up makes on its way stays in the processor's cache."""
    flat, shown = codes.ravel(), np.empty(codes.size, np.float32)
    for at in range(0, flat.size, _BLOCK):
        # codes lie within the bits, so that "clip" alters none and only spares a check
        light.take(flat[at : at + _BLOCK], out=shown[at : at + _BLOCK], mode="clip")
    return shown.reshape(codes.shape)


def _padding(found: Elements, layout: Layout, stored: Values) -> NDArray[np.bool_]:
    bounds = found.integers(PADDING)[:1] + found.integers(PADDING_LIMIT)[:1]
    if PADDING not in found.places or not bounds:
        return np.zeros(stored.size, bool)
    if layout.signed:
        bounds = [value - 65536 if value >= 32768 else value for value in bounds]
    return (stored >= min(bounds)) & (stored <= max(bounds))


def _modality(found: Elements, layout: Layout, stored: Values, done: Done) -> tuple[Values, tuple[float, float]]:
    """Values after the modality LUT or the rescaling, and the ends of their range."""
    item = found.item(MODALITY_LUT, _LUT_TAGS)
    if item is not None:
        table = _table(item, layout.signed)
        if table is None:
            raise corrupt("the modality look-up table is malformed")
        entries, first, bits = table
        done["rescale"] = "lut"
        return _look_up(stored, entries, first), (0.0, float((1 << bits) - 1))
    slope, intercept = (next(iter(found.numbers(tag)), default) for tag, default in ((SLOPE, 1.0), (INTERCEPT, 0.0)))
    most = abs(slope) * float(np.abs(stored).max()) + abs(intercept)
    if not most < _MOST or slope == 0:
        done["rescale"] = "ignored"
    elif (slope, intercept) == (1.0, 0.0):
        done["rescale"] = "none"
    else:
        done |= {"rescale": "linear", "rescale_slope": slope, "rescale_intercept": intercept}
        stored = stored * slope + intercept
    return stored, (float(stored.min()), float(stored.max()))


def _voi(
    found: Elements,
    layout: Layout,
    values: Values,
    bounds: tuple[float, float],
    *,
    present: Callable[[], NDArray[np.bool_]],
    done: Done,
) -> Values:
    """Values to light in [0, 1]; `bounds` are the ends of their range, `present` tells those in the picture."""
    item = found.item(VOI_LUT, _LUT_TAGS)
    table = _table(item, signed=bool(values.min() < 0)) if item is not None else None
    if table is not None:
        entries, first, bits = table
        done["window"] = "voi lut"
        return _look_up(values, entries, first) / ((1 << bits) - 1)
    function = found.text(FUNCTION)
    if function not in ("LINEAR_EXACT", "SIGMOID"):
        function = "LINEAR"
    narrowest = 1.0 if function == "LINEAR" else math.nextafter(0, 1)
    for center, width in zip(found.numbers(CENTER), found.numbers(WIDTH), strict=False):
        if math.isfinite(center) and width >= narrowest:
            done |= {"window": "window", "window_center": center, "window_width": width, "window_function": function}
            return windowed(values, center, width, function)
    if found.text(INTENT) == "FOR PRESENTATION" or layout.stored <= 8:
        done["window"] = "bit range"
        low, high = bounds
    else:
        done["window"] = "full range"
        shown = values[present()]
        low, high = (float(shown.min()), float(shown.max())) if shown.size else bounds
        done |= {"range_low": low, "range_high": high}
    if high <= low:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0, 1)


def windowed(values: Values, center: float, width: float, function: str) -> Values:
    """Light in [0, 1] of `values` under one window, PS3.3 C.11.2.1.2 and C.11.2.1.3.

    Args:
        values: float64, any shape, in the units of the modality.
        center: window center.
        width: window width; at least 1 for ``LINEAR``, above 0 for the others.
        function: ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID``.
    """
    with np.errstate(over="ignore"):
        if function == "SIGMOID":
            light: Values = 1 / (1 + np.exp(-4 * (values - center) / width))
            return light
        if function == "LINEAR":
            center, width = center - 0.5, width - 1
        above = values > center + width / 2
        if width <= 0:
            return above.astype(np.float64)
        ramp = (values - center) / width + 0.5
        return np.where(above, 1.0, np.where(values <= center - width / 2, 0.0, np.clip(ramp, 0, 1)))


def _table(item: Elements, signed: bool) -> tuple[Values, int, int] | None:
    """Entries, first value mapped and bits of a look-up table; None when it is malformed."""
    descriptor = item.integers(_DESCRIPTOR)
    if len(descriptor) != 3:
        return None
    count, first, bits = descriptor
    count = count or 65536
    if signed and first >= 32768:
        first -= 65536
    raw = item.raw(_LUT_DATA)
    if not 8 <= bits <= 16:
        return None
    if len(raw) >= 2 * count:
        entries = np.frombuffer(raw, "<u2" if item.little else ">u2", count)
    elif bits == 8 and len(raw) >= count:
        entries = np.frombuffer(raw, np.uint8, count)
    else:
        return None
    return np.minimum(entries, (1 << bits) - 1).astype(np.float64), first, bits


def _look_up(values: Values, entries: Values, first: int) -> Values:
    found: Values = entries[np.clip(np.rint(values) - first, 0, entries.size - 1).astype(np.intp)]
    return found
