"""RSNA, COVID-19 Radiography and MedMNIST: their true layouts made on the fly, whole and broken."""

from __future__ import annotations

import io
import math
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from laennec import images, storage
from laennec.datasets import covid_radiography, medmnist, rsna
from laennec.errors import MissingExtra, UntrustedBundle, UsageError
from laennec.loader import collect
from laennec.phantom import Phantom, draw
from laennec.preprocess import Preprocess
from laennec.recipe import Parting, Recipe
from laennec.samples import Collection
from laennec.split import part
from layouts import (
    CLASSES,
    COUNTS,
    COVID_HEADER,
    HEADERS,
    LABELS,
    key,
    medmnist_arrays,
    rsna_rows,
    workbook,
    write_covid,
    write_rsna,
    write_table,
)

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture(scope="session")
def phantoms() -> list[Phantom]:
    """Twenty-four patients, small."""
    return [draw(5, patient, size=64) for patient in range(24)]


def decodes(collection: Collection, count: int = 4) -> None:
    """Every part of a split is there, and images of it can be read as a model reads them."""
    split = part(collection, Parting(validation=0.25, test=0.25))
    assert split.train and split.val and split.test
    decoded = images.decoded(collection.take(split.test[:count]), Preprocess(size=32))
    assert not decoded.refused
    assert decoded.pixels.shape[1:] == (32, 32)


# --- RSNA ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def rsna_root(phantoms: list[Phantom], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rsna(tmp_path_factory.mktemp("rsna"), phantoms)


def test_rsna_reads_classes_boxes_and_patients(rsna_root: Path, phantoms: list[Phantom]) -> None:
    collection = rsna.load(rsna.Options(root=rsna_root))
    assert collection.labels.names == ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")
    assert collection.labels.positive == ("Lung Opacity",)
    assert len(collection.samples) == len(phantoms)
    assert len({s.patient for s in collection.samples}) == len(phantoms)
    for number, phantom in enumerate(phantoms):
        sample = collection.by_id[f"stage_2_train_images/{key(number)}.dcm"]
        assert len(sample.boxes) == len(phantom.boxes)
        assert sample.labels[2] == float(bool(phantom.boxes))
        assert sum(sample.labels) == 1
        assert sample.view == ""
        assert all(box.label == "Lung Opacity" and box.width > 0 for box in sample.boxes)
    assert max(len(s.boxes) for s in collection.samples) > 1
    decodes(collection)


def test_rsna_binary_is_the_target(rsna_root: Path) -> None:
    collection = rsna.load(rsna.Options(root=rsna_root, task="binary"))
    assert collection.labels.names == ("No Lung Opacity", "Lung Opacity")
    assert all(s.labels == (float(not s.boxes), float(bool(s.boxes))) for s in collection.samples)
    decodes(collection)


def test_rsna_reads_the_view_where_asked_and_changes_no_digest(rsna_root: Path, phantoms: list[Phantom]) -> None:
    collection = rsna.load(rsna.Options(root=rsna_root, read_headers=True))
    assert [s.view for s in collection.samples] == [phantom.view for phantom in phantoms]
    assert collection.digest == rsna.load(rsna.Options(root=rsna_root)).digest


def test_rsna_headers_need_pydicom_and_survive_a_damaged_file(
    rsna_root: Path, phantoms: list[Phantom], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, classes = rsna_rows(phantoms)
    write_table(tmp_path, LABELS, labels)
    write_table(tmp_path, CLASSES, classes)
    folder = tmp_path / "stage_2_train_images"
    folder.mkdir()
    for number in range(len(phantoms)):
        (folder / f"{key(number)}.dcm").write_bytes(b"DICM but no more")
    collection = rsna.load(rsna.Options(root=tmp_path, read_headers=True))
    assert {s.view for s in collection.samples} == {""}
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(MissingExtra, match="pydicom"):
        rsna.load(rsna.Options(root=rsna_root, read_headers=True))


def test_rsna_says_what_a_report_must_carry(rsna_root: Path) -> None:
    collection = rsna.load(rsna.Options(root=rsna_root))
    told = " ".join(collection.notes)
    assert "NIH ChestX-ray14" in told and "COVID-19 Radiography" in told and "share patients" in told
    assert collection.licence and collection.citation


def test_rsna_names_missing_files_by_count_and_first(phantoms: list[Phantom], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"no table .*{CLASSES}"):
        rsna.load(rsna.Options(root=tmp_path))
    labels, classes = rsna_rows(phantoms)
    write_table(tmp_path, CLASSES, classes)
    with pytest.raises(UsageError, match=f"no table .*{LABELS}"):
        rsna.load(rsna.Options(root=tmp_path))
    write_table(tmp_path, LABELS, labels)
    with pytest.raises(UsageError, match=r"no folder .*stage_2_train_images"):
        rsna.load(rsna.Options(root=tmp_path))
    for number in range(2, len(phantoms)):
        path = tmp_path / "stage_2_train_images" / f"{key(number)}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with pytest.raises(UsageError) as caught:
        rsna.load(rsna.Options(root=tmp_path))
    assert f"2 of {len(phantoms)} images are missing, the first is" in caught.value.message
    assert key(0) in caught.value.message and caught.value.hint


TWO = [f"{key(0)},,,,,0", f"{key(1)},1,2,3,4,1"]
TWO_CLASSES = [f"{key(0)},Normal", f"{key(1)},Lung Opacity"]


@pytest.mark.parametrize(
    ("labels", "classes", "says"),
    [
        ([f"{key(0)},1,2,3,4,0", TWO[1]], TWO_CLASSES, f"1 rows of {LABELS} give a box to Target 0: row 2"),
        ([f"{key(0)},1,,,,0", TWO[1]], TWO_CLASSES, "give a box to Target 0: row 2"),
        ([TWO[0], f"{key(1)},,,,,1"], TWO_CLASSES, "hold Target 1 without a valid box: row 3"),
        ([TWO[0], f"{key(1)},1,2,nan,4,1"], TWO_CLASSES, "hold Target 1 without a valid box: row 3"),
        ([TWO[0], f"{key(1)},1,2,0,4,1"], TWO_CLASSES, "hold Target 1 without a valid box: row 3"),
        ([TWO[0], f"{key(1)},-1,2,3,4,1"], TWO_CLASSES, "hold Target 1 without a valid box: row 3"),
        ([TWO[0], f"{key(1)},1,2,3,4,yes"], TWO_CLASSES, "hold a Target other than 0 or 1: row 3"),
        ([*TWO, TWO[1]], TWO_CLASSES, "repeat a box: row 4"),
        ([*TWO, f"{key(7)},,,,,0"], TWO_CLASSES, f"name a patient that {CLASSES} does not: row 4"),
        (TWO, [*TWO_CLASSES, f"{key(7)},Normal"], f"1 rows of {CLASSES} name a patient that {LABELS} does not: row 4"),
        (TWO, [*TWO_CLASSES, f"{key(0)},Lung Opacity"], "give a patient a second class: row 4"),
        (TWO, [f"{key(0)},Normal", f"{key(1)},Normal"], "contradicts the class"),
        (TWO, [f"{key(0)},Fine", TWO_CLASSES[1]], "hold an unknown class: row 2"),
        (["../../etc/passwd,,,,,0", TWO[1]], ["../../etc/passwd,Normal", TWO_CLASSES[1]], "is no file name: row 2"),
        ([TWO[0], "", f"{key(1)},1,2"], TWO_CLASSES, f"row 4 of {LABELS} has 3 cells, not 6"),
        ([TWO[0], '"open'], TWO_CLASSES, "is not UTF-8 CSV"),
        ([], TWO_CLASSES, f"{LABELS} holds no row"),
    ],
)
def test_rsna_tables_at_fault_are_told_with_row_numbers(
    tmp_path: Path, labels: list[str], classes: list[str], says: str
) -> None:
    write_table(tmp_path, LABELS, labels)
    write_table(tmp_path, CLASSES, classes)
    with pytest.raises(UsageError) as caught:
        rsna.read_tables(tmp_path)
    assert says in caught.value.message and caught.value.hint


def test_rsna_tables_with_other_columns_or_bytes_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path, CLASSES, TWO_CLASSES)
    write_table(tmp_path, LABELS, TWO, "patientId,x,y,w,h,Target")
    with pytest.raises(UsageError, match="has not once each the columns"):
        rsna.read_tables(tmp_path)
    (tmp_path / LABELS).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8 CSV"):
        rsna.read_tables(tmp_path)
    (tmp_path / LABELS).write_text("\ufeff" + "\r\n".join([HEADERS[LABELS], *TWO]), encoding="utf-8")
    assert [reading.finding for reading in rsna.read_tables(tmp_path).values()] == ["Normal", "Lung Opacity"]


def test_rsna_real_tables_have_the_counts_of_their_edition(real_data: Path) -> None:
    if not (real_data / "rsna").is_dir():
        pytest.skip(reason="no real RSNA tables: LAENNEC_DATA holds no rsna/")
    readings = rsna.read_tables(real_data / "rsna")
    counted = Counter(reading.finding for reading in readings.values())
    found = (counted[rsna.NORMAL], counted[rsna.NOT_NORMAL], counted[rsna.OPACITY])
    # The archive as published, and the copy in ../shared/data, which lacks 79 patients of it.
    assert (len(readings), *found, sum(len(r.boxes) for r in readings.values())) in {
        (26684, 8851, 11821, 6012, 9555),
        (26605, 8818, 11787, 6000, 9537),
    }
    for reading in readings.values():
        assert bool(reading.boxes) == (reading.finding == rsna.OPACITY)
        assert all(box.x + box.width <= 1024 and box.y + box.height <= 1024 for box in reading.boxes)


# --- COVID-19 Radiography ---------------------------------------------------------------------------------------------


@pytest.fixture
def covid_root(phantoms: list[Phantom], tmp_path: Path) -> Path:
    return write_covid(tmp_path / "COVID-19_Radiography_Dataset", phantoms)


def test_covid_reads_classes_masks_and_sources(covid_root: Path) -> None:
    collection = covid_radiography.load(covid_radiography.Options(root=covid_root))
    assert collection.labels.names == ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
    assert set(collection.labels.positive) == {"COVID", "Lung_Opacity", "Viral Pneumonia"}
    assert len(collection.samples) == 24
    assert len({s.patient for s in collection.samples}) == 24
    assert all(s.mask is not None and s.mask.is_file() and s.mask.name == s.path.name for s in collection.samples)
    sources = {s.id: s.source for s in collection.samples}
    assert sources["COVID/images/COVID-1.png"] == "bimcv.cipf.es/bimcv-projects/bimcv-covid19"
    assert sources["COVID/images/COVID-2.png"] == "eurorad.org"
    assert sources["Normal/images/Normal-1.png"] == "kaggle.com/paultimothymooney/chest-xray-pneumonia"
    assert sources["Normal/images/Normal-6.png"] == "kaggle.com/c/rsna-pneumonia-detection-challenge/data"
    assert sources["Viral Pneumonia/images/Viral Pneumonia-1.png"] == sources["Normal/images/Normal-1.png"]
    told = " ".join(collection.notes)
    assert all(word in told for word in ("RSNA", "Kermany", "NIH", "No patient key", "source"))
    assert "unknown" not in told
    decodes(collection)


def test_covid_binary_is_covid_against_the_rest(covid_root: Path) -> None:
    collection = covid_radiography.load(covid_radiography.Options(root=covid_root, task="covid"))
    assert collection.labels.positive == ("COVID",)
    assert sum(s.labels[1] for s in collection.samples) == 6
    decodes(collection)


def test_covid_without_metadata_has_no_source_and_says_so(covid_root: Path) -> None:
    for path in covid_root.glob("*.xlsx"):
        path.unlink()
    collection = covid_radiography.load(covid_radiography.Options(root=covid_root))
    assert {s.source for s in collection.samples} == {""}
    assert "24 of 24 images is unknown" in collection.notes[-1]


def test_covid_a_missing_mask_is_an_error_unless_masks_are_not_wanted(covid_root: Path) -> None:
    for number in (2, 5):
        (covid_root / "Normal" / "masks" / f"Normal-{number}.png").unlink()
    with pytest.raises(UsageError) as caught:
        covid_radiography.load(covid_radiography.Options(root=covid_root))
    assert "2 images have no lung mask, the first missing is Normal/masks/Normal-2.png" in caught.value.message
    assert "data.masks = false" in caught.value.hint
    collection = covid_radiography.load(covid_radiography.Options(root=covid_root, masks=False))
    assert {s.mask for s in collection.samples} == {None}


def test_covid_folders_missing_or_empty_are_named(covid_root: Path) -> None:
    with pytest.raises(UsageError, match=r"no folder .*COVID.images"):
        covid_radiography.load(covid_radiography.Options(root=covid_root / "COVID"))
    for path in (covid_root / "Normal" / "images").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match=r"no PNG in .*Normal.images"):
        covid_radiography.load(covid_radiography.Options(root=covid_root))


def sources_of(folder: Path, data: bytes) -> dict[str, str]:
    (folder / "COVID.metadata.xlsx").write_bytes(data)
    return covid_radiography._sources(folder / "COVID.metadata.xlsx")


def test_covid_workbooks_of_either_kind_and_loose_names(tmp_path: Path) -> None:
    rows = [
        COVID_HEADER,
        ["COVID-1.png", "PNG", "", "http://WWW.Example.org/A/b/?q=1#x"],
        [" covid-2 ", "PNG", "7", "a paper & its <figure>"],
        ["COVID-3", "PNG", "7", "https://one.org"],
        ["COVID-3", "PNG", "7", "https://two.org"],
        ["COVID-4", "PNG", "7", ""],
        ["", "PNG", "7", "https://one.org"],
        ["COVID-5", "PNG", "7", "https://[broken"],
    ]
    for inline in (False, True):
        assert sources_of(tmp_path, workbook(rows, inline=inline)) == {
            "covid-1": "example.org/A/b",
            "covid-2": "a paper & its <figure>",
            "covid-4": "",
            "covid-5": "https://[broken",
        }


ENTITY = '<!DOCTYPE sst [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"no zip", "damaged or not a workbook"),
        (b"", "damaged or not a workbook"),
        (workbook([COVID_HEADER])[:-40], "damaged or not a workbook"),
        (workbook([COVID_HEADER], doctype=ENTITY), "declares a document type"),
        (workbook([COVID_HEADER], doctype='<!DOCTYPE sst SYSTEM "file:///etc/passwd">'), "declares a document type"),
        (workbook([COVID_HEADER], parts={"xl/workbook.xml": None}), "no plain workbook"),
        (workbook([COVID_HEADER], parts={"xl/worksheets/sheet2.xml": None}), "no plain workbook"),
        (workbook([COVID_HEADER], parts={"xl/sharedStrings.xml": None}), "no plain workbook"),
        (workbook([COVID_HEADER], parts={"xl/workbook.xml": "<workbook>"}), "damaged or not a workbook"),
        (workbook([COVID_HEADER], parts={"xl/sharedStrings.xml": f"<sst>{' ' * 70_000}</sst>"}), "larger than"),
        (workbook([["FILE NAME", "FORMAT"]]), "has no column 'URL'"),
        (workbook([]), "has no column 'FILE NAME'"),
    ],
)
def test_covid_hostile_workbooks_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, says: str
) -> None:
    monkeypatch.setattr(covid_radiography, "_MAX_XML", 60_000)
    with pytest.raises(UsageError) as caught:
        sources_of(tmp_path, data)
    assert says in caught.value.message and caught.value.hint


def test_covid_cells_out_of_order_or_range_are_refused_or_placed(tmp_path: Path) -> None:
    def sheet(cells: str) -> bytes:
        return workbook([COVID_HEADER], parts={"xl/worksheets/sheet2.xml": f"<w><row>{cells}</row></w>"})

    assert covid_radiography._column("A1") == 0
    assert covid_radiography._column("AB12") == 27
    for cells in ('<c r="A1" t="s"><v>99</v></c>', '<c r="A1" t="s"><v>-1</v></c>', '<c r="é1"><v>1</v></c>'):
        with pytest.raises(UsageError, match="no plain workbook"):
            sources_of(tmp_path, sheet(cells))
    headless = "".join(f'<c t="str"><v>{name}</v></c>' for name in COVID_HEADER)  # cells without a reference
    assert sources_of(tmp_path, sheet(headless)) == {}


# --- MedMNIST ---------------------------------------------------------------------------------------------------------


def npz(folder: Path, contents: dict[str, np.ndarray], name: str = "pneumoniamnist.npz") -> medmnist.Options:
    np.savez_compressed(folder / name, **contents)
    return medmnist.Options(root=folder / name)


def test_medmnist_unpacks_once_and_keeps_the_official_parts(phantoms: list[Phantom], tmp_path: Path) -> None:
    contents = medmnist_arrays(phantoms)
    options = npz(tmp_path, contents)
    collection = medmnist.load(options)
    assert collection.name == "pneumoniamnist_28"
    assert collection.labels.names == ("normal", "pneumonia")
    assert Counter(s.split for s in collection.samples) == COUNTS
    assert len({s.patient for s in collection.samples}) == sum(COUNTS.values())
    sample = collection.by_id["train/00013"]
    assert sample.labels == (0, 1) and sample.path.is_file()
    with Image.open(sample.path) as picture:
        assert np.array_equal(np.asarray(picture), contents["train_images"][13])
    before = sample.path.stat().st_mtime_ns
    again = medmnist.load(options)
    assert again.digest == collection.digest
    assert again.by_id["train/00013"].path.stat().st_mtime_ns == before
    split = part(collection, Parting())
    assert (len(split.train), len(split.val), len(split.test)) == (20, 6, 8)
    decodes(collection)


def test_medmnist_names_its_input_honestly(phantoms: list[Phantom], tmp_path: Path) -> None:
    small = " ".join(medmnist.load(npz(tmp_path, medmnist_arrays(phantoms))).notes)
    assert "28 × 28" in small and "28 pixels enlarged" in small and "Kermany" in small and "No patient key" in small
    large = medmnist.load(npz(tmp_path, medmnist_arrays(phantoms, 64), "pneumoniamnist_64.npz"))
    assert large.name == "pneumoniamnist_64"
    assert "64 × 64" in " ".join(large.notes) and "MedMNIST+" in " ".join(large.notes)
    other = medmnist.load(npz(tmp_path, medmnist_arrays(phantoms, 28), "mine.npz"))
    assert other.name == "mine_28" and not other.licence and "Kermany" not in " ".join(other.notes)


def test_medmnist_restores_what_the_cache_lost(phantoms: list[Phantom], tmp_path: Path) -> None:
    options = npz(tmp_path, medmnist_arrays(phantoms, 32))
    path = medmnist.load(options).by_id["val/00001"].path
    whole = path.read_bytes()
    for harm in (path.unlink, lambda: path.write_bytes(b""), (path.parents[1] / "medmnist.json").unlink):
        harm()
        assert medmnist.load(options).by_id["val/00001"].path.read_bytes() == whole
    (path.parents[1] / "index.csv").write_text("id,label\nval/00001,0\n", encoding="utf-8")
    assert medmnist.load(options).by_id["val/00001"].path.read_bytes() == whole
    assert not list(path.parents[2].glob(".*.part"))


def test_medmnist_other_labels_need_names(phantoms: list[Phantom], tmp_path: Path) -> None:
    three = {f"{name}_labels": (np.arange(count) % 3).astype(np.int64) for name, count in COUNTS.items()}
    options = npz(tmp_path, medmnist_arrays(phantoms, **three), "three.npz")
    with pytest.raises(UsageError, match="holds label 2, and 2 names"):
        medmnist.load(options)
    named = medmnist.Options(root=options.root, names=("a", "b", "c"), positive=("b", "c"))
    assert medmnist.load(named).by_id["train/00005"].labels == (0, 0, 1)
    for names, positive in ((("a", "a"), ("a",)), (("a", "b"), ("c",)), (("a", "b"), ("a", "b"))):
        with pytest.raises(ValidationError):
            medmnist.Options(root=options.root, names=names, positive=positive)


class Trap:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("pwned").touch, ())


def test_medmnist_never_unpickles(phantoms: list[Phantom], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trap = np.array([Trap()] * 20, dtype=object)
    for at, name in (("train_images", "images"), ("train_labels", "labels")):
        with pytest.raises(UntrustedBundle, match="pickled objects") as caught:
            medmnist.load(npz(tmp_path, medmnist_arrays(phantoms, **{at: trap}), f"{name}.npz"))
        assert caught.value.exit_code == 4
        (tmp_path / f"{name}-work").mkdir()
        with pytest.raises(UsageError):  # the second lock, behind the check of the headers
            medmnist._unpack(tmp_path / f"{name}.npz", tmp_path / f"{name}-work", 0)
    (tmp_path / "raw.npz").write_bytes(__import__("pickle").dumps(Trap()))
    with pytest.raises(UntrustedBundle, match="it is a pickle"):
        medmnist.load(medmnist.Options(root=tmp_path / "raw.npz"))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"val_images": None}, "has no array val_images"),
        ({"test_labels": None}, "has no array test_labels"),
        ({"train_images": np.zeros((20, 28, 28), np.float32)}, "is of float32, not uint8"),
        ({"train_images": np.zeros((20, 28, 28, 3), np.uint8)}, "not that of square grey images"),
        ({"train_images": np.zeros((20, 28, 30), np.uint8)}, "not that of square grey images"),
        ({"train_images": np.zeros((20, 4, 4), np.uint8)}, "not that of square grey images"),
        ({"train_images": np.zeros((20, 32, 32), np.uint8)}, "different sizes"),
        ({"train_images": np.zeros((0, 28, 28), np.uint8), "train_labels": np.zeros((0, 1), np.uint8)}, "is empty"),
        ({"train_labels": np.zeros((20, 14), np.uint8)}, "not one label for each of 20"),
        ({"train_labels": np.zeros((19, 1), np.uint8)}, "not one label for each of 20"),
        ({"train_labels": np.zeros((20, 1), np.float64)}, "is of float64, not integers"),
        ({"train_labels": np.full((20, 1), -1, np.int64)}, "numbers that are no labels"),
    ],
)
def test_medmnist_arrays_that_do_not_fit_are_refused(
    phantoms: list[Phantom], tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        medmnist.load(npz(tmp_path, medmnist_arrays(phantoms, **changes)))
    assert says in caught.value.message and caught.value.hint


def forged(header: bytes, body: bytes = b"") -> bytes:
    """An array's file whose header says anything."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (forged(b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999, 2048, 2048), }"), "has not the bytes"),
        (forged(b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 28, 28), }"), "has not the bytes"),
        (forged(b"{'descr': '|u1', 'fortran_order': False, 'shape': (20, 28, 28), }", b"x"), "has not the bytes"),
        (forged(b"__import__('os').system('true')"), "header is damaged"),
        (forged(b"{'descr"), "header is damaged"),
        (b"\x93NUMPY\x09\x00", "header is damaged"),
        (b"", "header is damaged"),
    ],
)
def test_medmnist_forged_headers_are_refused_before_memory_is_taken(
    phantoms: list[Phantom], tmp_path: Path, data: bytes, says: str
) -> None:
    options = npz(tmp_path, medmnist_arrays(phantoms, train_images=None))
    with zipfile.ZipFile(options.root, "a") as archive:
        archive.writestr("train_images.npy", data)
    with pytest.raises(UsageError, match=says):
        medmnist.load(options)


def test_medmnist_damaged_files_are_refused_and_leave_nothing(phantoms: list[Phantom], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        medmnist.load(medmnist.Options(root=tmp_path / "none.npz"))
    options = npz(tmp_path, medmnist_arrays(phantoms))
    whole = options.root.read_bytes()
    for broken in (b"", b"text", whole[: len(whole) // 2]):
        options.root.write_bytes(broken)
        with pytest.raises(UsageError, match="damaged or not an"):
            medmnist.load(options)
    # a byte inside the compressed pixels: the headers are whole, the checksum is not
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        entry = archive.getinfo("val_images.npy")
    at = entry.header_offset + entry.compress_size // 2
    options.root.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    with pytest.raises(UsageError, match="damaged"):
        medmnist.load(options)
    cache = storage.cache_folder("medmnist")
    assert not list(cache.glob(".*.part"))


# --- Recipes ----------------------------------------------------------------------------------------------------------


def read(name: str, root: Path | None = None) -> Recipe:
    return Recipe.read(RECIPES / f"{name}.toml", [] if root is None else [f"data.root={root}"])


def test_the_recipes_of_these_sets_say_what_the_mission_says() -> None:
    r0 = read("r0-rsna-resnet50")
    assert (r0.data.name, r0.data.options["task"], r0.model.options["backbone"]) == ("rsna", "three", "resnet50")
    assert (r0.preprocess.size, r0.preprocess.channels, r0.model.options["weights"]) == (224, 3, "pretrained")
    assert [phase.train for phase in r0.phases] == ["head", "all"]
    depths = {"r4-head": "head", "r4-last-conv": "last_convs:1", "r4-last-two-convs": "last_convs:2"}
    for name, depth in depths.items():
        r4 = read(name)
        assert (r4.data.options["task"], r4.model.options["backbone"]) == ("four", "mobilenetv2_050")
        assert (r4.split.test, r4.head.hidden, r4.preprocess.mean, r4.preprocess.std) == (0.3, (1024, 512), 0, 1)
        assert [phase.train for phase in r4.phases] == [depth]
    assert read("pneumoniamnist-cnn").preprocess.size == 28


def test_the_recipes_collect_their_data(
    rsna_root: Path, covid_root: Path, phantoms: list[Phantom], tmp_path: Path
) -> None:
    small = npz(tmp_path, medmnist_arrays(phantoms)).root
    for name, root in (
        ("r0-rsna-resnet50", rsna_root),
        ("r4-head", covid_root),
        ("pneumoniamnist-cnn", small),
    ):
        collection, split = collect(read(name, root))
        assert len(split.train) + len(split.val) + len(split.test) == len(collection.samples)
        assert not any(math.isnan(value) for s in collection.samples for value in s.labels)


@pytest.mark.parametrize(
    ("name", "learning"),
    [("r4-head", 1_838_596), ("r4-last-conv", 2_045_956), ("r4-last-two-convs", 2_123_076)],
)
def test_r4_trains_as_many_parameters_as_reported(name: str, learning: int) -> None:
    from laennec.card import Architecture
    from laennec.network import Network

    recipe = Recipe.read(RECIPES / f"{name}.toml", ["model.weights=none", "preprocess.size=64"])
    architecture = Architecture(name=recipe.model.name, options=recipe.model.options, head=recipe.head)
    network = Network(architecture, recipe.preprocess, 4)
    network.learn(recipe.phases[0].train)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == learning
    assert sum(p.numel() for p in network.backbone.parameters()) == 687_680
