"""The torch network of a card: backbone and heads, with the input's scaling inside.

`Network` takes grey float [0, 1] and gives logits: what is trained. `Deployed`, and `Joined` for an ensemble, takes
``uint8`` and gives probabilities and masks: what is run and exported, the same in every runtime. Imports torch; only
code that trains or runs torch loads this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from laennec import calibrators, family, freezing, pooling
from laennec.errors import UntrustedBundle, UsageError
from laennec.labels import LabelSet
from laennec.narrowing import narrow
from laennec.outputs import FEATURES, MAPS
from laennec.preprocess import Preprocess
from laennec.work import Answered, Logits, Work, work_of

if TYPE_CHECKING:
    from laennec.card import Architecture, Card, EnsembleSeen
    from laennec.trust import ScoreMap

WEIGHTS = "weights.safetensors"
_BLUR = 0.05  # weight of a place without lung under attention: what lies beside the lungs is turned down, not off


class Inside(NamedTuple):
    """What a network makes on its way to its logits.

    Attributes:
        features: ``[n, d]``, what the head reads; None of a network that names no label.
        deep: ``[n, d, h, w]``, the map whose mean over places the features are; None where they are no such mean.
        share: ``[n, 1, h, w]``, each place's weight in that mean; None where all weigh alike.
    """

    logits: Logits
    features: torch.Tensor | None = None
    deep: torch.Tensor | None = None
    share: torch.Tensor | None = None


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
        return self.inside(grey).logits if self.segments else Logits(self.head(self.features(grey)))

    def inside(self, grey: torch.Tensor) -> Inside:
        """The same logits, and what they were made of."""
        if not self.segments:
            parts = self.parts()
            if parts is None:
                features = self.features(grey)
                return Inside(Logits(self.head(features)), features)
            deep = parts.body(self.scaled(grey))
            features = parts.tail(deep)
            return Inside(Logits(self.head(features)), features, parts.chart(deep))
        deep, fine = self.backbone.maps(self.scaled(grey))
        full = pixels = self.outline(fine)
        if pixels.shape[-1] != self.size:
            full = nn.functional.interpolate(pixels, (self.size, self.size), mode="bilinear", align_corners=False)
        if not self.classifies:
            return Inside(Logits(None, full))
        share = self._share(deep, pixels) if self.attention else None
        features = pooling.averaged(deep, share)
        return Inside(Logits(self.head(features), full), features, deep, share)

    def pooled(self, deep: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """The deep map averaged to ``[n, features]``; with attention, each place weighted by the lung it holds.

        The weight is learned from masks alone: no gradient flows back through it.
        """
        return pooling.averaged(deep, self._share(deep, pixels) if self.attention else None)

    def _share(self, deep: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        step = pixels.shape[-1] // deep.shape[-1]
        seen = nn.functional.avg_pool2d(pixels.detach().sigmoid(), step)[:, :, : deep.shape[2], : deep.shape[3]]
        return seen + _BLUR

    def parts(self) -> pooling.Parts | None:
        """The backbone up to the map that it averages, and the rest; None where it averages none. Asked once."""
        if not hasattr(self, "_parts"):
            learning = self.training
            noise = torch.rand(1, 1, self.size, self.size, generator=torch.Generator().manual_seed(0))
            self.eval()
            self._parts = pooling.parts_of(self.backbone, self.scaled(noise.to(next(self.parameters()).device)))
            self.train(learning)
        return self._parts

    def evidence(self, inside: Inside, labels: LabelSet) -> torch.Tensor | None:
        """The class activation map ``[n, h, w]`` of the positive labels, in logits: its mean over places is the sum of
        theirs, less the mean of others that exclude them, but for biases. None where head or pooling is not linear.
        """
        if inside.deep is None or sum(isinstance(layer, nn.Linear) for layer in self.head) != 1:
            return None
        positive = tuple(labels.positive_indices)
        weight = cast(torch.Tensor, self.head[-1].weight)
        return pooling.evidence(inside.deep, inside.share, weight, positive, labels.exclusive)

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
        frozen = freezing.frozen_layers(self.backbone, policy)
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
    """One network: ``uint8 [n, 1, size, size]`` to the answers of its work, one tensor or several.

    Args:
        also: of `laennec.outputs.AUXILIARY`, what `forward` answers too; all of it must be in `auxiliary`.
    """

    def __init__(self, network: Network, work: Work, also: Sequence[str] = ()) -> None:
        super().__init__()
        self.network, self.work, self.also = network, work, tuple(also)
        if also:
            network.parts()  # before it is traced
        self.calibration: ScoreMap | None = None

    def forward(self, pixels: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Answers of a batch."""
        return self.answer(pixels.float() / 255.0, self.also).tensors()

    def answer(self, grey: torch.Tensor, also: Sequence[str] = ()) -> Answered:
        """Answers for ``float [n, 1, size, size]`` in [0, 1]; None for what of `also` the network does not have."""
        if not also:
            return _mapped(self, self.work.labels, self.work.activate(self.network.logits(grey)))
        inside = self.network.inside(grey)
        classifies = inside.features is not None
        return _mapped(self, self.work.labels, self.work.activate(inside.logits))._replace(
            features=inside.features if FEATURES in also else None,
            maps=self.network.evidence(inside, self.work.labels) if MAPS in also and classifies else None,
        )

    def auxiliary(self) -> dict[str, tuple[int, ...]]:
        """The auxiliary answers that it has, with their shapes but for the batch. Asks with one picture."""
        return _shapes(self, self.network.size)


class Joined(nn.Module):
    """An ensemble as one network: the members' answers to every view, averaged or voted on by weight.

    Features are the members' side by side, averaged over views; maps are averaged by weight, votes or not, those of
    mirrored views mirrored back, and only where all members have them on one grid.
    """

    def __init__(
        self, members: Sequence[Deployed], labels: LabelSet, how: EnsembleSeen, also: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.members, self.labels, self.how, self.also = nn.ModuleList(members), labels, how, tuple(also)
        self.calibration: ScoreMap | None = None

    def forward(self, pixels: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Probabilities, or shares of the votes, ``float32 [n, labels]``."""
        return self.answer(pixels.float() / 255.0, self.also).tensors()

    def answer(self, grey: torch.Tensor, also: Sequence[str] = ()) -> Answered:
        """The same of ``float [n, 1, size, size]`` in [0, 1], and what of `also` all members have."""
        shown = [grey.flip(3) if view == "flip" else grey for view in self.how.views]
        total = torch.zeros((), device=grey.device)
        features: list[torch.Tensor | None] = []
        maps: list[torch.Tensor | None] = []
        for member, seen in zip(self.members, self.how.members, strict=True):
            ask = cast(Deployed, member).answer
            given = [ask(view, also) if also else ask(view) for view in shown]
            answers = torch.stack([_labels(one) for one in given]).mean(0)
            if self.how.rule == "vote":
                answers = _votes(self.labels, answers, seen.threshold)
            total = total + seen.weight * answers
            features.append(_mean([one.features for one in given]))
            pairs = zip(self.how.views, (one.maps for one in given), strict=True)
            found = _mean([one.flip(2) if view == "flip" and one is not None else one for view, one in pairs])
            maps.append(None if found is None else seen.weight * found)
        kept = [one for one in features if one is not None]
        charts = [one for one in maps if one is not None]
        alike = len(charts) == len(maps) and len({one.shape[1:] for one in charts}) == 1
        return _mapped(self, self.labels, Answered(total))._replace(
            features=torch.cat(kept, 1) if len(kept) == len(features) else None,
            maps=torch.stack(charts).sum(0) if alike else None,
        )

    def auxiliary(self) -> dict[str, tuple[int, ...]]:
        """As of one network."""
        return _shapes(self, cast(Deployed, self.members[0]).network.size)


def _shapes(deployed: Deployed | Joined, size: int) -> dict[str, tuple[int, ...]]:
    with torch.no_grad():
        given = deployed.answer(torch.zeros(1, 1, size, size), (FEATURES, MAPS))
    named = {FEATURES: given.features, MAPS: given.maps}
    return {name: tuple(one.shape[1:]) for name, one in named.items() if one is not None}


def _mean(several: list[torch.Tensor | None]) -> torch.Tensor | None:
    there = [one for one in several if one is not None]
    return torch.stack(there).mean(0) if len(there) == len(several) else None


def _mapped(deployed: Deployed | Joined, labels: LabelSet, answered: Answered) -> Answered:
    """The answers with their probabilities under the network's calibration, if it has one."""
    if deployed.calibration is None or answered.probabilities is None:
        return answered
    brought = calibrators.in_torch(deployed.calibration, labels, answered.probabilities)
    return answered._replace(probabilities=brought)


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


def load_deployed(card: Card, files: Mapping[str, bytes], also: Sequence[str] = ()) -> Deployed | Joined:
    """The network or ensemble a card describes with its weights (`files` are the bundle's, by name), ready to run.

    It answers what of its auxiliary answers `also` names too.

    Raises:
        UntrustedBundle: weights are missing, or do not fit the architecture the card names; where the card says that
            channels were pruned, they may be narrower than it, and in nothing else differ.
    """
    deployed = _loaded(card, files, also)
    deployed.calibration = card.calibration
    return deployed.eval()


def _loaded(card: Card, files: Mapping[str, bytes], also: Sequence[str]) -> Deployed | Joined:
    work = work_of(card.task, card.labels)
    if card.ensemble is None:
        network = of_work(card.model, card.preprocess, work, start=False)
        narrowed = card.pruning is not None and card.pruning.narrowed
        return Deployed(_filled(network, files, WEIGHTS, card, narrowed), work, also)
    members = []
    for seen in card.ensemble.members:
        network = of_work(seen.model, seen.preprocess, work, start=False)
        members.append(Deployed(_filled(network, files, seen.file, card, seen.narrowed), work, also))
    return Joined(members, card.labels, card.ensemble, also)


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
