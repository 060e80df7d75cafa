"""The instruments that measure the service: what they say of servers whose faults are known."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("httptools", reason="the serve extra is not installed")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import chaos
import inputs
import resources
import soak
import verdicts
from openloop import Client, Exchange, Payload, arrivals, closed_loop, open_loop, request, run
from service import Service

linux = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads /proc of Linux")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
RUDE = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
Answer = Callable[[int], Awaitable[bytes | None]]


class Server:
    """Answers each request, numbered from 0, with the bytes that `answer` gives; None resets the connection."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.requests, self.connections = answer, 0, 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        await reader.readexactly(int(line.split(b":")[1]))
                number, self.requests = self.requests, self.requests + 1
                given = await self.answer(number)
                if given is None:
                    writer.transport.abort()
                    return
                writer.write(given)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def against(answer: Answer, job: Callable[[Client, Payload], Awaitable[Any]], wait: float = 5.0) -> tuple[Any, Server]:
    """`job` with a client of a server like that."""
    server = Server(answer)

    async def whole() -> Any:
        listening = await asyncio.start_server(server.talk, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        client = Client("127.0.0.1", port, wait=wait, keep=True)
        try:
            return await job(client, Payload("it", request(f"127.0.0.1:{port}", "/predict", b"body")))
        finally:
            await client.close()
            listening.close()

    return run(whole), server


async def at_once(_: int) -> bytes:
    return OK


def sent_fixed(rate: float, seconds: float, fresh: float = 0.0) -> Callable[[Client, Payload], Awaitable[Any]]:
    return lambda client, payload: open_loop(client, list(arrivals(rate, seconds, "fixed")), [payload], fresh)


def test_latency_counts_from_when_a_request_was_due() -> None:
    began: list[float] = []

    async def stalls_at_first(_: int) -> bytes:
        began.append(time.perf_counter())
        await asyncio.sleep(max(0.0, began[0] + 0.5 - time.perf_counter()))
        return OK

    ended, _ = against(stalls_at_first, sent_fixed(100, 1.0))
    told = verdicts.told(ended, 1.0)
    assert told.statuses == {200: 100} and told.most == pytest.approx(500, abs=120)
    slow = sorted(one.seconds for one in ended if one.seconds > 0.05)
    assert 38 <= len(slow) <= 52, "every request due during the stall waited"
    assert np.median(slow) == pytest.approx(0.27, abs=0.08)

    began.clear()
    asked, _ = against(stalls_at_first, lambda client, payload: closed_loop(client, 1, [payload], requests=100))
    assert sum(one.seconds > 0.05 for one in asked) == 1, "a closed loop would have hidden it"


def test_statuses_faults_and_refusals_are_counted() -> None:
    async def answer(number: int) -> bytes | None:
        if number % 10 == 9:
            await asyncio.sleep(60)
        return {3: None, 4: BUSY, 5: RUDE, 6: CHUNKED}.get(number % 10, OK)

    ended, _ = against(answer, sent_fixed(200, 0.25), wait=0.6)
    told = verdicts.told(ended, 0.25)
    assert told.requests == 50 and told.statuses == {0: 10, 200: 30, 503: 10}
    assert told.faults == {"reset": 5, "timeout": 5} and told.unexplained == 5
    assert told.others(200, 503) == 10 and told.share == 0.6 and told.good == 120
    assert {one.body for one in ended if one.status == 200} == {b"ok"}


def test_connections_are_kept_and_fresh_ones_are_not() -> None:
    kept, server = against(at_once, lambda client, payload: closed_loop(client, 1, [payload], requests=20))
    assert server.connections == 1 and [one.reused for one in kept] == [False] + [True] * 19
    fresh, server = against(at_once, sent_fixed(100, 0.2, fresh=1.0))
    assert server.connections == 20 and not any(one.reused for one in fresh)


def test_nobody_listens() -> None:
    async def ask() -> Exchange:
        client = Client("127.0.0.1", 1)
        try:
            return await client.ask(Payload("it", request("127.0.0.1", "/")))
        finally:
            await client.close()

    assert run(ask).fault == "refused"


def test_a_request_is_sent_once_the_kernel_has_all_of_it() -> None:
    async def reads_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async def whole() -> tuple[Exchange, Exchange]:
        listening = await asyncio.start_server(reads_nothing, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        client = Client("127.0.0.1", port, wait=0.4)
        try:
            small, large = (Payload("it", request("h", "/", bytes(n))) for n in (100, 64 << 20))
            return tuple(await asyncio.gather(client.ask(small), client.ask(large)))  # type: ignore[return-value]
        finally:
            await client.close()
            listening.close()

    small, large = run(whole)
    assert small.fault == large.fault == "timeout"
    assert small.sent and not large.sent


def test_who_leaves_waits_for_nothing() -> None:
    async def slow(_: int) -> bytes:
        await asyncio.sleep(0.4)
        return OK

    async def leave(client: Client, payload: Payload) -> Exchange:
        return await client.ask(Payload("gone", payload.data, True, True, 0.05))

    left, _ = against(slow, leave)
    assert left.fault == "left" and left.seconds < 0.3


@given(st.floats(0.5, 500), st.floats(0.1, 20), st.integers(0, 9))
def test_arrivals_have_their_rate(rate: float, seconds: float, seed: int) -> None:
    for kind in ("poisson", "fixed"):
        due = arrivals(rate, seconds, kind, seed)  # type: ignore[arg-type]
        assert len(due) == max(1, round(rate * seconds))
        assert (np.diff(due) >= 0).all() and due[0] >= 0 and due[-1] < seconds
        assert (due == arrivals(rate, seconds, kind, seed)).all()  # type: ignore[arg-type]


def test_poisson_arrivals_come_in_bursts() -> None:
    gaps = np.diff(arrivals(100, 100, "poisson", 1))
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.05)
    assert np.diff(arrivals(100, 100, "fixed")).std() < 1e-9


def exchange(due: float, seconds: float, status: int = 200, **more: Any) -> Exchange:
    return Exchange("it", due, due, due + 0.001, due + seconds, status, **more)


def test_recovery_is_when_a_window_is_as_before() -> None:
    calm = [exchange(n / 10, 0.010) for n in range(400)]
    assert verdicts.recovered(calm, 10.0) == 0.0
    slow = [exchange(n / 10, 0.5 if n < 60 else 0.010) for n in range(400)]
    assert verdicts.recovered(slow, 10.0) == 6.0
    refused = [exchange(n / 10, 0.010, 503 if n < 30 else 200) for n in range(400)]
    assert verdicts.recovered(refused, 10.0) == 3.0
    assert verdicts.recovered([exchange(n / 10, 0.5) for n in range(400)], 10.0) == float("inf")


@given(st.integers(0, 99), st.floats(1, 5), st.floats(60, 300))
def test_growth_tells_a_leak_from_noise(seed: int, noise: float, leak: float) -> None:
    steady = 200 + np.random.default_rng(seed).normal(0, noise, 50)
    steady[7] += 400
    assert abs(verdicts.growth(list(steady))) < 4 * noise
    assert verdicts.growth(list(steady + np.linspace(0, leak, 50))) == pytest.approx(
        0.8 * leak, abs=4 * noise + 0.03 * leak
    )


def test_the_table_says_what_does_not_hold() -> None:
    good, bad = verdicts.row("a", "0", "0", True), verdicts.row("b", "0", "1", False)
    assert verdicts.all_hold([good]) and not verdicts.all_hold([good, bad])


def test_jobs_lost_doubled_and_mixed_up_are_found() -> None:
    alone = {0: 0.25, 1: 0.5}

    def job(*lines: tuple[int, float], ids: tuple[str, ...] = ("a",)) -> chaos.Job:
        told = [{"index": at, "status": 200, "score": score} for at, score in lines]
        return chaos.Job((0, 1), set(ids), told)

    whole = job((0, 0.25), (1, 0.5))
    assert chaos.losses([whole, chaos.Job((0, 1))], alone) == chaos.Losses(1, 0, 0, 0)
    assert chaos.losses([job((0, 0.25)), chaos.Job((0, 1), {"gone"})], alone).lost == 2
    assert chaos.losses([job((0, 0.25), (1, 0.5), (1, 0.5))], alone).doubled == 1
    assert chaos.losses([job((0, 0.25), (1, 0.5), ids=("a", "b"))], alone).doubled == 1
    assert chaos.losses([job((0, 0.5), (1, 0.25))], alone).wrong == 2


def test_only_what_was_sent_before_the_signal_was_admitted() -> None:
    ended = [
        exchange(0.0, 0.5),  # answered before
        exchange(0.8, 0.5, reused=True),
        exchange(0.8, 0.5, 0, fault="reset"),  # over a new connection, long before
        exchange(0.99, 0.5, 0, fault="reset"),  # the same, hardly before: perhaps not accepted
        exchange(0.99, 0.5, 503, reused=True),
        exchange(1.2, 0.1, 0, fault="refused"),
    ]
    admitted, later = chaos.sorted_out(ended, 1.0)
    assert admitted == Counter({200: 1, "reset": 1, 503: 1}) and later == Counter({"reset": 1, "refused": 1})
    assert chaos.Stopped(0, 1.0, admitted, later).unanswered == 1


def test_mixtures_hold_their_share_and_repeat() -> None:
    good, bad = [Payload(f"good{n}", b"") for n in range(7)], [Payload(f"bad{n}", b"", True) for n in range(9)]
    mixed = inputs.mixture(good, bad, 1000, 0.2, 3)
    assert len(mixed) == 1000 and mixed == inputs.mixture(good, bad, 1000, 0.2, 3)
    counts = Counter(one.name for one in mixed if one.hostile)
    assert counts.total() == 200 and set(counts.values()) == {22, 23}


def test_the_corpus_of_hostile_input_is_sent_as_it_is() -> None:
    def made(*told: Any, **more: Any) -> Payload:
        return Payload("", request("127.0.0.1:7", *told, **more))

    bad = inputs.hostile(made, b"a radiograph", 4, 12)
    assert len(bad) == 14 and len({one.name for one in bad}) == 14 and all(one.hostile for one in bad)
    assert not any(b"@HOST@" in one.data or b"@KEY@" in one.data for one in bad)
    assert sum(b"127.0.0.1:7" in one.data for one in bad) > 9


HOLDS = """
import os, subprocess, sys, threading, time
kept = bytearray(os.urandom(1 << 20) * 40)
opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
for _ in range(3): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
open(os.environ["TMPDIR"] + "/left", "w").close()
child = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"])
time.sleep(60)
"""


@linux
def test_what_processes_hold_is_read_from_proc(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, env={"TMPDIR": str(tmp_path)}, start_new_session=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"1\n"
        held = resources.held(process.pid, tmp_path)
        assert held.processes == 2 and held.threads == 5 and 24 <= held.descriptors <= 32
        assert 45 < held.pss < 90 and held.rss >= held.pss and "left" in held.files
        process.kill()
        process.wait()
        assert len(resources.tree(process.pid)) == 1, "what the dead one left behind is found by its session"
    finally:
        for number in resources.tree(process.pid):
            subprocess.run(["kill", "-9", str(number)], check=False)
        process.wait()


STAND_IN = """
import asyncio, json, os, signal, socket, sys
import uvicorn

slow = float(sys.argv[1])

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
    if slow and scope["path"] == "/predict":
        await asyncio.sleep(slow)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        said = {"event": "serving", "url": url, "pid": os.getpid(), "worker": os.getpid()}
        print(json.dumps(said), file=sys.stderr, flush=True)
    def handle_exit(self, number, frame):
        if "hasty" in sys.argv:
            os._exit(0)
        super().handle_exit(number, frame)

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
Server(uvicorn.Config(app, lifespan="off", log_level="error")).run([listening])
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[list[str]]:
    pytest.importorskip("uvicorn", reason="the serve extra is not installed")
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    yield [sys.executable, str(script)]


@pytest.mark.slow
@linux
def test_a_soak_passes_what_is_sound_and_notices_every_leak(
    stand_in: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "QUIET", 0.3)
    monkeypatch.setattr(soak, "_STRETCHES", 10)
    few = inputs.hostile(lambda *told, **more: Payload("", request("h", *told, **more)), b"", 4, 0)
    monkeypatch.setattr(inputs, "hostile", lambda *_: few)
    pictures = inputs.radiographs(None, 2, side=64)
    command = [*stand_in, "0"]
    lines = soak.measure(command, tmp_path, pictures, 100, 0)
    assert [line for line in lines[:4] if "| yes |" not in line] == []
    assert verdicts.all_hold(lines[:5])
    lines = soak.noticed(command, tmp_path, pictures, 100, 0)
    assert verdicts.all_hold(lines) and len(lines) == len(soak.LEAKS)


@pytest.mark.slow
@linux
@pytest.mark.parametrize("how", ["orderly", "hasty"])
def test_requests_dropped_at_a_signal_are_noticed(stand_in: list[str], tmp_path: Path, how: str) -> None:
    lines = chaos.stops([*stand_in, "0.4", how], tmp_path, inputs.radiographs(None, 1, side=64), 30.0, 1, 0)
    assert verdicts.all_hold(lines) == (how == "orderly"), lines


@linux
def test_a_service_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no such luck"):
        Service([sys.executable, "-c", "raise SystemExit('no such luck')"], tmp_path)
