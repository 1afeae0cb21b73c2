"""Steps of several cells, timed in turn in one process. It is called in a process of its own."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from harness.config.step_load import Load
from harness.forecast import compute, synthetic_step
from harness.forecast.prepared_cell import Subject, prepare
from harness.measurement import matmul_rate, turns
from harness.store import identity

WARM_UP = 3
BLOCK = 3
"""Steps of a side before the other side has its turn."""
Json = Mapping[str, Any]


def rate(device: str, size: int) -> dict[str, Any]:
    """Return the operations per second of large matrix products by precision."""
    there = torch.device(device)
    return {
        "operations_per_s": {name: matmul_rate.measure(there, name, size) for name in matmul_rate.DTYPES},
        "size": size, "fp32_products": torch.get_float32_matmul_precision(),
    }  # fmt: skip


def measure(cells: Sequence[Json], load: Json, compiled: Sequence[str], device: str, alternations: int) -> Json:
    """Return for each side the milliseconds of a step and its operations, and the ratios to the first side.

    The sides are the cells, each as often as `compiled` has entries: a backend of torch.compile, or "" for none.
    """
    there, setup = torch.device(device), Load(**load)
    sides = {f"{place}/{backend}": _Side(cell, setup, backend, there)
             for place, cell in enumerate(cells) for backend in compiled}  # fmt: skip
    milliseconds: dict[str, list[float]] = {name: [] for name in sides}
    for alternation in range(alternations):
        for name in turns.in_turn(list(sides), alternation):
            milliseconds[name].append(sides[name].block())
    first = next(iter(sides))
    return {
        "sides": [
            {
                **side.about(), "ms": turns.spread(milliseconds[name]),
                "ratio": turns.ratio(milliseconds[name], milliseconds[first]),
            }
            for name, side in sides.items()
        ],
        "allocated_bytes": torch.cuda.max_memory_allocated(there) if there.type == "cuda" else None,
    }  # fmt: skip


class _Side:
    """One cell, ready for steps, with or without torch.compile."""

    def __init__(self, cell: Json, load: Load, backend: str, device: torch.device) -> None:
        self.cell, self.backend, self.device = identity.from_json(cell), backend, device
        self.subject: Subject = prepare(self.cell, load, device)
        if backend:
            self.subject.model.compile(backend=backend)
        self.optimizer = synthetic_step.ready(self.subject, lambda _: None)
        started = time.perf_counter()
        for _ in range(WARM_UP):
            self._step()
        matmul_rate.wait(device)
        self.warm_up_s = time.perf_counter() - started
        [answer] = compute.answers([(cell, vars(load), [self.cell.recipe.batch_size], None)])
        self.operations = answer[0]["operations"] if not isinstance(answer, str) else None

    def block(self) -> float:
        """Return the milliseconds of a step, the mean of a block."""
        matmul_rate.wait(self.device)
        started = time.perf_counter()
        for _ in range(BLOCK):
            self._step()
        matmul_rate.wait(self.device)
        return 1000 * (time.perf_counter() - started) / BLOCK

    def about(self) -> dict[str, Any]:
        """Return what this side is."""
        return {
            "method": self.cell.method.name, "compiled": self.backend, "operations": self.operations,
            "precision": self.cell.recipe.precision, "warm_up_s": self.warm_up_s,
        }  # fmt: skip

    def _step(self) -> None:
        synthetic_step.step(self.subject, self.optimizer, self.cell.recipe.batch_size)
