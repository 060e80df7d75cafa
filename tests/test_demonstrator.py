"""The page to try a bundle by hand: what it says of a radiograph, and the page itself in a real browser."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from laennec import phantom
from laennec.demonstrator import NOTICE, Demonstrator, page, refused, words
from laennec.errors import ImageError, UsageError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def written(path: Path, pixels: Any) -> Path:
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn radiograph that stands as it should."""
    return written(tmp_path_factory.mktemp("chest") / "chest.png", phantom.draw(5, 0, 0, 96).pixels)


@pytest.fixture(scope="module")
def models(quantised: Any) -> Iterator[Demonstrator]:
    with Demonstrator([quantised], threads=1) as opened:
        yield opened


def picture(png: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_a_radiograph_is_answered_as_predict_answers_it(models: Demonstrator, quantised: Any, chest: Path) -> None:
    import laennec as ln

    seen = models.read(chest)
    for rule in models.rules("int8"):
        told, right = models.answer(seen, "int8", rule), ln.open(quantised.path, rule).predict(chest)
        assert dict(told.chances) == pytest.approx(right.probabilities, abs=1e-6)
        assert told.kind == ("positive" if right.positive else "negative")
        assert told.headline.en == f"sick: {told.kind}" and told.headline.fr.startswith("sick\u00a0: ")
        assert f"{right.threshold:.3f}" in told.said[0].en and f"{right.score:.3f}" in told.said[0].en
        assert words.rule(rule).fr.partition(" (")[0] in told.said[0].fr and "," in told.said[0].fr
    assert models.rules("int8")[0] == quantised.card.decision


def test_map_and_lungs_are_laid_over_the_picture(models: Demonstrator, chest: Path) -> None:
    seen = models.read(chest)
    plain, warm, lined = (
        picture(models.answer(seen, "int8", None, over).picture) for over in ((), ("map",), ("lungs",))
    )
    assert np.ptp(plain, axis=2).max() == 0 and max(plain.shape) == 768
    assert np.ptp(warm, axis=2).max() > 60 and np.ptp(lined, axis=2).max() > 60
    assert words.WORDS["looks"] in models.answer(seen, "int8", None, ("map",)).said


def test_a_mirrored_file_is_hung_as_radiographs_are(models: Demonstrator, tmp_path: Path) -> None:
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset

    levels = np.rint(phantom.draw(5, 0, 0, 96).pixels * 255).astype(np.uint8)
    shown = []
    for orientation, grey in ((["L", "F"], levels), (["R", "F"], levels[:, ::-1])):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.1", "1.2.3", "CR"
        ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = *levels.shape, 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
        ds.PatientOrientation, ds.PixelData = orientation, np.ascontiguousarray(grey).tobytes()
        pydicom.dcmwrite(tmp_path / "one.dcm", ds, enforce_file_format=True)
        told = models.answer(models.read(tmp_path / "one.dcm"), "int8")
        assert (words.WORDS["mirrored"] in told.said) == (orientation[0] == "R")
        shown.append(picture(told.picture))
    assert np.abs(shown[0] - shown[1]).max() <= 1


@pytest.mark.parametrize(
    ("change", "code"),
    [(lambda x: x[::-1, ::-1], "turned"), (lambda x: 1 - x, "inverted"), (lambda x: x[:4], "not_chest")],
)
def test_what_is_no_upright_chest_gets_words_and_no_score(
    models: Demonstrator, tmp_path: Path, change: Any, code: str
) -> None:
    path = written(tmp_path / "one.png", np.ascontiguousarray(change(phantom.draw(5, 0, 0, 96).pixels)))
    told = models.answer(models.read(path), "int8")
    assert told.kind == "refused" and told.said == words.refusal(code) and not told.chances and told.picture


def test_a_file_is_deleted_once_it_was_read_or_refused(models: Demonstrator, chest: Path, tmp_path: Path) -> None:
    good = Path(shutil.copy(chest, tmp_path / "good.png"))
    seen, _ = page.taken(models, str(good), tmp_path)
    assert seen is not None and not good.exists()
    for data, code in (
        (b"", "empty"),
        (b"GIF89a" + bytes(90), "unsupported_type"),
        (chest.read_bytes()[:900], "corrupt_image"),
    ):
        bad = tmp_path / "DOE-JOHN.png"
        bad.write_bytes(data)
        with pytest.raises(ImageError) as error:
            models.read(bad)
        assert error.value.code == code
        none, told = page.taken(models, str(bad), tmp_path)
        assert none is None and told == refused(code) and not bad.exists()
        assert "DOE" not in page._said(told, "en") + page._said(told, "fr")
    assert page.taken(models, None, tmp_path)[1] == refused("not_found")
    # a request cannot have a file read and deleted that was not sent
    assert page.taken(models, str(chest), tmp_path) == (None, refused("not_found")) and chest.exists()
    (tmp_path / "link.png").symlink_to(chest)
    assert page.taken(models, str(tmp_path / "link.png"), tmp_path)[0] is None and chest.exists()


def test_a_fault_is_told_in_words(models: Demonstrator, chest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = models.read(chest)
    monkeypatch.setattr(Demonstrator, "answer", lambda *_: 1 / 0)
    told = page.answer(models, seen, "int8", None, ())
    assert told == refused("fault") and "ZeroDivision" not in page._said(told, "en")


def test_every_code_of_an_image_error_has_words() -> None:
    codes = re.findall(r"``(\w+)``", (ImageError.__doc__ or ""))
    assert set(codes) - {"not_mask", "mask_mismatch"} <= set(words.REFUSALS)
    said = [*words.WORDS.values(), NOTICE, *(text for pair in words.REFUSALS.values() for text in pair)]
    assert all(text.en and text.fr and "'" not in text.fr for text in said)


def test_labels_cannot_be_markup() -> None:
    told = refused("empty")
    hostile = type(told)(told.kind, words.headline("<script>x</script>", True), told.said)
    assert "<script" not in page._said(hostile, "en")


def test_possible_labels_in_words() -> None:
    assert words.possible(("", "sick"), "sick").en.endswith("no sick, sick.")
    assert words.possible((), "sick") == words.WORDS["unsure_none"]
    assert "sûr (absence de sick)" in words.possible(("",), "sick").fr


def test_names_and_hosts_are_checked(quantised: Any) -> None:
    with pytest.raises(UsageError, match="different names"):
        Demonstrator([quantised, quantised])
    with pytest.raises(UsageError, match="loopback alone"):
        page.show([quantised], host="0.0.0.0")  # noqa: S104


def test_without_gradio_the_service_is_started_with_its_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from laennec import serve
    from laennec.cli import run

    asked: list[Any] = []
    monkeypatch.setattr(serve, "serve", lambda settings: asked.append(settings) or 0)
    assert run(["ui", str(tmp_path), "--port", "8123"]) == 0
    assert asked[0].ui and asked[0].port == 8123 and asked[0].host == "127.0.0.1"


# In a browser -------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture
def served(trained: Any, quantised: Any, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The page's address and the folder where it may leave files; ended by SIGTERM, after which that is empty."""
    pytest.importorskip("gradio", reason="Gradio is not installed")
    left = tmp_path / "left"
    left.mkdir()
    models = str(quantised.path), str(trained.path)
    process = subprocess.Popen(
        [sys.executable, "-m", "laennec", "ui", *models, "--gradio", "--threads", "1", "--port", str(free_port())],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(left), "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "Research use only" in line
        yield re.findall(r"http://\S+", line)[0], left
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not [path for path in left.rglob("*") if path.is_file()]
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_in_a_real_browser(served: tuple[str, Path], real_data: Path, tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    address, left = served
    asked: list[str] = []
    complaints: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB")
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(address)
        tab.get_by_text(NOTICE.en).wait_for()
        tab.screenshot(path=tmp_path / "empty.png")
        drop = tab.locator("#file input[type=file]")
        drop.set_input_files(str(real_data / "dicom" / "pydicom-data__RG1_J2KI.dcm"))
        tab.locator("#said .card").wait_for()
        assert re.search(r"sick: (positive|negative)", tab.locator("#said h2").inner_text())
        assert tab.locator("#chances").inner_text().count("%") == 2
        shown = tab.locator("#picture img").get_attribute("src") or ""
        assert np.ptp(picture(base64.b64decode(shown.partition(",")[2])), axis=2).max() == 0
        tab.get_by_label(words.WORDS["map"].en).check()
        tab.get_by_label(words.WORDS["lungs"].en).check()
        tab.get_by_text(words.WORDS["legend"].en).wait_for()
        tab.get_by_label(words.WORDS["rule_in"].en).check()
        tab.get_by_text("(rule in).").wait_for()
        tab.screenshot(path=tmp_path / "answer.png", full_page=True)
        tab.get_by_label("Français").check()
        tab.get_by_text(NOTICE.fr).wait_for()
        tab.get_by_text(words.WORDS["legend"].fr).wait_for()
        drop.set_input_files(str(real_data / "dicom" / "pydicom-data__RG3_J2KI.dcm"))
        tab.get_by_text(words.refusal("not_chest")[0].fr).wait_for()
        drop.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"GIF89a" + bytes(90)})
        tab.get_by_text(words.refusal("unsupported_type")[0].fr).wait_for()
        tab.set_viewport_size({"width": 390, "height": 844})
        tab.screenshot(path=tmp_path / "phone.png", full_page=True)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
    outside = [url for url in asked if urlsplit(url).scheme in ("http", "https", "ws", "wss")]
    outside = [url for url in outside if urlsplit(url).hostname != "127.0.0.1"]
    assert not outside and len(asked) > 5 and not complaints
    assert not [path.name for path in left.rglob("*") if path.suffix in (".dcm", ".png")]
