"""A CSV or Parquet table: a row per image with path, labels, patient, split, mask, view, source, sex, age.

One label column with names (exclusive labels), or several columns of 1, 0 or empty (labels that can hold together,
empty meaning unknown). Paths are relative to the table's folder or to `images`.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from laennec import images, progress
from laennec.errors import UsageError, extra
from laennec.labels import LabelSet
from laennec.samples import PART_NAMES, Collection, Sample

_SHOWN = 5
_SEXES = {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F", "O": "O", "OTHER": "O"}
_MISSING = {"patient": 'set data.patient = "<your column>", or one_image_per_patient = true if that is so'}


class Options(BaseModel):
    """Attributes:
    root: the table, ``.csv`` or ``.parquet``.
    images: folder the paths are relative to; empty means the table's own.
    labels: one column of label names, or several columns of 1, 0 or empty.
    positive: the positive label names; with several columns, one of them.
    path, patient, split, mask, view, source, sex, age: column names; those from `split` on may be absent from the
        table. Sex is M, F, O (or in words) or empty, age in years (or as DICOM writes it, 006M); what is neither is
        refused where the column is named here, else taken as unknown.
    one_image_per_patient: say so where the table has no patient column.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    root: Path = Field(strict=False)
    images: Path | None = Field(default=None, strict=False)
    labels: tuple[str, ...] = Field(default=("label",), min_length=1, strict=False)
    positive: tuple[str, ...] = Field(min_length=1, strict=False)
    path: str = "path"
    patient: str = "patient"
    split: str = "split"
    mask: str = "mask"
    view: str = "view"
    source: str = "source"
    sex: str = "sex"
    age: str = "age"
    one_image_per_patient: bool = False

    @field_validator("labels", "positive", mode="before")
    @classmethod
    def _one_or_several(cls, names: object) -> object:
        return (names,) if isinstance(names, str) else names


def load(options: Options) -> Collection:
    """Read the table.

    Raises:
        UsageError: no such table or column; with row numbers (the header is row 1): missing images, repeated paths,
            unknown labels or splits, rows without a patient, patients in two splits.
    """
    columns, rows = _read(options.root)
    needed = [options.path, *options.labels, *([] if options.one_image_per_patient else [options.patient])]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise UsageError(
            f"table: {options.root.name} has no column '{missing[0]}'. Columns: {', '.join(columns)}",
            _MISSING.get(missing[0], f"name the right column in [data], or add '{missing[0]}' to the table"),
        )
    folder = options.images or options.root.parent
    labels, values = _labels(options, rows)
    samples = [_sample(options, folder, row, value) for row, value in zip(rows, values, strict=True)]
    _refuse(options, rows, samples)
    return Collection(name=options.root.stem, labels=labels, samples=tuple(samples))


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Column names and rows, every cell as stripped text, "" for empty."""
    if not path.is_file():
        raise UsageError(f"table: there is no file {path}", "set data.root to a .csv or .parquet file")
    if path.suffix.lower() == ".parquet":
        with extra("parquet"):
            from pyarrow import parquet
        try:
            table = parquet.read_table(path)
        except (OSError, ValueError) as error:
            raise UsageError(f"table: {path.name} is not a readable Parquet file", "write it again") from error
        return list(table.column_names), [{key: _text(v) for key, v in row.items()} for row in table.to_pylist()]
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            stream.seek(0)
            if header.startswith("PK"):
                raise UsageError(f"table: {path.name} is an Excel workbook or an archive", "save it as CSV, UTF-8")
            # spreadsheets write semicolons where the comma is the decimal mark
            separator = max(",;\t", key=header.count)
            reader = csv.DictReader(stream, strict=True, delimiter=separator)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    raise UsageError(
                        f"table: row {reader.line_num} of {path.name} has not {len(columns)} cells", "correct that row"
                    )
                rows.append({key: cell.strip() for key, cell in row.items()})
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"table: {path.name} is not UTF-8 CSV: {error}", "save it as CSV, UTF-8") from error
    if len(set(columns)) != len(columns):
        raise UsageError(f"table: a column name repeats in {path.name}", "give every column a name of its own")
    return columns, rows


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _labels(options: Options, rows: Sequence[Mapping[str, str]]) -> tuple[LabelSet, list[tuple[float, ...]]]:
    if len(options.labels) == 1:
        column = options.labels[0]
        names = tuple(sorted({row[column] for row in rows if row[column]}))
        _stop("have no label", [i for i, row in enumerate(rows) if not row[column]], "fill or drop those rows")
        if len(names) < 2:
            raise UsageError(
                f"table: column '{column}' holds {len(names)} label, expected two or more", "see data.labels"
            )
        values = [tuple(float(row[column] == name) for name in names) for row in rows]
    else:
        names = options.labels
        known = {"1": 1.0, "1.0": 1.0, "0": 0.0, "0.0": 0.0, "": math.nan}
        wrong = [i for i, row in enumerate(rows) if any(row[name] not in known for name in names)]
        _stop("hold a label other than 1, 0 or empty", wrong, "write 1 present, 0 absent, empty unknown")
        values = [tuple(known[row[name]] for name in names) for row in rows]
    if not set(options.positive) <= set(names):
        raise UsageError(f"table: data.positive {list(options.positive)} is not among the labels {list(names)}")
    return LabelSet(names=names, exclusive=len(options.labels) == 1, positive=options.positive), values


def _sample(options: Options, folder: Path, row: Mapping[str, str], labels: tuple[float, ...]) -> Sample:
    mask = row.get(options.mask, "")
    return Sample(
        id=row[options.path],
        path=folder / row[options.path],
        labels=labels,
        patient=row[options.path] if options.one_image_per_patient else row[options.patient],
        split=row.get(options.split, "") or None,
        view=row.get(options.view, ""),
        mask=folder / mask if mask else None,
        source=row.get(options.source, ""),
        sex=_SEXES.get(row.get(options.sex, "").upper(), ""),
        age=images.years(row.get(options.age, "")),
    )


def _refuse(options: Options, rows: Sequence[Mapping[str, str]], samples: Sequence[Sample]) -> None:
    seen: set[Path] = set()
    repeated: list[int] = []
    parts: dict[str, str | None] = {}
    straddling: list[int] = []
    for i, sample in enumerate(samples):
        place = Path(os.path.normpath(sample.path))
        if place in seen:
            repeated.append(i)
        seen.add(place)
        if parts.setdefault(sample.patient, sample.split) != sample.split:
            straddling.append(i)
    every = list(enumerate(samples))
    _stop("are URLs, and laennec opens files only", [i for i, s in every if "://" in s.id], "download the images first")
    _stop("repeat an image", repeated, "keep one row per image")
    _stop("have no patient", [i for i, s in every if not s.patient], f"fill the column '{options.patient}'")
    unknown = [i for i, s in every if s.split is not None and s.split not in PART_NAMES]
    _stop("name an unknown split", unknown, f"take one of: {', '.join(PART_NAMES)}")
    _stop("put a patient into a second split", straddling, "a patient's images belong in one split")
    _stop("name an image that is not there", [i for i, s in every if not s.path.is_file()], "check data.images")
    for name, what in (("sex", "a sex other than M, F, O or empty"), ("age", "an age that is no number of years")):
        column = getattr(options, name)
        unread = [i for i, s in every if rows[i].get(column, "") and getattr(s, name) in ("", None)]
        if name in options.model_fields_set:
            _stop(f"hold {what}", unread, f"correct the column '{column}'")
        elif unread:  # nobody said that this column is what its name says
            progress.say(f"table: {len(unread)} rows hold {what} in the column '{column}': taken as unknown")
    lost = [i for i, s in every if s.mask is not None and not s.mask.is_file()]
    _stop("name a mask that is not there", lost, f"check the column '{options.mask}'")


def _stop(what: str, indices: Sequence[int], hint: str) -> None:
    if indices:
        shown = ", ".join(str(i + 2) for i in indices[:_SHOWN]) + (", …" if len(indices) > _SHOWN else "")
        raise UsageError(f"table: {len(indices)} rows {what}: row {shown}", hint)
