"""Pairs of images and lung masks, and masks beside Kermany's images: paired right, or refused with what is wrong."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from laennec.datasets import kermany, pairs
from laennec.errors import UsageError
from laennec.images import truths
from laennec.labels import UNLABELLED
from laennec.preprocess import Preprocess
from laennec.samples import Collection

ONE_EACH = {"one_image_per_patient": True}


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(path)


def lay(root: Path, *names: str) -> Path:
    for name in names:
        picture(root / name)
    return root


def read(root: Path, **options: Any) -> Collection:
    return pairs.load(pairs.Options(root=root, **options))


def paired(collection: Collection, root: Path) -> dict[str, str | None]:
    return {s.id: s.mask.relative_to(root).as_posix() if s.mask else None for s in collection.samples}


def refused(root: Path, **options: Any) -> UsageError:
    with pytest.raises(UsageError, match=r"^pairs: ") as caught:
        read(root, **options)
    assert caught.value.hint
    return caught.value


def test_images_meet_the_masks_of_their_names_whatever_the_file_types(tmp_path: Path) -> None:
    lay(tmp_path, "images/a.png", "images/b.c.jpeg", "images/ward/a.JPG", "images/.hidden.png")
    lay(tmp_path, "masks/a.png", "masks/b.c.png", "masks/ward/a.png")
    (tmp_path / "images" / "d.dcm").write_bytes(b"never opened")
    (tmp_path / "images" / "readme.txt").write_text("")
    collection = read(tmp_path, **ONE_EACH)
    assert paired(collection, tmp_path) == {
        "a.png": "masks/a.png",
        "b.c.jpeg": "masks/b.c.png",
        "d.dcm": None,
        "ward/a.JPG": "masks/ward/a.png",
    }
    assert all(s.path == tmp_path / "images" / s.id and s.patient == s.id for s in collection.samples)
    assert "Every image is taken for a patient of its own: none was named." in collection.notes
    assert "1 of 4 images have no lung mask." in collection.notes


def test_no_label_is_known_and_masks_do_not_move_the_digest(tmp_path: Path) -> None:
    lay(tmp_path, "images/a.png", "images/b.png", "masks/a.png", "masks/b.png")
    collection = read(tmp_path, **ONE_EACH)
    assert collection.labels == UNLABELLED and not UNLABELLED.exclusive
    assert all(len(s.labels) == len(UNLABELLED) and all(map(math.isnan, s.labels)) for s in collection.samples)
    (tmp_path / "masks" / "b.png").unlink()
    assert read(tmp_path, **ONE_EACH).digest == collection.digest


@pytest.mark.parametrize(("images", "masks"), [("images", "masks"), (".", "."), (".", "masks")])
def test_masks_whose_names_end_in_a_word(tmp_path: Path, images: str, masks: str) -> None:
    lay(tmp_path / images, "1.png", "2.png", "3_mask_of.png")
    lay(tmp_path / masks, "1_mask.png", "3_mask_of_mask.png")
    found = read(tmp_path, images=images, masks=masks, mask_suffix="_mask", **ONE_EACH)
    assert {name: mask and Path(mask).name for name, mask in paired(found, tmp_path).items()} == {
        "1.png": "1_mask.png",
        "2.png": None,
        "3_mask_of.png": "3_mask_of_mask.png",
    }


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        (["images/a.png"], {}, r"no folder .*masks"),
        (["masks/a.png"], {}, r"no folder .*images"),
        (["images/a.png", "masks/a.gif"], {}, r"no mask in .*masks"),
        (["images/a.gif", "masks/a.png"], {}, r"no image in .*images"),
        (["images/a.png", "masks/a.png"], {"mask_suffix": "_mask"}, r"no mask in .* whose name ends in _mask"),
        (["both/a.png"], {"images": "both", "masks": "both"}, r"no image in .*both"),
        (
            ["images/a.png", "masks/a.png", "masks/b.png", "masks/w/a.png"],
            {},
            r"2 masks have no image: b\.png, w/a\.png",
        ),
        (
            ["images/a.png", "images/b.png", "masks/a_mask.png", "masks/b.png"],
            {"mask_suffix": "_mask"},
            r"1 masks have no image: b\.png",
        ),
        (["images/a.png", "images/a.jpg", "masks/a.png"], {}, r"two images are named a: a\.jpg and a\.png"),
        (["images/a.png", "masks/a.png", "masks/a.jpg"], {}, r"two masks are named a: a\.jpg and a\.png"),
        (["images/p1_a.png", "images/x.png", "masks/x.png"], {"patient": r"^(p\d+)_"}, r"does not match x\.png"),
    ],
)
def test_what_cannot_be_paired_is_told(tmp_path: Path, names: list[str], options: dict[str, Any], says: str) -> None:
    lay(tmp_path, *names)
    error = refused(tmp_path, **({} if "patient" in options else ONE_EACH) | options)
    assert re.search(says, error.message), error.message


def test_somebody_must_tell_the_patients(tmp_path: Path) -> None:
    lay(tmp_path, "images/p1_a.png", "images/p1_b.png", "images/p2_a.png", "masks/p1_a.png")
    assert "nothing says which images share a patient" in refused(tmp_path).message
    assert [s.patient for s in read(tmp_path, patient=r"^(p\d+)_").samples] == ["p1", "p1", "p2"]
    for pattern in ("^(p", "p", "(p)(1)"):
        with pytest.raises(ValidationError):
            pairs.Options(root=tmp_path, patient=pattern)


def tabled(root: Path, *rows: str, header: str = "image,patient,split,view,source,note") -> dict[str, str]:
    lay(root, "images/a.png", "images/b.png", "masks/a.png")
    (root / "index.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8-sig")
    return {"table": "index.csv"}


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_tells_patients_parts_views_and_sources(tmp_path: Path, mark: str) -> None:
    rows = ["b.png, 7 ,test,AP supine,north,x", "a.png,8,train,unknown,,"]
    header = "image,patient,split,view,source,note".replace(",", mark)
    options = tabled(tmp_path, *(row.replace(",", mark) for row in rows), header=header)
    first, second = read(tmp_path, **options).samples
    assert (first.id, first.patient, first.split, first.view, first.source) == ("a.png", "8", "train", "", "")
    assert (second.id, second.patient, second.split, second.view, second.source) == (
        "b.png",
        "7",
        "test",
        "AP",
        "north",
    )


def test_the_pattern_stands_before_the_tables_column(tmp_path: Path) -> None:
    options = tabled(tmp_path, "a.png,PA", "b.png,LATERAL", header="image,view")
    assert [(s.patient, s.view, s.split) for s in read(tmp_path, patient="^(.)", **options).samples] == [
        ("a", "PA", None),
        ("b", "LATERAL", None),
    ]
    assert "no column 'patient'" in refused(tmp_path, **options).message


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["a.png,1,,,,", "b.png,2,,,,", "a.png,1,,,,"], "1 rows of index.csv repeat an image: row 4"),
        (["a.png,1,,,,", "b.png,2,,,,", "c.png,3,,,,"], "name an image that is not there: row 4"),
        (["b.png,2,,,,"], "1 images have no row in index.csv, the first is a.png"),
        (["a.png,1,,,,", "b.png,,,,,"], "have no patient: row 3"),
        (["a.png,1,train,,,", "b.png,2,holdout,,,"], "name an unknown split: row 3"),
        (["a.png,1,train,,,", "b.png,1,test,,,"], "put a patient into a second split: row 3"),
        (["a.png,1,,,,", "b.png,2,,"], "have not 6 cells: row 3"),
        (["a.png,1,,,,,,,", "b.png,2,,,,"], "have not 6 cells: row 2"),
        (['a.png,"1,,,,', "b.png,2,,,,"], "is not UTF-8 CSV"),
    ],
)
def test_faults_of_the_table_are_told_with_row_numbers(tmp_path: Path, rows: list[str], says: str) -> None:
    assert says in refused(tmp_path, **tabled(tmp_path, *rows)).message


def test_a_missing_table_column_or_encoding_is_told(tmp_path: Path) -> None:
    options = tabled(tmp_path, "a.png,1", header="file,patient")
    assert "no column 'image'. Columns: file, patient" in refused(tmp_path, **options).message
    (tmp_path / "index.csv").write_bytes(b"image,patient\n\xff\xfe,1\n")
    assert "not UTF-8 CSV" in refused(tmp_path, **options).message
    assert "no table" in refused(tmp_path, table="other.csv").message


def test_real_pairs_load_with_their_table(real_data: Path) -> None:
    collection = read(real_data / "covid-ccby", masks="lung_masks", table="index.csv")
    assert len(collection.samples) == 83
    assert len({s.patient for s in collection.samples}) == 48
    assert {s.view for s in collection.samples} == {"PA", "AP"}
    assert all(s.mask is not None and s.mask.name == s.path.name for s in collection.samples)
    assert not collection.notes


# --- Kermany ----------------------------------------------------------------------------------------------------------

CHILDREN = (
    "train/NORMAL/IM-0115-0001.jpeg",
    "train/PNEUMONIA/person1_bacteria_1.jpeg",
    "test/NORMAL/IM-0001-0001.jpeg",
    "test/PNEUMONIA/person9_virus_1.jpeg",
)


def test_kermany_takes_masks_from_a_folder_laid_out_alike(tmp_path: Path) -> None:
    images = lay(tmp_path / "kermany", *CHILDREN)
    masks = lay(tmp_path / "masks", "train/NORMAL/IM-0115-0001.png", "test/PNEUMONIA/person9_virus_1.png")
    without = kermany.load(kermany.Options(root=images))
    found = kermany.load(kermany.Options(root=images, masks=masks))
    assert paired(found, masks) == {
        CHILDREN[0]: "train/NORMAL/IM-0115-0001.png",
        CHILDREN[1]: None,
        CHILDREN[2]: None,
        CHILDREN[3]: "test/PNEUMONIA/person9_virus_1.png",
    }
    assert {s.mask for s in without.samples} == {None}
    beside = kermany.load(kermany.Options(root=images, masks=Path("../masks")))
    assert [s.mask and s.mask.resolve() for s in beside.samples] == [s.mask for s in found.samples]
    # a classifier trained without masks is judged on the same data where they are there
    assert found.digest == without.digest
    assert found.notes[:-1] == without.notes and "2 of 4 images have a lung mask" in found.notes[-1]


def test_kermany_masks_that_are_not_there_are_told(tmp_path: Path) -> None:
    images = lay(tmp_path / "kermany", *CHILDREN)
    with pytest.raises(UsageError, match="no lung mask of any image") as caught:
        kermany.load(kermany.Options(root=images, masks=tmp_path / "masks"))
    assert "train/NORMAL/" in caught.value.hint


def test_real_kermany_masks_fit_their_images(real_data: Path, tmp_path: Path) -> None:
    options = kermany.Options(root=real_data / "kermany", masks=real_data / "kermany-lungmasks")
    collection = kermany.load(options)
    masked = [s for s in collection.samples if s.mask]
    assert len(masked) == 5835
    found = truths(masked[::100], Preprocess(size=64), tmp_path, workers=0)
    assert not found.refused
    # both lungs of every child: something on either side of the picture's middle
    assert (found.pixels[:, :, :32] >= 128).any(axis=(1, 2)).all()
    assert (found.pixels[:, :, 32:] >= 128).any(axis=(1, 2)).all()
