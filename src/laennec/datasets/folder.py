"""Images in class folders: split/class/image, or class/image with a patient pattern.

The labels are the class folders' names in alphabetical order; without `positive`, the positive findings are all labels
but one named like "normal", "negative", "healthy", "no finding" or "0".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from laennec import storage
from laennec.errors import UsageError
from laennec.labels import LabelSet
from laennec.samples import Collection, Sample, patient_pattern

_SUFFIXES = {".jpeg", ".jpg", ".png", ".dcm", ".dicom"}
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_NEGATIVE = {"normal", "negative", "healthy", "no_finding", "no finding", "nofinding", "0"}


class Options(BaseModel):
    """Attributes:
    root: the folder.
    patient: regular expression with one group, searched in the file name: the patient's key. Needed unless train, val
        and test folders all exist; without it every image counts as a patient of its own.
    one_image_per_patient: say so instead of a pattern where a part must be drawn.
    positive: names of the positive labels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    root: Path = Field(strict=False)
    patient: str = ""
    one_image_per_patient: bool = False
    positive: tuple[str, ...] = Field(default=(), strict=False)

    @field_validator("positive", mode="before")
    @classmethod
    def _one_or_several(cls, names: object) -> object:
        return (names,) if isinstance(names, str) else names

    @field_validator("patient")
    @classmethod
    def _one_group(cls, pattern: str) -> str:
        return patient_pattern(pattern)


def load(options: Options) -> Collection:
    """Read folder and file names.

    Raises:
        UsageError: no folder, no image, fewer than two classes, classes that differ between splits, a file name that
            the patient pattern does not match, or neither split folders nor a patient key.
    """
    root = options.root
    if not root.is_dir():
        raise UsageError(f"folder: there is no folder {root}", "set data.root to the folder of class folders")
    splits = {path: _SPLITS[path.name.lower()] for path in _folders(root) if path.name.lower() in _SPLITS}
    drawn = sorted({"train", "val", "test"} - set(splits.values()))
    if drawn and not options.patient and not options.one_image_per_patient:
        raise UsageError(
            f"folder: {root.name} has no {'/'.join(drawn)} folder, and nothing says which images share a patient",
            'set data.patient, e.g. "^(patient\\\\d+)_", or data.one_image_per_patient = true',
        )
    found = list(_walk(root, splits))
    names = sorted({label for _, _, label in found})
    if len(names) < 2:
        raise UsageError(
            f"folder: {len(names)} class with images under {root.name}, expected two or more",
            "lay the images out as split/class/image or class/image",
        )
    for folder, split in splits.items():
        here = {label for _, at, label in found if at == split}
        missing = sorted(set(names) - here)
        if here and missing:
            raise UsageError(f"folder: {folder.name}/ has no class folder '{missing[0]}'", f"classes: {names}")
    positive = options.positive or tuple(n for n in names if n.lower() not in _NEGATIVE)
    if not set(positive) <= set(names) or len(positive) in (0, len(names)):
        raise UsageError(f"folder: cannot tell which of {names} is positive", 'set data.positive = ["…"]')
    labels = LabelSet(names=tuple(names), positive=positive)
    samples = tuple(
        Sample(
            id=storage.text_of(path.relative_to(root).as_posix()),
            path=path,
            labels=tuple(float(label == name) for name in names),
            patient=_patient(path, options.patient, root),
            split=split,
        )
        for path, split, label in found
    )
    notes = () if options.patient else ("Every image is taken for a patient of its own: none was named.",)
    return Collection(name=root.name or "folder", labels=labels, samples=samples, notes=notes)


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _walk(root: Path, splits: dict[Path, str]) -> Iterator[tuple[Path, str | None, str]]:
    parts: list[tuple[Path, str | None]] = list(splits.items()) if splits else [(root, None)]
    for part, split in parts:
        for label in _folders(part):
            for path in sorted(label.rglob("*")):
                hidden = any(step.startswith(".") for step in path.relative_to(root).parts)
                if path.is_file() and not hidden and path.suffix.lower() in _SUFFIXES:
                    yield path, split, label.name


def _patient(path: Path, pattern: str, root: Path) -> str:
    if not pattern:
        return storage.text_of(path.relative_to(root).as_posix())
    match = re.search(pattern, path.name)
    if match is None or not match[1]:
        raise UsageError(
            f"folder: the patient pattern does not match {path.relative_to(root).as_posix()}", "correct data.patient"
        )
    return str(match[1])
