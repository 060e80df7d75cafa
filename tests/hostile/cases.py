"""The whole corpus, by family."""

from __future__ import annotations

from . import archives, bombs, folders, identity, meaning, objects, rasters, requests
from .case import Case

FAMILIES = (rasters, objects, meaning, bombs, archives, requests, identity, folders)


def all_cases(seed: int = 1) -> list[Case]:
    """Every case, its way of being sent dealt by `seed`; nothing of it is made yet."""
    return [case for family in FAMILIES for case in family.cases(seed)]
