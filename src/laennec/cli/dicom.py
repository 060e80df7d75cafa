"""Commands about DICOM files: dicom write, dicom deidentify; those that meet archives stand in `pacs`."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from laennec.cli import pacs
from laennec.cli.look import gate_of

_KINDS = "Objects to make, joined by commas: report, capture, segmentation, presentation. All by default."


def add_to(app: typer.Typer) -> None:
    """Register the group of commands."""
    group = typer.Typer(
        help="Answers as DICOM objects, archives, and files without their patients.", no_args_is_help=True
    )
    group.command("write")(write)
    group.command("deidentify")(deidentify)
    pacs.add_to(group)
    app.add_typer(group, name="dicom")


def write(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    files: Annotated[list[Path], typer.Argument(help="DICOM files.")],
    out: Annotated[Path, typer.Option(help="Folder for the objects, NAME.KIND.dcm. They hold patients' data.")],
    kinds: Annotated[str, typer.Option(help=_KINDS)] = "",
    at: Annotated[str | None, typer.Option("--at", help="Operating point: balanced, rule_out or rule_in.")] = None,
    gate: Annotated[
        str, typer.Option(help="Is it a chest radiograph at all? off: not asked; tell: say the doubt; refuse.")
    ] = "tell",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of lines.")] = False,
) -> int:
    """Write answers as DICOM objects of the study. Exit code 3 if any file could not be read."""
    from laennec import filing, storage
    from laennec.errors import ImageError, UsageError
    from laennec.predictor import open as open_predictor

    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is no folder", "name another --out")
    chosen = filing.kinds_of([kind.strip() for kind in kinds.split(",") if kind.strip()] or None)
    predictor = open_predictor(bundle, at, threads, gate_of(gate), explain=True)
    rows: list[dict[str, object]] = []
    refused = 0
    for path in files:
        name = storage.text_of(path)
        try:
            filed = filing.file(predictor, path, chosen)
        except ImageError as error:
            refused += 1
            rows.append({"id": name, "refused": True, "code": error.code, "reason": error.message})
            typer.echo(f"refused: {name}: {error.message}", err=True)
            continue
        stem = _free(out, path.stem, tuple(filed.objects))
        written = {kind: out / f"{stem}.{kind}.dcm" for kind in filed.objects}
        for kind, where in written.items():
            storage.write_bytes(where, filed.objects[kind])
        rows.append(
            {
                "id": name,
                "refused": False,
                "written": {kind: str(where) for kind, where in written.items()},
                "left_out": filed.left_out,
            }
        )
        if not as_json:
            typer.echo(f"{name}: {', '.join(written) or 'nothing'} -> {out}")
            for kind, reason in filed.left_out.items():
                typer.echo(f"  no {kind}: {reason}")
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        typer.echo("Research use only. Not a medical device.")
    return 3 if refused else 0


def deidentify(
    source: Annotated[Path, typer.Argument(help="A DICOM file, or a folder that is searched to the bottom.")],
    out: Annotated[Path, typer.Option(help="Folder for the files, named by their new SOP Instance UID.")],
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="File of the secret key: the same key gives the same UIDs and pseudonyms. Made where there is none; "
            "without the option a key is drawn and forgotten."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of lines.")] = False,
) -> int:
    """Take patients out of radiographs. By the basic profile of PS3.15; text burned into pictures is told, not taken
    out. Exit code 3 if any file could not be read."""
    import io

    from laennec import storage
    from laennec.deidentifying import deidentify as run
    from laennec.errors import ImageError, UsageError, extra

    with extra("dicom"):
        import pydicom
    if not source.exists():
        raise UsageError(f"there is nothing at {source}", "name a DICOM file or a folder of them")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is no folder", "name another --out")
    key = secrets.token_bytes(32) if key_file is None else _key(key_file)
    written, burned, refused = 0, [], []
    for path in _files(source, out):
        try:
            done = run(path.read_bytes(), key)
        except ImageError as error:
            refused.append({"id": storage.text_of(path), "code": error.code, "reason": error.message})
            typer.echo(f"refused: {storage.text_of(path)}: {error.message}", err=True)
            continue
        uid = pydicom.dcmread(io.BytesIO(done.data), specific_tags=["SOPInstanceUID"]).SOPInstanceUID
        storage.write_bytes(out / f"{uid}.dcm", done.data)
        written += 1
        if done.burned_in:
            burned.append(str(out / f"{uid}.dcm"))
            typer.echo(f"look at {out / f'{uid}.dcm'}: {done.warning}", err=True)
    if as_json:
        typer.echo(json.dumps({"written": written, "burned_in": burned, "refused": refused}, indent=2))
    else:
        typer.echo(f"written: {written} files -> {out}")
        typer.echo(f"with text burned in: {len(burned)}, refused: {len(refused)}")
    return 3 if refused else 0


def _files(source: Path, out: Path) -> Iterator[Path]:
    """The file, or a folder's files but for those written."""
    if source.is_file():
        yield source
        return
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and out.resolve() not in path.resolve().parents:
            yield path


def _key(path: Path) -> bytes:
    """The key in a file, drawn where there is none."""
    if path.exists():
        return path.read_bytes()
    key = secrets.token_bytes(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(key)
        stream.flush()
        os.fsync(stream.fileno())
    return key


def _free(out: Path, stem: str, kinds: tuple[str, ...]) -> str:
    """`stem`, or `stem` with a number where an object of that name is there already."""
    taken, number = stem, 2
    while any((out / f"{taken}.{kind}.dcm").exists() for kind in kinds):
        taken, number = f"{stem}-{number}", number + 1
    return taken
