"""Hostile input: the corpus, what checks the service against it, and the fuzz. ``docs/hostile.md`` tells how to run it.

`cases` gathers the corpus by family, `check` sends it to a service at work, `fuzz` mutates it.
"""

from __future__ import annotations

import sys
from pathlib import Path

# makers of files shared with the tests of `images`, and the drawers of pictures that are no chests
for folder in (Path(__file__).parents[1] / "images", Path(__file__).parents[2] / "benchmarks"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
