"""The family of backends: runtimes that answer for a bundle, and the export into their format.

A member is a module with:

    PRECISIONS  the precisions `export` can make, the plain one first; empty where a bundle is born by training
    start       ``start(card, files, threads) -> Session``; `files` are the model's files by name, already verified
    export      ``export(parent, files, precision, calibration) -> files``: the parent's card and files turned into
                this backend's, as bytes by name; `calibration` is ``uint8 [n, 1, size, size]`` from the training part
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from laennec.card import Card


class Session(Protocol):
    """A model loaded and ready. One session is used by one thread at a time."""

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """``uint8 [n, 1, size, size]``, n >= 1, to probabilities ``float32 [n, labels]``."""


class Backend(Protocol):
    """What every member of the family offers."""

    PRECISIONS: tuple[str, ...]

    def start(self, card: Card, files: Mapping[str, bytes], threads: int) -> Session:
        """Load the model. `threads` 0 takes all cores. Raises `UntrustedBundle` if the file is not what it claims."""

    def export(
        self, parent: Card, files: Mapping[str, bytes], precision: str, calibration: np.ndarray
    ) -> dict[str, bytes]:
        """This backend's model files, made from the parent's."""
