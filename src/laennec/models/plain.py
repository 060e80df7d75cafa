"""Plain convolutional network from scratch: 3x3 convolutions with ReLU, each followed by 2x2 max-pooling.

The textbook network that radiology reports train first. Four convolutions by default; with ``[head] hidden = [256]``
it has two dense layers after them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from laennec.errors import UsageError, extra

if TYPE_CHECKING:
    from torch import nn


class Options(BaseModel):
    """Attributes:
    widths: channels of each convolution.
    norm: batch normalisation after each convolution.
    pool: ``average`` gives one feature per channel of the last convolution, ``flatten`` one per channel and place: many
        more parameters in the head, and a size that cannot change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    widths: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(
        default=(32, 64, 128, 256), min_length=1, max_length=8, strict=False
    )
    norm: bool = False
    pool: Literal["average", "flatten"] = "average"


def starting_weights(options: Options) -> str:
    """Always ``random``."""
    return "random"


def build(options: Options, channels: int, size: int, start: bool = True) -> tuple[nn.Module, int]:
    """The backbone, randomly started (He initialisation), and its number of features.

    Raises:
        UsageError: the image is too small to be halved that often.
    """
    side = size >> len(options.widths)
    if side < 1:
        raise UsageError(
            f"{size} pixels cannot be halved {len(options.widths)} times",
            "raise preprocess.size, or give model.widths fewer convolutions",
        )
    with extra("train"):
        from torch import nn

    layers: list[nn.Module] = []
    inputs = channels
    for outputs in options.widths:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=not options.norm)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
        layers += [convolution, *([nn.BatchNorm2d(outputs)] if options.norm else []), nn.ReLU(), nn.MaxPool2d(2)]
        inputs = outputs
    pooling = [nn.AdaptiveAvgPool2d(1)] if options.pool == "average" else []
    return nn.Sequential(*layers, *pooling, nn.Flatten()), inputs * (1 if pooling else side * side)
