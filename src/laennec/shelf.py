"""The recipes at hand, by name: those that come with laennec and those in ``recipes/`` where one works."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from laennec.errors import UnknownName, UsageError


@dataclass(frozen=True)
class Listed:
    """A recipe file: its name, its description's first line, its path."""

    name: str
    summary: str
    path: Path


def recipes() -> list[Listed]:
    """Every recipe that comes with laennec or lies in ``./recipes``, by name; the latter hides the former."""
    found: dict[str, Listed] = {}
    for folder in (_shipped(), Path("recipes")):
        for path in sorted(folder.glob("*.toml")) if folder.is_dir() else []:
            found[path.stem] = Listed(path.stem, _description(path), path)
    return [found[name] for name in sorted(found)]


def find(recipe: str | Path) -> Path:
    """The path of a recipe given by path or by name.

    Raises:
        UnknownName: not the name of a recipe at hand.
        UsageError: a path to no file.
    """
    path = Path(recipe)
    if path.is_file() and path.suffix == ".toml":
        return path
    if path.suffix == ".toml" or path.parent != Path():
        raise UsageError(
            f"there is no recipe file {path}", "see `laennec list recipes`; docs/recipes.md says how to write one"
        )
    known = {listed.name: listed.path for listed in recipes()}
    if str(recipe) not in known:
        raise UnknownName("recipe", str(recipe), known)
    return known[str(recipe)]


def _shipped() -> Path:
    """Inside the installed package, or at the root of the checkout it runs from."""
    package = Path(__file__).parent
    return next((p for p in (package / "recipes", package.parents[1] / "recipes") if p.is_dir()), package / "recipes")


def _description(path: Path) -> str:
    try:
        text = tomllib.loads(path.read_text(encoding="utf-8")).get("description", "")
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError):
        return "not readable"
    return str(text).strip().partition("\n")[0]
