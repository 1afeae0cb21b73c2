"""Curves in TensorBoard's files."""

from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from harness.execution.trackers.follower import Begin


def begin(folder: Path) -> Begin:
    """Print where the curves are, and return the class of runs."""

    class Run:
        def __init__(self, name: str, about: Mapping[str, str | int | float]) -> None:
            self.writer = SummaryWriter(str(folder / name), flush_secs=10)
            self.writer.add_text("cell", "\n".join(f"    {name}: {value}" for name, value in about.items()))

        def log(self, step: int, figures: Mapping[str, float]) -> None:
            for name, value in figures.items():
                self.writer.add_scalar(name, value, step)

        def end(self, status: str) -> None:
            self.writer.add_text("status", status)
            self.writer.close()

    print(f"curves: tensorboard --logdir {folder}")
    return Run
