"""Patients: no patient may have images in two parts, and every image needs one."""

from __future__ import annotations

from collections import defaultdict

from laennec.audits import Subject
from laennec.checks import Outcome, Suspect
from laennec.estimates import Estimate
from laennec.samples import PART_NAMES
from laennec.wording import Text, joined, of_part, tell

TITLE = Text(en="Patients across parts", fr="Patients présents dans plusieurs parties")
METHOD = tell(
    "Every patient key is held against the part, sex and age of each of its images.",
    "Chaque identifiant de patient est comparé à la partie, au sexe et à l’âge de chacune de ses images.",
)
_YEARS = 10.0  # a patient's images may lie years apart
_NAMED = 3  # images of the same patient, of each suspect


def audit(subject: Subject) -> Outcome:
    """Fail where a patient has images in two parts or an image has none; warn where the keys cannot be believed."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, patient in enumerate(subject.patients):
        rows[patient].append(row)
    empty = [row for patient in [key for key in rows if not key.strip()] for row in rows.pop(patient)]
    torn = [of for of in rows.values() if len({str(subject.parts[row]) for row in of} - {""}) > 1]
    odd = [(of, why) for of in rows.values() if (why := _contradiction(subject, of))]
    n, several = len(subject.samples), sum(len(of) for of in rows.values() if len(of) > 1)
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
    alone = len(rows) > 1 and several == 0
    if alone:
        said.append(
            tell(
                "Every image counts as a patient of its own: if patients have several images, nothing here can tell.",
                "Chaque image compte pour un patient : si des patients ont plusieurs images, rien ici ne permet de le "
                "savoir.",
            )
        )
    suspects = [_torn(subject, of, row) for of in torn for row in of]
    suspects += [
        Suspect(id=subject.ids[row], kind="none", why=Text(en="no patient", fr="aucun patient")) for row in empty
    ]
    suspects += [_person(subject, of, row, why) for of, why in odd for row in of]
    return Outcome(
        verdict="fail" if torn or empty else "warn" if odd or alone else "pass",
        said=tuple(said),
        method=METHOD,
        figures={
            "patients": Estimate(value=len(rows), n=n),
            "sharing": Estimate(value=several, n=n),
            "across": Estimate(value=len(torn), n=len(rows)),
            "without": Estimate(value=len(empty), n=n),
            "contradictory": Estimate(value=len(odd), n=len(rows)),
        },
        suspects=tuple(suspects),
    )


def _torn(subject: Subject, rows: list[int], row: int) -> Suspect:
    """An image of a patient who has others in another part, and those. Neither the key nor what is known of the person
    is told: the list of suspects is passed on more freely than the data.
    """
    others = [other for other in rows if subject.parts[other] not in ("", subject.parts[row])]
    parts = joined(of_part(part) for part in PART_NAMES if part in {str(subject.parts[other]) for other in others})
    return Suspect(
        id=subject.ids[row],
        beside=tuple(subject.ids[other] for other in others[:_NAMED]),
        kind="patient",
        why=tell(
            "its patient is in the {p} part too: {i}",
            "son patient est aussi dans la partie {p} : {i}",
            p=parts, i=_listed(subject, others),
        ),
    )  # fmt: skip


def _person(subject: Subject, rows: list[int], row: int, why: Text) -> Suspect:
    others = [other for other in rows if other != row]
    return Suspect(
        id=subject.ids[row],
        beside=tuple(subject.ids[other] for other in others[:_NAMED]),
        kind="person",
        why=tell("{w}: {i}", "{w} : {i}", w=why, i=_listed(subject, others)),
    )


def _listed(subject: Subject, rows: list[int]) -> Text:
    named = ", ".join(subject.ids[row] for row in rows[:_NAMED])
    more = len(rows) - _NAMED
    return tell("{i} and {m:,} more", "{i} et {m:,} autres", i=named, m=more) if more > 0 else Text(en=named, fr=named)


def _contradiction(subject: Subject, rows: list[int]) -> Text | None:
    """Why images of one key may be of several patients; None where nothing says so."""
    if len({subject.samples[row].sex for row in rows} - {""}) > 1:
        return Text(en="different sexes under the same key", fr="sexes différents sous le même identifiant")
    ages = [age for row in rows if (age := subject.samples[row].age) is not None]
    if ages and max(ages) - min(ages) > _YEARS:
        return tell(
            "ages more than {y:.0f} years apart under the same key",
            "âges écartés de plus de {y:.0f} ans sous le même identifiant",
            y=_YEARS,
        )
    return None
