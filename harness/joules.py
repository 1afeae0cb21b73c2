"""What a record tells of energy: joules of the run, and joules per point of score. Torch-free."""

from collections.abc import Mapping
from typing import Any


def of_run(record: Mapping[str, Any]) -> float | None:
    """Joules of the device from the first phase to the last; None where it does not report them."""
    told = record.get("device")
    energy = told.get("energy_j") if isinstance(told, Mapping) else None
    run = energy.get("run") if isinstance(energy, Mapping) else None
    return float(run) if isinstance(run, int | float) and run > 0 else None


def per_point(record: Mapping[str, Any]) -> float | None:
    """Joules of the run per point (of 100) of the best checkpoint's score, mean over the reported sets."""
    joules, facts = of_run(record), record.get("task_facts") or {}
    sets = ((record.get("scores") or {}).get("best") or {}).get("sets") or {}
    tests = facts.get("tests") or ["test"]
    scores = [found.get(facts.get("metric")) for name, found in sets.items() if name in tests]
    known = [score for score in scores if isinstance(score, int | float)]
    points = 100 * sum(known) / len(known) if known else 0.0
    return joules / points if joules and points > 0 else None
