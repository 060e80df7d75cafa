"""Pages stand alone, speak both languages, and trust nothing that comes from data."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import string
from functools import cache
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from laennec import plots
from laennec.costs import Consumption, EnergyReading, Grid, quoted
from laennec.labels import LabelSet
from laennec.metrics import judge
from laennec.page import comparison_page, comparison_text, report_page, report_text
from laennec.page.comparison_plots import quality_against
from laennec.page.voice import Voice
from laennec.page.words import WORDS
from laennec.results import Comparison, ComparisonRow, Epoch, OperatingPoint, Refused, Report

EVIL = "<script>alert(1)</script>\"'&.png"
DIGEST = "ab" * 32
VOID = {"meta", "input", "img", "br", "link", "hr"}
ENGLISH = {key: pair[0] for key, pair in ((k, WORDS[f"plot.{k}"]) for k in plots.WORDS)}


def made_report(n: int = 60, names: tuple[str, ...] = ("normal", "pneumonia"), **changes: object) -> Report:
    random = np.random.default_rng(0)
    named = random.integers(0, len(names), n)
    raw = random.random((n, len(names))) + 0.6 * np.eye(len(names))[named]
    ids = [EVIL, *(f"i{i}" for i in range(1, n))][:n]
    if n:
        raw[0] = 2.0 - np.eye(len(names))[named[0]]  # the hostile one is an error, so that it is shown
    labels = LabelSet(names=names, positive=names[1:])
    chances = raw / raw.sum(axis=1, keepdims=True)
    judged = judge(labels, np.eye(len(names))[named], chances, [f"p{i // 2}" for i in range(n)], ids, 0.5)
    point = OperatingPoint(
        rule="balanced", threshold=0.5, sensitivity=0.9, specificity=0.8, n=40, split_digest=DIGEST, model_digest=DIGEST
    )
    told = {
        "model": "a-model", "bundle_digest": DIGEST, "backend": "onnxruntime", "precision": "int8",
        "collection": "a set", "collection_digest": DIGEST, "licence": "CC BY 4.0",
        "citation": "see https://example.org/<i>", "split_digest": DIGEST, "split_how": "by patient", "part": "test",
        "refused": (Refused(id="<b>bad</b>", code="corrupt_image", reason="ends <early>"),),
        "operating_point": point, "notes": ("<img src=https://evil.example/x>",), "made": "2025-01-02T03:04:05",
        "hardware": "a machine", "laennec": "0.0.0",
    }  # fmt: skip
    return Report(**{**told, **vars(judged), **changes})


def thumbnail() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (16, 16), 90).save(stream, "PNG")
    return stream.getvalue()


HISTORY = [
    Epoch(
        phase="head" if i < 2 else "all", epoch=i, learning_rate=1e-3, train_loss=1 / (i + 1), val_loss=1.1 / (i + 1),
        val_auroc=None if i == 0 else 0.9, val_accuracy=0.8, seconds=1, best=i == 3,
    )
    for i in range(5)
]  # fmt: skip


def made_comparison(rows: int = 3) -> Comparison:
    metrics = made_report().metrics
    grid = Grid(place="FR", intensity=56.0, year=2023, source="a table")
    threads = EnergyReading(
        meter="processor", kind="modelled", covers="processor", device="threads", method="<b>by hand</b>", error=0.75,
        joules=36.0, seconds=1.0,
    )  # fmt: skip
    used = [Consumption(readings=(threads.scaled(3.0**-i),), grid=grid) for i in range(rows)]
    return Comparison(
        part="val", collection="a set", images=60, patients=30, threads=2, hardware="a machine", made="2025-01-02",
        laennec="0.0.0",
        rows=tuple(
            ComparisonRow(
                name=EVIL if i == 1 else f"model {i}", bundle_digest=DIGEST, backend="onnxruntime", precision="int8",
                parameters=None if i else 7_000_000, megabytes=8.0 * (i + 1), metrics=metrics, threshold=0.5,
                nonzero=None if i else 3_500_000, operations=None if i else 8_000_000_000,
                latency_p50=5.0 * 4**i, latency_p95=6.0 * 4**i, throughput=100.0, speedup=1.0,
                inference=used[i], **quoted(used[i], 0.8), energy_saved=1 - 3.0**-i if i else None,
                against_first={"auroc_delong": 0.0004, "decisions_mcnemar": 0.5, "flipped": 0.02} if i else {},
            )
            for i in range(rows)
        ),
    )  # fmt: skip


@cache
def page(kind: str) -> str:
    report = made_report()
    if kind == "report":
        return report_page(report, history=HISTORY, thumbnails={EVIL: thumbnail(), "i5": b"not a picture"})
    if kind == "three":
        return report_page(made_report(names=("normal", "bacterial", "viral"), part="val"), language="fr")
    if kind == "empty":
        return report_page(made_report(n=0))
    return comparison_page(made_comparison())


class Parsed(HTMLParser):
    """Balanced tags, attributes and visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


KINDS = ["report", "three", "empty", "comparison"]


@pytest.mark.parametrize("kind", KINDS)
def test_page_stands_alone(kind: str) -> None:
    text = page(kind)
    parsed = Parsed(text)
    assert text.startswith("<!doctype html>")
    allowed_tags = {tag for tag, _ in parsed.tags}
    assert not allowed_tags & {"script", "link", "iframe", "object", "embed", "base", "form", "i", "foreignobject"}
    for tag, attributes in parsed.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", tag
            if name in ("src", "href", "xlink:href", "srcset", "action", "poster", "data"):
                assert value.startswith(("#", "data:image/png;base64,")), (tag, name, value[:60])
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_policy_fits_the_page(kind: str) -> None:
    text = page(kind)
    (policy,) = [m["content"] for m in Parsed(text).all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == directives["script-src"] == directives["form-action"] == "'none'"
    assert directives["img-src"] == "data:"
    styles = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    (style,) = styles
    assert directives["style-src"] == f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
    assert "unsafe" not in policy


@pytest.mark.parametrize("kind", KINDS)
def test_page_is_accessible(kind: str) -> None:
    parsed = Parsed(page(kind))
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = re.findall(r'(?:url\(#|href="#)([^)"]+)', page(kind))
    assert set(targets) <= set(ids)
    assert all(image.get("alt") for image in parsed.all("img"))
    assert all(cell.get("scope") in ("row", "col") for cell in parsed.all("th"))
    assert all(svg.get("role") == "img" and svg.get("aria-label") for svg in parsed.all("svg"))
    assert len(parsed.all("h1")) == 2  # one per language, of which one is shown
    assert [radio["lang"] for radio in parsed.all("input")] == ["en", "fr"]
    assert {label["for"] for label in parsed.all("label")} == {radio["id"] for radio in parsed.all("input")}
    shown = [radio["lang"] for radio in parsed.all("input") if "checked" in radio]
    assert shown == [parsed.all("html")[0]["lang"]] == ["fr" if kind == "three" else "en"]


@pytest.mark.parametrize("kind", KINDS)
def test_page_says_what_it_is_not(kind: str) -> None:
    text = page(kind)
    for sentence in WORDS["research"]:
        assert text.count(sentence) == 2  # at the top and at the foot


def test_hostile_ids_are_text() -> None:
    for kind in ("report", "comparison"):
        parsed = Parsed(page(kind))
        assert "<script" not in page(kind)
        assert any(EVIL in words for words in parsed.words)
    images = Parsed(page("report")).all("img")
    assert len(images) == 2
    assert all(EVIL in image["alt"] for image in images)
    hostile = made_report(names=("<svg onload=alert(1)>", '"><script>', "$\\frac{{x}$"))
    assert Parsed(report_page(hostile)).all("script") == []


def test_page_tells_the_counts() -> None:
    report = made_report()
    positives = sum(report.truths.values())
    missed = sum(report.scores[k] < 0.5 for k, t in report.truths.items() if t)
    words = " ".join("".join(Parsed(page("report")).words).split())
    assert f"Of {positives} radiographs with pneumonia it found {positives - missed} and missed {missed}." in words
    assert f"Sur {positives} radiographies avec pneumonia, il en a reconnu {positives - missed}" in words
    assert "60 images come from 30 patients" in words
    assert "Training curves" in words
    assert "Measured on the validation part" in " ".join(Parsed(page("three")).words)
    assert "Training curves" not in page("three")


def test_both_languages_have_every_key() -> None:
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for key, pair in WORDS.items():
        assert len(pair) == 2, key
        assert all(part.strip() for part in pair), key
        assert fields(pair[0]) == fields(pair[1]), key
        assert pair[0].count("<strong>") == pair[1].count("<strong>"), key
    assert {f"plot.{key}" for key in plots.WORDS} == {key for key in WORDS if key.startswith("plot.")}


def test_french_numbers() -> None:
    voice = Voice("fr")
    assert voice.number(0.9534) == "0,953"
    assert voice.count(12_345) == "12\u202f345"
    assert voice.percent(0.953) == "95,3\u00a0%"
    assert Voice("en").count(12_345) == "12,345"
    assert Voice("en").p(0.0001).replace("\u00a0", " ") == "< 0.001"
    assert str(voice("found", with_n=1, hits=1, missed=0, finding="<b>")).count("&lt;b&gt;") == 1


def drawn() -> dict[str, str]:
    report, words = made_report(), ENGLISH
    return {
        "roc": plots.roc_curve(report, words),
        "precision_recall": plots.precision_recall_curve(report, words),
        "reliability": plots.reliability_diagram(report, words),
        "confusion": plots.confusion_matrix(report, words),
        "scores": plots.score_histogram(report, words),
        "training": plots.training_curves(HISTORY, words),
        "time": quality_against(made_comparison(), "time", Voice("en")),
        "energy": quality_against(made_comparison(), "energy", Voice("fr")),
    }


def test_plots_are_clean_and_deterministic() -> None:
    first, second = drawn(), drawn()
    for name, svg in first.items():
        assert svg == second[name], name
        root = ET.fromstring(svg)  # noqa: S314
        assert root.tag.endswith("svg")
        assert "viewBox" in root.attrib
        assert "width" not in root.attrib
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert "text" in tags, name
        assert not tags & {"style", "script", "metadata", "image"}
        assert not any("style" in element.attrib for element in root.iter())
        ids = {element.attrib["id"] for element in root.iter() if "id" in element.attrib}
        used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
        assert used == ids
    everything = re.findall(r' id="([^"]*)"', "".join(first.values()))
    assert len(everything) == len(set(everything))


def test_one_plot_twice_on_a_page() -> None:
    report = made_report()
    once, again = (set(re.findall(r' id="([^"]*)"', plots.roc_curve(report, ENGLISH, key=k))) for k in ("a", "b"))
    assert once
    assert not once & again


def test_plots_of_nothing() -> None:
    report = made_report(n=0)
    for draw in (plots.roc_curve, plots.precision_recall_curve, plots.reliability_diagram):
        assert "not enough images" in draw(report, ENGLISH)
    assert "<svg" in plots.score_histogram(report, ENGLISH)
    assert "<svg" in plots.confusion_matrix(report, ENGLISH)
    assert "not enough images" in plots.confusion_matrix(report.model_copy(update={"confusion": ()}), ENGLISH)
    assert "not enough images" in plots.training_curves([], ENGLISH)
    assert "not enough images" in quality_against(made_comparison(rows=0), "energy", Voice("en"))


@pytest.mark.parametrize("renderable", [report_text(made_report()), comparison_text(made_comparison())])
def test_terminal_at_80_columns(renderable: object) -> None:
    stream = io.StringIO()
    Console(file=stream, width=80, color_system=None).print(renderable)
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "Research use only" in text
    assert "<script>" in text  # a terminal runs no HTML, and no markup of ours is read from it


def test_rich_markup_in_an_id_is_text() -> None:
    report = made_report(refused=(Refused(id="[red]x[/red]", code="empty", reason="empty"),))
    stream = io.StringIO()
    Console(file=stream, width=80, color_system=None).print(report_text(report))
    assert "[red]x[/red]" in stream.getvalue()
