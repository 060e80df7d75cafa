"""What a network answers for a batch of images, in every runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROBABILITIES, MASKS, FEATURES, MAPS = "probabilities", "masks", "features", "maps"
AUXILIARY = (FEATURES, MAPS)  # answered only when asked for


@dataclass(frozen=True, eq=False)
class Outputs:
    """Answers for n images.

    Attributes:
        probabilities: ``float32 [n, labels]`` in [0, 1], in label order; ``[n, 0]`` of a network that names no label.
        masks: ``uint8 [n, size, size]`` on the model's grid: 255 times the probability that a pixel is lung, rounded;
            None of a network that outlines nothing.
        features: ``float32 [n, d]``, the embedding that the head reads; of an ensemble its members' side by side. None
            where it was not asked for, or is not to be had.
        maps: ``float32 [n, h, w]``, the class activation map of the positive finding (Zhou et al. 2016,
            arXiv:1512.04150) on the coarse grid of the network's last map, in units of logits before any temperature:
            its mean over places is the sum of the positive labels' logits, less the mean of the others' where labels
            exclude each other, but for the biases. Of an ensemble the members' weighted mean. None as `features`, and
            of heads or poolings that are not linear.
    """

    probabilities: NDArray[np.float32]
    masks: NDArray[np.uint8] | None = None
    features: NDArray[np.float32] | None = None
    maps: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    def __getitem__(self, which: Any) -> Outputs:
        """The answers for some of the images: a slice, places or flags."""
        probabilities, *others = self._all()
        return Outputs(probabilities[which], *(None if one is None else one[which] for one in others))

    @property
    def finite(self) -> bool:
        """Whether nothing that was answered is NaN or infinite."""
        return all(bool(np.isfinite(one).all()) for one in self._all() if one is not None)

    @classmethod
    def joined(cls, several: Sequence[Outputs]) -> Outputs:
        """Answers for batches that follow one another, as one; at least one. What one of them lacks, all lack."""
        first, *others = zip(*(one._all() for one in several), strict=True)
        rest = [None if any(one is None for one in column) else np.concatenate(column) for column in others]
        return cls(np.concatenate(first), *rest)

    def _all(self) -> tuple[Any, ...]:
        return self.probabilities, self.masks, self.features, self.maps
