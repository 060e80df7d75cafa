"""What MLflow opens when it loads a logged bundle: files and pictures in, a table of answers out.

An MLflow model that `laennec.trackers.mlflow` logged holds the bundle's folder and the name of this module, no code
and no pickle; so it is verified when it is opened, and answers as `laennec.open` does.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from laennec.errors import ImageError, UsageError
from laennec.predictor import Predictor, open
from laennec.results import Prediction, Refused

if TYPE_CHECKING:
    import pandas as pd


class Answering:
    """A bundle as MLflow asks it."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, given: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row an image: ``id``, ``refused``; of a bundle that classifies ``label``, ``positive``, ``score``,
        ``threshold``, ``p.<label>`` …, and where it refers ``refer``, ``refer_because``, ``possible`` (words
        joined by spaces, and by ``|``) and ``strangeness``; of one that segments ``lungs``, ``lung.right``,
        ``lung.left`` (shares of the picture) and ``lungs.doubt``.

        Args:
            given: paths, file contents or ``uint8`` grey pictures: one, a list, an array ``[n, height, width]`` or
                ``[n, 1, height, width]``, or a table whose first column holds them.
            params: not used.

        Raises:
            UsageError: something else was given.
        """
        import pandas as pd

        card = self.predictor.bundle.card
        decided = ("label", "positive", "score", "threshold") if card.classifies else ()
        labels = card.labels.names if card.classifies else ()
        refers = card.abstention is not None or card.novelty is not None
        cautious = ("refer", "refer_because", "possible", "strangeness") if refers else ()
        areas = ("lungs", "lung.right", "lung.left", "lungs.doubt") if card.segments else ()
        rows: list[dict[str, Any]] = []
        for number, source in enumerate(_sources(given)):
            answer = self._answer(source, number)
            if isinstance(answer, Refused):
                rows.append({"id": answer.id, "refused": answer.code})
                continue
            row = answer.model_dump(include={"id", *decided}) | {"refused": ""}
            if cautious:
                told = (answer.refer, " ".join(answer.refer_because), "|".join(answer.possible), answer.strangeness)
                row |= dict(zip(cautious, told, strict=True))
            row |= {f"p.{name}": answer.probabilities[name] for name in labels}
            found = answer.lungs
            if found is not None:
                lungs = (found.share, found.right.share, found.left.share, found.doubt)
                row |= dict(zip(areas, lungs, strict=True))
            rows.append(row)
        columns = ["id", *decided, "refused", *(f"p.{name}" for name in labels), *cautious, *areas]
        return pd.DataFrame(rows, columns=columns)

    def _answer(self, source: str | Path | bytes, number: int) -> Prediction | Refused:
        name = f"image {number}" if isinstance(source, bytes) else ""
        try:
            return self.predictor.predict(source, name)
        except ImageError as error:
            return Refused(id=name or str(source), code=error.code, reason=error.message)


def _load_pyfunc(path: str) -> Answering:
    """MLflow's entry: the bundle's folder inside a logged model."""
    return Answering(open(path))


def _sources(given: Any) -> Iterator[str | Path | bytes]:
    """Each image of what MLflow handed over, as a path or as a file's content."""
    if isinstance(given, str | Path | bytes):
        yield given
    elif isinstance(given, np.ndarray) and given.dtype == np.uint8:
        pictures = given[None] if given.ndim == 2 else given[:, 0] if given.ndim == 4 and given.shape[1] == 1 else given
        if pictures.ndim != 3 or not pictures.size:
            raise UsageError(f"an array of shape {list(given.shape)} holds no grey pictures", "give [n, height, width]")
        yield from (_png(picture) for picture in pictures)
    elif hasattr(given, "iloc"):
        yield from _sources(list(given.iloc[:, 0] if given.ndim == 2 else given))
    elif isinstance(given, list | tuple | np.ndarray):
        for item in given:
            yield from _sources(item)
    else:
        raise UsageError(
            f"'{type(given).__name__}' is no image", "give paths, file contents, or uint8 pictures [n, height, width]"
        )


def _png(picture: np.ndarray) -> bytes:
    """A picture as a file, so that it takes the one way that files take."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()
