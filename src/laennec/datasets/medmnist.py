"""A MedMNIST file (.npz) of grey images, such as PneumoniaMNIST at 28, 64, 128 or 224 pixels.

PneumoniaMNIST is Kermany's 5,856 paediatric radiographs: 4,708 train, 524 val, 624 test, normal or pneumonia. The
test part is Kermany's; train and val are Kermany's train parted 9 to 1, by image as far as is said, and no patient key
is published. Yang et al., Scientific Data 10 (2023), doi:10.1038/s41597-022-01721-8. CC BY 4.0.

What the input is: the central square of each radiograph (the short edge long), scaled to the file's size. The sides
of the chest are cut off in wide pictures. A 28-pixel file fed to a larger model is 28 pixels enlarged: the "224" of the
first benchmark was that, the 224 of MedMNIST+ is scaled from the original. The name of the collection and its notes
carry the true size.

Samples are files, so the arrays are unpacked once into PNGs in the cache (`LAENNEC_CACHE`), under the digest of the
.npz. Nothing is ever unpickled.
"""

from __future__ import annotations

import csv
import os
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import numpy as np
from numpy.lib import format as npy
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from laennec import progress, storage
from laennec.errors import LaennecError, UntrustedBundle, UsageError
from laennec.labels import LabelSet
from laennec.origins import Download, Origin
from laennec.samples import PART_NAMES, Collection, Sample

EDITION = 1  # raise it when the same .npz makes other files: the cache then starts anew

_PNEUMONIA = {"train": 4708, "val": 524, "test": 624}
_MAX_BYTES = 4 * 2**30  # of one array; PneumoniaMNIST at 224 has 0.24 GB in its largest
_COLUMNS = ("id", "label", "bytes")
_SIDES = (8, 2048)

_PAPER = (
    "Yang et al. MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical image classification. "
    "Scientific Data 2023;10:41, doi:10.1038/s41597-022-01721-8"
)
_KERMANY = ". Kermany, Zhang, Goldbaum. Mendeley Data, doi:10.17632/rscbjbr9sj"


def _origin(side: int, md5: str, size: int = 0) -> Origin:
    name = "pneumoniamnist.npz" if side == 28 else f"pneumoniamnist_{side}.npz"
    return Origin(
        variant=str(side),
        title=f"PneumoniaMNIST at {side} × {side} pixels: 4,708 train, 524 val, 624 test",
        licence="CC BY 4.0",
        citation=_PAPER + _KERMANY,
        page="https://zenodo.org/records/10519652",
        source=Download(
            url=f"https://zenodo.org/records/10519652/files/{name}?download=1", name=name, size=size, md5=md5
        ),
        archive=None,
        layout=(name,),
    )


# MD5 as the publisher's package medmnist 3.0.2 gives them
ORIGINS = (
    _origin(28, "28209eda62fecd6e6a2d98b1501bb15f", 4_200_000),
    _origin(64, "8f4eceb4ccffa70c672198ea285246c6"),
    _origin(128, "05b46931834c231683c68f40c47b2971"),
    _origin(224, "d6a3c71de1b945ea11211b03746c1fe1", 214_400_000),
)


class Options(BaseModel):
    """Attributes:
    root: the ``.npz`` file.
    names: label names in the order of the file's label numbers.
    positive: the positive ones among them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    root: Path = Field(strict=False)
    names: tuple[str, ...] = Field(default=("normal", "pneumonia"), strict=False)
    positive: tuple[str, ...] = Field(default=("pneumonia",), strict=False)

    @model_validator(mode="after")
    def _a_label_set(self) -> Self:
        try:
            LabelSet(names=self.names, positive=self.positive)
        except ValidationError as error:
            fault = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"data.names and data.positive: {fault}") from error
        return self


def load(options: Options) -> Collection:
    """The data set, unpacked if it is not yet.

    Raises:
        UsageError: not a MedMNIST file of grey images with one label each, or its labels do not fit `names`.
        UntrustedBundle: the file holds pickled objects.
        StorageFull: the device has no room; nothing half-made is left.
    """
    root = options.root.expanduser()
    if not root.is_file():
        raise UsageError(
            f"medmnist: there is no file {root}",
            "set data.root to a MedMNIST .npz file; `laennec data fetch medmnist` brings one",
        )
    made_of = {"edition": EDITION, "npz": storage.file_digest(root)}
    folder = storage.cache_folder("medmnist") / storage.digest(made_of)[:16]
    if _rows(folder, made_of) is None:
        _build(folder, root, made_of)
    rows = _rows(folder, made_of)
    if rows is None:
        raise LaennecError(f"{folder} changed while it was read", "run it again")
    size = int(storage.read_json(folder / "medmnist.json")["size"])
    labels = LabelSet(names=options.names, positive=options.positive)
    highest = max(int(row["label"]) for row in rows)
    if highest >= len(labels):
        raise UsageError(
            f"medmnist: {root.name} holds label {highest}, and {len(labels)} names are given",
            "name every label, in the order of their numbers, in data.names",
        )
    counts = {part: sum(row["id"].startswith(f"{part}/") for row in rows) for part in PART_NAMES}
    kermany = counts == _PNEUMONIA or root.name.lower().startswith("pneumoniamnist")
    name = root.stem if root.stem.endswith(f"_{size}") else f"{root.stem}_{size}"
    return Collection(
        name=name,
        labels=labels,
        samples=tuple(
            Sample(
                id=row["id"],
                path=folder / f"{row['id']}.png",
                labels=tuple(float(int(row["label"]) == place) for place in range(len(labels))),
                patient=row["id"],
                split=row["id"].partition("/")[0],
                view="AP" if kermany else "",
                source="Guangzhou" if kermany else "",
            )
            for row in rows
        ),
        licence="CC BY 4.0" if kermany else "",
        citation=_PAPER + (_KERMANY if kermany else ""),
        notes=_notes(size, kermany),
    )


def _notes(size: int, kermany: bool) -> tuple[str, ...]:
    notes = [
        "No patient key is published: every image counts as a patient of its own; train and val may share patients.",
        f"The images are {size} × {size} pixels. A model input larger than that enlarges them and adds no detail.",
    ]
    if kermany:
        made = "central squares of the radiographs, scaled: the sides of wide pictures are cut off"
        if size == 28:
            notes.append(f"They are {made}. A model at 224 pixels sees 28 pixels enlarged.")
        else:
            notes.append(f"They are {made} (MedMNIST+), not 28 pixels enlarged as in the first benchmark's 224.")
        notes.append(
            "PneumoniaMNIST is Kermany's set, its test part Kermany's test: a test on one after training on the other "
            "is not external. COVID-19 Radiography holds Kermany's normal and viral images too."
        )
    else:
        notes.append("The licence and the making of this file are not known here: see medmnist.com.")
    return tuple(notes)


def _rows(folder: Path, made_of: dict[str, Any]) -> list[dict[str, str]] | None:
    """The index of `folder`, or None unless all its files are there whole."""
    try:
        said = storage.read_json(folder / "medmnist.json")
        if not isinstance(said, dict) or said != {**made_of, "size": said.get("size")}:
            return None
        with (folder / "index.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        have: dict[str, int] = {}
        for part in PART_NAMES:
            with os.scandir(folder / part) as entries:
                have |= {f"{part}/{entry.name.removesuffix('.png')}": entry.stat().st_size for entry in entries}
        whole = all(have.get(row["id"]) == int(row["bytes"]) for row in rows)
    except (LaennecError, OSError, ValueError, KeyError, TypeError, csv.Error):
        return None
    return rows if rows and whole else None


def _build(folder: Path, root: Path, made_of: dict[str, Any]) -> None:
    """Unpack into `folder`."""
    size, counts = _check(root)
    with storage.building(folder, lambda: _rows(folder, made_of) is not None) as work:
        rows = _unpack(root, work, sum(counts.values()))
        with storage.replacing(work / "index.csv") as part, part.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(_COLUMNS)
            writer.writerows(rows)
        storage.write_json(work / "medmnist.json", {**made_of, "size": size})


def _check(root: Path) -> tuple[int, dict[str, int]]:
    """Side of the images and count of each part, from the arrays' headers alone."""
    sides: set[int] = set()
    counts = {}
    try:
        with zipfile.ZipFile(root) as archive:
            for part in PART_NAMES:
                shape = _header(archive, root, f"{part}_images", "uint8")
                if len(shape) != 3 or shape[1] != shape[2] or not _SIDES[0] <= shape[1] <= _SIDES[1]:
                    raise _wrong(root, f"{part}_images has the shape {shape}, not that of square grey images")
                labels = _header(archive, root, f"{part}_labels", "integers")
                if labels not in {(shape[0],), (shape[0], 1)}:
                    raise _wrong(root, f"{part}_labels has the shape {labels}, not one label for each of {shape[0]}")
                if not shape[0]:
                    raise _wrong(root, f"{part}_images is empty")
                sides.add(shape[1])
                counts[part] = shape[0]
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        with root.open("rb") as stream:
            if stream.read(1) == b"\x80":
                raise _pickled(root, "it is a pickle") from error
        raise _wrong(root, "it is damaged or not an .npz archive") from error
    except (ValueError, SyntaxError, tokenize.TokenError, RuntimeError) as error:
        raise _wrong(root, "an array's header is damaged") from error
    if len(sides) > 1:
        raise _wrong(root, f"its parts have images of different sizes: {sorted(sides)}")
    return sides.pop(), counts


def _header(archive: zipfile.ZipFile, root: Path, key: str, kind: str) -> tuple[int, ...]:
    """Shape of an array whose type is `kind` and whose bytes are as many as its shape says."""
    if f"{key}.npy" not in archive.NameToInfo:
        raise _wrong(root, f"it has no array {key}; it has: {', '.join(sorted(archive.NameToInfo))[:200]}")
    if archive.getinfo(f"{key}.npy").compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise _wrong(root, "it is packed in an unusual way")
    with archive.open(f"{key}.npy") as stream:
        version = npy.read_magic(cast(BinaryIO, stream))
        if version not in {(1, 0), (2, 0)}:
            raise ValueError(version)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(cast(BinaryIO, stream))
        start = stream.tell()
    if dtype.hasobject:
        raise _pickled(root, f"its array {key} is of pickled objects")
    if dtype != np.uint8 if kind == "uint8" else dtype.kind not in "iu":
        raise _wrong(root, f"{key} is of {dtype}, not {kind}")
    total = int(np.prod(shape, dtype=object)) * dtype.itemsize if all(n >= 0 for n in shape) else -1
    if total != archive.getinfo(f"{key}.npy").file_size - start or total > _MAX_BYTES:
        raise _wrong(root, f"{key} has not the bytes its header says, or more than {_MAX_BYTES:,}")
    return tuple(int(n) for n in shape)


def _unpack(root: Path, work: Path, total: int) -> list[tuple[str, int, int]]:
    """Write every image as PNG; id, label and size in bytes of each."""
    rows = []
    try:
        with np.load(root, allow_pickle=False) as arrays, progress.track("unpacking", total) as step:
            for part in PART_NAMES:
                (work / part).mkdir()
                labels = arrays[f"{part}_labels"].reshape(-1)
                if labels.min() < 0 or labels.max() > 999:
                    raise _wrong(root, f"{part}_labels holds numbers that are no labels")
                for place, pixels in enumerate(arrays[f"{part}_images"]):
                    path = work / part / f"{place:05}.png"
                    Image.fromarray(pixels).save(path, format="PNG", compress_level=3)
                    rows.append((f"{part}/{place:05}", int(labels[place]), path.stat().st_size))
                    step.advance()
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise _wrong(root, "it is damaged") from error
    return rows


def _wrong(root: Path, why: str) -> UsageError:
    return UsageError(f"medmnist: {root.name} cannot be used: {why}", "take a 2D grey file of medmnist.com as it is")


def _pickled(root: Path, why: str) -> UntrustedBundle:
    return UntrustedBundle(
        f"medmnist: {root.name} is refused: {why}, which can run code", "take the file from medmnist.com again"
    )
