"""The process that stays: holds the listening socket, starts the worker, starts another when it dies.

Connections that come while no worker runs wait in the socket's queue; they are not refused.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from types import FrameType

from laennec.errors import UsageError
from laennec.serve.logs import log
from laennec.serve.settings import Settings

_PAUSE = 3.0  # seconds between workers that die young, at most
_YOUNG, _MOST = 5.0, 5  # a worker that dies within so many seconds, so many times in a row, will not live
_GRACE = 10.0  # seconds beside the drain after which a worker that does not end is killed
TOLD = 100  # added by a worker to the exit code of an error that another worker would meet too
_COMMAND = (sys.executable, "-P", "-m", "laennec.serve.worker")


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    Raises:
        UsageError: it must not or cannot listen there.
    """
    settings.check()
    listening = _bound(settings)
    if os.name == "nt":  # a socket cannot be handed on there: no second process
        from laennec.serve.worker import run

        return run(settings, listening)
    return _Supervisor(settings, listening).run()


def _bound(settings: Settings) -> socket.socket:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {settings.host}, port {settings.port} ({error.strerror})",
            "take another --host or --port; port 0 takes a free one",
        ) from error
    listening.setblocking(False)
    return listening


class _Supervisor:
    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings, self._listening = settings, listening
        self._worker: subprocess.Popen[bytes] | None = None
        self._stopping, self._deaths = 0.0, 0

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while True:
            began = time.monotonic()
            code = self._once()
            if self._stopping:
                return 0 if code in (0, -signal.SIGTERM) else code % TOLD if code > 0 else 1
            if code >= TOLD:  # it said itself why it cannot serve
                return code - TOLD
            self._deaths = self._deaths + 1 if time.monotonic() - began < _YOUNG else 0
            if code >= 0 and (self._deaths >= _MOST or code == 0):
                return code or 1
            log("worker_died", code=code)
            self._pause(min(_PAUSE, 0.1 * self._deaths))
            if self._stopping:
                return 0

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            time.sleep(0.05)

    def _once(self) -> int:
        """Start a worker and wait for its end; its exit code."""
        handle = self._listening.fileno()
        if handle < 0:  # closed by the signal that stops it
            return 0
        self._worker = worker = subprocess.Popen(  # noqa: S603  our own module
            _COMMAND,
            stdin=subprocess.PIPE,
            pass_fds=[handle],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # an interrupt at the terminal is for this process, which hands it on
        )
        assert worker.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError):
            told = {"settings": self._settings.model_dump(mode="json"), "socket": handle}
            worker.stdin.write(json.dumps(told).encode() + b"\n")
            worker.stdin.close()
        if self._stopping:  # the signal came while it was being started
            worker.terminate()
        while True:
            with suppress(subprocess.TimeoutExpired):
                return worker.wait(timeout=1.0)
            if self._stopping and time.monotonic() > self._stopping + self._settings.drain + _GRACE:
                worker.kill()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        again = bool(self._stopping)
        self._stopping = self._stopping or time.monotonic()
        if not again:
            self._listening.close()
        worker = self._worker
        if worker is not None:
            worker.kill() if again and number == signal.SIGINT else worker.terminate()
