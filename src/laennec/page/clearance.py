"""The terminal text of a model held against a policy."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from laennec.page.text import RESEARCH, add_row, plain_table
from laennec.policies import Clearance

_AUDITED = ("audit.", "verdicts.")
_FITTED = (
    "The audit was made on validation, where the thresholds were set and the epoch was chosen: its levels flatter. Ask "
    'audit_part = "test" of a frozen model.'
)


def clearance_text(clearance: Clearance) -> Group:
    """Every condition with its ruling, then the whole; ``print(...)`` it on a `rich.console.Console`."""
    table = plain_table(f"{clearance.model} against {clearance.policy.name}", ["", "Asked", "Found", "", "Why"])
    for ruling in clearance.rulings:
        found = "" if ruling.found is None else ruling.found.text()
        mark = Text("pass", style="green") if ruling.passed else Text("FAIL", style="bold red")
        add_row(table, ruling.figure, ruling.asked, found, mark, ruling.why.en)
    failed = sum(not ruling.passed for ruling in clearance.rulings)
    parts: list[RenderableType] = [table]
    if clearance.policy.audit_part == "val" and any(r.figure.startswith(_AUDITED) for r in clearance.rulings):
        parts.append(Text(_FITTED, style="yellow"))
    whole = f"{failed} of {len(clearance.rulings)} conditions fail." if failed else "Every condition holds."
    parts += [Text(whole, style="bold red" if failed else "bold"), Text(RESEARCH, style="dim")]
    return Group(*parts)
