"""The family of data sets. A member turns files into a `Collection`; one file, one data set.

A member is a module with:

    Options   a strict, frozen pydantic model of what ``[data]`` in a recipe may say besides ``name``
    load      ``load(options) -> Collection``; reads tables and names, never pixels
    ORIGINS   optional: a tuple of `laennec.origins.Origin`, the places ``laennec data fetch`` can bring it from, the
              preferred one first. ``Options`` then needs no more than ``root`` to read what was fetched.

Raises in `load`: `UsageError` when the files are not laid out as the member expects, with how to place them.
"""

from __future__ import annotations

from typing import Protocol

from pydantic import BaseModel

from laennec.samples import Collection


class DataSet(Protocol):
    """What every member of the family offers."""

    Options: type[BaseModel]

    def load(self, options: BaseModel) -> Collection:
        """Read the samples of the data set."""
