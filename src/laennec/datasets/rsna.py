"""RSNA Pneumonia Detection Challenge: 26,684 frontal radiographs in three classes, opacities boxed.

DICOM radiographs of 1024 × 1024 pixels from the NIH Clinical Center, read again by radiologists of the RSNA and the
Society of Thoracic Radiology. Published counts of the stage 2 training part: 8,851 Normal, 11,821 No Lung
Opacity / Not Normal, 6,012 Lung Opacity with one box or more; the challenge's own test part has no public labels.
Lung Opacity is an opacity suspicious of pneumonia on the image, not a proven pneumonia. Shih et al., Radiology:
Artificial Intelligence 1 (2019), doi:10.1148/ryai.2019180041. Any use with attribution (rsna.org, terms of use).

The images are part of NIH ChestX-ray14, and COVID-19 Radiography holds its normal and its opaque ones: neither is
external to the other. ``patientId`` names an image: the patient behind it may have others under other keys. Age and
sex stand in the DICOM header; a sample has no place for them. The view does too and is read where `read_headers` asks.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from laennec import progress
from laennec.errors import UsageError, extra
from laennec.labels import LabelSet
from laennec.origins import Archive, Kaggle, Origin
from laennec.samples import Box, Collection, Sample

NORMAL, NOT_NORMAL, OPACITY = "Normal", "No Lung Opacity / Not Normal", "Lung Opacity"

_IMAGES = "stage_2_train_images"
_BOXES = "stage_2_train_labels.csv"
_CLASSES = "stage_2_detailed_class_info.csv"
_BOX = ("x", "y", "width", "height")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # becomes a file name: nothing that leaves the folder
_VIEWS = {"PA": "PA", "AP": "AP", "LL": "LATERAL", "RL": "LATERAL", "LATERAL": "LATERAL"}
_SHOWN = 5

_LICENCE = "RSNA terms of use: any purpose with attribution to the RSNA and the NIH Clinical Center"
_CITATION = (
    "Shih et al. Augmenting the National Institutes of Health Chest Radiograph Dataset with Expert Annotations of "
    "Possible Pneumonia. Radiology: Artificial Intelligence 2019;1(1):e180041, doi:10.1148/ryai.2019180041. "
    "Wang et al. ChestX-ray8. CVPR 2017"
)
ORIGINS = (
    Origin(
        variant="kaggle",
        title="RSNA Pneumonia Detection Challenge, stage 2 training part: 26,684 DICOM radiographs, opacities boxed",
        licence=_LICENCE,
        citation=_CITATION,
        page="https://www.kaggle.com/competitions/rsna-pneumonia-detection-challenge",
        source=Kaggle(kind="competitions", name="rsna-pneumonia-detection-challenge", size=3_940_000_000),
        archive=Archive(keep=(f"{_IMAGES}/*.dcm", _BOXES, _CLASSES), unpacked=4_000_000_000),
        layout=(f"{_IMAGES}/<patientId>.dcm", _BOXES, _CLASSES),
    ),
)


class Options(BaseModel):
    """Attributes:
    root: folder of the Kaggle archive: ``stage_2_train_images/`` and the two ``stage_2_*.csv`` tables.
    task: ``three`` classes, or ``binary``: lung opacity or none, as the challenge's Target says.
    read_headers: read the view (PA, AP) from each DICOM header; opens every file once, some minutes for all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    root: Path = Field(strict=False)
    task: Literal["three", "binary"] = "three"
    read_headers: bool = False


_LABELS = {
    "three": LabelSet(names=(NORMAL, NOT_NORMAL, OPACITY), positive=(OPACITY,)),
    "binary": LabelSet(names=("No Lung Opacity", OPACITY), positive=(OPACITY,)),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What the tables say of one image: its class of three, and the boxes of its opacities."""

    finding: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    number: int  # the header is row 1
    cells: Mapping[str, str]


def load(options: Options) -> Collection:
    """Read the two tables and the names of the images.

    Raises:
        UsageError: a table or an image is missing, or the tables contradict themselves or each other, with row numbers.
        MissingExtra: headers are asked for and pydicom is not installed.
    """
    readings = read_tables(options.root)
    folder = options.root / _IMAGES
    if not folder.is_dir():
        raise UsageError(f"rsna: there is no folder {folder}", "unpack the images there: set data.root to the archive")
    there = {path.name for path in folder.iterdir()}
    missing = [key for key in readings if f"{key}.dcm" not in there]
    if missing:
        raise UsageError(
            f"rsna: {len(missing)} of {len(readings)} images are missing, the first is {_IMAGES}/{missing[0]}.dcm",
            "unpack the archive again; the tables name every image of the training part",
        )
    labels = _LABELS[options.task]
    views = _views([folder / f"{key}.dcm" for key in readings]) if options.read_headers else {}
    samples = []
    for key, reading in readings.items():
        name = reading.finding if reading.finding in labels.names else "No Lung Opacity"
        path = folder / f"{key}.dcm"
        samples.append(
            Sample(
                id=f"{_IMAGES}/{key}.dcm",
                path=path,
                labels=tuple(float(name == label) for label in labels.names),
                patient=key,
                view=views.get(path, ""),
                boxes=reading.boxes,
                source="NIH Clinical Center",
            )
        )
    return Collection(
        name="rsna",
        labels=labels,
        samples=tuple(samples),
        licence=_LICENCE,
        citation=_CITATION,
        notes=(
            "The images are part of NIH ChestX-ray14: weights trained on NIH have seen them, and a test on one after "
            "training on the other is not external.",
            "COVID-19 Radiography holds this set's normal images and its lung opacities: a test on one after training "
            "on the other is not external.",
            "patientId names an image. The patient behind it may have other images under other keys, so parts drawn "
            "here may share patients: the result may flatter.",
            "Lung Opacity is what radiologists saw on the image, suspicious of pneumonia, not a proven pneumonia.",
        ),
    )


def read_tables(root: Path) -> dict[str, Reading]:
    """What the two tables in `root` say, by ``patientId`` in the order of the label table. Opens no image.

    Raises:
        UsageError: a table or a column is missing, or a row is wrong: told with row numbers, the header being row 1.
    """
    classes = _classes(_rows(root / _CLASSES, ("patientId", "class")))
    rows = _rows(root / _BOXES, ("patientId", *_BOX, "Target"))
    _stop(_BOXES, "name a patient that is no file name", [r for r in rows if not _KEY.fullmatch(r.cells["patientId"])])
    _stop(_BOXES, "hold a Target other than 0 or 1", [r for r in rows if r.cells["Target"] not in {"0", "1"}])
    marked = [row for row in rows if any(row.cells[name] for name in _BOX)]
    _stop(_BOXES, "give a box to Target 0", [row for row in marked if row.cells["Target"] == "0"])
    bare = [row for row in rows if row.cells["Target"] == "1" and _box(row) is None]
    _stop(_BOXES, "hold Target 1 without a valid box", bare)
    strangers = [row for row in rows if row.cells["patientId"] not in classes]
    _stop(_BOXES, f"name a patient that {_CLASSES} does not", strangers)
    known = {row.cells["patientId"] for row in rows}
    _stop(_CLASSES, f"name a patient that {_BOXES} does not", [row for key, row in classes.items() if key not in known])
    odd = [r for r in rows if (classes[r.cells["patientId"]].cells["class"] == OPACITY) != (r.cells["Target"] == "1")]
    _stop(_BOXES, f"hold a Target that contradicts the class in {_CLASSES}", odd)
    boxes: dict[str, list[Box]] = {}
    repeated = []
    for row in rows:
        mine = boxes.setdefault(row.cells["patientId"], [])
        box = _box(row)
        if box in mine:
            repeated.append(row)
        elif box is not None:
            mine.append(box)
    _stop(_BOXES, "repeat a box", repeated)
    return {key: Reading(classes[key].cells["class"], tuple(found)) for key, found in boxes.items()}


def _classes(rows: Sequence[_Row]) -> dict[str, _Row]:
    """The first row of each patient; the table repeats a patient once per box."""
    unknown = [row for row in rows if row.cells["class"] not in {NORMAL, NOT_NORMAL, OPACITY}]
    _stop(_CLASSES, "hold an unknown class", unknown)
    first: dict[str, _Row] = {}
    torn = [r for r in rows if first.setdefault(r.cells["patientId"], r).cells["class"] != r.cells["class"]]
    _stop(_CLASSES, "give a patient a second class", torn)
    return first


def _box(row: _Row) -> Box | None:
    try:
        x, y, width, height = (float(row.cells[name]) for name in _BOX)
    except ValueError:
        return None
    if not all(map(math.isfinite, (x, y, width, height))) or min(x, y) < 0 or min(width, height) <= 0:
        return None
    return Box(x, y, width, height, OPACITY)


def _rows(path: Path, columns: Sequence[str]) -> list[_Row]:
    if not path.is_file():
        raise UsageError(
            f"rsna: there is no table {path}",
            f"set data.root to the folder that holds {_BOXES}, {_CLASSES} and {_IMAGES}/",
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(_parse(path.name, stream, columns))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"rsna: {path.name} is not UTF-8 CSV: {error}", "unpack the archive again") from error
    if not rows:
        raise UsageError(f"rsna: {path.name} holds no row", "unpack the archive again")
    return rows


def _parse(name: str, stream: Iterator[str], columns: Sequence[str]) -> Iterator[_Row]:
    reader = csv.reader(stream, strict=True)
    header = [cell.strip() for cell in next(reader, [])]
    missing = [column for column in columns if column not in header]
    if missing or len(set(header)) != len(header):
        raise UsageError(
            f"rsna: {name} has not once each the columns {', '.join(columns)}; it has: {', '.join(header)[:200]}",
            "take the table of the archive as it is",
        )
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(header):
            raise UsageError(
                f"rsna: row {reader.line_num} of {name} has {len(cells)} cells, not {len(header)}", "correct that row"
            )
        yield _Row(reader.line_num, {key: cell.strip() for key, cell in zip(header, cells, strict=True)})


def _stop(table: str, what: str, rows: Sequence[_Row]) -> None:
    if rows:
        shown = ", ".join(str(row.number) for row in rows[:_SHOWN]) + (", …" if len(rows) > _SHOWN else "")
        raise UsageError(
            f"rsna: {len(rows)} rows of {table} {what}: row {shown}", "take the table of the archive as it is"
        )


def _views(paths: Sequence[Path]) -> dict[Path, str]:
    """The view in each DICOM header, "" where it says none or the file is damaged (decoding will refuse it later)."""
    with extra("dicom"):
        from pydicom import dcmread
    views = {}
    with progress.track("reading headers", len(paths)) as step:
        for path in paths:
            try:
                header = dcmread(path, stop_before_pixels=True, specific_tags=["ViewPosition"])
                views[path] = _VIEWS.get(str(header.get("ViewPosition", "")).strip().upper(), "")
            except Exception:  # pydicom raises whatever the broken byte leads to
                views[path] = ""
            step.advance()
    return views
