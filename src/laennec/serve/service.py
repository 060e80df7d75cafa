"""The service without its doors: bytes in, an answer out; knows nothing of HTTP."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from laennec import phantom
from laennec.errors import ImageError, LaennecError
from laennec.images.headers import looks_like
from laennec.images.standing import refusal
from laennec.results import Prediction
from laennec.serve.engine import Answered, model_fault
from laennec.serve.faults import NOTICE, Fault, stopping, too_late
from laennec.serve.layers import Layer, layers
from laennec.serve.logs import Audit, log
from laennec.serve.metrics import Gauged, Metrics
from laennec.serve.models import Model, Models
from laennec.serve.places import Places
from laennec.serve.reading import Seen
from laennec.serve.settings import Settings
from laennec.serve.traces import traces
from laennec.version import VERSION

_READ = {"JPEG", "PNG", "DICOM"}
_GOLDEN_EVERY = 1.0  # seconds; who asks more often is told the last answer
_GOLDEN_PATIENCE = 10.0
_NEAR = 1e-3


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of one image.

    Attributes:
        rule: operating point; None for the card's own.
        wanted: layers.
        allowed, deadline: seconds it may take; when that is over, on the monotonic clock.
        request, key: for the audit line.
        patient: of a job: it lets others go first.
    """

    model: Model
    rule: str | None = None
    wanted: tuple[Layer, ...] = ()
    allowed: float = float("inf")
    deadline: float = float("inf")
    request: str = ""
    key: str | None = None
    patient: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """An answer, and what it was made of."""

    answer: dict[str, Any]
    prediction: Prediction
    data: bytes


class Service:
    """Bundles at work, within bounds.

    Args:
        settings: as they were checked.

    Attributes:
        ready: whether it answers as it did when it was started.
        stopping: whether it takes nothing new.

    Raises:
        LaennecError: a bundle cannot be opened or run, or the state folder not be written.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.stopping, self.ready = settings, False, False
        self.failed: Exception | None = None
        self.places = Places(settings.places)
        self.audit = Audit(settings.state)
        self.traces = traces(settings.traces or None)
        self.jobs: dict[str, int] = {}
        self.metrics = Metrics(self._gauged())
        self.models = Models(settings, self.metrics, self._broken)
        self._golden_bytes = _golden()
        self._expected: dict[str, Prediction] = {}
        self._looked = 0.0
        self._looking = asyncio.Lock()

    async def answer(self, data: bytes, ask: Ask, started: float | None = None) -> Told:
        """The answer for one file.

        Args:
            data: its bytes.
            started: when the request began, on the clock of `time.perf_counter`.

        Raises:
            ImageError: it cannot be read, or the gate refuses it.
            Fault: the deadline passed, or the model is at fault.
        """
        arrived = time.perf_counter()
        started = arrived if started is None else started
        model = ask.model
        if model.faulty:
            raise model_fault()
        check_kind(data)
        with self.traces.span("decode"):
            seen = await self._seen(data, ask)
        doubt, code = self._gate(seen)
        with self.traces.span("model"):
            answered = await self._answered(seen, ask)
            self.traces.past("wait", answered.waited)
        prediction = answered.prediction
        answer = self._told(prediction, ask, doubt, code)
        if ask.wanted:
            assert seen.view is not None  # noqa: S101
            answer |= await asyncio.to_thread(layers, seen.view, prediction, model.bundle, ask.wanted)
        ended = time.perf_counter()
        took = {
            "receive": arrived - started,
            "decode": seen.seconds,
            "wait": ended - arrived - seen.seconds - answered.model,
            "model": answered.model,
        }
        self._note(prediction, answer, ask, data, seen, took)
        answer["timings_ms"] = {k: round(v * 1000, 3) for k, v in (took | {"total": ended - started}).items()}
        answer["notice"] = NOTICE
        return Told(answer, prediction, data)

    async def _seen(self, data: bytes, ask: Ask) -> Seen:
        if self.failed is not None:
            raise stopping()
        ask.model.reading += 1
        try:
            return await _until(ask.deadline, ask.model.reader.read(data, bool(ask.wanted)))
        finally:
            ask.model.reading -= 1

    async def _answered(self, seen: Seen, ask: Ask) -> Answered:
        explain = "map" in ask.wanted and ask.model.explains
        return await ask.model.engine.answer(
            seen.pixels,
            seen.done,
            seen.seconds,
            rule=ask.rule,
            explain=explain,
            deadline=ask.deadline,
            patient=ask.patient,
        )

    def _gate(self, seen: Seen) -> tuple[str, str]:
        """The doubt in words and its code; both empty for a chest. Raises `ImageError` where the gate refuses."""
        refused = refusal(seen.done) if self.settings.gate == "refuse" else None
        if refused is not None:
            raise refused
        return str(seen.done.get("chest_doubt", "")), str(seen.done.get("chest_code", ""))

    def _told(self, prediction: Prediction, ask: Ask, doubt: str, code: str) -> dict[str, Any]:
        plain = prediction.model_dump(mode="json", exclude={"id", "milliseconds", "doubt", "doubt_code"})
        told: dict[str, Any] = {"request_id": ask.request, "status": 200, "model": ask.model.name} | plain
        told["doubt"] = doubt
        if code:
            told["refer"] = True
            told["refer_because"] = [*told["refer_because"], code]
        told |= {"layers": {}, "lungs_by": None, "map_inside_lungs": None}
        return told

    def _note(
        self,
        prediction: Prediction,
        answer: dict[str, Any],
        ask: Ask,
        data: bytes,
        seen: Seen,
        took: dict[str, float],
    ) -> None:
        model, metrics = ask.model, self.metrics
        decided = prediction.positive
        verdict = "outlined" if decided is None else "positive" if decided else "negative"
        for stage, seconds in took.items():
            metrics.stage[stage].observe(max(0.0, seconds))
        metrics.answers.labels(model.name, verdict).inc()
        if prediction.score is not None:
            metrics.score.labels(model.name).observe(prediction.score)
            model.drifts["score"].add(prediction.score)
        model.drifts["brightness"].add(float(seen.pixels.mean()))
        for why in answer["refer_because"] if answer["refer"] else ():
            metrics.referrals.labels(model.name, why).inc()
        self.audit.note(
            key=ask.key,
            request_id=ask.request,
            input=self.audit.hashed(data),
            model=model.name,
            bundle=model.bundle.digest,
            verdict=verdict,
            refer=answer["refer"] or None,
        )

    async def look(self) -> bool:
        """Whether a radiograph drawn for the purpose is answered by every model as when the service started."""
        async with self._looking:
            if self.stopping or self.failed is not None:
                self.ready = False
            elif time.monotonic() - self._looked > _GOLDEN_EVERY or not self._expected:
                self.ready = all([await self._as_before(model) for model in self.models.named.values()])
                self._looked = time.monotonic()
            return self.ready and not self.stopping

    async def _as_before(self, model: Model) -> bool:
        if model.faulty:
            return False
        try:
            ask = Ask(model, deadline=time.monotonic() + _GOLDEN_PATIENCE)
            found = (await self._answered(await self._seen(self._golden_bytes, ask), ask)).prediction
        except (LaennecError, Fault, TimeoutError) as error:
            log("not_ready", model=model.name, why=type(error).__name__)
            return False
        known = self._expected.setdefault(model.name, found)
        same = np.allclose(_figures(found), _figures(known), atol=_NEAR)
        if not same:
            log("not_ready", model=model.name, why="the golden radiograph is answered otherwise")
        return bool(same)

    def _broken(self, error: Exception) -> None:
        self.failed = error
        log("broken", what=type(error).__name__)

    def close(self) -> None:
        """End threads and processes."""
        self.models.close()
        self.metrics.close()
        self.audit.close()

    def _gauged(self) -> Iterable[Gauged]:
        def of_models() -> Iterable[tuple[tuple[str, ...], float]]:
            for name, model in self.models.named.items():
                card = model.bundle.card
                yield (name, model.bundle.digest, card.backend, card.precision, VERSION), 1.0

        def drifts() -> Iterable[tuple[tuple[str, ...], float]]:
            for name, model in self.models.named.items():
                for of, drift in model.drifts.items():
                    value = drift.value
                    if value is not None:
                        yield (name, of), value

        def engines() -> list[Any]:
            return [model.engine for model in self.models.named.values()]

        def one(value: float) -> Iterable[tuple[tuple[str, ...], float]]:
            return [((), float(value))]

        yield Gauged("in_flight", "Requests at work", (), lambda: one(self.places.taken))
        yield Gauged("in_flight_limit", "Requests that may be", (), lambda: one(self.places.most))
        yield Gauged("queue_depth", "Images that wait", (), lambda: one(sum(e.depth for e in engines())))
        yield Gauged("queue_age_seconds", "Wait of the oldest", (), lambda: one(max(e.age for e in engines())))
        yield Gauged("drift_psi", "Population stability index", ("model", "of"), drifts)
        yield Gauged("bundle_info", "What is served", ("model", "digest", "backend", "precision", "laennec"), of_models)
        yield Gauged("ready", "Answers as when it started", (), lambda: one(self.ready and not self.stopping))
        yield Gauged("stopping", "Takes nothing new", (), lambda: one(self.stopping))
        yield Gauged("decoder_restarts", "Decoders replaced", (), lambda: one(self.models.restarts), counter=True)
        yield Gauged("jobs", "Jobs kept", ("state",), lambda: [((state,), float(n)) for state, n in self.jobs.items()])


def _figures(prediction: Prediction) -> list[float]:
    """What an answer is held against another by."""
    lungs = prediction.lungs
    return [*prediction.probabilities.values(), *((lungs.right.share, lungs.left.share) if lungs else ())]


def check_kind(data: bytes) -> None:
    """Refuse by its first bytes what is no picture of ours. Raises `ImageError`."""
    if not data:
        raise ImageError("empty", "the file is empty", "fetch or export it again")
    kind = looks_like(data)
    if kind not in _READ:
        raise ImageError(
            "unsupported_type",
            f"this looks like {kind}, not like a radiograph" if kind != "unknown" else "the file is of no known type",
            "send a JPEG, a PNG or a DICOM file",
        )


async def _until(deadline: float, work: Awaitable[Seen]) -> Seen:
    if deadline == float("inf"):
        return await work
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            return await work
    except TimeoutError as error:
        raise too_late() from error


def _golden() -> bytes:
    """A radiograph nobody has, as PNG."""
    pixels = phantom.draw(0, 1, 0, 256).pixels
    stream = io.BytesIO()
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()
