"""PyTorch, eager: fp32, what training writes and the baseline of every table; int8 stores weights in 8 bits only.

int8 here is what is often meant by "quantised": weights rounded to 8 bits per output channel and turned back to fp32
when loaded. A quarter of the size, and no faster.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from laennec import graphs
from laennec.backends import Session
from laennec.errors import UsageError, extra
from laennec.outputs import Outputs

if TYPE_CHECKING:
    import numpy as np

    from laennec.card import Card, Quantisation
    from laennec.quantising import Quantiser

PRECISIONS = ("int8",)
CALIBRATES = False
_SCALE = "::scale"  # no module can have this name
_LARGEST = 127


def ready() -> None:
    """Raises `MissingExtra` if torch is not installed."""
    with extra("train"):
        import torch  # noqa: F401


def computes(precision: str) -> bool:
    """In all of them."""
    return True


def start(card: Card, files: Mapping[str, bytes], threads: int) -> Session:
    """Build the network from the card and load its weights, on the CPU."""
    with extra("train"):
        import torch

        from laennec.network import load_deployed
    if card.precision == "int8":
        files = {name: _restored(data) if name.endswith(".safetensors") else data for name, data in files.items()}
    network = load_deployed(card, files).to(memory_format=torch.channels_last)
    threads = threads or os.cpu_count() or 1

    class Eager:
        def run(self, pixels: np.ndarray, also: Sequence[str] = ()) -> Outputs:
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            try:
                with torch.inference_mode():
                    given = network.answer(torch.from_numpy(pixels).float() / 255.0, also)
            finally:
                torch.set_num_threads(before)
            named = {name: tensor.numpy() for name, tensor in given._asdict().items() if tensor is not None}
            return graphs.outputs_of(named, len(pixels))

    return Eager()


def export(
    parent: Card, files: Mapping[str, bytes], precision: str, quantiser: Quantiser, how: Quantisation
) -> dict[str, bytes]:
    """The parent's weights in 8 bits: ``round(w / scale)`` with ``scale = max|w| / 127`` of each output channel.

    Raises:
        UsageError: the parent is not a torch bundle.
    """
    if parent.backend != "torch":
        raise UsageError("torch rounds torch's own weights", "name the torch bundle this one was exported from")
    return {name: _rounded(data) for name, data in files.items() if Path(name).suffix == ".safetensors"}


def _rounded(data: bytes) -> bytes:
    import torch
    from safetensors.torch import load, save

    kept: dict[str, torch.Tensor] = {}
    for name, tensor in load(data).items():
        if tensor.ndim < 2 or not tensor.is_floating_point():
            kept[name] = tensor
            continue
        flat = tensor.flatten(1)
        scale = flat.abs().amax(1).clamp_min(1e-12) / _LARGEST
        kept[name] = (flat / scale[:, None]).round().to(torch.int8).view(tensor.shape)
        kept[name + _SCALE] = scale
    return save({name: tensor.contiguous() for name, tensor in kept.items()})


def _restored(data: bytes) -> bytes:
    from safetensors.torch import load, save

    stored = load(data)
    weights = {name: tensor for name, tensor in stored.items() if not name.endswith(_SCALE)}
    for name, tensor in weights.items():
        if name + _SCALE in stored:
            scale = stored[name + _SCALE].view(-1, *[1] * (tensor.ndim - 1))
            weights[name] = tensor.float() * scale
    return save(weights)
