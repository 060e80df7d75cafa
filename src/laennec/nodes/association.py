"""DICOM nodes: the addresses archives are known by, C-ECHO and C-STORE to them (PS3.7, PS3.8), with TLS where told."""

from __future__ import annotations

import io
import re
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from laennec.errors import UsageError, extra
from laennec.nodes.outcomes import STORED, Unreachable, discreet

if TYPE_CHECKING:
    from pynetdicom.association import Association

OURS = "LAENNEC"
VERIFICATION = "1.2.840.10008.1.1"
_TITLE = re.compile(r"(?=.*\S)[\x20-\x5b\x5d-\x7e]{1,16}")
_NODE = re.compile(r"(?P<title>[^@]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")
_CONNECT, _SILENCE = 10.0, 60.0  # seconds
_MOST_CONTEXTS = 127  # of one association besides verification, PS3.8 9.3.2.2
_PLAIN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
_NO_ROOM = 0xA700  # to 0xA7FF: the node is out of resources
_WARNINGS = {0xB000, 0xB006, 0xB007}  # stored, with elements coerced or left out


@dataclass(frozen=True)
class Tls:
    """How associations are encrypted, PEM files all (PS3.15 B.9 to B.12).

    Attributes:
        ca: whose signature the other side's certificate must bear; of a client by default the system's authorities,
            of a server none: it then asks no client for a certificate.
        certificate, key: this side's own; a server needs them, a client where the other side asks for them.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @cached_property
    def client(self) -> ssl.SSLContext:
        """For associations to a node. Raises `UsageError` where a file cannot be used."""
        return self._made(ssl.PROTOCOL_TLS_CLIENT)

    @cached_property
    def server(self) -> ssl.SSLContext:
        """For associations from nodes. Raises `UsageError` where a file is missing or cannot be used."""
        if self.certificate is None:
            raise UsageError("a server with TLS needs a certificate", "name --tls-certificate and --tls-key")
        return self._made(ssl.PROTOCOL_TLS_SERVER)

    def _made(self, side: int) -> ssl.SSLContext:
        context = _Patient(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if self.ca is not None:
                context.load_verify_locations(self.ca)
                context.verify_mode = ssl.CERT_REQUIRED
            elif side == ssl.PROTOCOL_TLS_CLIENT:
                context.load_default_certs()
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # what ssl finds wrong with a file is one too
            raise UsageError(
                "a certificate or key for TLS cannot be used", "give PEM files that belong together"
            ) from error
        return context


class _Patient(ssl.SSLContext):
    """Shakes hands with a client when its first bytes are read, in that client's own thread: none holds up the door."""

    def wrap_socket(self, sock: Any, server_side: bool = False, **more: Any) -> ssl.SSLSocket:  # type: ignore[override]
        if server_side:
            sock.settimeout(_SILENCE)
            more["do_handshake_on_connect"] = False
        return super().wrap_socket(sock, server_side=server_side, **more)


@dataclass(frozen=True)
class Node:
    """A DICOM application entity.

    Attributes:
        title: AE title, 1 to 16 printable ASCII characters without backslash.
        host: name or address; an IPv6 address without brackets.
        port: 1 to 65,535.
        ours: the AE title this side calls itself.
        tls: encrypts where given.
    """

    title: str
    host: str
    port: int
    ours: str = OURS
    tls: Tls | None = None

    def __post_init__(self) -> None:
        valid_title(self.title)
        valid_title(self.ours)
        if not 0 < self.port < 65536:
            raise UsageError(f"{self.port} is no port", "DICOM nodes mostly listen on 104 or 11112")

    @classmethod
    def parse(cls, text: str, ours: str = OURS, tls: Tls | None = None) -> Self:
        """The node written as ``AET@host:port``, say ``PACS@10.0.0.5:104``. Raises `UsageError`."""
        found = _NODE.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"'{text}' is no DICOM node", "write AET@host:port, say PACS@10.0.0.5:104")
        return cls(found["title"], found["host"].strip("[]"), int(found["port"]), ours, tls)

    @staticmethod
    def looks_like(text: str) -> bool:
        """Whether `text` is written as a node is."""
        return _NODE.fullmatch(text.strip()) is not None

    @property
    def kind(self) -> str:
        """``node``."""
        return "node"

    def deliver(self, files: list[bytes]) -> tuple[str, ...]:
        """C-STORE each of the DICOM files in one association; see `send`."""
        return send(self, files)


def valid_title(text: str) -> str:
    """`text`, once it is an AE title. Raises `UsageError`."""
    if not _TITLE.fullmatch(text):
        raise UsageError(
            f"'{text}' is no AE title",
            "take 1 to 16 printable ASCII characters without backslash, in capitals by habit",
        )
    return text


def echo(node: Node) -> float:
    """C-ECHO to `node`: seconds until it answered, from the request of the association on.

    Raises:
        Unreachable: it does not answer, or refuses the association.
        MissingExtra: the extra ``pacs`` is not installed.
    """
    with extra("pacs"):
        import pynetdicom  # noqa: F401
    started = time.perf_counter()
    with _associated(node, [(VERIFICATION, _PLAIN)]) as link:
        status = link.send_c_echo()
        if status.get("Status") != 0x0000:
            raise Unreachable("the node took the association and does not answer C-ECHO", "ask who runs it")
    return time.perf_counter() - started


def send(node: Node, files: Sequence[bytes]) -> tuple[str, ...]:
    """C-STORE DICOM files (Part 10) to `node` in one association.

    Compressed objects are offered as they are; others in explicit and implicit little endian, whichever it takes.

    Returns:
        For each file `STORED`, or why the node will not have it: ``unreadable`` (no DICOM file, or without what names
        it), ``no_context`` (it does not take objects of this class or coding), or ``status_XXXX``, the hexadecimal
        status it answered (PS3.4 B.2.3). Stored with a warning (B000, B006, B007) is stored.

    Raises:
        Unreachable: no connection, the association refused or lost, or the node out of resources (A7xx).
        UsageError: more kinds of objects than one association can offer (127).
        MissingExtra: the extra ``pacs`` is not installed.
    """
    if not files:
        return ()
    with extra("pacs"):
        import pynetdicom  # noqa: F401
    with discreet():
        read = [_read(data) for data in files]
    offered = {_context(dataset): None for dataset in read if dataset is not None}
    if len(offered) > _MOST_CONTEXTS:
        raise UsageError("these are objects of over 127 kinds", "send them in several commands")
    if not offered:
        return tuple("unreadable" for _ in files)
    # with verification, which every node takes, one that takes none of the objects still lets itself be told apart
    with _associated(node, [(VERIFICATION, _PLAIN), *offered]) as link:
        return tuple("unreadable" if dataset is None else _stored(link, dataset) for dataset in read)


def _read(data: bytes) -> Any:
    """The data set in a file, or None where a node could not be told what it is."""
    import pydicom

    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        known = dataset.SOPClassUID and dataset.SOPInstanceUID and dataset.file_meta.TransferSyntaxUID
    except Exception:  # pydicom raises whatever the damage runs into
        return None
    return dataset if known else None


def _context(dataset: Any) -> tuple[str, tuple[str, ...]]:
    """Class and transfer syntaxes a data set is offered in."""
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    return str(dataset.SOPClassUID), _PLAIN if syntax in _PLAIN else (syntax,)


def _stored(link: Association, dataset: Any) -> str:
    try:
        status = link.send_c_store(dataset).get("Status")
    except ValueError:  # no accepted context, or it cannot be put into the one accepted
        return "no_context"
    except AttributeError:
        return "unreadable"
    except RuntimeError as error:
        raise Unreachable("the association was lost", "it is tried again, or run the command again") from error
    if status is None:
        raise Unreachable("the node did not answer in time, or ended the association", "ask who runs it")
    if status & 0xFF00 == _NO_ROOM:
        raise Unreachable("the node is out of resources", "see that it has room")
    return STORED if status == 0x0000 or status in _WARNINGS else f"status_{status:04X}"


@contextmanager
def _associated(node: Node, contexts: list[tuple[str, tuple[str, ...]]]) -> Iterator[Association]:
    """An association with `node` that offers `contexts`, released at the end."""
    with extra("pacs"):
        from pynetdicom import AE
    entity = AE(node.ours)
    entity.connection_timeout, entity.acse_timeout = _CONNECT, _SILENCE
    entity.dimse_timeout = entity.network_timeout = _SILENCE
    for sop_class, syntaxes in contexts:
        entity.add_requested_context(sop_class, list(syntaxes))
    secure = (node.tls.client, node.host) if node.tls is not None else None
    with discreet():
        link = entity.associate(node.host, node.port, ae_title=node.title, tls_args=secure)
        try:
            if link.is_rejected:
                raise Unreachable(
                    "the node refuses the association", f"see that it knows '{node.ours}' and is called '{node.title}'"
                )
            if not link.is_established:
                raise Unreachable(
                    "the node does not answer, or ends the association", "check host, port and TLS, and that it runs"
                )
            yield link
        finally:
            if link.is_established:
                link.release()
