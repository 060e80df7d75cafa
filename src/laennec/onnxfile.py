"""Look into an ONNX file without parsing it as a model: does it stay inside itself?

Reads protobuf's wire format only as far as needed to find weights stored outside the file and operators outside the
standard domains, so that a file is judged before any runtime opens it. Needs neither onnx nor onnxruntime.
Field numbers: onnx/onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Iterator

from laennec.errors import UntrustedBundle

# Operators of ONNX itself, and those that onnxruntime's own optimiser and quantiser write.
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 32

# message -> {field number: message inside}; fields not named here are skipped.
_INSIDE = {
    "Model": {7: "Graph", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}


def check(data: bytes) -> None:
    """Refuse an ONNX file that is not one, keeps weights outside itself, or calls operators of a foreign domain.

    Raises:
        UntrustedBundle: what was found.
    """
    try:
        graphs = _walk(memoryview(data), "Model", 0)
    except (IndexError, ValueError, RecursionError) as error:
        raise UntrustedBundle("the file is not a readable ONNX model", "export the model again") from error
    if graphs == 0:
        raise UntrustedBundle("the file holds no ONNX graph", "export the model again")


def _walk(data: memoryview, message: str, depth: int) -> int:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    inside = _INSIDE.get(message, {})
    graphs = 0
    for number, kind, value in _fields(data):
        if message == "Tensor" and (number == 13 or (number == 14 and value != 0)):
            raise UntrustedBundle("the ONNX file keeps weights outside itself", "export it with its weights inside")
        is_domain = (message, number) in {("Node", 7), ("Function", 10)}
        if is_domain and isinstance(value, memoryview) and bytes(value).decode() not in _DOMAINS:
            raise UntrustedBundle(
                f"the ONNX file calls operators of the domain '{bytes(value).decode()[:40]}'",
                "laennec runs standard operators only",
            )
        if kind == _BYTES and number in inside and isinstance(value, memoryview):
            graphs += (message, number) == ("Model", 7)
            graphs += _walk(value, inside[number], depth + 1)
    return graphs


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        # protobuf cuts a key to 32 bits: a longer one would be another field to the runtime than to us
        if key >= 1 << 32 or number == 0:
            raise ValueError(f"field key {key}")
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, kind, value
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
            yield number, kind, 0
        elif kind == _BYTES:
            length, at = _varint(data, at)
            yield number, kind, data[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {kind}")
        if at > len(data):
            raise ValueError("field runs past the end")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")
