"""What reading NVML costs beside steps of training, and the energy of a step. It is called in its own process."""

import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch

from harness.config.step_load import Load
from harness.forecast import synthetic_step
from harness.forecast.prepared_cell import prepare
from harness.measurement import turns
from harness.measurement.memory import SAMPLE_MS
from harness.measurement.meter import Meter
from harness.store import identity

SIDES = {"read only at the ends": 0.0, "sampled": SAMPLE_MS}
"""Name -> milliseconds between two readings."""


def measure(cell: Mapping[str, Any], load: Mapping[str, Any], device: str, seconds: float) -> dict[str, Any]:
    """Return the time of a step with sampling over that without, what the thread takes, and joules and watts.

    The two sides take turns until `seconds` are over, each at least twice.
    """
    own, there = identity.from_json(cell), torch.device(device)
    subject = prepare(own, Load(**load), there)
    optimizer = synthetic_step.ready(subject, lambda _: None)
    until, alternation = time.monotonic() + seconds, 0
    steps: dict[str, list[float]] = {name: [] for name in SIDES}
    devices: list[Mapping[str, Any]] = []
    synthetic_step.step(subject, optimizer, own.recipe.batch_size)
    while alternation < 2 or time.monotonic() < until:
        for name in turns.in_turn(list(SIDES), alternation):
            meter = Meter(there, None, SIDES[name])
            with meter.phase("train"):
                for _ in range(10):
                    with meter.step(own.recipe.batch_size, 0):
                        synthetic_step.step(subject, optimizer, own.recipe.batch_size)
            summary = meter.summary()
            steps[name].append(statistics.median(meter.steps.seconds) * 1000)
            devices += [summary["device"]] if SIDES[name] else []
        alternation += 1
    bare, sampled = steps.values()
    return {
        "ms": turns.spread(bare), "ratio": turns.ratio(sampled, bare), "steps_of_a_turn": 10,
        "thread_share": _known([(each["sampling"] or {}).get("thread_share") for each in devices]),
        "joules_of_a_turn": _known([(each["energy_j"] or {}).get("run") for each in devices]),
        "watts": _known([(each["power_w"] or {}).get("train") for each in devices]),
        "energy_from": devices[0]["energy_from"], "why_null": devices[0]["why_null"],
    }  # fmt: skip


def _known(values: list[float | None]) -> float | None:
    """Return the median of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
