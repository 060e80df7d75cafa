"""What backbones of several members share: timm's names, pretrained weights found or refused, sides a stride divides.

Members of a family do not know each other, so it lies below them. What is asked for and cannot be had is an error:
there is no silent random start.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from laennec.errors import LaennecError, UnknownName, UntrustedBundle, UsageError, extra
from laennec.storage import file_digest

if TYPE_CHECKING:
    from torch import nn


def checked(weights: str) -> str:
    """What a recipe's ``weights`` may say: ``none``, ``pretrained``, or the path of a safetensors file.

    Raises:
        ValueError: it says something else.
    """
    if "://" in weights:
        raise ValueError("a file on this machine is expected, not a URL")
    if weights not in {"none", "pretrained"} and not weights.endswith(".safetensors"):
        raise ValueError("take 'none', 'pretrained' or the path of a .safetensors file")
    return weights


def from_file(weights: str) -> bool:
    """Whether ``weights`` names a file."""
    return weights not in {"none", "pretrained"}


def seen(backbone: str, weights: str) -> str:
    """``random``, a file's name and digest, or timm's tag, which names what the weights have seen."""
    if weights == "none":
        return "random"
    if from_file(weights):
        return f"{Path(weights).name} (sha256 {file_digest(Path(weights))[:16]})"
    import timm

    config = timm.get_pretrained_cfg(backbone)
    return f"timm {backbone}, weights '{getattr(config, 'tag', '') or 'default'}'"


def known(name: str) -> None:
    """Refuse what timm has no architecture for.

    Raises:
        UnknownName: timm has no such backbone; the nearest names are said.
    """
    with extra("train"):
        import timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name.partition(".")[0], timm.list_models(), n=8)
        raise UnknownName("timm backbone", name, near or ["resnet50", "mobilenetv3_small_100", "densenet121"])


def takes_size(name: str) -> bool:
    """Whether timm builds this backbone for one size of pictures, which must be told (``img_size``)."""
    import timm

    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return config is not None and bool(getattr(config, "fixed_input_size", False))


def not_fetched(name: str, error: Exception) -> LaennecError:
    """The error for pretrained weights that cannot be had."""
    return LaennecError(
        f"the pretrained weights of '{name}' cannot be fetched ({type(error).__name__})",
        'set model.weights = "<file>.safetensors" (fetched elsewhere), or "none" for a random start',
    )


def divisible(size: int, step: int, why: str) -> None:
    """Refuse a side that is no multiple of `step` pixels; `why` says who needs it, and ends in the number.

    Raises:
        UsageError: it is none; the hint says the nearest sides.
    """
    if size % step:
        low = size - size % step
        raise UsageError(
            f"{why}, and {size} is no multiple of that",
            f"set preprocess.size = {low or step}" + (f" or {low + step}" if low else ""),
        )


def ladder(down: Sequence[nn.Module], up: Sequence[nn.Module], planes: int) -> nn.Module:
    """A backbone that goes down and up again, what it met on the way down beside it.

    Args:
        down: stages in the order they run, each making the next map of the one before.
        up: stages that make ``(coarser, map beside it) -> finer``, from the deepest; one fewer.
        planes: channels of the finest map.
    """
    with extra("train"):
        import torch
        from torch import nn

    class Ladder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.planes = planes
            self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)

        def levels(self, x: torch.Tensor) -> list[torch.Tensor]:
            found = []
            for stage in self.down:
                x = stage(x)
                found.append(x)
            return found

        def deep(self, x: torch.Tensor) -> torch.Tensor:
            return self.levels(x)[-1]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.deep(x).mean((2, 3))

        def maps(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            *beside, deep = self.levels(x)
            fine = deep
            for stage, level in zip(self.up, reversed(beside), strict=True):
                fine = stage(fine, level)
            return deep, fine

    return Ladder()


def fill(backbone: nn.Module, path: Path, channels: int) -> None:
    """Give a backbone of timm, or the part of one that makes its maps, the weights of a safetensors file.

    The file bears the names of the whole backbone; what it holds beyond the part is left out. For `channels` 1 the
    first convolution's kernels of three channels are summed, as timm does.

    Raises:
        UsageError: there is no such file.
        UntrustedBundle: the file is not safetensors.
        LaennecError: a tensor is missing or has another shape.
    """
    from safetensors.torch import load_file
    from timm.models import adapt_input_conv

    if not path.is_file():
        raise UsageError(f"there is no weights file {path}", "correct model.weights")
    try:
        state = load_file(path)
    except Exception as error:
        raise UntrustedBundle(f"{path.name} is not a safetensors file", "convert the weights to safetensors") from error
    wanted, given = backbone.state_dict(), {}
    for name in wanted:
        source = next((one for one in _names(name) if one in state), None)
        if source is None:
            continue
        tensor = state[source]
        if tensor.ndim == 4 and tensor.shape[1] == 3 and wanted[name].shape[1] == channels == 1:
            tensor = adapt_input_conv(1, tensor)
        given[name] = tensor
    missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
    misfit = [name for name, tensor in given.items() if tensor.shape != wanted[name].shape]
    if missing or misfit:
        raise LaennecError(
            f"{path.name} does not fit the backbone: {len(missing)} tensors are missing and {len(misfit)} have another "
            f"shape, the first is {(missing + misfit)[0]}",
            "take weights saved from the same timm backbone",
        )
    backbone.load_state_dict(given, strict=False)


def _names(name: str) -> tuple[str, str]:
    """A tensor's name as it is, and as the whole backbone has it where timm flattens its sequences to give maps:
    ``stages_0.blocks.1.weight`` is ``stages.0.blocks.1.weight`` there.
    """
    return name, re.sub(r"^([^.]*?)_", r"\1.", name)
