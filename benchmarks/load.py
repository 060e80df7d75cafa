"""How much a service can do, and how it behaves below, far above and just after that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import verdicts
from openloop import Arrivals, Client, Exchange, Payload, arrivals, closed_loop, open_loop
from resources import Watch
from service import Service, talk
from verdicts import Told, row, told

CLIENTS = 8
BELOW, ABOVE = 0.7, 4.0  # times the capacity
_HARDLY = 0.05
_STEPS = (1.1, 1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4)


@dataclass(frozen=True)
class Plan:
    """How long and how load is sent.

    Attributes:
        seconds: of each of the two long loads.
        step: seconds of each step of the search for the capacity.
        after: seconds watched after the overload.
        arrivals: as people come (``poisson``) or evenly (``fixed``).
        fresh: share of requests over new connections.
        seed: of the times and of that share.
    """

    seconds: float = 600.0
    step: float = 15.0
    after: float = 60.0
    arrivals: Arrivals = "poisson"
    fresh: float = 0.2
    seed: int = 0


def sent(service: Service, payloads: Sequence[Payload], rate: float, seconds: float, plan: Plan) -> list[Exchange]:
    """Requests at `rate` a second for `seconds`."""
    due = arrivals(rate, seconds, plan.arrivals, plan.seed)
    return talk(service, lambda client: open_loop(client, list(due), payloads, plan.fresh, plan.seed))


def saturated(service: Service, payloads: Sequence[Payload], clients: int, seconds: float) -> float:
    """Good answers a second for `clients` that each wait for their answer."""
    ended = talk(service, lambda client: closed_loop(client, clients, payloads, seconds=seconds))
    return told(ended, max(seconds, max(one.done for one in ended) - min(one.due for one in ended))).good


def capacity(service: Service, payloads: Sequence[Payload], plan: Plan) -> tuple[float, float]:
    """C, and the good answers a second of eight clients in a closed loop.

    C is the highest rate, of steps around that of the closed loop, at which 99 in 100 requests of an open loop are
    answered 200, the 99th percentile within a second.

    Raises:
        SystemExit: there is none.
    """
    closed = saturated(service, payloads, CLIENTS, plan.step)
    for share in _STEPS:
        got = told(sent(service, payloads, share * closed, plan.step, plan), plan.step)
        if got.share >= 0.99 and got.p99 <= 1000:
            return share * closed, closed
    raise SystemExit(f"no rate down to {_STEPS[-1]:.0%} of {closed:.1f}/s is answered well: {got.text()}")


def measure(service: Service, payloads: Sequence[Payload], plan: Plan) -> tuple[list[str], list[str]]:
    """The table's lines of the loads, and what is to be said beside it."""
    c, closed = capacity(service, payloads, plan)
    # the same open loop, hardly loaded: one client that never pauses finds processors that never sleep
    alone = told(sent(service, payloads, _HARDLY * c, 2 * plan.step, plan), 2 * plan.step)
    before = service.held().pss
    steady = told(sent(service, payloads, BELOW * c, plan.seconds, plan), plan.seconds)
    warm = service.held().pss
    with Watch(service.pid, 5.0 if plan.seconds > 60 else 1.0) as watch:
        flooded, follow = talk(service, lambda client: _overload(client, payloads, c, plan))
    over = told(flooded, plan.seconds)
    back = verdicts.recovered(follow, steady.p99)
    limit = service.metric("laennec_in_flight_limit")
    bound = 1000 * max(1.0, 1.5 * limit / c) if np.isfinite(limit) else 1000.0
    grown = max(watch.samples) - warm
    lines = [
        *_below(alone, steady),
        *_above(over, c, bound, grown, warm),
        row(
            "after it, at 0.7 C: p99 again <= 1.2 x what it was",
            "<= 10 s",
            f"{back:.1f} s ({steady.p99:.1f} ms before)",
            back <= 10,
        ),
    ]
    notes = [
        f"C = {c:.1f} requests/s ({CLIENTS} clients in a closed loop: {closed:.1f}/s); limit in flight {limit:.0f}; "
        f"unloaded p50 {alone.p50:.1f} ms, at {_HARDLY:.0%} of C. Arrivals {plan.arrivals}, "
        f"{plan.fresh:.0%} of them over new connections, "
        f"{plan.seconds:.0f} s each. Memory {before:.0f} MB at the start (PSS of all its processes). The generator ran "
        f"beside the service on the same cores and was {steady.lag:.1f} ms late at most in 99 of 100 at 0.7 C, "
        f"{over.lag:.1f} ms at 4 C; that is counted into the times."
    ]
    return lines, notes


async def _overload(
    client: Client, payloads: Sequence[Payload], c: float, plan: Plan
) -> tuple[list[Exchange], list[Exchange]]:
    """Far too much, and without a pause what is right again; requests belong to when they were due."""
    high = arrivals(ABOVE * c, plan.seconds, plan.arrivals, plan.seed + 1)
    low = plan.seconds + arrivals(BELOW * c, plan.after, plan.arrivals, plan.seed + 2)
    ended = await open_loop(client, [*high, *low], payloads, plan.fresh, plan.seed)
    ended.sort(key=lambda one: one.due)
    return ended[: len(high)], ended[len(high) :]


def _below(alone: Told, steady: Told) -> list[str]:
    others = steady.others(200)
    return [
        row("0.7 C: errors", "0", f"{others} of {steady.requests:,} ({steady.text()})", not others),
        row(
            "0.7 C: p99 against the unloaded p50",
            "<= 4 x",
            f"{steady.p99:.1f} ms / {alone.p50:.1f} ms = {steady.p99 / alone.p50:.1f} x (p50 {steady.p50:.1f} ms)",
            steady.p99 <= 4 * alone.p50,
        ),
    ]


def _above(over: Told, c: float, bound: float, grown: float, warm: float) -> list[str]:
    wrong, broken = over.others(200, *verdicts.REFUSALS), sum(over.faults.values())
    return [
        row("4 C: answers other than 200, 429, 503", "0", f"{wrong} of {over.requests:,} ({over.text()})", not wrong),
        row("4 C: refusals without Retry-After", "0", str(over.unexplained), not over.unexplained),
        row("4 C: resets, refused connections, time-outs", "0", str(broken), not broken),
        row(
            "4 C: p99 of the accepted",
            f"<= {bound:.0f} ms",
            f"{over.p99:.0f} ms (p50 {over.p50:.0f} ms)",
            over.p99 <= bound,
        ),
        row("4 C: good answers a second", ">= 0.8 C", f"{over.good:.1f} = {over.good / c:.2f} C", over.good >= 0.8 * c),
        row("4 C: memory", "<= +64 MB", f"{grown:+.0f} MB on {warm:.0f} MB", grown <= 64),
    ]
