"""Pictures laid onto others: shifted, turned, scaled and sheared until they lie on each other as well as they can.

Inverse compositional alignment: what a small move does to the still picture is worked out once, the moving picture is
sampled anew at every step. Baker & Matthews, IJCV 2004, doi:10.1023/B:VISI.0000011205.11775.fd.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_TINY = 1e-6


def laid(still: Floats, moving: Floats, maps: Floats, steps: int) -> tuple[Floats, Floats]:
    """`moving` ``[n, side, side]`` laid onto `still`: the maps bettered, and the correlation where both are seen.

    Args:
        still, moving: ``float32 [n, side, side]``; brightness and contrast do not count.
        maps: ``float32 [n, 2, 3]`` to start from; each takes (across, down, 1), from -1 to 1, to where to look in
            `moving`. The unmoved is ``np.eye(2, 3)``.
        steps: Gauss-Newton steps, 0 to measure alone; from a start within a quarter of the wavelength of the coarsest
            structure, 3 lead back.
    """
    n, side = len(still), still.shape[-1]
    lin = ((np.arange(side, dtype=np.float32) + 0.5) * 2 / side - 1).astype(np.float32)
    across, down = (plane.ravel() for plane in np.meshgrid(lin, lin))
    here = np.stack([across, down, np.ones_like(across)])
    if steps:
        goal = _standard(still.reshape(n, -1), None)
        slopes = np.gradient(goal.reshape(n, side, side), np.float32(2 / side), axis=(2, 1))
        steepest = np.stack([slope.reshape(n, -1) * over for slope in slopes for over in here], axis=1)
        inverse = np.linalg.inv(steepest @ steepest.transpose(0, 2, 1) + np.eye(6, dtype=np.float32) * 1e-3)
    for _ in range(steps):
        seen, inside = _sampled(moving, maps @ here)
        error = (_standard(seen, inside) - goal) * inside
        change = (inverse @ (steepest @ error[..., None]))[..., 0].reshape(n, 2, 3)
        whole = np.zeros((n, 3, 3), np.float32)
        whole[:, :2], whole[:, 2, 2] = change + np.eye(2, 3, dtype=np.float32), 1
        maps = maps @ np.linalg.inv(whole)
    seen, inside = _sampled(moving, maps @ here)
    a, b = _standard(still.reshape(n, -1), inside) * inside, _standard(seen, inside) * inside
    value: Floats = (a * b).sum(1) / np.maximum(inside.sum(1), 1)
    return maps, value


def _standard(values: Floats, inside: NDArray[np.float32] | None) -> Floats:
    """Rows ``[n, pixels]`` of mean 0 and deviation 1 over what is inside."""
    if inside is None:
        inside = np.ones((len(values), 1), np.float32)
        inside = np.broadcast_to(inside, values.shape)
    count = np.maximum(inside.sum(1, keepdims=True), 1)
    centred = values - (values * inside).sum(1, keepdims=True) / count
    found: Floats = centred / np.maximum(np.sqrt((centred**2 * inside).sum(1, keepdims=True) / count), _TINY)
    return found


def _sampled(pictures: Floats, where: Floats) -> tuple[Floats, Floats]:
    """Pictures ``[n, side, side]`` between their pixels at ``[n, 2, pixels]``, and 1 where that is inside."""
    n, side = len(pictures), pictures.shape[-1]
    at = (where + 1) * np.float32(side / 2) - np.float32(0.5)
    inside = ((at > -0.5) & (at < side - 0.5)).all(1).astype(np.float32)
    at = np.clip(at, 0, np.float32(side - 1.001))
    low = at.astype(np.int32)
    part = at - low
    corner = low[:, 1] * side + low[:, 0] + (np.arange(n, dtype=np.int32) * (side * side))[:, None]
    flat = pictures.ravel()
    top = flat[corner] + part[:, 0] * (flat[corner + 1] - flat[corner])
    corner += side
    bottom = flat[corner] + part[:, 0] * (flat[corner + 1] - flat[corner])
    return top + part[:, 1] * (bottom - top), inside
