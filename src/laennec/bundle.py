"""The Bundle: a folder with ``card.json`` and the model's files, all that crosses from one stage to the next.

The card says what the model is, how its input is prepared, its labels, thresholds and parent, and names every file
with its SHA-256. A sealed bundle never changes; reports and histories lie beside it and name its digest. Nothing in
a bundle can run code: files are safetensors, ONNX or JSON, and a folder that holds anything else is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from laennec import arrayfile, onnxfile, storage
from laennec.card import Card, FileSeal
from laennec.errors import UntrustedBundle, UsageError
from laennec.recipe import Recipe
from laennec.trust import ScoreMap

CARD = "card.json"
_MODEL_KINDS = {".safetensors", ".onnx"}
_KINDS = {*_MODEL_KINDS, ".json", ".npy"}
_BESIDE = {"reports", "checkpoints", "members"}
_BESIDE_KINDS = {".json", ".jsonl", ".html", ".md", ".csv", ".safetensors"}


def model_digest(files: Mapping[str, FileSeal], calibration: ScoreMap | None = None) -> str:
    """Digest of the model: its files (weights and graphs), and the map of its scores. What a threshold is bound to."""
    own: dict[str, object] = {n: f.sha256 for n, f in files.items() if Path(n).suffix in _MODEL_KINDS}
    return storage.digest(own if calibration is None else {"files": own, "calibration": calibration.parameters})


@dataclass(frozen=True)
class Bundle:
    """An opened, verified bundle."""

    path: Path
    card: Card

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the card's content, and through it of every file."""
        return self.card.seal

    @property
    def name(self) -> str:
        """Folder name, the bundle's name to a person."""
        return self.path.resolve().name

    @property
    def megabytes(self) -> float:
        """Size of the model's files, 10^6 bytes."""
        return sum(f.bytes for n, f in self.card.files.items() if Path(n).suffix in _MODEL_KINDS) / 1e6

    @property
    def recipe(self) -> Recipe:
        """The recipe the model, or its ancestor, was trained by. Raises `UsageError` if a member is not installed."""
        return Recipe.parse(self.card.recipe)

    def read(self, name: str) -> bytes:
        """The bytes of one file, checked again against its digest. Raises `UntrustedBundle` if they changed."""
        return _verified(self.path, name, self.card.files[name])

    def model_files(self) -> dict[str, bytes]:
        """The bytes of the model's own files (weights, graphs), verified, by name."""
        return {name: self.read(name) for name in self.card.files if Path(name).suffix in _MODEL_KINDS}


def seal(folder: Path, card: Card, files: Mapping[str, bytes]) -> Bundle:
    """Write `files` and the card to `folder`, the card last, and open the result.

    The card's thresholds must already be bound to these files (`model_digest`).

    Raises:
        UntrustedBundle: a threshold is bound to another model.
        StorageFull: no room.
    """
    for name, data in files.items():
        _check_content(name, data)
        storage.write_bytes(folder / name, data)
    sealed = card.model_copy(update={"files": seals(files)})
    sealed = sealed.model_copy(update={"seal": storage.digest(sealed.model_dump(mode="json", exclude={"seal"}))})
    _check_promises(sealed)
    storage.write_json(folder / CARD, sealed.model_dump(mode="json"))
    return open_bundle(folder)


def seals(files: Mapping[str, bytes]) -> dict[str, FileSeal]:
    """The seals of `files`, by name."""
    return {
        name: FileSeal(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)) for name, data in sorted(files.items())
    }


def open_bundle(path: str | Path) -> Bundle:
    """Open and verify a bundle.

    Raises:
        UsageError: not a folder with a card, or a URL.
        UntrustedBundle: the card is damaged, a file is missing or altered, something is a pickle, an ONNX file keeps
            data outside itself or calls foreign operators, or a threshold belongs to another model.
    """
    if "://" in str(path):
        raise UsageError("a bundle is a folder on this machine, not a URL", "download it first, then give its path")
    folder = Path(path)
    if not (folder / CARD).is_file():
        unfinished = (folder / "checkpoints").is_dir()
        hint = "finish it: run the same train command again" if unfinished else "give the folder that holds card.json"
        raise UsageError(f"{folder} is not a bundle: it has no {CARD}", hint)
    card, seal_ = _read_card(folder / CARD)
    _refuse_strangers(folder, card.files)
    for name, expected in card.files.items():
        if Path(name).name != name or name.startswith(".") or "\\" in name or Path(name).suffix not in _KINDS:
            raise UntrustedBundle(
                f"the card names the file '{name[:60]}'", "a bundle holds .safetensors, .onnx, .json, .npy"
            )
        _check_content(name, _verified(folder, name, expected))
    if card.seal != seal_:
        raise UntrustedBundle(f"{CARD} was changed after it was sealed", "copy the bundle again")
    _check_promises(card)
    return Bundle(folder, card)


def _read_card(path: Path) -> tuple[Card, str]:
    """The card, and the seal over what is written: a card from before some key was thought of keeps its seal."""
    data = path.read_bytes()
    try:
        card = Card.model_validate_json(data)
        return card, storage.digest({key: value for key, value in json.loads(data).items() if key != "seal"})
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(step) for step in fault["loc"]) or "card"
        raise UntrustedBundle(
            f"{CARD} is damaged or of another version: {where}: {fault['msg'][:120]}",
            "restore the bundle, or open it with the version of laennec that made it",
        ) from error


def _verified(folder: Path, name: str, expected: FileSeal) -> bytes:
    path = folder / name
    try:
        data = path.read_bytes() if path.stat().st_size == expected.bytes else b""
    except OSError as error:
        raise UntrustedBundle(f"the bundle lacks its file {name}", "copy the whole folder again") from error
    if len(data) != expected.bytes or hashlib.sha256(data).hexdigest() != expected.sha256:
        raise UntrustedBundle(
            f"{name} is not the file the card was sealed with (its SHA-256 differs)", "copy the bundle again"
        )
    return data


def _check_content(name: str, data: bytes) -> None:
    suffix = Path(name).suffix
    if suffix == ".onnx":
        onnxfile.check(data)
    elif suffix == ".json":
        try:
            json.loads(data)
        except ValueError as error:
            raise UntrustedBundle(f"{name} is not JSON", "make the bundle again") from error
    elif suffix == ".safetensors":
        length = int.from_bytes(data[:8], "little")
        try:
            header = json.loads(data[8 : 8 + length])
        except ValueError:
            header = None
        if len(data) < 8 + length or not isinstance(header, dict):
            raise UntrustedBundle(f"{name} is not a safetensors file", "make the bundle again")
    elif suffix == ".npy" and not arrayfile.plain(data):
        raise UntrustedBundle(f"{name} is no plain array of float32", "make the bundle again")


def _refuse_strangers(folder: Path, files: Mapping[str, FileSeal]) -> None:
    """Refuse a bundle folder that holds more than its card names, reports beside it, and hidden files.

    What may not be there need not be recognised: a pickle hides under any name and in any protocol.
    """
    for path in sorted(folder.iterdir()):
        known = path.name == CARD or path.name in files or path.name.startswith(".")
        if path.is_symlink() or (not known and not (path.is_dir() and path.name in _BESIDE)):
            raise UntrustedBundle(
                f"{path.name} is not named in the card",
                "a bundle holds its card's files, reports/, members/ and no links",
            )
    for path in sorted(p for name in _BESIDE for p in (folder / name).rglob("*") if p.is_file()):
        if path.suffix not in _BESIDE_KINDS and not path.name.startswith("."):
            raise UntrustedBundle(
                f"{path.relative_to(folder).as_posix()} is no report", "reports are JSON, HTML and CSV files"
            )


def _check_promises(card: Card) -> None:
    """A card's thresholds are of this model, its gate holds, and the model's files are there."""
    if not any(Path(name).suffix in _MODEL_KINDS for name in card.files):
        raise UntrustedBundle("the card names no model file", "make the bundle again")
    if card.gate is not None and not card.gate.passed:
        raise UntrustedBundle("the card says that its gate does not hold", "export the bundle again")
    if card.classifies and card.decision not in card.operating_points:
        raise UntrustedBundle(f"the card decides by '{card.decision}' but has no such operating point", "make it again")
    here = model_digest(card.files, card.calibration)
    for rule, point in card.operating_points.items():
        if point.model_digest != here:
            raise UntrustedBundle(
                f"the threshold '{rule}' was fitted for another model", "fit it again on this model's validation scores"
            )
    for what, one in (("calibration", card.calibration), ("abstention", card.abstention), ("novelty", card.novelty)):
        if one is not None and (one.model_digest != here or one.split_digest != card.data.split_digest):
            raise UntrustedBundle(
                f"the {what} was fitted for another model", "calibrate again the bundle this one was calibrated from"
            )
    if card.abstention is not None and set(card.abstention.least) != set(card.abstention.n):
        raise UntrustedBundle("the abstention names other labels than it counts", "calibrate the bundle again")
    if card.novelty is not None and card.novelty.file not in card.files:
        raise UntrustedBundle(f"the bundle lacks its file {card.novelty.file[:60]}", "calibrate the bundle again")
    if card.segments != (card.outline is not None) or (card.outline and card.outline.model_digest != here):
        raise UntrustedBundle("the rule of the masks was fitted for another model", "train or export it again")


def dump(value: Any) -> bytes:
    """Indented JSON bytes of a pydantic model or plain value, for a bundle's JSON file."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return (json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
