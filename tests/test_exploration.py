"""What `data show` says of a data set is so: counts, grey levels, sizes, shifts, and what cannot be read."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from laennec import exploration, images
from laennec.census import NO_LABEL, Exploration, Shift
from laennec.cli import run
from laennec.errors import UsageError
from laennec.exploration import explore
from laennec.page import exploration_page, exploration_text
from laennec.page.data import hints
from laennec.page.voice import Voice
from laennec.page.words import WORDS
from laennec.recipe import Recipe
from test_page import Parsed

EVIL = "<b>'&\"evil"


def write(path: Path, level: float, spread: float, size: tuple[int, int] = (40, 30), seed: int = 0) -> None:
    """A picture of exactly this mean, its left half `spread` above it and the right below."""
    pixels = np.full(size[::-1], level - spread)
    pixels[:, : size[0] // 2] = level + spread
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes; p0 has four images; test normals are darker; three files cannot be read."""
    root = tmp_path_factory.mktemp("set")
    for part, patients, level in (("train", 12, 120), ("val", 4, 120), ("test", 8, 90)):
        for patient in range(patients):
            for image in range(4 if patient == 0 else 1):
                name = f"{part}{patient}_{image}.png"
                write(root / part / "normal" / name, level + patient % 3, 20)
                if patient < patients // 2:
                    write(root / part / EVIL / f"s{name}", 140 + patient % 3, 20, (60, 30))
    (root / "train" / "normal" / "train98_0.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    (root / "train" / "normal" / "train97_0.jpg").write_text("not an image")
    (root / "test" / EVIL / "stest99_0.png").write_bytes(b"")
    return root


def recipe(root: Path, **data: Any) -> Recipe:
    return Recipe.parse(
        {
            "data": {"name": "folder", "root": str(root), "patient": r"^(s?[a-z]+\d+)_"} | data,
            "model": {"name": "cnn"},
            "phases": [{"epochs": 1, "learning_rate": 1e-3}],
        }
    )


@pytest.fixture(scope="module")
def opened(folder: Path) -> Exploration:
    return explore(recipe(folder), pixels=True)


def test_counts_without_opening_an_image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exploration.images, "decoded", None)
    monkeypatch.setattr(images, "header", None)
    explored = explore(recipe(folder))
    assert explored.pixels is None
    train, val, test = explored.parts
    assert [p.part for p in explored.parts] == ["train", "val", "test"]
    normal = [p.labels[explored.labels.index("normal")] for p in (train, val, test)]
    assert [(label.images, label.patients) for label in normal] == [(17, 14), (7, 4), (11, 8)]
    assert (train.images, train.patients) == (17 + 9, 14 + 6)
    assert explored.whole.images == sum(p.images for p in explored.parts)
    assert (explored.whole.per_patient.median, explored.whole.per_patient.high) == (1, 4)
    assert train.imbalance == pytest.approx(17 / 9)


def test_grey_levels_are_those_of_the_files(opened: Exploration) -> None:
    assert opened.pixels is not None
    cells = {(c.label, c.part): c for c in opened.pixels.cells}
    val, test = cells["normal", "val"], cells["normal", "test"]
    # patients 0, 1, 2, 3 and three more images of patient 0
    means = np.array([120, 120, 120, 120, 121, 122, 120])
    assert (val.images, val.n) == (7, 7)
    assert val.mean == pytest.approx(means.mean(), abs=0.6)
    assert val.between == pytest.approx(means.std(ddof=1), abs=0.1)
    assert val.contrast is not None and 19 < val.contrast <= 20
    assert (val.width, val.height) == (40, 30)
    assert val.low is not None and val.high is not None and 98 <= val.low < val.high <= 143
    assert cells["normal", "train"].images == cells["normal", "train"].n + 2  # two cannot be read
    assert test.mean == pytest.approx(90.8, abs=1)


def test_a_shift_between_parts_is_told(opened: Exploration) -> None:
    assert opened.pixels is not None
    shifts = {(s.of, s.label, s.part): s for s in opened.pixels.shifts}
    dark = shifts["brightness", "normal", "test"]
    assert dark.difference == pytest.approx(-30, abs=1)
    assert dark.strength == "large"
    assert dark.low < dark.effect < dark.high < 0
    assert shifts["brightness", "normal", "val"].strength == "none"
    told = dict(hints(opened, Voice("en")))
    assert told["data.hint.brightness.less"]["label"] == "normal"
    assert "data.hint.refused" in told


def test_effect_and_interval_by_hand() -> None:
    """d = 1 with 10 and 10 images: pooled deviation 1, error 1.96 sqrt(0.2 + 1/40)."""
    base = np.array([-1.0, 1.0] * 5) * np.sqrt(0.9)
    (shift,) = exploration._shifts("brightness", {("a", "train"): base, ("a", "test"): base + 1})
    assert shift.effect == pytest.approx(1)
    assert shift.high - shift.effect == pytest.approx(1.96 * np.sqrt(0.2 + 1 / 40))
    same = np.ones(5)
    assert not list(exploration._shifts("contrast", {("a", "train"): same, ("a", "test"): same}))
    assert not list(exploration._shifts("contrast", {("a", "train"): same, ("a", "test"): same[:1]}))


@pytest.mark.parametrize(
    ("effect", "error", "word"),
    [(0.1, 0.05, "none"), (0.3, 0.4, "none"), (-0.3, 0.1, "small"), (0.6, 0.1, "medium"), (-2.0, 0.5, "large")],
)
def test_words_for_effects(effect: float, error: float, word: str) -> None:
    known: dict[str, Any] = {"of": "contrast", "label": "a", "part": "test", "difference": 1, "n": 9, "n_train": 9}
    assert Shift(effect=effect, low=effect - error, high=effect + error, **known).strength == word


def test_files_and_what_cannot_be_read(opened: Exploration) -> None:
    seen = opened.pixels
    assert seen is not None and seen.width is not None and seen.aspect is not None
    assert {(s.width, s.height) for s in seen.commonest} == {(40, 30), (60, 30)}
    assert (seen.width.low, seen.width.high, seen.aspect.high) == (40, 60, 2)
    assert [(f.format, f.bits, f.channels) for f in seen.formats] == [("PNG", 8, 1)]
    assert {Path(r.id).name: r.code for r in seen.refused} == {
        "train98_0.png": "corrupt_image", "train97_0.jpg": "unsupported_type", "stest99_0.png": "empty",
    }  # fmt: skip
    assert seen.opened == opened.whole.images


def test_examples_come_from_train_one_a_patient(opened: Exploration) -> None:
    assert opened.pixels is not None
    for example in opened.pixels.examples:
        assert len(example.ids) == 6
        assert all(key.startswith("train/") for key in example.ids)
        assert len({Path(key).name.partition("_")[0] for key in example.ids}) == 6


def test_the_sample_is_bounded_and_repeats(folder: Path) -> None:
    first, again = (explore(recipe(folder), pixels=True, sample=3) for _ in range(2))
    assert first.pixels == again.pixels
    assert first.pixels is not None
    assert first.pixels.opened == 18
    assert all(c.n <= 3 for c in first.pixels.cells)
    other = explore(recipe(folder).replace(seed=5), pixels=True, sample=3)
    assert other.pixels is not None
    assert other.pixels.examples != first.pixels.examples
    with pytest.raises(UsageError, match="sample"):
        explore(recipe(folder), sample=0)


def test_a_cell_without_a_readable_image(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        for i in range(3):
            write(tmp_path / part / "normal" / f"{part}{i}_0.png", 100 + i, 10)
            path = tmp_path / part / "sick" / f"s{part}{i}_0.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"no image")
    explored = explore(recipe(tmp_path), pixels=True, html=tmp_path / "page.html")
    assert explored.pixels is not None
    assert len(explored.pixels.refused) == 9
    assert {c.n for c in explored.pixels.cells if c.label == "sick"} == {0}
    Parsed((tmp_path / "page.html").read_text(encoding="utf-8"))
    Console(file=io.StringIO()).print(exploration_text(explored))


def test_labels_that_hold_together(tmp_path: Path) -> None:
    rows = []
    for i in range(40):
        write(tmp_path / f"{i}.png", 100 + i, 20)
        part = ("train", "val", "test")[i % 3]
        a, b = ((1, 1), (1, 0), (0, ""), (0, 0), (0, 1))[i % 5]
        rows.append({"path": f"{i}.png", "patient": i, "split": part, "a": a, "b": b, "source": f"h{i % 2}"})
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    told = {"name": "table", "root": str(tmp_path / "t.csv"), "labels": ["a", "b"], "positive": "a"}
    values = {"data": told, "model": {"name": "cnn"}, "phases": [{"epochs": 1, "learning_rate": 1e-3}]}
    explored = explore(Recipe.parse(values), pixels=True)
    assert explored.whole.labels[1].unknown == 8
    assert [label.images for label in explored.whole.labels] == [16, 16]
    assert explored.pixels is not None
    bare = [c for c in explored.pixels.cells if c.label == NO_LABEL]
    assert sum(c.images for c in bare) == 16
    assert explored.pixels.opened == 40  # an image with both labels is opened once
    (source,) = explored.breakdowns
    assert [(v.value, v.images) for v in source.values] == [("h0", 20), ("h1", 20)]
    page = exploration_page(explored)
    assert "(aucune classe)" in page and "(no label)" in page
    assert "hold together" in page


def test_a_source_that_gives_the_label_away(tmp_path: Path) -> None:
    rows = []
    for i in range(60):
        write(tmp_path / f"{i}.png", 100, 20)
        source = "children's" if i % 2 else ("town", "university")[i % 4 // 2]
        rows.append([f"{i}.png", i, ("train", "val", "test")[i % 3], "sick" if i % 2 else "well", source])
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["path", "patient", "split", "label", "source"], *rows])
    values: dict[str, Any] = {"model": {"name": "cnn"}, "phases": [{"epochs": 1, "learning_rate": 1e-3}]}
    values["data"] = {"name": "table", "root": str(tmp_path / "t.csv"), "positive": "sick"}
    explored = explore(Recipe.parse(values))
    told = [(said["value"], said["label"], said["n"]) for key, said in hints(explored, Voice("en"))]
    assert told == [("children's", "sick", "30"), ("town", "well", "15"), ("university", "well", "15")]


def test_many_sources_are_gathered(folder: Path) -> None:
    from laennec.loader import collect

    samples = collect(recipe(folder))[0].samples
    made = exploration._breakdown("source", samples, lambda s: s.id, 2, sampled=False)
    assert len(made.values) == 13
    assert made.values[-1].value == ""
    assert sum(v.images for v in made.values) == len(samples) == made.known


def test_dicom_says_view_and_sex() -> None:
    values: dict[str, Any] = {"model": {"name": "cnn"}, "phases": [{"epochs": 1, "learning_rate": 1e-3}]}
    values["data"] = {"name": "phantom", "patients": 30, "size": 64, "format": "dicom"}
    explored = explore(Recipe.parse(values), pixels=True, sample=4)
    facts = {b.fact: b for b in explored.breakdowns}
    assert set(facts) == {"view", "source", "sex"}
    assert facts["sex"].sampled and facts["sex"].asked == explored.pixels.opened  # type: ignore[union-attr]
    assert [v.value for v in facts["sex"].values] == ["O"]
    assert not facts["view"].sampled  # the data set's own table says it
    assert explored.pixels is not None
    assert {(f.format, f.channels) for f in explored.pixels.formats} == {("DICOM", 1)}


def page_of(folder: Path, out: Path, language: str = "en") -> str:
    assert run(["data", "show", *arguments(folder), "--html", str(out), "--lang", language]) == 3
    return out.read_text(encoding="utf-8")


def arguments(folder: Path) -> list[str]:
    values = {"data.name": "folder", "data.root": str(folder), "data.patient": r"'^(s?[a-z]+\d+)_'"}
    return ["own-folder", *(word for key, value in values.items() for word in ("--set", f"{key}={value}"))]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_page_stands_alone_in_both_languages(folder: Path, tmp_path: Path, language: str) -> None:
    text = page_of(folder, tmp_path / "page.html", language)
    parsed = Parsed(text)
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "iframe", "object", "b", "form"}
    for tag, attributes in parsed.tags:
        assert "style" not in attributes, tag
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith(("#", "data:image/png;base64,"))
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [m["content"] for m in parsed.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert f"style-src 'sha256-{allowed}'; script-src 'none'" in policy
    assert len(parsed.all("img")) == 2 * 2 * 6
    assert all(image["alt"] for image in parsed.all("img"))
    assert all(svg.get("role") == "img" and svg.get("aria-label") for svg in parsed.all("svg"))
    assert all(cell.get("scope") in ("row", "col") for cell in parsed.all("th"))
    assert all(float(r["width"]) >= 0 and float(r["height"]) >= 0 for r in parsed.all("rect"))
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for sentence in WORDS["research"]:
        assert text.count(sentence) == 2
    assert parsed.all("html")[0]["lang"] == language
    assert EVIL in parsed.words
    words = " ".join("".join(parsed.words).split())
    assert "is darker in the test part than in training" in words
    assert "est plus sombre dans la partie de test qu’à l’entraînement" in words
    assert "train98_0.png" in words


def test_the_page_without_pixels(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert run(["data", "show", *arguments(folder), "--html", str(out), "--no-pixels"]) == 0
    text = out.read_text(encoding="utf-8")
    assert "No image was opened" in text
    assert Parsed(text).all("img") == []


def test_json_and_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "show", *arguments(folder), "--json"]) == 0
    plain = Exploration.model_validate_json(capsys.readouterr().out)
    assert plain.pixels is None
    assert run(["data", "show", *arguments(folder), "--json", "--pixels"]) == 3
    said = json.loads(capsys.readouterr().out)
    assert len(said["pixels"]["refused"]) == 3
    assert Exploration.model_validate(said).whole == plain.whole


def test_terminal_at_80_columns(opened: Exploration) -> None:
    stream = io.StringIO()
    Console(file=stream, width=80, color_system=None).print(exploration_text(opened))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for told in ("Research use only", "train97_0.jpg", "unsupported_type", "darker in the test part", "large", EVIL):
        assert told in text
    assert "<strong>" not in text


def test_kermany_as_its_publisher_counts_it(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = f"data.root={real_data / 'kermany'}"
    assert run(["data", "show", "kermany-quick", "--set", root, "--json", "--pixels", "--sample", "8"]) == 0
    said = Exploration.model_validate_json(capsys.readouterr().out)
    train, val, test = said.parts
    assert [label.images for label in test.labels] == [234, 390]
    assert [a.images + b.images for a, b in zip(train.labels, val.labels, strict=True)] == [1341, 3875]
    assert said.whole.per_patient.high == 30
    assert said.whole.imbalance == pytest.approx((390 + 3875) / (234 + 1341))
    assert said.pixels is not None
    assert (said.pixels.opened, said.pixels.refused) == (48, ())
    assert [(s.width, s.height) for s in said.pixels.commonest] == [(224, 224)]
    told = [key for key, _ in hints(said, Voice("en"))]
    assert {"data.hint.imbalance", "data.hint.moved", "data.hint.several"} <= set(told)


def test_real_dicom_with_a_header_of_its_own(real_data: Path) -> None:
    headers = {path.name: images.header(path) for path in sorted((real_data / "dicom").glob("*.dcm"))}
    assert headers
    for header in headers.values():
        assert header is not None
        assert header.format == "DICOM" and header.width > 100 and header.height > 100 and header.sex in "MFO"
