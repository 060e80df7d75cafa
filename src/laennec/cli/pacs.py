"""Commands that meet archives: dicom listen, watch, send, fetch, echo. Research use only. Not a medical device."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laennec.cli.look import gate_of

if TYPE_CHECKING:
    from laennec.nodes import Destination, Tls
    from laennec.predictor import Predictor

_Bundle = Annotated[Path, typer.Argument(help="Folder of a bundle.")]
_To = Annotated[str, typer.Option(help="Where objects go: AET@host:port, https://… (DICOMweb), or a folder.")]
_Kinds = Annotated[
    str,
    typer.Option(
        help="Objects to make, joined by commas: report, capture, segmentation, presentation. All by default."
    ),
]
_Rule = Annotated[str | None, typer.Option("--at", help="Operating point: balanced, rule_out or rule_in.")]
_Gate = Annotated[
    str, typer.Option(help="Is it a chest radiograph at all? off: not asked; tell: say the doubt; refuse.")
]
_Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all cores.")]
_Aet = Annotated[str, typer.Option(help="AE title of this side.")]
_Keep = Annotated[bool, typer.Option("--keep-refused", help="Keep refused files, de-identified, in the spool.")]
_Token = Annotated[
    Path | None,
    typer.Option(help="File whose first line authorises at a DICOMweb service; else LAENNEC_DICOMWEB_TOKEN does."),
]
_Plain = Annotated[bool, typer.Option("--plain-http", help="Allow HTTP, unencrypted, beyond this machine.")]
_Ca = Annotated[Path | None, typer.Option(help="PEM file of the authorities the other side's certificate must be of.")]
_Certificate = Annotated[Path | None, typer.Option(help="PEM file of this side's certificate.")]
_Key = Annotated[Path | None, typer.Option(help="PEM file of its key.")]
_TlsOut = Annotated[bool, typer.Option("--tls-out", help="Encrypt associations to a node.")]
_AT_A_TIME = 50  # files in memory


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    for command in (listen, watch, send, fetch, echo):
        app.command()(command)


def listen(
    bundle: _Bundle,
    to: _To,
    spool: Annotated[Path, typer.Option(help="Folder for what is under way. It holds patients' data.")],
    aet: _Aet = "LAENNEC",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 11112,
    bind: Annotated[
        str, typer.Option(help="Address to listen on. Beyond this machine it takes --allow.")
    ] = "127.0.0.1",
    allow: Annotated[list[str] | None, typer.Option(help="AE title that may send; once for each.")] = None,
    kinds: _Kinds = "",
    at: _Rule = None,
    gate: _Gate = "refuse",
    threads: _Threads = 0,
    associations: Annotated[int, typer.Option(min=1, help="Senders at a time.")] = 8,
    pdu: Annotated[int, typer.Option(min=4096, max=262144, help="Bytes of one PDU received.")] = 65536,
    keep_refused: _Keep = False,
    token_file: _Token = None,
    plain_http: _Plain = False,
    tls_in: Annotated[bool, typer.Option("--tls-in", help="Take encrypted associations alone.")] = False,
    tls_out: _TlsOut = False,
    tls_ca: _Ca = None,
    tls_certificate: _Certificate = None,
    tls_key: _Key = None,
) -> int:
    """Receive radiographs by C-STORE and send back objects that join their studies. SIGTERM ends it, losing nothing."""
    from laennec.nodes import Tls
    from laennec.receiving import Door
    from laennec.receiving import listen as run

    tls = Tls(tls_ca, tls_certificate, tls_key)
    door = Door(aet, port, bind, tuple(allow or ()), tls if tls_in else None, associations, pdu)
    goal = _destination(to, aet, tls if tls_out else None, tls_ca, token_file, plain_http)
    chosen = _kinds(kinds)
    stop = _until_signalled()
    run(
        _predictor(bundle, at, gate, threads),
        goal,
        spool,
        door=door,
        kinds=chosen,
        keep_refused=keep_refused,
        stop=stop,
    )
    return 0


def watch(
    folder: Annotated[Path, typer.Argument(help="Folder that radiographs appear in, searched to the bottom.")],
    bundle: _Bundle,
    to: _To,
    spool: Annotated[
        Path | None, typer.Option(help="Folder for what is under way; by default .laennec in the watched one.")
    ] = None,
    aet: _Aet = "LAENNEC",
    kinds: _Kinds = "",
    at: _Rule = None,
    gate: _Gate = "refuse",
    threads: _Threads = 0,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between looks into the folder.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="End when what lies there is answered and delivered.")] = False,
    keep_refused: _Keep = False,
    token_file: _Token = None,
    plain_http: _Plain = False,
    tls_out: _TlsOut = False,
    tls_ca: _Ca = None,
    tls_certificate: _Certificate = None,
    tls_key: _Key = None,
) -> int:
    """Answer the radiographs that appear in a folder, each once. With --once, exit code 3 if any was refused."""
    from laennec.nodes import Tls
    from laennec.receiving import watch as run

    tls = Tls(tls_ca, tls_certificate, tls_key) if tls_out else None
    goal = _destination(to, aet, tls, tls_ca, token_file, plain_http)
    chosen = _kinds(kinds)
    stop = _until_signalled()
    tally = run(
        folder,
        _predictor(bundle, at, gate, threads),
        goal,
        spool,
        kinds=chosen,
        keep_refused=keep_refused,
        every=every,
        once=once,
        stop=stop,
    )
    return 3 if once and tally.refused else 0


def send(
    files: Annotated[list[Path], typer.Argument(help="DICOM files.")],
    to: _To,
    aet: _Aet = "LAENNEC",
    token_file: _Token = None,
    plain_http: _Plain = False,
    tls_out: _TlsOut = False,
    tls_ca: _Ca = None,
    tls_certificate: _Certificate = None,
    tls_key: _Key = None,
) -> int:
    """Send DICOM files to a node, a DICOMweb service or a folder. Exit code 3 if any is not taken."""
    from laennec.nodes import STORED, Tls

    tls = Tls(tls_ca, tls_certificate, tls_key) if tls_out else None
    goal = _destination(to, aet, tls, tls_ca, token_file, plain_http)
    stored = refused = 0
    for start in range(0, len(files), _AT_A_TIME):
        some = [path.read_bytes() for path in files[start : start + _AT_A_TIME]]
        for number, code in enumerate(goal.deliver(some), start=start + 1):
            stored += code == STORED
            refused += code != STORED
            if code != STORED:
                typer.echo(f"refused: file {number}: {code}", err=True)
    typer.echo(f"stored: {stored}" + (f", refused: {refused}" if refused else ""))
    return 3 if refused else 0


def fetch(
    url: Annotated[str, typer.Argument(help="DICOMweb service, where its /studies begin.")],
    study: Annotated[str, typer.Option(help="Study Instance UID.")],
    out: Annotated[Path, typer.Option(help="Folder for the files, named by their SOP Instance UID.")],
    series: Annotated[str | None, typer.Option(help="Series Instance UID.")] = None,
    instance: Annotated[str | None, typer.Option(help="SOP Instance UID; takes --series.")] = None,
    token_file: _Token = None,
    plain_http: _Plain = False,
    tls_ca: _Ca = None,
) -> int:
    """Fetch a study, a series or an instance from a DICOMweb service. They hold patients' data."""
    from laennec.nodes import STORED, Folder, Web, token_of
    from laennec.nodes import fetch as run

    web = Web.parse(url, token_of(token_file), tls_ca, plain_http)
    folder = Folder(out)
    written = lost = 0
    for data in run(web, study, series, instance):
        (code,) = folder.deliver([data])
        written += code == STORED
        lost += code != STORED
    typer.echo(f"fetched: {written} files -> {out}" + (f", {lost} without a valid UID left out" if lost else ""))
    return 3 if lost else 0


def echo(
    node: Annotated[str, typer.Argument(help="AET@host:port.")],
    aet: _Aet = "LAENNEC",
    tls_out: _TlsOut = False,
    tls_ca: _Ca = None,
    tls_certificate: _Certificate = None,
    tls_key: _Key = None,
) -> None:
    """Ask a DICOM node whether it answers (C-ECHO)."""
    from laennec.nodes import Node, Tls
    from laennec.nodes import echo as run

    seconds = run(Node.parse(node, aet, Tls(tls_ca, tls_certificate, tls_key) if tls_out else None))
    typer.echo(f"answers: {seconds * 1000:.0f} ms")


def _destination(
    text: str, aet: str, tls: Tls | None, ca: Path | None, token_file: Path | None, plain_http: bool
) -> Destination:
    from laennec.nodes import destination, token_of

    token = token_of(token_file) if "://" in text else ""
    return destination(text, aet, tls, token=token, ca=ca, plain_http=plain_http)


def _kinds(text: str) -> tuple[str, ...] | None:
    from laennec.filing import kinds_of

    chosen = [part.strip() for part in text.split(",") if part.strip()]
    return kinds_of(chosen) if chosen else None


def _predictor(bundle: Path, at: str | None, gate: str, threads: int) -> Predictor:
    from laennec.predictor import open as open_predictor

    return open_predictor(bundle, at, threads, gate_of(gate), explain=True)


def _until_signalled() -> threading.Event:
    """Set when the process is asked to end."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
