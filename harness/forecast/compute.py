"""The figures of a forecast, as plain values. Works in a child process, so whoever asks needs no torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.config.step_load import Load
from harness.errors import UsageError
from harness.forecast import quantised_shapes, synthetic_step
from harness.forecast.prepared_cell import Subject, prepare
from harness.measurement.allocations import UPDATE, Log
from harness.store import identity
from methods.backbone.trainable_parameters import trainable

WORKSPACE = 8_519_680
"""Bytes that cuBLAS takes from torch's allocator for itself (32 MiB on Hopper): beside the peak, not in it."""
CONTEXT = 536_870_912
"""Bytes that CUDA and its libraries take of a device before anything is allocated: about half a GiB."""
LIMIT = 65_536

Question = tuple[Mapping[str, Any], Mapping[str, Any], Sequence[int], int | None]


def answers(questions: Sequence[Question]) -> list[list[dict[str, Any]] | str]:
    """Return figures for each question, or one sentence that says why there are none.

    A question is (cell as JSON, fields of Load, batch sizes, bytes of a device or None).
    """
    return each(questions, _figures)


def each(
    questions: Sequence[Question], figures: Callable[..., list[dict[str, Any]]]
) -> list[list[dict[str, Any]] | str]:
    """Return the result of `figures` for each question, or one sentence that says why there is none.

    An error of any kind becomes such a sentence, so that it costs the other questions nothing.
    """
    results: list[list[dict[str, Any]] | str] = []
    for cell, load, sizes, memory in questions:
        try:
            results.append(figures(identity.from_json(cell), Load(**load), sizes, memory))
        except UsageError as error:
            results.append(str(error))
        except Exception as error:  # one that cannot be followed leaves the others theirs
            names = f"method {cell['method']['name']} on model {cell['model']['name']}"
            results.append(f"no forecast for {names}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
    return results


def _figures(cell: Any, load: Load, sizes: Sequence[int], memory: int | None) -> list[dict[str, Any]]:
    with quantised_shapes.stood_in():
        course = Course(prepare(cell, load))
        sized = [course.at(size) for size in sizes]
        if memory is None:
            return sized
        parts = Course(prepare(cell, replace(load, accumulation=max(2, load.accumulation))))
        return [{**figures, **_fit(figures, course, parts, memory)} for figures in sized]


def _fit(sized: Mapping[str, Any], course: "Course", parts: "Course", memory: int) -> dict[str, Any]:
    """Return whether a batch fits in `memory` bytes, and what would.

    largest_batch: rows, at the requested accumulation. accumulation_to_fit: the smallest that lets the batch fit.
    parts: the course of a step in at least two parts, whose gradients live on between them.
    """
    room = memory - CONTEXT - WORKSPACE
    fits = sized["peak_bytes"] <= room
    most = largest(course.peak, room)
    rows = most if fits else largest(parts.peak, room)
    needed = -(-sized["batch_size"] // rows) if rows else None
    return {
        "device_bytes": memory,
        "fits": fits,
        "largest_batch": most * sized["accumulation"],
        "accumulation_to_fit": sized["accumulation"] if fits else needed,
    }


def largest(peak: Callable[[int], int], room: int) -> int:
    """Return the largest number of rows whose peak is at most `room`: 0 where one row needs more, LIMIT where more
    would fit.
    """
    if peak(1) > room:
        return 0
    low, high = 1, 2
    while high <= LIMIT and peak(high) <= room:
        low, high = high, 2 * high
    high = min(high, LIMIT + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if peak(middle) <= room else (low, middle)
    return low


class Course:
    """The allocations of one step at any number of rows, inferred from the steps at two numbers of rows.

    The bytes of a storage are linear in the rows, and the order of allocations does not depend on them. Where the logs
    of the two steps have another order (a single row may take other kernels), nothing is inferred: the step is run
    for every number of rows.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._logs: dict[int, Log] = {}

    def at(self, batch_size: int) -> dict[str, Any]:
        """Return the figures at one batch size: bytes, operations, the settings, and the counts of parameters.

        The batch is cut into as many parts as the load says.
        """
        subject, load = self._subject, self._subject.load
        log = self.log(-(-batch_size // load.accumulation))
        peak, ways = log.peak(), subject.ways
        return {
            "peak_bytes": peak.bytes,
            "split": peak.split,
            "phases": {phase: log.most(phase) for phase in log.phases()},
            "workspace_bytes": WORKSPACE,
            "needs_bytes": peak.bytes + WORKSPACE + CONTEXT,
            "batch_size": batch_size,
            **vars(load),
            "attention": ["plain"] if ways is None else sorted(ways.used) or ["eager"],
            "precision": subject.recipe.precision,
            "optimizer": subject.recipe.optimizer,
            "parameters": subject.counts,
            "operations": self._operations(log),
        }

    def _operations(self, log: Log) -> int:
        """Return the floating-point operations of a step with the whole batch; 0 where nothing trains.

        They are counted as in a run (harness/training/step_profile.py): matrix products, convolutions and attention; a
        multiplication and an addition are two. A quantised base counts as the dense one that its products are made
        with.
        """
        trains = any(True for _ in trainable(self._subject.model))
        of_part = sum(count for phase, count in log.operations.items() if phase != UPDATE)
        whole = of_part * self._subject.load.accumulation // synthetic_step.parts_run(self._subject)
        return whole + log.operations.get(UPDATE, 0) if trains else 0

    def peak(self, rows: int) -> int:
        """Return the bytes of the peak with this number of rows at once."""
        return self.log(rows).most()

    def log(self, rows: int) -> Log:
        """Return the log of a step with this number of rows, measured or inferred from two smaller ones."""
        if rows in self._logs:
            return self._logs[rows]
        known = sorted(self._logs)[-2:]
        if len(known) == 2 and rows > 1 and self._logs[known[0]].same_course(self._logs[known[1]]):
            return _between(self._logs[known[0]], known[0], self._logs[known[1]], known[1], rows)
        self._logs[rows] = synthetic_step.follow(self._subject, rows)
        return self._logs[rows]


def _between(first: Log, low: int, second: Log, high: int, rows: int) -> Log:
    slope = (second.sizes - first.sizes) / (high - low)
    more = (rows - low) / (high - low)
    operations = {
        phase: round(count + (second.operations.get(phase, 0) - count) * more)
        for phase, count in first.operations.items()
    }
    return replace(first, sizes=np.rint(first.sizes + slope * (rows - low)).astype(np.int64), operations=operations)
