"""The scoring stage: a folder of images in, a CSV or Parquet table out, the unreadable ones listed with reasons."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laennec import progress, storage
from laennec.errors import UsageError, extra
from laennec.predictor import Predictor
from laennec.results import Prediction, Refused

_HIDDEN = "."
_RISKY = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Scored:
    """What was scored: how many images, which were refused, and where the two tables lie.

    Attributes:
        refused_table: a CSV of the refused with code and reason; None when none was.
    """

    images: int
    refused: tuple[Refused, ...]
    table: Path
    refused_table: Path | None


def score(predictor: Predictor, source: str | Path, out: str | Path) -> Scored:
    """Score every file below a folder, or one file, in the order of their names.

    Columns: file, label, positive, score, threshold, operating_point, one ``p_<label>`` a label, bundle. A file that
    is no readable image is refused with its reason; the rest is done.

    Raises:
        UsageError: no such folder, no file in it, or `out` is neither ``.csv`` nor ``.parquet``.
    """
    source, out = Path(source), Path(out)
    if out.suffix.lower() not in {".csv", ".parquet"}:
        raise UsageError(f"cannot write results as '{out.suffix}'", "name the result .csv or .parquet")
    if out.suffix.lower() == ".parquet":
        with extra("parquet"):
            import pyarrow  # noqa: F401  asked for before the work, not after
    ours = {out.resolve(), _refused_table(out).resolve()}
    files = [path for path in _files(source) if path.resolve() not in ours]
    base = source if source.is_dir() else source.parent
    refused: list[Refused] = []
    with progress.track("scoring", len(files)) as step:

        def rows() -> Iterator[dict[str, Any]]:
            for path, answer in zip(files, predictor.predict_many(files), strict=True):
                step.advance()
                name = storage.text_of(path.relative_to(base).as_posix())
                if isinstance(answer, Refused):
                    refused.append(answer.model_copy(update={"id": name}))
                else:
                    yield _row(answer, name)

        columns = _columns(predictor.bundle.card.labels.names)
        scored = (_write_csv if out.suffix.lower() == ".csv" else _write_parquet)(out, columns, rows())
    table = _refused_table(out)
    if refused:
        _write_csv(table, ("id", "code", "reason"), (r.model_dump() for r in refused))
    else:
        table.unlink(missing_ok=True)
    return Scored(scored, tuple(refused), out, table if refused else None)


def _refused_table(out: Path) -> Path:
    return out.with_name(f"{out.name}.refused.csv")


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UsageError(f"there is no folder {source}", "give a folder of images, or one image")
    found = []
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(f for f in folders if not f.startswith(_HIDDEN))
        found += [Path(folder) / name for name in sorted(names) if not name.startswith(_HIDDEN)]
    if not found:
        raise UsageError(f"{source} holds no file", "give a folder of images")
    return found


def _columns(labels: Sequence[str]) -> tuple[str, ...]:
    fixed = ("file", "label", "positive", "score", "threshold", "operating_point")
    return (*fixed, *(f"p_{label}" for label in labels), "bundle")


def _row(answer: Prediction, name: str) -> dict[str, Any]:
    return {
        "file": name,
        "label": answer.label,
        "positive": int(answer.positive),
        "score": answer.score,
        "threshold": answer.threshold,
        "operating_point": answer.operating_point,
        **{f"p_{label}": p for label, p in answer.probabilities.items()},
        "bundle": answer.bundle_digest,
    }


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> int:
    count = 0
    with storage.replacing(path) as part, part.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _harmless(value) for key, value in row.items()})
            count += 1
    return count


def _harmless(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_RISKY) else value


def _write_parquet(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]], group: int = 4096) -> int:
    import pyarrow
    from pyarrow import parquet

    count = 0
    waiting: list[dict[str, Any]] = []
    kinds = {"positive": pyarrow.int8()} | {c: pyarrow.string() for c in ("file", "label", "operating_point", "bundle")}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in columns])
    with storage.replacing(path) as part, parquet.ParquetWriter(part, schema) as writer:
        for row in rows:
            waiting.append(row)
            count += 1
            if len(waiting) == group:
                writer.write_table(pyarrow.Table.from_pylist(waiting, schema))
                waiting = []
        writer.write_table(pyarrow.Table.from_pylist(waiting, schema))
    return count
