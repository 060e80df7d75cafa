"""ONNX graphs of a network: made from torch, prepared for quantisation, given a temperature.

A graph takes ``pixels``, ``uint8 [n, 1, size, size]``, and gives ``probabilities``, ``float32 [n, labels]``, ``masks``,
``uint8 [n, size, size]``, or both, and the card's auxiliary answers behind them; scaling before the network and softmax
or sigmoid after it are inside. What the runtimes share lies here, since members of a family do not know each other.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from laennec.errors import LaennecError, extra
from laennec.outputs import AUXILIARY, FEATURES, MAPS, MASKS, PROBABILITIES, Outputs

if TYPE_CHECKING:
    from laennec.card import Card

GRAPH = "model.onnx"
INPUT = "pixels"
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MULTIPLY_AND_ADD = {*LAYERS, "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
_OPSET = 20
_LARGEST_BATCH = 4096


class Tensor(NamedTuple):
    """An input or output of a graph: its name, its shape without the batch, its type as ONNX calls it."""

    name: str
    shape: tuple[int, ...]
    onnx: str


def interface(card: Card) -> list[Tensor]:
    """The input and then the outputs that the graph of `card` must have, auxiliary ones last."""
    size = card.preprocess.size
    answers = {
        PROBABILITIES: Tensor(PROBABILITIES, (len(card.labels),), "float"),
        MASKS: Tensor(MASKS, (size, size), "uint8"),
    }
    beside = [Tensor(name, card.auxiliary[name], "float") for name in AUXILIARY if name in card.auxiliary]
    return [Tensor(INPUT, (1, size, size), "uint8"), *(answers[name] for name in card.outputs), *beside]


def asked(card: Card, also: Sequence[str]) -> tuple[str, ...]:
    """Names of the outputs that a run is to give: the task's, and of `also` those that the graph has."""
    return (*card.outputs, *(name for name in AUXILIARY if name in also and name in card.auxiliary))


def outputs_of(named: Mapping[str, np.ndarray], images: int) -> Outputs:
    """A runtime's answers for so many images, by name, as `Outputs`."""
    none = np.empty((images, 0), np.float32)
    return Outputs(named.get(PROBABILITIES, none), named.get(MASKS), named.get(FEATURES), named.get(MAPS))


def of(card: Card, files: Mapping[str, bytes]) -> bytes:
    """The fp32 graph of a bundle: its own, or made from its torch network.

    Raises:
        LaennecError: torch cannot express the network as a graph.
        UntrustedBundle: the weights do not fit the architecture the card names.
    """
    return files[GRAPH] if GRAPH in files else _from_torch(card, files)


def with_auxiliary(card: Card, files: Mapping[str, bytes]) -> Card:
    """The card of a bundle, saying which auxiliary answers a graph of it will have: its own, or all its torch network
    has.

    Raises:
        UntrustedBundle: the weights do not fit the architecture the card names.
    """
    if GRAPH in files:
        return card
    with extra("train"):
        from laennec.network import load_deployed
    return card.model_copy(update={"auxiliary": load_deployed(card, files).auxiliary()})


def _from_torch(card: Card, files: Mapping[str, bytes]) -> bytes:
    with extra("train"):
        import onnxscript  # noqa: F401  torch's exporter needs it and says so less clearly
        import torch

        from laennec.network import load_deployed
    names = asked(card, AUXILIARY)
    network = load_deployed(card, files, names[len(card.outputs) :])
    size = card.preprocess.size
    example = torch.zeros(2, 1, size, size, dtype=torch.uint8)
    try:
        with quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=list(names),
                dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)}},
                verbose=False,
            )
    except Exception as error:  # torch's exporter raises many private types
        raise LaennecError(
            f"torch cannot export '{card.model.name}' as one graph ({type(error).__name__})",
            "see the cause with --debug; another backbone may do",
        ) from error
    if program is None:
        raise LaennecError("torch's exporter gave no graph", "see --debug")
    data: bytes = program.model_proto.SerializeToString()
    return data


def prepared(graph: bytes) -> bytes:
    """The graph with constants folded, shapes known, every node named and concatenations chained."""
    with extra("train"), quiet():
        import onnx
        from onnxruntime.quantization.shape_inference import quant_pre_process
    with tempfile.TemporaryDirectory() as name, quiet():
        folder = Path(name)
        (folder / "plain.onnx").write_bytes(graph)
        quant_pre_process(folder / "plain.onnx", folder / "fused.onnx", skip_symbolic_shape=True)
        model = onnx.load(folder / "fused.onnx")
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    _chain(model.graph)
    data: bytes = model.SerializeToString()
    return data


def _chain(graph: Any) -> None:
    """Let a concatenation that begins with all the inputs of an earlier one take that one's output instead.

    A dense block (Huang et al. 2017, arXiv:1608.06993) is exported as one concatenation for each layer, of everything
    before it: the inputs, and the rounding of each, grow with the square of the depth.
    """
    made: dict[tuple[int, tuple[str, ...]], str] = {}
    for node in graph.node:
        if node.op_type != "Concat":
            continue
        axis = next(attribute.i for attribute in node.attribute if attribute.name == "axis")
        whole = tuple(node.input)
        for length in range(len(whole) - 1, 1, -1):
            earlier = made.get((axis, whole[:length]))
            if earlier is not None:
                del node.input[:]
                node.input.extend([earlier, *whole[length:]])
                break
        made[axis, whole] = node.output[0]


def joined(model: Any) -> list[set[str]]:
    """Groups of tensors that meet in concatenations, so that one scale for all spares rounding them again."""
    groups: list[set[str]] = []
    for node in model.graph.node:
        if node.op_type == "Concat":
            tensors = {*node.input, *node.output}
            touching = [group for group in groups if group & tensors]
            groups = [group for group in groups if not group & tensors]
            groups.append(tensors.union(*touching))
    return groups


def layers(model: Any) -> list[str]:
    """Names of the nodes with weights, in the graph's order."""
    constant = {tensor.name for tensor in model.graph.initializer}
    return [n.name for n in model.graph.node if n.op_type in LAYERS and constant.intersection(n.input)]


def ends(model: Any) -> list[str]:
    """Names of the nodes that stay in floating point: scaling before the first layer, the last layer and softmax; in an
    ensemble, those of each member.

    A softmax on 256 steps would round every probability to 1/255, and the threshold with it.
    """
    nodes = list(model.graph.node)  # in an order in which inputs come before what uses them
    weighty = {node.name for node in nodes if node.op_type in LAYERS}
    made_after: set[str] = set()
    for node in nodes:
        if node.name in weighty or made_after.intersection(node.input):
            made_after.update(node.output)
    used_before: set[str] = set()
    found = []
    for node in reversed(nodes):
        last = not used_before.intersection(node.output)
        if node.name in weighty or not last:
            used_before.update(node.input)
        if last or not made_after.intersection(node.output):
            found.append(node.name)
    return found


def operations(graph: bytes) -> int:
    """FLOPs (2 x MAC) of one image: two for each multiply and add of convolutions and matrix products.

    Rounded forms (QDQ, QLinear, Integer) count like floating ones; the rest of a graph is small beside them and is left
    out, as torch's counter does.

    Raises:
        LaennecError: a layer's shape cannot be known without running the graph.
    """
    with extra("train"):
        import onnx
    model = onnx.load_from_string(graph)
    for pixels in model.graph.input:
        pixels.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]  # of an open batch
    _put_in_order(model.graph)
    for answer in model.graph.output:
        answer.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        shapes[value.name] = tuple(one.dim_value for one in value.type.tensor_type.shape.dim)
    total = 0
    for node in inferred.node:
        if node.op_type in _MULTIPLY_AND_ADD:
            total += _multiplications(node, shapes)
    return 2 * total


def _put_in_order(graph: Any) -> None:
    """Inputs before what reads them, as inference needs; quantisation appends its nodes at the end."""
    known = {"", *(tensor.name for tensor in (*graph.initializer, *graph.input))}
    waiting, ordered = list(graph.node), []
    while waiting:
        ready = [node for node in waiting if known.issuperset(node.input)]
        if not ready:
            raise LaennecError("a layer of the graph reads what nothing makes", "export the model again")
        ordered += ready
        waiting = [node for node in waiting if not known.issuperset(node.input)]
        known.update(name for node in ready for name in node.output)
    del graph.node[:]
    graph.node.extend(ordered)


def _multiplications(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Multiplications of one layer, each with its addition."""
    at = 3 if node.op_type.startswith("QLinear") else 1  # of the second operand, the weight of a convolution
    one, other, out = (shapes.get(name, ()) for name in (node.input[0], node.input[at], node.output[0]))
    if not one or not other or 0 in (*one, *other, *out):
        raise LaennecError(
            f"the shapes at '{node.name or node.op_type}' are not known before the graph runs",
            "export the model again with this version",
        )
    if node.op_type == "ConvTranspose":  # each input pixel goes to all of the kernel
        return math.prod(one) * math.prod(other[1:])
    if "Conv" in node.op_type:
        return math.prod(out) * math.prod(other[1:])
    if node.op_type == "Gemm":
        across = next((attribute.i for attribute in node.attribute if attribute.name == "transA"), 0)
        return math.prod(out) * one[0 if across else 1]
    return math.prod(out) * one[-1]


def tempered(graph: bytes, temperature: float, exclusive: bool) -> bytes:
    """The graph with its probabilities brought to a temperature, as if its logits had been divided by it.

    Exclusive labels: ``p^(1/T)`` over their sum; otherwise each p against its complement. Above 1 the answers become
    less sure, below 1 surer (Guo et al. 2017, arXiv:1706.04599).
    """
    with extra("train"):
        import onnx
        from onnx import helper, numpy_helper
    if temperature == 1.0:
        return graph
    model = onnx.load_from_string(graph)
    answer = next(one for one in model.graph.output if one.name == PROBABILITIES)
    for node in model.graph.node:
        node.output[:] = ["untempered" if name == answer.name else name for name in node.output]
        node.input[:] = ["untempered" if name == answer.name else name for name in node.input]
    numbers = {"temper_power": np.float32(1 / temperature), "temper_one": np.float32(1)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), n) for n, v in numbers.items())
    power = helper.make_node("Pow", ["untempered", "temper_power"], ["tempered"], "temper_pow")
    divide = helper.make_node("Div", ["tempered", "temper_total"], [answer.name], "temper_share")
    if exclusive:
        model.graph.initializer.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "temper_axis"))
        between = [helper.make_node("ReduceSum", ["tempered", "temper_axis"], ["temper_total"], "temper_sum")]
    else:
        between = [
            helper.make_node("Sub", ["temper_one", "untempered"], ["absent"], "temper_absent"),
            helper.make_node("Pow", ["absent", "temper_power"], ["absent_tempered"], "temper_pow_absent"),
            helper.make_node("Add", ["tempered", "absent_tempered"], ["temper_total"], "temper_sum"),
        ]
    model.graph.node.extend([power, *between, divide])
    data: bytes = model.SerializeToString()
    return data


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' chatter from the person; failures still raise."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
