"""Spans: what they say, what they never say, and that they cost nothing when off and no request when on."""

from __future__ import annotations

import asyncio
import http.server
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from laennec.errors import ImageError, MissingExtra, UsageError
from laennec.serve.traces import ATTRIBUTES, CLOSING, UNTRACED, Traces, traces

PATIENT = "DOE^JANE 19700101 /pacs/DOE_JANE.dcm"
VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "OTEL_TRACES_EXPORTER", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def kept() -> Iterator[tuple[Traces, Any]]:
    """Traces whose spans stay in memory, and the exporter that keeps them."""
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Traces(provider), exporter
    provider.shutdown()


def by_name(exporter: Any) -> dict[str, Any]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_off_is_one_object_that_does_nothing_and_imports_nothing() -> None:
    code = (
        "import sys; from laennec.serve.traces import traces\n"
        "t = traces(None); a = t.span('request', route='/predict')\n"
        "with a as s: s.set(status=200); t.past('model', 1.0)\n"
        "t.close(); assert not t.on and a is t.span('b')\n"
        "assert not [m for m in sys.modules if m.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_off_costs_under_two_microseconds_a_span() -> None:
    off, best = Traces(), 1.0
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(2000):
            with off.span("request", route="/predict"):
                pass
        best = min(best, (time.perf_counter() - begin) / 2000)
    assert best < 2e-6 * 5  # five times what it takes here: the machine may be busy


def test_stages_are_children_of_their_request(kept: tuple[Traces, Any]) -> None:
    tracer, exporter = kept

    async def one(route: str) -> None:
        with tracer.span("request", route=route) as span:
            with tracer.span("decode"):
                await asyncio.sleep(0.005)
            tracer.past("model", 0.25, batch=4)
            span.set(status=200)

    async def both() -> None:
        await asyncio.gather(one("/predict"), one("/batch_predict"))

    asyncio.run(both())
    spans = exporter.get_finished_spans()
    requests = {span.context.span_id: span for span in spans if span.name == "request"}
    assert {span.attributes["http.route"] for span in requests.values()} == {"/predict", "/batch_predict"}
    assert all(span.attributes["http.response.status_code"] == 200 for span in requests.values())
    children = [span for span in spans if span.name != "request"]
    assert sorted(span.name for span in children) == ["decode", "decode", "model", "model"]
    for span in children:
        assert span.context.trace_id == requests[span.parent.span_id].context.trace_id
    model = by_name(exporter)["model"]
    assert model.end_time - model.start_time == pytest.approx(0.25e9, rel=1e-6)
    assert model.attributes["laennec.batch.images"] == 4


def test_a_callers_trace_goes_on_and_a_malformed_header_is_passed_over(kept: tuple[Traces, Any]) -> None:
    tracer, exporter = kept
    for name, header in {
        "good": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "bad": f"00-{PATIENT}",
        "none": None,
    }.items():
        with tracer.span(name, traceparent=header):
            pass
    spans = by_name(exporter)
    assert f"{spans['good'].context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{spans['good'].parent.span_id:016x}" == "b7ad6b7169203331"
    assert spans["bad"].parent is None and spans["none"].parent is None


def test_no_span_holds_what_could_name_a_patient(kept: tuple[Traces, Any]) -> None:
    """Neither unknown attributes, nor free text under known ones, nor the message or traceback of an error."""
    tracer, exporter = kept
    with (
        pytest.raises(ValueError, match="DOE"),
        tracer.span("request", path=PATIENT, model=PATIENT, patient="DOE") as span,
    ):
        span.set(route=PATIENT, file="DOE_JANE.dcm", status=500)
        raise ValueError(PATIENT)
    with pytest.raises(ImageError), tracer.span("decode"):
        raise ImageError("corrupt_image", PATIENT)
    spans = by_name(exporter)
    told = " ".join(span.to_json() for span in spans.values())
    assert "DOE" not in told and "JANE" not in told and "Traceback" not in told
    assert all(not span.events and not span.status.description for span in spans.values())
    assert spans["request"].attributes == {"http.response.status_code": 500, "error.type": "ValueError"}
    assert spans["decode"].attributes == {"error.type": "corrupt_image"}
    assert not spans["decode"].status.is_ok


def test_the_closed_list_of_attributes_holds_no_result_and_no_identity() -> None:
    assert not {"score", "label", "verdict", "patient", "path", "url", "client", "key"} & set(ATTRIBUTES)


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes what OTLP/HTTP posts."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Content-Type"], body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, str, bytes]]]]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.got = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", server.got  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("how", ["argument", "base", "whole"])
def test_spans_reach_a_collector(
    how: str, collector: tuple[str, list[tuple[str, str, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from opentelemetry import trace
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    address, got = collector
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    if how == "base":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    if how == "whole":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{address}/v1/traces")
    before = trace.get_tracer_provider()
    tracer = traces(address if how == "argument" else None)
    assert tracer.on
    with tracer.span("request", route="/predict", status=200):
        tracer.past("wait", 0.001)
    tracer.close()
    (path, kind, body) = got[0]
    assert (path, kind) == ("/v1/traces", "application/x-protobuf")
    posted = ExportTraceServiceRequest.FromString(body).resource_spans[0]
    assert {span.name for span in posted.scope_spans[0].spans} == {"request", "wait"}
    assert {pair.key: pair.value.string_value for pair in posted.resource.attributes}["service.name"] == "laennec"
    assert trace.get_tracer_provider() is before, "other libraries must not find the provider"
    with tracer.span("late"):
        pass
    assert not tracer.on and len(got) == 1


@pytest.mark.slow
def test_a_collector_that_is_away_holds_up_nobody(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with caplog.at_level(logging.DEBUG, logger=""):
        tracer = traces("http://127.0.0.1:9")
        begin = time.perf_counter()
        for _ in range(5000):
            with tracer.span("request"):
                pass
        assert time.perf_counter() - begin < 3
        begin = time.perf_counter()
        tracer.close()
    assert time.perf_counter() - begin < CLOSING + 1
    said = capfd.readouterr()
    assert "Traceback" not in caplog.text + said.err + said.out


@pytest.mark.parametrize(
    "address", ["ftp://a:4318", "collector:4318", "http://u:hunter2@a:4318", "http://[::1", "", "http://a/?q=1"]
)
def test_what_is_no_address_of_a_collector_is_refused(address: str) -> None:
    with pytest.raises(UsageError) as error:
        traces(address)
    assert error.value.hint and "hunter2" not in str(error.value)


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
def test_the_variables_that_turn_it_off(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    assert not traces(None).on


def test_without_the_extra_a_variable_is_passed_over_and_an_option_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    assert not traces(None).on
    with pytest.raises(MissingExtra) as error:
        traces("http://127.0.0.1:9")
    assert "laennec[telemetry]" in error.value.hint


def test_fastapi_writes_no_spans_or_logs_of_its_own() -> None:
    """With a provider of the whole process in place, as `opentelemetry-instrument` or another library leaves one."""
    FastAPI = pytest.importorskip("fastapi").FastAPI
    pytest.importorskip("opentelemetry.sdk")
    code = f"""
import json
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

kept, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
counts = []
for silent in (None, {UNTRACED!r}):
    app = FastAPI(telemetry=silent)
    app.get("/predict")(lambda: {{}})
    TestClient(app).get("/predict?name=DOE")
    counts.append(len(kept.get_finished_spans()))
    kept.clear()
print(json.dumps(counts))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    by_default, untraced = json.loads(done.stdout)
    assert untraced == 0
    assert by_default or "telemetry" not in FastAPI.__init__.__annotations__, "nothing was there to silence"
