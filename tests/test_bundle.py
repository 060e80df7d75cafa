"""A bundle is what its card says or it is refused, exit code 4, before anything in it is parsed."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from laennec import onnxfile
from laennec.bundle import Bundle, open_bundle
from laennec.cli import run
from laennec.errors import UntrustedBundle, UsageError


@pytest.fixture
def copied(quantised: Bundle, tmp_path: Path) -> Path:
    shutil.copytree(quantised.path, tmp_path / "b")
    return tmp_path / "b"


def edit(folder: Path, **changes: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))


def test_a_copied_bundle_is_the_same_bundle(quantised: Bundle, copied: Path) -> None:
    assert open_bundle(copied).digest == quantised.digest


def test_the_card_records_parent_split_and_what_the_weights_had_seen(trained: Bundle, quantised: Bundle) -> None:
    assert quantised.card.parent == trained.digest
    assert quantised.card.data.split_digest == trained.card.data.split_digest
    assert quantised.card.starting_weights == "random"
    assert quantised.card.gate is not None and quantised.card.gate.passed
    assert trained.card.operating_point.model_digest != quantised.card.operating_point.model_digest


def flip_a_byte(folder: Path) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)


def plant_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "notes.txt", "w") as archive:
        archive.writestr("archive/data.pkl", b"x")


ATTACKS = {
    "a flipped bit": flip_a_byte,
    "a truncated file": lambda f: (f / "model.onnx").write_bytes((f / "model.onnx").read_bytes()[:-9]),
    "a missing file": lambda f: (f / "model.onnx").unlink(),
    "a pickle beside": lambda f: (f / "reports.bin").write_bytes(pickle.dumps({"a": 1})),
    "a pickle by name": lambda f: (f / "weights.pt").write_bytes(b"anything"),
    "a torch archive under another name": plant_zip,
    "a card that is not JSON": lambda f: (f / "card.json").write_text("{"),
    "a card with an unknown key": lambda f: edit(f, surprise=1),
    "a card of another version": lambda f: edit(f, version=2),
    "a file outside the folder": lambda f: edit(f, files={"../model.onnx": {"sha256": "0" * 64, "bytes": 1}}),
    "a file of another kind": lambda f: edit(f, files={"run.py": {"sha256": "0" * 64, "bytes": 1}}),
    "no operating point": lambda f: edit(f, operating_points={}),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_tampering_is_refused_with_exit_code_4(copied: Path, attack: str, capsys: pytest.CaptureFixture[str]) -> None:
    ATTACKS[attack](copied)
    with pytest.raises(UntrustedBundle) as caught:
        open_bundle(copied)
    assert caught.value.hint
    assert run(["predict", str(copied), "x.png"]) == 4
    assert capsys.readouterr().err.startswith("error: ")


def test_a_threshold_of_another_model_is_refused(trained: Bundle, copied: Path) -> None:
    points = json.loads((trained.path / "card.json").read_text())["operating_points"]
    edit(copied, operating_points=points)
    with pytest.raises(UntrustedBundle, match="fitted for another model"):
        open_bundle(copied)


def test_what_is_no_bundle_is_a_usage_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", "https://example.org/model"):
        with pytest.raises(UsageError):
            open_bundle(path)


def model(node_domain: str = "", external: bool = False, in_subgraph: bool = False) -> bytes:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], np.ones(2, np.float32).tobytes(), raw=True)
    if external:
        onnx.external_data_helper.set_external_data(weight, "weights.bin")
        weight.data_location = TensorProto.EXTERNAL
    node = helper.make_node("Add", ["x", "w"], ["y"], domain=node_domain)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "xy")
    graph = helper.make_graph([node], "g", [] if in_subgraph else [x], [y], [weight])
    if in_subgraph:
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
        c = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
        graph = helper.make_graph([node], "outer", [c], [y])
    return helper.make_model(graph).SerializeToString()


def test_a_plain_onnx_file_passes() -> None:
    onnxfile.check(model())


@pytest.mark.parametrize("in_subgraph", [False, True])
@pytest.mark.parametrize(("domain", "external"), [("evil.ops", False), ("", True)])
def test_external_data_and_foreign_operators_are_found_at_any_depth(
    domain: str, external: bool, in_subgraph: bool
) -> None:
    with pytest.raises(UntrustedBundle):
        onnxfile.check(model(domain, external, in_subgraph))


def test_what_is_no_onnx_file_is_refused() -> None:
    whole = model()
    for data in (b"", b"hello world", whole[:-3], b"\xff" * 40, b"\x3a" + b"\xff" * 9):
        with pytest.raises(UntrustedBundle):
            onnxfile.check(data)
