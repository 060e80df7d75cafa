"""Sources: the AUROC within each hospital or collection, and how much of the whole comes of telling them apart.

Where the finding is commoner in one source than in another, a model that tells the sources apart has an AUROC without
knowing the finding. Within a source that helps nothing. The probe therefore holds the AUROC of the whole part against
the AUROC over pairs of images of the same source (a stratified AUROC: sources weigh by their positive-negative pairs;
Janes & Pepe 2009, doi:10.1093/biomet/asp002), and tells each source's own. That trainings with a source left out do
worse is shown by training them: ``[split] leave_out``.

*Warn*: the AUROC falls by more than .02 once only images of one source are compared, beyond chance (interval); or one
source's lies below .5 plus half of what the whole has above it, at the upper end of its interval. *Fail*: half or more
of the knowledge above chance is gone within sources, at the near end of the interval. The bounds are ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laennec import intervals
from laennec.checks import INDEPENDENT, Outcome, Table, Verdict
from laennec.estimates import Estimate
from laennec.probes import Case, rates
from laennec.wording import Text, tell, written

TITLE = Text(en="Sources", fr="Sources")
METHOD = tell(
    "AUROC of each source with DeLong’s interval (DeLong 1988); AUROC over pairs of one source, sources weighted by "
    "their pairs (Janes & Pepe 2009, doi:10.1093/biomet/asp002), and its difference from that of the whole, patients "
    "resampled. {i}",
    "AUROC de chaque source avec l’intervalle de DeLong (DeLong 1988) ; AUROC sur les paires d’une même source, les "
    "sources pondérées par leurs paires (Janes et Pepe 2009, doi:10.1093/biomet/asp002), et son écart à celle de "
    "l’ensemble, par rééchantillonnage des patients. {i}",
    i=INDEPENDENT,
)

LEAST = 10  # images of each class
_LOST = 0.02
_REPLICATES = 500

Floats = NDArray[np.float64]


def probe(case: Case) -> Outcome:
    """How the model does within each source."""
    rows = np.array([bool(sample.source) for sample in case.samples]) & ~np.isnan(case.truth)
    known = case.take(np.flatnonzero(rows))
    of = np.array([sample.source for sample in known.samples])
    names = sorted(set(of.tolist()))
    if len(names) < 2:
        reason = tell("The data set names no source.", "Le jeu de données ne nomme aucune source.")
        if names:
            en, fr = "All images of this part are of one source: {s}.", "Toutes les images viennent d’une source : {s}."
            reason = tell(en, fr, s=names[0])
        return Outcome(verdict="skipped", said=(reason,), method=METHOD)
    whole = intervals.delong(known.truth, known.score)
    if whole.value is None:
        reason = tell("All images of known source are of one class.", "Toutes les images sont d’une seule classe.")
        return Outcome(verdict="skipped", said=(reason,), method=METHOD)
    each = {name: intervals.delong(known.truth[of == name], known.score[of == name]) for name in names}
    within, change = _within(known, of)
    judged = [name for name in names if _enough(known.truth[of == name])]
    figures = {"whole": whole, "within": within, "within_change": change}
    if judged:
        figures["worst_auroc"] = min((each[name] for name in judged), key=lambda one: one.value or 0.0)
    verdict, said = _judged(figures, {name: each[name] for name in judged})
    if len(judged) < len(names):
        said.append(
            tell(
                "{s} of {n} sources have fewer than {k} images of a class and are not judged.",
                "{s} des {n} sources comptent moins de {k} images d’une classe et ne sont pas jugées.",
                s=len(names) - len(judged), n=len(names), k=LEAST,
            )
        )  # fmt: skip
    return Outcome(
        verdict=verdict, said=tuple(said), method=METHOD, figures=figures, tables=(_table(known, of, names, each),)
    )


def _enough(truth: Floats) -> bool:
    return bool(min((truth == 1).sum(), (truth == 0).sum()) >= LEAST)


def _within(case: Case, of: NDArray[np.str_]) -> tuple[Estimate, Estimate]:
    """The AUROC over pairs of one source, and what it is less than that over all pairs."""
    sick, score = case.truth == 1, case.score
    strata = [np.flatnonzero(of == name) for name in np.unique(of)]

    def inside(weights: Floats, _: Floats) -> Floats:
        ordered, pairs = np.sum([_ordered(weights[:, rows], sick[rows], score[rows]) for rows in strata], axis=0)
        with np.errstate(invalid="ignore"):
            area: Floats = ordered / pairs
        return area

    def apart(weights: Floats, scores: Floats) -> Floats:
        ordered, pairs = _ordered(weights, sick, score)
        with np.errstate(invalid="ignore"):
            lost: Floats = inside(weights, scores) - ordered / pairs
        return lost

    found = []
    for statistic in (inside, apart):
        value = float(statistic(np.ones((1, len(score))), score)[0])
        low, high = intervals.patient_bootstrap(
            statistic, score, patients=case.patients, replicates=_REPLICATES, seed=case.seed
        )
        known = None if np.isnan(value) else value
        found.append(Estimate(value=known, low=low, high=high, n=len(score), method="patient_bootstrap"))
    return found[0], found[1]


def _ordered(weights: Floats, sick: NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """Pairs of a positive and a negative that the score orders rightly (ties one half), and all pairs, ``[r]`` each,
    for weights ``[r, n]``: rank sums (Mann & Whitney 1947), so that no pair is held.
    """
    order = np.argsort(score, kind="stable")
    sorted_, sick = score[order], sick[order]
    weights = weights[:, order]
    below = np.pad(np.cumsum(weights * ~sick, axis=1), ((0, 0), (1, 0)))
    positives = weights[:, sick]
    first, last = (np.searchsorted(sorted_, sorted_[sick], side) for side in ("left", "right"))
    ordered: Floats = (positives * (below[:, first] + below[:, last])).sum(1) / 2
    pairs: Floats = positives.sum(1) * below[:, -1]
    return ordered, pairs


def _judged(figures: dict[str, Estimate], each: dict[str, Estimate]) -> tuple[Verdict, list[Text]]:
    whole, within, change = figures["whole"], figures["within"], figures["within_change"]
    if within.value is None or whole.value is None:
        return "note", [
            tell(
                "No source has images of both classes: how well the sources are told apart decides the AUROC of {a}.",
                "Aucune source n’a d’images des deux classes : l’AUROC de {a} vient de leur distinction.",
                a=written(whole),
            )
        ]
    said = [
        tell(
            "Within sources the AUROC is {w}, over all pairs {a}: a change of {c}.",
            "Au sein d’une même source, l’AUROC est de {w}, sur toutes les paires de {a} : un écart de {c}.",
            w=written(within), a=written(whole), c=written(change),
        )
    ]  # fmt: skip
    verdict: Verdict = "pass"
    knows = max(0.0, whole.value - 0.5)
    if change.value is not None and change.high is not None and change.high < 0 and change.value < -_LOST:
        verdict = "fail" if knows > 0 and -change.high >= knows / 2 else "warn"
    low = [name for name, one in each.items() if one.high is not None and one.high < 0.5 + knows / 2]
    if low:
        verdict = max(verdict, "warn", key=("pass", "warn", "fail").index)
        said.append(
            tell(
                "The model knows little on images of {s}: AUROC {a}.",
                "Le modèle sait peu sur les images de {s} : AUROC {a}.",
                s=low[0], a=written(each[low[0]]),
            )
        )  # fmt: skip
    return verdict, said


def _table(case: Case, of: NDArray[np.str_], names: list[str], each: dict[str, Estimate]) -> Table:
    rows = []
    for name in names:
        truth, score = case.truth[of == name], case.score[of == name]
        share = float((truth == 1).mean())
        rows.append((name, len(truth), round(share, 3), each[name], *rates(truth, score, case.threshold)))
    heads = {
        "Source": "Source",
        "Images": "Images",
        "Share with the finding": "Part avec l’anomalie",
        "AUROC": "AUROC",
        "Sensitivity": "Sensibilité",
        "Specificity": "Spécificité",
    }
    return Table(
        title=Text(en="Sources", fr="Sources"),
        head=tuple(Text(en=en, fr=fr) for en, fr in heads.items()),
        rows=tuple(rows),
    )
