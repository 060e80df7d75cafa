"""The command that searches a recipe's ranges: tune."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from laennec.results import Search

_FIGURES = {"auroc": "AUROC", "dice": "Dice"}


def add_to(app: typer.Typer) -> None:
    """Register this module's command."""
    app.command()(tune)


def tune(
    recipe: Annotated[Path, typer.Argument(help="A recipe with [ranges], by path or by name.")],
    out: Annotated[Path, typer.Option(help="Folder of the search; an unfinished one there is resumed.")],
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, those of earlier calls included.")] = 20,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a value of the recipe: key=value, dotted keys.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")] = False,
) -> None:
    """Search a recipe's ranges for what does best on validation; the test part is not read."""
    from laennec import shelf
    from laennec.recipe import Recipe
    from laennec.tuning import BEST
    from laennec.tuning import tune as run

    found = run(Recipe.read(shelf.find(recipe), changes or []), out, trials)
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return
    _table(found)
    typer.echo(f"best:  trial {found.best} -> {out / BEST}")
    typer.echo("The winner's validation figure is flattered by having won; judge it with a training of its own:")
    typer.echo(f"next:  laennec train {out / BEST} --out runs/best && laennec evaluate runs/best")


def _table(found: Search) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{escape(found.recipe)}: {len(found.trials)} trials")
    for name in ("trial", *found.keys, f"validation {_FIGURES[found.figure]}", "epochs", "seconds", "state"):
        table.add_column(escape(name), justify="right")
    for trial in sorted(found.trials, key=lambda t: -(t.reached or 0.0)):
        values = (str(trial.values.get(key, "")) for key in found.keys)
        values = (f"{float(v):.4g}" if _is_number(v) else escape(v) for v in values)
        reached = "" if trial.reached is None else f"{trial.reached:.4f}"
        table.add_row(str(trial.number), *values, reached, str(trial.epochs), f"{trial.seconds:.0f}", trial.state)
    Console().print(table)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
