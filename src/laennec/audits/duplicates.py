"""Images that are in the set more than once: the same bytes, the same greys, or one exposure changed."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from laennec import likeness, storage
from laennec.audits import SIDE, Subject
from laennec.checks import Outcome, Suspect, Table
from laennec.estimates import Estimate
from laennec.samples import PART_NAMES
from laennec.wording import Text, joined, of_part, part, tell

TITLE = Text(en="The same image more than once", fr="Une même image présente plusieurs fois")
METHOD = tell(
    "Same bytes by SHA-256; same greys at {s} pixels; near: low frequencies of the equalised picture (as it is, "
    "mirrored, inverted), then both laid onto each other and their fine structure correlated, one exposure from "
    "{t:.2f} on (Baker & Matthews 2004).",
    "Mêmes octets d’après SHA-256 ; mêmes niveaux de gris à {s} pixels ; proches : basses fréquences de l’image "
    "égalisée (telle quelle, en miroir, inversée), puis recalage des deux images et corrélation de leur structure "
    "fine, un même cliché à partir de {t:.2f} (Baker et Matthews 2004).",
    s=SIDE,
    t=likeness.SAME,
)
_KINDS = {
    "exact": Text(en="the same bytes", fr="mêmes octets"),
    "pixels": Text(en="the same greys", fr="mêmes niveaux de gris"),
    "near": Text(en="one exposure changed, or two all but alike", fr="même cliché modifié, ou deux presque identiques"),
}


def audit(subject: Subject) -> Outcome:
    """Name every pair; fail where one image is in two parts, or under labels that contradict each other."""
    digests = [_digest(sample.path) for sample in subject.samples]
    found = likeness.twins(likeness.Album(subject.pixels), digests)
    n, of = len(subject.samples), found.groups(len(subject.samples))
    members: dict[int, list[int]] = defaultdict(list)
    for row, first in enumerate(of):
        members[int(first)].append(row)
    groups = {first: rows for first, rows in members.items() if len(rows) > 1}
    parts = {first: {str(p) for p in subject.parts[rows] if p} for first, rows in groups.items()}
    torn = {first for first, where in parts.items() if len(where) > 1}
    against = {first for first, rows in groups.items() if _contradict(subject.values[rows])}
    patients = {first for first, rows in groups.items() if len({subject.patients[row] for row in rows}) > 1}

    def images(chosen: set[int]) -> int:
        return sum(len(groups[first]) for first in chosen)

    touched = {kind: set[int]() for kind in _KINDS}
    for a, b, kind in zip(found.pairs.first, found.pairs.second, found.kinds, strict=True):
        touched[kind] |= {int(a), int(b)}
    counts = {
        **{kind: len(rows) for kind, rows in touched.items()},
        "groups": len(groups),
        "surplus": sum(len(rows) - 1 for rows in groups.values()),
        "across_parts": images(torn),
        "across_labels": images(against),
        "across_patients": images(patients),
    }
    said = [
        tell(
            "{i:,} of {n:,} images are in the set more than once, in {g:,} groups: {e:,} with the same bytes, {p:,} "
            "with the same greys, {x:,} that are one exposure changed, or two all but alike.",
            "{i:,} images sur {n:,} figurent plusieurs fois dans le jeu de données, en {g:,} groupes : {e:,} avec les "
            "mêmes octets, {p:,} avec les mêmes niveaux de gris, {x:,} issues d’un même cliché modifié "
            "ou de deux clichés presque identiques.",
            i=images(set(groups)), n=n, g=len(groups), e=counts["exact"], p=counts["pixels"], x=counts["near"],
        )
        if groups
        else tell(
            "No image was found twice among {n:,}.", "Aucune image n’a été trouvée deux fois parmi {n:,}.", n=n
        )
    ]  # fmt: skip
    if torn:
        said.append(
            tell(
                "{i:,} of them are in more than one part: the model is judged on images it learned from.",
                "{i:,} d’entre elles sont dans plusieurs parties : le modèle est jugé sur des images qu’il a apprises.",
                i=counts["across_parts"],
            )
        )
    if against:
        said.append(
            tell(
                "{i:,} carry labels that contradict those of their copies.",
                "{i:,} portent des étiquettes contraires à celles de leurs copies.",
                i=counts["across_labels"],
            )
        )
    if patients:
        said.append(
            tell(
                "{i:,} are filed under several patients: their keys do not keep the parts apart.",
                "{i:,} sont attribuées à plusieurs patients : leurs identifiants ne séparent pas les parties.",
                i=counts["across_patients"],
            )
        )
    return Outcome(
        verdict="fail" if torn or against else "warn" if groups else "pass",
        said=tuple(said),
        method=METHOD,
        figures={name: Estimate(value=count, n=n) for name, count in counts.items()},
        tables=(_table(subject, list(groups.values())),) if groups else (),
        suspects=_suspects(subject, found),
    )


def _digest(path: Path) -> str:
    try:
        return storage.file_digest(path)
    except OSError:
        return ""


def _contradict(values: np.ndarray) -> bool:
    """Whether a label is present in one and absent in another of the rows."""
    return bool(((values == 1).any(0) & (values == 0).any(0)).any())


def _table(subject: Subject, groups: list[list[int]]) -> Table:
    """Groups by the parts they lie in."""
    rows: dict[tuple[str, ...], list[list[int]]] = defaultdict(list)
    for group in groups:
        here = {str(name) for name in subject.parts[group]}
        rows[tuple(name for name in (*PART_NAMES, "") if name in here)].append(group)
    return Table(
        title=tell("Where copies lie", "Où se trouvent les copies"),
        head=(
            tell("Parts", "Parties"),
            tell("Groups", "Groupes"),
            tell("Images", "Images"),
            tell("Largest group", "Plus grand groupe"),
        ),
        rows=tuple(
            (joined(map(part, where), " + "), len(of), sum(map(len, of)), max(map(len, of)))
            for where, of in sorted(rows.items())
        ),
    )


def _suspects(subject: Subject, found: likeness.Twins) -> tuple[Suspect, ...]:
    """A suspect for each pair, the most alike first."""
    suspects = []
    pairs = found.pairs
    order = np.lexsort((pairs.second, pairs.first, -pairs.value))
    for at in order:
        a, b, kind = int(pairs.first[at]), int(pairs.second[at]), found.kinds[at]
        told = [_KINDS[kind]]
        if pairs.mirrored[at]:
            told.append(Text(en="mirrored", fr="en miroir"))
        if pairs.inverted[at]:
            told.append(Text(en="greys inverted", fr="niveaux de gris inversés"))
        where = subject.parts[[a, b]]
        if where[0] != where[1] and all(where):
            of = {key: of_part(str(name)) for key, name in zip("ab", where, strict=True)}
            told.append(tell("in the {a} and {b} parts", "dans les parties {a} et {b}", **of))
        if _contradict(subject.values[[a, b]]):
            told.append(Text(en="under other labels", fr="sous d’autres étiquettes"))
        if subject.patients[a] != subject.patients[b]:
            told.append(Text(en="under another patient", fr="sous un autre patient"))
        suspects.append(
            Suspect(
                id=subject.ids[a],
                beside=(subject.ids[b],),
                kind=kind,
                why=joined(told),
                value=float(pairs.value[at]),
            )
        )
    return tuple(suspects)
