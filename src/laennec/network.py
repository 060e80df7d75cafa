"""The torch network of a card: backbone and head, with the input's scaling inside.

`Network` takes grey float [0, 1] and gives logits: what is trained. `Deployed` takes ``uint8`` and gives
probabilities: what is run and exported, the same in every runtime. Imports torch; only code that trains or runs torch
loads this module.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from laennec import family
from laennec.errors import UntrustedBundle, UsageError
from laennec.labels import LabelSet
from laennec.preprocess import Preprocess

if TYPE_CHECKING:
    from laennec.bundle import Architecture, Card


class Network(nn.Module):
    """Grey ``float [n, 1, size, size]`` in [0, 1] to logits ``[n, outputs]``."""

    def __init__(self, architecture: Architecture, preprocess: Preprocess, outputs: int, start: bool = True) -> None:
        super().__init__()
        member = family.member("models", architecture.name)
        options = member.Options.model_validate(architecture.options)
        self.channels, self.mean, self.std = preprocess.channels, preprocess.mean, preprocess.std
        self.backbone, features = member.build(options, preprocess.channels, preprocess.size, start)
        self._frozen: list[nn.Module] = []
        self.head = _head(features, architecture.head.hidden, architecture.head.dropout, outputs)

    def forward(self, grey: torch.Tensor) -> torch.Tensor:
        """Logits of a batch."""
        x = (grey - self.mean) / self.std
        if self.channels > 1:
            x = x.expand(-1, self.channels, -1, -1)
        logits: torch.Tensor = self.head(self.backbone(x))
        return logits

    def learn(self, policy: str) -> None:
        """Choose what learns: the head always, and of the backbone what `policy` names. See `Phase.train`.

        The frozen layers keep their batch-norm statistics too, whatever `train` is asked for.

        Raises:
            UsageError: the backbone has fewer parts than the policy asks for.
        """
        self._frozen = _frozen_layers(self.backbone, policy)
        for parameter in self.parameters():
            parameter.requires_grad_(True)
        for layer in self._frozen:
            layer.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Network:
        """As in torch, but frozen layers stay in evaluation mode (pytorch#86590)."""
        super().train(mode)
        for layer in self._frozen:
            layer.eval()
        return self


def _frozen_layers(backbone: nn.Module, policy: str) -> list[nn.Module]:
    """The backbone's layers that do not learn, in the order they are defined in.

    A layer is a module without modules inside, or with weights of its own (timm's normalisations hold their
    activation). ``last_convs:n`` lets learn everything from the n-th last convolution on, ``last_layers:n`` from the
    n-th last layer with weights on, ``last_stages:n`` from the n-th last stage on, a stage being a part of the
    backbone's outermost sequences.
    """
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
        starts = [stage[0] for stage in stages if stage]
    if int(count) > len(starts):
        raise UsageError(
            f"'{policy}' asks for more than the backbone's {len(starts)} {kind.removeprefix('last_')}",
            'lower the number, or let phases.train = "all"',
        )
    return layers[: layers.index(starts[-int(count)])]


def _stages(backbone: nn.Module) -> list[nn.Module]:
    stages: list[nn.Module] = []
    for child in backbone.children():
        inside = list(child.children()) if isinstance(child, nn.Sequential | nn.ModuleList) else []
        stages += inside if len(inside) > 1 else [child]
    return stages


def _head(features: int, hidden: tuple[int, ...], dropout: float, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Dropout(dropout), nn.Linear(features, width), nn.ReLU()]
        features = width
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(features, outputs))


class Deployed(nn.Module):
    """``uint8 [n, 1, size, size]`` to probabilities ``float32 [n, labels]``."""

    def __init__(self, network: Network, task: ModuleType, labels: LabelSet) -> None:
        super().__init__()
        self.network, self.labels, self.task = network, labels, task

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Probabilities of a batch."""
        probabilities: torch.Tensor = self.task.activate(self.labels, self.network(pixels.float() / 255.0))
        return probabilities


def weights_bytes(network: Network) -> bytes:
    """The network's weights as safetensors bytes, the same bytes for the same weights."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})


def load_deployed(card: Card, weights: bytes) -> Deployed:
    """The network a card describes with its weights (safetensors bytes), ready to run.

    Raises:
        UntrustedBundle: the weights do not fit the architecture the card names.
    """
    network = Network(card.model, card.preprocess, len(card.labels), start=False)
    try:
        network.load_state_dict(load(weights))
    except (RuntimeError, ValueError, SafetensorError) as error:
        raise UntrustedBundle("the weights do not fit the architecture the card names", "make it again") from error
    return Deployed(network, family.member("tasks", card.task), card.labels).eval()
