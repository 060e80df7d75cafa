"""COVID-19 Radiography Database: 21,165 radiographs in four classes, each with a lung mask and its source.

Kaggle, tawsifurrahman/covid19-radiography-database, versions 4 and 5: 3,616 COVID, 6,012 Lung_Opacity, 10,192 Normal,
1,345 Viral Pneumonia. Images are 299 × 299 PNG, masks 256 × 256 of the same framing: scale one to the other. A class
is the class of the collection an image was taken from; nobody read the images again. Chowdhury et al., IEEE Access 8
(2020); Rahman et al., Computers in Biology and Medicine 132 (2021). Each file belongs to its first author; academic
and non-commercial use.

Gathered from other sets: Normal is 8,851 of RSNA and 1,341 of Kermany's children, Lung_Opacity is RSNA's, Viral
Pneumonia is Kermany's, COVID comes from sources that give nothing else (BIMCV, a German hospital, SIRM, Eurorad,
GitHub). So the source tells COVID without a look at the lungs. `Sample.source` is the address that
``<Class>.metadata.xlsx`` gives, as host and path; "" where the table is absent, says nothing or says two things. No
patient key is published.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from xml.parsers import expat

from pydantic import BaseModel, ConfigDict, Field

from laennec.errors import UsageError
from laennec.labels import LabelSet
from laennec.origins import Archive, Kaggle, Origin
from laennec.samples import Collection, Sample

CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")

_MAX_XML = 64 * 2**20  # bytes of one part of a workbook once inflated; the largest published one has some 2 MB
_LAYOUT = f"set data.root to the folder that holds {', '.join(CLASSES)}, each with images/ and masks/"

_LICENCE = "data files © original authors; academic and non-commercial use"
_CITATION = (
    "Chowdhury et al. Can AI Help in Screening Viral and COVID-19 Pneumonia? IEEE Access 2020;8:132665, "
    "doi:10.1109/ACCESS.2020.3010287. Rahman et al. Exploring the effect of image enhancement techniques on "
    "COVID-19 detection using chest X-ray images. Computers in Biology and Medicine 2021;132:104319"
)
ORIGINS = (
    Origin(
        variant="kaggle",
        title="COVID-19 Radiography Database: 21,165 radiographs of four classes with lung masks",
        licence=_LICENCE,
        citation=_CITATION,
        page="https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database",
        source=Kaggle(kind="datasets", name="tawsifurrahman/covid19-radiography-database", size=820_000_000),
        archive=Archive(
            inside="COVID-19_Radiography_Dataset",
            keep=("*/images/*.png", "*/masks/*.png", "*.metadata.xlsx", "README*"),
            unpacked=900_000_000,
        ),
        layout=tuple(f"{name}/images/*.png, {name}/masks/*.png, {name}.metadata.xlsx" for name in CLASSES),
    ),
)


class Options(BaseModel):
    """Attributes:
    root: folder of the four class folders and their ``.metadata.xlsx`` tables (``COVID-19_Radiography_Dataset``).
    task: ``four`` classes, every one but Normal positive; or ``covid`` against the rest.
    masks: demand a lung mask for every image; false leaves the masks out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    root: Path = Field(strict=False)
    task: Literal["four", "covid"] = "four"
    masks: bool = True


_LABELS = {
    "four": LabelSet(names=CLASSES, positive=("COVID", "Lung_Opacity", "Viral Pneumonia")),
    "covid": LabelSet(names=("NOT COVID", "COVID"), positive=("COVID",)),
}


def load(options: Options) -> Collection:
    """Read file names and the metadata tables.

    Raises:
        UsageError: a class folder or a mask is missing, or a metadata table cannot be read.
    """
    labels = _LABELS[options.task]
    samples: list[Sample] = []
    lost: list[str] = []
    for name in CLASSES:
        sources = _sources(options.root / f"{name}.metadata.xlsx")
        drawn = options.root / name / "masks"
        masks = {path.name for path in _images(drawn)} if options.masks and drawn.is_dir() else set()
        images = _images(options.root / name / "images")
        if not images:
            raise UsageError(f"covid_radiography: no PNG in {options.root / name / 'images'}", _LAYOUT)
        label = name if name in labels.names else "NOT COVID"
        for path in images:
            if options.masks and path.name not in masks:
                lost.append(f"{name}/masks/{path.name}")
            samples.append(
                Sample(
                    id=f"{name}/images/{path.name}",
                    path=path,
                    labels=tuple(float(label == each) for each in labels.names),
                    patient=f"{name}/{path.stem}",
                    mask=drawn / path.name if options.masks else None,
                    source=sources.get(_key(path.name), ""),
                )
            )
    if lost:
        raise UsageError(
            f"covid_radiography: {len(lost)} images have no lung mask, the first missing is {lost[0]}",
            "unpack the archive again, or set data.masks = false where no mask is needed",
        )
    return Collection(
        name="covid_radiography",
        labels=labels,
        samples=tuple(samples),
        licence=_LICENCE,
        citation=_CITATION,
        notes=_notes(samples),
    )


def _notes(samples: list[Sample]) -> tuple[str, ...]:
    notes = [
        "No patient key is published: every image counts as a patient of its own, some images appear twice, and parts "
        "drawn here may share patients. The result flatters.",
        "Collected from other sets: Normal is RSNA's and Kermany's, Lung_Opacity RSNA's, Viral Pneumonia Kermany's; "
        "RSNA is part of NIH ChestX-ray14. A test on one of them after training on another is not external.",
        "The COVID images come from sources that give no other class, and Kermany's are children: the source and the "
        "age tell the class. Hold the results against leave-one-source-out.",
        "The classes are those of the collections of origin; nobody read the images again.",
    ]
    without = sum(not sample.source for sample in samples)
    if without:
        notes.append(f"The source of {without} of {len(samples)} images is unknown: the metadata tables do not say it.")
    return tuple(notes)


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"covid_radiography: there is no folder {folder}", _LAYOUT)
    return sorted(p for p in folder.iterdir() if p.suffix.lower() == ".png" and not p.name.startswith("."))


def _key(name: str) -> str:
    """A file name as tables and folders agree on: the tables write NORMAL-1 for Normal-1.png."""
    return name.strip().casefold().removesuffix(".png")


def _sources(path: Path) -> dict[str, str]:
    """Source by key of the file name; a name the table gives to two sources is left out. Empty without a table."""
    if not path.is_file():
        return {}
    rows = _first_sheet(path)
    header = {text.strip().casefold(): column for column, text in (rows[0] if rows else {}).items()}
    missing = [name for name in ("FILE NAME", "URL") if name.casefold() not in header]
    if missing:
        raise UsageError(
            f"covid_radiography: {path.name} has no column '{missing[0]}' in its first row", "take the archive's table"
        )
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows[1:]:
        name, address = row.get(header["file name"], ""), row.get(header["url"], "")
        if name.strip():
            found[_key(name)].add(_source(address))
    return {name: sources.pop() for name, sources in found.items() if len(sources) == 1}


def _source(address: str) -> str:
    """Host and path of an address, without scheme, ``www.``, query and fragment; other text as it is."""
    text = " ".join(address.split())[:500]
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return text
    return f"{host}{parts.path}".rstrip("/") if "." in host and " " not in host else text


def _first_sheet(path: Path) -> list[dict[int, str]]:
    """The rows of a workbook's first sheet: text by column, the first column 0. Formulas give their stored value.

    Raises:
        UsageError: not a workbook, one that declares entities, or one larger than `_MAX_XML`.
    """
    try:
        with zipfile.ZipFile(path) as book:
            start = _Sheets(_part(book, "xl/workbook.xml")).first
            links = _Links(_part(book, "xl/_rels/workbook.xml.rels")).targets
            sheet = posixpath.normpath(posixpath.join("/xl", links[start])).lstrip("/")
            shared = "xl/sharedStrings.xml"
            texts = _Texts(_part(book, shared)).found if shared in book.NameToInfo else []
            return _Cells(_part(book, sheet), texts).rows
    except (zipfile.BadZipFile, zlib.error, expat.ExpatError, EOFError, OSError) as error:
        raise _unreadable(path, "it is damaged or not a workbook") from error
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise _unreadable(path, "it is no plain workbook") from error
    except _Refused as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, why: str) -> UsageError:
    return UsageError(
        f"covid_radiography: {path.name} cannot be read: {why}",
        "take the archive's table, or move it away: the sources are then unknown",
    )


class _Refused(Exception):
    """The workbook holds what a plain one does not."""


def _part(book: zipfile.ZipFile, name: str) -> bytes:
    if book.getinfo(name).compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise _Refused("it is packed in an unusual way")
    with book.open(name) as stream:
        data = stream.read(_MAX_XML + 1)
    if len(data) > _MAX_XML:
        raise _Refused(f"its part {posixpath.basename(name)} is larger than {_MAX_XML:,} bytes")
    return data


class _Reader:
    """Walks XML and calls `start`, `end` with local names. A document type is refused, and with it every entity."""

    def __init__(self, data: bytes) -> None:
        self.text = ""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = lambda name, attributes: self.start(_local(name), attributes)
        parser.EndElementHandler = lambda name: self.end(_local(name))
        parser.CharacterDataHandler = self._characters
        parser.Parse(data, True)

    def _doctype(self, *_: object) -> None:
        raise _Refused("it declares a document type")

    def _characters(self, text: str) -> None:
        self.text += text

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""

    def end(self, name: str) -> None:
        """An element ends."""


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


class _Sheets(_Reader):
    """The relation of the first sheet of ``workbook.xml``."""

    first = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sheet" and not self.first:
            self.first = next((v for k, v in attributes.items() if " " in k and _local(k) == "id"), "")


class _Links(_Reader):
    """Targets by relation."""

    def __init__(self, data: bytes) -> None:
        self.targets: dict[str, str] = {}
        super().__init__(data)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship":
            self.targets[attributes["Id"]] = attributes["Target"]


class _Texts(_Reader):
    """The shared strings, their phonetic readings (``rPh``) left out."""

    def __init__(self, data: bytes) -> None:
        self.found: list[str] = []
        self.spoken = False
        self.item = ""
        super().__init__(data)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "si":
            self.item = ""
        elif name == "rPh":
            self.spoken = True
        elif name == "t":
            self.text = ""

    def end(self, name: str) -> None:
        if name == "t" and not self.spoken:
            self.item += self.text
        elif name == "rPh":
            self.spoken = False
        elif name == "si":
            self.found.append(self.item)


class _Cells(_Reader):
    """The rows of a sheet."""

    def __init__(self, data: bytes, shared: list[str]) -> None:
        self.rows: list[dict[int, str]] = []
        self.shared = shared
        self.column, self.kind, self.value = -1, "n", ""
        super().__init__(data)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "row":
            self.rows.append({})
            self.column = -1
        elif name == "c":
            self.column = _column(attributes["r"]) if "r" in attributes else self.column + 1
            self.kind, self.value = attributes.get("t", "n"), ""
        elif name in {"v", "t"}:
            self.text = ""

    def end(self, name: str) -> None:
        if name in {"v", "t"}:
            self.value += self.text
        elif name == "c" and self.value:
            place = int(self.value) if self.kind == "s" else 0
            if place < 0:
                raise IndexError(place)
            self.rows[-1][self.column] = self.shared[place] if self.kind == "s" else self.value


def _column(reference: str) -> int:
    """``B7`` is 1."""
    letters = re.fullmatch(r"([A-Z]{1,3})[0-9]*", reference)
    if letters is None:
        raise ValueError(reference)
    number = 0
    for letter in letters[1]:
        number = number * 26 + ord(letter) - 64
    return number - 1
