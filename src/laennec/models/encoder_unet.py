"""U-Net over any encoder of timm that gives maps of several sides, by way of segmentation-models-pytorch.

The encoder starts as in the member `timm`: from pretrained weights, a safetensors file in timm's own naming, or at
random; the decoder always at random. What is asked for and cannot be had is an error: there is no silent random start.
Iakubovskii, https://github.com/qubvel-org/segmentation_models.pytorch; Wightman, doi:10.5281/zenodo.4414861.

Each level of the decoder doubles the side (nearest), joins the encoder's map of that side, and has two 3x3 convolutions
with ReLU. The vector is the average of the encoder's last map.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from laennec import backbones
from laennec.errors import UsageError, extra

if TYPE_CHECKING:
    from torch import nn

SEGMENTS = True


class Options(BaseModel):
    """Attributes:
    backbone: a name timm knows, with or without a weights tag (``resnet18.a1_in1k``).
    weights: ``none``, ``pretrained``, or the path of a safetensors file. No default: say what you start from.
    decoder: channels of each level of the decoder, the deepest first; as many levels of the encoder are used, each
        half the side of the one before.
    norm: batch normalisation after each convolution of the decoder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    backbone: str
    weights: str
    decoder: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(
        default=(256, 128, 64, 32, 16), min_length=2, max_length=5, strict=False
    )
    norm: bool = True

    @field_validator("weights")
    @classmethod
    def _known_kind(cls, weights: str) -> str:
        return backbones.checked(weights)


def starting_weights(options: Options) -> str:
    """``random``, a file's name and digest, or timm's tag, which names what the encoder's weights have seen."""
    return backbones.seen(options.backbone, options.weights)


def build(options: Options, channels: int, size: int, start: bool = True) -> tuple[nn.Module, int]:
    """The backbone and the number of its features, the channels of the encoder's last map.

    The maps are the encoder's last, ``[n, features, size / 2^levels, the same]``, and the decoder's last, ``[n,
    decoder[-1], size, size]``.

    Raises:
        UnknownName: timm has no such backbone.
        UsageError: the backbone gives no maps of 1/2 (or 1/4), 1/4, 1/8 … of the side, fewer of them than the decoder
            has levels, or cannot take that size.
        LaennecError: the pretrained weights cannot be fetched, or the file does not fit the backbone.
    """
    name, depth = options.backbone, len(options.decoder)
    backbones.known(name)
    _refuse_shallow(name, depth)
    step = 2**depth
    backbones.divisible(size, step, f"'{name}' under {depth} levels works in squares of {step} pixels")
    with extra("train"):
        import torch
        from segmentation_models_pytorch import Unet
        from torch import nn

    class EncoderUNet(nn.Module):
        planes = options.decoder[-1]

        def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
            super().__init__()
            self.encoder, self.decoder = encoder, decoder

        def deep(self, x: torch.Tensor) -> torch.Tensor:
            last: torch.Tensor = self.encoder(x)[-1]
            return last

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.deep(x).mean((2, 3))

        def maps(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            levels = self.encoder(x)
            return levels[-1], self.decoder(levels)

    pretrained = start and options.weights == "pretrained"
    arguments: dict[str, Any] = {"img_size": size} if backbones.takes_size(name) else {}
    try:
        whole = Unet(
            f"tu-{name}",
            encoder_depth=depth,
            encoder_weights=True if pretrained else None,  # its "imagenet" is another library's
            decoder_channels=options.decoder,
            decoder_use_norm=options.norm,
            in_channels=channels,
            **arguments,
        )
    except Exception as error:
        if pretrained:
            raise backbones.not_fetched(name, error) from error
        raise UsageError(f"timm cannot build '{name}' at {size} pixels: {error}", "change preprocess.size") from error
    if start and backbones.from_file(options.weights):
        backbones.fill(whole.encoder.model, Path(options.weights), channels)
    backbone = EncoderUNet(whole.encoder, whole.decoder).eval()
    try:
        with torch.no_grad():
            deep, fine = backbone.maps(torch.zeros(1, channels, size, size))
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"'{name}' cannot take pictures of {size} pixels", "raise preprocess.size") from error
    if fine.shape != (1, backbone.planes, size, size):
        raise UsageError(f"'{name}' gives no map of {size} pixels", "take another backbone, as resnet18")
    return backbone, deep.shape[1]


def _refuse_shallow(name: str, depth: int) -> None:
    """Refuse what has no maps of 1/2, 1/4, 1/8 … of the side down to `depth`."""
    import timm
    import torch

    try:
        with torch.device("meta"):
            encoder: Any = timm.create_model(name, pretrained=False, features_only=True)
        sides = encoder.feature_info.reduction()
    except Exception as error:  # what timm raises depends on the architecture
        raise UsageError(f"'{name}' gives no maps, only a vector", "take another backbone, as resnet18") from error
    halved = [side for side in sides if side > 1]
    if halved not in ([2 ** (i + first) for i in range(len(halved))] for first in (1, 2)):
        shares = ", ".join(f"1/{side}" for side in sides)
        raise UsageError(
            f"the maps of '{name}' have {shares} of the side; a decoder needs 1/2, 1/4, 1/8 … or 1/4, 1/8 …",
            "take a backbone that has them, as resnet18",
        )
    if max(halved) < 2**depth:
        deepest = max(halved).bit_length() - 1
        raise UsageError(
            f"'{name}' halves the side {deepest} times, fewer than the decoder's {depth} levels",
            f"give model.decoder {deepest} widths",
        )
