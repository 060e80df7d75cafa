"""A folder of images and a folder of their lung masks, by the same names; no labels.

An image and its mask have the same place and name below their folders, but for the suffix of the file type and a word
that may end the mask's name (``chest_7.jpeg`` and ``chest_7_mask.png``). Both may lie in one folder if the masks have
such a word. Images are JPEG, PNG or DICOM; masks are JPEG or PNG, zero outside the lungs, and show what their image
shows. Images without a mask keep their place in the set.

Patients come from a pattern in the file names, or from a table with a row for each image.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from laennec import storage
from laennec.errors import UsageError
from laennec.labels import UNLABELLED
from laennec.samples import PART_NAMES, Collection, Sample, patient_pattern

_MASKS = {".jpeg", ".jpg", ".png"}
_IMAGES = _MASKS | {".dcm", ".dicom"}
_VIEWS = {"PA", "AP", "LATERAL"}
_SHOWN = 5
_HINT_PATIENT = 'set data.patient, e.g. "^(patient\\\\d+)_", or data.one_image_per_patient = true'


class Options(BaseModel):
    """Attributes:
    root: folder that the places of images, masks and table are relative to.
    images: folder of the images.
    masks: folder of the masks.
    mask_suffix: what ends a mask's name before the file type, such as ``_mask``.
    table: CSV, UTF-8, with a row for each image: ``image`` (its place below the folder of images) and ``patient``;
        ``split`` (train, val, test), ``view`` and ``source`` may be absent. Other columns are not read.
    patient: regular expression with one group, searched in the file name: the patient's key. It stands before the
        table's column.
    one_image_per_patient: say so where neither tells the patient.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    root: Path = Field(strict=False)
    images: str = "images"
    masks: str = "masks"
    mask_suffix: str = ""
    table: str = ""
    patient: str = ""
    one_image_per_patient: bool = False

    @field_validator("patient")
    @classmethod
    def _one_group(cls, pattern: str) -> str:
        return patient_pattern(pattern)


def load(options: Options) -> Collection:
    """Read the names of the files, and the table.

    Raises:
        UsageError: a folder or the table is missing, no image or no mask, a mask without its image, two files of one
            name, nothing that tells the patients, a name that the pattern does not match; with row numbers of the
            table (the header is row 1): repeated or missing images, no patient, unknown splits, patients in two.
    """
    images, masks = _paired(options)
    rows = _rows(options, options.root / options.table, set(images)) if options.table else {}
    if not options.patient and not options.one_image_per_patient and not options.table:
        raise UsageError("pairs: nothing says which images share a patient", f"{_HINT_PATIENT}, or data.table")
    samples = tuple(
        Sample(
            id=name,
            path=path,
            labels=(math.nan,) * len(UNLABELLED),
            patient=_patient(options, name, rows),
            split=rows[name]["split"] or None if rows else None,
            view=_view(rows[name]["view"]) if rows else "",
            mask=masks.get(name),
            source=rows[name]["source"] if rows else "",
        )
        for name, path in images.items()
    )
    return Collection(
        name=options.root.name or "pairs", labels=UNLABELLED, samples=samples, notes=_notes(options, samples)
    )


def _paired(options: Options) -> tuple[dict[str, Path], dict[str, Path]]:
    """Images by their place below their folder, and the masks of those that have one."""
    pictures, drawn = options.root / options.images, options.root / options.masks
    for folder, option in ((pictures, "images"), (drawn, "masks")):
        if not folder.is_dir():
            raise UsageError(f"pairs: there is no folder {folder}", f"set data.root and data.{option}")
    ending = options.mask_suffix
    masks = [path for path in _files(drawn, _MASKS) if path.stem.endswith(ending)]
    # what lies among the masks is an image only where both share one folder
    apart = pictures.resolve() != drawn.resolve()
    others = {path.resolve() for path in (_files(drawn, _IMAGES) if apart else masks)}
    images = [path for path in _files(pictures, _IMAGES) if path.resolve() not in others]
    if not images or not masks:
        what, folder = ("image", pictures) if not images else ("mask", drawn)
        raise UsageError(
            f"pairs: there is no {what} in {folder}" + (f" whose name ends in {ending}" if images and ending else ""),
            "set data.images, data.masks and data.mask_suffix; images are JPEG, PNG or DICOM, masks JPEG or PNG",
        )
    image_of = _once(((path.relative_to(pictures).with_suffix(""), path) for path in images), "images")
    mask_of = _once(((_less(path.relative_to(drawn), ending), path) for path in masks), "masks")
    lost = sorted(str(mask_of[key].relative_to(drawn)) for key in mask_of.keys() - image_of.keys())
    if apart:
        lost += sorted(str(path.relative_to(drawn)) for path in set(_files(drawn, _MASKS)) - set(masks))
    if lost:
        shown = ", ".join(lost[:_SHOWN]) + (", …" if len(lost) > _SHOWN else "")
        raise UsageError(
            f"pairs: {len(lost)} masks have no image: {shown}",
            f"name a mask as its image{f' with {ending}' if ending else ''}: see data.mask_suffix; or move them away",
        )
    named = {key: storage.text_of(path.relative_to(pictures).as_posix()) for key, path in image_of.items()}
    return (
        {named[key]: path for key, path in image_of.items()},
        {named[key]: path for key, path in mask_of.items()},
    )


def _files(folder: Path, suffixes: set[str]) -> list[Path]:
    """Files below `folder` with one of `suffixes`, in order; nothing hidden."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(step.startswith(".") for step in path.relative_to(folder).parts)
        and path.is_file()
    )


def _less(place: Path, ending: str) -> Path:
    return place.parent / place.stem.removesuffix(ending)


def _once(files: Iterable[tuple[Path, Path]], what: str) -> dict[Path, Path]:
    found: dict[Path, Path] = {}
    for key, path in files:
        if key in found:
            raise UsageError(
                f"pairs: two {what} are named {key.as_posix()}: {found[key].name} and {path.name}",
                "keep one of them: a mask belongs to one image",
            )
        found[key] = path
    return found


def _patient(options: Options, name: str, rows: Mapping[str, Mapping[str, str]]) -> str:
    if options.patient:
        match = re.search(options.patient, Path(name).name)
        if match is None or not match[1]:
            raise UsageError(f"pairs: the patient pattern does not match {name}", "correct data.patient")
        return str(match[1])
    return name if options.one_image_per_patient else rows[name]["patient"]


def _view(text: str) -> str:
    """``PA``, ``AP`` or ``LATERAL`` where the table's words begin with it ("AP supine"), else empty."""
    first = text.upper().partition(" ")[0]
    return first if first in _VIEWS else ""


def _notes(options: Options, samples: Sequence[Sample]) -> tuple[str, ...]:
    notes = []
    if not options.patient and options.one_image_per_patient:
        notes.append("Every image is taken for a patient of its own: none was named.")
    bare = sum(sample.mask is None for sample in samples)
    if bare:
        notes.append(f"{bare} of {len(samples)} images have no lung mask.")
    return tuple(notes)


def _rows(options: Options, path: Path, images: set[str]) -> dict[str, dict[str, str]]:
    """Rows of the table by image, every one of `images` among them; cells that are absent are empty."""
    tells_patient = not options.patient and not options.one_image_per_patient
    listed = _read(path, ["image", *(["patient"] if tells_patient else [])])
    names = [row["image"] for row in listed]
    first = {name: place for place, name in reversed(list(enumerate(names)))}
    _stop(path, "repeat an image", [i for i, name in enumerate(names) if first[name] != i], "keep one row per image")
    gone = [i for i, name in enumerate(names) if name not in images]
    _stop(path, "name an image that is not there", gone, "the column image holds places below the folder of images")
    lost = sorted(images - first.keys())
    if lost:
        raise UsageError(
            f"pairs: {len(lost)} images have no row in {path.name}, the first is {lost[0]}",
            "add them, or move them away",
        )
    if tells_patient:
        blank = [i for i, row in enumerate(listed) if not row["patient"]]
        _stop(path, "have no patient", blank, "fill the column patient")
    unknown = [i for i, row in enumerate(listed) if row["split"] and row["split"] not in PART_NAMES]
    _stop(path, "name an unknown split", unknown, f"take one of: {', '.join(PART_NAMES)}")
    rows = {row["image"]: row for row in listed}
    parts: dict[str, str] = {}
    keys = [_patient(options, name, rows) for name in names]
    both = [i for i, row in enumerate(listed) if parts.setdefault(keys[i], row["split"]) != row["split"]]
    _stop(path, "put a patient into a second split", both, "a patient's images belong in one split")
    return rows


def _read(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    if not path.is_file():
        raise UsageError(f"pairs: there is no table {path}", "set data.table to a .csv file, relative to data.root")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            stream.seek(0)
            # spreadsheets write semicolons where the comma is the decimal mark
            reader = csv.DictReader(stream, strict=True, delimiter=max(",;\t", key=header.count))
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"pairs: {path.name} is not UTF-8 CSV: {error}", "save it as CSV, UTF-8") from error
    missing = [name for name in needed if name not in columns]
    if missing:
        raise UsageError(
            f"pairs: {path.name} has no column '{missing[0]}'. Columns: {', '.join(columns)}",
            _HINT_PATIENT if missing[0] == "patient" else "name the column of the images 'image'",
        )
    _stop(
        path,
        f"have not {len(columns)} cells",
        [i for i, row in enumerate(rows) if None in row or None in row.values()],
        "correct them; a text that holds a comma stands in quotes",
    )
    wanted = ("image", "patient", "split", "view", "source")
    return [{name: row.get(name, "").strip() for name in wanted} for row in rows]


def _stop(path: Path, what: str, indices: Sequence[int], hint: str) -> None:
    if indices:
        shown = ", ".join(str(i + 2) for i in indices[:_SHOWN]) + (", …" if len(indices) > _SHOWN else "")
        raise UsageError(f"pairs: {len(indices)} rows of {path.name} {what}: row {shown}", hint)
