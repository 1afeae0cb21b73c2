"""Curves in Weights & Biases, kept on this machine unless WANDB_MODE says otherwise."""

import os
from collections.abc import Mapping
from pathlib import Path

import wandb

from harness.execution.trackers.follower import Begin


def begin(folder: Path) -> Begin:
    """Print where the curves are, and return the class of runs."""
    folder.mkdir(parents=True, exist_ok=True)

    class Run:
        def __init__(self, name: str, about: Mapping[str, str | int | float]) -> None:
            self.run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "deltabench"),
                name=name,
                config=dict(about),
                dir=str(folder),
                mode=os.environ.get("WANDB_MODE", "offline"),
                reinit="create_new",
            )

        def log(self, step: int, figures: Mapping[str, float]) -> None:
            self.run.log(dict(figures), step=step)

        def end(self, status: str) -> None:
            self.run.summary["status"] = status
            self.run.finish(exit_code=0 if status == "done" else 1)

    print(f"curves: {folder} (wandb sync sends them; WANDB_MODE=online sends them at once)")
    return Run
