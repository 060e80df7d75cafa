"""What a request brings, read within bounds: the bytes of one file, the files of a form, the files of a zip.

Nothing is read beyond what is allowed, nothing is written to a disk, and no name of a file is kept.
"""

from __future__ import annotations

import asyncio
import io
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from laennec.errors import extra
from laennec.serve.faults import Fault, bad_request, too_big

if TYPE_CHECKING:
    from starlette.requests import Request

_FIELD = b"file"
_MOST_FIELDS = 64  # parts of a form beside the files
_FRAME = 64 * 1024  # bytes of a form beside the files
_DRAINED = 32 * 2**20
_DRAIN_SECONDS = 2.0
_CHUNK = 1 << 16
_MOST_ZIP = 128 * 2**20  # bytes: a zip is held in memory until it is whole
_ZIP = b"PK\x03\x04", b"PK\x05\x06"


async def drain(request: Request, most: int = _DRAINED) -> None:
    """Read and forget what a request still sends, within bounds: who is answered before it has sent all sees its
    connection reset instead of the answer.
    """
    seen, until = 0, time.monotonic() + _DRAIN_SECONDS
    with suppress(Exception):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for chunk in request.stream():
                seen += len(chunk)
                if seen > most or time.monotonic() > until:
                    return


def check_length(request: Request, most: int) -> None:
    """Refuse what says itself that it is too long. Raises `Fault`."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most:
        raise too_big(most)


async def _chunks(request: Request, most: int, stuck: float) -> AsyncIterator[bytes]:
    """The body piece by piece, no more than `most` bytes, all of it within `stuck` seconds.

    Raises:
        Fault: ``body_too_large``; ``bad_request`` where it stalls.
        ConnectionError: who sends it has gone away.
    """
    with extra("serve"):
        from starlette.requests import ClientDisconnect
    seen, stream = 0, request.stream().__aiter__()
    until = time.monotonic() + stuck
    while True:
        try:
            async with asyncio.timeout(max(0.001, until - time.monotonic())):
                chunk = await anext(stream, None)
        except ClientDisconnect as error:
            raise ConnectionResetError("the client has gone away") from error
        except TimeoutError as error:
            raise Fault(408, "stalled", "the body did not arrive in time", "send it faster") from error
        if chunk is None:
            return
        seen += len(chunk)
        if seen > most:
            raise too_big(most)
        if chunk:
            yield chunk


async def files(
    request: Request,
    *,
    most_files: int,
    most_bytes: int,
    most_body: int,
    stuck: float,
    zipped: bool = False,
    keep: Callable[[bytes], Any] | None = None,
    came: Callable[[int], Any] | None = None,
) -> list[bytes]:
    """The files of a request: of a form the fields named ``file``, else its body; a zip among them in its place the
    files in it, where `zipped`.

    Args:
        most_files, most_bytes: files allowed, and bytes of each.
        most_body: bytes of the whole request, and of all files together once unpacked.
        stuck: seconds it may take.
        keep: called with each file as it is whole; the list is then empty. It may raise.
        came: called with the bytes of each piece of the body. It may raise.

    Raises:
        Fault: too many or too large files, a broken form or archive, a body that stalls, none at all.
    """
    check_length(request, most_body)
    kept: list[bytes] = []
    count, total = 0, 0

    def take(data: bytes) -> None:
        nonlocal count, total
        for one in _unpacked(data, most_files, most_bytes, most_body) if zipped and data[:4] in _ZIP else [data]:
            count, total = count + 1, total + len(one)
            if count > most_files:
                raise Fault(413, "too_many_files", f"there are more than {most_files:,} files", "send fewer at once")
            if total > most_body or len(one) > most_bytes:
                raise too_big(min(most_body, most_bytes))
            if keep is None:
                kept.append(one)
            else:
                keep(one)

    kind = request.headers.get("content-type", "")
    most_one = min(most_body, _MOST_ZIP) if zipped else most_bytes
    if kind.lower().startswith("multipart/form-data"):
        form = _Form(kind, most_one, take)
        async for chunk in _chunks(request, most_body, stuck):
            if came is not None:
                came(len(chunk))
            # unpacking and writing down take their time, and others wait for this thread
            await asyncio.to_thread(form.feed, chunk) if zipped else form.feed(chunk)
        form.end()
    else:
        parts, seen = [], 0
        async for chunk in _chunks(request, most_one, stuck):
            if came is not None:
                came(len(chunk))
            parts.append(chunk)
            seen += len(chunk)
        if not seen:
            raise Fault(
                422, "empty", "there is no file in the request", "send the file as the body, or as field 'file'"
            )
        whole = b"".join(parts)
        await asyncio.to_thread(take, whole) if zipped else take(whole)
    if not count:
        raise Fault(422, "empty", "there is no file in the request", "send each as a field named 'file'")
    return kept


class _Form:
    """The files of ``multipart/form-data`` as they come; everything else in it is passed over.

    Args:
        kind: the header Content-Type.
        most: bytes a file may have.
        take: called with each file.
    """

    def __init__(self, kind: str, most: int, take: Callable[[bytes], None]) -> None:
        with extra("serve"):
            from python_multipart.multipart import MultipartParser, parse_options_header
        _, options = parse_options_header(kind)
        boundary = options.get(b"boundary")
        if not boundary or len(boundary) > 200:
            raise bad_request("the form names no boundary", "let the client make the header Content-Type")
        self._options = parse_options_header
        self._most, self._take, self._parts, self._frame = most, take, 0, 0
        self._name, self._value = b"", b""
        self._file: bytearray | None = None
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._over,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """More of the body."""
        try:
            self._parser.write(chunk)
        except Fault:
            raise
        except Exception as error:  # whatever the parser makes of a broken form
            raise bad_request("the form is damaged", "let the client make the form") from error

    def end(self) -> None:
        """No more comes."""
        if not self._ended:
            raise bad_request("the form ends too soon", "send all of it")

    def _begin(self) -> None:
        self._parts += 1
        self._disposition = b""
        self._name, self._value = b"", b""

    def _framed(self, count: int) -> None:
        self._frame += count
        if self._frame > _FRAME + 1024 * self._files_seen:
            raise bad_request("the form holds more than files", "send fields named 'file' alone")

    @property
    def _files_seen(self) -> int:
        return self._parts

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._framed(end - start)
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._framed(end - start)
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name, self._value = b"", b""

    def _headers(self) -> None:
        _, options = self._options(self._disposition)
        self._file = bytearray() if options.get(b"name") == _FIELD else None
        if self._file is None:
            self._others = getattr(self, "_others", 0) + 1
            if self._others > _MOST_FIELDS:
                raise bad_request("the form holds too many fields", "send fields named 'file' alone")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            self._framed(end - start)
            return
        if len(self._file) + end - start > self._most:
            raise too_big(self._most)
        self._file += data[start:end]

    def _end(self) -> None:
        if self._file is not None:
            whole, self._file = bytes(self._file), None
            self._take(whole)

    def _over(self) -> None:
        self._ended = True


def _unpacked(data: bytes, most_files: int, most_bytes: int, most_total: int) -> Iterator[bytes]:
    """The files in a zip, by their place in it; folders and macOS' notes are passed over.

    Raises:
        Fault: damaged, encrypted, too many, too large once unpacked.
    """
    damaged = Fault(422, "corrupt_archive", "the zip is damaged or encrypted", "pack it again, without a password")
    crowd = Fault(413, "too_many_files", f"there are more than {most_files:,} files", "send fewer at once")
    if _listed(data) > 4 * most_files + 1000:  # each would cost half a kilobyte before any is looked at
        raise crowd
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        listed = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, RuntimeError) as error:
        raise damaged from error
    # `is_dir` fails on an empty name
    entries = [entry for entry in listed if not entry.filename.endswith("/") and not _note(entry.filename)]
    if len(entries) > most_files:
        raise crowd
    if sum(entry.file_size for entry in entries) > most_total:
        raise too_big(most_total)
    total = 0
    for entry in entries:
        if entry.flag_bits & 1:
            raise damaged
        parts: list[bytes] = []
        seen = 0
        try:
            with archive.open(entry) as stream:
                while piece := stream.read(_CHUNK):
                    seen, total = seen + len(piece), total + len(piece)
                    if seen > most_bytes or total > most_total:
                        raise too_big(min(most_bytes, most_total))
                    parts.append(piece)
        except Fault:
            raise
        except Exception as error:  # zlib, lzma and bz2 have errors of their own
            raise damaged from error
        yield b"".join(parts)


def _listed(data: bytes) -> int:
    """Entries in the directory of a zip, or more where its end lies on its length."""
    end = data.rfind(b"PK\5\6")
    if data[max(0, end - 20) : end].startswith(b"PK\6\7"):  # a larger kind of directory, that nobody here needs
        return 1 << 62
    length = int.from_bytes(data[end + 12 : end + 16], "little")
    return data.count(b"PK\1\2", max(0, end - length), end) if end >= 0 else 0


def _note(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1].startswith(".")
