"""Light network that outlines lungs, from scratch, made for two cores and for int8.

A strided 3x3 stem, then one stage per width, each halving the side but the first; the last one looks around with
dilated convolutions (Yu and Koltun 2016, arXiv:1511.07122). On the way up a 1x1 convolution narrows the map, its side
is doubled (bilinear), and the map of the way down is added. Only convolution, batch normalisation, ReLU, addition and
doubling, so that every runtime can fuse and quantise it; widths are multiples of 16, as processors compute them. The
vector is the average of the deepest map. The default has 0.43 M parameters.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from laennec import backbones
from laennec.errors import extra

if TYPE_CHECKING:
    from torch import nn

SEGMENTS = True


class Options(BaseModel):
    """Attributes:
    widths: channels of each stage, the first at half the picture's side, each one after it at half the side before.
    dilations: of the convolutions of the last stage; 1 is a plain one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    widths: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(
        default=(16, 32, 64, 96), min_length=2, max_length=6, strict=False
    )
    dilations: tuple[Annotated[int, Field(ge=1, le=32)], ...] = Field(
        default=(1, 2, 4), min_length=1, max_length=8, strict=False
    )


def starting_weights(options: Options) -> str:
    """Always ``random``."""
    return "random"


def build(options: Options, channels: int, size: int, start: bool = True) -> tuple[nn.Module, int]:
    """The backbone, randomly started (He initialisation), and its number of features, the last of `widths`.

    The maps are the deepest, ``[n, widths[-1], size / 2^stages, the same]``, and the finest, ``[n, widths[0], size / 2,
    size / 2]``.

    Raises:
        UsageError: the side cannot be halved that often without a remainder.
    """
    widths = options.widths
    step = 2 ** len(widths)
    backbones.divisible(size, step, f"a lungnet of {len(widths)} stages works in squares of {step} pixels")
    with extra("train"):
        import torch
        from torch import nn

    def layer(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
        padding = dilation * (kernel // 2)
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), *([nn.ReLU()] if kernel > 1 else [])]

    class Up(nn.Module):
        def __init__(self, below: int, above: int) -> None:
            super().__init__()
            doubled = nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False)
            self.narrow = nn.Sequential(*layer(below, above, kernel=1), doubled)
            self.join = nn.Sequential(*layer(above, above))

        def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
            joined: torch.Tensor = self.join(self.narrow(x) + level)
            return joined

    down = [nn.Sequential(*layer(channels, widths[0], stride=2), *layer(widths[0], widths[0]))]
    for stage, (above, below) in enumerate(pairwise(widths), 2):
        around = options.dilations if stage == len(widths) else (1,)
        layers = [one for dilation in around for one in layer(below, below, dilation=dilation)]
        down.append(nn.Sequential(*layer(above, below, stride=2), *layers))
    backbone = backbones.ladder(down, [Up(below, above) for below, above in pairwise(reversed(widths))], widths[0])
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return backbone, widths[-1]
