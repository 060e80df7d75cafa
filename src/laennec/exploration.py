"""The exploration stage: what a data set holds, counted from its tables, and what a sample of its images shows."""

from __future__ import annotations

import io
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from laennec import images, page, progress, storage
from laennec.census import (
    NO_LABEL,
    Breakdown,
    Cell,
    Examples,
    Exploration,
    Format,
    LabelCount,
    PartCounts,
    Pixels,
    Shift,
    Size,
    Spread,
    Value,
)
from laennec.errors import ImageError, UsageError
from laennec.loader import collect
from laennec.page import Language
from laennec.preprocess import Preprocess
from laennec.recipe import Recipe
from laennec.samples import PART_NAMES, Collection, PartName, Sample, Split, patients_of
from laennec.version import VERSION

SAMPLE = 100  # images opened per label and part, unless told otherwise
_SIDE = 128
_EXAMPLES = 6
_VALUES = 12  # values of a fact shown apart
_MEASURE = Preprocess(size=_SIDE, resize="stretch")  # padding would mix black borders into the grey levels
_THUMBNAIL = Preprocess(size=176, resize="pad")


def explore(
    recipe: Recipe,
    *,
    pixels: bool = False,
    sample: int = SAMPLE,
    html: str | Path | None = None,
    language: Language = "en",
) -> Exploration:
    """Count what `recipe` would train on and, with `pixels`, open a sample of its images.

    Args:
        recipe: its ``[data]`` and ``[split]`` are read, and its seed, which draws the sample.
        pixels: without it no image is opened.
        sample: images opened per label and part, at most.
        html: where to write the page, if one is wanted.
        language: the page opens in: ``en`` or ``fr``; both are in it.

    Raises:
        UsageError: as loading the data set does, or `sample` is below 1. Images that cannot be read raise nothing:
            they are listed with their reasons.
        MissingExtra: the page is wanted and jinja2 is not installed, or the images need a library that is not.
    """
    if sample < 1:
        raise UsageError(f"a sample of {sample} images shows nothing", "give 1 or more")
    collection, split = collect(recipe)
    facts: dict[str, images.Header] = {}
    seen = _open(collection, split, sample, recipe.seed, facts) if pixels else None
    parts: tuple[PartName, ...] = ("train", "val", "test")
    explored = Exploration(
        collection=collection.name,
        digest=collection.digest,
        labels=collection.labels.names,
        exclusive=collection.labels.exclusive,
        positive=collection.labels.positive,
        whole=_count("all", collection.samples, collection.labels.names),
        parts=tuple(_count(part, collection.take(split.part(part)), collection.labels.names) for part in parts),
        breakdowns=tuple(_breakdowns(collection, facts)),
        pixels=seen,
        split=split.how,
        split_digest=split.digest,
        licence=collection.licence,
        citation=collection.citation,
        notes=collection.notes,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        laennec=VERSION,
    )
    if html is not None:
        shown = page.exploration_page(explored, pictures=_pictures(collection, explored), language=language)
        storage.write_bytes(Path(html), shown.encode())
        progress.say(f"page: {html}")
    return explored


def _count(part: Literal["all"] | PartName, samples: Sequence[Sample], names: Sequence[str]) -> PartCounts:
    labels = []
    for place, name in enumerate(names):
        present = [s for s in samples if s.labels[place] == 1]
        unknown = sum(math.isnan(s.labels[place]) for s in samples)
        labels.append(LabelCount(label=name, images=len(present), patients=patients_of(present), unknown=unknown))
    rarest = min(label.images for label in labels)
    return PartCounts(
        part=part,
        images=len(samples),
        patients=patients_of(samples),
        per_patient=_spread(list(Counter(s.patient for s in samples).values())),
        labels=tuple(labels),
        imbalance=max(label.images for label in labels) / rarest if rarest else None,
    )


def _spread(values: Sequence[float]) -> Spread:
    return Spread(low=min(values), median=median(values), high=max(values))


def _breakdowns(collection: Collection, facts: Mapping[str, images.Header]) -> Iterator[Breakdown]:
    """What the tables say of view and source; of the opened DICOM files' headers what the tables do not say."""
    opened = [collection.by_id[key] for key in facts]
    said: tuple[tuple[Literal["view", "source"], Callable[[Sample], str]], ...] = (
        ("view", lambda s: s.view),
        ("source", lambda s: s.source),
    )
    for fact, value in said:
        if any(value(s) for s in collection.samples):
            yield _breakdown(fact, collection.samples, value, len(collection.labels), sampled=False)
    if not any(s.view for s in collection.samples) and any(header.view for header in facts.values()):
        yield _breakdown("view", opened, lambda s: facts[s.id].view, len(collection.labels), sampled=True)
    if any(header.sex for header in facts.values()):
        yield _breakdown("sex", opened, lambda s: facts[s.id].sex, len(collection.labels), sampled=True)


def _breakdown(
    fact: Literal["view", "source", "sex"],
    samples: Sequence[Sample],
    value: Callable[[Sample], str],
    labels: int,
    *,
    sampled: bool,
) -> Breakdown:
    groups: dict[str, list[Sample]] = defaultdict(list)
    for s in samples:
        if value(s):
            groups[value(s)].append(s)
    order = sorted(groups, key=lambda name: (-len(groups[name]), name))
    if len(order) > _VALUES:
        groups[""] = [s for name in order[_VALUES:] for s in groups[name]]
        order = [*order[:_VALUES], ""]
    values = tuple(
        Value(
            value=name,
            images=len(groups[name]),
            labels=tuple(sum(s.labels[place] == 1 for s in groups[name]) for place in range(labels)),
        )
        for name in order
    )
    return Breakdown(fact=fact, asked=len(samples), known=sum(v.images for v in values), sampled=sampled, values=values)


def _open(collection: Collection, split: Split, most: int, seed: int, facts: dict[str, images.Header]) -> Pixels:
    """Draw, decode and measure; fills `facts` with the header of each readable image drawn."""
    cells = _cells(collection, split)
    drawn = {key: random.Random(f"{seed}/{key}").sample(sorted(ids), min(most, len(ids))) for key, ids in cells.items()}
    wanted = list(dict.fromkeys(i for ids in drawn.values() for i in ids))
    decoded = images.decoded(collection.take(wanted), _MEASURE)
    row_of = {key: row for row, key in enumerate(decoded.kept)}
    with progress.track("reading headers", len(row_of)) as step:
        for key in row_of:
            header = images.header(collection.by_id[key].path)
            if header is not None:
                facts[key] = header
            step.advance()
    measured: dict[tuple[str, str], tuple[Cell, np.ndarray, np.ndarray]] = {}
    for (label, part), ids in drawn.items():
        found = [i for i in ids if i in row_of]
        where = [facts[i] for i in found if i in facts]
        cell, means, spreads = _measure(decoded.pixels, [row_of[i] for i in found])
        size = {"width": median(h.width for h in where), "height": median(h.height for h in where)} if where else {}
        named = {"label": label, "part": part, "images": len(cells[label, part])}
        measured[label, part] = (Cell.model_validate(named | cell | size), means, spreads)
    sizes = Counter((h.width, h.height) for h in facts.values())
    formats = Counter((h.format, h.bits, h.channels) for h in facts.values())
    return Pixels(
        most=most,
        seed=seed,
        side=_SIDE,
        opened=len(wanted),
        cells=tuple(cell for cell, _, _ in measured.values()),
        shifts=(
            *_shifts("brightness", {key: means for key, (_, means, _) in measured.items()}),
            *_shifts("contrast", {key: spreads for key, (_, _, spreads) in measured.items()}),
        ),
        width=_spread([h.width for h in facts.values()]) if facts else None,
        height=_spread([h.height for h in facts.values()]) if facts else None,
        aspect=_spread([h.width / h.height for h in facts.values()]) if facts else None,
        sizes=len(sizes),
        commonest=tuple(Size(width=w, height=h, images=n) for (w, h), n in _most(sizes)[:5]),
        formats=tuple(Format(format=f, bits=b, channels=c, images=n) for (f, b, c), n in _most(formats)),
        examples=tuple(
            Examples(label=label, ids=_other_patients(collection, [i for i in ids if i in row_of]))
            for (label, part), ids in drawn.items()
            if part == "train"
        ),
        refused=decoded.refused,
    )


def _most(counts: Counter[Any]) -> list[tuple[Any, int]]:
    """By falling count, ties by value."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))


def _cells(collection: Collection, split: Split) -> dict[tuple[str, str], list[str]]:
    """Ids by label and part. An image with several labels is in several cells, one with none in `NO_LABEL`'s."""
    cells: dict[tuple[str, str], list[str]] = {}
    for place, label in enumerate(collection.labels.names):
        for part in PART_NAMES:
            cells[label, part] = [s.id for s in collection.take(split.part(part)) if s.labels[place] == 1]
    if not collection.labels.exclusive:
        for part in PART_NAMES:
            bare = [s.id for s in collection.take(split.part(part)) if not any(v == 1 for v in s.labels)]
            if bare:
                cells[NO_LABEL, part] = bare
    return cells


def _measure(pixels: np.ndarray, rows: Sequence[int]) -> tuple[dict[str, float | None], np.ndarray, np.ndarray]:
    """Figures of a `Cell` over these rows of ``uint8 [all, side, side]``, each image's mean, and its deviation."""
    if not rows:
        return {"n": 0}, np.empty(0), np.empty(0)
    counts = np.stack([np.bincount(pixels[row].ravel(), minlength=256) for row in rows]).astype(float)
    levels, total = np.arange(256), counts[0].sum()
    means = counts @ levels / total
    spread = np.sqrt(np.maximum(counts @ levels**2 / total - means**2, 0))
    upto = np.cumsum(counts.sum(axis=0)) / (total * len(rows))
    low, high = (float(np.searchsorted(upto, share)) for share in (0.01, 0.99))
    between = float(means.std(ddof=1)) if len(rows) > 1 else None
    figures = {"n": len(rows), "mean": float(means.mean()), "between": between, "contrast": float(spread.mean())}
    return figures | {"low": low, "high": high}, means, spread


def _shifts(of: Literal["brightness", "contrast"], values: Mapping[tuple[str, str], np.ndarray]) -> Iterator[Shift]:
    for (label, part), here in values.items():
        train = values.get((label, "train"), np.empty(0))
        if part == "train" or min(len(here), len(train)) < 2:
            continue
        n, m = len(here), len(train)
        pooled = math.sqrt(((n - 1) * here.var(ddof=1) + (m - 1) * train.var(ddof=1)) / (n + m - 2))
        if pooled == 0:
            continue
        difference = float(here.mean() - train.mean())
        effect = difference / pooled
        error = 1.96 * math.sqrt((n + m) / (n * m) + effect**2 / (2 * (n + m)))
        bounds = {"low": effect - error, "high": effect + error}
        yield Shift(of=of, label=label, part=part, difference=difference, effect=effect, n_train=m, n=n, **bounds)


def _other_patients(collection: Collection, ids: Sequence[str]) -> tuple[str, ...]:
    """The first few of `ids`, no two of one patient."""
    first = {collection.by_id[i].patient: i for i in reversed(ids)}
    return tuple([i for i in ids if first[collection.by_id[i].patient] == i][:_EXAMPLES])


def _pictures(collection: Collection, explored: Exploration) -> dict[str, bytes]:
    """PNG pictures of the examples, by sample id."""
    from PIL import Image

    pictures: dict[str, bytes] = {}
    for example in explored.pixels.examples if explored.pixels else ():
        for key in example.ids:
            try:
                shown, _ = images.load(collection.by_id[key].path, _THUMBNAIL)
            except ImageError:
                continue
            stream = io.BytesIO()
            Image.fromarray(shown).save(stream, "PNG", optimize=True)
            pictures[key] = stream.getvalue()
    return pictures
