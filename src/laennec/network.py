"""The torch network of a card: backbone and head, with the input's scaling inside.

`Network` takes grey float [0, 1] and gives logits: what is trained. `Deployed` takes ``uint8`` and gives
probabilities: what is run and exported, the same in every runtime. Imports torch; only code that trains or runs torch
loads this module.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load, save
from torch import nn

from laennec import family
from laennec.errors import UntrustedBundle
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
        self.head = _head(features, architecture.head.hidden, architecture.head.dropout, outputs)

    def forward(self, grey: torch.Tensor) -> torch.Tensor:
        """Logits of a batch."""
        x = (grey - self.mean) / self.std
        if self.channels > 1:
            x = x.expand(-1, self.channels, -1, -1)
        logits: torch.Tensor = self.head(self.backbone(x))
        return logits

    def freeze_backbone(self, frozen: bool) -> None:
        """Stop or let the backbone learn. A frozen one keeps its batch-norm statistics too: see `train`."""
        for parameter in self.backbone.parameters():
            parameter.requires_grad_(not frozen)
        self._frozen = frozen
        self.train(self.training)

    def train(self, mode: bool = True) -> Network:
        """As in torch, but a frozen backbone stays in evaluation mode (pytorch#86590)."""
        super().train(mode)
        if getattr(self, "_frozen", False):
            self.backbone.eval()
        return self


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
    except (RuntimeError, ValueError) as error:
        raise UntrustedBundle("the weights do not fit the architecture the card names", "make it again") from error
    return Deployed(network, family.member("tasks", card.task), card.labels).eval()
