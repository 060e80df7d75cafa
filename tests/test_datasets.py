"""Data sets: names and tables become samples with patients, or are refused with what is wrong and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from laennec import family
from laennec.datasets import folder, kermany, table
from laennec.errors import UsageError
from laennec.recipe import Parting
from laennec.split import part


def picture(path: Path, value: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(path)
    return path


@pytest.mark.parametrize("name", family.names("datasets"))
def test_members_declare_strict_frozen_options_and_load(name: str) -> None:
    member = family.member("datasets", name)
    assert member.Options.model_config["extra"] == "forbid"
    assert member.Options.model_config["frozen"]
    assert callable(member.load)


KERMANY = [
    "train/NORMAL/IM-0115-0001.jpeg",
    "train/NORMAL/NORMAL2-IM-0115-0001.jpeg",
    "train/NORMAL/IM-0115-0002-0001.jpeg",
    "train/PNEUMONIA/person1_bacteria_1.jpeg",
    "train/PNEUMONIA/person1_virus_6.jpeg",
    "train/PNEUMONIA/person1_bacteria_2.jpeg",
    "train/PNEUMONIA/person447_virus_921_1.jpeg",
    "test/NORMAL/IM-0001-0001.jpeg",
    "test/PNEUMONIA/person9_virus_1.jpeg",
]


def test_kermany_keys_patients_by_etiology_and_prefix(tmp_path: Path) -> None:
    for name in KERMANY:
        picture(tmp_path / name)
    samples = {s.id: s for s in kermany.load(kermany.Options(root=tmp_path)).samples}
    assert sorted(samples) == sorted(KERMANY)
    keys = {name: samples[name].patient for name in KERMANY}
    assert keys["train/PNEUMONIA/person1_bacteria_1.jpeg"] == keys["train/PNEUMONIA/person1_bacteria_2.jpeg"]
    assert keys["train/PNEUMONIA/person1_bacteria_1.jpeg"] != keys["train/PNEUMONIA/person1_virus_6.jpeg"]
    assert keys["train/NORMAL/IM-0115-0001.jpeg"] != keys["train/NORMAL/NORMAL2-IM-0115-0001.jpeg"]
    assert keys["train/NORMAL/IM-0115-0001.jpeg"] == keys["train/NORMAL/IM-0115-0002-0001.jpeg"]
    three = kermany.load(kermany.Options(root=tmp_path, task="etiology"))
    assert three.labels.names == ("NORMAL", "BACTERIAL", "VIRAL")
    assert {s.id: s.labels for s in three.samples}["train/PNEUMONIA/person1_virus_6.jpeg"] == (0, 0, 1)


def test_kermany_refuses_missing_folders_and_names_without_a_patient(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        kermany.load(kermany.Options(root=tmp_path))
    for name in [*KERMANY, "train/NORMAL/holiday.jpeg"]:
        picture(tmp_path / name)
    with pytest.raises(UsageError, match=r"holiday\.jpeg does not say its patient"):
        kermany.load(kermany.Options(root=tmp_path))


def test_real_kermany_has_the_published_counts_and_no_straddling_patient(real_data: Path) -> None:
    collection = kermany.load(kermany.Options(root=real_data / "kermany"))
    split = part(collection, Parting())
    assert len(collection.samples) == 5840
    assert len(split.test) == 624
    assert sum(s.labels[1] for s in collection.take(split.test)) == 390
    assert 0.10 < len(split.val) / 5216 < 0.20


def test_folder_with_split_folders(tmp_path: Path) -> None:
    for split in ("train", "test", "valid"):
        if split == "valid":
            with pytest.raises(UsageError, match="no val folder, and nothing says"):
                folder.load(folder.Options(root=tmp_path))
        for label in ("normal", "sick"):
            picture(tmp_path / split / label / "a.png")
    collection = folder.load(folder.Options(root=tmp_path))
    assert collection.labels.names == ("normal", "sick")
    assert collection.labels.positive == ("sick",)
    assert {s.split for s in collection.samples} == {"train", "val", "test"}


def test_folder_with_a_patient_pattern(tmp_path: Path) -> None:
    for label in ("normal", "sick"):
        for name in ("p1_a.png", "p1_b.png", "p2_a.png"):
            picture(tmp_path / label / f"{label}{name}")
    collection = folder.load(folder.Options(root=tmp_path, patient=r"(\w+p\d+)_"))
    assert len({s.patient for s in collection.samples}) == 4
    with pytest.raises(UsageError, match="does not match"):
        folder.load(folder.Options(root=tmp_path, patient=r"(patient\d+)_"))


def test_folder_refuses_to_guess(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        folder.load(folder.Options(root=tmp_path / "none"))
    picture(tmp_path / "cats" / "a.png")
    with pytest.raises(UsageError, match="share a patient"):
        folder.load(folder.Options(root=tmp_path))
    with pytest.raises(UsageError, match="1 class"):
        folder.load(folder.Options(root=tmp_path, one_image_per_patient=True))
    picture(tmp_path / "dogs" / "a.png")
    with pytest.raises(UsageError, match="which of"):
        folder.load(folder.Options(root=tmp_path, one_image_per_patient=True))
    chosen = folder.load(folder.Options(root=tmp_path, one_image_per_patient=True, positive=("dogs",)))
    assert chosen.labels.positive == ("dogs",)


HEADER = "path,label,patient,split"
ROWS = ["a.png,normal,1,train", "b.png,sick,2,train", "c.png,sick,3,test", "d.png,normal,4,test"]


def write(tmp_path: Path, lines: list[str], encoding: str = "utf-8") -> table.Options:
    for name in "abcd":
        picture(tmp_path / f"{name}.png")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n", encoding=encoding)
    return table.Options(root=tmp_path / "t.csv", positive=("sick",))


def test_table_reads_csv_with_a_byte_order_mark(tmp_path: Path) -> None:
    collection = table.load(write(tmp_path, [HEADER, *ROWS], "utf-8-sig"))
    assert collection.labels.names == ("normal", "sick")
    assert [s.patient for s in collection.samples] == ["1", "2", "3", "4"]
    assert collection.samples[0].path == tmp_path / "a.png"


def test_table_reads_semicolons_and_names_an_excel_workbook(tmp_path: Path) -> None:
    options = write(tmp_path, [line.replace(",", ";") for line in (HEADER, *ROWS)])
    assert len(table.load(options).samples) == 4
    (tmp_path / "t.csv").write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(UsageError, match="Excel"):
        table.load(options)


def test_table_reads_parquet_like_csv(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    options = write(tmp_path, [HEADER, *ROWS])
    rows = [
        dict(zip(HEADER.split(","), row.split(","), strict=True)) | {"patient": i + 1} for i, row in enumerate(ROWS)
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    same = table.load(options.model_copy(update={"root": tmp_path / "t.parquet"}))
    assert same.digest == table.load(options).digest


def test_table_with_several_label_columns_knows_unknown(tmp_path: Path) -> None:
    write(tmp_path, ["path,nodule,effusion,patient", "a.png,1.0,,1", "b.png,0,1,2"])
    options = table.Options(root=tmp_path / "t.csv", labels=("nodule", "effusion"), positive=("nodule",))
    collection = table.load(options)
    assert not collection.labels.exclusive
    assert collection.samples[0].labels[0] == 1
    assert np.isnan(collection.samples[0].labels[1])


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([HEADER, *ROWS, "a.png,sick,9,test"], "1 rows repeat an image: row 6"),
        ([HEADER, *ROWS, "./b.png,sick,9,test"], "1 rows repeat an image: row 6"),
        ([HEADER, *ROWS, "e.png,sick,9,test"], "name an image that is not there: row 6"),
        ([HEADER, *ROWS[:3], "d.png,normal,1,test"], "a second split: row 5"),
        ([HEADER, *ROWS[:3], "d.png,normal,,test"], "have no patient: row 5"),
        ([HEADER, *ROWS[:3], "d.png,,4,test"], "have no label: row 5"),
        ([HEADER, *ROWS[:3], "d.png,normal,4,holdout"], "unknown split: row 5"),
        ([HEADER, *ROWS[:3], "https://x/d.png,normal,4,test"], "URLs"),
        ([HEADER, *ROWS[:3], "d.png,normal,4"], "row 5 of t.csv has not 4 cells"),
        (["path,label,who,split", *ROWS], "no column 'patient'"),
        ([HEADER, "a.png,sick,1,train"], "holds 1 label"),
        (["path,label,patient,patient", *ROWS], "repeats"),
    ],
)
def test_table_faults_are_told_with_row_numbers(tmp_path: Path, lines: list[str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        table.load(write(tmp_path, lines))
    assert says in caught.value.message and caught.value.hint


def test_table_reads_sex_and_age_and_doubts_what_nobody_named(tmp_path: Path) -> None:
    told = ["F,045Y", "male,006M", "Unknown,411", "1,-1"]
    options = write(tmp_path, [HEADER + ",sex,age", *(f"{row},{more}" for row, more in zip(ROWS, told, strict=True))])
    samples = table.load(options).samples
    assert [s.sex for s in samples] == ["F", "M", "", ""]
    assert [s.age for s in samples] == [45.0, 0.5, None, None]
    named = table.Options(root=options.root, positive=("sick",), sex="sex")
    with pytest.raises(UsageError, match="hold a sex other than M, F, O or empty: row 4, 5"):
        table.load(named)
    with pytest.raises(UsageError, match="no number of years: row 4, 5"):
        table.load(table.Options(root=options.root, positive=("sick",), age="age"))
