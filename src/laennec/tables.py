"""Tables of rows on disk: as CSV that no spreadsheet takes for formulas, as Parquet, and growing ones.

A `Growing` table holds its rows on disk as they are made, so that work that was killed is gone on with. Beside the
final file stand meanwhile

    <name>.part            the rows made so far, CSV
    <name>.refused.part    the refused so far, CSV
    <name>.journal         a line of JSON that says which work this is, then lines ``[files, rows, bytes, bytes]``: how
                           many files were done, how many rows that made, and how long the two others were then

A line of the journal is written after what it tells of has reached the device. Whoever goes on cuts both files to the
lengths of the last whole line: the end is the same, byte for byte, as if nothing had happened.
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from laennec import storage
from laennec.errors import UsageError, extra

_RISKY = ("=", "+", "-", "@", "\t", "\r")
_EVERY = 1.0  # seconds between lines of the journal
_GROUP = 4096  # rows of a Parquet row group
_REFUSED = ("id", "code", "reason")


def harmless(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_RISKY) else value


class Growing:
    """A table ``.csv`` or ``.parquet`` under way, with the list of what was refused beside it. Used in a ``with``.

    Args:
        out: the final table; the list is ``<name>.refused.csv``, and is only there when something was refused.
        work: what decides the rows, in JSON. Rows of other work are thrown away.
        columns: name to type, one of ``str``, ``int`` and ``float``.

    Attributes:
        done: files that need not be done again.
        rows: rows in the table.
        stale: why rows found on disk are not gone on with: the first key of `work` that differs; empty where there
            were none or they are gone on with.

    Raises:
        UsageError: `out` is of another type, is a folder, cannot be written, or is being written by another process.
        MissingExtra: Parquet needs the extra ``parquet``.
    """

    def __init__(self, out: Path, work: Mapping[str, Any], columns: Mapping[str, type]) -> None:
        self.out, self.columns, self.stale = out, columns, ""
        self._parquet = out.suffix.lower() == ".parquet"
        if out.suffix.lower() not in {".csv", ".parquet"}:
            raise UsageError(f"cannot write results as '{out.suffix}'", "name the result .csv or .parquet")
        if self._parquet:
            with extra("parquet"):
                import pyarrow  # noqa: F401  asked for before the work, not after
        if out.is_dir():
            raise UsageError(f"{out} is a folder", "name a file for the results")
        _, self._part, self._refused, self._journal, self.refused_table = files_of(out)
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._log = self._journal.open("a+b")
        except OSError as error:
            raise UsageError(f"{out} cannot be written ({error.strerror})", "take another --out") from error
        _lock(self._log, out)
        with storage.guard_space(out):
            self.done, self.rows, *lengths = self._found(dict(work))
            self._table, self._list = (
                _cut(path, length) for path, length in zip((self._part, self._refused), lengths, strict=True)
            )
            self._rows = csv.writer(self._table, lineterminator="\n")
            self._names = csv.writer(self._list, lineterminator="\n")
            if not lengths[0]:
                self._rows.writerow(columns)
        self._noted = time.monotonic()
        self._whole = True  # no half of what was last added is in the files

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._whole and not self._log.closed:
            with suppress(OSError, ValueError):  # closed by a `finish` that failed, whose error is to be told
                self._note()
        for stream in (self._table, self._list, self._log):
            with suppress(OSError):
                stream.close()

    def _found(self, work: dict[str, Any]) -> tuple[int, int, int, int]:
        """Files, rows and lengths that can be gone on with; a new journal where there are none."""
        self._log.seek(0)
        lines = self._log.read().split(b"\n")[:-1]  # what follows the last line end was cut off
        if lines:
            before = _parsed(lines[0])
            before = before if isinstance(before, dict) else {}
            self.stale = next((key for key, value in work.items() if before.get(key) != value), "")
            for line in reversed(lines[1:] if not self.stale else []):
                entry = _parsed(line)
                if _is_entry(entry) and _length(self._part) >= entry[2] and _length(self._refused) >= entry[3]:
                    return entry[0], entry[1], entry[2], entry[3]
        self._log.truncate(0)
        self._log.write(storage.canonical(work) + b"\n")
        self._log.flush()
        return 0, 0, 0, 0

    def add(self, files: int, rows: Iterable[Sequence[Any]], refused: Iterable[tuple[str, str, str]]) -> None:
        """What came of the next `files` files: rows in the order of the columns, and who was refused (name, code,
        reason).

        Raises:
            StorageFull: the device has no room; what was done before is kept.
        """
        self._whole = False
        with storage.guard_space(self.out):
            for row in rows:
                # Parquet has no formulas: its rows wait as they are
                self._rows.writerow(row if self._parquet else [harmless(value) for value in row])
                self.rows += 1
            self._names.writerows(refused)
            self.done += files
            self._whole = True
            if time.monotonic() - self._noted >= _EVERY:
                self._note()

    def _note(self) -> None:
        for stream in (self._table, self._list):
            stream.flush()
            os.fsync(stream.fileno())
        entry = [self.done, self.rows, _length(self._part), _length(self._refused)]
        self._log.write(storage.canonical(entry) + b"\n")
        self._log.flush()
        os.fsync(self._log.fileno())
        self._noted = time.monotonic()

    def column(self, name: str) -> Iterator[str]:
        """The cells of one column so far, as they were written."""
        self._table.flush()
        at = list(self.columns).index(name)
        rows = _read(self._part)
        next(rows)
        return (row[at] for row in rows)

    def finish(self, fill: Callable[[list[str]], Sequence[Any]] | None = None) -> list[tuple[str, str, str]]:
        """Put the final files in their places. Returns the refused: name, code, reason.

        Args:
            fill: what becomes of each row, given as it was written: for columns that rest on all rows.

        Raises:
            StorageFull: the device has no room; run again, it goes on from here.
        """
        with storage.guard_space(self.out):
            self._note()
            self._table.close()
            self._list.close()
            refused = [(name, code, reason) for name, code, reason in _read(self._refused)]
            if refused:
                with storage.replacing(self.refused_table) as part, _text(part, "w") as stream:
                    writer = csv.writer(stream, lineterminator="\n")
                    writer.writerow(_REFUSED)
                    writer.writerows([harmless(value) for value in row] for row in refused)
            else:
                self.refused_table.unlink(missing_ok=True)
            if self._parquet:
                self._to_parquet(fill or list)
                self._part.unlink()
            elif fill is None:
                self._part.replace(self.out)
            else:
                self._to_csv(fill)
                self._part.unlink()
            self._refused.unlink()
            self._log.close()
            self._journal.unlink()
        return refused

    def _to_csv(self, fill: Callable[[list[str]], Sequence[Any]]) -> None:
        rows = _read(self._part)
        with storage.replacing(self.out) as part, _text(part, "w") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(next(rows))
            writer.writerows(fill(row) for row in rows)

    def _to_parquet(self, fill: Callable[[list[str]], Sequence[Any]]) -> None:
        import pyarrow
        from pyarrow import parquet

        kinds = {str: pyarrow.string(), int: pyarrow.int8(), float: pyarrow.float64()}
        schema = pyarrow.schema([(name, kinds[kind]) for name, kind in self.columns.items()])
        with storage.replacing(self.out) as part, parquet.ParquetWriter(part, schema) as writer:
            rows = _read(self._part)
            next(rows)
            for group in _groups(rows, _GROUP):
                cells = zip(*map(fill, group), strict=True) if group else ([] for _ in self.columns)
                typed = [
                    [None if kind is float and cell == "" else kind(cell) for cell in column]
                    for kind, column in zip(self.columns.values(), cells, strict=True)
                ]
                writer.write_table(
                    pyarrow.Table.from_arrays(
                        [pyarrow.array(c, t) for c, t in zip(typed, schema.types, strict=True)], schema=schema
                    )
                )


def files_of(out: Path) -> tuple[Path, ...]:
    """Every file that a growing table ending in `out` may write."""
    ends = ("", ".part", ".refused.part", ".journal", ".refused.csv")
    return tuple(out.with_name(out.name + end) for end in ends)


def _groups(rows: Iterator[list[str]], size: int) -> Iterator[list[list[str]]]:
    """Rows by groups of `size`; one empty group where there is no row."""
    group: list[list[str]] = []
    first = True
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group, first = [], False
    if group or first:
        yield group


def _lock(stream: IO[bytes], out: Path) -> None:
    """Keep other processes from the same table until `stream` is closed, where the system can."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.close()
        raise UsageError(f"{out} is being written by another process", "wait for it, or take another --out") from error
    except OSError:  # a file system without locks
        return


def _text(path: Path, mode: str) -> IO[str]:
    return path.open(mode, encoding="utf-8", newline="")


def _read(path: Path) -> Iterator[list[str]]:
    with _text(path, "r") as stream:
        yield from csv.reader(stream)


def _cut(path: Path, length: int) -> IO[str]:
    with path.open("ab") as stream:
        stream.truncate(length)
    return _text(path, "a")


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 4 and all(isinstance(n, int) and n >= 0 for n in entry)
