"""What lies outside the lungs, and the greys by the lungs: exact where promised, told, and the same by every way in."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import corpus
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import laennec as ln
from conftest import tiny_recipe
from laennec import loader
from laennec.images import decoded, framing, load, lungs, read, to_input
from laennec.images.framing import GRID, Region
from laennec.preprocess import Preprocess
from laennec.runtime import infer, start
from laennec.samples import Sample
from laennec.training import train

Grey = NDArray[np.float32]
EVERY = {"frame": "lungs", "outside": "black", "normalise": "lungs", "equalise": True}


def rule(**values: Any) -> Preprocess:
    return Preprocess.model_validate({"size": 64} | values)


class TwoLungs:
    """Stands for the locator: two upright rectangles on any picture, columns 10 to 25 and 40 to 55, rows 12 to 50."""

    def __init__(self) -> None:
        self.runs = 0

    def locator(self) -> TwoLungs:
        return self

    def probabilities(self, pixels: Grey) -> Grey:
        self.runs += 1
        made = np.full((64, 64), 0.01, np.float32)
        made[12:50, 10:25] = made[12:50, 40:55] = 0.95
        return made


@pytest.fixture
def two_lungs(monkeypatch: pytest.MonkeyPatch) -> TwoLungs:
    stand_in = TwoLungs()
    monkeypatch.setattr(lungs, "SHIPPED", stand_in)
    return stand_in


def lung_pixels(shape: tuple[int, int]) -> NDArray[np.bool_]:
    probabilities = TwoLungs().probabilities(np.zeros(shape, np.float32))
    return Region.of(probabilities, lungs.lungs_of(probabilities)).inside(shape)


@pytest.fixture(scope="module")
def chests(real_data: Path) -> list[Path]:
    return sorted((real_data / "kermany" / "test").rglob("*.jpeg"))[::26]


GREYS = hnp.arrays(np.uint8, st.tuples(st.integers(48, 200), st.integers(48, 200)))
SIDES = st.tuples(st.integers(1, 300), st.integers(1, 300))


@st.composite
def regions(draw: st.DrawFn) -> Region:
    """A few rectangles and single cells."""
    mask = np.zeros((GRID, GRID), bool)
    for _ in range(draw(st.integers(1, 4))):
        top, left = draw(st.integers(0, GRID - 1)), draw(st.integers(0, GRID - 1))
        mask[top : top + draw(st.integers(1, 60)), left : left + draw(st.integers(1, 60))] = True
    return Region(mask, (draw(st.floats(0.25, 1)), draw(st.floats(0.25, 1))))


# what is kept


@settings(max_examples=50, deadline=None)
@given(regions(), SIDES, st.floats(0, 0.5))
def test_no_pixel_of_the_lungs_is_touched(region: Region, shape: tuple[int, int], margin: float) -> None:
    kept = region.kept(shape, margin, (0, 0, shape[1], shape[0]))
    assert kept.shape == shape and kept.dtype == np.float32 and kept.min() >= 0 and kept.max() <= 1
    lung = region.inside(shape)
    if not lung.all():
        assert (kept[lung] == 1).all()


@settings(max_examples=30, deadline=None)
@given(regions(), SIDES, st.floats(0, 0.4), st.floats(0, 0.1))
def test_a_wider_margin_keeps_more(region: Region, shape: tuple[int, int], margin: float, more: float) -> None:
    whole = (0, 0, shape[1], shape[0])
    assert (region.kept(shape, margin + more, whole) >= region.kept(shape, margin, whole)).all()


@settings(max_examples=30, deadline=None)
@given(regions(), SIDES, st.floats(0, 0.5), st.data())
def test_a_part_is_kept_like_the_whole(
    region: Region, shape: tuple[int, int], margin: float, data: st.DataObject
) -> None:
    left, top = data.draw(st.integers(0, shape[1] - 1)), data.draw(st.integers(0, shape[0] - 1))
    frame = (left, top, data.draw(st.integers(left + 1, shape[1])), data.draw(st.integers(top + 1, shape[0])))
    part, whole = region.kept(shape, margin, frame), region.kept(shape, margin, (0, 0, shape[1], shape[0]))
    assert np.abs(part - whole[frame[1] : frame[3], left : frame[2]]).max() <= 2 / 255


def test_the_margin_is_a_share_of_the_boxs_sides() -> None:
    mask = np.zeros((GRID, GRID), bool)
    mask[60:68, 60:68] = True
    kept = Region(mask, (0.5, 0.25)).kept((GRID, GRID), 0.2, (0, 0, GRID, GRID))
    # 0.2 x 0.5 x 128 = 12.8 cells across, 6.4 down, and 1.5 for the corners; gone at half as far again
    across, down = kept[64, 67:], kept[67:, 64]
    assert (across[:15] == 1).all() and across[15] < 1 and across[21] > 0 and not across[22:].any()
    assert (down[:8] == 1).all() and down[8] < 1 and down[11] > 0 and not down[12:].any()


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.uint8, (9, 7)), hnp.arrays(np.uint8, (9, 7)), st.floats(0, 1), st.floats(0, 1))
def test_fading_draws_towards_one_level(
    grey: NDArray[np.uint8], share: NDArray[np.uint8], level: float, contrast: float
) -> None:
    pixels, kept = (np.divide(values, 255, dtype=np.float32) for values in (grey, share))
    made = framing.faded(pixels, kept, level, contrast)
    assert np.array_equal(made[kept == 1], pixels[kept == 1])
    assert (np.abs(made - level) <= np.abs(pixels - level) + 1e-6).all() and made.dtype == np.float32
    assert np.abs(made - level)[kept == 0] == pytest.approx(contrast * np.abs(pixels - level)[kept == 0], abs=1e-6)
    hard = np.rint(kept)
    black = framing.faded(pixels, hard, 0.0, 0.0)
    assert np.array_equal(black, pixels * hard)
    assert np.array_equal(framing.faded(black, hard, 0.0, 0.0), black), "black twice is black once"


# on pictures


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grey=GREYS, margin=st.floats(0, 0.3), outside=st.sampled_from(["dim", "black"]))
def test_inside_the_lungs_outside_changes_nothing(
    two_lungs: TwoLungs, grey: NDArray[np.uint8], margin: float, outside: str
) -> None:
    pixels = np.divide(grey, 255, dtype=np.float32)
    made, done = framing.framed(pixels, rule(outside=outside, margin=margin))
    lung = lung_pixels(pixels.shape)
    assert 0.2 < lung.mean() < 0.4 and np.array_equal(made[lung], pixels[lung]) and done["outside"] == outside
    if margin < 0.1:
        corner = made[:4, :4]
        level = 0 if outside == "black" else float(pixels[lung].mean())
        away = (0 if outside == "black" else 0.25) * (pixels[:4, :4] - level)
        assert corner == pytest.approx(level + away, abs=1e-5)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grey=GREYS, gain=st.floats(0.3, 1), lift=st.floats(0, 1))
def test_greys_by_the_lungs_know_no_exposure_and_settle(
    two_lungs: TwoLungs, grey: NDArray[np.uint8], gain: float, lift: float
) -> None:
    pixels = np.divide(grey, 255, dtype=np.float32)
    lung = lung_pixels(pixels.shape)
    by_lungs = rule(normalise="lungs")
    made, done = framing.framed(pixels, by_lungs)
    low, high = np.percentile(pixels[lung], (2, 98))
    if high - low < 3 / 255:
        return
    assert done["normalised"] is True and made.min() >= 0 and made.max() <= 1
    assert np.percentile(made[lung], (2, 98)) == pytest.approx([0.1, 0.9], abs=1e-4)
    other, _ = framing.framed((gain * pixels + lift * (1 - gain)).astype(np.float32), by_lungs)
    assert other == pytest.approx(made, abs=2e-4)
    assert framing.framed(made, by_lungs)[0] == pytest.approx(made, abs=2e-4)


def test_lungs_of_one_grey_set_no_scale(two_lungs: TwoLungs) -> None:
    pixels = np.full((90, 90), 0.5, np.float32)
    pixels[:9] = 0.1
    made, done = framing.framed(pixels, rule(normalise="lungs"))
    assert np.array_equal(made, pixels) and done["normalised"] is False and "lung_doubt" not in done


def test_black_stays_black_whatever_else_is_asked(two_lungs: TwoLungs) -> None:
    pixels = np.random.default_rng(0).uniform(0.4, 0.9, (160, 130)).astype(np.float32)
    made, done = framing.framed(pixels, rule(outside="black", normalise="lungs", equalise=True))
    assert not made[:10].any() and not made[:, :6].any()
    assert [done[k] for k in ("outside", "normalised", "equalised")] == ["black", True, True]
    shown = np.sort(made[made > 0])
    assert shown == pytest.approx(np.linspace(0, 1, shown.size), abs=0.03), "all levels are the lungs'"


@pytest.mark.parametrize("values", [{"outside": "black"}, {"outside": "dim"}, {"normalise": "lungs", "outside": "dim"}])
def test_the_frame_shows_a_part_of_the_same_picture(two_lungs: TwoLungs, values: dict[str, str]) -> None:
    pixels = np.random.default_rng(1).random((211, 173), dtype=np.float32)
    whole, _ = framing.framed(pixels, rule(**values))
    part, done = framing.framed(pixels, rule(frame="lungs", **values))
    left, top, right, bottom = (int(done[f"frame_{side}"]) for side in ("left", "top", "right", "bottom"))
    assert part.shape == (bottom - top, right - left) != pixels.shape
    assert part == pytest.approx(whole[top:bottom, left:right], abs=2 / 255)


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (20, 17), (128, 128), (400, 90)])
def test_any_shape_passes(two_lungs: TwoLungs, shape: tuple[int, int], resize: str) -> None:
    made = to_input(np.random.default_rng(2).random(shape, dtype=np.float32), rule(resize=resize, **EVERY))
    assert made.shape == (64, 64) and made.dtype == np.uint8


def test_lungs_are_looked_for_once_and_the_picture_is_left_alone(two_lungs: TwoLungs) -> None:
    pixels = np.random.default_rng(3).random((100, 100), dtype=np.float32)
    before = pixels.copy()
    framing.framed(pixels, rule(**EVERY))
    assert two_lungs.runs == 1 and np.array_equal(pixels, before)
    framing.framed(pixels, rule(equalise=True, margin=0.2))
    assert two_lungs.runs == 1


# radiographs and what is none


def test_on_radiographs_the_corners_go_and_the_lungs_stay(chests: list[Path]) -> None:
    for path in chests[:12]:
        pixels = read(path).pixels
        made, done = framing.framed(pixels, rule(outside="black"))
        probabilities = lungs.SHIPPED.locator().probabilities(pixels)
        lung = Region.of(probabilities, lungs.lungs_of(probabilities)).inside(pixels.shape)
        assert lung.mean() == pytest.approx(float(done["lung_share"]), abs=0.03)
        assert np.array_equal(made[lung], pixels[lung]) and 0.03 < (made == 0).mean() < 0.6
        json.dumps(done)


def test_on_radiographs_exposure_is_undone(chests: list[Path]) -> None:
    for path in chests[:6]:
        pixels = read(path).pixels
        darker = (0.15 + 0.6 * pixels).astype(np.float32)
        made, other = (to_input(p, rule(normalise="lungs")).astype(int) for p in (pixels, darker))
        assert np.abs(made - other).mean() < 1


@pytest.mark.parametrize("values", [{"outside": "black"}, {"outside": "dim"}, {"normalise": "lungs"}, EVERY])
def test_without_lungs_the_picture_stays_and_that_is_told(values: dict[str, Any]) -> None:
    file = corpus.saved(corpus.noise((200, 180)))
    array, done = load(file, rule(**values))
    assert np.array_equal(array, load(file, rule(equalise=values.get("equalise", False)))[0])
    assert done["lung_doubt"]
    assert done.get("outside", "keep") == "keep" and done.get("normalised", False) is False
    assert ("frame_doubt" in done) == ("frame" in values)


# every way in


@pytest.mark.parametrize("workers", [0, 2])
def test_the_cache_holds_what_load_gives(real_data: Path, tmp_path: Path, workers: int) -> None:
    paths = sorted((real_data / "kermany" / "test").rglob("*.jpeg"))[:600:9]
    samples = [Sample(path.name, path, (0.0,), path.name) for path in paths]
    asked = Preprocess.model_validate({"size": 40, "margin": 0.03, "resize": "pad"} | EVERY)
    found = decoded(samples, asked, tmp_path, workers)
    assert not found.refused and len(found.kept) >= 64
    for row, path in zip(found.pixels, paths, strict=True):
        assert np.array_equal(row, load(path, asked)[0])


def test_each_choice_is_another_array() -> None:
    choices: list[dict[str, Any]] = [{}, {"frame": "lungs"}, {"normalise": "lungs"}]
    choices += [{"outside": "dim"}, {"outside": "black"}, {"outside": "black", "margin": 0.2}, EVERY]
    assert len({rule(**choice).pixel_digest for choice in choices}) == len(choices)
    assert rule(normalise="lungs", margin=0.2).pixel_digest == rule(normalise="lungs").pixel_digest


def test_predict_and_score_answer_what_an_evaluation_finds(chests: list[Path], tmp_path: Path) -> None:
    for number, path in enumerate(chests):
        name = "sick" if "PNEUMONIA" in str(path) else "normal"
        (tmp_path / "in" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name / f"p{number:03}_0.jpeg").write_bytes(path.read_bytes())
    asked = {"size": 32, "outside": "black", "normalise": "lungs", "frame": "lungs"}
    small: dict[str, Any] = {"phases": [{"epochs": 1, "learning_rate": 1e-2}], "model": {"name": "cnn", "widths": [4]}}
    small |= {"training": {"batch_size": 8, "threads": 1}, "augmentation": {}}
    bundle = train(tiny_recipe(tmp_path / "in", preprocess=asked, **small), tmp_path / "run")
    part = loader.reload(bundle, ("test",), None).part("test")
    judged = infer(start(bundle, 1), part, "test").probabilities[:, bundle.card.labels.names.index("sick")]
    predictor = ln.Predictor(bundle, threads=1)
    ln.score(predictor, tmp_path / "in", tmp_path / "out.csv", decoders=0)
    with (tmp_path / "out.csv").open(newline="") as stream:
        scored = {Path(row["file"]).stem: float(row["score"]) for row in csv.DictReader(stream)}
    assert len(scored) == len(chests) and len(part.samples) >= 4
    for sample, score in zip(part.samples, judged.tolist(), strict=True):
        answer = predictor.predict(sample.path)
        assert answer.score == pytest.approx(score, abs=1e-5) == scored[sample.path.stem]
        assert answer.image["outside"] == "black" and answer.image["normalised"] is True
