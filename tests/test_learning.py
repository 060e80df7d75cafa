"""What a recipe can ask of the loop: schedules, kept embeddings, balance, mixup, focal loss, moving statistics."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import cut_after, tiny_recipe
from laennec import family, schedules, sources, storage
from laennec.augment import augment, mix
from laennec.card import Architecture
from laennec.embeddings import Embeddings
from laennec.errors import UsageError
from laennec.evaluation import history
from laennec.fit import Fit
from laennec.labels import LabelSet
from laennec.loader import load
from laennec.network import Network
from laennec.preprocess import Preprocess
from laennec.sections import Augmentation, Head, Phase, Training
from laennec.training import train
from laennec.work import work_of

TWO = LabelSet(names=("normal", "sick"), positive=("sick",))
MANY = LabelSet(names=("a", "b"), positive=("a",), exclusive=False)
classify = family.member("tasks", "classify")


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant", "plateau"])
@given(st.integers(0, 99), st.floats(0.0, 0.9))
def test_rates_stay_between_nothing_and_the_peak(schedule: str, step: int, warmup: float) -> None:
    phase = Phase(epochs=1, learning_rate=0.1, schedule=schedule, warmup=warmup)  # type: ignore[arg-type]
    assert 0 <= schedules.rate(phase, step, 100) <= 0.1 * (1 + 1e-12)


def test_schedules_at_known_places() -> None:
    def at(schedule: str, step: int, drops: int = 0) -> float:
        phase = Phase(epochs=1, learning_rate=1.0, schedule=schedule, warmup=0.2)  # type: ignore[arg-type]
        return schedules.rate(phase, step, 100, drops)

    assert at("cosine", 0) == pytest.approx(0.05) and at("cosine", 20) == 1.0 and at("cosine", 60) == pytest.approx(0.5)
    assert at("one_cycle", 0) == pytest.approx(1 / 25) and at("one_cycle", 20) == pytest.approx(1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        torch.optim.SGD([torch.zeros(1)], lr=1.0),
        max_lr=1.0,
        total_steps=101,
        pct_start=0.2 + 1 / 101,
        cycle_momentum=False,
    )
    assert at("one_cycle", 10) == pytest.approx(0.52) and reference.get_last_lr()[0] == pytest.approx(
        at("one_cycle", 0)
    )
    assert at("plateau", 50, drops=2) == pytest.approx(0.01)
    assert at("constant", 99) == 1.0


def test_the_plateau_lowers_the_rate_after_waiting_and_a_resume_knows_it(pictures: Path, tmp_path: Path) -> None:
    phases = [{"epochs": 6, "learning_rate": 1e-2, "schedule": "plateau", "plateau": 1, "warmup": 0.0}]
    training = {"batch_size": 16, "threads": 2, "ema": 0.8, "monitor": "auroc"}  # which soon cannot rise
    recipe = tiny_recipe(pictures, phases=phases, training=training)
    whole = train(recipe, tmp_path / "whole")
    rates = [epoch.learning_rate for epoch in history(whole)]
    best = [epoch.best for epoch in history(whole)]
    expected, drops = [], 0
    for better in best:
        expected.append(1e-2 * 0.1**drops)
        drops += not better
    assert rates == pytest.approx(expected) and drops >= 1
    cut_after(best.index(False) + 1, recipe, tmp_path / "cut")
    assert train(recipe, tmp_path / "cut").card.files["weights.safetensors"] == whole.card.files["weights.safetensors"]


KEPT = [
    {"name": "head", "train": "head", "views": 3, "epochs": 3, "learning_rate": 1e-2},
    {"name": "all", "epochs": 1, "learning_rate": 1e-3},
]


@pytest.mark.parametrize("balance", ["none", "class_weights", "sampler", "smote"])
def test_kept_embeddings_train_and_resume_to_the_same_weights(balance: str, pictures: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        pictures, phases=KEPT, training={"batch_size": 16, "threads": 2, "balance": balance, "ema": 0.5}
    )
    whole = train(recipe, tmp_path / "whole")
    cut_after(2, recipe, tmp_path / "cut")
    assert train(recipe, tmp_path / "cut").card.files["weights.safetensors"] == whole.card.files["weights.safetensors"]
    learned = whole.card.training.learning
    assert learned == {"head": 34, "all": whole.card.parameters}


def pictures_of(recipe: object) -> sources.Pictures:
    feed = load(recipe, ("train", "val"))  # type: ignore[arg-type]
    return sources.Pictures(
        recipe, work_of("classify", feed.collection.labels), feed.part("train"), feed.part("val"), torch.device("cpu")
    )  # type: ignore[arg-type]


def test_the_backbone_runs_once_for_each_picture_and_view(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(pictures, phases=KEPT[:1])
    given_ = pictures_of(recipe)
    network = Network(Architecture(name="cnn", options=recipe.model.options, head=Head()), recipe.preprocess, 2)
    seen = []
    features = Network.features
    monkeypatch.setattr(Network, "features", lambda self, grey: (seen.append(len(grey)), features(self, grey))[1])
    fit = Fit(given_, network)
    fit.run(tmp_path, {})
    assert sum(seen) == 3 * len(given_.train) + len(given_.val)


def test_kept_embeddings_are_those_of_the_changed_views(pictures: Path) -> None:
    recipe = tiny_recipe(pictures, phases=KEPT[:1])
    given_ = pictures_of(recipe)
    network = Network(Architecture(name="cnn", options=recipe.model.options, head=Head()), recipe.preprocess, 2)
    kept = Embeddings(given_, network, 2, seed=4)
    assert kept.kept.shape == (2, len(given_.train), 16)
    generator = torch.Generator().manual_seed(4 * 1000 + 1)
    order = torch.randperm(60, generator=generator).numpy()
    with torch.inference_mode():
        first = network.eval().features(given_.batch(order, generator)[0])
    assert torch.allclose(kept.kept[1, order], first, atol=1e-5)
    assert not torch.allclose(kept.kept[0], kept.kept[1])
    assert np.allclose(kept.judged(network).probabilities, given_.judged(network).probabilities, atol=1e-5)


def test_kept_embeddings_serve_the_next_training_that_starts_alike(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(pictures, phases=KEPT[:1])
    given_ = pictures_of(recipe)
    torch.manual_seed(3)
    network = Network(Architecture(name="cnn", options=recipe.model.options, head=Head()), recipe.preprocess, 2)
    first = Embeddings(given_, network, 2, seed=8)
    runs = []
    features = Network.features
    monkeypatch.setattr(Network, "features", lambda self, grey: (runs.append(1), features(self, grey))[1])
    again = Embeddings(given_, network, 2, seed=8)
    assert not runs and torch.equal(again.kept, first.kept) and torch.equal(again.val, first.val)
    Embeddings(given_, network, 2, seed=9)  # other views
    assert runs
    runs.clear()
    with torch.no_grad():
        next(network.backbone.parameters()).add_(1e-3)  # another backbone
    other = Embeddings(given_, network, 2, seed=8)
    assert runs and not torch.equal(other.kept, first.kept)
    runs.clear()
    files = list(storage.cache_folder("embeddings").glob("*.safetensors"))
    for path in files:
        path.write_bytes(path.read_bytes()[:-3] + b"\x07\x07\x07")
    assert torch.equal(Embeddings(given_, network, 2, seed=8).kept, other.kept) and runs  # damaged: made again


def test_kept_embeddings_are_not_taken_from_another_network_with_the_same_weights(pictures: Path) -> None:
    """Pooling has no weights: averaged and flattened features differ while the state dicts are the same."""
    made = {}
    for pool in ("average", "flatten"):
        recipe = tiny_recipe(pictures, phases=KEPT[:1], model={"name": "plain", "widths": [4, 8], "pool": pool})
        torch.manual_seed(5)
        architecture = Architecture(name="plain", options=recipe.model.options, head=Head())
        network = Network(architecture, recipe.preprocess, 2)
        made[pool] = Embeddings(pictures_of(recipe), network, 1, seed=1).kept.shape[2]
    assert made["average"] == 8 and made["flatten"] > 8


def test_mixup_in_kept_views_mixes_across_classes(pictures: Path) -> None:
    recipe = tiny_recipe(pictures, phases=KEPT[:1], augmentation={"mixup": 2.0}, training={"batch_size": 16})
    given_ = pictures_of(recipe)
    network = Network(Architecture(name="cnn", options=recipe.model.options, head=Head()), recipe.preprocess, 2)
    targets = Embeddings(given_, network, 1, seed=2).targets[0]
    mixed = ((targets > 0.01) & (targets < 0.99)).any(1).float().mean()
    assert mixed > 0.25  # half of the partners are of the other class


def test_smote_fills_up_the_rare_class_from_training_pictures_only(pictures: Path) -> None:
    rare = tiny_recipe(pictures, phases=KEPT[:1], training={"balance": "smote", "batch_size": 16})
    given_ = pictures_of(rare)
    keep = np.r_[np.where(given_.values[:, 0] == 1)[0], np.where(given_.values[:, 1] == 1)[0][:7]]
    object.__setattr__(given_.train, "samples", tuple(given_.train.samples[i] for i in keep))
    object.__setattr__(given_.train, "rows", given_.train.rows[keep])
    given_.values = given_.values[keep]
    network = Network(Architecture(name="cnn", options=rare.model.options, head=Head()), rare.preprocess, 2)
    kept = Embeddings(given_, network, 2, seed=0)
    counts = kept.values.sum(0)
    assert counts[0] == counts[1] > 7 and kept.kept.shape[1] == counts.sum()
    real = kept.kept[0, keep.size - 7 : keep.size]
    made = kept.kept[0, keep.size :]
    low, high = real.min(0).values, real.max(0).values
    assert (made >= low - 1e-5).all() and (made <= high + 1e-5).all()  # between neighbours of the rare class


def test_smote_without_certain_labels_or_kept_embeddings_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="kept embeddings"):
        tiny_recipe(pictures, training={"balance": "smote"})
    with pytest.raises(UsageError, match="one certain label"):
        tiny_recipe(pictures, phases=KEPT, training={"balance": "smote"}, augmentation={"mixup": 0.2})


def test_the_sampler_shows_each_class_equally_often() -> None:
    values = np.repeat(np.eye(3, dtype=np.float32), [900, 90, 10], axis=0)
    drawn = sources.order(values, "sampler", torch.Generator().manual_seed(0))
    shares = values[drawn].mean(0)
    assert len(drawn) == 1000 and np.abs(shares - 1 / 3).max() < 0.06
    plain = sources.order(values, "none", torch.Generator().manual_seed(0))
    assert sorted(plain) == list(range(1000))


def loss(labels: LabelSet, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, **how: object) -> float:
    return float(classify.loss(labels, logits, targets, weights, Training(**how)))  # type: ignore[arg-type]


def test_the_loss_of_whole_labels_is_torchs() -> None:
    torch.manual_seed(0)
    logits, kind, weights = torch.randn(20, 3), torch.randint(3, (20,)), torch.tensor([0.5, 1.0, 4.0])
    labels = LabelSet(names=("a", "b", "c"), positive=("a",))
    targets = torch.eye(3)[kind]
    expected = torch.nn.functional.cross_entropy(logits, kind, weight=weights, label_smoothing=0.1)
    assert loss(labels, logits, targets, weights, label_smoothing=0.1) == pytest.approx(float(expected), rel=1e-5)


def test_the_focal_loss_is_the_formula_and_without_focus_the_plain_one() -> None:
    torch.manual_seed(0)
    logits, ones = torch.randn(30, 2), torch.ones(2)
    targets = torch.eye(2)[torch.randint(2, (30,))]
    p = logits.softmax(1)[targets == 1]
    focal = loss(TWO, logits, targets, ones, loss="focal", focusing=2.0)
    assert focal == pytest.approx(float(-((1 - p) ** 2 * p.log()).mean()), rel=1e-5)
    assert loss(TWO, logits, targets, ones, loss="focal", focusing=0.0) == pytest.approx(
        loss(TWO, logits, targets, ones)
    )
    both = torch.tensor([[1.0, math.nan]])
    q = torch.tensor(0.3).sigmoid()
    unknown = loss(MANY, torch.tensor([[0.3, 9.0]]), both, ones, loss="focal", focusing=2.0)
    assert unknown == pytest.approx(float(-((1 - q) ** 2 * q.log())), rel=1e-5)


def test_a_weak_focus_on_sure_answers_has_a_slope() -> None:
    logits = torch.tensor([[-30.0, 30.0], [30.0, -30.0]], requires_grad=True)
    value = classify.loss(TWO, logits, torch.eye(2), torch.ones(2), Training(loss="focal", focusing=0.5))
    value.backward()
    assert torch.isfinite(logits.grad).all()


def test_mixup_blends_pictures_and_labels_alike() -> None:
    generator = torch.Generator().manual_seed(1)
    kind = torch.arange(8)
    images = kind.float().view(8, 1, 1, 1).expand(8, 1, 4, 4) / 7
    targets = torch.eye(8)
    mixed, soft = mix(images, targets, 0.4, generator)
    assert torch.allclose(soft.sum(1), torch.ones(8))
    assert torch.allclose(mixed[:, 0, 0, 0], (soft * kind / 7).sum(1), atol=1e-6)
    assert (soft.diagonal() >= 0.5).all() and (soft.diagonal() < 1).any()
    unknown = mix(images, targets * torch.nan, 0.4, generator)[1]
    assert unknown.isnan().all()


def test_a_tone_curve_keeps_the_order_of_greys_and_the_ends() -> None:
    ramp = torch.linspace(0, 1, 256).view(1, 1, 16, 16).expand(6, 1, 16, 16)
    changed = augment(ramp, Augmentation(tone=0.8), torch.Generator().manual_seed(0)).flatten(1)
    assert (
        (changed.diff(dim=1) >= 0).all() and changed[:, 0].abs().max() == 0 and (changed[:, -1] - 1).abs().max() < 1e-6
    )
    assert not torch.allclose(changed[0], changed[1])


def test_moving_statistics_drift_under_a_frozen_backbone_and_frozen_ones_do_not(pictures: Path, tmp_path: Path) -> None:
    def statistics(how: str) -> torch.Tensor:
        from safetensors.torch import load

        phases = [{"train": "head", "statistics": how, "epochs": 2, "learning_rate": 1e-3}]
        made = train(tiny_recipe(pictures, phases=phases), tmp_path / how)
        return load(made.read("weights.safetensors"))["backbone.1.running_mean"]

    assert statistics("frozen").abs().max() == 0  # as it started, to the bit
    assert statistics("moving").abs().max() > 0.1


@pytest.mark.parametrize("scaling", [(0.0, 1.0), (0.5, 0.5), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
def test_the_input_scaling_is_inside_the_network(scaling: tuple[object, object]) -> None:
    mean, std = scaling
    preprocess = Preprocess(size=32, channels=3, mean=mean, std=std)  # type: ignore[arg-type]
    options = family.member("models", "cnn").Options(widths=(8,)).model_dump(mode="json")
    network = Network(Architecture(name="cnn", options=options, head=Head()), preprocess, 2).eval()
    seen = []
    network.backbone.register_forward_pre_hook(lambda _, given_: seen.append(given_[0]))
    network(torch.full((1, 1, 32, 32), 0.25))
    expected = [(0.25 - m) / s for m, s in zip(np.broadcast_to(mean, 3), np.broadcast_to(std, 3), strict=True)]
    assert seen[0][0, :, 5, 5].tolist() == pytest.approx(expected, abs=1e-6)
