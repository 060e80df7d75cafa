"""Which public sets this one holds or is held by, and whether those beside it may be called external to it."""

from __future__ import annotations

from laennec import provenance
from laennec.audits import Subject
from laennec.checks import Outcome, Table
from laennec.estimates import Estimate
from laennec.wording import Text, tell

TITLE = Text(en="Where the images come from", fr="Origine des images")
METHOD = tell(
    "A table of {n} public sets and of what each took from others, as their publishers say.",
    "Une table de {n} jeux de données publics et de ce que chacun reprend des autres, d’après leurs éditeurs.",
    n=len(provenance.SETS),
)
_ANSWERS = {
    "yes": Text(en="yes", fr="oui"),
    "no": Text(en="no", fr="non"),
    "unknown": Text(en="not known", fr="inconnu"),
}


def audit(subject: Subject) -> Outcome:
    """Fail where a set beside this one shares its origin; a note where the table does not know."""
    one = provenance.known(subject.collection.name)
    related = list(provenance.relatives(one)) if one else []
    said = [
        tell("{t} ({s}).", "{t} ({s}).", t=one.title, s=one.source)
        if one
        else tell(
            "Laennec’s list of public sets has none named {n}: its images may be those of any other set.",
            "Aucun jeu public nommé « {n} » dans la liste de laennec : ses images peuvent venir d’un autre.",
            n=subject.name,
        )
    ]  # fmt: skip
    if one and related:
        named = ", ".join(other.title for other, _ in related)
        said.append(
            tell(
                "It may share images with {k}; none of them is external to it.",
                "Il peut avoir des images en commun avec {k} ; aucun n’en est indépendant.",
                k=named,
            )
        )
    answers = {other.name: (other, _against(subject, other)) for other in subject.beside}
    refused = [name for name, (_, answer) in answers.items() if answer.external == "no"]
    unsure = [name for name, (_, answer) in answers.items() if answer.external == "unknown"]
    for name in refused:
        why = answers[name][1].why
        said.append(
            tell(
                "{o} is not external to {n}: {why}.", "{o} n’est pas externe à {n} : {why}.",
                o=name, n=subject.name, why=why,
            )
        )  # fmt: skip
    for name in unsure:
        why = answers[name][1].why
        said.append(
            tell(
                "Whether {o} is external is not known: {why}. Only a look at the images can tell.",
                "On ignore si {o} est externe : {why}. Seul l’examen des images peut le dire.",
                o=name,
                why=why,
            )
        )
    tables = [_relatives(related)] if related else []
    if answers:
        tables.append(_beside(answers))
    return Outcome(
        verdict="fail" if refused else "note" if unsure or not one or related else "pass",
        said=tuple(said),
        method=METHOD,
        figures={
            "related": Estimate(value=len(related), n=len(provenance.SETS)),
            "not_external": Estimate(value=len(refused), n=len(answers)),
            "unknown": Estimate(value=len(unsure), n=len(answers)),
        },
        tables=tuple(tables),
    )


def _against(subject: Subject, other: Subject) -> provenance.Answer:
    """What the table says; where it says nothing, whether the images name one source."""
    answer = provenance.external(other.collection.name, subject.collection.name)
    mine, theirs = ({sample.source for sample in one.samples} - {""} for one in (subject, other))
    shared = sorted(mine & theirs)
    if answer.external == "no" or not shared:
        return answer
    why = tell(
        "both have images from {s}, so that patients may be in both",
        "tous deux contiennent des images de {s} et peuvent donc partager des patients",
        s=", ".join(shared[:5]),
    )
    return provenance.Answer(external="unknown", why=why)


def _relatives(related: list[tuple[provenance.PublicSet, Text]]) -> Table:
    return Table(
        title=tell("Sets that share its images", "Jeux de données ayant des images en commun"),
        head=(tell("Set", "Jeu de données"), tell("Why", "Raison")),
        rows=tuple((other.title, why) for other, why in related),
    )


def _beside(answers: dict[str, tuple[Subject, provenance.Answer]]) -> Table:
    return Table(
        title=tell("The sets beside it", "Les jeux de données comparés"),
        head=(
            tell("Set", "Jeu de données"),
            tell("Images", "Images"),
            tell("External", "Externe"),
            tell("Why", "Raison"),
        ),
        rows=tuple(
            (name, len(other.samples), _ANSWERS[answer.external], answer.why)
            for name, (other, answer) in answers.items()
        ),
    )
