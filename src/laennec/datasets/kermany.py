"""Chest X-Ray Images (Pneumonia): 5,856 paediatric radiographs, normal or pneumonia (bacterial, viral).

Anterior-posterior radiographs of children of one to five years, Guangzhou Women and Children's Medical Center;
labels by two physicians, the test part checked by a third. Folder names carry NORMAL or PNEUMONIA, the file name of a
pneumonia also its etiology. Kermany, Zhang, Goldbaum: Mendeley Data rscbjbr9sj; Kermany et al., Cell 172 (2018).

The patient is (etiology, number) for ``person<N>_<bacteria|virus>_<serial>`` and (prefix, number) for
``IM-<N>-<serial>`` and ``NORMAL2-IM-<N>-<serial>``: the number alone joins different children. The publisher's ``val``
part (16 images, none viral) is too small to choose on and is ignored; validation is drawn from train by patient.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from laennec.errors import UsageError
from laennec.labels import LabelSet
from laennec.samples import Collection, Sample

_PNEUMONIA = re.compile(r"^(person\d+_(bacteria|virus))_\d+(?:_\d+)?$", re.IGNORECASE)
_NORMAL = re.compile(r"^((?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)?$", re.IGNORECASE)
_SUFFIXES = {".jpeg", ".jpg", ".png"}


class Options(BaseModel):
    """Attributes:
    root: folder that holds ``train`` and ``test``, each with ``NORMAL`` and ``PNEUMONIA``.
    task: ``binary`` (normal, pneumonia) or ``etiology`` (normal, bacterial, viral).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    root: Path = Field(strict=False)
    task: Literal["binary", "etiology"] = "binary"


_LABELS = {
    "binary": LabelSet(names=("NORMAL", "PNEUMONIA"), positive=("PNEUMONIA",)),
    "etiology": LabelSet(names=("NORMAL", "BACTERIAL", "VIRAL"), positive=("BACTERIAL", "VIRAL")),
}


def load(options: Options) -> Collection:
    """Read file names.

    Raises:
        UsageError: the folders are not there, or a file name does not say its patient.
    """
    labels = _LABELS[options.task]
    samples = [
        _sample(path, split, folder, labels)
        for split in ("train", "test")
        for folder in ("NORMAL", "PNEUMONIA")
        for path in _images(options.root / split / folder)
    ]
    return Collection(
        name="kermany",
        labels=labels,
        samples=tuple(samples),
        licence="CC BY 4.0",
        citation="Kermany, Zhang, Goldbaum. Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for "
        "Classification. Mendeley Data, doi:10.17632/rscbjbr9sj",
        notes=(
            "A dozen intensity statistics tell the label with an AUROC of .988 inside train and .86 on test: "
            "validation inside train looks better than the test will.",
            "Pneumonia is 74 % of train and 62.5 % of test.",
        ),
    )


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(
            f"kermany: there is no folder {folder}",
            "set data.root to the folder that holds train/ and test/, each with NORMAL/ and PNEUMONIA/",
        )
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and not p.name.startswith("."))


def _sample(path: Path, split: str, folder: str, labels: LabelSet) -> Sample:
    if folder == "NORMAL":
        found, label = _NORMAL.match(path.stem), "NORMAL"
    else:
        found = _PNEUMONIA.match(path.stem)
        label = "PNEUMONIA"
        if found and "PNEUMONIA" not in labels.names:
            label = "BACTERIAL" if found[2].lower() == "bacteria" else "VIRAL"
    if found is None:
        raise UsageError(
            f"kermany: the file name {split}/{folder}/{path.name} does not say its patient",
            "keep the publisher's names: person<N>_<bacteria|virus>_<serial>, IM-<N>-<serial>, NORMAL2-IM-<N>-<serial>",
        )
    return Sample(
        id=f"{split}/{folder}/{path.name}",
        path=path,
        labels=tuple(float(name == label) for name in labels.names),
        patient=found[1].lower(),
        split=split,
        view="AP",
        source="Guangzhou",
    )
