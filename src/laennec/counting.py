"""What can be counted of a bundle's model without running it on images: parameters, those not 0, operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from laennec import graphs
from laennec.costs import Counts
from laennec.errors import LaennecError, extra

if TYPE_CHECKING:
    from laennec.card import Card

# Operators to the places of what they learned; None takes all but the first, which is what flows through.
_LEARNED: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys((*graphs.LAYERS, "ConvTranspose"), None),
    "ConvInteger": (1,),
    "MatMulInteger": (1,),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (3,),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "PRelu": (1,),
}
_UNCHANGED = {"DequantizeLinear", "Cast", "Identity", "Reshape", "Transpose", "Unsqueeze", "Squeeze"}
_SCALE = "::scale"


def counts(card: Card, files: Mapping[str, bytes]) -> Counts:
    """Parameters, those that are not 0, and operations of one image.

    Of a torch bundle they are its network's. Of an ONNX graph they are the constants that its layers and normalisations
    read, not scales and zero points; normalisations that were folded into a convolution left no parameters.

    Args:
        card: of the bundle.
        files: its model files, verified, by name.

    Raises:
        MissingExtra: torch or onnx is not installed.
        UntrustedBundle: the weights do not fit the architecture the card names.
    """
    return of_graph(files[graphs.GRAPH]) if graphs.GRAPH in files else _of_network(card, files)


def of_graph(graph: bytes) -> Counts:
    """The counts of an ONNX graph; operations are None where a shape cannot be known without running it."""
    with extra("train"):
        import onnx
        from onnx import numpy_helper
    model = onnx.load_from_string(graph)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    parameters = nonzero = 0
    seen: set[str] = set()
    for node in model.graph.node:
        for name in _learned(node, made_by, stored):
            source, zero = _source(name, made_by)
            if source not in stored or source in seen:
                continue
            seen.add(source)
            values = numpy_helper.to_array(stored[source])
            nothing = numpy_helper.to_array(stored[zero]) if zero in stored else np.zeros(())
            parameters += values.size
            # the zero points of one layer are all alike here: its weights are rounded symmetrically
            nonzero += int(np.count_nonzero(values != nothing.reshape(-1)[0]))
    try:
        operations: int | None = graphs.operations(graph)
    except LaennecError:
        operations = None
    return Counts(parameters=parameters, nonzero=nonzero, operations=operations)


def _learned(node: Any, made_by: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[str]:
    """Names of the inputs of a node that hold what it learned."""
    inputs = list(node.input)
    if node.op_type in _LEARNED:
        places = _LEARNED[node.op_type]
        yield from inputs[1:] if places is None else [inputs[i] for i in places if i < len(inputs)]
        if node.op_type in {"Gemm", "MatMul"}:
            yield inputs[0]  # a constant may stand on either side
    elif node.op_type == "Add" and any(_follows_product(name, made_by) for name in inputs):
        yield from (name for name in inputs if _source(name, made_by)[0] in stored)  # a dense layer's bias


def _follows_product(name: str, made_by: Mapping[str, Any]) -> bool:
    while name in made_by and made_by[name].op_type in {"QuantizeLinear", "DequantizeLinear"}:
        name = made_by[name].input[0]
    return name in made_by and made_by[name].op_type in {"MatMul", "MatMulInteger", "QLinearMatMul"}


def _source(name: str, made_by: Mapping[str, Any]) -> tuple[str, str]:
    """The constant that a tensor is made of and, if it was rounded, its zero point's name."""
    zero = ""
    while name in made_by and made_by[name].op_type in _UNCHANGED:
        node = made_by[name]
        if node.op_type == "DequantizeLinear" and len(node.input) > 2:
            zero = node.input[2]
        name = node.input[0]
    return name, zero


def _of_network(card: Card, files: Mapping[str, bytes]) -> Counts:
    with extra("train"):
        from safetensors.torch import load, save

        from laennec import thinning
        from laennec.network import load_deployed
    if card.precision == "int8":  # a rounded weight is 0 whatever its scale
        files = {
            name: save({key: tensor for key, tensor in load(data).items() if not key.endswith(_SCALE)})
            for name, data in files.items()
            if name.endswith(".safetensors")
        }
    network = load_deployed(card, files)
    weights = list(network.parameters())
    return Counts(
        parameters=sum(weight.numel() for weight in weights),
        nonzero=sum(int(weight.count_nonzero()) for weight in weights),
        operations=thinning.operations(network, card.preprocess.size),
    )
