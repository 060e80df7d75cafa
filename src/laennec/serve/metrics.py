"""What Prometheus is told; the names stand in docs/serving.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from laennec.costs import Consumption
from laennec.errors import extra
from laennec.metering import meter

_FINE = (.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30)  # fmt: skip
_SCORES = tuple(n / 20 for n in range(1, 20))
_BATCHES = (1, 2, 4, 8, 16, 32, 64)
STAGES = ("receive", "decode", "wait", "model")


@dataclass(frozen=True)
class Gauged:
    """What is looked up when Prometheus asks: name, help, labels, and the values by label values."""

    name: str
    told: str
    labels: tuple[str, ...]
    values: Callable[[], Iterable[tuple[tuple[str, ...], float]]]
    counter: bool = False


class Metrics:
    """The service's figures.

    Args:
        gauged: those that are looked up.

    Raises:
        MissingExtra: the extra ``serve`` is not installed.
    """

    def __init__(self, gauged: Iterable[Gauged] = ()) -> None:
        with extra("serve"):
            from prometheus_client import (
                CollectorRegistry,
                Counter,
                Histogram,
                ProcessCollector,
                disable_created_metrics,
            )
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        of: dict[str, Any] = {"registry": registry, "namespace": "laennec"}
        self.requests = Counter("requests", "Requests answered", ("route", "status"), **of)
        self.request = Histogram("request_seconds", "Whole requests", ("route",), buckets=_FINE, **of)
        stage = Histogram("stage_seconds", "Stages of answering an image", ("stage",), buckets=_FINE, **of)
        self.stage = {name: stage.labels(name) for name in STAGES}
        self.refusals = Counter("refusals", "Errors by code", ("code",), **of)
        self.answers = Counter("answers", "Images answered", ("model", "verdict"), **of)
        self.referrals = Counter("referrals", "Images referred to a person", ("model", "because"), **of)
        self.score = Histogram("score", "Scores", ("model",), buckets=_SCORES, **of)
        self.batch = Histogram("batch_images", "Images given at a time", ("model",), buckets=_BATCHES, **of)
        self.faults = Counter("model_faults", "Answers that are no number", ("model",), **of)
        energy = Counter("energy_joules", "Energy of the process and its children", ("kind",), **of)
        self._energy = _Energy(lambda kind, joules: energy.labels(kind).inc(joules))
        registry.register(_Collector(tuple(gauged)))

    def written(self) -> bytes:
        """In Prometheus' text format."""
        from prometheus_client import generate_latest

        self._energy.look()
        return generate_latest(self._registry)

    def close(self) -> None:
        """End the meters."""
        self._energy.close()


class _Collector:
    """Looks up what is gauged when it is asked for."""

    def __init__(self, gauged: tuple[Gauged, ...]) -> None:
        self._gauged = gauged

    def collect(self) -> Iterator[Any]:
        """For Prometheus."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for one in self._gauged:
            kind = CounterMetricFamily if one.counter else GaugeMetricFamily
            family = kind(f"laennec_{one.name}", one.told, labels=one.labels)
            for labels, value in one.values():
                family.add_metric(labels, value)
            yield family


class _Energy:
    """Meters read each time Prometheus asks."""

    def __init__(self, add: Callable[[str, float], None]) -> None:
        self._add = add
        self._metered = meter()
        self._metered.start()

    def look(self) -> None:
        """Tell what was used since the last look."""
        used = self._stopped()
        for reading in used.quoted if used is not None else ():
            self._add(reading.kind, max(0.0, reading.joules))
        self._metered = meter()
        self._metered.start()

    def _stopped(self) -> Consumption | None:
        return self._metered.stop()

    def close(self) -> None:
        """Stop the meters."""
        self._stopped()
