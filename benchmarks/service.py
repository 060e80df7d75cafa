"""`laennec serve` as a process of its own, with what it says on stderr."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import resources
from openloop import Client, Exchange, Payload, request, run

T = TypeVar("T")
LEAK = Path(__file__).resolve().parent / "leak"
START = 120.0  # seconds a service may take to be ready at first
QUIET = 7.0  # seconds in which a service left alone comes to rest
_USUAL = {"request", "decision"}


class Service:
    """A service that runs as long as the ``with`` lasts.

    Args:
        command: what starts it; `laennec_serve` makes one.
        folder: for its temporary files and its state; made if missing.
        leak: what an injected fault leaks with each request, see ``benchmarks/leak``; nothing by default.
        settings: further environment.

    Attributes:
        url, host, port: where it answers.
        events: what it said, oldest first, requests and decisions left out; lines that are no JSON under ``text``.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, leak: str = "", settings: Mapping[str, str] | None = None
    ) -> None:
        self.folder, self.temporary = folder, folder / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"TMPDIR": str(self.temporary), "LAENNEC_QUIET": "1"} | dict(settings or {})
        if leak:
            environment |= {"PYTHONPATH": str(LEAK), "BENCHMARK_LEAK": leak}
        self.events: list[dict[str, Any]] = []
        log = folder / "stderr"
        with log.open("wb") as written:
            self._process = subprocess.Popen(
                list(command), stderr=written, stdout=subprocess.DEVNULL, env=environment, start_new_session=True
            )
        self._log = log.open("rb")
        self._half = b""
        self.url = str(self._event("serving", START)["url"])
        parts = urlsplit(self.url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.ready(START)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self) -> None:
        """Take in what it said since; a file, so that a busy service is not slowed by its reader."""
        *lines, self._half = (self._half + self._log.read()).split(b"\n")
        for line in lines:
            try:
                said = json.loads(line)
            except ValueError:
                said = {"text": line.decode(errors="replace")}
            if isinstance(said, dict) and said.get("event") not in _USUAL:
                self.events.append(said)

    def _event(self, name: str, patience: float = 0.0) -> dict[str, Any]:
        """The last event of that name, waited for if there is none yet."""
        until = time.monotonic() + patience
        while True:
            over = self._process.poll() is not None or time.monotonic() > until
            self._read()
            for one in reversed(self.events):
                if one.get("event") == name:
                    return one
            if over:
                said = "\n".join(str(one.get("text", one)) for one in self.events[-20:])
                self.stop(signal.SIGKILL)
                raise SystemExit(f"the service said no '{name}':\n{said}")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """The process started, which watches over the worker."""
        return self._process.pid

    @property
    def worker(self) -> int:
        """The process that answers, as last told."""
        return int(self._event("serving").get("worker", self.pid))

    def held(self) -> resources.Held:
        """What all its processes hold."""
        return resources.held(self.pid, self.temporary)

    def decoders(self) -> list[int]:
        """Processes that decode."""
        return [one for one in resources.tree(self.pid) if "laennec.images.decoder" in resources.command(one)]

    def payload(self, path: str, body: bytes = b"", method: str = "POST", name: str = "", **more: str) -> Payload:
        """A request to it."""
        return Payload(name or path, request(f"{self.host}:{self.port}", path, body, method, **more))

    def asked(self, path: str, body: bytes = b"", method: str = "GET", **more: str) -> Exchange:
        """One request over a connection of its own; not from within a loop."""

        payload = self.payload(path, body, method, **more)
        return talk(self, lambda client: client.ask(payload, fresh=True), wait=30.0, keep=True)

    def ready(self, patience: float = 10.0) -> float:
        """Seconds until ``/readyz`` says so; infinite after `patience`."""
        began = time.perf_counter()
        while time.perf_counter() - began < patience:
            if self.asked("/readyz").status == 200:
                return time.perf_counter() - began
            time.sleep(0.05)
        return float("inf")

    def metric(self, name: str, **labels: str) -> float:
        """A value of ``/metrics``, summed over the labels not named; NaN where there is none."""
        text = self.asked("/metrics").body.decode()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        found = [
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.partition("{")[0].partition(" ")[0] == name and all(one in line for one in wanted)
        ]
        return sum(found) if found else float("nan")

    def tell(self, number: int) -> None:
        """Send a signal to the process that was started."""
        os.kill(self.pid, number)

    def ended(self, patience: float = 60.0) -> int | None:
        """Its exit code, waited for; None where it still runs after `patience`."""
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, number: int = signal.SIGTERM, patience: float = 30.0) -> int | None:
        """End it and whatever it left; its exit code, None where it had to be killed."""
        own = {process: resources.command(process) for process in resources.tree(self.pid)}
        if self._process.poll() is None:
            self.tell(number)
        code = self.ended(patience)
        for process, called in own.items():
            if called and resources.command(process) == called:
                try:
                    os.kill(process, signal.SIGKILL)
                except OSError:  # it is gone
                    continue
        self._process.wait()
        self._log.close()
        return code


def laennec_serve(bundle: Path, state: Path | None = None, *more: str) -> list[str]:
    """The command that serves `bundle` on a free port of the loopback."""
    command = [sys.executable, "-m", "laennec", "serve", str(bundle), "--port", "0", *more]
    return [*command, "--state", str(state)] if state else command


def talk(
    service: Service, job: Callable[[Client], Coroutine[Any, Any, T]], wait: float = 10.0, keep: bool = False
) -> T:
    """`job` in a loop of its own, with a pool of connections to `service`; `wait` and `keep` as of `Client`."""

    async def whole() -> T:
        client = Client(service.host, service.port, wait, keep)
        try:
            return await job(client)
        finally:
            await client.close()

    return run(whole)
