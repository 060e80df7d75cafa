"""The log and the audit lines: JSON, a line each. Neither holds anything of a patient, a file's name or a path."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from laennec.errors import UsageError

AUDIT, SECRET, LOCK = "audit.jsonl", "secret", "lock"
_SAID = {
    "serving": "serving at {url}, until you press Ctrl+C. Research use only. Not a medical device.",
    "cannot_serve": "error: {message}\nhint:  {hint}",
}
_lock = threading.Lock()


def now() -> str:
    """The time, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def log(event: str, stream: TextIO | None = None, **facts: Any) -> None:
    """Write one line to stderr; what is None is left out. At a terminal the start is told in words."""
    out = stream or sys.stderr
    line = json.dumps({"time": now(), "event": event} | {k: v for k, v in facts.items() if v is not None})
    if event in _SAID and out.isatty():  # somebody sits there
        line = _SAID[event].format(**facts)
    with _lock:
        try:
            out.write(line + "\n")
            out.flush()
        except (OSError, ValueError):  # nobody reads any more; the service goes on
            return


def where(error: BaseException) -> str:
    """File and line of our own code where it was raised: no message, which may quote the input."""
    at, frame = "", error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        if "laennec" in code.co_filename:
            at = f"{Path(code.co_filename).name}:{frame.tb_lineno}"
        frame = frame.tb_next
    return at


class Audit:
    """An append-only line for each decision: when, whose key, which request, a keyed hash of the input, which bundle,
    the verdict. The hash tells that two inputs were the same, to who has the secret, and nothing else.

    Args:
        state: folder of the lines and the secret; None: lines go to the log, under a secret of this process.

    Raises:
        UsageError: the folder cannot be written.
    """

    def __init__(self, state: Path | None) -> None:
        self._file: TextIO | None = None
        self._lock: TextIO | None = None
        self._secret = secrets.token_bytes(32)
        if state is None:
            return
        try:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _locked(state / LOCK)
            self._secret = _kept(state / SECRET)
            handle = os.open(state / AUDIT, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise UsageError(f"{state} cannot be written ({error.strerror})", "take another --state") from error
        self._file = os.fdopen(handle, "a", encoding="utf-8", buffering=1)
        self._synced = time.monotonic()

    def hashed(self, data: bytes) -> str:
        """HMAC-SHA-256 of an input, 64 hexadecimal digits."""
        return hmac.new(self._secret, data, hashlib.sha256).hexdigest()

    def note(self, **facts: Any) -> None:
        """Write one line. Raises `OSError` where it cannot be kept: then the answer must not be given."""
        if self._file is None:
            log("decision", **facts)
            return
        line = json.dumps({"time": now()} | {k: v for k, v in facts.items() if v is not None})
        with _lock:
            self._file.write(line + "\n")
            if time.monotonic() - self._synced > 1.0:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()

    def close(self) -> None:
        """Have the last lines on the device."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
        if self._lock is not None:
            self._lock.close()


def _locked(path: Path) -> TextIO:
    """The lock of a state folder, held while the file is open. Raises `UsageError` where another service holds it."""
    stream = path.open("w")
    try:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # not on this system: nothing keeps two services apart there
        pass
    except OSError as error:
        stream.close()
        raise UsageError("another service uses this state folder", "take another --state, or stop that one") from error
    return stream


def _kept(path: Path) -> bytes:
    """The secret in a file, drawn where there is none."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    drawn = secrets.token_bytes(32)
    with os.fdopen(handle, "wb") as stream:
        stream.write(drawn)
        stream.flush()
        os.fsync(stream.fileno())
    return drawn
