"""Any backbone of timm by name, from pretrained weights, a safetensors file, or a random start.

``weights = "pretrained"`` fetches through timm and needs a network or a filled cache; ``weights = "….safetensors"``
reads a file in timm's own naming; ``weights = "none"`` starts at random. What is asked for and cannot be had is an
error: there is no silent random start. Wightman, doi:10.5281/zenodo.4414861.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, field_validator

from laennec.errors import LaennecError, UnknownName, UntrustedBundle, UsageError, extra
from laennec.storage import file_digest

if TYPE_CHECKING:
    from torch import nn


class Options(BaseModel):
    """Attributes:
    backbone: a name timm knows, with or without a weights tag (``mobilenetv3_small_100.lamb_in1k``).
    weights: ``none``, ``pretrained``, or the path of a safetensors file. No default: say what you start from.
    drop_path: stochastic depth, where the backbone has it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    backbone: str
    weights: str
    drop_path: float = 0.0

    @field_validator("weights")
    @classmethod
    def _known_kind(cls, weights: str) -> str:
        if "://" in weights:
            raise ValueError("a file on this machine is expected, not a URL")
        if weights not in {"none", "pretrained"} and not weights.endswith(".safetensors"):
            raise ValueError("take 'none', 'pretrained' or the path of a .safetensors file")
        return weights


def starting_weights(options: Options) -> str:
    """``random``, a file's name and digest, or timm's tag, which names what the weights have seen."""
    if options.weights == "none":
        return "random"
    if options.weights != "pretrained":
        return f"{Path(options.weights).name} (sha256 {file_digest(Path(options.weights))[:16]})"
    import timm

    config = timm.get_pretrained_cfg(options.backbone)
    return f"timm {options.backbone}, weights '{getattr(config, 'tag', '') or 'default'}'"


def build(options: Options, channels: int, size: int, start: bool = True) -> tuple[nn.Module, int]:
    """The backbone without its classifier, and its number of features.

    Raises:
        UnknownName: timm has no such backbone.
        LaennecError: the pretrained weights cannot be fetched, or the file does not fit the backbone.
    """
    with extra("train"):
        import timm
        import torch

    name = options.backbone
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.partition('.')[0].rstrip('0123456789')}*")[:20]
        raise UnknownName("timm backbone", name, near or ["resnet50", "mobilenetv3_small_100", "densenet121"])
    arguments: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
    if options.drop_path:
        arguments["drop_path_rate"] = options.drop_path
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if config is not None and getattr(config, "fixed_input_size", False):
        arguments["img_size"] = size
    pretrained = start and options.weights == "pretrained"
    try:
        backbone = timm.create_model(name, pretrained=pretrained, **arguments)
    except Exception as error:
        if pretrained:
            raise LaennecError(
                f"the pretrained weights of '{name}' cannot be fetched ({type(error).__name__})",
                'set model.weights = "<file>.safetensors" (fetched elsewhere), or "none" for a random start',
            ) from error
        raise UsageError(f"timm cannot build '{name}' at {size} pixels: {error}", "change preprocess.size") from error
    if start and options.weights not in {"none", "pretrained"}:
        _load(backbone, Path(options.weights), channels)
    # Some backbones widen their features after pooling; asking the network beats timm's num_features.
    backbone.eval()
    with torch.no_grad():
        features = int(backbone(torch.zeros(1, channels, size, size)).shape[-1])
    return backbone, features


def _load(backbone: nn.Module, path: Path, channels: int) -> None:
    from safetensors.torch import load_file
    from timm.models import adapt_input_conv

    if not path.is_file():
        raise UsageError(f"there is no weights file {path}", "correct model.weights")
    try:
        state = load_file(path)
    except Exception as error:
        raise UntrustedBundle(f"{path.name} is not a safetensors file", "convert the weights to safetensors") from error
    wanted = backbone.state_dict()
    for key in list(state):
        if (
            key in wanted
            and state[key].ndim == 4
            and state[key].shape[1] == 3
            and wanted[key].shape[1] == channels == 1
        ):
            state[key] = adapt_input_conv(1, state[key])
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    misfit = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    if missing or misfit:
        raise LaennecError(
            f"{path.name} does not fit the backbone: {len(missing)} tensors are missing and {len(misfit)} have another "
            f"shape, the first is {(missing + misfit)[0]}",
            "take weights saved from the same timm backbone",
        )
    backbone.load_state_dict({k: state[k] for k in wanted if k in state}, strict=False)
