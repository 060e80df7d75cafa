"""Where a network looks, by three methods, how far they agree, and how much of it falls on the lungs.

Class activation map (Zhou et al. 2016, arXiv:1512.04150): computed inside the network and its exported graph
(`Outputs.maps`), where the features are the last map averaged and the head is linear; it adds up to the score's logit.

Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): the last map of the encoder, each channel weighted by the mean
gradient of the score that the answer rests on. Needs torch. Of a Vision Transformer the map is the grid of tokens that
its last block reads.

Occlusion (Zeiler and Fergus 2014, arXiv:1311.2901): what the score loses when a part of the picture is made grey. Needs
answers alone, so it works for every runtime and precision.

All show where, not why, and look convincing when they are wrong: so they come with figures (`laennec.saliency`).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from laennec.errors import UsageError, extra
from laennec.labels import LabelSet
from laennec.outputs import Outputs

if TYPE_CHECKING:
    import torch
    from torch import nn

    from laennec.network import Network

Heat = NDArray[np.float32]
Flags = NDArray[np.bool_]
GRID = 8  # windows of an occlusion along each side
_RUN = 64  # masked pictures a call
_LEAST = 1e-30  # a probability below it is none: float32 ends at 1e-38
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
    """Grad-CAM as heat ``float32 [n, size, size]`` in [0, 1]: each picture's largest is 1, or 0. See `gradcam`."""
    return heated(gradcam(network, pixels, positive), pixels.shape[-1])


def gradcam(network: Network, pixels: NDArray[np.uint8], positive: tuple[int, ...], exclusive: bool = True) -> Heat:
    """What speaks for the finding and against it, ``float32 [n, h, w]``, signed, on the grid of the network's last map.

    Args:
        network: in evaluation mode; its parameters are left as they are.
        pixels: on the model's grid.
        positive: places of the positive labels among the outputs; what is explained is the sum of their logits, less
            the mean of the others where labels are `exclusive`.

    Raises:
        UsageError: the network names no label, or has no map (features that keep no place).
    """
    with extra("train"):
        import torch
    if not network.classifies:
        raise UsageError("a network that only outlines gives no score to explain", "take one that classifies")
    grey = torch.from_numpy(pixels).float() / 255.0
    with torch.enable_grad():
        chart, deep, logits = _with_map(network, grey)
        others = [i for i in range(logits.shape[1]) if exclusive and i not in positive]
        score = logits[:, list(positive)].sum(1) - (logits[:, others].mean(1) if others else 0.0)
        (slope,) = torch.autograd.grad(score.sum(), deep)
    found: Heat = (chart(slope).mean((2, 3), keepdim=True) * chart(deep)).sum(1).detach().numpy()
    return found


def heated(maps: NDArray[np.floating], size: int) -> Heat:
    """Maps ``[n, h, w]`` of what speaks for the finding (above 0) and against it, as heat ``float32 [n, size, size]``:
    what speaks against it is cut off, the rest bilinear on the model's grid, each picture's largest 1, or 0.
    """
    cut = np.maximum(np.asarray(maps, np.float32), 0)
    fine = np.stack([_resized(one, size) for one in cut]) if len(cut) else np.zeros((0, size, size), np.float32)
    most = fine.max((1, 2), keepdims=True, initial=0)
    scaled: Heat = np.divide(fine, most, out=np.zeros_like(fine), where=most > 1e-12)
    return scaled


def _resized(plane: Heat, size: int) -> Heat:
    image = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.float32)


def occlusion(
    answer: Callable[[NDArray[np.uint8]], Outputs], labels: LabelSet, pixels: NDArray[np.uint8], grid: int = GRID
) -> Heat:
    """How much of the score's logit each part of the picture holds, ``float32 [n, grid, grid]``, signed.

    A window two parts wide, its edge soft, is laid on each part in turn and filled with the picture's mean grey; a part
    has the mean fall of the logit under all windows, each weighted by how far it hides the part. Windows reach over the
    picture's edge, so that its corners are hidden as well as its middle. No random number is drawn.

    Args:
        answer: the model: a session's `run`.
        labels: the model's.
        pixels: ``uint8 [n, 1, size, size]``.
        grid: parts along each side, at most the size; ``grid ** 2 + 1`` pictures are answered for each.
    """
    size = pixels.shape[-1]
    centres, at = (np.arange(grid) + 0.5) / grid, (np.arange(size) + 0.5) / size
    # 1 over the part itself, falling to 0 at the window's edges
    along = np.clip(2 - 2 * np.abs(at[None] - centres[:, None]) * grid, 0, 1)
    windows = (along[:, None, :, None] * along[None, :, None, :]).reshape(grid * grid, size, size)
    hides = windows.reshape(grid * grid, size * size) @ _parts(size, grid)
    maps = []
    for picture in pixels[:, 0].astype(np.float32):
        hidden = np.rint(picture + windows * (picture.mean() - picture)).astype(np.uint8)
        shown = np.concatenate([picture.astype(np.uint8)[None], hidden])[:, None]
        logits = np.concatenate([_logit(answer(shown[i : i + _RUN]), labels) for i in range(0, len(shown), _RUN)])
        fall = logits[0] - logits[1:]
        maps.append((fall @ hides / hides.sum(0)).reshape(grid, grid))
    return np.asarray(maps, np.float32).reshape(len(pixels), grid, grid)


def _parts(size: int, grid: int) -> NDArray[np.float64]:
    """Which part each pixel lies in, ``[size * size, grid * grid]``."""
    along = np.arange(size) * grid // size
    part = (along[:, None] * grid + along[None]).ravel()
    lies: NDArray[np.float64] = np.eye(grid * grid)[part]
    return lies


def _logit(outputs: Outputs, labels: LabelSet) -> NDArray[np.float64]:
    """The score's logit ``[n]``, from the positive labels' probabilities and, where labels exclude each other, from the
    others', which tell a certain answer from a more certain one where float32 has no room below 1.
    """
    chances = outputs.probabilities.astype(np.float64)
    wanted = list(labels.positive_indices)
    others = [row for row in range(len(labels)) if row not in wanted]
    score = chances[:, wanted].sum(1)
    against = chances[:, others].sum(1) if labels.exclusive and others else np.maximum(1 - score, 1e-7)
    logit: NDArray[np.float64] = np.log(np.maximum(score, _LEAST)) - np.log(np.maximum(against, _LEAST))
    return logit


def agreement(one: NDArray[np.floating], other: NDArray[np.floating], ranks: bool = False) -> NDArray[np.float64]:
    """Correlation over places of two maps of each picture, ``[n]`` in [-1, 1]; NaN where one of them is flat.

    Args:
        one, other: ``[n, h, w]`` on the same grid.
        ranks: Spearman's instead of Pearson's.

    Raises:
        ValueError: the shapes differ.
    """
    if one.shape != other.shape or one.ndim != 3:
        raise ValueError(f"expected two arrays of maps [n, h, w] alike, got {one.shape} and {other.shape}")
    flat = [np.asarray(maps, np.float64).reshape(len(maps), -1) for maps in (one, other)]
    if ranks:
        with extra("eval"):
            from scipy.stats import rankdata
        flat = [np.asarray(rankdata(rows, axis=1)).reshape(rows.shape) for rows in flat]
    a, b = (rows - rows.mean(1, keepdims=True) for rows in flat)
    spread = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    found = np.full(len(one), np.nan)
    np.divide((a * b).sum(1), spread, out=found, where=spread > 1e-12)
    return found


def randomised(network: Network, part: Literal["head", "all"] = "all", seed: int = 0) -> Network:
    """A copy whose head, or all of it, has started anew at random: the model randomisation test of Adebayo et al. 2018
    (arXiv:1810.03292). A map that hardly changes explains the picture and not the model.
    """
    with extra("train"):
        import torch
    copy = deepcopy(network).eval()
    copy.__dict__.pop("_parts", None)  # they are the original's
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for layer in (copy.head if part == "head" else copy).modules():
            start = getattr(layer, "reset_parameters", None)
            if callable(start):
                start()
                continue
            for weight in layer.parameters(recurse=False):  # a class token, say, which no layer starts
                weight.normal_(0, float(weight.std()) if weight.numel() > 1 else 1.0)
    return copy


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


Chart = Callable[["torch.Tensor"], "torch.Tensor"]


def _with_map(network: Network, grey: torch.Tensor) -> tuple[Chart, torch.Tensor, torch.Tensor]:
    """How to see the last map, or its gradient, as ``[n, channels, h, w]``; that map; and the logits made of it."""
    scaled = network.scaled(grey)
    if network.segments:
        deep, fine = network.backbone.maps(scaled)
        deep = deep if deep.requires_grad else deep.requires_grad_()
        return _same, deep, network.head(network.pooled(deep, network.outline(fine)))
    parts = network.parts()
    if parts is not None:
        deep = parts.body(scaled).detach().requires_grad_()
        return parts.chart, deep, network.head(parts.tail(deep))
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, given: object, made: torch.Tensor) -> None:
        kept.append(made)

    tokens = _tokens(network.backbone)
    hooks = [layer.register_forward_hook(keep) for layer in ([tokens.layer] if tokens else _mapping(network.backbone))]
    try:
        logits = network.head(network.features(grey.requires_grad_()))
    finally:
        for hook in hooks:
            hook.remove()
    if tokens:
        return tokens.chart, kept[-1], logits
    # as it ran, not as it was defined: a decoder that was not asked has no map
    there = [one for one in kept if one.ndim == 4 and one.shape[-1] > 1]
    if not there:
        raise _no_map()
    return _same, there[-1], logits


def _same(deep: torch.Tensor) -> torch.Tensor:
    return deep


class _Tokens(NamedTuple):
    """Of a Vision Transformer: the layer whose tokens are its map, and their grid behind the first `prefix`."""

    layer: nn.Module
    prefix: int
    grid: tuple[int, int]

    def chart(self, tokens: torch.Tensor) -> torch.Tensor:
        placed = tokens[:, self.prefix :].transpose(1, 2)
        return placed.reshape(*placed.shape[:2], *self.grid)


def _tokens(backbone: nn.Module) -> _Tokens | None:
    """Of a Vision Transformer as timm builds it; None of other networks.

    The tokens are those that the last block reads: of those it makes, the class token alone may be used.
    """
    blocks = getattr(backbone, "blocks", None)
    grid = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    layer = getattr(blocks[-1], "norm1", None) if blocks is not None and len(blocks) else None
    if layer is None or grid is None or not hasattr(backbone, "pos_embed"):
        return None
    return _Tokens(layer, int(getattr(backbone, "num_prefix_tokens", 0)), (int(grid[0]), int(grid[1])))


def _mapping(backbone: nn.Module) -> list[nn.Module]:
    """The layers that give maps: convolutions and their normalisations."""
    from torch import nn

    maps: list[nn.Module] = [m for m in backbone.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    if not any(isinstance(m, nn.Conv2d) for m in maps) or hasattr(backbone, "pos_embed"):
        raise _no_map()
    return maps


def _no_map() -> UsageError:
    return UsageError(
        "this network has no map of the picture to explain by", "explain it by occlusion, or take a convolutional one"
    )
