"""Which layers of a backbone do not learn, by the policies a recipe's phases may name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laennec.errors import UsageError

if TYPE_CHECKING:
    from torch import nn


def frozen_layers(backbone: nn.Module, policy: str) -> list[nn.Module]:
    """The backbone's layers that do not learn, in the order they are defined in.

    A layer is a module without modules inside, or with weights of its own (timm's normalisations hold their
    activation). ``last_convs:n`` lets learn everything from the n-th last convolution on, ``last_layers:n`` from the
    n-th last layer with weights on, ``last_stages:n`` from the n-th last stage on, a stage being a part of the
    backbone's outermost sequences.

    Raises:
        UsageError: the backbone has fewer parts than the policy asks for.
    """
    from torch import nn

    layers = [m for m in backbone.modules() if not list(m.children()) or list(m.parameters(recurse=False))]
    if policy in {"all", "head"}:
        return layers if policy == "head" else []
    kind, _, count = policy.partition(":")
    weighty = [module for module in layers if list(module.parameters(recurse=False))]
    if kind == "last_layers":
        starts = weighty
    elif kind == "last_convs":
        starts = [module for module in weighty if isinstance(module, nn.Conv2d)]
    else:
        stages = [[m for m in stage.modules() if m in set(weighty)] for stage in _stages(backbone)]
        # a stage of normalisations alone, as after the last block of DenseNet or ViT, belongs to the one before it
        starts = [stage[0] for stage in stages if any(p.ndim > 1 for m in stage for p in m.parameters(recurse=False))]
    if int(count) > len(starts):
        raise UsageError(
            f"'{policy}' asks for more than the backbone's {len(starts)} {kind.removeprefix('last_')}",
            'lower the number, or let phases.train = "all"',
        )
    return layers[: layers.index(starts[-int(count)])]


def _stages(backbone: nn.Module) -> list[nn.Module]:
    from torch import nn

    stages: list[nn.Module] = []
    for child in backbone.children():
        inside = list(child.children()) if isinstance(child, nn.Sequential | nn.ModuleList) else []
        stages += inside if len(inside) > 1 else [child]
    return stages
