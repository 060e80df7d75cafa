"""Small residual network from scratch, made for two cores and for int8.

A strided 3x3 stem, then one basic residual block (He et al. 2016, arXiv:1512.03385) per width, each halving the side
but the first, then global average pooling. Only convolution, batch normalisation, ReLU and addition, so that every
runtime can fuse and quantise it. The default has 0.69 M parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from laennec.errors import UsageError, extra

if TYPE_CHECKING:
    from torch import nn


class Options(BaseModel):
    """Attributes:
    widths: channels of each stage.
    blocks: residual blocks of each stage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    widths: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(
        default=(24, 48, 96, 192), min_length=1, max_length=6, strict=False
    )
    blocks: int = Field(default=1, ge=1, le=16)


def starting_weights(options: Options) -> str:
    """Always ``random``."""
    return "random"


def build(options: Options, channels: int, size: int, start: bool = True) -> tuple[nn.Module, int]:
    """The backbone, randomly started (He initialisation), and its number of features.

    Raises:
        UsageError: the image is too small for that many stages.
    """
    if size < 2 ** len(options.widths):
        raise UsageError(f"{len(options.widths)} stages do not fit {size} pixels", "raise preprocess.size")
    with extra("train"):
        from torch import nn

    class Residual(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(outputs)
            self.skip: nn.Module = nn.Identity()
            if stride != 1 or inputs != outputs:
                self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            self.relu = nn.ReLU()

        def forward(self, x):  # type: ignore[no-untyped-def]
            y = self.relu(self.norm1(self.conv1(x)))
            return self.relu(self.norm2(self.conv2(y)) + self.skip(x))

    width = options.widths[0]
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    for stage, outputs in enumerate(options.widths):
        for block in range(options.blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(Residual(width, outputs, stride))
            width = outputs
    backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return backbone, width
