"""Files over HTTP: broken off and gone on with, never taken for whole when they are not.

What has come lies beside the target in a hidden ``.partial`` file, with what the server said of the whole in
``.partial.json``. A later call goes on from there if the server still has the same file (``If-Range``).
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from laennec import progress, storage
from laennec.errors import LaennecError
from laennec.version import VERSION

PATIENCE = (1.0, 3.0, 10.0)  # seconds before each new attempt; one that brought bytes starts the row again
_SILENCE = 30.0  # seconds without a byte
_CHUNK = 1 << 20


class Unreachable(LaennecError):
    """The server cannot be reached, or will not give the file."""


class _Broken(Exception):
    """This attempt failed; the next may not."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in ("http", "https") or (before == "https" and after == "http"):
            raise _unsafe()
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _unsafe() -> Unreachable:
    return Unreachable("the server leads to an unsafe address", "take the file from the publisher's page")


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS, and none of the other schemes `urlopen` knows (files, FTP)."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", f"laennec/{VERSION}"), ("Accept-Encoding", "identity")]
    return opener


def size_of(url: str) -> int:
    """Bytes of the file at `url` by its server's word; 0 where it does not say, or cannot be reached."""
    try:
        with _opener().open(urllib.request.Request(url, method="HEAD"), timeout=_SILENCE) as answer:  # noqa: S310
            return int(answer.headers.get("Content-Length") or 0)
    except (OSError, http.client.HTTPException, ValueError, LaennecError):
        return 0


def partial_of(target: Path) -> Path:
    """Where what has come of `target` lies until it is whole."""
    return target.parent / f".{target.name}.partial"


def download(url: str, target: Path, most: int, patience: Sequence[float] = PATIENCE) -> Path:
    """Bring the file at `url` to the partial file of `target`, going on where an earlier call broke off.

    Args:
        url: http or https.
        target: names the partial file; nothing is put at `target` itself.
        most: bytes; a longer file is refused.
        patience: seconds to wait before each new attempt.

    Returns:
        The partial file, whole as far as the server's word goes. Whether it is the right one is for the caller.

    Raises:
        Unreachable: no server, or it refuses; what has come is kept.
        StorageFull: the device has no room; what has come is kept.
    """
    partial = partial_of(target)
    waits = iter(patience)
    while True:
        before = _size(partial)
        try:
            with storage.guard_space(target):
                _attempt(url, partial, most)
            return partial
        except _Broken as error:
            if _size(partial) > before:
                waits = iter(patience)
            wait = next(waits, None)
            if wait is None:
                have = _size(partial)
                again = f"run the same command again: it goes on at {have:,} bytes" if have else "is there a network?"
                raise Unreachable(f"{target.name} did not come whole: {error}", again) from error
            progress.say(f"{target.name}: {error}; trying again in {wait:.0f} s")
            time.sleep(wait)


def forget(target: Path) -> None:
    """Remove what has come of `target`."""
    partial = partial_of(target)
    for path in (partial, _notes_of(partial)):
        path.unlink(missing_ok=True)


def _notes_of(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _noted(partial: Path, url: str) -> dict[str, Any]:
    """What the server said when the partial file was begun; empty where it cannot be gone on with."""
    try:
        said = storage.read_json(_notes_of(partial))
    except LaennecError:
        return {}
    return said if isinstance(said, dict) and said.get("url") == url and said.get("validator") else {}


def _attempt(url: str, partial: Path, most: int) -> None:
    have, said = _size(partial), _noted(partial, url)
    headers = {"Range": f"bytes={have}-", "If-Range": str(said["validator"])} if have and said else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        with _opener().open(request, timeout=_SILENCE) as answer:
            _receive(answer, answer.status, answer.headers, url, partial, have if headers else 0, most)
    except urllib.error.HTTPError as error:
        if error.code == 416 and headers:  # what is here is no beginning of what is there, or already all of it
            if have == said.get("total"):
                return
            partial.unlink()
            raise _Broken("the server's file has changed") from error
        if error.code < 400:  # urllib's own handler refuses other schemes so, with the address in its words
            raise _unsafe() from error
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _Broken(f"the server answers {error.code}") from error
        raise Unreachable(f"the server refuses the file ({error.code} {error.reason})") from error
    except urllib.error.URLError as error:
        raise _Broken(f"the server cannot be reached ({_why(error.reason)})") from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _Broken(f"the connection broke ({_why(error)})") from error


def _why(reason: object) -> str:
    return (getattr(reason, "strerror", None) or str(reason) or type(reason).__name__)[:120]


def _receive(answer: Any, status: int, headers: Message, url: str, partial: Path, have: int, most: int) -> None:
    length = headers.get("Content-Length")
    total: int | None = int(length) if length and length.isdigit() else None
    start = 0
    if status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
        if found is None or int(found[1]) != have:
            partial.unlink(missing_ok=True)
            raise _Broken("the server answers with another range than asked for")
        start, total = have, int(found[2])
    if total is not None and total > most:
        raise Unreachable(f"the file has {total:,} bytes, more than the {most:,} that can be right")
    if start == 0:
        etag = headers.get("ETag", "")
        validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(b"")
        storage.write_json(_notes_of(partial), {"url": url, "validator": validator, "total": total})
    come = start
    with partial.open("ab") as stream, progress.track(f"downloading {partial.name[1:-8]}", total or most) as step:
        step.advance(start)
        while chunk := answer.read1(_CHUNK):  # what is there, so that a kill or a reset loses little
            come += len(chunk)
            if come > most:
                raise Unreachable(f"more than {most:,} bytes come, which cannot be right")
            stream.write(chunk)
            step.advance(len(chunk))
    if total is not None and come != total:
        if come > total:
            partial.unlink()
        raise _Broken(f"the connection ended after {come:,} of {total:,} bytes")
