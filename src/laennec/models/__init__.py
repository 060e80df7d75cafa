"""The family of models: backbones that turn an image into features. The head is the recipe's, common to all.

A member is a module with:

    Options           a strict, frozen pydantic model of what ``[model]`` in a recipe may say besides ``name``
    build             ``build(options, channels, size, start=True) -> (backbone, features)``; the backbone turns
                      ``float [n, channels, size, size]``, normalised, into ``float [n, features]``. With
                      ``start=False`` the weights will be overwritten, so none are fetched.
    starting_weights  ``starting_weights(options) -> str``: ``random``, or what the weights have seen

Raises in `build`: `UsageError` for an architecture that does not exist or cannot take that size, `LaennecError` where
pretrained weights were asked for and cannot be had. There is no silent random start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel

if TYPE_CHECKING:
    from torch import nn


class ModelMember(Protocol):
    """What every member of the family offers."""

    Options: type[BaseModel]

    def build(self, options: BaseModel, channels: int, size: int, start: bool = True) -> tuple[nn.Module, int]:
        """The backbone and the number of its features."""

    def starting_weights(self, options: BaseModel) -> str:
        """What the weights had seen before training."""
