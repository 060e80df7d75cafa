"""A C-STORE receiver that answers radiographs with objects of their study."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from laennec.errors import StorageFull, UsageError, extra
from laennec.nodes import Destination, Tls, discreet, is_loopback, valid_title
from laennec.predictor import Predictor
from laennec.receiving.answering import BACKOFF, Desk, Tally
from laennec.receiving.kinds import may_be_radiograph
from laennec.receiving.logs import Log, log, terse_threads
from laennec.receiving.spool import Spool

MOST_BYTES = 64 * 2**20
PDU = 65_536
_SUCCESS, _NO_ROOM, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_SILENCE = 60.0  # seconds without a byte in the middle of a message, or without a message
_FIRST = 15.0  # seconds until an association is asked for
_ASIDE = 256 * 2**10  # bytes that commands, and the request of an association, may take
_GOODBYE = 10.0  # seconds associations have to end when the receiver stops


@dataclass(frozen=True)
class Door:
    """Who may send radiographs, and how.

    Attributes:
        title: own AE title, which callers must name.
        port: 0 takes a free one.
        bind: address listened on.
        allow: AE titles that may call; empty lets any call, on this machine alone. A title is no proof of who calls:
            beyond this machine use TLS with certificates, or a network where nobody else can be.
        tls: encrypts; with a `Tls.ca` callers must show a certificate.
        associations: at most, at a time.
        pdu: bytes of one PDU received.
        most: bytes of one object.
    """

    title: str = "LAENNEC"
    port: int = 11112
    bind: str = "127.0.0.1"
    allow: tuple[str, ...] = ()
    tls: Tls | None = None
    associations: int = 8
    pdu: int = PDU
    most: int = MOST_BYTES

    def __post_init__(self) -> None:
        valid_title(self.title)
        for one in self.allow:
            valid_title(one)
        if not is_loopback(self.bind) and not self.allow:
            raise UsageError(
                "beyond this machine it must be told who may send", "name the callers' AE titles with --allow"
            )


@dataclass
class _Caller:
    """How much one connection has sent since its last message ended."""

    come: int = 0
    cut: bool = False


@dataclass
class _Reception:
    """Handlers of one server's events."""

    door: Door
    spool: Spool
    log: Log
    tally: Tally
    callers: weakref.WeakKeyDictionary[Any, _Caller] = field(default_factory=weakref.WeakKeyDictionary)
    closed: bool = False

    def opened(self, event: Any) -> None:
        """Bound what a connection may send: pynetdicom reads what a PDU announces, be it 4 GB, and waits for it."""
        link = event.assoc.dul.socket
        caller = self.callers.setdefault(event.assoc, _Caller())
        link.socket.settimeout(_SILENCE)
        receive = link.recv

        def recv(count: int) -> bytearray:
            caller.come += count
            if count > max(self.door.pdu + 1024, _ASIDE) or caller.come > self.door.most + _ASIDE:
                if not caller.cut:
                    self.log("cut_off", code="too_large")
                caller.cut = True
                raise OSError("too large")
            come: bytearray = receive(count)
            return come

        link.recv = recv

    def ended(self, event: Any) -> None:
        """Free the place of a connection that goes without having asked for an association: else it is held on to."""
        if event.assoc.requestor.primitive is None:
            event.assoc.dul.to_user_queue.put(None)

    def echoed(self, event: Any) -> int:
        self._begin_again(event)
        return _SUCCESS

    def stored(self, event: Any) -> int:
        """Write a radiograph down; only then is it acknowledged."""
        self._begin_again(event)
        if not may_be_radiograph(str(event.request.AffectedSOPClassUID or "")):
            self.tally.passed_over += 1
            self.log("passed_over", code="not_radiograph")
            return _SUCCESS
        try:
            data: bytes = event.encoded_dataset()
            if self.closed:
                return _NO_ROOM
            name = self.spool.accept(data)
        except (OSError, StorageFull):
            self.log("turned_away", code="no_room")
            return _NO_ROOM
        except Exception as error:
            self.log("turned_away", code=type(error).__name__)
            return _CANNOT_UNDERSTAND
        self.log("received", id=name, bytes=len(data))
        return _SUCCESS

    def rejected(self, _: Any) -> None:
        self.log("association_rejected")

    def _begin_again(self, event: Any) -> None:
        self.callers.setdefault(event.assoc, _Caller()).come = 0


def listen(
    predictor: Predictor,
    to: Destination,
    spool: Path,
    *,
    door: Door,
    kinds: Sequence[str] | None = None,
    keep_refused: bool = False,
    stop: threading.Event,
    ready: Callable[[int], None] = lambda _: None,
    backoff: Sequence[float] = BACKOFF,
) -> Tally:
    """Receive radiographs by C-STORE and answer each with objects, until `stop` is set.

    An instance is acknowledged (0x0000) once it lies durably in the spool; with no room there the answer is 0xA700.
    Objects of other classes are acknowledged, told in the log, and dropped; so are laennec's own, and radiographs that
    were answered before (the same SOP Instance UID, bundle, operating point and kinds).

    Args:
        predictor: what is asked.
        to: where the objects go; attempts are repeated until it takes or rejects them.
        spool: folder for what is under way, see `Spool`; what an earlier process left there is taken up.
        door: who may send.
        kinds: of objects (`laennec.filing`); None takes all the bundle can give.
        keep_refused: keep refused files, de-identified.
        stop: ends it: no more is accepted, the radiograph in hand is finished, the rest stays in the spool.
        ready: told the port once radiographs can come.
        backoff: seconds before each new attempt to deliver; the last is repeated.

    Raises:
        UsageError: the port or the spool is taken, or TLS cannot be set up.
        LaennecError: answering broke down.
        MissingExtra: the extra ``pacs`` is not installed.
    """
    with extra("pacs"):
        from pynetdicom import evt
    with discreet(), terse_threads():
        kept = Spool(spool)
        try:
            desk = Desk(predictor, kinds, to, kept, log, most=door.most, keep_refused=keep_refused, backoff=backoff)
            reception = _Reception(door, kept, log, desk.tally)
            entity = _entity(door)
            handlers = [
                (evt.EVT_CONN_OPEN, reception.opened),
                (evt.EVT_CONN_CLOSE, reception.ended),
                (evt.EVT_C_ECHO, reception.echoed),
                (evt.EVT_C_STORE, reception.stored),
                (evt.EVT_REJECTED, reception.rejected),
            ]
            secure = door.tls.server if door.tls is not None else None
            try:
                server = entity.start_server(
                    (door.bind, door.port), block=False, evt_handlers=handlers, ssl_context=secure
                )
            except OSError as error:
                raise UsageError(
                    f"port {door.port} cannot be listened on ({error.strerror})", "take another"
                ) from error
            desk.start()
            port = int(server.server_address[1])
            log("listening", port=port, bundle=predictor.bundle.digest, to=to.kind, waiting=len(kept.waiting()))
            ready(port)
            try:
                while not stop.wait(0.2) and not desk.broken:
                    pass
            finally:
                _shut(entity, server, reception)
                reception.closed = True
                try:
                    desk.stop()
                finally:
                    left = len(kept.waiting()), len(kept.parcels())
                    log("stopped", **vars(desk.tally), waiting=left[0], undelivered=left[1])
        finally:
            kept.close()
    return desk.tally


def _entity(door: Door) -> Any:
    from pynetdicom import AE, AllStoragePresentationContexts
    from pynetdicom.presentation import build_context

    from laennec.images.dicom_frame import SYNTAXES

    entity = AE(door.title)
    entity.maximum_associations, entity.maximum_pdu_size = door.associations, door.pdu
    entity.acse_timeout, entity.dimse_timeout, entity.network_timeout = _FIRST, _SILENCE, _SILENCE
    entity.require_called_aet = True
    entity.require_calling_aet = list(door.allow)
    entity.supported_contexts = [
        build_context(str(context.abstract_syntax), list(SYNTAXES)) for context in AllStoragePresentationContexts
    ]
    entity.add_supported_context("1.2.840.10008.1.1")
    return entity


def _shut(entity: Any, server: Any, reception: _Reception) -> None:
    """Take no new connection; those that have begun a message may end it."""
    server.shutdown()
    until = time.monotonic() + _GOODBYE
    for association in server.active_associations:
        caller = reception.callers.get(association)
        while association.is_established and caller is not None and caller.come and time.monotonic() < until:
            time.sleep(0.05)
        association.abort(block=False)
    entity.shutdown()
