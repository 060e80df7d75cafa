"""The commands that run several trainings: a study, and a recipe without each of its sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from laennec.cli.line import language_of


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command()(study)
    app.command()(leave_out)


def study(
    study: Annotated[Path, typer.Argument(help="A study, by path or by name; see `laennec list studies`.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the runs and the report; runs/ and the study's name by default.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a value of every run's recipe: key=value, dotted keys.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Where the data lies, for every run.")] = None,
    track: Annotated[
        list[str] | None, typer.Option("--track", help="A tracker beside jsonl; see `laennec list trackers`.")
    ] = None,
    lang: Annotated[str, typer.Option("--lang", help="Language the page opens in: en or fr.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of tables.")] = False,
) -> int:
    """Run several recipes and write one report on them. Run again, it goes on where it was cut.

    Exit code 3 if some runs failed, 1 if all did; a failed run stops no other.
    """
    from rich.console import Console

    from laennec import page, shelf
    from laennec.studies import Study
    from laennec.studying import study as run

    asked = Study.read(shelf.find_study(study))
    folder = out or Path("runs") / asked.name
    report = run(asked, folder, changes=changes or [], root=root, language=language_of(lang), trackers=track or [])
    if as_json:
        typer.echo(json.dumps(report.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        Console().print(page.study_text(report))
        typer.echo(f"study: {folder / 'study.html'}")
    for failure in report.failures:
        typer.echo(f"failed: {failure.folder}: {failure.reason}", err=True)
    return report.exit_code


def leave_out(
    recipe: Annotated[Path, typer.Argument(help="A recipe, by path or by name; see `laennec list recipes`.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the runs; runs/ and the recipe's name with -sources by default.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", help="A source to leave out; every one by default.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a value of the recipe: key=value, dotted keys.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Where the data lies.")] = None,
    track: Annotated[
        list[str] | None, typer.Option("--track", help="A tracker beside jsonl; see `laennec list trackers`.")
    ] = None,
    lang: Annotated[str, typer.Option("--lang", help="Language the pages open in: en or fr.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of tables.")] = False,
) -> int:
    """Train a recipe once without each hospital, and judge it there. Run again, it goes on where it was cut.

    Exit code 3 if some trainings failed.
    """
    from rich.console import Console

    from laennec import page
    from laennec.transport import leave_one_source_out

    audit, report = leave_one_source_out(
        recipe,
        out,
        only=source or [],
        changes=changes or [],
        root=root,
        language=language_of(lang),
        trackers=track or [],
    )
    if as_json:
        typer.echo(json.dumps(audit.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        Console().print(page.audit_text(audit))
    for failure in report.failures:
        typer.echo(f"failed: {failure.folder}: {failure.reason}", err=True)
    return report.exit_code
