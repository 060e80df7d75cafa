"""Pictures that are no chest radiographs, for `lung_gate.py`: drawn from seeds, or cut from what libraries package.

Every picture is grey, ``float32 [rows, columns]`` in [0, 1]. Nothing is fetched: the photographs are those packaged by
scikit-image, scikit-learn and matplotlib (BSD; some public domain or CC0), the scans those of pydicom (MIT). A family
is told by its name and by a function of a generator of random numbers, which draws one picture.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Plane = NDArray[np.float32]
Random = np.random.Generator
Point = tuple[float, float]
SIDE = 192
DOWN, ACROSS = (axis.astype(np.float32) for axis in np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j])
WORDS = ("lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "elit", "sed", "eiusmod", "tempor", "ut", "labore")


# What the drawings are made of -------------------------------------------------------------------------------------


def ellipse(x: float, y: float, wide: float, high: float, turn: float = 0.0, soft: float = 0.03) -> Plane:
    """1 inside an ellipse, 0 outside, with an edge of `soft`; the picture spans [-1, 1] both ways, y downwards."""
    u, v = ACROSS - np.float32(x), DOWN - np.float32(y)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    radius = np.hypot((u * c + v * s) / wide, (v * c - u * s) / high)
    return np.clip((1 - radius) * (min(wide, high) / soft) + 0.5, 0, 1).astype(np.float32)


def stroke(a: Point, b: Point, radius: float, end: float | None = None, soft: float = 0.02) -> Plane:
    """1 inside a line as wide as `radius` at `a` and as `end` at `b`."""
    along = np.array(b, np.float32) - np.array(a, np.float32)
    u, v = ACROSS - np.float32(a[0]), DOWN - np.float32(a[1])
    place = np.clip((u * along[0] + v * along[1]) / max(float(along @ along), 1e-6), 0, 1)
    wide = radius + (radius if end is None else end) * place - radius * place
    return np.clip((wide - np.hypot(u - place * along[0], v - place * along[1])) / soft + 0.5, 0, 1).astype(np.float32)


def rod(a: Point, b: Point, radius: float, end: float | None = None) -> Plane:
    """The thickness of a round rod seen from the side, 1 at its axis."""
    return np.sqrt(np.clip(stroke(a, b, radius, end, soft=2 * radius), 0, 1)).astype(np.float32)


def bone(random: Random, a: Point, b: Point, radius: float) -> Plane:
    """A long bone: brighter at its sides than along its middle, with thicker ends."""
    hollow = random.uniform(0.3, 0.6)
    shaft = stroke(a, b, radius) - hollow * stroke(a, b, radius * 0.5, soft=radius * 0.6)
    knobs = [0.8 * ellipse(*p, radius * random.uniform(1.1, 1.5), radius * 1.2, soft=radius * 0.5) for p in (a, b)]
    return np.maximum(shaft, np.maximum(*knobs))


def clouds(random: Random, cells: int, power: float = 1.0) -> Plane:
    """Smooth noise in [0, 1]: octaves from `cells` a side upwards, each fainter than the last."""
    total, weight = np.zeros((SIDE, SIDE), np.float32), 1.0
    while cells < SIDE:
        grain = Image.fromarray(random.random((cells + 1, cells + 1), dtype=np.float32))
        total += weight * np.asarray(grain.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        cells, weight = cells * 2, weight / 2**power
    return scaled(total)


def scaled(x: NDArray[np.floating]) -> Plane:
    """Between its least and its largest value, in [0, 1]."""
    return ((x - x.min()) / max(float(x.max() - x.min()), 1e-6)).astype(np.float32)


def turned(random: Random, x: Plane, most: float = 12.0) -> Plane:
    """Turned by up to `most` degrees, mirrored half of the time, cut to another frame and shape."""
    image = Image.fromarray(x).rotate(
        float(random.uniform(-most, most)), Image.Resampling.BILINEAR, fillcolor=float(x[0, 0])
    )
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    left, top, right, bottom = random.uniform(-0.08, 0.08, 4) * SIDE
    wide = round(SIDE * random.uniform(0.75, 1.33))
    return np.asarray(image.transform((wide, SIDE), Image.Transform.EXTENT, (left, top, SIDE + right, SIDE + bottom)))


def exposed(random: Random, thickness: Plane) -> Plane:
    """A radiograph of so much matter: bright where much is in the way, with grain; some black at the collimator."""
    x = 1 - np.exp(-thickness * random.uniform(0.9, 2.0))
    x = scaled(x + 0.04 * clouds(random, 12)) ** random.uniform(0.7, 1.5)
    x = x * random.uniform(0.75, 1) + random.uniform(0, 0.15)
    x = x + random.normal(0, random.uniform(0.005, 0.03), x.shape)
    if random.random() < 0.3:
        x = x * stroke((0, -0.1), (0, 0.1), random.uniform(0.8, 1.0), soft=0.01)
    return np.clip(turned(random, x.astype(np.float32)), 0, 1)


def as_plane(image: Image.Image) -> Plane:
    """Any picture in grey, in [0, 1]."""
    return np.asarray(image.convert("L"), np.float32) / 255


# Radiographs of other parts ----------------------------------------------------------------------------------------


def hand(random: Random) -> Plane:
    """A hand from behind: soft tissue, phalanges, metacarpals, wrist, the ends of both forearm bones."""
    flesh, bones = ellipse(0, 0.25, 0.36, 0.38, soft=0.2), np.zeros_like(ACROSS)
    spread = random.uniform(0.14, 0.24)
    for finger in range(5):
        lean = (finger - 2) * spread + random.normal(0, 0.03) + (0.5 if finger == 4 else 0)
        length = (0.62, 0.72, 0.78, 0.7, 0.5)[finger] * random.uniform(0.9, 1.1)
        x, y = 0.14 * (finger - 2), 0.3 if finger == 4 else 0.1
        at = [(x * 0.4, 0.52), (x, y)]
        for part in (0.5, 0.3, 0.2):
            at.append((at[-1][0] + np.sin(lean) * length * part, at[-1][1] - np.cos(lean) * length * part))
        flesh = np.maximum(flesh, rod(at[1], at[-1], 0.11, 0.075))
        for a, b in pairwise(at):
            bones = np.maximum(bones, bone(random, a, b, random.uniform(0.028, 0.04)))
    flesh = np.maximum(flesh, rod((0, 0.4), (random.normal(0, 0.05), 1.3), 0.27, 0.24))
    for _ in range(8):
        bones = np.maximum(bones, ellipse(*random.normal((0, 0.58), (0.12, 0.05)), 0.07, 0.06, soft=0.04))
    for x in (-0.1, 0.12):
        bones = np.maximum(bones, bone(random, (x, 0.74), (x * 0.9, 1.3), 0.07))
    return exposed(random, 0.5 * flesh + 0.9 * bones)


def limb(random: Random) -> Plane:
    """A forearm, a leg or a knee: one rod of flesh and one or two long bones, perhaps with a joint; or two legs."""
    flesh, bones = np.zeros_like(ACROSS), np.zeros_like(ACROSS)
    both = random.random() < 0.3
    for x in (-0.5, 0.5) if both else (0.0,):
        wide = random.uniform(0.25, 0.42) if both else random.uniform(0.3, 0.65)
        top, foot = x + random.normal(0, 0.08), x + random.normal(0, 0.08)
        flesh = np.maximum(flesh, rod((top, -1.2), (foot, 1.2), wide, wide * random.uniform(0.6, 1.1)))
        joint = random.uniform(-0.4, 0.4) if random.random() < 0.6 else 1.3
        radius = wide * random.uniform(0.22, 0.35)
        bones = np.maximum(bones, bone(random, (top, -1.3), (x, joint - 0.05), radius))
        if joint < 1:
            for d in (-0.3, 0.35):
                wider = radius * random.uniform(0.4, 1.0)
                bones = np.maximum(bones, bone(random, (x + d * wide, joint + 0.08), (foot + d * wide, 1.3), wider))
            bones = np.maximum(bones, 0.8 * ellipse(x, joint, wide * 0.62, 0.13, soft=0.08))
    return exposed(random, random.uniform(0.4, 0.8) * flesh + bones)


def skull(random: Random) -> Plane:
    """A skull from the front: vault, two dark orbits, nose, sinuses, teeth, jaw."""
    head, thick = (random.uniform(0.52, 0.66), random.uniform(0.7, 0.85)), random.uniform(0.05, 0.09)
    x = 0.55 * ellipse(0, 0, *head, soft=0.25) + 0.35 * ellipse(0, 0, *head)
    x -= 0.3 * ellipse(0, 0, head[0] - thick, head[1] - thick, soft=0.05)
    x += 0.45 * ellipse(0, 0.5, 0.4, 0.38, soft=0.2)
    out, level = random.uniform(0.2, 0.26), random.uniform(0.05, 0.18)
    for side in (-1, 1):
        x -= random.uniform(0.3, 0.5) * ellipse(side * out, level, 0.15, 0.14, soft=0.06)
        x -= 0.25 * ellipse(side * out * 0.9, level + 0.3, 0.11, 0.13, soft=0.06)
        x += 0.3 * stroke((side * 0.42, level + 0.3), (side * 0.3, 0.85), 0.06)
    x -= 0.35 * ellipse(0, level + 0.22, 0.07, 0.16, soft=0.05)
    for tooth in np.linspace(-0.2, 0.2, 8):
        x += 0.25 * stroke((tooth, 0.58), (tooth, 0.72), 0.018)
    x += 0.6 * stroke((0, 0.8), (0, 1.4), 0.2, soft=0.15)
    return exposed(random, np.clip(x, 0, None))


def pelvis(random: Random) -> Plane:
    """A pelvis from the front: iliac wings, sacrum, hips, the two dark obturator openings, thighs."""
    x = 0.7 * ellipse(0, 0.1, 1.0, 1.3, soft=0.4)
    x += 0.5 * stroke((0, -1.2), (0, 0.1), 0.13) + 0.35 * ellipse(0, 0.0, 0.28, 0.36, soft=0.1)
    for side in (-1, 1):
        x += 0.5 * ellipse(side * 0.5, -0.3, 0.34, 0.42, side * 0.5, 0.06)
        x -= 0.2 * ellipse(side * 0.5, -0.28, 0.24, 0.3, side * 0.5, 0.1)
        x += 0.45 * ellipse(side * 0.26, 0.5, 0.26, 0.26, soft=0.05)
        x -= random.uniform(0.35, 0.6) * ellipse(side * 0.25, 0.52, 0.14, 0.16, side * 0.4, 0.05)
        x += 0.5 * ellipse(side * 0.62, 0.25, 0.16, 0.16, soft=0.05)
        x += 0.5 * bone(random, (side * 0.75, 0.45), (side * 0.7, 1.3), 0.12)
    x -= 0.25 * ellipse(random.normal(0, 0.1), -0.5, 0.25, 0.2, soft=0.2) * clouds(random, 6)
    return exposed(random, np.clip(x, 0, None))


def abdomen(random: Random) -> Plane:
    """An abdomen from the front: spine, lowest ribs, pelvis' rim, gas in the gut."""
    x = 0.8 * ellipse(0, 0, random.uniform(0.85, 1.05), 1.5, soft=0.3)
    for y in np.arange(-1.1, 0.7, random.uniform(0.2, 0.26)):
        x += 0.45 * stroke((-0.1, y), (0.1, y), 0.08, soft=0.05)
    for side in (-1, 1):
        x += 0.35 * ellipse(side * 0.6, 0.85, 0.4, 0.4, soft=0.06)
        for y in (-0.95, -0.75, -0.58):
            x += 0.2 * stroke((side * 0.12, y), (side * 0.75, y + 0.3), 0.035)
    for _ in range(int(random.integers(3, 14))):
        place = random.uniform(-0.7, 0.7, 2)
        x -= 0.3 * ellipse(*place, *random.uniform(0.06, 0.22, 2), random.uniform(0, 3), 0.05)
    return exposed(random, np.clip(x, 0, None))


def neck(random: Random) -> Plane:
    """A neck from the side: skull's base, a bent row of vertebrae, dark windpipe, shoulder."""
    x = 0.5 * ellipse(0, -0.9, 0.8, 0.45, soft=0.2) + 0.4 * stroke((0.05, -0.8), (0.1, 1.2), 0.42, 0.5, soft=0.2)
    x += 0.6 * ellipse(0.2, 1.1, 0.9, 0.4, soft=0.3)
    bend = random.uniform(0.05, 0.2)
    for y in np.linspace(-0.6, 0.7, 7):
        middle = 0.25 - bend * (1 - y * y)
        x += 0.4 * ellipse(middle, y, 0.13, 0.075, bend * y, 0.04)
        x += 0.3 * stroke((middle + 0.16, y + 0.02), (middle + 0.34, y + 0.12), 0.035)
    x -= 0.3 * stroke((-0.14, -0.4), (-0.08, 1.0), random.uniform(0.05, 0.08), soft=0.04)
    return exposed(random, np.clip(x, 0, None))


def chest_from_the_side(random: Random) -> Plane:
    """A chest from the side: one field of lung, bent spine behind, breastbone and heart in front, domes below, arms."""
    wide, lean = random.uniform(0.62, 0.8), random.uniform(-0.08, 0.08)
    x = 0.9 * ellipse(0, 0.15, wide + 0.2, 1.25, lean, 0.2) + 0.5 * ellipse(0.05, -1.0, 0.75, 0.4, soft=0.3)
    x -= 0.6 * ellipse(0.02, -0.05, wide - 0.08, random.uniform(0.72, 0.85), lean, 0.12)
    heart = random.uniform(0.26, 0.4)
    x += 0.45 * ellipse(-wide + heart + 0.12, 0.3, heart, random.uniform(0.28, 0.42), -0.4, 0.1)
    for y in np.linspace(-0.9, 0.95, 12):
        x += 0.3 * ellipse(wide - 0.14 - 0.18 * y * y, y, 0.12, 0.065, 0.3 * y, 0.04)
    for rib in np.linspace(-0.6, 0.6, 7):
        x += 0.09 * stroke((wide - 0.2, rib - 0.15), (-wide + 0.15, rib + 0.2), 0.03)
    for dome in (random.uniform(0.5, 0.62), random.uniform(0.55, 0.7)):
        x += 0.35 * ellipse(random.normal(0, 0.06), dome + 0.6, wide + 0.05, 0.6, soft=0.08)
    x += 0.2 * ellipse(0.05, 0.02, 0.13, 0.16, soft=0.08) - 0.25 * stroke((0.03, -1.0), (0.06, -0.15), 0.05, soft=0.04)
    return exposed(random, np.clip(x, 0, None))


def foot(random: Random) -> Plane:
    """A foot from the side: shin, ankle, heel, arch, toes."""
    flesh = np.maximum(rod((0.45, -1.3), (0.4, 0.2), 0.32), rod((0.5, 0.45), (-0.85, 0.62), 0.32, 0.14))
    bones = np.maximum(bone(random, (0.42, -1.3), (0.4, 0.0), 0.15), bone(random, (0.58, -1.3), (0.56, 0.05), 0.06))
    for x, y, wide, high in (
        (0.4, 0.18, 0.2, 0.12),
        (0.65, 0.5, 0.24, 0.15),
        (0.12, 0.3, 0.14, 0.11),
        (-0.08, 0.4, 0.13, 0.1),
    ):
        bones = np.maximum(bones, 0.8 * ellipse(x, y, wide, high, random.normal(0.2, 0.1), 0.05))
    for lift in (0.0, 0.06, 0.12):
        bones = np.maximum(bones, bone(random, (-0.15, 0.4 + lift), (-0.55, 0.56 + lift), 0.05))
        bones = np.maximum(bones, bone(random, (-0.6, 0.58 + lift), (-0.82, 0.62 + lift), 0.035))
    return exposed(random, 0.5 * flesh + 0.8 * bones)


def jaws(random: Random) -> Plane:
    """Both jaws in one sweep: a bright bow of bone, two rows of teeth, dark gaps of air above."""
    x = 0.5 + 0.2 * clouds(random, 3) + 0.4 * np.exp(-(((DOWN - 0.75 + 0.5 * ACROSS**2) / 0.18) ** 2))
    for tooth in np.linspace(-0.75, 0.75, 16):
        sag = 0.25 * (0.5 - tooth * tooth)
        x = x + 0.5 * ellipse(tooth, sag - 0.16, 0.04, 0.18, -0.3 * tooth, 0.02)
        x = x + 0.5 * ellipse(tooth, sag + 0.22, 0.035, 0.18, 0.3 * tooth, 0.02)
    for side in (-1, 1):
        x = x - 0.3 * ellipse(side * 0.3, -0.5, 0.22, 0.14, soft=0.06)
        x = x + 0.4 * stroke((side * 0.8, 0.5), (side * 0.9, -0.7), 0.1, soft=0.06)
    return exposed(random, np.clip(x - 0.4 * ellipse(0, 0.02, 0.8, 0.05), 0, None))


def breast(random: Random) -> Plane:
    """A breast between plates: a half disc at one edge, fat and glands, black elsewhere; perhaps the muscle's wedge."""
    disc = ellipse(-1.0, random.normal(0, 0.1), random.uniform(0.8, 1.4), random.uniform(0.7, 0.95), soft=0.1)
    x = disc * (0.35 + 0.9 * np.clip(clouds(random, 6) - 0.4, 0, 1))
    if random.random() < 0.5:
        x += 0.5 * np.clip((-ACROSS - 0.5 - 0.6 * (DOWN + 0.5)) / 0.05, 0, 1) * disc
    return exposed(random, x.astype(np.float32))


# Scans ------------------------------------------------------------------------------------------------------------


def chest_slice(random: Random) -> Plane:
    """An axial slice of CT through the chest: body, two dark lungs with vessels, heart, spine, ribs, table."""
    soft_window = random.random() < 0.5
    wide, high = random.uniform(0.75, 0.92), random.uniform(0.5, 0.68)
    body = ellipse(0, 0, wide, high, soft=0.02)
    x = body * random.uniform(0.45, 0.6) - 0.12 * body * (1 - ellipse(0, 0, wide * 0.9, high * 0.88, soft=0.03))
    lungs = np.zeros_like(x)
    for side in (-1, 1):
        size = (wide * random.uniform(0.33, 0.42), high * random.uniform(0.6, 0.78))
        lungs = np.maximum(
            lungs, ellipse(side * wide * 0.45, random.normal(-0.03, 0.03), *size, side * random.normal(0.15, 0.1), 0.02)
        )
    lungs *= 1 - ellipse(
        random.normal(0.1, 0.05), -0.12, random.uniform(0.15, 0.35), random.uniform(0.18, 0.3), 0.4, 0.02
    )
    lungs *= 1 - stroke((0, 0), (0, high * 0.9), random.uniform(0.09, 0.14))
    air = 0.02 if soft_window else random.uniform(0.1, 0.3)
    x = x * (1 - lungs) + air * lungs
    vessels = clouds(random, 24, 0.3)
    x += lungs * (0 if soft_window else 0.5) * np.clip(vessels - 0.62, 0, 1) * 4
    x += 0.4 * stroke((0, high * 0.45), (0, high * 0.6), 0.11) - 0.3 * ellipse(0, high * 0.72, 0.045, 0.045, soft=0.01)
    for angle in np.linspace(0, 2 * np.pi, int(random.integers(10, 18)), endpoint=False):
        place = (np.cos(angle) * wide * 0.88, np.sin(angle) * high * 0.86)
        x += 0.4 * ellipse(*place, 0.05, 0.022, angle + np.pi / 2, 0.015)
    if random.random() < 0.8:
        bend = random.uniform(0.05, 0.3)
        line = high + 0.06 - bend * ACROSS**2
        x += 0.4 * np.clip(1 - np.abs(DOWN - line) / 0.015, 0, 1) * (np.abs(ACROSS) < 0.95)
    x = x + random.normal(0, random.uniform(0.01, 0.05), x.shape)
    if random.random() < 0.5:
        x = np.where(np.hypot(ACROSS, DOWN) < 1, x, 0)
    return np.clip(turned(random, x.astype(np.float32), 6), 0, 1)


def belly_slice(random: Random) -> Plane:
    """An axial slice of CT through the belly: liver, kidneys, gut, spine, table, no lungs."""
    wide, high = random.uniform(0.72, 0.92), random.uniform(0.5, 0.68)
    body = ellipse(0, 0, wide, high, soft=0.02)
    x = body * 0.25 + 0.25 * ellipse(0, 0, wide * 0.9, high * 0.87, soft=0.02)
    x += 0.2 * ellipse(-wide * 0.4, -0.05, wide * 0.42, high * 0.6, 0.3, 0.03)
    for side in (-1, 1):
        x += 0.25 * ellipse(side * wide * 0.42, high * 0.35, 0.1, 0.14, side * 0.4, 0.02)
    for _ in range(int(random.integers(3, 9))):
        place = random.uniform((-0.1, -0.4), (0.55, 0.2))
        x -= random.uniform(-0.1, 0.5) * ellipse(*place, *random.uniform(0.04, 0.15, 2), soft=0.03)
    x += 0.4 * stroke((0, high * 0.45), (0, high * 0.6), 0.11)
    line = high + 0.06 - random.uniform(0.05, 0.3) * ACROSS**2
    x += 0.4 * np.clip(1 - np.abs(DOWN - line) / 0.015, 0, 1)
    x = x + random.normal(0, random.uniform(0.01, 0.05), x.shape)
    return np.clip(turned(random, x.astype(np.float32), 6), 0, 1)


def head_scan(random: Random) -> Plane:
    """A slice of MR through a head: scalp, dark bone, folded brain, two ventricles; or from the side."""
    wide, high = random.uniform(0.58, 0.74), random.uniform(0.75, 0.9)
    x = 0.8 * ellipse(0, 0, wide, high) - 0.7 * ellipse(0, 0, wide * 0.93, high * 0.94)
    brain = ellipse(0, 0, wide * 0.86, high * 0.88)
    x += brain * (0.45 + 0.35 * (clouds(random, 10, 0.5) > 0.5) * random.uniform(0.3, 1))
    bright = random.choice([-1, 1])
    if random.random() < 0.65:
        for side in (-1, 1):
            x += bright * 0.45 * ellipse(side * 0.1, -0.12, 0.06, 0.22, side * -0.25, 0.03)
            x += bright * 0.45 * ellipse(side * 0.13, 0.25, 0.06, 0.16, side * 0.4, 0.03)
        x -= 0.3 * stroke((0, -high), (0, high), 0.012) * brain
    else:
        x += 0.6 * stroke((0.1, 0.2), (0.25, 1.4), 0.2, 0.16) + 0.2 * ellipse(0.35, 0.35, 0.22, 0.18)
        x += bright * 0.4 * ellipse(0, 0, 0.3, 0.07, 0.2)
    x = x * (1 + 0.4 * (clouds(random, 2) - 0.5)) + np.abs(random.normal(0, 0.03, x.shape))
    return np.clip(turned(random, x.astype(np.float32), 20), 0, 1)


def ultrasound(random: Random) -> Plane:
    """The fan of an ultrasound probe: speckle, layers, dark cysts or the chambers of a heart."""
    above, half = random.uniform(0.1, 0.6), random.uniform(0.45, 0.85)
    depth, angle = np.hypot(ACROSS, DOWN + 1 + above), np.arctan2(ACROSS, DOWN + 1 + above)
    fan = (np.abs(angle) < half) & (depth > above) & (depth < 1.9 + above * 0.8)
    tissue = 0.35 + 0.5 * clouds(random, 4) + 0.15 * np.sin(depth * random.uniform(8, 20) + clouds(random, 3) * 4)
    for _ in range(int(random.integers(1, 6))):
        place = random.uniform((-0.5, -0.5), (0.5, 0.7))
        tissue *= 1 - random.uniform(0.6, 1) * ellipse(
            *place, *random.uniform(0.08, 0.35, 2), random.uniform(0, 3), 0.04
        )
    x = fan * tissue * random.rayleigh(0.6, fan.shape) * np.exp(-0.4 * np.clip(depth - 1, 0, None))
    return np.clip(turned(random, x.astype(np.float32), 0), 0, 1)


# Noise, slopes, shapes ------------------------------------------------------------------------------------------------


def noise(random: Random) -> Plane:
    """White, of one of several colours (power falling with frequency), clouds, or coarse blocks."""
    kind = random.integers(4)
    if kind == 0:
        return random.random((SIDE, SIDE), dtype=np.float32)
    if kind == 1:
        there = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)) + 1 / SIDE
        waves = np.fft.rfft2(random.normal(size=(SIDE, SIDE))) / there ** random.uniform(0.3, 2.2)
        return scaled(np.fft.irfft2(waves))
    if kind == 2:
        return clouds(random, int(random.integers(2, 24)), random.uniform(0.3, 1.5))
    grain = Image.fromarray(random.random((int(random.integers(2, 40)),) * 2, dtype=np.float32))
    return np.asarray(grain.resize((SIDE, SIDE), Image.Resampling.NEAREST))


def slope(random: Random) -> Plane:
    """One grey, or slopes: straight, round, in steps, waves, or a bright frame."""
    kind, angle = random.integers(6), random.uniform(0, 2 * np.pi)
    along = np.cos(angle) * ACROSS + np.sin(angle) * DOWN
    away = np.hypot(ACROSS - random.normal(0, 0.4), (DOWN - random.normal(0, 0.4)) * random.uniform(0.5, 2))
    if kind == 0:
        x = np.full_like(ACROSS, random.random()) + random.normal(0, random.choice([0, 0.01]), ACROSS.shape)
        return np.clip(x, 0, 1).astype(np.float32)
    x = (along, away, np.floor(along * random.uniform(2, 8)), np.sin(along * random.uniform(3, 30)), away**3)[kind - 1]
    return scaled(x if random.random() < 0.5 else -x)


def shapes(random: Random) -> Plane:
    """Ellipses and bars strewn over a plain or cloudy ground; often two dark ones side by side, as lungs would be."""
    x = random.uniform(0.3, 0.9) + random.uniform(0, 0.3) * clouds(random, 3)
    if random.random() < 0.6:
        wide, high = random.uniform(0.12, 0.38), random.uniform(0.12, 0.7)
        for side in (-1, 1):
            x -= random.uniform(0.3, 0.9) * ellipse(
                side * random.uniform(0.25, 0.5), 0, wide, high, side * random.normal(0, 0.2)
            )
    for _ in range(int(random.integers(0, 5))):
        place = random.uniform(-1, 1, 2)
        x += random.uniform(-0.7, 0.7) * ellipse(*place, *random.uniform(0.05, 0.4, 2), random.uniform(0, 3))
    return np.clip(x, 0, 1).astype(np.float32)


# Pages and screens ----------------------------------------------------------------------------------------------------


def _text(random: Random, pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], size: int, ink: int) -> None:
    left, top, right, bottom = box
    font = ImageFont.load_default(size)
    while top < bottom - size:
        line = ""
        while pen.textlength(line, font) < (right - left) * random.uniform(0.6, 1):
            line += " " + str(random.choice(WORDS))
        if random.random() < 0.92:
            pen.text((left, top), line[1:-2], fill=ink, font=font)
        top += round(size * 1.35)


def document(random: Random) -> Plane:
    """A page of text in one or two columns, a table, a form, or a letter; dark on light, or seldom light on dark."""
    wide, high = int(random.integers(300, 520)), int(random.integers(360, 560))
    image = Image.new("L", (wide, high), 250)
    pen, size, edge = ImageDraw.Draw(image), int(random.integers(8, 18)), int(wide * random.uniform(0.05, 0.12))
    kind = random.integers(4)
    _text(random, pen, (edge, edge, wide - edge, edge + 3 * size), size + 6, 20)
    top = edge + 3 * size
    if kind == 0:
        gap = (wide - 2 * edge) // int(random.choice([1, 2]))
        for left in range(edge, wide - 2 * edge, gap):
            _text(random, pen, (left, top, left + gap - size, high - edge), size, 20)
    elif kind in {1, 2}:
        step = int(size * random.uniform(1.6, 3))
        columns = sorted(random.integers(edge, wide - edge, int(random.integers(1, 6))).tolist())
        for y in range(top, high - edge, step):
            pen.line((edge, y, wide - edge, y), fill=90)
            for x in [edge, *columns]:
                pen.text(
                    (x + 3, y + 2), str(random.choice(WORDS))[: 8 if kind == 1 else 3], 20, ImageFont.load_default(size)
                )
        for x in [edge, *columns, wide - edge]:
            pen.line((x, top, x, high - edge), fill=90)
    else:
        _text(random, pen, (edge, top + high // 5, wide - edge * 2, high - high // 4), size, 20)
        pen.rectangle((edge, top, edge + wide // 4, top + high // 8), fill=int(random.integers(0, 200)))
    x = as_plane(image.filter(ImageFilter.GaussianBlur(0.5)))
    if random.random() < 0.4:
        x = x * (1 - 0.4 * scaled(np.asarray(Image.fromarray(clouds(random, 2)).resize(image.size))))
    return 1 - x if random.random() < 0.15 else x


def screenshot(random: Random) -> Plane:
    """Windows with bars, buttons, side lists, text and pictures on a desktop."""
    wide, high = int(random.integers(320, 560)), int(random.integers(240, 420))
    dark = random.random() < 0.4
    image = Image.new("L", (wide, high), int(random.integers(0, 256)))
    pen = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 4))):
        x, y = int(random.integers(0, wide // 2)), int(random.integers(0, high // 2))
        far_x, far_y = int(random.integers(x + wide // 3, wide + 40)), int(random.integers(y + high // 3, high + 40))
        ground, ink = (int(random.integers(15, 60)), 220) if dark else (int(random.integers(225, 256)), 30)
        pen.rectangle((x, y, far_x, far_y), fill=ground, outline=128)
        pen.rectangle((x, y, far_x, y + 16), fill=int(random.integers(40, 220)))
        side = x + int(random.integers(20, 90))
        pen.rectangle((x, y + 16, side, far_y), fill=int(np.clip(ground + random.integers(-40, 40), 0, 255)))
        _text(random, pen, (x + 4, y + 22, side, far_y), 8, ink)
        if random.random() < 0.5:
            picture = Image.fromarray((clouds(random, 4) * 255).astype(np.uint8))
            image.paste(picture.resize((max(20, (far_x - side) // 2), 70)), (side + 6, y + 24))
            _text(random, pen, (side + 6, y + 100, far_x - 8, far_y), 9, ink)
        else:
            _text(random, pen, (side + 6, y + 22, far_x - 8, far_y), 9, ink)
    pen.rectangle((0, high - 18, wide, high), fill=20 if dark else 210)
    return as_plane(image)


def chart(random: Random) -> Plane:
    """Bars, lines, points, a pie or a heat map with axes."""
    wide, high = int(random.integers(260, 460)), int(random.integers(220, 340))
    image = Image.new("L", (wide, high), 255)
    pen, kind, n = ImageDraw.Draw(image), random.integers(5), int(random.integers(3, 14))
    left, top, right, bottom = 34, 24, wide - 14, high - 28
    values = random.uniform(0.05, 1, n)
    if kind == 0:
        step = (right - left) / n
        for i, value in enumerate(values):
            x = left + i * step
            pen.rectangle(
                (x + 2, bottom - value * (bottom - top), x + step * 0.85, bottom), fill=int(random.integers(30, 190))
            )
    elif kind == 1:
        for _ in range(int(random.integers(1, 5))):
            walk = np.clip(0.5 + np.cumsum(random.normal(0, 0.08, 60)), 0, 1)
            points = [(left + i * (right - left) / 59, bottom - v * (bottom - top)) for i, v in enumerate(walk)]
            pen.line(points, fill=int(random.integers(0, 170)), width=2)
    elif kind == 2:
        for x, y in random.uniform((left, top), (right, bottom), (int(random.integers(20, 200)), 2)):
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=int(random.integers(0, 180)))
    elif kind == 3:
        ends = np.concatenate([[0], np.cumsum(values) / values.sum() * 360])
        radius = min(wide, high) * 0.38
        box = (wide / 2 - radius, high / 2 - radius, wide / 2 + radius, high / 2 + radius)
        for a, b in pairwise(ends):
            pen.pieslice(box, a, b, fill=int(random.integers(20, 240)), outline=255)
    else:
        cells = Image.fromarray((random.random((n, n)) * 255).astype(np.uint8))
        image.paste(cells.resize((right - left, bottom - top), Image.Resampling.NEAREST), (left, top))
    if kind != 3:
        pen.line((left, top, left, bottom, right, bottom), fill=0)
        for i in range(6):
            pen.text((4, bottom - i * (bottom - top) / 5 - 5), f"{i * 20}", 0, ImageFont.load_default(9))
    pen.text((wide // 3, 6), " ".join(map(str, random.choice(WORDS, 3))), 0, ImageFont.load_default(11))
    return as_plane(image)


Draw = Callable[[Random], Plane]
# Drawn families the gate may be fitted on (with seeds of its own), and those it never saw while it was.
KNOWN: dict[str, Draw] = {
    "noise": noise,
    "blank and slopes": slope,
    "strewn shapes": shapes,
    "documents": document,
    "charts": chart,
    "hands": hand,
    "limbs": limb,
    "skulls": skull,
    "pelves": pelvis,
    "abdomens": abdomen,
    "MR heads": head_scan,
    "CT slices of the chest": chest_slice,
}
NEVER_SEEN: dict[str, Draw] = {
    "screenshots": screenshot,
    "necks from the side": neck,
    "feet from the side": foot,
    "jaws in one sweep": jaws,
    "breasts": breast,
    "CT slices of the belly": belly_slice,
    "ultrasound fans": ultrasound,
}


def drawn(draw: Draw, count: int, seed: int) -> Iterator[Plane]:
    """`count` pictures of one family; other seeds give other pictures."""
    for number in range(count):
        yield draw(np.random.default_rng((seed, number)))


# Real pictures ------------------------------------------------------------------------------------------------------

PHOTOGRAPHS_KNOWN = (
    *(
        f"skimage/data/{name}"
        for name in ("astronaut.png", "brick.png", "camera.png", "cell.png", "coffee.png", "color.png")
    ),
    *(
        f"skimage/data/{name}"
        for name in ("clock_motion.png", "ihc.png", "motorcycle_left.png", "page.png", "moon.png")
    ),
    "sklearn/datasets/images/china.jpg",
)
PHOTOGRAPHS_NEVER_SEEN = (
    *(
        f"skimage/data/{name}"
        for name in ("chelsea.png", "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg")
    ),
    *(f"skimage/data/{name}" for name in ("horse.png", "logo.png", "retina.jpg", "rocket.jpg", "text.png")),
    "sklearn/datasets/images/flower.jpg",
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
)
SCANS = (
    *("693_J2KI", "CT_small", "J2K_pixelrep_mismatch", "JPEG2000", "examples_overlay", "MR_small"),
    *("examples_rgb_color", "examples_palette", "examples_jpeg2k"),
)


def packaged(name: str) -> Path:
    """A file of an installed library, named by the library and the path inside it."""
    library, _, inside = name.partition("/")
    found = importlib.util.find_spec(library)
    path = Path(str(found and found.origin)).parent / inside
    if found is None or not path.is_file():
        raise SystemExit(
            f"error: {library} is not installed or lacks {inside}\n"
            "hint: pip install scikit-image scikit-learn matplotlib pydicom"
        )
    return path


def crops(x: Plane, count: int, seed: int, least: float = 0.25) -> Iterator[Plane]:
    """The whole picture, then random cuts whose sides are between `least` and all of its own, half of them mirrored."""
    random = np.random.default_rng(seed)
    yield x
    for _ in range(count - 1):
        high, wide = (max(16, round(side * random.uniform(least, 1))) for side in x.shape)
        top, left = random.integers(0, x.shape[0] - high + 1), random.integers(0, x.shape[1] - wide + 1)
        cut = x[top : top + high, left : left + wide]
        yield cut[:, ::-1] if random.random() < 0.5 else cut


def photographs(names: tuple[str, ...], count: int, seed: int) -> Iterator[Plane]:
    """`count` crops of each packaged photograph."""
    for number, name in enumerate(names):
        yield from crops(as_plane(Image.open(packaged(name))), count, seed + number)


def scans(count: int, seed: int) -> Iterator[Plane]:
    """`count` crops (of at least three quarters) of each slice, angiogram or ultrasound that pydicom packages."""
    import pydicom

    for number, name in enumerate(SCANS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(packaged(f"pydicom/data/test_files/{name}.dcm"))
            x = dataset.pixel_array.astype(np.float32)
        x = x.mean(-1) if x.ndim == 3 else x
        low, high = np.percentile(x, (0.5, 99.5))
        yield from crops(scaled(np.clip(x, low, high)), count, seed + number, 0.75)
