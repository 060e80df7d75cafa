"""How alike two radiographs are: pairs that may be one exposure, then whether they are, pixel by pixel.

All radiographs of the chest look alike, so two steps. *Candidates*: pictures are equalised and their lowest
frequencies (cosine transform, of which perceptual hashes keep the signs: Zauner 2010) are held against each other,
less the mean picture and in units of the spread among pictures. What a small shift, turn or change of size may do to
them is a plane through each picture's point (tangent distance: Simard, LeCun & Denker, NIPS 1992), and pairs are
compared across it, as they are, mirrored, with greys inverted, and both. *Check*: one picture of the pair is laid onto
the other (`laennec.aligning`) and their fine structure is correlated. Vessels, ribs and grain coincide in two files of
one exposure; in two exposures the heart and the diaphragm have moved. Only two made moments apart may pass for one: of
Kermany's 5,840 images one pair does, and no other pair of one child exceeds .86, none of two children .82.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from laennec.aligning import laid

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
_Found = tuple[Ints, Ints, Ints, Floats]  # rows, rows, view, value

ALIKE = 0.72  # correlation across the tangent planes from which a pair is looked at closer
SAME = 0.87  # correlation of fine structure from which two pictures are one exposure

_GRID, _FINE = 64, 128
_BANDS = 8  # frequencies below this many half waves across the picture
_PER_IMAGE = 20  # pairs looked at closer, on average
_PRIOR = 20  # pictures the assumed spread counts for, so that few pictures do not whiten each other away
_NEAR = 0.40  # correlation of lowest frequencies as they are from which tangents are looked at
_BLOCK, _BATCH, _PAIRS = 1024, 256, 16384
_TINY = 1e-6
_EVERY: Ints = np.empty(0, np.int64)
_VIEWS = ((False, False), (False, True), (True, False), (True, True))  # mirrored, inverted


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of pictures by their rows.

    Attributes:
        first, second: ``int64 [pairs]``.
        mirrored, inverted: ``bool [pairs]``, what the second is beside the first.
        value: ``float32 [pairs]``, at most 1, the correlation that was measured last.
    """

    first: Ints
    second: Ints
    mirrored: NDArray[np.bool_]
    inverted: NDArray[np.bool_]
    value: Floats

    def __len__(self) -> int:
        return len(self.first)

    def where(self, chosen: NDArray[np.bool_] | Ints, value: Floats | None = None) -> Pairs:
        """Some of them, with another value."""
        given = self.value if value is None else value
        return Pairs(
            self.first[chosen], self.second[chosen], self.mirrored[chosen], self.inverted[chosen], given[chosen]
        )


@dataclass(frozen=True, eq=False)
class Album:
    """Pictures to be held against each other: ``uint8 [all, side, side]``, the side a multiple of 128.

    Attributes:
        rows: ``int64 [n]``, the pictures meant; all of them by default.
    """

    pixels: NDArray[np.uint8]
    rows: Ints = field(default_factory=lambda: _EVERY)

    def __post_init__(self) -> None:
        side = self.pixels.shape[-1]
        if self.pixels.ndim != 3 or self.pixels.shape[1] != side or side % _FINE:
            raise ValueError(f"expected pictures of a multiple of {_FINE} pixels, got the shape {self.pixels.shape}")
        if self.rows is _EVERY:
            object.__setattr__(self, "rows", np.arange(len(self.pixels)))

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """Of each picture's greys."""
        return tuple(hashlib.blake2b(self.pixels[row].tobytes(), digest_size=16).hexdigest() for row in self.rows)

    def levelled(self, places: Ints, side: int) -> Floats:
        """Some of the pictures ``[n, side, side]`` by the means of their blocks, greys spread evenly over -0.5 to 0.5.

        Pixels of one grey stay of one grey: a black border has no structure.
        """
        step = self.pixels.shape[-1] // side
        out = np.empty((len(places), side, side), np.float32)
        for start in range(0, len(places), _BATCH):
            block = self.pixels[self.rows[places[start : start + _BATCH]]]
            # columns, then rows: several times quicker than one sum over both
            sums = block[:, :, ::step].astype(np.uint32)
            for at in range(1, step):
                sums += block[:, :, at::step]
            rows = sums[:, ::step].copy()
            for at in range(1, step):
                rows += sums[:, at::step]
            for place, row in enumerate(rows.reshape(len(rows), -1), start):
                counts = np.bincount(row)
                middles = ((np.cumsum(counts) - counts / 2) / len(row) - 0.5).astype(np.float32)
                out[place] = middles[row].reshape(side, side)
        return out

    @cached_property
    def grid(self) -> Floats:
        """``float32 [n, 64, 64]``, levelled."""
        return self.levelled(np.arange(len(self)), _GRID)

    @cached_property
    def frequencies(self) -> Floats:
        """``float32 [n, frequencies]`` of the grids."""
        return _lowest(self.grid)

    def tangents(self, rows: slice) -> Floats:
        """``float32 [rows, frequencies, 6]``: what shifting, turning, scaling and shearing does to the frequencies."""
        grid = self.grid[rows]
        across, down = np.gradient(grid, axis=(2, 1))
        changes: list[Floats] = [slope * over for slope in (across, down) for over in (_ONES, _ACROSS, _ACROSS.T)]
        return np.stack([_lowest(change) for change in changes], axis=-1)


def _cosines(count: int, side: int) -> Floats:
    """Rows of the orthonormal cosine transform (DCT-II)."""
    waves = np.cos(np.pi * (np.arange(side) + 0.5)[None] * np.arange(count)[:, None] / side) * np.sqrt(2 / side)
    waves[0] /= np.sqrt(2)
    found: Floats = waves.astype(np.float32)
    return found


_WAVES = _cosines(_BANDS, _GRID)
_ONES: Floats = np.ones((_GRID, _GRID), np.float32)
_ACROSS: Floats = _ONES * (((np.arange(_GRID) + 0.5) / (_GRID / 2) - 1).astype(np.float32))
_DOWN_OF, _ACROSS_OF = np.mgrid[:_BANDS, :_BANDS]
_SQUARED = _DOWN_OF**2 + _ACROSS_OF**2
_KEPT = np.flatnonzero((_SQUARED < _BANDS**2) & (_SQUARED > 0))
_MIRROR = np.where(_ACROSS_OF.ravel()[_KEPT] % 2 == 1, -1, 1).astype(np.float32)
_RADIUS2 = _SQUARED.ravel()[_KEPT].astype(np.float32)
_SPREAD = 2.4 / (1 + _RADIUS2 / 16)  # deviation of each frequency among radiographs of the chest
_TAPER = np.exp(-_RADIUS2 / _BANDS**2)  # the higher, the less a shift may change it


def _lowest(grids: Floats) -> Floats:
    found = _WAVES @ grids @ _WAVES.T
    kept: Floats = found.reshape(len(grids), _BANDS**2)[:, _KEPT].astype(np.float32, copy=False)
    return kept


@dataclass(frozen=True, eq=False)
class Twins:
    """Pairs of pictures that are one exposure, with how that was told.

    Attributes:
        kinds: ``exact`` (the same bytes), ``pixels`` (the same greys), ``near`` (the same structure), of each pair.
    """

    pairs: Pairs
    kinds: tuple[str, ...]

    def groups(self, n: int) -> Ints:
        """``int64 [n]``: the first row of the group that each of `n` rows of one album is in, itself where alone."""
        up = list(range(n))  # a row of the same group, none after it

        def first_of(row: int) -> int:
            while up[row] != row:
                up[row] = up[up[row]]
                row = up[row]
            return row

        for a, b in zip(self.pairs.first.tolist(), self.pairs.second.tolist(), strict=True):
            one, two = first_of(a), first_of(b)
            up[max(one, two)] = min(one, two)
        return np.array([first_of(row) for row in range(n)], np.int64)


def twins(
    one: Album, files: Sequence[str], other: Album | None = None, other_files: Sequence[str] = (), same: float = SAME
) -> Twins:
    """Every picture that is one exposure with another: of `one` alone, or of `one` and `other`.

    Of several copies of the same bytes or greys each is paired with one of the others, not with all.

    Args:
        files: digest of each file of `one`; empty where it cannot be read.
        other_files: likewise of `other`.
        same: correlation of fine structure from which two pictures are one exposure.
    """
    albums = [one] if other is None else [one, other]
    digests = list(files) if other is None else [*files, *other_files]
    rows = [(number, row) for number, album in enumerate(albums) for row in range(len(album))]
    kinds: list[str] = []
    found: list[tuple[int, int]] = []
    greys = [digest for album in albums for digest in album.digests]
    first: list[dict[str, int]] = [{} for _ in albums]  # place of the first picture with these greys
    whole: dict[tuple[str, str], int] = {}  # likewise with these greys and bytes, of the first album
    for place, ((number, _), grey) in enumerate(zip(rows, greys, strict=True)):
        first[number].setdefault(grey, place)
        # where one of the same greys has the same bytes too, that says more
        exact = whole.get((grey, digests[place]))
        if number == 0 and digests[place]:
            whole.setdefault((grey, digests[place]), place)
        twin = first[0].get(grey)
        if twin is None or twin == place or (other is not None and number == 0):
            continue
        kinds.append("pixels" if exact is None else "exact")
        found.append((twin if exact is None else exact, place))
    alone = [np.array([rows[place][1] for place in kept.values()], np.int64) for kept in first]
    if other is not None:
        fresh = [rows[place][1] for grey, place in first[1].items() if grey not in first[0]]
        alone[1] = np.array(fresh, np.int64)
    kept = [Album(album.pixels, album.rows[chosen]) for album, chosen in zip(albums, alone, strict=True)]
    second = None if other is None else kept[1]
    near = checked(kept[0], candidates(kept[0], second), second, same)
    a = np.array([rows[at][1] for at, _ in found], np.int64)
    b = np.array([rows[at][1] for _, at in found], np.int64)
    seen = np.zeros(len(found), bool)
    pairs = Pairs(
        np.concatenate([a, alone[0][near.first]]),
        np.concatenate([b, alone[-1][near.second]]),
        np.concatenate([seen, near.mirrored]),
        np.concatenate([seen, near.inverted]),
        np.concatenate([np.ones(len(found), np.float32), near.value]),
    )
    return Twins(pairs, (*kinds, *["near"] * len(near)))


def candidates(one: Album, other: Album | None = None, alike: float = ALIKE) -> Pairs:
    """Pairs that may show one exposure: of two pictures of `one`, or of one of `one` and one of `other`.

    At most 20 pairs a picture, on average, the most alike; each pair once. A value is the correlation.
    """
    second = one if other is None else other
    given = [one.frequencies] if other is None else [one.frequencies, other.frequencies]
    n = sum(map(len, given))
    middle = np.sum([np.sum(f, axis=0, dtype=np.float64) for f in given], axis=0) / (n + _PRIOR)
    squares = np.sum([np.sum((f - middle) ** 2, axis=0, dtype=np.float64) for f in given], axis=0)
    weight: Floats = (_TAPER / np.sqrt((squares + _PRIOR * _SPREAD**2) / (n + _PRIOR))).astype(np.float32)
    mean = middle.astype(np.float32)
    views = []
    for mirrored, inverted in _VIEWS:
        seen = second.frequencies * (_MIRROR if mirrored else 1) * (-1 if inverted else 1)
        views.append(((seen - mean) * weight).astype(np.float32))
    most = _PER_IMAGE * max(len(one), len(second))
    kept: list[_Found] = [_nothing()]
    for top in range(0, len(one), _BLOCK):
        rows = slice(top, min(top + _BLOCK, len(one)))
        point = (one.frequencies[rows] - mean) * weight
        unit = point / np.maximum(np.linalg.norm(point, axis=1, keepdims=True), _TINY)
        base = np.linalg.qr(one.tangents(rows) * weight[:, None])[0]
        point = point - np.einsum("nda,na->nd", base, np.einsum("nda,nd->na", base, point))
        point /= np.maximum(np.linalg.norm(point, axis=1, keepdims=True), _TINY)
        for number, seen in enumerate(views):
            left = top if other is None else 0
            near = unit @ (seen[left:] / np.maximum(np.linalg.norm(seen[left:], axis=1, keepdims=True), _TINY)).T
            if other is None:
                near[np.tril_indices(len(near), m=near.shape[1])] = -1
            first, found = np.nonzero(near >= _NEAR)
            for start in range(0, len(first), _PAIRS):
                a, b = first[start : start + _PAIRS], found[start : start + _PAIRS] + left
                value = _across(point[a], base[a], seen[b])
                chosen = value >= alike
                kept.append((a[chosen] + top, b[chosen], np.full(int(chosen.sum()), number), value[chosen]))
        if sum(len(found[0]) for found in kept) > 4 * most:
            kept = [_best(kept, most)]
    first, found, which, value = _best(kept, most)
    mirrored, inverted = np.array(_VIEWS)[which].T
    return Pairs(first, found, mirrored, inverted, value)


def _across(point: Floats, base: Floats, seen: Floats) -> Floats:
    """Correlation of pairs ``[n, frequencies]`` once what the first's tangents explain is taken out of both."""
    along = np.matmul(seen[:, None], base)[:, 0]
    left = np.einsum("nd,nd->n", seen, seen) - np.einsum("na,na->n", along, along)
    value: Floats = np.einsum("nd,nd->n", point, seen) / np.sqrt(np.maximum(left, _TINY))
    return value


def _nothing() -> _Found:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)


def _best(found: list[_Found], most: int) -> _Found:
    """The `most` alike, each pair in the view in which it is most alike."""
    first, second, which, value = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((which, -value, second, first))
    once = np.ones(len(order), bool)
    once[1:] = (np.diff(first[order]) != 0) | (np.diff(second[order]) != 0)
    order = order[once]
    order = order[np.argsort(-value[order], kind="stable")][:most]
    return first[order], second[order], which[order], value[order]


def checked(one: Album, pairs: Pairs, other: Album | None = None, same: float = SAME) -> Pairs:
    """The pairs that show one exposure, the most alike first; a value is the correlation of fine structure.

    Args:
        one: holds the first of each pair.
        pairs: as `candidates` gives them.
        other: holds the second; `one` by default.
        same: the least value.
    """
    second = one if other is None else other
    maps = np.tile(np.eye(2, 3, dtype=np.float32), (len(pairs), 1, 1))
    for stage in _STAGES:
        pictures = [stage.of(album.grid) for album in (one, second)]
        values = np.empty(len(pairs), np.float32)
        for at in _batches(len(pairs)):
            some = pairs.where(at)
            turned = _turned(pictures[1][some.second], some)
            maps[at], values[at] = laid(pictures[0][some.first], turned, maps[at], stage.steps)
        chosen = values >= stage.least
        pairs, maps = pairs.where(chosen, values), maps[chosen]
    values = np.empty(len(pairs), np.float32)
    for at in _batches(len(pairs)):
        some = pairs.where(at)
        turned = _turned(_structure(second, some.second), some)
        maps[at], values[at] = laid(_structure(one, some.first), turned, maps[at], steps=2)
    order = np.argsort(-values, kind="stable")
    return pairs.where(order[values[order] >= same], values)


def _batches(n: int) -> Iterator[Ints]:
    for start in range(0, n, _BATCH):
        yield np.arange(start, min(start + _BATCH, n))


def _structure(album: Album, places: Ints) -> Floats:
    """Some pictures at 128 pixels, between a fine and a coarse blur: ribs, vessels and grain, no lungs and no heart."""
    even = album.levelled(places, _FINE)
    found = _FINER @ even @ _FINER.T - _COARSER @ even @ _COARSER.T
    return found.astype(np.float32, copy=False)


def _blur(sigma: float, side: int = _FINE) -> Floats:
    apart = np.arange(side)[:, None] - np.arange(side)[None]
    weights = np.exp(-(apart**2) / (2 * sigma**2))
    found: Floats = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return found


_FINER, _COARSER = _blur(0.8), _blur(3.0)


@dataclass(frozen=True)
class _Stage:
    """A look at grids made smaller, less their blur.

    Attributes:
        least: correlation from which a pair is looked at closer.
    """

    side: int
    blur: float
    steps: int
    least: float

    def of(self, grids: Floats) -> Floats:
        """``float32 [n, side, side]``."""
        blur, step = _blur(self.blur, _GRID), _GRID // self.side
        pool: Floats = np.repeat(np.eye(self.side, dtype=np.float32), step, axis=1) / np.float32(step)
        found = pool @ grids @ pool.T - (pool @ blur) @ grids @ (pool @ blur).T
        return found.astype(np.float32, copy=False)


_STAGES = (_Stage(16, 6, 3, 0.87), _Stage(32, 4, 0, 0.72), _Stage(32, 4, 1, 0.85), _Stage(64, 3, 1, 0.80))


def _turned(pictures: Floats, pairs: Pairs) -> Floats:
    """Pictures as their pairs say they must be seen to be like the first."""
    out = np.where(pairs.mirrored[:, None, None], pictures[:, :, ::-1], pictures)
    return out * np.where(pairs.inverted, -1, 1).astype(np.float32)[:, None, None]
