"""Connected parts of a mask and the tight box around each."""

from __future__ import annotations

import numpy as np

from laennec.phantom.field import Mask
from laennec.samples import Box


def mark(mask: Mask, least: int, label: str) -> tuple[Mask, tuple[Box, ...]]:
    """Drop parts of `mask` under `least` pixels and box the others, largest first.

    Parts touch by an edge or a corner. If all parts are small the largest stays.

    Returns:
        the cleaned mask, [h, w], and one box per part, in pixels.
    """
    runs = _runs(mask)
    if not runs:
        return mask, ()
    parent = list(range(len(runs)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first = 0
    for i, (row, start, stop) in enumerate(runs):
        while runs[first][0] < row - 1:
            first += 1
        j = first
        while runs[j][0] < row:
            if runs[j][1] <= stop and start <= runs[j][2]:
                parent[root(i)] = root(j)
            j += 1
    parts: dict[int, list[tuple[int, int, int]]] = {}
    for i, run in enumerate(runs):
        parts.setdefault(root(i), []).append(run)
    ranked = sorted(parts.values(), key=lambda part: -sum(stop - start for _, start, stop in part))
    clean = np.zeros_like(mask)
    boxes = []
    for place, part in enumerate(ranked):
        if place and sum(stop - start for _, start, stop in part) < least:
            break
        for row, start, stop in part:
            clean[row, start:stop] = True
        left, top = min(run[1] for run in part), part[0][0]
        right, bottom = max(run[2] for run in part), part[-1][0] + 1
        boxes.append(Box(float(left), float(top), float(right - left), float(bottom - top), label))
    return clean, tuple(boxes)


def _runs(mask: Mask) -> list[tuple[int, int, int]]:
    """(row, start, stop) of each horizontal run, in reading order."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded, axis=1)
    rows, starts = np.nonzero(change == 1)
    _, stops = np.nonzero(change == -1)
    return list(zip(rows.tolist(), starts.tolist(), stops.tolist(), strict=True))
