"""Where a network looks: Grad-CAM, and how much of it falls on the lungs.

Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): the last map of the encoder, each channel weighted by the mean
gradient of the score that the answer rests on; what speaks against the answer is cut off. It shows where, not why, and
looks convincing when it is wrong: so it comes with shares that can be measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from laennec.errors import UsageError, extra

if TYPE_CHECKING:
    import torch
    from torch import nn

    from laennec.network import Network

Heat = NDArray[np.float32]
Flags = NDArray[np.bool_]
_LIT = 0.5  # share of a picture's largest heat from which a pixel counts as lit


class Looks(NamedTuple):
    """Where the heat of one picture lies, shares in [0, 1]; None where it has no heat, or there is no such lung.

    Attributes:
        inside: of the heat, what lies inside the lungs.
        expected: of the picture, what the lungs cover: what heat spread evenly would have inside.
        right, left: of the patient's right and left lung, what is lit: at least half as hot as the hottest pixel.
    """

    inside: float | None
    expected: float
    right: float | None
    left: float | None


def heat(network: Network, pixels: NDArray[np.uint8], positive: tuple[int, ...]) -> Heat:
    """Heat ``float32 [n, size, size]`` in [0, 1] for ``uint8 [n, 1, size, size]``: each picture's largest is 1, or 0.

    Args:
        network: in evaluation mode; its parameters are left as they are.
        pixels: on the model's grid.
        positive: places of the positive labels among the outputs; what is explained is the sum of their logits less
            the mean of the others.

    Raises:
        UsageError: the network names no label, or has no map (a transformer).
    """
    with extra("train"):
        import torch
        from torch.nn import functional
    if not network.classifies:
        raise UsageError("a network that only outlines gives no score to explain", "take one that classifies")
    grey = torch.from_numpy(pixels).float() / 255.0
    with torch.enable_grad():
        deep, logits = _with_map(network, grey)
        others = [i for i in range(logits.shape[1]) if i not in positive]
        score = logits[:, list(positive)].sum(1) - (logits[:, others].mean(1) if others else 0.0)
        (slope,) = torch.autograd.grad(score.sum(), deep)
    found = functional.relu((slope.mean((2, 3), keepdim=True) * deep).sum(1, keepdim=True)).detach()
    size = pixels.shape[-1]
    fine = functional.interpolate(found, (size, size), mode="bilinear", align_corners=False)[:, 0]
    most = fine.flatten(1).amax(1).clamp_min(1e-12)[:, None, None]
    heated: Heat = (fine / most).numpy().astype(np.float32)
    return heated


def looks(heat: Heat, right: Flags, left: Flags) -> Looks:
    """Where the heat ``float32 [rows, columns]`` of one picture lies against its lungs, ``bool`` on the same grid."""
    both, total, lit = right | left, float(heat.sum()), heat >= _LIT
    hot = total > 0
    return Looks(
        float(heat[both].sum()) / total if hot else None,
        float(both.mean()),
        float(lit[right].mean()) if hot and right.any() else None,
        float(lit[left].mean()) if hot and left.any() else None,
    )


def _with_map(network: Network, grey: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The encoder's last map ``[n, channels, h, w]``, and the logits that were made of it."""
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, given: object, made: torch.Tensor) -> None:
        kept.append(made)

    if network.segments:
        deep, fine = network.backbone.maps(network.scaled(grey))
        deep = deep if deep.requires_grad else deep.requires_grad_()
        return deep, network.head(network.pooled(deep, network.outline(fine)))
    hooks = [layer.register_forward_hook(keep) for layer in _mapping(network.backbone)]
    try:
        logits = network.head(network.features(grey.requires_grad_()))
    finally:
        for hook in hooks:
            hook.remove()
    # as it ran, not as it was defined: a decoder that was not asked has no map
    return [one for one in kept if one.ndim == 4 and one.shape[-1] > 1][-1], logits


def _mapping(backbone: nn.Module) -> list[nn.Module]:
    """The layers that give maps: convolutions and their normalisations."""
    from torch import nn

    maps: list[nn.Module] = [m for m in backbone.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    if not any(isinstance(m, nn.Conv2d) for m in maps) or hasattr(backbone, "pos_embed"):
        raise UsageError("this network has no map of the picture to explain by", "take a convolutional network")
    return maps
