"""Commands about data: show, audit, fetch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laennec.cli.line import language_of

if TYPE_CHECKING:
    from laennec.fetching import Plan


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    data = typer.Typer(help="Look at data, and fetch public data sets.", no_args_is_help=True)
    data.command("show")(show)
    data.command("audit")(audit)
    data.command("fetch")(fetch)
    app.add_typer(data, name="data")


def show(
    recipe: Annotated[Path, typer.Argument(help="A recipe, by path or by name; its [data] and [split] are shown.")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a value of the recipe: key=value, dotted keys.")
    ] = None,
    pixels: Annotated[
        bool | None,
        typer.Option("--pixels/--no-pixels", help="Open a sample of the images. Default: only for --html."),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="Images opened per label and part, at most.")] = 100,
    html: Annotated[Path | None, typer.Option(help="Write the page here, in English and French.")] = None,
    lang: Annotated[str, typer.Option("--lang", help="Language the page opens in: en or fr.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of tables.")] = False,
) -> int:
    """What a data set holds, by part, label and patient; with --pixels, how its images look. Exit code 3 if any of
    the images opened cannot be read."""
    from laennec import shelf
    from laennec.exploration import explore
    from laennec.recipe import Recipe

    shown = explore(
        Recipe.read(shelf.find(recipe), changes or []),
        pixels=html is not None if pixels is None else pixels,
        sample=sample,
        html=html,
        language=language_of(lang),
    )
    if as_json:
        typer.echo(json.dumps(shown.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        from rich.console import Console

        from laennec import page

        Console().print(page.exploration_text(shown))
        if html is not None:
            typer.echo(f"page: {html}")
    return 3 if shown.pixels and shown.pixels.refused else 0


def audit(
    recipe: Annotated[Path, typer.Argument(help="A recipe, by path or by name; its [data] and [split] are audited.")],
    out: Annotated[Path, typer.Option(help="Folder for audit.json, audit.html and suspects.csv.")] = Path("runs/audit"),
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a value of the recipe: key=value, dotted keys.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Another data set to hold against it: name,key=value,…; may be given several times."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="An audit of `laennec list audits`; all of them by default.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 if a check fails or cannot look.")] = False,
    lang: Annotated[str, typer.Option("--lang", help="Language the page opens in: en or fr.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of tables.")] = False,
) -> int:
    """What makes figures on a data set worth less than they look: shared patients, duplicates, shortcuts, wrong labels.
    Exit code 3 if images cannot be read."""
    from laennec import page, shelf
    from laennec.auditing import audit_data
    from laennec.cli.line import show as print_it
    from laennec.recipe import Recipe, data_of

    others = [data_of(name, options.split(",") if options else []) for name, _, options in map(_parted, against or [])]
    language = language_of(lang)
    made = audit_data(
        Recipe.read(shelf.find(recipe), changes or []), out, against=others, only=only or [], language=language
    )
    print_it(made.model_dump(mode="json") if as_json else page.audit_text(made))
    if not as_json:
        typer.echo(f"page: {out / 'audit.html'}")
    if strict and (made.verdict == "fail" or made.unlooked):
        return 1
    return 3 if made.refused else 0


def _parted(told: str) -> tuple[str, str, str]:
    return told.partition(",")


def fetch(
    name: Annotated[str, typer.Argument(help="kermany, medmnist, rsna, covid_radiography, or an outside data set.")],
    out: Annotated[Path, typer.Option(help="Folder for the data set; what is there already is not fetched again.")],
    variant: Annotated[
        str, typer.Option(help="kermany: mendeley or kaggle; medmnist: 28, 64, 128 or 224. Default: the first.")
    ] = "",
    file: Annotated[Path | None, typer.Option(help="The publisher's file, if you have downloaded it already.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Download a public data set, check it and lay it out. Run again, it goes on where it broke off."""
    from laennec import fetching
    from laennec.errors import UsageError

    plan = fetching.plan(name, out, variant)
    if not fetching.there(plan):
        _describe(plan, file)
        if file is None:
            fetching.check_way(plan)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("this asks before it begins, and there is no terminal to ask on", "add --yes")
            if not typer.confirm("Fetch it?", err=True):
                typer.echo("nothing was fetched", err=True)
                return 1
    done = fetching.fetch(plan, file)
    held = f"{done.files:,} files" + (f", {done.images:,} images" if done.images is not None else "")
    typer.echo(f"root:     {done.root}  ({held if done.files else 'was there already'})")
    if done.sha256:
        typer.echo(f"checksum: {done.check}")
        typer.echo(f"sha256:   {done.sha256}")
    typer.echo(f"next:     laennec data show RECIPE --set data.name={name} --set data.root={done.root}")
    return 0


def _describe(plan: Plan, file: Path | None) -> None:
    """Tell on stderr what is about to be fetched."""
    from laennec.origins import Download

    origin, source = plan.origin, plan.origin.source
    size = f"{_bytes(plan.size)} to download" if plan.size else "not known before it comes"
    if origin.archive:
        size += f", about {_bytes(origin.archive.unpacked)} unpacked"
    checksum = "none published"
    if isinstance(source, Download):
        published = f"SHA-256 {source.sha256}" if source.sha256 else f"MD5 {source.md5}" if source.md5 else ""
        reported = f"; others report SHA-256 {source.reported_sha256}" if source.reported_sha256 else ""
        checksum = published or checksum + reported
    address = source.url if isinstance(source, Download) else source.page
    for key, value in (
        ("data set", f"{plan.dataset}, {origin.variant}: {origin.title}"),
        ("size", size),
        ("licence", origin.licence),
        ("cite", origin.citation),
        ("page", origin.page),
        ("from", str(file) if file else address),
        ("checksum", checksum),
        ("to", str(plan.root)),
    ):
        typer.echo(f"{key + ':':<10}{value}", err=True)


def _bytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
