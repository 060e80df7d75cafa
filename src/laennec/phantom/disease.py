"""Opacities: where they lie, how dense they are, and the exact mask that goes with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from laennec.phantom.anatomy import Body, Chest, Pose, dome_height
from laennec.phantom.field import Map, Mask, Plane, Texture, Tubes, smooth_step
from laennec.phantom.vessels import Tree

FINDINGS = ("NORMAL", "CONSOLIDATION", "INTERSTITIAL", "NODULES")

# centre (fraction of the cage's half-width, of the lung's height), radii likewise, fissure: which edge is sharp
_LOBES = {
    "right upper": ((-0.52, 0.28), (0.34, 0.2), ("below", 0.47)),
    "right middle": ((-0.42, 0.74), (0.3, 0.17), ("above", 0.56)),
    "right lower": ((-0.58, 0.86), (0.34, 0.26), None),
    "left upper": ((0.5, 0.3), (0.3, 0.24), None),
    "lingula": ((0.58, 0.68), (0.26, 0.2), None),
    "left lower": ((0.66, 0.9), (0.3, 0.26), None),
}


@dataclass(frozen=True)
class Disease:
    """What a patient has; the same in all the patient's images but for its severity.

    Attributes:
        severity: 0.1 hardly visible, 1 obvious.
    """

    finding: str
    severity: float
    seed: int

    @staticmethod
    def draw(rng: np.random.Generator) -> Disease:
        """A finding at random: 45 % normal, 26 % consolidation, 18 % interstitial, 11 % nodules."""
        finding = str(rng.choice(FINDINGS, p=(0.45, 0.26, 0.18, 0.11)))
        return Disease(finding, float(rng.beta(1.9, 1.2)) * 0.85 + 0.15, int(rng.integers(2**31)))


@dataclass(frozen=True)
class Opacity:
    """Tissue in place of air: `fill` is the part of the air lost, 0 to 1; `extra` is tissue along the ray, cm.

    Attributes:
        mask: the opacity as ground truth, inside the lung fields.
        cuffs: thickening of the airways' walls around the hila, 0 when healthy.
    """

    fill: Map
    extra: Map
    mask: Mask
    cuffs: float = 0.0
    bronchogram: float = 0.0


def draw_opacity(disease: Disease, body: Body, pose: Pose, chest: Chest, plane: Plane) -> Opacity:
    """Lay the disease into the lungs of one exposure."""
    rng = np.random.default_rng(disease.seed)
    blank = np.zeros_like(chest.air)
    if disease.finding == "CONSOLIDATION":
        return _consolidation(disease, body, pose, chest, plane, rng)
    if disease.finding == "INTERSTITIAL":
        return _interstitial(disease, body, pose, chest, plane, rng)
    if disease.finding == "NODULES":
        return _nodules(disease, body, pose, chest, plane, rng)
    return Opacity(blank, blank, np.zeros(blank.shape, bool))


def _frame(body: Body, pose: Pose, plane: Plane) -> tuple[Map, Map]:
    """Coordinates that follow the breath: half-widths across, fractions of the lung's height down."""
    u, v = plane.uv
    height = dome_height(body, pose)[0]
    return u * np.float32(1 / body.w) - np.float32(pose.turn * 0.3), v * np.float32(1 / (body.w * height))


def _consolidation(
    disease: Disease, body: Body, pose: Pose, chest: Chest, plane: Plane, rng: np.random.Generator
) -> Opacity:
    a, b = _frame(body, pose, plane)
    coarse = Texture.make(rng, 4.0, 0.34, side=64)
    fine = Texture.make(rng, 2.0, 0.06)
    names = list(_LOBES)
    count = 1 if rng.random() < 0.72 else 2
    fill = np.zeros_like(a)
    grain = 1 + np.float32(0.16) * fine.at(a, b) + np.float32(0.12) * coarse.at(a * 3, b * 3)
    edge_noise = sum((coarse.at(a * f, b * f) * np.float32(0.13 * f**-0.55) for f in (1.0, 2.3, 5.1)), np.zeros_like(a))
    least = 0.02 * np.count_nonzero(chest.lungs[plane.window])
    for name in rng.permutation(names):
        centre, radii, fissure = _LOBES[str(name)]
        extent = rng.uniform(0.8, 1.25) * (0.75 + 0.4 * disease.severity)
        x = (a - np.float32(centre[0] + rng.normal(0, 0.07))) / np.float32(radii[0] * extent)
        y = (b - np.float32(centre[1] + rng.normal(0, 0.05))) / np.float32(radii[1] * extent)
        inside = np.sqrt(x * x + y * y) + edge_noise
        soft = rng.uniform(0.45, 0.85)
        blob = 1 - smooth_step(inside, 1 - soft, 1 + soft * 0.6)
        if fissure is not None and rng.random() < 0.7:
            where, level = fissure
            line = np.float32(level) + np.float32(0.06 * rng.normal()) * a + np.float32(rng.normal(0, 0.015)) - b
            cut = smooth_step(line if where == "below" else -line, -0.006, 0.012)
            blob = blob * cut
        blob = blob * np.float32(rng.uniform(0.8, 1.1))
        seen = (blob > 0.4) & (chest.lungs > 0)
        if count and np.count_nonzero(seen[plane.window]) >= least:  # not one that hides behind the heart
            fill = np.maximum(fill, blob)
            count -= 1
    density = 0.3 + 0.65 * disease.severity
    shape = fill
    fill = np.clip(shape * grain * np.float32(density), 0, 0.92)
    mask = (shape > 0.4) & (chest.lungs > 0)
    return Opacity(fill, np.zeros_like(a), mask, bronchogram=float(rng.uniform(0.2, 1.0)))


def _interstitial(
    disease: Disease, body: Body, pose: Pose, chest: Chest, plane: Plane, rng: np.random.Generator
) -> Opacity:
    a, b = _frame(body, pose, plane)
    coarse = Texture.make(rng, 4.0, 0.5, side=64)
    central = rng.random() < (0.35 if body.adult else 0.75)
    reach = np.hypot((np.abs(a) - np.float32(0.3)) / np.float32(0.42), (b - np.float32(0.58)) / np.float32(0.36))
    if central:
        envelope = 1 - smooth_step(reach, 0.35, 1.35)
    else:
        envelope = smooth_step(b, 0.15, 0.75) * smooth_step(np.abs(a), 0.2, 0.6)
    envelope = np.clip(envelope * (1 + np.float32(0.35) * coarse.at(a, b)), 0, 1.2)
    # a network of lines: where random relief crosses zero
    w = body.w / 14
    u, v = plane.uv
    net = np.zeros_like(a)
    for scale, part in ((0.55, 0.6), (0.9, 0.4)):
        relief = Texture.make(rng, 24.0 * w, scale * w, low=scale * 2.2 * w, side=256)
        net += np.float32(part) * np.exp(-((relief.at(u, v) / np.float32(0.32)) ** 2))
    mottle = Texture.make(rng, 24.0 * w, 0.9 * w, side=128).at(u, v)
    s = disease.severity
    lines = envelope * (net - np.float32(0.22)) * np.float32((0.8 + 2.0 * s) * w)
    haze = np.clip(envelope * np.float32(0.08 + 0.28 * s) * (1 + np.float32(0.3) * mottle), 0, 0.8)
    mask = (envelope > 0.42) & (chest.lungs > 0)
    return Opacity(haze, lines, mask, cuffs=(0.5 + s) * (1.2 if central else 0.6))


def _nodules(disease: Disease, body: Body, pose: Pose, chest: Chest, plane: Plane, rng: np.random.Generator) -> Opacity:
    u, v = plane.uv
    w = body.w
    height = dome_height(body, pose)[0]
    count = int(rng.integers(1, 5))
    extra = np.zeros_like(u)
    mask = np.zeros(u.shape, bool)
    wobble = Texture.make(rng, 12.0, 0.7, side=64)
    placed: list[tuple[float, float, float]] = []
    for _ in range(60):
        if len(placed) == count:
            break
        sign = rng.choice([-1.0, 1.0])
        x, y = float(sign * rng.uniform(0.28, 0.9)), float(rng.uniform(0.2, 0.92))
        r = float((0.045 + 0.055 * disease.severity) * rng.uniform(0.75, 1.35))
        if any(np.hypot(x - p, (y - q) * 1.5) < r + s + 0.05 for p, q, s in placed):
            continue
        column, row = plane.pixels(*(np.array([c], np.float32) for c in (x * w, y * height * w)))
        i, j = int(row[0]), int(column[0])
        frame = plane.window[0]
        if not (frame.start + 4 <= min(i, j) and max(i, j) < frame.stop - 4) or not chest.lungs[i, j]:
            continue
        placed.append((x, y, r))
        radius = r * w
        du, dv = u - np.float32(x * w), v - np.float32(y * height * w)
        ripple = 1 + np.float32(0.1) * wobble.at(u, v)
        d2 = (du * du + dv * dv) * np.float32(1 / radius**2) * ripple
        ball = np.sqrt(np.maximum(1 - d2, 0)) * np.float32(2 * radius)
        extra += ball * np.float32(1.5 + 0.9 * disease.severity)
        mask |= (d2 < 0.95) & (chest.lungs > 0)
    if not mask.any():  # no room in this pose: a single one beside the right hilum
        x, y, radius = -0.45 * w, 0.5 * height * w, 0.06 * w
        d2 = ((u - np.float32(x)) ** 2 + (v - np.float32(y)) ** 2) * np.float32(1 / radius**2)
        extra = np.sqrt(np.maximum(1 - d2, 0)) * np.float32(2 * radius)
        mask = (d2 < 0.95) & (chest.lungs > 0)
    return Opacity(np.zeros_like(u), extra, mask)


def cuffs(tree: Tree, body: Body, amount: float, spacing: float) -> Tubes:
    """Thick walls of the airways near the hila, to be swept hollow."""
    near = tree.age < 0.55
    part = Tree(tree.start[near], tree.end[near], tree.radius[near], tree.age[near])
    return part.tubes(body.w, spacing, widen=1.9, weight=0.35 * amount)
