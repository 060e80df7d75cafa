"""What pruning does to a torch network: channels taken out of it, or weights set to zero and held there.

Which channels go together is found by a dependency graph (Fang et al. 2023, DepGraph, arXiv:2301.12900; the library
torch-pruning): the outputs of a convolution, its normalisation, the inputs of all that reads it, and whatever is added
to it. Knows no bundle and no data.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from laennec.errors import LaennecError, UsageError, extra

_N = TypeVar("_N", bound=nn.Module)

WEIGHTY = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_NARROWED = (*WEIGHTY, nn.BatchNorm2d)
_LANES = ((64, 16), (16, 8), (0, 4))  # channels that go together, in layers of at least so many
_KEPT = 0.1  # of a layer's channels, at least
_SPARED = 3  # layers that may be left wider so that the cost comes near its limit


def operations(network: nn.Module, size: int) -> int:
    """Floating point operations for one image of `size` pixels, two for each multiply and add.

    Counted over convolutions and matrix products by torch; normalisations and activations are left out, as they are
    fused or small.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        _still(network)(_example(network, size))
    return int(counter.get_total_flops())


def _example(network: nn.Module, size: int) -> torch.Tensor:
    return torch.zeros(1, 1, size, size, device=next(network.parameters()).device)


def _last(network: nn.Module) -> list[nn.Module]:
    """The layers whose outputs are the answers: the last of the head, and the one that outlines, if any."""
    ends: list[nn.Module] = []
    for part in (getattr(network, "head", None), getattr(network, "outline", None)):
        ends += _weighty(part)[-1:] if isinstance(part, nn.Module) else []
    return ends or _weighty(network)[-1:]


def _weighty(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, WEIGHTY)]


def _still(network: _N) -> _N:
    """In evaluation mode, every parameter with a gradient: dependencies are read from torch's own graph."""
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return network


@dataclass(frozen=True)
class _Block:
    """Channels of one group of coupled layers that go at the same time.

    Attributes:
        layer: the layer whose outputs they are.
        channels: their places among its outputs.
        worth: their mean importance, in units of the mean of their group.
    """

    layer: str
    channels: tuple[int, ...]
    worth: float


class Thinner:
    """The order in which a network's channels can do without.

    A channel's importance is the mean over the coupled layers of the squared norm of its weights, divided by the mean
    over its group (Fang et al. 2023), so that layers of all sizes can be ranked together. Channels go in blocks of 16,
    8 in layers narrower than 64 and 4 in layers narrower than 16, and what is left in a layer is a multiple of that:
    onnxruntime computes convolutions in blocks of 16 channels where the processor has AVX-512 and of 8 where it has
    AVX2, and a channel less in a block saves nothing. A tenth of each layer stays. The outputs of the last layer, the
    labels, are left alone.

    Attributes:
        channels: outputs of all layers that can be pruned, coupled layers counted once.
        blocks: how many blocks can go.

    Raises:
        UsageError: the network has layers that cannot be narrowed (attention, layer normalisation, parameters of its
            own).
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        _refuse_foreign(network)
        self._network, self._size = _still(copy.deepcopy(network)), size
        with extra("train"):
            from torch_pruning.pruner.importance import GroupMagnitudeImportance

        names = {module: name for name, module in self._network.named_modules()}
        last = _last(self._network)
        importance, blocks = GroupMagnitudeImportance(p=2), []
        self.channels = 0
        for group in self._graph(self._network).get_all_groups(last, list(WEIGHTY)):
            worth = importance(group).cpu().nan_to_num()  # layers of zeros alone have no mean to divide by
            self.channels += len(worth)
            blocks += _blocks(names[group[0].dep.target.module], worth, _parts(group))
        self._order = sorted(blocks, key=lambda block: block.worth)
        self.blocks = len(self._order)

    def without(self, count: int, order: Sequence[_Block] = ()) -> tuple[nn.Module, int]:
        """A copy of the network without its `count` least important blocks, and the channels left.

        Another `order` than that of importance takes the first `count` of that.

        Raises:
            LaennecError: the narrower network does not run: its layers depend on each other in a way not seen.
        """
        thinner, gone = _still(copy.deepcopy(self._network)), (order or self._order)[:count]
        wanted: dict[str, list[int]] = {}
        for block in gone:
            wanted.setdefault(block.layer, []).extend(block.channels)
        graph = self._graph(thinner)
        for name, channels in wanted.items():
            layer = thinner.get_submodule(name)
            cut = graph.get_pruner_of_module(layer).prune_out_channels
            graph.get_pruning_group(layer, cut, sorted(channels)).prune()
        try:
            operations(thinner, self._size)
        except RuntimeError as error:
            raise LaennecError(
                "the network does not run with fewer channels: its layers depend on each other in a way that was not "
                "seen",
                "take --kind magnitude, or train a narrower network",
            ) from error
        return thinner, self.channels - sum(len(block.channels) for block in gone)

    def least(
        self, cost: Callable[[nn.Module, int], float], limit: float, within: float = 0.005, near: float = 0.97
    ) -> nn.Module | None:
        """The network that has lost its least important blocks until it costs no more than `limit`; None if none does.

        Where the last block to go brings the cost far below the limit, its layer is left as it was before it, and
        others lose more.

        Args:
            cost: of a network and the channels left; falls with every block that goes.
            limit: the most it may cost.
            within: share of the blocks by which the search may go too far: finding the last costs the most.
            near: share of the limit that is near enough to it.
        """
        order, best, nearest = self._order, None, -math.inf
        for _ in range(_SPARED + 1):
            count, network, paid = self._search(order, cost, limit, within)
            if network is None:
                break
            if paid > nearest:
                best, nearest = network, paid
            if paid >= near * limit or not count:
                break
            last = order[count - 1].layer
            order = order[: count - 1] + [block for block in order[count:] if block.layer != last]
        return best

    def _search(
        self, order: list[_Block], cost: Callable[[nn.Module, int], float], limit: float, within: float
    ) -> tuple[int, nn.Module | None, float]:
        """By bisection: how many blocks of `order` must go, the network without them, and what it costs."""
        low, high = 0, len(order)
        best, left = self.without(high, order)
        paid = cost(best, left)
        if paid > limit:
            return high, None, paid
        while high - low > int(within * self.blocks):
            middle = (low + high) // 2
            candidate, left = self.without(middle, order)
            price = cost(candidate, left)
            if price <= limit:
                best, high, paid = candidate, middle, price
            else:
                low = middle + 1
        return high, best, paid

    def _graph(self, network: nn.Module) -> Any:
        with extra("train"):
            from torch_pruning import DependencyGraph

        with torch.enable_grad():
            return DependencyGraph().build_dependency(network, _example(network, self._size))


def _refuse_foreign(network: nn.Module) -> None:
    for module in network.modules():
        if next(module.parameters(recurse=False), None) is not None and not isinstance(module, _NARROWED):
            raise UsageError(
                f"a network with '{type(module).__name__}' cannot lose channels: only convolutions, dense layers and "
                "batch normalisations can be narrowed",
                "take --kind magnitude, or export it to int8",
            )


def _parts(group: Any) -> int:
    """Into how many parts grouped convolutions deal the channels of a group of layers; each must lose as many."""
    convolutions = [dep.target.module for dep, _ in group if isinstance(dep.target.module, nn.Conv2d)]
    return max((m.groups for m in convolutions if m.groups < m.out_channels), default=1)


def _blocks(layer: str, worth: torch.Tensor, parts: int) -> list[_Block]:
    """The blocks that can leave a layer, the least important first; worth is ``float [channels]``.

    Of a layer dealt into parts, a unit is one channel of each.
    """
    units = worth.view(parts, -1).mean(0)
    width = len(units)
    together = max(1, next(lanes for least, lanes in _LANES if len(worth) >= least) // parts)
    stay = max(together, math.ceil(_KEPT * width))
    order, blocks = units.argsort(stable=True).tolist(), []
    first, after = 0, width % together or together
    while width - after >= stay:
        chosen = order[first:after]
        channels = tuple(unit + part * width for part in range(parts) for unit in chosen)
        blocks.append(_Block(layer, channels, float(units[chosen].mean())))
        first, after = after, after + together
    return blocks


def smallest(network: nn.Module, share: float) -> dict[str, torch.Tensor]:
    """Where the smallest weights lie: ``bool`` masks by parameter name, true for exactly `share` of all weights.

    Weights of convolutions and dense layers are ranked together by their size (global L1 magnitude; Han et al. 2015,
    arXiv:1506.02626); biases and normalisations are left out.
    """
    weights = _weights(network)
    sizes = torch.cat([weight.detach().abs().flatten() for weight in weights.values()])
    gone = torch.zeros(len(sizes), dtype=torch.bool, device=sizes.device)
    gone[sizes.argsort(stable=True)[: round(share * len(sizes))]] = True
    parts = torch.split(gone, [weight.numel() for weight in weights.values()])
    return {name: part.view_as(weight) for (name, weight), part in zip(weights.items(), parts, strict=True)}


def hold_zeros(network: nn.Module, masks: dict[str, torch.Tensor]) -> None:
    """Set the masked weights to zero, and keep them there through any training of this very network.

    Their gradients are zeroed, so that the moments of SGD and AdamW stay zero, and decay shrinks nothing to nothing.
    """
    for name, weight in _weights(network).items():
        mask = masks[name]
        with torch.no_grad():
            weight.masked_fill_(mask, 0.0)
        weight.requires_grad_(True)
        weight.register_hook(partial(torch.Tensor.masked_fill, mask=mask, value=0.0))  # type: ignore[no-untyped-call]


def zeros(network: nn.Module) -> tuple[int, int]:
    """Weights of convolutions and dense layers that are zero, and all of them."""
    weights = list(_weights(network).values())
    return sum(int((weight == 0).sum()) for weight in weights), sum(weight.numel() for weight in weights)


def _weights(network: nn.Module) -> dict[str, torch.Tensor]:
    layers = {name: module for name, module in network.named_modules() if isinstance(module, WEIGHTY)}
    return {f"{name}.weight": module.weight for name, module in layers.items()}
