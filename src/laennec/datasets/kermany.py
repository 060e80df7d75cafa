"""Chest X-Ray Images (Pneumonia): 5,856 paediatric radiographs, normal or pneumonia (bacterial, viral).

Anterior-posterior radiographs of children of one to five years, Guangzhou Women and Children's Medical Center;
labels by two physicians, the test part checked by a third. Folder names carry NORMAL or PNEUMONIA, the file name of a
pneumonia also its etiology. Kermany, Zhang, Goldbaum: Mendeley Data rscbjbr9sj; Kermany et al., Cell 172 (2018).

The patient is (etiology, number) for ``person<N>_<bacteria|virus>_<serial>`` and (prefix, number) for
``IM-<N>-<serial>`` and ``NORMAL2-IM-<N>-<serial>``: the number alone joins different children. The publisher's ``val``
part (16 images, none viral) is too small to choose on and is left out unless `official_val` asks for it; validation is
drawn from train by patient.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from laennec.errors import UsageError
from laennec.labels import LabelSet
from laennec.origins import Archive, Download, Kaggle, Origin
from laennec.samples import Collection, Sample

_PNEUMONIA = re.compile(r"^(person\d+_(bacteria|virus))_\d+(?:_\d+)?$", re.IGNORECASE)
_NORMAL = re.compile(r"^((?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)?$", re.IGNORECASE)
_SUFFIXES = {".jpeg", ".jpg", ".png"}

_LICENCE = "CC BY 4.0"
_CITATION = (
    "Kermany, Zhang, Goldbaum. Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for Classification. "
    "Mendeley Data, doi:10.17632/rscbjbr9sj"
)
_LAYOUT = (
    "train/NORMAL/IM-<N>-<serial>.jpeg",
    "train/PNEUMONIA/person<N>_<bacteria|virus>_<serial>.jpeg",
    "test/NORMAL/ and test/PNEUMONIA/ likewise",
)
_KEEP = ("train/NORMAL/*.jpeg", "train/PNEUMONIA/*.jpeg", "test/NORMAL/*.jpeg", "test/PNEUMONIA/*.jpeg")
ORIGINS = (
    Origin(
        variant="mendeley",
        title="Chest X-Ray Images (Pneumonia), version 2: 5,856 radiographs, train and test",
        licence=_LICENCE,
        citation=_CITATION,
        page="https://data.mendeley.com/datasets/rscbjbr9sj/2",
        source=Download(
            url="https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
            "f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded",
            name="ChestXRay2017.zip",
            size=1_235_512_464,
            reported_sha256="13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36",
        ),
        archive=Archive(inside="chest_xray", keep=_KEEP, unpacked=1_260_000_000),
        layout=_LAYOUT,
    ),
    Origin(
        variant="kaggle",
        title="Chest X-Ray Images (Pneumonia) as at Kaggle: the same, 16 of them in a val part that is left out",
        licence=_LICENCE,
        citation=_CITATION,
        page="https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia",
        source=Kaggle(kind="datasets", name="paultimothymooney/chest-xray-pneumonia", size=2_460_000_000),
        archive=Archive(inside="chest_xray", keep=_KEEP, unpacked=1_260_000_000),
        layout=_LAYOUT,
    ),
)


class Options(BaseModel):
    """Attributes:
    root: folder that holds ``train`` and ``test``, each with ``NORMAL`` and ``PNEUMONIA``.
    task: ``binary`` (normal, pneumonia), ``etiology`` (normal, bacterial, viral), or ``bacterial_viral``: pneumonias
        only, bacterial against viral.
    official_val: read the publisher's ``val`` folder of 16 images too.
    masks: folder of lung masks laid out as `root`, each a PNG of its image's name, as seen from `root` unless its path
        is absolute; the publisher gives none. Images without one keep their place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    root: Path = Field(strict=False)
    task: Literal["binary", "etiology", "bacterial_viral"] = "binary"
    official_val: bool = False
    masks: Path | None = Field(default=None, strict=False)

    @model_serializer(mode="wrap")
    def _without_what_is_not_used(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # recipes from before this key keep their digests
        plain: dict[str, Any] = serialise(self)
        if self.masks is None:
            plain.pop("masks", None)
        return plain


_LABELS = {
    "binary": LabelSet(names=("NORMAL", "PNEUMONIA"), positive=("PNEUMONIA",)),
    "etiology": LabelSet(names=("NORMAL", "BACTERIAL", "VIRAL"), positive=("BACTERIAL", "VIRAL")),
    "bacterial_viral": LabelSet(names=("VIRAL", "BACTERIAL"), positive=("BACTERIAL",)),
}
_WHO = "Children of one to five years, of one hospital (Guangzhou)."
_WITH_NORMALS = (
    _WHO,
    "A dozen intensity statistics tell the label with an AUROC of .988 inside train and .86 on test: "
    "validation inside train looks better than the test will.",
    "Pneumonia is 74 % of train and 62.5 % of test.",
)
_NOTES = {
    "binary": _WITH_NORMALS,
    "etiology": _WITH_NORMALS,
    "bacterial_viral": (
        _WHO,
        "Bacterial is 65 % of the pneumonias in train and 62 % in test; normals are left out.",
    ),
}


def load(options: Options) -> Collection:
    """Read file names.

    Raises:
        UsageError: the folders are not there, a file name does not say its patient, or `masks` holds none.
    """
    labels = _LABELS[options.task]
    masks = options.root / options.masks if options.masks else None
    samples = [
        _sample(path, split, folder, labels, masks)
        for split in ("train", *(["val"] if options.official_val else []), "test")
        for folder in (["PNEUMONIA"] if options.task == "bacterial_viral" else ["NORMAL", "PNEUMONIA"])
        for path in _images(options.root / split / folder)
    ]
    return Collection(
        name="kermany",
        labels=labels,
        samples=tuple(samples),
        licence=_LICENCE,
        citation=_CITATION,
        notes=_NOTES[options.task] + _masks_told(masks, samples),
    )


def _masks_told(folder: Path | None, samples: list[Sample]) -> tuple[str, ...]:
    """What a report must say of the masks: how many there are, and that others drew them."""
    if folder is None:
        return ()
    masked = sum(sample.mask is not None for sample in samples)
    if not masked:
        raise UsageError(
            f"kermany: there is no lung mask of any image in {folder}",
            "set data.masks to a folder laid out as the images: train/NORMAL/IM-<N>-<serial>.png, and so on",
        )
    return (f"{masked} of {len(samples)} images have a lung mask; the masks are not the publisher's.",)


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(
            f"kermany: there is no folder {folder}",
            "set data.root to the folder that holds train/ and test/, each with NORMAL/ and PNEUMONIA/; `laennec data "
            "fetch kermany` makes one",
        )
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and not p.name.startswith("."))


def _sample(path: Path, split: str, folder: str, labels: LabelSet, masks: Path | None) -> Sample:
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
    mask = masks / split / folder / f"{path.stem}.png" if masks else None
    return Sample(
        id=f"{split}/{folder}/{path.name}",
        path=path,
        labels=tuple(float(name == label) for name in labels.names),
        patient=found[1].lower(),
        split=split,
        view="AP",
        mask=mask if mask and mask.is_file() else None,
        source="Guangzhou",
    )
