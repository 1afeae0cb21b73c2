"""What a record may say, and the short form of it. Torch-free."""

from collections.abc import Mapping
from typing import Any

SCHEMA = 1
STATUSES = ("done", "failed", "oom", "diverged", "timeout", "interrupted", "blocked")
"""What a record may say; `running` and `missing` are states without a record."""
FINAL = ("done", "oom", "diverged")
"""Results: running the same command again does not try these again."""

REPEATED = ("schema", "key", "cell", "status", "scores", "best_step", "parameters", "notes", "task_facts")
"""Fields that the same cell gives again bit for bit, on one machine with the same threads, on the CPU, resumed or not;
so are the curve but for its seconds, the predictions and the deltas."""
VARYING = ("attempt", "error", "memory", "live", "time", "device", "flops", "provenance", "resumed_from", "restarted")
"""Time, memory and what else is of one attempt (a rate of operations is time, too)."""


def displaces(status: str, earlier: str) -> bool:
    """Whether a newer attempt counts instead of an earlier one: a failure never hides a finished result."""
    return status == "done" or earlier != "done"


def summarise(record: Mapping[str, Any]) -> dict[str, Any]:
    """The short form in `current`, enough for `status` to read one small file per cell."""
    cell, provenance = record["cell"], record.get("provenance") or {}
    names = {part: cell[part]["name"] for part in ("method", "model", "task", "recipe")}
    return {
        "attempt": record["attempt"],
        "status": record["status"],
        "fingerprint": provenance.get("fingerprint"),
        "wall_s": (record.get("time") or {}).get("wall_s"),
        **names,
        "family": cell["model"].get("family"),
        "objective": cell["objective"],
        "seed": cell["seed"],
        "steps": cell["recipe"].get("steps"),
    }
