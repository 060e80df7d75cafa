"""PyTorch, eager, fp32: what training writes, and the baseline every other backend is held against."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from laennec.backends import Session
from laennec.errors import UsageError, extra

if TYPE_CHECKING:
    import numpy as np

    from laennec.card import Card

PRECISIONS: tuple[str, ...] = ()


def start(card: Card, files: Mapping[str, bytes], threads: int) -> Session:
    """Build the network from the card and load its weights, on the CPU."""
    with extra("train"):
        import torch

        from laennec.network import load_deployed
    network = load_deployed(card, files).to(memory_format=torch.channels_last)
    threads = threads or os.cpu_count() or 1

    class Eager:
        def run(self, pixels: np.ndarray) -> np.ndarray:
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            try:
                with torch.inference_mode():
                    answer: np.ndarray = network(torch.from_numpy(pixels)).numpy()
            finally:
                torch.set_num_threads(before)
            return answer

    return Eager()


def export(parent: Card, files: Mapping[str, bytes], precision: str, calibration: np.ndarray) -> dict[str, bytes]:
    """Not offered. Raises `UsageError`: a torch bundle is made by training."""
    raise UsageError("nothing is exported to torch: a torch bundle is made by training", "take --backend onnxruntime")
