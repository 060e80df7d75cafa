"""Subgroups: whom the model fails, by age, sex, view and source, or by image size where nothing else is known.

Facts come from the data set, else from the file's header. Each group is held against all other images of the same
attribute: AUROC, and sensitivity and specificity at the frozen operating point. The difference has the interval that
follows from the two groups' own (Zou & Donner 2008, doi:10.1002/sim.3095; for proportions it is Newcombe's of 1998),
its p value that of the same interval widened until it reaches 0, corrected over all tests of the probe by Holm's
method. Where an attribute has two groups they are one test, not two. Images are taken as independent: several of one
patient make the intervals too narrow.

A group with fewer than 10 images of a class is shown and not judged. *Warn*: a group is worse than the rest in one of
the three figures, p below .05 after the correction. *Fail*: besides, it is worse by more than 10 points at the near end
of the interval. No difference found is not the same as none: the interval of the worst group tells how bad it may be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from laennec import images, intervals
from laennec.checks import INDEPENDENT, Outcome, Table, Verdict
from laennec.estimates import Estimate
from laennec.probes import Case, rates
from laennec.samples import Sample
from laennec.wording import Text, tell, written

LEAST = 10  # images of each class

TITLE = Text(en="Subgroups", fr="Sous-groupes")
METHOD = tell(
    "AUROC with DeLong’s interval, sensitivity and specificity at the frozen operating point with Wilson’s; each group "
    "against the rest by the interval of a difference of Zou & Donner 2008, doi:10.1002/sim.3095, p corrected over all "
    "tests by Holm’s method. Groups with fewer than {n} images of a class are not judged. {i}",
    "AUROC avec l’intervalle de DeLong, sensibilité et spécificité au point de fonctionnement figé avec celui de "
    "Wilson ; chaque groupe est comparé au reste par l’intervalle d’une différence de Zou et Donner 2008, "
    "doi:10.1002/sim.3095, p corrigé sur l’ensemble des tests par la méthode de Holm. Les groupes de moins de "
    "{n} images d’une classe ne sont pas jugés. {i}",
    n=LEAST, i=INDEPENDENT,
)  # fmt: skip

_WORSE_FAIL = 0.10
_BANDS = ((0, 1), (1, 5), (5, 18), (18, 40), (40, 60), (60, 75), (75, 130))  # years, the upper end not included
_SEXES = {
    "F": Text(en="female", fr="femmes"),
    "M": Text(en="male", fr="hommes"),
    "O": Text(en="other sex", fr="autre sexe"),
}
_FIGURES = {
    "auroc": Text(en="AUROC", fr="AUROC"),
    "sensitivity": Text(en="sensitivity", fr="sensibilité"),
    "specificity": Text(en="specificity", fr="spécificité"),
}
_ATTRIBUTES = {
    "age": Text(en="age", fr="âge"),
    "sex": Text(en="sex", fr="sexe"),
    "view": Text(en="view", fr="incidence"),
    "source": Text(en="source", fr="source"),
    "size": Text(en="image size", fr="taille de l’image"),
}


@dataclass
class _Test:
    """A group's figure against the rest's: group less rest."""

    figure: str
    difference: Estimate
    p: float
    corrected: float = 1.0

    @property
    def worse(self) -> bool:
        return self.corrected < 0.05 and (self.difference.value or 0.0) < 0


@dataclass
class _Group:
    """A group of images and how the model does on them; `tests` are empty where it is too small to judge."""

    attribute: str
    name: Text
    n: int
    positives: int
    figures: dict[str, Estimate]
    tests: list[_Test] = field(default_factory=list)


def probe(case: Case) -> Outcome:
    """How the model does on each group of images that something is known of."""
    groups = [group for name, keys in _known(case).items() for group in _groups(case, name, keys)]
    if not groups:
        reason = tell(
            "Neither age, sex, view nor source is known, or all images are alike in them, and so in size.",
            "Ni l’âge, ni le sexe, ni l’incidence, ni la source ne sont connus, ou toutes les images s’y ressemblent, "
            "comme par leur taille.",
        )
        return Outcome(verdict="skipped", said=(reason,), method=METHOD)
    tests = [test for group in groups for test in group.tests]
    for test, corrected in zip(tests, intervals.holm([test.p for test in tests]), strict=True):
        test.corrected = corrected
    judged = [group for group in groups if min(group.positives, group.n - group.positives) >= LEAST]
    figures = {}
    for name in _FIGURES:
        known = [group.figures[name] for group in judged if group.figures[name].value is not None]
        if known:
            figures[f"worst_{name}"] = min(known, key=lambda one: one.value or 0.0)
    verdict, said = _judged(groups, judged, len(tests))
    return Outcome(verdict=verdict, said=tuple(said), method=METHOD, figures=figures, tables=_tables(groups))


def _known(case: Case) -> dict[str, list[Text | None]]:
    """The group of each image by attribute; None where it is not known. The size stands in where nothing else does."""
    headers = [images.header(sample.path) if _lacks(sample) else None for sample in case.samples]
    rows = list(zip(case.samples, headers, strict=True))
    known: dict[str, list[Text | None]] = {
        "age": [_band(s.age if s.age is not None else h.age if h else None) for s, h in rows],
        "sex": [_SEXES.get(s.sex or (h.sex if h else "")) for s, h in rows],
        "view": [_plain(s.view or (h.view if h else "")) for s, h in rows],
        "source": [_plain(s.source) for s, _ in rows],
    }
    known = {name: keys for name, keys in known.items() if _several(keys)}
    if not known:
        sizes = [h.width * h.height if h else None for h in headers]
        known = {name: keys for name, keys in {"size": _thirds(sizes)}.items() if _several(keys)}
    return known


def _lacks(sample: Sample) -> bool:
    return not (sample.view and sample.sex and sample.age is not None)


def _several(keys: Sequence[Text | None]) -> bool:
    return len({key.en for key in keys if key is not None}) > 1


def _plain(name: str) -> Text | None:
    return Text(en=name, fr=name) if name else None


def _band(age: float | None) -> Text | None:
    found = next(((low, high) for low, high in _BANDS if age is not None and low <= age < high), None)
    if found is None:
        return None
    low, high = found
    if low == 0:
        return tell("under {b} year", "moins de {b} an", b=high)
    if low == _BANDS[-1][0]:
        return tell("{a} years and over", "{a} ans et plus", a=low)
    return tell("{a} to {b} years", "{a} à {b} ans", a=low, b=high - 1)


def _thirds(sizes: Sequence[int | None]) -> list[Text | None]:
    """Small, middle and large pictures by their pixels, about a third each."""
    known = [size for size in sizes if size is not None]
    if not known:
        return [None] * len(sizes)
    low, high = (float(value) for value in np.quantile(known, (1 / 3, 2 / 3)))
    words = (
        tell("up to {a:.2f} megapixels", "jusqu’à {a:.2f} mégapixels", a=low / 1e6),
        tell("over {a:.2f} to {b:.2f} megapixels", "de {a:.2f} à {b:.2f} mégapixels", a=low / 1e6, b=high / 1e6),
        tell("over {a:.2f} megapixels", "plus de {a:.2f} mégapixels", a=high / 1e6),
    )  # fmt: skip
    return [None if size is None else words[(size > low) + (size > high)] for size in sizes]


def _groups(case: Case, attribute: str, keys: list[Text | None]) -> list[_Group]:
    """The groups of an attribute, each against the rest of the images of which it is known."""
    names = {key.en: key for key in keys if key is not None}
    of = np.array([key.en if key is not None else "" for key in keys])
    truth_known = ~np.isnan(case.truth)
    groups, tested = [], 0
    ordered = [band for band in _bands() if band in names] if attribute == "age" else sorted(names)
    for name in ordered:
        inside, rest = (of == name) & truth_known, (of != name) & (of != "") & truth_known
        if not inside.any():
            continue
        own, other = _figures(case, inside), _figures(case, rest)
        group = _Group(attribute, names[name], int(inside.sum()), int((case.truth[inside] == 1).sum()), own)
        # of two groups the second would be the first test again
        if _enough(case, inside) and _enough(case, rest) and not (len(names) == 2 and tested):
            group.tests = [_against(figure, own[figure], other[figure]) for figure in _FIGURES]
            tested += 1
        groups.append(group)
    return groups


def _bands() -> list[str]:
    return [band.en for band in (_band(low) for low, _ in _BANDS) if band is not None]


def _enough(case: Case, rows: NDArray[np.bool_]) -> bool:
    return bool(min((case.truth[rows] == 1).sum(), (case.truth[rows] == 0).sum()) >= LEAST)


def _figures(case: Case, rows: NDArray[np.bool_]) -> dict[str, Estimate]:
    truth, score = case.truth[rows], case.score[rows]
    sensitivity, specificity = rates(truth, score, case.threshold)
    return {"auroc": intervals.delong(truth, score), "sensitivity": sensitivity, "specificity": specificity}


def _against(figure: str, group: Estimate, rest: Estimate) -> _Test:
    """The difference of two independent figures from their intervals, and p that it is 0."""
    n = group.n + rest.n
    values = (group.value, group.low, group.high, rest.value, rest.low, rest.high)
    if any(value is None for value in values):
        return _Test(figure, Estimate(value=None, n=n), 1.0)
    a, low_a, high_a, b, low_b, high_b = (float(value) for value in values if value is not None)
    below, above = math.hypot(a - low_a, high_b - b), math.hypot(high_a - a, b - low_b)
    gap = a - b
    near = above if gap < 0 else below
    p = math.erfc(1.959964 * abs(gap) / near / math.sqrt(2)) if near > 0 else float(gap == 0)
    found = Estimate(value=gap, low=max(-1.0, gap - below), high=min(1.0, gap + above), n=n, method="mover")
    return _Test(figure, found, p)


def _judged(groups: list[_Group], judged: list[_Group], tests: int) -> tuple[Verdict, list[Text]]:
    """The verdict, the groups it rests on, the worst by sensitivity, and what could not be judged."""
    found = []
    for group in groups:
        for test in group.tests:
            # where two groups are one test, the better one bears it
            name, sign = _borne_by(group, groups, test)
            if test.corrected < 0.05 and sign:
                found.append((test, name, sign))
    found.sort(key=lambda one: one[0].p)
    said = [_say_worse(test, name) for test, name, _ in found[:4]]
    near = [-(test.difference.high or 0.0) if sign < 0 else (test.difference.low or 0.0) for test, _, sign in found]
    verdict: Verdict = "pass"
    if found:
        verdict = "fail" if max(near) > _WORSE_FAIL else "warn"
    elif tests:
        said.append(
            tell(
                "No group is shown to do worse than the rest, in {t} tests corrected for their number.",
                "Aucun groupe ne se révèle moins bon que le reste, sur {t} tests corrigés de leur nombre.",
                t=tests,
            )
        )
    else:
        verdict = "note"
        said.append(
            tell(
                "Groups are known, and none is large enough to be held against the rest.",
                "Des groupes sont connus, mais aucun n’est assez grand pour être comparé au reste.",
            )
        )
    if judged:
        said += [_say_worst(judged, figure) for figure in ("sensitivity", "specificity")]
    small = len(groups) - len(judged)
    if small:
        said.append(
            tell(
                "{s} of {n} groups have fewer than {k} images of a class and are not judged.",
                "{s} des {n} groupes comptent moins de {k} images d’une classe et ne sont pas jugés.",
                s=small, n=len(groups), k=LEAST,
            )
        )  # fmt: skip
    return verdict, said


def _borne_by(group: _Group, groups: list[_Group], test: _Test) -> tuple[Text, int]:
    """The name of the group that a test finds worse, and its sign: -1 for the tested one, 1 for the other of two."""
    value = test.difference.value or 0.0
    others = [one for one in groups if one.attribute == group.attribute and one is not group]
    if value < 0:
        return _named(group), -1
    return (_named(others[0]), 1) if len(others) == 1 and value > 0 else (_named(group), 0)


def _named(group: _Group) -> Text:
    return tell("{a}: {n}", "{a} : {n}", a=_ATTRIBUTES[group.attribute], n=group.name)


def _say_worse(test: _Test, name: Text) -> Text:
    gap = abs(test.difference.value or 0.0)
    ends = sorted(abs(end or 0.0) for end in (test.difference.low, test.difference.high))
    return tell(
        "{w} does worse than the rest in {f}: by {g:.3f} [{a:.3f}, {b:.3f}], p = {p:.2g} after correction.",
        "{w} : moins bon que le reste en {f}, de {g:.3f} [{a:.3f} ; {b:.3f}], p = {p:.2g} après correction.",
        w=name, f=_FIGURES[test.figure], g=gap, a=ends[0], b=ends[1], p=test.corrected,
    )  # fmt: skip


def _say_worst(judged: list[_Group], figure: str) -> Text:
    worst = min(judged, key=lambda group: group.figures[figure].value or 0.0)
    return tell(
        "Lowest {f} of {n} groups: {v} ({w}, {k:,} images); being chosen as the lowest it looks worse than it is.",
        "La {f} la plus basse parmi {n} groupes : {v} ({w}, {k:,} images) ; choisie comme la plus basse, elle paraît "
        "pire qu’elle n’est.",
        f=_FIGURES[figure], n=len(judged), v=written(worst.figures[figure]), w=_named(worst), k=worst.n,
    )  # fmt: skip


def _tables(groups: list[_Group]) -> tuple[Table, ...]:
    """How the model does on each group, and each judged one against the rest."""
    held = [group for group in groups if group.tests]
    own = Table(
        title=Text(en="Groups", fr="Groupes"),
        head=(_HEAD["group"], _HEAD["n"], _HEAD["sick"], *(_HEAD[figure] for figure in _FIGURES)),
        rows=tuple((_named(group), group.n, group.positives, *group.figures.values()) for group in groups),
    )
    if not held:
        return (own,)
    gaps = Table(
        title=Text(en="Each group less the rest", fr="Chaque groupe moins le reste"),
        head=(_HEAD["group"], *(_HEAD[figure] for figure in _FIGURES), _HEAD["p"]),
        rows=tuple(
            (_named(g), *(test.difference for test in g.tests), min(test.corrected for test in g.tests)) for g in held
        ),
    )
    return own, gaps


_HEAD = {
    "group": Text(en="Group", fr="Groupe"),
    "n": Text(en="Images", fr="Images"),
    "sick": Text(en="With the finding", fr="Avec l’anomalie"),
    "auroc": Text(en="AUROC", fr="AUROC"),
    "sensitivity": Text(en="Sensitivity", fr="Sensibilité"),
    "specificity": Text(en="Specificity", fr="Spécificité"),
    "p": Text(en="Least p (Holm)", fr="p minimal (Holm)"),
}
