"""What an audit found, as nouns: one check after another, its verdict, what it rests on, the images it points at."""

from __future__ import annotations

from collections import Counter
from typing import Literal, get_args

from pydantic import Field

from laennec.estimates import Estimate
from laennec.noun import Noun
from laennec.results import Refused
from laennec.wording import Text

Verdict = Literal["pass", "note", "skipped", "warn", "fail"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)  # the worst last
Unlooked = Literal["", "missing_extra", "broken"]
INDEPENDENT = Text(
    en="DeLong’s and Wilson’s intervals and tests take the images of a patient as independent; where patients have "
    "several, the intervals are too narrow.",
    fr="Les intervalles et les tests de DeLong et de Wilson tiennent les images d’un patient pour indépendantes\u202f; "
    "si les patients en ont plusieurs, les intervalles sont trop étroits.",
)  # for the method of every check whose images may share a patient


class Suspect(Noun):
    """An image a check points at.

    Attributes:
        id: of the sample.
        beside: ids it is held against (the other of a pair), as ``id``, or ``collection:id`` for one of another set.
        kind: a short stable word that groups suspects (``exact``, ``near``, ``inverted``, ``text``).
        why: in words.
        value: what it was judged by, larger is more suspect; suspects come in falling order of it.
    """

    id: str
    beside: tuple[str, ...] = ()
    kind: str = ""
    why: Text
    value: float | None = None


class Table(Noun):
    """A small table of figures.

    Attributes:
        head: a title for each column.
        rows: cells; a number is written as the language does, an `Estimate` with its interval, None as a dash.
    """

    title: Text
    head: tuple[Text, ...]
    rows: tuple[tuple[Text | Estimate | str | int | float | None, ...], ...]


class Line(Noun):
    """One line of a chart: points (x, y), and where known (low, high) of y at each."""

    name: Text
    points: tuple[tuple[float, float], ...]
    bounds: tuple[tuple[float, float], ...] = ()


class Chart(Noun):
    """Lines over one pair of axes.

    Attributes:
        level: a horizontal line to read the others by (chance, the untouched model); None for none.
    """

    title: Text
    x: Text
    y: Text
    lines: tuple[Line, ...]
    level: float | None = None


class Outcome(Noun):
    """What a member of a family of audits answers.

    Attributes:
        verdict: ``pass``: looked for and not found; ``note``: nothing to judge, to be read; ``skipped``: it could not
            be looked at, `said` tells why; ``warn``: found, to be kept in mind with every figure; ``fail``: figures
            made on this cannot be defended until it is mended.
        said: sentences, the first one the finding in short.
        method: how it was looked at, with its source.
        figures: by stable name, for programs and policies.
        suspects: every image pointed at.
        unlooked: why nobody could look, for programs: ``missing_extra``, a library is not installed; ``broken``, the
            member raised; empty where it did look, or where the data has nothing to look at (`verdict` ``skipped``).
    """

    verdict: Verdict
    said: tuple[Text, ...]
    method: Text
    figures: dict[str, Estimate] = Field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    unlooked: Unlooked = ""


class Check(Outcome):
    """An outcome with the member's name and title, and the seconds it took.

    Attributes:
        withheld: suspects that were taken out, counted by kind; see `Audit.anonymous`.
    """

    name: str
    title: Text
    seconds: float
    withheld: dict[str, int] = Field(default_factory=dict)


class Audit(Noun):
    """A data set, or a model on one part of its data, audited.

    Attributes:
        of: ``data`` or ``model``.
        name: of the collection, or of the model.
        part: of a model's audit; empty for data.
        bundle_digest: likewise.
        positive: labels that are the finding.
        refused: images that could not be read.
        seconds: decoding included.
    """

    version: Literal[1] = 1
    of: Literal["data", "model"]
    name: str
    collection: str
    collection_digest: str
    split_digest: str
    split_how: str
    part: str = ""
    bundle_digest: str = ""
    positive: tuple[str, ...]
    images: int
    patients: int
    checks: tuple[Check, ...]
    refused: tuple[Refused, ...] = ()
    seconds: float
    made: str
    hardware: str
    laennec: str

    @property
    def verdict(self) -> Verdict:
        """The worst of the checks."""
        return max((check.verdict for check in self.checks), key=VERDICTS.index, default="pass")

    @property
    def unlooked(self) -> tuple[str, ...]:
        """Names of the checks that nobody could look at: a library was missing, or they broke."""
        return tuple(check.name for check in self.checks if check.unlooked)

    def covers(self, collection_digest: str, split_digest: str) -> bool:
        """Whether it is an audit of just these data, parted just so: much of what it says is about the parts."""
        found = (self.of, self.collection_digest, self.split_digest)
        return found == ("data", collection_digest, split_digest)

    def anonymous(self) -> Audit:
        """The same without the name of any image: suspects become counts by kind, of what was refused the codes stay.

        Verdicts, sentences, figures, tables and charts stay.
        """
        bare = tuple(
            check.model_copy(
                update={
                    "suspects": (),
                    "withheld": {**check.withheld, **Counter(one.kind for one in check.suspects)},
                }
            )
            for check in self.checks
        )
        refused = tuple(Refused(id="", code=one.code, reason="") for one in self.refused)
        return self.model_copy(update={"checks": bare, "refused": refused})

    def check(self, name: str) -> Check | None:
        """The check of that name; None where it was not asked for."""
        return next((check for check in self.checks if check.name == name), None)
