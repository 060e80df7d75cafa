"""How good heat maps are: how much of them lies where it should, and whether the hottest point does.

Every figure stands beside what heat spread evenly would have: a map that covers everything lies in the lungs by as much
as the lungs cover the picture. Means over images, with intervals that resample patients.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from laennec import images, masks
from laennec.estimates import Estimate
from laennec.intervals import patient_bootstrap
from laennec.preprocess import Preprocess
from laennec.samples import Box

Heat = NDArray[np.float32]
Flags = NDArray[np.bool_]


class Quality(NamedTuple):
    """Heat maps against regions, over the images that have both.

    Attributes:
        inside: mean share of the heat that lies inside the region.
        expected: mean share of the picture that the region covers: what heat spread evenly would have inside.
        lift: `inside` over `expected`; 1 is no better than even.
        pointing: share of images whose hottest pixel lies inside the region: the pointing game (Zhang et al. 2016,
            arXiv:1608.00507), without its tolerance of 15 pixels. A random pixel would reach `expected`.
    """

    inside: Estimate
    expected: Estimate
    lift: Estimate
    pointing: Estimate

    def figures(self, where: str) -> dict[str, Estimate]:
        """The figures by name: ``inside_<where>`` and so on."""
        return {f"{name}_{where}": estimate for name, estimate in self._asdict().items()}


def shares(heat: Heat, regions: Flags) -> NDArray[np.float64]:
    """Share of each picture's heat ``[n, rows, columns]`` inside its region, ``[n]`` in [0, 1]; NaN without heat."""
    total = heat.sum((1, 2), dtype=np.float64)
    within = np.where(regions, heat, 0).sum((1, 2), dtype=np.float64)
    share: NDArray[np.float64] = np.full(len(heat), np.nan)
    np.divide(within, total, out=share, where=total > 0)
    return share


def pointed(heat: Heat, regions: Flags) -> NDArray[np.float64]:
    """Whether each picture's hottest pixel, of equal ones the first, lies in its region: 1 or 0; NaN without heat."""
    if not heat.size:
        return np.full(len(heat), np.nan)
    flat = heat.reshape(len(heat), -1)
    rows, hottest = np.arange(len(heat)), flat.argmax(1)
    hit = regions.reshape(len(heat), -1)[rows, hottest].astype(np.float64)
    return np.where(flat[rows, hottest] > 0, hit, np.nan)


def quality(heat: Heat, regions: Flags, patients: Sequence[Hashable], seed: int = 0) -> Quality:
    """Heat maps against regions; images without heat, or without a region, do not count.

    Args:
        heat: ``float32 [n, rows, columns]``, 0 and above.
        regions: ``bool [n, rows, columns]``.
        patients: of each image.
        seed: of the resampling.

    Raises:
        ValueError: the shapes differ.
    """
    if heat.shape != regions.shape or heat.ndim != 3 or len(patients) != len(heat):
        raise ValueError(f"expected heat, regions [n, rows, columns] and n patients, got {heat.shape}, {regions.shape}")
    area = regions.mean((1, 2), dtype=np.float64) if len(regions) else np.zeros(0)
    share, hit = shares(heat, regions), pointed(heat, regions)
    kept = (area > 0) & ~np.isnan(share)
    owners = [patient for patient, keep in zip(patients, kept, strict=True) if keep]
    share, hit, area = share[kept], hit[kept], area[kept]

    def mean(values: NDArray[np.float64]) -> Estimate:
        return _estimate(lambda weights, one: (weights @ one) / weights.sum(1), (values,), owners, seed)

    lift = _estimate(lambda weights, one, other: (weights @ one) / (weights @ other), (share, area), owners, seed)
    return Quality(mean(share), mean(area), lift, mean(hit))


def _estimate(
    statistic: Any, columns: tuple[NDArray[np.float64], ...], owners: Sequence[Hashable], seed: int
) -> Estimate:
    n = len(owners)
    if not n:
        return Estimate(value=None, n=0, method="patient_bootstrap")
    value = float(statistic(np.ones((1, n)), *columns)[0])
    low, high = patient_bootstrap(statistic, *columns, patients=owners, seed=seed)
    return Estimate(value=value, low=low, high=high, n=n, method="patient_bootstrap")


def boxed(boxes: Sequence[Box], done: Mapping[str, Any], preprocess: Preprocess) -> Flags:
    """Where boxes, in pixels of the original picture, lie on the model's grid: ``bool [size, size]``.

    Args:
        boxes: may overlap, and reach over the picture's edge.
        done: what `laennec.images.load` did to the picture: its size as decoded, its frame.
        preprocess: the model's.
    """
    rows, columns, scale = int(done["height"]), int(done["width"]), int(done.get("scale", 1))
    plane = np.zeros((rows, columns), np.float32)
    for box in boxes:
        top, bottom = (round(edge / scale) for edge in (box.y, box.y + box.height))
        left, right = (round(edge / scale) for edge in (box.x, box.x + box.width))
        plane[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = 1
    near_x, near_y, far_x, far_y = frame_of(done)
    shown = plane[near_y:far_y, near_x:far_x]
    return images.to_input(shown, Preprocess(size=preprocess.size, resize=preprocess.resize)) >= masks.TRUE


def frame_of(done: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what the model saw of a picture, in pixels of it as decoded."""
    whole = (0, 0, int(done["width"]), int(done["height"]))
    if "frame_left" not in done:
        return whole
    left, top, right, bottom = (int(done[f"frame_{side}"]) for side in ("left", "top", "right", "bottom"))
    return left, top, right, bottom


def onto(heat: Heat, done: Mapping[str, Any], preprocess: Preprocess, shape: tuple[int, int]) -> Heat:
    """Heat ``float32 [size, size]`` in [0, 1] on the picture it explains: ``float32 [rows, columns]``.

    The inverse of framing and resizing, in steps of 1/255; 0 where the model saw nothing.

    Args:
        done: as of `boxed`.
        shape: rows and columns of the picture to answer on, of the aspect of the one that was decoded.
    """
    left, top, right, bottom = frame_of(done)
    across, down = shape[1] / int(done["width"]), shape[0] / int(done["height"])
    near_x, far_x = round(left * across), max(round(left * across) + 1, round(right * across))
    near_y, far_y = round(top * down), max(round(top * down) + 1, round(bottom * down))
    levels = np.rint(np.clip(heat, 0, 1) * np.float32(255)).astype(np.uint8)
    part = masks.placed(levels, (bottom - top, right - left), preprocess.resize, (far_y - near_y, far_x - near_x))
    whole = np.zeros(shape, np.float32)
    within = whole[near_y:far_y, near_x:far_x]
    within[:] = part[: within.shape[0], : within.shape[1]] / np.float32(255)
    return whole
