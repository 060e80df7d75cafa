"""Writes that survive a kill, and digests.

A file is written under a temporary name, flushed to the device, then renamed, then its folder is flushed: a reader
sees the old file or the new one, never half of one. Knows nothing of what it stores.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from laennec.errors import LaennecError, StorageFull, UsageError

_STALE = 86_400  # seconds after which what a killed build left behind is swept


def canonical(value: Any) -> bytes:
    """`value` as JSON bytes that depend on nothing but its content: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: a float is NaN or infinite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def text_of(path: str | Path) -> str:
    """A file name as text that every encoder and table takes.

    Bytes that are no UTF-8, and control characters (macOS names a file ``Icon\\r``), become backslash escapes.
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(f"\\x{ord(c):02x}" if ord(c) < 0x20 or ord(c) == 0x7F else c for c in text)


def digest(value: Any) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value)).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_folder(name: str) -> Path:
    """Where derived files of one kind are kept: ``$LAENNEC_CACHE/name``, or ``laennec/name`` in the user's cache."""
    named = os.environ.get("LAENNEC_CACHE")
    if named:
        return Path(named) / name
    from platformdirs import user_cache_path

    return user_cache_path("laennec") / name


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the device."""
    if os.name == "nt":  # a folder cannot be opened for flushing there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def guard_space(path: Path) -> Iterator[None]:
    """Turn "no space left" inside the block into `StorageFull` about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                f"no space left while writing {path.name}", "free some space, then run the same command again"
            ) from error
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well it becomes `path`, durably, at once.

    Raises:
        StorageFull: the device has no room; `path` is as it was.
    """
    with guard_space(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        with guard_space(path):
            yield part
            with part.open("rb+") as stream:
                os.fsync(stream.fileno())
            part.chmod(0o644)  # mkstemp makes files that others cannot read
            part.replace(path)
            sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def check_free(folder: Path, ours: Set[str] = frozenset()) -> None:
    """Make `folder` and see that results can go there before any work is done.

    Args:
        folder: wanted for results.
        ours: names an unfinished run of the same kind may have left; hidden files do not count either.

    Raises:
        UsageError: it holds something else, is a file, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "name a folder in --out")
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strangers = sorted(p.name for p in folder.iterdir() if p.name not in ours and not p.name.startswith("."))
        if not strangers:
            tempfile.TemporaryFile(dir=folder).close()
            if new:
                folder.rmdir()
            return
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror})", "take another --out") from error
    raise UsageError(f"{folder} is not empty: it holds {strangers[0]}", "take another --out, or an empty folder")


@contextmanager
def building(folder: Path, complete: Callable[[], bool]) -> Iterator[Path]:
    """Yield a new folder beside `folder`; when the block ends well it becomes `folder`, at once.

    Of several processes building the same folder the first to end wins and the others' work is thrown away. What an
    interrupted or damaged build left at `folder` is moved away whole, as a reader may still look at it.

    Args:
        folder: where the result goes.
        complete: whether `folder`, as it stands, is a whole result.

    Raises:
        StorageFull: the device has no room; `folder` is as it was.
        LaennecError: another program keeps `folder` from being replaced.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(".*.part"):
        with suppress(OSError):
            if left.is_dir() and time.time() - left.stat().st_mtime > _STALE:
                shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        with guard_space(folder):
            yield part
            part.chmod(0o755)
            for _ in range(5):
                with suppress(OSError):  # something stands there
                    part.rename(folder)
                    sync_folder(folder.parent)
                    return
                if complete():
                    return
                put_away(folder)
        raise LaennecError(f"{folder} could not be put in place", "see that no other program holds files in it")
    finally:
        shutil.rmtree(part, ignore_errors=True)


def put_away(folder: Path) -> None:
    """Remove a folder that others may be reading: renamed first, so that none sees it half gone."""
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    with suppress(FileNotFoundError):  # another process was quicker
        folder.rename(aside / "old")
    shutil.rmtree(aside, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` durably. Raises `StorageFull` when there is no room."""
    with replacing(path) as part:
        part.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path` durably. NaN is refused (`ValueError`)."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def parse_json(data: bytes, name: str) -> Any:
    """The JSON value of `data`; `name` is what an error calls it. Raises `LaennecError` if it is not JSON."""
    try:
        return json.loads(data)
    except ValueError as error:
        raise LaennecError(f"{name} is not valid JSON", "restore the file or make it again") from error


def read_json(path: Path) -> Any:
    """The JSON value in `path`.

    Raises:
        LaennecError: the file is missing or is not JSON.
    """
    try:
        return parse_json(path.read_bytes(), path.name)
    except FileNotFoundError as error:
        raise LaennecError(f"there is no file {path}", "check the path") from error
