"""Branching trees that grow from the hila: vessels that taper to the edge of the lung, airways with their walls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laennec.phantom.anatomy import Body, Pose, dome_height
from laennec.phantom.field import Tubes, polyline

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tree:
    """Short straight pieces: ends [k, 2] in w, radius [k] in w, and how far along the tree [k], 0 to 1."""

    start: Floats
    end: Floats
    radius: Floats
    age: Floats

    def tubes(self, w: float, spacing: float, *, widen: float = 1.0, weight: float = 1.0) -> Tubes:
        """The pieces as tubes in cm."""
        length = np.hypot(*(self.end - self.start).T) * w
        count = max(1, int(np.ceil(np.quantile(length, 0.95) / spacing)))
        t = (np.arange(count) + 0.5) / count
        points = self.start[:, None, :] + (self.end - self.start)[:, None, :] * t[None, :, None]
        u, v = (points * w).reshape(-1, 2).T.astype(np.float32)
        radius = np.repeat(self.radius * (w * widen), count).astype(np.float32)
        return Tubes(u, v, radius, np.repeat(length * weight / count, count).astype(np.float32))


def grow(body: Body, *, airways: bool = False) -> Tree:
    """The trees of both lungs at full breath, the same in every image of the patient; positions in w."""
    rng = np.random.default_rng([body.seed, int(airways)])
    height = body.height
    count = 11 if airways else 20
    # most trunks go down and out, as the lower lobes are the largest
    angle = np.tile(np.linspace(-1.25, 1.45, count), 2) + rng.normal(0, 0.14, 2 * count)
    sign = np.repeat([-1.0, 1.0], count)
    heading = angle.copy()
    x = 0.2 * sign + rng.normal(0, 0.03, 2 * count)
    y = height * np.where(sign < 0, 0.46, 0.42) + 0.16 * np.sin(angle) + rng.normal(0, 0.03, 2 * count)
    radius = np.where(np.abs(angle - 0.9) < 0.5, 0.031, 0.022) * rng.uniform(0.7, 1.25, 2 * count)
    radius *= 0.8 if airways else body.vessels
    limit = height * np.where(angle < 0, 0.5 + 0.1 * angle, 0.62) * rng.uniform(0.9, 1.2, 2 * count)
    state = np.stack([x, y, heading, sign, radius, limit, np.zeros(2 * count)])
    pieces = []
    for _ in range(32):
        many = state.shape[1]
        if not many:
            break
        state[2] += rng.normal(0, 0.2, many)
        step = 0.036 * rng.uniform(0.8, 1.2, many)
        before = state[:2].copy()
        state[0] += np.cos(state[2]) * state[3] * step
        state[1] += np.sin(state[2]) * step
        state[6] += 0.036
        age = state[6] / state[5]
        thin = state[4] * (0.22 + 0.78 * np.clip(1 - age, 0, 1) ** 0.9)
        pieces.append(np.concatenate([before, state[:2], thin[None], age[None]]))
        across = state[0] * state[3]
        alive = (age < 1) & (across < 1.02) & (across > 0.06)
        split = alive & (rng.random(many) < (0.12 if airways else 0.21))
        twig = state[:, split].copy()
        twig[2] += rng.uniform(0.35, 0.85, twig.shape[1]) * rng.choice([-1, 1], twig.shape[1])
        twig[4] *= 0.72
        twig[5] *= rng.uniform(0.75, 1.05, twig.shape[1])
        state[4] *= np.where(split, 0.9, 0.985)
        state = np.concatenate([state[:, alive], twig], axis=1)
    every = np.concatenate(pieces, axis=1)
    return Tree(every[:2].T, every[2:4].T, every[4], every[5])


def moved(tree: Tree, body: Body, pose: Pose) -> Tree:
    """The tree as this breath and turn carry it."""
    factor = np.array([1.0, dome_height(body, pose)[0] / body.height])
    shift = np.array([pose.turn * 0.3, 0.0])
    return Tree(tree.start * factor + shift, tree.end * factor + shift, tree.radius, tree.age)


def windpipe(body: Body, pose: Pose, spacing: float) -> Tubes:
    """Trachea and main bronchi, as air."""
    w = body.w
    fork = 0.56 if body.adult else 0.5
    shift = pose.turn * 0.4
    lean = -0.03 if body.adult else -0.045
    r = 0.058 if body.adult else 0.06
    t = np.linspace(0, 1, 12)
    main = polyline((shift + lean * t**2) * w, (-0.75 + (fork + 0.75) * t) * w, r * w, spacing)
    right = polyline((shift + lean - 0.2 * t) * w, (fork + 0.24 * t) * w, (r * 0.75 - 0.012 * t) * w, spacing)
    left = polyline((shift + lean + 0.3 * t) * w, (fork + 0.2 * t) * w, (r * 0.68 - 0.012 * t) * w, spacing)
    return Tubes.join([main, right, left])
