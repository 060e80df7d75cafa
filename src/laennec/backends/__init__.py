"""The family of backends: runtimes that answer for a bundle, and the export into their format.

A member is a module with:

    PRECISIONS  the precisions `export` can make, the plain one first; empty where a bundle is born by training
    CALIBRATES  whether int8 measures ranges on calibration images, so that its settings can be searched
    ready       ``ready()``: raises `MissingExtra` if its library is not installed; quick, loads nothing heavy
    computes    ``computes(precision) -> bool``: whether this processor computes in that precision
    start       ``start(card, files, threads) -> Session``; `files` are the model's files by name, already verified
    export      ``export(parent, files, precision, quantiser, how) -> files``: the parent's card and files turned into
                this backend's, as bytes by name; `quantiser` and `how` are for int8
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from laennec.card import Card, Quantisation
    from laennec.outputs import Outputs
    from laennec.quantising import Quantiser


class Session(Protocol):
    """A model loaded and ready. One session is used by one thread at a time."""

    def run(self, pixels: np.ndarray, also: Sequence[str] = ()) -> Outputs:
        """Answers for ``uint8 [n, 1, size, size]``, n >= 1; with them those auxiliary ones of `also` that the model has
        (`laennec.outputs.AUXILIARY`), which cost nothing where they are not asked for.
        """


class Backend(Protocol):
    """What every member of the family offers."""

    PRECISIONS: tuple[str, ...]
    CALIBRATES: bool

    def ready(self) -> None:
        """Raise `MissingExtra` if the library is not installed."""

    def computes(self, precision: str) -> bool:
        """Whether this processor computes in `precision`, instead of in a wider one."""

    def start(self, card: Card, files: Mapping[str, bytes], threads: int) -> Session:
        """Load the model. `threads` 0 takes all cores. Raises `UntrustedBundle` if the file is not what it claims."""

    def export(
        self, parent: Card, files: Mapping[str, bytes], precision: str, quantiser: Quantiser, how: Quantisation
    ) -> dict[str, bytes]:
        """This backend's model files, made from the parent's; `quantiser` holds the calibration images."""
