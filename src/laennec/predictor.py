"""Answers for new files: a bundle opened once, asked many times. Loads no torch for an ONNX bundle."""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from laennec import decisions, images, masks, storage
from laennec.bundle import Bundle, open_bundle
from laennec.caution import Caution, Told
from laennec.errors import ImageError, MissingExtra, NotFinite, UsageError
from laennec.images.decoding import Answer, Decoders, cores, shared_rows
from laennec.images.standing import refusal
from laennec.outputs import MAPS, Outputs
from laennec.results import OperatingPoint, Prediction, Refused
from laennec.runtime import start
from laennec.segmentation import Lungs
from laennec.stretches import Batch, Read, Stretch

FEW = 32  # files that are read sooner in this process than other processes start
Gate = Literal["off", "tell", "refuse"]
_MOST_DECODERS = 16


class Predictor:
    """A bundle ready to answer, at one of its operating points.

    Args:
        bundle: an opened bundle.
        rule: ``balanced``, ``rule_out`` or ``rule_in``; the card's own choice by default. A bundle that only segments
            has none.
        threads: CPU threads; 0 takes all cores.
        gate: whether pictures are asked if they are upright frontal chest radiographs (`laennec.images.standing`):
            ``off``; ``tell`` answers all the same and says the doubt; ``refuse`` refuses them with the code
            ``not_chest``, ``lateral``, ``inverted`` or ``turned``.
        prevalence: also tell what the score would be where the finding is so common, in (0, 1); the decision does not
            follow it.
        explain: answer with `Prediction.map` too, where the network has one.

    Raises:
        UsageError: the card has no such operating point, or there is no such gate; a prevalence that cannot be, or of a
            bundle that is not calibrated.
    """

    def __init__(
        self,
        bundle: Bundle,
        rule: str | None = None,
        threads: int = 0,
        gate: Gate = "off",
        prevalence: float | None = None,
        explain: bool = False,
    ) -> None:
        if gate not in get_args(Gate):
            raise UsageError(f"no gate '{gate}'", f"take one of: {', '.join(get_args(Gate))}")
        self.bundle, self.gate, self._maps = bundle, gate, (MAPS,) if explain else ()
        decides = bundle.card.classifies or rule
        self.point: OperatingPoint | None = bundle.card.point(rule or bundle.card.decision) if decides else None
        self.caution = Caution(bundle, prevalence) if bundle.card.classifies else None
        if prevalence is not None and self.caution is None:
            raise UsageError(f"'{bundle.name}' names no label", "leave out the prevalence")
        self._session = start(bundle, threads)
        self._decoders = min(threads or cores(), _MOST_DECODERS)

    def predict(self, source: str | Path | bytes, name: str = "") -> Prediction:
        """The answer for one JPEG, PNG or DICOM, a file or its bytes.

        Raises:
            ImageError: it cannot be read; the code says why.
        """
        name = name or ("bytes" if isinstance(source, bytes) else storage.text_of(source))
        read = self._read(source)
        if isinstance(read, ImageError):
            raise read
        batch = self._batch(1)
        batch.take(name, read)
        (answer,) = self._predictions(self._answer(batch))
        assert isinstance(answer, Prediction)  # noqa: S101
        return answer

    def answers(
        self, pixels: Sequence[NDArray[np.uint8]], done: Sequence[images.Done], seconds: Sequence[float]
    ) -> list[Prediction]:
        """Answers for pictures read elsewhere (`laennec.images.decoding`), in one batch of the model, without names.

        Args:
            pixels: ``uint8 [size, size]`` each, as `images.load` makes them by the card's preprocessing.
            done: what was done to each file.
            seconds: that reading each took.

        Raises:
            LaennecError: the model answers NaN.
        """
        batch = self._batch(len(pixels))
        for one in zip(pixels, done, seconds, strict=True):
            batch.take("", one)
        return [one for one in self._predictions(self._answer(batch)) if isinstance(one, Prediction)]

    def at(self, rule: str | None = None, explain: bool = False) -> Self:
        """The same model at another of its operating points, without opening it again.

        Raises:
            UnknownName: the card has no such operating point.
        """
        other = copy.copy(self)
        decides = self.bundle.card.classifies or rule
        other.point = self.bundle.card.point(rule or self.bundle.card.decision) if decides else None
        other._maps = (MAPS,) if explain else ()
        return other

    def predict_many(self, paths: Iterable[str | Path], batch: int = 16) -> Iterator[Prediction | Refused]:
        """Answers in the order of `paths`, one for each; decoding overlaps inference. See `stretches`."""
        for stretch in self.stretches(paths, batch):
            yield from self._predictions(stretch)

    def stretches(
        self, paths: Iterable[str | Path], batch: int = 16, decoders: int | None = None, notes: bool = True
    ) -> Iterator[Stretch]:
        """The same by stretches of files, each with one batch of the model: lighter, for many files.

        Batches are filled across files: a refused one leaves no hole. Of more than a few files the decoding goes to
        processes of their own, so that a file which makes a decoder crash or hang costs that file alone (it is refused
        with the code ``decoder_died`` or ``timeout``). Memory stays flat: of some batches only the small model
        inputs are kept.

        Args:
            paths: the files, in the order wanted.
            batch: images the model is given at a time.
            decoders: processes that decode; 0 decodes in this one. By default 0 for 32 files or fewer, else as many
                as there are threads, 16 at most.
            notes: say what was done to each file; without it `Stretch.done` holds empty notes, but where lungs are
                outlined, whose area needs them.

        Raises:
            LaennecError: the model answers NaN, or no decoding process starts.
        """
        queue = iter(paths)
        if decoders is None:
            first = list(islice(queue, FEW + 1))
            decoders = self._decoders if len(first) > FEW else 0
            queue = chain(first, queue)
        notes = notes or self.bundle.card.segments or self.gate != "off"
        read = self._apart(queue, batch, decoders, notes) if decoders else self._here(queue, batch)
        with closing(read), ThreadPoolExecutor(1) as engine:
            under_way: Future[Stretch] | None = None
            for filled in self._batches(read, batch):
                following = engine.submit(self._answer, filled)
                if under_way is not None:
                    yield under_way.result()
                under_way = following
            if under_way is not None:
                yield under_way.result()

    def _batch(self, most: int) -> Batch:
        size = self.bundle.card.preprocess.size
        return Batch(np.empty((most, 1, size, size), np.uint8))

    def _batches(self, read: Iterable[tuple[str, Read]], most: int) -> Iterator[Batch]:
        batch = self._batch(most)
        for name, item in read:
            batch.take(name, item)
            if batch.full:
                yield batch
                batch = self._batch(most)
        if batch.names:
            yield batch

    def _here(self, paths: Iterator[str | Path], batch: int) -> Generator[tuple[str, Read]]:
        """What is read of each file, in order, by threads of this process."""
        with ThreadPoolExecutor(min(4, self._decoders)) as pool:
            ahead = deque((p, pool.submit(self._read, p)) for p in islice(paths, 2 * batch))
            while ahead:
                path, future = ahead.popleft()
                yield storage.text_of(path), future.result()
                ahead.extend((p, pool.submit(self._read, p)) for p in islice(paths, 1))

    def _apart(
        self, paths: Iterator[str | Path], batch: int, decoders: int, notes: bool
    ) -> Generator[tuple[str, Read]]:
        """What is read of each file, in order, by `decoders` processes; pixels hold until the next is asked for."""
        preprocess = self.bundle.card.preprocess
        rows = 4 * batch + 4 * decoders
        with (
            shared_rows(rows, preprocess.size) as (place, array),
            Decoders(place, preprocess, decoders, what="image" if self.gate == "off" else "chest", notes=notes) as team,
        ):
            free = deque(range(rows))
            ahead: deque[tuple[str, int]] = deque()
            come: dict[int, Answer] = {}
            while True:
                while free and (path := next(paths, None)) is not None:
                    row = free.popleft()
                    team.ask(row, str(path))
                    ahead.append((storage.text_of(path), row))
                if not ahead:
                    return
                name, row = ahead.popleft()
                while row not in come:
                    answer = team.answer()
                    come[answer.row] = answer
                answer = come.pop(row)
                yield (
                    name,
                    (
                        ImageError(answer.code, answer.reason)
                        if answer.code
                        else self._gated(array[row], answer.done or {}, answer.seconds)
                    ),
                )
                free.append(row)

    def _read(self, source: str | Path | bytes) -> Read:
        started = time.perf_counter()
        try:
            source = source if isinstance(source, bytes) else Path(source)
            pixels, done = images.load(source, self.bundle.card.preprocess, gate=self.gate != "off")
        except ImageError as error:
            return error
        except MissingExtra as error:
            return ImageError("missing_extra", f"{error.message}: {error.hint}")
        return self._gated(pixels, done, time.perf_counter() - started)

    def _gated(self, pixels: NDArray[np.uint8], done: images.Done, seconds: float) -> Read:
        """What was read, or its refusal where the gate refuses."""
        return (refusal(done) if self.gate == "refuse" else None) or (pixels, done, seconds)

    def _answer(self, batch: Batch) -> Stretch:
        card, count = self.bundle.card, len(batch.done)
        started = time.perf_counter()
        given = Outputs(np.empty((0, len(card.labels) if card.classifies else 0), np.float32))
        if count:
            also = (*(self.caution.also if self.caution is not None else ()), *self._maps)
            given = self._session.run(batch.pixels[:count], also) if also else self._session.run(batch.pixels[:count])
        if not given.finite:
            raise NotFinite(f"'{self.bundle.name}' answers NaN", "the model is damaged: export it again")
        score: NDArray[Any] = np.empty(0)
        positive: NDArray[np.bool_] = np.empty(0, np.bool_)
        labels: tuple[str, ...] = ()
        told: Told | None = None
        if self.point is not None:
            score, positive, decided = decisions.decide(card.labels, given.probabilities, self.point.threshold)
            labels = tuple(card.labels.names[which] if which >= 0 else "" for which in decided.tolist())
            if self.caution is not None and count:
                told = self.caution.told(given, score, self.point.threshold)
        lungs: tuple[Lungs, ...] = ()
        if given.masks is not None:
            lungs = tuple(self._lungs(*pair) for pair in zip(given.masks, batch.done, strict=True))
        share = (time.perf_counter() - started) / max(1, count)
        return Stretch(
            tuple(batch.names),
            batch.refused,
            given,
            score,
            positive,
            labels,
            told,
            lungs,
            tuple(batch.done),
            tuple(seconds + share for seconds in batch.seconds),
        )

    def _lungs(self, levels: NDArray[np.uint8], done: images.Done) -> Lungs:
        outline = self.bundle.card.outline
        assert outline is not None  # noqa: S101  opening a bundle that segments checks it
        shape = (int(done["height"]), int(done["width"]))
        found = masks.lungs_of(levels, outline, shape, self.bundle.card.preprocess.resize, images.spacing_of(done))
        return found.model_copy(update={"right": found.left, "left": found.right}) if done.get("mirrored") else found

    def _predictions(self, stretch: Stretch) -> Iterator[Prediction | Refused]:
        read = 0
        for place, name in enumerate(stretch.names):
            error = stretch.refused.get(place)
            if error is not None:
                yield Refused(id=name, code=error.code, reason=error.message)
                continue
            yield Prediction(
                id=name,
                **self._decision(stretch, read),
                **self._outline(stretch, read),
                map=None if stretch.outputs.maps is None else stretch.outputs.maps[read],
                doubt=str(stretch.done[read].get("chest_doubt", "")),
                doubt_code=str(stretch.done[read].get("chest_code", "")),
                bundle_digest=self.bundle.digest,
                image=stretch.done[read],
                milliseconds=round(stretch.seconds[read] * 1000, 2),
            )
            read += 1

    def _decision(self, stretch: Stretch, read: int) -> dict[str, Any]:
        if self.point is None:
            return {}
        names, chances = self.bundle.card.labels.names, stretch.outputs.probabilities[read].tolist()
        return {
            "probabilities": dict(zip(names, chances, strict=True)),
            "score": float(stretch.score[read]),
            "label": stretch.labels[read],
            "positive": bool(stretch.positive[read]),
            "threshold": self.point.threshold,
            "operating_point": self.point.rule,
            **self._trust(stretch.told, read),
        }

    def _trust(self, told: Told | None, read: int) -> dict[str, Any]:
        if told is None or self.caution is None:
            return {}
        trust: dict[str, Any] = {}
        if self.caution.refers:
            trust |= {"refer": bool(told.because[read]), "refer_because": told.because[read]}
        if told.possible:
            trust["possible"] = told.possible[read]
        if told.strangeness is not None:
            trust["strangeness"] = round(float(told.strangeness[read]), 4)
        if told.adapted is not None:
            trust["adapted"] = self.caution.noun(float(told.adapted[read]))
        return trust

    def _outline(self, stretch: Stretch, read: int) -> dict[str, Any]:
        outline, levels = self.bundle.card.outline, stretch.outputs.masks
        if outline is None or levels is None:
            return {}
        return {"lungs": stretch.lungs[read], "mask": masks.tidied(levels[read], outline)}


def open(
    path: str | Path,
    rule: str | None = None,
    threads: int = 0,
    gate: Gate = "off",
    prevalence: float | None = None,
    explain: bool = False,
) -> Predictor:
    """Open the bundle in a folder, ready to answer: ``laennec.open("runs/k8").predict("chest.dcm").positive``.

    Raises:
        UsageError: the folder is not a bundle, or has no operating point `rule`; there is no such `gate`.
        UntrustedBundle: it is not what its card says.
    """
    return Predictor(open_bundle(path), rule, threads, gate, prevalence, explain)
