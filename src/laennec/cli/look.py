"""Commands that ask: predict, score, list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laennec.errors import UsageError

if TYPE_CHECKING:
    from laennec.bundle import Bundle
    from laennec.card import Card
    from laennec.predictor import Gate

_Bundle = Annotated[Path, typer.Argument(help="Folder of a bundle.")]
_Rule = Annotated[str | None, typer.Option("--at", help="Operating point: balanced, rule_out or rule_in.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")]
_Gate = Annotated[
    str, typer.Option(help="Is it a chest radiograph at all? off: not asked; tell: say the doubt; refuse.")
]
_Prevalence = "Share of patients here who have the finding: tells each score at it; the decision does not follow."
_REFERRED = (
    "refer: a person should decide. uncertain: the labels that stay possible are not the answer alone; unlike: the "
    "image is unlike those the model learned from."
)
_MANY = 100  # images from which an estimated prevalence says something
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
    gate: _Gate = "tell",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for masks and overlays as PNG, and Segmentations of DICOM files, where it segments."),
    ] = None,
    prevalence: Annotated[float | None, typer.Option(help=_Prevalence)] = None,
) -> int:
    """Answer for some images. Exit code 3 if any could not be read."""
    from laennec.predictor import open as open_predictor
    from laennec.results import Refused

    predictor = open_predictor(bundle, at, threads, gate_of(gate), prevalence)
    card = predictor.bundle.card
    if out is not None and not card.segments:
        raise UsageError(
            f"{bundle} outlines nothing, and --out is for lungs", "leave out --out, or take a bundle that segments"
        )
    if out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"{out} is no folder", "name another --out")
    answers = list(predictor.predict_many(files))
    refused = [a for a in answers if isinstance(a, Refused)]
    written = _outlined(predictor.bundle, files, answers, out) if out is not None else [{} for _ in files]
    if as_json:
        rows = [{"refused": isinstance(a, Refused)} | a.model_dump(mode="json") for a in answers]
        typer.echo(
            json.dumps([row | more for row, more in zip(rows, written, strict=True)], indent=2, ensure_ascii=False)
        )
    else:
        _table(answers, card, prevalence)
    for item in refused:
        typer.echo(f"refused: {item.id}: {item.reason}", err=True)
    lost = [row["not_written"] for row in written if "not_written" in row]
    for reason in lost:
        typer.echo(f"not written: {reason}", err=True)
    return 3 if refused or lost else 0


def score(
    bundle: _Bundle,
    folder: Annotated[Path, typer.Argument(help="Folder of images, searched to the bottom.")],
    out: Annotated[Path, typer.Option(help="Results, .csv or .parquet.")],
    at: _Rule = None,
    threads: _Threads = 0,
    batch: Annotated[int, typer.Option(min=1, help="Images the model is given at a time.")] = 16,
    gate: _Gate = "off",
    prevalence: Annotated[
        str, typer.Option(help=f"{_Prevalence} estimate finds it from the images scored, by EM.")
    ] = "",
) -> int:
    """Score a folder into a table. Unreadable files are listed beside it; exit code 3 if there are any.

    Cut short, it goes on where it stopped when it is run again.
    """
    from laennec.predictor import open as open_predictor
    from laennec.scoring import ESTIMATE
    from laennec.scoring import score as run

    estimate = prevalence == ESTIMATE
    stated = None if estimate or not prevalence else _share(prevalence)
    predictor = open_predictor(bundle, at, threads, gate_of(gate), stated)
    scored = run(predictor, folder, out, batch, estimate=estimate)
    typer.echo(
        f"scored:  {scored.images} images -> {scored.table} ({scored.seconds:.1f} s, {scored.rate:.0f} images/s)"
    )
    if scored.prevalence is not None:
        found = scored.prevalence
        typer.echo(
            f"prevalence: {found.text()}, estimated from {found.n} images, those unlike what was learned left out"
        )
        typer.echo(
            "            It holds only where images with and without the finding look as they did in validation, which "
            "no score can tell" + ("; and these are few images." if found.n < _MANY else "."),
        )
    if scored.refused:
        typer.echo(f"refused: {len(scored.refused)} files -> {scored.refused_table}")
        for item in scored.refused[:5]:
            typer.echo(f"refused: {item.id}: {item.reason}", err=True)
    return 3 if scored.refused else 0


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"'{text}' is no prevalence", "give a share such as 0.05, or estimate") from error


def gate_of(gate: str) -> Gate:
    """The gate a person named. Raises `UnknownName` for any but off, tell and refuse."""
    from laennec.errors import UnknownName

    gates: dict[str, Gate] = {"off": "off", "tell": "tell", "refuse": "refuse"}
    if gate not in gates:
        raise UnknownName("gate", gate, gates)
    return gates[gate]


def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="datasets, models, tasks, backends, trackers, meters, audits, probes, objects, recipes or studies."
        ),
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


def _outlined(bundle: Bundle, files: list[Path], answers: list[Any], out: Path) -> list[dict[str, str]]:
    """The files written for each answer by kind, or why they were not."""
    from laennec.errors import LaennecError
    from laennec.outlining import outline
    from laennec.results import Refused

    rows: list[dict[str, str]] = []
    for path, answer in zip(files, answers, strict=True):
        if isinstance(answer, Refused):
            rows.append({})
            continue
        try:
            made = outline(bundle, path, answer, out)
        except LaennecError as error:
            rows.append({"not_written": f"{answer.id}: {error.message}"})
            continue
        except OSError as error:
            rows.append({"not_written": f"{answer.id}: {error.strerror}"})
            continue
        lost = {"not_written": f"{answer.id}: Segmentation: {made.lost}"} if made.lost else {}
        written = {"mask": made.mask, "overlay": made.overlay, "segmentation": made.segmentation}
        rows.append({kind: str(where) for kind, where in written.items() if where is not None} | lost)
    return rows


def _table(answers: list[Any], card: Card, prevalence: float | None) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from laennec.results import Refused

    decided = ("answer", "positive", "score", "threshold") if card.classifies else ()
    adapted = (f"at {prevalence:.3g}",) if prevalence is not None else ()
    referred = ("refer",) if card.abstention is not None or card.novelty is not None else ()
    outlined = ("right", "left", "lungs") if card.segments else ()
    table = Table()
    for name in ("file", *decided, *adapted, *referred, *outlined, "ms"):
        left = name in {"file", "answer", "positive", *referred}
        table.add_column(name, justify="left" if left else "right", overflow="fold")  # names that are cut are alike
    for a in answers:
        if isinstance(a, Refused):
            table.add_row(escape(Path(a.id).name), f"refused: {a.code}")
            continue
        row = [escape(Path(a.id).name)]
        if card.classifies:
            row += [escape(a.label or "none"), "yes" if a.positive else "no", f"{a.score:.4f}", f"{a.threshold:.4f}"]
        row += [f"{a.adapted.probability:.4f}"] if adapted else []
        if referred:
            row.append(", ".join(a.refer_because) or "no")
        if card.segments:
            row += [_area(lung) for lung in (a.lungs.right, a.lungs.left, a.lungs)]
        table.add_row(*row, f"{a.milliseconds:.0f}")
    Console().print(table)
    if any(getattr(a, "refer", False) for a in answers):
        typer.echo(_REFERRED)
    for a in answers:
        if "uncertain" in getattr(a, "refer_because", ()):
            typer.echo(f"possible: {Path(a.id).name}: {', '.join(name or 'none' for name in a.possible) or 'no label'}")
        if getattr(a, "doubt", ""):
            typer.echo(f"doubt: {Path(a.id).name} may be no upright frontal chest radiograph: {a.doubt}")
        elif getattr(a, "lungs", None) is not None and a.lungs.doubt:
            typer.echo(f"doubt: {Path(a.id).name}: {a.lungs.doubt}")
    typer.echo("Research use only. Not a medical device.")


def _area(lung: Any) -> str:
    """Share of the picture, and cm² on the detector where the file tells its pixel spacing."""
    square = "" if lung.square_centimetres is None else f", {lung.square_centimetres:.0f} cm²"
    return f"{lung.share:.1%}{square}"
