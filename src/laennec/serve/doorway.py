"""The doorway every request passes: an id, whose key, from where, how often; and what every answer carries.

Plain ASGI. Nothing behind it sees a request that is not let in, and no fault behind it gets out as anything but a code.
"""

from __future__ import annotations

import errno
import json
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from laennec.errors import ImageError, StorageFull
from laennec.serve.faults import Fault, overloaded, stopping
from laennec.serve.keys import Key, Ring
from laennec.serve.logs import log, where
from laennec.serve.places import Rates
from laennec.serve.service import Service
from laennec.serve.settings import is_loopback

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

OPEN = frozenset({"/livez", "/readyz"})  # the only routes without a key
_WORK = frozenset({"/predict", "/batch_predict", "/jobs", "/objects"})
_AT_ONCE = frozenset({"/predict", "/batch_predict", "/objects"})
_KNOWN = _WORK | OPEN | {"/", "/models", "/model", "/metrics", "/openapi.json"}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
_NO_STORE = (b"cache-control", b"no-store")
_TLS = (b"strict-transport-security", b"max-age=31536000")
_DRAINED = 32 * 2**20
_DRAIN_SECONDS = 2.0


def route_of(path: str) -> str:
    """The route of a path, for metrics and logs: never what a stranger wrote."""
    if path in _KNOWN:
        return path
    if path.startswith("/page/"):
        return "/page/{name}"
    if path.startswith("/jobs/"):
        return "/jobs/{id}/results" if path.endswith("/results") else "/jobs/{id}"
    return "other"


class Doorway:
    """Lets requests in, or not.

    Args:
        app: behind it.
        service: what is served.
        ring: whose keys are asked for.
    """

    def __init__(self, app: App, service: Service, ring: Ring) -> None:
        self._app, self._service, self._ring = app, service, ring
        self._rates = Rates(service.settings.rate)
        host = service.settings.host
        local = {"localhost", "127.0.0.1", "::1", host.lower()} if service.settings.loopback else {host.lower()}
        self._names = {name.lower() for name in service.settings.names}
        self._names |= local if service.settings.loopback or self._names else set()
        self._headers = (*HEADERS, *((_TLS,) if service.settings.certificate else ()))

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        passing = _Passing(self, scope, receive, send)
        await passing.through()

    def key_of(self, scope: Message, headers: dict[bytes, bytes]) -> Key | None:
        """Whose request it is; None where no key is asked for. Raises `Fault`."""
        if scope["path"] in OPEN:  # asked by its bare address, by who watches over it
            return None
        self._check_place(headers, scope["method"])
        key = self._ring.whose(headers) if self._ring.keys else None
        if key is None and self._ring.keys:
            told = b"authorization" in headers or b"x-api-key" in headers
            raise Fault(
                401,
                "no_key",
                "this key is not known here" if told else "this service asks for a key",
                "see that it is whole; it may have been taken back" if told else "send 'Authorization: Bearer KEY'",
            )
        scope["laennec.key"] = key
        if scope["path"] in _WORK or scope["method"] not in _SAFE:
            who = key.name if key else str((scope.get("client") or ("",))[0])
            self._rates.ask(who, key.rate if key else None)
        if scope["path"] in _AT_ONCE and self._service.places.full:
            raise overloaded()  # before anything is made of the request: under load most end here
        return key

    def _check_place(self, headers: dict[bytes, bytes], method: str) -> None:
        """Refuse names that are not ours (a page elsewhere may point its own name here) and other sites' requests."""
        told = headers.get(b"host", b"").decode("latin-1").lower()
        name = told.partition("]")[0].lstrip("[") if told.startswith("[") else told.partition(":")[0]
        if self._names and name not in self._names and not (self._service.settings.loopback and is_loopback(name)):
            raise Fault(400, "bad_host", "the service does not go by that name", "ask it by its address, or see --name")
        if method in _SAFE:
            return
        site = headers.get(b"sec-fetch-site", b"same-origin")
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if site not in (b"same-origin", b"none") or (origin and origin.partition("://")[2] != told):
            raise Fault(400, "cross_site", "another site's page asks this", "ask from the service's own page")

    async def run(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """What is behind the doorway."""
        await self._app(scope, receive, send)

    @property
    def service(self) -> Service:
        """What is served."""
        return self._service

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What every answer carries."""
        return self._headers


class _Passing:
    """One request on its way through."""

    def __init__(
        self,
        door: Doorway,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self.door, self.scope, self._receive, self._send = door, scope, receive, send
        self.id, self.began = uuid.uuid4().hex, time.perf_counter()
        self.status, self.code, self.answering, self.read_all = 0, "", False, False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            self.read_all = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.answering, self.status = True, message["status"]
            own = list(message.get("headers", ()))
            named = {name.lower() for name, _ in own}
            added = [(b"x-request-id", self.id.encode()), *self.door.headers]
            added += [] if b"cache-control" in named else [_NO_STORE]
            if self.door.service.stopping:
                added.append((b"connection", b"close"))
            message["headers"] = [*own, *added]
        await self._send(message)

    async def through(self) -> None:
        """Answer it."""
        service = self.door.service
        headers = dict(self.scope["headers"])
        try:
            key = self.door.key_of(self.scope, headers)
            self.scope["state"] = {
                **self.scope.get("state", {}),
                "request_id": self.id,
                "key": key.name if key else None,
                "began": self.began,
            }
            parent = headers.get(b"traceparent", b"").decode("latin-1") or None
            with service.traces.span("request", traceparent=parent, route=route_of(self.scope["path"])):
                await self.door.run(self.scope, self.receive, self.send)
            fault = self.scope["state"].get("fault")
            if fault is not None:
                raise fault
        except Fault as fault:
            await self.refuse(fault)
        except ImageError as error:
            await self.refuse(Fault.of(error))
        except StorageFull:
            await self.refuse(Fault(507, "no_space", "there is no room to keep it", "try again later", 60))
        except (ConnectionError, Gone):
            self.status = self.status or 499
        except (OSError, MemoryError) as error:
            await self.refuse(_short_of(error, self.id))
        except Exception as error:
            log("fault", request_id=self.id, what=type(error).__name__, where=where(error))
            if not self.answering:
                await self.refuse(Fault(500, "fault", "a fault of the service", "report it with the request's id"))
        finally:
            self.note(self.scope.get("laennec.key"))

    async def refuse(self, fault: Fault) -> None:
        """Answer a fault, once what was still being sent has been read and forgotten."""
        self.code = fault.code
        if self.answering:
            return
        if not self.read_all:
            await self._drain()
        headers = [(b"content-type", b"application/json")]
        if fault.retry_after is not None:
            headers.append((b"retry-after", str(fault.retry_after).encode()))
        if fault.status == 401:
            headers.append((b"www-authenticate", b'Basic realm="laennec", charset="UTF-8"'))
        if not self.read_all:
            headers.append((b"connection", b"close"))
        body = json.dumps(fault.body(self.id)).encode()
        headers.append((b"content-length", str(len(body)).encode()))
        await self.send({"type": "http.response.start", "status": fault.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def _drain(self) -> None:
        """Who is answered before it has sent all may see its connection reset instead of the answer."""
        import asyncio

        seen = 0
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self.read_all and seen <= _DRAINED:
                    seen += len((await self.receive()).get("body", b""))
        except TimeoutError:
            return

    def note(self, key: Key | None) -> None:
        """Log it and count it."""
        service, route = self.door.service, route_of(self.scope["path"])
        seconds = time.perf_counter() - self.began
        service.metrics.requests.labels(route, str(self.status)).inc()
        service.metrics.request.labels(route).observe(seconds)
        if self.code:
            service.metrics.refusals.labels(self.code).inc()
        if route in OPEN or route == "/metrics":
            return
        log(
            "request",
            request_id=self.id,
            method=self.scope["method"] if self.scope["method"] in _SAFE | {"POST", "DELETE"} else "other",
            route=route,
            status=self.status,
            code=self.code or None,
            key=key.name if key else None,
            ms=round(seconds * 1000, 1),
        )


def _short_of(error: OSError | MemoryError, request: str) -> Fault:
    """The fault of a machine that has no descriptors, memory or room left."""
    kind = getattr(error, "errno", errno.ENOMEM)
    if kind in (errno.ENOSPC, errno.EDQUOT):
        return Fault(507, "no_space", "there is no room to keep it", "try again later", 60)
    log("fault", request_id=request, what=type(error).__name__, where=where(error), errno=kind)
    if kind in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return overloaded(5.0)
    return Fault(500, "fault", "a fault of the service", "report it with the request's id")


class Gone(Exception):
    """Who asked has gone away."""


def check_open(service: Service) -> None:
    """Refuse new work where the service is going down for good. Raises `Fault`."""
    if service.failed is not None:
        raise stopping()
