"""Where outside the lungs the label stands: burned-in markers and stripes, and the images that carry them.

The verdict is ``fail`` where a constant pattern outside the lungs gives the label away (sensitivity plus specificity
of its presence at least 1.5, and clearly more than the picture around it tells), ``warn`` where it gives the source
away (1.9: sources differ in their frames anyway), ``pass`` where there is none, ``note`` where only the source could
be asked of. Framing and exposure tell the label
too, smoothly over the picture; that is for the audit ``trivial`` to say, so a place is held against its surroundings
and not against chance. A pattern that fewer than about two thirds of a class carry is not found.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laennec import folds
from laennec.audits import Subject
from laennec.checks import INDEPENDENT, Outcome, Suspect, Table
from laennec.errors import extra
from laennec.estimates import Estimate
from laennec.masks import components
from laennec.wording import Text, tell, written

TITLE = Text(en="Markers outside the lungs", fr="Marques hors des poumons")
METHOD = tell(
    "At each of {g} × {g} places outside the lungs, the range of greys whose presence tells the label best is "
    "sought and judged by its Youden index (sensitivity + specificity − 1; Youden 1950, Cancer 3:32). A place "
    "counts that reaches {j} and exceeds the median of its surroundings by {p}, more on few images. Which images "
    "carry the pattern is read from its pixels, and from what each grey there says of the label among all images,"
    " by a linear learner out of fold by patient. The table shows how well the mean, the deviation or the steps "
    "between neighbours of each cell tell the label alone. {i}",
    "À chacun des {g} × {g} points hors des poumons, on cherche la plage de gris dont la présence révèle le mieux"
    " l’étiquette, jugée par son indice de Youden (sensibilité + spécificité − 1 ; Youden 1950, Cancer 3:32). Un "
    "point compte s’il atteint {j} et dépasse de {p} la médiane de son voisinage, davantage s’il y a peu "
    "d’images. Un modèle linéaire, hors pli par patient, lit les images qui portent le motif dans ses pixels et "
    "dans ce que chaque gris y dit de l’étiquette parmi toutes les images. Le tableau montre ce que la moyenne, "
    "l’écart type ou les écarts entre pixels voisins de chaque case révèlent à eux seuls de l’étiquette. {i}",
    g=128, j=0.5, p=0.38, i=INDEPENDENT,
)  # fmt: skip

_GRID = 128  # places a side
_LEVELS = 32  # of grey, eight of 256 each
_LEAST, _PROMINENT = 0.5, 0.38  # Youden index of a place, and what it exceeds its surroundings by
_SOURCE = 0.9  # the same of a pattern that stands for a source: sources differ in their frames anyway
_NOISE = 2.7  # Kolmogorov's distance that chance passes once in a million, in units of sqrt(1/n + 1/m)
_AROUND = 25  # of the surroundings on half the grid: a fifth of the side each way
_LUNG = 0.4  # mean probability from which a place is lung
_CELLS = 8
_COLUMNS = "ABCDEFGH"
_SOURCES = 6  # told one by one, the largest
_FEW = 10  # images of a class below which nothing is said
_FEW_SAID = tell(
    "Fewer than {few} images of a class: what places tell of the label cannot be judged.",
    "Moins de {few} images d’une classe : ce que des emplacements révèlent de l’étiquette ne peut être jugé.",
    few=_FEW,
)

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Marker:
    """A pattern: the places it takes, who carries it, and what it stands for.

    Attributes:
        rows: the images that could be judged, their label or source being known; `carriers` and `truth` are of these.
    """

    places: Flags
    rows: NDArray[np.intp]
    carriers: Flags
    truth: Flags
    what: Text
    of_label: bool

    @property
    def area(self) -> Estimate:
        return folds.single(self.carriers.astype(float), self.truth)


def audit(subject: Subject) -> Outcome:
    """Look for patterns outside the lungs that give the label or the source away, and name the images with them."""
    known = ~np.isnan(subject.truth)
    asked = _asked(subject, known)
    if not asked:
        return Outcome(verdict="skipped", said=(_FEW_SAID,), method=METHOD)
    levels = _levels(subject.pixels)
    lung = np.repeat(np.repeat(subject.lungs.mean(0), 2, 0), 2, 1) >= _LUNG
    found: list[_Marker] = []
    for what, rows, truth, of_label in asked:
        for places, carriers in _markers(subject, rows, levels, truth, lung, _LEAST if of_label else _SOURCE):
            found.append(_Marker(places, rows, carriers, truth, what, of_label))
    figures: dict[str, Estimate] = {}
    tables: tuple[Table, ...] = ()
    of_label = asked[0][3]
    said = [_found(marker) for marker in found] or [_nothing(len(asked[0][1]), of_label)]
    if not of_label:
        said.append(_FEW_SAID)
    else:
        heat, best = _heat(subject, known, levels, lung)
        tables, figures["best_cell"] = (heat,), best
        said.append(
            tell(
                "The cell outside the lungs that tells most reaches AUROC {a} by itself (the best of all, so a little "
                "flattered).",
                "La case hors des poumons qui en révèle le plus atteint à elle seule une AUROC de {a} (la meilleure de "
                "toutes, donc un peu flattée).",
                a=written(best),
            )
        )
    if found:
        carrying, judged = (
            len(set(np.concatenate(rows).tolist()))
            for rows in ([m.rows[m.carriers] for m in found], [m.rows for m in found])
        )
        figures["carriers"] = Estimate(value=carrying, n=judged)
        figures["told_by_marker"] = max((m.area for m in found), key=lambda area: area.value or 0)
    return Outcome(
        verdict="fail" if any(m.of_label for m in found) else "warn" if found else "pass" if of_label else "note",
        said=tuple(said),
        method=METHOD,
        figures=figures,
        tables=tables,
        suspects=tuple(suspect for marker in found for suspect in _suspects(subject, marker)),
    )


def _asked(subject: Subject, known: Flags) -> list[tuple[Text, NDArray[np.intp], Flags, bool]]:
    """What is to be told: in words, of which images, whether it holds, whether it is the label."""
    asked = []
    label = subject.truth[known] == 1
    if min(int(label.sum()), int((~label).sum())) >= _FEW:
        name = ", ".join(subject.collection.labels.positive)
        asked.append((tell("“{n}”", "« {n} »", n=name), np.flatnonzero(known), label, True))
    source = np.array([sample.source for sample in subject.samples])
    from_ = np.flatnonzero(source != "")
    sizes = Counter(source[from_].tolist()).most_common(_SOURCES)
    for name, size in sizes[:1] if len(sizes) == 2 else sizes:
        if len(sizes) > 1 and min(size, len(from_) - size) >= _FEW:
            asked.append((tell("source “{n}”", "la source « {n} »", n=name), from_, source[from_] == name, False))
    return asked


def _levels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures on half the grid, ``uint8 [n, 128 * 128]`` in [0, 32)."""
    rows = np.empty((len(pixels), _GRID, _GRID), np.uint8)
    for at, one in enumerate(pixels):
        wide = one.astype(np.uint16)
        tall = wide[::2] + wide[1::2]
        rows[at] = (tall[:, ::2] + tall[:, 1::2]) >> 5
    return rows.reshape(len(pixels), -1)


def _shares(levels: NDArray[np.uint8]) -> Floats:
    """Share of images with each level at each place, ``[places, levels]``."""
    places = np.arange(_GRID * _GRID, dtype=np.int32) * _LEVELS
    counts = np.zeros(places.size * _LEVELS, np.int64)
    for at in range(0, len(levels), 64):
        counts += np.bincount((levels[at : at + 64] + places).ravel(), minlength=counts.size)
    return counts.reshape(-1, _LEVELS) / max(len(levels), 1)


def _best(gain: Floats) -> Floats:
    """Largest sum of a contiguous range of levels at each place."""
    total = np.pad(gain.cumsum(1), ((0, 0), (1, 0)))
    best: Floats = (total - np.minimum.accumulate(total, 1)).max(1)
    return best


def _markers(
    subject: Subject,
    rows: NDArray[np.intp],
    levels: NDArray[np.uint8],
    truth: Flags,
    lung: Flags,
    least: float,
) -> list[tuple[Flags, Flags]]:
    """Places ``bool [128, 128]`` of each marker, and which of the images `rows` carry it; `least` is the Youden index
    of carrying it."""
    with extra("eval"):
        from scipy.ndimage import binary_dilation, median_filter
    shares = _shares(levels[rows[truth]]), _shares(levels[rows[~truth]])
    gain = shares[0] - shares[1]
    grid = np.maximum(_best(gain), _best(-gain)).reshape(_GRID, _GRID)
    around = median_filter(grid[::2, ::2], _AROUND, mode="mirror")
    prominent = grid - np.repeat(np.repeat(around, 2, 0), 2, 1)
    chance = _NOISE * np.sqrt(1 / truth.sum() + 1 / (~truth).sum())
    out = (grid >= max(_LEAST, chance)) & (prominent >= max(_PROMINENT, chance)) & ~lung
    labels, sizes = components(binary_dilation(out, iterations=4))
    found = []
    for number in range(1, len(sizes) + 1):
        places = out & (labels == number)
        if int(places.sum()) >= 2:
            floor = 1 / len(rows)
            weight = np.log((shares[0][places.ravel()] + floor) / (shares[1][places.ravel()] + floor))
            carriers = _carriers(subject, rows, levels, truth, places, weight)
            # scattered places may each tell something without any pattern that an image has or has not
            if _told(carriers, truth) >= least:
                found.append((places, carriers))
    return found


def _told(carriers: Flags, truth: Flags) -> float:
    return abs(float(carriers[truth].mean()) - float(carriers[~truth].mean()))


def _carriers(
    subject: Subject,
    rows: NDArray[np.intp],
    levels: NDArray[np.uint8],
    truth: Flags,
    places: Flags,
    weight: Floats,
) -> Flags:
    """Which images carry the marker.

    Its places and the pixels around them are read by a linear learner out of fold by patient (the evidence of its
    greys is of all images), its scores are parted in two, and the side on which the places differ more from what is
    around them carries it.

    Args:
        weight: evidence ``[places, levels]`` of each level at each of the places; a line through greys alone does not
            part a grey from what is darker and brighter.
    """
    with extra("eval"):
        from scipy.ndimage import binary_dilation
    near = binary_dilation(places, iterations=2)
    fine = np.repeat(np.repeat(near, 2, 0), 2, 1)
    patients = np.asarray(subject.patients)[rows]
    here, ring = np.flatnonzero(places.ravel()), np.flatnonzero((near & ~places).ravel())
    evidence = weight[np.arange(len(here)), levels[np.ix_(rows, here)]]
    read = np.column_stack([evidence.mean(1), evidence, subject.pixels[rows][:, fine]])
    score = folds.out_of_fold(read, truth.astype(np.intp), patients, subject.seed, "linear")
    upper = score[:, 1] >= _parted(score[:, 1])
    middle = levels[np.ix_(rows, ring)].mean(1, keepdims=True)
    contrast = np.abs(levels[np.ix_(rows, here)] - middle).mean(1)
    return upper if contrast[upper].mean() >= contrast[~upper].mean() else ~upper


def _parted(values: Floats) -> float:
    """The threshold that parts `values` in [0, 1] into two groups best (Otsu 1979, doi:10.1109/TSMC.1979.4310076)."""
    count, edges = np.histogram(values, 64, (0, 1))
    middle = (edges[1:] + edges[:-1]) / 2
    below = count.cumsum()[:-1].astype(np.float64)
    above = len(values) - below
    low = (count * middle).cumsum()[:-1]
    high = (count * middle).sum() - low
    spread = below * above * (low / np.maximum(below, 1) - high / np.maximum(above, 1)) ** 2
    best = np.flatnonzero(spread >= spread.max() * (1 - 1e-9))
    return float(edges[1:-1][best].mean())


def _heat(subject: Subject, known: Flags, levels: NDArray[np.uint8], lung: Flags) -> tuple[Table, Estimate]:
    """How well each cell tells the label by itself, and the best of those outside the lungs."""
    side = _GRID // _CELLS
    rows = np.empty((3, len(levels), _CELLS * _CELLS), np.float32)
    for at, one in enumerate(levels.reshape(-1, _GRID, _GRID)):
        grey = one.astype(np.float32)
        step = np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
        mean, square, edge = (_meaned(plane, side) for plane in (grey, grey * grey, step))
        rows[:, at] = mean, np.sqrt(np.maximum(square - mean**2, 0)), edge
    truth = subject.truth[known] == 1
    told = np.stack([folds.areas(plane[known], truth) for plane in rows])
    outside = lung.reshape(_CELLS, side, _CELLS, side).mean((1, 3)).ravel() < 0.5
    which, cell = divmod(int(np.where(outside, told, 0).argmax()), _CELLS * _CELLS)
    best = folds.single(rows[which][known, cell], truth)
    shown = np.where(outside, told.max(0), np.nan).round(2).reshape(_CELLS, _CELLS)
    return Table(
        title=tell(
            "What a cell outside the lungs tells of the label alone (AUROC), the picture in {c} × {c} cells",
            "Ce qu’une case hors des poumons révèle à elle seule de l’étiquette (AUROC), l’image en {c} × {c} cases",
            c=_CELLS,
        ),
        head=(Text(en="", fr=""), *(Text(en=letter, fr=letter) for letter in _COLUMNS)),
        rows=tuple(
            (str(number + 1), *(None if np.isnan(value) else float(value) for value in row))
            for number, row in enumerate(shown)
        ),
    ), best


def _meaned(plane: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    cells: NDArray[np.float32] = plane.reshape(_CELLS, side, _CELLS, side).mean((1, 3)).ravel()
    return cells


def _where(places: Flags) -> Text:
    """The cells a marker takes, as a range of the table's."""
    rows, columns = np.flatnonzero(places.any(1)), np.flatnonzero(places.any(0))
    part = _GRID // _CELLS
    first = f"{_COLUMNS[columns[0] // part]}{rows[0] // part + 1}"
    last = f"{_COLUMNS[columns[-1] // part]}{rows[-1] // part + 1}"
    name = first if first == last else f"{first}–{last}"
    return Text(en=name, fr=name)


def _found(marker: _Marker) -> Text:
    carriers, truth = marker.carriers, marker.truth
    return tell(
        "A pattern at {w} gives {t} away: {c:,} of {n:,} images carry it, {p:.1%} of those with {t} against {q:.1%} of "
        "the others (AUROC {a}).",
        "Un motif en {w} trahit {t} : {c:,} images sur {n:,} le portent, {p:.1%} de celles avec {t} contre {q:.1%} des "
        "autres (AUROC {a}).",
        w=_where(marker.places), t=marker.what, c=int(carriers.sum()), n=len(truth),
        p=float(carriers[truth].mean()), q=float(carriers[~truth].mean()), a=written(marker.area),
    )  # fmt: skip


def _nothing(images: int, of_label: bool) -> Text:
    return tell(
        "No place outside the lungs gives {what} away more than its surroundings do ({n:,} images).",
        "Aucun emplacement hors des poumons ne trahit {what} plus que son voisinage ({n:,} images).",
        what=Text(en="the label", fr="l’étiquette") if of_label else Text(en="the source", fr="la source"),
        n=images,
    )


def _suspects(subject: Subject, marker: _Marker) -> list[Suspect]:
    why = tell("carries the pattern at {w}", "porte le motif en {w}", w=_where(marker.places))
    kind = "marker" if marker.of_label else "source"
    return [Suspect(id=subject.ids[row], kind=kind, why=why) for row in marker.rows[marker.carriers]]
