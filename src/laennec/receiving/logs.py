"""The log: JSON, a line each, on stderr. It knows events, codes, counts and times, and nothing of a patient."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

Log = Callable[..., None]
_lock = threading.Lock()


def now() -> str:
    """The time, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def terse_threads() -> Iterator[None]:
    """Inside the block a thread that fails tells the kind of its error, and not what it was about."""
    before = threading.excepthook
    threading.excepthook = lambda failed: log("fault", code=failed.exc_type.__name__)
    try:
        yield
    finally:
        threading.excepthook = before


def log(event: str, **facts: Any) -> None:
    """Write one line; what is None is left out."""
    line = json.dumps({"time": now(), "event": event} | {k: v for k, v in facts.items() if v is not None})
    with _lock:
        try:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # nobody reads any more; the work goes on
            return
