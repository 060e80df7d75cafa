"""Suspicious labels: images whose label a predictor that never saw their patient contradicts with confidence.

Confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70:1373, arXiv:1911.00068): an image is suspicious if its
probability of another label reaches what images of that label reach on average (or 0.9), and exceeds that of its own.
The predictor is small (shapes and greys in the frame around the lungs); where it errs it names rightly labelled images,
and a wrong label that it would have given itself is not found. How many of both is measured on the very images: labels
are flipped on purpose, and looked for again.

The verdict is ``warn`` where the predictor is good (lower bound of its AUROC above 0.9) and more than 0.5 % of the
labels are suspicious, ``note`` where it is not good enough to say, ``pass`` else. It is never ``fail``: whether a label
is wrong is for a reader to say.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laennec import folds, intervals, traits
from laennec.audits import Subject
from laennec.checks import INDEPENDENT, Outcome, Suspect
from laennec.errors import UsageError
from laennec.estimates import Estimate
from laennec.wording import Text, tell, written

TITLE = Text(en="Suspicious labels", fr="Étiquettes suspectes")
METHOD = tell(
    "Confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068) on out-of-fold probabilities, {k} "
    "folds by patient, of a kernel logistic regression on gradients and greys around the lungs (scikit-learn); a "
    "probability of {c} suffices whatever the average of the label, and the predictor is fitted a second time "
    "without the first suspects. Labels of {s:.0%} of the images are then flipped at random and looked for in the"
    " same way; precision counts every image named beside them as a false alarm, though some may be mislabelled. "
    "Suspects come in falling order of the gap between the probabilities of the other label and of their own. {i}",
    "Apprentissage confiant (Northcutt, Jiang et Chuang 2021, arXiv:1911.00068) sur les probabilités hors pli, "
    "{k} plis par patient, d’une régression logistique à noyau sur les gradients et les gris autour des poumons "
    "(scikit-learn) ; une probabilité de {c} suffit quelle que soit la moyenne de l’étiquette, et le prédicteur "
    "est ajusté une seconde fois sans les premiers suspects. On inverse ensuite au hasard l’étiquette de {s:.0%} "
    "des images et on les recherche de même ; la précision compte comme fausse alerte toute autre image désignée,"
    " même si certaines sont peut-être mal étiquetées. Les suspects sont rangés par écart décroissant entre la "
    "probabilité de l’autre étiquette et celle de la leur. {i}",
    k=folds.FOLDS, s=0.05, c=0.9, i=INDEPENDENT,
)  # fmt: skip

_FLIPPED = 0.05
_GOOD = 0.9
_NOTABLE = 0.005
_CONFIDENT = 0.9  # probability that suffices whatever the average is

Floats = NDArray[np.float64]
Classes = NDArray[np.intp]


def audit(subject: Subject) -> Outcome:
    """Name the images whose label is suspicious, and measure how well flipped labels are found."""
    names, classes = _classes(subject)
    rows = np.flatnonzero(classes >= 0)
    held = classes[rows]
    wanted = [place for place, name in enumerate(names) if name in subject.collection.labels.positive]
    sick = np.isin(held, wanted)
    if sick.all() or not sick.any():
        said = tell(
            "{n:,} images with the finding and {m:,} without: labels can be doubted only where both are held.",
            "{n:,} images avec l’anomalie et {m:,} sans : il faut les deux pour douter des étiquettes.",
            n=int(sick.sum()), m=int((~sick).sum()),
        )  # fmt: skip
        return Outcome(verdict="skipped", said=(said,), method=METHOD)
    patients = np.asarray(subject.patients)[rows]
    features = traits.of_lungs(subject.pixels[rows], subject.lungs[rows])
    try:
        probabilities = _predicted(features, held, patients, subject.seed)
    except UsageError as error:
        said = tell(
            "Too few images to predict labels from: {e}.",
            "Trop peu d’images pour prédire les étiquettes : il faut au moins {k} patients de chaque classe.",
            e=error.message, k=folds.FOLDS,
        )  # fmt: skip
        return Outcome(verdict="skipped", said=(said,), method=METHOD)
    other, gap = suspicious(probabilities, held)
    named = np.flatnonzero(other >= 0)
    named = named[np.argsort(-gap[named], kind="stable")]
    suspects = tuple(
        Suspect(
            id=subject.ids[rows[at]],
            kind="label",
            why=tell(
                "labelled {own}, but looks like {other} ({p:.0%})",
                "étiquetée {own}, mais ressemble à {other} ({p:.0%})",
                own=names[held[at]], other=names[other[at]], p=float(probabilities[at, other[at]]),
            ),
            value=float(gap[at]),
        )
        for at in named
    )  # fmt: skip
    auroc = intervals.delong(sick, probabilities[:, wanted].sum(1))
    figures = {"auroc": auroc, "suspicious": intervals.wilson(len(named), len(rows))}
    figures |= trial(features, held, patients, subject.seed)
    good = (auroc.low or 0) > _GOOD
    many = len(named) > _NOTABLE * len(rows)
    return Outcome(
        verdict="note" if not good else "warn" if many else "pass",
        said=_said(figures, len(named), len(rows), good),
        method=METHOD,
        figures=figures,
        suspects=suspects,
    )


def _predicted(features: NDArray[np.float32], classes: Classes, patients: NDArray[np.str_], seed: int) -> Floats:
    """Probabilities out of fold, learnt anew without the images that seemed suspicious at first: wrong labels blunt the
    predictor that shall find them."""
    first = folds.out_of_fold(features, classes, patients, seed, "kernel")
    trusted = suspicious(first, classes)[0] < 0
    if any((trusted & (classes == kind)).sum() < folds.FOLDS for kind in set(classes.tolist())):
        return first
    return folds.out_of_fold(features, classes, patients, seed, "kernel", trusted)


def suspicious(probabilities: Floats, classes: Classes) -> tuple[Classes, Floats]:
    """Which label each image would rather have, ``[n]``, -1 where its own is not in doubt, and by how much: the
    probability of that label less that of its own, in [-1, 1].

    Args:
        probabilities: ``[n, k]`` out of fold.
        classes: ``[n]`` labels given, in [0, k), each held by an image.

    Source: Northcutt, Jiang and Chuang 2021, arXiv:1911.00068: off-diagonal entries of the confident joint.
    """
    every = np.arange(len(classes))
    own = probabilities[every, classes]
    sums = np.bincount(classes, weights=own, minlength=probabilities.shape[1])
    usual = sums / np.maximum(np.bincount(classes, minlength=probabilities.shape[1]), 1)
    # where labels are easily told their average nears 1, and half of the wrong ones would stay below it
    confident = np.where(probabilities >= np.minimum(usual, _CONFIDENT), probabilities, -1.0)
    likeliest = confident.argmax(1)
    gap = probabilities[every, likeliest] - own
    found = (confident.max(1) >= 0) & (likeliest != classes) & (gap > 0)
    return np.where(found, likeliest, -1), gap


def trial(
    features: NDArray[np.float32], classes: Classes, patients: NDArray[np.str_], seed: int
) -> dict[str, Estimate]:
    """Recall and precision of `suspicious` for labels flipped on purpose in these images: ``recall``, of those
    flipped; ``precision``, of all those named; ``false_alarms``, of those not flipped."""
    random = np.random.default_rng([seed, 43])
    flipped = np.zeros(len(classes), np.bool_)
    flipped[random.permutation(len(classes))[: max(1, round(_FLIPPED * len(classes)))]] = True
    kinds = int(classes.max()) + 1
    planted = np.where(flipped, (classes + random.integers(1, kinds, len(classes))) % kinds, classes)
    try:
        probabilities = _predicted(features, planted, patients, seed)
    except UsageError:
        return {}
    found = suspicious(probabilities, planted)[0] >= 0
    hits = int((found & flipped).sum())
    return {
        "recall": intervals.wilson(hits, int(flipped.sum())),
        "precision": intervals.wilson(hits, int(found.sum())),
        "false_alarms": intervals.wilson(int((found & ~flipped).sum()), int((~flipped).sum())),
    }


def _classes(subject: Subject) -> tuple[list[str], Classes]:
    """Names of the labels that are held, and the place of each image's among them; -1 where it is not known."""
    labels = subject.collection.labels
    if not labels.exclusive:
        names = [f"no {labels.positive[0]}", labels.positive[0]]
        return names, np.where(np.isnan(subject.truth), -1, np.nan_to_num(subject.truth)).astype(np.intp)
    known = (subject.values == 1).any(1)
    which = np.where(known, np.nan_to_num(subject.values).argmax(1), -1)
    held = sorted(set(which[known].tolist()))
    place = np.full(len(labels) + 1, -1)
    place[held] = range(len(held))
    return [labels.names[at] for at in held], place[which].astype(np.intp)


def _said(figures: dict[str, Estimate], named: int, images: int, good: bool) -> tuple[Text, ...]:
    said = [
        tell(
            "{k:,} of {n:,} labels are suspicious ({p:.1%}), to a predictor whose out-of-fold AUROC is {a}.",
            "{k:,} étiquettes sur {n:,} sont suspectes ({p:.1%}) pour un prédicteur dont l’AUROC hors pli est de {a}.",
            k=named, n=images, p=named / max(images, 1), a=written(figures["auroc"]),
        )
    ]  # fmt: skip
    if "recall" in figures:
        said.append(
            tell(
                "Of labels flipped on purpose it finds {r}; of all it then names {p} are flipped ones, and it names "
                "{f} of the others.",
                "Il retrouve {r} des étiquettes inversées volontairement ; {p} de celles qu’il signale alors l’ont "
                "été, et il signale {f} des autres.",
                r=written(figures["recall"], ".1%"), p=written(figures["precision"], ".1%"),
                f=written(figures["false_alarms"], ".1%"),
            )
        )  # fmt: skip
    if not good:
        said.append(
            tell(
                "The predictor is too weak for its doubts to count for much.",
                "Le prédicteur est trop faible pour que ses doutes comptent beaucoup.",
            )
        )
    return tuple(said)
