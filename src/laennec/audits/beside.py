"""Images in common with the other sets it is held against: a test on one is then not external to the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from laennec import likeness, storage
from laennec.audits import SIDE, Subject
from laennec.checks import VERDICTS, Outcome, Suspect, Table, Verdict
from laennec.estimates import Estimate
from laennec.samples import PART_NAMES
from laennec.wording import Text, joined, of_part, part, tell

TITLE = Text(en="Images in common with the other sets", fr="Images communes avec les autres jeux de données")
METHOD = tell(
    "Every image is held against those of the other sets: bytes by SHA-256, greys at {s} pixels, then candidates by "
    "low frequencies and, laid onto each other, correlation of fine structure, one exposure from {t:.2f} on.",
    "Chaque image est comparée à celles des autres jeux de données : octets d’après SHA-256, niveaux de gris à {s} "
    "pixels, puis candidates d’après les basses fréquences et, après recalage, corrélation de la structure fine, un "
    "même cliché à partir de {t:.2f}.",
    s=SIDE,
    t=likeness.SAME,
)
FALSE_ALARMS = 0.01  # share of images that may be held for near copies by mistake
_KINDS = ("exact", "pixels", "near")
_WORDS = {
    "exact": Text(en="the same bytes", fr="mêmes octets"),
    "pixels": Text(en="the same greys", fr="mêmes niveaux de gris"),
    "near": Text(en="one exposure changed, or two all but alike", fr="même cliché modifié, ou deux presque identiques"),
}


def audit(subject: Subject) -> Outcome:
    """Name every pair. Fail where bytes or greys are the same, or where more images are near than chance makes so."""
    if not subject.beside:
        alone = tell(
            "No other data set was given to hold against this one.",
            "Aucun autre jeu de données n’a été fourni pour la comparaison.",
        )
        return Outcome(verdict="skipped", said=(alone,), method=METHOD)
    mine = likeness.Album(subject.pixels), [_digest(sample.path) for sample in subject.samples]
    worst: Verdict = "pass"
    rows: list[tuple[Text | str | int, ...]] = []
    suspects: list[Suspect] = []
    said: list[Text] = []
    figures: dict[str, Estimate] = {}
    for other in subject.beside:
        files = [_digest(sample.path) for sample in other.samples]
        found = likeness.twins(*mine, likeness.Album(other.pixels), files)
        counts = {
            kind: len({int(b) for b, of in zip(found.pairs.second, found.kinds, strict=True) if of == kind})
            for kind in _KINDS
        }
        here, there = len(set(found.pairs.first.tolist())), len(set(found.pairs.second.tolist()))
        parts = {str(part) for part in subject.parts[found.pairs.first]} if len(found.pairs) else set()
        sure = counts["exact"] + counts["pixels"] > 0
        many = counts["near"] > FALSE_ALARMS * min(len(subject.samples), len(other.samples))
        verdict: Verdict = "fail" if sure or many else "warn" if there else "pass"
        worst = max(worst, verdict, key=VERDICTS.index)
        where = {"a": subject.name, "b": other.name}
        said.append(
            tell(
                "{t:,} of {n:,} images of {b} are in {a} too ({e:,} the same bytes, {p:,} the same greys, {x:,} one "
                "exposure changed): a test on one is not external to the other.",
                "{t:,} images de {b} sur {n:,} figurent aussi dans {a} ({e:,} aux mêmes octets, {p:,} aux mêmes "
                "niveaux de gris, {x:,} issues d’un même cliché modifié) : un test sur l’un n’est pas externe à "
                "l’autre.",
                t=there, n=len(other.samples), e=counts["exact"], p=counts["pixels"], x=counts["near"], **where,
            )
            if verdict == "fail"
            else tell(
                "{t:,} of {n:,} images of {b} look like one exposure with an image of {a}; few enough to be mistakes: "
                "look at the pairs.",
                "{t:,} images de {b} sur {n:,} semblent issues du même cliché qu’une image de {a} ; assez peu pour "
                "être des erreurs : examinez ces paires.",
                t=there, n=len(other.samples), **where,
            )
            if there
            else tell(
                "No image of {b} ({n:,} images) was found in {a}.",
                "Aucune image de {b} ({n:,} images) n’a été trouvée dans {a}.",
                n=len(other.samples), **where,
            )
        )  # fmt: skip
        size = len(other.samples)
        figures |= {f"{kind}:{other.name}": Estimate(value=count, n=size) for kind, count in counts.items()}
        figures[f"shared:{other.name}"] = Estimate(value=there, n=size)
        where_here = joined((part(name) for name in (*PART_NAMES, "") if name in parts), " + ")
        rows.append((other.name, size, *counts.values(), there, here, where_here))
        suspects += _suspects(subject, other, found)
    return Outcome(
        verdict=worst,
        said=tuple(said),
        method=METHOD,
        figures=figures,
        tables=(_table(subject, rows),),
        suspects=tuple(sorted(suspects, key=lambda one: -(one.value or 0))),
    )


def _digest(path: Path) -> str:
    try:
        return storage.file_digest(path)
    except OSError:
        return ""


def _table(subject: Subject, rows: list[tuple[Text | str | int, ...]]) -> Table:
    return Table(
        title=tell("Images in common", "Images communes"),
        head=(
            tell("Set", "Jeu de données"),
            tell("Images", "Images"),
            tell("Same bytes", "Mêmes octets"),
            tell("Same greys", "Mêmes niveaux de gris"),
            tell("One exposure, changed", "Même cliché, modifié"),
            tell("In common", "En commun"),
            tell("Images of {a} concerned", "Images de {a} concernées", a=subject.name),
            tell("In its parts", "Dans ses parties"),
        ),
        rows=tuple(rows),
    )


def _suspects(subject: Subject, other: Subject, found: likeness.Twins) -> list[Suspect]:
    pairs, suspects = found.pairs, []
    order = np.lexsort((pairs.second, pairs.first, -pairs.value))
    for at in order:
        a, b, kind = int(pairs.first[at]), int(pairs.second[at]), found.kinds[at]
        told = [_WORDS[kind]]
        if pairs.mirrored[at]:
            told.append(Text(en="mirrored", fr="en miroir"))
        if pairs.inverted[at]:
            told.append(Text(en="greys inverted", fr="niveaux de gris inversés"))
        if where := str(subject.parts[a]):
            told.append(tell("in the {p} part of {s}", "dans la partie {p} de {s}", p=of_part(where), s=subject.name))
        suspects.append(
            Suspect(
                id=subject.ids[a],
                beside=(f"{other.name}:{other.ids[b]}",),
                kind=kind,
                why=joined(told),
                value=float(pairs.value[at]),
            )
        )
    return suspects
