"""Data sets as audits see them, made of arrays or of files for the tests of single audits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec import images
from laennec.audits import SIDE, Subject
from laennec.labels import LabelSet
from laennec.preprocess import Preprocess
from laennec.samples import PART_NAMES, Collection, Sample, Split

LABELS = LabelSet(names=("NORMAL", "OPACITY"), positive=("OPACITY",))
_LOOK = Preprocess(size=SIDE, resize="stretch")


def subject_of(
    pictures: NDArray[np.uint8] | Sequence[Path],
    *,
    folder: Path | None = None,
    sick: Sequence[int] | NDArray[Any] | None = None,
    values: Sequence[tuple[float, ...]] | None = None,
    patients: Sequence[str] | None = None,
    parts: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    labels: LabelSet = LABELS,
    name: str = "set",
    beside: tuple[Subject, ...] = (),
    seed: int = 0,
    **facts: Sequence[Any],
) -> Subject:
    """A subject of pictures; what is not said is: no file, healthy, a patient of its own, in train.

    Args:
        pictures: ``uint8 [n, height, width]``, or files to be read.
        folder: where arrays are written as PNG files named by id; without it their paths lead nowhere.
        sick: 1 or 0 for each image, for `labels` of two that exclude each other.
        values: labels of each image, instead of `sick`.
        parts: ``train``, ``val``, ``test`` or empty for each image; straddling patients are not refused here.
        facts: other fields of `Sample` (view, source, sex, age …), one value for each image.
    """
    n = len(pictures)
    names = list(ids) if ids is not None else [f"i{row:05}" for row in range(n)]
    if values is None:
        truth = np.zeros(n, int) if sick is None else np.asarray(sick)
        values = [(float(not t), float(t)) for t in truth]
    if isinstance(pictures, np.ndarray):
        paths = [(folder or Path("nowhere")) / f"{key}.png" for key in names]
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for path, one in zip(paths, pictures, strict=True):
                Image.fromarray(one).save(path, compress_level=1)
        pixels = pictures
        if pictures.shape[1:] != (SIDE, SIDE):
            pixels = np.stack(
                [np.asarray(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for one in pictures]
            )
    else:
        paths = list(pictures)
        pixels = np.stack([images.load(path, _LOOK)[0] for path in paths])
    samples = tuple(
        Sample(
            id=names[row],
            path=paths[row],
            labels=tuple(values[row]),
            patient=patients[row] if patients is not None else f"p{row:05}",
            **{fact: said[row] for fact, said in facts.items()},
        )
        for row in range(n)
    )
    where = list(parts) if parts is not None else ["train"] * n
    of = {part: tuple(key for key, w in zip(names, where, strict=True) if w == part) for part in PART_NAMES}
    split = Split(train=of["train"], val=of["val"], test=of["test"], how="as told", seed=0)
    collection = Collection(name=name, labels=labels, samples=samples)
    return Subject(collection, split, samples, pixels, (), beside, seed)
