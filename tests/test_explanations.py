"""Maps inside the network and its graphs, occlusion, how good maps are, and the command that writes them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import LOOSE
from laennec import explaining, saliency
from laennec.bundle import Bundle, open_bundle
from laennec.card import Architecture
from laennec.cli import run
from laennec.errors import UsageError
from laennec.explanation import Explained, Explainer, explain
from laennec.labels import LabelSet
from laennec.loader import reload
from laennec.outputs import AUXILIARY, MAPS, Outputs
from laennec.preprocess import Preprocess
from laennec.probes import Case
from laennec.probes import explanation as probe
from laennec.runtime import start
from laennec.samples import Box, Sample
from laennec.sections import Head
from laennec.work import work_of

LABELS = LabelSet(names=("normal", "sick"), positive=("sick",))


def deployed(
    name: str, labels: LabelSet = LABELS, task: str = "classify", head: Head | None = None, **options: Any
) -> Any:
    """An untrained network, ready to run, at 32 pixels."""
    import torch

    from laennec.network import Deployed, of_work

    torch.manual_seed(0)
    work = work_of(task, labels)
    network = of_work(Architecture(name=name, options=options, head=head or Head()), Preprocess(size=32), work)
    with torch.no_grad():
        for layer in network.modules():  # statistics that are not those of a start, so that nothing is trivial
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.uniform_(-0.2, 0.2)
                layer.running_var.uniform_(0.5, 1.5)
    return Deployed(network.eval(), work)


def grey(n: int = 3, seed: int = 0) -> Any:
    import torch

    return torch.rand(n, 1, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def exported(trained: Bundle, quantised: Bundle) -> dict[str, Bundle]:
    from laennec.conversion import export

    folder = trained.path.parent
    return {
        "torch": trained,
        "onnxruntime fp32": export(trained, "onnxruntime", "fp32", out=folder / "maps-fp32", limits=LOOSE),
        "onnxruntime int8": quantised,
        "openvino int8": export(trained, "openvino", "int8", out=folder / "maps-openvino", limits=LOOSE),
    }


@pytest.fixture(scope="module")
def pixels(trained: Bundle) -> np.ndarray:
    shown: np.ndarray = reload(trained, ("val",)).part("val").batch(slice(0, 12))
    return shown


@pytest.mark.parametrize(
    ("name", "options", "task", "head"),
    [
        ("plain", {"widths": [4, 8]}, "classify", None),
        ("cnn", {"widths": [4, 8]}, "classify", None),
        ("unet", {"widths": [4, 8]}, "classify", None),
        ("unet", {"widths": [4, 8]}, "classify+segment", None),
        ("lungnet", {"widths": [16, 16]}, "classify+segment", Head(attention=True)),
        ("timm", {"backbone": "resnet10t", "weights": "none"}, "classify", None),
    ],
)
@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LabelSet(names=("a", "b", "c"), positive=("b", "c")),
        LabelSet(names=("a", "b"), positive=("b",), exclusive=False),
    ],
)
def test_the_map_adds_up_to_the_logit(name: str, options: Any, task: str, head: Head | None, labels: LabelSet) -> None:
    net = deployed(name, labels, task, head, **options)
    given, logits = net.answer(grey(), AUXILIARY), net.network.logits(grey()).labels
    wanted = list(labels.positive_indices)
    others = [i for i in range(len(labels)) if labels.exclusive and i not in wanted]
    bias = net.network.head[-1].bias

    def score(rows: Any) -> Any:
        return rows[..., wanted].sum(-1) - (rows[..., others].mean(-1) if others else 0)

    left = given.maps.mean((1, 2)) + score(bias)
    assert np.allclose(left.detach().numpy(), score(logits).detach().numpy(), atol=1e-4)
    assert given.maps.std() > 0
    plain = net.answer(grey())
    assert np.array_equal(plain.probabilities.detach(), given.probabilities.detach())
    assert plain.maps is None and plain.features is None
    assert net.auxiliary() == {"features": tuple(given.features.shape[1:]), "maps": tuple(given.maps.shape[1:])}


def test_what_is_not_linear_has_features_alone() -> None:
    hidden = deployed("cnn", head=Head(hidden=(8,)), widths=[4, 8])
    flat = deployed("plain", widths=[4, 8], pool="flatten")
    widened = deployed("timm", backbone="mobilenetv3_small_050", weights="none")
    for net, features in ((hidden, 8), (flat, 512), (widened, 1024)):
        assert net.auxiliary() == {"features": (features,)}


def test_an_ensemble_averages_maps_and_mirrors_them_back() -> None:
    from laennec.card import EnsembleSeen, MemberSeen
    from laennec.network import Joined

    one, other = deployed("cnn", widths=[4, 8]), deployed("plain", widths=[4, 8, 16, 8])
    wide = deployed("plain", widths=[4, 8])

    def seen(weight: float) -> MemberSeen:
        return MemberSeen(
            name="m", digest="", file="", model=Architecture(name="cnn", options={}, head=Head()),
            preprocess=Preprocess(size=32), weight=weight, threshold=0.5,
        )  # fmt: skip

    def joined(members: list[Any], views: tuple[Any, ...]) -> Any:
        how = EnsembleSeen(rule="mean", views=views, members=tuple(seen(1 / len(members)) for _ in members))
        return Joined(members, LABELS, how).eval()

    assert joined([one, wide], ("plain",)).auxiliary() == {"features": (16,), "maps": (8, 8)}
    assert "maps" not in joined([one, other], ("plain",)).auxiliary()
    mirrored = joined([one], ("plain", "flip"))
    straight, turned = (mirrored.answer(shown, (MAPS,)).maps for shown in (grey(), grey().flip(3)))
    assert np.allclose(straight.detach(), turned.flip(2).detach(), atol=1e-5)
    alone = one.answer(grey(), (MAPS,)).maps
    assert not np.allclose(straight.detach(), alone.detach(), atol=1e-3)


def test_every_runtime_answers_the_same_map(exported: dict[str, Bundle], pixels: np.ndarray) -> None:
    truth = start(exported["torch"]).run(pixels, AUXILIARY)
    for name, bundle in exported.items():
        session = start(bundle)
        plain, given = session.run(pixels), session.run(pixels, AUXILIARY)
        assert plain.maps is None and plain.features is None, name
        assert np.array_equal(plain.probabilities, given.probabilities), name
        if name == "torch":
            assert bundle.card.auxiliary == {}
            continue
        assert bundle.card.auxiliary == {"features": (16,), "maps": (8, 8)}
        if "int8" in name:
            assert explaining.agreement(given.maps, truth.maps).mean() > 0.95, name
        else:
            assert np.abs(given.maps - truth.maps).max() < 1e-4 * np.abs(truth.maps).max()
            assert np.abs(given.features - truth.features).max() < 1e-4 * np.abs(truth.features).max()


def test_the_map_does_not_disturb_the_rounding(trained: Bundle, pixels: np.ndarray) -> None:
    from laennec import graphs, mixing
    from laennec.backends import onnxruntime
    from laennec.quantising import Quantiser

    files, answers = trained.model_files(), []
    for card in (trained.card, graphs.with_auxiliary(trained.card, files)):
        made = onnxruntime.export(card, files, "int8", Quantiser(pixels), mixing.settings()[0])
        answers.append(onnxruntime.start(card.model_copy(update={"precision": "int8"}), made, 1).run(pixels))
    assert np.array_equal(answers[0].probabilities, answers[1].probabilities)


def test_grad_cam_is_the_map_of_a_trained_network(trained: Bundle, pixels: np.ndarray) -> None:
    explainer = Explainer(trained, "gradcam")
    by_gradient, by_network = explainer.maps(pixels), Explainer(trained, "cam").maps(pixels)
    assert explaining.agreement(by_gradient, by_network).min() > 0.99
    assert explaining.agreement(by_gradient, by_network, ranks=True).min() > 0.99


def test_a_map_of_random_weights_is_another(trained: Bundle, pixels: np.ndarray) -> None:
    from laennec.network import load_deployed

    network = load_deployed(trained.card, trained.model_files()).network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    own = explaining.gradcam(network, pixels, (1,))
    for part in ("head", "all"):
        draws = [
            explaining.agreement(own, explaining.gradcam(explaining.randomised(network, part, seed), pixels, (1,)))
            for seed in range(6)
        ]
        assert abs(np.nanmean(draws)) < 0.5, part
    assert all(bool((before[name] == tensor).all()) for name, tensor in network.state_dict().items())
    head = explaining.randomised(network, "head")
    assert bool((next(head.backbone.parameters()) == next(network.backbone.parameters())).all())


def bright_corner(pixels: np.ndarray) -> Outputs:
    """A model that reads one patch alone."""
    seen = pixels[:, 0, 8:12, 20:24].mean((1, 2)) / 255
    return Outputs(np.stack([1 - seen, seen], 1).astype(np.float32))


@pytest.mark.parametrize("size", [32, 30])
def test_occlusion_finds_what_is_read(size: int) -> None:
    picture = np.full((2, 1, size, size), 60, np.uint8)
    picture[:, :, 8:12, 20:24] = 240
    maps = explaining.occlusion(bright_corner, LABELS, picture)
    assert maps.shape == (2, 8, 8)
    assert np.array_equal(maps[0], maps[1])
    heat = explaining.heated(maps, size)
    assert saliency.pointed(heat, np.broadcast_to(picture[:, 0] == 240, heat.shape)).tolist() == [1, 1]
    assert heat[:, :, :10].max() < 0.05
    assert heat[:, 22:].max() < 0.05


def test_occlusion_tells_certain_answers_apart() -> None:
    def certain(pixels: np.ndarray) -> Outputs:
        seen = bright_corner(pixels).probabilities[:, 1].astype(np.float64)
        less = np.exp(-40 * seen)
        return Outputs(np.stack([less, 1 - less], 1).astype(np.float32))

    picture = np.full((1, 1, 32, 32), 60, np.uint8)
    picture[:, :, 8:12, 20:24] = 240
    assert certain(picture).probabilities[0, 1] == 1
    maps = explaining.occlusion(certain, LABELS, picture)
    assert np.unravel_index(maps[0].argmax(), (8, 8)) == (2, 5)


def test_agreement_is_a_correlation() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(4, 5, 6))
    assert explaining.agreement(one, 3 * one + 1) == pytest.approx(np.ones(4))
    assert explaining.agreement(one, -one, ranks=True) == pytest.approx(-np.ones(4))
    assert explaining.agreement(one, np.exp(one), ranks=True) == pytest.approx(np.ones(4))
    other = rng.normal(size=one.shape)
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(one, other, strict=True)]
    assert explaining.agreement(one, other) == pytest.approx(expected)
    assert np.isnan(explaining.agreement(one, np.ones_like(one))).all()
    with pytest.raises(ValueError, match="alike"):
        explaining.agreement(one, one[:, :2])


def test_quality_is_counted_by_hand() -> None:
    heat, regions = np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), bool)
    regions[:3, :2] = True
    heat[0, 0, 0], heat[0, 3, 3] = 3, 1
    heat[1, 1, 1], heat[1, 3, 0] = 1, 3
    found = saliency.quality(heat, regions, ["a", "a", "b", "c"])
    assert found.inside.value == pytest.approx(0.5)
    assert found.inside.n == 2  # without heat, and without a region, the others do not count
    assert (found.expected.value, found.lift.value, found.pointing.value) == (0.5, 1.0, 0.5)
    assert set(found.figures("lungs")) == {"inside_lungs", "expected_lungs", "lift_lungs", "pointing_lungs"}
    assert saliency.quality(heat[:0], regions[:0], []).inside.value is None


def test_a_box_lies_where_the_picture_shows_it() -> None:
    plain = Preprocess(size=16)
    mask = saliency.boxed([Box(20, 0, 20, 10)], {"width": 40, "height": 20}, plain)
    assert mask[:8, 8:].all() and mask.sum() == 64
    framed = {"width": 40, "height": 20, "frame_left": 20, "frame_top": 0, "frame_right": 40, "frame_bottom": 20}
    assert saliency.boxed([Box(20, 0, 20, 10)], framed, plain)[:8].all()
    padded = saliency.boxed([Box(0, 0, 40, 20)], {"width": 40, "height": 20}, Preprocess(size=16, resize="pad"))
    assert padded[4:12].all() and not padded[:4].any()
    half = saliency.boxed([Box(40, 0, 40, 20)], {"width": 40, "height": 20, "scale": 2}, plain)
    assert np.array_equal(half, mask)


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_heat_comes_back_where_it_was_seen(resize: Any) -> None:
    """There and back: a box onto the model's grid, its heat onto the picture."""
    done = {"width": 90, "height": 60, "frame_left": 10, "frame_top": 5, "frame_right": 80, "frame_bottom": 55}
    pre, box = Preprocess(size=64, resize=resize), Box(35, 20, 20, 20)
    heat = saliency.boxed([box], done, pre).astype(np.float32)
    back = saliency.onto(heat, done, pre, (120, 180))
    truth = np.zeros((120, 180), bool)
    truth[40:80, 70:110] = True
    assert back.shape == truth.shape
    assert (back[truth] > 0.5).mean() > 0.9 and (back[~truth] > 0.5).mean() < 0.02
    assert not back[:10].any() and not back[:, :20].any()


def files_of(trained: Bundle, count: int = 2) -> list[Path]:
    return [sample.path for sample in reload(trained, ("val",)).part("val").samples if "sick" in sample.id][:count]


def test_explain_writes_files_that_open(exported: dict[str, Bundle], trained: Bundle, tmp_path: Path) -> None:
    bundle, files = exported["onnxruntime int8"], files_of(trained)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    code = run(["explain", str(bundle.path), *map(str, files), str(broken), "--out", str(tmp_path / "out"), "--json"])
    assert code == 3
    for path in files:
        told = json.loads((tmp_path / "out" / f"{path.stem}.cam.json").read_text())
        assert (told["method"], told["grid"], told["label"]) == ("cam", [8, 8], "sick")
        picture, layer = (Image.open(tmp_path / "out" / told[kind]) for kind in ("picture", "layer"))
        assert picture.size == layer.size == (32, 32)
        assert layer.mode == "RGBA"
        opacity = np.asarray(layer)[:, :, 3]
        assert opacity.min() == 0 and opacity.max() > 100
        x, y = (int(share * 32) for share in told["hottest"])
        assert opacity[y, x] == opacity.max()
    again = explain(bundle, files[:1], tmp_path / "out", method="occlusion")
    assert isinstance(again[0], Explained) and again[0].method == "occlusion"
    twice = explain(bundle, files[:1], tmp_path / "out")
    assert isinstance(twice[0], Explained) and twice[0].layer == f"{files[0].stem}-3.cam.png"  # another method took 2


def test_what_a_bundle_cannot_show_is_said(exported: dict[str, Bundle], trained: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no gradient"):
        Explainer(exported["onnxruntime int8"], "gradcam")
    old = replace(exported["onnxruntime int8"], card=exported["onnxruntime int8"].card)
    assert Explainer(old).method == "cam"
    with pytest.raises(UsageError, match="method"):
        Explainer(trained, "tealeaves")


def test_a_graph_without_maps_still_opens_and_is_occluded(trained: Bundle, pixels: np.ndarray, tmp_path: Path) -> None:
    """As exported before maps were thought of."""
    from laennec import graphs
    from laennec.bundle import model_digest, seal, seals

    files = {graphs.GRAPH: graphs.of(trained.card, trained.model_files())}
    points = {
        rule: point.model_copy(update={"model_digest": model_digest(seals(files))})
        for rule, point in trained.card.operating_points.items()
    }
    card = trained.card.model_copy(update={"backend": "onnxruntime", "operating_points": points})
    bundle = seal(tmp_path / "old", card, files)
    written = json.loads((bundle.path / "card.json").read_text())
    assert open_bundle(bundle.path).card.auxiliary == {} == written.get("auxiliary", {})
    given = start(bundle).run(pixels, AUXILIARY)
    assert given.maps is None and given.features is None
    assert Explainer(bundle).method == "occlusion"
    with pytest.raises(UsageError, match="no class activation map"):
        Explainer(bundle, "cam")


def test_a_prediction_carries_its_map_when_asked(exported: dict[str, Bundle], trained: Bundle) -> None:
    from laennec.predictor import Predictor

    bundle, path = exported["onnxruntime int8"], files_of(trained)[0]
    assert Predictor(bundle).predict(path).map is None
    told = Predictor(bundle, explain=True).predict(path)
    assert told.map.shape == (8, 8)
    assert "map" not in told.model_dump()


def a_case(tmp_path: Path, where: str, n: int = 24, maps: bool = True) -> Case:
    """A model whose map is hot in, or beside, lungs that the data set marks."""
    from laennec.results import OperatingPoint

    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 4:12] = mask[8:24, 20:28] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    hot = np.zeros((n, 32, 32), np.float32)
    hot[:, 12:16, 6:10] = 1.0 if where == "lungs" else 0.0
    hot[:, :4, 14:18] = 0.0 if where == "lungs" else 1.0
    samples = []
    for row in range(n):
        path = tmp_path / f"{row}.png"
        Image.fromarray((mask // 2 + row).astype(np.uint8)).save(path)
        boxes = (Box(6, 12, 4, 4),)
        samples.append(Sample(f"i{row}", path, (0.0, 1.0), f"p{row // 2}", mask=tmp_path / "mask.png", boxes=boxes))
    pixels = np.stack([np.asarray(Image.open(sample.path)) for sample in samples])[:, None]
    given = Outputs(np.tile(np.array([[0.1, 0.9]], np.float32), (n, 1)), maps=hot if maps else None)

    class Card:
        labels, preprocess = LABELS, Preprocess(size=32)
        operating_point = OperatingPoint(
            rule="balanced", threshold=0.5, sensitivity=1, specificity=1, n=1, split_digest="", model_digest=""
        )

    def answer(shown: np.ndarray) -> Outputs:
        seen = shown[:, 0, 12:16, 6:10].mean((1, 2)) / 400 + 0.5
        return Outputs(np.stack([1 - seen, seen], 1).astype(np.float32))

    return Case(Card(), "val", tuple(samples), pixels, given, answer)  # type: ignore[arg-type]


@pytest.mark.parametrize(("where", "verdict"), [("lungs", "pass"), ("beside", "warn")])
def test_the_probe_tells_lungs_from_what_lies_beside(tmp_path: Path, where: str, verdict: str) -> None:
    found = probe.probe(a_case(tmp_path, where))
    assert found.verdict == verdict
    inside = found.figures["inside_lungs"].value
    assert inside == pytest.approx(1.0 if where == "lungs" else 0.0, abs=0.01)
    assert found.figures["expected_lungs"].value == pytest.approx(0.25)
    assert found.figures["pointing_opacity"].value == (1.0 if where == "lungs" else 0.0)
    assert found.figures["agreement"].value is not None
    assert (found.figures["agreement"].value > 0.5) == (where == "lungs")
    assert len(found.suspects) == (0 if where == "lungs" else 12)
    assert all(text.fr != text.en for text in found.said)


def test_the_probe_occludes_where_there_is_no_map_and_skips_too_few(tmp_path: Path) -> None:
    found = probe.probe(a_case(tmp_path, "lungs", n=12, maps=False))
    assert found.verdict == "pass"
    assert "agreement" not in found.figures
    assert probe.probe(a_case(tmp_path, "lungs", n=4)).verdict == "skipped"


def test_cold_is_clear_and_hotter_is_lighter() -> None:
    from io import BytesIO

    from laennec.overlays import heat_layer

    ramp = np.asarray(Image.open(BytesIO(heat_layer(np.linspace(0, 1, 256, dtype=np.float32)[None]))))[0].astype(int)
    assert ramp[0, 3] == 0 and (np.diff(ramp[:, 3]) >= 0).all()
    light = ramp[:, :3] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light) >= -0.5).all() and light[-1] - light[0] > 120


def test_pictures_of_one_name_do_not_replace_each_other(trained: Bundle, pictures: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder, source in zip(folders, ("sick/p001_0.png", "normal/p000_0.png"), strict=True):
        folder.mkdir()
        shutil.copy(pictures / source, folder / "1.png")
    out = tmp_path / "out"
    made = [explain(trained, [folders[0] / "1.png"], out, method="cam")]
    before = (out / made[0][0].picture).read_bytes()
    made.append(explain(trained, [folders[1] / "1.png"], out, method="occlusion"))
    assert made[0][0].picture != made[1][0].picture
    assert (out / made[0][0].picture).read_bytes() == before
