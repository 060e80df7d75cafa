"""The plane on which a phantom is projected: a pixel grid in patient centimetres, swept tubes, textures, blurs.

Everything smooth is a multiplication in the Fourier domain: a solid tube of radius R seen from the front is its
centre line convolved with a disc of radius R (the line integral of a disc is the chord of a cylinder), so hundreds of
ribs and vessels cost one transform per radius. The grid has a margin that keeps the wrap-around out of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


@cache
def _jinc_table() -> tuple[Map, float]:
    step = 0.05
    x = np.arange(0, 400, step)
    angle = (np.arange(400) + 0.5) * (np.pi / 2 / 400)
    weight = np.cos(angle) ** 2 * (np.pi / 2 / 400) * 4 / np.pi
    table = np.concatenate([np.cos(np.outer(part, np.sin(angle))) @ weight for part in np.array_split(x, 16)])
    return table.astype(np.float32), step


def _jinc(x: Map) -> Map:
    """2 J1(x) / x, the transform of a disc, by table."""
    table, step = _jinc_table()
    index = np.minimum(x * np.float32(1 / step), np.float32(table.size - 1)).astype(np.int32)
    return np.asarray(table[index])


@cache
def _frequency(side: int) -> Map:
    fy = np.fft.fftfreq(side)[:, None]
    fx = np.fft.rfftfreq(side)[None, :]
    return np.asarray(2 * np.pi * np.hypot(fy, fx), np.float32)


def _fast_side(least: int) -> int:
    side = least + least % 2
    while True:
        rest = side
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return side
        side += 2


@dataclass(frozen=True)
class Tubes:
    """Points of centre lines: position (cm), tube radius (cm), length of line each stands for (cm), density factor."""

    u: Map
    v: Map
    radius: Map
    length: Map

    @staticmethod
    def join(parts: list[Tubes]) -> Tubes:
        """All points of `parts`, in order."""
        return Tubes(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("u", "v", "radius", "length")))


def polyline(
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    radius: NDArray[np.floating] | float,
    spacing: float,
    *,
    z: NDArray[np.floating] | None = None,
    weight: NDArray[np.floating] | float = 1.0,
) -> Tubes:
    """A tube along a curve, resampled every `spacing` cm.

    Args:
        u, v: [k] positions, cm.
        z: [k] depth, cm; a tube that runs along the beam is longer, hence brighter, where it turns.
        radius, weight: [k] or one number.
    """
    flat = np.hypot(np.diff(u), np.diff(v))
    deep = flat if z is None else np.sqrt(flat**2 + np.diff(z) ** 2)
    at = np.concatenate([[0.0], np.cumsum(deep)])
    count = max(2, int(at[-1] / spacing) + 1)
    want = (np.arange(count) + 0.5) * at[-1] / count
    radii = np.interp(want, at, np.broadcast_to(radius, at.shape))
    weights = np.interp(want, at, np.broadcast_to(weight, at.shape))
    length = weights * at[-1] / count
    return Tubes(
        np.interp(want, at, u).astype(np.float32),
        np.interp(want, at, v).astype(np.float32),
        radii.astype(np.float32),
        length.astype(np.float32),
    )


@dataclass(frozen=True)
class Plane:
    """A square grid of pixels in patient coordinates: u to the patient's left, v towards the feet, both in cm.

    Attributes:
        size: side of the picture in pixels.
        pitch: cm per pixel.
        angle: rotation of the patient in the picture, radians.
        centre: (u, v) at the middle of the picture, cm.
    """

    size: int
    pitch: float
    angle: float
    centre: tuple[float, float]

    @cached_property
    def side(self) -> int:
        """Side of the working grid, margin included."""
        return _fast_side(self.size + 2 * max(12, self.size // 9))

    @cached_property
    def window(self) -> tuple[slice, slice]:
        """Where the picture lies in the working grid."""
        low = (self.side - self.size) // 2
        return slice(low, low + self.size), slice(low, low + self.size)

    @cached_property
    def uv(self) -> tuple[Map, Map]:
        """Patient coordinates of each working pixel, [side, side] each."""
        axis = (np.arange(self.side) - (self.side - 1) / 2) * self.pitch
        x, y = np.meshgrid(axis, axis)
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        u = self.centre[0] + cos * x + sin * y
        v = self.centre[1] - sin * x + cos * y
        return u.astype(np.float32), v.astype(np.float32)

    def pixels(self, u: Map, v: Map) -> tuple[Map, Map]:
        """Column and row (floating) in the working grid of patient coordinates."""
        du, dv = u - np.float32(self.centre[0]), v - np.float32(self.centre[1])
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        middle = np.float32((self.side - 1) / 2)
        scale = np.float32(1 / self.pitch)
        return (cos * du - sin * dv) * scale + middle, (sin * du + cos * dv) * scale + middle

    def _splat(self, x: Map, y: Map, weight: Map) -> Map:
        keep = (x > 0) & (x < self.side - 2) & (y > 0) & (y < self.side - 2)
        x, y, weight = x[keep], y[keep], weight[keep]
        left, top = x.astype(np.int32), y.astype(np.int32)
        fx, fy = x - left, y - top
        base = top * self.side + left
        index = np.concatenate([base, base + 1, base + self.side, base + self.side + 1])
        value = np.concatenate([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy]) * np.tile(weight, 4)
        total = np.bincount(index, value, self.side * self.side)
        return total.astype(np.float32).reshape(self.side, self.side)

    def sweep(self, tubes: Tubes, *, marrow: float = 0.0, core: float = 0.7, step: float = 1.18) -> Map:
        """Length of matter met along the beam, cm, [side, side].

        Args:
            marrow: how much less dense the core of the tube is than its shell, 0 (solid) to 1 (hollow).
            core: radius of the core over that of the tube.
            step: ratio of neighbouring radii; those between share one transform, their mass kept.
        """
        x, y = self.pixels(tubes.u, tubes.v)
        radius = tubes.radius / np.float32(self.pitch)
        level = np.rint(np.log(np.maximum(radius, 0.3)) / np.log(step)).astype(np.int32)
        k = _frequency(self.side)
        total = np.zeros(k.shape, np.complex64)
        for number in np.unique(level):
            here = level == number
            r = np.float32(step ** float(number))
            weight = tubes.length[here] * (radius[here] / r) ** 2
            spectrum = np.fft.rfft2(self._splat(x[here], y[here], weight))
            disc = _jinc(k * r)
            if marrow:
                disc = disc - np.float32(marrow * core**2) * _jinc(k * (r * np.float32(core)))
            total += spectrum * (disc * (np.float32(np.pi) * r * r))
        return np.asarray(np.fft.irfft2(total, s=(self.side, self.side)), np.float32)

    def blur(self, image: Map, *sigmas: tuple[float, float]) -> Map:
        """Convolve with a sum of Gaussians given as (weight, sigma in pixels)."""
        k2 = _frequency(self.side) ** 2
        filt = sum((np.float32(w) * np.exp(k2 * np.float32(-0.5 * s * s)) for w, s in sigmas), np.zeros_like(k2))
        return np.asarray(np.fft.irfft2(np.fft.rfft2(image) * filt, s=image.shape), np.float32)


@dataclass(frozen=True)
class Texture:
    """Periodic random relief fixed to the patient (mean 0, deviation 1), so that it follows from image to image."""

    values: Map
    period: float

    @staticmethod
    def make(rng: np.random.Generator, period: float, scale: float, *, low: float = 0.0, side: int = 128) -> Texture:
        """Relief with detail about `scale` cm wide; `low` > 0 also removes what is wider than `low` cm."""
        k = _frequency(side) * np.float32(side / period)
        filt = np.exp(-0.5 * (k * np.float32(scale / 2)) ** 2)
        if low:
            filt *= 1 - np.exp(-0.5 * (k * np.float32(low / 2)) ** 2)
        filt[0, 0] = 0
        noise = rng.standard_normal((side, side), np.float32)
        values = np.fft.irfft2(np.fft.rfft2(noise) * filt, s=(side, side)).astype(np.float32)
        return Texture(np.pad(values / values.std(), (0, 1), mode="wrap"), period)

    def at(self, u: Map, v: Map) -> Map:
        """The relief at these patient coordinates, bilinear."""
        side = self.values.shape[0] - 1
        scale = np.float32(side / self.period)
        x, y = u * scale, v * scale
        left, top = np.floor(x), np.floor(y)
        fx, fy = x - left, y - top
        base = (top.astype(np.int32) % side) * (side + 1) + left.astype(np.int32) % side
        flat = self.values.ravel()
        corner, below = flat.take(base), flat.take(base + (side + 1))
        upper = corner + (flat.take(base + 1) - corner) * fx
        lower = below + (flat.take(base + (side + 2)) - below) * fx
        return np.asarray(upper + (lower - upper) * fy, np.float32)


def chord(u: Map, v: Map, centre: tuple[float, float], radii: tuple[float, float, float], tilt: float = 0.0) -> Map:
    """Length of an ellipsoid along the beam: `radii` across, along (after `tilt`, radians) and in depth, cm."""
    cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    du, dv = u - np.float32(centre[0]), v - np.float32(centre[1])
    x = (cos * du + sin * dv) * np.float32(1 / radii[0])
    y = (cos * dv - sin * du) * np.float32(1 / radii[1])
    return np.asarray(np.sqrt(np.maximum(1 - x * x - y * y, 0)) * np.float32(2 * radii[2]), np.float32)


def smooth_step(x: Map, low: float, high: float) -> Map:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
