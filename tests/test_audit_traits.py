"""What pictures give away besides disease: trivial features, markers, sources; bad pictures and wrong labels named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from laennec import folds, lettering, phantom, traits
from laennec.audits import SIDE, Subject, labels, marker, quality, source, trivial
from laennec.checks import Outcome
from laennec.images import Header
from laennec.labels import LabelSet
from laennec.results import Refused
from subjects import subject_of

N = 160
RNG = np.random.default_rng
Greys = NDArray[np.uint8]


def resized(pixels: Greys) -> Greys:
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


@pytest.fixture(scope="session")
def chests() -> Greys:
    """Twelve phantoms ``uint8 [12, 256, 256]``."""
    drawn = [phantom.draw(5, patient, size=128).pixels for patient in range(12)]
    return np.stack([resized(np.rint(one * 255).astype(np.uint8)) for one in drawn])


@pytest.fixture(scope="session")
def many(chests: Greys) -> Subject:
    """160 variants of them, healthy and sick at random: shifted, brightened, with grain; a patient each."""
    random = RNG(0)
    pictures = []
    for _ in range(N):
        moved = np.roll(chests[random.integers(len(chests))], random.integers(-6, 7, 2), (0, 1)).astype(np.float64)
        changed = moved * random.uniform(0.85, 1.1) + random.normal(0, 6, moved.shape) + random.uniform(-10, 10)
        pictures.append(np.clip(changed, 0, 255).astype(np.uint8))
    sick = random.permutation(N) % 2
    parts = np.where(random.random(N) < 0.3, "test", "train")
    found = subject_of(np.stack(pictures), sick=sick, parts=parts.tolist())
    assert found.lungs.shape == (N, 64, 64)
    return found


def changed(subject: Subject, pixels: Greys) -> Subject:
    """The same with other pixels, and the lungs where they were."""
    other = replace(subject, pixels=pixels)
    other.__dict__["lungs"] = subject.lungs
    return other


def named(outcome: Outcome, kind: str) -> set[str]:
    return {one.id for one in outcome.suspects if one.kind == kind}


def test_folds_keep_patients_together_and_classes_alike() -> None:
    random = RNG(1)
    owner = random.integers(0, 60, 400)
    classes = (owner % 3 == 0).astype(np.intp)
    fold = folds.dealt(classes, [f"p{one}" for one in owner], 0)
    assert all(len(set(fold[owner == one])) == 1 for one in set(owner))
    shares = [classes[fold == one].mean() for one in range(folds.FOLDS)]
    assert max(shares) - min(shares) < 0.15
    assert np.array_equal(fold, folds.dealt(classes, [f"p{one}" for one in owner], 0))


def test_a_patient_in_every_image_tells_nothing_out_of_fold() -> None:
    """A feature that is the patient's own, with the patient's label, is learnt by heart where patients straddle."""
    random = RNG(2)
    owner = np.repeat(np.arange(60), 6)
    truth = (random.random(60) < 0.5)[owner]
    mark = random.normal(size=(60, 3))[owner]
    honest = folds.told(mark, truth, [str(one) for one in owner], 0)
    leaky = folds.told(mark, truth, [str(one) for one in range(360)], 0)
    assert honest.low is not None and honest.low < 0.5 and leaky.value is not None and leaky.value > 0.95


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_areas_of_all_columns_are_the_areas_of_each(seed: int) -> None:
    random = RNG(seed)
    features, truth = random.integers(0, 6, (40, 3)).astype(float), random.random(40) < 0.4
    truth[:2] = True, False
    each = [folds.single(features[:, column], truth).value for column in range(3)]
    assert folds.areas(features, truth) == pytest.approx(each)


def test_trivial_features_are_what_they_are_called() -> None:
    half = np.zeros((1, SIDE, SIDE), np.uint8)
    half[:, :, SIDE // 2 :] = 255
    found = dict(zip(traits.INTENSITY + traits.BORDER, traits.of_pictures(half)[0], strict=True))
    assert found["mean"] == pytest.approx(0.5) and found["deviation"] == pytest.approx(0.5)
    assert found["skewness"] == pytest.approx(0) and found["kurtosis"] == pytest.approx(-2)
    assert found["entropy"] == pytest.approx(1) and found["black"] == found["white"] == pytest.approx(0.5)
    assert found["left"] == 0 and found["right"] == 1 and found["top"] == pytest.approx(0.5)
    assert found["sharpness"] == pytest.approx(0.5 / (SIDE - 1))
    rows = traits.of_files([Header(200, 100, "PNG", 8, 1, 5000), None])
    assert rows[0].tolist() == [200, 100, 2, 5000, 0.25, 1, 8, 1] and np.isnan(rows[1]).all()


def test_trivial_features_tell_nothing_of_clean_pictures(many: Subject) -> None:
    found = trivial.audit(many)
    assert found.verdict == "pass"
    low = found.figures["label_all"].low
    assert low is not None and low < 0.6


def test_trivial_features_tell_an_exposure_that_goes_with_the_label(many: Subject) -> None:
    brighter = np.clip(many.pixels + (many.truth == 1)[:, None, None] * 35.0, 0, 255).astype(np.uint8)
    found = trivial.audit(changed(many, brighter))
    assert found.verdict in ("warn", "fail")
    for name in ("label_all", "label_all_test", "label_intensity"):
        assert (found.figures[name].low or 0) > 0.75, name


def test_trivial_features_fail_where_the_size_of_the_file_gives_the_label_away(many: Subject) -> None:
    told = replace(many)
    told.__dict__["headers"] = tuple(Header(300 + 100 * int(y), 300, "PNG", 8, 1, 4000) for y in many.truth)
    found = trivial.audit(told)
    assert found.verdict == "fail" and any("width in pixels" in said.en for said in found.said)


def test_trivial_features_tell_a_test_part_from_elsewhere(many: Subject) -> None:
    elsewhere = np.clip(many.pixels * np.where(many.parts == "test", 0.6, 1.0)[:, None, None], 0, 255).astype(np.uint8)
    found = trivial.audit(changed(many, elsewhere))
    assert found.verdict == "warn" and (found.figures["part_negatives"].low or 0) > 0.75


@pytest.mark.parametrize("fault", ["letter", "stripe", "patch", "letter on the healthy"])
def test_a_marker_that_gives_the_label_away_is_found_and_its_carriers_named(many: Subject, fault: str) -> None:
    pixels = many.pixels.copy()
    carriers = np.flatnonzero(many.truth == (0 if "healthy" in fault else 1))
    for row in carriers:
        if fault == "stripe":
            pixels[row, :, :4] = 190
        elif fault == "patch":
            pixels[row, 242:252, 4:14] = 90
        else:
            picture = Image.fromarray(pixels[row])
            ImageDraw.Draw(picture).text((232, 6), "P", fill=255, font=ImageFont.load_default(14))
            pixels[row] = np.asarray(picture)
    found = marker.audit(changed(many, pixels))
    wanted = {many.ids[row] for row in carriers}
    assert found.verdict == "fail"
    assert len(named(found, "marker") & wanted) >= 0.98 * len(wanted)
    assert len(named(found, "marker") - wanted) <= 0.01 * (N - len(wanted))
    place = {"stripe": "A1–A8", "patch": "A8"}.get(fault, "H1")
    assert any(f" {place} " in said.en for said in found.said), [said.en for said in found.said]


def test_no_marker_is_found_on_clean_pictures(many: Subject) -> None:
    found = marker.audit(many)
    assert found.verdict == "pass" and not found.suspects and len(found.tables) == 1


def test_a_stripe_that_gives_the_source_away_is_found(many: Subject) -> None:
    random = RNG(3)
    north = random.random(N) < 0.5
    pixels = many.pixels.copy()
    pixels[north, :5] = 160
    samples = tuple(
        replace(sample, source="north" if one else "south") for sample, one in zip(many.samples, north, strict=True)
    )
    told = replace(changed(many, pixels), samples=samples)
    told.__dict__["lungs"] = many.lungs
    found = marker.audit(told)
    wanted = {many.ids[row] for row in np.flatnonzero(north)}
    assert found.verdict == "warn" and named(found, "source") == wanted
    by_source = source.audit(told)
    assert by_source.verdict == "note"  # told, and nothing of the label with it
    assert (by_source.figures["border"].low or 0) > 0.9


def test_a_source_that_tells_the_label_fails(many: Subject) -> None:
    random = RNG(4)
    sick = (many.truth == 1) ^ (random.random(N) < 0.02)
    pixels = many.pixels.copy()
    pixels[sick, :6] = 200
    samples = tuple(
        replace(sample, source="clinic" if one else "screening") for sample, one in zip(many.samples, sick, strict=True)
    )
    told = replace(changed(many, pixels), samples=samples)
    told.__dict__["lungs"] = many.lungs
    found = source.audit(told)
    assert found.verdict == "fail" and (found.figures["label_from_source"].low or 0) > 0.9


def test_one_source_is_skipped_and_another_set_beside_is_told(many: Subject) -> None:
    assert source.audit(many).verdict == "skipped"
    dimmer = subject_of(
        (many.pixels[:60] * 0.7).astype(np.uint8), sick=(many.truth[:60] == 1).astype(int), name="other"
    )
    found = source.audit(replace(many, beside=(dimmer,)))
    assert {row[0] for row in found.tables[0].rows} == {"set", "other"} and (found.figures["picture"].low or 0) > 0.9


def written(pixels: Greys) -> Greys:
    picture = Image.fromarray(pixels)
    ImageDraw.Draw(picture).text((20, 225), "DOE JOHN 1962", fill=255, font=ImageFont.load_default(13))
    return np.asarray(picture)


FAULTS = {
    "inverted": lambda one: 255 - one,
    "turned": np.rot90,
    "blank": lambda one: one // 50 + 90,
    "dark": lambda one: (one * 0.25).astype(np.uint8),
    "bright": lambda one: np.clip(one.astype(int) + 170, 0, 255).astype(np.uint8),
    "text": written,
    "cropped": lambda one: resized(one[:, :176]),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_bad_picture_is_named_with_what_it_is(chests: Greys, kind: str) -> None:
    spoilt = np.stack([np.ascontiguousarray(FAULTS[kind](one)) for one in chests])
    found = named(quality.audit(subject_of(spoilt)), kind)
    # lungs white with disease, or a half of them, do not reach the border
    assert len(found) >= len(chests) - (3 if kind == "cropped" else 1)


def test_whole_pictures_are_not_named(chests: Greys) -> None:
    found = quality.audit(subject_of(chests))
    assert len({one.id for one in found.suspects}) <= 1, [(one.kind, one.why.en) for one in found.suspects]


def test_views_sizes_headers_and_unreadable_files_are_named(chests: Greys, tmp_path: Path) -> None:
    seen = subject_of(chests[:3], view=["LATERAL", "PA", ""])
    header = Header(1000, 1000, "DICOM", 12, 1, 9)
    seen = replace(seen, refused=(Refused(id="broken", code="corrupt_image", reason="it ends"),))
    seen.__dict__["headers"] = (None, replace(header, width=90), replace(header, view="LATERAL", annotated=True))
    found = quality.audit(seen)
    assert found.verdict == "fail" and named(found, "unreadable") == {"broken"}
    assert named(found, "lateral") == {"i00000", "i00002"} and named(found, "tiny") == {"i00001"}
    assert named(found, "text") == {"i00002"}


def test_a_side_letter_is_no_text() -> None:
    plain = np.full((SIDE, SIDE), 40, np.uint8)
    picture = Image.fromarray(plain)
    ImageDraw.Draw(picture).text((10, 10), "R", fill=255, font=ImageFont.load_default(20))
    assert lettering.longest_row(np.asarray(picture))[0] == 1
    assert lettering.longest_row(plain)[0] == 0
    assert lettering.longest_row(written(plain))[0] >= 4


def test_flipped_labels_are_found(chests: Greys) -> None:
    random = RNG(6)
    count, y, x = 300, *np.mgrid[:SIDE, :SIDE]
    sick = np.arange(count) % 2 == 1
    pictures = np.empty((count, SIDE, SIDE), np.uint8)
    for row in range(count):
        across, down = 80 + random.integers(-6, 7), 140 + random.integers(-6, 7)
        spot = 170 * np.exp(-((x - across) ** 2 + (y - down) ** 2) / 1200) if sick[row] else 0
        grain = random.normal(0, 5, (SIDE, SIDE))
        pictures[row] = np.clip(chests[row // 2 % len(chests)] * random.uniform(0.8, 1) + grain + spot, 0, 255)
    flipped = np.zeros(count, bool)
    flipped[random.permutation(count)[: count // 20]] = True
    seen = subject_of(pictures, sick=(sick ^ flipped).astype(int))
    found = labels.audit(seen)
    wanted = {seen.ids[row] for row in np.flatnonzero(flipped)}
    assert found.verdict == "warn"
    assert len(named(found, "label") & wanted) >= 0.98 * len(wanted)
    assert len(named(found, "label") - wanted) <= 0.01 * (count - len(wanted))
    gaps = [one.value for one in found.suspects]
    assert gaps == sorted(gaps, reverse=True)
    assert (found.figures["recall"].value or 0) > 0.7  # a tenth of the labels is wrong by then


def test_labels_without_anything_to_see_are_left_alone(many: Subject) -> None:
    found = labels.audit(many)  # drawn at random: nothing can be said
    assert found.verdict == "note" and any("too weak" in said.en for said in found.said)


def test_confident_joint_by_hand() -> None:
    """Thresholds are .75 and .7: the third image is confidently of the other label, the fourth is not."""
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.1, 0.9], [0.4, 0.6], [0.2, 0.8], [0.4, 0.6]])
    classes = np.array([0, 0, 0, 1, 1, 1])
    other, gap = labels.suspicious(probabilities, classes)
    assert other.tolist() == [-1, -1, 1, -1, -1, -1] and gap[2] == pytest.approx(0.8)


@pytest.mark.parametrize("member", [trivial, marker, source, quality, labels])
def test_few_images_raise_nothing(chests: Greys, member: object) -> None:
    found: Outcome = member.audit(subject_of(chests[:3], sick=[0, 1, 0]))  # type: ignore[attr-defined]
    assert found.said and all(said.en and said.fr for said in found.said)


def from_sources(many: Subject, of: NDArray[np.str_], pixels: Greys) -> Subject:
    samples = tuple(replace(sample, source=str(one)) for sample, one in zip(many.samples, of, strict=True))
    told = replace(changed(many, pixels), samples=samples)
    told.__dict__["lungs"] = many.lungs
    return told


def test_one_source_that_gives_the_label_away_is_enough(many: Subject) -> None:
    """All sick are from one hospital with a bright frame; the healthy are from two that nothing tells apart."""
    sick = many.truth == 1
    of = np.where(sick, "A", np.where(RNG(7).random(N) < 0.5, "B", "C"))
    pixels = many.pixels.copy()
    pixels[sick, :6] = 200
    found = source.audit(from_sources(many, of, pixels))
    assert found.verdict == "fail"
    assert (found.figures["picture"].low or 0) > 0.9
    assert (found.figures["label_by_border"].low or 0) > 0.9


def test_sources_that_tell_the_label_but_cannot_be_told_apart_do_not_fail(many: Subject) -> None:
    """The source told is one with as many sick as well; those that hold the label look alike."""
    sick, random = many.truth == 1, RNG(8)
    told = random.random(N) < 0.3
    of = np.where(told, "A", np.where(sick, "B", "C"))
    pixels = many.pixels.copy()
    pixels[told, :6] = 200
    found = source.audit(from_sources(many, of, pixels))
    assert (found.figures["label_from_source"].low or 0) > 0.75
    assert (found.figures["border"].low or 0) > 0.9
    assert (found.figures["label_by_border"].low or 0) < 0.6
    assert found.verdict == "note"


def test_images_that_cannot_be_judged_count_for_no_marker(many: Subject) -> None:
    """A third of the labels is unknown, and all of those images carry the stripe of the sick."""
    sick = many.truth == 1
    unknown = np.arange(N) % 3 == 0
    pixels = many.pixels.copy()
    pixels[sick | unknown, :, :4] = 190
    told = changed(many, pixels)
    told.__dict__["truth"] = np.where(unknown, np.nan, many.truth)
    found = marker.audit(told)
    judged = int((~unknown).sum())
    assert found.verdict == "fail"
    assert found.figures["told_by_marker"].n == found.figures["carriers"].n == judged
    assert (found.figures["told_by_marker"].value or 0) > 0.97
    assert not named(found, "marker") & {many.ids[row] for row in np.flatnonzero(unknown)}
    assert f" {judged} images" in found.said[0].en


def test_images_of_no_known_source_are_not_of_another_one(many: Subject) -> None:
    place = np.arange(N) % 3
    pixels = many.pixels.copy()
    pixels[place != 1, :5] = 160  # of the north, and of nobody knows where
    found = marker.audit(from_sources(many, np.array(["north", "south", ""])[place], pixels))
    assert found.verdict == "warn"
    assert (found.figures["told_by_marker"].value, found.figures["carriers"].n) == (1.0, int((place != 2).sum()))
    assert named(found, "source") == {many.ids[row] for row in np.flatnonzero(place == 0)}


def test_a_label_that_trivial_features_could_not_be_asked_of_is_not_passed(many: Subject) -> None:
    healthy = changed(many, many.pixels)
    healthy.__dict__["truth"] = np.zeros(N)
    found = trivial.audit(healthy)
    assert "label_all" not in found.figures and "part_negatives" in found.figures
    assert found.verdict == "note" and "could not be judged" in found.said[0].en


@pytest.mark.parametrize(("names", "positive", "held"), [(2, "OPACITY", [0]), (3, "c", [0, 1]), (3, "c", [2])])
def test_labels_of_which_only_one_side_is_held_are_skipped(
    many: Subject, names: int, positive: str, held: list[int]
) -> None:
    labelled = LabelSet(names=("NORMAL", "OPACITY") if names == 2 else ("a", "b", "c"), positive=(positive,))
    values = [tuple(float(place == held[row % len(held)]) for place in range(names)) for row in range(40)]
    found = labels.audit(subject_of(many.pixels[:40], values=values, labels=labelled))
    assert found.verdict == "skipped" and not found.suspects


def test_an_image_cut_off_on_two_sides_is_counted_once(chests: Greys) -> None:
    seen = subject_of(chests[:1])
    lungs = np.zeros((1, 64, 64), np.float32)
    lungs[:, 16:48, :32] = lungs[:, 32:, 8:40] = 1
    seen.__dict__["lungs"] = lungs
    ((kind, _, why),) = quality._cropped(lungs[0])
    assert kind == "cropped" and "left border" in why.en and "lower border" in why.en
    assert "bord gauche" in why.fr and "bord inférieur" in why.fr
    found = quality.audit(seen)
    assert all(found.figures[name].value in (0, 1) for name in quality._KINDS)
    assert all(row[1] == 1 for table in found.tables for row in table.rows)
