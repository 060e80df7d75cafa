"""Commands that ask: predict, score, list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

_Bundle = Annotated[Path, typer.Argument(help="Folder of a bundle.")]
_Rule = Annotated[str | None, typer.Option("--at", help="Operating point: balanced, rule_out or rule_in.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")]
_Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all cores.")]


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command()(predict)
    app.command()(score)
    app.command("list")(list_)


def predict(
    bundle: _Bundle,
    files: Annotated[list[Path], typer.Argument(help="JPEG, PNG or DICOM files.")],
    at: _Rule = None,
    as_json: _Json = False,
    threads: _Threads = 0,
) -> int:
    """Answer for some images. Exit code 3 if any could not be read."""
    from laennec.predictor import open as open_predictor
    from laennec.results import Refused

    predictor = open_predictor(bundle, at, threads)
    answers = list(predictor.predict_many(files))
    refused = [a for a in answers if isinstance(a, Refused)]
    if as_json:
        rows = [{"refused": isinstance(a, Refused)} | a.model_dump(mode="json") for a in answers]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _table(answers)
    for item in refused:
        typer.echo(f"refused: {item.id}: {item.reason}", err=True)
    return 3 if refused else 0


def score(
    bundle: _Bundle,
    folder: Annotated[Path, typer.Argument(help="Folder of images, searched to the bottom.")],
    out: Annotated[Path, typer.Option(help="Results, .csv or .parquet.")],
    at: _Rule = None,
    threads: _Threads = 0,
    batch: Annotated[int, typer.Option(min=1, help="Images the model is given at a time.")] = 16,
) -> int:
    """Score a folder into a table. Unreadable files are listed beside it; exit code 3 if there are any.

    Cut short, it goes on where it stopped when it is run again.
    """
    from laennec.predictor import open as open_predictor
    from laennec.scoring import score as run

    scored = run(open_predictor(bundle, at, threads), folder, out, batch)
    typer.echo(
        f"scored:  {scored.images} images -> {scored.table} ({scored.seconds:.1f} s, {scored.rate:.0f} images/s)"
    )
    if scored.refused:
        typer.echo(f"refused: {len(scored.refused)} files -> {scored.refused_table}")
        for item in scored.refused[:5]:
            typer.echo(f"refused: {item.id}: {item.reason}", err=True)
    return 3 if scored.refused else 0


def list_(
    what: Annotated[
        str, typer.Argument(help="datasets, models, tasks, backends, trackers, meters, recipes or studies.")
    ],
    as_json: _Json = False,
) -> None:
    """Name what there is to choose from."""
    from laennec import family, shelf
    from laennec.errors import UnknownName

    if what in {"recipes", "studies"}:
        listed = shelf.recipes() if what == "recipes" else shelf.studies()
        rows = [{"name": r.name, "summary": r.summary, "path": str(r.path)} for r in listed]
    elif what in family.FAMILIES:
        rows = [{"name": name, "summary": family.summary(what, name)} for name in family.names(what)]
    else:
        raise UnknownName("list", what, [*family.FAMILIES, "recipes", "studies"])
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        typer.echo(f"{row['name']:<{width}}  {row['summary']}")


def _table(answers: list[Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from laennec.results import Refused

    table = Table()
    for name in ("file", "answer", "positive", "score", "threshold", "ms"):
        table.add_column(name, justify="left" if name in {"file", "answer", "positive"} else "right")
    for a in answers:
        if isinstance(a, Refused):
            table.add_row(escape(Path(a.id).name), f"refused: {a.code}", "", "", "", "")
        else:
            figures = (f"{a.score:.4f}", f"{a.threshold:.4f}", f"{a.milliseconds:.0f}")
            table.add_row(escape(Path(a.id).name), escape(a.label or "none"), "yes" if a.positive else "no", *figures)
    Console().print(table)
    typer.echo("Research use only. Not a medical device.")
