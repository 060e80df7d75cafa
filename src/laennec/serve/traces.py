"""Spans for OpenTelemetry: how long a request's stages took, and nothing about whose radiograph it was.

    tracer = traces(None)                       # OTEL_EXPORTER_OTLP_ENDPOINT, or off
    with tracer.span("request", route="/predict", traceparent=header) as span:
        with tracer.span("decode"):
            ...
        tracer.past("model", 0.0024, batch=4)
        span.set(status=200)

Off, which is the default, nothing of OpenTelemetry is imported here and a span is one shared object that does nothing.
On, spans go to a collector over OTLP/HTTP from a thread of their own; a collector that is slow or away costs spans,
never requests. What a span may say is a closed list: attributes that are not `ATTRIBUTES`, and text that is no plain
name, are left out; an error is its code or its class, without message or traceback. The provider is private: no
other library of the process finds it, so none writes addresses or exceptions into these traces.

The variables of the OpenTelemetry specification are obeyed for headers, certificates, timeouts, sampling, batches
and `OTEL_SDK_DISABLED`. https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from laennec.errors import UsageError, extra
from laennec.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

Value = str | int | float | bool

# keyword -> name of the attribute, by the semantic conventions for HTTP where these have one.
ATTRIBUTES = {
    "route": "http.route",
    "method": "http.request.method",
    "status": "http.response.status_code",
    "code": "error.type",
    "request_id": "laennec.request_id",
    "model": "laennec.model",
    "digest": "laennec.bundle.digest",
    "format": "laennec.image.format",
    "size": "laennec.request.bytes",
    "images": "laennec.request.images",
    "batch": "laennec.batch.images",
    "refused": "laennec.batch.refused",
}
# Newer FastAPI writes spans and logs of its own, query strings and tracebacks included, to any provider of the process:
# ``FastAPI(telemetry=UNTRACED)``. Older FastAPI passes over the keyword.
UNTRACED = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}
CLOSING = 3.0  # seconds that `Traces.close` waits for the collector at most
_NAME = re.compile(r"[\w.{}/+:-]{1,128}", re.ASCII)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Span:
    """A stretch of time, as a context manager. This one is off: it does nothing."""

    __slots__ = ()

    def set(self, **attributes: Value) -> None:
        """Say what became known meanwhile; keywords as in `ATTRIBUTES`, others are left out."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return


_OFF = Span()


class _Recorded(Span):
    """A span that is written down. Inside its block it is the parent of further spans of the same task or thread."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Any) -> None:
        self._span = span
        self._token: Any = None

    def set(self, **attributes: Value) -> None:
        self._span.set_attributes(_allowed(attributes))

    def __enter__(self) -> Self:
        from opentelemetry import context, trace

        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        from opentelemetry import context
        from opentelemetry.trace import StatusCode

        if kind is not None:
            self._span.set_attributes(_allowed({"code": getattr(error, "code", None) or kind.__name__}))
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
        context.detach(self._token)


class Traces:
    """Where spans go.

    Args:
        provider: an OpenTelemetry SDK provider with its processors; None is off.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        self._tracer = None if provider is None else provider.get_tracer("laennec", VERSION)

    @property
    def on(self) -> bool:
        """Whether spans are written down."""
        return self._tracer is not None

    def span(self, name: str, *, traceparent: str | None = None, **attributes: Value) -> Span:
        """A span from here to the end of its block.

        Args:
            name: what is timed: ``request``, ``decode``, ``wait``, ``model``.
            traceparent: the header of that name as the client sent it (W3C Trace Context): the caller's span becomes
                the parent. One that is malformed is passed over; tracestate and baggage are never read.
            attributes: keywords of `ATTRIBUTES`; others, and text that is no plain name, are left out.
        """
        tracer = self._tracer
        if tracer is None:
            return _OFF
        return _Recorded(tracer.start_span(name, _parent(traceparent), attributes=_allowed(attributes)))

    def past(self, name: str, seconds: float, *, ago: float = 0.0, **attributes: Value) -> None:
        """Write down a span that lasted `seconds` and ended `ago` seconds before now.

        For what was timed elsewhere, such as a batch that other requests shared. Its parent is the span that this is
        called in.
        """
        tracer = self._tracer
        if tracer is None:
            return
        end = time.time_ns() - int(max(ago, 0.0) * 1e9)
        begin = end - int(max(seconds, 0.0) * 1e9)
        tracer.start_span(name, attributes=_allowed(attributes), start_time=begin).end(end)

    def close(self) -> None:
        """Send what is left and stop; waits `CLOSING` seconds at most. Spans made afterwards go nowhere."""
        provider, self._provider, self._tracer = self._provider, None, None
        if provider is not None:
            # The SDK's own shutdown waits up to 30 s for a collector that is away; an exit must not.
            thread = threading.Thread(target=_shut, args=(provider,), name="traces", daemon=True)
            thread.start()
            thread.join(CLOSING)


def traces(endpoint: str | None = None) -> Traces:
    """Start tracing where it is asked for.

    Args:
        endpoint: base address of an OTLP/HTTP collector, such as ``http://127.0.0.1:4318``. None takes
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT; where neither is set, where
            OTEL_SDK_DISABLED is ``true`` or OTEL_TRACES_EXPORTER is ``none``, or where the variables are set and the
            extra ``telemetry`` is not installed, tracing is off.

    Raises:
        UsageError: the address is no http or https address, or holds a password.
        MissingExtra: `endpoint` is given and the extra ``telemetry`` is not installed.
    """
    address = _address(endpoint)
    if address is None or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Traces()
    none = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    if endpoint is None and (none or not _installed()):
        return Traces()
    with extra("telemetry"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    # Its warnings quote the answers of whoever listens at the address, with tracebacks; `close` bounds the rest.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    named = os.environ.get("OTEL_SERVICE_NAME") or "laennec"
    resource = Resource.create({"service.name": named, "service.version": VERSION})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
    return Traces(provider)


def _address(endpoint: str | None) -> str | None:
    """Where spans are posted to, or None."""
    whole = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip() if endpoint is None else ""
    base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() if endpoint is None else endpoint.strip()
    address = whole or base
    if not address and endpoint is None:
        return None
    with suppress(ValueError):  # a port or an IPv6 address that is none
        parts = urlsplit(address)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        if good and "@" not in parts.netloc and not parts.query and not parts.fragment:
            return address if whole or parts.path.endswith("/v1/traces") else address.rstrip("/") + "/v1/traces"
    hint = "give http(s)://HOST:4318; a collector's key belongs in OTEL_EXPORTER_OTLP_HEADERS"
    raise UsageError("the address for traces is not that of a collector for OTLP over HTTP", hint)


def _installed() -> bool:
    from importlib.util import find_spec

    with suppress(ModuleNotFoundError):
        return find_spec("opentelemetry.sdk") is not None and bool(find_spec("opentelemetry.exporter.otlp.proto.http"))
    return False


def _shut(provider: TracerProvider) -> None:
    with suppress(Exception):
        provider.shutdown()


def _parent(traceparent: str | None) -> Context | None:
    if traceparent is None or not _TRACEPARENT.fullmatch(traceparent):
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})


def _allowed(attributes: dict[str, Value]) -> dict[str, Value]:
    """What may be said of it, under the names of the conventions."""
    said: dict[str, Value] = {}
    for keyword, value in attributes.items():
        name = ATTRIBUTES.get(keyword)
        if name and (not isinstance(value, str) or _NAME.fullmatch(value)):
            said[name] = value
    return said
