"""Explanation: whether the model looks at the lungs, and at the opacity where it is marked, when it calls an image.

The map is the one the network computes itself, in the graph that serves (`Outputs.maps`); where it has none, occlusion,
which needs answers alone, on fewer images. Only images called positive are judged: on the others little or nothing
speaks for the finding, and what is left of a map is noise.

Verdicts. A share of heat means something only beside what heat spread evenly would have: *pass* where more of it than
that lies in the lungs, by the lower end of the interval; *warn* where less does, by its upper end, where the hottest
point lies outside the lungs more often than inside, or, where opacities are marked, where it hits them no more often
than a random point would. Never *fail*: a map shows where and not why, coarse maps spill over edges, and a model that
looks at the lungs may be wrong about them. What a model knows without the lungs is measured by the probe of shortcuts.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from laennec import explaining, images, intervals, saliency
from laennec.checks import Outcome, Suspect, Verdict
from laennec.errors import ImageError
from laennec.estimates import Estimate
from laennec.probes import Case
from laennec.saliency import Quality
from laennec.wording import Text, tell, written

MOST, MOST_OCCLUDED, COMPARED = (
    600,
    64,
    16,
)  # images: with maps of the network's own, without, and held beside occlusion
_FEW = 10  # images called positive
_SHOWN = 12
_ASTRAY = 0.5  # share of the heat outside the lungs, from which an image is pointed at: most of it

TITLE = Text(en="Where the model looks", fr="Où le modèle regarde")
METHOD = tell(
    "Class activation maps of the network’s own (Zhou et al. 2016, arXiv:1512.04150), or occlusion where it has none "
    "(Zeiler & Fergus 2014, arXiv:1311.2901), of up to {n} or {m} images called positive; what speaks for the finding. "
    "Lungs from the data set’s masks, else from the network that frames pictures; opacities from marked boxes. "
    "Pointing game: Zhang et al. 2016, arXiv:1608.00507, without tolerance. Intervals resample patients.",
    "Cartes d’activation calculées par le réseau lui-même (Zhou et al. 2016, arXiv:1512.04150) ou, à défaut, occlusion "
    "(Zeiler et Fergus 2014, arXiv:1311.2901), sur {n} ou {m} images au plus jugées positives ; seul compte ce qui "
    "plaide pour l’anomalie. Poumons d’après les masques du jeu de données, sinon d’après le réseau qui cadre les "
    "images ; opacités d’après les rectangles annotés. Jeu du pointage : Zhang et al. 2016, arXiv:1608.00507, sans "
    "tolérance. Les intervalles rééchantillonnent les patients.",
    n=MOST, m=MOST_OCCLUDED,
)  # fmt: skip
_OWN = Text(en="class activation map", fr="carte d’activation")
_OCCLUDED = Text(en="occlusion", fr="occlusion")


def probe(case: Case) -> Outcome:
    """Where the heat of images called positive lies."""
    called = case.take(np.flatnonzero(case.score >= case.threshold))
    looked = called.drawn(MOST if case.given.maps is not None else MOST_OCCLUDED)
    if len(looked.samples) < _FEW:
        return _skipped(
            tell(
                "{n} images are called positive: too few to judge where the model looks.",
                "{n} images sont jugées positives : trop peu pour juger où regarde le modèle.",
                n=len(looked.samples),
            )
        )
    heat = explaining.heated(_maps(looked), looked.pixels.shape[-1])
    lungs = lungs_of(looked)
    of_lungs = saliency.quality(heat, lungs, looked.patients, case.seed)
    if of_lungs.inside.value is None:
        return _skipped(
            tell(
                "No lungs are found, or nothing in the maps speaks for the finding.",
                "Aucun poumon n’est trouvé, ou rien dans les cartes ne plaide pour l’anomalie.",
            )
        )
    figures = of_lungs.figures("lungs")
    said = [_lungs_said(of_lungs, _OWN if case.given.maps is not None else _OCCLUDED)]
    marked = _opacities(looked)
    of_opacities = saliency.quality(heat, marked, looked.patients, case.seed) if marked.any() else None
    if of_opacities is not None and of_opacities.inside.value is not None:
        figures |= of_opacities.figures("opacity")
        said.append(_opacity_said(of_opacities))
    if case.given.maps is not None:
        figures["agreement"] = _agreement(looked.drawn(COMPARED))
        said.append(
            tell(
                "Occlusion, which needs no map, agrees with it to a correlation of {r}.",
                "L’occlusion, qui se passe de carte, concorde avec elle : corrélation de {r}.",
                r=written(figures["agreement"], ".2f"),
            )
        )
    verdict = _verdict(figures)
    return Outcome(
        verdict=verdict, said=tuple(said), method=METHOD, figures=figures, suspects=_astray(looked, heat, lungs)
    )


def _skipped(said: Text) -> Outcome:
    return Outcome(verdict="skipped", said=(said,), method=METHOD)


def _maps(case: Case) -> NDArray[np.float32]:
    if case.given.maps is not None:
        return case.given.maps
    return explaining.occlusion(case.answer, case.card.labels, case.pixels)


def _agreement(case: Case) -> Estimate:
    """Mean correlation of the network's own maps with occlusion, as heat."""
    size = case.pixels.shape[-1]
    occluded = explaining.occlusion(case.answer, case.card.labels, case.pixels)
    found = explaining.agreement(explaining.heated(_maps(case), size), explaining.heated(occluded, size))
    known = ~np.isnan(found)
    owners = [patient for patient, keep in zip(case.patients, known, strict=True) if keep]
    if not owners:
        return Estimate(value=None, n=0, method="patient_bootstrap")
    low, high = intervals.patient_bootstrap(
        lambda weights, one: (weights @ one) / weights.sum(1), found[known], patients=owners, seed=case.seed
    )
    return Estimate(value=float(found[known].mean()), low=low, high=high, n=len(owners), method="patient_bootstrap")


def lungs_of(case: Case) -> NDArray[np.bool_]:
    """Lungs on the model's grid: the data set's own masks where they are known, else those found."""
    lungs = case.lungs
    masked = [sample for sample in case.samples if sample.mask is not None]
    if masked and case.card.preprocess.frame == "whole":
        lungs = lungs.copy()
        truths = images.truths(masked, case.card.preprocess)
        true = {key: truths.pixels[row] >= 128 for row, key in enumerate(truths.kept)}
        for row, sample in enumerate(case.samples):
            lungs[row] = true.get(sample.id, lungs[row])
    return lungs


def _opacities(case: Case) -> NDArray[np.bool_]:
    """Marked opacities on the model's grid; no pixel of an image without."""
    marked = np.zeros((len(case.samples), *case.pixels.shape[2:]), np.bool_)
    for row, sample in enumerate(case.samples):
        if sample.boxes:
            try:
                done = images.load(sample.path, case.card.preprocess)[1]
            except ImageError:
                continue  # it was read before: gone since, and its boxes with it
            marked[row] = saliency.boxed(sample.boxes, done, case.card.preprocess)
    return marked


def _verdict(figures: Mapping[str, Estimate]) -> Verdict:
    lift, pointing = figures["lift_lungs"], figures["pointing_lungs"]
    if lift.high is not None and lift.high < 1:
        return "warn"
    if pointing.high is not None and pointing.high < _ASTRAY:
        return "warn"
    hit, chance = figures.get("pointing_opacity"), figures.get("expected_opacity")
    if hit and chance and hit.high is not None and chance.value is not None and hit.high <= chance.value:
        return "warn"
    return "pass" if lift.low is not None and lift.low > 1 else "note"


def _lungs_said(of: Quality, how: Text) -> Text:
    return tell(
        "On {n:,} images called positive, {i} of the heat ({how}) lies inside the lungs; spread evenly it would be "
        "{e:.2f}. The hottest point lies in the lungs in {p} of them.",
        "Sur {n:,} images jugées positives, la part de la chaleur ({how}) qui se trouve dans les poumons est de {i} ; "
        "uniformément répartie, elle serait de {e:.2f}. La part des images dont le point le plus chaud est dans les "
        "poumons est de {p}.",
        n=of.inside.n, i=written(of.inside, ".2f"), e=of.expected.value or 0.0, p=written(of.pointing, ".2f"), how=how,
    )  # fmt: skip


def _opacity_said(of: Quality) -> Text:
    return tell(
        "On {n:,} images with marked opacities, {i} of the heat lies inside them (evenly: {e:.2f}), and the hottest "
        "point in {p} of the images.",
        "Sur {n:,} images dont les opacités sont annotées, la part de la chaleur qui s’y trouve est de {i} "
        "(uniformément répartie : {e:.2f}) ; la part des images dont le point le plus chaud y tombe est de {p}.",
        n=of.inside.n, i=written(of.inside, ".2f"), e=of.expected.value or 0.0, p=written(of.pointing, ".2f"),
    )  # fmt: skip


def _astray(case: Case, heat: NDArray[np.float32], lungs: NDArray[np.bool_]) -> tuple[Suspect, ...]:
    """Images called positive for what lies mostly outside their lungs."""
    outside = 1 - saliency.shares(heat, lungs)
    outside[~lungs.any((1, 2))] = np.nan
    order = sorted(np.flatnonzero(outside > _ASTRAY), key=lambda row: -outside[row])
    return tuple(
        Suspect(
            id=case.samples[row].id,
            kind="outside",
            why=tell(
                "called positive, with {o:.0%} of the heat outside the lungs",
                "jugée positive, avec {o:.0%} de la chaleur hors des poumons",
                o=float(outside[row]),
            ),
            value=float(outside[row]),
        )
        for row in order[:_SHOWN]
    )
