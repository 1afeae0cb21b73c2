"""Cells of the day as a sweep runs them, and what their records say. Torch is not imported."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from harness.config.launchers import Launcher
from harness.config.schema import Cell, Runtime
from harness.execution import sweep
from harness.execution.sweep_plan import SweepOptions
from harness.experiments.grids.holes import Hole
from harness.gpu_day import isolated
from harness.gpu_day.day import Day, Row
from harness.store import requested_grids
from harness.store.store import Store

AGAIN = ("failed", "diverged", "timeout", "interrupted", "blocked")
"""Statuses of cells that a repeated day runs once more, since the code may have been mended."""


def run(
    day: Day, part: str, place: str, cells: Sequence[Cell], at_once: int, seconds: float, holes: Sequence[Hole] = ()
) -> Store:
    """Run cells, `at_once` of them on the device together, for at most so many seconds; return their store.

    place: the store's folder inside that of the day. holes: combinations that cannot run, which are left out.
    """
    store = day.folder / place
    share = {} if day.dry else {"gpus": 1 / at_once}
    launcher = Launcher("basic") if at_once == 1 else Launcher("joblib", {"jobs": at_once, **share})
    with isolated.printing(day.log(part)):
        runtime = Runtime(store=str(store), device=day.device)
        options = SweepOptions(runtime, launcher, rerun=AGAIN, skip_impossible=True, deadline_s=max(1.0, seconds))
        sweep.run_cells(cells, options, holes)
    return Store(store)


def facts(store: Store, key: str) -> Row:
    """Return what the record of a cell says: status, error, step, memory, energy, score, and whether it is finite."""
    record = store.read(key)
    if record is None:
        gaps = [gap for noted in requested_grids.noted(store) for gap in noted.gaps if key in gap.keys]
        known = [{"status": "impossible", "error": gap.reason} for gap in gaps]
        return known[0] if known else {"status": "missing", "error": isolated.OVER}
    error = (record.get("error") or {}).get("message")
    if record["status"] != "done":
        return {"status": record["status"], "error": isolated.one_line(str(error))}
    steady = record["memory"].get("train") or {}
    return {
        "status": "done",
        "finite": all(map(_finite, store.curve(key))),
        "step_ms": (record["time"]["step_ms"] or {}).get("median"),
        "train_s": record["time"]["train_s"],
        "wall_s": record["time"].get("wall_s"),
        "cells_beside": record["time"].get("cells_beside"),
        "share_of_peak": record["flops"].get("share"),
        "allocated_bytes": steady.get("torch_allocated_bytes"),
        "process_bytes_on_device": steady.get("nvml_process_bytes"),
        "energy_j": (record["device"].get("energy_j") or {}).get("run"),
        "others": record["device"].get("others"),
        "scores": record["scores"]["last"]["sets"],
        "best_step": record["best_step"],
    }


def left(deadline: float) -> float:
    """Return the seconds until a deadline."""
    return max(0.0, deadline - time.time())


def _finite(row: Mapping[str, Any]) -> bool:
    """Return whether the losses of a row of a curve are finite. Before the first step there is none of training."""
    losses = [row.get(name) for name in ("validation_loss", *(("train_loss",) if row["step"] else ()))]
    return all(loss is not None and math.isfinite(loss) for loss in losses)
