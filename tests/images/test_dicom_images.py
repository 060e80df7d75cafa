"""DICOM: golden ramps through every branch. The expected light is worked out here from the standard's formulas."""

from __future__ import annotations

import struct
from itertools import product
from typing import Any

import corpus
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from laennec.images import read

GRID = [(8, False), (8, True), (10, False), (12, False), (12, True), (16, False), (16, True)]
STEP = 1e-6


def close(data: bytes, expected: NDArray[Any], tolerance: float = STEP) -> dict[str, Any]:
    """Check the picture and give back what was done."""
    picture = read(data)
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.shape == expected.shape
    assert np.abs(picture.pixels - expected).max() <= tolerance
    return picture.done


def linear(x: NDArray[Any], c: float, w: float) -> NDArray[np.float64]:
    """PS3.3 C.11.2.1.2.1, pixel by pixel, output 0 to 1."""
    out = np.empty(x.shape)
    for place, value in np.ndenumerate(x):
        if value <= c - 0.5 - (w - 1) / 2:
            out[place] = 0
        elif value > c - 0.5 + (w - 1) / 2:
            out[place] = 1
        else:
            out[place] = (value - (c - 0.5)) / (w - 1) + 0.5
    return out


@pytest.mark.parametrize("syntax", corpus.NATIVE + corpus.LOSSLESS)
@pytest.mark.parametrize(("bits", "signed"), GRID)
def test_full_range_in_every_syntax(bits: int, signed: bool, syntax: str) -> None:
    x = corpus.ramp(bits, signed)
    up = (x - x.min()) / (x.max() - x.min())
    assert close(corpus.dicom(x, bits, signed, syntax), up)["inverted"] is False
    down = close(corpus.dicom(x, bits, signed, syntax, "MONOCHROME1"), 1 - up)
    assert down["inverted"] is True and down["bits"] == bits


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize(("bits", "signed"), GRID)
def test_windows(bits: int, signed: bool, photometric: str) -> None:
    x = corpus.ramp(bits, signed)
    c, w = float(x.mean()) + 3, float(1 << (bits - 2))

    def seen(light: NDArray[Any]) -> NDArray[Any]:
        return 1 - light if photometric == "MONOCHROME1" else light

    def make(**more: Any) -> bytes:
        return corpus.dicom(x, bits, signed, photometric=photometric, WindowCenter=c, WindowWidth=w, **more)

    done = close(make(), seen(linear(x, c, w)))
    assert (done["window"], done["window_function"], done["window_center"]) == ("window", "LINEAR", c)
    exact = np.clip((x - c) / w + 0.5, 0, 1)
    close(make(VOILUTFunction="LINEAR_EXACT"), seen(exact))
    close(make(VOILUTFunction="SIGMOID"), seen(1 / (1 + np.exp(-4 * (x - c) / w))))


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize(("bits", "signed"), GRID)
def test_rescale_comes_before_the_window_and_inversion_last(bits: int, signed: bool, photometric: str) -> None:
    x = corpus.ramp(bits, signed)
    m = x * 2.5 - 100
    c, w = float(m.mean()) + 40, float(m.max() - m.min()) / 3
    light = linear(m, c, w)
    made = corpus.dicom(
        x, bits, signed, photometric=photometric, RescaleSlope="2.5", RescaleIntercept="-100",
        WindowCenter=f"{c:.6f}", WindowWidth=f"{w:.6f}",
    )  # fmt: skip
    done = close(made, 1 - light if photometric == "MONOCHROME1" else light, 1e-5)
    assert (done["rescale"], done["rescale_slope"], done["rescale_intercept"]) == ("linear", 2.5, -100.0)


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("signed", [False, True])
def test_look_up_tables(signed: bool, photometric: str) -> None:
    x = corpus.ramp(10, signed)
    first = -20 if signed else 100
    square = [n * n // 64 for n in range(512)]  # 0 … 4080

    def voi(v: NDArray[Any]) -> NDArray[Any]:
        return np.array(square)[np.clip(v - first, 0, 511)] / 4095

    def seen(light: NDArray[Any]) -> NDArray[Any]:
        return 1 - light if photometric == "MONOCHROME1" else light

    item = corpus.lut(square, first, 12)
    for syntax in (corpus.EXPLICIT, corpus.IMPLICIT, corpus.BIG, corpus.DEFLATED):
        done = close(corpus.dicom(x, 10, signed, syntax, photometric, VOILUTSequence=[item]), seen(voi(x)))
        assert done["window"] == "voi lut"
    # a table is preferred to a window, which is the alternative to it
    close(
        corpus.dicom(x, 10, signed, photometric=photometric, VOILUTSequence=[item], WindowCenter=1, WindowWidth=2),
        seen(voi(x)),
    )
    after = np.array(square)[np.clip(x - first, 0, 511)]
    done = close(
        corpus.dicom(
            x, 10, signed, photometric=photometric, ModalityLUTSequence=[item], WindowCenter=2000, WindowWidth=1000
        ),
        seen(linear(after, 2000, 1000)),
    )
    assert (done["rescale"], done["window"]) == ("lut", "window")
    presented = corpus.dicom(
        x, 10, signed, photometric=photometric, ModalityLUTSequence=[item], PresentationIntentType="FOR PRESENTATION"
    )
    close(presented, seen(after / 4095))


def test_table_of_65536_entries_and_of_bytes() -> None:
    x = corpus.ramp(16)
    whole = corpus.lut([65535 - n for n in range(65536)], 0, 16)
    # 65,536 words do not fit the short form of an explicit element; as OW they do
    whole.add_new(0x00283006, "OW", np.arange(65535, -1, -1).astype("<u2").tobytes())
    close(corpus.dicom(x, 16, VOILUTSequence=[whole]), 1 - x / 65535)
    packed = corpus.lut([0], 0, 8)
    packed.add_new(0x00283002, "US", [256, 0, 8])
    packed.add_new(0x00283006, "OW", bytes(range(255, -1, -1)))
    y = corpus.ramp(8)
    close(corpus.dicom(y, 8, VOILUTSequence=[packed]), 1 - y / 255)


def test_presentation_intent() -> None:
    x = corpus.ramp(12) // 2 + 300  # neither end of the bits is used
    full, whole = (x - x.min()) / (x.max() - x.min()), x / 4095
    assert close(corpus.dicom(x), full)["window"] == "full range"
    assert close(corpus.dicom(x, PresentationIntentType="FOR PROCESSING"), full)["intent"] == "processing"
    shown = close(corpus.dicom(x, PresentationIntentType="FOR PRESENTATION"), whole)
    assert (shown["window"], shown["intent"]) == ("bit range", "presentation")
    windowed = corpus.dicom(x, PresentationIntentType="FOR PRESENTATION", WindowCenter=1000, WindowWidth=600)
    close(windowed, linear(x, 1000, 600))
    signed = corpus.ramp(12, True) // 2
    close(corpus.dicom(signed, signed=True, PresentationIntentType="FOR PRESENTATION"), (signed + 2048) / 4095)


def test_eight_bits_without_window_are_the_screens_values() -> None:
    grey = corpus.noise() // 2 + 20
    assert close(corpus.dicom(grey, 8), grey / 255)["window"] == "bit range"
    assert np.array_equal(read(corpus.dicom(grey, 8)).pixels, read(corpus.saved(grey)).pixels)


@pytest.mark.parametrize(("photometric", "shape"), product(["MONOCHROME1", "MONOCHROME2"], ["", "IDENTITY", "INVERSE"]))
def test_never_inverted_twice(photometric: str, shape: str) -> None:
    x = corpus.ramp(12)
    more = {"PresentationLUTShape": shape} if shape else {}
    turned = photometric == "MONOCHROME1" or shape == "INVERSE"
    done = close(corpus.dicom(x, photometric=photometric, **more), 1 - x / 4095 if turned else x / 4095)
    assert done["inverted"] is turned


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_padding_is_black_and_outside_the_range(photometric: str) -> None:
    x = corpus.ramp(12) // 4 + 1000
    framed = x.copy()
    framed[:3], framed[-2:] = 4095, 0
    light = (x - x[3:-2].min()) / (x[3:-2].max() - x[3:-2].min())
    light = 1 - light if photometric == "MONOCHROME1" else light
    light[:3] = 0
    one = framed.copy()
    one[-2:] = x[-2:]
    high = (x - x[3:].min()) / (x[3:].max() - x[3:].min())
    high = 1 - high if photometric == "MONOCHROME1" else high
    high[:3] = 0
    assert close(corpus.dicom(one, photometric=photometric, PixelPaddingValue=4095), high)["padding"] is True
    zero = framed.copy()
    zero[:3] = 20
    light[-2:] = 0
    ranged = corpus.dicom(zero, photometric=photometric, PixelPaddingValue=20, PixelPaddingRangeLimit=0)
    close(ranged, light)
    windowed = read(corpus.dicom(zero, photometric=photometric, PixelPaddingValue=0, WindowCenter=-900, WindowWidth=10))
    assert (windowed.pixels[-2:] == 0).all()


def test_signed_padding() -> None:
    x = corpus.ramp(12, True)
    x[:2] = -2000
    rest = x[2:]
    light = np.clip((x - rest.min()) / (rest.max() - rest.min()), 0, 1)
    light[:2] = 0
    close(corpus.dicom(x, signed=True, PixelPaddingValue=-2000), light)


def test_junk_above_and_below_the_stored_bits() -> None:
    x = corpus.ramp(12)
    junk = np.random.default_rng(3).integers(0, 16, x.shape) << 12
    close(corpus.dicom(x, pixel_bytes=(x | junk).astype("<u2").tobytes()), x / 4095)
    shifted = (x << 4 | junk >> 12).astype("<u2").tobytes()
    close(corpus.dicom(x, pixel_bytes=shifted, HighBit=15), x / 4095)
    s = corpus.ramp(12, True)
    raw = ((s & 0xFFF) | junk).astype("<u2").tobytes()
    close(corpus.dicom(s, signed=True, pixel_bytes=raw), (s + 2048) / 4095)


@pytest.mark.parametrize(
    ("center", "width", "kept"),
    [
        ("nan", "nan", False), ("100", "0", False), ("100", "-5", False), ("100", "0.5", False), ("", "", False),
        ("inf", "10", False), ("100", "", False), (["700", "1"], ["900", "1"], True),
        (["x", "700"], ["900", "900"], True),
    ],
)  # fmt: skip
def test_odd_windows(center: Any, width: Any, kept: bool) -> None:
    x = corpus.ramp(12)
    data = corpus.dicom(x, WindowCenter="700", WindowWidth="900")
    for keyword, value, old in ((0x1050, center, b"700 "), (0x1051, width, b"900 ")):
        text = "\\".join(value) if isinstance(value, list) else value
        raw = text.encode() + b" " * (len(text) % 2)
        head = struct.pack("<HH2sH", 0x0028, keyword, b"DS", 4) + old
        assert head in data
        data = data.replace(head, head[:6] + struct.pack("<H", len(raw)) + raw)
    done = close(data, linear(x, 700, 900) if kept else x / 4095)
    assert done["window"] == ("window" if kept else "full range")


def test_a_window_of_width_one_is_a_threshold() -> None:
    x = corpus.ramp(12)
    close(corpus.dicom(x, WindowCenter=1000, WindowWidth=1), (x > 999.5).astype(float))


@pytest.mark.parametrize("bad", ["nan", "0", "inf", "1e99"])
def test_odd_slopes_are_passed_over(bad: str) -> None:
    data = corpus.dicom(corpus.ramp(12), RescaleSlope="2.0", RescaleIntercept="0")
    head = struct.pack("<HH2sH", 0x0028, 0x1053, b"DS", 4)
    data = data.replace(head + b"2.0 ", head + bad.encode().ljust(4))
    assert close(data, corpus.ramp(12) / 4095)["rescale"] == "ignored"


@pytest.mark.parametrize(
    ("syntax", "bits"), [(corpus.BASELINE, 8), (corpus.EXTENDED, 8), (corpus.J2K, 8), (corpus.J2K, 12)]
)
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_lossy_syntaxes(syntax: str, bits: int, photometric: str) -> None:
    x = corpus.ramp(bits)
    light = x / ((1 << bits) - 1)
    done = close(
        corpus.dicom(x, bits, syntax=syntax, photometric=photometric, PresentationIntentType="FOR PRESENTATION"),
        1 - light if photometric == "MONOCHROME1" else light,
        0.02,
    )
    assert str(done["transfer_syntax"]).startswith("JPEG")


@settings(max_examples=60, deadline=None)
@given(
    values=hnp.arrays(np.int64, (5, 7), elements=st.integers(0, 4095)),
    window=st.none() | st.tuples(st.integers(-500, 5000), st.integers(1, 5000)),
)
def test_monochrome1_of_inverted_values_is_monochrome2(values: NDArray[Any], window: tuple[int, int] | None) -> None:
    there = back = {}
    if window is not None:
        # LINEAR_EXACT is symmetric but for its closed lower end, which half a step avoids
        center = window[0] + 0.25
        there = {"WindowCenter": center, "WindowWidth": window[1], "VOILUTFunction": "LINEAR_EXACT"}
        back = there | {"WindowCenter": 4095 - center}
    one = read(corpus.dicom(values, photometric="MONOCHROME2", **there)).pixels
    two = read(corpus.dicom(4095 - values, photometric="MONOCHROME1", **back)).pixels
    assert one.min() >= 0 and one.max() <= 1
    if values.min() < values.max() or window is not None:
        assert np.abs(one - two).max() < 1e-6


@settings(max_examples=60, deadline=None)
@given(
    bits=st.sampled_from([8, 10, 12, 16]), signed=st.booleans(), slope=st.floats(-9, 9), intercept=st.floats(-1e5, 1e5),
    center=st.floats(-1e6, 1e6), width=st.floats(0, 1e6),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID", "ODD"]),
)  # fmt: skip
def test_light_is_within_zero_and_one(
    bits: int, signed: bool, slope: float, intercept: float, center: float, width: float, function: str
) -> None:
    texts = {"RescaleSlope": slope, "RescaleIntercept": intercept, "WindowCenter": center, "WindowWidth": width}
    more = {key: f"{value:.6g}" for key, value in texts.items()}
    pixels = read(corpus.dicom(corpus.ramp(bits, signed), bits, signed, VOILUTFunction=function, **more)).pixels
    assert np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1
