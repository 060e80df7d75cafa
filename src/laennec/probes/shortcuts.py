"""Shortcuts: what the model knows without the lungs, from the border, from burned-in text and from the corners.

Pixels are changed on the model's grid, after its own preprocessing, so that what is left keeps the greys it had. Each
variant is held against the same images untouched (DeLong's paired test).

What a black box does: a network has seen none in training, so a fall of the AUROC may come of the box itself, and the
outline of the box tells how the lungs lie and, as consolidated lung is often not found to be lung, even of disease.
Three things keep that apart. Lungs are taken out in three ways (black; the mean grey of what lies around; black
over one region for all pictures, which hides 95 % of all lung and cannot differ from image to image), and the finding
rests on the weakest of the three. The silhouettes alone are shown to the model: an AUROC there is what the outlines
tell. Corners and edges are exchanged between real radiographs, where no box is.

Verdicts. *Warn*: better (or consistently worse) than chance without lungs, by the 95 % interval and whichever way they
are taken out; better than chance on the border alone; half of the knowledge above chance lost where the lungs alone
are left, black or grey around; or more than one decision in fifty turned by exchanging one corner or edge for that of
an image of the other class, again by the interval, which for eight regions keeps false alarms rare. Something outside
the lungs may tell the truth (the heart, a tube, how a sick child is held), so this alone is no proof. *Fail*: half or
more of the knowledge above chance (AUROC less .5) is there without the lungs, at the lower end of the interval; or one
corner or edge turns more than one decision in four. A figure made so says more of pictures than of lungs. Both bounds
are ours: a site sets its own in a policy. *Note* at best where lungs could not be taken out, or corners not exchanged:
nothing passes that was not looked at. *Skipped* without images of both classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laennec import intervals
from laennec.checks import INDEPENDENT, VERDICTS, Outcome, Suspect, Table, Verdict
from laennec.estimates import Estimate
from laennec.occluding import border, by_lungs, filled, glyphs, grown, places, without_glyphs
from laennec.probes import Case
from laennec.wording import Text, joined, tell, written

MOST, MOST_EXCHANGED = 600, 200  # images
_MARGIN = 0.03  # around the lungs, share of the side

TITLE = Text(en="Shortcuts past the lungs", fr="Raccourcis hors des poumons")
METHOD = tell(
    "Parts of up to {n} images are taken out on the model’s grid, found by the network that frames the lungs, with a "
    "margin of {m:.0%}; AUROC with DeLong’s interval, its change by the paired test (DeLong 1988), p corrected by "
    "Holm’s method. Corners and edges of up to {r} images are exchanged for those of others; intervals resample "
    "patients. Taking lungs out of pictures: Maguolo & Nanni 2021, doi:10.1016/j.inffus.2021.04.008; shortcuts in "
    "radiographs: DeGrave et al. 2021, doi:10.1038/s42256-021-00338-7. {i}",
    "Des parties de {n} images au plus sont retirées sur la grille du modèle, d’après le réseau qui localise les "
    "poumons, avec une marge de {m:.0%} ; AUROC avec l’intervalle de DeLong, sa variation par le test apparié (DeLong "
    "1988), p corrigé par la méthode de Holm. Coins et bords de {r} images au plus sont échangés contre ceux "
    "d’autres ; les intervalles rééchantillonnent les patients. Retrait des poumons : Maguolo et Nanni 2021, "
    "doi:10.1016/j.inffus.2021.04.008 ; raccourcis dans les radiographies : DeGrave et al. 2021, "
    "doi:10.1038/s42256-021-00338-7. {i}",
    n=MOST, m=_MARGIN, r=MOST_EXCHANGED, i=INDEPENDENT,
)  # fmt: skip

_FEW = 5  # images of a class
_TURNED_WARN, _TURNED_FAIL = 0.02, 0.25
_SHOWN = 12

_NAMES = {
    "untouched": Text(en="untouched", fr="telles quelles"),
    "lungs_out": Text(en="lungs blacked out", fr="poumons noircis"),
    "lungs_out_grey": Text(en="lungs filled with the mean grey", fr="poumons remplis du gris moyen"),
    "lungs_out_common": Text(en="one common region blacked out", fr="une même région noircie partout"),
    "silhouette_out": Text(en="silhouette of the lungs taken out", fr="silhouette des poumons retirés"),
    "lungs_only": Text(en="lungs only, black around", fr="poumons seuls, fond noir"),
    "lungs_only_grey": Text(en="lungs only, grey around", fr="poumons seuls, fond gris"),
    "silhouette": Text(en="silhouette of the lungs alone", fr="silhouette des poumons seuls"),
    "border_out": Text(en="border blacked out", fr="bord noirci"),
    "border_only": Text(en="border only", fr="bord seul"),
    "text_out": Text(en="text and markers painted over", fr="textes et marqueurs effacés"),
}
_OUT = ("lungs_out", "lungs_out_grey", "lungs_out_common")
_ONLY = ("lungs_only", "lungs_only_grey")


def probe(case: Case) -> Outcome:
    """What the model knows without what it should know it from."""
    looked = case.drawn(MOST)
    untouched = intervals.delong(looked.truth, looked.score)
    if untouched.value is None:
        en, fr = "No image, or images of one class only.", "Aucune image, ou des images d’une seule classe."
        return Outcome(verdict="skipped", said=(Text(en=en, fr=fr),), method=METHOD)
    found: NDArray[np.bool_] = np.asarray(looked.lungs.any((1, 2)))
    seen = looked.take(np.flatnonzero(found))
    some = bool(min((looked.truth[found] == value).sum() for value in (0, 1)) >= _FEW)
    marks = glyphs(looked.pixels[:, 0], grown(looked.lungs, _MARGIN))
    scores = _of_all(looked, marks)
    rows = _rows(looked, scores) | (
        _rows(seen, _scores(seen, by_lungs(seen.pixels[:, 0], seen.lungs, _MARGIN))) if some else {}
    )
    corrected = intervals.holm([row.p for row in rows.values()])
    figures = {"untouched": untouched}
    figures |= {name: row.auroc for name, row in rows.items()}
    figures |= {f"{name}_change": row.change for name, row in rows.items()}
    if some:  # for policies: knowledge counts whichever way it points, and by the fill that leaves least
        figures["without_lungs"] = min(map(intervals.either_way, map(figures.__getitem__, _OUT)), key=_strength)
    figures["lungs_found"] = intervals.wilson(int(found.sum()), len(found))
    figures["text_found"] = intervals.wilson(int(marks.any((1, 2)).sum()), len(marks))
    regions = _regions(looked.drawn(MOST_EXCHANGED))
    worst = max(regions, key=lambda one: one.turned.value or 0.0) if regions else None
    if worst is not None:
        figures |= {"corner": worst.turned, "corner_out": worst.auroc, "corner_out_change": worst.change}
    verdict, said = _judged(figures, worst)
    said.append(_lungs_said(found, some, figures["text_found"]))
    table = Table(
        title=Text(en="What is left of the picture", fr="Ce qui reste de l’image"),
        head=(_HEAD["picture"], _HEAD["auroc"], _HEAD["change"], _HEAD["p"]),
        rows=(
            (_NAMES["untouched"], figures["untouched"], None, None),
            *((_NAMES[n], rows[n].auroc, rows[n].change, p) for n, p in zip(rows, corrected, strict=True)),
        ),
    )
    suspects = (*_turned(worst), *_by_text(looked, scores["text_out"]))
    tables = (table, _region_table(regions)) if regions else (table,)
    return Outcome(verdict=verdict, said=tuple(said), method=METHOD, figures=figures, tables=tables, suspects=suspects)


_HEAD = {
    "picture": Text(en="Picture", fr="Image"),
    "region": Text(en="Region", fr="Région"),
    "auroc": Text(en="AUROC", fr="AUROC"),
    "masked": Text(en="AUROC without it", fr="AUROC sans elle"),
    "change": Text(en="Change", fr="Variation"),
    "p": Text(en="p (Holm)", fr="p (Holm)"),
    "turned": Text(en="Decisions turned by exchange", fr="Décisions inversées par échange"),
    "lung": Text(en="Lung in it", fr="Part de poumon"),
}


@dataclass(frozen=True)
class _Row:
    auroc: Estimate
    change: Estimate
    p: float


def _rows(case: Case, scores: Mapping[str, NDArray[np.float64]]) -> dict[str, _Row]:
    return {
        name: _Row(
            intervals.delong(case.truth, score),
            intervals.delong_difference(case.truth, case.score, score),
            intervals.delong_paired(case.truth, case.score, score),
        )
        for name, score in scores.items()
    }


def _score(case: Case, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return case.score_of(case.answer(np.ascontiguousarray(pixels[:, None])))


def _scores(case: Case, pictures: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.float64]]:
    return {name: _score(case, picture) for name, picture in pictures.items()}


def _of_all(case: Case, marks: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """Scores without the border, with the border alone, and without text."""
    pixels = case.pixels[:, 0]
    around = np.broadcast_to(border(pixels.shape[1]), pixels.shape)
    pictures = {"border_out": filled(pixels, around, 0), "border_only": filled(pixels, ~around, 0)}
    return _scores(case, pictures | {"text_out": without_glyphs(pixels, marks)})


@dataclass(frozen=True)
class _Region:
    """A corner or edge.

    Attributes:
        auroc, change: with it blacked out, and against untouched.
        turned: share of images decided positive with it from a positive image, less the share with it from a negative.
        lung: share of it that is lung, over all images.
        falls: image id, score untouched and without it.
    """

    name: Text
    auroc: Estimate
    change: Estimate
    turned: Estimate
    lung: float
    falls: tuple[tuple[str, float, float], ...]


def _donors(case: Case, sick: bool) -> NDArray[np.intp]:
    """For each image one of another patient, drawn among those with or without the finding."""
    random = np.random.default_rng([case.seed, 11, int(sick)])
    pool = np.flatnonzero(case.truth == float(sick))
    drawn = random.choice(pool, size=len(case.samples))
    own = np.array(case.patients)
    for row in np.flatnonzero(own[drawn] == own):
        others = pool[own[pool] != own[row]]
        drawn[row] = random.choice(others) if len(others) else drawn[row]
    return drawn


def _regions(case: Case) -> list[_Region]:
    """Every corner and edge, blacked out and exchanged; nothing where a class has too few images."""
    case = case.take(np.flatnonzero(~np.isnan(case.truth)))
    if min((case.truth == 1).sum(), (case.truth == 0).sum()) < _FEW:
        return []
    pixels, lungs = case.pixels[:, 0], case.lungs
    donors = [_donors(case, sick) for sick in (True, False)]
    regions = []
    for (en, fr), place in places(pixels.shape[1]).items():
        masked = _score(case, np.where(place, 0, pixels).astype(np.uint8))
        positive, negative = (
            _score(case, np.where(place, pixels[from_], pixels)) >= case.threshold for from_ in donors
        )
        turned = intervals.patient_mean(positive.astype(np.float64) - negative, case.patients, case.seed)
        fell = np.argsort(masked - case.score)[:_SHOWN]
        regions.append(
            _Region(
                name=Text(en=en, fr=fr),
                auroc=intervals.delong(case.truth, masked),
                change=intervals.delong_difference(case.truth, case.score, masked),
                turned=turned,
                lung=float(lungs[:, place].mean()),
                falls=tuple((case.samples[row].id, float(case.score[row]), float(masked[row])) for row in fell),
            )
        )
    return regions


def _strength(auroc: Estimate) -> float:
    """How far the interval of an AUROC lies from chance on either side; 0 where it holds .5."""
    low, high = auroc.low if auroc.low is not None else 0.0, auroc.high if auroc.high is not None else 1.0
    return max(low - 0.5, 0.5 - high, 0.0)


def _judged(figures: Mapping[str, Estimate], worst: _Region | None) -> tuple[Verdict, list[Text]]:
    """The verdict, and what it rests on, the gravest first; see the module for the bounds."""
    whole = figures["untouched"]
    knows = (whole.value or 0.5) - 0.5 if (whole.low or 0.0) > 0.5 else 0.0
    told: list[tuple[Verdict, Text]] = []
    if _OUT[0] in figures:
        strengths = [_strength(figures[name]) for name in _OUT]
        if min(strengths) > 0:
            grave = knows > 0 and min(strengths) >= knows / 2
            told.append(("fail" if grave else "warn", _say_out(figures, grave)))
        elif max(strengths) > 0:
            told.append(("note", _say_unsure(figures)))
        if knows and all((figures[name].high or 1.0) < 0.5 + knows / 2 for name in _ONLY):
            told.append(("warn", _say_only(figures)))
    if _strength(figures["border_only"]) > 0:
        told.append(("warn", _say("Border alone: AUROC {a}.", "Bord seul : AUROC {a}.", a=figures["border_only"])))
    if worst is not None and (worst.turned.low or 0.0) > _TURNED_WARN:
        told.append(("fail" if (worst.turned.low or 0.0) > _TURNED_FAIL else "warn", _say_turned(worst)))
    told.sort(key=lambda each: -VERDICTS.index(each[0]))
    said = [text for _, text in told]
    whole_look = _OUT[0] in figures and worst is not None
    verdict: Verdict = told[0][0] if told else "pass" if whole_look else "note"
    if not told:
        said.append(_say_pass(figures))
    if not whole_look:
        said.append(_say_unlooked(figures, worst))
    if "silhouette_out" in figures and max(_strength(figures[n]) for n in ("silhouette", "silhouette_out")) > 0:
        said.append(_say_silhouette(figures))
    if worst is not None and (worst.turned.low or 0.0) <= _TURNED_WARN:
        said.append(_say_turned(worst))
    return verdict, said


def _say(en: str, fr: str, **estimates: Estimate) -> Text:
    return tell(en, fr, **{name: written(estimate) for name, estimate in estimates.items()})


def _say_out(figures: Mapping[str, Estimate], grave: bool) -> Text:
    en = "Without the lungs the model still tells the label: AUROC {a} with black in their place, {b} with grey, {c} "
    en += "with one common region blacked out; {u} untouched."
    fr = "Sans les poumons, le modèle reconnaît encore le diagnostic : AUROC {a} avec du noir à leur place, {b} avec "
    fr += "du gris, {c} avec une même région noircie partout ; {u} sur les images intactes."
    if grave:
        en += " Half or more of what it knows is not in the lungs."
        fr += " La moitié au moins de ce qu’il sait ne vient pas des poumons."
    names = dict(zip("abc", _OUT, strict=True)) | {"u": "untouched"}
    return _say(en, fr, **{key: figures[name] for key, name in names.items()})


def _say_unsure(figures: Mapping[str, Estimate]) -> Text:
    return _say(
        "Whether the model knows the label without the lungs depends on how they are taken out: AUROC {a} with black "
        "in their place, {b} with grey, {c} with one common region blacked out.",
        "Que le modèle reconnaisse le diagnostic sans les poumons dépend de la façon de les retirer : AUROC {a} avec "
        "du noir à leur place, {b} avec du gris, {c} avec une même région noircie partout.",
        **{key: figures[name] for key, name in zip("abc", _OUT, strict=True)},
    )


def _say_only(figures: Mapping[str, Estimate]) -> Text:
    return _say(
        "The lungs alone tell it little: AUROC {a} with black around, {b} with grey.",
        "Les poumons seuls lui disent peu : AUROC {a} sur fond noir, {b} sur fond gris.",
        a=figures["lungs_only"], b=figures["lungs_only_grey"],
    )  # fmt: skip


def _say_pass(figures: Mapping[str, Estimate]) -> Text:
    if "lungs_out" not in figures:
        en, fr = "The border alone gives an AUROC of {a}.", "Le bord seul donne une AUROC de {a}."
        return _say(en, fr, a=figures["border_only"])
    return _say(
        "Without the lungs the model is not shown to know better than chance: AUROC {a}, {u} untouched.",
        "Sans les poumons, rien ne montre que le modèle fasse mieux que le hasard : AUROC {a}, contre {u} sur les "
        "images intactes.",
        a=figures["lungs_out"], u=figures["untouched"],
    )  # fmt: skip


def _say_unlooked(figures: Mapping[str, Estimate], worst: _Region | None) -> Text:
    lacking = []
    if _OUT[0] not in figures:
        lacking.append(Text(en="what the model knows without the lungs", fr="ce que le modèle sait sans les poumons"))
    if worst is None:
        lacking.append(Text(en="what corners and edges decide", fr="ce que décident les coins et les bords"))
    en, fr = "Too few images of each class to tell {l}.", "Trop peu d’images de chaque classe pour dire {l}."
    return tell(en, fr, l=joined(lacking))


def _say_silhouette(figures: Mapping[str, Estimate]) -> Text:
    return _say(
        "Outlines tell something too: the silhouettes alone give {a} (lungs on black) and {b} (lungs taken out), so "
        "that much of the figures with boxes may come of their shape; the common region has none.",
        "Les contours parlent aussi : les silhouettes seules donnent {a} (poumons sur fond noir) et {b} (poumons "
        "retirés) ; cette part des mesures peut donc tenir à la forme du masque, que la région commune n’a pas.",
        a=figures["silhouette"], b=figures["silhouette_out"],
    )  # fmt: skip


def _say_turned(worst: _Region) -> Text:
    return tell(
        "Of the corners and edges, the {w} decides most: taken from an image with the finding instead of one without, "
        "it turns {t} of the decisions; blacked out, the AUROC is {a}.",
        "Parmi les coins et les bords, {f} pèse le plus : pris sur une image avec l’anomalie plutôt que sans, il "
        "inverse une part de {t} des décisions ; noirci, l’AUROC est de {a}.",
        w=worst.name.en, f=worst.name.fr, t=written(worst.turned), a=written(worst.auroc),
    )  # fmt: skip


def _lungs_said(found: NDArray[np.bool_], some: bool, text: Estimate) -> Text:
    counted = tell(
        "Lungs were found in {k:,} of {n:,} images; ",
        "Les poumons ont été trouvés dans {k:,} images sur {n:,} ; ",
        k=int(found.sum()), n=len(found),
    )  # fmt: skip
    left = tell("the others are left out where lungs are needed.", "les autres sont écartées là où il les faut.")
    few = tell("too few to be taken out or left alone.", "trop peu pour les retirer ou les isoler.")
    return tell(
        "{c}{d} Marks that look like text were found in {t:.0%}.",
        "{c}{d} Des marques semblables à du texte ont été trouvées dans {t:.0%} des images.",
        c=counted, d=left if some else few, t=text.value or 0.0,
    )  # fmt: skip


def _region_table(regions: list[_Region]) -> Table:
    return Table(
        title=Text(en="Corners and edges", fr="Coins et bords"),
        head=(_HEAD["region"], _HEAD["masked"], _HEAD["change"], _HEAD["turned"], _HEAD["lung"]),
        rows=tuple((one.name, one.auroc, one.change, one.turned, round(one.lung, 3)) for one in regions),
    )


def _turned(worst: _Region | None) -> tuple[Suspect, ...]:
    """Images whose score falls most without the region, where that turns decisions."""
    if worst is None or (worst.turned.low or 0.0) <= _TURNED_WARN:
        return ()
    return tuple(
        Suspect(
            id=key,
            kind="corner",
            why=tell(
                "without the {w} the score falls from {a:.2f} to {b:.2f}",
                "sans {f}, le score tombe de {a:.2f} à {b:.2f}",
                w=worst.name.en, f=worst.name.fr, a=before, b=after,
            ),
            value=before - after,
        )
        for key, before, after in worst.falls
        if before - after >= 0.1
    )  # fmt: skip


def _by_text(case: Case, without: NDArray[np.float64]) -> tuple[Suspect, ...]:
    """Images decided otherwise once text is painted over."""
    changed = np.flatnonzero((case.score >= case.threshold) != (without >= case.threshold))
    ordered = sorted(changed, key=lambda row: -abs(case.score[row] - without[row]))[:_SHOWN]
    return tuple(
        Suspect(
            id=case.samples[row].id,
            kind="text",
            why=tell(
                "without text the score goes from {a:.2f} to {b:.2f}",
                "sans texte, le score passe de {a:.2f} à {b:.2f}",
                a=float(case.score[row]), b=float(without[row]),
            ),
            value=abs(float(case.score[row] - without[row])),
        )
        for row in ordered
    )  # fmt: skip
