"""The torch network of a card: backbone and heads, with the input's scaling inside.

`Network` takes grey float [0, 1] and gives logits: what is trained. `Deployed`, and `Joined` for an ensemble, takes
``uint8`` and gives probabilities and masks: what is run and exported, the same in every runtime. Imports torch; only
code that trains or runs torch loads this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from laennec import family
from laennec.errors import UntrustedBundle, UsageError
from laennec.labels import LabelSet
from laennec.preprocess import Preprocess
from laennec.work import Answered, Logits, Work, work_of

if TYPE_CHECKING:
    from laennec.card import Architecture, Card, EnsembleSeen

WEIGHTS = "weights.safetensors"
_BLUR = 0.05  # weight of a place without lung under attention: what lies beside the lungs is turned down, not off


class Network(nn.Module):
    """Grey ``float [n, 1, size, size]`` in [0, 1] to logits of labels ``[n, outputs]``, of pixels, or of both.

    Args:
        architecture: backbone and head.
        preprocess: the input's size, channels and scaling.
        outputs: labels; 0 for none.
        segments: whether each pixel gets a logit too.
        start: False where the weights will be overwritten.

    Raises:
        UsageError: the backbone gives no maps, and pixels are wanted.
    """

    def __init__(
        self,
        architecture: Architecture,
        preprocess: Preprocess,
        outputs: int,
        segments: bool = False,
        start: bool = True,
    ) -> None:
        super().__init__()
        member = family.member("models", architecture.name)
        options = member.Options.model_validate(architecture.options)
        if segments and not _segments(architecture.name):
            able = ", ".join(name for name in family.names("models") if _segments(name))
            raise UsageError(f"the model '{architecture.name}' outlines nothing", f"take one of: {able}")
        self.channels, self.size = preprocess.channels, preprocess.size
        self.mean, self.std = _constant(preprocess.mean), _constant(preprocess.std)
        self.backbone, features = member.build(options, preprocess.channels, preprocess.size, start)
        self._still: list[nn.Module] = []
        self.attention = architecture.head.attention and segments and outputs > 0
        if outputs:
            self.head = _head(features, architecture.head.hidden, architecture.head.dropout, outputs)
        self.classifies, self.segments = outputs > 0, segments
        if segments:
            self.outline = nn.Conv2d(cast(int, self.backbone.planes), 1, 1)

    def forward(self, grey: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """The logits of a batch: one tensor, or of labels and of pixels."""
        there = tuple(one for one in self.logits(grey) if one is not None)
        return there[0] if len(there) == 1 else there

    def logits(self, grey: torch.Tensor) -> Logits:
        """Logits of labels ``[n, outputs]`` and of pixels ``[n, 1, size, size]``, those there are."""
        if not self.segments:
            return Logits(self.head(self.features(grey)))
        deep, fine = self.backbone.maps(self.scaled(grey))
        pixels = self.outline(fine)
        labels = self.head(self.pooled(deep, pixels)) if self.classifies else None
        if pixels.shape[-1] != self.size:
            pixels = nn.functional.interpolate(pixels, (self.size, self.size), mode="bilinear", align_corners=False)
        return Logits(labels, pixels)

    def pooled(self, deep: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """The deep map averaged to ``[n, features]``; with attention, each place weighted by the lung it holds.

        The weight is learned from masks alone: no gradient flows back through it.
        """
        if not self.attention:
            return deep.mean((2, 3))
        step = pixels.shape[-1] // deep.shape[-1]
        seen = nn.functional.avg_pool2d(pixels.detach().sigmoid(), step)[:, :, : deep.shape[2], : deep.shape[3]]
        share = seen + _BLUR
        return (deep * share).sum((2, 3)) / share.sum((2, 3))

    def scaled(self, grey: torch.Tensor) -> torch.Tensor:
        """What the backbone reads: the grey plane in its channels, normalised."""
        if self.channels > 1:
            grey = grey.expand(-1, self.channels, -1, -1)
        mean, std = (v if isinstance(v, float) else v.to(grey.device) for v in (self.mean, self.std))
        return (grey - mean) / std

    def features(self, grey: torch.Tensor) -> torch.Tensor:
        """The backbone's embedding ``[n, features]`` of a batch."""
        embedding: torch.Tensor = self.backbone(self.scaled(grey))
        return embedding

    def learn(self, policy: str, statistics: str = "frozen") -> None:
        """Choose what learns: the head always, and of the backbone what `policy` names. See `Phase.train`.

        The frozen layers keep their batch-norm statistics too, whatever `train` is asked for, unless `statistics` is
        ``moving``.

        Raises:
            UsageError: the backbone has fewer parts than the policy asks for.
        """
        frozen = _frozen_layers(self.backbone, policy)
        for parameter in self.parameters():
            parameter.requires_grad_(True)
        for layer in frozen:
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(False)
        self._still = frozen if statistics == "frozen" else []
        self.train(self.training)

    def train(self, mode: bool = True) -> Network:
        """As in torch, but frozen layers stay in evaluation mode (pytorch#86590)."""
        super().train(mode)
        for layer in self._still:
            layer.training = False
        return self


def _segments(model: str) -> bool:
    return bool(getattr(family.member("models", model), "SEGMENTS", False))


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
        # a stage of normalisations alone, as after the last block of DenseNet or ViT, belongs to the one before it
        starts = [stage[0] for stage in stages if any(p.ndim > 1 for m in stage for p in m.parameters(recurse=False))]
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


def _constant(value: float | tuple[float, ...]) -> float | torch.Tensor:
    """One value for all channels, or ``[1, channels, 1, 1]``."""
    return value if isinstance(value, float) else torch.tensor(value).view(1, -1, 1, 1)


def _head(features: int, hidden: tuple[int, ...], dropout: float, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Dropout(dropout), nn.Linear(features, width), nn.ReLU()]
        features = width
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(features, outputs))


class Deployed(nn.Module):
    """One network: ``uint8 [n, 1, size, size]`` to the answers of its work, one tensor or several."""

    def __init__(self, network: Network, work: Work) -> None:
        super().__init__()
        self.network, self.work = network, work

    def forward(self, pixels: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Answers of a batch."""
        return self.answer(pixels.float() / 255.0).tensors()

    def answer(self, grey: torch.Tensor) -> Answered:
        """Answers for ``float [n, 1, size, size]`` in [0, 1]."""
        return self.work.activate(self.network.logits(grey))


class Joined(nn.Module):
    """An ensemble as one network: the members' answers to every view, averaged or voted on by weight."""

    def __init__(self, members: Sequence[Deployed], labels: LabelSet, how: EnsembleSeen) -> None:
        super().__init__()
        self.members, self.labels, self.how = nn.ModuleList(members), labels, how

    def forward(self, pixels: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Probabilities, or shares of the votes, ``float32 [n, labels]``."""
        return self.answer(pixels.float() / 255.0).tensors()

    def answer(self, grey: torch.Tensor) -> Answered:
        """The same of ``float [n, 1, size, size]`` in [0, 1]."""
        shown = [grey.flip(3) if view == "flip" else grey for view in self.how.views]
        total = torch.zeros((), device=grey.device)
        for member, seen in zip(self.members, self.how.members, strict=True):
            answers = torch.stack([_labels(cast(Deployed, member).answer(view)) for view in shown]).mean(0)
            if self.how.rule == "vote":
                answers = _votes(self.labels, answers, seen.threshold)
            total = total + seen.weight * answers
        return Answered(total)


def _labels(answered: Answered) -> torch.Tensor:
    assert answered.probabilities is not None  # noqa: S101  ensembles are of networks that classify
    return answered.probabilities


def _votes(labels: LabelSet, probabilities: torch.Tensor, threshold: float) -> torch.Tensor:
    """Each row's decision as a vote of 1, by the rule of `decisions.decide`."""
    wanted = list(labels.positive_indices)
    score = probabilities[:, wanted].sum(1, keepdim=True)
    if not labels.exclusive:
        limits = torch.full((1, len(labels)), 0.5, device=probabilities.device)
        limits[:, wanted] = threshold
        return (probabilities >= limits).float()
    is_wanted = torch.tensor([[i in wanted for i in range(len(labels))]], device=probabilities.device)
    allowed = is_wanted == (score >= threshold)
    chosen = torch.where(allowed, probabilities, -1.0).argmax(1)
    return torch.nn.functional.one_hot(chosen, len(labels)).float()


def weights_bytes(network: Network) -> bytes:
    """The network's weights as safetensors bytes, the same bytes for the same weights."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})


def of_work(architecture: Architecture, preprocess: Preprocess, work: Work, start: bool = True) -> Network:
    """The network an architecture and a work describe. Raises `UsageError` if the backbone cannot do that work."""
    outputs = len(work.labels) if work.classify else 0
    return Network(architecture, preprocess, outputs, segments=work.segment is not None, start=start)


def load_deployed(card: Card, files: Mapping[str, bytes]) -> Deployed | Joined:
    """The network or ensemble a card describes with its weights (`files` are the bundle's, by name), ready to run.

    Raises:
        UntrustedBundle: weights are missing, or do not fit the architecture the card names; where the card says that
            channels were pruned, they may be narrower than it, and in nothing else differ.
    """
    work = work_of(card.task, card.labels)
    if card.ensemble is None:
        network = of_work(card.model, card.preprocess, work, start=False)
        narrowed = card.pruning is not None and card.pruning.narrowed
        return Deployed(_filled(network, files, WEIGHTS, card, narrowed), work).eval()
    members = []
    for seen in card.ensemble.members:
        network = of_work(seen.model, seen.preprocess, work, start=False)
        members.append(Deployed(_filled(network, files, seen.file, card, seen.narrowed), work))
    return Joined(members, card.labels, card.ensemble).eval()


def _filled(network: Network, files: Mapping[str, bytes], name: str, card: Card, narrowed: bool) -> Network:
    if name not in files:
        raise UntrustedBundle(f"the bundle is for torch but holds no {name}", "make the bundle again")
    try:
        weights = load(files[name])
        if narrowed:
            narrow(network, weights)
        network.load_state_dict(weights)
        if not all(bool(t.isfinite().all()) for t in weights.values() if t.is_floating_point()):
            raise UntrustedBundle(f"{name} holds weights that are no numbers", "train the model again")
        if narrowed:  # widths that do not go together show when it runs, and only then
            with torch.inference_mode():
                answer = network.eval().logits(torch.zeros(1, 1, card.preprocess.size, card.preprocess.size))
            if answer.labels is not None and answer.labels.shape != (1, len(card.labels)):
                raise ValueError("another number of labels")
    except (RuntimeError, ValueError, SafetensorError) as error:
        raise UntrustedBundle("the weights do not fit the architecture the card names", "make it again") from error
    return network


def narrow(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Give a network's convolutions, dense layers and batch normalisations the widths of `weights`, by name.

    The values are not read; every other layer is left as it is. Convolutions may be transposed.

    Raises:
        ValueError: a layer would become wider than it is, empty, or of another rank or kernel.
    """
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
