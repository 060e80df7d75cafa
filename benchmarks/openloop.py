"""Requests sent at times fixed beforehand, whatever the answers do: load without coordinated omission.

Latency counts from the moment a request was due, not from the moment it could be sent: a service that stalls for a
second is charged with every request that was due in that second (Tene, "How not to measure latency", 2013). The bytes
of a request are prepared beforehand, answers are parsed by httptools, and one `Line` is one connection, so that two
cores shared with the service are enough for several times its capacity.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import httptools
import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Arrivals = Literal["poisson", "fixed"]
WAIT = 10.0  # seconds after which a client gives up
IDLE = 2.0  # seconds a connection may lie unused; servers close theirs after some five
_SWEEP = 0.1
_SPARED = 4096  # connections a pool keeps at most


@dataclass(frozen=True)
class Payload:
    """The bytes of one request.

    Attributes:
        name: what it is, for counting.
        data: all of them, head and body.
        hostile: no good answer is expected of it.
        lone: it gets a connection of its own, closed afterwards.
        leaves: seconds after which the client goes away without waiting for the answer; 0 never.
    """

    name: str
    data: bytes
    hostile: bool = False
    lone: bool = False
    leaves: float = 0.0


@dataclass(slots=True)
class Exchange:
    """A request and what became of it; times are seconds of `time.perf_counter`.

    Attributes:
        name: of its payload.
        due: when it should have been sent.
        began: when the generator turned to it.
        sent: when all its bytes were with the kernel; 0 where that never came.
        done: when the answer, or the fault, was there.
        status: of HTTP; 0 without an answer.
        fault: why there is none: ``refused`` (no connection), ``reset`` (the connection ended first), ``timeout``,
            ``left`` (as was meant).
        retry_after: the answer had that header.
        reused: it went over a connection that had already carried an answer.
        body: the answer's, where it was asked to be kept.
    """

    name: str
    due: float
    began: float = 0.0
    sent: float = 0.0
    done: float = 0.0
    status: int = 0
    fault: str = ""
    retry_after: bool = False
    reused: bool = False
    body: bytes = b""

    @property
    def seconds(self) -> float:
        """From due to done."""
        return self.done - self.due


Then = Callable[[Exchange], None]


def request(
    host: str,
    path: str,
    body: bytes = b"",
    method: str = "POST",
    kind: str = "application/octet-stream",
    **headers: str,
) -> bytes:
    """The bytes of a request over HTTP/1.1; `headers` with `_` for `-`."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    if body or method == "POST":
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def arrivals(rate: float, seconds: float, kind: Arrivals = "poisson", seed: int = 0) -> NDArray[np.float64]:
    """Seconds from the start at which requests are due, ``[round(rate x seconds)]``, ascending and below `seconds`.

    ``poisson``: independent of one another, as from many people; ``fixed``: evenly spaced.
    """
    n = max(1, round(rate * seconds))
    if kind == "fixed":
        return np.arange(n, dtype=np.float64) * (seconds / n)
    return np.sort(np.random.default_rng([seed, 7]).uniform(0.0, seconds, n))


class Line(asyncio.Protocol):
    """A connection that carries one exchange at a time."""

    def __init__(self, client: Client) -> None:
        self._client, self._parser = client, httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._under_way: tuple[Exchange, Then] | None = None
        self._answers, self.idle_since, self.lone = 0, 0.0, False

    def begin(self, exchange: Exchange, payload: Payload, then: Then) -> None:
        """Send `payload`; `then` is called once, whatever happens."""
        assert self._transport is not None  # noqa: S101
        self._under_way = exchange, then
        exchange.reused, self.lone = self._answers > 0, self.lone or payload.lone
        if self._transport.is_closing():
            self.end("reset")
            return
        self._transport.write(payload.data)
        if not self._transport.get_write_buffer_size():
            exchange.sent = time.perf_counter()
        if payload.leaves:
            asyncio.get_running_loop().call_later(payload.leaves, self.leave, exchange)

    def leave(self, exchange: Exchange) -> None:
        """Go away, unless the answer came before."""
        if self._under_way is not None and self._under_way[0] is exchange:
            self.end("left")

    def end(self, fault: str) -> None:
        """Give up on what is under way."""
        if self._under_way is not None:
            (exchange, then), self._under_way = self._under_way, None
            exchange.fault, exchange.done = fault, time.perf_counter()
            self._client.ended(self, exchange)
            then(exchange)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        transport.set_write_buffer_limits(high=0)
        self._transport = transport

    def resume_writing(self) -> None:  # noqa: D102
        if self._under_way is not None:
            self._under_way[0].sent = time.perf_counter()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._client.lost(self)
        self.end("reset")

    def data_received(self, data: bytes) -> None:  # noqa: D102
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.end("reset")

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102
        if self._under_way is not None and name.lower() == b"retry-after":
            self._under_way[0].retry_after = True

    def on_body(self, body: bytes) -> None:  # noqa: D102
        if self._under_way is not None and self._client.keep:
            self._under_way[0].body += body

    def on_message_complete(self) -> None:  # noqa: D102
        status = self._parser.get_status_code()
        if self._under_way is None or status < 200:
            return
        (exchange, then), self._under_way = self._under_way, None
        exchange.status, exchange.done = status, time.perf_counter()
        self._answers += 1
        ends = self.lone or not exchange.sent or not self._parser.should_keep_alive()
        self._client.ended(self, exchange)
        if ends and self._transport is not None:
            self._transport.close()
        else:
            self._client.spare(self)
        then(exchange)

    @property
    def closing(self) -> bool:
        """Whether it can carry nothing more."""
        return self._transport is None or self._transport.is_closing()


class Client:
    """A pool of connections to one address. Belongs to the running loop.

    Args:
        host, port: the address, an IPv4 literal.
        wait: seconds from the moment a request was due after which it is given up.
        keep: keep the bodies of answers.
    """

    def __init__(self, host: str, port: int, wait: float = WAIT, keep: bool = False) -> None:
        self.host, self.port, self.wait, self.keep = host, port, wait, keep
        self._spare: list[Line] = []
        self._live: dict[Line, Exchange] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.call_later(_SWEEP, self._sweep)

    @property
    def busy(self) -> int:
        """Requests under way."""
        return len(self._live) + len(self._connecting)

    def send(self, payload: Payload, then: Then, due: float | None = None, fresh: bool = False) -> None:
        """Send now what was `due` then, over a spare connection, or over a new one where none is or it shall be so."""
        now = time.perf_counter()
        exchange = Exchange(payload.name, now if due is None else due, now)
        while self._spare and not (fresh or payload.lone):
            line = self._spare.pop()
            if not line.closing and now - line.idle_since < IDLE:
                self._live[line] = exchange
                line.begin(exchange, payload, then)
                return
            line.end("")
        task = self._loop.create_task(self._connect(exchange, payload, then, fresh))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def ask(self, payload: Payload, fresh: bool = False) -> Exchange:
        """The same, waited for."""
        answer: asyncio.Future[Exchange] = self._loop.create_future()

        def then(exchange: Exchange) -> None:
            if not answer.done():
                answer.set_result(exchange)

        self.send(payload, then, fresh=fresh)
        return await answer

    async def _connect(self, exchange: Exchange, payload: Payload, then: Then, fresh: bool) -> None:
        try:
            async with asyncio.timeout(max(0.001, exchange.due + self.wait - time.perf_counter())):
                _, line = await self._loop.create_connection(
                    lambda: Line(self), self.host, self.port, family=socket.AF_INET
                )
        except OSError as error:
            exchange.fault = "timeout" if isinstance(error, TimeoutError) else "refused"
            exchange.done = time.perf_counter()
            then(exchange)
            return
        line.lone = fresh
        self._live[line] = exchange
        line.begin(exchange, payload, then)

    def ended(self, line: Line, exchange: Exchange) -> None:
        """`line` has nothing under way any more."""
        self._live.pop(line, None)

    def spare(self, line: Line) -> None:
        """`line` can carry another."""
        line.idle_since = time.perf_counter()
        if len(self._spare) < _SPARED:
            self._spare.append(line)

    def lost(self, line: Line) -> None:
        """`line` is gone."""
        if line in self._spare:
            self._spare.remove(line)

    def _sweep(self) -> None:
        now = time.perf_counter()
        for line in [line for line, exchange in self._live.items() if now - exchange.due > self.wait]:
            line.end("timeout")
        while self._spare and now - self._spare[0].idle_since > IDLE:
            self._spare.pop(0).end("")
        self._sweeper = self._loop.call_later(_SWEEP, self._sweep)

    async def close(self) -> None:
        """Give up on everything."""
        self._sweeper.cancel()
        for line in [*self._live, *self._spare]:
            line.end("timeout")
        self._spare.clear()
        if self._connecting:
            await asyncio.wait(self._connecting, timeout=self.wait)
        await asyncio.sleep(0)


async def open_loop(
    client: Client, due: Sequence[float], payloads: Sequence[Payload], fresh: float = 0.2, seed: int = 0
) -> list[Exchange]:
    """Send one payload after the other at the times `due` (seconds from now), and wait until each has its end.

    Args:
        client: it sends.
        due: ascending.
        payloads: taken in turn.
        fresh: share of requests that open a connection of their own.
        seed: of which those are.
    """
    alone = np.random.default_rng([seed, 11]).random(len(due)) < fresh
    ended: list[Exchange] = []
    over = asyncio.Event()

    def then(exchange: Exchange) -> None:
        ended.append(exchange)
        if len(ended) == len(due):
            over.set()

    began = time.perf_counter()
    for n, offset in enumerate(due):
        late = began + offset - time.perf_counter()
        if late > 0 or n % 64 == 0:
            await asyncio.sleep(max(0.0, late))
        client.send(payloads[n % len(payloads)], then, began + offset, bool(alone[n]))
    await over.wait()
    return ended


async def closed_loop(
    client: Client,
    clients: int,
    payloads: Sequence[Payload],
    *,
    seconds: float = 0.0,
    requests: int = 0,
    rest: float = 0.02,
) -> list[Exchange]:
    """`clients` that each wait for their answer before they ask again; after a refusal each rests `rest` seconds.

    It ends after `seconds`, or once `requests` were sent.
    """
    ended: list[Exchange] = []
    began, sent = time.perf_counter(), 0

    def more() -> bool:
        return sent < requests if requests else time.perf_counter() - began < seconds

    async def one() -> None:
        nonlocal sent
        while more():
            payload, sent = payloads[sent % len(payloads)], sent + 1
            exchange = await client.ask(payload)
            ended.append(exchange)
            if exchange.fault or exchange.status in (429, 503):
                await asyncio.sleep(rest)

    await asyncio.gather(*(one() for _ in range(clients)))
    return ended


def run(job: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """`asyncio.run`, without the pauses of the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        return asyncio.run(job())
    finally:
        gc.enable()
