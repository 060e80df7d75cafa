"""A service at work in a process of its own, requests put on its socket byte by byte, and what it costs meanwhile."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .requests import HOST, KEY, Wire, file_part, form, request

_ROOT = Path(__file__).parents[2]
_START = 120.0
_KIND = {"Content-Type": "multipart/form-data; boundary=laennec-hostile-7f3a"}


@dataclass(frozen=True)
class Reply:
    """One answer; `status` 0 where the connection ended without one."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def told(self) -> Any:
        """The body as JSON; None where it is none."""
        with suppress(ValueError):
            return json.loads(self.body)
        return None

    @property
    def code(self) -> str:
        """``answer``, ``closed``, ``bare``, or the error's own code."""
        if not self.status:
            return "closed"
        if 200 <= self.status < 300:
            return "answer"
        told = self.told
        return told["error"]["code"] if isinstance(told, dict) and isinstance(told.get("error"), dict) else "bare"


class Service:
    """``laennec serve BUNDLE`` with a key, on a free port of the loopback, until the block ends.

    Args:
        bundle: folder of what is served.
        folder: for its state, keys, log and temporary files.
        options: of the command, besides.
    """

    def __init__(self, bundle: Path, folder: Path, *options: str) -> None:
        self.state, self.temporary, self.log = folder / "state", folder / "tmp", folder / "log.jsonl"
        self._bundle, self._folder, self._options = bundle, folder, options
        self.key, self.port = "", 0
        self.heard: list[bytes] = []  # every answer's bytes, for who looks for what must not be there

    def __enter__(self) -> Self:
        self.temporary.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {
            "TMPDIR": str(self.temporary),
            "LAENNEC_QUIET": "1",
            "PYTHONPATH": str(_ROOT / "src"),
            "PYTHONWARNINGS": "ignore",
        }
        keys = self._folder / "keys.txt"
        if not keys.exists():
            command = [sys.executable, "-m", "laennec", "key", "tests", "--file", str(keys)]
            told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
            found = re.search(r"lk_[\w-]+", told.stdout + told.stderr)
            assert found, told.stdout + told.stderr
            self.key = found[0]
        serve = [sys.executable, "-m", "laennec", "serve", str(self._bundle), "--port", "0"]
        serve += ["--state", str(self.state), "--keys", str(keys), *self._options]
        with self.log.open("wb") as stream:
            self._process = subprocess.Popen(serve, stderr=stream, stdout=stream, env=environment, cwd=self._folder)
        until = time.monotonic() + _START
        while not self.port:
            told = re.search(r'"event": "serving".*?http://127\.0\.0\.1:(\d+)', self.log.read_text("utf-8", "replace"))
            self.port = int(told[1]) if told else 0
            if self._process.poll() is not None or time.monotonic() > until:
                self._process.kill()
                raise AssertionError("the service does not start:\n" + self.log.read_text("utf-8", "replace")[-2000:])
            time.sleep(0.05)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self.ended = self._process.wait(timeout=45)
        except subprocess.TimeoutExpired:
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.ended = self._process.wait()

    # What it is made of and costs ------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether its first process runs."""
        return self._process.poll() is None

    def processes(self) -> list[int]:
        """Its process and all that come from it."""
        parents: dict[int, list[int]] = {}
        for place in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, IndexError, ValueError):
                parent = int(place.read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(place.parent.name))
        found = [self._process.pid]
        for pid in found:
            found += parents.get(pid, [])
        return found

    def workers(self) -> set[int]:
        """The processes that answer, not those that decode: their end is a crash."""
        return {pid for pid in self.processes() if "laennec.images.decoder" not in _command(pid)}

    def descriptors(self) -> int:
        """Open files of all of it."""
        total = 0
        for pid in self.processes():
            with suppress(OSError):
                total += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        return total

    # What is said to it ----------------------------------------------------------------------------------------------

    def send(self, wire: Wire, seconds: float = 20.0) -> list[Reply]:
        """Do as `wire` says and read its answers; a further time-out raises `TimeoutError`."""
        address = f"127.0.0.1:{self.port}".encode()

        def real(data: bytes) -> bytes:
            return data.replace(HOST, address).replace(KEY, self.key.encode())

        with ExitStack() as held:
            for _ in range(wire.beside):
                other = held.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=seconds))
                other.sendall(real(wire.first))
            line = held.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=seconds))
            steps = [step if isinstance(step, float) else real(step) for step in wire.steps]
            talk = threading.Thread(target=_talk, args=(line, steps, wire.shut), daemon=True)
            talk.start()
            replies = _hear(line, wire, seconds)
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            talk.join(timeout=5)
        self.heard += [repr(reply.headers).encode() + reply.body for reply in replies]
        return replies

    def ask(self, method: str, path: str, body: bytes = b"", **more: Any) -> Reply:
        """One plain request."""
        headers = more.get("headers")
        return self.send(Wire([request(method, path, body, headers)], methods=(method,)), more.get("seconds", 20.0))[0]

    def send_files(self, path: str, files: list[bytes], seconds: float = 20.0) -> Reply:
        """A form of files."""
        return self.ask("POST", path, form(*[file_part(one) for one in files]), headers=_KIND, seconds=seconds)


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
    return ""


def _talk(line: socket.socket, steps: list[bytes | float], shut: bool) -> None:
    with suppress(OSError):  # the other side need not hear all of it
        for step in steps:
            if isinstance(step, float):
                time.sleep(step)
            else:
                line.sendall(step)
        if shut:
            line.shutdown(socket.SHUT_WR)


class _Buffered:
    """A socket whose answers are read one behind the other from the same buffer."""

    def __init__(self, line: socket.socket) -> None:
        self._stream = line.makefile("rb")

    def makefile(self, _: str) -> io.BufferedReader:
        return _Kept(self._stream)  # type: ignore[return-value]


class _Kept:
    """A stream that an answer's end does not close."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """Stays open for the next answer."""


def _hear(line: socket.socket, wire: Wire, seconds: float) -> list[Reply]:
    buffered, replies = _Buffered(line), []
    line.settimeout(seconds)
    for number in range(wire.answers):
        method = wire.methods[min(number, len(wire.methods) - 1)]
        answer = http.client.HTTPResponse(buffered, method=method)  # type: ignore[arg-type]
        try:
            answer.begin()
            replies.append(Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()))
        except TimeoutError:
            raise
        except (http.client.HTTPException, OSError, ValueError):
            replies.append(Reply(0))
            break
    return replies


class Memory:
    """By how many bytes a service and its decoders grow while the block runs: `grown`.

    Of each process that was there, its peak less what it held before; of a process that came, its peak less what the
    largest of its kind held before.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self.grown = 0
        self._over = threading.Event()
        self._peaks: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._before = {pid: _memory(pid, "VmRSS") for pid in self._service.processes()}
        for pid in self._before:
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self._note(list(self._before))

    def _note(self, pids: list[int]) -> None:
        for pid in pids:
            self._peaks[pid] = max(self._peaks.get(pid, 0), _memory(pid, "VmHWM"))

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._note(self._service.processes())
        usual = max(self._before.values(), default=0)
        self.grown = sum(max(0, peak - self._before.get(pid, usual)) for pid, peak in self._peaks.items())


def _memory(pid: int, what: str) -> int:
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(what + ":"):
                return int(line.split()[1]) * 1024
    return 0
