"""A service against the bare engine that it runs: what is added to one image, and what is left of the throughput."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import load
import numpy as np
from openloop import Client, Payload
from service import Service, talk
from verdicts import row

import laennec as ln
from laennec.backends import Session
from laennec.bundle import Bundle
from laennec.card import Limits
from laennec.recipe import Recipe
from laennec.runtime import start

ASKED = 20.0  # images a second, of R2
_BLOCK = 20  # requests, then runs of the engine
_PAUSE = 0.03  # seconds in which the threads of an engine give up waiting for more work
ANYTHING = Limits(auroc_lost=1.0, flipped=1.0, ece_gained=1.0)


def resnet(work: Path, backend: str = "openvino") -> Bundle:
    """ResNet-50 at 224 px in int8, trained on a few phantoms: its speed does not depend on its weights. Kept."""
    out = work / f"resnet50-{backend}-int8"
    if not (out / "card.json").exists():
        recipe = Recipe.parse(
            {
                "name": "resnet50",
                "description": "Serving benchmark: ResNet-50 at 224 px, random weights, one epoch of phantoms",
                "data": {"name": "phantom", "patients": 40, "size": 96},
                "split": {"validation": 0.3, "test": 0.2},
                "preprocess": {"size": 224, "channels": 3},
                "model": {"name": "timm", "backbone": "resnet50", "weights": "none"},
                "phases": [{"epochs": 1, "learning_rate": 1e-4}],
                "training": {"batch_size": 8},
            }
        )
        parent = ln.train(recipe, work / "resnet50")
        ln.export(parent, backend, "int8", out=out, limits=ANYTHING)
    return ln.open_bundle(out)


def pixels_of(bundle: Bundle, pictures: Sequence[bytes]) -> np.ndarray:
    """The model's input ``uint8 [n, 1, size, size]``."""
    return np.stack([ln.images.load(one, bundle.card.preprocess)[0] for one in pictures])[:, None]


def overhead(service: Service, bundle: Bundle, pictures: Sequence[bytes], rounds: int) -> tuple[list[str], list[str]]:
    """The lines of one image, and what is to be said beside them: what the client waits beyond decoding and the
    engine's own time. Requests one after the other and runs of the bare engine take turns of `_BLOCK`; then both one
    by one with pauses, in which the processors fall asleep.
    """
    session, pixels = start(bundle), pixels_of(bundle, pictures)
    payloads = [service.payload("/predict", picture) for picture in pictures]

    async def asked(client: Client, at: int) -> list[float]:
        exchange = await client.ask(payloads[at])
        if exchange.status != 200:
            raise SystemExit(f"a radiograph was answered {exchange.status or exchange.fault}: {exchange.body[:200]!r}")
        timings = json.loads(exchange.body)["timings_ms"]
        return [1000 * exchange.seconds, *(timings[name] for name in ("decode", "model", "wait"))]

    def ran(at: int) -> float:
        began = time.perf_counter()
        session.run(pixels[at : at + 1])
        return 1000 * (time.perf_counter() - began)

    async def turns(client: Client, block: int, pause: float) -> np.ndarray:
        rows: list[list[float]] = []
        for turn in range(-1, max(1, rounds // block)):
            places = [(turn * block + n) % len(pictures) for n in range(block)]
            told = []
            for at in places:
                told.append(await asked(client, at))
                time.sleep(pause)
            for at, one in zip(places, told, strict=True):
                one.append(ran(at))
                time.sleep(pause)
            rows += told if turn >= 0 else []
        return np.array(rows)

    def added(rows: np.ndarray) -> tuple[float, str]:
        total, decode, model, wait, engine = rows.T
        # the engine beside the service may be slowed by it: the faster of the two is what would have been enough
        bare = min(np.median(engine), np.median(model))
        more = float(np.median(total - decode) - bare)
        return more, (
            f"{more:.2f} ms of {np.median(total):.2f} ms (decoding {np.median(decode):.2f}, engine {bare:.2f}: alone "
            f"{np.median(engine):.2f}, in the service {np.median(model):.2f}; wait {np.median(wait):.2f})"
        )

    more, text = added(talk(service, lambda client: turns(client, _BLOCK, 0.0), keep=True))
    _, asleep = added(talk(service, lambda client: turns(client, 1, _PAUSE), keep=True))
    lines = [row("one image: the client's time less decoding and the bare engine, p50", "<= 3 ms", text, more <= 3)]
    return lines, [f"With {1000 * _PAUSE:.0f} ms of pause before each, so that the processors fall asleep: {asleep}."]


def batches(session: Session, pixels: np.ndarray, batch: int, seconds: float) -> float:
    """Images a second of the engine alone, batch after batch."""
    fed = np.concatenate([pixels] * (1 + batch // len(pixels)))[:batch]
    session.run(fed)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        session.run(fed)
        done += batch
    return done / (time.perf_counter() - began)


def goodput(service: Service, bundle: Bundle, pictures: Sequence[bytes], rounds: int, seconds: float) -> list[str]:
    """The lines of eight clients in a closed loop against the engine's batches of 8 and of 16, measured in turns."""
    session, pixels = start(bundle), pixels_of(bundle, pictures)
    payloads: list[Payload] = [service.payload("/predict", picture) for picture in pictures]
    load.saturated(service, payloads, load.CLIENTS, min(2.0, seconds))
    served, alone = list[float](), dict[int, list[float]]({8: [], 16: []})
    for _ in range(rounds):
        served.append(load.saturated(service, payloads, load.CLIENTS, seconds))
        time.sleep(_PAUSE)
        for batch, rates in alone.items():
            rates.append(batches(session, pixels, batch, seconds / 2))
        time.sleep(_PAUSE)
    ours, best = statistics.median(served), max(statistics.median(rates) for rates in alone.values())
    name = f"{bundle.card.model.options.get('backbone', bundle.name)} {bundle.card.backend} {bundle.card.precision}"
    return [
        row(
            f"{load.CLIENTS} clients, {name} at {bundle.card.preprocess.size} px, against the engine's own batches",
            ">= 0.85",
            f"{ours:.1f} / {best:.1f} images/s = {ours / best:.2f}",
            ours >= 0.85 * best,
        ),
        row(f"images/s against R2's {ASKED:.0f}", ">= 3 x", f"{ours:.1f} = {ours / ASKED:.1f} x", ours >= 3 * ASKED),
    ]
