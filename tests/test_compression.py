"""int8 that decides the same: graphs, quantisation, the gate, and the search for settings."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st

import laennec as ln
from conftest import LOOSE, without_search
from laennec import family, gating, graphs, mixing, quantising, shrinking
from laennec.bundle import Bundle
from laennec.card import Gate, Quantisation
from laennec.cli import run
from laennec.errors import GateFailed, UntrustedBundle, UsageError
from laennec.labels import LabelSet
from laennec.loader import reload
from laennec.runtime import infer, start

BINARY = LabelSet(names=("NORMAL", "PNEUMONIA"), exclusive=True, positive=("PNEUMONIA",))
SEVERAL = LabelSet(names=("a", "b", "c"), exclusive=False, positive=("a",))


def answers(graph: bytes, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    answer: np.ndarray = session.run(None, {"pixels": pixels})[0]
    return answer


def pictures(n: int, size: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 1, size, size), np.uint8)


@pytest.fixture(scope="module")
def dense() -> bytes:
    """A small DenseNet as a graph: dense blocks, concatenations, normalisation after them."""

    class Answering(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = timm.create_model(
                "densenet121", num_classes=2, in_chans=1, growth_rate=8, block_config=(3, 4), pretrained=False
            )

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return (4 * self.net(pixels.float() / 255 - 0.5)).softmax(1)

    with graphs.quiet():
        program = torch.onnx.export(
            Answering().eval(),
            (torch.zeros(2, 1, 32, 32, dtype=torch.uint8),),
            dynamo=True,
            opset_version=20,
            input_names=["pixels"],
            output_names=["probabilities"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("batch", min=1, max=64)}},
            verbose=False,
        )
    data: bytes = program.model_proto.SerializeToString()
    return data


def kinds(graph: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(graph).graph.node]


def test_preparing_a_graph_changes_no_answer_and_chains_its_concatenations(dense: bytes) -> None:
    prepared = graphs.prepared(dense)
    assert np.allclose(answers(prepared, pictures(5)), answers(dense, pictures(5)), atol=1e-5)
    widths = [len(n.input) for n in onnx.load_from_string(prepared).graph.node if n.op_type == "Concat"]
    assert widths and max(widths) == 2
    assert max(len(n.input) for n in onnx.load_from_string(dense).graph.node if n.op_type == "Concat") == 5


def test_a_dense_block_is_rounded_by_one_scale_and_concatenated_in_8_bits(dense: bytes) -> None:
    calibrated = quantising.calibrated(graphs.prepared(dense), pictures(32), "minmax")
    for group in graphs.joined(onnx.load_from_string(calibrated.graph)):
        assert len({calibrated.ranges[tensor] for tensor in group if tensor in calibrated.ranges}) == 1
    graph = quantising.quantised(calibrated, per_channel=True)
    made_by = {out: node.op_type for node in onnx.load_from_string(graph).graph.node for out in node.output}
    inputs = [name for n in onnx.load_from_string(graph).graph.node if n.op_type == "Concat" for name in n.input]
    assert {made_by[name] for name in inputs} <= {"DequantizeLinear", "Concat"}
    assert np.abs(answers(graph, pictures(16, seed=1)) - answers(dense, pictures(16, seed=1))).max() < 0.1


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_every_setting_gives_a_graph_near_the_float_one(dense: bytes, method: str, per_channel: bool) -> None:
    quantiser = quantising.Quantiser(pictures(24))
    how = Quantisation(per_channel=per_channel, ranges=method)
    graph = quantiser.quantised(dense, how)
    assert kinds(graph).count("QuantizeLinear") > 5
    assert np.abs(answers(graph, pictures(16, seed=2)) - answers(dense, pictures(16, seed=2))).max() < 0.15
    scales = [t for t in onnx.load_from_string(graph).graph.initializer if t.name.endswith("weight_scale")]
    assert any(list(scale.dims) not in ([], [1]) for scale in scales) is per_channel


def test_layers_left_floating_are_not_rounded(dense: bytes) -> None:
    quantiser = quantising.Quantiser(pictures(16))
    layers = quantiser.calibrated(dense, "minmax").layers
    rounded = kinds(quantiser.quantised(dense, Quantisation(per_channel=True, ranges="minmax")))
    fewer = kinds(quantiser.quantised(dense, Quantisation(per_channel=True, ranges="minmax", floating=layers[:4])))
    assert fewer.count("QuantizeLinear") < rounded.count("QuantizeLinear")
    none = quantiser.quantised(dense, Quantisation(per_channel=True, ranges="minmax", floating=layers))
    assert np.allclose(answers(none, pictures(4)), answers(dense, pictures(4)), atol=0.02)


def test_without_calibration_images_nothing_is_rounded(dense: bytes) -> None:
    with pytest.raises(UsageError, match="calibration images"):
        quantising.Quantiser(pictures(0)).quantised(dense, mixing.settings()[0])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_the_graphs_temperature_is_the_gates(dense: bytes, temperature: float) -> None:
    pixels = pictures(6)
    expected = gating.tempered(BINARY, answers(dense, pixels), temperature)
    assert np.allclose(answers(graphs.tempered(dense, temperature, True), pixels), expected, atol=1e-5)
    several = gating.tempered(SEVERAL, answers(dense, pixels), temperature)
    assert np.allclose(answers(graphs.tempered(dense, temperature, False), pixels), several, atol=1e-5)


logits = st.lists(st.floats(-6, 6), min_size=20, max_size=40)


@given(logits, st.floats(0.3, 3.5))
def test_the_temperature_undoes_what_scaled_the_logits(values: list[float], scale: float) -> None:
    """A child whose logits are its parent's times a factor is brought back to it, whatever the factor."""
    z = np.array([*values, 2.0, -2.0])
    before = np.stack([1 / (1 + np.exp(z)), 1 / (1 + np.exp(-z))], 1)
    after = np.stack([1 / (1 + np.exp(scale * z)), 1 / (1 + np.exp(-scale * z))], 1)
    brought = gating.tempered(BINARY, after, gating.temperature_of(BINARY, before, after))
    assert np.abs(brought - before).max() < 0.02
    assert gating.temperature_of(BINARY, before, before) == 1.0


@given(st.floats(0.3, 3.5), st.integers(0, 1000))
def test_a_temperature_moves_no_rank_and_keeps_probabilities(temperature: float, seed: int) -> None:
    table = np.random.default_rng(seed).dirichlet([1, 1], 30)
    brought = gating.tempered(BINARY, table, temperature)
    assert np.allclose(brought.sum(1), 1, atol=1e-5)
    assert (np.diff(brought[np.argsort(table[:, 1]), 1]) >= 0).all()


def test_the_search_tries_settings_in_turn_and_stops_at_the_first_that_holds(trained: Bundle, tmp_path: Path) -> None:
    made = ln.export(trained, "onnxruntime", "int8", out=tmp_path / "a", limits=LOOSE)
    tried = json.loads((made.path / "quantisation.json").read_text())
    assert len(tried) == 1 and tried[0]["gate"]["passed"] is True
    thorough = ln.export(trained, "onnxruntime", "int8", out=tmp_path / "b", limits=LOOSE, thorough=True)
    tried = [mixing.Tried.model_validate(one) for one in json.loads((thorough.path / "quantisation.json").read_text())]
    assert {(t.how.per_channel, t.how.ranges) for t in tried} == {
        (channel, ranges) for channel in (True, False) for ranges in ("minmax", "percentile", "entropy")
    }
    assert thorough.card.quantisation is not None
    assert thorough.card.gate in [t.gate for t in tried]


def gate_of(flipped: float, passed: bool) -> Gate:
    return Gate(
        images=100,
        largest_difference=0.1,
        auroc_parent=0.9,
        auroc=0.9,
        ece_parent=0.1,
        ece=0.1,
        flipped=flipped,
        limits=LOOSE,
        passed=passed,
    )


def test_the_most_sensitive_layers_stay_floating_until_the_gate_holds(
    trained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate that asks for two floating layers gets the two whose rounding moved the answers most."""
    member = family.member("backends", "onnxruntime")
    exported = member.export

    def spoiled(parent, files, precision, quantiser, how):  # type: ignore[no-untyped-def]
        seen.append(how)
        return exported(parent, files, precision, quantiser, how)

    seen: list[Quantisation] = []
    monkeypatch.setattr(member, "export", spoiled)
    monkeypatch.setattr(
        gating.Standard, "gate", lambda self, after, same=False, cooled=True: gate_of(0.2, len(seen[-1].floating) >= 2)
    )
    made = ln.export(trained, "onnxruntime", "int8", out=tmp_path / "a", limits=LOOSE)
    assert made.card.quantisation is not None
    floating = made.card.quantisation.floating
    files = trained.model_files()
    whole = graphs.of(graphs.with_auxiliary(trained.card, files), files)  # as an export has it
    layers = quantising.Quantiser(pictures(8)).calibrated(whole, "minmax").layers
    assert len(floating) == 2 and set(floating) <= set(layers)
    alone = [how for how in seen if len(how.floating) == len(layers) - 1]
    assert len(alone) == len(layers)


def test_a_gate_counts_calibration_lost(trained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_search(monkeypatch)
    with pytest.raises(GateFailed, match="ECE"):
        ln.export(
            trained, "onnxruntime", "int8", out=tmp_path / "x", limits=LOOSE.model_copy(update={"ece_gained": -0.9})
        )


def test_auto_takes_the_fastest_that_passes_and_says_on_which_processor(
    trained: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = ln.export(trained, "auto", out=tmp_path / "a", limits=LOOSE)
    fastest = made.card.fastest
    assert fastest is not None and fastest.processor
    assert {name.split()[0] for name in fastest.milliseconds} == {"onnxruntime", "openvino"}
    assert (
        min(fastest.milliseconds, key=lambda k: fastest.milliseconds[k]) == f"{made.card.backend} {made.card.precision}"
    )
    assert ln.export(trained, "auto", out=tmp_path / "a", limits=LOOSE).digest == made.digest
    small = ln.export(trained, "auto", "int8", out=tmp_path / "b", limits=LOOSE)
    assert small.card.precision == "int8"
    assert (
        run(
            [
                "export",
                str(trained.path),
                "--out",
                str(tmp_path / "c"),
                "--backend",
                "onnxruntime",
                "--precision",
                "bf16",
            ]
        )
        == 2
    )
    assert "it makes: fp32, int8" in capsys.readouterr().err


def test_openvino_answers_odd_batches_like_single_images(trained: Bundle, tmp_path: Path) -> None:
    made = ln.export(trained, "openvino", "fp32", out=tmp_path / "a", limits=LOOSE)
    session = start(made, threads=1)
    pixels = pictures(70)
    together = session.run(pixels).probabilities
    assert together.shape == (70, len(made.card.labels))
    assert np.allclose(
        np.concatenate([session.run(pixels[i : i + 3]).probabilities for i in range(0, 70, 3)]), together, atol=1e-5
    )


def test_torch_int8_is_a_quarter_of_the_size_and_near_its_parent(trained: Bundle, tmp_path: Path) -> None:
    made = ln.export(trained, "torch", "int8", out=tmp_path / "a", limits=LOOSE)
    assert made.megabytes < 0.5 * trained.megabytes  # of so small a network the headers weigh
    pixels = pictures(8)
    assert np.abs(start(made).run(pixels).probabilities - start(trained).run(pixels).probabilities).max() < 0.05
    with pytest.raises(UsageError, match="already"):
        ln.export(made, "onnxruntime", out=tmp_path / "b")


def test_shrinking_leaves_the_fastest_that_passes_with_its_table(
    trained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole and pruned candidates, all held against the first parent; a share that fails ends the search."""
    monkeypatch.setattr(shrinking, "Limits", lambda **_: LOOSE)
    exported = shrinking.export

    def refusing(source, *arguments, **options):  # type: ignore[no-untyped-def]
        if "flops30" in str(options["out"]):
            raise GateFailed("too far from its parent", "more")
        assert options["like"].digest == trained.digest
        return exported(source, *arguments, **options)

    monkeypatch.setattr(shrinking, "export", refusing)
    out = tmp_path / "small"
    asked = ["--flops", "0.6,0.3,0.1", "--steps", "1", "--epochs", "1"]
    assert run(["shrink", str(trained.path), "--out", str(out), *asked]) == 0
    told = capsys.readouterr().out
    table = json.loads((out / "shrink.json").read_text())
    assert [(one["name"], one["passed"]) for one in table["candidates"]] == [
        ("whole", True),
        ("flops60", True),
        ("flops30", False),
    ]
    times = {one["name"]: one["milliseconds"] for one in table["candidates"] if one["passed"]}
    best = ln.open_bundle(out / "best")
    assert best.digest == ln.open_bundle(out / "candidates" / min(times, key=lambda name: times[name])).digest
    assert "too far from its parent" in told and "--split test" in told
    assert table["best"] == best.digest
    assert not list(tmp_path.rglob("reports/test/*")), "a search reads no test image"
    again = ln.shrink(trained, out=out, shares=(0.6, 0.3), steps=1, epochs=1)
    assert again.bundle.digest in {ln.open_bundle(out / "candidates" / name).digest for name in times}


def test_shrinking_wants_a_torch_bundle_and_shares_between_0_and_1(
    quantised: Bundle, trained: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no fp32 torch bundle"):
        ln.shrink(quantised, out=tmp_path)
    with pytest.raises(UsageError, match="between 0 and 1"):
        ln.shrink(trained, out=tmp_path, shares=(1.5,))


def test_an_export_decides_like_a_bundle_of_the_same_split_only(trained: Bundle, tmp_path: Path) -> None:
    other = ln.train(trained.recipe.replace(split__seed=5, epochs=1), tmp_path / "other")
    with pytest.raises(UsageError, match="another split"):
        ln.export(trained, out=tmp_path / "x", like=other)


def test_openvino_reads_as_onnx_what_was_checked_as_onnx(trained: Bundle, tmp_path: Path) -> None:
    """A file that is ONNX to our check and OpenVINO's own format to a guess is not run as the latter."""
    net = b"""<?xml version="1.0"?><net name="x" version="11"><layers></layers><edges></edges></net>"""
    polyglot = b"\x08\x07\x12" + bytes([len(net)]) + net + b"\x3a\x02\x12\x00"
    card = trained.card.model_copy(update={"backend": "openvino"})
    with pytest.raises(UntrustedBundle):
        family.member("backends", "openvino").start(card, {graphs.GRAPH: polyglot}, 1)


def test_auto_leaves_out_what_cannot_be_made(trained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("laennec.progress.say", said.append)

    def refused(*_: object) -> None:
        raise UntrustedBundle("refused here", "no help")

    monkeypatch.setattr(family.member("backends", "openvino"), "start", refused)
    made = ln.export(trained, "auto", "fp32", out=tmp_path / "a", limits=LOOSE)
    assert made.card.backend == "onnxruntime"
    assert "openvino fp32 is left out: refused here" in said


def test_bf16_is_not_offered_where_the_processor_has_none(
    trained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(family.member("backends", "openvino"), "computes", lambda precision: precision != "bf16")
    with pytest.raises(UsageError, match="does not compute in bf16"):
        ln.export(trained, "openvino", "bf16", out=tmp_path / "a", limits=LOOSE)
    made = ln.export(trained, "auto", out=tmp_path / "b", limits=LOOSE)
    assert made.card.fastest is not None and "openvino bf16" not in made.card.fastest.milliseconds


def test_the_gate_wants_two_patients(trained: Bundle) -> None:
    val = reload(trained, ("val",)).part("val")
    alone = dataclasses.replace(val, samples=tuple(dataclasses.replace(s, patient="one") for s in val.samples))
    before = infer(start(trained), val, "tiny")
    with pytest.raises(UsageError, match="two patients"):
        gating.Standard(trained.card, trained.digest, alone, before, LOOSE, before.probabilities).gate(before)
