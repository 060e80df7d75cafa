"""Answers for new files: a bundle opened once, asked many times. Loads no torch for an ONNX bundle."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laennec import decisions, images, storage
from laennec.bundle import Bundle, open_bundle
from laennec.errors import ImageError, LaennecError, MissingExtra
from laennec.images.decoding import Answer, Decoders, cores, shared_rows
from laennec.results import OperatingPoint, Prediction, Refused
from laennec.runtime import start

FEW = 32  # files that are read sooner in this process than other processes start
_MOST_DECODERS = 16
_LONGEST = 1024  # files a stretch may hold, however many of them are refused
_Read = tuple[NDArray[np.uint8], images.Done, float] | ImageError


@dataclass(frozen=True, eq=False)
class Stretch:
    """Files that follow one another, and the answers of the model for those of them that could be read.

    Attributes:
        names: every file, in the order asked.
        refused: the refused by their place in `names`.
        probabilities: ``float32 [read, labels]``, the files read in their order.
        score: probability of the positive finding, ``[read]``.
        positive: whether it reaches the threshold, ``[read]``.
        labels: the label decided for, one a file read; empty for none.
        done: what was done to each file read.
        seconds: reading and inference of each file read; a file's share of its batch.
    """

    names: tuple[str, ...]
    refused: dict[int, ImageError]
    probabilities: NDArray[np.float32]
    score: NDArray[Any]
    positive: NDArray[np.bool_]
    labels: tuple[str, ...]
    done: tuple[images.Done, ...]
    seconds: tuple[float, ...]


@dataclass(eq=False)
class _Batch:
    """A stretch on its way to the model."""

    pixels: NDArray[np.uint8]
    names: list[str] = field(default_factory=list)
    refused: dict[int, ImageError] = field(default_factory=dict)
    done: list[images.Done] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def take(self, name: str, read: _Read) -> None:
        if isinstance(read, ImageError):
            self.refused[len(self.names)] = read
        else:
            pixels, done, seconds = read
            self.pixels[len(self.done), 0] = pixels
            self.done.append(done)
            self.seconds.append(seconds)
        self.names.append(name)

    @property
    def full(self) -> bool:
        return len(self.done) == len(self.pixels) or len(self.names) == _LONGEST


class Predictor:
    """A bundle ready to answer, at one of its operating points.

    Args:
        bundle: an opened bundle.
        rule: ``balanced``, ``rule_out`` or ``rule_in``; the card's own choice by default.
        threads: CPU threads; 0 takes all cores.

    Raises:
        UsageError: the card has no such operating point.
    """

    def __init__(self, bundle: Bundle, rule: str | None = None, threads: int = 0) -> None:
        self.bundle = bundle
        self.point: OperatingPoint = bundle.card.point(rule or bundle.card.decision)
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
            notes: say what was done to each file; without it `Stretch.done` holds empty notes.

        Raises:
            LaennecError: the model answers NaN, or no decoding process starts.
        """
        queue = iter(paths)
        if decoders is None:
            first = list(islice(queue, FEW + 1))
            decoders = self._decoders if len(first) > FEW else 0
            queue = chain(first, queue)
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

    def _batch(self, most: int) -> _Batch:
        size = self.bundle.card.preprocess.size
        return _Batch(np.empty((most, 1, size, size), np.uint8))

    def _batches(self, read: Iterable[tuple[str, _Read]], most: int) -> Iterator[_Batch]:
        batch = self._batch(most)
        for name, item in read:
            batch.take(name, item)
            if batch.full:
                yield batch
                batch = self._batch(most)
        if batch.names:
            yield batch

    def _here(self, paths: Iterator[str | Path], batch: int) -> Generator[tuple[str, _Read]]:
        """What is read of each file, in order, by threads of this process."""
        with ThreadPoolExecutor(min(4, self._decoders)) as pool:
            ahead = deque((p, pool.submit(self._read, p)) for p in islice(paths, 2 * batch))
            while ahead:
                path, future = ahead.popleft()
                yield storage.text_of(path), future.result()
                ahead.extend((p, pool.submit(self._read, p)) for p in islice(paths, 1))

    def _apart(
        self, paths: Iterator[str | Path], batch: int, decoders: int, notes: bool
    ) -> Generator[tuple[str, _Read]]:
        """What is read of each file, in order, by `decoders` processes; pixels hold until the next is asked for."""
        preprocess = self.bundle.card.preprocess
        rows = 4 * batch + 4 * decoders
        with (
            shared_rows(rows, preprocess.size) as (place, array),
            Decoders(place, preprocess, decoders, notes=notes) as team,
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
                        else (array[row], answer.done or {}, answer.seconds)
                    ),
                )
                free.append(row)

    def _read(self, source: str | Path | bytes) -> _Read:
        started = time.perf_counter()
        try:
            source = source if isinstance(source, bytes) else Path(source)
            pixels, done = images.load(source, self.bundle.card.preprocess)
        except ImageError as error:
            return error
        except MissingExtra as error:
            return ImageError("missing_extra", f"{error.message}: {error.hint}")
        return pixels, done, time.perf_counter() - started

    def _answer(self, batch: _Batch) -> Stretch:
        labels = self.bundle.card.labels
        count = len(batch.done)
        started = time.perf_counter()
        probabilities = np.empty((0, len(labels)), np.float32)
        if count:
            probabilities = self._session.run(batch.pixels[:count])
        if not np.isfinite(probabilities).all():
            raise LaennecError(f"'{self.bundle.name}' answers NaN", "the model is damaged: export it again")
        share = (time.perf_counter() - started) / max(1, count)
        score, positive, decided = decisions.decide(labels, probabilities, self.point.threshold)
        return Stretch(
            tuple(batch.names),
            batch.refused,
            probabilities,
            score,
            positive,
            tuple(labels.names[which] if which >= 0 else "" for which in decided.tolist()),
            tuple(batch.done),
            tuple(seconds + share for seconds in batch.seconds),
        )

    def _predictions(self, stretch: Stretch) -> Iterator[Prediction | Refused]:
        names, read = self.bundle.card.labels.names, 0
        for place, name in enumerate(stretch.names):
            error = stretch.refused.get(place)
            if error is not None:
                yield Refused(id=name, code=error.code, reason=error.message)
                continue
            yield Prediction(
                id=name,
                probabilities=dict(zip(names, stretch.probabilities[read].tolist(), strict=True)),
                score=float(stretch.score[read]),
                label=stretch.labels[read],
                positive=bool(stretch.positive[read]),
                threshold=self.point.threshold,
                operating_point=self.point.rule,
                bundle_digest=self.bundle.digest,
                image=stretch.done[read],
                milliseconds=round(stretch.seconds[read] * 1000, 2),
            )
            read += 1


def open(path: str | Path, rule: str | None = None, threads: int = 0) -> Predictor:
    """Open the bundle in a folder, ready to answer: ``laennec.open("runs/k8").predict("chest.dcm").positive``.

    Raises:
        UsageError: the folder is not a bundle, or has no operating point `rule`.
        UntrustedBundle: it is not what its card says.
    """
    return Predictor(open_bundle(path), rule, threads)
