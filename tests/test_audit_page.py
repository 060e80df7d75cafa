"""The page of an audit: every verdict, figure and suspect shown or counted, in both languages, and nothing but text."""

from __future__ import annotations

import ast
import io
import itertools
import re
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import laennec
from laennec.checks import VERDICTS, Audit, Chart, Check, Line, Suspect, Table, Verdict
from laennec.estimates import Estimate
from laennec.page import audit_page, audit_text, own_picture, suspects_pictured
from laennec.page.audit import LISTED, PICTURED
from laennec.page.checked import SYMBOLS, cell, ordered, written
from laennec.page.html import picture_uri
from laennec.page.voice import Voice
from laennec.page.words import WORDS
from laennec.results import Refused
from laennec.wording import Text, tell
from test_page import DIGEST, EVIL, Parsed, thumbnail

EN, FR = Voice("en"), Voice("fr")


def suspects(n: int, beside: int = 0) -> tuple[Suspect, ...]:
    return tuple(
        Suspect(
            id=f"s{i:04}", beside=tuple(f"other:s{i:04}b{k}" for k in range(beside)), kind=("exact", "near")[i % 2],
            why=tell("likeness {v:.3f}", "ressemblance {v:.3f}", v=1 - i / 1000), value=1 - i / 1000,
        )
        for i in range(n)
    )  # fmt: skip


def made_check(name: str, verdict: Verdict, **changes: Any) -> Check:
    told: dict[str, Any] = {
        "name": name, "title": Text(en=f"Check {name}", fr=f"Contrôle {name}"), "seconds": 1.25, "verdict": verdict,
        "said": (Text(en=f"{name} in short", fr=f"{name} en bref"), Text(en=f"{name} at length", fr=f"{name} en long")),
        "method": Text(en=f"how {name}", fr=f"comment {name}"),
    }  # fmt: skip
    return Check(**(told | changes))


CURVES = Chart(
    title=Text(en="Fall", fr="Chute"), x=Text(en="severity", fr="degré"), y=Text(en="score", fr="note"), level=0.5,
    lines=(
        Line(name=Text(en="blur", fr="flou"), points=((0, 0.9), (1, 0.712)), bounds=((0.85, 0.95), (0.6, 0.8))),
        Line(name=Text(en="noise", fr="bruit"), points=((0, 0.9), (1, 0.833))),
    ),
)  # fmt: skip
ROWS = Table(
    title=Text(en="Groups", fr="Groupes"),
    head=(Text(en="Group", fr="Groupe"), Text(en="AUROC", fr="AUROC"), Text(en="Images", fr="Images")),
    rows=(
        (Text(en="women", fr="femmes"), Estimate(value=0.9127, low=0.8811, high=0.9412, n=300), 1234),
        ("<b>men</b>", Estimate(value=None, n=0), None),
    ),
)


def made_audit(of: str = "data", **changes: Any) -> Audit:
    checks = (
        made_check("first", "pass"),
        made_check("twins", "fail", suspects=suspects(230, beside=2), figures={"pairs": Estimate(value=230, n=5840)}),
        made_check("shift", "warn", charts=(CURVES,), tables=(ROWS,)),
        made_check("absent", "skipped", method=Text(en="", fr="")),
        made_check(
            "odd", "note", suspects=(Suspect(id=EVIL, why=Text(en=EVIL, fr=EVIL)),), said=(Text(en=EVIL, fr=EVIL),),
            figures={"share": Estimate(value=0.0417, low=0.0312, high=0.0543, n=5840, method="wilson")},
        ),
    )  # fmt: skip
    told: dict[str, Any] = {
        "of": of, "name": "a <set>", "collection": "a set", "collection_digest": DIGEST, "split_digest": DIGEST,
        "split_how": "by patient", "positive": ("pneumonia",), "images": 5840, "patients": 3000, "checks": checks,
        "refused": (Refused(id="<b>bad</b>", code="corrupt_image", reason="ends <early>"),), "seconds": 61.7,
        "made": "2025-01-02T03:04:05", "hardware": "a machine", "laennec": "0.0.0",
    }  # fmt: skip
    if of == "model":
        told |= {"part": "val", "bundle_digest": DIGEST}
    return Audit(**(told | changes))


def picture(kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((16, 16), 90, np.uint8)).save(stream, kind)
    return stream.getvalue()


@cache
def page(of: str, language: Any = "en") -> str:
    audit = made_audit(of)
    return audit_page(audit, pictures=dict.fromkeys(suspects_pictured(audit), picture()), language=language)


def tongue(text: str, lang: str) -> str:
    """What one language says, spaces made plain."""
    half = text.split('<div class="tongue" lang="fr">')[lang == "fr"]
    half = half.split('<div class="tongue" lang="en">')[-1]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", half)).split())


KINDS = [("data", "en"), ("model", "fr")]


@pytest.mark.parametrize(("of", "language"), KINDS)
def test_page_keeps_the_rules_of_all_pages(of: str, language: str) -> None:
    text = page(of, language)
    parsed = Parsed(text)
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in parsed.tags:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/jpeg;base64,")), tag
    assert "default-src 'none'" in unescape(text)
    assert not re.search(r"url\((?!#)", text)
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text)) <= set(ids)
    assert all(one.get("scope") in ("row", "col") for one in parsed.all("th"))
    for drawing in parsed.all("svg"):
        assert drawing.get("aria-hidden") == "true" or (drawing["role"] == "img" and drawing["aria-label"])
    assert [radio["lang"] for radio in parsed.all("input") if "checked" in radio] == [language]
    for sentence in WORDS["research"]:
        assert text.count(sentence) == 2


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_every_verdict_sentence_and_title_is_told(lang: str) -> None:
    words, audit = tongue(page("data"), lang), made_audit()
    for check in audit.checks:
        assert words.count(check.title.in_(lang)) >= 2  # at a glance, and on top of its section
        for sentence in (*check.said, check.method):
            assert " ".join(sentence.in_(lang).split()) in words
        assert WORDS[f"audit.verdict.{check.verdict}"][lang == "fr"] in words
        assert SYMBOLS[check.verdict] in words
    assert set(SYMBOLS) == set(get_args(Verdict)) == {key[14:] for key in WORDS if key.startswith("audit.verdict.")}
    other = {"en": "en bref", "fr": "in short"}[lang]
    assert other not in words


def test_worst_comes_first() -> None:
    order = [VERDICTS.index(check.verdict) for check in ordered(made_audit())]
    assert order == sorted(order, reverse=True)
    words, place = tongue(page("data"), "en"), 0
    for name in ("In short", "The checks at a glance", "twins at length", "shift at length", "absent at length"):
        place = words.index(name, place)
    levels = re.findall(r"<h([123])", page("data"))
    assert levels[0] == "1"
    assert all(int(after) <= int(before) + 1 for before, after in itertools.pairwise(levels))


def test_every_figure_of_tables_charts_and_checks_is_written() -> None:
    english, french = tongue(page("data"), "en"), tongue(page("data"), "fr")
    for figure in ("0.913", "0.881 –\u2060 0.941", "1,234", "0.712", "0.600 –\u2060 0.800", "0.833", "0.042", "5,840"):
        assert figure in english, figure
    for figure in ("0,913", "0,881 –\u2060 0,941", "1 234", "0,712", "0,042", "5 840"):
        assert figure in french, figure
    assert "women" in english and "femmes" in french
    assert page("data").count('aria-label="Fall"') == page("data").count('aria-label="Chute"') == 1


def test_every_suspect_is_shown_or_counted() -> None:
    words, audit = tongue(page("data"), "en"), made_audit()
    twins = audit.check("twins")
    assert twins is not None
    assert "Images pointed at: 230" in words
    assert "By kind: exact 115, near 115." in words
    assert f"List of the images ({LISTED} of 230)" in words
    assert "30 more stand in suspects.csv" in words
    for place, one in enumerate(twins.suspects):
        assert words.count(one.id + " ") >= (2 if place < PICTURED else 1 if place < LISTED else 0), one.id
    keys = suspects_pictured(audit)
    assert keys[:3] == ["s0000", "other:s0000b0", "other:s0000b1"]
    assert len(keys) == len(set(keys)) == 3 * PICTURED + 1
    assert len(Parsed(page("data")).all("image")) == len(keys)  # once, though both languages show them
    assert len(Parsed(page("data")).all("use")) >= 2 * len(keys)


def test_kinds_of_suspects_are_told_in_words() -> None:
    assert "Par nature : mêmes octets (115), presque identique (115)." in tongue(page("data"), "fr")
    known = Suspect(id="a", kind="cropped", why=Text(en="", fr=""))
    strange = Suspect(id="b", kind="of-tomorrow", why=Text(en="", fr=""))
    text = tongue(audit_page(made_audit(checks=(made_check("x", "warn", suspects=(known, strange)),))), "fr")
    assert "tronquée (1), of-tomorrow (1)" in text and "cropped" not in text


def test_every_kind_that_audits_and_probes_give_has_words() -> None:
    kinds = {"exact", "pixels", "near"}  # of `likeness.Twins`
    root = Path(laennec.__file__).parent
    for path in (*(root / "audits").glob("*.py"), *(root / "probes").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_KINDS":
                kinds |= {one.value for one in getattr(node.value, "keys", ()) if isinstance(one, ast.Constant)}
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Suspect":
                told = [one.value for one in node.keywords if one.arg == "kind"]
                kinds |= {one.value for one in told if isinstance(one, ast.Constant)}
    assert {"lateral", "corner", "patient"} <= kinds
    assert {f"suspect.{kind}" for kind in kinds} <= set(WORDS)


def test_every_method_of_an_interval_has_words() -> None:
    named = set(re.findall(r"``(\w+)``", (Estimate.__doc__ or "").split("method:")[1]))
    assert named >= {"delong", "wilson", "mover", "patient_bootstrap", "image_bootstrap"}
    assert {f"method.{name}" for name in named} <= set(WORDS)
    figures = {name: Estimate(value=0.5, low=0.4, high=0.6, n=9, method=name) for name in (*sorted(named), "a_new_one")}
    text = tongue(audit_page(made_audit(checks=(made_check("x", "pass", figures=figures),))), "fr")
    assert "bootstrap par image" in text and "a new one" in text and "_bootstrap <" not in text


@pytest.mark.parametrize(
    ("part", "en", "fr"),
    [
        ("val", "on which the epoch was chosen, the thresholds were set", "qui a servi à choisir l’époque"),
        ("train", "the model learned these very images", "le modèle a appris ces images mêmes"),
        ("test", "no longer an untouched test", "n’est plus un test intact"),
    ],
)
def test_an_audit_says_what_its_part_was_used_for(part: str, en: str, fr: str) -> None:
    audit = made_audit("model", part=part, checks=())
    text = audit_page(audit)
    assert en in tongue(text, "en") and fr in tongue(text, "fr")
    assert "flatter" not in tongue(audit_page(made_audit("data", checks=())), "en")
    stream = io.StringIO()
    Console(file=stream, width=80, color_system=None).print(audit_text(audit))
    assert (en in " ".join(stream.getvalue().split())) == (part != "test")


def test_a_suspect_without_a_picture_is_listed() -> None:
    audit = made_audit()
    for data in (b"", b"<svg>"):
        text = audit_page(audit, pictures=dict.fromkeys(suspects_pictured(audit), data))
        assert Parsed(text).all("image") == []
        assert "s0000" in tongue(text, "fr")
    partner = audit_page(audit, pictures={"other:s0000b0": picture(), "s0001": picture("PNG")})
    assert len(Parsed(partner).all("use")) == 2 + len(re.findall(r'href="#p', partner.replace("#picture-", "#q")))


def test_nothing_from_data_is_markup() -> None:
    for of, language in KINDS:
        parsed = Parsed(page(of, language))
        assert "<script" not in page(of, language)
        assert any(EVIL in words for words in parsed.words)
        assert "<b>men</b>" in tongue(page(of, language), "en")


@pytest.mark.parametrize(
    ("verdicts", "sentence", "phrase"),
    [
        (("fail", "pass"), "One check of 2 found something that must be fixed", "Un contrôle sur 2"),
        (("fail", "fail", "warn"), "2 of 3 checks found something", "2 contrôles sur 3"),
        (("warn", "skipped"), "To be kept in mind with every figure: Check 0", "À garder à l’esprit"),
        (("pass", "note"), "No check found a fault", "Aucun contrôle n’a trouvé de défaut"),
        (("skipped",), "Could not be examined: Check 0", "N’ont pas pu être examinés"),
        ((), "No check was asked for", "Aucun contrôle n’a été demandé"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("of", ["data", "model"])
def test_the_lead_says_how_it_stands(of: str, verdicts: tuple[Verdict, ...], sentence: str, phrase: str) -> None:
    audit = made_audit(of, checks=tuple(made_check(str(i), v) for i, v in enumerate(verdicts)), refused=())
    text = audit_page(audit)
    assert sentence in tongue(text, "en")
    assert phrase in tongue(text, "fr").replace("\u202f", " ")
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(audit_text(audit))


def test_numbers_are_written_by_their_size() -> None:
    assert written(EN, 5840) == "5,840"
    assert written(EN, 1.0) == "1"
    assert written(EN, 0.91267) == "0.913"
    assert written(EN, -12.345) == "−12.35" or written(EN, -12.345) == "−12.34"
    assert written(FR, 0.00002).startswith("0,00002")
    assert written(EN, 1.6e-36) == "1.6\u00a0×\u00a010⁻³⁶" and written(FR, -1.6e-12) == "−1,6\u00a0×\u00a010⁻¹²"
    assert written(EN, -0.0002, digits=3) == "0.000" and written(EN, -0.0006, digits=3) == "−0.001"
    assert written(EN, None) == "–"
    assert cell(EN, Estimate(value=1.0, low=0.98, high=1.0, n=9)) == {
        "text": "1.000", "range": "0.980\u00a0–\u2060\u00a01.000", "number": True,
    }  # fmt: skip
    assert cell(FR, Text(en="a", fr="b"))["text"] == "b"


@pytest.mark.parametrize("of", ["data", "model"])
def test_terminal_at_80_columns(of: str) -> None:
    stream = io.StringIO()
    Console(file=stream, width=80, color_system=None).print(audit_text(made_audit(of)))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "✕ Must be fixed  Check twins" in text
    assert "230 images pointed at (exact 115, near 115)" in text
    assert "1 must be fixed, 1 caution" in " ".join(text.split())
    assert "0.881–0.941" in text.replace("–\u2060", "–")
    assert EVIL in text.replace("\n", "")
    assert "Research use only" in text


def test_a_check_may_show_an_image_its_own_way() -> None:
    one = Suspect(id="a.png", why=Text(en="looks aside", fr="regarde ailleurs"))
    audit = made_audit(
        "model", checks=(made_check("looks", "warn", suspects=(one,)), made_check("other", "warn", suspects=(one,)))
    )
    plain, warm = thumbnail(), thumbnail() + b"heat"
    shown = audit_page(audit, pictures={"a.png": plain, own_picture("looks", "a.png"): warm})
    assert [shown.count(picture_uri(data) + '"') for data in (plain, warm)] == [1, 1]
    assert audit_page(audit, pictures={"a.png": plain}).count("data:image/png") == 1
