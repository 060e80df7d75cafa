"""The spool: what was accepted and is not answered yet, what was made and is not delivered yet, what was done.

    incoming/   radiographs as they came, a file each, written durably before they are acknowledged
    outgoing/   objects to deliver, a folder for each radiograph, put there whole and at once
    refused/    refused.jsonl: when, code and reason; beside it, where wanted, the de-identified files
    journal.db  keyed hashes of what was answered and of what laennec made

A radiograph is in at least one of the first two from its acknowledgement until its objects are delivered, whenever the
process is killed. The folder holds patients' data and is its owner's alone. One process at a time uses it.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laennec import storage
from laennec.errors import LaennecError, StorageFull, UsageError

ROOM = 256 * 2**20  # bytes that stay free on the device
_TABLES = """
create table if not exists answered (hash text primary key) without rowid;
create table if not exists taken (hash text primary key) without rowid;
create table if not exists made (hash text primary key) without rowid;
create table if not exists tries (name text primary key, count integer not null) without rowid;
"""


@dataclass(frozen=True)
class Parcel:
    """Objects on their way to the destination.

    Attributes:
        name: what the log calls them: that of the radiograph they answer, which says nothing of it.
        key: keyed hash of the radiograph's SOP Instance UID and of what was asked about it.
        folder: where they lie.
    """

    name: str
    key: str
    folder: Path

    def files(self) -> list[Path]:
        """The DICOM files not delivered yet."""
        return sorted(self.folder.glob("*.dcm"))


class Spool:
    """The folder described above, opened for this process alone. What touches its journal may raise `StorageFull`.

    Args:
        folder: made where it is missing.
        most: radiographs that may wait; the next one is not taken.

    Raises:
        UsageError: it cannot be written, or another process uses it.
    """

    def __init__(self, folder: Path, most: int = 10_000) -> None:
        self.folder, self.most = folder, most
        self.incoming, self.outgoing, self.refused = (folder / name for name in ("incoming", "outgoing", "refused"))
        try:
            for one in (folder, self.incoming, self.outgoing, self.refused):
                one.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._journal = _opened(folder / "journal.db")
            self._secret = _kept(folder / "secret")
        except OSError as error:
            raise UsageError(f"the spool cannot be written ({error.strerror})", "name another --spool") from error
        self._lock = threading.Lock()
        self.arrived = threading.Condition()
        for left in (*self.incoming.glob(".*"), *self.outgoing.glob(".*"), *self.refused.glob(".*")):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        self._waiting = len(self.waiting())

    def close(self) -> None:
        """Let other processes use the folder."""
        with self._lock:
            self._journal.close()

    def hashed(self, *parts: str | bytes) -> str:
        """HMAC-SHA-256 of `parts` under the spool's secret, 64 hexadecimal digits."""
        made = hmac.new(self._secret, digestmod=hashlib.sha256)
        for part in parts:
            raw = part.encode() if isinstance(part, str) else part
            made.update(len(raw).to_bytes(8, "big") + raw)
        return made.hexdigest()

    def accept(self, data: bytes) -> str:
        """Write one radiograph down durably; its name here, which sorts by time and says nothing of it.

        Raises:
            StorageFull: no room, or too many wait already.
        """
        if self._waiting >= self.most or shutil.disk_usage(self.incoming).free < ROOM + len(data):
            raise StorageFull("the spool is full", "see that the destination is reachable, and that there is room")
        name = f"{time.time_ns():020}-{secrets.token_hex(4)}"
        storage.write_bytes(self._path(name), data)
        with self.arrived:
            self._waiting += 1
            self.arrived.notify_all()
        return name

    def waiting(self) -> list[str]:
        """Names of the radiographs that wait: the oldest first, those that processes ended over last."""
        tries = dict(self._read("select name, count from tries"))
        names = (path.stem for path in self.incoming.glob("[!.]*.dcm"))
        return sorted(names, key=lambda name: (tries.get(name, 0), name))

    def path(self, name: str) -> Path:
        """Where the radiograph lies."""
        return self._path(name)

    def _path(self, name: str) -> Path:
        return self.incoming / f"{name}.dcm"

    def forget(self, name: str) -> None:
        """The radiograph is answered, refused or passed over: it goes."""
        self._path(name).unlink(missing_ok=True)
        with self.arrived:
            self._waiting = max(0, self._waiting - 1)
        self._write("delete from tries where name = ?", name)

    def tried(self, name: str) -> int:
        """Count an attempt at the radiograph, durably, before it is made; how many it is now."""
        self._write("insert into tries values (?, 1) on conflict do update set count = count + 1", name)
        return int(self._read("select count from tries where name = ?", name)[0][0])

    def untried(self, name: str) -> None:
        """The attempt ended, and not with the process."""
        self._write("delete from tries where name = ?", name)

    def pack(self, name: str, key: str, objects: Sequence[tuple[str, bytes]], made: Iterable[str]) -> Parcel:
        """Put objects on their way, whole and at once.

        Args:
            name: of the radiograph they answer.
            key: of the parcel; packing it twice is packing it once.
            objects: kind and DICOM file of each.
            made: hashes of their SOP Instance UIDs, by which they are known should they come back.

        Raises:
            StorageFull: no room.
        """
        for one in made:
            self._write("insert or ignore into made values (?)", one)
        folder = self.outgoing / key
        with storage.building(folder, folder.is_dir) as part:
            for number, (kind, data) in enumerate(objects):
                storage.write_bytes(part / f"{number}-{kind}.dcm", data)
            storage.write_json(part / "parcel.json", {"name": name})
        with self.arrived:
            self.arrived.notify_all()
        return Parcel(name, key, folder)

    def parcels(self) -> list[Parcel]:
        """What is to be delivered, the oldest first."""
        found = []
        for folder in self.outgoing.glob("[!.]*"):
            with suppress(LaennecError, TypeError, KeyError):
                found.append(Parcel(str(storage.read_json(folder / "parcel.json")["name"]), folder.name, folder))
        return sorted(found, key=lambda parcel: parcel.name)

    def delivered(self, parcel: Parcel, wholly: bool) -> None:
        """The parcel goes; where it was taken `wholly` its radiograph is not answered again."""
        if wholly:
            self._write("insert or ignore into answered values (?)", parcel.key)
        storage.put_away(parcel.folder)

    def answered(self, key: str) -> bool:
        """Whether what `key` stands for is delivered, or on its way."""
        return (self.outgoing / key).is_dir() or self._holds("answered", key)

    def note_answered(self, key: str) -> None:
        """There was nothing to deliver."""
        self._write("insert or ignore into answered values (?)", key)

    def ours(self, hashed: str) -> bool:
        """Whether laennec made, here, the object with this hash of its SOP Instance UID."""
        return self._holds("made", hashed)

    def taken(self, hashed: str) -> bool:
        """Whether a file with this hash was taken from a watched folder."""
        return self._holds("taken", hashed)

    def take(self, hashed: str) -> None:
        """A file was taken from a watched folder."""
        self._write("insert or ignore into taken values (?)", hashed)

    def refuse(self, line: dict[str, Any]) -> None:
        """Append a line on a refused radiograph, which holds nothing of it, durably: the whole line or nothing.

        Raises:
            StorageFull: no room.
        """
        path = self.refused / "refused.jsonl"
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            before, written = os.fstat(handle).st_size, json.dumps(line).encode() + b"\n"
            with storage.guard_space(path):
                try:
                    if os.write(handle, written) < len(written):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(handle)
                except OSError:
                    os.ftruncate(handle, before)
                    raise
        finally:
            os.close(handle)

    def keep_refused(self, name: str, data: bytes) -> None:
        """Keep a refused file, de-identified already. Raises `StorageFull`."""
        storage.write_bytes(self.refused / f"{name}.dcm", data)

    def _write(self, statement: str, value: str) -> None:
        with self._lock, _full(), self._journal:
            self._journal.execute(statement, (value,))

    def _read(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        with self._lock, _full():
            return self._journal.execute(statement, values).fetchall()

    def _holds(self, table: str, hashed: str) -> bool:
        return bool(self._read(f"select 1 from {table} where hash = ?", hashed))  # noqa: S608  our names


@contextmanager
def _full() -> Iterator[None]:
    """Tell what SQLite says of a disk that is full, or fails, in our words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageFull("the spool's journal cannot be written", "see that there is room on its disk") from error


def _opened(path: Path) -> sqlite3.Connection:
    journal = sqlite3.connect(path, timeout=0.5, check_same_thread=False)
    try:
        journal.execute("pragma locking_mode = exclusive")  # until the process ends, however it does
        journal.execute("pragma journal_mode = delete")
        journal.execute("pragma synchronous = full")
        with journal:
            journal.execute("begin exclusive")
            for statement in _TABLES.strip().split(";\n"):
                journal.execute(statement)
    except sqlite3.OperationalError as error:
        journal.close()
        raise UsageError("another process uses the spool", "stop it, or name another --spool") from error
    except sqlite3.DatabaseError as error:
        journal.close()
        raise LaennecError(
            "the spool's journal is damaged", "move journal.db away: what waits is answered, duplicates are too"
        ) from error
    path.chmod(0o600)
    return journal


def _kept(path: Path) -> bytes:
    """The spool's secret, made at its first use."""
    if not path.exists():
        storage.write_bytes(path, secrets.token_bytes(32))
        path.chmod(0o600)
    return path.read_bytes()
