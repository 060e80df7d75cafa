"""Jobs: many files that are answered in their own time. Nothing accepted is lost, and nothing is answered twice.

A job is a folder of the state folder. It is made under another name and renamed once every file and the folder have
reached the device; only then is it accepted. Answers are appended to ``results.jsonl``, a line each, in order; whoever
goes on after a kill counts the whole lines. When the last is on the device ``done.json`` is written and the inputs are
deleted.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from laennec import storage
from laennec.errors import ImageError, LaennecError, StorageFull
from laennec.serve.faults import NOTICE, Fault, bad_request, overloaded
from laennec.serve.logs import log, now
from laennec.serve.models import Model
from laennec.serve.service import Ask, Service

JOB, RESULTS, DONE = "job.json", "results.jsonl", "done.json"
_ID = re.compile(r"[0-9a-f]{32}")
_DRAFTS, _MOST = 4, 1000  # jobs that may arrive at once, and be kept
_RESERVE = 512 * 2**20  # bytes of the device that jobs leave free
_PAUSE = 0.02
_SWEEP = 60.0
_AT_ONCE = 4


class Draft:
    """A job whose files are still arriving."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files, self._seen = folder, 0, hashlib.sha256()

    @property
    def digest(self) -> str:
        """Of the files so far and their order."""
        return self._seen.hexdigest()

    def keep(self, data: bytes) -> None:
        """One more file. Raises `StorageFull`, while there is room for the rest of the service."""
        path = self.folder / _input(self.files)
        self._seen.update(hashlib.sha256(data).digest())
        if shutil.disk_usage(self.folder).free < _RESERVE + len(data):
            raise StorageFull("there is no room for more jobs", "delete jobs that are done")
        with storage.guard_space(path), path.open("wb") as stream:
            stream.write(data)
        self.files += 1


class Jobs:
    """The jobs of a service, and the task that works on them.

    Args:
        service: that answers.
        folder: of the jobs; made.
    """

    def __init__(self, service: Service, folder: Path) -> None:
        self._service, self._folder = service, folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.glob(".*"):
            shutil.rmtree(left, ignore_errors=True)
        self._new = asyncio.Event()
        self._told: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._now, self._drafts = "", 0

    def start(self) -> None:
        """Begin, or go on."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Leave the job at hand where it is."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._task

    def draft(self) -> Draft:
        """A new job's folder, not accepted yet. Raises `Fault` where too many are under way or kept."""
        if self._drafts >= _DRAFTS or sum(self._service.jobs.values()) >= _MOST:
            raise overloaded(5.0)
        self._drafts += 1
        folder = self._folder / f".{uuid.uuid4().hex}"
        with storage.guard_space(folder):
            folder.mkdir(mode=0o700)
        return Draft(folder)

    def drop(self, draft: Draft) -> None:
        """It is accepted, or not: forget the draft."""
        self._drafts -= 1
        shutil.rmtree(draft.folder, ignore_errors=True)

    async def accept(self, draft: Draft, model: Model, rule: str | None, key: str | None, once: str) -> str:
        """Write it down for good; its id. Of one accepted before under the same `once` and key, that one's.

        Raises:
            Fault: that one was of other files, or asked otherwise.
            StorageFull: there is no room.
        """
        known = hashlib.sha256(f"{key or ''}\0{once}".encode()).hexdigest()[:32] if once else uuid.uuid4().hex
        facts = {
            "id": known,
            "accepted": now(),
            "key": key,
            "model": model.name,
            "rule": rule,
            "files": draft.files,
            "asked": storage.digest([draft.digest, model.name, rule]),
        }
        await asyncio.to_thread(self._settle, draft, known, facts)
        self._new.set()
        return known

    def _settle(self, draft: Draft, known: str, facts: dict[str, Any]) -> None:
        with storage.guard_space(draft.folder):
            for number in range(draft.files):
                with (draft.folder / _input(number)).open("rb+") as stream:
                    os.fsync(stream.fileno())
            storage.write_json(draft.folder / JOB, facts)
            storage.sync_folder(draft.folder)
            if not (self._folder / known).exists():
                with suppress(OSError):  # another request with the same once was quicker
                    draft.folder.rename(self._folder / known)
            storage.sync_folder(self._folder)
        if storage.read_json(self._folder / known / JOB).get("asked") != facts["asked"]:
            raise Fault(
                409, "other_job", "that Idempotency-Key was used for another job", "take a new one for each job"
            )

    def state(self, known: str, key: str | None) -> dict[str, Any]:
        """How far a job is. Raises `Fault` where this key has none such."""
        folder, facts = self._find(known, key)
        done = _lines(folder)
        ended = (folder / DONE).exists()
        state = "done" if ended else "running" if known == self._now else "waiting"
        counts = storage.read_json(folder / DONE) if ended else {}
        return {
            "id": known,
            "state": state,
            "files": facts["files"],
            "answered": facts["files"] if ended else done,
            "accepted": facts["accepted"],
            "model": facts["model"],
            "ok": counts.get("ok"),
            "refused": counts.get("refused"),
            "results": f"/jobs/{known}/results" if ended else None,
            "notice": NOTICE,
        }

    def results(self, known: str, key: str | None) -> Path:
        """The file of a job's answers. Raises `Fault` where it is not done, or this key has none such."""
        folder, _ = self._find(known, key)
        if not (folder / DONE).exists():
            raise Fault(409, "not_done", "the job is not done", "ask again later", 5)
        return folder / RESULTS

    def delete(self, known: str, key: str | None) -> None:
        """Have a job and all it holds gone. Raises `Fault` where this key has none such."""
        folder, _ = self._find(known, key)
        storage.put_away(folder)

    def _find(self, known: str, key: str | None) -> tuple[Path, dict[str, Any]]:
        nobody = Fault(404, "not_found", "there is no such job", "its results are kept for a while only")
        if not _ID.fullmatch(known):
            raise nobody
        try:
            facts = storage.read_json(self._folder / known / JOB)
        except (LaennecError, OSError) as error:
            raise nobody from error
        if facts.get("key") != key:
            raise nobody
        return self._folder / known, facts

    def _all(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Every job, the oldest first."""
        found = []
        for folder in self._folder.iterdir():
            if _ID.fullmatch(folder.name):
                with suppress(LaennecError, OSError):
                    facts = storage.read_json(folder / JOB)
                    found.append((str(facts["accepted"]), folder, facts))
        for _, folder, facts in sorted(found, key=lambda one: one[:2]):
            yield folder, facts

    async def _work(self) -> None:
        """Do jobs as they come, for ever."""
        while True:
            self._new.clear()
            waiting = await asyncio.to_thread(self._look)
            if not waiting:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SWEEP):
                        await self._new.wait()
                continue
            for folder, facts in waiting:
                try:
                    await self._do(folder, facts)
                except asyncio.CancelledError:
                    raise
                except Exception as error:  # a job that fails must not end the others; it is tried again later
                    log("job_failed", job=facts["id"], what=type(error).__name__)
                    await asyncio.sleep(1.0)
                finally:
                    self._now = ""

    def _look(self) -> list[tuple[Path, dict[str, Any]]]:
        """Jobs that can be worked on; sweeps what is done, and counts."""
        waiting, done = [], 0
        for folder, facts in self._all():
            if (folder / DONE).exists():
                _forget_inputs(folder)
                if time.time() - (folder / DONE).stat().st_mtime > self._service.settings.keep * 3600:
                    storage.put_away(folder)
                else:
                    done += 1
            elif self._can(facts):
                waiting.append((folder, facts))
            elif facts["id"] not in self._told:
                self._told.add(facts["id"])
                log("job_waits", job=facts["id"], why="its model, or that operating point, is not served")
        self._service.jobs.update({"waiting": len(waiting), "running": 0, "done": done})
        return waiting

    def _can(self, facts: dict[str, Any]) -> bool:
        """Whether what a job asks for is served: the service may have been started with other bundles since."""
        model = self._service.models.named.get(facts["model"])
        if model is None or model.faulty:
            return False
        return facts["rule"] is None or facts["rule"] in model.bundle.card.operating_points

    async def _do(self, folder: Path, facts: dict[str, Any]) -> None:
        """Answer what is left of one job."""
        service, files = self._service, int(facts["files"])
        model = service.models.find(facts["model"])
        self._now = facts["id"]
        service.jobs.update({"running": 1, "waiting": max(0, service.jobs["waiting"] - 1)})
        done = _cut(folder / RESULTS, model.bundle.digest)
        ask = Ask(model, facts["rule"], request=facts["id"], key=facts["key"], patient=True)
        with storage.guard_space(folder), (folder / RESULTS).open("ab") as stream:
            ahead: dict[int, asyncio.Task[dict[str, Any]]] = {}
            try:
                for number in range(done, files):
                    for more in range(number, min(number + _AT_ONCE, files)):
                        if more not in ahead:
                            ahead[more] = asyncio.create_task(self._one(folder, more, ask))
                    line = await ahead.pop(number)
                    stream.write(
                        json.dumps(line | {"bundle_digest": model.bundle.digest}, allow_nan=False).encode() + b"\n"
                    )
                    stream.flush()
            finally:
                for task in ahead.values():
                    task.cancel()
            await asyncio.to_thread(os.fsync, stream.fileno())
        ok = sum(1 for line in _answers(folder / RESULTS) if line["status"] == 200)
        ended = {"ended": now(), "ok": ok, "refused": files - ok}
        await asyncio.to_thread(storage.write_json, folder / DONE, ended)
        _forget_inputs(folder)
        log("job_done", job=facts["id"], files=files, ok=ok)

    async def _one(self, folder: Path, number: int, ask: Ask) -> dict[str, Any]:
        """The line of one file; lets requests go first."""
        places = self._service.places
        while places.taken > places.most // 2:
            await asyncio.sleep(_PAUSE)
        data = await asyncio.to_thread((folder / _input(number)).read_bytes)
        try:
            told = await self._service.answer(data, replace(ask, request=f"{ask.request}/{number}"))
        except ImageError as error:
            fault = Fault.of(error)
            self._service.metrics.refusals.labels(fault.code).inc()
            return {"index": number, "request_id": f"{ask.request}/{number}"} | {
                "status": fault.status,
                "error": fault.error,
            }
        return {"index": number} | told.answer


def _input(number: int) -> str:
    return f"input-{number:06}"


def _forget_inputs(folder: Path) -> None:
    for path in folder.glob("input-*"):
        path.unlink(missing_ok=True)


def _answers(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as stream:
        for line in stream:
            yield json.loads(line)


def _lines(folder: Path) -> int:
    try:
        return (folder / RESULTS).read_bytes().count(b"\n")
    except OSError:
        return 0


def _cut(path: Path, digest: str) -> int:
    """How many answers there are that need not be made again. Half a line is cut off; answers of another bundle are
    thrown away, so that a job is answered by one.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return 0
    whole = data[: data.rfind(b"\n") + 1]
    lines = whole.splitlines()
    try:
        ours = all(json.loads(line)["bundle_digest"] == digest for line in lines)
    except (ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        path.unlink()
        return 0
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    return len(lines)


def check_once(told: str) -> str:
    """The header Idempotency-Key. Raises `Fault`."""
    if len(told) > 200:
        raise bad_request("the Idempotency-Key is longer than 200 characters", "take a shorter one")
    return told
