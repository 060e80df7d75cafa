"""The process that answers: ``python -m laennec.serve.worker``, started by `laennec.serve.supervisor`.

It reads its settings from stdin, a line of JSON: ``{"settings", "socket"}``, the socket as a file it inherited.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from laennec.errors import LaennecError, extra
from laennec.serve import keys
from laennec.serve.logs import log
from laennec.serve.service import Service
from laennec.serve.settings import Settings
from laennec.serve.supervisor import TOLD

if TYPE_CHECKING:
    import uvicorn

_LINGER = 0.5  # seconds in which what has reached an accepted connection is still read after SIGTERM
_CONNECTIONS, _SPARE = 4000, 256  # connections at once, and descriptors left for all else
_BROKEN = 1


def run(settings: Settings, listening: socket.socket) -> int:
    """Answer until SIGTERM or SIGINT; the exit code.

    Raises:
        LaennecError: a bundle cannot be opened or run, the keys cannot be read, or the extra ``serve`` is missing.
    """
    with extra("serve"):
        import uvicorn

        from laennec.serve.app import app
        from laennec.serve.protocol import protocol
    most = min(_CONNECTIONS, _descriptors() - _SPARE)
    ring = keys.Ring(keys.read(settings.keys) if settings.keys is not None else ())
    if not settings.loopback and settings.certificate is None:
        log("warning", what="keys and radiographs travel in the clear: no TLS")
    service = Service(settings)
    try:
        config = uvicorn.Config(
            app(service, ring),
            http=protocol(most),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=max(1, round(settings.drain)),
            backlog=2048,
            ssl_certfile=str(settings.certificate) if settings.certificate else None,
            ssl_keyfile=str(settings.private_key) if settings.private_key else None,
            h11_max_incomplete_event_size=64 * 1024,
        )
        server = _server(config, service, listening)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(server.serve(sockets=[listening]))
    finally:
        service.close()
        service.traces.close()
    return _BROKEN if service.failed is not None else 0


def _server(config: uvicorn.Config, service: Service, listening: socket.socket) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        """Stops in order: no longer ready, no new connection, what was sent is answered, idle connections closed."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            service.stopping = True
            self.should_exit = True

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                settings = service.settings
                host, port = listening.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                log(
                    "serving",
                    url=f"{settings.scheme}://{shown}:{port}",
                    pid=os.getppid(),
                    worker=os.getpid(),
                    ready=service.ready,
                    models={name: model.bundle.digest[:12] for name, model in service.models.named.items()},
                )

        async def on_tick(self, counter: int) -> bool:
            if service.failed is not None:
                self.should_exit = True
            return await super().on_tick(counter)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            service.stopping = True
            log("stopping", in_flight=service.places.taken)
            for server in self.servers:
                server.close()
            await asyncio.sleep(_LINGER)
            await super().shutdown(sockets)

    return Server(config)


def _descriptors() -> int:
    """How many files this process may have open, once it has asked for as many as it may."""
    try:
        import resource
    except ImportError:  # not on this system
        return 512 + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS + 2 * _SPARE if hard == resource.RLIM_INFINITY else min(hard, _CONNECTIONS + 2 * _SPARE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return _CONNECTIONS + _SPARE if soft == resource.RLIM_INFINITY else max(2 * _SPARE, soft)


def main() -> int:
    """Serve one supervisor. An error of starting is told as a line of JSON, with its exit code."""
    told = json.loads(sys.stdin.readline())
    _die_with_parent()
    listening = socket.socket(fileno=told["socket"])
    try:
        return run(Settings.model_validate(told["settings"]), listening)
    except LaennecError as error:
        log("cannot_serve", message=error.message, hint=error.hint)
        return TOLD + error.exit_code
    except KeyboardInterrupt:
        return 0


def _die_with_parent() -> None:
    """Stop in order when the supervisor is killed (Linux)."""
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)


if __name__ == "__main__":
    raise SystemExit(main())
