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

from laennec import onnxfile, storage
from laennec.bundle import Bundle, open_bundle
from laennec.cli import run
from laennec.errors import UntrustedBundle, UsageError
from laennec.runtime import start


@pytest.fixture
def copied(quantised: Bundle, tmp_path: Path) -> Path:
    shutil.copytree(quantised.path, tmp_path / "b")
    (tmp_path / "b" / "reports").mkdir(exist_ok=True)
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


def reseal(folder: Path, **changes: object) -> None:
    """Edit a card as somebody would who knows how it is sealed."""
    edit(folder, **changes)
    card = json.loads((folder / "card.json").read_text())
    edit(folder, seal=storage.digest({k: v for k, v in card.items() if k != "seal"}))


def fail_gate(folder: Path) -> None:
    gate = json.loads((folder / "card.json").read_text())["gate"]
    reseal(folder, gate=gate | {"passed": False})


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
    "a pickle beside": lambda f: (f / "notes").write_bytes(pickle.dumps({"a": 1}, protocol=0)),
    "a pickle among the reports": lambda f: (f / "reports" / "a.bin").write_bytes(pickle.dumps({"a": 1})),
    "an edited threshold": lambda f: edit(f, decision="rule_in"),
    "labels in another order": lambda f: edit(f, labels={"names": ["sick", "normal"], "positive": ["sick"]}),
    "another backend": lambda f: reseal(f, backend="torch"),
    "a gate that failed": fail_gate,
    "no model file": lambda f: reseal(f, files={}),
    "a pickle by name": lambda f: (f / "weights.pt").write_bytes(b"anything"),
    "a torch archive under another name": plant_zip,
    "a card that is not JSON": lambda f: (f / "card.json").write_text("{"),
    "a card with an unknown key": lambda f: edit(f, surprise=1),
    "a card of another version": lambda f: edit(f, version=2),
    "a file outside the folder": lambda f: edit(f, files={"../model.onnx": {"sha256": "0" * 64, "bytes": 1}}),
    "a file of another kind": lambda f: edit(f, files={"run.py": {"sha256": "0" * 64, "bytes": 1}}),
    "no operating point": lambda f: reseal(f, operating_points={}),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_tampering_is_refused_with_exit_code_4(copied: Path, attack: str, capsys: pytest.CaptureFixture[str]) -> None:
    ATTACKS[attack](copied)
    with pytest.raises(UntrustedBundle) as caught:
        start(open_bundle(copied))
    assert caught.value.hint
    assert run(["predict", str(copied), "x.png"]) == 4
    assert capsys.readouterr().err.startswith("error: ")


def test_a_threshold_of_another_model_is_refused(trained: Bundle, copied: Path) -> None:
    points = json.loads((trained.path / "card.json").read_text())["operating_points"]
    reseal(copied, operating_points=points)
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


def field(number: int, payload: bytes | int, key_bits: int = 0) -> bytes:
    """One protobuf field by hand; `key_bits` are set above the 32 bits that protobuf looks at."""

    def varint(value: int) -> bytes:
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    kind = 0 if isinstance(payload, int) else 2
    body = varint(payload) if isinstance(payload, int) else varint(len(payload)) + payload
    return varint(number << 3 | kind | key_bits) + body


@pytest.mark.parametrize(
    "tensor",
    [
        field(13, b"x", key_bits=1 << 32),
        field(14, 1, key_bits=1 << 32),
        field(14, 1 + (1 << 32)),
        field(14, 1),
    ],
)
@pytest.mark.parametrize("where", ["initializer", "function attribute"])
def test_hand_made_encodings_do_not_hide_external_data(tensor: bytes, where: str) -> None:
    in_graph, in_function = field(7, field(5, tensor)), model() + field(25, field(11, field(5, tensor)))
    data = in_graph if where == "initializer" else in_function
    with pytest.raises(UntrustedBundle):
        onnxfile.check(data)


def test_what_is_no_onnx_file_is_refused() -> None:
    whole = model()
    for data in (b"", b"hello world", whole[:-3], b"\xff" * 40, b"\x3a" + b"\xff" * 9):
        with pytest.raises(UntrustedBundle):
            onnxfile.check(data)
