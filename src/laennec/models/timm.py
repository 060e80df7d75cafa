"""Any backbone of timm by name, from pretrained weights, a safetensors file, or a random start.

``weights = "pretrained"`` fetches through timm and needs a network or a filled cache; ``weights = "….safetensors"``
reads a file in timm's own naming; ``weights = "none"`` starts at random. What is asked for and cannot be had is an
error: there is no silent random start. Wightman, doi:10.5281/zenodo.4414861.

The features are what timm gives its classifier. `dense = false` takes VGG's convolutions alone (the ``include_top =
False`` of Keras), `width` makes a MobileNet of any width.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from laennec import backbones
from laennec.errors import UsageError, extra

if TYPE_CHECKING:
    from torch import nn


_WIDENED = {"mobilenetv1_100": "_gen_mobilenet_v1", "mobilenetv2_100": "_gen_mobilenet_v2"}


class Options(BaseModel):
    """Attributes:
    backbone: a name timm knows, with or without a weights tag (``mobilenetv3_small_100.lamb_in1k``).
    weights: ``none``, ``pretrained``, or the path of a safetensors file. No default: say what you start from.
    drop_path: largest chance of leaving out a block (stochastic depth), where the backbone has it.
    width: channels of a MobileNet as a share of the published network's, for widths timm has no name for: with
        ``mobilenetv1_100`` or ``mobilenetv2_100``, and no pretrained weights.
    dense: keep VGG's two dense layers of 4096 before the classifier; false averages its last convolution instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    backbone: str
    weights: str
    drop_path: float = Field(default=0.0, ge=0.0, lt=1.0)
    width: float = Field(default=1.0, gt=0.0, le=4.0)
    dense: bool = True

    @field_validator("weights")
    @classmethod
    def _known_kind(cls, weights: str) -> str:
        return backbones.checked(weights)

    @model_validator(mode="after")
    def _for_their_backbones_only(self) -> Self:
        if self.width != 1.0 and self.backbone not in _WIDENED:
            raise ValueError(f"width needs the backbone {' or '.join(_WIDENED)}")
        if self.width != 1.0 and self.weights == "pretrained":
            raise ValueError("there are no pretrained weights of a width timm has no name for")
        if not self.dense and not self.backbone.startswith("vgg"):
            raise ValueError("dense = false leaves out the dense layers of a VGG: other backbones have none")
        return self


def starting_weights(options: Options) -> str:
    """``random``, a file's name and digest, or timm's tag, which names what the weights have seen."""
    return backbones.seen(options.backbone, options.weights)


def build(options: Options, channels: int, size: int, start: bool = True) -> tuple[nn.Module, int]:
    """The backbone without its classifier, and its number of features.

    Raises:
        UnknownName: timm has no such backbone.
        UsageError: the backbone cannot take that size.
        LaennecError: the pretrained weights cannot be fetched, or the file does not fit the backbone.
    """
    with extra("train"):
        import timm

    name = options.backbone
    backbones.known(name)
    arguments: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
    if options.drop_path:
        arguments["drop_path_rate"] = options.drop_path
    if backbones.takes_size(name):
        arguments["img_size"] = size
    pretrained = start and options.weights == "pretrained"
    if not options.dense and not pretrained:
        arguments["mlp_ratio"] = 1 / 4096  # the 120 M weights that would be thrown away take seconds to make
    try:
        if options.width != 1.0:
            # timm's builders take any width, its registered names only some
            widened = getattr(timm.models.efficientnet, _WIDENED[name])
            backbone = widened(name, channel_multiplier=options.width, **arguments)
        else:
            backbone = timm.create_model(name, pretrained=pretrained, **arguments)
    except Exception as error:
        if pretrained:
            raise backbones.not_fetched(name, error) from error
        raise UsageError(f"timm cannot build '{name}' at {size} pixels: {error}", "change preprocess.size") from error
    if not options.dense:
        _drop_dense(backbone)
    if start and backbones.from_file(options.weights):
        backbones.fill(backbone, Path(options.weights), channels)
    return backbone, _features(backbone, name, channels, size)


def _drop_dense(backbone: nn.Module) -> None:
    """Average VGG's last convolution. The other layers keep their names, so that the same weights fit."""
    from torch import nn

    backbone.pre_logits = nn.Identity()
    backbone.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _features(backbone: nn.Module, name: str, channels: int, size: int) -> int:
    """Some backbones widen their features after pooling: asking the network beats timm's num_features."""
    import torch

    patch = max(getattr(getattr(backbone, "patch_embed", None), "patch_size", (1,)))
    # timm would leave out the right and lower edge without a word
    backbones.divisible(size, patch, f"'{name}' reads patches of {patch} pixels")
    backbone.eval()
    try:
        with torch.no_grad():
            return int(backbone(torch.zeros(1, channels, size, size)).shape[-1])
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"'{name}' cannot take pictures of {size} pixels", "raise preprocess.size") from error
