"""A backbone in two parts: up to its last map, and from there to its features. What a class activation map needs.

Where the features are the last map averaged over its places, and the head is linear, each place has its share in every
logit (Zhou et al. 2016, arXiv:1512.04150). Whether they are is known of our own backbones; timm's are asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

_CLOSE = 1e-4  # of the largest feature


@dataclass(frozen=True, eq=False)
class Parts:
    """``tail(body(x))`` is what the backbone answers for x.

    Attributes:
        body: normalised pictures ``[n, channels, size, size]`` to the last map.
        tail: that map to the features ``[n, d]``.
        last: the map's channels come last: ``[n, h, w, d]`` instead of ``[n, d, h, w]``.
    """

    body: Callable[[torch.Tensor], torch.Tensor]
    tail: Callable[[torch.Tensor], torch.Tensor]
    last: bool = False

    def chart(self, deep: torch.Tensor) -> torch.Tensor:
        """The map as ``[n, d, h, w]``."""
        return deep.permute(0, 3, 1, 2) if self.last else deep


def parts_of(backbone: nn.Module, like: torch.Tensor) -> Parts | None:
    """The parts of a backbone in evaluation mode whose features are its last map's mean over places; None of others.

    Args:
        like: normalised pictures to ask it with, not constant.
    """
    import torch
    from torch import nn

    if isinstance(backbone, nn.Sequential):
        children = list(backbone.children())
        ends = [type(child) for child in children[-2:]] == [nn.AdaptiveAvgPool2d, nn.Flatten]
        return Parts(nn.Sequential(*children[:-2]), nn.Sequential(*children[-2:])) if ends else None
    deepest = getattr(backbone, "deep", None)
    if deepest is not None:
        return Parts(deepest, lambda deep: deep.mean((2, 3)))
    body, tail = (getattr(backbone, name, None) for name in ("forward_features", "forward_head"))
    if body is None or tail is None:
        return None
    with torch.no_grad():
        whole, deep = backbone(like), body(like)
        if not isinstance(deep, torch.Tensor) or deep.ndim != 4 or whole.ndim != 2:
            return None
        parted, most = tail(deep), float(whole.abs().max())
        for last in (False, True):
            means = deep.mean((1, 2) if last else (2, 3))
            same = means.shape == whole.shape == parted.shape and most > 0
            if same and max(float((one - whole).abs().max()) for one in (means, parted)) <= _CLOSE * most:
                return Parts(body, tail, last)
    return None


def averaged(deep: torch.Tensor, share: torch.Tensor | None) -> torch.Tensor:
    """A map ``[n, d, h, w]`` averaged over its places to ``[n, d]``, each of the weight ``share [n, 1, h, w]`` or all
    alike.
    """
    return deep.mean((2, 3)) if share is None else (deep * share).sum((2, 3)) / share.sum((2, 3))


def evidence(
    deep: torch.Tensor, share: torch.Tensor | None, weight: torch.Tensor, positive: tuple[int, ...], exclusive: bool
) -> torch.Tensor:
    """What each place of a map adds to the score's logit, ``[n, h, w]``: its mean is that logit less the bias.

    Args:
        deep, share: as of `averaged`.
        weight: ``[labels, d]`` of the linear layer behind it.
        positive: rows of the positive labels; the score's logit is the sum of theirs, less the mean of the others'
            where labels are `exclusive`.
    """
    others = [row for row in range(len(weight)) if exclusive and row not in positive]
    toward = weight[list(positive)].sum(0)
    if others:
        toward = toward - weight[others].mean(0)
    found = (deep * toward.view(1, -1, 1, 1)).sum(1)
    return found if share is None else found * (share / share.mean((2, 3), keepdim=True))[:, 0]
