"""Commands about DICOM files: dicom write, dicom deidentify; those that meet archives stand in `pacs`."""

from __future__ import annotations

import io
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laennec.cli.look import gate_of
from laennec.cli.pacs import add_to as add_archives

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laennec.results import Prediction

_KINDS = "Objects to make, joined by commas: report, capture, segmentation, presentation. All by default."


def add_to(app: typer.Typer) -> None:
    """Register the group of commands."""
    group = typer.Typer(
        help="Answers as DICOM objects, archives, and files without their patients.", no_args_is_help=True
    )
    group.command("write")(write)
    group.command("deidentify")(deidentify)
    add_archives(group)
    app.add_typer(group, name="dicom")


def write(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    files: Annotated[list[Path], typer.Argument(help="DICOM files.")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the objects, NAME.KIND.dcm; NAME-2 for another radiograph of that name. They hold "
            "patients' data."
        ),
    ],
    kinds: Annotated[str, typer.Option(help=_KINDS)] = "",
    at: Annotated[str | None, typer.Option("--at", help="Operating point: balanced, rule_out or rule_in.")] = None,
    gate: Annotated[
        str, typer.Option(help="Is it a chest radiograph at all? off: not asked; tell: say the doubt; refuse.")
    ] = "tell",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of lines.")] = False,
) -> int:
    """Write answers as DICOM objects of the study. The same answer again is written over itself. Exit code 3 if any
    file could not be read."""
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
        stem = _stem(out, path.stem, filed.objects)
        written = {kind: out / f"{stem}.{kind}.dcm" for kind in filed.objects}
        for kind, where in written.items():
            storage.write_bytes(where, filed.objects[kind])
        rows.append(
            {
                "id": name,
                "refused": False,
                "label": filed.prediction.label,
                "positive": filed.prediction.positive,
                "to_review": _to_review(filed.prediction),
                "written": {kind: str(where) for kind, where in written.items()},
                "left_out": filed.left_out,
            }
        )
        if not as_json:
            typer.echo(f"{name}: {_verdict(filed.prediction)}")
            typer.echo(f"  {', '.join(written) or 'nothing'} -> {out / stem}.*.dcm")
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


def _stem(out: Path, stem: str, objects: Mapping[str, bytes]) -> str:
    """`stem` where nothing else has it, or the objects have it already; else with a number."""
    uids = {kind: _uid(io.BytesIO(data)) for kind, data in objects.items()}
    taken, number = stem, 2
    while any(_is_other(out / f"{taken}.{kind}.dcm", uid) for kind, uid in uids.items()):
        taken, number = f"{stem}-{number}", number + 1
    return taken


def _is_other(path: Path, uid: str) -> bool:
    """Whether there is a file that is not the object of that SOP Instance UID."""
    from laennec.errors import extra

    if not path.exists():
        return False
    with extra("dicom"):
        from pydicom.errors import InvalidDicomError
    try:
        return _uid(path) != uid
    except (InvalidDicomError, OSError, ValueError, EOFError):
        return True


def _uid(source: Path | io.BytesIO) -> str:
    """The SOP Instance UID of a DICOM file; empty where it has none."""
    from laennec import joining
    from laennec.errors import extra

    with extra("dicom"):
        import pydicom
    with joining.quietly():
        return str(pydicom.dcmread(source, specific_tags=["SOPInstanceUID"]).get("SOPInstanceUID", ""))


def _verdict(answer: Prediction) -> str:
    """The decision in a line, and why a person should look at it where one should."""
    if answer.positive is None:
        said = "lungs outlined"
    else:
        sign = "positive" if answer.positive else "negative"
        said = f"{sign}, {answer.label or 'none'} ({answer.score:.4f}, threshold {answer.threshold:.4f})"
    because = _to_review(answer)
    return said + (f"; to review: {', '.join(because)}" if because else "")


def _to_review(answer: Prediction) -> list[str]:
    """Why a person should look at it: codes, none where nothing speaks for it."""
    return [*(answer.refer_because if answer.refer else ()), *filter(None, [answer.doubt_code])]
