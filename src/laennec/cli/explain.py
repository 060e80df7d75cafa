"""The command that shows where a model looks: explain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def add_to(app: typer.Typer) -> None:
    """Register this module's command."""
    app.command()(explain)


def explain(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    files: Annotated[list[Path], typer.Argument(help="JPEG, PNG or DICOM files.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures, the layers to lay over them, and their figures.")],
    method: Annotated[
        str | None, typer.Option(help="cam, gradcam or occlusion; the first that the bundle has, by default.")
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help="Operating point: balanced, rule_out or rule_in.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")] = False,
) -> int:
    """Show where a model looks on some images. Exit code 3 if any could not be read."""
    from laennec.errors import UsageError
    from laennec.explanation import explain as run
    from laennec.results import Refused

    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is no folder", "name another --out")
    answers = run(bundle, files, out, method=method, rule=at, threads=threads)
    refused = [a for a in answers if isinstance(a, Refused)]
    if as_json:
        rows = [{"refused": isinstance(a, Refused)} | a.model_dump(mode="json") for a in answers]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _table([a for a in answers if not isinstance(a, Refused)], out)
    for item in refused:
        typer.echo(f"refused: {item.id}: {item.reason}", err=True)
    return 3 if refused else 0


def _table(answers: list[Any], out: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for name in ("file", "score", "positive", "method", "grid", "heat in lungs", "if even"):
        justify: Literal["left", "right"] = "right" if name in {"score", "heat in lungs", "if even"} else "left"
        table.add_column(name, justify=justify, overflow="fold")
    for a in answers:
        inside, even = ("-" if share is None else f"{share:.0%}" for share in (a.inside_lungs, a.expected))
        grid = f"{a.grid[0]} x {a.grid[1]}"
        decided = "yes" if a.positive else "no"
        table.add_row(escape(Path(a.id).name), f"{a.score:.4f}", decided, a.method, grid, inside, even)
    Console().print(table)
    cold = [Path(a.id).name for a in answers if a.hottest is None]
    if cold:
        typer.echo(f"no place speaks for {answers[0].label} in {', '.join(cold)}: that layer is empty")
    typer.echo(f"written into {out}: NAME.picture.png, and NAME.METHOD.png to lay over it")
    typer.echo("Where the model looks, not why. Research use only. Not a medical device.")
