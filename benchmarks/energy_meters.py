"""The meters that can run here, side by side on one busy thread: writes its section of ``docs/benchmarks.md``."""

from __future__ import annotations

import argparse
import os
import time

import page

from laennec import family
from laennec.metering import meter
from laennec.meters.processor import cpu_seconds


def busy(seconds: float) -> float:
    """Turn one thread in a loop for `seconds` of the clock; the processor time it got."""
    before, until = cpu_seconds(), time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass
    return cpu_seconds() - before


def main() -> None:
    """Meter the loop by every meter at hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    seconds = parser.parse_args().seconds
    why = {name: family.member("meters", name).missing() for name in family.names("meters")}
    with meter(names=[name for name, reason in why.items() if not reason]) as metered:
        got = busy(seconds)
    if metered.consumption is None:
        raise SystemExit("no meter could read anything")
    lines = [
        f"One thread in a loop for {seconds:g} s on a machine of {os.cpu_count()} threads that others share; it got",
        f"{got:.1f} s of processor time.",
        "",
        "| meter | device | kind | J | W on average | error | how |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in metered.consumption.readings:
        watts = r.joules / r.seconds
        lines.append(
            f"| {r.meter} | {r.device} | {r.kind} | {r.joules:.1f} | {watts:.2f} | ±{r.error:.0%} | {r.method} |"
        )
    lines += ["", *(f"- `{name}` could not run: {reason}." for name, reason in why.items() if reason)]
    page.write("energy_meters", "Meters of energy side by side", "python benchmarks/energy_meters.py", lines)


if __name__ == "__main__":
    main()
