"""From a recipe to arrays: the data set, its split, and every image decoded once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from laennec import family, images, progress, provenance, storage, work
from laennec.bundle import Bundle
from laennec.card import DataSeen
from laennec.errors import UsageError
from laennec.outputs import MASKS, PROBABILITIES
from laennec.recipe import Data, Recipe
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
        truths: ``uint8 [known, size, size]``, the true masks on the model's grid, from 128 on lung; shared by the
            parts; None where no mask is learned or judged.
        truth_rows: ``int64 [n]``, each sample's place in `truths`, -1 where its mask is not known.
    """

    samples: tuple[Sample, ...]
    rows: np.ndarray
    pixels: np.ndarray
    refused: tuple[Refused, ...]
    truths: np.ndarray | None = None
    truth_rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def values(self) -> np.ndarray:
        """Labels ``float32 [n, labels]``: 1, 0, NaN for unknown."""
        return np.array([s.labels for s in self.samples], dtype=np.float32)

    def batch(self, which: np.ndarray | slice) -> np.ndarray:
        """``uint8 [n, 1, size, size]`` of the samples at these positions."""
        return np.ascontiguousarray(self.pixels[self.rows[which]][:, None])

    @cached_property
    def masked(self) -> np.ndarray:
        """``bool [n]``: whether the true mask is known."""
        return np.zeros(len(self), dtype=bool) if self.truth_rows is None else self.truth_rows >= 0

    def truth(self, which: np.ndarray | slice) -> np.ndarray:
        """``uint8 [n, size, size]`` of the samples at these positions; their masks must be known (`masked`)."""
        assert self.truths is not None  # noqa: S101
        assert self.truth_rows is not None  # noqa: S101
        return np.ascontiguousarray(self.truths[self.truth_rows[which]])


@dataclass(frozen=True)
class Feed:
    """A collection with its split and its decoded images, and masks where the task wants them.

    Attributes:
        needs_mask: a part holds only images whose mask is known.
        unmasked: ids whose mask is there and could not be read.
    """

    collection: Collection
    split: Split
    pixels: np.ndarray
    kept: tuple[str, ...]
    refused: tuple[Refused, ...]
    truths: np.ndarray | None = None
    truths_kept: tuple[str, ...] = ()
    needs_mask: bool = False
    unmasked: frozenset[str] = frozenset()

    def part(self, name: str) -> Part:
        """One part. Raises `UsageError` if none of its images can be read."""
        row_of = {key: row for row, key in enumerate(self.kept)}
        wanted = self.split.part(name)
        truth_of = {key: row for row, key in enumerate(self.truths_kept)}
        samples = tuple(s for s in self.collection.take(wanted) if s.id in row_of)
        if self.needs_mask:
            samples = tuple(s for s in samples if s.id in truth_of)
        if not samples:
            what = "image with a mask" if self.needs_mask else "image"
            raise UsageError(f"no {what} of the {name} part can be read", "see the refused files above")
        inside = set(wanted)
        refused = tuple(r for r in self.refused if r.id in inside)
        rows = np.array([row_of[s.id] for s in samples])
        if self.truths is None:
            return Part(samples, rows, self.pixels, refused)
        truth_rows = np.array([truth_of.get(s.id, -1) for s in samples])
        return Part(samples, rows, self.pixels, refused, self.truths, truth_rows)

    def seen(self) -> DataSeen:
        """What a card says of this data; images that could not be read are not counted."""
        lost = {refused.id for refused in self.refused}
        parts = {n: self.collection.take(i for i in self.split.part(n) if i not in lost) for n in PART_NAMES}
        masks: dict[str, int] = {}
        mask_files: dict[str, str] = {}
        if self.truths is not None:
            masks = {
                name: sum(s.mask is not None and s.id not in self.unmasked for s in samples)
                for name, samples in parts.items()
            }
            mask_files = {name: mask_digest(self.collection.take(self.split.part(name))) for name in PART_NAMES}
            if self.needs_mask:
                parts = {name: [s for s in samples if s.mask is not None] for name, samples in parts.items()}
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
            masks=masks,
            mask_files=mask_files,
        )


def collect(recipe: Recipe) -> tuple[Collection, Split]:
    """The data set a recipe names, and its split; no image is opened.

    Raises:
        UsageError: the files are not as the data set expects, or cannot be split by patient.
    """
    collection = load_collection(recipe.data)
    return collection, draw_split(collection, recipe.split)


def load_collection(data: Data) -> Collection:
    """The data set a recipe's ``[data]`` names; no image is opened. Raises `UsageError` as `collect` does."""
    member = family.member("datasets", data.name)
    collection: Collection = member.load(member.Options.model_validate(data.options))
    return collection


def load(recipe: Recipe, parts: Sequence[str] = PART_NAMES) -> Feed:
    """The data of a recipe with the images of `parts` decoded (from the cache where they were before).

    Unreadable images are left out and told with their reasons.
    """
    return decode(recipe, *collect(recipe), parts)


def decode(recipe: Recipe, collection: Collection, split: Split, parts: Sequence[str] = PART_NAMES) -> Feed:
    """The images of `parts` decoded as `recipe` says, with the true masks where its task makes masks.

    Raises:
        UsageError: masks are wanted and no sample names one.
    """
    samples = collection.take(key for name in parts for key in split.part(name))
    answers = work.check(recipe.task)
    if PROBABILITIES in answers and all(math.isnan(v) for s in collection.samples for v in s.labels):
        raise UsageError(f"no image of '{collection.name}' has a label to learn", 'set task = "segment"')
    if MASKS not in answers:
        decoded = images.decoded(samples, recipe.preprocess)
        _tell(decoded.refused)
        return Feed(collection, split, decoded.pixels, decoded.kept, decoded.refused)
    masked, alone = [s for s in samples if s.mask is not None], len(answers) == 1
    if not masked and not alone and "train" not in parts:
        decoded = images.decoded(samples, recipe.preprocess)  # its decisions can be judged all the same
        _tell(decoded.refused)
        return Feed(collection, split, decoded.pixels, decoded.kept, decoded.refused)
    if not masked:
        raise UsageError(
            f"the task '{recipe.task}' learns masks, and no image of '{collection.name}' has one",
            "name the folder of masks in [data] (masks = …), or take the data set 'pairs'",
        )
    if alone:
        if len(masked) < len(samples):
            progress.say(f"{len(samples) - len(masked)} of {len(samples)} images have no mask and are left out")
        samples = masked
    decoded, truths = images.decoded(samples, recipe.preprocess), images.truths(masked, recipe.preprocess)
    _tell((*decoded.refused, *truths.refused))
    # without its mask an image cannot be used where masks are all there is to learn
    refused = (*decoded.refused, *(truths.refused if alone else ()))
    unmasked = {one.id for one in truths.refused}
    return Feed(
        collection, split, decoded.pixels, decoded.kept, refused, truths.pixels, truths.kept, alone, frozenset(unmasked)
    )


def _tell(refusals: Sequence[Refused]) -> None:
    for refused in refusals[:10]:
        progress.say(f"refused: {refused.id}: {refused.reason}")
    if len(refusals) > 10:
        progress.say(f"refused: {len(refusals) - 10} more")


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
    if not bundle.card.segments and isinstance(recipe.data.options.get("masks"), str):
        recipe = recipe.replace(data__masks=None)  # it never learned from them
    try:
        feed = load(recipe, parts)
    except UsageError as error:
        raise UsageError(error.message, f"{error.hint}; if the data moved, give --root FOLDER") from error
    check_same_data(bundle, feed.collection, feed.split, parts)
    return feed


def standing(bundle: Bundle, name: str) -> provenance.Answer:
    """Whether the data set `name` is external to a bundle: to the data it learned from, and to the public sets that
    the weights it started from name. What these weights do not tell, nobody knows here.
    """
    card = bundle.card
    seen = (card.data.collection, *(one.name for one in provenance.mentioned(card.starting_weights)))
    answers = [provenance.external(name, to) for to in seen]
    return next((one for one in answers if one.external == "no"), answers[0])


def outside(bundle: Bundle, data: Data, shared: bool = False) -> Feed:
    """Another data set as the bundle reads pictures, all of it as the test part.

    Args:
        shared: take it though it is known to share images with what the bundle learned from.

    Raises:
        UsageError: it is the data set the bundle was made with, has other labels than the bundle answers with, or by
            `standing` is not external and `shared` is not said.
    """
    recipe, card = bundle.recipe.replace(data=data.model_dump(mode="json")), bundle.card
    collection = load_collection(recipe.data)
    if collection.digest == card.data.collection_digest:
        raise UsageError(
            f"'{collection.name}' is the data set '{bundle.name}' was made with", "take its test part: --split test"
        )
    if card.classifies and collection.labels != card.labels:
        raise UsageError(
            f"'{collection.name}' has the labels {', '.join(collection.labels.names)}, '{bundle.name}' answers with "
            f"{', '.join(card.labels.names)}",
            "take a data set with the same labels",
        )
    answer = standing(bundle, collection.name)
    if answer.external == "no" and not shared:
        raise UsageError(
            f"'{collection.name}' is not external to '{bundle.name}': {answer.why.en}",
            "take a set of other origin, or judge on it all the same with --shared: the report then says so",
        )
    split = Split(train=(), val=(), test=tuple(sample.id for sample in collection.samples), how="all of it", seed=0)
    return decode(recipe, collection, split, ("test",))


def content_digest(samples: Sequence[Sample]) -> str:
    """SHA-256 over ids and bytes of the samples' files; a file that cannot be read counts as empty."""
    return _digest([(sample.id, sample.path) for sample in samples])


def mask_digest(samples: Sequence[Sample]) -> str:
    """The same over the files of the samples' masks, of those that have one."""
    return _digest([(sample.id, sample.mask) for sample in samples if sample.mask is not None])


def _digest(files: Sequence[tuple[str, Path]]) -> str:
    def one(named: tuple[str, Path]) -> list[str]:
        try:
            return [named[0], storage.file_digest(named[1])]
        except OSError:
            return [named[0], ""]

    with ThreadPoolExecutor(4) as pool:
        return storage.digest(sorted(pool.map(one, files)))


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
        if part in seen.mask_files and mask_digest(collection.take(split.part(part))) != seen.mask_files[part]:
            raise UsageError(
                f"some {part} masks are not the files '{bundle.name}' was made with: same names, other bytes",
                "point [data] at the original masks, or train again on these",
            )
