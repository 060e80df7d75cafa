"""From a bare Python to a running laennec: ``python3 bootstrap.py demo``, then ``python3 bootstrap.py test``.

Makes ``.venv`` beside this file, installs the versions locked with hashes in ``requirements/dev.txt``, then runs what
was asked. Needs Python 3.11 to 3.13 and a package index, nothing else. A second run installs nothing.

    demo    the whole line on synthetic radiographs
    test    the test suite (under 12 minutes on two cores)
    check   lint, formatting, types
    core    a second environment with the core and the dicom extra alone, and the proof that it predicts without torch;
            then the extras of the service, and the proof that it serves
    setup   only the environment
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCKED = ROOT / "requirements" / "dev.txt"
CORE = ROOT / "requirements" / "core.txt"
SERVE = ROOT / "requirements" / "serve.txt"


def script(folder: Path, name: str) -> str:
    """Path of a program inside an environment."""
    return str(folder / ("Scripts" if os.name == "nt" else "bin") / (name + (".exe" if os.name == "nt" else "")))


def run(*command: str) -> None:
    """Run a command in the checkout; leave with its exit code if it fails."""
    done = subprocess.run(command, cwd=ROOT, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(done.returncode)


def environment(folder: Path, requirements: Path, editable: bool) -> None:
    """Make `folder` hold exactly `requirements` and laennec, unless it does already."""
    stamp = folder / "laennec-installed"
    wanted = hashlib.sha256(requirements.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print(f"installing {requirements.name} into {folder.name} (a few minutes the first time)", file=sys.stderr)
    venv.create(folder, with_pip=True)
    with tempfile.TemporaryDirectory() as name:
        # uv alone first, by its own locked hashes: it installs the rest in a tenth of pip's time.
        pinned = re.search(r"^uv==.*(?:\n {4}.*)*", LOCKED.read_text(), re.MULTILINE)
        if pinned is None:
            sys.exit(f"error: uv is not locked in {LOCKED.name}\nhint:  make the file again (docs/dependencies.md)")
        alone = Path(name) / "uv.txt"
        alone.write_text(pinned[0] + "\n")
        run(script(folder, "python"), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(alone))
    uv, python = script(folder, "uv"), script(folder, "python")
    run(uv, "pip", "install", "-q", "--python", python, "--require-hashes", "-r", str(requirements))
    how = ["--no-build-isolation", "-e", "."] if editable else ["."]
    run(uv, "pip", "install", "-q", "--python", python, "--no-deps", *how)
    stamp.write_text(wanted)


def core_predicts_without_torch() -> None:
    """Train and export in the full environment; open, predict and score in one that has no torch."""
    full, bare = ROOT / ".venv", ROOT / ".venv-core"
    environment(bare, CORE, editable=False)
    with tempfile.TemporaryDirectory() as name:
        run(script(full, "python"), "tests/core_environment.py", "make", name)
        run(script(bare, "python"), "tests/core_environment.py", "use", name)
        serving = ROOT / ".venv-serve"
        environment(serving, SERVE, editable=False)
        run(script(serving, "python"), "tests/core_environment.py", "serve", name)


def main() -> None:
    """Do what the command line asks."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit("error: laennec needs Python 3.11, 3.12 or 3.13\nhint:  run this with another interpreter")
    what, *rest = sys.argv[1:] or ["help"]
    full = ROOT / ".venv"
    actions = {
        "setup": [],
        "demo": [[script(full, "laennec"), "demo", *rest]],
        "test": [[script(full, "python"), "-m", "pytest", "-n", "2", "--dist", "worksteal", *rest]],
        "check": [
            [script(full, "ruff"), "check", "."],
            [script(full, "ruff"), "format", "--check", "."],
            [script(full, "mypy")],
        ],
        "core": [],
    }
    if what not in actions:
        sys.exit(__doc__)
    environment(full, LOCKED, editable=True)
    for command in actions[what]:
        run(*command)
    if what == "core":
        core_predicts_without_torch()


if __name__ == "__main__":
    main()
