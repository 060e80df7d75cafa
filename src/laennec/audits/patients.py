"""Patients: no patient may have images in two parts, and every image needs one."""

from __future__ import annotations

from collections import defaultdict

from laennec.audits import Subject
from laennec.checks import Outcome, Suspect
from laennec.estimates import Estimate
from laennec.wording import Text, tell

TITLE = Text(en="Patients across parts", fr="Patients présents dans plusieurs parties")
METHOD = tell(
    "Every patient key is held against the part of each of its images.",
    "Chaque identifiant de patient est comparé à la partie de chacune de ses images.",
)


def audit(subject: Subject) -> Outcome:
    """Name every image of a patient who has images in two parts."""
    parts: dict[str, set[str]] = defaultdict(set)
    for patient, part in zip(subject.patients, subject.parts, strict=True):
        if part:
            parts[patient].add(str(part))
    torn = {patient for patient, where in parts.items() if len(where) > 1}
    suspects = tuple(
        Suspect(
            id=sample.id,
            kind="patient",
            why=tell(
                "patient {p} is in {w}",
                "le patient {p} est dans {w}",
                p=sample.patient,
                w=", ".join(parts[sample.patient]),
            ),
        )
        for sample in subject.samples
        if sample.patient in torn
    )
    several = len(subject.samples) - len(set(subject.patients))
    figures = {
        "patients": Estimate(value=len(parts), n=len(subject.samples)),
        "across": Estimate(value=len(torn), n=len(parts)),
    }
    said = tell(
        "{t:,} of {n:,} patients have images in more than one part; {m:,} images share a patient with another.",
        "{t:,} patients sur {n:,} ont des images dans plusieurs parties ; {m:,} images partagent leur patient avec une autre.",
        t=len(torn), n=len(parts), m=several,
    )  # fmt: skip
    return Outcome(verdict="fail" if torn else "pass", said=(said,), method=METHOD, figures=figures, suspects=suspects)
