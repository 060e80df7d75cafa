"""A network given the widths of weights from which channels were pruned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


def narrow(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Give a network's convolutions, dense layers and batch normalisations the widths of `weights`, by name.

    The values are not read; every other layer is left as it is. Convolutions may be transposed.

    Raises:
        ValueError: a layer would become wider than it is, empty, or of another rank or kernel.
    """
    import torch
    from torch import nn

    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d):
            continue
        start = f"{name}." if name else ""
        for own, tensor in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
            new = weights.get(start + own)
            if new is None or new.shape == tensor.shape:
                continue
            # of a convolution the kernel stays as it is
            fits = new.ndim == tensor.ndim and new.shape[2:] == tensor.shape[2:]
            if not fits or not all(0 < n <= o for n, o in zip(new.shape[:2], tensor.shape[:2], strict=True)):
                raise ValueError(f"{start}{own} has shape {list(new.shape)}, the layer {list(tensor.shape)}")
            smaller = torch.empty(new.shape, dtype=tensor.dtype, device=tensor.device)
            setattr(layer, own, nn.Parameter(smaller) if isinstance(tensor, nn.Parameter) else smaller)
        _state_widths(layer)


def _state_widths(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d) -> None:
    """Make a layer's attributes say what its tensors have become."""
    from torch import nn

    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.BatchNorm2d):
        layer.num_features = len(layer.weight) if layer.weight is not None else layer.num_features
    elif isinstance(layer, nn.ConvTranspose2d):
        layer.in_channels, layer.out_channels = layer.weight.shape[:2]
    else:
        outputs, inputs = layer.weight.shape[:2]
        if layer.groups == layer.in_channels > 1:  # depthwise: as many groups as inputs, before and after
            layer.groups = outputs * layer.in_channels // layer.out_channels
        layer.out_channels, layer.in_channels = outputs, inputs * layer.groups
