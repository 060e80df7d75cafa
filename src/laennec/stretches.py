"""Files on their way through a model: what was read of them, and a stretch of them with its answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laennec import images
from laennec.caution import Told
from laennec.errors import ImageError
from laennec.outputs import Outputs
from laennec.segmentation import Lungs

LONGEST = 1024  # files a stretch may hold, however many of them are refused
Read = tuple[NDArray[np.uint8], images.Done, float] | ImageError
"""What is read of one file: pixels, what was done to it, seconds; or why it is refused."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """Files that follow one another, and the answers of the model for those of them that could be read.

    Attributes:
        names: every file, in the order asked.
        refused: the refused by their place in `names`.
        outputs: the model's answers for the files read, in their order.
        score: probability of the positive finding, ``[read]``; empty of a model that only segments, as are the next
            two.
        positive: whether it reaches the threshold, ``[read]``.
        labels: the label decided for, one a file read; empty for none.
        told: how far each answer can be trusted; None of a model that only segments.
        lungs: of each file read; empty of a model that only classifies.
        done: what was done to each file read.
        seconds: reading and inference of each file read; a file's share of its batch.
    """

    names: tuple[str, ...]
    refused: dict[int, ImageError]
    outputs: Outputs
    score: NDArray[Any]
    positive: NDArray[np.bool_]
    labels: tuple[str, ...]
    told: Told | None
    lungs: tuple[Lungs, ...]
    done: tuple[images.Done, ...]
    seconds: tuple[float, ...]


@dataclass(eq=False)
class Batch:
    """A stretch on its way to the model."""

    pixels: NDArray[np.uint8]
    names: list[str] = field(default_factory=list)
    refused: dict[int, ImageError] = field(default_factory=dict)
    done: list[images.Done] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def take(self, name: str, read: Read) -> None:
        """One more file, as it was read."""
        if isinstance(read, ImageError):
            self.refused[len(self.names)] = read
        else:
            pixels, done, seconds = read
            self.pixels[len(self.done), 0] = pixels
            self.done.append(done)
            self.seconds.append(seconds)
        self.names.append(name)

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return len(self.done) == len(self.pixels) or len(self.names) == LONGEST
