"""Grad-CAM against what is known, and where its heat lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from laennec.card import Architecture
from laennec.errors import UsageError
from laennec.explaining import gradcam, heat, looks
from laennec.network import Network
from laennec.preprocess import Preprocess
from laennec.sections import Head

PRE = Preprocess(size=32)


def network(name: str, segments: bool = False, outputs: int = 2, **options: object) -> Network:
    torch.manual_seed(0)
    architecture = Architecture(name=name, options=options, head=Head())
    return Network(architecture, PRE, outputs, segments=segments).eval()


def test_on_a_pooled_map_it_is_the_class_activation_map() -> None:
    """Under global average pooling and a linear head Grad-CAM is CAM (Selvaraju et al. 2017, section 3.1)."""
    net = network("unet", segments=True, widths=[4, 8])
    pixels = np.random.default_rng(0).integers(0, 256, (2, 1, 32, 32), dtype=np.uint8)
    with torch.inference_mode():
        deep, _ = net.backbone.maps(net.scaled(torch.from_numpy(pixels).float() / 255))
        weight = net.head[-1].weight[1] - net.head[-1].weight[0]
        cam = (deep * weight[:, None, None]).sum(1, keepdim=True).clamp_min(0)
        fine = torch.nn.functional.interpolate(cam, (32, 32), mode="bilinear", align_corners=False)[:, 0]
    expected = (fine / fine.flatten(1).amax(1).clamp_min(1e-12)[:, None, None]).numpy()
    found = heat(net, pixels, (1,))
    assert np.abs(found - expected).max() < 1e-4
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_plain_network_looks_at_what_decides() -> None:
    net = network("plain", widths=[1, 1])
    with torch.no_grad():
        for parameter in net.backbone.parameters():
            parameter.fill_(0.1 if parameter.ndim > 1 else 0.0)
        net.head[-1].weight.copy_(torch.tensor([[-1.0], [1.0]]))
    pixels = np.full((1, 1, 32, 32), 128, np.uint8)
    pixels[0, 0, 20:28, 4:12] = 255
    hot = heat(net, pixels, (1,))[0]
    assert hot.max() == pytest.approx(1)
    assert hot[20:28, 4:12].mean() > 4 * hot[:16, 16:].mean()


def test_a_decoder_that_was_not_asked_is_no_map() -> None:
    hot = heat(
        network("unet", widths=[4, 8]), np.random.default_rng(0).integers(0, 256, (2, 1, 32, 32), np.uint8), (1,)
    )
    assert hot.shape == (2, 32, 32)
    assert hot.max() <= 1


def test_a_transformer_is_explained_on_its_grid_of_tokens() -> None:
    net = network("timm", backbone="vit_tiny_patch16_224", weights="none")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 1, 32, 32), np.uint8)
    found = gradcam(net, pixels, (1,))
    assert found.shape == (2, 2, 2)
    assert np.ptp(found, axis=(1, 2)).min() > 0
    assert np.array_equal(found, gradcam(net, pixels, (1,)))
    assert heat(net, pixels, (1,)).shape == (2, 32, 32)


def test_what_has_no_place_and_what_names_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="no map"):
        heat(network("timm", backbone="mixer_s32_224", weights="none"), np.zeros((1, 1, 32, 32), np.uint8), (1,))
    with pytest.raises(UsageError, match="no score"):
        heat(network("unet", True, 0, widths=[4, 8]), np.zeros((1, 1, 32, 32), np.uint8), (1,))


def test_shares_are_counted_by_hand() -> None:
    hot, right, left = np.zeros((4, 4), np.float32), np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    right[:2, :2], left[:2, 2:] = True, True
    hot[0, 0], hot[0, 2], hot[3, 3] = 1.0, 0.25, 0.75
    assert looks(hot, right, left) == (0.625, 0.5, 0.25, 0.0)
    assert looks(hot * 0, right, left) == (None, 0.5, None, None)
    assert looks(hot, right, left & False).left is None
