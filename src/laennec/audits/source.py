"""Source: how well the hospital can be told from the picture, its border, or the picture without lungs.

Sources are those the data set names; else the data sets held beside this one; else the publisher's parts. A source
that can be told is common and harmless by itself; it is a shortcut where it also tells the label. How much of that a
picture gives away is judged as a whole: the probability of each source, read from the picture out of fold, times the
source's share of positives is a score of the label that knows nothing but where the picture seems to come from.

The verdict rests on lower bounds, of the source that is told best and of the view that tells most: one source that
gives itself and the label away is enough, however alike the others are. ``fail`` where the true source alone tells the
label (above 0.9) and the source as read from the picture does too (above 0.9): a model need not look at a lung then.
``warn`` where a source can be told (above 0.75) and both tell the label at all (above 0.6), or where the publisher's
parts can be told apart; ``note`` where it can be told and tells nothing of the label; ``pass`` where none can be told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laennec import folds, intervals
from laennec.audits import Subject
from laennec.checks import INDEPENDENT, Outcome, Table, Verdict
from laennec.estimates import Estimate
from laennec.wording import Text, part, tell, written

TITLE = Text(en="Source predictor", fr="Prédiction de la provenance")
METHOD = tell(
    "Small greys ({s} × {s}) of the whole picture, its border alone (a sixteenth of the side) and the picture with the "
    "lungs blacked out are read by logistic regression on principal components (scikit-learn), out of fold, {k} folds "
    "by patient; one source against the rest, AUROC with DeLong’s interval (DeLong 1988). What the source tells of the "
    "label is its share of positives; what the picture tells of it by its source is the mean of those shares, each "
    "weighted by the probability of the source. A source can be told by such features: Zech et al. 2018, "
    "doi:10.1371/journal.pmed.1002683. {i}",
    "De petits gris ({s} × {s}) de toute l’image, de son seul bord (un seizième du côté) et de l’image aux poumons "
    "noircis sont lus par une régression logistique sur composantes principales (scikit-learn), hors pli, {k} plis par "
    "patient ; une provenance contre les autres, AUROC avec l’intervalle de DeLong (DeLong 1988). Ce que la provenance "
    "révèle de l’étiquette est sa part de positifs ; ce que l’image en révèle par sa provenance est la moyenne de ces "
    "parts, pondérées par la probabilité de chaque provenance. Une provenance se reconnaît à de tels indices : Zech et "
    "al. 2018, doi:10.1371/journal.pmed.1002683. {i}",
    s=32, k=folds.FOLDS, i=INDEPENDENT,
)  # fmt: skip

_SIDE = 32
_RIM = 2  # of those: a sixteenth of the side
_LUNG = 0.3  # probability from which a pixel is blacked out, low so that the edge of the lung goes too
_FEWEST = 10  # patients of a source below which it is left out
_MOST = 12  # sources, the largest
_TOLD, _LINKED, _GIVEN_AWAY = 0.75, 0.6, 0.9

Floats = NDArray[np.float64]
_VIEWS = {
    "picture": Text(en="whole picture", fr="image entière"),
    "border": Text(en="border alone", fr="bord seul"),
    "without_lungs": Text(en="without lungs", fr="sans les poumons"),
}


@dataclass(frozen=True)
class _Pool:
    """Images with a source each. Arrays have a row for each image."""

    kind: str
    names: tuple[str, ...]
    source: NDArray[np.intp]
    patients: NDArray[np.str_]
    truth: Floats
    greys: NDArray[np.uint8]
    lungs: NDArray[np.bool_]


def audit(subject: Subject) -> Outcome:
    """Tell the sources from each other, and the label from the source."""
    pool = _pool(subject)
    if pool is None:
        said = tell(
            "One source only: no image names another, and no other data set is held beside it.",
            "Une seule provenance : aucune image n’en nomme d’autre, et aucun autre jeu de données n’est mis en "
            "regard.",
        )
        return Outcome(verdict="skipped", said=(said,), method=METHOD)
    blacked = np.where(pool.lungs, 0, pool.greys)
    inner = np.zeros((_SIDE, _SIDE), np.bool_)
    inner[_RIM:-_RIM, _RIM:-_RIM] = True
    flat = {
        "picture": pool.greys.reshape(len(pool.source), -1),
        "border": pool.greys[:, ~inner],
        "without_lungs": blacked.reshape(len(pool.source), -1),
    }
    told = {
        view: folds.out_of_fold(greys.astype(np.float32), pool.source, pool.patients, subject.seed, "linear")
        for view, greys in flat.items()
    }
    areas = {
        view: [intervals.delong(pool.source == at, scores[:, at]) for at in range(len(pool.names))]
        for view, scores in told.items()
    }
    figures = {view: _best(each) for view, each in areas.items()}
    known, shares = ~np.isnan(pool.truth), _shares(pool)
    truth = pool.truth[known] == 1
    label = intervals.delong(truth, shares[pool.source[known]])
    if label.value is not None:
        figures["label_from_source"] = label
        figures |= {
            f"label_by_{view}": intervals.delong(truth, scores[known] @ shares) for view, scores in told.items()
        }
    return Outcome(
        verdict=_verdict(pool, figures),
        said=_said(pool, figures),
        method=METHOD,
        figures=figures,
        tables=(_table(pool, areas),),
    )


def _pool(subject: Subject) -> _Pool | None:
    """The images and where they come from; None where there is one source."""
    named = [sample.source for sample in subject.samples]
    official = [sample.split or "" for sample in subject.samples]
    subjects, kind = [subject], "source"
    if len(_large(named, subject.patients)) < 2:
        if subject.beside:
            subjects, kind = [subject, *subject.beside], "collection"
            named = [one.name for one in subjects for _ in one.samples]
        else:
            kind, named = "part", official
    patients = [f"{one.name}/{patient}" for one in subjects for patient in one.patients]
    names = _large(named, patients)
    if len(names) < 2:
        return None
    place = {name: at for at, name in enumerate(names)}
    source = np.array([place.get(name, -1) for name in named])
    kept = source >= 0
    greys = np.concatenate([_small(one.pixels) for one in subjects])
    lungs = np.concatenate([_grown(one.lungs) for one in subjects])
    truth = np.concatenate([one.truth for one in subjects])
    return _Pool(kind, names, source[kept], np.array(patients)[kept], truth[kept], greys[kept], lungs[kept])


def _large(named: list[str], patients: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Names held by enough patients, the commonest first."""
    holders = Counter(name for name, _ in sorted(set(zip(named, patients, strict=True))) if name)
    return tuple(name for name, count in holders.most_common(_MOST) if count >= _FEWEST)


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    part = pixels.shape[1] // _SIDE
    rows = [one.reshape(_SIDE, part, _SIDE, part).mean((1, 3)) for one in pixels]
    small: NDArray[np.uint8] = np.rint(np.stack(rows)).astype(np.uint8)
    return small


def _grown(lungs: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Lungs on the small grid: a pixel is lung if any of its part of the probabilities is."""
    part = lungs.shape[1] // _SIDE
    found = (lungs >= _LUNG).reshape(-1, _SIDE, part, _SIDE, part)
    return np.asarray(found.any((2, 4)), np.bool_)


def _shares(pool: _Pool) -> Floats:
    """Share of positives of each source, that of all where none of its images has a known truth. Of all its images: out
    of fold, sources that are alike would seem to tell the contrary of the label, for a share without the image falls
    where the image is positive."""
    known = ~np.isnan(pool.truth)
    source, truth = pool.source[known], pool.truth[known]
    whole = float(truth.mean()) if len(truth) else 0.5
    return np.array([truth[source == at].mean() if (source == at).any() else whole for at in range(len(pool.names))])


def _best(each: list[Estimate]) -> Estimate:
    """Of the source that is told best."""
    return max(each, key=lambda area: 0.0 if area.value is None else area.value)


def _verdict(pool: _Pool, figures: dict[str, Estimate]) -> Verdict:
    if max(figures[view].low or 0 for view in _VIEWS) <= _TOLD:
        return "pass"
    if pool.kind == "part":
        return "warn"
    if "label_from_source" not in figures:
        return "note"
    # what the picture tells beyond its true source is disease, and no shortcut
    read = max(figures[f"label_by_{view}"].low or 0 for view in _VIEWS)
    linked = min(figures["label_from_source"].low or 0, read)
    return "fail" if linked > _GIVEN_AWAY else "warn" if linked > _LINKED else "note"


def _said(pool: _Pool, figures: dict[str, Estimate]) -> tuple[Text, ...]:
    what = {
        "source": Text(en="sources", fr="provenances"),
        "collection": Text(en="data sets", fr="jeux de données"),
        "part": Text(en="publisher’s parts (no source is named)", fr="parties de l’éditeur (aucune provenance nommée)"),
    }[pool.kind]
    first = tell(
        "{k} {what} among {n:,} images; the one that is told best reaches AUROC {p} by the whole picture, {b} by its "
        "border alone and {w} without lungs.",
        "{k} {what} parmi {n:,} images ; pour le groupe le mieux reconnu, l’AUROC est de {p} par l’image entière, de "
        "{b} par le seul bord et de {w} sans les poumons.",
        k=len(pool.names), what=what, n=len(pool.source),
        p=written(figures["picture"]), b=written(figures["border"]), w=written(figures["without_lungs"]),
    )  # fmt: skip
    label = figures.get("label_from_source")
    if label is None:
        return (first,)
    second = tell(
        "Knowing where an image is from and nothing else tells the label with AUROC {a}; read from the whole picture, "
        "with AUROC {p}, from its border {b}, without lungs {w}.",
        "Connaître le groupe d’une image, et rien d’autre, révèle l’étiquette avec une AUROC de {a} ; lu dans l’image "
        "entière, avec une AUROC de {p}, dans son bord {b}, sans les poumons {w}.",
        a=written(label), p=written(figures["label_by_picture"]), b=written(figures["label_by_border"]),
        w=written(figures["label_by_without_lungs"]),
    )  # fmt: skip
    return first, second


def _table(pool: _Pool, areas: dict[str, list[Estimate]]) -> Table:
    rows = []
    for at, name in enumerate(pool.names):
        own = pool.source == at
        known = pool.truth[own][~np.isnan(pool.truth[own])]
        positives = intervals.wilson(int(known.sum()), len(known)) if len(known) else None
        shown = part(name) if pool.kind == "part" else name
        rows.append((shown, int(own.sum()), positives, *(areas[view][at] for view in _VIEWS)))
    return Table(
        title=Text(en="Each source against the rest (AUROC)", fr="Chaque provenance contre les autres (AUROC)"),
        head=(
            Text(en="source", fr="provenance"),
            Text(en="images", fr="images"),
            Text(en="share of positives", fr="part de positifs"),
            *_VIEWS.values(),
        ),
        rows=tuple(rows),
    )
