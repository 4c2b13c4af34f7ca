"""MLflow: a run in the experiment `tl`, or MLFLOW_EXPERIMENT_NAME, where MLflow itself would write.

That is MLFLOW_TRACKING_URI, else mlflow.db and mlruns in the working folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tl_cli import __version__
from tl_cli.humanize import typed
from tl_cli.store.run_dir import RunDir

HINT = "see MLFLOW_TRACKING_URI, pip install 'tl-cli[mlflow]', or leave out --track"
EXPERIMENT, NAME = "MLFLOW_EXPERIMENT_NAME", "tl"
LONGEST = 500  # characters of a parameter that every MLflow takes


def begin(run: RunDir) -> Experiment:
    """Create the run there. Raises what MLflow raises, where it cannot be reached."""
    return Experiment(run)


def way_to(uri: str) -> str:
    """Return how what lies there is looked at; a server is named without its user and password."""
    if uri.startswith(("http://", "https://")):
        scheme, _, rest = uri.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"
    return typed("mlflow", "ui", "--backend-store-uri", uri)


class Experiment:
    """One run of an experiment."""

    def __init__(self, run: RunDir) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nobody asked for that
        from mlflow import MlflowClient, get_tracking_uri

        self._client = MlflowClient()
        name = os.environ.get(EXPERIMENT, NAME)
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        place = str(run.final_path.resolve())
        self._id = self._client.create_run(
            number,
            run_name=run.final_path.name,
            tags={"tl.run": place, "tl.version": __version__, "mlflow.source.name": "tl train"},
        ).info.run_id
        self.look = way_to(get_tracking_uri())

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Log each."""
        for name, value in values.items():
            self._client.log_param(self._id, name, str(value)[:LONGEST])

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Log a point of each curve."""
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=number)

    def figures(self, values: Mapping[str, float], report: Path) -> None:
        """Log each; the report comes with the artifacts."""
        for name, value in values.items():
            self._client.log_metric(self._id, name, value)

    def artifacts(self, paths: Sequence[Path]) -> None:
        """Log copies of the files."""
        for path in paths:
            self._client.log_artifact(self._id, str(path))

    def end(self, *, well: bool) -> None:
        """Say how it ended."""
        self._client.set_terminated(self._id, "FINISHED" if well else "FAILED")
