"""A recipe: everything a training depends on, in one strict TOML file.

Unknown or repeated keys, wrong types and NaN are refused with the key and the known ones; nothing in a recipe can
import code. Knows the families only by name: each member checks its own options.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_serializer, model_validator

from laennec import family
from laennec.errors import UsageError
from laennec.preprocess import Preprocess
from laennec.storage import digest


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class _Choice(_Section):
    """A member of a family by name, with the options that member declares."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"name": self.name, **self.options}


def _choice(kind: str, value: Any) -> dict[str, Any]:
    """Check `{"name": …, option: …}` against the member's own `Options` and fill in its defaults."""
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise UsageError(f"[{_SECTION_OF[kind]}] needs a name", f"known: {', '.join(family.names(kind))}")
    options_type = family.member(kind, value["name"]).Options
    options = {key: option for key, option in value.items() if key != "name"}
    try:
        checked = options_type.model_validate(options)
    except ValidationError as error:
        raise explain(error, options_type, f"{_SECTION_OF[kind]} ({value['name']})") from error
    return {"name": value["name"], "options": checked.model_dump(mode="json")}


_SECTION_OF = {"datasets": "data", "models": "model"}


class Data(_Choice):
    """A data set by name, with its options."""


class Model(_Choice):
    """A model by name, with its options."""


class Head(_Section):
    """What turns a backbone's features into one output per label.

    Attributes:
        hidden: sizes of dense layers (ReLU) before the last one; none makes a linear head, [1024, 512] R4's.
        dropout: chance of dropping a feature before each dense layer.
    """

    hidden: tuple[int, ...] = Field(default=(), strict=False)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)


class Parting(_Section):
    """How the parts a publisher does not fix are drawn, always by patient and stratified by the positive finding.

    Attributes:
        validation: share of the training patients set apart for choices, where no official validation part exists.
        test: share of all patients set apart for the test, where no official test part exists.
        seed: seed of the draw, apart from the training's seed so that several seeds share one split.
    """

    validation: float = Field(default=0.15, gt=0.0, lt=0.9)
    test: float = Field(default=0.2, gt=0.0, lt=0.9)
    seed: int = Field(default=0, ge=0)


class Phase(_Section):
    """A stretch of training with one choice of what learns.

    Attributes:
        name: what the history and the curves call it.
        epochs: passes over the training part.
        train: ``all``; ``head``: the backbone is frozen, its batch-norm statistics included; or the head and the end of
            the backbone, from the n-th last convolution, layer with weights, or stage on: ``last_convs:2``,
            ``last_layers:20``, ``last_stages:1``.
        learning_rate: peak of the cosine schedule.
        warmup: share of the phase's steps in which the rate rises linearly from 0.
        patience: epochs without a better validation figure before the phase ends; 0 never ends early.
    """

    name: str = "training"
    train: str = Field(default="all", pattern=r"^(all|head|last_(convs|layers|stages):[1-9][0-9]{0,3})$")
    epochs: int = Field(ge=1, le=10_000)
    learning_rate: float = Field(gt=0.0, le=10.0)
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    patience: int = Field(default=0, ge=0)


class Training(_Section):
    """The loop.

    Attributes:
        batch_size: images a step; the last, incomplete batch of an epoch is left out.
        optimiser: AdamW, or SGD with Nesterov momentum 0.9.
        label_smoothing: share of the target spread over the other labels.
        weight_decay: decoupled, not applied to biases and normalisation.
        balance: ``class_weights`` weighs the loss by inverse class frequency in the training part.
        ema: decay of the exponential moving average of the weights that is validated and kept; 0 keeps the raw weights.
        clip: largest norm of the gradient; 0 does not clip.
        precision: ``fp32``, or mixed precision in ``bf16`` or ``fp16`` (CUDA and MPS; bf16 also on CPU).
        monitor: validation figure that picks the kept epoch; the first of equals wins.
        threads: CPU threads of the training; bit-for-bit repeats need the same number. 0 takes all cores.
        device: ``auto`` takes CUDA, then MPS, then CPU.
    """

    batch_size: int = Field(default=64, ge=2, le=4096)
    optimiser: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = Field(default=0.05, ge=0.0, le=1.0)
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    balance: Literal["none", "class_weights"] = "class_weights"
    ema: float = Field(default=0.0, ge=0.0, lt=1.0)
    clip: float = Field(default=5.0, ge=0.0)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    monitor: Literal["loss", "auroc"] = "loss"
    threads: int = Field(default=0, ge=0, le=1024)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


class Augmentation(_Section):
    """Random changes of training images, drawn per image. Zero everywhere means none.

    Attributes:
        rotation: largest turn either way, degrees.
        zoom, aspect: largest relative change of scale and of width to height.
        shift: largest displacement, share of the side.
        flip: chance of a left-right flip. It puts the heart on the right: off unless asked for.
        gamma, contrast: largest relative change, drawn log-uniformly.
        brightness: largest addition, in units of the full grey range.
        blur: chance of a 3x3 box blur.
        noise: largest standard deviation of added Gaussian noise, share of the full grey range.
        erase: chance that a rectangle of 10 to 30 % of each side is painted over with one grey.
    """

    rotation: float = Field(default=0.0, ge=0.0, le=180.0)
    zoom: float = Field(default=0.0, ge=0.0, lt=1.0)
    aspect: float = Field(default=0.0, ge=0.0, lt=1.0)
    shift: float = Field(default=0.0, ge=0.0, le=0.5)
    flip: float = Field(default=0.0, ge=0.0, le=1.0)
    gamma: float = Field(default=0.0, ge=0.0, lt=1.0)
    contrast: float = Field(default=0.0, ge=0.0, lt=1.0)
    brightness: float = Field(default=0.0, ge=0.0, lt=1.0)
    blur: float = Field(default=0.0, ge=0.0, le=1.0)
    noise: float = Field(default=0.0, ge=0.0, lt=1.0)
    erase: float = Field(default=0.0, ge=0.0, le=1.0)


class Decision(_Section):
    """Which operating point the model decides at; its threshold is fitted on validation, never on test."""

    rule: Literal["balanced", "rule_out", "rule_in"] = "balanced"


class Recipe(_Section):
    """Everything a training depends on."""

    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    description: str = ""
    seed: int = Field(default=0, ge=0, lt=2**31)
    data: Data
    split: Parting = Parting()
    preprocess: Preprocess = Preprocess()
    model: Model
    head: Head = Head()
    phases: tuple[Phase, ...] = Field(min_length=1, strict=False)
    training: Training = Training()
    augmentation: Augmentation = Augmentation()
    decision: Decision = Decision()

    @model_validator(mode="before")
    @classmethod
    def _members_check_their_options(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        checked = dict(values)
        for kind, section in _SECTION_OF.items():
            if section in checked and not isinstance(checked[section], _Choice):
                checked[section] = _choice(kind, checked[section])
        return checked

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Check `values` (as TOML gives them).

        Raises:
            UsageError: an unknown key, a wrong type, a value out of range; names the key and the known ones.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise explain(error, cls, "recipe") from error

    @classmethod
    def read(cls, path: str | Path, changes: Sequence[str] = ()) -> Self:
        """Read a TOML recipe; `changes` are ``key=value`` with dotted keys and TOML values, as ``--set`` takes them.

        Raises:
            UsageError: no such file, not TOML, or not a recipe.
        """
        path = Path(path)
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise UsageError(f"cannot read the recipe {path}", "give the path of a TOML file") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path.name} is not valid TOML: {error}", "correct that line") from error
        values.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem))
        for change in changes:
            apply_change(values, change)
        return cls.parse(values)

    def replace(self, **changes: Any) -> Self:
        """A copy with other values; dotted keys are written with double underscores (``data__root=…``).

        ``epochs=n`` sets the epochs of the last phase.
        """
        values = self.model_dump(mode="json")
        for key, value in changes.items():
            if key == "epochs":
                values["phases"][-1]["epochs"] = value
            else:
                _set(values, key.split("__"), value, key)
        return type(self).parse(values)

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe with every default filled in."""
        return digest(self.model_dump(mode="json"))


def apply_change(values: dict[str, Any], change: str) -> None:
    """Apply ``key=value`` to nested `values` in place. A value that is not TOML is taken as a string.

    Raises:
        UsageError: no ``=``, an empty key, or a key inside something that is not a section.
    """
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"'{change}' is not key=value", "write for example --set training.batch_size=32")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    _set(values, [part.strip() for part in key.split(".")], value, key)


def _set(values: Any, path: list[str], value: Any, key: str) -> None:
    for step in path[:-1]:
        if isinstance(values, list) and step.isdigit() and int(step) < len(values):
            values = values[int(step)]
        elif isinstance(values, dict):
            values = values.setdefault(step, {})
        else:
            raise UsageError(f"'{key}' does not lead to a value", "sections are joined by dots: phases.0.epochs=3")
    if isinstance(values, list) and path[-1].isdigit() and int(path[-1]) < len(values):
        values[int(path[-1])] = value
    elif isinstance(values, dict):
        values[path[-1]] = value
    else:
        raise UsageError(f"'{key}' does not lead to a value", "sections are joined by dots: phases.0.epochs=3")


def explain(error: ValidationError, model: type[BaseModel], where: str) -> UsageError:
    """The most telling fault of a pydantic error as a `UsageError` that names the key and the known ones."""
    faults = error.errors()
    # A misspelt key is also a missing one; the misspelling is what to tell.
    fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
    path = [str(part) for part in fault["loc"]]
    key = ".".join(path)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if fault["type"] == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.7)
        hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known) or 'nothing'}"
        return UsageError(f"{where}: unknown key '{key}'{more}. Known: {', '.join(known)}", hint)
    missing = [".".join(map(str, f["loc"])) for f in faults if f["type"] == "missing"]
    if fault["type"] == "missing":
        what = ", ".join(f"'{name}'" for name in missing)
        return UsageError(f"{where}: {what}: field required", f"add {what}; docs/recipes.md and recipes/ show how")
    message = fault["msg"].removeprefix("Value error, ")
    message = message.replace("a valid tuple", 'a list ["…", "…"]')
    given = f", not {str(fault['input'])[:60]!r}"
    return UsageError(f"{where}: '{key}': {message}{given}{more}", f"correct '{path[-1] if path else where}'")


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    for step in path:
        if step.isdigit():
            continue
        annotation = model.model_fields[step].annotation if step in model.model_fields else None
        found = _inner_model(annotation)
        if found is None:
            return []
        model = found
    return sorted(model.model_fields)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is not None or isinstance(annotation, UnionType):
        for inner in get_args(annotation):
            found = _inner_model(inner)
            if found is not None:
                return found
    return None
