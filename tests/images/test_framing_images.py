"""The frame around the lungs and the equalised histogram: found, exact, told, and the same by every way in."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import corpus
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from laennec import onnxfile
from laennec.errors import ImageError, UntrustedBundle
from laennec.images import decoded, decoding, framing, load, lungs, read, to_input
from laennec.images.lungs import Lungs, lungs_of
from laennec.preprocess import LOCATOR, Preprocess
from laennec.samples import Sample

GRAPH = Path(lungs.__file__).with_name("lungs.onnx")
FRAMED = Preprocess(size=32, frame="lungs", equalise=True)
Box = tuple[float, float, float, float]


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    both = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def box_of(mask: NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height


@pytest.fixture(scope="module")
def chests(real_data: Path) -> list[tuple[NDArray[np.float32], Box]]:
    """Forty radiographs of the official test part, which the locator never saw, and the boxes of their masks."""
    found = []
    for path in sorted((real_data / "kermany" / "test").rglob("*.jpeg"))[::15][:40]:
        mask = real_data / "kermany-lungmasks" / "test" / path.parent.name / f"{path.stem}.png"
        if mask.is_file():
            found.append((read(path).pixels, box_of(np.asarray(Image.open(mask).convert("L")) > 127)))
    return found


def flat(level: float = 0.4) -> NDArray[np.float32]:
    return np.full((80, 60), level, np.float32)


def not_chests() -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(5)
    slope = np.linspace(0, 1, 200, dtype=np.float32)
    disc = np.hypot(*np.mgrid[-1:1:200j, -1:1:200j]) < 0.5
    return {
        "noise": random.random((240, 200), dtype=np.float32),
        "flat": flat(),
        "black": flat(0),
        "slope": np.tile(slope, (150, 1)),
        "board": np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((30, 30))).astype(np.float32),
        "disc": disc.astype(np.float32),
        "dot": np.ones((1, 1), np.float32),
        "line": np.tile(slope, (1, 1)),
    }


# the shipped network


def test_the_network_is_the_one_the_code_names() -> None:
    data, facts = GRAPH.read_bytes(), json.loads(GRAPH.with_suffix(".json").read_text(encoding="utf-8"))
    assert hashlib.sha256(data).hexdigest() == facts["sha256"] == LOCATOR
    assert len(data) == facts["bytes"] < 300_000
    onnxfile.check(data)
    assert {source["licence"] for source in facts["data"]} == {"CC BY 4.0"}
    assert set(facts["figures"]) == {"validation", "test", "adults"}


def test_the_network_names_no_place_of_its_making() -> None:
    assert not [word for word in (b"/home", b"/work", b".py", b"site-packages") if word in GRAPH.read_bytes()]


@pytest.mark.parametrize("harm", ["byte", "missing"])
def test_another_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    path = tmp_path / "lungs.onnx"
    if harm == "byte":
        data = bytearray(GRAPH.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    monkeypatch.setattr(lungs, "SHIPPED", type(lungs.SHIPPED)(path))
    with pytest.raises(UntrustedBundle, match=r"lungs\.onnx"):
        load(corpus.saved(corpus.noise((40, 40))), FRAMED)
    load(corpus.saved(corpus.noise((40, 40))), Preprocess(size=32, equalise=True))


WORKER = """
import sys
from pathlib import Path
from laennec.images import decoder, lungs
lungs.SHIPPED.path = Path("nowhere") / "lungs.onnx"
raise SystemExit(decoder.main())
"""


def test_workers_without_the_network_end_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setattr(decoding, "COMMAND", (sys.executable, str(tmp_path / "worker.py")))
    path = tmp_path / "a.png"
    path.write_bytes(corpus.saved(corpus.noise((40, 40))))
    samples = [Sample(str(i), path, (0.0,), "a") for i in range(70)]
    with pytest.raises(UntrustedBundle, match="lacks"):
        decoded(samples, FRAMED, tmp_path / "cache", workers=1)


def test_whole_pictures_wake_no_runtime() -> None:
    script = "import sys, numpy; from laennec import images, Preprocess\n"
    script += "images.to_input(numpy.eye(9, dtype='f4'), Preprocess(size=16, equalise=True))\n"
    script += "print('onnxruntime' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
    )


# lungs on radiographs


def test_lungs_are_found_where_the_masks_have_them(chests: list[tuple[NDArray[np.float32], Box]]) -> None:
    found = [lungs.find(pixels) for pixels, _ in chests]
    overlaps = [overlap(lung.box, box) for lung, (_, box) in zip(found, chests, strict=True)]
    assert not any(lung.doubt for lung in found)
    assert min(overlaps) >= 0.8 and np.median(overlaps) >= 0.92


CHANGES = {
    "dark": lambda p: p**2.2,
    "bright": lambda p: p**0.45,
    "flat": lambda p: 0.3 + 0.35 * p,
    "hard": lambda p: np.clip((p - 0.5) * 1.8 + 0.5, 0, 1),
    "mirror": lambda p: p[:, ::-1],
    "noise": lambda p: np.clip(p + np.random.default_rng(0).normal(0, 0.05, p.shape), 0, 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_exposure_moves_no_box(chests: list[tuple[NDArray[np.float32], Box]], change: str) -> None:
    overlaps = []
    for pixels, (left, top, right, bottom) in chests[::2]:
        box = (1 - right, top, 1 - left, bottom) if change == "mirror" else (left, top, right, bottom)
        overlaps.append(overlap(lungs.find(CHANGES[change](pixels).astype(np.float32)).box, box))
    assert min(overlaps) >= 0.75 and np.median(overlaps) >= 0.9


@pytest.mark.parametrize("bars", [(30, 0, 0, 0), (0, 30, 0, 0), (0, 0, 40, 0), (0, 0, 0, 40), (25, 25, 25, 25)])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_bars_around_the_picture_move_the_box_along(
    chests: list[tuple[NDArray[np.float32], Box]], bars: tuple[int, int, int, int], level: float
) -> None:
    above, below, before, after = bars
    overlaps = []
    for pixels, (left, top, right, bottom) in chests[::4]:
        rows, columns = pixels.shape
        wider = np.pad(pixels, ((above, below), (before, after)), constant_values=level)
        across, down = columns + before + after, rows + above + below
        box = (left * columns + before) / across, (top * rows + above) / down
        far = (right * columns + before) / across, (bottom * rows + above) / down
        overlaps.append(overlap(lungs.find(wider).box, (*box, *far)))
    assert min(overlaps) >= 0.7 and np.median(overlaps) >= 0.88


def test_a_closer_view_keeps_the_lungs(chests: list[tuple[NDArray[np.float32], Box]]) -> None:
    overlaps = []
    for pixels, (left, top, right, bottom) in chests[::2]:
        rows, columns = pixels.shape
        y, x = round(top * rows * 0.8), round(left * columns * 0.8)
        below, after = round(rows - (1 - bottom) * rows * 0.8), round(columns - (1 - right) * columns * 0.8)
        closer = pixels[y:below, x:after]
        box = (left * columns - x) / closer.shape[1], (top * rows - y) / closer.shape[0]
        far = (right * columns - x) / closer.shape[1], (bottom * rows - y) / closer.shape[0]
        overlaps.append(overlap(lungs.find(closer).box, (*box, *far)))
    assert min(overlaps) >= 0.75 and np.median(overlaps) >= 0.9


def test_adults_are_framed_too(real_data: Path) -> None:
    overlaps = []
    for path in sorted((real_data / "covid-ccby" / "images").iterdir())[::8]:
        mask = np.asarray(Image.open(real_data / "covid-ccby" / "lung_masks" / path.name).convert("L")) > 127
        overlaps.append(overlap(lungs.find(read(path).pixels).box, box_of(mask)))
    assert np.median(overlaps) >= 0.8


def test_threads_agree(chests: list[tuple[NDArray[np.float32], Box]]) -> None:
    lungs.SHIPPED.__dict__.pop("_locator", None)
    pictures = [pixels for pixels, _ in chests[:12]] * 4
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lungs.find, pictures))
    assert together == [lungs.find(pixels) for pixels in pictures]


# no lungs


@pytest.mark.parametrize("name", not_chests())
def test_what_is_no_chest_stays_whole_and_is_told(name: str) -> None:
    pixels = not_chests()[name]
    found = lungs.find(pixels)
    assert found.doubt and found.box == (0, 0, 1, 1)
    seen, done = framing.framed(pixels, Preprocess(frame="lungs"))
    assert np.array_equal(seen, pixels)
    assert done["frame"] == "whole" and done["frame_doubt"] == found.doubt
    assert [done["frame_left"], done["frame_top"]] == [0, 0]
    assert [done["frame_right"], done["frame_bottom"]] == [pixels.shape[1], pixels.shape[0]]
    whole = to_input(pixels, Preprocess(size=32))
    assert np.array_equal(to_input(pixels, Preprocess(size=32, frame="lungs")), whole)


def test_a_blank_file_is_still_refused() -> None:
    with pytest.raises(ImageError, match="same value"):
        load(corpus.saved(np.full((40, 40), 90, np.uint8)), FRAMED)


def two_lungs(sure: float = 0.95) -> NDArray[np.float32]:
    """Probabilities of two upright rectangles: columns 10 to 25 and 40 to 55, rows 12 to 50."""
    made = np.full((64, 64), 0.01, np.float32)
    made[12:50, 10:25] = made[12:50, 40:55] = sure
    return made


def test_the_box_of_hand_made_lungs() -> None:
    found = lungs_of(two_lungs())
    assert found.doubt == "" and found.share == pytest.approx(2 * 38 * 15 / 4096)
    assert np.abs(np.array(found.box) * 64 - (10, 12, 55, 50)).max() <= 0.5


def test_strays_do_not_move_the_box() -> None:
    strays = two_lungs()
    strays[0:3, 0:3] = strays[60:64, 58:64] = 0.99
    assert lungs_of(strays) == lungs_of(two_lungs())


def test_one_lung_alone_is_no_frame() -> None:
    """The other one may be white, and would be cut off."""
    one = two_lungs()
    one[:, 30:] = 0
    one[:, 5:10] = one[:, 10:15]
    assert lungs_of(one).doubt == "one lung alone"
    joined = two_lungs()
    joined[12:16, 20:45] = 0.9
    assert not lungs_of(joined).doubt, "both in one component"


def test_a_winding_component_is_one() -> None:
    snake = np.zeros((64, 64), bool)
    snake[::4] = True
    snake[2::8, -1] = snake[6::8, 0] = snake[1::8, -1] = snake[3::8, -1] = snake[5::8, 0] = snake[7::8, 0] = True
    kept, components = lungs._without_strays(snake)
    assert np.array_equal(kept, snake) and components == 1


@pytest.mark.parametrize(
    ("probabilities", "word"),
    [
        (np.zeros((64, 64)), "small"),
        (np.ones((64, 64)), "large"),
        (two_lungs(0.6), "faint"),
        (np.pad(np.ones((64, 10)), ((0, 0), (27, 27))), "narrow"),
    ],
)
def test_what_cannot_be_lungs_is_doubted(probabilities: NDArray[np.float32], word: str) -> None:
    found = lungs_of(probabilities.astype(np.float32))
    assert word in found.doubt and found.box == (0, 0, 1, 1)


# the cut


def test_the_margin_is_a_share_of_the_boxs_sides() -> None:
    found = Lungs((0.25, 0.4, 0.75, 0.8), 0.3)
    assert framing.cut(found, 0.0, (100, 200)) == (50, 40, 150, 80)
    assert framing.cut(found, 0.1, (100, 200)) == (40, 36, 160, 84)
    assert framing.cut(found, 0.5, (100, 200)) == (0, 20, 200, 100)
    assert framing.cut(found, 0.08, (224, 224)) == (47, 82, 177, 186)


@given(
    st.tuples(*[st.floats(0, 0.7)] * 2),
    st.tuples(*[st.floats(0.25, 1)] * 2),
    st.floats(0, 0.5),
    st.tuples(*[st.integers(1, 60)] * 2),
)
def test_the_cut_lies_in_the_picture(
    near: tuple[float, float], side: tuple[float, float], margin: float, shape: tuple[int, int]
) -> None:
    far = tuple(min(1.0, n + s) for n, s in zip(near, side, strict=True))
    left, top, right, bottom = framing.cut(Lungs((*near, *far), 0.3), margin, shape)
    assert 0 <= left < right <= shape[1] and 0 <= top < bottom <= shape[0]


def test_the_frame_is_the_cut_and_nothing_else(chests: list[tuple[NDArray[np.float32], Box]]) -> None:
    pixels, _ = chests[0]
    rule = Preprocess(size=64, frame="lungs", margin=0.1)
    left, top, right, bottom = framing.cut(lungs.find(pixels), 0.1, pixels.shape)
    assert np.array_equal(to_input(pixels, rule), to_input(pixels[top:bottom, left:right], Preprocess(size=64)))
    _, done = framing.framed(pixels, rule)
    assert [done[f"frame_{side}"] for side in ("left", "top", "right", "bottom")] == [left, top, right, bottom]
    assert done["frame"] == "lungs" and 0.15 < float(done["lung_share"]) < 0.6 and "frame_doubt" not in done
    json.dumps(done)


# the histogram


def test_equalised_by_hand() -> None:
    levels = np.array([[0, 0, 10, 10], [10, 200, 200, 255]], np.float32)
    # six pixels are not black: three at 10, two at 200, one at 255
    assert framing.equalised(levels / 255) == pytest.approx(np.array([[0, 0, 3, 3], [3, 5, 5, 6]]) / 6, abs=1e-6)
    assert not framing.equalised(flat(0)).any() and (framing.equalised(flat(0.5)) == 1).all()


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30)))
def test_equalising_keeps_the_order_and_settles(grey: NDArray[np.uint8]) -> None:
    once = framing.equalised(grey / np.float32(255))
    assert once.dtype == np.float32 and once.shape == grey.shape and once.min() >= 0 and once.max() <= 1
    order = np.argsort(grey.ravel(), kind="stable")
    assert (np.diff(once.ravel()[order]) >= 0).all()
    if grey.min() == 0:
        # the second time only what rounds to black can move
        lost = ((once < 0.5 / 255) & (grey > 0)).mean()
        assert np.abs(framing.equalised(once) - once).max() <= 1 / 255 + 2 * lost


def test_equalising_undoes_exposure(chests: list[tuple[NDArray[np.float32], Box]]) -> None:
    pixels, _ = chests[3]
    rule = Preprocess(size=64, equalise=True)
    apart = np.abs(to_input(pixels, rule).astype(int) - to_input(pixels**0.7, rule).astype(int))
    before = np.abs(to_input(pixels, Preprocess(size=64)).astype(int) - to_input(pixels**0.7, Preprocess(size=64)))
    assert apart.mean() < 1.5 and before.mean() > 15


def test_equalising_comes_after_the_frame(chests: list[tuple[NDArray[np.float32], Box]]) -> None:
    pixels, _ = chests[1]
    left, top, right, bottom = framing.cut(lungs.find(pixels), 0.08, pixels.shape)
    by_hand = to_input(framing.equalised(pixels[top:bottom, left:right]), Preprocess(size=48))
    made = to_input(pixels, Preprocess(size=48, frame="lungs", equalise=True))
    assert np.array_equal(made, by_hand)
    assert abs(float(made.mean()) - 127.5) < 12, "even greys"


# every way in


def test_defaults_say_and_do_what_they_did() -> None:
    grey = corpus.noise((32, 32))
    array, done = load(corpus.saved(grey), Preprocess(size=32))
    assert np.array_equal(array, grey)
    assert not {"frame", "equalised", "lung_share"} & set(done)


def test_one_radiograph_in_three_files_is_framed_alike(real_data: Path) -> None:
    grey = np.asarray(Image.open(sorted((real_data / "kermany" / "test").rglob("*.jpeg"))[100]).convert("L"))
    png, done = load(corpus.saved(grey), FRAMED)
    assert done["frame"] == "lungs" and done["equalised"] is True and done["format"] == "PNG"
    for photometric, values in (("MONOCHROME2", grey.astype(int)), ("MONOCHROME1", 255 - grey.astype(int))):
        array, said = load(corpus.dicom(values, 8, photometric=photometric), FRAMED)
        assert np.array_equal(array, png) and said["format"] == "DICOM" and said["frame_left"] == done["frame_left"]


def test_dicom_files_pass(real_data: Path) -> None:
    for path in sorted((real_data / "dicom").iterdir()):
        array, done = load(path, FRAMED)
        assert array.shape == (32, 32) and done["frame"] in ("lungs", "whole")


@pytest.mark.parametrize("workers", [0, 2])
def test_the_cache_holds_what_load_gives(real_data: Path, tmp_path: Path, workers: int) -> None:
    paths = sorted((real_data / "kermany" / "test").rglob("*.jpeg"))[:600:9]
    samples = [Sample(path.name, path, (0.0,), path.name) for path in paths]
    rule = Preprocess(size=40, frame="lungs", margin=0.03, equalise=True, channels=3, mean=(0.4, 0.5, 0.6))
    found = decoded(samples, rule, tmp_path, workers)
    assert not found.refused and len(found.kept) >= 64
    for row, path in zip(found.pixels, paths, strict=True):
        assert np.array_equal(row, load(path, rule)[0])


def test_each_choice_is_another_array(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(corpus.saved(corpus.noise((48, 40))))
    samples = [Sample("a", path, (0.0,), "a")]
    choices = [{}, {"equalise": True}, {"frame": "lungs"}, {"frame": "lungs", "equalise": True}]
    choices += [{"frame": "lungs", "margin": 0.2}]
    made = [Preprocess.model_validate({"size": 32} | choice) for choice in choices]
    assert len({decoded(samples, rule, tmp_path / "cache").folder for rule in made}) == len(made)
    # what does not touch the pixels is no part of the key
    assert Preprocess(size=32, margin=0.2).pixel_digest == made[0].pixel_digest
