"""The public data sets' true layouts on disk, filled with phantoms."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from laennec.phantom import Phantom
from laennec.phantom.write import write_dicom


def save(phantom: Phantom, path: Path, side: int | None = None) -> None:
    """The picture in the format its name says, in `side` pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray((phantom.pixels * 255).astype(np.uint8))
    picture.resize((side, side) if side else picture.size).save(path)


# --- Kermany ----------------------------------------------------------------------------------------------------------


def write_kermany(root: Path, phantoms: Sequence[Phantom]) -> Path:
    """Train and test of both folders, and the publisher's validation of 8 + 8; some children have two images."""
    counts = {"train": (16, 12, 12), "val": (8, 8, 0), "test": (6, 4, 4)}
    at = 0
    for split, (normal, bacterial, viral) in counts.items():
        first = {"train": 100, "test": 300, "val": 500}[split]
        names = [f"NORMAL/{'NORMAL2-' * (n % 2)}IM-{first + n:04}-0001" for n in range(normal)]
        names += [f"PNEUMONIA/person{first + n}_bacteria_{at + n}" for n in range(bacterial)]
        names += [f"PNEUMONIA/person{first + n}_virus_{at + n}" for n in range(viral)]
        if split == "train":
            names += [f"PNEUMONIA/person{first}_bacteria_900", f"PNEUMONIA/person{first}_virus_900"]
        for name in names:
            phantom = phantoms[at % len(phantoms)]
            save(phantom, root / split / f"{name}.jpeg")
            mask = root.parent / f"{root.name}-lungmasks" / split / f"{name}.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((phantom.lungs > 0).astype(np.uint8) * 255).save(mask)
            at += 1
    return root


# --- Class folders and tables -----------------------------------------------------------------------------------------


def write_classes(root: Path, phantoms: Sequence[Phantom], names: Sequence[str]) -> Path:
    """A folder per class, two images of every third patient."""
    for number, phantom in enumerate(phantoms):
        for image in range(2 if number % 3 == 0 else 1):
            save(phantom, root / names[number % len(names)] / f"patient{number:03}_{image}.png")
    return root


def write_csv(path: Path, phantoms: Sequence[Phantom], names: Sequence[str]) -> Path:
    """The same as a table beside the images."""
    files = sorted(write_classes(path.parent, phantoms, names).glob("*/*.png"))
    rows = [f"{f.parent.name}/{f.name},{f.parent.name},{f.name.partition('_')[0]}" for f in files]
    path.write_text("\n".join(["path,label,patient", *rows]) + "\n", encoding="utf-8")
    return path


# --- RSNA -------------------------------------------------------------------------------------------------------------

LABELS, CLASSES = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
HEADERS = {LABELS: "patientId,x,y,width,height,Target", CLASSES: "patientId,class"}


def key(number: int) -> str:
    return f"{number:08x}-14fd-4e49-80ba-63a80b6bddd6"


def rsna_rows(phantoms: list[Phantom]) -> tuple[list[str], list[str]]:
    """Rows of the two tables as the archive writes them: one per box, the class as often."""
    labels, classes = [], []
    for number, phantom in enumerate(phantoms):
        if phantom.boxes:
            for box in phantom.boxes:
                labels.append(f"{key(number)},{box.x:.1f},{box.y:.1f},{box.width:.1f},{box.height:.1f},1")
                classes.append(f"{key(number)},Lung Opacity")
        else:
            labels.append(f"{key(number)},,,,,0")
            classes.append(f"{key(number)},{'Normal' if number % 2 else 'No Lung Opacity / Not Normal'}")
    return labels, classes


def write_table(root: Path, name: str, rows: list[str], header: str | None = None) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join([HEADERS[name] if header is None else header, *rows]) + "\n", encoding="utf-8")


def write_rsna(root: Path, phantoms: list[Phantom]) -> Path:
    """The archive as Kaggle gives it: two tables and a folder of DICOM files."""
    labels, classes = rsna_rows(phantoms)
    write_table(root, LABELS, labels)
    write_table(root, CLASSES, classes)
    for number, phantom in enumerate(phantoms):
        write_dicom(phantom, root / "stage_2_train_images" / f"{key(number)}.dcm", bits=8, window=False)
    return root


# --- COVID-19 Radiography ---------------------------------------------------------------------------------------------

RSNA_URL = "https://www.kaggle.com/c/rsna-pneumonia-detection-challenge/data"
KERMANY_URL = "https://www.kaggle.com/paultimothymooney/chest-xray-pneumonia"
BIMCV_URL = "https://bimcv.cipf.es/bimcv-projects/bimcv-covid19/#1590858128006-9e640421-6711"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def workbook(
    rows: list[list[str]],
    *,
    inline: bool = False,
    doctype: str = "",
    parts: dict[str, str | None] | None = None,
) -> bytes:
    """A workbook as Excel writes it: shared strings, a second sheet first in the archive, numbers as numbers."""
    shared: list[str] = []

    def cell(place: str, text: str) -> str:
        if text.isdigit():
            return f'<c r="{place}"><v>{text}</v></c>'
        safe = text.replace("&", "&amp;").replace("<", "&lt;")
        if inline:
            return f'<c r="{place}" t="inlineStr"><is><t>{safe}</t></is></c>'
        shared.append(f"<si><r><t>{safe[:2]}</t></r><r><t>{safe[2:]}</t></r><rPh sb='0' eb='1'><t>x</t></rPh></si>")
        return f'<c r="{place}" t="s"><v>{len(shared) - 1}</v></c>'

    lines = [
        f'<row r="{n}">' + "".join(cell(f"{'ABCD'[i]}{n}", text) for i, text in enumerate(row) if text) + "</row>"
        for n, row in enumerate(rows, 1)
    ]
    contents: dict[str, str | None] = {
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}"><sheetData/></worksheet>',
        "xl/worksheets/sheet2.xml": f'<worksheet xmlns="{MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><sheets>'
        '<sheet name="Sheet1" sheetId="7" r:id="rId9"/><sheet name="Other" sheetId="1" r:id="rId1"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": "<Relationships>"
        '<Relationship Id="rId1" Target="worksheets/sheet1.xml"/>'
        '<Relationship Id="rId9" Target="worksheets/sheet2.xml"/></Relationships>',
        "xl/sharedStrings.xml": f'{doctype}<sst xmlns="{MAIN}">{"".join(shared)}</sst>',
    } | (parts or {})
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in contents.items():
            if text is not None:
                archive.writestr(name, text)
    return stream.getvalue()


COVID_HEADER = ["FILE NAME", "FORMAT", "SIZE", "URL"]


def covid_table(name: str, count: int, address: Callable[[int], str]) -> list[list[str]]:
    shown = name.upper() if name == "Normal" else name  # as published: NORMAL-1 for Normal-1.png
    return [COVID_HEADER, *([f"{shown}-{n}", "PNG", "256*256", address(n)] for n in range(1, count + 1))]


def write_covid(root: Path, phantoms: Sequence[Phantom]) -> Path:
    """Four class folders of images and masks of other sizes, and their workbooks; as many images in each class."""
    rows = {
        "COVID": lambda n: BIMCV_URL if n % 2 else "https://eurorad.org",
        "Lung_Opacity": lambda n: RSNA_URL,
        "Normal": lambda n: RSNA_URL if n > 2 else KERMANY_URL,
        "Viral Pneumonia": lambda n: KERMANY_URL,
    }
    each = len(phantoms) // len(rows)
    for place, (name, address) in enumerate(rows.items()):
        for number in range(1, each + 1):
            phantom = phantoms[place * each + number - 1]
            save(phantom, root / name / "images" / f"{name}-{number}.png", 299)
            mask = root / name / "masks" / f"{name}-{number}.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((phantom.lungs > 0).astype(np.uint8) * 255).resize((256, 256)).convert("RGB").save(mask)
        (root / f"{name}.metadata.xlsx").write_bytes(workbook(covid_table(name, each, address)))
    return root


# --- MedMNIST ---------------------------------------------------------------------------------------------------------

COUNTS = {"train": 20, "val": 6, "test": 8}


def medmnist_arrays(phantoms: list[Phantom], size: int = 28, **changes: Any) -> dict[str, np.ndarray]:
    """The six arrays of a file as MedMNIST writes them: uint8 [n, size, size] and uint8 [n, 1]."""
    made: dict[str, np.ndarray] = {}
    at = 0
    for name, count in COUNTS.items():
        pictures = [
            Image.fromarray((phantoms[(at + i) % len(phantoms)].pixels * 255).astype(np.uint8)).resize((size, size))
            for i in range(count)
        ]
        made[f"{name}_images"] = np.stack([np.asarray(picture) for picture in pictures])
        made[f"{name}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
        at += count
    return {name: array for name, array in (made | changes).items() if array is not None}
