"""Trackers: what they write, that they take up a resumed run, and that none of them stops a training."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sqlite3
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import laennec as ln
from laennec import evaluation, family, tracking
from laennec.bundle import Bundle, open_bundle
from laennec.errors import MissingExtra, UnknownName, UsageError
from laennec.results import Epoch, Report
from laennec.trackers import Run, curves, figures, settings
from laennec.trackers import jsonl as lines


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def judged(trained: Bundle) -> Report:
    return ln.evaluate(trained, "test")


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database before any run: making its tables takes the longest of all."""
    from laennec.trackers import mlflow as member

    os.environ.update(member._QUIET)  # `own_cache` puts the environment back
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path.as_posix()}").search_experiments()
    return path


@pytest.fixture
def run(tmp_path: Path, trained: Bundle, judged: Report) -> Run:
    """A run whose folder is a copy of the trained bundle, alone in its parent."""
    folder = tmp_path / "runs" / "tiny"
    shutil.copytree(trained.path, folder)
    for left in (folder / "reports").glob("*.jsonl"):
        left.unlink()
    return Run("tiny", "spots", folder, trained.recipe, tags={"study": "none"})


def tell(names: list[str], run: Run, report: Report, epochs: range = range(1, 7), resumed: bool = False) -> None:
    """A whole run: epochs, the sealed bundle, a report."""
    bundle = open_bundle(run.folder)
    history = evaluation.history(bundle)
    again = Run(run.name, run.experiment, run.folder, run.recipe, resumed, run.tags)
    with tracking.start(names, again) as trackers:
        for step in epochs:
            trackers.epoch(history[step - 1], step)
        trackers.bundle(bundle)
        trackers.report(report)


def events(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.reports / "training.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", family.names("trackers"))
def test_every_tracker_takes_a_run_and_its_resume_and_tells_no_samples_name(
    name: str,
    run: Run,
    judged: Report,
    empty_store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Contract: cut after four epochs, resumed at the fourth, nothing to complain of, the bundle still opens."""
    shutil.copy(empty_store, run.shared)
    monkeypatch.delenv("LAENNEC_QUIET")
    before = {path: path.read_bytes() for path in run.shared.rglob("*") if path.is_file()}
    with pytest.raises(KeyboardInterrupt), tracking.start([name], run) as trackers:
        for step, entry in enumerate(evaluation.history(open_bundle(run.folder))[:4], 1):
            trackers.epoch(entry, step)
        raise KeyboardInterrupt
    tell([name], run, judged, range(4, 7), resumed=True)
    assert "warning" not in capsys.readouterr().err
    assert open_bundle(run.folder).digest == judged.bundle_digest
    written = [path for path in run.shared.rglob("*") if path.is_file() and before.get(path) != path.read_bytes()]
    assert written
    for path in written:
        if path.name != "report.html":
            assert not any(sample.encode() in path.read_bytes() for sample in judged.scores), path


def test_jsonl_is_always_on_and_tells_what_came_again(run: Run, judged: Report) -> None:
    tell([], run, judged, range(1, 5))
    tell([], run, judged, range(4, 7), resumed=True)
    found = events(run)
    assert [line["event"] for line in found if line["event"] != "epoch"] == [
        "started", "bundle", "report", "ended", "resumed", "bundle", "report", "ended",
    ]  # fmt: skip
    assert [line["step"] for line in found if line["event"] == "epoch"] == [1, 2, 3, 4, 4, 5, 6]
    assert all(line["time"].endswith("+00:00") for line in found)
    report = next(line for line in found if line["event"] == "report")
    assert report["figures"]["test/auroc_low"] == judged.metrics["auroc"].low
    assert report["patients"] == judged.patients and "scores" not in report


@pytest.mark.parametrize(("left", "kept"), [(b'{"event": "ep', 1), (b'{"event": "epoch"}', 2), (b"\xff", 1), (b"", 1)])
def test_half_a_line_left_by_a_kill_is_taken_away_and_a_whole_one_ended(run: Run, left: bytes, kept: int) -> None:
    path = run.reports / "training.jsonl"
    path.write_bytes(b'{"event": "started"}\n' + left)
    lines.start(run).close(ok=True)
    assert [line["event"] for line in events(run)[kept:]] == ["started", "ended"]


def test_a_run_that_fails_says_so(run: Run) -> None:
    with pytest.raises(ValueError, match="lost"), tracking.start([], run):
        raise ValueError("lost")
    assert events(run)[-1]["ok"] is False


def rows(store: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(store) as base:
        return base.execute(query).fetchall()


def test_mlflow_keeps_history_settings_page_and_a_model_that_answers_alike(
    run: Run, judged: Report, pictures: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import mlflow.pyfunc

    shutil.copy(empty_store, run.shared)
    tell(["mlflow"], run, judged, range(1, 5))
    tell(["mlflow"], run, judged, range(4, 7), resumed=True)
    store, history = run.shared / "mlflow.db", evaluation.history(open_bundle(run.folder))
    assert len(rows(store, "select * from runs")) == 1 and len(rows(store, "select * from logged_models")) == 1
    kept = rows(store, "select step, value from metrics where key = 'val_loss' order by step")
    assert kept == [(step, pytest.approx(entry.val_loss)) for step, entry in enumerate(history, 1)]
    assert dict(rows(store, "select key, value from params")) == {k: str(v) for k, v in settings(run.recipe).items()}
    latest = dict(rows(store, "select key, value from latest_metrics"))
    assert {k: v for k, v in latest.items() if k.startswith("test/")} == pytest.approx(figures(judged))
    assert rows(store, "select status, name from runs") == [("FINISHED", "tiny")]
    tags = dict(rows(store, "select key, value from tags"))
    assert tags["laennec.bundle"] == judged.bundle_digest and tags["study"] == "none"
    assert list((run.shared / "mlflow-artifacts").rglob("report.html"))
    assert not list((run.shared / "mlflow-artifacts").rglob("*.pkl"))

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store.as_posix()}")
    uri = json.loads((run.reports / "mlflow.json").read_text())["model"]
    model = mlflow.pyfunc.load_model(uri)
    paths = [str(pictures / "sick" / "p001_0.png"), str(pictures / "normal" / "p000_0.png")]
    expected = [ln.open(run.folder).predict(path) for path in paths]
    sick = [answer.probabilities["sick"] for answer in expected]
    answers = model.predict(paths)
    assert answers["p.sick"].tolist() == pytest.approx(sick, abs=1e-6)
    assert answers["positive"].tolist() == [answer.positive for answer in expected]
    arrays = np.stack([np.asarray(Image.open(path)) for path in paths])
    for given in (arrays, arrays[:, None], [Path(path).read_bytes() for path in paths]):
        assert model.predict(given)["p.sick"].tolist() == pytest.approx(sick, abs=1e-6)
    assert model.predict([*paths, "no.png"])["refused"].tolist() == ["", "", "not_found"]
    with pytest.raises(UsageError, match="no grey pictures"):
        model.predict(np.zeros((2, 3, 8, 8), np.uint8))
    assert int(mlflow.register_model(uri, "spots").version) == 1
    assert mlflow.pyfunc.load_model("models:/spots/1").predict(paths)["p.sick"].tolist() == answers["p.sick"].tolist()


def test_a_long_setting_is_shortened_and_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from laennec.trackers import mlflow as member

    monkeypatch.delenv("LAENNEC_QUIET")
    logged: list[Any] = []
    client = SimpleNamespace(
        get_metric_history=lambda *_: [], log_batch=lambda _, params: logged.extend(params), get_run=None
    )
    long = Run("long", "spots", run.folder, run.recipe.replace(description="d" * 7000))
    member.Recorded(client, long, "id", {}).parameters()
    assert len({param.key: param.value for param in logged}["description"]) == 6000
    assert "6000 characters of 'description'" in capsys.readouterr().err


@pytest.mark.parametrize("allowed", [False, True])
def test_a_page_with_pictures_goes_to_a_server_only_where_that_is_allowed(
    run: Run, judged: Report, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from laennec.trackers import mlflow as member

    sent: list[str] = []
    client = SimpleNamespace(
        get_metric_history=lambda *_: [],
        log_batch=lambda *_, **__: None,
        set_tag=lambda *_: None,
        get_run=lambda _: SimpleNamespace(info=SimpleNamespace(artifact_uri="mlflow-artifacts://server/0")),
        log_artifact=lambda _, path, __: sent.append(path),
    )
    monkeypatch.setenv("LAENNEC_MLFLOW_PAGES", "1" if allowed else "")
    member.Recorded(client, run, "id", {}).report(judged)
    assert len(sent) == int(allowed)


def test_a_server_that_is_away_is_told_once_without_its_password(
    run: Run, judged: Report, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LAENNEC_QUIET")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tell(["mlflow"], run, judged)
    said = capsys.readouterr().err
    assert said.count("warning: the tracker 'mlflow' failed") == 1 and said.count("warning") == 1
    assert "secret" not in said
    assert events(run)[-1]["event"] == "ended"


def test_tensorboard_reads_back_curves_figures_and_settings(run: Run, judged: Report) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tell(["tensorboard"], run, judged, range(1, 5))
    tell(["tensorboard"], run, judged, range(3, 7), resumed=True)
    found = EventAccumulator(str(run.shared / "tensorboard" / "tiny")).Reload()
    history = evaluation.history(open_bundle(run.folder))
    drawn = [(point.step, point.value) for point in found.Scalars("val_loss")]
    assert drawn == [(step, pytest.approx(entry.val_loss)) for step, entry in enumerate(history, 1)]
    assert found.Scalars("test/auroc_low")[-1].value == pytest.approx(judged.metrics["auroc"].low)
    assert {"test/roc", "test/confusion"} <= set(found.Tags()["images"])
    assert "hparams" in found.summary_metadata["_hparams_/session_start_info"].plugin_data.plugin_name


class Broken:
    """A tracker that raises, exits or hangs at one of its calls."""

    def __init__(self, where: str, how: str) -> None:
        self.where, self.how, self.calls, self.free = where, how, 0, threading.Event()

    def ready(self) -> None:
        return

    def start(self, run: Run) -> Broken:
        self._maybe("start")
        return self

    def epoch(self, entry: Epoch, step: int) -> None:
        self._maybe("epoch")

    def bundle(self, bundle: Bundle) -> None:
        self._maybe("bundle")

    def report(self, report: Report) -> None:
        self._maybe("report")

    def close(self, ok: bool) -> None:
        self._maybe("close")

    def _maybe(self, here: str) -> None:
        if here == self.where:
            self.calls += 1
            if self.how == "hangs":
                self.free.wait(30)
            raise SystemExit(3) if self.how == "exits" else OSError(f"lost\nat {here}")


def put(monkeypatch: pytest.MonkeyPatch, broken: Broken) -> None:
    real = family.member
    monkeypatch.setattr(family, "member", lambda kind, name: broken if name == "broken" else real(kind, name))
    monkeypatch.delenv("LAENNEC_QUIET")


@pytest.mark.parametrize("where", ["start", "epoch", "bundle", "report", "close"])
@pytest.mark.parametrize("how", ["raises", "exits"])
def test_a_tracker_that_raises_is_told_once_and_dropped(
    where: str, how: str, run: Run, judged: Report, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Broken(where, how)
    put(monkeypatch, broken)
    tell(["broken"], run, judged)
    said = capsys.readouterr().err
    assert said.count("warning: the tracker 'broken' failed: " + ("3" if how == "exits" else "lost;")) == 1
    assert said.count("warning") == 1
    assert broken.calls == 1 or where == "close"
    assert [line["event"] for line in events(run)][-3:] == ["bundle", "report", "ended"]


@pytest.mark.parametrize("where", ["start", "epoch", "close"])
def test_a_tracker_that_hangs_holds_up_nothing(
    where: str, run: Run, judged: Report, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Broken(where, "hangs")
    put(monkeypatch, broken)
    entry = evaluation.history(open_bundle(run.folder))[0]
    trackers = tracking.start(["broken"], run, wait=0.5)
    started = time.monotonic()
    for step in range(1, 4):
        trackers.epoch(entry, step)
    assert time.monotonic() - started < 0.2
    trackers.close()
    assert time.monotonic() - started < 2
    broken.free.set()
    time.sleep(0.1)  # it now raises as well, of which nobody is told
    said = capsys.readouterr().err
    assert said.count("warning: the tracker 'broken' did not finish within 0.5 s") == said.count("warning") == 1
    assert events(run)[-1]["event"] == "ended"


def test_a_tracker_too_far_behind_is_dropped_and_memory_stays_bounded(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Broken("start", "hangs")
    put(monkeypatch, broken)
    monkeypatch.setattr(tracking, "_BEHIND", 4)
    monkeypatch.setattr(tracking, "ALWAYS", "broken")
    trackers = tracking.start([], run, wait=5)
    entry = evaluation.history(open_bundle(run.folder))[0]
    for step in range(20):
        trackers.epoch(entry, step)
    trackers.close()
    broken.free.set()
    assert capsys.readouterr().err.count("is more than 4 events behind") == 1


def test_a_wrong_name_and_a_missing_library_are_told_before_anything_starts(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownName, match="no tracker named 'mlfow'"):
        tracking.start(["mlfow"], run)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sqlalchemy" else find(name))
    with pytest.raises(MissingExtra) as caught:
        tracking.start(["mlflow"], run)
    assert "laennec[mlflow]" in caught.value.hint
    assert not (run.reports / "training.jsonl").exists()


def test_figures_that_are_not_finite_are_left_out() -> None:
    entry = Epoch(phase="a", epoch=1, learning_rate=1.0, train_loss=1.0, val_loss=float("inf"), val_auroc=None,
                  val_accuracy=0.5, seconds=1.0, best=False)  # fmt: skip
    assert set(curves(entry)) == {"learning_rate", "train_loss", "val_accuracy", "seconds"}


OUTSIDE = '''"""A list of calls, a tracker from outside."""
CALLS = []

def ready():
    CALLS.append("ready")

def start(run):
    CALLS.append(run.name)
    return Calls()

class Calls:
    def epoch(self, entry, step):
        CALLS.append(step)

    def report(self, report):
        CALLS.append(report.part)

    def bundle(self, bundle):
        CALLS.append(bundle.name)

    def close(self, ok):
        CALLS.append(ok)
'''


def test_a_tracker_joins_by_one_file(run: Run, judged: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "watcher-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: watcher\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[laennec.trackers]\ncalls = watcher_calls\n")
    (info.parent / "watcher_calls.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(str(info.parent))
    assert family.summary("trackers", "calls") == "A list of calls, a tracker from outside."
    tell(["calls"], run, judged, range(1, 3))
    member: ModuleType = family.member("trackers", "calls")
    assert member.CALLS == ["ready", "tiny", 1, 2, "tiny", "test", True]
