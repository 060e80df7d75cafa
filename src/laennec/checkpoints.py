"""Training state on disk: the last two epochs, each a safetensors file with a digest, so that a kill costs one epoch.

Tensors lie in safetensors; counters and history lie in a JSON file that carries the tensors' SHA-256 and is written
last. A damaged newest checkpoint is told and the one before is used.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from laennec import progress, storage
from laennec.errors import LaennecError, UsageError

_KEEP = 2
_SHARE = 0.05  # of the training's time
_CHEAP = 0.2  # seconds


@dataclass
class State:
    """What an exact resume needs: tensors by name, and plain JSON values (epoch, history, counters)."""

    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]


class Saver:
    """Saves after every epoch, but spends little of a training's time on it: a big network's state is saved less often.

    A resumed training repeats the epochs since, to the same bits.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._cost, self._ended = folder, 0.0, 0.0

    def save(self, epoch: int, state: Callable[[], State], *, sure: bool) -> None:
        """Write the state after `epoch`, always where `sure`. Raises `StorageFull` as `save_state`."""
        started = time.monotonic()
        if not sure and self._cost > _CHEAP and started - self._ended < self._cost / _SHARE:
            return
        save_state(self.folder, epoch, state())
        self._ended = time.monotonic()
        self._cost = self._ended - started


def save_state(folder: Path, epoch: int, state: State) -> None:
    """Write the state after `epoch` (counted over all phases) and drop all but the last two.

    Raises:
        StorageFull: no room; earlier checkpoints still open.
    """
    for left in folder.glob(".*.part"):  # of a write that was killed
        left.unlink(missing_ok=True)
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()})
    stem = folder / f"epoch-{epoch:05}"
    storage.write_bytes(stem.with_suffix(".safetensors"), data)
    values = {**state.values, "sha256": hashlib.sha256(data).hexdigest()}
    storage.write_json(stem.with_suffix(".json"), values)
    for old in _epochs(folder)[:-_KEEP]:
        for suffix in (".json", ".safetensors"):
            (folder / old).with_suffix(suffix).unlink(missing_ok=True)


def last_state(folder: Path, identity: dict[str, str]) -> State | None:
    """The newest intact checkpoint, or None where there is none.

    Args:
        folder: where `save_state` wrote.
        identity: values the checkpoint must carry to be of this very training.

    Raises:
        UsageError: the checkpoints are of another recipe or other data.
    """
    for stem in reversed(_epochs(folder)):
        try:
            values = storage.read_json(folder / f"{stem}.json")
            data = (folder / f"{stem}.safetensors").read_bytes()
            intact = hashlib.sha256(data).hexdigest() == values["sha256"]
        except (LaennecError, OSError, KeyError, TypeError):
            intact = False
        if not intact:
            progress.say(f"warning: the checkpoint {stem} is damaged; the one before it is used")
            continue
        if any(values.get(key) != value for key, value in identity.items()):
            raise UsageError(
                f"{folder.parent} holds an unfinished training of another recipe or other data",
                "take another --out, or delete that folder",
            )
        return State(load(data), values)
    return None


def clear(folder: Path) -> None:
    """Remove all checkpoints: the training is done and its bundle sealed."""
    shutil.rmtree(folder, ignore_errors=True)


def _epochs(folder: Path) -> list[str]:
    return sorted({p.stem for p in folder.glob("epoch-*.json")} | {p.stem for p in folder.glob("epoch-*.safetensors")})
