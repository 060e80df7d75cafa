"""The roofline: the machine's peak in a matrix product, and the share of it that nets reach.

`benchmarks/compression.py` runs this after its nets; the peak is what the processor can do at best.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import page

SIDE = 2048
SIDES = {"fp32": "onnxruntime fp32", "bf16": "openvino bf16", "int8": "openvino int8"}


def write(measured: Mapping[str, Any], called: Mapping[str, str]) -> None:
    """Measure the peaks and write the section.

    Args:
        measured: of each net, milliseconds by batch and side, and operations, as `compression.nets` leaves them.
        called: the nets and their names.
    """
    peaks = {"fp32": product("f32"), "bf16": product("bf16"), "int8": product_int8()}
    lines = [
        f"A product of two matrices of {SIDE} x {SIDE} by openvino, {os.cpu_count()} threads, best of 20. Of each net:",
        "operations (2 x MAC) a second in batches of 16, and their share of the peak in the same precision.",
        "",
        "| precision | peak, Gop/s | " + " | ".join(called.values()) + " |",
        "|---|---|" + "---|" * len(called),
    ]
    for precision, side in SIDES.items():
        cells = []
        for net in called:
            row = measured.get(net)
            if row is None:
                cells.append("")
                continue
            done = 16 * row["operations"]["whole"] / (row["milliseconds"]["16"][side] / 1000) / 1e9
            cells.append(f"{done:.0f} ({done / peaks[precision]:.0%})")
        lines.append(f"| {precision} | {peaks[precision]:.0f} | " + " | ".join(cells) + " |")
    page.write("roof", "How near to the roof", "python benchmarks/compression.py --kermany FOLDER", [*lines, ""])


def _rate(run: Callable[[], object]) -> float:
    for _ in range(3):
        run()
    best = min(_seconds(run) for _ in range(20))
    return 2 * SIDE**3 / best / 1e9


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def product(precision: str) -> float:
    """Gop/s of an openvino matrix product in floating point."""
    import openvino as ov
    from openvino import opset13 as ops

    generator = np.random.default_rng(0)
    left = ops.parameter([SIDE, SIDE], np.float32)
    right = ops.constant(generator.standard_normal((SIDE, SIDE)).astype(np.float32))
    return _compiled_rate(ov.Model([ops.matmul(left, right, False, False)], [left]), precision, np.float32)


def product_int8() -> float:
    """Gop/s of the same in 8 bits, read from a QDQ graph."""
    import onnx
    import openvino as ov
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    weights = generator.integers(-127, 128, (SIDE, SIDE)).astype(np.int8)
    constants = {"w": weights, "s": np.float32(0.01), "z": np.uint8(128), "zw": np.int8(0), "so": np.float32(0.5)}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w", "s", "zw"], ["wf"]),
        helper.make_node("MatMul", ["xf", "wf"], ["yf"]),
        helper.make_node("QuantizeLinear", ["yf", "so", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [SIDE, SIDE])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model)
    return _compiled_rate(ov.Core().read_model(model.SerializeToString()), "f32", np.uint8)


def _compiled_rate(model: Any, precision: str, kind: Any) -> float:
    import openvino as ov

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
    values = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE)).astype(kind)
    return _rate(lambda: request.infer([values], share_inputs=True, share_outputs=True))
