"""Commands that weigh quality and cost: cost, compare, gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from laennec.cli.line import language_of, show

_Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of tables.")]
_Root = Annotated[Path | None, typer.Option(help="Where the data lies now, if it moved since the training.")]
_Grid = Annotated[
    str | None, typer.Option(help="Whose electricity, for CO2e: FR, say, EU, world; LAENNEC_GRID or world by default.")
]
_Meter = Annotated[
    list[str] | None, typer.Option("--meter", help="A meter of energy, of `laennec list meters`, not the usual.")
]


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    for command in (cost, compare, gate):
        app.command()(command)


def cost(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    threads: Annotated[str, typer.Option(help="Numbers of threads to time, as 1,2; one and all by default.")] = "",
    batches: Annotated[str, typer.Option(help="Images a call to time; energy is of the most.")] = "1,16",
    split: Annotated[str, typer.Option(help="Whose images: train, val or test.")] = "val",
    root: _Root = None,
    grid: _Grid = None,
    meter: _Meter = None,
    as_json: _Json = False,
) -> None:
    """What a bundle costs here: size, operations, time, memory, energy."""
    from laennec import page
    from laennec.costing import cost as run

    numbers = (_numbers(threads, "--threads"), _numbers(batches, "--batches"))
    found = run(
        bundle, threads=numbers[0] or None, batches=numbers[1], root=root, split=split, grid=grid, meters=meter or None
    )
    show(found.model_dump(mode="json") if as_json else page.cost_text(found))


def compare(
    bundles: Annotated[list[Path], typer.Argument(help="Two bundles or more; the first is the reference.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    root: _Root = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the comparison; the last bundle's by default.")] = None,
    grid: _Grid = None,
    meter: _Meter = None,
    lang: Annotated[str, typer.Option("--lang", help="Language the page opens in: en or fr.")] = "en",
    as_json: _Json = False,
) -> None:
    """Bundles side by side: quality with intervals, size, operations, time, energy."""
    from laennec import page
    from laennec.comparison import compare as run

    language = language_of(lang)
    comparison = run(bundles, split, root=root, out=out, language=language, grid=grid, meters=meter or None)
    show(comparison.model_dump(mode="json") if as_json else page.comparison_text(comparison))


def gate(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    policy: Annotated[Path, typer.Option(help="TOML file of the conditions a site sets; see docs/trust.md.")],
    root: _Root = None,
    as_json: _Json = False,
) -> int:
    """Hold a bundle against the conditions a site sets. Exit code 1 if one fails."""
    from laennec import page
    from laennec.admission import gate as run

    clearance = run(bundle, policy, root=root)
    show(clearance.model_dump(mode="json") if as_json else page.clearance_text(clearance))
    return 0 if clearance.passed else 1


def _numbers(text: str, option: str) -> list[int]:
    from laennec.errors import UsageError

    try:
        return [int(number) for number in text.split(",")] if text else []
    except ValueError as error:
        raise UsageError(f"{option} '{text}' is no list of whole numbers", f"{option} 1,2") from error
