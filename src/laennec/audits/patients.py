"""Patients: no patient may have images in two parts, and every image needs one."""

from __future__ import annotations

from collections import defaultdict

from laennec.audits import Subject
from laennec.checks import Outcome, Suspect
from laennec.estimates import Estimate
from laennec.wording import Text, tell

TITLE = Text(en="Patients across parts", fr="Patients présents dans plusieurs parties")
METHOD = tell(
    "Every patient key is held against the part, sex and age of each of its images.",
    "Chaque identifiant de patient est comparé à la partie, au sexe et à l’âge de chacune de ses images.",
)
_YEARS = 10.0  # a patient's images may lie years apart


def audit(subject: Subject) -> Outcome:
    """Fail where a patient has images in two parts or an image has none; warn where the keys cannot be believed."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, patient in enumerate(subject.patients):
        rows[patient].append(row)
    parts = {patient: sorted({str(subject.parts[row]) for row in of} - {""}) for patient, of in rows.items()}
    torn = {patient for patient, where in parts.items() if len(where) > 1 and patient.strip()}
    empty = [row for patient, of in rows.items() if not patient.strip() for row in of]
    odd = {patient: why for patient, of in rows.items() if patient.strip() and (why := _contradiction(subject, of))}
    n, several = len(subject.samples), len(subject.samples) - len(rows)
    said = [
        tell(
            "{t:,} of {n:,} patients have images in more than one part; {m:,} images share a patient with another.",
            "{t:,} patients sur {n:,} ont des images dans plusieurs parties ; {m:,} images partagent leur patient avec "
            "une autre.",
            t=len(torn), n=len(rows), m=several,
        )
    ]  # fmt: skip
    if empty:
        said.append(
            tell(
                "{e:,} images have no patient: nothing keeps them apart from the other parts.",
                "{e:,} images n’ont pas de patient : rien ne les sépare des autres parties.",
                e=len(empty),
            )
        )
    if odd:
        said.append(
            tell(
                "{o:,} patient keys join images of different sex, or of ages more than {y:.0f} years apart: they may "
                "be several patients.",
                "{o:,} identifiants de patient réunissent des images de sexe différent, ou d’âges écartés de plus de "
                "{y:.0f} ans : il peut s’agir de plusieurs patients.",
                o=len(odd), y=_YEARS,
            )
        )  # fmt: skip
    alone = n > 1 and several == 0
    if alone:
        said.append(
            tell(
                "Every image counts as a patient of its own: if patients have several images, nothing here can tell.",
                "Chaque image compte pour un patient : si des patients ont plusieurs images, rien ici ne permet de le "
                "savoir.",
            )
        )
    suspects = [
        Suspect(
            id=subject.ids[row],
            kind="patient",
            why=tell("patient {p} is in {w}", "le patient {p} est dans {w}", p=patient, w=", ".join(parts[patient])),
        )
        for patient in rows
        if patient in torn
        for row in rows[patient]
    ]
    suspects += [
        Suspect(id=subject.ids[row], kind="none", why=Text(en="no patient", fr="aucun patient")) for row in empty
    ]
    suspects += [
        Suspect(id=subject.ids[row], kind="person", why=why) for patient, why in odd.items() for row in rows[patient]
    ]
    return Outcome(
        verdict="fail" if torn or empty else "warn" if odd or alone else "pass",
        said=tuple(said),
        method=METHOD,
        figures={
            "patients": Estimate(value=len(rows), n=n),
            "across": Estimate(value=len(torn), n=len(rows)),
            "without": Estimate(value=len(empty), n=n),
            "contradictory": Estimate(value=len(odd), n=len(rows)),
        },
        suspects=tuple(suspects),
    )


def _contradiction(subject: Subject, rows: list[int]) -> Text | None:
    """Why images of one key may be of several patients; None where nothing says so."""
    sexes = sorted({subject.samples[row].sex for row in rows} - {""})
    ages = [age for row in rows if (age := subject.samples[row].age) is not None]
    if len(sexes) > 1:
        return tell(
            "patient {p} is of sex {s}",
            "le patient {p} est de sexe {s}",
            p=subject.patients[rows[0]],
            s=", ".join(sexes),
        )
    if ages and max(ages) - min(ages) > _YEARS:
        return tell(
            "patient {p} is {a:.0f} to {b:.0f} years old",
            "le patient {p} est âgé de {a:.0f} à {b:.0f} ans",
            p=subject.patients[rows[0]], a=min(ages), b=max(ages),
        )  # fmt: skip
    return None
