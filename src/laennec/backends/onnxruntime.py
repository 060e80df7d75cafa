"""ONNX Runtime on the CPU: fp32 and int8 graphs that answer without torch.

int8 is static quantisation in QDQ form, weights signed per channel, activations unsigned with ranges measured on
training images (Jacob et al. 2018, arXiv:1712.05877): of five tools tried, the best in size, speed and error.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laennec.backends import Session
from laennec.errors import LaennecError, UntrustedBundle, UsageError, extra

if TYPE_CHECKING:
    import numpy as np

    from laennec.card import Card

PRECISIONS = ("fp32", "int8")
GRAPH = "model.onnx"
_OPSET = 20
_LARGEST_BATCH = 4096


def start(card: Card, files: Mapping[str, bytes], threads: int) -> Session:
    """Load the graph with all of the runtime's optimisations.

    Raises:
        UntrustedBundle: the runtime refuses the graph, or its input and output are not as the card says.
    """
    import onnxruntime

    if GRAPH not in files:
        raise UntrustedBundle(f"the bundle is for onnxruntime but holds no {GRAPH}", "make the bundle again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.log_severity_level = 3
    # Idle threads that spin would take the cores from decoding, and from whatever else the machine runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(files[GRAPH], options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exception types are private
        raise UntrustedBundle(f"{GRAPH} is refused by onnxruntime", "export the model again") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    size = card.preprocess.size
    if (
        [i.type for i in inputs] != ["tensor(uint8)"]
        or inputs[0].shape[1:] != [1, size, size]
        or len(outputs) != 1
        or outputs[0].shape[1:] != [len(card.labels)]
    ):
        raise UntrustedBundle(f"the input or output of {GRAPH} is not what the card says", "export the model again")
    name = inputs[0].name

    class Graph:
        def run(self, pixels: np.ndarray) -> np.ndarray:
            answer: np.ndarray = session.run(None, {name: pixels})[0]
            return answer

    return Graph()


def export(parent: Card, files: Mapping[str, bytes], precision: str, calibration: np.ndarray) -> dict[str, bytes]:
    """The parent as one ONNX graph; an ONNX fp32 parent is quantised as it is.

    Args:
        parent: the parent's card, of a torch bundle or of an fp32 ONNX bundle.
        files: the parent's model files.
        precision: ``fp32`` or ``int8``.
        calibration: ``uint8 [n, 1, size, size]`` images the activation ranges are measured on (int8).

    Raises:
        UsageError: the precision is unknown, or the parent is already int8.
        LaennecError: torch cannot express the network as a graph.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"no precision '{precision}'", f"take one of: {', '.join(PRECISIONS)}")
    if parent.precision != "fp32":
        raise UsageError(f"the parent is {parent.precision} already", "export from the fp32 bundle it came from")
    graph = files[GRAPH] if GRAPH in files else _from_torch(parent, files)
    return {GRAPH: graph if precision == "fp32" else _quantised(graph, calibration)}


def _from_torch(parent: Card, files: Mapping[str, bytes]) -> bytes:
    with extra("train"):
        import onnxscript  # noqa: F401  torch's exporter needs it and says so less clearly
        import torch

        from laennec.network import load_deployed
    network = load_deployed(parent, files)
    size = parent.preprocess.size
    example = torch.zeros(2, 1, size, size, dtype=torch.uint8)
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                opset_version=_OPSET,
                input_names=["pixels"],
                output_names=["probabilities"],
                dynamic_shapes={"pixels": {0: torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)}},
                verbose=False,
            )
    except Exception as error:  # torch's exporter raises many private types
        raise LaennecError(
            f"torch cannot export '{parent.model.name}' as one graph ({type(error).__name__})",
            "see the cause with --debug; another backbone may do",
        ) from error
    if program is None:
        raise LaennecError("torch's exporter gave no graph", "see --debug")
    data: bytes = program.model_proto.SerializeToString()
    return data


def _quantised(graph: bytes, calibration: np.ndarray) -> bytes:
    with extra("train"), _quiet():
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[dict[str, Any]] = (
                {"pixels": calibration[i : i + 16]} for i in range(0, len(calibration), 16)
            )

        def get_next(self) -> dict[str, Any] | None:
            return next(self.left, None)

    if len(calibration) == 0:
        raise UsageError("int8 needs calibration images and there are none", "check the training part of the split")
    with tempfile.TemporaryDirectory() as name, _quiet():
        folder = Path(name)
        (folder / "plain.onnx").write_bytes(graph)
        quant_pre_process(folder / "plain.onnx", folder / "fused.onnx", skip_symbolic_shape=True)
        fused = onnx.load(folder / "fused.onnx")
        excluded = _ends(fused.graph)
        onnx.save(fused, folder / "fused.onnx")
        quantization.quantize_static(
            folder / "fused.onnx",
            folder / GRAPH,
            Images(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            nodes_to_exclude=excluded,
        )
        return (folder / GRAPH).read_bytes()


def _ends(graph: Any) -> list[str]:
    """Names of the nodes that stay in floating point: scaling before the first layer, the last layer and softmax; in an
    ensemble, those of each member.

    A softmax on 256 steps would round every probability to 1/255, and the threshold with it.
    """
    nodes = list(graph.node)  # in an order in which inputs come before what uses them
    for number, node in enumerate(nodes):
        node.name = node.name or f"{node.op_type}_{number}"
    layers = {node.name for node in nodes if node.op_type in {"Conv", "Gemm", "MatMul"}}
    made_after: set[str] = set()
    for node in nodes:
        if node.name in layers or made_after.intersection(node.input):
            made_after.update(node.output)
    used_before: set[str] = set()
    ends = []
    for node in reversed(nodes):
        last = not used_before.intersection(node.output)
        if node.name in layers or not last:
            used_before.update(node.input)
        if last or not made_after.intersection(node.output):
            ends.append(node.name)
    return ends


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' chatter from the person; failures still raise."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
