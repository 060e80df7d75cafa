"""What a network answers for a batch of images, in every runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROBABILITIES, MASKS = "probabilities", "masks"


@dataclass(frozen=True, eq=False)
class Outputs:
    """Answers for n images.

    Attributes:
        probabilities: ``float32 [n, labels]`` in [0, 1], in label order; ``[n, 0]`` of a network that names no label.
        masks: ``uint8 [n, size, size]`` on the model's grid: 255 times the probability that a pixel is lung, rounded;
            None of a network that outlines nothing.
    """

    probabilities: NDArray[np.float32]
    masks: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    def __getitem__(self, which: Any) -> Outputs:
        """The answers for some of the images: a slice, places or flags."""
        return Outputs(self.probabilities[which], None if self.masks is None else self.masks[which])

    @property
    def finite(self) -> bool:
        """Whether no probability is NaN or infinite."""
        return bool(np.isfinite(self.probabilities).all())

    @classmethod
    def joined(cls, several: Sequence[Outputs]) -> Outputs:
        """Answers for batches that follow one another, as one; at least one."""
        probabilities = np.concatenate([one.probabilities for one in several])
        if any(one.masks is None for one in several):
            return cls(probabilities)
        return cls(probabilities, np.concatenate([one.masks for one in several if one.masks is not None]))
