"""The probes of a model: fake models that are known to cheat, or known not to, must be told for what they are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from laennec import family, occluding
from laennec.card import Architecture, Card, DataSeen, TrainingSeen
from laennec.checks import VERDICTS, Outcome
from laennec.estimates import Estimate
from laennec.images import framing
from laennec.labels import LabelSet
from laennec.outputs import Outputs
from laennec.preprocess import Preprocess
from laennec.probes import Case, corruption, shortcuts, sources, subgroups, untouched
from laennec.results import OperatingPoint
from laennec.samples import Sample
from laennec.sections import Head
from laennec.wording import Text, written

SIDE = 64
LABELS = LabelSet(names=("NORMAL", "OPACITY"), positive=("OPACITY",))
Read = Callable[[np.ndarray], np.ndarray]  # uint8 [n, side, side] to a probability [n]


def card(**changes: Any) -> Card:
    point = OperatingPoint(
        rule="balanced", threshold=0.5, sensitivity=1, specificity=1, n=9, split_digest="", model_digest=""
    )
    values: dict[str, Any] = {
        "name": "fake",
        "task": "classify",
        "labels": LABELS,
        "preprocess": Preprocess(size=SIDE),
        "backend": "torch",
        "precision": "fp32",
        "model": Architecture(name="cnn", options={}, head=Head()),
        "parameters": 1,
        "starting_weights": "random",
        "operating_points": {"balanced": point},
        "decision": "balanced",
        "data": DataSeen(
            collection="c", collection_digest="", licence="", citation="", notes=(), split_digest="", split_how="",
            images={}, patients={}, files={},
        ),
        "recipe": {},
        "training": TrainingSeen(epochs=1, kept_epoch=1, seconds=1, hardware="", threads=1, validation={}),
        "made": "",
        "laennec": "",
    }  # fmt: skip
    return Card(**(values | changes))


def lungs(n: int, random: np.random.Generator) -> np.ndarray:
    """Two upright ellipses that differ a little from image to image, whatever the label."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    found = np.zeros((n, SIDE, SIDE), bool)
    for row in range(n):
        for middle in (0.32, 0.68):
            across, down = random.uniform(0.11, 0.14), random.uniform(0.24, 0.3)
            found[row] |= ((x - middle) / across) ** 2 + ((y - 0.5) / down) ** 2 < 1
    return found


def made(read: Read, n: int = 160, seed: int = 0, **facts: Any) -> Case:
    """Chests with opaque lungs where sick, and a white marker in the upper left corner there too: two ways to tell.

    Args:
        read: what the fake model makes of pictures.
        facts: fields of the samples, called with the row and whether it is sick.
    """
    random = np.random.default_rng(seed)
    sick = np.arange(n) % 2 == 1
    where = lungs(n, random)
    pixels = random.normal(120, 12, (n, SIDE, SIDE))
    pixels[where] -= 60
    pixels += where * sick[:, None, None] * random.uniform(25, 45, (n, 1, 1))
    pixels[:, :12, :10] = random.normal(30, 6, (n, 12, 10))
    pixels[sick, 2:6, 2:6] = 250
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)[:, None]
    samples = tuple(
        Sample(
            id=f"i{row:03}",
            path=Path(f"nowhere/{row}.png"),
            labels=(float(not ill), float(ill)),
            patient=f"p{row // 2 * 2 + ill}",
            **{key: value(row, ill) for key, value in facts.items()},
        )
        for row, ill in enumerate(sick.tolist())
    )

    def answer(given: np.ndarray) -> Outputs:
        assert given.dtype == np.uint8
        assert given.shape[1:] == (1, SIDE, SIDE)
        chance = np.clip(read(given[:, 0].astype(np.float64)), 0, 1)
        return Outputs(np.stack([1 - chance, chance], axis=1).astype(np.float32))

    case = Case(card(), "val", samples, pixels, answer(pixels), answer, 3)
    case.__dict__["lungs"] = where
    return case


def by_corner(pictures: np.ndarray) -> np.ndarray:
    """A model that reads the marker and nothing else."""
    found: np.ndarray = 1 / (1 + np.exp(-(pictures[:, 2:6, 2:6].mean((1, 2)) - 130) / 20))
    return found


def by_lungs(pictures: np.ndarray) -> np.ndarray:
    """A model that reads the middle of both lungs, and says nothing of black or even ones."""
    inside = pictures[:, 24:40, [18, 19, 20, 21, 42, 43, 44, 45]]
    even = inside.std((1, 2)) < 2
    found: np.ndarray = 1 / (1 + np.exp(-(inside.mean((1, 2)) - 77) / 6))
    return np.where(even, 0.4, found)


def value(outcome: Outcome, name: str) -> float:
    found = outcome.figures[name].value
    assert found is not None
    return found


def facts() -> dict[str, Any]:
    return {
        "sex": lambda row, _: "FM"[row // 2 % 2],
        "age": lambda row, _: float(row % 90),
        "source": lambda row, _: "AB"[row // 4 % 2],
    }


@pytest.mark.parametrize("name", family.names("probes"))
def test_every_probe_answers_in_both_languages_and_the_same_twice(name: str) -> None:
    member = family.member("probes", name)
    case = made(by_lungs, n=64, **facts())
    first = member.probe(case)
    assert first.verdict in VERDICTS
    assert first.said
    for text in (member.TITLE, first.method, *first.said, *(head for table in first.tables for head in table.head)):
        assert text.en.strip()
        assert text.fr.strip()
        assert "{" not in text.en + text.fr
    for table in first.tables:
        assert all(len(row) == len(table.head) for row in table.rows)
    for estimate in first.figures.values():
        ends = (estimate.low, estimate.value, estimate.high)
        known = [end for end in ends if end is not None]
        assert known == sorted(known)
    assert {one.id for one in first.suspects} <= {sample.id for sample in case.samples}
    again = made(by_lungs, n=64, **facts())
    assert member.probe(again) == first
    Outcome.model_validate_json(first.model_dump_json())


@pytest.mark.parametrize("name", family.names("probes"))
def test_no_probe_breaks_on_one_class_or_on_unknown_truth(name: str) -> None:
    case = made(by_lungs, n=24, **facts())
    unknown = (float("nan"), float("nan"))
    healthy = tuple(replace(s, labels=(1.0, 0.0) if row < 12 else unknown) for row, s in enumerate(case.samples))
    alone = replace(case, card=card(labels=LABELS), samples=healthy)
    alone.__dict__["lungs"] = case.lungs
    outcome = family.member("probes", name).probe(alone)
    assert outcome.verdict in ("skipped", "note")
    assert not any("n/d" in text.fr for text in outcome.said if outcome.verdict == "skipped")


def test_a_model_that_reads_the_corner_is_found_out() -> None:
    outcome = shortcuts.probe(made(by_corner))
    assert outcome.verdict == "fail"
    assert value(outcome, "untouched") == 1
    for name in ("lungs_out", "lungs_out_grey", "lungs_out_common", "border_only"):
        assert value(outcome, name) == 1, name
    for name in ("lungs_only", "lungs_only_grey", "border_out", "corner_out", "silhouette"):
        assert value(outcome, name) == pytest.approx(0.5, abs=0.05), name
    assert value(outcome, "corner") == 1  # every decision follows the marker pasted in
    told = " ".join(text.en for text in outcome.said)
    assert "top left corner" in told
    assert "Without the lungs" in told
    marked = [one for one in outcome.suspects if one.kind == "corner"]
    assert marked
    assert all(int(one.id[1:]) % 2 == 1 for one in marked)  # only images with the marker fall


def test_a_model_that_reads_the_lungs_passes() -> None:
    outcome = shortcuts.probe(made(by_lungs))
    assert outcome.verdict == "pass"
    assert value(outcome, "untouched") > 0.95
    assert value(outcome, "lungs_only") > 0.95
    for name in ("lungs_out", "border_only", "silhouette"):
        assert outcome.figures[name].low is not None
        assert outcome.figures[name].low <= 0.5, name
    assert value(outcome, "corner") == pytest.approx(0, abs=0.02)
    assert value(outcome, "text_out_change") == pytest.approx(0, abs=0.01)
    assert not outcome.suspects


def test_a_marker_is_seen_as_text_and_painted_over() -> None:
    case = made(by_corner)
    outcome = shortcuts.probe(case)
    assert value(outcome, "text_found") == pytest.approx(0.5, abs=0.02)  # those with the white marker
    assert value(outcome, "text_out") < 0.6
    assert {one.kind for one in outcome.suspects} == {"corner", "text"}
    marks = occluding.glyphs(case.pixels[:, 0], case.lungs)
    sick = case.truth == 1
    assert marks[sick, 2:6, 2:6].all()
    assert not marks[~sick].any()
    plain = occluding.without_glyphs(case.pixels[:, 0], marks)
    assert plain[sick, 2:6, 2:6].max() < 180
    assert (plain[~marks] == case.pixels[:, 0][~marks]).all()


def test_the_shape_of_a_mask_is_told_apart_from_what_it_hides() -> None:
    """Lungs of the sick are found smaller, and the model knows how much of a picture is black."""

    def by_black(pictures: np.ndarray) -> np.ndarray:
        return np.asarray(1 - 2 * (pictures == 0).mean((1, 2)))

    case = made(by_black)
    shrunk = case.lungs.copy()
    shrunk[1::2, :32] = False
    case.__dict__["lungs"] = shrunk
    outcome = shortcuts.probe(case)
    assert value(outcome, "silhouette_out") > 0.95
    assert value(outcome, "lungs_out") > 0.95
    assert outcome.figures["lungs_out_common"].value == pytest.approx(0.5, abs=0.1)
    assert outcome.verdict == "note"  # the box alone tells: no shortcut is shown
    assert "silhouettes alone" in " ".join(text.en for text in outcome.said)


def test_images_without_lungs_are_left_out_and_counted() -> None:
    case = made(by_lungs)
    found = case.lungs.copy()
    found[:100] = False
    case.__dict__["lungs"] = found
    outcome = shortcuts.probe(case)
    assert outcome.figures["lungs_out"].n == 60
    assert outcome.figures["border_out"].n == 160
    assert "60 of 160" in outcome.said[-1].en
    case.__dict__["lungs"] = np.zeros_like(found)
    none = shortcuts.probe(case)
    assert none.verdict == "note"  # never passed: nobody could look
    assert any("without the lungs" in text.en for text in none.said)
    assert "lungs_out" not in none.figures
    assert "too few" in none.said[-1].en


def test_grown_masks_reach_by_the_margin_and_no_further() -> None:
    dot = np.zeros((1, 20, 20), bool)
    dot[0, 10, 10] = True
    wide = occluding.grown(dot, 0.1)
    assert wide.sum() == 25
    assert wide[0, 8:13, 8:13].all()
    assert occluding.grown(dot, 0).sum() == 1
    assert dot.sum() == 1


def test_the_common_place_holds_its_share() -> None:
    where = lungs(50, np.random.default_rng(0))
    place = occluding.common(where, 0.95)
    assert where[:, place].sum() >= 0.95 * where.sum()
    assert where[:, occluding.common(where, 0.3)].sum() < 0.5 * where.sum()


def test_every_corruption_grows_with_its_severity_and_repeats() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 128, 128)).astype(np.uint8)
    pixels[:, 32:96, 32:96] //= 2
    for name in corruption.CORRUPTIONS:
        away = []
        for severity in range(1, 6):
            changed = corruption.corrupted(pixels, name, severity, 4)
            assert changed.shape == pixels.shape
            assert changed.dtype == np.uint8
            assert (changed == corruption.corrupted(pixels, name, severity, 4)).all()
            away.append(np.abs(changed.astype(int) - pixels).mean())
        assert away[0] > 0, name
        assert away == sorted(away), name


def test_corruptions_do_what_they_say() -> None:
    flat = np.full((200, 32, 32), 128, np.uint8)
    one = np.random.default_rng(0)
    assert corruption.noise(flat, 0.08, one).std() == pytest.approx(0.08 * 255, rel=0.02)
    assert (corruption.blur(flat, 0.02, one) == 128).all()
    dot = np.zeros((1, 65, 65), np.uint8)
    dot[0, 32, 32] = 255
    spread = corruption.blur(np.where(dot > 0, 255, 0).astype(np.uint8), 1 / 65, one)
    assert spread[0, 32, 32] == pytest.approx(255 / (2 * np.pi), abs=3)  # sigma of one pixel
    shades = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (1, 1, 256))
    assert np.ptp(corruption.contrast(shades, 0.4, one)) == pytest.approx(0.4 * 255, abs=1)
    assert {int(p[0, 0]) for p in corruption.brightness(flat, 0.1, one)} == {102, 154}
    assert {int(p[0, 0]) for p in corruption.gamma(flat, 2, one)} == {64, 181}
    turned = corruption.rotation(shades, 90, one)
    assert (turned[0] == np.rot90(shades[0])).all() or (turned[0] == np.rot90(shades[0], -1)).all()
    assert corruption.crop(shades, 0.2, one)[0, 0, 0] == pytest.approx(51, abs=1)


def test_a_corruption_that_destroys_the_answer_shows() -> None:
    """A model that hangs on the finest grain loses it to a little noise, which hides it, and with the contrast."""
    random = np.random.default_rng(1)

    def by_grain(pictures: np.ndarray) -> np.ndarray:
        grain = np.abs(np.diff(pictures[:, 8:50, 8:50], axis=2)).mean((1, 2))
        return np.asarray(1 / (1 + np.exp(-(grain - 12) / 2)))

    case = made(by_grain, n=60)
    pixels = np.full(case.pixels.shape, 120.0)
    pixels += random.normal(0, 1, pixels.shape) * np.where(case.truth == 1, 16, 6)[:, None, None, None]
    noisy = np.clip(pixels, 0, 255).astype(np.uint8)
    case = replace(case, pixels=noisy, given=case.answer(noisy))
    outcome = corruption.probe(case)
    assert outcome.verdict == "fail"
    assert value(outcome, "untouched") == 1
    assert value(outcome, "mild_sensitivity") == 0
    told = " ".join(text.en for text in outcome.said)
    assert "Noise at severity" in told
    assert "Contrast at severity" in told
    assert value(outcome, "worst_auroc") <= min(value(outcome, f"{name}_auroc") for name in corruption.CORRUPTIONS)
    steady = corruption.probe(made(by_corner, n=60))
    assert value(steady, "blur_auroc") == 1
    assert len(steady.charts) == len(corruption.CORRUPTIONS)
    assert all(len(line.points) == 6 for chart in steady.charts for line in chart.lines)


def test_a_model_worse_for_one_sex_is_found() -> None:
    weak = {row for row in range(400) if row // 2 % 2 == 0 and row % 2 == 1 and row % 3}  # two in three sick women

    def blind(case: Case) -> Case:
        given = case.given.probabilities.copy()
        given[sorted(weak)] = (0.9, 0.1)
        return replace(case, given=Outputs(given))

    whole = made(by_corner, n=400, sex=facts()["sex"])
    fair = subgroups.probe(whole)
    assert fair.verdict == "pass"
    outcome = subgroups.probe(blind(whole))
    assert outcome.verdict == "fail"
    assert "female" in outcome.said[0].en
    assert "femmes" in outcome.said[0].fr
    assert value(outcome, "worst_sensitivity") == pytest.approx(1 - len(weak) / 100, abs=0.02)
    assert value(outcome, "worst_specificity") == 1


def test_chance_alone_finds_no_subgroup() -> None:
    """Groups drawn by lot among answers that are no better for any: false alarms stay about one in twenty."""
    alarms, case = 0, made(by_corner, n=200)
    for seed in range(40):
        random = np.random.default_rng(seed)
        drawn = tuple(replace(sample, source="ABCDE"[random.integers(5)]) for sample in case.samples)
        noisy = np.clip(np.where(case.truth == 1, 0.6, 0.4) + random.normal(0, 0.2, 200), 0, 1)
        given = Outputs(np.stack([1 - noisy, noisy], 1).astype(np.float32))
        alarms += subgroups.probe(replace(case, samples=drawn, given=given)).verdict != "pass"
    assert alarms <= 5


def test_a_small_group_is_shown_and_not_judged() -> None:
    case = made(by_corner, n=100, source=lambda row, _: "small" if row < 8 else "large")
    outcome = subgroups.probe(case)
    assert "fewer than 10" in " ".join(text.en for text in outcome.said)
    assert len(outcome.tables[0].rows) == 2
    unknown = subgroups.probe(made(by_corner, n=40))
    assert unknown.verdict == "skipped"
    assert not unknown.figures


def test_a_model_that_knows_hospitals_and_nothing_else_is_told_by_its_sources() -> None:
    """Nine in ten of one hospital are sick, one in ten of the other; the model names the hospital."""
    case = made(by_corner, n=400, source=lambda row, ill: "AB"[ill if row % 20 < 18 else not ill])
    score = np.array([0.8 if sample.source == "B" else 0.2 for sample in case.samples])
    given = Outputs(np.stack([1 - score, score], 1).astype(np.float32))
    outcome = sources.probe(replace(case, given=given))
    assert outcome.verdict == "fail"
    assert value(outcome, "whole") > 0.85
    assert value(outcome, "within") == 0.5
    honest = sources.probe(case)
    assert honest.verdict == "pass"
    assert value(honest, "within_change") == pytest.approx(0, abs=0.001)
    assert sources.probe(made(by_corner, n=40, source=lambda *_: "A")).verdict == "skipped"


def test_a_draw_takes_whole_patients_and_keeps_their_lungs() -> None:
    case = made(by_lungs)
    some = case.drawn(50)
    assert 50 <= len(some.samples) <= 52
    left = set(case.patients) - set(some.patients)
    assert not left & set(some.patients)
    assert sum(patient in set(some.patients) for patient in case.patients) == len(some.samples)
    row = case.samples.index(some.samples[7])
    assert (some.lungs[7] == case.lungs[row]).all()
    assert (some.pixels[7] == case.pixels[row]).all()
    assert some.score[7] == case.score[row]
    assert case.drawn(160) is case


def some_of(case: Case, sick: int, well: int) -> Case:
    rows = [*np.flatnonzero(case.truth == 1)[:sick], *np.flatnonzero(case.truth == 0)[:well]]
    return case.take(np.array(sorted(rows)))


def test_too_few_of_a_class_pass_nothing() -> None:
    case = made(by_lungs)
    assert corruption.probe(some_of(case, 0, 60)).verdict == "skipped"
    few = corruption.probe(some_of(case, 9, 60))
    assert few.verdict == "note"
    assert "9 images with the finding and 60 without" in few.said[0].en
    assert shortcuts.probe(some_of(case, 60, 0)).verdict == "skipped"
    corners = shortcuts.probe(some_of(case, 4, 60))
    assert corners.verdict == "note"
    assert "corner" not in corners.figures
    assert any("corners and edges" in text.en for text in corners.said)


FRAMED = (
    {"normalise": "lungs"},
    {"outside": "black"},
    {"outside": "dim"},
    {"normalise": "lungs", "outside": "black"},
    {"equalise": True, "normalise": "lungs", "outside": "black"},
)


@pytest.mark.parametrize("how", FRAMED)
def test_greys_are_made_again_after_a_corruption_as_of_a_file(how: dict[str, Any]) -> None:
    """What a file brightened and framed gives is what the framed picture gives brightened and made again."""
    random = np.random.default_rng(0)
    lung = lungs(1, random)[0]
    raw = np.where(lung, 0.3, 0.55) + random.normal(0, 0.05, lung.shape)
    raw = np.clip(raw, 0.1, 0.8).astype(np.float32)
    preprocess = Preprocess(size=SIDE, **how)
    mask = np.asarray(Image.fromarray(lung).resize((framing.GRID, framing.GRID), Image.Resampling.NEAREST))
    region = framing.Region(mask, (float(mask.any(0).mean()), float(mask.any(1).mean())))

    def as_framed(picture: np.ndarray) -> np.ndarray:
        shown = framing._by_greys(picture, (0, 0, SIDE, SIDE), region, preprocess, {})
        return framing.equalised(shown) if preprocess.equalise else shown

    before = as_framed(raw)
    assert framing.reread(before, before, lung, preprocess) == pytest.approx(before, abs=0.02)
    change = np.full(raw.shape, 0.1, np.float32)
    if how == {"outside": "dim"}:  # which a brightness alone passes through
        change += random.normal(0, 0.05, raw.shape).astype(np.float32)
    brighter, file = before + change, as_framed(raw + change)
    again = framing.reread(brighter, before, lung, preprocess)
    assert np.abs(again - file).mean() < 0.01
    assert np.abs(brighter - file).mean() > 3 * np.abs(again - file).mean()
    if preprocess.outside == "black":
        assert again[0, 0] == before[0, 0] == 0


def test_a_brightness_that_preprocessing_undoes_costs_nothing() -> None:
    def by_level(pictures: np.ndarray) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-(pictures[:, 24:40, 16:26].mean((1, 2)) - 128) / 3)))

    case = made(by_level, n=120)
    random = np.random.default_rng(2)
    grey = np.where(case.truth == 1, 150, 106)[:, None, None] + random.normal(0, 8, (120, SIDE, SIDE))
    ends = case.lungs & (np.mgrid[:SIDE, :SIDE][0] < 22)  # the apices hold the darkest and the brightest of all lungs
    grey = np.where(ends, np.where(random.random(grey.shape) < 0.5, 26, 229), grey)
    pixels = np.clip(grey, 0, 255).astype(np.uint8)[:, None]
    lost = {}
    for name in ("none", "lungs"):
        told = card(preprocess=Preprocess(size=SIDE, normalise=name))
        judged = replace(case, card=told, pixels=pixels, given=case.answer(pixels))
        judged.__dict__["lungs"] = case.lungs
        steps = [corruption._step(judged, "brightness", severity) for severity in (2, 3)]
        lost[name] = min((step.sensitivity.value or 0) + (step.specificity.value or 0) for step in steps)
    assert lost["none"] < 1.7
    assert lost["lungs"] > 1.95


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_rank_sums_count_the_pairs_that_are_there(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = int(random.integers(2, 30))
    sick, score = random.random(n) < 0.4, random.integers(0, 5, n).astype(float)
    weights = random.integers(0, 4, (3, n)).astype(float)
    above = (score[sick][:, None] > score[~sick]) + 0.5 * (score[sick][:, None] == score[~sick])
    ordered, pairs = sources._ordered(weights, sick, score)
    assert ordered == pytest.approx(((weights[:, sick] @ above) * weights[:, ~sick]).sum(1))
    assert pairs == pytest.approx(weights[:, sick].sum(1) * weights[:, ~sick].sum(1))


def test_many_images_of_one_source_hold_no_pairs() -> None:
    """As many as RSNA's: 4,000 with the finding against 14,000, of which all pairs would take 450 MB each time."""
    random = np.random.default_rng(0)
    n = 18_000
    score, sick = random.random(n), random.random(n) < 0.22
    tracemalloc.start()
    sources._ordered(np.ones((20, n)), sick, score)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 40e6


def test_a_figure_is_written_in_each_language() -> None:
    outcome = sources.probe(made(by_corner, n=80, **facts()))
    text = written(outcome.figures["whole"])
    assert text.en.startswith("1.000 [0.")
    assert text.fr.startswith("1,000 [0,")
    assert " ; " not in text.en
    assert ";" in text.fr
    known = Estimate(value=-0.0531, low=-0.1, high=0.02, n=9)
    assert written(known, ".2f") == Text(en="−0.05 [−0.10, 0.02]", fr="−0,05 [−0,10\u202f; 0,02]")
    assert written(Estimate(value=0.5, n=9), ".0%") == Text(en="50\u00a0%", fr="50\u00a0%")
    assert written(Estimate(value=None, n=0)) == Text(en="n/a", fr="n/d")
    same = untouched.probe(made(by_lungs))
    assert "0.9" in same.said[0].en
    assert "0." not in same.said[0].fr
