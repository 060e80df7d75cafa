"""MLflow's own page in a browser shows runs side by side. Slow, and apart: the page comes with the whole of MLflow.
docs/tracking.md gives the command.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import laennec as ln
from conftest import tiny_recipe
from laennec import evaluation, tracking
from laennec.trackers import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trainings tracked beside one another."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    folder = tmp_path_factory.mktemp("tracked")
    for name, rate in (("slow-steps", 1e-3), ("long-steps", 1e-2)):
        recipe = tiny_recipe(pictures, phases=[{"epochs": 4, "learning_rate": rate}])
        bundle = ln.train(recipe, folder / name)
        with tracking.start(["mlflow"], Run(name, "spots", bundle.path, recipe)) as trackers:
            for step, entry in enumerate(evaluation.history(bundle), 1):
                trackers.epoch(entry, step)
            trackers.bundle(bundle)
            trackers.report(ln.evaluate(bundle))
    return folder


@pytest.fixture(scope="module")
def page(runs: Path) -> Iterator[str]:
    """Address of MLflow's page over those runs."""
    beside = str(Path(sys.executable).parent)
    program = os.environ.get("LAENNEC_MLFLOW") or shutil.which("mlflow", path=beside) or shutil.which("mlflow")
    if program is None:
        pytest.skip(reason="no program `mlflow`: set LAENNEC_MLFLOW to that of an environment with the whole of MLflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = f"sqlite:///{(runs / 'mlflow.db').as_posix()}"
    command = [program, "server", "--backend-store-uri", store, "--port", str(port), "--workers", "1"]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (runs / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(240):
            if server.poll() is not None:
                pytest.skip(reason="this `mlflow` cannot serve: LAENNEC_MLFLOW needs the whole of MLflow")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
                    if b"<div id=" not in answer.read():
                        pytest.skip(reason="this `mlflow` serves no page: LAENNEC_MLFLOW needs the whole of MLflow")
                break
            except urllib.error.HTTPError:
                pytest.skip(reason="this `mlflow` answers with an error: LAENNEC_MLFLOW needs the whole of MLflow")
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail((runs / "server.log").read_text()[-2000:])
        yield f"http://127.0.0.1:{port}"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, 15)
            server.wait(20)


def look(address: str, folder: Path, name: str) -> str:
    """The page's document once its scripts have run; a picture of it is left as ``name.png``."""
    browser = os.environ.get("LAENNEC_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip(reason="no browser: install chromium, or set LAENNEC_CHROMIUM")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1500,1800"]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=30000"]
    subprocess.run(
        [*command, f"--screenshot={folder / name}.png", address], capture_output=True, timeout=300, check=True
    )
    done = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=300, check=True)
    return done.stdout


def test_the_page_shows_two_runs_side_by_side(page: str, runs: Path) -> None:
    notes = [runs / name / "reports" / "mlflow.json" for name in ("slow-steps", "long-steps")]
    identities = [json.loads(note.read_text())["run"] for note in notes]
    listed = look(f"{page}/#/experiments/1/runs", runs, "runs")
    assert "slow-steps" in listed and "long-steps" in listed
    chosen = json.dumps(identities).replace('"', "%22").replace(" ", "")
    compared = look(f"{page}/#/compare-runs?runs={chosen}&experiments=[%221%22]", runs, "compared")
    words = re.sub(r"<[^>]+>", " ", compared)
    assert "slow-steps" in words and "long-steps" in words
    assert "test/auroc_low" in words and "phases.0.learning_rate" in words
