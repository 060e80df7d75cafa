"""OpenVINO on the CPU: the same ONNX graphs in fp32, bf16 or int8; the fastest on most x86 processors.

bf16 computes the fp32 graph in bfloat16 where the processor can (AVX-512 BF16, AMX) and in fp32 where it cannot.
"""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from laennec import graphs
from laennec.backends import Session
from laennec.errors import MissingExtra, UntrustedBundle
from laennec.outputs import Outputs

if TYPE_CHECKING:
    from laennec.card import Card, Quantisation
    from laennec.quantising import Quantiser

PRECISIONS = ("fp32", "bf16", "int8")
CALIBRATES = True
_COMPUTED_IN = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # of int8, the layers left in floating point
_LARGEST = 64
_KEPT = 6


def ready() -> None:
    """Raises `MissingExtra` if openvino is not installed."""
    if importlib.util.find_spec("openvino") is None:
        raise MissingExtra(
            "this needs the library 'openvino', which is not installed", 'pip install "laennec[openvino]"'
        )


def computes(precision: str) -> bool:
    """bf16 on processors that have it; elsewhere it would be fp32 under another name."""
    if precision != "bf16":
        return True
    return "BF16" in _loaded().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def start(card: Card, files: Mapping[str, bytes], threads: int) -> Session:
    """Compile the graph for this processor.

    Raises:
        MissingExtra: openvino is not installed.
        UntrustedBundle: the runtime refuses the graph, or its input and output are not as the card says.
    """
    ready()
    if graphs.GRAPH not in files:
        raise UntrustedBundle(f"the bundle is for openvino but holds no {graphs.GRAPH}", "make the bundle again")
    compiler = _Compiler(card, files[graphs.GRAPH], threads)
    compiler.of(1, card.outputs)  # a graph that cannot be run is refused now, not at the first image
    return compiler


def export(
    parent: Card, files: Mapping[str, bytes], precision: str, quantiser: Quantiser, how: Quantisation
) -> dict[str, bytes]:
    """The parent as one ONNX graph; an ONNX fp32 parent is quantised as it is.

    Raises:
        LaennecError: torch cannot express the network as a graph.
    """
    graph = graphs.of(parent, files)
    return {graphs.GRAPH: quantiser.quantised(graph, how) if precision == "int8" else graph}


def _loaded() -> ModuleType:
    """The library without its telemetry, which it does without if that cannot be imported."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino
    import openvino.frontend

    module: ModuleType = openvino
    return module


class _Compiler:
    """One graph compiled for whole batches of 1, 2, 4 … 64 images, each when first asked for.

    With an open batch size the same graph takes up to three times as long.
    """

    def __init__(self, card: Card, graph: bytes, threads: int) -> None:
        self._openvino = _loaded()
        self._core, self._card, self._graph = self._openvino.Core(), card, graph
        self._settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads or os.cpu_count() or 1,
            "INFERENCE_PRECISION_HINT": _COMPUTED_IN[card.precision],
        }
        self._requests: OrderedDict[tuple[int, tuple[str, ...]], Any] = OrderedDict()

    def of(self, images: int, names: tuple[str, ...]) -> Any:
        """The request for batches of so many images, that computes the outputs named and no others."""
        key = (images, names)
        if key not in self._requests:
            self._requests[key] = self._compiled(images, names).create_infer_request()
            if len(self._requests) > _KEPT:
                self._requests.popitem(last=False)
        self._requests.move_to_end(key)
        return self._requests[key]

    def _compiled(self, images: int, names: tuple[str, ...]) -> Any:
        wanted = graphs.interface(self._card)
        size = self._card.preprocess.size
        try:
            # the frontend by name: asked to guess, openvino may take a file that is ONNX to us for one of its own
            frontend = self._openvino.frontend.FrontEndManager().load_by_framework("onnx")
            model = frontend.convert(frontend.load(io.BytesIO(self._graph)))
            model.reshape([images, 1, size, size])
            # so that what was not asked for is not computed
            for one in model.get_results() if self._card.auxiliary else ():
                if not one.input_value(0).get_names().intersection(names):
                    model.remove_result(one)
            compiled = self._core.compile_model(model, "CPU", self._settings)
        except Exception as error:  # whatever openvino raises, it will not run this graph
            raise UntrustedBundle(f"{graphs.GRAPH} is refused by openvino", "export the model again") from error
        kinds = {"uint8": self._openvino.Type.u8, "float": self._openvino.Type.f32}
        found = [(list(one.shape), one.element_type) for one in (*compiled.inputs, *compiled.outputs)]
        wanted = [wanted[0], *(one for one in wanted[1:] if one.name in names)]
        fits = found == [([images, *one.shape], kinds[one.onnx]) for one in wanted]
        # fused with what reads it, an input may have lost its name; the outputs keep theirs
        fits = fits and all(w.name in one.get_names() for w, one in zip(wanted[1:], compiled.outputs, strict=True))
        if not fits:
            raise UntrustedBundle(
                f"the input or output of {graphs.GRAPH} is not what the card says", "export the model again"
            )
        return compiled

    def run(self, pixels: np.ndarray, also: Sequence[str] = ()) -> Outputs:
        names = graphs.asked(self._card, also)
        answers = [self._batch(pixels[at : at + _LARGEST], names) for at in range(0, len(pixels), _LARGEST)]
        return answers[0] if len(answers) == 1 else Outputs.joined(answers)

    def _batch(self, pixels: np.ndarray, names: tuple[str, ...]) -> Outputs:
        whole = 1 << (len(pixels) - 1).bit_length()
        if whole > len(pixels):
            filled = np.zeros((whole, *pixels.shape[1:]), dtype=pixels.dtype)
            filled[: len(pixels)] = pixels
        else:
            filled = pixels
        given = self.of(whole, names).infer([np.ascontiguousarray(filled)])
        named = {name: given[place][: len(pixels)].copy() for place, name in enumerate(names)}
        return graphs.outputs_of(named, len(pixels))
