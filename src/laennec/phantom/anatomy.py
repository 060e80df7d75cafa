"""A patient (Body), a moment before the beam (Pose), and the soft tissue and air met along each ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from laennec.phantom.field import Map, Plane, Texture, chord, smooth_step

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Body:
    """What stays the same in all images of one patient. Lengths in cm, or in half-widths of the rib cage (``w``).

    Attributes:
        w: half of the inner width of the rib cage, cm.
        height: apex to right dome at full breath, in w.
        depth: half of the inner depth of the cage, in w.
        taper: shape of the cage; higher is squarer at the top.
        heart: size factor of the heart; 1 is ordinary for the age.
        fat: thickness of the wall, in w.
        seed: entropy of structures too many to name (vessels, ribs).
    """

    adult: bool
    female: bool
    w: float
    height: float
    depth: float
    taper: float
    heart: float
    heart_tilt: float
    knob: float
    thymus: float
    fat: float
    breast: float
    bone: float
    scoliosis: float
    dome_gap: float
    vessels: float
    apex: float
    seed: int
    relief: Texture = field(repr=False)

    @staticmethod
    def draw(rng: np.random.Generator, adult: bool) -> Body:
        """A patient at random."""
        female = bool(rng.random() < 0.5)
        u = rng.uniform
        if adult:
            shape = {"w": u(12.6, 15.2), "height": u(1.45, 1.75), "depth": u(0.62, 0.78), "taper": u(1.55, 1.9)}
        else:
            shape = {"w": u(7.6, 10.4), "height": u(1.32, 1.6), "depth": u(0.66, 0.8), "taper": u(1.3, 1.55)}
        return Body(
            adult=adult,
            female=female,
            **shape,
            heart=float(np.clip(rng.normal(1.0, 0.09), 0.8, 1.2)),
            heart_tilt=u(0.55, 0.85) if adult else u(0.45, 0.75),
            knob=u(0.6, 1.25) if adult else u(0.2, 0.5),
            thymus=0.0 if adult else float(max(0.0, rng.normal(0.35, 0.4))),
            fat=u(0.07, 0.2) if adult else u(0.06, 0.13),
            breast=u(0.3, 1.0) if adult and female else 0.0,
            bone=u(0.8, 1.2),
            scoliosis=float(rng.normal(0, 0.025)),
            dome_gap=u(0.02, 0.15),
            vessels=u(0.8, 1.3) * (1.0 if adult else 1.12),
            apex=u(0.36, 0.44),
            seed=int(rng.integers(2**31)),
            relief=Texture.make(rng, 48.0, 5.0, side=64),
        )

    def lateral(self, v: Rows) -> Rows:
        """Inner edge of the cage at height v (w), in w."""
        t = np.clip(v / (self.height * 1.08), 0, 1)
        return self.apex + (1 - self.apex) * (1 - (1 - t) ** 2) ** (1 / self.taper)


@dataclass(frozen=True)
class Pose:
    """What changes from image to image.

    Attributes:
        breath: 1 at full inspiration, lower for a shallow breath.
        turn: rotation about the long axis: how far the front moves to the patient's left, in w.
        magnify: enlargement of what lies in front (AP enlarges the heart).
        lordosis: tilt that raises the clavicles, in w.
    """

    view: str
    breath: float
    turn: float
    magnify: float
    lordosis: float
    arms: float

    @staticmethod
    def draw(rng: np.random.Generator, adult: bool, bedside: bool) -> Pose:
        """A moment at random; at the bedside the beam comes from the front and the breath is short."""
        u = rng.uniform
        return Pose(
            view="AP" if bedside else "PA",
            breath=u(0.8, 0.97) if bedside and adult else u(0.88, 1.04),
            turn=float(rng.normal(0, 0.045 if adult else 0.06)),
            magnify=u(1.06, 1.16) if bedside and adult else u(0.96, 1.05),
            lordosis=u(-0.02, 0.14) if bedside else u(-0.06, 0.05),
            arms=u(0, 1),
        )


@dataclass(frozen=True)
class Chest:
    """Soft tissue and air of one exposure on a plane; lengths along the beam in cm, [side, side].

    Attributes:
        body: outline of the body filled with tissue.
        air: lung along the beam.
        gas: stomach, bowel.
        lungs: 0 outside the lung fields, 1 right lung, 2 left lung.
    """

    body: Map
    air: Map
    gas: Map
    lungs: NDArray[np.uint8]


def dome_height(body: Body, pose: Pose) -> tuple[float, float]:
    """Tops of the right and left dome, in w from the apex."""
    right = body.height * pose.breath
    return right, right + body.dome_gap


def lay_out(body: Body, pose: Pose, plane: Plane, rng: np.random.Generator) -> Chest:
    """Project the soft anatomy."""
    w = body.w
    u, v = (a * np.float32(1 / w) for a in plane.uv)
    table = np.linspace(-1.5, 3.5, 1501)
    row = np.clip((v + 1.5) * np.float32(300), 0, 1500).astype(np.int32)

    def rows(values: Rows) -> Map:
        return np.asarray(values.astype(np.float32)[row])

    domes = dome_height(body, pose)
    dome = _domes(body, pose, u, domes)
    heart, great = _heart(body, pose, u, v, domes[0])
    outline = _outline(body, pose, u, v, rows, table)
    above = 1 - np.float32(0.8) * np.sqrt(np.clip((v - dome) * np.float32(1 / 0.10), 0, 1))
    above *= 1 - smooth_step(v - dome, 0.05, 0.5) * np.float32(0.9)

    lateral = rows(body.lateral(table))
    depth = np.sqrt(np.clip(1 - (1 - np.clip(table / 0.75, 0, 1)) ** 2, 0, 1)) * body.depth
    depth *= 1 - 0.1 * np.clip(table - 1, 0, 1)
    depths = rows(depth)
    air = np.zeros_like(u)
    lungs = np.zeros(u.shape, np.uint8)
    for index, sign in ((1, -1.0), (2, 1.0)):
        medial = rows(_medial(body, pose, table, sign))
        across = (u * np.float32(sign) - medial) / np.maximum(lateral - medial, np.float32(1e-3))
        inside = (across > 0) & (across < 1) & (v > 0)
        profile = _across().take((np.clip(across, 0, 1) * np.float32(4096)).astype(np.int32))
        air += np.where(inside, profile * depths * 2, 0)
        lungs[inside & (v < dome)] = index
    air = np.maximum(air - heart - great, 0) * above
    # the wedge between heart and left dome belongs to neither
    base = domes[0] + 0.06
    wedge = smooth_step(v, base - 0.42, base - 0.04) * (1 - smooth_step(u, pose.turn + 0.22, pose.turn + 0.58))
    wedge *= smooth_step(u, -0.12, 0.12)
    air *= 1 - np.float32(0.85) * wedge
    lungs[(heart > 0.14) | (great > 0.1) | (wedge > 0.4)] = 0
    gas = _gas(body, u, v, dome, domes, rng)
    return Chest(outline * np.float32(w), air * np.float32(w), gas * np.float32(w), lungs)


@cache
def _across() -> Map:
    """Depth of the lung from its mediastinal side (0) to the ribs (1)."""
    s = np.linspace(0, 1, 4097)
    return np.asarray(np.sqrt(1 - s**2.6) * np.minimum(1, s**0.6 * 1.9 + 0.1), np.float32)


def _medial(body: Body, pose: Pose, v: Rows, sign: float) -> Rows:
    edge: Rows = 0.1 + 0.02 * v + (0.01 if body.adult else 0.045)
    if sign > 0:
        edge = edge + 0.075 * body.knob * np.exp(-(((v - 0.5) / 0.11) ** 2)) * (1 if body.adult else 0.5)
        edge += 0.05 * np.exp(-(((v - 0.72) / 0.12) ** 2))
    sail = body.seed % 3  # which side the thymus shows on
    thymus = body.thymus * (1.0 if sail == 2 or (sail == 0) == (sign < 0) else 0.25)
    edge = edge + 0.14 * thymus * np.exp(-((np.maximum(v - 0.6, 0) / 0.1) ** 2) - (np.minimum(v - 0.6, 0) / 0.3) ** 2)
    edge = edge + sign * pose.turn * 0.7
    reach = 0.3
    near = np.clip(1 - v / reach, 0, 1)
    rounded: Rows = edge + (body.apex - edge) * (1 - np.sqrt(1 - near**2))
    return rounded


def _domes(body: Body, pose: Pose, u: Map, domes: tuple[float, float]) -> Map:
    lateral = 0.34 if body.adult else 0.27
    right = np.abs(u + np.float32(0.48))
    left = np.abs(u - np.float32(0.52))
    drop_r = np.where(u < -0.48, lateral * (right * np.float32(1.95)) ** 2.4, 0.14 * (right * 2) ** 2)
    drop_l = np.where(u > 0.52, lateral * (left * np.float32(2.08)) ** 2.4, 0.1 * (left * 2) ** 2)
    blend = smooth_step(u, -0.1, 0.12)
    return np.asarray((domes[0] + drop_r) * (1 - blend) + (domes[1] + drop_l) * blend, np.float32)


def _heart(body: Body, pose: Pose, u: Map, v: Map, dome: float) -> tuple[Map, Map]:
    k = body.heart * pose.magnify * (1.0 if body.adult else 1.06)
    lift = (1 - pose.breath) * 0.2
    shift = pose.turn
    base = dome + 0.06
    d = body.depth * 0.7
    tilt = body.heart_tilt
    parts = [
        chord(u, v, (0.175 * k + shift, base - 0.27 * k), ((0.52 + lift) * k, 0.315 * k, d * k), tilt),
        chord(u, v, (-0.04 + shift, base - 0.36 * k), (0.195 * k, 0.43 * k, d * 0.85 * k), -0.1),
        chord(u, v, (0.115 + shift, base - 0.56 * k), (0.2 * k, 0.37 * k, d * 0.75), -0.38),
    ]
    heart = _union(parts)
    great = chord(u, v, (0.015 + shift * 0.6, 0.62), (0.165, 0.5, d * 0.8))
    if body.adult:
        knob = chord(u, v, (0.12 + shift * 0.3, 0.5), (0.12 * body.knob**0.5, 0.13, 0.16), 0.2)
        great = np.maximum(great, knob)
    return heart, great


@cache
def _superellipse(power: float) -> Map:
    return ((1 - np.linspace(0, 1, 4097) ** power) ** (1 / power)).astype(np.float32)


def _slab(x: Map, half: Map, power: float) -> Map:
    """Chord of a body of half-width `half` and unit half-depth, by table: powers are slow."""
    ratio = np.minimum(np.abs(x) / np.maximum(half, np.float32(1e-3)), np.float32(1))
    return _superellipse(power).take((ratio * np.float32(4096)).astype(np.int32))


def _union(parts: list[Map]) -> Map:
    """A maximum with rounded seams."""
    total = np.zeros_like(parts[0])
    for part in parts:
        square = part * part
        total += square * square
    return np.sqrt(np.sqrt(total))


def _outline(body: Body, pose: Pose, u: Map, v: Map, rows: Callable[[Rows], Map], table: Rows) -> Map:
    wall = body.fat + 0.05
    lateral = body.lateral(np.maximum(table, 0.45))
    torso_w = lateral + wall + 0.1 * np.exp(-(((table - 0.55) / 0.4) ** 2)) - 0.06 * np.clip(table - 1.5, 0, 1)
    torso_d = (body.depth + wall * 0.8) * (0.55 + 0.45 * np.clip((table + 0.35) / 0.9, 0, 1) ** 0.8)
    top = -0.28 if body.adult else -0.12
    present = np.clip((table - top) / 0.4, 0, 1) ** 0.6
    torso = _slab(u, rows(torso_w), 2.5) * rows(torso_d * 2 * present)
    neck_w = np.interp(
        table,
        [-1.5, -0.55, -0.35, -0.15, 0.1],
        [0.40, 0.42, 0.5, 0.75, 1.0] if body.adult else [0.40, 0.40, 0.44, 0.6, 0.85],
    )
    neck = _slab(u, rows(neck_w), 2.2) * rows(0.85 * np.clip((0.9 - table) / 0.8, 0, 1))
    shoulder_at = [-0.75, -0.45, -0.25, -0.1, 0.15, 0.6, 1.0]
    widths = [0.3, 0.5, 0.95, 1.3, 1.62, 1.72, 1.5] if body.adult else [0.2, 0.4, 0.6, 0.95, 1.1, 1.08, 0.9]
    shoulder_w = np.interp(table, np.asarray(shoulder_at) - pose.lordosis * 0.6, widths)
    thick = np.interp(table, [-0.7, -0.3, 0.1, 0.5, 1.0], [0.3, 0.5, 0.7, 0.6, 0.0])
    shoulder = _slab(u, rows(shoulder_w), 3.0) * rows(thick)
    parts = [torso, neck, shoulder]
    if body.adult:
        reach = 1.48 + 0.1 * pose.arms + body.fat
        arms = (reach - 0.05, 0.15), (reach + 0.2 * pose.arms, 2.6), 0.3
    else:
        arms = (0.92, 0.12), (1.05 + 0.35 * pose.arms, -1.3), 0.27
        head = (0.12 * (pose.arms - 0.5), -1.28 - pose.lordosis)
        parts.append(chord(u, v, head, (0.66, 0.8, 0.62)))
    parts.append(_capsule(np.abs(u), v, *arms))
    total = _union(parts)
    if body.breast:
        for sign in (-1.0, 1.0):
            size = 0.3 + 0.2 * body.breast
            hang = 1.15 + 0.35 * body.breast
            bump = chord(
                u, v, (sign * (0.56 + 0.1 * body.breast), hang - 0.1), (size * 1.15, size, 0.16 * body.breast + 0.06)
            )
            total = total + bump * smooth_step(v, hang - 0.55, hang + 0.05)
    return total


def _capsule(u: Map, v: Map, start: tuple[float, float], end: tuple[float, float], radius: float) -> Map:
    du, dv = end[0] - start[0], end[1] - start[1]
    t = np.clip(((u - start[0]) * du + (v - start[1]) * dv) / (du * du + dv * dv), 0, 1)
    d2 = (u - start[0] - t * du) ** 2 + (v - start[1] - t * dv) ** 2
    return 2 * np.sqrt(np.maximum(np.float32(radius * radius) - d2, 0)).astype(np.float32)


def _gas(body: Body, u: Map, v: Map, dome: Map, domes: tuple[float, float], rng: np.random.Generator) -> Map:
    wall = 0.06
    below = smooth_step(v - dome, wall, wall + 0.03)
    bend = np.float32(0.035) * body.relief.at(u * (2.2 * body.w), v * (2.2 * body.w))
    u, v = u + bend, v + bend * np.float32(0.7)
    gas = np.zeros_like(u)
    if rng.random() < 0.75:
        size = rng.uniform(0.12, 0.3)
        at = (rng.uniform(0.4, 0.62), domes[1] + wall + size * rng.uniform(0.5, 0.95))
        gas = chord(u, v, at, (size * rng.uniform(0.9, 1.3), size, size * 0.7), rng.uniform(-0.4, 0.4))
        gas *= 1 + np.float32(6) * bend
    for _ in range(int(rng.integers(0, 7))):
        size = rng.uniform(0.05, 0.11)
        at = (rng.uniform(-0.1, 0.85), domes[1] + rng.uniform(0.25, 0.75))
        gas = np.maximum(gas, chord(u, v, at, (size * rng.uniform(1, 1.6), size, size * 0.8), rng.uniform(-0.8, 0.8)))
    return np.maximum(gas, 0) * below
