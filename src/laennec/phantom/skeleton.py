"""Bones: ribs that run round the cage and descend, the spine, clavicles, shoulder blades, arms, jaw."""

from __future__ import annotations

import numpy as np

from laennec.phantom.anatomy import Body, Pose
from laennec.phantom.field import Map, Plane, Tubes, chord, polyline, smooth_step


def bones(body: Body, pose: Pose, plane: Plane) -> Map:
    """Bone along each ray, in cm of cortical bone, [side, side]."""
    rng = np.random.default_rng(body.seed)
    spacing = max(plane.pitch * 0.6, 0.03)
    ribs = plane.sweep(_ribs(body, pose, rng, spacing), marrow=0.84, core=0.72)
    others = [*_clavicles(body, pose, rng, spacing), *_limbs(body, pose, rng, spacing)]
    frame = plane.sweep(Tubes.join(others), marrow=0.82, core=0.76, step=1.35)
    plates = plane.sweep(Tubes.join(_plates(body, pose)))
    total = np.maximum(ribs + frame + plates + _spine(body, pose, plane), 0) * np.float32(body.bone)
    return np.asarray(total, np.float32)


def _ribs(body: Body, pose: Pose, rng: np.random.Generator, spacing: float) -> Tubes:
    w = body.w
    gap = (body.height + 0.1) / 9.7
    thick = (0.048 if body.adult else 0.039) * rng.uniform(0.92, 1.12)
    angle = rng.uniform(0.85, 1.15)
    parts = []
    for number in range(1, 13):
        start = -0.08 + (number - 1) * gap
        drop = gap * min(1.7 + 0.5 * number, 4.3) * angle
        stop = np.pi * (0.80 if number < 7 else 0.80 - 0.075 * (number - 6))
        stop -= 0.0 if body.adult else 0.05 * np.pi
        width = float(body.lateral(np.asarray(start + drop * 0.48))) + 0.03
        if number == 1:
            start, width, stop, drop = -0.04, 0.53, np.pi * 0.8, gap * 3.0
        elif number == 2:
            width = max(width, 0.66)
        dim = min(1.0, 0.42 + 0.14 * number, 0.55 + 0.09 * (13 - number)) * (0.85 if body.adult else 1.0)
        for sign in (-1.0, 1.0):
            jitter = rng.normal(0, 0.012, 3)
            phi = np.linspace(0.06, stop, 60)
            across = np.sin(phi) ** 0.92
            x = 0.1 * (1 - np.sin(np.minimum(phi, np.pi / 2))) + width * across * (1 + jitter[0])
            fall = 0.62 * (1 - np.cos(phi)) / 2 + 0.38 * (phi / np.pi) ** 1.2
            v = (
                start
                + drop * fall * (1 + jitter[1])
                - (0.05 + 0.04 * min(number, 5)) * gap * np.sin(2 * phi) * (phi < np.pi / 2)
            )
            v = v + pose.lordosis * 0.5 * -np.cos(phi) + jitter[2] * 0.5
            z = -np.cos(phi) * body.depth
            u = sign * x + pose.turn * z / body.depth
            radius = thick * (1 + 0.12 * np.cos(phi)) * (1.15 if number <= 2 else 1.0)
            radius = radius * (1 - 0.35 * np.exp(-(((phi - np.pi / 2) / 0.35) ** 2)))
            end = np.clip((stop - phi) / 0.12, 0, 1) ** 0.5
            # flat in the wall: less deep than tall, and thinner cortex in front
            weight = (0.66 - 0.22 * (phi / np.pi)) * end * dim
            parts.append(polyline(u * w, v * w, radius * w, spacing, z=z * w * 0.8, weight=weight))
    return Tubes.join(parts)


def _clavicles(body: Body, pose: Pose, rng: np.random.Generator, spacing: float) -> list[Tubes]:
    w, parts = body.w, []
    rise = rng.uniform(-0.03, 0.1) if body.adult else rng.uniform(-0.05, 0.12)
    base = (0.27 if body.adult else 0.13) - pose.lordosis * 1.6
    for sign in (-1.0, 1.0):
        t = np.linspace(0, 1, 40)
        reach = 1.12 if body.adult else 0.8
        x = 0.1 + reach * t + pose.turn * sign * 1.0
        s_curve = 0.045 * np.sin(2 * np.pi * t * 0.95 + 0.2)
        slope = (0.3 if body.adult else 0.12) + rise + (0.14 * pose.arms if not body.adult else 0)
        v = base + (rng.normal(0, 0.015)) - slope * t**1.1 + s_curve
        r = 0.046 - 0.017 * np.sin(np.pi * t) + 0.012 * (1 - t) ** 4
        r = r * (1.0 if body.adult else 0.85)
        parts.append(polyline(sign * x * w, v * w, r * w, spacing, weight=1.15 if body.adult else 0.95))
    return parts


def _limbs(body: Body, pose: Pose, rng: np.random.Generator, spacing: float) -> list[Tubes]:
    w, parts = body.w, []
    lift = pose.lordosis * 0.6
    for sign in (-1.0, 1.0):
        if body.adult:
            head, elbow = (1.4 + 0.06 * pose.arms, 0.1 - lift), (1.5 + 0.25 * pose.arms + body.fat, 2.4)
        else:
            head, elbow = (0.93, -0.12 - lift), (1.02 + 0.35 * pose.arms, -1.4)
        x, v = np.linspace(head[0], elbow[0], 24), np.linspace(head[1], elbow[1], 24)
        t = np.linspace(0, 1, 24)
        r = 0.075 + 0.07 * np.exp(-((t / 0.12) ** 2)) if body.adult else 0.062 + 0.04 * np.exp(-((t / 0.14) ** 2))
        parts.append(polyline(sign * x * w, v * w, r * w, spacing, weight=0.75))
        for (a, b), size in _blade(body, pose, sign):
            parts.append(
                polyline(
                    np.array([a[0], (a[0] + b[0]) / 2 + size[1], b[0]]) * w,
                    np.array([a[1], (a[1] + b[1]) / 2, b[1]]) * w,
                    size[0] * w,
                    spacing,
                    weight=0.8,
                )
            )
    if not body.adult:
        t = np.linspace(-1, 1, 40)
        jaw = -0.52 - lift * 1.6 - 0.34 * np.abs(t) ** 2.4
        tilt = 0.12 * (pose.arms - 0.5)
        parts.append(polyline((tilt + 0.42 * t) * w, jaw * w, 0.055 * w, spacing, weight=1.1))
        for k in range(9):
            tooth = (k - 4) * 0.075
            parts.append(
                polyline(
                    np.array([tooth, tooth * 0.95]) * w + tilt * w,
                    (np.array([-0.72, -0.62]) - lift * 1.6 - abs(tooth) * 0.3) * w,
                    0.03 * w,
                    spacing,
                    weight=1.6,
                )
            )
    return parts


def _blade(
    body: Body, pose: Pose, sign: float
) -> list[tuple[tuple[tuple[float, float], tuple[float, float]], tuple[float, float]]]:
    a = pose.arms
    if body.adult:
        out = 0.16 * a - (0.14 if pose.view == "AP" else 0.0)
        glenoid, tip, top = (1.22, 0.18), (1.0 + out, 1.0), (0.86 + out * 0.8, 0.12)
        acromion = (1.34, -0.06)
    else:
        glenoid, tip, top = (0.9, 0.08), (0.98 + 0.12 * a, 0.72), (0.74 + 0.12 * a, 0.1)
        acromion = (0.92, -0.1)

    def at(p: tuple[float, float]) -> tuple[float, float]:
        return sign * p[0], p[1] - pose.lordosis * 0.4

    return [
        ((at(glenoid), at(tip)), (0.026, sign * -0.03)),
        ((at(top), at(tip)), (0.012, sign * -0.02)),
        ((at(top), at(acromion)), (0.024, 0.0)),
        ((at(glenoid), at(acromion)), (0.03, sign * 0.03)),
        ((at(top), at(glenoid)), (0.014, 0.0)),
    ]


def _plates(body: Body, pose: Pose) -> list[Tubes]:
    parts = []
    for sign in (-1.0, 1.0):
        border, medial = (edge for edge, _ in _blade(body, pose, sign)[:2])
        glenoid, tip = border
        top = medial[0]
        along, over = (a.ravel() for a in np.meshgrid(np.linspace(0.02, 0.98, 28), np.linspace(0.02, 0.98, 18)))
        corners = np.array([glenoid, tip, top]) * body.w
        weights = np.stack([(1 - along) * (1 - over), along, (1 - along) * over], axis=1)
        u, v = (weights @ corners).T.astype(np.float32)
        size = np.full(u.shape, 0.07 * body.w, np.float32)
        parts.append(Tubes(u, v, size, (0.0003 * body.w * (1 - along)).astype(np.float32)))
    return parts


def _spine(body: Body, pose: Pose, plane: Plane) -> Map:
    """Vertebral bodies with end plates, pedicles, spinous and transverse processes."""
    w = body.w
    u, v = (a * np.float32(1 / w) for a in plane.uv)
    gap = (body.height + 0.1) / 9.7
    half = (0.115 if body.adult else 0.125) * (0.86 + 0.07 * np.clip(v + 0.3, 0, 2.2))
    x = u + np.float32(pose.turn * 0.9) - np.float32(body.scoliosis) * np.sin(v * np.float32(2.2))
    total = np.zeros_like(u)
    strip = np.nonzero(np.abs(x).min(axis=0) < 0.34)[0]
    if strip.size == 0:
        return total
    cut = np.s_[:, strip[0] : strip[-1] + 1]
    x, v, half = x[cut], v[cut], half[cut]
    level = (v + np.float32(0.1)) * np.float32(1 / gap) + np.float32(0.5)
    f = level - np.floor(level) - np.float32(0.5)
    up = np.abs(f) * 2
    side = np.abs(x) / half
    waist = side * (1 + 0.1 * (1 - up**2))
    inside = 1 - smooth_step(waist, 0.88, 1.1)
    shell = smooth_step(waist, 0.74, 0.93) * inside
    disc = 1 - np.float32(0.6) * smooth_step(up, 0.78, 0.97)
    plate = np.exp(-(((up - 0.8) / 0.09) ** 2))
    round_ = np.sqrt(np.clip(1.1 - side**2, 0, 1))
    vertebra = (0.62 * disc * round_ + 0.12 * plate) * inside + 0.14 * shell * disc
    pedicle = np.hypot((np.abs(x) / half - 0.6) / 0.22, (f + 0.1) / 0.17)
    ring = (0.16 if body.adult else 0.3) * np.exp(-(((pedicle - 0.85) / 0.3) ** 2))
    twist = x - np.float32(pose.turn * 0.5)
    spinous = 0.36 * np.exp(-((twist / (half * 0.17)) ** 2) - ((f - 0.28) / 0.2) ** 2)
    lamina = 0.16 * np.exp(-((side / 0.75) ** 4) - ((f - 0.12) / 0.25) ** 2)
    process = (
        0.28 * np.exp(-(((f + 0.12) / 0.12) ** 2)) * smooth_step(side, 0.8, 1.0) * (1 - smooth_step(side, 1.7, 2.0))
    )
    scale = np.float32((0.72 if body.adult else 0.85) * (w / 14) ** 0.75)
    total[cut] = (vertebra + ring + spinous + lamina + process) * scale
    return total


def sternum(body: Body, pose: Pose, plane: Plane) -> Map:
    """The breastbone, a faint plate before the spine, cm of bone."""
    w = body.w
    u, v = plane.uv
    shift = pose.turn * 1.1 * w
    return chord(u, v, (shift, 0.55 * w), (0.1 * w, 0.5 * w, 0.1))
