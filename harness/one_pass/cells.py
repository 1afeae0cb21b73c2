"""Run cells that differ in their learning rate alone in one process, and yield their records as run.py makes them."""

from collections.abc import Iterator, Sequence
from typing import Any

from harness import run
from harness.config.schema import Cell, Runtime
from harness.one_pass import lockstep
from harness.store.attempt_folder import AttemptFolder
from harness.training.checkpoint import Keeper

MEASURES = ("train_s", "data_s", "step_ms", "examples_per_s", "tokens_per_s", "steady_examples_per_s",
            "steady_tokens_per_s", "busy_beside")  # fmt: skip
"""What a record says of the time of training."""


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
        yield folder, result if isinstance(result, Exception) else _unmeasured(result, how)


def _unmeasured(record: dict[str, Any], reason: str) -> dict[str, Any]:
    """Return the record without figures that belong to all cells of the process together."""
    flops = {**record["flops"], "per_s": None, "share": None}
    flops["why_null"] = {**flops["why_null"], "per_s": reason}
    device = {**dict.fromkeys(record["device"]), "name": record["device"]["name"], "why_null": {"nvml": reason}}
    return {
        **record,
        "time": {**record["time"], **dict.fromkeys(MEASURES)},
        "flops": flops,
        "device": device,
        "memory": {"why_null": {"memory": reason}},
        "notes": {**record["notes"], "one_pass": reason},
    }
