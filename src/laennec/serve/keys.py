"""Keys: drawn at random, shown once, kept as hashes.

A file of keys has a line each: a name, ``sha256:`` and 64 hexadecimal digits, and if wanted ``rate=`` with the requests
a second it is allowed. A key is 32 random bytes, so that its plain hash cannot be turned round by trying words.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from laennec.errors import UsageError

_LINE = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,64})\s+sha256:(?P<digest>[0-9a-f]{64})(\s+rate=(?P<rate>\d+(\.\d+)?))?")
_PREFIX = "lk_"


@dataclass(frozen=True, slots=True)
class Key:
    """Who may ask. `rate`: requests a second; None for the service's own."""

    name: str
    digest: str
    rate: float | None = None


def draw() -> str:
    """A new key."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """The hash that is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def add(file: Path, name: str, rate: float | None = None) -> str:
    """Draw a key for `name`, append its hash to `file` (made for the owner alone), and give the key.

    Raises:
        UsageError: the name cannot be one, or has a key there already.
    """
    line = f"{name} sha256:{'0' * 64}"
    if not _LINE.fullmatch(line):
        raise UsageError("a key's name is of letters, digits, '_', '.', '-'", "take another name")
    if file.exists() and any(key.name == name for key in read(file)):
        raise UsageError(f"'{name}' has a key in {file}", "take its line out of the file, or take another name")
    key = draw()
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(handle, "a", encoding="ascii") as stream:
        stream.write(f"{name} sha256:{digest(key)}" + (f" rate={rate:g}" if rate else "") + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    return key


def read(file: Path) -> tuple[Key, ...]:
    """The keys of a file.

    Raises:
        UsageError: it is not there, holds none, or a line that is no key's; a name twice.
    """
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise UsageError(f"the keys in {file} cannot be read ({error.strerror})", "check the path") from error
    found: list[Key] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise UsageError(f"line {number} of {file} is no key", "make keys with `laennec key NAME --file FILE`")
        if any(key.name == match["name"] for key in found):
            raise UsageError(f"line {number} of {file} names '{match['name']}' again", "take one of the two out")
        found.append(Key(match["name"], match["digest"], float(match["rate"]) if match["rate"] else None))
    if not found:
        raise UsageError(f"{file} holds no key", "make one with `laennec key NAME --file FILE`")
    return tuple(found)


class Ring:
    """Keys that are asked for; of none, everybody may ask."""

    def __init__(self, keys: tuple[Key, ...] = ()) -> None:
        self.keys = keys

    def whose(self, headers: dict[bytes, bytes]) -> Key | None:
        """Whose key stands in the headers ``Authorization`` (Bearer, or Basic with the key as the password) or
        ``X-API-Key``; None where it is nobody's. Takes as long for a wrong key as for a right one.
        """
        given = digest(_told(headers))
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.digest, given):
                found = key
        return found


def _told(headers: dict[bytes, bytes]) -> str:
    kind, _, value = headers.get(b"authorization", b"").decode("latin-1").strip().partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode("utf-8", "replace").partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return headers.get(b"x-api-key", b"").decode("latin-1").strip()
