"""ONNX Runtime on the CPU: fp32 and int8 graphs that answer without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from laennec import graphs
from laennec.backends import Session
from laennec.errors import UntrustedBundle
from laennec.outputs import Outputs

if TYPE_CHECKING:
    import numpy as np

    from laennec.card import Card, Quantisation
    from laennec.quantising import Quantiser

PRECISIONS = ("fp32", "int8")
CALIBRATES = True


def ready() -> None:
    """Nothing to ask for: the core brings onnxruntime."""


def computes(precision: str) -> bool:
    """In all of them."""
    return True


def start(card: Card, files: Mapping[str, bytes], threads: int) -> Session:
    """Load the graph with all of the runtime's optimisations.

    Raises:
        UntrustedBundle: the runtime refuses the graph, or its input and output are not as the card says.
    """
    import onnxruntime

    if graphs.GRAPH not in files:
        raise UntrustedBundle(f"the bundle is for onnxruntime but holds no {graphs.GRAPH}", "make the bundle again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.log_severity_level = 3
    # Idle threads that spin would take the cores from decoding, and from whatever else the machine runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(files[graphs.GRAPH], options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exception types are private
        raise UntrustedBundle(f"{graphs.GRAPH} is refused by onnxruntime", "export the model again") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    wanted = graphs.interface(card)
    found = [(one.name, list(one.shape[1:]), one.type) for one in (*inputs, *outputs)]
    if found != [(one.name, list(one.shape), f"tensor({one.onnx})") for one in wanted]:
        raise UntrustedBundle(
            f"the input or output of {graphs.GRAPH} is not what the card says", "export the model again"
        )
    how = onnxruntime.RunOptions()
    how.only_execute_path_to_fetches = True  # what was not asked for is not computed

    class Graph:
        def run(self, pixels: np.ndarray, also: Sequence[str] = ()) -> Outputs:
            names = graphs.asked(card, also)
            given = session.run(names, {inputs[0].name: pixels}, how if card.auxiliary else None)
            return graphs.outputs_of(dict(zip(names, given, strict=True)), len(pixels))

    return Graph()


def export(
    parent: Card, files: Mapping[str, bytes], precision: str, quantiser: Quantiser, how: Quantisation
) -> dict[str, bytes]:
    """The parent as one ONNX graph; an ONNX fp32 parent is quantised as it is.

    Raises:
        LaennecError: torch cannot express the network as a graph.
    """
    graph = graphs.of(parent, files)
    return {graphs.GRAPH: graph if precision == "fp32" else quantiser.quantised(graph, how)}
