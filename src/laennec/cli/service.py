"""Commands of the service: serve, key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TextIO

import typer


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command()(serve)
    app.command()(key)


def serve(
    bundles: Annotated[list[Path], typer.Argument(help="Folders of bundles; the first answers who names none.")],
    ui: Annotated[bool, typer.Option("--ui", help="With the page.")] = False,
    host: Annotated[str, typer.Option(help="Where it listens; beyond this machine only with --keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    keys: Annotated[Path | None, typer.Option(help="File of hashed keys; see `laennec key`.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder of jobs, audit lines and their secret; without it there are no jobs.")
    ] = None,
    gate: Annotated[
        str, typer.Option(help="Pictures that are no upright frontal chest radiograph: refuse, or answer and refer.")
    ] = "refuse",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of each model; 0 takes all cores.")] = 0,
    decoders: Annotated[int, typer.Option(min=0, help="Processes that decode; 0 takes one a core.")] = 0,
    in_flight: Annotated[
        int, typer.Option(min=0, help="Requests at work at once, more are answered 503; 0 takes eight a core.")
    ] = 0,
    deadline: Annotated[float, typer.Option(help="Seconds in which a request is answered, or 504.")] = 10.0,
    rate: Annotated[float, typer.Option(min=0, help="Requests a second of each key or address; 0 for no bound.")] = 0.0,
    batch: Annotated[int, typer.Option(min=1, max=64, help="Images the model is given at a time.")] = 8,
    drain: Annotated[float, typer.Option(help="Seconds that requests have to end in after SIGTERM.")] = 30.0,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file; with --tls-key.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its private key.")] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="A host name it answers to, beside its address. May be repeated.")
    ] = None,
    traces: Annotated[str, typer.Option(help="Where OpenTelemetry spans go, by OTLP over HTTP.")] = "",
) -> int:
    """Serve bundles over HTTP, on this machine alone unless told otherwise. Research use only, not a medical device."""
    from pydantic import ValidationError

    from laennec.errors import UnknownName, UsageError
    from laennec.serve import Settings
    from laennec.serve import serve as run

    if gate not in ("refuse", "refer"):
        raise UnknownName("gate", gate, ("refuse", "refer"))
    try:
        settings = Settings(
            bundles=tuple(bundles),
            ui=ui,
            host=host,
            port=port,
            keys=keys,
            state=state,
            gate="refer" if gate == "refer" else "refuse",
            threads=threads,
            decoders=decoders,
            in_flight=in_flight,
            deadline=deadline,
            rate=rate,
            most_batch=batch,
            drain=drain,
            certificate=tls_certificate,
            private_key=tls_key,
            names=tuple(name or ()),
            traces=traces,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{first['loc'][0]}: {first['msg']}", "laennec serve --help") from error
    return run(settings)


def key(
    name: Annotated[str, typer.Argument(help="Whose it is: a person, a program, a place.")],
    file: Annotated[Path, typer.Option(help="File of hashed keys; made, or added to.")],
    rate: Annotated[
        float | None, typer.Option(help="Requests a second it is allowed; the service's own if not told.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="New file for the key itself, for its owner alone, instead of showing it."),
    ] = None,
) -> None:
    """Draw a key for the service. It is shown once, or written to --out; the file keeps its hash."""
    from laennec.serve.keys import add

    if out is None:
        typer.echo(add(file, name, rate))
        return
    with _new(out) as stream:  # before the key is drawn: one that nobody has would stay valid
        try:
            stream.write(add(file, name, rate) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        except BaseException:
            out.unlink(missing_ok=True)
            raise
    typer.echo(f"written: the key of {name} -> {out}")


def _new(path: Path) -> TextIO:
    """A file that was not there, opened for its owner alone. Raises `UsageError`."""
    from laennec.errors import UsageError

    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", "it may hold a key in use: name another --out") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror})", "name another --out") from error
    return os.fdopen(handle, "w", encoding="ascii")
