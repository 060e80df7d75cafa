"""The service: routes that are closed, bodies that are bounded, batches, deadlines, jobs that survive, a worker that is
replaced. The service under test is a real one, started once, asked over real connections.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import laennec as ln
from laennec import phantom
from laennec.errors import UsageError
from laennec.serve import Settings, keys
from laennec.serve.doorway import OPEN, route_of
from laennec.serve.drift import FIRST, LEAST, Drift, psi
from laennec.serve.faults import Fault
from laennec.serve.places import Places, Rates
from laennec.serve.settings import is_loopback

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the service's own processes are tested on POSIX systems")


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def radiograph(number: int = 1) -> bytes:
    return png(np.rint(phantom.draw(0, number, 0, 192).pixels * 255).astype(np.uint8))


@dataclass
class Live:
    """A service that runs."""

    process: subprocess.Popen[str]
    url: str
    worker: int
    lines: list[dict[str, Any]]

    def said(self, event: str, after: int = 0, seconds: float = 30) -> dict[str, Any]:
        """The first line of an event after so many lines; waits for it."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for line in self.lines[after:]:
                if line.get("event") == event:
                    return line
            if self.process.poll() is not None and event != "ended":
                raise AssertionError(f"the service ended with {self.process.returncode}: {self.lines}")
            time.sleep(0.02)
        raise AssertionError(f"no '{event}' in {seconds} s: {self.lines}")


def start(*arguments: str | Path) -> Live:
    process = subprocess.Popen(
        [sys.executable, "-m", "laennec", "serve", *map(str, arguments), "--port", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    live = Live(process, "", 0, [])

    def collect() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            live.lines.append(json.loads(line) if line.startswith("{") else {"event": "text", "text": line})

    threading.Thread(target=collect, daemon=True).start()
    told = live.said("serving", seconds=60)
    live.url, live.worker = told["url"], told["worker"]
    return live


def end(live: Live) -> int:
    live.process.send_signal(signal.SIGTERM)
    return live.process.wait(timeout=30)


@pytest.fixture
def served(quantised: ln.Bundle) -> ln.Bundle:
    """A bundle without torch, of the tiny training."""
    return quantised


@pytest.fixture(scope="module")
def live(quantised: ln.Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service with keys, jobs and the page; pictures of the tiny training are no chests, so it refers them."""
    folder = tmp_path_factory.mktemp("live")
    key = keys.add(folder / "keys.txt", "tester")
    other = keys.add(folder / "keys.txt", "other")
    live = start(
        quantised.path,
        "--ui",
        "--keys",
        folder / "keys.txt",
        "--state",
        folder / "state",
        "--gate",
        "refer",
        "--in-flight",
        "6",
    )
    live.key, live.other, live.folder = key, other, folder  # type: ignore[attr-defined]
    yield live
    assert end(live) == 0


@pytest.fixture
def client(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url, headers={"Authorization": f"Bearer {live.key}"}, timeout=30) as client:  # type: ignore[attr-defined]
        yield client


def test_every_route_but_the_healths_is_closed_without_a_key(live: Live, client: httpx.Client) -> None:
    routes = client.get("/openapi.json").json()["paths"]
    walked = [(method, path) for path, methods in routes.items() for method in methods]
    walked += [("get", "/"), ("get", "/page/app.js"), ("get", "/openapi.json"), ("get", "/nothing"), ("head", "/")]
    assert len(walked) > 14
    for method, path in walked:
        concrete = path.replace("{known}", "0" * 32)
        for headers in ({}, {"Authorization": "Bearer lk_wrong"}, {"X-API-Key": ""}, {"Authorization": "Basic !"}):
            answer = httpx.request(method, live.url + concrete, headers=headers)
            if concrete in OPEN:
                assert answer.status_code == 200, (method, path)
            else:
                assert answer.status_code == 401, (method, path, headers)
                assert answer.headers["www-authenticate"].startswith("Basic")
                assert method == "head" or answer.json()["error"]["code"] == "no_key"


def test_a_key_is_taken_in_three_ways_and_never_in_the_query(live: Live) -> None:
    key: str = live.key  # type: ignore[attr-defined]
    basic = base64.b64encode(f"anyone:{key}".encode()).decode()
    for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}, {"Authorization": f"Basic {basic}"}):
        assert httpx.get(f"{live.url}/models", headers=headers).status_code == 200
    assert httpx.get(f"{live.url}/models", params={"key": key}).status_code == 401


def test_the_service_answers_as_predict_does(served: ln.Bundle, client: httpx.Client) -> None:
    data = radiograph()
    expected = ln.open(served.path).predict(data)
    for sent in ({"content": data}, {"files": {"file": ("DOE^JANE.png", data)}}):
        answer = client.post("/predict", **sent)
        assert answer.status_code == 200
        told = answer.json()
        assert told["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
        assert (told["positive"], told["label"]) == (expected.positive, expected.label)
        assert told["bundle_digest"] == served.digest
        assert told["request_id"] == answer.headers["x-request-id"]
        assert "DOE" not in answer.text
        assert "not a medical device" in told["notice"].lower()
    at = client.post("/predict?rule=rule_out", content=data).json()
    assert at["operating_point"] == "rule_out"
    assert at["threshold"] == served.card.point("rule_out").threshold


@pytest.mark.skipif(sys.platform != "linux", reason="reads what a process has loaded from /proc")
def test_the_worker_loads_no_torch(live: Live) -> None:
    loaded = Path(f"/proc/{live.worker}/maps").read_text()
    assert "onnxruntime" in loaded
    assert "torch" not in loaded


def test_layers_lie_over_one_another(client: httpx.Client) -> None:
    told = client.post("/predict?with=picture,lungs,map", content=radiograph(2)).json()["layers"]
    assert set(told) == {"picture", "lungs", "map"}
    sizes = {
        name: Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size for name, url in told.items() if url
    }
    assert sizes == {"picture": (192, 192), "map": (192, 192), "lungs": (768, 768)}


@pytest.mark.parametrize(
    ("path", "content", "status", "code"),
    [
        ("/predict", b"", 422, "empty"),
        ("/predict", b"%PDF-1.7 ...", 415, "unsupported_type"),
        ("/predict", b"GIF89a" + b"0" * 50, 415, "unsupported_type"),
        ("/predict", radiograph()[:400], 422, "corrupt_image"),
        ("/predict", png(np.full((64, 64), 7, np.uint8)), 422, "blank"),
        ("/predict?model=other", b"x", 404, "no_model"),
        ("/predict?rule=best", b"x", 404, "no_rule"),
        ("/predict?with=brain", b"x", 400, "bad_request"),
        ("/predict?deadline_ms=-1", b"x", 400, "bad_request"),
        ("/predict?x=1", b"x", 400, "bad_request"),
        ("/predict?deadline_ms=" + "9" * 5000, b"x", 400, "bad_request"),
        ("/predict?rule=balanced&rule=balanced", b"x", 400, "bad_request"),
        ("/objects", radiograph(), 415, "unsupported_type"),
        ("/batch_predict", b"PK\x03\x04" + b"0" * 64, 422, "corrupt_archive"),
        ("/nothing", b"x", 404, "not_found"),
        ("/models", b"x", 405, "method_not_allowed"),
        ("/predict?deadline_ms=1", radiograph(), 504, "deadline"),
    ],
)
def test_what_cannot_be_answered_is_named(
    client: httpx.Client, path: str, content: bytes, status: int, code: str
) -> None:
    answer = client.post(path, content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_body_over_the_bound_is_refused_told_or_not(client: httpx.Client) -> None:
    whole = b"\x89PNG" + b"\0" * (33 << 20)
    pieces = (whole[at : at + 65536] for at in range(0, len(whole), 65536))
    for content in (whole, pieces):
        answer = client.post("/predict", content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_one_bad_file_of_a_batch_costs_itself_alone(client: httpx.Client) -> None:
    sent = [radiograph(1), b"nothing", radiograph(2)]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, data in enumerate(sent):
            archive.writestr(f"folder/{number}.png", data)
        archive.writestr("__MACOSX/._0.png", b"note")
    forms = client.post("/batch_predict", files=[("file", data) for data in sent]).json()
    zipped = client.post("/batch_predict", content=packed.getvalue()).json()
    for told in (forms, zipped):
        assert [one["status"] for one in told["results"]] == [200, 415, 200]
        assert [one["index"] for one in told["results"]] == [0, 1, 2]
        assert (told["ok"], told["refused"]) == (2, 1)
    assert forms["results"][2]["probabilities"] == zipped["results"][2]["probabilities"]
    many = client.post("/batch_predict", files=[("file", b"x")] * 17)
    assert (many.status_code, many.json()["error"]["code"]) == (413, "too_many_files")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(client: httpx.Client) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * (200 << 20))
    answer = client.post("/batch_predict", content=packed.getvalue())
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_more_work_than_places_is_sent_away_with_a_time_to_come_back(live: Live) -> None:
    data = radiograph()

    async def all_at_once() -> list[httpx.Response]:
        headers = {"Authorization": f"Bearer {live.key}"}  # type: ignore[attr-defined]
        limits = httpx.Limits(max_connections=64)
        async with httpx.AsyncClient(base_url=live.url, headers=headers, limits=limits, timeout=30) as client:
            return await asyncio.gather(*(client.post("/predict?with=picture", content=data) for _ in range(64)))

    answers = asyncio.run(all_at_once())
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    assert all(int(a.headers["retry-after"]) >= 1 for a in answers if a.status_code == 503)
    assert statuses.count(200) >= 6


def test_other_sites_and_other_names_are_sent_away(client: httpx.Client) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = client.post("/predict", content=b"x", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "cross_site")
    answer = client.get("/models", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_host")


def test_answers_carry_strict_headers(client: httpx.Client) -> None:
    for path in ("/", "/models", "/livez", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_a_job_is_answered_once_and_belongs_to_its_key(live: Live, client: httpx.Client) -> None:
    sent = [("file", radiograph(n)) for n in (1, 2)] + [("file", b"nothing")]
    first = client.post("/jobs", files=sent, headers={"Idempotency-Key": "night-7"})
    again = client.post("/jobs", files=sent, headers={"Idempotency-Key": "night-7"})
    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"]
    other = client.post("/jobs", files=sent[:1], headers={"Idempotency-Key": "night-7"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "other_job")
    place = first.headers["location"]
    early = client.get(place + "/results")
    assert early.status_code in (200, 409)
    until = time.monotonic() + 20
    while client.get(place).json()["state"] != "done" and time.monotonic() < until:
        time.sleep(0.05)
    told = client.get(place).json()
    assert (told["state"], told["ok"], told["refused"], told["answered"]) == ("done", 2, 1, 3)
    lines = [json.loads(line) for line in client.get(place + "/results").text.splitlines()]
    assert [(line["index"], line["status"]) for line in lines] == [(0, 200), (1, 200), (2, 415)]
    folder: Path = live.folder / "state" / "jobs" / told["id"]  # type: ignore[attr-defined]
    assert not list(folder.glob("input-*"))
    stranger = {"Authorization": f"Bearer {live.other}"}  # type: ignore[attr-defined]
    assert client.get(place, headers=stranger).status_code == 404
    assert client.delete(place, headers=stranger).status_code == 404
    assert client.delete(place).status_code == 200
    assert client.get(place).status_code == 404


def test_metrics_tell_what_was_done_and_of_what(served: ln.Bundle, client: httpx.Client) -> None:
    client.post("/predict", content=radiograph())
    told = client.get("/metrics").text
    assert f'digest="{served.digest}"' in told
    assert 'laennec_requests_total{route="/predict",status="200"}' in told
    assert "laennec_ready 1.0" in told
    documented = set()
    page = (Path(__file__).parents[1] / "docs" / "serving.md").read_text(encoding="utf-8")
    for line in page.partition("## Metrics")[2].splitlines():
        documented |= (
            {part.strip("`") for part in line.split("|")[1:2][0].replace(",", " ").split()}
            if line.startswith("| `")
            else set()
        )
    named = {line.split()[2] for line in told.splitlines() if line.startswith("# TYPE laennec_")}
    for name in named:
        assert name in documented or f"{name}_total" in documented, name


def test_logs_and_audit_lines_hold_nothing_of_the_input(live: Live, client: httpx.Client) -> None:
    stranger = "ZZTOPSECRET"
    client.post(f"/predict/{stranger}?{stranger}={stranger}", content=b"x")
    client.post("/predict", files={"file": (f"{stranger}.png", radiograph())}, headers={"X-Name": stranger})
    client.request(stranger, "/predict")
    time.sleep(0.2)
    logged = json.dumps(live.lines)
    audit = (live.folder / "state" / "audit.jsonl").read_text()  # type: ignore[attr-defined]
    assert audit.count("\n") > 3
    for line in map(json.loads, audit.splitlines()):
        assert len(line["input"]) == 64
        assert line["verdict"] in ("positive", "negative")
    assert stranger not in logged + audit + client.get("/metrics").text


def test_who_goes_away_leaves_its_place(live: Live, client: httpx.Client) -> None:
    host, port = live.url.removeprefix("http://").split(":")
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {live.key}\r\n"  # type: ignore[attr-defined]
    data = radiograph()
    for _ in range(30):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    time.sleep(1.0)
    assert "laennec_in_flight 0.0" in client.get("/metrics").text


def connection_to(live: Live) -> socket.socket:
    host, port = live.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_a_head_trailers_or_framing_without_end_are_cut_off(live: Live) -> None:
    def resident() -> int:
        return int(Path(f"/proc/{live.worker}/statm").read_text().split()[1]) * 4096

    before = resident()
    chunked = b"POST /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    for start, piece in (
        (b"GET /livez HTTP/1.1\r\n", b"a:b\r\n" * 10_000),
        (b"GET /livez HTTP/1.1\r\nx: ", b"y" * 100_000),
        (chunked, b"t: u\r\n" * 10_000),
    ):
        with connection_to(live) as connection, pytest.raises(OSError):
            connection.sendall(start)
            for _ in range(400):
                connection.sendall(piece)
    assert resident() - before < 32 << 20


def test_bodies_that_are_only_announced_keep_nobody_out(live: Live, client: httpx.Client) -> None:
    head = (
        f"POST /batch_predict HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {live.key}\r\nContent-Length: 134217728\r\n\r\n"  # type: ignore[attr-defined]
    )
    idle = [connection_to(live) for _ in range(8)]
    try:
        for connection in idle:
            connection.sendall(head.encode())
        time.sleep(0.3)
        assert client.post("/predict", content=radiograph()).status_code == 200
    finally:
        for connection in idle:
            connection.close()


def test_a_zip_with_the_larger_directory_is_refused(client: httpx.Client) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(3):
            archive.writestr(str(number), b"x")
    data = packed.getvalue()
    end = data.rfind(b"PK\5\6")
    larger = data[:end] + b"PK\6\7" + b"\0" * 16 + data[end:]
    answer = client.post("/batch_predict", content=larger)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_files")


def test_one_state_folder_serves_one_service(live: Live, served: ln.Bundle) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "laennec",
            "serve",
            str(served.path),
            "--port",
            "0",
            "--state",
            str(live.folder / "state"),
        ],  # type: ignore[attr-defined]
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "another service uses this state folder" in done.stderr


def test_a_job_whose_operating_point_is_gone_waits_and_harms_nobody(served: ln.Bundle, tmp_path: Path) -> None:
    job = tmp_path / "state" / "jobs" / ("0" * 32)
    job.mkdir(parents=True)
    (job / "input-000000").write_bytes(radiograph())
    facts = {"id": "0" * 32, "accepted": "2026-01-01", "key": None, "model": served.name, "rule": "gone", "files": 1}
    (job / "job.json").write_text(json.dumps(facts))
    live = start(served.path, "--state", tmp_path / "state", "--gate", "refer")
    try:
        assert live.said("job_waits")["job"] == "0" * 32
        assert httpx.post(f"{live.url}/predict", content=radiograph(), timeout=30).status_code == 200
        assert httpx.get(f"{live.url}/readyz", timeout=30).status_code == 200
    finally:
        assert end(live) == 0


def test_it_stops_well_while_it_is_still_starting(served: ln.Bundle) -> None:
    for wait in (0.4, 1.2):
        process = subprocess.Popen(
            [sys.executable, "-m", "laennec", "serve", str(served.path), "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(wait)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
        # before python itself listens for it, the signal ends the process
        assert process.returncode in (0, -signal.SIGTERM), said
        assert "Traceback" not in said


def test_a_killed_worker_is_replaced_and_its_jobs_are_gone_on_with(served: ln.Bundle, tmp_path: Path) -> None:
    live = start(served.path, "--state", tmp_path / "state", "--gate", "refer")
    try:
        files = [("file", radiograph(n % 4)) for n in range(40)]
        place = httpx.post(f"{live.url}/jobs", files=files, timeout=30).headers["location"]
        seen = len(live.lines)
        os.kill(live.worker, signal.SIGKILL)
        live.worker = live.said("serving", after=seen)["worker"]
        assert httpx.get(f"{live.url}/readyz", timeout=20).status_code == 200
        until = time.monotonic() + 30
        while httpx.get(live.url + place).json()["state"] != "done" and time.monotonic() < until:
            time.sleep(0.1)
        lines = [json.loads(line) for line in httpx.get(f"{live.url}{place}/results").text.splitlines()]
        assert [line["index"] for line in lines] == list(range(40))
        assert {line["status"] for line in lines} == {200}
    finally:
        assert end(live) == 0


def test_requests_at_work_are_answered_before_it_stops(served: ln.Bundle) -> None:
    live = start(served.path, "--gate", "refer")
    host, port = live.url.removeprefix("http://").split(":")
    data = radiograph()
    request = (
        f"POST /predict?with=picture HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
    )
    connections = [socket.create_connection((host, int(port))) for _ in range(6)]
    for connection in connections:
        connection.sendall(request)
    live.process.send_signal(signal.SIGTERM)
    for connection in connections:
        with connection, connection.makefile("rb") as answer:
            assert answer.readline().split()[1] == b"200"
    assert live.process.wait(timeout=30) == 0


def test_it_starts_nowhere_it_must_not(served: ln.Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no key is asked for"):
        Settings(bundles=(served.path,), host="0.0.0.0").check()  # noqa: S104
    with pytest.raises(UsageError, match="certificate and its key"):
        Settings(bundles=(served.path,), certificate=tmp_path / "a.pem").check()
    for name in ("a.pem", "b.pem"):
        (tmp_path / name).write_text("no key")
    with pytest.raises(UsageError, match="cannot be used together"):
        Settings(bundles=(served.path,), certificate=tmp_path / "a.pem", private_key=tmp_path / "b.pem").check()
    with pytest.raises(UsageError, match="two bundles"):
        Settings(bundles=(served.path, served.path)).check()
    done = subprocess.run(
        [sys.executable, "-m", "laennec", "serve", str(tmp_path / "nothing"), "--port", "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_loopback_is_told_from_the_rest() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "hospital.example", "")))  # noqa: S104


def test_keys_are_kept_as_hashes(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    key = keys.add(file, "pacs", 2.5)
    assert key not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    (kept,) = keys.read(file)
    assert (kept.name, kept.rate) == ("pacs", 2.5)
    ring = keys.Ring((kept,))
    assert ring.whose({b"authorization": b"bearer " + key.encode()}) == kept
    assert ring.whose({b"x-api-key": key.encode()[:-1]}) is None
    with pytest.raises(UsageError, match="has a key"):
        keys.add(file, "pacs")
    with pytest.raises(UsageError, match="letters"):
        keys.add(file, "a b")
    file.write_text("pacs nothing\n")
    with pytest.raises(UsageError, match="line 1"):
        keys.read(file)


@given(st.dictionaries(st.binary(max_size=12), st.binary(max_size=60), max_size=4), st.binary(max_size=80))
@settings(max_examples=60, deadline=None)
def test_no_header_opens_the_door_by_accident(headers: dict[bytes, bytes], value: bytes) -> None:
    ring = keys.Ring((keys.Key("a", keys.digest("lk_right")),))
    assert ring.whose(headers | {b"authorization": value}) is None


def test_places_are_bounded_and_given_back() -> None:
    places = Places(3)
    with places.taken_for(2), places.taken_for():
        assert places.full
        with pytest.raises(Fault) as refused, places.taken_for():
            pass
        assert refused.value.retry_after is not None
    assert places.taken == 0
    with places.taken_for(50):
        assert places.taken == 3


def test_rates_let_so_many_through_and_forget() -> None:
    rates = Rates(5)
    passed = 0
    for _ in range(20):
        try:
            rates.ask("a")
            passed += 1
        except Fault as fault:
            assert (fault.status, fault.code) == (429, "too_often")
            assert fault.retry_after == 1
    assert passed == 5
    rates.ask("b")
    for _ in range(50):
        rates.ask("c", 0)


def test_drift_is_seen_when_there_is_one() -> None:
    rng = np.random.default_rng(0)
    same, other = Drift(rng.normal(0, 1, 800)), Drift(rng.normal(0, 1, 800))
    assert same.value is None
    for value in rng.normal(0, 1, 800):
        same.add(value)
        other.add(value + 0.8)
    assert same.value is not None
    assert same.value < 0.1
    assert other.value is not None
    assert other.value > 0.25
    first = Drift()
    for value in rng.normal(0, 1, FIRST + LEAST):
        first.add(value)
    assert first.value is not None
    a, b = np.array([10, 20, 30]), np.array([30, 20, 10])
    assert psi(a, a) == 0
    # (b - a) ln(b / a), summed by hand with half a count added
    shares = (np.array([10.5, 20.5, 30.5]) / 61.5, np.array([30.5, 20.5, 10.5]) / 61.5)
    assert psi(a, b) == pytest.approx(sum((y - x) * np.log(y / x) for x, y in zip(*shares, strict=True)))


@given(st.text(max_size=30))
def test_routes_in_logs_are_ours(path: str) -> None:
    known = {
        "/predict",
        "/batch_predict",
        "/jobs",
        "/objects",
        "/livez",
        "/readyz",
        "/",
        "/models",
        "/model",
        "/metrics",
    }
    known |= {"/openapi.json", "/page/{name}", "/jobs/{id}", "/jobs/{id}/results", "other"}
    assert route_of(path) in known
    assert route_of("/" + path) in known
