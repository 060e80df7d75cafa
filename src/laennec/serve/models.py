"""The bundles that are served: each opened once, its model at work in a thread, its pictures read by processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from laennec.bundle import Bundle, open_bundle
from laennec.images.decoding import cores
from laennec.images.picture import Done
from laennec.predictor import Predictor
from laennec.preprocess import Preprocess
from laennec.serve.drift import Drift, judged_scores
from laennec.serve.engine import Engine
from laennec.serve.faults import Fault
from laennec.serve.metrics import Metrics
from laennec.serve.reading import Reader
from laennec.serve.settings import Settings


@dataclass(eq=False)
class Model:
    """A bundle at work.

    Attributes:
        reading: images of it that are being read.
        faulty: whether it answered NaN; it is then asked no more.
    """

    name: str
    bundle: Bundle
    engine: Engine
    reader: Reader
    drifts: dict[str, Drift]
    explains: bool = False
    reading: int = 0
    faulty: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    def check(self, rule: str | None) -> None:
        """Refuse an operating point it has not. Raises `Fault`."""
        points = self.bundle.card.operating_points
        if rule is not None and rule not in points:
            known = ", ".join(points) or "none"
            raise Fault(404, "no_rule", "the model has no such operating point", f"it has: {known}")


class Models:
    """All of them, by name; the first is the one of those who name none.

    Args:
        settings: which, and how.
        metrics: told of batches and faults.
        broken: called when pictures can be read no more.

    Raises:
        LaennecError: as `open_bundle` and `Predictor`.
    """

    def __init__(self, settings: Settings, metrics: Metrics, broken: Callable[[Exception], None]) -> None:
        self._readers: dict[Preprocess, Reader] = {}
        self.named: dict[str, Model] = {}
        try:
            for path in settings.bundles:
                bundle = open_bundle(path)
                predictor = Predictor(bundle, threads=settings.threads or cores(), gate="tell")
                reader = self._reader(bundle.card.preprocess, settings, broken)
                self.named[bundle.name] = _at_work(bundle, predictor, reader, settings, metrics)
        except BaseException:
            self.close()
            raise

    def _reader(self, preprocess: Preprocess, settings: Settings, broken: Callable[[Exception], None]) -> Reader:
        if preprocess not in self._readers:
            self._readers[preprocess] = Reader(
                preprocess,
                settings.decoders or cores(),
                2 * settings.places,
                settings.patience,
                settings.decoder_bytes,
                broken,
            )
        return self._readers[preprocess]

    def find(self, name: str | None) -> Model:
        """A model by its name, the first by none. Raises `Fault`."""
        if name is None:
            return next(iter(self.named.values()))
        if name not in self.named:
            raise Fault(404, "no_model", "there is no such model", "GET /models lists them")
        return self.named[name]

    @property
    def restarts(self) -> int:
        """Decoding processes that were replaced."""
        return sum(reader.restarts for reader in self._readers.values())

    def close(self) -> None:
        """End threads and processes."""
        for model in self.named.values():
            model.engine.close()
        for reader in self._readers.values():
            reader.close()


def _at_work(bundle: Bundle, predictor: Predictor, reader: Reader, settings: Settings, metrics: Metrics) -> Model:
    explains = _warm(predictor, settings.most_batch)
    batch = metrics.batch.labels(bundle.name)

    def faulty() -> None:
        model.faulty = True
        metrics.faults.labels(bundle.name).inc()

    engine = Engine(
        predictor, settings.most_batch, settings.linger / 1000, lambda: model.reading, faulty, batch.observe
    )
    drifts = {"brightness": Drift()}
    if bundle.card.classifies:
        drifts["score"] = Drift(judged_scores(bundle))
    model = Model(bundle.name, bundle, engine, reader, drifts, explains)
    model.facts = _facts(bundle, explains)
    return model


def _warm(predictor: Predictor, most: int) -> bool:
    """Run batches of each size that runtimes compile apart, so that no request waits for that; whether it has maps."""
    size = predictor.bundle.card.preprocess.size
    noise = np.random.default_rng(0).integers(0, 256, (size, size), np.uint8)
    done: Done = {"width": size, "height": size}
    count = 1
    while count < 2 * most:
        few = min(count, most)
        predictor.answers([noise] * few, [done] * few, [0.0] * few)
        count *= 2
    if not predictor.bundle.card.classifies:
        return False
    (answer,) = predictor.at(None, explain=True).answers([noise], [done], [0.0])
    return answer.map is not None


def _facts(bundle: Bundle, explains: bool) -> dict[str, Any]:
    """What ``GET /models`` says of it."""
    card = bundle.card
    points = {
        rule: {
            "threshold": point.threshold,
            "sensitivity": point.sensitivity,
            "specificity": point.specificity,
            "n": point.n,
        }
        for rule, point in card.operating_points.items()
    }
    return {
        "name": bundle.name,
        "title": card.name,
        "digest": bundle.digest,
        "task": card.task,
        "backend": card.backend,
        "precision": card.precision,
        "labels": list(card.labels.names) if card.classifies else [],
        "positive": list(card.labels.positive) if card.classifies else [],
        "exclusive": card.labels.exclusive,
        "classifies": card.classifies,
        "segments": card.segments,
        "explains": explains,
        "calibrated": card.calibration is not None,
        "refers": card.abstention is not None or card.novelty is not None,
        "novelty_level": card.novelty.level if card.novelty is not None else None,
        "decision": card.decision,
        "operating_points": points,
        "trained_on": {
            "collection": card.data.collection,
            "images": card.data.images.get("train", 0),
            "patients": card.data.patients.get("train", 0),
            "notes": list(card.data.notes),
        },
        "intended": "Research use only. Not a medical device. Frontal chest radiographs like those it was trained on.",
        "made": card.made,
    }
