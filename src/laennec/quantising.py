"""int8 graphs: static quantisation in QDQ form, its ranges measured once and its roundings placed as asked.

Weights are signed, one scale per channel or per layer; activations unsigned with ranges measured on training images
(Jacob et al. 2018, arXiv:1712.05877; entropy: Migacz 2017). Any runtime that reads QDQ reads these graphs. Tensors that
meet in a concatenation share one range: a dense block is then rounded once, not once for each layer that reads it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from laennec import graphs
from laennec.card import Quantisation
from laennec.errors import UsageError, extra

_FEW = 64  # images of the methods that keep histograms of every value
_CHUNK = 8  # images whose activations are in memory at once
_PERCENTILE = 99.99
# A concatenation of equal scales has nothing to round; a normalisation is computed together with the ReLU after it.
_PASSED = {"Concat", "BatchNormalization"}


@dataclass(frozen=True)
class Calibrated:
    """A prepared fp32 graph and the range of each of its activations, by one method."""

    graph: bytes
    method: str
    ranges: dict[str, tuple[float, float]]
    ends: tuple[str, ...]
    layers: tuple[str, ...]


def calibrated(prepared: bytes, calibration: np.ndarray, method: str) -> Calibrated:
    """Measure the ranges of all activations.

    Args:
        prepared: of `graphs.prepared`.
        calibration: ``uint8 [n, 1, size, size]`` images of the training part.
        method: ``minmax``, ``percentile`` (the central 99.99 %) or ``entropy`` (least divergence of the clipped
            histogram).

    Raises:
        UsageError: there is no image.
    """
    if len(calibration) == 0:
        raise UsageError("int8 needs calibration images and there are none", "check the training part of the split")
    with extra("train"), graphs.quiet():
        import onnx
        from onnxruntime.quantization import CalibrationMethod
        from onnxruntime.quantization.calibrate import create_calibrator
    model = onnx.load_from_string(prepared)
    ends = graphs.ends(model)
    how = {
        "minmax": (CalibrationMethod.MinMax, {}),
        "percentile": (CalibrationMethod.Percentile, {"percentile": _PERCENTILE}),
        "entropy": (CalibrationMethod.Entropy, {}),
    }[method]
    images = calibration if method == "minmax" else calibration[:: max(1, len(calibration) // _FEW)][:_FEW]
    with tempfile.TemporaryDirectory() as name, graphs.quiet():
        folder = Path(name)
        (folder / "graph.onnx").write_bytes(prepared)
        calibrator = create_calibrator(
            folder / "graph.onnx", None, str(folder / "augmented.onnx"), calibrate_method=how[0], extra_options=how[1]
        )
        for at in range(0, len(images), _CHUNK):
            calibrator.collect_data(_Images(images[at : at + _CHUNK]))
        measured = calibrator.compute_data()
    ranges = {
        tensor: (float(np.min(data.range_value[0])), float(np.max(data.range_value[1])))
        for tensor, data in measured.items()
    }
    # the quantiser takes such activations out: rounding to a range that begins at 0 does their work
    cut = {name for node in model.graph.node if node.op_type in {"Relu", "Clip"} for name in node.output}
    for group in graphs.joined(model):
        known = [ranges[tensor] for tensor in group if tensor in ranges]
        if known:
            shared = (min(low for low, _ in known), max(high for _, high in known))
            if shared[0] < 0 and group & cut:
                continue
            ranges |= dict.fromkeys(group & set(ranges), shared)
    inner = tuple(layer for layer in graphs.layers(model) if layer not in ends)
    return Calibrated(prepared, method, ranges, tuple(ends), inner)


def quantised(calibrated: Calibrated, per_channel: bool, floating: Sequence[str] = ()) -> bytes:
    """The int8 graph; the layers named in `floating` stay in floating point beside the ends."""
    with extra("train"), graphs.quiet():
        import onnx
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
        from onnxruntime.quantization.registry import QDQRegistry
    values = {tensor: (np.float32(low), np.float32(high)) for tensor, (low, high) in calibrated.ranges.items()}
    with graphs.quiet():
        quantiser = QDQQuantizer(
            onnx.load_from_string(calibrated.graph),
            per_channel,
            False,
            QuantType.QInt8,
            QuantType.QUInt8,
            TensorsData(CalibrationMethod.MinMax, values),
            [],
            [*calibrated.ends, *floating],
            [kind for kind in QDQRegistry if kind not in _PASSED],
            {},
        )
        quantiser.quantize_model()
    data: bytes = quantiser.model.model.SerializeToString()
    return data


class Quantiser:
    """Rounds graphs on one set of calibration images; what was measured once is kept.

    Attributes:
        images: ``uint8 [n, 1, size, size]`` of the training part.
    """

    def __init__(self, images: np.ndarray) -> None:
        self.images = images
        self._prepared: dict[bytes, bytes] = {}
        self._calibrated: dict[tuple[bytes, str], Calibrated] = {}

    def calibrated(self, graph: bytes, method: str) -> Calibrated:
        """`graph` prepared and its ranges measured by `method`; see `calibrated`."""
        if graph not in self._prepared:
            self._prepared[graph] = graphs.prepared(graph)
        key = (graph, method)
        if key not in self._calibrated:
            self._calibrated[key] = calibrated(self._prepared[graph], self.images, method)
        return self._calibrated[key]

    def quantised(self, graph: bytes, how: Quantisation) -> bytes:
        """The int8 graph of an fp32 one."""
        return quantised(self.calibrated(graph, how.ranges), how.per_channel, how.floating)


class _Images:
    """Images as the calibrators ask for them."""

    def __init__(self, images: np.ndarray) -> None:
        self._left: Iterator[dict[str, Any]] = iter([{"pixels": images}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._left, None)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._left
