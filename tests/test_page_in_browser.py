"""The page of the service in a real Chromium, against a real `laennec serve`: what a person sees, does, takes away."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import laennec as ln
from conftest import ROOT, data_folder
from laennec import conformal, decisions, phantom
from laennec.images import standing
from laennec.labels import LabelSet
from laennec.phantom.write import write_dicom
from laennec.trust import Abstention

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PAGE = Path(ln.__file__).parent / "serve" / "page"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
REFUSED = "Failed to load resource: the server responded with a status of 4"  # what a browser says of any 4xx

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


class Files(NamedTuple):
    """What is dropped: a radiograph, several, a DICOM file, one cut short, one with a formula for a name."""

    first: Path
    several: list[Path]
    dicom: Path
    broken: Path
    formula: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Real radiographs where there are any, else phantoms."""
    folder = tmp_path_factory.mktemp("dropped")
    real = data_folder()
    if real is not None:
        kinds = [sorted((real / "kermany" / "test" / kind).iterdir()) for kind in ("PNEUMONIA", "NORMAL")]
        several = [kinds[0][0], kinds[0][150], kinds[1][0], kinds[1][120]]
    else:
        several = []
        for patient in range(4):
            drawn = phantom.draw(0, patient, 0, 192)
            several.append(folder / f"phantom{patient}.png")
            Image.fromarray(np.rint(drawn.pixels * 255).astype(np.uint8)).save(several[-1])
    write_dicom(phantom.draw(0, 5, 0, 192), folder / "phantom.dcm")
    (folder / "cut.jpeg").write_bytes(several[0].read_bytes()[:700])
    shutil.copy(several[1], folder / "=1+1.png")
    return Files(several[0], several, folder / "phantom.dcm", folder / "cut.jpeg", folder / "=1+1.png")


@pytest.fixture(scope="module")
def service(quantised: ln.Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two bundles of the tiny training at work; the address. Its pictures are no chests, so the gate only refers."""
    folder = tmp_path_factory.mktemp("served")
    for name in ("tiny", "twin"):
        shutil.copytree(quantised.path, folder / name)
    command = [sys.executable, "-m", "laennec", "serve", str(folder / "tiny"), str(folder / "twin"), "--ui"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--gate", "refer", "--threads", "1"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    lines: list[str] = []
    try:
        for line in process.stderr:
            lines.append(line)
            told = json.loads(line) if line.startswith("{") else {}
            if told.get("event") == "serving":
                break
        else:
            raise AssertionError(f"the service did not start: {lines}")
        threading.Thread(target=lambda: lines.extend(process.stderr or []), daemon=True).start()
        yield told["url"].rstrip("/")
        assert not [name for name in ("cut.jpeg", "1+1", "person1_virus", "phantom0") if name in "".join(lines)]
    finally:
        process.terminate()
        process.wait(timeout=30)


class Seen:
    """A page with all it asked for and complained of."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.said: list[str] = []
        self.asked: list[Any] = []
        self.at_once = self.most = 0
        page.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective))"
        )
        page.on(
            "console", lambda message: self.said.append(message.text) if message.type in {"error", "warning"} else None
        )
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", self._began)
        for end in ("requestfinished", "requestfailed"):
            page.on(end, self._ended)
        page.goto(url + "/")
        page.locator("body[data-ready]").wait_for()

    def _began(self, request: Any) -> None:
        self.asked.append(request)
        if "/predict" in request.url:
            self.at_once += 1
            self.most = max(self.most, self.at_once)

    def _ended(self, request: Any) -> None:
        self.at_once -= "/predict" in request.url

    def drop(self, *paths: Path) -> None:
        """Files dropped as from a folder on the desktop."""
        given = [[path.name, list(path.read_bytes())] for path in paths]
        transfer = self.page.evaluate_handle(
            "given => { const t = new DataTransfer();"
            "for (const [n, b] of given) t.items.add(new File([Uint8Array.from(b)], n)); return t }",
            given,
        )
        for event in ("dragenter", "dragover", "drop"):
            self.page.dispatch_event("#content", event, {"dataTransfer": transfer})
        self.read()

    def read(self) -> None:
        """Until everything in the worklist is read or refused."""
        self.page.locator("#rows [role=option]").first.wait_for()
        self.page.locator(".tier.waiting").wait_for(state="detached")
        self.page.locator(".verdict:not(.waiting)").first.wait_for()

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).first.inner_text())

    def module(self, name: str, code: str, argument: Any = None) -> Any:
        """What `code` answers of a module of the page, `m`, and the argument, `a`."""
        return self.page.evaluate(f"async a => {{ const m = await import('/page/{name}'); {code} }}", argument)

    def check(self) -> None:
        """No complaint, no other host, no file name told."""
        assert not [line for line in self.said if not line.startswith(REFUSED)]
        assert {
            request.url.split("/")[2] for request in self.asked if not request.url.startswith(("data:", "blob:"))
        } == {self.url.split("/")[2]}
        for request in self.asked:
            told = request.url + json.dumps(request.headers)
            assert not re.search(r"cut|1\+1|person|phantom|NORMAL|IM-", told), told
        assert self.most <= 2


Visit = Callable[..., Seen]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, service: str) -> Iterator[Visit]:
    """Opens the page as a visitor with his language, colours and window; every visit is checked at its end."""
    seen: list[Seen] = []

    def open_page(before: Callable[[Any], None] | None = None, **options: Any) -> Seen:
        values = {"locale": "en-GB", "viewport": {"width": 1280, "height": 800}} | options
        context = chromium.new_context(**values)
        context.set_default_timeout(15_000)
        page = context.new_page()
        if before is not None:
            before(page)
        seen.append(Seen(page, service))
        return seen[-1]

    yield open_page
    for one in seen:
        one.check()
        one.page.context.close()


def lit(seen: Seen) -> int:
    """Pixels of the picture on the screen that are coloured."""
    shot = np.asarray(Image.open(io.BytesIO(seen.page.locator(".port canvas").first.screenshot())).convert("RGB"), int)
    return int((shot.max(2) - shot.min(2) > 40).sum())


def test_a_radiograph_is_dropped_and_answered(visit: Visit, files: Files, service: str) -> None:
    seen = visit()
    assert seen.page.locator(".notice").first.is_visible() and "Drop radiographs here" in seen.text("#drop")
    assert "images of 60 patients" not in seen.text("#model-card") and "patients" in seen.text("#model-card")
    seen.drop(files.first)
    post = seen.page.request.post(f"{service}/predict?model=tiny", data=files.first.read_bytes())
    told = post.json()
    review = ", to be reviewed" if told["refer"] else ""
    assert seen.text(".verdict .words") == f"sick: {'positive' if told['positive'] else 'negative'}{review}"
    assert f"{told['score']:.3f}" in seen.text(".scale") and f"{told['threshold']:.3f}" in seen.text(".scale")
    # what is heard is what is read
    assert seen.text(".verdict .words") in seen.page.locator("#live").inner_text()
    assert bool(told["refer"]) == seen.page.locator(".refer").first.is_visible()
    for figure in ("validation images", "sensitivity", "specificity"):
        assert figure in seen.text(".point-figures")

    # layers are switched and weighted; without them the picture is grey
    page = seen.page
    lines = lit(seen)
    page.fill("#slide-opacity-lungs", "100")
    assert lines <= lit(seen), "the lungs are tinted at first"
    page.uncheck("#show-lungs")
    assert lit(seen) == 0
    page.check("#show-map")
    warm = lit(seen)
    page.fill("#slide-opacity-map", "10")
    assert lit(seen) < warm / 4 and warm > 500
    page.uncheck("#show-map")
    shot = page.locator(".port canvas").first.screenshot()
    page.get_by_role("button", name="Invert").click()
    assert page.locator(".port canvas").first.screenshot() != shot
    page.get_by_role("button", name="Reset").click()
    assert page.locator(".port canvas").first.screenshot() == shot

    # the mouse: the wheel zooms, the right button changes the window, a double click fits
    port = page.locator(".port").first
    box = port.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -400)
    playwright.expect(page.locator(".top-right")).not_to_contain_text("Fit")
    page.mouse.down(button="right")
    page.mouse.move(box["x"] + 40, box["y"] + 40, steps=3)
    page.mouse.up(button="right")
    playwright.expect(page.locator(".top-right")).not_to_contain_text("W 256")
    port.dblclick()
    playwright.expect(page.locator(".top-right")).to_contain_text("Fit")


def test_the_threshold_moves_the_decision_on_the_page_alone(visit: Visit, files: Files) -> None:
    seen = visit()
    seen.drop(files.first)
    page = seen.page
    asked = len(seen.asked)
    page.fill("input.threshold", "0")
    assert seen.text(".verdict .words").startswith("sick: positive") and "moved by hand" in seen.text(".verdict")
    playwright.expect(page.locator("#live")).to_contain_text("sick: positive")
    assert "departs from the frozen point" in seen.text(".point-figures")
    assert "positive" in page.locator("input.threshold").get_attribute("aria-valuetext")
    page.fill("input.threshold", "1")
    assert seen.text(".verdict .words").startswith("sick: negative")
    playwright.expect(page.locator("#live")).to_contain_text(
        "below the threshold of 1.000. The threshold was moved by hand."
    )
    playwright.expect(page.locator(".row-verdict").first).to_contain_text("negative")
    page.locator(".point button").click()
    assert "by hand" not in seen.text(".verdict") and page.locator(".pill input:checked").count() == 1
    assert len(seen.asked) == asked


def test_the_page_decides_as_the_service(visit: Visit) -> None:
    """At any threshold, of labels that exclude each other or not, with what stays possible."""
    rng = np.random.default_rng(0)
    cases, expected = [], []
    for number in range(300):
        exclusive = number % 3 > 0
        names = ("A", "B", "C")[: 2 + number % 2]
        labels = LabelSet(names=names, exclusive=exclusive, positive=names[1:] if exclusive else names[1:2])
        chances = rng.dirichlet(np.ones(len(names))) if exclusive else rng.random(len(names))
        threshold = float(rng.choice([rng.random(), chances[1]]))
        classes = conformal.classes(labels)
        rule = Abstention(
            coverage=0.9, least={name: float(rng.random()) for name in classes}, n=dict.fromkeys(classes, 10),
            split_digest="", model_digest="",
        )  # fmt: skip
        table = chances[None]
        score, positive, which = decisions.decide(labels, table, threshold)
        sets = conformal.possible(rule, labels, table)[0]
        # what the service said was decided at another threshold
        said = conformal.uncertain(rule, labels, table, 0.5)[0]
        result = {
            "probabilities": dict(zip(names, chances.tolist(), strict=True)), "score": float(score[0]), "threshold": -1,
            "possible": [name for name, one in zip(classes, sets.tolist(), strict=True) if one],
            "refer": bool(said), "refer_because": ["uncertain"] if said else [],
        }  # fmt: skip
        cases.append([{"labels": names, "positive": labels.positive, "exclusive": exclusive}, result, threshold])
        label = names[which[0]] if which[0] >= 0 else ""
        expected.append([bool(positive[0]), label, bool(conformal.uncertain(rule, labels, table, threshold)[0])])
    got = visit().module(
        "decide.js",
        "return a.map(([model, r, t]) => { const d = m.decided(model, r, t); return [d.positive, d.label, d.refer] })",
        cases,
    )
    assert got == expected


def test_a_worklist_stands_by_urgency(visit: Visit, files: Files, tmp_path: Path) -> None:
    seen = visit()
    seen.drop(*files.several, files.formula, files.broken)
    page = seen.page
    rows = page.locator("#rows [role=option]")
    playwright.expect(rows).to_have_count(6)
    last = rows.last.inner_text()
    assert "cut.jpeg" in last and "damaged" in last
    rows.last.click()
    assert "Not read" in seen.text(".verdict") and "Export it again" in seen.text("#answer")
    assert page.get_by_role("button", name="Try again").count() == 0, "the same file would be judged the same"

    with page.expect_download() as come:
        page.get_by_role("button", name="Worklist (CSV)").click()
    text = Path(come.value.path()).read_text(encoding="utf-8-sig")
    table = list(csv.DictReader(io.StringIO(text)))
    assert [row["rank"] for row in table] == list("123456") and table[-1]["code"] == "corrupt_image"
    assert {row["file"] for row in table} >= {"'=1+1.png", "cut.jpeg"} and "Research use only" in table[0]["notice"]
    read = table[:-1]
    urgency = [(row["refer"] == "yes", row["decision"] == "positive", float(row["score"])) for row in read]
    assert [refer for refer, _, _ in urgency] == sorted((refer for refer, _, _ in urgency), reverse=True)
    for referred in (True, False):
        scores = [score for refer, _, score in urgency if refer is referred]
        assert scores == sorted(scores, reverse=True)
    assert {row["calibrated"] for row in read} == {"no"} and table[-1]["calibrated"] == ""
    assert all(len(row["request_id"]) == 32 and re.match(r"\d{4}-\d\d-\d\dT", row["time"]) for row in table)

    rows.first.click()
    with page.expect_download() as come:
        page.get_by_role("button", name="Answer (JSON)").click()
    answer = json.loads(Path(come.value.path()).read_text())["answers"][0]
    assert answer["model"] == "tiny" and "layers" not in answer and answer["on_the_page"]["by_hand"] is False
    with page.expect_download() as come:
        page.get_by_role("button", name="Picture with overlays (PNG)").click()
    saved = Image.open(come.value.path())
    strip = np.asarray(saved.convert("L"))[max(saved.size[0], 1) :]
    assert max(saved.size) >= 1024 and (strip > 200).sum() > 1000, "no caption under the picture"

    # compared with another model, side by side; the last one read has the lowest score
    rows.nth(4).click()
    page.select_option("#beside", "twin")
    playwright.expect(page.locator(".pane")).to_have_count(2)
    playwright.expect(page.locator(".agreement")).to_contain_text("decide the same")
    page.locator("input.threshold").first.fill("0")
    page.locator("input.threshold").last.fill("1")
    playwright.expect(page.locator(".agreement")).to_contain_text("decide differently")
    page.get_by_role("button", name="Remove all").click()
    assert page.locator("#drop").is_visible()


@pytest.mark.slow
def test_dicom_goes_in_and_comes_out(visit: Visit, files: Files) -> None:
    pytest.importorskip("highdicom", reason="writing DICOM needs the extra dicom-write")
    seen = visit()
    seen.drop(files.dicom)
    assert "DICOM" in seen.text(".top-left")
    with seen.page.expect_download(timeout=30_000) as come:
        seen.page.get_by_role("button", name="DICOM objects (zip)").click()
    with zipfile.ZipFile(come.value.path()) as objects:
        assert "report.dcm" in objects.namelist()


def test_a_busy_service_is_asked_again(visit: Visit, files: Files) -> None:
    turned_away: list[str] = []

    def busy(page: Any) -> None:
        def answer(route: Any) -> None:
            if len(turned_away) == 1:
                route.continue_()
                return
            turned_away.append(route.request.url)
            error = {"error": {"code": "overloaded", "message": "", "hint": ""}}
            route.fulfill(status=503, headers={"Retry-After": "1"}, json=error)

        page.route("**/predict*", answer)

    seen = visit(busy)
    with seen.page.expect_request("**/predict*"):
        seen.page.set_input_files("#files", files.first)
    playwright.expect(seen.page.locator("#status")).to_contain_text("busy")
    seen.read()
    assert "sick" in seen.text(".verdict") and not seen.page.locator("#status").is_visible()
    seen.said = [line for line in seen.said if "503" not in line]


def altered(address: str, change: Callable[[Any], Any], status: int = 200) -> Callable[[Any], None]:
    """What the service answers at an address, changed on its way to the page."""

    def answer(route: Any) -> None:
        response = route.fetch()
        told = change(response.json())
        route.fulfill(status=status if "error" in told else response.status, json=told)

    return lambda page: page.route(address, answer)


def test_what_a_person_should_decide_stands_first(visit: Visit, files: Files) -> None:
    """The referral before the verdict, strangeness and heat in words, who drew the lungs, and the data's own notes."""
    area = {"share": 0.2, "square_centimetres": None}
    doubts = {
        "refer": True, "refer_because": ["unlike"], "strangeness": 1.02, "doubt": "", "lungs_by": "model",
        "map_inside_lungs": 0.3, "lungs": {"share": 0.4, "right": area, "left": area, "doubt": ""},
    }  # fmt: skip

    def known(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
        points = models[0]["operating_points"]
        points["rule_out"] = points["balanced"] | {"sensitivity": 0.5}
        points["balanced"]["sensitivity"] = 0.6
        models[0] |= {"calibrated": True, "novelty_level": 0.99}
        models[0]["trained_on"] |= {"notes": ["The <b>labels</b> are one reader’s."]}
        return models

    def before(page: Any) -> None:
        altered("**/models", known)(page)
        altered("**/predict*", lambda told: told | doubts | {"score": 0.99934})(page)

    seen = visit(before)
    assert "Notes on these data:" in seen.text("#model-card")
    seen.drop(files.first)
    page = seen.page
    boxes = page.locator(".reading > .refer, .reading > .verdict")
    assert boxes.first.get_attribute("class") == "refer"
    sizes = [
        box.evaluate("node => parseFloat(getComputedStyle(node).fontSize)") for box in boxes.locator(".words").all()
    ]
    assert sizes[0] > sizes[1] and "positive, to be reviewed" in seen.text(".verdict .words")
    assert "than 99% of the validation pictures do (1.02; limit 1)" in seen.text(".refer")
    assert "99.93%" in seen.text(".scale") and "Move the threshold (all pictures)" in seen.text(".scale")
    assert "Mostly outside the lungs (30% inside): distrust this answer." in seen.text(".reading > .warned")
    assert "the heart shadow is counted in" in seen.text(".lungs")
    assert "The <b>labels</b> are one reader’s." in seen.text(".facts .notes")
    assert "more" not in seen.text(".point-figures")
    page.locator("input[value=rule_out]").check()
    assert "On this model this point misses more than Balanced." in seen.text(".point-figures")
    page.check("#show-map")
    assert "Mostly outside" in seen.text(".bottom-left") and "1 positive (1 to review)" in seen.text("#tally")

    # on paper: when, by what, all details, no button; in French the words of the same
    page.click("#language")
    page.emulate_media(media="print")
    playwright.expect(page.locator("#paper-line")).to_contain_text(re.compile("tiny · empreinte [0-9a-f]{12} · seuil"))
    assert page.locator(".facts details dl").is_visible() and not page.locator("button:visible").count()
    assert "positif, à revoir" in seen.text(".verdict .words")
    assert "en manque plus que le seuil «" in seen.text(".point-figures")
    page.emulate_media(media="screen")
    playwright.expect(page.locator(".facts details dl")).not_to_be_visible()
    assert not page.locator("#paper-line").is_visible()


def test_a_refusal_asks_for_no_other_exposure(visit: Visit, files: Files) -> None:
    """The gate's words as they are, translated where they are known, and no second try at what cannot change."""
    message = "this is no chest radiograph: the greys are not those of a chest"
    error = {"error": {"code": "not_chest", "message": message, "hint": ""}, "request_id": "0" * 32}
    seen = visit(altered("**/predict*", lambda told: error, 422))
    seen.drop(files.first, files.broken)
    page = seen.page
    assert (
        "Not recognised as a frontal chest radiograph: the greys are not those of a chest. Not read; "
        "this says nothing about the patient." in seen.text(".verdict")
    )
    assert seen.text(".mend") == "Choose a file with a frontal chest radiograph."
    assert page.get_by_role("button", name="Try again").count() == 0
    page.click("#language")
    assert ": les gris ne sont pas ceux d’un thorax. Non lue" in seen.text(".verdict").replace("\u00a0:", ":")
    assert "un thorax de face" in seen.text(".mend")
    with page.expect_download() as come:
        page.get_by_role("button", name="Liste (CSV)").click()
    table = list(csv.reader(io.StringIO(Path(come.value.path()).read_text(encoding="utf-8-sig")), delimiter=";"))
    assert {len(row) for row in table} == {len(table[0])} and table[1][table[0].index("request_id")] == "0" * 32
    assert seen.module("decide.js", "return m.table([[0.5, 'a;b', '=1', null]], ',')") == '0,5;"a;b";\'=1;\r\n'
    page.emulate_media(media="print")
    playwright.expect(page.locator("#paper-list tbody tr")).to_have_count(2)
    page.emulate_media(media="screen")
    words = seen.module("refusals.js", "return JSON.stringify(m.REFUSALS)")
    assert not re.search(r"\bTake\b|\bPrenez\b", words)


def test_the_gates_reasons_are_known_in_french(visit: Visit) -> None:
    known = visit().module("refusals.js", "return m.DOUBTS")
    said = [(change[1].en, change[1].fr) for change in standing._CHANGES] + list(standing._REASONS.items())
    assert len(said) >= 7 and {english: known.get(english) for english, _ in said} == dict(said)


def test_an_archive_is_to_be_unpacked_first(visit: Visit, files: Files, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as made:
        made.write(files.first, "one.png")
    seen = visit()
    seen.page.set_input_files("#files", tmp_path / "many.zip")
    playwright.expect(seen.page.locator("#status")).to_contain_text("unpack it first")
    assert seen.page.locator("#drop").is_visible()
    seen.drop(files.first, tmp_path / "many.zip")
    assert seen.page.locator("#rows [role=option]").count() == 1 and "unpack" in seen.text("#status")


def test_how_to_read_it_is_told(visit: Visit) -> None:
    seen = visit()
    seen.page.click("#help")
    assert seen.page.locator("#keys .how li").count() == 6 and "research" in seen.text("#keys .how")
    assert seen.page.locator("#keys kbd").count() > 10


def names_missing(tree: str) -> list[str]:
    """Controls of an accessibility tree that have no name."""
    kinds = (
        "button|link|checkbox|radio|slider|combobox|listbox|option|textbox|img|application|article|region|progressbar"
    )
    return re.findall(rf"^\s*- (?:{kinds})(?! \")[^\n]*$", tree, re.MULTILINE)


def test_the_keyboard_alone_is_enough(visit: Visit, files: Files) -> None:
    seen = visit()
    page = seen.page
    assert names_missing(page.locator("body").aria_snapshot()) == []
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the pictures"
    passed = []
    for _ in range(12):
        page.keyboard.press("Tab")
        passed.append(page.locator(":focus").evaluate("node => node.id || node.dataset.pick || ''"))
        if passed[-1] == "folder":
            break
    assert passed == ["model", "beside", "language", "theme", "help", "files", "folder"]
    page.set_input_files("#files", [files.first, files.several[2], files.broken])
    seen.read()
    assert page.locator(":focus").get_attribute("role") == "listbox"
    page.keyboard.press("End")
    playwright.expect(page.locator("[aria-selected=true]")).to_contain_text("cut.jpeg")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")

    def share() -> int:
        found = re.search(r"(\d+)\s?%", seen.text(".top-right"))
        assert found is not None
        return int(found[1])

    chosen = page.locator("#rows").get_attribute("aria-activedescendant")
    assert page.locator(f"#{chosen}").get_attribute("aria-selected") == "true"
    page.locator(".verdict.positive, .verdict.negative").first.wait_for()
    tree = page.locator("body").aria_snapshot()
    assert names_missing(tree) == [] and "banner" in tree and "main" in tree

    page.keyboard.press("Tab")
    while page.locator(":focus").get_attribute("role") != "application":
        page.keyboard.press("Tab")
    fitted = share()
    assert "Fit" in seen.text(".top-right")
    for key in ("+", "ArrowLeft", "i", "h", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert share() == pytest.approx(1.25 * fitted, abs=1) and "W 264" in seen.text(".top-right")
    assert page.locator("#show-map").is_checked()
    page.keyboard.press("r")
    assert "Fit" in seen.text(".top-right") and share() == fitted
    while "threshold" not in (page.locator(":focus").get_attribute("class") or ""):
        page.keyboard.press("Tab")
    outline = page.locator(":focus").evaluate("node => node.matches(':focus-visible')")
    page.keyboard.press("End")
    assert outline and "negative" in seen.text(".verdict .words") and "by hand" in seen.text(".verdict")


def test_french_on_a_phone(visit: Visit, files: Files) -> None:
    seen = visit(locale="fr-FR", viewport={"width": 360, "height": 740}, has_touch=True, color_scheme="dark")
    page = seen.page
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= 360 and page.locator("html").get_attribute("lang") == "fr"
    assert "Déposez des radiographies ici" in seen.text("#drop")
    seen.drop(files.first, files.broken)
    assert page.evaluate(wide) <= 360
    assert "Score" in seen.text(".scale") and re.search(r"0,\d{3}", seen.text(".scale"))
    assert "sick\u00a0: " in seen.text(".verdict .words")
    page.evaluate("scrollTo(0, 900)")
    assert page.locator(".notice").first.is_visible() and "Réservé à la recherche" in seen.text(".notice")
    box = page.locator(".notice").first.bounding_box()
    assert 0 <= box["y"] < 60, "what it is for is out of sight where the answer is read"
    page.select_option("#beside", "twin")
    playwright.expect(page.locator(".pane")).to_have_count(2)
    assert page.evaluate(wide) <= 360
    page.click("#language")
    assert "Worklist" in seen.text("#list-title") and page.locator("html").get_attribute("lang") == "en"
    page.reload()
    page.locator("body[data-ready]").wait_for()
    assert page.locator("html").get_attribute("lang") == "en"


def test_words_are_whole_in_both_languages(visit: Visit) -> None:
    seen = visit()
    words = seen.module("words.js", "return m.WORDS")
    refusals = seen.module("refusals.js", "return m.REFUSALS")
    pairs = list(words.items()) + [(code, pair) for code, both in refusals.items() for pair in both]
    for key, pair in pairs:
        english, french = pair
        assert english and french and set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", french)), key
        assert "'" not in english + french, f"{key}: a straight apostrophe"
    code = "".join(path.read_text() for path in PAGE.glob("*.js") if path.name not in {"words.js", "refusals.js"})
    code += (PAGE / "index.html").read_text()
    for key in words:
        stem = re.sub(r"\.(one|other)$", "", key)
        parts = stem.split(".")
        spelled = any(f'"{text}"' in code for text in (key, stem))
        templates = [f"{'.'.join(parts[:at])}.${{" for at in range(1, len(parts))]
        assert spelled or any(template in code for template in templates), f"no one says '{key}'"
    for used in re.findall(r"\b(?:t|counted)\(\"([\w.]+)\"|data-t=\"([\w.]+)\"", code):
        key = "".join(used)
        assert key in words or f"{key}.one" in words, f"no words for '{key}'"
    documented = re.search(r"\| 422 \|([^\n]*)\|", (ROOT / "docs" / "serving.md").read_text())
    assert documented is not None
    codes = set(re.findall(r"`(\w+)`", documented[1])) - {"corrupt_archive"}
    assert codes | {"stalled", "no_space"} <= set(refusals)
    final, passing = seen.module("refusals.js", "return [[...m.FINAL], [...m.PASSING]]")
    assert codes - {"timeout", "decoder_died"} <= set(final) and not set(final) & set(passing)


def channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def contrast(one: str, other: str) -> float:
    """Of two colours, by WCAG 2.2."""

    def light(colour: str) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels(colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_stands_out_in_both_colour_schemes() -> None:
    style = (PAGE / "style.css").read_text()
    schemes = [
        dict(re.findall(r"--([\w-]+): (#\w{6});", part))
        for part in re.findall(r"\{([^{}]*)\}", style)
        if "--paper:" in part
    ]
    light, dark, forced = schemes
    assert dark == forced, "the dark scheme is written twice, and must be the same"
    pairs = [
        *((text, ground) for text in ("ink", "muted") for ground in ("paper", "card", "hover", "chosen")),
        *((f"{kind}", f"{kind}-paper") for kind in ("positive", "negative", "refer")),
        *((kind, ground) for kind in ("positive", "negative", "refer") for ground in ("card", "chosen", "hover")),
        ("on-accent", "accent"), ("refused", "paper"), ("accent", "card"),
    ]  # fmt: skip
    for scheme in (light, light | dark):
        for text, ground in pairs:
            assert contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground)
        for line in ("edge", "accent"):
            assert contrast(scheme[line], scheme["card"]) >= 3, line
    assert (light["right"], light["left"]) == ("#56b4e9", "#e69f00")


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"<style|style=|\son\w+=\"|javascript:|@import|setAttribute\(\"style|innerHTML|\beval\(", text
        ), path.name
        for address in re.findall(r"https?://[^\s\"']+", text):
            assert address == "http://www.w3.org/2000/svg", f"{path.name} names {address}"
        assert len(text.splitlines()) <= 400, path.name
