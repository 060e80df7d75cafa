"""What the documentation says is so: the help is the help, the README's commands exist, its Python runs."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

import laennec as ln
from laennec.bundle import Bundle
from laennec.cli import run
from laennec.recipe import Recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = ["", "demo", "train", "evaluate", "export", "compare", "predict", "score", "list", "data show"]


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
    monkeypatch.setattr(ln, "export", lambda *a, **k: export(*a, **k, flipped=0.2, auroc_lost=0.05), raising=False)
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
