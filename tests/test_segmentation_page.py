"""The lungs' part of a report: what it says, which pictures it shows, and that it keeps to the pages' rules."""

from __future__ import annotations

import io
import re
from functools import cache

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from laennec import overlays, plots
from laennec.estimates import Estimate
from laennec.page import pictured, report_page, report_text
from laennec.page.segmentation import TYPICAL, WORST, interval, lungs_body, told, typical, worst
from laennec.page.segmentation_plots import dice_histogram, distance_against_dice, left_against_right
from laennec.page.voice import Voice
from laennec.page.words import WORDS
from laennec.prevalence import predictive_values
from laennec.results import Report
from laennec.segmentation import Outline, Overlap, SegmentationFigures
from test_page import DIGEST, EVIL, HISTORY, Parsed, made_report, thumbnail

MEASURES = ("dice", "iou", "precision", "recall", "accuracy", "hd95", "hd95_mm")
EN, FR = Voice("en"), Voice("fr")


def made_rows(n: int, *, spacing: bool = True) -> tuple[Overlap, ...]:
    """Most images near 0.97, every tenth far below; the hostile id is the worst."""
    random = np.random.default_rng(5)
    rows = []
    for i in range(n):
        dice = float(np.clip(0.6 + 0.002 * i if i % 10 == 0 else random.normal(0.97, 0.008), 0, 0.995))
        rows.append(
            Overlap(
                id=EVIL if i == 0 else f"set/i{i}.png", dice=dice, iou=dice / (2 - dice), precision=dice + 0.004,
                recall=dice - 0.004, accuracy=0.5 + dice / 2, hd95=200 * (1 - dice),
                hd95_mm=80 * (1 - dice) if spacing and i % 3 == 0 else None, right_dice=dice + 0.003,
                left_dice=None if i == 1 else dice - 0.005, raw_dice=dice - 0.01 * (i % 4 == 0),
            )
        )  # fmt: skip
    return tuple(sorted(rows, key=lambda row: row.dice or 0))


def estimate(values: list[float]) -> Estimate:
    middle, half = float(np.mean(values)), 2 * float(np.std(values)) / len(values) ** 0.5
    return Estimate(value=middle, low=middle - half, high=middle + half, n=len(values), method="patient_bootstrap")


def made_figures(count: int = 60, *, spacing: bool = True, **rule: object) -> SegmentationFigures:
    rows = made_rows(count, spacing=spacing)

    def mean(name: str) -> Estimate:
        return estimate([value for row in rows if (value := getattr(row, name)) is not None])

    names = MEASURES if spacing else MEASURES[:-1]
    told = {
        "threshold": 0.45,
        "n": 104,
        "dice_raw": 0.9612,
        "dice": 0.9634,
        "split_digest": DIGEST,
        "model_digest": DIGEST,
    }
    pooled = {name: mean(name) for name in names[:5]}
    pooled |= {
        "precision": Estimate(value=0.9712, low=0.96, high=0.98, n=count),
        "recall": Estimate(value=0.9699, low=0.96, high=0.98, n=count),
    }
    return SegmentationFigures(
        outline=Outline(**{**told, **rule}),
        images=count,
        patients=count // 2,
        mean={name: mean(name) for name in names},
        pooled=pooled,
        raw={"dice": mean("raw_dice"), "iou": mean("iou"), "hd95": mean("hd95")},
        right={"dice": mean("right_dice"), "iou": mean("iou"), "hd95": mean("hd95")},
        left={"dice": mean("left_dice"), "iou": mean("iou"), "hd95": mean("hd95")},
        rows=rows,
    )


def made_panels(figures: SegmentationFigures) -> dict[str, bytes]:
    """Two discs a picture, the drawn ones a little off."""
    y, x = np.mgrid[:96, :80].astype(np.float32)
    truth = ((y - 48) ** 2 + (np.abs(x - 40) - 20) ** 2) < 200
    picture = overlays.panels((y / 96).astype(np.float32), truth, np.roll(truth, 3, axis=0), longest=96)
    return dict.fromkeys(pictured(figures), picture)


def alone(figures: SegmentationFigures, **changes: object) -> Report:
    """A report of a model that only segments."""
    told = {
        "task": "segment", "model": "a-segmenter", "bundle_digest": DIGEST, "backend": "torch", "precision": "fp32",
        "collection": "a set", "collection_digest": DIGEST, "licence": "", "citation": "", "split_digest": DIGEST,
        "split_how": "by patient", "part": "test", "images": figures.images, "patients": figures.patients,
        "segmentation": figures, "made": "2025-01-02T03:04:05", "hardware": "a machine", "laennec": "0.0.0",
    }  # fmt: skip
    return Report(**{**told, **changes})


DRAWN_HISTORY = [e.model_copy(update={"val_auroc": None, "val_accuracy": None, "val_dice": 0.9}) for e in HISTORY]


@cache
def page(kind: str) -> str:
    figures = made_figures(spacing=kind != "pixels")
    if kind == "both":
        known = predictive_values(20, 5, 4, 31)
        both = made_report(task="classify+segment", segmentation=figures, prevalences=known)
        return report_page(both, thumbnails={EVIL: thumbnail()}, panels=made_panels(figures))
    if kind == "pixels":
        return report_page(alone(figures), language="fr")
    return report_page(alone(figures), history=DRAWN_HISTORY, panels=made_panels(figures))


@cache
def words(kind: str) -> str:
    return " ".join("".join(Parsed(page(kind)).words).split())


KINDS = ["alone", "both", "pixels"]


@pytest.mark.parametrize("kind", KINDS)
def test_page_keeps_the_rules_of_all_pages(kind: str) -> None:
    text, parsed = page(kind), Parsed(page(kind))
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in parsed.tags:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,")), tag
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text)) <= set(ids)
    assert all(cell.get("scope") in ("row", "col") for cell in parsed.all("th"))
    for drawing in parsed.all("svg"):
        assert drawing.get("aria-hidden") == "true" or (drawing["role"] == "img" and drawing["aria-label"])
    for sentence in WORDS["research"]:
        assert text.count(sentence) == 2


def test_a_segmenters_page_shows_nothing_of_classification() -> None:
    for key in ("point", "errors", "all_figures", "per_class", "elsewhere", "methods", "metric.sensitivity"):
        for sentence in WORDS[key]:
            assert sentence in words("both"), key
            assert sentence not in words("alone"), key
    assert "AUROC" not in words("alone")
    assert "DeLong" not in words("alone")


def test_a_hybrids_page_tells_the_finding_first_then_the_lungs() -> None:
    text = words("both")
    order = ["Finding: pneumonia", "AUROC", "Mean Dice", "What this means", "By label", "What the outlines are worth"]
    order += ["The worst outlines", "Typical outlines", "From probabilities to a mask", "Where it comes from"]
    place = 0
    for sentence in order:
        place = text.index(sentence, place)


def test_page_says_what_the_figures_mean_in_both_languages() -> None:
    text = words("alone")
    assert "of 100 pixels marked as lung, 97 are; of 100 lung pixels, 96 are found" in text
    assert "sur 100 pixels marqués comme poumon, 97 en sont vraiment" in text.replace("\u202f", " ")
    assert "6 of 60 stay below 0.90. The worst has 0.600" in text
    assert "The two largest are kept" in text
    assert "raised the Dice of 15, lowered that of 0 and left 45 as they were" in text
    assert "0.961 0.963 +0.0022" in re.sub(r"\s+", " ", " ".join(Parsed(page("alone")).words))
    assert "cannot be told from one that was not" in text


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"n": 0}, "The value was set in advance"),
        ({"keep": 0}, "All are kept, however small"),
        ({"keep": 1}, "The largest is kept"),
        ({"keep": 4}, "The 4 largest are kept"),
        ({"fill": False}, "They stay open"),
        ({"keep": 0, "fill": False}, "Nothing is done after the threshold"),
    ],
)
def test_page_tells_the_rule_as_it_is(rule: dict[str, object], sentence: str) -> None:
    body = lungs_body(alone(made_figures(8, **rule)), {}, EN)
    assert body is not None
    text = " ".join([*body["steps"], body["effect"]])
    assert sentence in text
    assert ("The two largest are kept" in text) == ("keep" not in rule)


def test_almost_all_is_not_told_as_all() -> None:
    figures = made_figures(8)
    nearly = {name: Estimate(value=0.9996, n=8) for name in ("precision", "recall")}
    body = lungs_body(alone(figures.model_copy(update={"pooled": nearly})), {}, EN)
    assert body is not None
    assert "of 1,000 pixels marked as lung, <strong>999</strong> are" in body["said"][0]


def test_millimetres_show_only_where_a_spacing_is_known() -> None:
    assert "Mean HD95, millimetres" in words("alone")
    assert "HD95 (mm)" not in words("pixels")
    assert "millim" not in words("pixels").lower()


@pytest.mark.parametrize("n", [1, 2, 7, 21, 60])
def test_worst_and_typical_pictures_are_different_images(n: int) -> None:
    figures = made_figures(n)
    lowest, middling = worst(figures), typical(figures)
    assert 1 <= len(lowest) <= WORST
    assert len(middling) <= TYPICAL
    assert not {row.id for row in lowest} & {row.id for row in middling}
    assert [row.id for row in lowest] == [row.id for row in figures.rows[: len(lowest)]]
    assert pictured(figures) == tuple(row.id for row in (*lowest, *middling))
    if n == 60:
        middle = float(np.median([row.dice or 0 for row in figures.rows]))
        apart = max(abs((row.dice or 0) - middle) for row in middling)
        assert sum(abs((row.dice or 0) - middle) < apart for row in figures.rows) <= TYPICAL


def test_an_image_without_dice_is_listed_and_never_pictured() -> None:
    figures = made_figures(8)
    lost = figures.rows[0].model_copy(update={"id": "lost", "dice": None, "iou": None})
    figures = figures.model_copy(update={"rows": (lost, *figures.rows)})
    assert "lost" not in pictured(figures)
    body = lungs_body(alone(figures), made_panels(figures), EN)
    assert body is not None
    assert [row["id"] for row in body["listed"]][-1] == "lost"
    assert body["total"] == 9
    assert "dice" not in body["listed"][-1]["values"]


def test_each_picture_stands_once_and_is_shown_in_both_languages() -> None:
    parsed = Parsed(page("alone"))
    shown = WORST + TYPICAL
    assert len(parsed.all("image")) == shown
    assert len(parsed.all("use")) >= 5 * shown
    labelled = [svg["aria-label"] for svg in parsed.all("svg") if "0 96" in svg.get("viewbox", "")[-4:]]
    assert f"Radiograph {EVIL}, truth" in [svg.get("aria-label") for svg in parsed.all("svg")]
    assert f"Radiographie {EVIL}, différence" in [svg.get("aria-label") for svg in parsed.all("svg")]
    assert len(labelled) == 6 * shown


@pytest.mark.parametrize("shape", [(96, 80), (80, 96), (96, 96), (67, 384)])
def test_each_third_holds_one_picture_and_nothing_of_the_gaps(shape: tuple[int, int]) -> None:
    black, lung = np.zeros(shape, np.float32), np.zeros(shape, bool)
    figures = made_figures(1)
    data = overlays.panels(black, lung, lung, longest=256)
    sheet = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    body = lungs_body(alone(figures), {EVIL: data}, EN)
    assert body is not None
    picture = body["groups"]["worst"][0]["picture"]
    covered = np.zeros(sheet.shape[1], int)
    for third in range(3):
        covered[third * picture["step"] :][: picture["each"]] += 1
    assert (covered == (sheet == 0).all(axis=0)).all()


def test_what_is_no_png_is_not_shown() -> None:
    figures = made_figures(8)
    for data in (b"\x89PNG\r\n\x1a\n", b"<svg>", b""):
        body = lungs_body(alone(figures), dict.fromkeys(pictured(figures), data), EN)
        assert body is not None
        assert body["groups"] == {"worst": [], "typical": []}
    assert WORDS["seg.worst"][0] not in words("pixels")


def test_legend_has_the_colours_of_the_pictures() -> None:
    fills = {rect.get("fill") for rect in Parsed(page("alone")).all("rect")}
    assert {overlays.TRUTH, overlays.DRAWN, overlays.MISSED, overlays.ADDED} <= fills


def test_images_without_a_mask_are_told() -> None:
    figures = made_figures(8)
    body = lungs_body(alone(figures, images=11), {}, EN)
    assert body is not None
    assert body["maskless"] == 3
    assert "no mask to be held against" not in words("alone")


def test_values_carry_their_units() -> None:
    spread = Estimate(value=4.25, low=3.0, high=1234.5, n=3)
    assert told(FR, "hd95_mm", 4.25) == "4,2\u00a0mm"
    assert told(EN, "recall", 0.971) == "97.1\u00a0%"
    assert told(EN, "dice", None) == "–"
    assert interval(EN, "hd95", spread).replace("\u00a0", " ").replace("\u2060", "") == "3.0 – 1,234.5 px"
    assert interval(EN, "dice", Estimate(value=0.9, n=1)) == ""


@pytest.mark.parametrize("draw", [dice_histogram, distance_against_dice, left_against_right])
def test_plots_are_deterministic_and_bear_no_images(draw: object) -> None:
    rows, marked = made_rows(60), {row.id for row in made_rows(60)[:10]}
    assert callable(draw)
    drawn = draw(rows, marked, FR)
    assert drawn == draw(rows, marked, FR)
    assert "montrées plus bas" in drawn
    perfect = made_rows(1)[0].model_copy(update={"dice": 1.0, "hd95": 0.0, "right_dice": 1.0, "left_dice": 1.0})
    assert "<svg" in draw([perfect], set(), EN)
    assert "not enough images" in draw([], set(), EN)


def test_training_curves_draw_what_was_watched() -> None:
    english = {key: WORDS[f"plot.{key}"][0] for key in plots.WORDS}
    of_masks, of_labels = plots.training_curves(DRAWN_HISTORY, english), plots.training_curves(HISTORY, english)
    assert "Dice, validation" in of_masks
    assert "AUROC" not in of_masks
    assert "accuracy" not in of_masks
    assert "AUROC, accuracy" in of_labels
    assert "Dice" not in of_labels


@pytest.mark.parametrize("report", [alone(made_figures()), made_report(segmentation=made_figures())])
def test_terminal_at_80_columns(report: Report) -> None:
    stream = io.StringIO()
    Console(file=stream, width=80, color_system=None).print(report_text(report))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "Lungs: masks against the truth" in text
    assert "two largest pieces kept" in " ".join(text.split())
    assert "Research use only" in text
    assert ("AUROC" in text) == (report.operating_point is not None)


def test_reports_of_before_still_open() -> None:
    old = made_report().model_dump(mode="json")
    del old["task"], old["segmentation"]
    report = Report.model_validate(old)
    assert report.task == "classify"
    assert report.segmentation is None
    assert report.threshold == report.operating_point.threshold  # type: ignore[union-attr]


def test_a_segmenter_has_no_threshold_to_decide_by() -> None:
    report = alone(made_figures(2))
    assert Report.model_validate_json(report.model_dump_json()) == report
    with pytest.raises(ValueError, match="no operating point"):
        _ = report.threshold
