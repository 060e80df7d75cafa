"""What a model costs: counted as by hand, scaled as metered, and never told without how it came about."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

import laennec as ln
from laennec import comparison, costing, counting, graphs, measuring, metering
from laennec.bundle import Bundle
from laennec.card import Architecture
from laennec.cli import run
from laennec.costs import Consumption, Cost, Counts, EnergyReading, Grid, letter, quoted
from laennec.errors import LaennecError, MissingExtra, UnknownName, UsageError
from laennec.outputs import Outputs
from laennec.page import comparison_page, comparison_text, cost_text
from laennec.page.comparison_plots import pareto
from laennec.page.cost import flops, significant
from laennec.page.voice import Voice
from laennec.results import Comparison

GRID = Grid(place="FR", intensity=50.0, year=2023, source="a test")


def used(joules: float, **changes: Any) -> Consumption:
    values: dict[str, Any] = {"meter": "processor", "kind": "modelled", "covers": "processor", "device": "threads"}
    values |= {"method": "by hand", "error": 0.75, "joules": joules, "seconds": 2.0}
    return Consumption(readings=(EnergyReading.model_validate(values | changes),), grid=GRID)


def printed(what: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80, color_system=None).print(what)
    return stream.getvalue()


# --- counting


def graph_of(nodes: list[Any], shape: list[int | str], weights: dict[str, np.ndarray]) -> bytes:
    """A graph from ``pixels`` of `shape` to ``out``."""
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    model = helper.make_model(helper.make_graph(nodes, "g", [pixels], [out], stored))
    data: bytes = model.SerializeToString()
    return data


BY_HAND = {
    # 8x8 outputs of 6 channels, each of 2 inputs by 3x3, two operations each
    "conv": (helper.make_node("Conv", ["pixels", "w"], ["out"], pads=[1] * 4), (6, 2, 3, 3), 2 * 64 * 6 * 2 * 9),
    "stride": (
        helper.make_node("Conv", ["pixels", "w"], ["out"], pads=[1] * 4, strides=[2, 2]),
        (6, 2, 3, 3),
        2 * 16 * 6 * 2 * 9,
    ),
    "depthwise": (
        helper.make_node("Conv", ["pixels", "w"], ["out"], pads=[1] * 4, group=2),
        (2, 1, 3, 3),
        2 * 64 * 2 * 9,
    ),
    "transposed": (helper.make_node("ConvTranspose", ["pixels", "w"], ["out"]), (2, 5, 3, 3), 2 * 64 * 2 * 5 * 9),
    "product": (helper.make_node("MatMul", ["pixels", "w"], ["out"]), (8, 3), 2 * (2 * 8 * 3) * 8),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_operations_of_one_image_are_those_counted_by_hand(name: str) -> None:
    node, shape, expected = BY_HAND[name]
    assert graphs.operations(graph_of([node], ["batch", 2, 8, 8], {"w": np.ones(shape)})) == expected


def test_operations_of_a_dense_layer_are_those_counted_by_hand() -> None:
    node = helper.make_node("Gemm", ["pixels", "w", "b"], ["out"], transB=1)
    assert graphs.operations(graph_of([node], ["batch", 10], {"w": np.ones((4, 10)), "b": np.ones(4)})) == 2 * 4 * 10


def test_operations_of_a_shape_that_only_running_tells_are_refused_and_left_out() -> None:
    nodes = [
        helper.make_node("NonZero", ["pixels"], ["where"]),
        helper.make_node("Cast", ["where"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["w", "number"], ["out"]),
    ]
    graph = graph_of(nodes, ["batch", 10], {"w": np.ones((4, 2))})
    with pytest.raises(LaennecError, match="not known before"):
        graphs.operations(graph)
    assert counting.of_graph(graph).operations is None


def test_int8_counts_like_its_parent(trained: Bundle, quantised: Bundle) -> None:
    parent, child = costing.counts(trained), costing.counts(quantised)
    assert parent.operations == child.operations
    assert parent.parameters == trained.card.parameters
    # normalisations went into the convolutions; scales and zero points are no parameters
    assert child.parameters is not None and 0.95 * trained.card.parameters < child.parameters <= trained.card.parameters


def test_graph_and_torch_count_the_same_operations_of_mobilenet(trained: Bundle) -> None:
    from laennec.network import WEIGHTS, Network, weights_bytes

    options = {"backbone": "mobilenetv2_050", "weights": "none"}
    architecture = Architecture(name="timm", options=options, head=trained.card.model.head)
    preprocess = trained.card.preprocess.model_copy(update={"size": 64})
    card = trained.card.model_copy(update={"model": architecture, "preprocess": preprocess})
    files = {WEIGHTS: weights_bytes(Network(architecture, preprocess, len(card.labels), start=False))}
    of_torch = counting.counts(card, files)
    of_graph = counting.of_graph(graphs.of(card, files))
    assert of_torch.operations is not None and of_torch.operations > 1e6
    assert of_graph.operations == pytest.approx(of_torch.operations, rel=0.02)
    assert of_graph.parameters == pytest.approx(of_torch.parameters, rel=0.05)  # normalisations are folded


def test_zeros_are_counted_in_torch_and_in_a_graph(trained: Bundle) -> None:
    from safetensors.torch import load, save

    files = trained.model_files()
    weights = load(files["weights.safetensors"])
    largest = max((name for name in weights if weights[name].ndim == 4), key=lambda name: weights[name].numel())
    half = weights[largest].flatten()
    half[: half.numel() // 2] = 0
    weights[largest] = half.view(weights[largest].shape)
    cut = {"weights.safetensors": save(weights)}
    of_torch = counting.counts(trained.card, cut)
    assert of_torch.parameters is not None and of_torch.nonzero is not None
    assert of_torch.parameters - of_torch.nonzero == half.numel() // 2
    of_graph = counting.of_graph(graphs.of(trained.card, cut))
    assert of_graph.parameters is not None and of_graph.nonzero is not None
    assert of_graph.parameters - of_graph.nonzero == half.numel() // 2


def test_rounded_weights_are_compared_with_their_zero_point() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["weight"]),
        helper.make_node("MatMul", ["pixels", "weight"], ["out"]),
    ]
    model = onnx.load_from_string(graph_of(nodes, ["batch", 2], {"scale": np.float32(0.5)}))
    model.graph.initializer.append(numpy_helper.from_array(np.array([[3, 3, 4], [0, 3, 5]], np.uint8), "w"))
    model.graph.initializer.append(numpy_helper.from_array(np.uint8(3), "zero"))
    found = counting.of_graph(model.SerializeToString())
    assert (found.parameters, found.nonzero, found.operations) == (6, 3, 12)


def test_without_what_counts_only_the_cards_parameters_are_told(
    quantised: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: object) -> None:
        raise MissingExtra("this needs the library 'onnx'", "install it")

    monkeypatch.setattr(counting, "counts", absent)
    assert costing.counts(quantised) == Counts(parameters=quantised.card.parameters)


# --- measuring


class Still:
    """A session that answers at once and counts its images."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.images, self.sizes, self.seconds = 0, list[int](), seconds

    def run(self, pixels: np.ndarray) -> Outputs:
        import time

        self.images += len(pixels)
        self.sizes.append(len(pixels))
        time.sleep(self.seconds)
        return Outputs(np.zeros((len(pixels), 2), np.float32))


PIXELS = np.zeros((4, 1, 8, 8), np.uint8)


def metering_images(session: Still, joules: float) -> Callable[..., Any]:
    """In place of `metering.meter`: so many joules an image that the session answers for under it."""

    class Fake:
        consumption: Consumption | None = None

        def __enter__(self) -> Fake:
            self.before = session.images
            return self

        def __exit__(self, *_: object) -> None:
            self.consumption = used(joules * (session.images - self.before))

    return lambda *_: Fake()


def test_energy_is_of_a_thousand_images_however_many_were_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Still(0.001)
    monkeypatch.setattr(measuring, "metering", SimpleNamespace(
        meter=metering_images(session, 1.8), combined=metering.combined))  # fmt: skip
    (found,) = measuring.energy([session], [PIXELS], seconds=0.05)
    assert found is not None
    assert found.watt_hours == pytest.approx(0.5)
    assert found.grams == pytest.approx(0.025)
    assert found.kind == "modelled"


def test_energy_that_no_meter_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "DEFAULT", ())
    assert measuring.energy([Still(), Still()], [PIXELS, PIXELS], seconds=0.01) == [None, None]


def test_real_meters_label_their_energy() -> None:
    (found,) = measuring.energy([Still(0.001)], [PIXELS], seconds=0.05, grid="FR")
    assert found is not None
    assert re.fullmatch(r"(measured|modelled|measured and modelled) ±\d+ %, .+ meters?", found.label)
    assert found.grid.place == "FR"


@given(st.just(0.0) | st.floats(1e-9, 1e6), st.floats(1e-6, 1e6))
def test_scaling_keeps_kind_and_error(joules: float, factor: float) -> None:
    before = used(joules)
    after = before.scaled(factor)
    assert after.watt_hours == pytest.approx(before.watt_hours * factor)
    assert (after.kind, after.meters, after.grid) == (before.kind, before.meters, before.grid)
    assert after.error == pytest.approx(before.error)
    assert after.readings[0].seconds == pytest.approx(2.0 * factor)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_scaling_by_nothing_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        used(1.0).scaled(factor)


def test_one_image_is_timed_in_turns() -> None:
    sessions = [Still(), Still(0.002)]
    quick, slow = measuring.single_image(sessions, [PIXELS, PIXELS], rounds=5)
    assert len(quick) == len(slow) == 5
    assert np.median(slow) >= 2 > np.median(quick)
    assert set(sessions[0].sizes) == {1}


def test_a_disturbed_timing_is_repeated_and_told() -> None:
    calls: list[int] = []

    def once_disturbed() -> list[np.ndarray]:
        calls.append(1)
        return [np.array([1.0] * 9 + [100.0] * (len(calls) < 2))]

    assert measuring.undisturbed(once_disturbed)[1] and len(calls) == 2
    assert not measuring.undisturbed(lambda: [np.array([1.0] * 9 + [100.0])])[1]


def test_memory_is_of_a_fresh_process(quantised: Bundle, tmp_path: Path) -> None:
    held = measuring.peak_megabytes(quantised.path, 1)
    assert held is None or 10 < held < 1000
    assert measuring.peak_megabytes(tmp_path) is None


# --- the cost of a bundle


@pytest.fixture(scope="module")
def cheap(quantised: Bundle) -> Cost:
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(costing, "_SECONDS", 0.2)
        return ln.cost(quantised, threads=(1,), batches=(1, 4), grid="FR")


def test_cost_is_complete_and_reads_back(cheap: Cost, quantised: Bundle) -> None:
    assert Cost.model_validate_json((quantised.path / "reports" / "cost.json").read_text()) == cheap
    assert (cheap.bundle_digest, cheap.part, cheap.batch, cheap.threads) == (quantised.digest, "val", 4, 1)
    own = [one for one in cheap.timings if (one.backend, one.precision) == ("onnxruntime", "int8")]
    assert [one.batch for one in own] == [1, 4]
    assert all(one.milliseconds_p95 >= one.milliseconds > 0 and one.images_per_second > 0 for one in cheap.timings)
    assert all(one.precision == "int8" for one in cheap.timings)
    assert cheap.inference is not None and cheap.reading is not None and cheap.accuracy is not None
    assert cheap.watt_hours == pytest.approx(cheap.inference.watt_hours)
    assert cheap.grams == pytest.approx(cheap.inference.watt_hours / 1000 * 56)
    assert cheap.letter == letter(cheap.inference.watt_hours)
    assert cheap.accuracy_per_watt_hour == pytest.approx(cheap.accuracy / cheap.inference.watt_hours)


def test_every_energy_of_a_cost_is_printed_with_its_label(cheap: Cost) -> None:
    text = printed(cost_text(cheap))
    assert max(map(len, text.splitlines())) <= 80
    energy = text.partition("Energy of 1,000 studies")[2]
    for name in ("Inference", "Reading the files"):
        after = energy[energy.index(name) :]
        assert re.search(r"(measured|modelled)\s", after[:200]), name
    assert "FLOPs (2 x MAC)" in text and "Grid: " in text and "FR 2023" in text and "Research use only" in text


def test_cost_without_the_images_uses_random_pixels_and_says_so(
    quantised: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costing, "_SECONDS", 0.05)
    monkeypatch.setattr(measuring, "peak_megabytes", lambda *_: None)

    def gone(*_: object, **__: object) -> None:
        raise UsageError("there is no such folder", "look for it")

    monkeypatch.setattr(costing.loader, "reload", gone)
    copy = shutil.copytree(quantised.path, tmp_path / "copy")
    found = ln.cost(copy, threads=(1,), batches=(1,))
    assert (found.part, found.accuracy, found.reading) == (None, None, None)
    assert found.inference is not None and found.accuracy_per_watt_hour is None
    assert "Random pixels" in printed(cost_text(found))
    with pytest.raises(UsageError, match="no such folder"):
        ln.cost(copy, root=tmp_path / "elsewhere")


def test_what_cannot_be_asked_is_refused_before_the_work(quantised: Bundle) -> None:
    with pytest.raises(UsageError, match="threads"):
        ln.cost(quantised, threads=(0, 1))
    with pytest.raises(UsageError, match="part 'tset'"):
        ln.cost(quantised, split="tset")
    with pytest.raises(UnknownName):
        ln.cost(quantised, grid="Atlantis")
    with pytest.raises(UnknownName):
        ln.compare([quantised, quantised], meters=["crystal"])


def test_the_command_tells_the_cost(
    quantised: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(costing, "_SECONDS", 0.05)
    arguments = ["cost", str(quantised.path), "--threads", "1", "--batches", "2", "--grid", "SE", "--json"]
    assert run(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["inference"]["grid"]["place"] == "SE" and told["batch"] == 2
    assert run(["cost", str(quantised.path), "--threads", "one"]) == 2
    assert "whole numbers" in capsys.readouterr().err


# --- the comparison


@pytest.fixture(scope="module")
def compared(trained: Bundle, quantised: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Timed for real, metered by a fake: the second takes a quarter of the first's energy."""
    with pytest.MonkeyPatch.context() as fake:
        fake.setattr(comparison, "_ROUNDS", 4)
        fake.setattr(comparison, "_BATCH_ROUNDS", 1)
        fake.setattr(measuring, "energy", lambda *_, **__: [used(36.0), used(9.0, kind="measured", meter="rapl")])
        return ln.compare([trained, quantised], out=tmp_path_factory.mktemp("compared"))


def test_comparison_holds_energy_and_operations_against_the_first(compared: Comparison) -> None:
    first, second = compared.rows
    assert (first.watt_hours, second.watt_hours) == (0.01, 0.0025)
    assert (first.letter, second.letter) == ("C", "B")
    assert first.energy_saved is None and second.energy_saved == pytest.approx(0.75)
    assert second.grams == pytest.approx(0.000125)
    accuracy = first.metrics["accuracy"].value
    assert accuracy is not None and first.accuracy_per_watt_hour == pytest.approx(accuracy / 0.01)
    assert first.operations == second.operations and first.nonzero
    assert first.against_first == {} and set(second.against_first) == {"auroc_delong", "decisions_mcnemar", "flipped"}
    assert Comparison.model_validate_json(compared.model_dump_json()) == compared


def test_a_comparison_from_before_energy_still_reads(compared: Comparison) -> None:
    new = {"nonzero", "operations", "inference", "watt_hours", "grams", "letter", "accuracy_per_watt_hour"}
    old = compared.model_dump(mode="json", exclude={"batch", "warnings"})
    old["rows"] = [{k: v for k, v in row.items() if k not in new | {"energy_saved"}} for row in old["rows"]]
    found = Comparison.model_validate(old)
    page, text = comparison_page(found), printed(comparison_text(found))
    assert "No meter could read energy" in page and "No meter could read energy" in text
    assert " Wh" not in text.replace("g CO2e", "").partition("Energy of")[2].partition("No meter")[2]


def test_no_energy_on_the_page_without_its_label(compared: Comparison) -> None:
    page = comparison_page(compared)
    body = re.findall(r'<table class="balance">(.*?)</table>', page, re.DOTALL)
    assert len(body) == 2
    for table, words in zip(body, (("modelled", "measured"), ("modélisé", "mesuré")), strict=True):
        labels = re.findall(r'<small class="made">(.*?)</small>', table)
        assert len(labels) == len(compared.rows)
        assert all(word in label and "±75" in label for word, label in zip(words, labels, strict=True))
        assert re.findall(r'letter-([A-G])" role="img" aria-label="[^"]+">([A-G])<', table) == [("C", "C"), ("B", "B")]
        assert "FR, 2023" in table
    assert page.count("2 × MAC") >= 4


def test_no_energy_in_the_terminal_without_its_label(compared: Comparison) -> None:
    text = printed(comparison_text(compared))
    table = text.partition("Energy of 1,000 studies")[2].partition("Inference in batches")[0]
    assert re.findall(r"(modelled|measured) ±75 %", table) == ["modelled", "measured"]
    assert "modelled ±75 %, processor meter; measured ±75 %, rapl meter" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


points = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12)


@given(points)
def test_no_point_of_the_front_is_beaten_and_all_others_are(pairs: list[tuple[int, int]]) -> None:
    costs, values = [cost for cost, _ in pairs], [value for _, value in pairs]
    front = pareto(costs, values)

    def beaten(i: int) -> bool:
        return any(c <= costs[i] and v >= values[i] and (c, v) != (costs[i], values[i]) for c, v in pairs)

    assert set(front) == {i for i in range(len(pairs)) if not beaten(i)}
    assert [costs[i] for i in front] == sorted(costs[i] for i in front)
    assert [values[i] for i in front] == sorted(values[i] for i in front)


def test_nothing_used_has_no_accuracy_per_watt_hour() -> None:
    assert quoted(None, 0.9) == {}
    assert quoted(used(0.0), 0.9)["accuracy_per_watt_hour"] is None
    assert quoted(used(3600.0), 0.9) == {
        "watt_hours": 1.0, "grams": 0.05, "accuracy_per_watt_hour": 0.9, "letter": "F",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"), [(0.0000532549, "0.0000533"), (1.0, "1.00"), (99.96, "100"), (18_777.6, "18,800"), (0.0, "0")]
)
def test_figures_of_any_size_are_told_to_three_digits(value: float, text: str) -> None:
    assert significant(value) == text
    assert Voice("fr").significant(value) == text.replace(",", "\u202f").replace(".", ",")


def test_operations_are_told_with_a_prefix() -> None:
    assert [flops(n) for n in (8_016_928_768, 1_085_504, 12, None)] == ["8.02 G", "1.09 M", "12", "n/a"]
