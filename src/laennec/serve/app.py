"""The routes: what a request asks, read strictly, and what it is answered.

FastAPI reads the types of a route from this module's own names, so it is imported here at the top; only the worker
opens this module.
"""

from __future__ import annotations

import asyncio
import json
import mimetypes
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from importlib import resources
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from laennec.errors import ImageError, LaennecError
from laennec.serve import documents
from laennec.serve.bodies import files as files_of
from laennec.serve.doorway import Doorway, Gone, check_open
from laennec.serve.faults import NOTICE, Fault, bad_request, overloaded
from laennec.serve.filer import filed
from laennec.serve.jobs import Jobs, check_once
from laennec.serve.keys import Ring
from laennec.serve.layers import LAYERS, Layer
from laennec.serve.service import Ask, Service
from laennec.serve.traces import UNTRACED
from laennec.version import VERSION

_T = TypeVar("_T")
_ASKED = frozenset({"model", "rule", "with", "deadline_ms"})
_PAGE = {"html", "css", "js", "svg", "png", "ico", "json", "webmanifest"}
_WATCH = 15.0  # seconds
_JOB_PATIENCE = 15  # times as long as other bodies may a job's take to arrive
_AT_ONCE = 4  # images of one batch that are under way together


def app(service: Service, ring: Ring) -> Doorway:
    """The application, for an ASGI server."""
    jobs = Jobs(service, service.settings.state / "jobs") if service.settings.state is not None else None

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        await service.look()
        watching = asyncio.create_task(_watch(service))
        if jobs is not None:
            jobs.start()
        yield
        watching.cancel()
        if jobs is not None:
            await jobs.stop()

    api = FastAPI(
        title="laennec",
        version=VERSION,
        description=documents.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=living,
        redirect_slashes=False,
        telemetry=UNTRACED,  # type: ignore[arg-type]
    )
    for kind in (Exception, HTTPException, Fault, LaennecError, Gone):
        api.add_exception_handler(kind, _left_to_the_doorway)
    _asking(api, service)
    _working(api, service, jobs)
    _looking(api, service)
    if service.settings.ui:
        _page(api)
    return Doorway(api, service, ring)


async def _watch(service: Service) -> None:
    """Look now and then whether it still answers as it did, also where nobody asks."""
    while True:
        await asyncio.sleep(_WATCH)
        with suppress(OSError):  # no descriptor left now; it may have one next time
            await service.look()


def _answered(what: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(what, allow_nan=False), status, headers, "application/json")


def _asking(api: FastAPI, service: Service) -> None:
    """The routes that answer at once."""
    bodies, settings = _Bodies(service), service.settings

    @api.post("/predict", **documents.PREDICT)
    async def predict(request: Request) -> Response:
        ask = asked(service, request)
        (data,) = await bodies.read(request, most_files=1, most_body=settings.file_bytes + _frame(request))
        with service.places.taken_for():
            told = await unless_gone(request, service.answer(data, timed(ask), request.state.began))
        return _answered(told.answer)

    @api.post("/batch_predict", **documents.BATCH)
    async def batch_predict(request: Request) -> Response:
        ask = asked(service, request)
        sent = await bodies.read(request, most_files=settings.batch_files, most_body=settings.batch_bytes, zipped=True)
        with service.places.taken_for(min(len(sent), max(1, service.places.most // 2))):
            results = await unless_gone(request, batch(service, sent, timed(ask)))
        ok = sum(one["status"] == 200 for one in results)
        whole = {"request_id": request.state.request_id, "results": results, "ok": ok, "refused": len(sent) - ok}
        return _answered(whole | {"notice": NOTICE})

    @api.post("/objects", **documents.OBJECTS)
    async def objects(request: Request) -> Response:
        ask = asked(service, request, more=frozenset({"kinds"}))
        kinds = tuple(kind for kind in request.query_params.get("kinds", "").split(",") if kind)
        (data,) = await bodies.read(request, most_files=1, most_body=settings.file_bytes + _frame(request))
        with service.places.taken_for():
            zipped = await unless_gone(request, filed(service, data, timed(ask), kinds))
        name = {"content-disposition": 'attachment; filename="laennec.zip"'}
        return Response(zipped, 200, name, "application/zip")


def _working(api: FastAPI, service: Service, jobs: Jobs | None) -> None:
    """The routes of jobs."""
    settings = service.settings

    def own() -> Jobs:
        if jobs is None:
            raise Fault(501, "no_state", "this service keeps no jobs", "start it with --state FOLDER")
        return jobs

    @api.post("/jobs", **documents.JOBS)
    async def accept(request: Request) -> Response:
        keeping, ask = own(), asked(service, request)
        once = check_once(request.headers.get("idempotency-key", ""))
        check_open(service)
        draft = keeping.draft()
        try:
            await files_of(
                request,
                most_files=settings.job_files,
                most_bytes=settings.file_bytes,
                most_body=settings.job_bytes,
                stuck=settings.stuck * _JOB_PATIENCE,
                zipped=True,
                keep=draft.keep,
            )
            known = await keeping.accept(draft, ask.model, ask.rule, request.state.key, once)
        finally:
            keeping.drop(draft)
        return _answered(keeping.state(known, request.state.key), 202, {"location": f"/jobs/{known}"})

    @api.get("/jobs/{known}", **documents.JOB)
    async def job(known: str, request: Request) -> Response:
        return _answered(await asyncio.to_thread(own().state, known, request.state.key))

    @api.get("/jobs/{known}/results", **documents.RESULTS)
    async def results(known: str, request: Request) -> Response:
        path = await asyncio.to_thread(own().results, known, request.state.key)
        return FileResponse(path, media_type="application/x-ndjson")

    @api.delete("/jobs/{known}", **documents.DELETE)
    async def delete(known: str, request: Request) -> Response:
        await asyncio.to_thread(own().delete, known, request.state.key)
        return _answered({"id": known, "state": "deleted"})


def _looking(api: FastAPI, service: Service) -> None:
    """The routes that tell of the service itself."""

    @api.get("/models", **documents.MODELS)
    async def models() -> Response:
        return _answered([model.facts for model in service.models.named.values()])

    @api.get("/model", **documents.MODEL)
    async def model(request: Request) -> Response:
        found = service.models.find(request.query_params.get("model"))
        return _answered(found.bundle.card.model_dump(mode="json"))

    @api.get("/metrics", **documents.METRICS)
    async def metrics() -> Response:
        return Response(service.metrics.written(), 200, None, "text/plain; version=0.0.4; charset=utf-8")

    @api.get("/livez", **documents.LIVE)
    async def live() -> Response:
        return _answered({"status": "alive"})

    @api.get("/readyz", **documents.READY)
    async def ready() -> Response:
        if await service.look():
            return _answered({"status": "ready"})
        return _answered({"status": "not ready"}, 503, {"retry-after": "2"})


class _Nothing(Response):
    """Sends nothing."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        return


async def _left_to_the_doorway(request: Request, error: Exception) -> Response:
    """Faults are answered by `Doorway`, which reads what is still being sent first."""
    if isinstance(error, HTTPException):
        routed = error.status_code == 405
        error = (
            Fault(405, "method_not_allowed", "the route does not take that method", "see /openapi.json")
            if routed
            else Fault(404, "not_found", "there is no such route", "see /openapi.json")
        )
    request.state.fault = error
    return _Nothing()


def _page(api: FastAPI) -> None:
    """The page and its files, read once."""
    folder = resources.files("laennec.serve") / "page"
    held = {
        entry.name: entry.read_bytes()
        for entry in folder.iterdir()
        if entry.is_file() and entry.name.rpartition(".")[2] in _PAGE
    }

    def sent(name: str) -> Response:
        if name not in held:
            raise Fault(404, "not_found", "there is no such file", "see /")
        kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0] or "text/plain"
        return Response(held[name], 200, {"cache-control": "no-cache"}, kind)

    @api.get("/", include_in_schema=False)
    async def page() -> Response:
        return sent("index.html")

    @api.get("/page/{name}", include_in_schema=False)
    async def page_file(name: str) -> Response:
        return sent(name)


def _frame(request: Request) -> int:
    """Room for the frame of a form around its file."""
    return 4096 if request.headers.get("content-type", "").lower().startswith("multipart/") else 0


class _Bodies:
    """Reads bodies while the memory they hold together stays bounded; what is only announced holds none."""

    def __init__(self, service: Service) -> None:
        self._service, self._held = service, 0
        self._most = 2 * service.settings.batch_bytes

    async def read(self, request: Request, *, most_files: int, most_body: int, zipped: bool = False) -> list[bytes]:
        """The files of a request; see `bodies.files`. Raises `Fault`, also where there is no room."""
        check_open(self._service)
        settings, own = self._service.settings, 0

        def came(count: int) -> None:
            nonlocal own
            if self._held + count > self._most:
                raise overloaded()
            own += count
            self._held += count

        try:
            return await files_of(
                request,
                most_files=most_files,
                most_bytes=settings.file_bytes,
                most_body=most_body,
                stuck=settings.stuck,
                zipped=zipped,
                came=came,
            )
        finally:
            self._held -= own


def asked(service: Service, request: Request, more: frozenset[str] = frozenset()) -> Ask:
    """What the query of a request asks. Raises `Fault`."""
    query = request.query_params
    names = [name for name, _ in query.multi_items()]
    if set(names) - _ASKED - more or len(names) != len(set(names)):
        raise bad_request("the query holds what is not known, or twice", f"known: {', '.join(sorted(_ASKED | more))}")
    model = service.models.find(query.get("model"))
    model.check(query.get("rule"))
    wanted: list[Layer] = []
    for name in filter(None, query.get("with", "").split(",")):
        layer = next((known for known in LAYERS if known == name), None)
        if layer is None:
            raise bad_request("'with' asks for a layer that is not known", f"known: {', '.join(LAYERS)}")
        wanted.append(layer)
    allowed = service.settings.deadline
    told = query.get("deadline_ms")
    if told is not None:
        if not told.isascii() or not told.isdigit() or len(told) > 7 or not int(told):
            raise bad_request("deadline_ms is no whole number of milliseconds from 1", "leave it out, or say 500")
        allowed = min(allowed, int(told) / 1000)
    return Ask(
        model,
        query.get("rule"),
        tuple(dict.fromkeys(wanted)),
        allowed=allowed,
        request=request.state.request_id,
        key=request.state.key,
    )


def timed(ask: Ask) -> Ask:
    """The ask with its deadline, which runs from when all of the request is there."""
    return replace(ask, deadline=time.monotonic() + ask.allowed)


async def unless_gone(request: Request, work: Awaitable[_T]) -> _T:
    """What the work gives; it is ended when who asked goes away. Raises `Gone`."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Gone
    finally:
        for one in (task, gone):
            one.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def batch(service: Service, sent: list[bytes], ask: Ask) -> list[dict[str, Any]]:
    """The answers of a batch, in order, each with its own status."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(index: int, data: bytes) -> dict[str, Any]:
        async with room:
            try:
                return {"index": index} | (await service.answer(data, ask)).answer
            except ImageError as error:
                fault = Fault.of(error)
            except Fault as caught:
                fault = caught
        service.metrics.refusals.labels(fault.code).inc()
        return {"index": index, "status": fault.status, "error": fault.error}

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(index, data)) for index, data in enumerate(sent)]
    return [task.result() for task in tasks]
