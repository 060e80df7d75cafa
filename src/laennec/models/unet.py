"""U-Net from scratch: a contracting path, an expanding path, and the maps of each side joined to the other's.

Ronneberger et al. 2015, arXiv:1505.04597, with padded convolutions. On each level two 3x3 convolutions with ReLU; 2x2
max-pooling goes down, a transposed 2x2 convolution goes up. The vector is the average of the deepest map. The default
has 0.47 M parameters.
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
    widths: channels of each level, from the full side down; each level after the first halves the side.
    norm: batch normalisation after each 3x3 convolution.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    widths: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(
        default=(32, 64, 128), min_length=2, max_length=7, strict=False
    )
    norm: bool = False


def starting_weights(options: Options) -> str:
    """Always ``random``."""
    return "random"


def build(options: Options, channels: int, size: int, start: bool = True) -> tuple[nn.Module, int]:
    """The backbone, randomly started (He initialisation), and its number of features, the last of `widths`.

    The maps are the deepest, ``[n, widths[-1], size / 2^(levels - 1), the same]``, and the finest, ``[n, widths[0],
    size, size]``.

    Raises:
        UsageError: the side cannot be halved that often without a remainder.
    """
    widths = options.widths
    step = 2 ** (len(widths) - 1)
    backbones.divisible(size, step, f"a U-Net of {len(widths)} levels works in squares of {step} pixels")
    with extra("train"):
        import torch
        from torch import nn

    def convolutions(inputs: int, outputs: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for before in (inputs, outputs):
            layers.append(nn.Conv2d(before, outputs, 3, padding=1, bias=not options.norm))
            layers += [*([nn.BatchNorm2d(outputs)] if options.norm else []), nn.ReLU()]
        return layers

    class Up(nn.Module):
        def __init__(self, below: int, above: int) -> None:
            super().__init__()
            self.widen = nn.ConvTranspose2d(below, above, 2, stride=2)
            self.join = nn.Sequential(*convolutions(2 * above, above))

        def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
            joined: torch.Tensor = self.join(torch.cat([level, self.widen(x)], 1))
            return joined

    down = [nn.Sequential(*convolutions(channels, widths[0]))]
    down += [nn.Sequential(nn.MaxPool2d(2), *convolutions(above, below)) for above, below in pairwise(widths)]
    backbone = backbones.ladder(down, [Up(below, above) for below, above in pairwise(reversed(widths))], widths[0])
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            # forward, for without normalisation nothing else keeps the size of the answers
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=module.in_channels**-0.5)
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return backbone, widths[-1]
