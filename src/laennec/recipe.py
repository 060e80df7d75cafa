"""A recipe: everything a training depends on, in one strict TOML file.

Unknown or repeated keys, wrong types and NaN are refused with the key and the known ones; nothing in a recipe can
import code. Knows the families only by name: each member checks its own options.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Self, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from laennec import family, work
from laennec.errors import UsageError
from laennec.outputs import MASKS
from laennec.preprocess import Preprocess
from laennec.sections import (
    Augmentation,
    Decision,
    Ensemble,
    Head,
    Member,
    Parting,
    Phase,
    Range,
    Section,
    Segmentation,
    Teacher,
    Training,
)
from laennec.storage import digest

_M = TypeVar("_M", bound=BaseModel)


class _Choice(Section):
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
    checked = of_section(options_type, options, f"{_SECTION_OF[kind]} ({value['name']})")
    return {"name": value["name"], "options": checked.model_dump(mode="json")}


_SECTION_OF = {"datasets": "data", "models": "model"}


class Data(_Choice):
    """A data set by name, with its options."""


class Model(_Choice):
    """A model by name, with its options."""


class Recipe(Section):
    """Everything a training depends on."""

    name: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$")
    description: str = ""
    seed: int = Field(default=0, ge=0, lt=2**31)
    task: str = "classify"
    data: Data
    split: Parting = Parting()
    preprocess: Preprocess = Preprocess()
    model: Model
    head: Head = Head()
    phases: tuple[Phase, ...] = Field(min_length=1, strict=False)
    training: Training = Training()
    segmentation: Segmentation = Segmentation()
    augmentation: Augmentation = Augmentation()
    decision: Decision = Decision()
    teacher: Teacher = Teacher()
    ensemble: Ensemble = Ensemble()
    members: tuple[Member, ...] = Field(default=(), strict=False)
    ranges: dict[str, Range] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _without_what_is_not_used(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # recipes from before these keys keep their digests
        plain: dict[str, Any] = serialise(self)
        if self.task == "classify":
            plain.pop("task", None)
        if self.segmentation == Segmentation():
            plain.pop("segmentation", None)
        return plain

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        names = [member.name for member in self.members]
        if len(set(names)) < len(names):
            raise ValueError("two members have the same name")
        if self.members and self.teacher.bundle:
            raise ValueError("an ensemble has no teacher of its own: give its members one")
        if self.training.balance == "smote" and (self.augmentation.mixup or self.teacher.bundle):
            raise ValueError("smote needs one certain label an image: no mixup, no teacher")
        self._tasks_agree()
        if self.training.balance == "smote" and not any(phase.views for phase in self.phases):
            raise ValueError("smote works on kept embeddings: give a phase views, or take another balance")
        return self

    def _tasks_agree(self) -> None:
        answers = work.check(self.task)
        both, segments = len(answers) > 1, MASKS in answers
        if self.training.monitor == "dice" and not segments:
            raise ValueError(f"the task '{self.task}' has no Dice: set training.monitor to loss or auroc")
        if self.training.monitor == "auroc" and segments and not both:
            raise ValueError(f"the task '{self.task}' has no AUROC: set training.monitor to loss or dice")
        if self.head.attention and not both:
            raise ValueError("head.attention needs a network that classifies and segments")
        if not segments:
            return
        if self.preprocess.locator:
            raise ValueError("a network that finds the lungs reads whole pictures: leave out what the lungs frame")
        if self.members or self.teacher.bundle:
            raise ValueError("ensembles and teachers are for label probabilities alone")
        if self.augmentation.mixup:
            raise ValueError("mixup blends labels, and a mask of two patients is none: set augmentation.mixup = 0")
        if any(phase.train == "head" for phase in self.phases):
            raise ValueError("what draws masks is no part of the head: let phases.train name a part of the backbone")

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
        return of_section(cls, values, "recipe")

    @classmethod
    def read(cls, path: str | Path, changes: Sequence[str] = ()) -> Self:
        """Read a TOML recipe; `changes` are ``key=value`` with dotted keys and TOML values, as ``--set`` takes them.

        Raises:
            UsageError: no such file, not TOML, or not a recipe.
        """
        values = from_toml(path, "recipe")
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

    def changed(self, values: Mapping[str, Any]) -> Self:
        """A copy with other values under dotted keys, as ``--set`` takes them.

        Raises:
            UsageError: a key that leads nowhere, or a value that is refused.
        """
        own = self.model_dump(mode="json")
        for key, value in values.items():
            _set(own, key.split("."), value, key)
        return type(self).parse(own)

    def of_members(self) -> dict[str, Self]:
        """The recipe of each member of the ensemble, by the member's name."""
        alone = self.replace(members=[], ranges={})
        return {m.name: alone.changed({"name": f"{self.name}.{m.name}", **m.set}) for m in self.members}

    def to_toml(self) -> str:
        """The recipe as TOML that `read` takes, every default filled in."""
        return toml_of(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe with every default filled in."""
        return digest(self.model_dump(mode="json"))


def data_of(name: str, options: Sequence[str]) -> Data:
    """A data set by name with options ``key=value``, as a recipe's ``[data]`` would name it.

    Raises:
        UnknownName: there is no such data set.
        UsageError: it takes no such option, or not that value.
    """
    values: dict[str, Any] = {"name": name}
    for option in options:
        apply_change(values, option)
    return Data.model_validate(_choice("datasets", values))


def from_toml(path: str | Path, what: str) -> dict[str, Any]:
    """The values of a TOML file; where it gives no ``name``, that is the file's, other signs made hyphens.

    Args:
        what: the file's kind, as an error calls it: "recipe" or "study".

    Raises:
        UsageError: no such file, or not TOML.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}", "give the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path.name} is not valid TOML: {error}", "correct that line") from error
    values.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem))
    return values


def toml_of(values: Mapping[str, Any]) -> str:
    """Nested plain values as TOML; None is left out."""
    plain = {k: v for k, v in values.items() if not isinstance(v, Mapping) and not _is_tables(v) and v is not None}
    lines = [f"{k} = {_inline(v)}" for k, v in plain.items()]
    for key, value in values.items():
        if key in plain or value is None:
            continue
        for table in [value] if isinstance(value, Mapping) else value:
            header = f"[{key}]" if isinstance(value, Mapping) else f"[[{key}]]"
            lines += ["", header, *(f"{_key(k)} = {_inline(v)}" for k, v in table.items() if v is not None)]
    return "\n".join(lines) + "\n"


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_inline(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inline(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


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
    except (tomllib.TOMLDecodeError, RecursionError):
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


def of_section(section: type[_M], values: Mapping[str, Any], where: str) -> _M:
    """One section from plain values. Raises `UsageError` that names the key and the known ones."""
    try:
        return section.model_validate(dict(values))
    except ValidationError as error:
        raise explain(error, section, where) from error


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
        return UsageError(f"{where}: unknown key '{key[:80]}'{more}. Known: {', '.join(known)}", hint)
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
