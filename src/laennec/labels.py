"""What a model may answer: the label set, and what a decision needs to know about it."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class LabelSet(BaseModel):
    """The labels of a task, in the order of the model's outputs.

    Attributes:
        names: label names, unique, in output order.
        exclusive: True when exactly one holds (softmax), False when each stands alone (sigmoid).
        positive: the finding not to miss. Its probability is the score that AUROC and the operating point read. With
            exclusive labels it may be several names (bacterial and viral pneumonia): the score is then their sum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    names: tuple[str, ...] = Field(min_length=2, strict=False)
    exclusive: bool = True
    positive: tuple[str, ...] = Field(min_length=1, strict=False)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise ValueError("label names must be unique")
        strangers = [name for name in self.positive if name not in self.names]
        if strangers:
            raise ValueError(f"the positive label '{strangers[0]}' is not one of {list(self.names)}")
        if len(set(self.positive)) == len(self.names):
            raise ValueError("at least one label must not be positive")
        if not self.exclusive and len(self.positive) > 1:
            raise ValueError("labels that can hold together take one positive label")
        return self

    def index(self, name: str) -> int:
        """Position of `name` in the model's outputs. Raises `ValueError` if it is not a label."""
        return self.names.index(name)

    @property
    def positive_indices(self) -> tuple[int, ...]:
        """Positions of the positive labels in the model's outputs."""
        return tuple(self.names.index(name) for name in self.positive)

    def __len__(self) -> int:
        return len(self.names)


UNLABELLED = LabelSet(names=("other", "finding"), exclusive=False, positive=("finding",))
"""Of data sets that tell the lungs alone: no value of any sample is known (NaN)."""
