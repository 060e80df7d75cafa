"""The page of benchmarks: each script writes its own section of ``docs/benchmarks.md`` and leaves the others alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from laennec import hardware
from laennec.version import VERSION

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Each section is written by the command it names. Hardware stands in each; the machines were shared and busy, so read
ratios within a run rather than single times. Research use only.
"""


def write(section: str, title: str, command: str, lines: Sequence[str]) -> None:
    """Replace `section`, or add it at the end; also prints it."""
    told = f"Made by `{command}` on {datetime.now(UTC):%Y-%m-%d}, laennec {VERSION}, {hardware.describe()}."
    body = "\n".join([f"<!-- {section} -->", f"## {title}", "", told, "", *lines, f"<!-- end of {section} -->"])
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else HEAD
    pattern = re.compile(rf"<!-- {section} -->.*?<!-- end of {section} -->", re.DOTALL)
    found = pattern.search(text)
    text = pattern.sub(lambda _: body, text) if found else text.rstrip() + "\n\n" + body + "\n"
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(body + "\n")
