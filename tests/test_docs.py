"""What the documentation says is so: the help is the help, the README's commands exist, its Python runs."""

from __future__ import annotations

import inspect
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

import laennec as ln
from conftest import LOOSE
from laennec import family
from laennec import recipe as recipe_module
from laennec.bundle import Bundle
from laennec.cli import app, run
from laennec.recipe import Recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _commands(group: Any, before: tuple[str, ...] = ()) -> list[str]:
    """Every command below a click group, groups of commands left out, in the order they are shown."""
    found = []
    for name, command in group.commands.items():
        words = (*before, name)
        found += _commands(command, words) if hasattr(command, "commands") else [" ".join(words)]
    return found


COMMANDS = ["", *_commands(typer.main.get_command(app))]


def test_the_help_in_the_docs_is_the_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`LAENNEC_UPDATE=1` writes docs/cli.md anew."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERMINAL_WIDTH", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.argv", ["laennec"])
    lines = ["# Commands", "", "Made by `LAENNEC_UPDATE=1 pytest tests/test_docs.py`.", ""]
    for command in COMMANDS:
        assert run([*command.split(), "--help"]) == 0
        text = "\n".join(line.rstrip() for line in capsys.readouterr().out.strip().splitlines())
        lines += [f"## laennec {command}".rstrip(), "", "```text", text, "```", ""]
    page = ROOT / "docs" / "cli.md"
    made = "\n".join(lines)
    if os.environ.get("LAENNEC_UPDATE"):
        page.write_text(made, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == made


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Field to its text in the class docstring's Attributes section."""
    found: dict[str, str] = {}
    text = inspect.getdoc(model) or ""
    body = text.partition("Attributes:")[2]
    for entry in re.split(r"\n(?= {0,4}[a-z_]+(?:, [a-z_]+)*: )", body):
        names, _, meaning = entry.strip().partition(": ")
        for name in names.split(", "):
            found[name] = " ".join(meaning.split())
    return found


def rows(model: type[BaseModel]) -> list[str]:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    told = meanings(model)
    for name, field in model.model_fields.items():
        kind = str(field.annotation).replace("typing.", "").removeprefix("<class '").removesuffix("'>")
        kind = kind.rpartition(".")[2] if "Literal" not in kind and "[" not in kind else kind
        kind = re.sub(r"[a-z]+\.[a-z._]*(?=[A-Z])", "", kind).replace("|", "or")
        limits = limits_in(str(field.metadata))
        if inner := re.search(r"Annotated\[(\w+), FieldInfo\(.*?metadata=\[(.*?)\]\)\]", kind):
            kind = kind.replace(inner[0], inner[1])
            limits += [f"each {' and '.join(limits_in(inner[2]))}"]
        default = "needed" if field.is_required() else f"`{field.get_default()!r}`" if field.default is not None else ""
        lines.append(f"| `{name}` | {', '.join([kind, *limits])} | {default} | {told.get(name, '')} |")
    return lines


SIGNS = {"Ge": "≥", "Gt": ">", "Le": "≤", "Lt": "<"}


def limits_in(metadata: str) -> list[str]:
    """``["≥ 1"]`` of ``[Ge(ge=1)]``."""
    return [f"{SIGNS[sign]} {bound}" for sign, bound in re.findall(r"\b(G[te]|L[te])\(\w+=([^)]+)\)", metadata)]


def test_the_recipe_reference_is_made_from_the_recipe() -> None:
    """`LAENNEC_UPDATE=1` writes docs/recipes.md anew."""
    lines = [
        "# Recipes",
        "",
        "Made by `LAENNEC_UPDATE=1 pytest tests/test_docs.py` from the classes that check a recipe. A recipe is one",
        "TOML file; unknown keys are refused. `--set section.key=value` changes a value on the command line.",
        "",
        "At the top: `seed` (of the training), `description`, `name` (the file's, if left out).",
        "",
    ]
    sections = {"split": "Parting", "preprocess": "Preprocess", "head": "Head", "[phases]": "Phase"}
    sections |= {"training": "Training", "augmentation": "Augmentation", "decision": "Decision"}
    sections |= {"teacher": "Teacher", "ensemble": "Ensemble", "[members]": "Member", "ranges.KEY": "Range"}
    for section, name in sections.items():
        model = getattr(recipe_module, name)
        first = (inspect.getdoc(model) or "").partition("\n\n")[0].replace("\n", " ")
        lines += [f"## [{section}]", "", first, "", *rows(model), ""]
    for kind, section in (("datasets", "data"), ("models", "model")):
        for name in family.names(kind):
            lines += [f'## [{section}] name = "{name}"', "", family.summary(kind, name), ""]
            lines += [*rows(family.member(kind, name).Options), ""]
    made = "\n".join(lines)
    page = ROOT / "docs" / "recipes.md"
    if os.environ.get("LAENNEC_UPDATE"):
        page.write_text(made, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == made


def test_the_readmes_commands_and_options_exist(capsys: pytest.CaptureFixture[str]) -> None:
    calls = re.findall(r"^ {4}laennec (.+?)(?: {2,}#.*)?$", README, re.MULTILINE)
    assert len(calls) >= 8
    for call in calls:
        words = call.split()
        command = words[:2] if words[0] == "data" else words[:1]
        assert " ".join(command) in COMMANDS
        assert run([*command, "--help"]) == 0
        said = capsys.readouterr().out
        assert all(word in said for word in words if word.startswith("--")), call


def test_the_readmes_python_runs(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trained: Bundle
) -> None:
    """As written, but for the data: the recipe it reads is a tiny one."""
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    read = trained.recipe
    monkeypatch.setattr(Recipe, "read", lambda *_: read)
    export = ln.export
    monkeypatch.setattr(ln, "export", lambda *a, **k: export(*a, **k, limits=LOOSE), raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(pictures / "sick" / "p001_0.png", tmp_path / "chest.dcm")
    exec(compile(code[1], "README.md", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out.strip().endswith("True")


def test_the_readmes_toml_is_a_data_section() -> None:
    import tomllib

    from laennec.datasets import folder

    block = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert block is not None
    data = tomllib.loads(block[1])["data"]
    assert data.pop("name") == "folder"
    assert folder.Options.model_validate(data, strict=False).patient


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"
