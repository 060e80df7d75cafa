"""What a site asks of a model before it may be used, and how a model stands to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from laennec.checks import Verdict
from laennec.estimates import Estimate
from laennec.noun import Noun
from laennec.recipe import explain, from_toml
from laennec.wording import Text

COSTS = ("latency", "throughput", "megabytes", "peak_megabytes", "watt_hours", "grams", "parameters", "operations")


class Condition(Noun):
    """A bound on a figure.

    Attributes:
        least, most: of the figure, both included; one of them or both.
        by: what of the figure is held against them: its ``value``, or the ``low`` or ``high`` end of its 95 % interval.
            A site that wants to be sure asks ``low`` of what should be large and ``high`` of what should be small.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    least: float | None = None
    most: float | None = None
    by: Literal["value", "low", "high"] = "value"

    @model_validator(mode="before")
    @classmethod
    def _is_bounds(cls, values: Any) -> Any:
        if isinstance(values, int | float | str):
            raise ValueError(f"say which way it bounds: {{ least = {values} }} or {{ most = {values} }}")
        return values

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.least is None and self.most is None:
            raise ValueError("needs least, most or both")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least {self.least} is above most {self.most}: nothing can pass")
        return self

    def holds(self, found: Estimate) -> bool:
        """Whether the figure keeps it; False for one without a value or without the bound asked for."""
        seen = getattr(found, self.by)
        if seen is None:
            return False
        return (self.least is None or seen >= self.least) and (self.most is None or seen <= self.most)


class Policy(Noun):
    """Conditions under which a site takes a model, read from a TOML file.

    Attributes:
        part: whose report is asked: ``test``, or ``val`` while a model is still being chosen.
        audit_part: likewise, of the model's audit.
        report: by figure of the report: ``auroc``, ``sensitivity``, ``specificity``, ``ece``, ``dice`` …
        audit: by check, then by figure of the model's audit: ``shortcuts.lungs_out``, ``subgroups.worst_sensitivity``.
        verdicts: by check, the worst verdict allowed: ``pass``, ``note`` or ``warn``. What is not known does not pass:
            a check that could not be looked at (``skipped``) passes only where that is allowed by name, as in
            ``["warn", "skipped"]``.
        cost: by figure, see `COSTS`: milliseconds of one image and images a second on all threads, MB of the files and
            of memory, watt hours and grams of CO2e of 1,000 studies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    description: str = ""
    part: Literal["val", "test"] = "test"
    audit_part: Literal["val", "test"] = "val"
    report: dict[str, Condition] = Field(default_factory=dict)
    audit: dict[str, dict[str, Condition]] = Field(default_factory=dict)
    verdicts: dict[str, tuple[Verdict, ...]] = Field(default_factory=dict)
    cost: dict[str, Condition] = Field(default_factory=dict)

    @field_validator("verdicts", mode="before")
    @classmethod
    def _one_or_several(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: (told,) if isinstance(told, str) else told for name, told in values.items()}

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not (self.report or self.audit or self.verdicts or self.cost):
            raise ValueError("it sets no condition, and any model would pass")
        strangers = [name for name in self.cost if name not in COSTS]
        if strangers:
            raise ValueError(f"no cost named '{strangers[0]}'; known: {', '.join(COSTS)}")
        return self

    @classmethod
    def read(cls, path: str | Path) -> Policy:
        """Read a policy. Raises `UsageError` for no such file, no TOML, an unknown key or a value that cannot be."""
        values = from_toml(path, "policy")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise explain(error, cls, Path(path).name) from error


class Ruling(Noun):
    """One condition held against a model.

    Attributes:
        figure: ``report.sensitivity``, ``audit.shortcuts.lungs_out``, ``verdicts.corruption``, ``cost.latency``.
        asked: the bound, as it is told.
        found: the figure; None of a verdict, and where it is not there: what is not known does not pass.
        why: in words.
    """

    figure: str
    asked: str
    found: Estimate | None
    passed: bool
    why: Text


class Clearance(Noun):
    """How a model stands to a policy."""

    version: Literal[1] = 1
    policy: Policy
    model: str
    bundle_digest: str
    rulings: tuple[Ruling, ...]
    made: str
    hardware: str
    laennec: str

    @property
    def passed(self) -> bool:
        """Whether every condition holds."""
        return all(ruling.passed for ruling in self.rulings)
