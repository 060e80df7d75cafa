"""From a recipe to arrays: the data set, its split, and every image decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from laennec import family, images, progress, storage
from laennec.bundle import Bundle
from laennec.card import DataSeen
from laennec.errors import UsageError
from laennec.recipe import Recipe
from laennec.results import Refused
from laennec.samples import PART_NAMES, Collection, Sample, Split, patients_of
from laennec.split import part as draw_split


@dataclass(frozen=True)
class Part:
    """The readable images of one part of a split.

    Attributes:
        samples: in the order of `rows`.
        rows: ``int64 [n]``, each sample's place in `pixels`.
        pixels: ``uint8 [all, size, size]``, memory-mapped, shared by the parts.
        refused: images of this part that could not be read.
    """

    samples: tuple[Sample, ...]
    rows: np.ndarray
    pixels: np.ndarray
    refused: tuple[Refused, ...]

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def values(self) -> np.ndarray:
        """Labels ``float32 [n, labels]``: 1, 0, NaN for unknown."""
        return np.array([s.labels for s in self.samples], dtype=np.float32)

    def batch(self, which: np.ndarray | slice) -> np.ndarray:
        """``uint8 [n, 1, size, size]`` of the samples at these positions."""
        return np.ascontiguousarray(self.pixels[self.rows[which]][:, None])


@dataclass(frozen=True)
class Feed:
    """A collection with its split and its decoded images."""

    collection: Collection
    split: Split
    pixels: np.ndarray
    kept: tuple[str, ...]
    refused: tuple[Refused, ...]

    def part(self, name: str) -> Part:
        """One part. Raises `UsageError` if none of its images can be read."""
        row_of = {key: row for row, key in enumerate(self.kept)}
        wanted = self.split.part(name)
        samples = tuple(s for s in self.collection.take(wanted) if s.id in row_of)
        if not samples:
            raise UsageError(f"no image of the {name} part can be read", "see the refused files above")
        inside = set(wanted)
        refused = tuple(r for r in self.refused if r.id in inside)
        return Part(samples, np.array([row_of[s.id] for s in samples]), self.pixels, refused)

    def seen(self) -> DataSeen:
        """What a card says of this data; images that could not be read are not counted."""
        lost = {refused.id for refused in self.refused}
        parts = {n: self.collection.take(i for i in self.split.part(n) if i not in lost) for n in PART_NAMES}
        return DataSeen(
            collection=self.collection.name,
            collection_digest=self.collection.digest,
            licence=self.collection.licence,
            citation=self.collection.citation,
            notes=self.collection.notes,
            split_digest=self.split.digest,
            split_how=self.split.how,
            images={name: len(samples) for name, samples in parts.items()},
            patients={name: patients_of(samples) for name, samples in parts.items()},
            files={name: content_digest(self.collection.take(self.split.part(name))) for name in PART_NAMES},
        )


def collect(recipe: Recipe) -> tuple[Collection, Split]:
    """The data set a recipe names, and its split; no image is opened.

    Raises:
        UsageError: the files are not as the data set expects, or cannot be split by patient.
    """
    member = family.member("datasets", recipe.data.name)
    collection = member.load(member.Options.model_validate(recipe.data.options))
    return collection, draw_split(collection, recipe.split)


def load(recipe: Recipe, parts: Sequence[str] = PART_NAMES) -> Feed:
    """The data of a recipe with the images of `parts` decoded (from the cache where they were before).

    Unreadable images are left out and told with their reasons.
    """
    collection, split = collect(recipe)
    samples = collection.take(key for name in parts for key in split.part(name))
    decoded = images.decoded(samples, recipe.preprocess)
    for refused in decoded.refused[:10]:
        progress.say(f"refused: {refused.id}: {refused.reason}")
    if len(decoded.refused) > 10:
        progress.say(f"refused: {len(decoded.refused) - 10} more")
    return Feed(collection, split, decoded.pixels, decoded.kept, decoded.refused)


def reload(bundle: Bundle, parts: Sequence[str], root: str | Path | None = None) -> Feed:
    """The data a bundle was made with, checked against the split digest in its card.

    Args:
        bundle: names the recipe and the split.
        parts: the parts whose images are wanted.
        root: where the data lies now, if it moved since the training.

    Raises:
        UsageError: the images, labels, patients or parts are not those of the card.
    """
    recipe = bundle.recipe
    if root is not None:
        recipe = recipe.replace(data__root=str(root))
    try:
        feed = load(recipe, parts)
    except UsageError as error:
        raise UsageError(error.message, f"{error.hint}; if the data moved, give --root FOLDER") from error
    check_same_data(bundle, feed.collection, feed.split, parts)
    return feed


def content_digest(samples: Sequence[Sample]) -> str:
    """SHA-256 over ids and bytes of the samples' files; a file that cannot be read counts as empty."""

    def one(sample: Sample) -> list[str]:
        try:
            return [sample.id, storage.file_digest(sample.path)]
        except OSError:
            return [sample.id, ""]

    with ThreadPoolExecutor(4) as pool:
        return storage.digest(sorted(pool.map(one, samples)))


def check_same_data(bundle: Bundle, collection: Collection, split: Split, parts: Sequence[str] = ()) -> None:
    """Refuse data other than the bundle was made with.

    Raises:
        UsageError: images, labels or patients differ (the collection's digest), or the parts (the split's), or the
            bytes of the image files of `parts`.
    """
    seen = bundle.card.data
    if (collection.digest, split.digest) != (seen.collection_digest, seen.split_digest):
        what = "labels or patients" if split.digest == seen.split_digest else "images or split"
        raise UsageError(
            f"the data now found is not the data '{bundle.name}' was made with: other {what}",
            "point --root at the same data; a model is judged on the split it did not see",
        )
    for part in parts:
        if content_digest(collection.take(split.part(part))) != seen.files[part]:
            raise UsageError(
                f"some {part} images are not the files '{bundle.name}' was made with: same names, other bytes",
                "point --root at the original files, or train again on these",
            )
