"""Untouched images: what the model reaches on them, which the other probes are held against."""

from __future__ import annotations

from laennec import intervals
from laennec.checks import INDEPENDENT, Outcome
from laennec.probes import Case
from laennec.wording import Text, tell, written

TITLE = Text(en="Images as they are", fr="Images telles quelles")
METHOD = tell(
    "AUROC with DeLong’s interval (DeLong 1988). {i}",
    "AUROC avec l’intervalle de DeLong (DeLong 1988). {i}",
    i=INDEPENDENT,
)


def probe(case: Case) -> Outcome:
    """The AUROC on the part."""
    auroc = intervals.delong(case.truth, case.score)
    said = tell("AUROC {a} on {n:,} images.", "AUROC {a} sur {n:,} images.", a=written(auroc), n=auroc.n)
    return Outcome(verdict="note", said=(said,), method=METHOD, figures={"auroc": auroc})
