"""A fault injected into a service from outside: each request leaks. Proof that the soak test would notice.

Python imports this module at its start where ``PYTHONPATH`` names this folder. ``BENCHMARK_LEAK`` says what leaks:
``memory:BYTES``, ``descriptors:SHARE``, ``threads:SHARE``, ``files:SHARE``, or several joined by commas; bytes of each
request, or the share of requests that leak one.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Awaitable, Callable
from typing import Any

KEPT: list[Any] = []
App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def leak(kind: str, amount: float, turn: int) -> None:
    """What request `turn` leaves behind."""
    if kind == "memory":
        KEPT.append(os.urandom(int(amount)))
        return
    if int(turn * amount) == int((turn - 1) * amount):
        return
    if kind == "descriptors":
        KEPT.append(os.open(os.devnull, os.O_RDONLY))
    elif kind == "threads":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    elif kind == "files":
        os.close(tempfile.mkstemp(prefix="leak")[0])


def leaky(app: App, faults: dict[str, float]) -> App:
    """`app`, leaking."""
    turns = 0

    async def called(scope: dict[str, Any], receive: Any, send: Any) -> None:
        nonlocal turns
        if scope["type"] == "http":
            turns += 1
            for kind, amount in faults.items():
                leak(kind, amount, turns)
        await app(scope, receive, send)

    return called


def inject(told: str) -> None:
    """Make every application that uvicorn loads from now on leak."""
    from uvicorn.config import Config

    faults = {kind: float(amount) for kind, amount in (fault.split(":") for fault in told.split(","))}
    load = Config.load

    def loaded(config: Config) -> None:
        load(config)
        config.loaded_app = leaky(config.loaded_app, faults)

    Config.load = loaded  # type: ignore[method-assign, assignment]


if os.environ.get("BENCHMARK_LEAK"):
    inject(os.environ["BENCHMARK_LEAK"])
