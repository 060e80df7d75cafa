"""Many requests, some of them hostile: what a service has gained when they are over."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import inputs
from openloop import Exchange, Payload, closed_loop
from resources import Held, held
from service import QUIET, Service, talk
from verdicts import all_hold, growth, row

CLIENTS = 4
MEGABYTES, DESCRIPTORS = 50.0, 5
LEAKS = ("memory", "descriptors", "threads", "files")
_STRETCHES = 50
_WAIT = 30.0


@dataclass(frozen=True)
class Soaked:
    """A soak that is over.

    Attributes:
        before, after: what was held after the warm-up and at the end, connections closed.
        samples: MB of memory during it.
        ended: every exchange.
        hostile: names of the hostile payloads.
    """

    before: Held
    after: Held
    samples: tuple[float, ...]
    ended: tuple[Exchange, ...]
    hostile: frozenset[str]

    @property
    def grown(self) -> float:
        """MB: the larger of what the end holds more than the start and of the growth during it."""
        return max(self.after.pss - self.before.pss, growth(self.samples))


def soak(
    service: Service, good: Sequence[Payload], bad: Sequence[Payload], requests: int, share: float, seed: int
) -> Soaked:
    """Send `requests`, a `share` of them hostile, after every hostile one and a hundred good ones were sent once.

    The warm-up lets every decoder meet its largest picture, which is no leak.
    """

    def clients(payloads: Sequence[Payload]) -> list[Exchange]:
        return talk(service, lambda client: closed_loop(client, CLIENTS, payloads, requests=len(payloads)), wait=_WAIT)

    clients([*bad, *(good[n % len(good)] for n in range(100))])
    time.sleep(QUIET)
    before, samples, ended = service.held(), list[float](), list[Exchange]()
    order = inputs.mixture(good, bad, requests, share, seed)
    stretch = max(1, requests // _STRETCHES)
    for at in range(0, requests, stretch):
        ended += clients(order[at : at + stretch])
        samples.append(held(service.pid).pss)
    time.sleep(QUIET)
    return Soaked(before, service.held(), tuple(samples), tuple(ended), frozenset(one.name for one in bad))


def lines_of(soaked: Soaked) -> list[str]:
    """The table's lines of a soak."""
    before, after = soaked.before, soaked.after
    good = [one for one in soaked.ended if one.name not in soaked.hostile]
    bad = [one for one in soaked.ended if one.name in soaked.hostile]
    missed = Counter(one.fault or str(one.status) for one in good if one.status != 200)
    broken = Counter(one.name for one in bad if one.status in (0, 500) and one.fault != "left")
    opened, threads = after.descriptors - before.descriptors, after.threads - before.threads
    left = sorted(after.files - before.files)
    told = f"{before.pss:.0f} MB, then {after.pss:.0f} MB"
    return [
        row(
            f"soak, {len(soaked.ended):,} requests, {len(bad) / max(1, len(soaked.ended)):.0%} hostile: memory",
            f"<= +{MEGABYTES:.0f} MB",
            f"{soaked.grown:+.1f} MB ({told})",
            soaked.grown <= MEGABYTES,
        ),
        row(
            "soak: descriptors", f"+-{DESCRIPTORS}", f"{opened:+d} on {before.descriptors}", abs(opened) <= DESCRIPTORS
        ),
        row("soak: threads left", "0", f"{threads:+d} on {before.threads}", threads <= 0),
        row("soak: temporary files left", "0", str(len(left)), not left),
        row(
            "soak: good requests not answered 200",
            "0",
            f"{missed.total()} of {len(good):,}{_kinds(missed)}",
            not missed,
        ),
        row(
            "soak: hostile ones with 500 or no answer",
            "0",
            f"{broken.total()} of {len(bad):,}{_kinds(broken)}",
            not broken,
        ),
    ]


def _kinds(counts: Counter[str]) -> str:
    return f" ({', '.join(f'{name}: {n}' for name, n in counts.most_common(6))})" if counts else ""


def fault(kind: str, requests: int) -> str:
    """What `Service` takes as `leak`: so much of each request that the whole leaks three times what is allowed."""
    if kind == "memory":
        return f"memory:{round(3 * MEGABYTES * 2**20 / requests)}"
    return f"{kind}:{3 * DESCRIPTORS / requests}"


def measure(
    command: Sequence[str],
    work: Path,
    good: Sequence[bytes],
    requests: int,
    seed: int,
    leaks: Sequence[str] = (),
    most: int | None = None,
) -> list[str]:
    """The lines of a soak of a service of its own; `leaks`: of `LEAKS`, injected; `most` as of `inputs.hostile`."""
    leak = ",".join(fault(kind, requests) for kind in leaks)
    with Service(command, work / ("leaking" if leaks else "soak"), leak) as service:
        payloads = [service.payload("/predict", picture) for picture in good]
        bad = inputs.hostile(service.payload, good[0], seed, most)
        return lines_of(soak(service, payloads, bad, requests, 0.2, seed))


def noticed(
    command: Sequence[str], work: Path, good: Sequence[bytes], requests: int, seed: int, most: int | None = None
) -> list[str]:
    """The lines of a soak with all of `LEAKS` injected, each of which must be found out."""
    lines = []
    for kind, found in zip(LEAKS, measure(command, work, good, requests, seed, LEAKS, most), strict=False):
        said = found.split(" | ")[-2]
        lines.append(row(f"soak of {requests:,} with {kind} leaking: noticed", "fails", said, not all_hold([found])))
    return lines
