"""Processes killed while they work, and a service told to stop under load: what is lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import inputs
import numpy as np
import resources
from openloop import Client, Exchange, Payload, arrivals, open_loop
from service import Service, talk
from verdicts import row

READY = 10.0
GRACE = 0.1  # seconds in which a service may not have accepted a new connection yet
_FILES = 3
_PATIENCE = 120.0


@dataclass
class Job:
    """A job that was sent, under one key, as often as it took.

    Attributes:
        pictures: places of its pictures among all.
        ids: that the service gave it; more than one is a double.
        lines: its results, parsed; None where they cannot be had.
    """

    pictures: tuple[int, ...]
    ids: set[str] = field(default_factory=set)
    lines: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Losses:
    """What became of accepted jobs.

    Attributes:
        accepted: jobs with an id.
        lost: of them without all their results.
        doubled: with two ids, or with two results of one file.
        wrong: files answered other than alone.
    """

    accepted: int
    lost: int
    doubled: int
    wrong: int


def losses(jobs: Sequence[Job], alone: Mapping[int, float | None]) -> Losses:
    """`jobs` held against what was sent; `alone`: the score of each picture asked for alone."""
    accepted = [job for job in jobs if job.ids]
    lost = doubled = wrong = 0
    for job in accepted:
        told = Counter(int(line["index"]) for line in job.lines or ())
        lost += set(told) != set(range(len(job.pictures)))
        doubled += len(job.ids) > 1 or any(n > 1 for n in told.values())
        for line in job.lines or ():
            at = int(line["index"])
            if at < len(job.pictures):
                wrong += line.get("status") != 200 or line.get("score") != alone[job.pictures[at]]
    return Losses(len(accepted), lost, doubled, wrong)


class Siege:
    """Predictions and jobs that keep coming while something is done to the service."""

    def __init__(self, service: Service, client: Client, pictures: Sequence[bytes], seed: int) -> None:
        self.service, self.client, self.seed = service, client, seed
        self.predictions = [service.payload("/predict", picture) for picture in pictures]
        self.pictures = pictures
        self.jobs: list[Job] = []
        self.ended: list[Exchange] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._over = False

    async def __aenter__(self) -> Siege:
        self._tasks = [asyncio.create_task(self._predict(n)) for n in range(3)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _predict(self, first: int) -> None:
        at = first
        while not self._over:
            at += 1
            exchange = await self.client.ask(self.predictions[at % len(self.predictions)])
            self.ended.append(exchange)
            if exchange.status != 200:
                await asyncio.sleep(0.02)

    async def give_jobs(self) -> None:
        """Hand in one job after the other, each again under its key until it is accepted."""
        while not self._over:
            places = tuple((len(self.jobs) * _FILES + n) % len(self.pictures) for n in range(_FILES))
            job = Job(places)
            body, kind = inputs.form([self.pictures[at] for at in places])
            key = f"siege-{self.seed}-{len(self.jobs)}"
            payload = self.service.payload("/jobs", body, kind=kind, Idempotency_Key=key)
            self.jobs.append(job)
            for _ in range(400):
                exchange = await self.client.ask(payload)
                if exchange.status == 202:
                    job.ids.add(str(json.loads(exchange.body)["id"]))
                    break
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.2)

    def begin_jobs(self) -> None:
        """Let jobs come too."""
        self._tasks.append(asyncio.create_task(self.give_jobs()))

    async def ready(self) -> float:
        """Seconds until the service is ready."""
        began, payload = time.perf_counter(), self.service.payload("/readyz", method="GET")
        while time.perf_counter() - began < 3 * READY:
            if (await self.client.ask(payload, fresh=True)).status == 200:
                return time.perf_counter() - began
            await asyncio.sleep(0.02)
        return float("inf")

    async def alone(self) -> dict[int, float | None]:
        """The score of each picture, asked for alone."""
        found = {}
        for at, payload in enumerate(self.predictions):
            found[at] = json.loads((await self.client.ask(payload)).body).get("score")
        return found

    async def collect(self) -> None:
        """Wait for the results of every job."""
        until = time.perf_counter() + _PATIENCE
        for job in self.jobs:
            for number in sorted(job.ids):
                payload = self.service.payload(f"/jobs/{number}/results", method="GET")
                while time.perf_counter() < until:
                    exchange = await self.client.ask(payload)
                    if exchange.status == 200:
                        job.lines = [json.loads(line) for line in exchange.body.splitlines() if line.strip()]
                    if exchange.status in (200, 404):
                        break
                    await asyncio.sleep(0.1)


async def _workers(client: Client, service: Service, pictures: Sequence[bytes], times: int, seed: int) -> list[str]:
    rng, waits, killed = np.random.default_rng([seed, 13]), list[float](), set[int]()
    siege = Siege(service, client, pictures, seed)
    alone = await siege.alone()
    async with siege:
        siege.begin_jobs()
        for _ in range(times):
            await asyncio.sleep(rng.uniform(0.2, 1.5))
            worker = service.worker
            os.kill(worker, signal.SIGKILL)
            killed.add(worker)
            waits.append(await siege.ready())
            while service.worker == worker and not np.isinf(waits[-1]):
                await asyncio.sleep(0.05)
    await siege.collect()
    found = losses(siege.jobs, alone)
    kept = await client.ask(service.payload("/metrics", method="GET"))
    known = sum(float(line.rsplit(b" ", 1)[1]) for line in kept.body.splitlines() if line.startswith(b"laennec_jobs{"))
    cut = sum(bool(one.fault) for one in siege.ended)
    left = sum(session in killed for _, _, session in resources.running())
    served = sum(one.status == 200 for one in siege.ended)
    return [
        row(
            f"kill -9 of the worker x {times}: ready again",
            f"<= {READY:.0f} s each",
            f"longest {max(waits):.1f} s, median {np.median(waits):.1f} s",
            max(waits) <= READY,
        ),
        row("accepted jobs lost", "0", f"{found.lost} of {found.accepted}", not found.lost and found.accepted > 0),
        row(
            "accepted jobs doubled",
            "0",
            f"{found.doubled}; {known:.0f} jobs kept of {len(siege.jobs)} keys",
            not found.doubled and known <= len(siege.jobs),
        ),
        row("files of jobs answered other than alone", "0", str(found.wrong), not found.wrong),
        row("processes that killed workers left behind", "0", str(left), not left),
        row(
            "predictions meanwhile", "served again", f"{served:,} answered 200, {cut} cut off by the kills", served > 0
        ),
    ]


def workers(service: Service, pictures: Sequence[bytes], times: int, seed: int) -> list[str]:
    """The lines of ``kill -9`` of the worker, `times` over, while jobs and predictions run; a service with a state."""
    return talk(service, lambda client: _workers(client, service, pictures, times, seed), wait=30.0, keep=True)


async def _decoders(client: Client, service: Service, pictures: Sequence[bytes], times: int, seed: int) -> list[str]:
    rng, worker, killed = np.random.default_rng([seed, 17]), service.worker, 0
    siege = Siege(service, client, pictures, seed)
    await siege.alone()
    many = len(service.decoders())
    async with siege:
        for _ in range(times):
            await asyncio.sleep(rng.uniform(0.1, 0.4))
            until = time.perf_counter() + READY
            while not (found := service.decoders()) and time.perf_counter() < until:
                await asyncio.sleep(0.1)
            if found:
                os.kill(int(rng.choice(found)), signal.SIGKILL)
                killed += 1
        until = time.perf_counter() + READY
        while len(service.decoders()) < many and time.perf_counter() < until:
            await asyncio.sleep(0.1)
        seconds = await siege.ready()
    statuses = Counter(one.status or one.fault for one in siege.ended)
    wrong = sum(n for status, n in statuses.items() if status not in (200, 422))
    told = ", ".join(f"{status}: {n:,}" for status, n in statuses.most_common())
    slowest = max(one.seconds for one in siege.ended)
    same = service.worker == worker and seconds < 1 and len(service.decoders()) >= many
    return [
        row(
            f"kill -9 of a decoder x {killed}: answers other than 200 and 422",
            "0",
            f"{wrong} of {len(siege.ended):,} ({told})",
            not wrong and killed == times and statuses[422] <= killed,
        ),
        row("each answered", "<= 5 s", f"slowest {slowest:.1f} s", slowest <= 5),
        row("the worker and as many decoders are there afterwards", "yes", "yes" if same else "no", same),
    ]


def decoders(service: Service, pictures: Sequence[bytes], times: int, seed: int) -> list[str]:
    """The lines of ``kill -9`` of a decoding process, `times` over, while predictions run."""
    return talk(service, lambda client: _decoders(client, service, pictures, times, seed), wait=30.0, keep=True)


@dataclass(frozen=True)
class Stopped:
    """A service told to stop under load.

    Attributes:
        code: its exit code; None where it had to be killed.
        seconds: until it had ended.
        admitted: statuses, and faults, of the requests it had and had not answered when it was told.
        later: those of the requests sent after that.
    """

    code: int | None
    seconds: float
    admitted: Counter[int | str]
    later: Counter[int | str]

    @property
    def unanswered(self) -> int:
        """Admitted requests without an answer."""
        return sum(n for what, n in self.admitted.items() if isinstance(what, str))


def sorted_out(ended: Sequence[Exchange], told: float) -> tuple[Counter[int | str], Counter[int | str]]:
    """What became of the requests under way at `told`, and of those sent later.

    A request counts as admitted once all its bytes were with the kernel before `told`, over a connection that had
    carried an answer already, or over a new one some time (`GRACE`) before: a connection that waits to be accepted is
    not yet the service's.
    """
    admitted, later = Counter[int | str](), Counter[int | str]()
    for one in ended:
        if one.done < told:
            continue
        before = one.sent and one.sent < told - (0.0 if one.reused else GRACE)
        (admitted if before else later)[one.status or one.fault] += 1
    return admitted, later


async def _stop(client: Client, service: Service, payloads: Sequence[Payload], rate: float, seed: int) -> Stopped:
    rng = np.random.default_rng([seed, 19])
    due = arrivals(rate, 3.0, seed=seed)
    load = asyncio.create_task(open_loop(client, list(due), payloads, 0.3, seed))
    await asyncio.sleep(rng.uniform(1.0, 2.0))
    told = time.perf_counter()
    service.tell(signal.SIGTERM)
    code = await asyncio.get_running_loop().run_in_executor(None, service.ended, 60.0)
    seconds = time.perf_counter() - told
    return Stopped(code, seconds, *sorted_out(await load, told))


def stops(
    command: Sequence[str], folder: Path, pictures: Sequence[bytes], rate: float, times: int, seed: int
) -> list[str]:
    """The lines of SIGTERM, `times` over, each to a service of its own with `rate` requests a second."""
    found = []
    for turn in range(times):
        with Service(command, folder / f"stop{turn}") as service:
            payloads = [service.payload("/predict", picture) for picture in pictures]
            asked = seed * 1000 + turn
            found.append(talk(service, lambda client: _stop(client, service, payloads, rate, asked)))  # noqa: B023
    admitted = sum((one.admitted for one in found), Counter[int | str]())
    later = sum((one.later for one in found), Counter[int | str]())
    lost, codes = sum(one.unanswered for one in found), Counter(one.code for one in found)
    told = ", ".join(f"{what}: {n:,}" for what, n in admitted.most_common())
    longest = max(one.seconds for one in found)
    after = ", ".join(f"{what}: {n:,}" for what, n in later.most_common())
    return [
        row(
            f"SIGTERM x {times} at {rate:.0f} requests/s: admitted requests without an answer",
            "0",
            f"{lost} of {admitted.total():,} under way ({told}); sent later: {after or 'none'}",
            not lost and admitted.total() > 0,
        ),
        row(
            "exit code",
            "0 each",
            f"{', '.join(f'{code}: {n}' for code, n in codes.items())}; longest {longest:.1f} s",
            set(codes) == {0},
        ),
    ]
