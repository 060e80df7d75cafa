"""What a data set holds: images, patients and labels of each part, without opening an image."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from laennec.loader import collect
from laennec.recipe import Recipe
from laennec.samples import PART_NAMES, patients_of


class PartCounts(BaseModel):
    """Counts of one part; `labels` in the order of the label set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: str
    images: int
    patients: int
    labels: tuple[int, ...]


class Exploration(BaseModel):
    """A data set at a glance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collection: str
    digest: str
    images: int
    patients: int
    labels: tuple[str, ...]
    parts: tuple[PartCounts, ...]
    split: str
    split_digest: str
    licence: str
    citation: str
    notes: tuple[str, ...]


def explore(recipe: Recipe) -> Exploration:
    """Count what `recipe` would train on. Raises `UsageError` as loading the data set does."""
    collection, split = collect(recipe)
    parts = []
    for name in PART_NAMES:
        samples = collection.take(split.part(name))
        counts = tuple(sum(s.labels[i] == 1 for s in samples) for i in range(len(collection.labels)))
        parts.append(PartCounts(part=name, images=len(samples), patients=patients_of(samples), labels=counts))
    return Exploration(
        collection=collection.name,
        digest=collection.digest,
        images=len(collection.samples),
        patients=patients_of(collection.samples),
        labels=collection.labels.names,
        parts=tuple(parts),
        split=split.how,
        split_digest=split.digest,
        licence=collection.licence,
        citation=collection.citation,
        notes=collection.notes,
    )
