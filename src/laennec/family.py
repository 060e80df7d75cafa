"""Families: interchangeable members found by their file name.

A family is a package under ``laennec``; every public module in it is a member, its module name is its public name,
and the first line of its docstring is its line in ``laennec list``. Outside packages open the same door with an
entry point in the group ``laennec.<family>``. There is no registry to edit and no name in a recipe can import code:
only names listed here are ever imported.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from laennec.errors import UnknownName

FAMILIES = ("datasets", "models", "tasks", "backends", "trackers", "meters", "audits", "probes", "objects")

_SINGULAR = {
    "datasets": "data set",
    "models": "model",
    "tasks": "task",
    "backends": "backend",
    "trackers": "tracker",
    "meters": "meter",
    "audits": "audit",
    "probes": "probe",
    "objects": "kind of DICOM object",
}


def _built_in(family: str) -> dict[str, str]:
    package = importlib.import_module(f"laennec.{family}")
    return {
        found.name: f"{package.__name__}.{found.name}"
        for found in pkgutil.iter_modules(package.__path__)
        if not found.name.startswith("_")
    }


def _outside(family: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"laennec.{family}")}


def names(family: str) -> list[str]:
    """The sorted public names of a family's members, built-in and from outside packages."""
    return sorted({*_built_in(family), *_outside(family)})


def member(family: str, name: str) -> ModuleType:
    """Import one member.

    Raises:
        UnknownName: no member has that name; the hint proposes the nearest.
    """
    built_in = _built_in(family)
    if name in built_in:
        return importlib.import_module(built_in[name])
    outside = _outside(family)
    if name in outside:
        loaded = outside[name].load()
        if not isinstance(loaded, ModuleType):
            raise TypeError(f"entry point laennec.{family}:{name} must name a module")
        return loaded
    raise UnknownName(_SINGULAR[family], name, names(family))


@cache
def summary(family: str, name: str) -> str:
    """The first docstring line of a member, read from its source so that nothing heavy is imported."""
    built_in, outside = _built_in(family), _outside(family)
    if name in built_in:
        target = built_in[name]
    elif name in outside:
        target = outside[name].module
    else:
        raise UnknownName(_SINGULAR[family], name, names(family))
    spec = importlib.util.find_spec(target)
    if spec is None or spec.origin is None:
        return ""
    doc = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return doc.partition("\n")[0]
