"""Curves in MLflow, in a file of this machine unless MLFLOW_TRACKING_URI names another place."""

import os
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from harness.execution.trackers.follower import Begin


def begin(folder: Path) -> Begin:
    """Print where the curves are, and return the class of runs."""
    folder.mkdir(parents=True, exist_ok=True)
    address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=address)
    name_of_all = os.environ.get("MLFLOW_EXPERIMENT_NAME", "deltabench")
    existing = client.get_experiment_by_name(name_of_all)
    experiment = existing.experiment_id if existing else client.create_experiment(name_of_all)

    class Run:
        def __init__(self, name: str, about: Mapping[str, str | int | float]) -> None:
            self.id = client.create_run(experiment, run_name=name).info.run_id
            client.log_batch(self.id, params=[Param(name, str(value)[:500]) for name, value in about.items()])

        def log(self, step: int, figures: Mapping[str, float]) -> None:
            client.log_batch(self.id, metrics=[Metric(name, value, 0, step) for name, value in figures.items()])

        def end(self, status: str) -> None:
            client.set_tag(self.id, "status", status)
            client.set_terminated(self.id, "FINISHED" if status == "done" else "FAILED")

    print(f"curves: mlflow ui --backend-store-uri {address}")
    return Run
