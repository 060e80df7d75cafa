"""View and quality: lateral, inverted, turned, blank, cropped, badly exposed, tiny or with text burned in.

Every image that is not a whole frontal radiograph of a chest, upright, with bright bones, is named with what it seems
to be. Whether a chest stands as it should is asked of the gate that `predict` uses (`laennec.images.standing`): a
picture is inverted or turned if it stands better after the change than before.

The verdict is ``fail`` where an image cannot be read, or above 5 % of the images are named; ``warn`` where any is
named; ``pass`` else. A side letter is no text: rows of four glyphs and more are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from laennec import intervals, lettering
from laennec.audits import Subject
from laennec.checks import Outcome, Suspect, Table
from laennec.estimates import Estimate
from laennec.images import Header
from laennec.images.lungs import squeezed
from laennec.images.standing import judged
from laennec.samples import Sample
from laennec.wording import Text, joined, tell

TITLE = Text(en="View and quality", fr="Incidence et qualité")
METHOD = tell(
    "Views as the data set or the DICOM header names them. Each picture, and where it could be, the same inverted or "
    "turned, is judged by the gate that tells chest radiographs from other pictures by their lungs. Lungs count as "
    "cut off where they take {s:.0%} of the left or right border, {b:.0%} of the lower or {t:.0%} of the upper one. "
    "Text is {g} bright glyphs of one height side by side. A picture is blank below {d} levels of deviation, too dark "
    "or too bright with a mean below {lo} or above {hi} of 255, or where half of it is black or a quarter white; tiny "
    "below {p} pixels a side.",
    "Incidences telles que le jeu de données ou l’en-tête DICOM les nomment. Chaque image, et au besoin la même "
    "inversée ou tournée, est jugée par le filtre qui distingue à leurs poumons les radiographies du thorax d’autres "
    "images. Les poumons comptent comme coupés s’ils occupent {s:.0%} du bord gauche ou droit, {b:.0%} du bord "
    "inférieur ou {t:.0%} du bord supérieur. Un texte est une rangée de {g} signes clairs de même hauteur. Une image "
    "est vide sous {d} niveaux d’écart type, trop sombre ou trop claire si sa moyenne est inférieure à {lo} ou "
    "supérieure à {hi} sur 255, ou si la moitié en est noire ou le quart blanc ; minuscule sous {p} pixels de côté.",
    s=0.15, b=0.25, t=0.4, g=4, d=8, lo=35, hi=215, p=128,
)  # fmt: skip

_CUT = (("upper", 0.4), ("lower", 0.25), ("left", 0.15), ("right", 0.15))  # share of the border that is lung
_LUNG = 0.5
_GLYPHS = 4
_BLANK = 8.0  # levels of deviation
_DARK, _BRIGHT = 35.0, 215.0  # mean level
_BLACK, _WHITE = 0.5, 0.25  # share of pixels below 6 and above 249
_TINY = 128  # pixels

_Found = tuple[str, float, Text]

_KINDS = {
    "unreadable": ("cannot be read", "illisible"),
    "blank": ("blank or nearly so", "vide ou presque"),
    "tiny": ("tiny", "minuscule"),
    "lateral": ("lateral view", "incidence de profil"),
    "inverted": ("greys inverted", "gris inversés"),
    "turned": ("on its side or upside down", "couchée ou à l’envers"),
    "not_chest": ("does not look like a chest", "ne ressemble pas à un thorax"),
    "cropped": ("lungs cut off by the border", "poumons coupés par le bord"),
    "text": ("text burned in", "texte incrusté"),
    "dark": ("too dark", "trop sombre"),
    "bright": ("too bright", "trop claire"),
}
_SIDES = {
    "upper": Text(en="upper", fr="supérieur"),
    "lower": Text(en="lower", fr="inférieur"),
    "left": Text(en="left", fr="gauche"),
    "right": Text(en="right", fr="droit"),
}


def audit(subject: Subject) -> Outcome:
    """Name every image that is not a whole, upright, frontal radiograph of a chest."""
    found: list[tuple[str, _Found]] = []
    for refused in subject.refused:
        why = tell("cannot be read ({c})", "illisible ({c})", c=refused.code)
        found.append((refused.id, ("unreadable", 1.0, why)))
    rows = zip(subject.samples, subject.headers, subject.pixels, subject.lungs, strict=True)
    for sample, header, pixels, lungs in rows:
        found += [(sample.id, one) for one in _of_image(sample, header, pixels, lungs)]
    kinds = Counter(kind for _, kind in {(key, one[0]) for key, one in found})
    images = len(subject.samples) + len(subject.refused)
    named = len({key for key, _ in found})
    figures = {"named": intervals.wilson(named, images)}
    figures |= {kind: Estimate(value=kinds[kind], n=images) for kind in _KINDS}
    said = tell(
        "{k:,} of {n:,} images are flagged.", "{k:,} images sur {n:,} sont signalées.", k=named, n=images
    )  # fmt: skip
    order = {kind: at for at, kind in enumerate(_KINDS)}
    found.sort(key=lambda one: (order[one[1][0]], -one[1][1]))
    return Outcome(
        verdict="fail" if subject.refused or named > 0.05 * images else "warn" if named else "pass",
        said=(said, *_counted(kinds)),
        method=METHOD,
        figures=figures,
        tables=(_table(kinds, images),) if kinds else (),
        suspects=tuple(Suspect(id=key, kind=kind, why=why, value=value) for key, (kind, value, why) in found),
    )


def _of_image(
    sample: Sample, header: Header | None, pixels: NDArray[np.uint8], lungs: NDArray[np.float32]
) -> Iterator[_Found]:
    if header and min(header.width, header.height) < _TINY:
        said = tell("{w} × {h} pixels", "{w} × {h} pixels", w=header.width, h=header.height)
        yield "tiny", _TINY / max(min(header.width, header.height), 1), said
    if "LATERAL" in (sample.view, header.view if header else ""):
        yield "lateral", 1.0, _named("lateral")
    if header and header.annotated:
        yield "text", 1.0, tell("its header says that text is burned in", "son en-tête signale un texte incrusté")
    deviation = float(pixels.std())
    if deviation < _BLANK:
        yield "blank", _BLANK - deviation, _named("blank")
        return
    yield from _exposure(pixels)
    glyphs, (across, down) = lettering.longest_row(pixels)
    if glyphs >= _GLYPHS and not (header and header.annotated):
        said = tell(
            "a row of {g} glyphs at {x:.0%} from the left and {y:.0%} from the top",
            "une rangée de {g} signes à {x:.0%} de la gauche et {y:.0%} du haut",
            g=glyphs, x=across, y=down,
        )  # fmt: skip
        yield "text", float(glyphs), said
    if sample.view == "LATERAL" or (header and header.view == "LATERAL"):
        return  # how a frontal chest stands says nothing of it
    stands = judged(lungs, squeezed(pixels.astype(np.float32) / np.float32(255)))
    if stands.code:
        yield stands.code, stands.strength, stands.why
    else:
        yield from _cropped(lungs)


def _exposure(pixels: NDArray[np.uint8]) -> Iterator[_Found]:
    mean = float(pixels.mean())
    black, white = float((pixels < 6).mean()), float((pixels > 249).mean())
    said = tell(
        "mean {m:.0f} of 255, {b:.0%} black, {w:.0%} white", "moyenne de {m:.0f} sur 255, {b:.0%} noir, {w:.0%} blanc",
        m=mean, b=black, w=white,
    )  # fmt: skip
    if mean < _DARK or black > _BLACK:
        yield "dark", max(1 - mean / _DARK, black), said
    elif mean > _BRIGHT or white > _WHITE:
        yield "bright", max(mean / _BRIGHT - 1, white), said


def _cropped(lungs: NDArray[np.float32]) -> Iterator[_Found]:
    borders = lungs[0], lungs[-1], lungs[:, 0], lungs[:, -1]
    shares = {side: float((border > _LUNG).mean()) for (side, _), border in zip(_CUT, borders, strict=True)}
    cut = {side: shares[side] / most for side, most in _CUT if shares[side] >= most}
    if cut:
        said = joined(
            tell(
                "lungs take {p:.0%} of the {s} border", "les poumons occupent {p:.0%} du bord {s}",
                p=shares[side], s=_SIDES[side],
            )
            for side in cut
        )  # fmt: skip
        yield "cropped", max(cut.values()), said


def _named(kind: str) -> Text:
    en, fr = _KINDS[kind]
    return Text(en=en, fr=fr)


def _counted(kinds: Counter[str]) -> tuple[Text, ...]:
    if not kinds:
        return ()
    shown = [(kind, kinds[kind]) for kind in _KINDS if kinds[kind]]
    en = ", ".join(f"{_KINDS[kind][0]} {count:,}" for kind, count in shown)
    fr = ", ".join(tell("", "{k} {c:,}", k=_KINDS[kind][1], c=count).fr for kind, count in shown)
    return (Text(en=f"By kind: {en}.", fr=f"Par nature\u00a0: {fr}."),)


def _table(kinds: Counter[str], images: int) -> Table:
    return Table(
        title=Text(en="Images flagged", fr="Images signalées"),
        head=(Text(en="what", fr="nature"), Text(en="images", fr="images"), Text(en="share", fr="part")),
        rows=tuple(
            (_named(kind), kinds[kind], intervals.wilson(kinds[kind], images)) for kind in _KINDS if kinds[kind]
        ),
    )
