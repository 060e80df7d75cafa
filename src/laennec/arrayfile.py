"""One array in a ``.npy`` file, read without trust: its header is checked before numpy sees it."""

from __future__ import annotations

import ast
import io

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"\x93NUMPY\x01\x00"
_LONGEST = 512  # of a header


def written(array: NDArray[np.float32]) -> bytes:
    """A two-dimensional array as the bytes of a ``.npy`` file, the same bytes for the same array."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array, np.float32), (1, 0), allow_pickle=False)
    return stream.getvalue()


def plain(data: bytes) -> bool:
    """Whether this is a ``.npy`` file of version 1 with one ``float32 [a, b]``, and exactly as long as that."""
    length = int.from_bytes(data[8:10], "little")
    if not data.startswith(_MAGIC) or length > _LONGEST:
        return False
    try:
        header = ast.literal_eval(data[10 : 10 + length].decode("ascii").strip())
    except (ValueError, SyntaxError, UnicodeDecodeError):
        return False
    if not isinstance(header, dict) or (header.get("descr"), header.get("fortran_order")) != ("<f4", False):
        return False
    shape = header.get("shape")
    if not isinstance(shape, tuple) or len(shape) != 2 or not all(type(side) is int and side > 0 for side in shape):
        return False
    return bool(len(data) == 10 + length + 4 * shape[0] * shape[1])


def read(data: bytes) -> NDArray[np.float32]:
    """The array. Raises `ValueError` unless the file is `plain`."""
    if not plain(data):
        raise ValueError("no plain array of float32")
    array: NDArray[np.float32] = np.load(io.BytesIO(data), allow_pickle=False)
    return array
