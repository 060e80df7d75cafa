"""Backbones that give maps, under contract, found by their `SEGMENTS`: shapes, gradients, freezing, graphs, errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from laennec import backbones, family, graphs
from laennec.card import Quantisation
from laennec.errors import LaennecError, UnknownName, UntrustedBundle, UsageError
from laennec.freezing import frozen_layers
from laennec.quantising import Quantiser

# What a member is built with here; {} where nothing stands.
SMALL: dict[str, dict[str, Any]] = {
    "unet": {"widths": (8, 16, 24)},
    "encoder_unet": {"backbone": "resnet18", "weights": "none", "decoder": (16, 8)},
    "lungnet": {"widths": (16, 32)},
}
MEMBERS = [name for name in family.names("models") if getattr(family.member("models", name), "SEGMENTS", False)]


def built(name: str, channels: int = 1, size: int = 32, **options: Any) -> tuple[Any, int]:
    member = family.member("models", name)
    torch.manual_seed(0)
    backbone, features = member.build(member.Options(**(options or SMALL.get(name, {}))), channels, size)
    return backbone, features


def encoder(backbone: str, weights: str | Path = "none", channels: int = 3, size: int = 64, **more: Any) -> Any:
    return built("encoder_unet", channels, size, backbone=backbone, weights=str(weights), **more)[0]


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_members_that_segment_say_so() -> None:
    assert set(MEMBERS) >= {"unet", "encoder_unet", "lungnet"}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 48, 64])
@pytest.mark.parametrize("name", MEMBERS)
def test_a_picture_becomes_a_vector_a_deep_map_and_a_fine_map(name: str, size: int, channels: int) -> None:
    backbone, features = built(name, channels, size)
    x = torch.rand(2, channels, size, size)
    deep, fine = backbone.eval().maps(x)
    assert deep.shape[:2] == (2, features) and deep.shape[2] == deep.shape[3] < size // 2
    assert fine.shape[:2] == (2, backbone.planes) and fine.shape[2] == fine.shape[3]
    assert fine.shape[2] in {size, size // 2}
    assert torch.allclose(backbone(x), deep.mean((2, 3)), atol=1e-6)


@pytest.mark.parametrize("name", MEMBERS)
def test_every_weight_learns_from_the_fine_map_and_none_of_the_decoder_from_the_vector(name: str) -> None:
    backbone, _ = built(name)
    with torch.no_grad():
        for parameter in backbone.parameters():
            if not parameter.any():  # residual blocks that start as nothing pass no gradient on at first
                parameter.fill_(0.5)
    backbone.train()
    backbone.maps(torch.rand(2, 1, 32, 32))[1].square().mean().backward()
    still = [n for n, p in backbone.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still
    backbone.zero_grad()
    backbone(torch.rand(2, 1, 32, 32)).square().mean().backward()
    learnt = [p.grad is not None and bool(p.grad.any()) for p in backbone.parameters()]
    assert learnt[0] and not learnt[-1] and learnt == sorted(learnt, reverse=True)


@pytest.mark.parametrize("name", MEMBERS)
def test_an_answer_does_not_depend_on_the_other_images_nor_on_the_run(name: str) -> None:
    backbone, _ = built(name)
    backbone.eval()
    x = torch.rand(3, 1, 32, 32)
    with torch.inference_mode():
        together, again = backbone.maps(x), backbone.maps(x)
        alone = [torch.cat(maps) for maps in zip(*(backbone.maps(one[None]) for one in x), strict=True)]
    for first, second, third in zip(together, again, alone, strict=True):
        assert torch.equal(first, second)
        assert torch.allclose(first, third, atol=1e-4)
        assert first.std() > 0


@pytest.mark.parametrize("name", MEMBERS)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    one, other = built(name)[0].state_dict(), built(name)[0].state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("policy", ["last_convs:1", "last_layers:1", "last_stages:1"])
def test_the_end_of_the_decoder_learns_first_and_what_finds_the_deep_map_stays_frozen(name: str, policy: str) -> None:
    backbone, _ = built(name)
    frozen = frozen_layers(backbone, policy)
    for layer in frozen:
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad_(False)
    deep, fine = backbone.maps(torch.rand(2, 1, 32, 32))
    assert fine.requires_grad and not deep.requires_grad
    learning = [p.requires_grad for p in backbone.parameters()]
    assert learning == sorted(learning)


class Shown(nn.Module):
    """What a network does with a backbone: pixels in, both maps and the vector out."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone.eval()

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        deep, fine = self.backbone.maps((pixels.float() / 255 - 0.5) / 0.25)
        return deep, fine, deep.mean((2, 3))


def graph_of(module: nn.Module, size: int) -> bytes:
    with graphs.quiet():
        program = torch.onnx.export(
            module,
            (torch.zeros(2, 1, size, size, dtype=torch.uint8),),
            dynamo=True,
            opset_version=20,
            input_names=["pixels"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("batch", min=1, max=4096)}},
            verbose=False,
        )
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data


def run(graph: bytes, pixels: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"pixels": pixels}))


def noise(images: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (images, 1, size, size), dtype=np.uint8)


GRAPHS = [(name, SMALL.get(name, {})) for name in MEMBERS]
# A backbone whose first map is a quarter of the side, so that a level of the decoder has nothing to join.
GRAPHS += [("encoder_unet", {"backbone": "convnext_atto", "weights": "none", "decoder": (16, 16, 8)})]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        # torch takes half a minute and more to export an encoder of timm
        pytest.param(n, o, id=str(o.get("backbone", n)), marks=[pytest.mark.slow] if n == "encoder_unet" else [])
        for n, o in GRAPHS
    ],
)
def test_the_graph_gives_the_maps_torch_gives_for_any_number_of_images(name: str, options: dict[str, Any]) -> None:
    module = Shown(built(name, **options)[0])
    graph = graph_of(module, 32)
    for images in (1, 3):
        pixels = noise(images, 32)
        with torch.inference_mode():
            expected = module(torch.from_numpy(pixels))
        for found, wanted in zip(run(graph, pixels), expected, strict=True):
            assert np.abs(found - wanted.numpy()).max() < 1e-4 * max(1.0, float(wanted.abs().max()))


def test_lungnet_computes_every_layer_and_every_doubling_in_eight_bits() -> None:
    import onnx

    class Logits(Shown):
        def __init__(self, backbone: Any) -> None:
            super().__init__(backbone)
            self.pixel = nn.Conv2d(backbone.planes, 1, 1)

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (torch.sigmoid(self.pixel(super().forward(pixels)[1])),)

    graph, images = graph_of(Logits(built("lungnet")[0]), 32), noise(8, 32)
    rounded = Quantiser(images).quantised(graph, Quantisation(per_channel=True, ranges="minmax"))
    nodes = onnx.load_from_string(rounded).graph.node
    eight = {output for node in nodes if node.op_type == "DequantizeLinear" for output in node.output}
    weights = {"Conv": 1, "Resize": 0, "Add": 0}  # the input that tells: of a convolution its weight
    floating = [node for node in nodes if node.op_type in weights and node.input[weights[node.op_type]] not in eight]
    assert [node.op_type for node in floating] == ["Conv"]  # the last layer alone, as everywhere
    assert sum(node.op_type == "Resize" for node in nodes) == 1
    assert np.abs(run(rounded, images)[0] - run(graph, images)[0]).mean() < 0.05


def test_the_unet_of_the_reports_has_466_529_parameters_with_the_layer_that_makes_the_mask() -> None:
    backbone, features = built("unet", 3, 128, widths=(32, 64, 128))
    assert parameters(backbone) + backbone.planes + 1 == 466_529
    assert (features, backbone.planes) == (128, 32)
    kinds = [type(module).__name__ for module in backbone.modules()]
    assert kinds.count("Conv2d") == 10 and kinds.count("ConvTranspose2d") == kinds.count("MaxPool2d") == 2
    assert "BatchNorm2d" not in kinds
    deep, fine = backbone.maps(torch.rand(1, 3, 128, 128))
    assert deep.shape == (1, 128, 32, 32) and fine.shape == (1, 32, 128, 128)


def test_a_unet_with_normalisation_has_one_after_each_convolution_and_no_bias_before_it() -> None:
    backbone, _ = built("unet", widths=(8, 16), norm=True)
    layers = [m for m in backbone.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    assert [type(layer) for layer in layers] == [nn.Conv2d, nn.BatchNorm2d] * 6
    assert all(layer.bias is None for layer in layers if isinstance(layer, nn.Conv2d))


def test_lungnet_is_light_enough_for_a_megabyte_of_eight_bits() -> None:
    backbone, features = built("lungnet", 1, 128, widths=(16, 32, 64, 96))
    assert parameters(backbone) < 900_000 and features == 96 and backbone.planes == 16
    default, _ = family.member("models", "lungnet").build(family.member("models", "lungnet").Options(), 1, 128)
    assert parameters(default) == parameters(backbone)


@pytest.mark.parametrize(
    ("name", "features"),
    [("resnet18", 512), ("mobilenetv3_small_100", 576), ("densenet121", 1024), ("vgg11", 512), ("convnext_atto", 320)],
)
def test_encoders_of_many_kinds_take_a_decoder(name: str, features: int) -> None:
    backbone, found = built("encoder_unet", 1, 64, backbone=name, weights="none", decoder=(32, 32, 16, 16, 8))
    deep, fine = backbone.maps(torch.rand(2, 1, 64, 64))
    assert found == features and deep.shape == (2, features, 2, 2)
    assert backbone.planes == 8 and fine.shape == (2, 8, 64, 64)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100", "convnext_atto"])
def test_an_encoder_takes_the_weights_of_the_whole_backbone_from_a_file(tmp_path: Path, name: str) -> None:
    whole = timm.create_model(name, num_classes=5)
    state = {key: torch.randn_like(t) if t.is_floating_point() else t for key, t in whole.state_dict().items()}
    file = tmp_path / "seen.safetensors"
    save_file(state, file)
    colour, grey = encoder(name, file), encoder(name, file, channels=1)
    values = {float(t.flatten()[0]) for t in state.values() if t.is_floating_point()}
    loaded = {key: t for key, t in colour.encoder.state_dict().items() if t.is_floating_point()}
    assert loaded and all(float(t.flatten()[0]) in values for t in loaded.values())
    first = next(t for t in colour.encoder.state_dict().values() if t.ndim == 4)
    summed = next(t for t in grey.encoder.state_dict().values() if t.ndim == 4)
    assert torch.allclose(first.sum(1, keepdim=True), summed, atol=1e-5)
    member = family.member("models", "encoder_unet")
    told = member.starting_weights(member.Options(backbone=name, weights=str(file)))
    assert re.fullmatch(r"seen\.safetensors \(sha256 [0-9a-f]{16}\)", told)


def test_weights_that_do_not_fit_or_are_none_are_refused_and_nothing_starts_at_random(tmp_path: Path) -> None:
    state = timm.create_model("resnet18", num_classes=0).state_dict()
    without, junk = tmp_path / "without.safetensors", tmp_path / "junk.safetensors"
    save_file({key: t for key, t in state.items() if key != "layer4.1.conv2.weight"}, without)
    junk.write_bytes(b"no tensors")
    with pytest.raises(LaennecError, match=r"1 tensors are missing .* the first is layer4\.1\.conv2\.weight"):
        encoder("resnet18", without)
    with pytest.raises(UntrustedBundle, match=r"junk\.safetensors is not a safetensors file"):
        encoder("resnet18", junk)
    with pytest.raises(UsageError, match="there is no weights file"):
        encoder("resnet18", tmp_path / "absent.safetensors")


def test_weights_to_be_overwritten_are_not_read() -> None:
    member = family.member("models", "encoder_unet")
    for weights in ("pretrained", "absent.safetensors"):
        given = member.Options(backbone="resnet18", weights=weights, decoder=(8, 8))
        assert member.build(given, 1, 32, start=False)[1] == 64


def test_pretrained_weights_that_cannot_be_fetched_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr("timm.models._builder.load_pretrained", unreachable)
    with pytest.raises(LaennecError, match="pretrained weights of 'resnet18' cannot be fetched") as caught:
        encoder("resnet18", "pretrained")
    assert ".safetensors" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "options", "size", "says", "hint"),
    [
        ("unet", {"widths": (8, 8, 8)}, 30, "squares of 4 pixels, and 30 is no multiple", "size = 28 or 32"),
        ("lungnet", {}, 100, "squares of 16 pixels, and 100 is no multiple", "size = 96 or 112"),
        (
            "encoder_unet",
            {"backbone": "resnet18", "weights": "none"},
            100,
            "'resnet18' under 5 levels works in squares of 32 pixels, and 100 is no multiple",
            "size = 96 or 128",
        ),
        ("encoder_unet", {"backbone": "resnet18", "weights": "none"}, 20, "no multiple of that", "size = 32"),
        (
            "encoder_unet",
            {"backbone": "vit_tiny_patch16_224", "weights": "none"},
            64,
            "1/16, 1/16, 1/16 of",
            "resnet18",
        ),
        ("encoder_unet", {"backbone": "sequencer2d_s", "weights": "none"}, 64, "1/7, 1/14, 1/14 of", "resnet18"),
        ("encoder_unet", {"backbone": "pit_ti_224", "weights": "none"}, 64, "1/8, 1/16, 1/32 of", "resnet18"),
        (
            "encoder_unet",
            {"backbone": "nest_tiny", "weights": "none"},
            64,
            "halves the side 4 times, fewer than the decoder's 5 levels",
            "give model.decoder 4 widths",
        ),
    ],
)
def test_what_a_member_cannot_take_is_refused(
    name: str, options: dict[str, Any], size: int, says: str, hint: str
) -> None:
    member = family.member("models", name)
    with pytest.raises(UsageError) as caught:
        member.build(member.Options(**options), 1, size)
    assert says in caught.value.message and hint in caught.value.hint


def test_a_backbone_that_gives_a_vector_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def headless(name: str, **_: Any) -> None:
        raise RuntimeError(f"features_only not implemented for {name}")

    monkeypatch.setattr(timm, "create_model", headless)
    with pytest.raises(UsageError, match="'resnet18' gives no maps, only a vector"):
        encoder("resnet18")


def test_an_unknown_backbone_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="no timm backbone named 'resnt18'") as caught:
        encoder("resnt18")
    assert caught.value.hint == "did you mean 'resnet18'?"


@given(size=st.integers(1, 4096), step=st.integers(1, 64))
def test_the_nearest_sides_are_named_where_a_stride_does_not_divide(size: int, step: int) -> None:
    if size % step == 0:
        return backbones.divisible(size, step, "squares")
    with pytest.raises(UsageError) as caught:
        backbones.divisible(size, step, "squares")
    sides = [int(number) for number in re.findall(r"\d+", caught.value.hint)]
    assert all(side % step == 0 and 0 < abs(side - size) < step for side in sides)
    assert len(sides) == (2 if size > step else 1)
    return None
