"""Training: it learns, repeats bit for bit, resumes exactly, freezes what it says, and never overwrites."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import cut_after, tiny_recipe
from laennec import checkpoints, family, storage
from laennec.augment import augment
from laennec.bundle import Bundle, open_bundle
from laennec.card import Architecture
from laennec.errors import LaennecError, StorageFull, UntrustedBundle, UsageError
from laennec.network import Network
from laennec.preprocess import Preprocess
from laennec.recipe import Augmentation, Head
from laennec.training import train


def test_mixed_precision_trains_and_fp16_wants_a_gpu(pictures: Path, tmp_path: Path) -> None:
    def recipe(precision: str) -> object:
        return tiny_recipe(pictures, training={"precision": precision, "batch_size": 16, "threads": 2})

    assert train(recipe("bf16"), tmp_path / "bf16").card.training.validation["auroc"] > 0.9
    if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        with pytest.raises(UsageError, match="fp16"):
            train(recipe("fp16"), tmp_path / "fp16")


def weights_digest(bundle: Bundle) -> str:
    return bundle.card.files["weights.safetensors"].sha256


def test_it_learns_the_spot(trained: Bundle) -> None:
    assert trained.card.training.validation["auroc"] > 0.95
    assert trained.card.training.epochs == 6
    assert trained.card.data.patients["train"] + trained.card.data.patients["val"] == 42


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(pictures: Path, tmp_path: Path) -> None:
    runs = [
        train(tiny_recipe(pictures, seed=seed, phases=[{"epochs": 1, "learning_rate": 1e-3}]), tmp_path / name)
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    assert weights_digest(runs[0]) == weights_digest(runs[1]) != weights_digest(runs[2])


PHASES = [
    {"name": "head", "train": "head", "epochs": 2, "learning_rate": 1e-2},
    {"name": "all", "epochs": 3, "learning_rate": 5e-3, "patience": 2},
]


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4])
def test_a_killed_training_resumes_to_the_same_weights(pictures: Path, tmp_path: Path, stop_after: int) -> None:
    recipe = tiny_recipe(pictures, phases=PHASES)
    whole = train(recipe, tmp_path / "whole")
    cut_after(stop_after, recipe, tmp_path / "cut")
    (tmp_path / "cut" / "checkpoints" / ".epoch-00009.safetensors.abc.part").write_bytes(b"half a checkpoint")
    (tmp_path / "cut" / ".weights.safetensors.abc.part").write_bytes(b"half a file")
    resumed = train(recipe, tmp_path / "cut")
    assert weights_digest(resumed) == weights_digest(whole)
    assert not (tmp_path / "cut" / "checkpoints").exists()


@pytest.mark.slow
def test_kill_9_at_ten_places_resumes_to_the_same_weights(pictures: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(pictures, phases=[{"epochs": 400, "learning_rate": 1e-3}])
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    code = (
        "import json, sys, laennec as ln\n"
        "ln.train(ln.Recipe.parse(json.load(open(sys.argv[1]))), sys.argv[2])\nprint('sealed')"
    )

    def launch(out: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, str(tmp_path / "recipe.json"), str(out)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    assert "sealed" in launch(tmp_path / "whole").communicate()[0]
    rng = np.random.default_rng(0)
    for _ in range(10):
        child = launch(tmp_path / "cut")
        before = set((tmp_path / "cut").rglob("epoch-*.json"))
        while set((tmp_path / "cut").rglob("epoch-*.json")) == before:  # it has gone on where it was
            assert child.poll() is None, "it ended before it could be killed ten times"
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 1.5))
        child.send_signal(signal.SIGKILL)
        child.communicate()
    launch(tmp_path / "cut").communicate()
    assert weights_digest(open_bundle(tmp_path / "cut")) == weights_digest(open_bundle(tmp_path / "whole"))


def test_a_damaged_newest_checkpoint_is_told_and_the_one_before_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LAENNEC_QUIET")
    for epoch in (1, 2, 3):
        checkpoints.save_state(tmp_path, epoch, checkpoints.State({"a": torch.full((3,), epoch)}, {"recipe": "r"}))
    assert len(list(tmp_path.glob("*.json"))) == 2
    newest = tmp_path / "epoch-00003.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"\x07")
    state = checkpoints.last_state(tmp_path, {"recipe": "r"})
    assert state is not None and state.tensors["a"].tolist() == [2, 2, 2]
    assert "epoch-00003 is damaged" in capsys.readouterr().err
    with pytest.raises(UsageError, match="another recipe"):
        checkpoints.last_state(tmp_path, {"recipe": "other"})


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints.save_state(tmp_path, 1, checkpoints.State({"a": torch.ones(3)}, {}))

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageFull) as caught:
        checkpoints.save_state(tmp_path, 2, checkpoints.State({"a": torch.zeros(3)}, {}))
    monkeypatch.undo()
    assert caught.value.exit_code == 5
    assert checkpoints.last_state(tmp_path, {}).tensors["a"].tolist() == [1, 1, 1]
    assert not list(tmp_path.glob(".*.part"))


def test_kill_9_while_writing_never_leaves_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "state.bin"
    code = (
        "import sys; from pathlib import Path; from laennec import storage\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1; storage.write_bytes(Path(sys.argv[1]), bytes([n % 251]) * 4_000_000)\n"
    )
    for delay in (0.3, 0.37, 0.45, 0.52):
        child = subprocess.Popen([sys.executable, "-c", code, str(path)])
        time.sleep(delay)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        if path.exists():
            data = path.read_bytes()
            assert len(data) == 4_000_000 and len(set(data)) == 1


def test_a_finished_folder_is_returned_and_a_foreign_one_refused(trained: Bundle, pictures: Path) -> None:
    assert train(tiny_recipe(pictures), trained.path).digest == trained.digest
    with pytest.raises(UsageError, match="another bundle"):
        train(tiny_recipe(pictures, seed=9), trained.path)
    with pytest.raises(UsageError, match="is not empty"):
        train(tiny_recipe(pictures), pictures)


def test_a_diverging_training_stops_with_the_remedy(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = family.member("tasks", "classify")
    loss = task.loss
    monkeypatch.setattr(task, "loss", lambda *given: loss(*given) * float("nan"))
    with pytest.raises(LaennecError) as caught:
        train(tiny_recipe(pictures), tmp_path / "nan")
    assert "learning_rate" in caught.value.hint
    assert not (tmp_path / "nan" / "card.json").exists()


def network(model: dict[str, object], head: Head | None = None, channels: int = 1, size: int = 64) -> Network:
    name = str(model.pop("name"))
    member = family.member("models", name)
    options = member.Options.model_validate(model).model_dump(mode="json")
    return Network(
        Architecture(name=name, options=options, head=head or Head()), Preprocess(size=size, channels=channels), 3
    )


MODELS = {
    "cnn": {"name": "cnn"},
    "plain": {"name": "plain", "widths": [8, 16], "norm": True},
    "timm": {"name": "timm", "backbone": "mobilenetv3_small_050", "weights": "none"},
}


def test_every_model_is_under_contract() -> None:
    outlining = {name for name in family.names("models") if getattr(family.member("models", name), "SEGMENTS", False)}
    assert set(MODELS) | outlining == set(family.names("models"))
    assert outlining == {"encoder_unet", "lungnet", "unet"}, "test_models_that_segment holds their contract"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_models_give_logits_learn_and_freeze(name: str, channels: int) -> None:
    """Forward, backward, and the head-only policy: the backbone's statistics do not move by a bit under train()."""
    torch.manual_seed(0)
    net = network(dict(MODELS[name]), Head(hidden=(16,), dropout=0.5), channels)
    images = torch.rand(4, 1, 64, 64)
    net.train()
    net(images).sum().backward()
    assert net(images).shape == (4, 3)
    assert all(p.grad is not None for p in net.parameters())
    net.learn("head")
    before = {k: v.clone() for k, v in net.backbone.state_dict().items()}
    net.train()
    net(images)
    assert all(torch.equal(before[k], v) for k, v in net.backbone.state_dict().items())
    assert {n.partition(".")[0] for n, p in net.named_parameters() if p.requires_grad} == {"head"}
    net.learn("all")
    net.train()
    net(images)
    assert any(not torch.equal(before[k], v) for k, v in net.backbone.state_dict().items())


def learning(net: Network) -> int:
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def test_r4s_three_depths_train_exactly_its_parameters() -> None:
    """Mission, R4: MobileNetV2 of width 0.5 under dense layers 1024, 512, 4."""
    member = family.member("models", "timm")
    options = member.Options(backbone="mobilenetv2_050", weights="none").model_dump(mode="json")
    architecture = Architecture(name="timm", options=options, head=Head(hidden=(1024, 512)))
    net = Network(architecture, Preprocess(size=64, channels=3), 4)
    assert sum(p.numel() for p in net.backbone.parameters()) == 687_680
    counts = {}
    for policy in ("head", "last_convs:1", "last_convs:2", "all"):
        net.learn(policy)
        counts[policy] = learning(net)
    assert list(counts.values()) == [1_838_596, 2_045_956, 2_123_076, 1_838_596 + 687_680]


def test_policies_freeze_statistics_and_weights_before_their_start_only() -> None:
    net = network({"name": "cnn"})
    net.learn("last_stages:1")
    assert {n.split(".")[1] for n, p in net.named_parameters() if p.requires_grad and n[0] == "b"} == {"6"}
    net.train()
    assert not net.backbone[5].norm2.training and net.backbone[6].norm1.training
    net.learn("last_layers:2")
    assert {n for n, p in net.backbone.named_parameters() if p.requires_grad} == {
        "6.skip.0.weight",
        "6.skip.1.weight",
        "6.skip.1.bias",
    }
    with pytest.raises(UsageError, match="asks for more than"):
        net.learn("last_convs:99")


def test_timm_weights_from_a_file_are_loaded_and_misfits_refused(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    source = timm.create_model("mobilenetv3_small_050", num_classes=1000)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    options = {"name": "timm", "backbone": "mobilenetv3_small_050", "weights": str(tmp_path / "w.safetensors")}
    three = network(dict(options), channels=3)
    assert torch.equal(three.backbone.conv_stem.weight, source.conv_stem.weight)
    one = network(dict(options), channels=1)
    assert torch.allclose(one.backbone.conv_stem.weight, source.conv_stem.weight.sum(1, keepdim=True), atol=1e-6)
    with pytest.raises(LaennecError, match="does not fit"):
        network(options | {"backbone": "mobilenetv3_small_100"}, channels=3)
    (tmp_path / "w.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(UntrustedBundle):
        network(dict(options), channels=3)
    with pytest.raises(UsageError):
        network(options | {"weights": str(tmp_path / "none.safetensors")}, channels=3)


def test_pretrained_weights_that_cannot_be_had_are_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def offline(*_: object, **arguments: object) -> None:
        assert arguments["pretrained"]
        raise OSError("offline")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(LaennecError) as caught:
        network({"name": "timm", "backbone": "resnet18", "weights": "pretrained"}, channels=3)
    assert "safetensors" in caught.value.hint


def test_an_unknown_backbone_proposes_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        network({"name": "timm", "backbone": "resnet5", "weights": "none"}, channels=3)
    assert "resnet50" in caught.value.hint


STRONG = Augmentation(
    rotation=20, zoom=0.3, aspect=0.2, shift=0.1, flip=0.5, gamma=0.4, contrast=0.4, brightness=0.2, blur=0.5,
    noise=0.1, erase=0.5,
)  # fmt: skip


def test_augmentation_repeats_from_its_generator_and_stays_in_range() -> None:
    images = torch.rand(16, 1, 24, 24)
    changed = [augment(images, STRONG, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*changed)
    assert changed[0].min() >= 0 and changed[0].max() <= 1
    assert not torch.equal(changed[0], images)
    assert not torch.equal(changed[0], augment(images, STRONG, torch.Generator().manual_seed(6)))


def test_no_augmentation_changes_nothing_and_a_sure_flip_mirrors() -> None:
    images = torch.rand(4, 1, 24, 24)
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(augment(images, Augmentation(), generator), images)
    flipped = augment(images, Augmentation(flip=1.0), generator)
    assert torch.allclose(flipped, images.flip(3), atol=1e-5)


def test_storage_replaces_at_once_and_restores_nothing_half_done(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    storage.write_json(path, {"x": 1})
    with pytest.raises(ValueError, match="Out of range"):
        storage.write_json(path, {"x": float("nan")})
    assert storage.read_json(path) == {"x": 1}
    with pytest.raises(RuntimeError), storage.replacing(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert storage.read_json(path) == {"x": 1}
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]
    assert storage.file_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()
