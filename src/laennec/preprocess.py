"""How a radiograph becomes the array a model reads. The noun; `laennec.images` applies it.

The contract with every runtime: the model's input is ``uint8 [n, 1, size, size]``, grey, 0 black to 255 white. What
follows (division by 255, `mean`, `std`, repetition to three channels) travels inside the network or the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from laennec.storage import digest

# SHA-256 of images/lungs.onnx: cards name the network their pictures were framed by, and no other may frame for them.
LOCATOR = "7e15a8bcabf812025e3320ca9082a177b55b43618580b224a3b86ef08546a936"

Channels = float | tuple[float, float, float]
_LATER = ("frame", "margin", "outside", "normalise", "equalise", "locator", "decode")

# What needs the lungs, and the value that does not.
_NEEDS_LUNGS = {"frame": "whole", "outside": "keep", "normalise": "none"}


class Preprocess(BaseModel):
    """From grey float [0, 1] of any shape to ``uint8 [1, size, size]``, and what the network does with it.

    Attributes:
        size: side of the square input, pixels.
        resize: ``stretch`` ignores the aspect, ``pad`` keeps it and fills with black, ``crop`` keeps it and takes the
            central square.
        frame: ``whole`` takes the picture as it is, ``lungs`` first cuts it to the box around both lungs; where no
            lungs are found it stays whole, and the answer says so.
        margin: added to the box of the lungs on each side, and to the lungs themselves where `outside` is not ``keep``;
            share of the box's width or height.
        outside: what becomes of the pixels outside the lungs and their margin: ``keep`` leaves them, ``dim`` leaves
            them a quarter of their contrast around the mean of the lungs, ``black`` makes them 0. Within half a margin
            more the picture fades. The lungs keep their pixels; where none are found the whole picture does, and the
            answer says so.
        normalise: ``none`` leaves the grey levels, ``lungs`` stretches those of the picture so that percentiles 2 and
            98 of the pixels inside the lungs become 0.1 and 0.9, cut off at 0 and 1; where no lungs are found they
            stay, and the answer says so. It comes first, then `outside`, `frame` and `equalise`.
        decode: ``full`` decodes every pixel of a file; ``reduced`` decodes a JPEG at the smallest of the scales 1, 1/2,
            1/4 and 1/8 (of its cosine transform) at which both sides are still at least `least_side`, and its
            luminance alone: faster, for pictures much larger than `size`, with pixels that differ a little. Other
            formats are decoded in full.
        equalise: spread the grey levels of the framed picture evenly (histogram equalisation at 256 levels; black
            pixels stay black and do not count).
        channels: 1, or 3 where a backbone expects colour (the grey plane is repeated inside the graph).
        mean: subtracted after division by 255, in [-1, 1]; one number, or three for three channels.
        std: divisor after `mean`, in (0, 1]; one number, or three for three channels.
        locator: SHA-256 of the network that finds the lungs; filled in, never chosen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    size: int = Field(default=224, ge=16, le=2048)
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    frame: Literal["whole", "lungs"] = "whole"
    margin: float = Field(default=0.08, ge=0.0, le=0.5, allow_inf_nan=False)
    outside: Literal["keep", "dim", "black"] = "keep"
    normalise: Literal["none", "lungs"] = "none"
    equalise: bool = False
    decode: Literal["full", "reduced"] = "full"
    channels: Literal[1, 3] = 1
    mean: Channels = 0.5
    std: Channels = 0.25
    locator: str = ""

    @model_validator(mode="before")
    @classmethod
    def _locator_is_filled_in(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        needed = any(values.get(name, unused) != unused for name, unused in _NEEDS_LUNGS.items())
        return {**values, "locator": (values.get("locator") or LOCATOR) if needed else ""}

    @field_validator("mean", "std", mode="wrap")
    @classmethod
    def _one_number_or_three(cls, value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Channels:
        try:
            # TOML and JSON have lists, a strict field takes tuples
            checked: Channels = check(tuple(value) if isinstance(value, list) else value)
        except ValidationError as error:
            raise ValueError("needs a number, or three numbers for three channels") from error
        spread = info.field_name == "std"
        for number in checked if isinstance(checked, tuple) else (checked,):
            # NaN lies in no range
            if not (0 < number <= 1 if spread else -1 <= number <= 1):
                raise ValueError(f"must lie in {'(0, 1]' if spread else '[-1, 1]'}")
        return checked

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.channels == 1 and (isinstance(self.mean, tuple) or isinstance(self.std, tuple)):
            raise ValueError("three means or deviations need channels = 3")
        if self.needs_lungs and self.locator != LOCATOR:
            raise ValueError("the pictures were made with another lung locator than this laennec holds")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_used(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # cards and recipes from before these keys keep their digests and seals
        plain: dict[str, Any] = serialise(self)
        for name in _LATER:
            if name in plain and plain[name] == type(self).model_fields[name].default:
                del plain[name]
        return plain

    @property
    def needs_lungs(self) -> bool:
        """Whether the lungs are looked for: one of `frame`, `outside` and `normalise` needs them."""
        return bool(self._by_lungs())

    def _by_lungs(self) -> dict[str, str]:
        values = {name: getattr(self, name) for name in _NEEDS_LUNGS}
        return {name: value for name, value in values.items() if value != _NEEDS_LUNGS[name]}

    @property
    def least_side(self) -> int | None:
        """Pixels that a side must keep when a file is decoded at a reduced scale; None where it is decoded in full.

        Twice the model's side, three times where the frame cuts to the lungs, for that leaves about half of each side.
        """
        if self.decode == "full":
            return None
        return self.size * (3 if self.frame == "lungs" else 2)

    @property
    def pixel_digest(self) -> str:
        """Digest of what decides the decoded pixels (`size`, `resize`, what the lungs decide with the network behind
        it, the equalisation, the decoding), and of nothing else: the key of the image cache.
        """
        pixels: dict[str, Any] = {"size": self.size, "resize": self.resize}
        if self.needs_lungs:
            pixels |= self._by_lungs() | {"locator": LOCATOR}
        if self.frame == "lungs" or self.outside != "keep":
            pixels["margin"] = self.margin
        if self.equalise:
            pixels["equalise"] = True
        if self.decode == "reduced":
            pixels["decode"] = self.decode
        return digest(pixels)
