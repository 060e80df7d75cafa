"""How far an image lies from those a model learned from, in the model's own features.

Mahalanobis distance to the nearest class mean with one covariance for all classes (Lee et al. 2018, arXiv:1807.03888),
in the leading principal components of the whitened features: with fewer images than features the covariance has no
inverse, and the last components are noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laennec import arrayfile
from laennec.errors import UsageError

Floats = NDArray[np.float64]

MOST = 2000
"""Training images the distance is fitted on at most."""
LEVEL = 0.99
"""Share of the validation images below the threshold."""

_VARIANCE = 0.995  # of the features' spread that the kept components hold
_PER_DIMENSION = 4  # images each of them rests on at least


class Distance:
    """A fitted distance.

    Attributes:
        table: ``float32 [d + 1 + classes, kept]``: the projection, the offset, the class means: what the file holds.
        kept: dimensions of the whitened space.
    """

    def __init__(self, table: NDArray[np.float32], classes: int) -> None:
        if table.ndim != 2 or len(table) < classes + 2 or classes < 1 or not np.isfinite(table).all():
            raise ValueError("no table of a distance")
        self.table, self.kept = table, table.shape[1]
        whole = table.astype(np.float64)
        cut = len(table) - classes
        self._project, self._offset, self._means = whole[: cut - 1], whole[cut - 1], whole[cut:]

    def __call__(self, features: ArrayLike) -> Floats:
        """Distances ``[n]``, 0 or more, in standard deviations within a class. Raises `ValueError` for other widths."""
        values = np.asarray(features, np.float64)
        if values.ndim != 2 or values.shape[1] != len(self._project):
            raise ValueError(f"features must have shape [n, {len(self._project)}], not {list(values.shape)}")
        white = values @ self._project + self._offset
        squares = ((white[:, None] - self._means[None]) ** 2).sum(axis=2)
        nearest: Floats = np.sqrt(squares.min(axis=1))
        return nearest

    def written(self) -> bytes:
        """The bytes of its file."""
        return arrayfile.written(self.table)


def read(data: bytes, classes: int) -> Distance:
    """The distance in a file. Raises `ValueError` where it holds none for so many classes."""
    return Distance(arrayfile.read(data), classes)


def fit(features: ArrayLike, classes: ArrayLike) -> Distance:
    """The distance of features ``[n, d]`` of training images of known classes ``[n]``, numbered from 0.

    Raises:
        UsageError: no class has two images, or the features do not vary within a class.
    """
    values, own = np.asarray(features, np.float64), np.asarray(classes)
    kinds = np.unique(own)
    means = np.stack([values[own == kind].mean(axis=0) for kind in kinds])
    within = values - means[np.searchsorted(kinds, own)]
    freedom = len(values) - len(kinds)
    if freedom < 2:
        raise UsageError("what is unlike needs training images, two of a class at least", "use a larger training part")
    _, spreads, axes = np.linalg.svd(within, full_matrices=False)
    variances = spreads**2 / freedom
    if not variances[0] > 0:
        raise UsageError("the features do not vary: every image looks alike to the model", "train the model longer")
    enough = int(np.searchsorted(np.cumsum(variances) / variances.sum(), _VARIANCE)) + 1
    kept = max(1, min(enough, int((variances > variances[0] * 1e-9).sum()), freedom // _PER_DIMENSION))
    project = axes[:kept].T / np.sqrt(variances[:kept])
    offset = -values.mean(axis=0) @ project
    return Distance(np.vstack([project, offset, means @ project + offset]).astype(np.float32), len(kinds))
