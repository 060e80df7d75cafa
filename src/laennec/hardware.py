"""One line that says what a figure was measured on."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path


@cache
def describe() -> str:
    """Processor, cores and system, for example ``AMD EPYC, 2 cores, Linux x86_64``."""
    return f"{processor()}, {os.cpu_count() or 1} cores, {platform.system()} {platform.machine()}"


def processor() -> str:
    """The processor's name as its maker tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"
