"""Runs, metrics, reports and the bundle as a model, in MLflow: a local database, or your server.

Without ``MLFLOW_TRACKING_URI`` nothing leaves the machine: the runs lie in ``mlflow.db`` beside the run's folder and
their files in ``mlflow-artifacts``. A server gets figures, settings and the bundle; the report page, which shows
pictures and file names, goes there only if ``LAENNEC_MLFLOW_PAGES=1`` allows it.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laennec import progress, storage
from laennec.errors import LaennecError, extra
from laennec.trackers import Run, curves, figures, require, settings
from laennec.version import VERSION

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from laennec.bundle import Bundle
    from laennec.results import Epoch, Report

NOTE = "mlflow.json"
_LIBRARIES = ("mlflow", "sqlalchemy", "alembic", "pandas")
_LONGEST = 6000  # characters of a parameter that MLflow keeps
_BATCH = 100  # parameters that MLflow takes at once
_LOADER = "laennec.answering"  # named, not imported: it is MLflow that opens it, when the model is loaded

# MLflow counts its uses for its makers, and copies a uv.lock it finds in the working folder into every model.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page opens on training, not on agents


def ready() -> None:
    """`MissingExtra` if MLflow or what its database needs is not there."""
    require("mlflow", *_LIBRARIES)


def start(run: Run) -> Recorded:
    """Open the run that an earlier process began for this folder and recipe, or a new one."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    with extra("mlflow"):
        from mlflow import MlflowClient

    named = os.environ.get("MLFLOW_TRACKING_URI")
    run.shared.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(tracking_uri=named or f"sqlite:///{(run.shared / 'mlflow.db').as_posix()}")
    note = _read_note(run)
    known = _known(client, run, note)
    if known is not None:
        client.update_run(known, status="RUNNING")
        recorded = Recorded(client, run, known, note)
    else:
        experiment = _experiment(client, run, local=not named)
        tags = {"laennec.version": VERSION, "laennec.recipe": run.recipe.digest, **run.tags}
        tags |= {"mlflow.note.content": run.recipe.description} if run.recipe.description else {}
        entity = client.create_run(experiment, run_name=run.name, tags=tags)
        recorded = Recorded(client, run, entity.info.run_id, {})
        recorded.keep_note()
    recorded.parameters()
    return recorded


class Recorded:
    """One MLflow run, written to through a client of its own: MLflow's global state stays the caller's."""

    def __init__(self, client: MlflowClient, run: Run, run_id: str, note: dict[str, str]) -> None:
        self.client = client
        self.run = run
        self.run_id = run_id
        self.note = {**note, "run": run_id}
        history = client.get_metric_history(run_id, "train_loss")
        self.step = max((metric.step for metric in history), default=0)

    def keep_note(self) -> None:
        """Leave the run's id beside the bundle, for the process that resumes."""
        storage.write_json(self.run.reports / NOTE, self.note)

    def parameters(self) -> None:
        """The recipe, flat."""
        from mlflow.entities import Param

        given = []
        for key, value in settings(self.run.recipe).items():
            text = str(value)
            if len(text) > _LONGEST:
                progress.say(f"warning: MLflow keeps {_LONGEST} characters of '{key}', which has {len(text)}")
                text = text[: _LONGEST - 1] + "…"
            given.append(Param(_key(key), text))
        for at in range(0, len(given), _BATCH):
            self.client.log_batch(self.run_id, params=given[at : at + _BATCH])

    def epoch(self, entry: Epoch, step: int) -> None:
        """Metrics at `step`; a step that a resumed training runs again is there already, to the bit."""
        if step > self.step:
            self._metrics(curves(entry), step)
            self.step = step

    def report(self, report: Report) -> None:
        """Metrics with their bounds, and the page where it may go."""
        self._metrics(figures(report), self.step)
        self.client.set_tag(self.run_id, f"laennec.{report.place}.images", str(report.images))
        page = self.run.reports / report.place / "report.html"
        if not page.is_file():
            return
        if self._is_local() or os.environ.get("LAENNEC_MLFLOW_PAGES") == "1":
            self.client.log_artifact(self.run_id, str(page), f"reports/{report.place}")
        else:
            progress.say("the report page shows pictures and file names: it was not sent to the MLflow server")

    def bundle(self, bundle: Bundle) -> None:
        """The bundle as a model that MLflow loads and registers, and what it was made from as tags."""
        card = bundle.card
        facts = {
            "bundle": bundle.digest,
            "data": card.data.collection,
            "data.digest": card.data.collection_digest,
            "split.digest": card.data.split_digest,
            "licence": card.data.licence,
            "citation": card.data.citation,
            "starting_weights": card.starting_weights,
        }
        tags = {f"laennec.{name}": value for name, value in facts.items() if value}
        for name, value in tags.items():
            self.client.set_tag(self.run_id, name, value)
        if self.note.get("bundle") != bundle.digest:
            self.note |= {"model": f"models:/{self._log(bundle, tags)}", "bundle": bundle.digest}
            self.keep_note()

    def close(self, ok: bool) -> None:
        """Mark the run finished, or failed."""
        self.client.set_terminated(self.run_id, "FINISHED" if ok else "FAILED")

    def _metrics(self, values: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, metrics=[Metric(_key(k), v, now, step) for k, v in values.items()])

    def _is_local(self) -> bool:
        """Whether the run's files stay on this machine."""
        uri = str(self.client.get_run(self.run_id).info.artifact_uri)
        return uri.startswith("file:") or "://" not in uri

    def _log(self, bundle: Bundle, tags: dict[str, str]) -> str:
        """Log the sealed files and the name of what opens them; the model's id.

        By the client and not by `mlflow.pyfunc.log_model`, which needs the process-wide tracking address changed.
        """
        import mlflow.pyfunc
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        experiment = self.client.get_run(self.run_id).info.experiment_id
        logged = self.client.create_logged_model(
            experiment,
            name=re.sub(r"[^A-Za-z0-9_-]+", "-", bundle.name) or "bundle",
            source_run_id=self.run_id,
            tags=tags,
            params={"backend": bundle.card.backend, "precision": bundle.card.precision},
        )
        with tempfile.TemporaryDirectory() as work:
            copy, model = Path(work) / "bundle", Path(work) / "model"
            copy.mkdir()
            for name in ("card.json", *bundle.card.files):
                (copy / name).write_bytes((bundle.path / name).read_bytes())
            extras = "dicom,train" if bundle.card.backend == "torch" else "dicom"
            mlflow.pyfunc.save_model(
                str(model),
                loader_module=_LOADER,
                data_path=str(copy),
                mlflow_model=Model(
                    artifact_path=logged.artifact_location,
                    model_uuid=logged.model_id,
                    run_id=self.run_id,
                    model_id=logged.model_id,
                ),
                pip_requirements=[f"laennec[{extras},mlflow]=={VERSION}"],
            )
            self.client.log_model_artifacts(logged.model_id, str(model))
        self.client.log_outputs(self.run_id, [LoggedModelOutput(logged.model_id, step=self.step)])
        self.client.finalize_logged_model(logged.model_id, "READY")
        return str(logged.model_id)


def _read_note(run: Run) -> dict[str, str]:
    try:
        note = storage.read_json(run.reports / NOTE)
    except LaennecError:
        return {}
    return note if isinstance(note, dict) else {}


def _known(client: MlflowClient, run: Run, note: dict[str, str]) -> str | None:
    """The id of the noted run, if the store still has it and it is of this recipe."""
    from mlflow.exceptions import MlflowException

    if "run" not in note:
        return None
    try:
        found = client.get_run(note["run"])
    except MlflowException:
        return None
    same = found.data.tags.get("laennec.recipe") == run.recipe.digest and found.info.lifecycle_stage == "active"
    return note["run"] if same else None


def _experiment(client: MlflowClient, run: Run, local: bool) -> str:
    """The id of the run's experiment, made if it is not there."""
    from mlflow.exceptions import MlflowException

    location: Any = (run.shared / "mlflow-artifacts").as_uri() if local else None
    found = client.get_experiment_by_name(run.experiment)
    if found is None:
        try:
            return str(client.create_experiment(run.experiment, artifact_location=location, tags=_KIND))
        except MlflowException:  # another training made it in between, or it cannot be made
            found = client.get_experiment_by_name(run.experiment)
            if found is None:
                raise
    return str(found.experiment_id)


def _key(name: str) -> str:
    """A name of those characters that MLflow takes."""
    return re.sub(r"[^A-Za-z0-9_./ :-]", "_", name)[:250]
