"""What every noun that is written down is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Noun(BaseModel):
    """Frozen; unknown keys are refused, so that a file of another version is not half understood."""

    model_config = ConfigDict(frozen=True, extra="forbid")
