"""How a radiograph becomes the array a model reads. The noun; `laennec.images` applies it.

The contract with every runtime: the model's input is ``uint8 [n, 1, size, size]``, grey, 0 black to 255 white. What
follows (division by 255, `mean`, `std`, repetition to three channels) travels inside the network or the graph.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from laennec.storage import digest


class Preprocess(BaseModel):
    """From grey float [0, 1] of any shape to ``uint8 [1, size, size]``, and what the network does with it.

    Attributes:
        size: side of the square input, pixels.
        resize: ``stretch`` ignores the aspect, ``pad`` keeps it and fills with black, ``crop`` keeps it and takes the
            central square.
        channels: 1, or 3 where a backbone expects colour (the grey plane is repeated inside the graph).
        mean: subtracted after division by 255.
        std: divisor after `mean`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    size: int = Field(default=224, ge=16, le=2048)
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    channels: Literal[1, 3] = 1
    mean: float = Field(default=0.5, ge=-1.0, le=1.0, allow_inf_nan=False)
    std: float = Field(default=0.25, gt=0.0, le=1.0, allow_inf_nan=False)

    @property
    def pixel_digest(self) -> str:
        """Digest of the part that decides the decoded pixels (`size`, `resize`): the key of the image cache."""
        return digest({"size": self.size, "resize": self.resize})
