"""Zip and tar archives unpacked without trust.

Nothing leaves the folder: absolute paths, ``..``, drive letters and backslashes refuse the whole archive, and so do
links, devices and encrypted entries among the wanted files. The declared sizes are summed before a byte is written,
and held against what really comes.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from laennec import progress, storage
from laennec.errors import LaennecError, StorageFull

_MOST_FILES = 500_000
_MOST_RATIO = 400  # unpacked to packed; DICOM of a black frame reaches about 100
_SMALL = 1 << 20  # bytes; below, a ratio says nothing
_CHUNK = 1 << 20
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A wanted file of an archive: its path in the result, its size, and how to open it."""

    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path, inside: str, keep: Sequence[str], most: int) -> int:
    """Unpack the wanted files of `archive` into `folder`.

    Args:
        archive: zip, or tar as it is or by gzip, bzip2 or xz.
        folder: exists and is empty.
        inside: folder of the archive whose content is wanted; empty for its top.
        keep: patterns of wanted paths below `inside`.
        most: bytes unpacked; more is refused.

    Returns:
        How many files were written.

    Raises:
        LaennecError: not an archive, damaged, one that could write outside `folder`, larger than it may be, or one
            without a wanted file. `folder` may then hold some files; it is the caller's to remove.
        StorageFull: the device has no room.
    """
    with _opened(archive) as entries:
        wanted = _wanted(entries, inside, keep, most)
        require_room(folder, sum(entry.size for entry in wanted))
        with storage.guard_space(folder), progress.track("unpacking", len(wanted)) as step:
            for entry in wanted:
                target = folder.joinpath(*entry.path.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(entry, target)
                step.advance()
    return len(wanted)


def require_room(folder: Path, needed: int) -> None:
    """Refuse to begin what will not fit.

    Raises:
        StorageFull: the device of `folder`, or of its nearest parent that exists, has fewer than `needed` bytes free.
    """
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise StorageFull(
            f"{needed / 1e9:,.2f} GB are needed for {folder.name} and {free / 1e9:,.2f} GB are free",
            "free some space, or take another --out",
        )


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Entry]]:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                yield _of_zip(packed)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tape:
                yield _of_tar(tape, archive.stat().st_size)
        else:
            raise _refusal(f"{archive.name} is neither a zip nor a tar archive")
    except (*_DAMAGE, RuntimeError) as error:  # zipfile raises the last of these for what it cannot unpack
        raise _refusal(f"{archive.name} is damaged or packed in an unusual way") from error


def _of_zip(packed: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in packed.infolist():
        path = _safe(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refusal(f"it holds a link or device: {_shown(info.filename)}")
        if info.is_dir():
            continue
        if info.flag_bits & 1:
            raise _refusal(f"it is encrypted: {_shown(info.filename)}")
        if info.file_size > _SMALL and info.file_size > _MOST_RATIO * max(info.compress_size, 1):
            raise _refusal(f"it unpacks to more than {_MOST_RATIO} times its size: {_shown(info.filename)}")
        yield _Entry(path, info.file_size, lambda info=info: packed.open(info))  # type: ignore[misc]


def _of_tar(tape: tarfile.TarFile, packed: int) -> Iterator[_Entry]:
    total = 0
    for member in tape:
        path = _safe(member.name)
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            raise _refusal(f"it holds a link or device: {_shown(member.name)}")
        total += member.size
        if total > _SMALL and total > _MOST_RATIO * packed:
            raise _refusal(f"it unpacks to more than {_MOST_RATIO} times its size")
        yield _Entry(path, member.size, lambda member=member: _content(tape, member))  # type: ignore[misc]


def _content(tape: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = tape.extractfile(member)
    if stream is None:
        raise _refusal(f"it holds no content for {_shown(member.name)}")
    return stream


def _wanted(entries: Iterator[_Entry], inside: str, keep: Sequence[str], most: int) -> list[_Entry]:
    """The entries to write, their paths below `inside`, every bound held."""
    start, found, total = PurePosixPath(inside), [], 0
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        if number >= _MOST_FILES:
            raise _refusal(f"it holds more than {_MOST_FILES:,} files")
        if not entry.path.is_relative_to(start):
            continue
        path = entry.path.relative_to(start)
        if not any(fnmatchcase(str(path), pattern) for pattern in keep) or path.name.startswith("."):
            continue
        if str(path).casefold() in seen:  # on some disks the second would overwrite the first
            raise _refusal(f"it holds a path twice: {_shown(str(path))}")
        seen.add(str(path).casefold())
        total += entry.size
        if total > most:
            raise _refusal(f"it unpacks to more than {most:,} bytes")
        found.append(_Entry(path, entry.size, entry.open))
    if not found:
        raise _refusal(f"it holds no {' or '.join(keep)}{f' in {inside}/' if inside else ''}")
    return found


def _safe(name: str) -> PurePosixPath:
    """The path, once it is known to stay below where it is put."""
    path = PurePosixPath(name)
    odd = "\\" in name or "\0" in name or any(":" in part for part in path.parts)
    if odd or path.is_absolute() or ".." in path.parts:
        raise _refusal(f"it holds a path that could leave the folder: {_shown(name)}")
    return path


def _copy(entry: _Entry, target: Path) -> None:
    left = entry.size
    with entry.open() as source, target.open("xb") as stream:
        while chunk := source.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise _refusal(f"a file is longer than it declares: {_shown(str(entry.path))}")
            stream.write(chunk)
    if left:
        raise _refusal(f"a file is shorter than it declares: {_shown(str(entry.path))}")


def _shown(name: str) -> str:
    return ascii(name[:80])


def _refusal(why: str) -> LaennecError:
    return LaennecError(f"the archive is refused: {why}", "take it from the publisher's page again")
