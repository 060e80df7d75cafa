"""A page to try a bundle by hand: a radiograph is dropped, and the answer is read in words.

The answers are made here, without the page's library; `laennec.demonstrator.page` shows them. A stranger's file is
decoded in a process of its own, bounded in memory and time, and nothing of it is kept but its picture in memory.
"""

from __future__ import annotations

import base64
import io
import tempfile
import threading
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec import masks, overlays, saliency
from laennec.bundle import Bundle
from laennec.demonstrator.words import NOTICE, WORDS, against, areas, headline, possible, refusal
from laennec.errors import ImageError, UsageError
from laennec.explanation import Explainer
from laennec.images import Done
from laennec.images.decoding import Decoders, shared_rows
from laennec.images.shown import View
from laennec.predictor import Predictor
from laennec.preprocess import Preprocess
from laennec.results import Prediction
from laennec.wording import Text

__all__ = ["LAYERS", "NOTICE", "Answer", "Demonstrator", "Seen"]

LAYERS = ("map", "lungs")
_PATIENCE = 20.0  # seconds that decoding one file may take
_MEMORY = 2**30  # bytes that it may take
_FINEST = 768  # pixels of the longest side of a picture shown, at least
_Given = tuple[NDArray[np.uint8], Done, float]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A radiograph as it was read.

    Attributes:
        view: its picture for a person.
        given: what each model's preprocessing made of it.
    """

    view: View
    given: dict[Preprocess, _Given]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one radiograph.

    Attributes:
        kind: ``positive``, ``negative``, ``outlined`` or ``refused`` (not read, or no chest that stands as it should).
        headline: the decision in two words, or that there is none.
        said: sentences on it.
        refer: why a person should decide; empty where the answer may stand.
        chances: label to probability; empty of a bundle that only outlines lungs.
        calibrated: whether these are probabilities at all, and not scores.
        picture: a PNG with what was asked to be laid over it; empty where nothing was read.
    """

    kind: str
    headline: Text
    said: tuple[Text, ...] = ()
    refer: tuple[Text, ...] = ()
    chances: tuple[tuple[str, float], ...] = ()
    calibrated: bool = True
    picture: bytes = b""

    @property
    def url(self) -> str:
        """The picture as a data URL."""
        return "data:image/png;base64," + base64.b64encode(self.picture).decode("ascii") if self.picture else ""


class Demonstrator:
    """Bundles ready to be tried, with the processes that decode for them, ended with the block it is used in.

    Args:
        bundles: opened bundles with different names.
        threads: CPU threads for each model; 0 takes all cores.

    Raises:
        UsageError: no bundle, or two of one name.
    """

    def __init__(self, bundles: Sequence[Bundle], threads: int = 0) -> None:
        names = [bundle.name for bundle in bundles]
        if not names or len(set(names)) < len(names):
            raise UsageError("the page needs bundles of different names", "name each bundle once, from its own folder")
        self._models = {bundle.name: Predictor(bundle, None, threads, "tell") for bundle in bundles}
        self._threads, self._explainers = threads, dict[str, Explainer]()
        self._lock, self._block = threading.Lock(), ExitStack()
        self._views = Path(self._block.enter_context(tempfile.TemporaryDirectory(prefix="laennec-page-")))
        self._readers = {
            preprocess: self._block.enter_context(_Reader(preprocess, self._views / "view"))
            for preprocess in dict.fromkeys(model.bundle.card.preprocess for model in self._models.values())
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._block.close()

    @property
    def models(self) -> tuple[str, ...]:
        """The bundles' names, in the order given."""
        return tuple(self._models)

    def rules(self, model: str) -> tuple[str, ...]:
        """A bundle's operating points, its own choice first; none of one that only outlines."""
        card = self._models[model].bundle.card
        if not card.classifies:
            return ()
        return (card.decision, *(rule for rule in sorted(card.operating_points) if rule != card.decision))

    def read(self, path: Path) -> Seen:
        """A file as every model needs it. The file stays; to delete it is the caller's.

        Raises:
            ImageError: it cannot be read.
            LaennecError: no decoding process can be started.
        """
        with self._lock:
            given, view = {}, None
            for preprocess, reader in self._readers.items():
                given[preprocess], shown = reader.read(path, view=view is None)
                view = view or shown
        assert view is not None  # noqa: S101
        return Seen(view, given)

    def answer(self, seen: Seen, model: str, rule: str | None = None, layers: Collection[str] = ()) -> Answer:
        """What a bundle says of a radiograph.

        Args:
            seen: the radiograph.
            model: of `models`.
            rule: of `rules`; the bundle's own choice by default.
            layers: of `LAYERS`.

        Raises:
            LaennecError: the model answers NaN.
        """
        opened = self._models[model]
        pixels, done, seconds = seen.given[opened.bundle.card.preprocess]
        if code := str(done.get("chest_code", "")):
            return Answer("refused", WORDS["unanswered"], refusal(code), picture=_drawn(seen.view, done))
        with self._lock:
            asked = opened.at(rule if rule in self.rules(model) else None)
            (prediction,) = asked.answers([pixels], [done], [seconds])
            heat = self._heat(seen, model, prediction) if "map" in layers else None
        said = [*_decided(prediction, opened.bundle), *_outlined(prediction)]
        if heat is not None:
            said.append(WORDS["looks"])
        lungs = _lungs(seen.view, prediction, opened.bundle) if "lungs" in layers else None
        if lungs is not None and (lungs[0].any() or lungs[1].any()):
            said.append(WORDS["legend"])
        if done.get("mirrored"):
            said.append(WORDS["mirrored"])
        finding = " / ".join(opened.bundle.card.labels.positive)
        if prediction.positive is None:
            found = prediction.lungs is not None and prediction.lungs.share > 0
            kind, head = "outlined", WORDS["outlined" if found else "not_outlined"]
        else:
            kind, head = "positive" if prediction.positive else "negative", headline(finding, prediction.positive)
        return Answer(
            kind=kind,
            headline=head,
            said=tuple(said),
            refer=_referred(prediction, finding),
            chances=tuple(prediction.probabilities.items()),
            calibrated=opened.bundle.card.calibration is not None,
            picture=_drawn(seen.view, done, heat, lungs),
        )

    def _heat(self, seen: Seen, model: str, prediction: Prediction) -> NDArray[np.float32] | None:
        """Where the model looks, on the picture; by occlusion where the network has no map of its own."""
        bundle = self._models[model].bundle
        if not bundle.card.classifies:
            return None
        preprocess = bundle.card.preprocess
        if model not in self._explainers:
            self._explainers[model] = Explainer(bundle, threads=self._threads)
        (overlay,) = self._explainers[model].explain(seen.given[preprocess][0][np.newaxis, np.newaxis])
        return saliency.onto(overlay.heat, prediction.image, preprocess, _shape(seen.view))


def refused(code: str) -> Answer:
    """The answer for a file that cannot be read, by the code of `ImageError`; ``fault`` for anything else."""
    return Answer("refused", WORDS["refused"], refusal(code))


class _Reader:
    """One process that decodes for one preprocessing; one file at a time."""

    def __init__(self, preprocess: Preprocess, view: Path) -> None:
        self._preprocess, self._view, self._block = preprocess, view, ExitStack()

    def __enter__(self) -> Self:
        place, self._array = self._block.enter_context(shared_rows(1, self._preprocess.size))
        self._team = self._block.enter_context(
            Decoders(place, self._preprocess, 1, what="shown", notes=True, patience=_PATIENCE, memory=_MEMORY, ahead=1)
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._block.close()

    def read(self, path: Path, view: bool) -> tuple[_Given, View | None]:
        try:
            self._team.ask(0, str(path), str(self._view) if view else "")
            answer = self._team.answer()
            if answer.code:
                raise ImageError(answer.code, answer.reason)
            given = self._array[0].copy(), answer.done or {}, answer.seconds
            return given, View.of(self._view.read_bytes()) if view else None
        finally:
            self._view.unlink(missing_ok=True)


def _decided(prediction: Prediction, bundle: Bundle) -> list[Text]:
    if prediction.score is None or prediction.threshold is None or prediction.positive is None:
        return []
    calibrated = bundle.card.calibration is not None
    said = [
        against(prediction.score, prediction.threshold, prediction.operating_point, prediction.positive, calibrated)
    ]
    return said if prediction.positive else [*said, WORDS["below"]]


def _outlined(prediction: Prediction) -> list[Text]:
    lungs = prediction.lungs
    if lungs is None:
        return []
    if not lungs.share:
        return [WORDS["no_lungs"]] if prediction.positive is not None else []
    return [areas(lungs.share, lungs.right.share, lungs.left.share, lungs.square_centimetres)]


def _referred(prediction: Prediction, finding: str) -> tuple[Text, ...]:
    """Why a person should decide."""
    return tuple(
        WORDS["unlike"] if why == "unlike" else possible(prediction.possible, finding)
        for why in prediction.refer_because
    )


def _lungs(view: View, prediction: Prediction, bundle: Bundle) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The bundle's own where it outlines them, else those that the network which frames pictures finds."""
    outline, lung = bundle.card.outline, view.lungs
    if outline is not None and prediction.mask is not None:
        lung = masks.placed(prediction.mask, _shape(view), bundle.card.preprocess.resize) >= masks.level(outline)
    right, left = masks.parted(lung)
    return (left, right) if prediction.image.get("mirrored") else (right, left)


def _shape(view: View) -> tuple[int, int]:
    return view.grey.shape[0], view.grey.shape[1]


def _drawn(
    view: View,
    done: Done,
    heat: NDArray[np.float32] | None = None,
    lungs: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None,
) -> bytes:
    """A PNG, hung as radiographs are; a small picture is enlarged, so that what is drawn on it is fine."""
    grey = view.grey.astype(np.float32) / np.float32(255)
    stream = io.BytesIO()
    colours = overlays.pictured(grey, heat, lungs, max(_FINEST, *grey.shape))
    if done.get("mirrored"):
        colours = np.ascontiguousarray(colours[:, ::-1])
    Image.fromarray(colours).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
