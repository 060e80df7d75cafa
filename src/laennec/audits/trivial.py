"""Trivial features: how well a dozen statistics of greys, borders and the file tell the label and the parts apart.

A model may learn what such features tell instead of disease. The label is judged inside the training and validation
parts by folds of patients, and on the test part after learning on the others: what falls from the one to the other is
what the data's origin gave. The parts are told apart too, of all images and of each class alone: parts that differ
where the disease does not are not one population.

The verdict is ``fail`` where a property of the file or a single figure of the border gives the label away (AUROC above
0.95, its lower bound above 0.9: no disease is in the number of pixels), ``warn`` where all features together tell the
label or the parts of one class with a lower bound above 0.75, ``note`` where too few patients of a class let nobody
judge the label, ``pass`` below: disease itself makes a lung brighter, but
732 synthetic radiographs without a shortcut reach no more than 0.55.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from laennec import folds, intervals, traits
from laennec.audits import Subject
from laennec.checks import INDEPENDENT, Outcome, Table, Verdict
from laennec.estimates import Estimate
from laennec.wording import Text, tell, written

TITLE = Text(en="Trivial features", fr="Caractéristiques triviales")
METHOD = tell(
    "{n} features of the greys ({i}), the borders ({b}) and the file ({f}), read by gradient-boosted trees "
    "(scikit-learn). Scores are out of fold, {k} folds by patient; AUROC with DeLong’s interval (DeLong 1988). Single "
    "features are judged as they are, in the better direction. {ind}",
    "{n} caractéristiques des gris ({i}), des bords ({b}) et du fichier ({f}), lues par des arbres à gradient boosté "
    "(scikit-learn). Les scores sont hors pli, {k} plis par patient ; AUROC avec l’intervalle de DeLong (DeLong 1988). "
    "Chaque caractéristique seule est jugée telle quelle, dans le meilleur sens. {ind}",
    n=len(traits.NAMES), i=len(traits.INTENSITY), b=len(traits.BORDER), f=len(traits.FILE), k=folds.FOLDS,
    ind=INDEPENDENT,
)  # fmt: skip

_NOTABLE, _GIVEN_AWAY = 0.75, 0.95
_SURELY = 0.9  # lower bound of what gives the label away: of few images it is far below the figure
_SHOWN = 8  # features in the table

Flags = NDArray[np.bool_]
_GROUPS: dict[str, tuple[Text, Sequence[str]]] = {
    "all": (Text(en="all features", fr="toutes les caractéristiques"), traits.NAMES),
    "intensity": (Text(en="greys of the whole picture", fr="gris de toute l’image"), traits.INTENSITY),
    "border": (Text(en="borders", fr="bords"), traits.BORDER),
    "file": (Text(en="file: size, format, bytes", fr="fichier : taille, format, octets"), traits.FILE),
}


def audit(subject: Subject) -> Outcome:
    """Judge what trivial features tell of the label and of the parts."""
    features = np.hstack([traits.of_pictures(subject.pixels), traits.of_files(subject.headers)])
    patients = np.asarray(subject.patients)
    known, truth, test = ~np.isnan(subject.truth), subject.truth == 1, subject.parts == "test"
    inside = known & ~test & (subject.parts != "")
    figures = _labels(subject, features, patients, inside, known & test, truth)
    figures |= _parts(subject, features, patients, known, truth, test)
    if all(found.value is None for found in figures.values()):
        said = tell(
            "Too few patients of each class and part for {k} folds.",
            "Trop peu de patients de chaque classe et de chaque partie pour {k} plis.", k=folds.FOLDS,
        )  # fmt: skip
        return Outcome(verdict="skipped", said=(said,), method=METHOD)
    singles = [folds.single(features[inside, at], truth[inside]) for at in range(len(traits.NAMES))]
    given = [
        (name, single)
        for name, single in zip(traits.NAMES, singles, strict=True)
        if name in (*traits.BORDER, *traits.FILE) and (single.value or 0) > _GIVEN_AWAY and (single.low or 0) > _SURELY
    ]
    tables = (_groups(figures), _singles(singles, features, known & ~truth, test))
    return Outcome(
        verdict=_verdict(figures, bool(given)),
        said=(*_said(figures), *(_given(name, single) for name, single in given)),
        method=METHOD,
        figures={name: found for name, found in figures.items() if found.value is not None},
        tables=tables,
    )


def _labels(
    subject: Subject,
    features: NDArray[np.float64],
    patients: NDArray[np.str_],
    inside: Flags,
    test: Flags,
    truth: Flags,
) -> dict[str, Estimate]:
    """The label inside train and validation, and on test, by each group of features."""
    figures = {}
    for group, (_, names) in _GROUPS.items():
        columns = np.flatnonzero(np.isin(traits.NAMES, names))
        own = features[:, columns]
        figures[f"label_{group}"] = folds.told(own[inside], truth[inside], patients[inside], subject.seed)
        figures[f"label_{group}_test"] = Estimate(value=None, n=int(test.sum()), method="delong")
        if test.any() and len(set(truth[inside])) == 2:
            scores = folds.fitted("trees", own[inside], truth[inside].astype(np.intp), subject.seed, 2)(own[test])
            figures[f"label_{group}_test"] = intervals.delong(truth[test], scores[:, 1])
    return figures


def _parts(
    subject: Subject,
    features: NDArray[np.float64],
    patients: NDArray[np.str_],
    known: Flags,
    truth: Flags,
    test: Flags,
) -> dict[str, Estimate]:
    """Test told from train and validation: of all images, of the positives and of the negatives."""
    parted = subject.parts != ""
    of = {"all": parted, "negatives": parted & known & ~truth, "positives": parted & known & truth}
    return {
        f"part_{name}": folds.told(features[rows], test[rows], patients[rows], subject.seed)
        for name, rows in of.items()
    }


def _verdict(figures: dict[str, Estimate], given: bool) -> Verdict:
    if given:
        return "fail"
    asked = ("label_all", "part_negatives", "part_positives")
    if any((figures[name].low or 0) > _NOTABLE for name in asked):
        return "warn"
    return "note" if figures["label_all"].value is None else "pass"


def _said(figures: dict[str, Estimate]) -> list[Text]:
    said = []
    inside, test = figures["label_all"], figures["label_all_test"]
    if inside.value is not None:
        said.append(
            tell(
                "Trivial features tell the label with AUROC {a} inside train and validation ({n:,} images).",
                "Les caractéristiques triviales révèlent l’étiquette avec une AUROC de {a} au sein de l’entraînement "
                "et de la validation ({n:,} images).",
                a=written(inside), n=inside.n,
            )
        )  # fmt: skip
    else:
        said.append(
            tell(
                "What they tell of the label could not be judged: too few patients of each class inside train and "
                "validation for {k} folds.",
                "Ce qu’elles révèlent de l’étiquette n’a pas pu être jugé : trop peu de patients de chaque classe dans "
                "l’entraînement et la validation pour {k} plis.",
                k=folds.FOLDS,
            )
        )
    if test.value is not None:
        said.append(
            tell(
                "Learnt there and judged on the test part they reach {a} ({n:,} images).",
                "Apprises là et jugées sur la partie de test, elles atteignent {a} ({n:,} images).",
                a=written(test), n=test.n,
            )
        )  # fmt: skip
    negatives, positives = figures["part_negatives"], figures["part_positives"]
    if negatives.value is not None and positives.value is not None:
        said.append(
            tell(
                "They tell the test part from the others with AUROC {n} among negatives and {p} among positives; 0.5 "
                "is what parts of one population give.",
                "Elles distinguent la partie de test des autres avec une AUROC de {n} parmi les négatifs et de {p} "
                "parmi les positifs ; des parties d’une même population donnent 0,5.",
                n=written(negatives), p=written(positives),
            )
        )  # fmt: skip
    if min((inside.low or 0), (test.low or 0)) > _NOTABLE:
        said.append(
            tell(
                "A model’s AUROC on these data means what it exceeds these figures by, not what it exceeds 0.5 by.",
                "L’AUROC d’un modèle sur ces données vaut par ce dont elle dépasse ces valeurs, et non 0,5.",
            )
        )
    return said


def _given(name: str, single: Estimate) -> Text:
    return tell(
        "A single property gives the label away: {f}, AUROC {a}.",
        "Une seule propriété trahit l’étiquette : {f}, AUROC {a}.",
        f=traits.plain(name), a=written(single),
    )  # fmt: skip


def _groups(figures: dict[str, Estimate]) -> Table:
    return Table(
        title=Text(
            en="What features tell of the label (AUROC)",
            fr="Ce que les caractéristiques révèlent de l’étiquette (AUROC)",
        ),
        head=(
            Text(en="features", fr="caractéristiques"),
            Text(en="inside train and validation", fr="dans l’entraînement et la validation"),
            Text(en="learnt there, on test", fr="apprises là, sur le test"),
        ),
        rows=tuple(
            (words, figures[f"label_{group}"], figures[f"label_{group}_test"]) for group, (words, _) in _GROUPS.items()
        ),
    )


def _singles(singles: Sequence[Estimate], features: NDArray[np.float64], negatives: Flags, test: Flags) -> Table:
    """The features that tell the label best, and what each tells of the parts among negatives."""
    order = sorted(range(len(singles)), key=lambda at: -(singles[at].value or 0))[:_SHOWN]
    return Table(
        title=Text(en="Single features (AUROC)", fr="Caractéristiques seules (AUROC)"),
        head=(
            Text(en="feature", fr="caractéristique"),
            Text(en="label, inside train and validation", fr="étiquette, dans l’entraînement et la validation"),
            Text(en="test from the others, negatives", fr="test ou non, parmi les négatifs"),
        ),
        rows=tuple(
            (traits.plain(traits.NAMES[at]), singles[at], folds.single(features[negatives, at], test[negatives]))
            for at in order
        ),
    )
