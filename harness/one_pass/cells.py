"""Run cells that differ in their learning rate alone in one process, and yield their records as run.py makes them."""

from collections.abc import Iterator, Sequence
from typing import Any

from harness import run
from harness.config.schema import Cell, Runtime
from harness.one_pass import lockstep
from harness.store.attempt_folder import AttemptFolder
from harness.training import outputs
from harness.training.checkpoint import Keeper


def run_all(
    cells: Sequence[Cell], runtime: Runtime, folders: Sequence[AttemptFolder]
) -> Iterator[tuple[AttemptFolder, dict[str, Any] | Exception]]:
    """Yield the folder of each cell with the fields of its record, or with its error.

    A record has neither times nor memory of training, which are those of all cells together.
    """
    trainings = [run.steps(cell, runtime, folder, Keeper()) for cell, folder in zip(cells, folders, strict=True)]
    results, reason = lockstep.train(trainings)
    how = f"{len(cells)} cells trained {f'in turn in one process: {reason}' if reason else 'in one pass'}"
    for folder, result in zip(folders, results, strict=True):
        yield folder, result if isinstance(result, Exception) else outputs.unmeasured(result, "one_pass", how)
