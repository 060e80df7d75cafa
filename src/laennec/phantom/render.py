"""From lengths of tissue to a picture: Beer-Lambert, scatter, quantum noise, then the display of a hospital."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from laennec.phantom.anatomy import Body, Pose, dome_height
from laennec.phantom.field import Map, Mask, Plane, Tubes, polyline

Source = Literal["north", "south"]


@dataclass(frozen=True)
class Hospital:
    """How one hospital makes its pictures.

    Attributes:
        focus: blur of the detector, in thousandths of the picture's side.
        noise: relative noise behind an average chest.
        detail: strength of the edge enhancement.
        flatten: how much of the broad shading is taken out before display, 0 to 1.
        floor, ceiling: grey of the darkest lung and of the brightest bone.
        bits: grey levels kept, as a power of two.
    """

    focus: float
    noise: float
    detail: float
    flatten: float
    floor: float
    ceiling: float
    bits: int


HOSPITALS: dict[str, Hospital] = {
    "north": Hospital(focus=1.5, noise=0.008, detail=0.5, flatten=0.08, floor=0.15, ceiling=0.88, bits=8),
    "south": Hospital(focus=1.2, noise=0.012, detail=0.9, flatten=0.34, floor=0.21, ceiling=0.79, bits=12),
}


@dataclass(frozen=True)
class Exposure:
    """Settings of one image: `dose` scales the noise, `kv` the contrast of bone, `scatter` the veil."""

    dose: float
    kv: float
    scatter: float
    low: float
    high: float
    gamma: float

    @staticmethod
    def draw(rng: np.random.Generator, adult: bool, bedside: bool) -> Exposure:
        """Settings at random, drawn without regard to the finding."""
        u = rng.uniform
        return Exposure(
            dose=float(np.exp(rng.normal(0, 0.35))),
            kv=u(0.8, 1.15) * (0.76 if adult else 0.9),
            scatter=u(0.12, 0.26) if bedside and adult else u(0.05, 0.16),
            low=float(rng.normal(0, 0.06)),
            high=float(rng.normal(0, 0.045)),
            gamma=float(np.exp(rng.normal(0.0 if adult else -0.2, 0.17))),
        )


def expose(
    tissue: Map, bone: Map, exposure: Exposure, hospital: Hospital, plane: Plane, w: float, rng: np.random.Generator
) -> Map:
    """The logarithm of the light: tissue and bone in cm to optical density-like units, [side, side]."""
    soft, hard = 0.155 * (14 / w) ** 0.4, 0.85 * exposure.kv * (14 / w) ** 0.45
    beam = np.exp(-(tissue * np.float32(soft) + bone * np.float32(hard)))
    wide = w / plane.pitch
    veil = exposure.scatter
    focus = hospital.focus * plane.size / 1000 + 0.25
    beam = plane.blur(beam, (1 - veil, focus), (veil * 0.6, 0.16 * wide), (veil * 0.4, 0.5 * wide))
    beam = np.maximum(beam, np.float32(1e-4))
    grain = rng.standard_normal(beam.shape, np.float32)
    grain = plane.blur(grain, (0.7, 0.45), (0.6, 0.9))
    level = hospital.noise / np.sqrt(exposure.dose) * (plane.size / 256) ** 0.3
    beam = beam * (1 + grain * np.float32(level) * np.sqrt(np.float32(0.12) / beam).clip(0.3, 3.0))
    return np.asarray(-np.log(np.maximum(beam, np.float32(1e-4))), np.float32)


def display(density: Map, body: Mask, exposure: Exposure, hospital: Hospital, plane: Plane, w: float) -> Map:
    """The grey picture, 0 to 1, of the window of `plane`, [size, size]."""
    wide = w / plane.pitch
    capped = np.maximum(density, np.float32(0.15))
    base = plane.blur(capped, (1.0, 0.2 * wide))
    shaded = capped - base * np.float32(hospital.flatten)
    sharp = plane.blur(capped, (1.0, 0.012 * plane.size))
    shaded = shaded + np.float32(hospital.detail) * (capped - sharp)
    cut = shaded[plane.window]
    inside = cut[body[plane.window]]
    low, high = np.quantile(inside[::3], (0.03, 0.96)) if inside.size > 50 else (0.0, 1.0)
    x = (cut - np.float32(low)) * np.float32(1 / max(high - low, 0.2))
    floor, ceiling = max(0.06, hospital.floor + exposure.low), min(0.97, hospital.ceiling + exposure.high)
    # a film's toe and shoulder: linear in the middle, never quite black in lung or white in bone
    span = ceiling - floor
    y = np.clip(floor + span * x, 0, None)
    y = np.where(y > ceiling, ceiling + (1 - ceiling) * (1 - np.exp(-(y - ceiling) / max(1 - ceiling, 0.03))), y)
    toe = floor * 0.9
    y = np.where(y < toe, toe * (np.maximum(y, 0) / toe) ** 1.6, y)
    return np.asarray(np.clip(y, 0, 1) ** np.float32(exposure.gamma), np.float32)


def devices(body: Body, pose: Pose, bedside: bool, rng: np.random.Generator, spacing: float) -> list[Tubes]:
    """Leads, tubes and lines of a bedside adult; a shirt button or two elsewhere. Weights are cm of bone."""
    w, parts = body.w, []
    t = np.linspace(0, 1, 30)

    def curve(points: list[tuple[float, float]], radius: float, weight: float) -> None:
        x, y = (np.array(c) for c in zip(*points, strict=True))
        knots = np.linspace(0, 1, len(points))
        poly = np.polyfit(knots, np.stack([x, y], axis=1), len(points) - 1)
        path = sum(c[None, :] * t[:, None] ** (len(points) - 1 - k) for k, c in enumerate(poly))
        parts.append(polyline(path[:, 0] * w, path[:, 1] * w, radius, spacing, weight=weight))

    if not (body.adult and bedside):
        return parts
    u = rng.uniform
    if rng.random() < 0.7:
        for _ in range(int(rng.integers(1, 4))):
            end = (u(-0.8, 0.8), u(0.2, 1.3))
            side = rng.choice([-1.0, 1.0])
            curve(
                [(side * 1.5, u(-0.3, 2.0)), (side * u(0.7, 1.1), u(0.2, 1.7)), (end[0] * 0.7, u(0.3, 1.5)), end],
                0.13,
                1.6,
            )
            disc = np.array([end[0], end[0] + 0.001])
            parts.append(polyline(disc * w, np.array([end[1], end[1]]) * w, 0.55, 0.05, weight=0.45 / (0.001 * w)))
    lean = pose.turn * 0.5
    if rng.random() < 0.3:
        for off in (-0.035, 0.035):
            curve([(lean + off, -0.7), (lean + off - 0.01, 0.0), (lean + off - 0.01, 0.38)], 0.06, 2.2)
    if rng.random() < 0.35:
        curve([(0.5, -0.45), (0.33, -0.1), (-0.1, 0.4), (-0.2, 0.95)], 0.11, 1.7)
    if rng.random() < 0.2:
        low = dome_height(body, pose)[1]
        curve([(lean + 0.02, -0.7), (lean + 0.03, 0.3), (lean + 0.04, low * 0.8), (0.35, low + 0.45)], 0.14, 1.4)
    return parts


def frame(picture: Map, source: str, view: str, rng: np.random.Generator) -> Map:
    """Add the collimator's border and the side letter, in the manner of the hospital."""
    size = picture.shape[0]
    picture = _collimate(picture, source, rng)
    if rng.random() < 0.12:
        return picture
    letter = "R" if (source == "north") == (rng.random() < 0.9) else "L"
    height = size * (rng.uniform(0.038, 0.055) if source == "north" else rng.uniform(0.03, 0.042))
    canvas = Image.new("L", (size, size), 0)
    pen = ImageDraw.Draw(canvas)
    x = rng.uniform(0.025, 0.1) if letter == "R" else rng.uniform(0.88, 0.95)
    y = rng.uniform(0.04, 0.4) if source == "north" else rng.uniform(0.03, 0.16)
    at = (x * size, y * size)
    font = ImageFont.load_default(max(6.0, height * 1.35))
    if source == "south":
        pad = height * 0.35
        box = pen.textbbox(at, letter, font=font)
        ring = (box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad)
        if rng.random() < 0.4:
            pen.ellipse(ring, outline=200, width=max(1, size // 200))
        if view == "AP":
            pen.text(
                (at[0] - (height if letter == "L" else 0), at[1] + 1.6 * height),
                "AP",
                fill=225,
                font=ImageFont.load_default(max(6.0, height * 0.8)),
            )
    pen.text(at, letter, fill=255, font=font)
    if source == "north":
        canvas = canvas.rotate(rng.normal(0, 4), Image.Resampling.BILINEAR, center=at)
    ink = np.asarray(canvas, np.float32) / 255
    strength = np.float32(rng.uniform(0.8, 1.0))
    return np.maximum(picture, ink * strength)


def _collimate(picture: Map, source: str, rng: np.random.Generator) -> Map:
    size = picture.shape[0]
    chance = 0.35 if source == "north" else 0.55
    inset = np.where(rng.random(4) < chance, rng.gamma(1.3, 0.014, 4), -0.05)
    tilt = rng.normal(0, 0.008)
    axis = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / size
    x = axis[None, :] + np.float32(tilt) * (axis[:, None] - 0.5)
    y = axis[:, None] - np.float32(tilt) * (axis[None, :] - 0.5)
    edge = np.minimum(np.minimum(x - inset[0], 1 - inset[1] - x), np.minimum(y - inset[2], 1 - inset[3] - y))
    opening = np.clip(edge.astype(np.float32) * np.float32(size * 0.7) + np.float32(0.5), 0, 1)
    grey = rng.uniform(0.0, 0.03) if source == "north" else rng.uniform(0.04, 0.16)
    if source == "north" and rng.random() < 0.08:
        grey = 0.96
    return np.asarray(picture * opening + np.float32(grey) * (1 - opening), np.float32)
