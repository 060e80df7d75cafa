# ruff: noqa: E501  one case, one line
"""Model files, recipes and tables that must be refused before anything is run: by exit code and in two lines."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .case import Case, chest, codes, png

Prepare = Callable[[Path, Path], list[str]]


@dataclass(frozen=True)
class Command:
    """A command line. `prepare` is given an empty folder and a good bundle, and gives the arguments; `says` stands in
    what is printed on stderr.
    """

    prepare: Prepare
    says: str = ""


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit code, and what it printed on stderr."""

    code: int
    said: str


def ran(command: Command, folder: Path, bundle: Path) -> Ran:
    """Run a command in this process."""
    from laennec.cli import run

    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        code = run(command.prepare(folder, bundle))
    return Ran(code, said.getvalue())


def cases(_: int) -> list[Case]:
    """The families ``model files``, ``recipes`` and ``CSV``."""
    return [
        *[_case("model files", f"bundle: {n}", prepare, says, "4") for n, prepare, says in _bundles()],
        _case("model files", "bundle: honest", partial(_predict, lambda folder: None), "", "0"),
        _case("model files", "bundle: an address", _address, "", "2"),
        *[_case("recipes", f"recipe: {n}", partial(_recipe, text), says, "2") for n, text, says in _recipes()],
        *[_case("CSV", f"table: {n}", partial(_table, lines), says, code) for n, lines, says, code in _tables()],
    ]


def _case(family: str, name: str, prepare: Prepare, says: str, code: str) -> Case:
    return Case(name, family, "command", lambda: Command(prepare, says), codes(code), seconds=20.0)


# Model files ---------------------------------------------------------------------------------------------------------


def _address(folder: Path, bundle: Path) -> list[str]:
    (folder / "a.png").write_bytes(png())
    return ["predict", "https://models.example/k8", str(folder / "a.png")]


def _predict(attack: Callable[[Path], object], folder: Path, bundle: Path) -> list[str]:
    shutil.copytree(bundle, folder / "b")
    attack(folder / "b")
    (folder / "a.png").write_bytes(png())
    return ["predict", str(folder / "b"), str(folder / "a.png")]


def _sealed(folder: Path, name: str, data: bytes, **changes: Any) -> None:
    """Put a file into the bundle as somebody would who knows how its card is sealed."""
    from laennec import storage

    (folder / name).write_bytes(data)
    card = json.loads((folder / "card.json").read_text())
    card["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    card |= changes
    card["seal"] = storage.digest({key: value for key, value in card.items() if key != "seal"})
    (folder / "card.json").write_text(json.dumps(card))


class _Runs:
    """A pickle that would leave a mark."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("/tmp/escaped.png"),)  # noqa: S108


def _pickled(name: str) -> Callable[[Path], None]:
    return lambda folder: _sealed(folder, name, pickle.dumps(_Runs()))


def _beside(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _message(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _onnx(*graph: bytes) -> bytes:
    return _message(7, b"".join(graph))


def _external(folder: Path) -> None:
    place = _message(1, b"location") + _message(2, b"../../../etc/passwd")
    _sealed(folder, "model.onnx", _onnx(_message(5, _message(13, place) + _varint(14 << 3) + b"\1")))


def _foreign(folder: Path) -> None:
    _sealed(folder, "model.onnx", _onnx(_message(1, _message(4, b"Run") + _message(7, b"evil.ops"))))


def _deep(folder: Path) -> None:
    """Graphs inside attributes of nodes inside graphs, 3,000 deep."""
    inner = b""
    for _ in range(3000):
        inner = _message(1, _message(5, _message(6, inner)))
    _sealed(folder, "model.onnx", _onnx(inner))


def _flip(folder: Path) -> None:
    path = next(folder.glob("*.onnx"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut(folder: Path) -> None:
    path = next(folder.glob("*.onnx"))
    path.write_bytes(path.read_bytes()[:-1])


def _card(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        change(card)
        (folder / "card.json").write_text(json.dumps(card))

    return attack


def _raw_card(text: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "card.json").write_bytes(text)


def _array(folder: Path) -> None:
    out = io.BytesIO()
    np.save(out, np.array([_Runs()], object), allow_pickle=True)
    _sealed(folder, "novelty.npy", out.getvalue())


def _zip_of_torch(folder: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Runs()))
    _sealed(folder, "weights.safetensors", out.getvalue())


def _rename(folder: Path) -> None:
    path = next(folder.glob("*.onnx"))
    path.rename(folder / "other.onnx")


def _bundles() -> list[tuple[str, Prepare, str]]:
    told: list[tuple[str, Callable[[Path], object], str]] = [
        ("a byte of its model changed", _flip, "SHA-256"),
        ("its model less a byte", _cut, "SHA-256"),
        ("its model missing", lambda folder: next(folder.glob("*.onnx")).unlink(), "lacks"),
        ("its model under another name", _rename, "not named"),
        ("a pickle beside it", _beside("weights.pkl", pickle.dumps(_Runs())), "not named"),
        ("a pickle as a model", _pickled("model.onnx"), "ONNX"),
        ("a pickle as weights", _pickled("weights.safetensors"), "safetensors"),
        ("a pickle as an array", _pickled("novelty.npy"), "array"),
        ("a pickle as JSON", _pickled("history.json"), "JSON"),
        ("a pickle in a file of torch", _pickled("model.pt"), "names the file"),
        ("a pickle without an end", _pickled("model"), "names the file"),
        ("an array of objects", _array, "array"),
        ("a zip of torch as weights", _zip_of_torch, "safetensors"),
        ("a library of its own", _beside("ops.so", b"\x7fELF"), "not named"),
        ("a script", _beside("setup.py", b"print()"), "not named"),
        ("a link", lambda folder: (folder / "link.json").symlink_to("/etc/passwd"), "not named"),
        ("a report that is a program", _report, "no report"),
        ("weights outside of its model", _external, "outside"),
        ("operators of a stranger", _foreign, "operators"),
        ("a graph 3,000 deep", _deep, "ONNX"),
        ("an empty model", lambda folder: _sealed(folder, "model.onnx", b""), "ONNX"),
        ("a model of noise", lambda folder: _sealed(folder, "model.onnx", np.random.default_rng(1).bytes(9000)), "ONNX"),
        ("a card without a seal", _card(lambda card: card.pop("seal")), "card.json"),
        ("a card edited", _card(lambda card: card.update(name="other")), "changed"),
        ("a card with a key nobody knows", _card(lambda card: card.update(run="rm")), "card.json"),
        ("a card that names a file upwards", _card(lambda card: card["files"].update({"../a.onnx": {"sha256": "0" * 64, "bytes": 1}})), "card"),
        ("a card that is no JSON", _raw_card(b"{"), "card.json"),
        ("a card of noise", _raw_card(np.random.default_rng(2).bytes(900)), "card.json"),
        ("a card nested 100,000 deep", _raw_card(b"[" * 100_000), "card.json"),
        ("an empty card", _raw_card(b""), "card.json"),
        ("a card of NaN", _raw_card(b'{"version": NaN}'), "card.json"),
    ]  # fmt: skip
    return [(name, partial(_predict, attack), says) for name, attack, says in told]


def _report(folder: Path) -> None:
    (folder / "reports").mkdir(exist_ok=True)
    (folder / "reports" / "report.exe").write_bytes(b"MZ")


# Recipes -------------------------------------------------------------------------------------------------------------

_GOOD = """
name = "tiny"
[data]
name = "phantom"
[model]
name = "cnn"
[[phases]]
learning_rate = 0.01
epochs = 1
"""


def _recipe(text: str | bytes, folder: Path, bundle: Path) -> list[str]:
    path = folder / "recipe.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return ["train", str(path), "--out", str(folder / "out")]


def _recipes() -> list[tuple[str, str | bytes, str]]:
    def more(section: str, line: str) -> str:
        return _GOOD.replace(f"[{section}]\n", f"[{section}]\n{line}\n", 1)

    return [
        ("an unknown key", "colour = 1\n" + _GOOD, "colour"),
        ("an unknown section", _GOOD + "[shell]\nrun = 'rm'\n", "shell"),
        ("an unknown option", more("model", "depths = 9"), "depths"),
        ("a key twice", more("data", 'name = "kermany"'), ""),
        ("a section twice", _GOOD + "[data]\n", ""),
        ("NaN", _GOOD + "[training]\nbatch_size = 16\nema = nan\n", "ema"),
        ("infinity", _GOOD.replace("0.01", "inf"), "learning_rate"),
        ("a learning rate below 0", _GOOD.replace("0.01", "-1.0"), "learning_rate"),
        ("a word for a number", _GOOD.replace("epochs = 1", 'epochs = "one"'), "epochs"),
        ("a number for a word", _GOOD.replace('name = "tiny"', "name = 5"), "name"),
        ("a boolean for a number", _GOOD.replace("epochs = 1", "epochs = true"), "epochs"),
        ("10^30 epochs", _GOOD.replace("epochs = 1", "epochs = " + "9" * 30), "epochs"),
        ("a batch of 0", _GOOD + "[training]\nbatch_size = 0\n", "batch_size"),
        ("a size of 0", _GOOD + "[preprocess]\nsize = 0\n", "size"),
        ("a size of 10^9", _GOOD + "[preprocess]\nsize = 1000000000\n", "size"),
        ("a model nobody knows", _GOOD.replace('"cnn"', '"os.system"'), "os.system"),
        ("a data set that is a module", _GOOD.replace('"phantom"', '"../../evil"'), "evil"),
        ("no phases", _GOOD.partition("[[phases]]")[0] + "phases = []\n", ""),
        ("no TOML", "name = = =", ""),
        ("bytes that are no text", b"\xff\xfe\0\x01", ""),
        ("nothing", "", ""),
        ("a nesting of 2,000", "a = " + "[" * 2000 + "]" * 2000, ""),
        ("a key of 1 MB", "k" * 1_000_000 + " = 1\n" + _GOOD, ""),
    ]


# Tables --------------------------------------------------------------------------------------------------------------


def _table(lines: str | bytes, folder: Path, bundle: Path) -> list[str]:
    from PIL import Image

    for n in range(6):
        Image.fromarray(np.roll(chest(64), n)).save(folder / f"{n}.png")
    (folder / "table.csv").write_bytes(lines.encode() if isinstance(lines, str) else lines)
    root = (folder / "table.csv").as_posix()
    text = f'name = "t"\n[data]\nname = "table"\nroot = "{root}"\npositive = "sick"\n[model]\nname = "cnn"\n[[phases]]\nepochs = 1\nlearning_rate = 0.01\n'
    (folder / "recipe.toml").write_text(text)
    return ["data", "show", str(folder / "recipe.toml")]


def _tables() -> list[tuple[str, str | bytes, str, str]]:
    head = "path,label,patient,split\n"
    rows = [f"{n}.png,{'sick' if n % 2 else 'well'},p{n},{('train', 'val', 'test')[n % 3]}" for n in range(6)]

    def changed(number: int, row: str) -> str:
        return head + "\n".join([*rows[:number], row, *rows[number + 1 :]]) + "\n"

    good = head + "\n".join(rows) + "\n"
    return [
        ("honest", good, "", "0"),
        ("a byte order mark", b"\xef\xbb\xbf" + good.encode(), "", "0"),
        ("a missing image", changed(2, "nowhere.png,well,p2,test"), "row 4", "2"),
        ("an image upwards that is not there", changed(2, "../../../nowhere.png,well,p2,test"), "row 4", "2"),
        ("an address for an image", changed(2, "http://evil.example/a.png,well,p2,test"), "row 4", "2"),
        ("an unknown split", changed(1, "1.png,sick,p1,exam"), "row 3", "2"),
        ("one image twice", changed(3, "2.png,sick,p3,train"), "row", "2"),
        ("a patient in two splits", changed(3, "3.png,sick,p1,train"), "", "2"),
        ("no label", changed(1, "1.png,,p1,val"), "row 3", "2"),
        ("no patient", changed(1, "1.png,sick,,val"), "row 3", "2"),
        ("no positive label", good.replace("sick", "ill"), "sick", "2"),
        ("too few cells", changed(1, "1.png"), "row 3", "2"),
        ("too many cells", changed(1, "1.png,sick,p1,val,x,y"), "row 3", "2"),
        ("a quotation that does not end", changed(1, '"1.png,sick,p1,val'), "", "2"),
        ("a NUL", changed(1, "1\0.png,sick,p1,val"), "", "2"),
        ("a cell of 1 MB", changed(1, "1" * 1_000_000 + ".png,sick,p1,val"), "", "2"),
        ("a column twice", good.replace("patient", "path", 1), "", "2"),
        ("no header", "\n".join(rows), "column", "2"),
        ("a header alone", head, "", "2"),
        ("nothing", "", "", "2"),
        ("bytes that are no text", b"\xff\xfe\x00\xd8" * 900, "", "2"),
        ("an Excel workbook", b"PK\3\4" + bytes(900), "", "2"),
    ]
