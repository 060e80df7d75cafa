"""Radiographs with what is known of them (Sample), a data set (Collection), and how it is parted (Split)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from laennec.errors import UsageError
from laennec.labels import LabelSet
from laennec.storage import digest

PART_NAMES = ("train", "val", "test")
PartName = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box in pixels of the original image: left, top, width, height, and the label it marks."""

    x: float
    y: float
    width: float
    height: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and what is known of it.

    Attributes:
        id: unique in its collection and stable across machines (a relative path as a rule).
        path: the image file.
        labels: one value per label of the collection: 1 present, 0 absent, NaN unknown.
        patient: key of the patient; never straddles splits.
        split: the official part this image belongs to, if its publisher says so.
        view: ``PA``, ``AP``, ``LATERAL`` or empty.
        mask: file of the lung mask, if any (non-zero inside the lungs, same framing as the image).
        boxes: marked opacities, if any.
        source: hospital or collection of origin, if known.
        sex: ``M``, ``F``, ``O`` or empty.
        age: years; None where it is not known.
    """

    id: str
    path: Path
    labels: tuple[float, ...]
    patient: str
    split: str | None = None
    view: str = ""
    mask: Path | None = None
    boxes: tuple[Box, ...] = ()
    source: str = ""
    sex: str = ""
    age: float | None = None


@dataclass(frozen=True)
class Collection:
    """A data set: samples under one label set, with its licence and citation.

    Attributes:
        notes: facts a reader of a report must know (a shortcut, an overlap with another set).
    """

    name: str
    labels: LabelSet
    samples: tuple[Sample, ...]
    licence: str = ""
    citation: str = ""
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.samples:
            raise UsageError(f"the data set '{self.name}' holds no image", "check data.root and its layout")
        repeated = [key for key, n in Counter(s.id for s in self.samples).items() if n > 1]
        if repeated:
            raise UsageError(f"{len(repeated)} sample ids repeat in '{self.name}', the first is {repeated[0]}")
        width = len(self.labels)
        for sample in self.samples:
            if len(sample.labels) != width:
                raise UsageError(f"{sample.id} has {len(sample.labels)} label values, expected {width}")
            if self.labels.exclusive and sum(value == 1 for value in sample.labels) != 1:
                raise UsageError(f"{sample.id} has not exactly one label", "labels that exclude each other need one")

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, labels, patients and official parts; moves with the data's meaning, not its folder."""
        rows = [
            [s.id, [None if math.isnan(v) else v for v in s.labels], s.patient, s.split]
            for s in sorted(self.samples, key=lambda s: s.id)
        ]
        return digest({"labels": list(self.labels.names), "rows": rows})

    @cached_property
    def by_id(self) -> dict[str, Sample]:
        """Samples under their id."""
        return {s.id: s for s in self.samples}

    def take(self, ids: Iterable[str]) -> list[Sample]:
        """The samples with these ids, in this order. Raises `KeyError` on an unknown id."""
        return [self.by_id[i] for i in ids]


@dataclass(frozen=True)
class Split:
    """Sample ids of train, val and test, and how they were parted.

    Attributes:
        how: one line for the report.
        seed: seed of the draw; 0 where nothing was drawn.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    how: str
    seed: int

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the ids of the three parts, in any order."""
        return digest({part: sorted(self.part(part)) for part in PART_NAMES})

    def part(self, name: str) -> tuple[str, ...]:
        """Ids of one part. Raises `UsageError` for a name other than train, val, test."""
        if name not in PART_NAMES:
            raise UsageError(f"no split named '{name}'", f"take one of: {', '.join(PART_NAMES)}")
        ids: tuple[str, ...] = getattr(self, name)
        return ids


def check_patients(collection: Collection, split: Split) -> None:
    """Refuse a split in which a patient has images in two parts.

    Raises:
        UsageError: names up to five straddling patients by count, and the remedy.
    """
    seen: dict[str, str] = {}
    straddling: set[str] = set()
    for part in PART_NAMES:
        for sample in collection.take(split.part(part)):
            if seen.setdefault(sample.patient, part) != part:
                straddling.add(sample.patient)
    if straddling:
        shown = ", ".join(sorted(straddling)[:5])
        raise UsageError(
            f"{len(straddling)} patients of '{collection.name}' have images in two splits: {shown}",
            "correct the patient or split column, or leave the split out and laennec draws it by patient",
        )


def patient_pattern(pattern: str) -> str:
    """A regular expression that finds the patient's key in a file name; empty for none.

    Raises:
        ValueError: it is none, or has another number of groups than one.
    """
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    if pattern and groups != 1:
        raise ValueError(f"needs exactly one group around the patient's key, has {groups}")
    return pattern


def patients_of(samples: Sequence[Sample]) -> int:
    """Number of distinct patients among `samples`."""
    return len({s.patient for s in samples})
