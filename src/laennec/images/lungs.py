"""Where the lungs are: a tiny segmentation network shipped with the package, and the box around what it finds.

The network (`lungs.onnx`, made by ``benchmarks/lung_locator.py``; data, licences and figures in `lungs.json`) reads
the whole picture at 64 x 64 and answers the probability of lung for each of those pixels. It frames pictures; it
measures no organ and finds no disease.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec.errors import UntrustedBundle
from laennec.masks import components
from laennec.preprocess import LOCATOR

SIDE = 64
_FINE = 256  # side the probabilities are brought to before the box is read, so that its edges fall between pixels
LUNG = 0.4  # probability from which a pixel counts as lung: of .3, .4, .5 and .6 the best boxes on validation
_STRAY = 0.1  # a component smaller than this share of the largest is no lung
_LEAST, _MOST = 0.08, 0.8  # share of the picture that lungs may cover
_SHORTEST = 0.25  # width and height of the box, share of the picture's
_SLIM = 0.7  # a single component narrower than this share of its height is one lung
_SURE = 0.75  # mean probability inside the lungs
_WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Lungs:
    """The box around both lungs.

    Attributes:
        box: left, top, right, bottom, fractions of the picture's width and height in [0, 1]; the whole picture where
            no lungs were found.
        share: share of the picture that is lung, in [0, 1]; as estimated, also where it was not believed.
        doubt: why no lungs were found; empty where they were.
    """

    box: tuple[float, float, float, float]
    share: float
    doubt: str = ""


class Locator:
    """The network, ready to run. One thread; safe to call from several.

    Args:
        graph: bytes of an ONNX file, ``float32 [1, 2, 64, 64]`` to ``float32 [1, 1, 64, 64]``.

    Raises:
        UntrustedBundle: the runtime refuses the graph.
    """

    def __init__(self, graph: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Many processes and threads locate lungs at once: none of them may take more than its own core.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's own exception types are private
            raise UntrustedBundle("the lung locator is refused by onnxruntime", "install laennec again") from error

    def probabilities(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of lung ``float32 [64, 64]`` on a picture ``float32 [rows, columns]`` in [0, 1]."""
        return self.of_levels(squeezed(pixels))

    def of_levels(self, levels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same on a picture that was `squeezed`, ``uint8 [64, 64]``."""
        planes = network_input(levels)
        answer: NDArray[np.float32] = self._session.run(None, {"planes": planes[None]})[0][0, 0]
        return answer

    def find(self, pixels: NDArray[np.float32]) -> Lungs:
        """The lungs on a picture ``float32 [rows, columns]`` in [0, 1] of any size."""
        return lungs_of(self.probabilities(pixels))


def squeezed(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A picture ``float32 [rows, columns]`` in [0, 1] as ``uint8 [64, 64]``, its aspect ignored."""
    image = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    levels: NDArray[np.uint8] = np.rint(np.clip(small, 0, 1) * np.float32(255)).astype(np.uint8)
    return levels


def network_input(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network reads, ``float32 [2, 64, 64]``: the picture between its percentiles 1 and 99, and each pixel's
    rank among all, both about [-1, 1]. Ranks do not know the exposure, values keep flat regions flat.
    """
    low, high = np.percentile(levels, (1, 99))
    value = np.clip((levels - low) / max(high - low, 1.0), 0, 1)
    count = np.bincount(levels.ravel(), minlength=256)
    rank = ((count.cumsum() - count / 2) / levels.size)[levels]
    planes: NDArray[np.float32] = np.stack([value, rank]).astype(np.float32) * 2 - 1
    return planes


def lungs_of(probabilities: NDArray[np.float32]) -> Lungs:
    """The box of probabilities ``float32 [64, 64]``: what counts as lung, without strays, if it can be lungs."""
    inside, components = _without_strays(probabilities > LUNG)
    share = float(inside.mean())
    if not _LEAST <= share <= _MOST:
        return Lungs(_WHOLE, share, "too small to be lungs" if share < _LEAST else "too large to be lungs")
    if float(probabilities[inside].mean()) < _SURE:
        return Lungs(_WHOLE, share, "too faint to be lungs")
    kept = np.where(_grown(inside), probabilities, 0).astype(np.float32)
    fine = np.asarray(Image.fromarray(kept).resize((_FINE, _FINE), Image.Resampling.BILINEAR)) > LUNG
    rows, columns = np.flatnonzero(fine.any(1)), np.flatnonzero(fine.any(0))
    left, top = float(columns[0]) / _FINE, float(rows[0]) / _FINE
    right, bottom = float(columns[-1] + 1) / _FINE, float(rows[-1] + 1) / _FINE
    if min(right - left, bottom - top) < _SHORTEST:
        return Lungs(_WHOLE, share, "too narrow to be lungs")
    if components == 1 and right - left < _SLIM * (bottom - top):
        # the other one may be white with disease: a frame around this one would cut it off
        return Lungs(_WHOLE, share, "one lung alone")
    return Lungs((left, top, right, bottom), share)


def outlined(probabilities: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where probabilities ``float32 [64, 64]`` say lung on a picture of `shape`, without strays and with smooth edges,
    to be looked at; nowhere where what they say cannot be lungs (`lungs_of`).
    """
    if lungs_of(probabilities).doubt:
        return np.zeros(shape, np.bool_)
    inside, _ = _without_strays(probabilities > LUNG)
    kept = np.where(_grown(inside), probabilities, 0).astype(np.float32)
    fine = Image.fromarray(kept).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    lung: NDArray[np.bool_] = np.asarray(fine) > LUNG
    return lung


def _without_strays(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
    """Without the components (4-neighbourhood) that are small beside the largest, and how many those kept are."""
    labels, sizes = components(mask)
    kept = sizes >= _STRAY * sizes.max(initial=0)
    inside: NDArray[np.bool_] = np.concatenate([[False], kept])[labels]
    return inside, int(kept.sum())


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wide = np.pad(mask, 1)
    grown: NDArray[np.bool_] = wide[1:-1, 1:-1] | wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
    return grown


class _Shipped:
    """The locator of this installation, opened at its first use and kept by the process."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.Lock()

    @cached_property
    def _locator(self) -> Locator:
        try:
            graph = self.path.read_bytes()
        except OSError as error:
            raise UntrustedBundle(f"this installation lacks {self.path.name}", "install laennec again") from error
        if hashlib.sha256(graph).hexdigest() != LOCATOR:
            raise UntrustedBundle(
                f"{self.path.name} is not the one this laennec was made with (its SHA-256 differs)",
                "install laennec again",
            )
        return Locator(graph)

    def locator(self) -> Locator:
        with self._lock:
            return self._locator


SHIPPED = _Shipped(Path(__file__).with_name("lungs.onnx"))


def probabilities(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of lung ``float32 [64, 64]`` on a picture ``float32 [rows, columns]`` in [0, 1], by that network.

    Raises:
        UntrustedBundle: the shipped network is missing or is not the one this code was made with.
    """
    return SHIPPED.locator().probabilities(pixels)


def of_levels(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The same on a picture that was `squeezed`, ``uint8 [64, 64]``.

    Raises:
        UntrustedBundle: as `probabilities`.
    """
    return SHIPPED.locator().of_levels(levels)


def find(pixels: NDArray[np.float32]) -> Lungs:
    """The lungs on a picture ``float32 [rows, columns]`` in [0, 1], found by the shipped network.

    Raises:
        UntrustedBundle: as `probabilities`.
    """
    return lungs_of(probabilities(pixels))
