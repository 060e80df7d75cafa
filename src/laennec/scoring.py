"""The scoring stage: a folder of images in, a CSV or Parquet table out, the unreadable ones listed with reasons."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from laennec import caution, progress, storage, tables
from laennec import prevalence as prevalences
from laennec.errors import UsageError
from laennec.estimates import Estimate
from laennec.predictor import Predictor
from laennec.results import Refused
from laennec.stretches import Stretch
from laennec.version import VERSION

_HIDDEN = "."
_NEAR = 1e-6
ESTIMATE = "estimate"
_AREAS = ("lungs", "lung_right", "lung_left", "lungs_cm2", "lung_right_cm2", "lung_left_cm2")
_STALE = {
    "gate": "another gate stood before them",
    "listing": "the folder has changed since",
    "bundle": "they are of another bundle",
    "point": "they are of another operating point",
    "prevalence": "they are at another prevalence",
}


@dataclass(frozen=True)
class Scored:
    """What was scored: how many images, which were refused, and where the two tables lie.

    Attributes:
        refused_table: a CSV of the refused with code and reason; None when none was.
        seconds: wall time of this run.
        rate: files a second in this run; 0 when nothing was left to do.
        continued: files that an earlier run, cut short, had done.
        prevalence: of the finding among these images, where it was to be estimated.
    """

    images: int
    refused: tuple[Refused, ...]
    table: Path
    refused_table: Path | None
    seconds: float = 0.0
    rate: float = 0.0
    continued: int = 0
    prevalence: Estimate | None = None


def score(
    predictor: Predictor,
    source: str | Path,
    out: str | Path,
    batch: int = 16,
    decoders: int | None = None,
    estimate: bool = False,
) -> Scored:
    """Score every file below a folder, or one file: the files of a folder by name, then its folders by name.

    Columns: file; of a bundle that classifies label, positive, score, threshold, operating_point and one ``p_<label>``
    a label; of one that segments ``lungs``, ``lung_right``, ``lung_left`` (shares of the picture), the same in cm²
    where the file gives a pixel spacing, and ``lungs_doubt``; ``chest_doubt`` where the gate tells; bundle. Of a bundle
    that refers: ``possible`` (labels joined by ``|``, ``none`` for the absence of the finding), ``strangeness``,
    ``refer`` and ``refer_because``. At a prevalence: ``score_at_stated`` and ``prevalence_stated``; where it is
    estimated, ``score_at_estimated`` and ``prevalence_estimated``. The decision follows neither. A file that
    is no readable image is refused with its reason; the rest is done. Rows are kept on disk as they are made
    (`laennec.tables`): run again after it was cut short, with the same bundle and an unchanged folder, it goes on where
    it stopped, and the table ends the same.

    Args:
        predictor: the bundle, at an operating point.
        source: folder, searched to the bottom; names that begin with a dot are passed over.
        out: the table, ``.csv`` or ``.parquet``; replaced.
        batch: images the model is given at a time, at least 1.
        decoders: processes that decode; see `Predictor.stretches`.
        estimate: estimate the prevalence of the finding among these images (`prevalence.estimated`), every file a
            patient of its own and those unlike what was learned left out, and tell each score at it.

    Raises:
        UsageError: the prevalence is to be estimated and the bundle is not calibrated; no such folder, no file in it, a
            batch below 1, or `out` cannot be written or is neither ``.csv`` nor ``.parquet``.
        StorageFull: the device has no room; run again, it goes on where it stopped.
    """
    started = time.monotonic()
    source, out = Path(source), Path(out)
    if batch < 1:
        raise UsageError(f"a batch of {batch} images is none", "take 1 or more")
    before = caution.calibrated_to(predictor.bundle) if estimate else None
    base = source if source.is_dir() else source.parent
    names, listing = _listed(source, {path.resolve() for path in tables.files_of(out)})
    work = {
        "laennec": VERSION,
        "bundle": predictor.bundle.digest,
        "point": [predictor.point.rule, predictor.point.threshold] if predictor.point else None,
        "listing": listing,
        "gate": predictor.gate,
        "prevalence": ESTIMATE if estimate else predictor.caution and predictor.caution.at,
    }
    columns, found = _columns(predictor), None
    if estimate:
        columns |= {"score_at_estimated": float, "prevalence_estimated": float}
    with tables.Growing(out, work, columns | {"bundle": str}) as table:
        continued = table.done
        if table.stale:
            why = _STALE.get(table.stale, "they are of another version of laennec")
            progress.say(f"the unfinished results beside {out.name} are not gone on with: {why}")
        elif continued:
            progress.say(f"going on with {out.name} after {continued} of {len(names)} files")
        with progress.track("scoring", len(names) - continued) as step:
            paths = (base / names[n] for n in range(continued, len(names)))
            for stretch in predictor.stretches(paths, batch, decoders, notes=False):
                told = [storage.text_of(name) for name in names[table.done : table.done + len(stretch.names)]]
                refused = ((told[n], error.code, error.message) for n, error in sorted(stretch.refused.items()))
                table.add(len(told), _rows(predictor, stretch, told, ("", "") if estimate else ()), refused)
                step.note(f"{(table.done - continued) / (time.monotonic() - started):.0f} images/s")
                step.advance(len(told))
        fill = None
        if before is not None:
            scores = [float(cell) for cell in table.column("score")]
            if "strangeness" in columns:  # what is unlike the images learned from has no calibrated score
                strange = [float(cell) >= 1 for cell in table.column("strangeness")]
                scores = [one for one, unlike in zip(scores, strange, strict=True) if not unlike]
            found = prevalences.estimated(scores, before)
            fill = _filled(columns, before, found)
        left_out = tuple(Refused(id=name, code=code, reason=reason) for name, code, reason in table.finish(fill))
    seconds = time.monotonic() - started
    return Scored(
        table.rows,
        left_out,
        out,
        table.refused_table if left_out else None,
        seconds,
        (len(names) - continued) / seconds,
        continued,
        found,
    )


def _listed(source: Path, ours: set[Path]) -> tuple[list[str], str]:
    """Names of the files below `source`, ``/`` between folders, and a digest of names, sizes and times of change."""
    if not source.exists():
        raise UsageError(f"there is no folder {source}", "give a folder of images, or one image")
    names, state, endings = [], hashlib.sha256(), tuple(path.name for path in ours)
    for name, size, changed in _walk(str(source), "") if source.is_dir() else [(source.name, *_facts(source.stat()))]:
        if name.endswith(endings) and (source / name).resolve() in ours:
            continue
        names.append(name)
        state.update(storage.canonical([storage.text_of(name), size, changed]))
    if not names:
        raise UsageError(f"{source} holds no file", "give a folder of images")
    return names, state.hexdigest()


def _walk(folder: str, below: str) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of change of every file, each folder's own files before those of the folders in it."""
    files, folders = [], []  # names alone: entries are heavy, and a folder may hold very many
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if entry.name.startswith(_HIDDEN):
                    continue
                if not entry.is_dir():
                    files.append(entry.name)
                elif not entry.is_symlink():
                    folders.append(entry.name)
        whole = True
    except OSError:  # its name is refused when it is read; what was seen of it is done
        whole = False
    files.sort()
    for name in files:
        try:
            facts = _facts(Path(folder, name).stat())
        except OSError:  # a link that leads nowhere is refused when it is read
            facts = (-1, -1)
        yield below + name, *facts
    for name in sorted(folders):
        yield from _walk(f"{folder}/{name}", f"{below}{name}/")
    if not whole:
        yield below.removesuffix("/") or ".", -1, -1


def _facts(seen: os.stat_result) -> tuple[int, int]:
    return seen.st_size, seen.st_mtime_ns


def _columns(predictor: Predictor) -> dict[str, type]:
    card = predictor.bundle.card
    columns: dict[str, type] = {"file": str}
    if card.classifies:
        columns |= {"label": str, "positive": int, "score": float, "threshold": float, "operating_point": str}
        columns |= {f"p_{label}": float for label in card.labels.names}
    if card.segments:
        columns |= dict.fromkeys(_AREAS, float) | {"lungs_doubt": str}
    if predictor.gate == "tell":
        columns["chest_doubt"] = str
    told = predictor.caution
    if told is not None:
        columns |= {"possible": str} if told.abstention is not None else {}
        columns |= {"strangeness": float} if told.novelty is not None else {}
        columns |= {"refer": int, "refer_because": str} if told.refers else {}
        columns |= {"score_at_stated": float, "prevalence_stated": float} if told.at is not None else {}
    return columns


def _filled(columns: Mapping[str, type], before: float, found: Estimate) -> Callable[[list[str]], list[Any]]:
    """Puts the score at the estimated prevalence into a row, and that prevalence; nothing where there is none."""
    names = list(columns)
    score, to = names.index("score"), names.index("score_at_estimated")

    def fill(row: list[str]) -> list[Any]:
        if found.value is None:
            return row
        # at 0 and 1 every score would be that, whatever the image shows: as near as the bounds are
        share = min(max(found.value, _NEAR), 1 - _NEAR)
        adapted = float(prevalences.adapted([float(row[score])], before, share)[0])
        return [*row[:to], adapted, found.value, *row[to + 2 :]]

    return fill


def _trust(predictor: Predictor, stretch: Stretch) -> list[Iterable[Any]]:
    """The columns of what the answers say of themselves."""
    own, told = predictor.caution, stretch.told
    if own is None or told is None:
        return []
    columns: list[Iterable[Any]] = []
    if own.abstention is not None:
        columns.append(["|".join(name or "none" for name in names) for names in told.possible])
    if told.strangeness is not None:
        columns.append(told.strangeness.tolist())
    if own.refers:
        columns += [map(int, map(bool, told.because)), ["|".join(why) for why in told.because]]
    if told.adapted is not None:
        columns += [told.adapted.tolist(), repeat(own.at)]
    return columns


def _rows(
    predictor: Predictor, stretch: Stretch, names: Sequence[str], later: Sequence[str] = ()
) -> Iterator[list[Any]]:
    point, digest = predictor.point, predictor.bundle.digest
    columns: list[Iterable[Any]] = []
    if point is not None:
        columns += [stretch.labels, map(int, stretch.positive.tolist()), stretch.score.tolist()]
        columns += [repeat(point.threshold), repeat(point.rule), *stretch.outputs.probabilities.T.tolist()]
    if stretch.outputs.masks is not None:
        areas = [
            (side.share, side.square_centimetres)
            for lungs in stretch.lungs
            for side in (lungs, lungs.right, lungs.left)
        ]
        shares, square = ([area[i] for area in areas] for i in (0, 1))
        columns += [one[i::3] for one in (shares, square) for i in range(3)]
        columns.append([lungs.doubt for lungs in stretch.lungs])
    if predictor.gate == "tell":
        columns.append([done["chest_doubt"] for done in stretch.done])
    columns += [*_trust(predictor, stretch), *map(repeat, later)]
    read = [name for place, name in enumerate(names) if place not in stretch.refused]
    for row in zip(read, *columns, repeat(digest), strict=False):
        yield list(row)
