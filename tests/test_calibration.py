"""Calibrators recover known distortions, in numpy, torch and ONNX alike; the stage keeps every decision."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

import laennec as ln
from conftest import LOOSE
from laennec import calibrators, decisions, graphs, metrics
from laennec.bundle import dump, open_bundle
from laennec.calibration import calibrate
from laennec.card import Card
from laennec.cli import run
from laennec.conversion import export
from laennec.errors import UntrustedBundle, UsageError
from laennec.labels import LabelSet
from laennec.runtime import answers, start
from laennec.trust import Calibration, ScoreMap

TWO = LabelSet(names=("normal", "sick"), positive=("sick",))
THREE = LabelSet(names=("normal", "bacterial", "viral"), positive=("bacterial", "viral"))
BESIDE = LabelSet(names=("effusion", "mass"), exclusive=False, positive=("mass",))

TEMPERATURE = ScoreMap(method="temperature", a=0.5, b=0.5, c=0.0)
BETA = ScoreMap(method="beta", a=1.75, b=0.5, c=-0.75)
ISOTONIC = ScoreMap(method="isotonic", knots=((0.0, 0.0625), (0.25, 0.125), (0.5, 0.875), (1.0, 0.9375)))
MAPS = [TEMPERATURE, BETA, ISOTONIC]


def frequencies(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities and outcomes drawn from them."""
    random = np.random.default_rng(seed)
    true = 1 / (1 + np.exp(-random.normal(-0.5, 2, n)))
    return true, (random.random(n) < true).astype(float)


def distorted(true: np.ndarray, kind: str) -> np.ndarray:
    """Scores from which the map of that kind leads back to the truth."""
    odds = np.log(true / (1 - true))
    if kind == "temperature":
        return 1 / (1 + np.exp(-3 * odds))  # three times too sure: T = 3
    if kind == "isotonic":
        return true**3
    return true**2 / (true**2 + (1 - true) ** 0.5 * np.exp(1.0))  # no power of the odds


@pytest.mark.parametrize("method", calibrators.METHODS)
def test_each_calibrator_undoes_its_own_distortion(method: str) -> None:
    true, truth = frequencies(20_000, 1)
    score = distorted(true, method)
    how = calibrators.fit(method, truth, score, 1 - score)
    fresh, outcome = frequencies(20_000, 2)
    seen = distorted(fresh, method)
    before, after = (
        metrics.calibration_error(outcome, seen),
        metrics.calibration_error(outcome, calibrators.mapped(how, seen)),
    )
    assert before > 0.05
    assert after < 0.018
    assert np.abs(calibrators.mapped(how, seen) - fresh).mean() < 0.02
    if method == "temperature":
        assert how.a == how.b == pytest.approx(1 / 3, rel=0.05)


def test_beta_finds_the_parameters_planted() -> None:
    """f = sigmoid(a ln s - b ln(1-s) + c) with a = .5, b = 2, c = 1 made the truth."""
    random = np.random.default_rng(3)
    score = random.beta(0.8, 1.2, 60_000).clip(1e-6, 1 - 1e-6)
    planted = ScoreMap(method="beta", a=0.5, b=2.0, c=1.0)
    truth = (random.random(len(score)) < calibrators.mapped(planted, score)).astype(float)
    how = calibrators.fit("beta", truth, score, 1 - score)
    assert (how.a, how.b, how.c) == (
        pytest.approx(0.5, abs=0.04),
        pytest.approx(2, abs=0.08),
        pytest.approx(1, abs=0.06),
    )


def test_isotonic_blocks_are_the_frequencies_within_them() -> None:
    score = np.repeat([0.1, 0.3, 0.6, 0.9], 100)
    truth = np.concatenate([np.arange(100) < count for count in (10, 40, 40, 80)]).astype(float)
    how = calibrators.fit("isotonic", truth, score, 1 - score)
    found = calibrators.mapped(how, [0.1, 0.45, 0.9])  # the two middle groups pool to 40 % at 0.45
    assert found == pytest.approx([0.1, 0.4, 0.8], abs=1e-6)


@pytest.mark.parametrize("method", calibrators.METHODS)
def test_a_separable_sample_asks_for_no_certainty(method: str) -> None:
    score = np.concatenate([np.linspace(0.01, 0.2, 20), np.linspace(0.8, 0.99, 20)])
    how = calibrators.fit(method, score > 0.5, score, 1 - score)
    found = calibrators.mapped(how, [0.0001, 0.9999])
    assert 0 < found[0] < 0.2
    assert 0.8 < found[1] < 1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=6, max_size=60),
    st.sampled_from(calibrators.METHODS),
)
def test_no_map_changes_the_order_of_scores(drawn: list[tuple[int, bool]], method: str) -> None:
    score, truth = np.array([d[0] for d in drawn]) / 1000, np.array([d[1] for d in drawn])
    if truth.all() or not truth.any():
        return
    how = calibrators.fit(method, truth, score, 1 - score)
    levels = np.unique(np.concatenate([score, np.linspace(0.001, 0.999, 200)]))
    assert (np.diff(calibrators.mapped(how, levels)) > -1e-12).all()
    inside = levels[(levels > 0) & (levels < 1)]
    logits = calibrators.mapped(how, inside)
    assert (np.diff(logits) >= 0).all()
    assert (logits >= 0).all()
    assert (logits <= 1).all()


def rows(labels: LabelSet, n: int = 300, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    sharp = random.normal(0, 6, (n, len(labels)))
    if not labels.exclusive:
        return (1 / (1 + np.exp(-sharp))).astype(np.float32)
    powers = np.exp(sharp - sharp.max(1, keepdims=True))
    table = (powers / powers.sum(1, keepdims=True)).astype(np.float32)
    table[0], table[1] = np.eye(len(labels))[0], np.eye(len(labels))[-1]  # saturated, as softmax underflows
    return table


@pytest.mark.parametrize("how", MAPS, ids=lambda how: how.method)
@pytest.mark.parametrize("labels", [TWO, THREE, BESIDE], ids=["two", "three", "beside"])
def test_probabilities_stay_a_distribution_and_decisions_stay(labels: LabelSet, how: ScoreMap) -> None:
    table = rows(labels)
    after = calibrators.calibrated(how, labels, table)
    score, rest = calibrators.sides(labels, table)
    assert calibrators.sides(labels, after)[0] == pytest.approx(calibrators.mapped(how, score, rest), abs=2e-7)
    if labels.exclusive:
        assert after.sum(1) == pytest.approx(np.ones(len(after)), abs=1e-6)
    else:
        assert (after[:, 0] == table[:, 0]).all()
    threshold = 0.3712345
    moved = float(calibrators.mapped(how, [threshold])[0])
    assert not decisions.differ(labels, table, after, (threshold, moved)).any()


def plain_graph(labels: LabelSet) -> bytes:
    """A graph that answers with what it is given."""
    from onnx import TensorProto, helper

    shape = ["n", len(labels)]
    given_, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("raw", "probabilities"))
    graph = helper.make_graph([helper.make_node("Identity", ["raw"], ["probabilities"])], "g", [given_], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize("how", MAPS, ids=lambda how: how.method)
@pytest.mark.parametrize("labels", [TWO, THREE, BESIDE], ids=["two", "three", "beside"])
def test_torch_and_onnx_compute_the_same_map(labels: LabelSet, how: ScoreMap) -> None:
    import onnxruntime
    import torch

    table = rows(labels, seed=1)
    graph = calibrators.in_graph(how, labels, plain_graph(labels))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (in_onnx,) = session.run(["probabilities"], {"raw": table})
    in_torch = calibrators.in_torch(how, labels, torch.from_numpy(table)).numpy()
    assert np.abs(in_onnx - in_torch).max() < 1e-6
    assert np.abs(in_torch - calibrators.calibrated(how, labels, table)).max() < 2e-6


def test_a_map_that_is_none_is_refused() -> None:
    for wrong in (
        {"method": "temperature", "a": 1.0, "b": 1.0},
        {"method": "beta", "a": 0.0, "b": 1.0, "c": 0.0},
        {"method": "isotonic", "knots": ((0.0, 0.1), (1.0, 0.1))},
        {"method": "isotonic", "knots": ((0.1, 0.1), (1.0, 0.9))},
        {"method": "isotonic", "knots": ((0.0, 0.1), (1.0, 1.2))},
    ):
        with pytest.raises(ValidationError):
            ScoreMap.model_validate(wrong)


def test_folds_keep_patients_whole_and_both_classes_everywhere() -> None:
    patients = [f"p{i // 3}" for i in range(60)]
    truth = np.array([(i // 3) % 4 == 0 for i in range(60)])
    flags = np.stack(list(calibrators.folds(patients, truth)))
    assert flags.sum(0).tolist() == [1] * 60
    for here in flags:
        assert {p for p, h in zip(patients, here, strict=True) if h}.isdisjoint(
            p for p, h in zip(patients, here, strict=True) if not h
        )
        assert truth[here].any()
        assert (~truth[here]).any()
    with pytest.raises(UsageError, match="two of each"):
        list(calibrators.folds(["a", "b", "c"], [1, 0, 0]))


# ---- the stage


@pytest.fixture(scope="module")
def calibrated(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return calibrate(trained, tmp_path_factory.mktemp("calibrated") / "beta", "beta")


def validation(bundle: Any) -> Any:
    from laennec import loader

    return loader.reload(bundle, ("val",)).part("val")


def test_decisions_stay_and_probabilities_are_the_map_of_the_parents(trained: Any, calibrated: Any) -> None:
    val = validation(trained)
    before, after = answers(trained, val).probabilities, answers(calibrated, val).probabilities
    labels, how = trained.card.labels, calibrated.card.calibration
    assert np.abs(after - calibrators.calibrated(how, labels, before)).max() < 1e-6
    assert np.abs(after - before).max() > 0.01
    assert set(calibrated.card.operating_points) == set(trained.card.operating_points)
    for rule, point in calibrated.card.operating_points.items():
        pair = (trained.card.operating_points[rule].threshold, point.threshold)
        assert not decisions.differ(labels, before, after, pair).any()
        assert point.threshold == pytest.approx(calibrators.mapped(how, [pair[0]])[0], abs=1e-3)
    assert calibrated.card.parent == trained.digest


def test_the_card_tells_every_method_beside_none(calibrated: Any) -> None:
    how = calibrated.card.calibration
    assert [one.method for one in how.tried] == ["none", *calibrators.METHODS]
    assert all(one.ece.low <= one.ece.value <= one.ece.high for one in how.tried)
    assert (how.chosen, how.n) == ("asked", len(validation(calibrated)))
    again = Card.model_validate_json(calibrated.card.model_dump_json())
    assert again == calibrated.card


def test_auto_takes_the_least_log_loss(trained: Any, tmp_path: Path) -> None:
    how = calibrate(trained, tmp_path / "auto").card.calibration
    best = min(how.tried, key=lambda one: one.log_loss.value)
    assert how.chosen == "log_loss"
    assert how.method == (best.method if best.method != "none" else "temperature")


def test_thresholds_are_bound_to_the_map(trained: Any, calibrated: Any, tmp_path: Path) -> None:
    """The weights are the parent's: only the map tells the two models apart."""
    assert calibrated.card.operating_point.model_digest != trained.card.operating_point.model_digest
    for change in (
        {"calibration": None},
        {"calibration": calibrated.card.calibration.model_copy(update={"c": 0.5})},
        {"abstention": calibrated.card.abstention.model_copy(update={"model_digest": "0" * 64})},
        {"novelty": calibrated.card.novelty.model_copy(update={"file": "other.npy"})},
    ):
        from laennec.bundle import seal

        with pytest.raises(UntrustedBundle):
            files = {name: calibrated.read(name) for name in calibrated.card.files}
            seal(tmp_path / str(len(list(tmp_path.iterdir()))), calibrated.card.model_copy(update=change), files)


def test_a_card_without_calibration_says_nothing_of_it(trained: Any) -> None:
    written = json.loads((trained.path / "card.json").read_text())
    assert not {"calibration", "abstention", "novelty"} & set(written)
    assert {"calibration", "abstention", "novelty"} <= set(Card.model_fields)


def test_export_carries_the_map_and_fits_the_sets_again(calibrated: Any, tmp_path: Path) -> None:
    made = export(calibrated, "onnxruntime", out=tmp_path / "ort", limits=LOOSE)
    val = validation(calibrated)
    difference = np.abs(answers(made, val).probabilities - answers(calibrated, val).probabilities).max()
    assert difference < 1e-5
    assert made.card.calibration.parameters == calibrated.card.calibration.parameters
    assert made.card.abstention.model_digest == made.card.operating_point.model_digest
    assert made.card.abstention.least != {}
    assert made.card.novelty is not None


def test_a_graph_is_calibrated_as_its_torch_parent_is(trained: Any, calibrated: Any, tmp_path: Path) -> None:
    graph = export(trained, "onnxruntime", out=tmp_path / "ort", limits=LOOSE)
    made = calibrate(graph, tmp_path / "ort-beta", "beta")
    assert made.card.backend == "onnxruntime"
    pixels = validation(trained).batch(slice(0, 8))
    torch_, onnx_ = (start(one).run(pixels).probabilities for one in (calibrated, made))
    assert np.abs(torch_ - onnx_).max() < 1e-4  # the two were fitted on scores that differ by rounding
    assert [one.name for one in graphs.interface(made.card)][:2] == ["pixels", "probabilities"]


def test_what_is_calibrated_is_not_calibrated_pruned_or_joined(trained: Any, calibrated: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="calibrated already"):
        calibrate(calibrated, tmp_path / "again")
    with pytest.raises(UsageError, match="is calibrated"):
        ln.prune(calibrated, out=tmp_path / "pruned", share=0.3)
    with pytest.raises(UsageError, match="is calibrated"):
        ln.ensemble([calibrated, trained], tmp_path / "joined")
    with pytest.raises(UsageError, match="no method"):
        calibrate(trained, tmp_path / "x", "platt")
    with pytest.raises(UsageError, match="coverage"):
        calibrate(trained, tmp_path / "x", coverage=1.0)


def test_the_same_calibration_again_is_returned(trained: Any, calibrated: Any) -> None:
    assert calibrate(trained, calibrated.path, "beta").digest == calibrated.digest
    with pytest.raises(UsageError, match="another bundle"):
        calibrate(trained, calibrated.path, "isotonic")


def test_from_the_command_line_to_an_answer_that_refers(
    trained: Any, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "cal")
    assert run(["calibrate", str(trained.path), "--out", out, "--coverage", "0.8", "--method", "temperature"]) == 0
    assert "temperature" in capsys.readouterr().out
    strange = tmp_path / "strange.png"
    noise = np.random.default_rng(0).integers(0, 2, (32, 32)) * 255
    Image.fromarray(noise.astype(np.uint8)).save(strange)
    picture = sorted((pictures / "sick").iterdir())[0]
    assert run(["predict", out, str(picture), str(strange), "--json", "--gate", "off", "--prevalence", "0.02"]) == 0
    known, odd = json.loads(capsys.readouterr().out)
    assert known["adapted"]["source"] == "stated"
    assert known["adapted"]["prevalence"] == 0.02
    assert known["adapted"]["probability"] < known["score"]
    assert set(known["possible"]) <= {"normal", "sick"}
    assert odd["refer"] is True
    assert "unlike" in odd["refer_because"]
    assert odd["strangeness"] >= 1 > known["strangeness"]


def test_only_calibrated_bundles_are_adapted(trained: Any) -> None:
    with pytest.raises(UsageError, match="not calibrated"):
        ln.open(trained.path, prevalence=0.1)


def test_what_is_unlike_does_not_count_for_the_prevalence(calibrated: Any, pictures: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(pictures / "sick", mixed)
    n = len(list(mixed.iterdir()))
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 2, (32, 32), dtype=np.uint8) * 255
        Image.fromarray(pixels).save(mixed / f"noise{number}.png")
    scored = ln.score(ln.open(calibrated.path), mixed, tmp_path / "t.csv", estimate=True)
    with scored.table.open(encoding="utf-8") as stream:
        alike = [float(row["strangeness"]) < 1 for row in csv.DictReader(stream)]
    assert scored.prevalence is not None and scored.images == n + 5
    assert scored.prevalence.n == sum(alike) <= n


def test_scores_of_a_folder_get_columns_of_their_own(calibrated: Any, pictures: Path, tmp_path: Path) -> None:
    scored = ln.score(ln.open(calibrated.path), pictures / "sick", tmp_path / "t.csv", estimate=True)
    with scored.table.open(encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    assert scored.prevalence is not None
    assert scored.prevalence.value > 0.8
    assert {row["prevalence_estimated"] for row in table} == {str(scored.prevalence.value)}
    assert all(float(row["score_at_estimated"]) >= float(row["score"]) for row in table)
    assert all((row["refer"] == "1") == bool(row["refer_because"]) for row in table)
    plain = ln.score(ln.open(calibrated.path), pictures / "sick", tmp_path / "u.csv")
    with plain.table.open(encoding="utf-8") as stream:
        same = list(csv.DictReader(stream))
    assert [row["label"] for row in same] == [row["label"] for row in table]
    assert not any("prevalence" in name for name in same[0])


def test_a_bundle_that_does_not_refer_keeps_its_table(trained: Any, pictures: Path, tmp_path: Path) -> None:
    scored = ln.score(ln.open(trained.path), pictures / "sick", tmp_path / "t.csv")
    header = scored.table.read_text(encoding="utf-8").splitlines()[0]
    assert header == "file,label,positive,score,threshold,operating_point,p_normal,p_sick,bundle"


def test_the_report_tells_what_referring_does(calibrated: Any) -> None:
    from laennec.results import Report

    report = ln.evaluate(calibrated)
    found = report.abstention
    assert found is not None
    assert found.asked == 0.9
    assert set(found.covered) == {"normal", "sick"}
    assert found.error_all.n == report.images
    assert found.error.n + found.error_referred.n == report.images
    assert [one.prevalence for one in report.prevalences] == sorted(one.prevalence for one in report.prevalences)
    assert next(one.ppv for one in report.prevalences if one.measured).value == pytest.approx(
        report.metrics["ppv"].value
    )
    assert Report.model_validate_json(report.model_dump_json()) == report
    older = json.loads(dump(report)) | {}
    del older["abstention"], older["prevalences"]
    assert Report.model_validate(older).abstention is None


def test_strangeness_tells_pictures_of_another_kind(calibrated: Any, tmp_path: Path) -> None:
    """AUROC of the distance, test images against noise and against the same images inverted."""
    from laennec import loader
    from laennec.caution import Caution
    from laennec.intervals import delong

    pixels = loader.reload(calibrated, ("test",)).part("test").batch(slice(0, 36))
    noise = np.random.default_rng(0).integers(0, 256, pixels.shape).astype(np.uint8)
    caution, session = Caution(calibrated), start(calibrated)
    own, *others = (caution.strangeness(session.run(one, caution.also)) for one in (pixels, noise, 255 - pixels))
    truth = np.repeat([0.0, 1.0], len(pixels))
    areas = [delong(truth, np.concatenate([own, other])) for other in others]
    assert min(area.low or 0 for area in areas) > 0.9
    assert (own < 1).mean() > 0.8


def test_a_damaged_array_is_no_distance(calibrated: Any, tmp_path: Path) -> None:
    import shutil

    from laennec import arrayfile

    folder = tmp_path / "copy"
    shutil.copytree(calibrated.path, folder)
    (folder / "novelty.npy").write_bytes(b"\x93NUMPY\x01\x00" + b"\x00" * 40)
    with pytest.raises(UntrustedBundle):
        open_bundle(folder)
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    data = arrayfile.written(table)
    assert (arrayfile.read(data) == table).all()
    assert not arrayfile.plain(data + b"0")
    pickled = data.replace(b"'<f4'", b"'|O' ")
    assert not arrayfile.plain(pickled)


def test_the_card_reads_its_noun_back(calibrated: Any) -> None:
    how = calibrated.card.calibration
    assert Calibration.model_validate_json(how.model_dump_json()) == how


def test_what_cannot_follow_a_calibration_is_refused_before_any_work(calibrated: Any, tmp_path: Path) -> None:
    from laennec.shrinking import shrink

    with pytest.raises(UsageError, match="is calibrated"):
        shrink(calibrated, out=tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_mlflow_is_told_when_a_person_should_decide(calibrated: Any, pictures: Path) -> None:
    from laennec.answering import Answering
    from laennec.predictor import open as open_predictor

    path = pictures / "sick" / "p001_0.png"
    answer = open_predictor(calibrated.path).predict(path)
    row = Answering(open_predictor(calibrated.path)).predict([str(path)]).iloc[0]
    assert row["refer"] == answer.refer
    assert row["possible"] == "|".join(answer.possible)
    assert row["refer_because"] == " ".join(answer.refer_because)
