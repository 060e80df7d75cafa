"""A study: a question, and the runs that answer it, in one strict TOML file.

A run is a recipe by name or path with some of its values changed, or an exported child of an earlier run. What is
refused in a recipe is refused here: unknown or repeated keys, wrong types, NaN.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from laennec.recipe import from_toml, of_section
from laennec.sections import Section

_RUN = re.compile(r"\{([A-Za-z0-9][A-Za-z0-9_-]*)\}")


class Reported(Section):
    """What a report claimed for a run, shown beside ours and called claimed.

    Attributes:
        auroc, accuracy, sensitivity, specificity, f1_macro: shares in [0, 1], on whatever data the report took.
        dice, iou, precision, recall: the same, of masks; what a report calls the F1 of pixels is their Dice.
        seconds: time of its training.
    """

    auroc: float | None = Field(default=None, ge=0.0, le=1.0)
    accuracy: float | None = Field(default=None, ge=0.0, le=1.0)
    sensitivity: float | None = Field(default=None, ge=0.0, le=1.0)
    specificity: float | None = Field(default=None, ge=0.0, le=1.0)
    f1_macro: float | None = Field(default=None, ge=0.0, le=1.0)
    dice: float | None = Field(default=None, ge=0.0, le=1.0)
    iou: float | None = Field(default=None, ge=0.0, le=1.0)
    precision: float | None = Field(default=None, ge=0.0, le=1.0)
    recall: float | None = Field(default=None, ge=0.0, le=1.0)
    seconds: float | None = Field(default=None, gt=0.0)

    def figures(self) -> dict[str, float]:
        """What was claimed, by name."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class Export(Section):
    """How a run is made from its parent; the limits are those of ``laennec export``.

    Attributes:
        backend: the runtime; see ``laennec list backends``.
        precision: of the exported model.
        auroc_lost: largest validation AUROC the gate lets go.
        flipped: largest share of flipped validation decisions.
        ece_gained: largest calibration error the gate lets come in.
        dice_lost: largest validation Dice of the masks the gate lets go.
    """

    backend: str = "onnxruntime"
    precision: Literal["fp32", "bf16", "int8"] = "fp32"
    auroc_lost: float = Field(default=0.002, ge=0.0, le=1.0)
    flipped: float = Field(default=0.01, ge=0.0, le=1.0)
    ece_gained: float = Field(default=0.01, ge=0.0, le=1.0)
    dice_lost: float = Field(default=0.003, ge=0.0, le=1.0)


class Run(Section):
    """One run of a study: a recipe, or an export of another run.

    Attributes:
        name: of the run and its folder.
        recipe: a recipe's path, from the study's folder, or its name.
        set: dotted keys and their values, as ``--set`` takes them; ``"{run}"`` stands for an earlier run's folder.
        export: makes the run from its parent instead of training it.
        of: the parent, an earlier run.
        note, note_fr: what a reader should know of it.
        reported: what a report claimed for it.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    recipe: str = ""
    set: dict[str, Any] = Field(default_factory=dict)
    export: Export | None = None
    of: str = ""
    note: str = ""
    note_fr: str = ""
    reported: Reported = Reported()

    @model_validator(mode="after")
    def _trained_or_exported(self) -> Self:
        if bool(self.recipe) == (self.export is not None):
            raise ValueError("give the run a recipe, or export and of")
        if bool(self.of) != (self.export is not None):
            raise ValueError("export and of go together: of names the run to export")
        if self.export is not None and self.set:
            raise ValueError("an exported run changes nothing in a recipe: set belongs to its parent")
        return self

    @property
    def needs(self) -> frozenset[str]:
        """The earlier runs this one is made from, or whose folders its recipe names."""
        found = [self.of] if self.of else []

        def note(name: str) -> str:
            found.append(name)
            return name

        replaced(self.set, note)
        return frozenset(found)


class Study(Section):
    """A question and its runs.

    Attributes:
        name: the file's, if left out; of the folder of results.
        title, title_fr: of the report.
        question, question_fr: what is asked, in a sentence or two.
        reference: the run the others are tested against; the first, if left out.
        seeds: each run is trained once per seed, and mean and spread are told; none takes each recipe's own seed.
        set: dotted keys and their values, for every run.
        reported_on, reported_on_fr: on which data the claimed figures were measured.
        runs: in the order of the report.
    """

    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    title: str = Field(min_length=1)
    title_fr: str = ""
    question: str = Field(min_length=1)
    question_fr: str = ""
    reference: str = ""
    seeds: tuple[int, ...] = Field(default=(), strict=False)
    set: dict[str, Any] = Field(default_factory=dict)
    reported_on: str = ""
    reported_on_fr: str = ""
    runs: tuple[Run, ...] = Field(min_length=1, strict=False)

    @model_validator(mode="after")
    def _runs_agree(self) -> Self:
        names = [run.name for run in self.runs]
        if len(set(names)) < len(names):
            raise ValueError("two runs have the same name")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds, default=0) < 0:
            raise ValueError("seeds are different whole numbers from 0 on")
        if self.reference and self.reference not in names:
            raise ValueError(f"the reference '{self.reference}' is none of the runs")
        for number, run in enumerate(self.runs):
            strangers = sorted(run.needs - frozenset(names[:number]))
            if strangers:
                raise ValueError(f"'{run.name}' needs '{strangers[0]}', which is no earlier run")
        return self

    @property
    def against(self) -> str:
        """The name of the reference."""
        return self.reference or self.runs[0].name

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Check `values` (as TOML gives them).

        Raises:
            UsageError: an unknown key, a wrong type, a run that names no earlier one; names the key and the known ones.
        """
        return of_section(cls, values, "study")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a TOML study; recipes that lie at a path from its folder are found there.

        Raises:
            UsageError: no such file, not TOML, or not a study.
        """
        study, folder = cls.parse(from_toml(path, "study")), Path(path).parent
        runs = [
            run.model_copy(update={"recipe": str(folder / run.recipe)})
            if run.recipe.endswith(".toml") and (folder / run.recipe).is_file()
            else run
            for run in study.runs
        ]
        return study.model_copy(update={"runs": tuple(runs)})


def replaced(value: Any, folder: Callable[[str], str]) -> Any:
    """`value` with every string ``"{run}"`` inside it replaced by ``folder("run")``.

    Only a whole string counts: a regular expression may well hold braces.
    """
    if isinstance(value, str):
        found = _RUN.fullmatch(value)
        return folder(found[1]) if found else value
    if isinstance(value, Mapping):
        return {key: replaced(inner, folder) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [replaced(inner, folder) for inner in value]
    return value
