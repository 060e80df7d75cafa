"""Answers for new files: a bundle opened once, asked many times. Loads no torch for an ONNX bundle."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from laennec import decisions, images, storage
from laennec.bundle import Bundle, open_bundle
from laennec.errors import ImageError, LaennecError, MissingExtra
from laennec.results import OperatingPoint, Prediction, Refused
from laennec.runtime import start

_Read = tuple[np.ndarray, images.Done, float] | ImageError


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
        self._decoders = threads or min(4, os.cpu_count() or 1)

    def predict(self, source: str | Path | bytes, name: str = "") -> Prediction:
        """The answer for one JPEG, PNG or DICOM, a file or its bytes.

        Raises:
            ImageError: it cannot be read; the code says why.
        """
        name = name or ("bytes" if isinstance(source, bytes) else storage.text_of(source))
        read = self._read(source)
        if isinstance(read, ImageError):
            raise read
        return self._answer([(name, read)])[0]

    def predict_many(self, paths: Iterable[str | Path], batch: int = 16) -> Iterator[Prediction | Refused]:
        """Answers in the order of `paths`, one for each; decoding overlaps inference.

        Memory stays flat: of each file only the small model input is kept, and as many files are decoded at once as
        there are threads (four at most unless asked for).
        """
        queue = iter(paths)
        with ThreadPoolExecutor(self._decoders) as pool:
            ahead = [(p, pool.submit(self._read, p)) for p in islice(queue, batch)]
            while ahead:
                following = [(p, pool.submit(self._read, p)) for p in islice(queue, batch)]
                read = [(storage.text_of(path), future.result()) for path, future in ahead]
                good = [(name, item) for name, item in read if not isinstance(item, ImageError)]
                answers = iter(self._answer(good) if good else [])
                for name, item in read:
                    if isinstance(item, ImageError):
                        yield Refused(id=name, code=item.code, reason=item.message)
                    else:
                        yield next(answers)
                ahead = following

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

    def _answer(self, inputs: list[tuple[str, tuple[np.ndarray, images.Done, float]]]) -> list[Prediction]:
        labels = self.bundle.card.labels
        started = time.perf_counter()
        probabilities = self._session.run(np.stack([pixels for _, (pixels, _, _) in inputs])[:, None])
        seconds = (time.perf_counter() - started) / len(inputs)
        if not np.isfinite(probabilities).all():
            raise LaennecError(f"'{self.bundle.name}' answers NaN", "the model is damaged: export it again")
        score, positive, decided = decisions.decide(labels, probabilities, self.point.threshold)
        return [
            Prediction(
                id=name,
                probabilities={label: float(p) for label, p in zip(labels.names, probabilities[i], strict=True)},
                score=float(score[i]),
                label=labels.names[decided[i]] if decided[i] >= 0 else "",
                positive=bool(positive[i]),
                threshold=self.point.threshold,
                operating_point=self.point.rule,
                bundle_digest=self.bundle.digest,
                image=done,
                milliseconds=round((read + seconds) * 1000, 2),
            )
            for i, (name, (_, done, read)) in enumerate(inputs)
        ]


def open(path: str | Path, rule: str | None = None, threads: int = 0) -> Predictor:
    """Open the bundle in a folder, ready to answer: ``laennec.open("runs/k8").predict("chest.dcm").positive``.

    Raises:
        UsageError: the folder is not a bundle, or has no operating point `rule`.
        UntrustedBundle: it is not what its card says.
    """
    return Predictor(open_bundle(path), rule, threads)
