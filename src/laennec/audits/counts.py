"""How many images, patients and findings there are in each part and subgroup, and which are too few to be judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laennec import images
from laennec.audits import Subject
from laennec.checks import INDEPENDENT, Outcome, Table
from laennec.estimates import Estimate
from laennec.intervals import patient_bootstrap, wilson
from laennec.samples import PART_NAMES, Sample
from laennec.wording import Text, joined, of_part, tell
from laennec.wording import part as in_words

TITLE = Text(en="Counts of parts and subgroups", fr="Effectifs des parties et des sous-groupes")
FEW = 50  # images with, or without, the finding; a sensitivity measured on fewer has an interval wider than ±.1
MOVED = 0.05  # difference of prevalence worth a warning, where its interval leaves out 0
METHOD = tell(
    "Images and patients are counted by part, label, view, source, sex and age. Prevalences with Wilson’s interval "
    "(1927); their differences by bootstrap of patients (Field & Welsh 2007). Fewer than {f} images with or without "
    "the finding in a group of the test part cannot be judged: a sensitivity of .8 is then known to ±.11. {i}",
    "Images et patients sont comptés par partie, étiquette, incidence, origine, sexe et âge. Prévalences avec "
    "l’intervalle de Wilson (1927) ; leurs différences par bootstrap sur les patients (Field et Welsh 2007). Moins de "
    "{f} images avec ou sans l’anomalie dans un groupe de la partie de test ne permettent pas de conclure : une "
    "sensibilité de 0,8 n’est alors connue qu’à ± 0,11. {i}",
    f=FEW,
    i=INDEPENDENT,
)
_FACTS = {
    "view": Text(en="view", fr="incidence"),
    "source": Text(en="source", fr="origine"),
    "sex": Text(en="sex", fr="sexe"),
    "age": Text(en="age", fr="âge"),
}
_BANDS = ((0, 1), (1, 6), (6, 18), (18, 40), (40, 60), (60, 80))  # years, the upper not included
_MOST = 12  # values of a fact shown apart
_PICTURES = {".jpg", ".jpeg", ".png"}  # their headers say nothing of the patient


def audit(subject: Subject) -> Outcome:
    """Count; warn of what is too small to be judged and of prevalences that differ between the parts."""
    sick, known = subject.truth == 1, ~np.isnan(subject.truth)
    per_patient = Counter(subject.patients)
    figures = {
        "images": Estimate(value=len(subject.samples), n=len(subject.samples)),
        "patients": Estimate(value=len(per_patient), n=len(subject.samples)),
        "per_patient": Estimate(value=float(median(per_patient.values())), n=len(per_patient)),
        "per_patient_most": Estimate(value=max(per_patient.values()), n=len(per_patient)),
    }
    said, warnings = [_summary(subject, per_patient)], list[Text]()
    for part in PART_NAMES:
        here = subject.parts == part
        figures[f"prevalence_{part}"] = wilson(int((sick & here).sum()), int((known & here).sum()))
    groups = _groups(subject)
    if (subject.parts == "test").any():
        warnings += _too_few(subject, sick, known, figures)
        small = [(f, v) for f, v, rows in groups if 0 < _fewest(subject, rows, sick, known) < FEW]
        lone = [(f, v) for f, v, rows in groups if _one_sided(subject, rows, sick, known)]
        figures["small_groups"] = Estimate(value=len(small) + len(lone), n=len(groups))
        for chosen, en, fr in (
            (
                small,
                "too few images to judge in the test part",
                "trop peu d’images pour conclure dans la partie de test",
            ),
            (
                lone,
                "the test part has images with the finding only, or without it only",
                "la partie de test ne contient que des images avec l’anomalie, ou que des images sans",
            ),
        ):
            if chosen:
                named = [tell("{f} {v}", "{f} {v}", f=_FACTS[f], v=v) for f, v in chosen]
                warnings.append(tell(f"{{g}}: {en}.", f"{{g}} : {fr}.", g=joined(named)))
    for part in ("val", "test"):
        warnings += _moved(subject, part, sick, known, figures)
    if not subject.collection.labels.exclusive or np.isnan(subject.values).any():
        unknown = int(np.isnan(subject.values).any(1).sum())
        figures["unknown_labels"] = Estimate(value=unknown, n=len(subject.samples))
    tables = [_by_label(subject, sick, known)]
    if groups:
        tables.append(_by_group(subject, groups, sick, known))
    return Outcome(
        verdict="warn" if warnings else "note",
        said=(*said, *warnings),
        method=METHOD,
        figures=figures,
        tables=tuple(tables),
    )


def _summary(subject: Subject, per_patient: Counter[str]) -> Text:
    counts = {part: int((subject.parts == part).sum()) for part in PART_NAMES}
    return tell(
        "{n:,} images of {p:,} patients (up to {m:,} each): {train:,} to train on, {val:,} to choose on, {test:,} to "
        "test on.",
        "{n:,} images de {p:,} patients (jusqu’à {m:,} par patient) : {train:,} pour l’entraînement, {val:,} pour la "
        "validation, {test:,} pour le test.",
        n=len(subject.samples), p=len(per_patient), m=max(per_patient.values()), **counts,
    )  # fmt: skip


def _too_few(
    subject: Subject, sick: NDArray[np.bool_], known: NDArray[np.bool_], figures: dict[str, Estimate]
) -> list[Text]:
    here = subject.parts == "test"
    positives, negatives = int((sick & here).sum()), int((known & ~sick & here).sum())
    figures["test_positives"] = Estimate(value=positives, n=int(here.sum()))
    figures["test_negatives"] = Estimate(value=negatives, n=int(here.sum()))
    if min(positives, negatives) >= FEW:
        return []
    return [
        tell(
            "The test part has {p:,} images with the finding and {n:,} without: figures on fewer than {f} say little.",
            "La partie de test compte {p:,} images avec l’anomalie et {n:,} sans : des résultats sur moins de {f} "
            "images en disent peu.",
            p=positives, n=negatives, f=FEW,
        )
    ]  # fmt: skip


def _moved(
    subject: Subject, part: str, sick: NDArray[np.bool_], known: NDArray[np.bool_], figures: dict[str, Estimate]
) -> list[Text]:
    """The prevalence of a part less that of train, with its interval, and a warning where it differs."""
    train, here = (subject.parts == "train") & known, (subject.parts == part) & known
    if not train.any() or not here.any():
        return []

    def share(weights: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
        count = weights @ rows.astype(float)
        found: NDArray[Any] = weights @ (rows & sick).astype(float) / np.where(count > 0, count, np.nan)
        return found

    def statistic(weights: NDArray[Any], a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        moved: NDArray[Any] = share(weights, b) - share(weights, a)
        return moved

    value = float(sick[here].mean() - sick[train].mean())
    low, high = patient_bootstrap(statistic, train, here, patients=subject.patients, seed=subject.seed)
    figures[f"prevalence_shift_{part}"] = Estimate(
        value=value, low=low, high=high, n=int(here.sum()), method="patient_bootstrap"
    )
    if low is None or high is None or low <= 0 <= high or abs(value) < MOVED:
        return []
    return [
        tell(
            "The finding is in {t:.1%} of the training part and {h:.1%} of the {p} part, a difference of {v:+.1%} "
            "[{l:+.1%}, {u:+.1%}]: predictive values, calibration and thresholds do not carry over.",
            "L’anomalie est présente dans {t:.1%} de la partie d’entraînement et {h:.1%} de la partie {p}, soit un "
            "écart de {v:+.1%} [{l:+.1%} ; {u:+.1%}] : valeurs prédictives, calibration et seuils ne sont pas "
            "transposables.",
            t=float(sick[train].mean()), h=float(sick[here].mean()), p=of_part(part), v=value, l=low, u=high,
        )
    ]  # fmt: skip


def _groups(subject: Subject) -> list[tuple[str, Text | str, NDArray[np.bool_]]]:
    """Every value of every fact that is known of some images, with its images; a fact of one value is no subgroup."""
    silent = all(sample.path.suffix.lower() in _PICTURES for sample in subject.samples)
    headers: Sequence[images.Header | None] = (None,) * len(subject.samples)
    if not silent and any(not (s.view and s.sex and s.age is not None) for s in subject.samples):
        headers = subject.headers
    facts: dict[str, Callable[[Sample, images.Header | None], str]] = {
        "view": lambda sample, header: sample.view or (header.view if header else ""),
        "source": lambda sample, _: sample.source,
        "sex": lambda sample, header: sample.sex or (header.sex if header else ""),
        "age": lambda sample, header: _band(sample.age if sample.age is not None else header.age if header else None),
    }
    groups: list[tuple[str, Text | str, NDArray[np.bool_]]] = []
    for fact, of in facts.items():
        values = np.array([of(sample, header) for sample, header in zip(subject.samples, headers, strict=True)])
        counts = Counter(values[values != ""].tolist())
        if not counts or (len(counts) == 1 and (values != "").all()):
            continue
        order = sorted(counts, key=lambda value: (-counts[value], value))
        if fact == "age":
            order = sorted(counts, key=lambda value: int(value.partition("–")[0].rstrip("+")))
        groups += [(fact, value, values == value) for value in order[:_MOST]]
        if len(order) > _MOST:
            rest = tell("{n} others", "{n} autres", n=len(order) - _MOST)
            groups.append((fact, rest, np.isin(values, order[_MOST:])))
        if (values == "").any():
            groups.append((fact, Text(en="not known", fr="inconnu"), values == ""))
    return groups


def _band(age: float | None) -> str:
    if age is None:
        return ""
    return next((f"{low}–{high - 1}" for low, high in _BANDS if age < high), f"{_BANDS[-1][1]}+")


def _both(
    subject: Subject, rows: NDArray[np.bool_], sick: NDArray[np.bool_], known: NDArray[np.bool_], part: str
) -> tuple[int, int]:
    here = rows & (subject.parts == part)
    return int((sick & here).sum()), int((known & ~sick & here).sum())


def _fewest(subject: Subject, rows: NDArray[np.bool_], sick: NDArray[np.bool_], known: NDArray[np.bool_]) -> int:
    return min(_both(subject, rows, sick, known, "test"))


def _one_sided(subject: Subject, rows: NDArray[np.bool_], sick: NDArray[np.bool_], known: NDArray[np.bool_]) -> bool:
    positives, negatives = _both(subject, rows, sick, known, "test")
    return min(positives, negatives) == 0 < max(positives, negatives)


def _by_label(subject: Subject, sick: NDArray[np.bool_], known: NDArray[np.bool_]) -> Table:
    rows: list[tuple[Text | Estimate | str | int | float | None, ...]] = []
    for part in PART_NAMES:
        here = subject.parts == part
        if not here.any():
            continue
        patients = {subject.patients[row] for row in np.flatnonzero(here)}
        counts = [int((subject.values[here, place] == 1).sum()) for place in range(subject.values.shape[1])]
        share = wilson(int((sick & here).sum()), int((known & here).sum()))
        rows.append((in_words(part), int(here.sum()), len(patients), *counts, share))
    return Table(
        title=tell("Parts", "Parties"),
        head=(
            tell("Part", "Partie"),
            tell("Images", "Images"),
            tell("Patients", "Patients"),
            *(Text(en=name, fr=name) for name in subject.collection.labels.names),
            tell("Share with the finding", "Part avec l’anomalie"),
        ),
        rows=tuple(rows),
    )


def _by_group(
    subject: Subject,
    groups: list[tuple[str, Text | str, NDArray[np.bool_]]],
    sick: NDArray[np.bool_],
    known: NDArray[np.bool_],
) -> Table:
    rows = []
    for fact, value, of in groups:
        patients = len({subject.patients[row] for row in np.flatnonzero(of)})
        cells = [count for part in PART_NAMES for count in _both(subject, of, sick, known, part)]
        share = wilson(int((sick & of).sum()), int((known & of).sum()))
        rows.append((_FACTS[fact], value, int(of.sum()), patients, *cells, share))
    sides = {"+": tell("with", "avec"), "-": tell("without", "sans")}
    return Table(
        title=tell("Subgroups: images with and without the finding", "Sous-groupes : images avec et sans l’anomalie"),
        head=(
            tell("Fact", "Caractéristique"),
            tell("Value", "Valeur"),
            tell("Images", "Images"),
            tell("Patients", "Patients"),
            *(tell("{p}, {s}", "{p}, {s}", p=in_words(part), s=side) for part in PART_NAMES for side in sides.values()),
            tell("Share with the finding", "Part avec l’anomalie"),
        ),
        rows=tuple(rows),
    )
