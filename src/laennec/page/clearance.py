"""The terminal text of a model held against a policy."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from laennec.page.text import RESEARCH, add_row, plain_table
from laennec.policies import Clearance


def clearance_text(clearance: Clearance) -> Group:
    """Every condition with its ruling, then the whole; ``print(...)`` it on a `rich.console.Console`."""
    table = plain_table(f"{clearance.model} against {clearance.policy.name}", ["", "Asked", "Found", "", "Why"])
    for ruling in clearance.rulings:
        found = "" if ruling.found is None else ruling.found.text()
        mark = Text("pass", style="green") if ruling.passed else Text("FAIL", style="bold red")
        add_row(table, ruling.figure, ruling.asked, found, mark, ruling.why.en)
    failed = sum(not ruling.passed for ruling in clearance.rulings)
    whole = f"{failed} of {len(clearance.rulings)} conditions fail." if failed else "Every condition holds."
    return Group(table, Text(whole, style="bold red" if failed else "bold"), Text(RESEARCH, style="dim"))
