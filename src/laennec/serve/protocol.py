"""uvicorn's protocol within bounds: how many connect, how long a head is and takes, how long an answer waits."""

from __future__ import annotations

import asyncio
from typing import Any

_HEAD_SECONDS = 10.0  # that the head of a request may take, and that a connection may say nothing of use
_READ_SECONDS = 30.0  # that an answer may wait for its reader
_HEAD_BYTES = 64 * 1024
_FRAMING = 8  # bytes of framing that a byte of a chunked body may have
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 2\r\nconnection: close\r\n"
    b'content-length: 100\r\n\r\n{"status": 503, "error": {"code": "overloaded", "message": "too many connections", '
)
_FULL += b'"hint": ""}}'.ljust(100 - len(_FULL.partition(b"\r\n\r\n")[2]))


def protocol(most: int) -> Any:
    """The protocol for uvicorn; its slower parser, which has bounds of its own, where httptools is not to be had.

    Args:
        most: connections at once; more are answered 503 without being read.
    """
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return "h11"
    connected = 0

    class Protocol(HttpToolsProtocol):
        _late: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None
        _came = _body = 0

        def connection_made(self, transport: Any) -> None:
            nonlocal connected
            connected += 1
            super().connection_made(transport)
            if connected > most:
                transport.write(_FULL)
                transport.close()
                return
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            nonlocal connected
            connected -= 1
            self._wait_no_more()
            self._cancel_unread()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self._came += len(data)
            super().data_received(data)
            if self._came - self._body > _HEAD_BYTES + _FRAMING * self._body:
                self._hang_up()  # a head, framing or trailers without end
            elif self._late is None and (self.cycle is None or self.cycle.response_complete):
                self._wait()  # something came that begins no request

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._wait()

        def on_headers_complete(self) -> None:
            self._wait_no_more()
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self._body += len(body)
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._came = self._body = 0
            super().on_message_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._cancel_unread()
            self._unread = self.loop.call_later(_READ_SECONDS, self.transport.abort)

        def resume_writing(self) -> None:
            self._cancel_unread()
            super().resume_writing()

        def _cancel_unread(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

        def _wait(self) -> None:
            self._wait_no_more()
            self._late = self.loop.call_later(_HEAD_SECONDS, self._hang_up)

        def _wait_no_more(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _hang_up(self) -> None:
            if not self.transport.is_closing():
                self.transport.close()

    return Protocol
