"""The edges of a mask as closed lines, for formats that draw instead of painting."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Line = NDArray[np.float64]

_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # right, down, left, up: the mask lies on the right hand


def outlines(mask: Flags, tolerance: float = 0.75) -> list[Line]:
    """The edges of every component (4-neighbourhood) of a mask and of its holes, the longest first.

    Lines run along the corners of pixels, with the mask on their right hand, so that the outside of a component runs
    clockwise. Points are then left out as long as the line moves by no more than `tolerance` (Douglas and Peucker 1973,
    Cartographica 10:112).

    Args:
        mask: ``bool [rows, columns]``.
        tolerance: in pixels; 0 leaves out only what lies on a straight line.

    Returns:
        Lines ``float64 [points, 2]``, across and down in pixels from the top left corner of the first pixel; each ends
        where it starts and has at least 4 points.
    """
    found = [_simplified(line, tolerance) for line in _traced(mask)]
    return sorted(found, key=_length, reverse=True)


def _length(line: Line) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def _traced(mask: Flags) -> list[Line]:
    """Closed lines through the corners where the edge turns."""
    padded = np.pad(mask, 1)
    above, below = padded[:-1, 1:-1], padded[1:, 1:-1]
    before, after = padded[1:-1, :-1], padded[1:-1, 1:]
    leaving: dict[tuple[int, int], list[int]] = {}
    # an edge of a pixel is a step from one corner to the next
    for edges, step, (down, across) in (
        (below & ~above, 0, (0, 0)), (before & ~after, 1, (0, 0)),
        (above & ~below, 2, (0, 1)), (after & ~before, 3, (1, 0)),
    ):  # fmt: skip
        for row, column in np.argwhere(edges).tolist():
            leaving.setdefault((row + down, column + across), []).append(step)
    lines = []
    while leaving:
        start = next(iter(leaving))
        at, step = start, leaving[start][0]
        first, corners = step, list[tuple[int, int]]()
        while True:
            steps = leaving[at]
            # where two pixels touch by a corner alone, turning right keeps to the same one
            turned = next((s for s in ((step + 1) % 4, step, (step + 3) % 4) if s in steps), steps[0])
            if not corners or turned != step:
                corners.append(at)
            steps.remove(turned)
            if not steps:
                del leaving[at]
            step, at = turned, (at[0] + _STEPS[turned][0], at[1] + _STEPS[turned][1])
            if at == start and (at not in leaving or _closes(leaving[at], step, first)):
                break
        if step == first and len(corners) > 1:  # the start lies on a straight edge
            corners = corners[1:]
        lines.append(np.array([*corners, corners[0]], np.float64)[:, ::-1])
    return lines


def _closes(steps: list[int], step: int, first: int) -> bool:
    """Whether a line that is back at its start by `step` goes on as it began, and not along what is left there."""
    wanted = next((s for s in ((step + 1) % 4, step, (step + 3) % 4) if s in steps or s == first), first)
    return wanted == first


def _simplified(line: Line, tolerance: float) -> Line:
    """A closed line without the points that it does not need."""
    if len(line) <= 5:
        return line
    # a closed line is simplified as two open ones, parted at the point furthest from the first
    far = int(np.hypot(*(line - line[0]).T).argmax())
    kept = np.zeros(len(line), bool)
    kept[[0, far, -1]] = True
    open_: list[tuple[int, int]] = [(0, far), (far, len(line) - 1)]
    while open_:
        start, stop = open_.pop()
        if stop - start < 2:
            continue
        away = _distances(line[start + 1 : stop], line[start], line[stop])
        worst = int(away.argmax())
        if away[worst] > tolerance:
            middle = start + 1 + worst
            kept[middle] = True
            open_ += [(start, middle), (middle, stop)]
    simple = line[kept]
    return simple if len(simple) >= 4 else line


def _distances(points: Line, start: Line, stop: Line) -> NDArray[np.float64]:
    """Of points ``[n, 2]`` from a stretch between two."""
    along = stop - start
    length = float(along @ along)
    share = np.clip((points - start) @ along / length, 0, 1) if length else np.zeros(len(points))
    away: NDArray[np.float64] = np.hypot(*(points - start - share[:, None] * along).T)
    return away
