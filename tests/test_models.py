"""Backbones under contract, by name: parameters, features, sizes, what each policy lets learn, the graph they become.

Built without storage (torch's meta device) where only shapes and counts are asked for.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch

from laennec import family
from laennec.backends import onnxruntime
from laennec.bundle import Bundle
from laennec.card import Architecture
from laennec.errors import UsageError
from laennec.mixing import settings
from laennec.network import WEIGHTS, Deployed, Network, weights_bytes
from laennec.preprocess import Preprocess
from laennec.quantising import Quantiser
from laennec.recipe import Head, Recipe
from laennec.work import work_of

# Name and options: parameters and features at the reports' side, that side, and the smallest one tried.
BACKBONES: dict[tuple[str, str], tuple[int, int, int, int]] = {
    ("vgg16", "dense=false"): (14_714_688, 512, 224, 32),
    ("vgg16", ""): (134_260_544, 4096, 224, 32),
    ("resnet50", ""): (23_508_032, 2048, 224, 32),
    ("densenet121", ""): (6_953_856, 1024, 224, 32),
    ("inception_v3", ""): (21_785_568, 2048, 299, 75),
    ("mobilenetv1_100", ""): (3_206_976, 1024, 224, 32),
    ("mobilenetv1_100", "width=0.25"): (213_072, 256, 224, 32),
    ("mobilenetv2_035", ""): (396_128, 1280, 224, 32),
    ("mobilenetv2_050", ""): (687_680, 1280, 224, 32),
    ("mobilenetv2_075", ""): (1_355_424, 1280, 224, 32),
    ("mobilenetv2_100", ""): (2_223_872, 1280, 224, 32),
    ("mobilenetv2_110d", ""): (3_235_520, 1280, 224, 32),
    ("mobilenetv2_120d", ""): (4_550_144, 1280, 224, 32),
    ("mobilenetv2_140", ""): (4_315_776, 1792, 224, 32),
    ("mobilenetv2_100", "width=0.5"): (687_680, 1280, 224, 32),
    ("mobilenetv2_100", "width=0.3"): (337_216, 1280, 224, 32),
    ("efficientnet_b0", ""): (4_007_548, 1280, 224, 32),
    ("vit_tiny_patch16_224", ""): (5_524_416, 192, 224, 32),
    ("vit_small_patch16_224", ""): (21_665_664, 384, 224, 48),
    ("convnext_atto", ""): (3_374_520, 320, 224, 32),
    ("swin_tiny_patch4_window7_224", ""): (27_519_354, 768, 224, 64),
}
# Parameters of the backbone that learn.
LEARNING: dict[str, dict[str, int]] = {
    "resnet50": {"last_convs:1": 1_052_672, "last_layers:20": 14_964_736, "last_stages:1": 4_462_592},
    "densenet121": {"last_convs:2": 166_144, "last_layers:20": 789_120, "last_stages:1": 2_160_128},
    "inception_v3": {"last_convs:1": 393_600, "last_layers:20": 6_322_944, "last_stages:1": 6_076_800},
    "mobilenetv1_100": {"last_convs:1": 1_050_624, "last_layers:20": 2_400_256, "last_stages:1": 1_593_856},
    "mobilenetv2_050": {"last_convs:1": 207_360, "last_convs:2": 284_480, "last_stages:1": 207_360},
    "efficientnet_b0": {"last_convs:1": 412_160, "last_layers:20": 1_938_912, "last_stages:1": 412_160},
    "vit_tiny_patch16_224": {"last_layers:2": 148_032, "last_stages:1": 445_248, "last_stages:2": 890_112},
    "convnext_atto": {"last_convs:1": 410_560, "last_stages:1": 1_881_600},
}


def options(name: str, said: str = "") -> dict[str, Any]:
    values = {"backbone": name, "weights": "none"}
    member = family.member("models", "timm")
    if said:
        key, _, value = said.partition("=")
        values[key] = value == "true" if value in {"true", "false"} else float(value)
    return member.Options.model_validate(values).model_dump(mode="json")


def network(model: str, given: dict[str, Any], size: int, channels: int = 3, head: Head | None = None) -> Network:
    architecture = Architecture(name=model, options=given, head=head or Head())
    return Network(architecture, Preprocess(size=size, channels=channels), 4)


def learning(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@pytest.mark.parametrize(("name", "said"), BACKBONES, ids=lambda part: part or "plain")
def test_backbones_of_the_reports_have_their_parameters_features_and_sizes(name: str, said: str) -> None:
    parameters, features, side, smallest = BACKBONES[name, said]
    member = family.member("models", "timm")
    given = member.Options.model_validate(options(name, said))
    with torch.device("meta"):
        for size in (side, smallest):
            for channels in (3, 1):
                backbone, found = member.build(given, channels, size)
                assert found == features
                assert backbone(torch.zeros(2, channels, size, size)).shape == (2, features)
                if (size, channels) == (side, 3):
                    assert sum(p.numel() for p in backbone.parameters()) == parameters
        net = network("timm", given.model_dump(mode="json"), side, head=Head(hidden=(16,)))
        for policy, count in {"head": 0, "all": parameters}.items():
            net.learn(policy)
            assert learning(net.backbone) == count
        assert net(torch.zeros(2, 1, side, side)).shape == (2, 4)


@pytest.mark.parametrize("name", LEARNING)
def test_each_policy_lets_the_end_of_a_backbone_learn_and_nothing_before_it(name: str) -> None:
    smallest = BACKBONES[name, ""][3]
    with torch.device("meta"):
        net = network("timm", options(name), smallest)
    for policy, count in LEARNING[name].items():
        net.learn(policy)
        assert learning(net.backbone) == count, policy
        assert all(p.requires_grad for p in net.head.parameters())
        net.train()
        kinds = (torch.nn.BatchNorm2d, torch.nn.LayerNorm)
        for module in net.backbone.modules():
            own = list(module.parameters(recurse=False))
            if own and isinstance(module, kinds):
                assert module.training == all(p.requires_grad for p in own), policy


@pytest.mark.parametrize(
    ("name", "size", "says", "hint"),
    [
        ("inception_v3", 74, "'inception_v3' cannot take pictures of 74 pixels", "raise preprocess.size"),
        ("vit_tiny_patch16_224", 100, "patches of 16 pixels, and 100 is no multiple", "preprocess.size = 96 or 112"),
        ("swin_tiny_patch4_window7_224", 75, "patches of 4 pixels", "preprocess.size = 72 or 76"),
    ],
)
def test_a_size_a_backbone_cannot_take_is_refused(name: str, size: int, says: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught, torch.device("meta"):
        network("timm", options(name), size)
    assert says in caught.value.message and hint in caught.value.hint


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"backbone": "resnet50", "width": 0.5}, "width needs the backbone mobilenetv1_100 or mobilenetv2_100"),
        ({"backbone": "mobilenetv2_100", "width": 0.3, "weights": "pretrained"}, "no pretrained weights of a width"),
        ({"backbone": "mobilenetv2_100", "width": 0.0}, "greater than 0"),
        ({"backbone": "resnet50", "dense": False}, "dense layers of a VGG"),
    ],
)
def test_options_for_other_backbones_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        asked({"name": "timm", "weights": "none"} | change)


def asked(model: dict[str, Any]) -> Recipe:
    phases = [{"epochs": 1, "learning_rate": 1e-3}]
    return Recipe.parse({"data": {"name": "phantom"}, "model": model, "phases": phases})


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"name": "plain", "widths": [0]}, "'widths.0': Input should be greater than or equal to 1, not '0'"),
        ({"name": "plain", "widths": [8, 10**9]}, "'widths.1': Input should be less than or equal to 8192"),
        ({"name": "plain", "widths": []}, "'widths': "),
        ({"name": "cnn", "widths": [8, -8]}, "'widths.1': Input should be greater than or equal to 1, not '-8'"),
        ({"name": "cnn", "blocks": 0}, "'blocks': Input should be greater than or equal to 1"),
        ({"name": "timm", "drop_path": 1.0}, "'drop_path': Input should be less than 1"),
        ({"name": "timm", "drop_path": -0.1}, "'drop_path': Input should be greater than or equal to 0"),
        ({"name": "timm", "drop_path": math.nan}, "'drop_path': "),
    ],
)
def test_numbers_that_make_no_network_are_refused_when_the_recipe_is_read(model: dict[str, Any], says: str) -> None:
    needed = {"backbone": "resnet50", "weights": "none"} if model["name"] == "timm" else {}
    with pytest.raises(UsageError, match=re.escape(f"model ({model['name']}): {says}")):
        asked(needed | model)


@pytest.mark.parametrize(
    ("given", "parameters", "features"),
    [
        ({}, 387_840, 256),
        ({"norm": True}, 388_320, 256),
        ({"pool": "flatten"}, 387_840, 256 * 2 * 2),
        ({"widths": [8, 16]}, 1_248, 16),
    ],
)
def test_the_plain_network_is_four_convolutions_under_two_dense_layers(
    given: dict[str, Any], parameters: int, features: int
) -> None:
    plain = family.member("models", "plain")
    own = plain.Options.model_validate(given).model_dump(mode="json")
    net = network("plain", own, 32, channels=1, head=Head(hidden=(64,), dropout=0.5))
    assert sum(p.numel() for p in net.backbone.parameters()) == parameters
    assert net.head[1].in_features == features
    kinds = [type(m).__name__ for m in net.modules()]
    assert kinds.count("Conv2d") == len(own["widths"]) and kinds.count("Linear") == 2
    assert net(torch.rand(3, 1, 32, 32)).shape == (3, 4)
    net.learn("last_convs:1")
    last = own["widths"][-1]
    assert learning(net.backbone) == last * (9 * own["widths"][-2] + (2 if own["norm"] else 1))
    with pytest.raises(UsageError, match="cannot be halved 6 times"):
        network("plain", own | {"widths": [8] * 6}, 32)


@pytest.mark.parametrize(
    ("model", "given", "size"),
    [
        ("timm", options("vit_tiny_patch16_224"), 32),
        ("timm", options("efficientnet_b0"), 32),
        ("timm", options("mobilenetv2_100", "width=0.3"), 32),
        ("plain", {"widths": [8, 16], "norm": True, "pool": "flatten"}, 32),
    ],
    ids=["vit", "efficientnet", "width", "plain"],
)
def test_the_graph_answers_as_torch_does(trained: Bundle, model: str, given: dict[str, Any], size: int) -> None:
    """Backbones that no recipe exports; the others are in test_recipes_of_reports."""
    torch.manual_seed(0)
    preprocess = Preprocess(size=size, channels=3)
    architecture = Architecture(name=model, options=given, head=Head())
    card = trained.card.model_copy(update={"model": architecture, "preprocess": preprocess})
    net = Network(architecture, preprocess, len(card.labels))
    nothing = Quantiser(np.zeros((0, 1, size, size), np.uint8))
    graph = onnxruntime.export(card, {WEIGHTS: weights_bytes(net)}, "fp32", nothing, settings()[0])
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, size, size), dtype=np.uint8)
    with torch.inference_mode():
        expected = Deployed(net, work_of(card.task, card.labels)).eval()(torch.from_numpy(pixels))
    assert np.abs(onnxruntime.start(card, graph, 1).run(pixels).probabilities - expected.numpy()).max() < 1e-4
