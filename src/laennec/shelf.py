"""The recipes and studies at hand, by name: those that come with laennec and those in ``recipes/`` and ``studies/``
where one works.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from laennec.errors import UnknownName, UsageError


@dataclass(frozen=True)
class Listed:
    """A recipe or study file: its name, the first line of its description or title, its path."""

    name: str
    summary: str
    path: Path


def recipes() -> list[Listed]:
    """Every recipe that comes with laennec or lies in ``./recipes``, by name; the latter hides the former."""
    return _listed("recipes", "description")


def studies() -> list[Listed]:
    """Every study that comes with laennec or lies in ``./studies``, by name; the latter hides the former."""
    return _listed("studies", "title")


def find(recipe: str | Path) -> Path:
    """The path of a recipe given by path or by name.

    Raises:
        UnknownName: not the name of a recipe at hand.
        UsageError: a path to no file.
    """
    return _found("recipe", recipe, recipes(), "see `laennec list recipes`; docs/recipes.md says how to write one")


def find_study(study: str | Path) -> Path:
    """The path of a study given by path or by name.

    Raises:
        UnknownName: not the name of a study at hand.
        UsageError: a path to no file.
    """
    return _found("study", study, studies(), "see `laennec list studies`; studies/ shows how to write one")


def _listed(kind: str, told: str) -> list[Listed]:
    found: dict[str, Listed] = {}
    for folder in (_shipped(kind), Path(kind)):
        for path in sorted(folder.glob("*.toml")) if folder.is_dir() else []:
            found[path.stem] = Listed(path.stem, _told(path, told), path)
    return [found[name] for name in sorted(found)]


def _found(kind: str, wanted: str | Path, listed: list[Listed], hint: str) -> Path:
    path = Path(wanted)
    if path.is_file() and path.suffix == ".toml":
        return path
    if path.suffix == ".toml" or path.parent != Path():
        raise UsageError(f"there is no {kind} file {path}", hint)
    known = {item.name: item.path for item in listed}
    if str(wanted) not in known:
        raise UnknownName(kind, str(wanted), known)
    return known[str(wanted)]


def _shipped(kind: str) -> Path:
    """Inside the installed package, or at the root of the checkout it runs from."""
    package = Path(__file__).parent
    return next((p for p in (package / kind, package.parents[1] / kind) if p.is_dir()), package / kind)


def _told(path: Path, key: str) -> str:
    try:
        text = tomllib.loads(path.read_text(encoding="utf-8")).get(key, "")
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError):
        return "not readable"
    return str(text).strip().partition("\n")[0]
