"""Pruning: networks made narrower or sparser, retrained, sealed, and opened again like any other."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import nn

import laennec as ln
from conftest import tiny_recipe
from laennec import checkpoints, pruning, thinning
from laennec.bundle import Bundle, model_digest, open_bundle, seal, seals
from laennec.card import Architecture, Limits
from laennec.cli import run
from laennec.ensembling import ensemble
from laennec.errors import GateFailed, LaennecError, UntrustedBundle, UsageError
from laennec.loader import reload
from laennec.narrowing import narrow
from laennec.network import WEIGHTS, Network, load_deployed, weights_bytes
from laennec.outputs import Outputs
from laennec.preprocess import Preprocess
from laennec.pruning import prune
from laennec.runtime import infer, start
from laennec.sections import Head

WIDE = Limits(auroc_lost=1.0, flipped=1.0, ece_gained=1.0)
SIZE = 64


def of(name: str, channels: int = 1, **options: Any) -> Network:
    torch.manual_seed(0)
    head = Head(hidden=(32,) if name == "cnn" else ())
    return Network(
        Architecture(name=name, options=options, head=head), Preprocess(size=SIZE, channels=channels), 3, start=True
    )


def backbone(name: str, channels: int = 1) -> Network:
    return of("timm", channels, backbone=name, weights="none")


def halved(network: Network, left: float = 0.5) -> Network:
    whole = thinning.operations(network, SIZE)
    found = thinning.Thinner(network, SIZE).least(lambda one, _: thinning.operations(one, SIZE), left * whole, 0.02)
    assert isinstance(found, Network)
    return found


NETWORKS: dict[str, Callable[[], Network]] = {
    "cnn": lambda: of("cnn", blocks=2),
    "cnn in colour": lambda: of("cnn", 3),
    "plain": lambda: of("plain"),
    "plain, flattened": lambda: of("plain", norm=True, pool="flatten"),
    "bottlenecks": lambda: backbone("resnet50"),
    "depthwise": lambda: backbone("mobilenetv2_050", 3),
    "squeeze and excite": lambda: backbone("mobilenetv3_small_050"),
    "concatenation": lambda: backbone("densenet121"),
    "grouped": lambda: backbone("resnext26ts"),
    "vgg": lambda: of("timm", backbone="vgg11", weights="none", dense=False),
}


QUICK = {"cnn", "cnn in colour", "plain", "plain, flattened", "depthwise"}  # the others take ten seconds and more each


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in NETWORKS]
)
def test_a_narrower_network_runs_and_is_built_again_from_its_weights_alone(name: str) -> None:
    network = NETWORKS[name]()
    if name in {"bottlenecks", "concatenation", "grouped"}:  # a search takes seconds: one try is enough
        order = thinning.Thinner(network, SIZE)
        narrower, left = order.without(order.blocks // 2)
        assert left < order.channels
    else:
        narrower = halved(network)
        share = thinning.operations(narrower, SIZE) / thinning.operations(network, SIZE)
        assert 0.42 < share <= 0.5
    again, weights = NETWORKS[name]().eval(), load(weights_bytes(narrower))
    narrow(again, weights)
    again.load_state_dict(weights)
    pictures = torch.rand(2, 1, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(again(pictures), narrower(pictures))
    for own, other in zip(again.modules(), narrower.modules(), strict=True):
        for what in ("in_channels", "out_channels", "groups", "num_features", "in_features", "out_features"):
            assert getattr(own, what, None) == getattr(other, what, None)


def test_what_is_left_comes_in_blocks() -> None:
    for layer in halved(of("cnn", widths=[24, 48, 96])).modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.out_channels % 8 == 0


def test_the_least_important_channels_go_first() -> None:
    network = of("plain", widths=[32, 32])
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    second = [module for module in network.modules() if isinstance(module, nn.Conv2d)][1]
    faint = torch.arange(0, 32, 4)
    with torch.no_grad():
        first.weight[faint] *= 1e-3
        second.weight[:, faint] *= 1e-3
    narrower, left = thinning.Thinner(network, SIZE).without(1)
    kept = next(module for module in narrower.modules() if isinstance(module, nn.Conv2d))
    assert left == 64 - 8 and torch.equal(kept.weight, first.weight[[i for i in range(32) if i % 4]])


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto"])
def test_networks_that_cannot_lose_channels_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot lose channels"):
        thinning.Thinner(backbone(name), SIZE)


def test_the_search_finds_the_widest_that_fits() -> None:
    order = thinning.Thinner(of("cnn", widths=[16, 32]), SIZE)
    for limit in (0.3, 0.6, 0.9):
        found = order.least(lambda _, left: left, limit * order.channels, within=0.0, near=0.0)
        lefts = [order.without(count)[1] for count in range(order.blocks + 1)]
        wanted = next((count for count, left in enumerate(lefts) if left <= limit * order.channels), None)
        expected = None if wanted is None else order.without(wanted)[0]
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            assert weights_bytes(found) == weights_bytes(expected)  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(st.floats(0.0, 1.0))
def test_exactly_the_share_asked_for_becomes_zero(share: float) -> None:
    network = of("plain", widths=[4, 8])
    masks = thinning.smallest(network, share)
    thinning.hold_zeros(network, masks)
    zero, total = thinning.zeros(network)
    assert zero == round(share * total)
    kept = torch.cat([p[~masks[n]].abs().flatten() for n, p in network.named_parameters() if n in masks])
    assert not (kept == 0).any()


@pytest.mark.parametrize("optimiser", [torch.optim.AdamW, torch.optim.SGD])
def test_zeros_stay_through_steps_of_the_optimiser(optimiser: Any) -> None:
    network = of("plain", widths=[4, 8])
    thinning.hold_zeros(network, thinning.smallest(network, 0.6))
    before = thinning.zeros(network)
    learning = optimiser(network.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        learning.zero_grad()
        network(torch.rand(4, 1, SIZE, SIZE)).square().sum().backward()
        learning.step()
    assert thinning.zeros(network) == before


@pytest.fixture(scope="module")
def parent(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Wide enough to lose channels in blocks of eight."""
    recipe = tiny_recipe(pictures, model={"name": "cnn", "widths": [16, 32]})
    return ln.train(recipe, tmp_path_factory.mktemp("runs") / "parent")


@pytest.fixture(scope="module")
def pruned(parent: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("pruned") / "half"
    return prune(parent, out=out, flops=0.5, steps=2, epochs=1, distil=0.5, limits=WIDE)


def test_half_the_operations_are_left_and_the_card_says_what_was_done(parent: Bundle, pruned: Bundle) -> None:
    card, seen = pruned.card, pruned.card.pruning
    assert seen is not None and card.parent == parent.digest and card.model == parent.card.model
    assert 0.4 < seen.flops / seen.flops_parent <= 0.5
    assert seen.parameters == card.parameters < parent.card.parameters and seen.nonzero <= seen.parameters
    assert (seen.kind, seen.wanted, seen.steps, seen.epochs, seen.distil) == ("structured", "flops 0.5", 2, 1, 0.5)
    assert seen.learning_rate == pytest.approx(1e-3) and len(seen.aurocs) == 2 and seen.seconds > 0
    assert seen.beside_parent is not None and seen.beside_parent == card.gate
    assert not (pruned.path / "checkpoints").exists()
    assert pruned.megabytes < parent.megabytes


def test_a_pruned_bundle_is_exported_judged_and_asked_like_any_other(pruned: Bundle, tmp_path: Path) -> None:
    graph = ln.export(pruned, out=tmp_path / "onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (9, 1, 32, 32), np.uint8)
    assert np.abs(start(graph).run(pixels).probabilities - start(pruned).run(pixels).probabilities).max() < 1e-4
    assert ln.evaluate(pruned).part == "test"
    assert graph.card.pruning == pruned.card.pruning


def test_the_same_pruning_again_is_returned_and_another_refused(parent: Bundle, pruned: Bundle) -> None:
    again = prune(parent, out=pruned.path, flops=0.5, steps=2, epochs=1, distil=0.5, limits=WIDE)
    assert again.digest == pruned.digest
    for other in ({"steps": 1}, {"limits": Limits()}, {"distil": 0.0}):
        arguments: dict[str, Any] = {"steps": 2, "epochs": 1, "distil": 0.5, "limits": WIDE} | other
        with pytest.raises(UsageError, match="holds another bundle"):
            prune(parent, out=pruned.path, flops=0.5, **arguments)


def test_a_killed_pruning_goes_on_to_the_same_weights(
    parent: Bundle, pruned: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state, out = checkpoints.save_state, tmp_path / "cut"

    def once_more(kills_at: int) -> Bundle:
        calls = 0

        def save_then_die(folder: Path, epoch: int, state: checkpoints.State) -> None:
            nonlocal calls
            save_state(folder, epoch, state)
            calls += 1
            if calls == kills_at:
                raise KeyboardInterrupt

        monkeypatch.setattr(checkpoints, "save_state", save_then_die)
        return prune(parent, out=out, flops=0.5, steps=2, epochs=1, distil=0.5, limits=WIDE)

    with pytest.raises(KeyboardInterrupt):
        once_more(2)  # what is to be left is saved, and the epoch of the first step, but not the step
    with pytest.raises(KeyboardInterrupt):
        once_more(1)  # now the step is
    monkeypatch.setattr(checkpoints, "save_state", save_state)
    with pytest.raises(UsageError, match="another --out"):
        prune(parent, out=out, flops=0.4, steps=2, epochs=1, distil=0.5, limits=WIDE)
    whole = once_more(0)
    assert whole.read(WEIGHTS) == pruned.read(WEIGHTS)


def test_a_gate_that_fails_seals_nothing_but_keeps_the_work(parent: Bundle, tmp_path: Path) -> None:
    strict, out = Limits(auroc_lost=-1.0), tmp_path / "out"
    with pytest.raises(GateFailed, match="does not decide like"):
        prune(parent, out=out, flops=0.6, steps=1, epochs=1, limits=strict)
    assert not (out / "card.json").exists()
    made = prune(parent, out=out, flops=0.6, steps=1, epochs=1, limits=strict, gate=False)
    seen = made.card.pruning
    assert made.card.gate is None and seen is not None and seen.beside_parent is not None
    assert not seen.beside_parent.passed


def test_magnitude_pruning_leaves_exactly_its_share_of_zeros(parent: Bundle, tmp_path: Path) -> None:
    wide = ["--auroc-lost", "1", "--flipped", "1", "--ece-gained", "1"]
    asked = ["--kind", "magnitude", "--share", "0.5", "--steps", "2", "--epochs", "1"]
    code = run(["prune", str(parent.path), "--out", str(tmp_path / "m"), *asked, *wide])
    made = open_bundle(tmp_path / "m")
    network = load_deployed(made.card, made.model_files()).network
    zero, total = thinning.zeros(network)  # type: ignore[arg-type]
    seen = made.card.pruning
    assert code == 0 and zero == round(total * 0.5) and seen is not None
    assert seen.flops == seen.flops_parent and not seen.narrowed and made.card.parameters == parent.card.parameters
    assert seen.parameters - seen.nonzero >= zero and made.megabytes == pytest.approx(parent.megabytes, rel=0.01)


def test_what_is_said_of_zeros(parent: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from laennec.cli.compress import _tell

    made = prune(parent, out=tmp_path / "m", kind="magnitude", share=0.3, steps=1, epochs=1, limits=WIDE)
    _tell(made)
    assert "no smaller and no quicker" in capsys.readouterr().out


def test_a_share_of_channels_goes(parent: Bundle, tmp_path: Path) -> None:
    made = prune(parent, out=tmp_path / "s", share=0.4, steps=1, epochs=1, limits=WIDE)
    of_parent = load_deployed(parent.card, parent.model_files()).network
    own = load_deployed(made.card, made.model_files()).network
    before = thinning.Thinner(of_parent, 32).channels  # type: ignore[arg-type]
    after = thinning.Thinner(own, 32).channels  # type: ignore[arg-type]
    assert 0.4 * before <= before - after <= 0.4 * before + 8


def test_a_pruned_bundle_can_be_pruned_again_and_joined(parent: Bundle, pruned: Bundle, tmp_path: Path) -> None:
    sparse = prune(pruned, out=tmp_path / "m", kind="magnitude", share=0.2, steps=1, epochs=1, limits=WIDE)
    assert sparse.card.pruning is not None and sparse.card.pruning.narrowed
    joined = ensemble([parent, pruned], tmp_path / "joined")
    val = reload(parent, ("val",)).part("val")
    assert infer(start(joined), val, "joined").probabilities.shape == (len(val), 2)
    with pytest.raises(UsageError, match="20% are zero already"):
        prune(sparse, out=tmp_path / "x", kind="magnitude", share=0.1)
    with pytest.raises(UsageError, match="is an ensemble"):
        prune(joined, out=tmp_path / "x", flops=0.5)


@pytest.mark.parametrize("wanted", [0.55, pytest.param(0.8, marks=pytest.mark.slow)])
def test_a_wanted_latency_is_searched_for_beside_the_parent(
    parent: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: float
) -> None:
    """A clock by which time goes with the operations, on a machine that gets slower and slower."""
    slowness, whole = 1.0, []

    class Fake:
        def __init__(self, operations: int) -> None:
            self.operations = operations

        def run(self, pixels: np.ndarray) -> Outputs:
            raise AssertionError("nobody looks at a real clock")

    def session(self: Any, network: Network, card: Any) -> Fake:
        whole.append(thinning.operations(network, 32))
        return Fake(whole[-1])

    def timed(before: Fake, after: Fake, image: np.ndarray) -> tuple[float, float]:
        nonlocal slowness
        slowness *= 1.3
        return slowness * before.operations / whole[0], slowness * after.operations / whole[0]

    monkeypatch.setattr(pruning._Work, "_session", session)
    monkeypatch.setattr(pruning, "timed", timed)
    with pytest.raises(UsageError, match="already"):
        prune(parent, out=tmp_path / "a", latency=1.31)
    slowness = 1.0
    made = prune(parent, out=tmp_path / "l", latency=wanted * 1.3, steps=1, epochs=1, limits=WIDE)
    of_parent = load_deployed(parent.card, parent.model_files()).network
    expected = thinning.Thinner(of_parent, 32).least(  # type: ignore[arg-type]
        lambda one, _: thinning.operations(one, 32), wanted * whole[0], near=0.9
    )
    assert expected is not None and made.card.pruning is not None and "ms" in made.card.pruning.wanted
    assert made.card.pruning.flops == thinning.operations(expected, 32)


def test_a_latency_is_measured_with_the_runtime_itself(parent: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at its narrowest"):
        prune(parent, out=tmp_path / "b", latency=1e-6)


WRONG: dict[str, dict[str, Any]] = {
    "nothing": {},
    "two measures": {"flops": 0.5, "share": 0.5},
    "too much": {"flops": 1.5},
    "less than nothing": {"latency": -1.0},
    "no number": {"flops": math.nan},
    "zeros for operations": {"kind": "magnitude", "flops": 0.5},
    "no such kind": {"kind": "lottery", "share": 0.5},
    "no steps": {"flops": 0.5, "steps": 0},
    "no epochs": {"flops": 0.5, "epochs": 0},
    "more than all from the parent": {"flops": 0.5, "distil": 1.5},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_makes_no_sense_is_refused(parent: Bundle, tmp_path: Path, wrong: str) -> None:
    with pytest.raises(UsageError) as caught:
        prune(parent, out=tmp_path / "x", **WRONG[wrong])
    assert caught.value.hint and not (tmp_path / "x").exists()


def test_more_than_can_go_is_refused(parent: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too little of it can go"):
        prune(parent, out=tmp_path / "x", flops=1e-4, steps=1)


def test_what_was_exported_is_not_pruned(quantised: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a torch bundle"):
        prune(quantised, out=tmp_path / "x", flops=0.5)


def tampered(bundle: Bundle, folder: Path, weights: dict[str, torch.Tensor]) -> Bundle:
    """The bundle with other weights, sealed by somebody who knows how."""
    files = {WEIGHTS: save(weights)}
    digest = model_digest(seals(files))
    points = {
        rule: point.model_copy(update={"model_digest": digest}) for rule, point in bundle.card.operating_points.items()
    }
    return seal(folder, bundle.card.model_copy(update={"operating_points": points}), files)


STEM, LAST = "backbone.0.weight", "head.1.weight"
ATTACKS: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
    "wider": lambda w: w | {STEM: torch.zeros(64, *w[STEM].shape[1:])},
    "of another rank": lambda w: w | {STEM: w[STEM].flatten(1)},
    "empty": lambda w: w | {STEM: w[STEM][:0]},
    "another kernel": lambda w: w | {STEM: w[STEM][..., 1:2, 1:2].contiguous()},
    "widths that do not go together": lambda w: w | {STEM: w[STEM][:-1].contiguous()},
    "fewer labels": lambda w: w | {LAST: w[LAST][:1].contiguous(), "head.1.bias": w["head.1.bias"][:1].contiguous()},
    "a layer too many": lambda w: w | {"backbone.99.weight": w[STEM].clone()},
    "a layer too few": lambda w: {name: tensor for name, tensor in w.items() if name != STEM},
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_weights_that_are_no_pruning_of_the_architecture_are_refused(
    pruned: Bundle, tmp_path: Path, attack: str
) -> None:
    bad = tampered(pruned, tmp_path / "bad", ATTACKS[attack](load(pruned.read(WEIGHTS))))
    with pytest.raises(UntrustedBundle, match="do not fit"):
        start(bad)


def test_narrow_weights_need_a_card_that_says_so(pruned: Bundle, tmp_path: Path) -> None:
    shutil.copytree(pruned.path, tmp_path / "b")
    card = pruned.card.model_copy(update={"pruning": None})
    with pytest.raises(UntrustedBundle, match="do not fit"):
        load_deployed(card, pruned.model_files())
    assert json.loads((tmp_path / "b" / "card.json").read_text())["pruning"]["narrowed"] is True


def test_a_network_the_graph_misreads_is_an_error_that_says_so() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 16, 3)
            self.register_buffer("scale", torch.ones(1, 16, 1, 1))
            self.last = nn.Linear(16, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scaled: torch.Tensor = self.last((self.two(self.one(x) * self.scale)).mean((2, 3)))
            return scaled

    order = thinning.Thinner(Odd(), SIZE)
    with pytest.raises(LaennecError, match="does not run with fewer channels"):
        order.without(order.blocks)


def test_a_block_too_big_is_spared_where_smaller_ones_come_nearer() -> None:
    network = of("plain", widths=[16, 32, 64, 128])
    order, whole = thinning.Thinner(network, SIZE), thinning.operations(network, SIZE)

    def cost(one: nn.Module, _: int) -> int:
        return thinning.operations(one, SIZE)

    for left in (0.3, 0.5, 0.7):
        first, near = order.least(cost, left * whole, near=0.0), order.least(cost, left * whole)
        assert first is not None and near is not None
        assert cost(first, 0) <= cost(near, 0) <= left * whole
        for layer in near.modules():
            if isinstance(layer, nn.Conv2d):
                assert layer.out_channels % 8 == 0
