"""The page of the service as a person meets it, photographed: light and dark, on a phone, in French, on paper.

    python benchmarks/page_screenshots.py BUNDLE... --screenshots DIR

Starts `laennec serve` with the bundles, opens the page in Chromium and leaves a PNG of each scene. The radiographs are
those of `$LAENNEC_DATA` (else ``../shared/data``), or phantoms where there are none. With two bundles or more a scene
compares the first two.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from laennec import phantom
from laennec.phantom.write import write_dicom

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESK, LAPTOP, PHONE, TABLET = (1440, 900), (1280, 800), (360, 740), (820, 1100)


class Scene(NamedTuple):
    """One photograph.

    Attributes:
        does: what a person does once the files are read.
        whole: the whole page, not the window alone.
        media: ``screen`` or ``print``.
    """

    name: str
    size: tuple[int, int]
    files: list[Path]
    does: Callable[[Page], object] = lambda page: None
    language: str = "en-GB"
    colours: str = "light"
    whole: bool = False
    media: str = "screen"


def radiographs(folder: Path) -> list[Path]:
    """Eight radiographs and a file that is cut short, the latter last."""
    data = Path(os.environ.get("LAENNEC_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    found: list[Path] = []
    if data.is_dir():
        found += sorted((data / "covid-ccby" / "images").glob("*"))[:3]
        for kind in ("PNEUMONIA", "NORMAL"):
            found += sorted((data / "kermany" / "test" / kind).glob("*"))[::120][:2]
        found += sorted((data / "dicom").glob("*.dcm"))[:1]
    if len(found) < 8:
        found = []
        for patient in range(7):
            pixels = phantom.draw(0, patient, 0, 768).pixels
            found.append(folder / f"phantom-{patient}.png")
            Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(found[-1])
        found.append(folder / "phantom.dcm")
        write_dicom(phantom.draw(0, 9, 0, 768), found[-1])
    broken = folder / "broken.jpeg"
    broken.write_bytes(found[0].read_bytes()[:900])
    return [*found, broken]


@contextmanager
def served(bundles: list[str], gate: str) -> Iterator[str]:
    """`laennec serve` with the page on a free port; its address."""
    command = [sys.executable, "-m", "laennec", "serve", *bundles, "--ui", "--port", "0", "--gate", gate]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None  # noqa: S101
        try:
            for line in process.stderr:
                told = json.loads(line) if line.startswith("{") else {}
                if told.get("event") == "serving":
                    break
            else:
                raise SystemExit("the service did not start")
            yield str(told["url"])
        finally:
            process.terminate()


def scenes(files: list[Path], several: bool) -> list[Scene]:
    """What is photographed."""

    def heat(page: Page) -> None:
        page.check("#show-map")
        page.locator("#rows").press("ArrowDown")

    def by_hand(page: Page) -> None:
        page.locator("input.threshold").fill("0.9")

    def compared(page: Page) -> None:
        page.select_option("#beside", index=1)
        page.locator(".agreement").wait_for()
        page.check("#show-map")

    def last(page: Page) -> None:
        page.locator("#rows").press("End")

    def closer(page: Page) -> None:
        page.locator(".port").press("+")
        page.locator(".port").press("i")
        page.locator("summary").first.click()

    told = [
        Scene("start", LAPTOP, []),
        Scene("start-phone-french", PHONE, [], language="fr-FR", whole=True),
        Scene("one", DESK, files[:1]),
        Scene("one-closer-dark", DESK, files[1:2], closer, colours="dark"),
        Scene("dicom", LAPTOP, files[7:8]),
        Scene("worklist", DESK, files),
        Scene("worklist-heat-dark", DESK, files, heat, colours="dark"),
        Scene("french-by-hand", LAPTOP, files[:4], by_hand, language="fr-FR"),
        Scene("refused", LAPTOP, [files[0], files[-1]], last),
        Scene("phone", PHONE, [*files[:2], files[-1]], whole=True),
        Scene("phone-dark-french", PHONE, files[:2], language="fr-FR", colours="dark"),
        Scene("tablet", TABLET, files[:3]),
        Scene("keyboard", LAPTOP, files[:1], lambda page: page.click("#help"), language="fr-FR"),
        Scene("paper", (794, 1123), files[1:2], media="print", whole=True),
    ]
    if several:
        told += [
            Scene("compare", DESK, files[:6], compared),
            Scene("compare-phone", PHONE, files[:1], compared, whole=True),
        ]
    return told


def photograph(browser: Browser, url: str, scene: Scene, folder: Path) -> None:
    """One scene, as ``<name>.png``."""
    width, height = scene.size
    options: dict[str, Any] = {"locale": scene.language, "color_scheme": scene.colours, "has_touch": width < 500}
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page = context.new_page()
    page.goto(url)
    page.locator("body[data-ready]").wait_for()
    if scene.files:
        page.set_input_files("#files", scene.files)
        page.locator("#rows [role=option]").first.wait_for()
        page.locator(".tier.waiting").wait_for(state="detached", timeout=120_000)
        page.locator(".verdict:not(.waiting)").first.wait_for()
    scene.does(page)
    if scene.media == "print":
        page.emulate_media(media="print")
    page.wait_for_timeout(500)
    page.screenshot(path=folder / f"{scene.name}.png", full_page=scene.whole)
    sys.stdout.write(f"{scene.name}.png\n")
    context.close()


def main() -> None:
    """Photograph what was asked for."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("bundles", nargs="+")
    asked.add_argument("--screenshots", type=Path, required=True, help="folder of the pictures")
    asked.add_argument("--gate", default="refer", choices=("refer", "refuse"))
    asked.add_argument("--only", nargs="*", default=[], help="names of scenes")
    asked.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    chosen = asked.parse_args()
    chosen.screenshots.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        served(chosen.bundles, chosen.gate) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chosen.chromium, args=FLAGS)
        for scene in scenes(radiographs(Path(folder)), len(chosen.bundles) > 1):
            if not chosen.only or scene.name in chosen.only:
                photograph(browser, url, scene, chosen.screenshots)
        browser.close()


if __name__ == "__main__":
    main()
