"""Floating-point operations of one training step, counted on the meta device. Works in a child process.

They are counted as in a run (harness/training/step_profile.py): matrix products, convolutions and attention; a
multiplication and an addition are two. A quantised base counts as the dense one that its products are made with.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from torch.utils.flop_counter import FlopCounterMode

from harness.config.step_load import Load
from harness.forecast import compute, quantised_shapes, synthetic_step
from harness.forecast.prepared_cell import Subject, prepare
from harness.measurement.allocations import Live
from harness.training import step
from methods.backbone.delta import trainable


def answers(questions: Sequence[compute.Question]) -> list[list[dict[str, Any]] | str]:
    """Return {"operations": number of one step} at each batch size for each question, or one sentence that says why
    there is none. The number is 0 where nothing trains.

    A question is (cell as JSON, fields of Load, batch sizes, ignored).
    """
    return compute.each(questions, _figures)


def _figures(cell: Any, load: Load, sizes: Sequence[int], _: int | None) -> list[dict[str, Any]]:
    """Operations are linear in the rows: a method's work on weights alone is the same for any number of them."""
    with quantised_shapes.stood_in():
        subject = prepare(cell, load)
        single, double = (_count(subject, rows) for rows in (1, 2))
    return [{"operations": single + (rows - 1) * (double - single)} for rows in sizes]


def _count(subject: Subject, rows: int) -> int:
    if not any(True for _ in trainable(subject.model)):
        return 0
    batch = synthetic_step.synthetic(subject.load, rows, subject.device, synthetic_step.options_read(subject))
    ways = subject.ways or nullcontext()
    with FlopCounterMode(display=False) as counter, Live(), ways:  # Live: who reads a value gets none
        step.add_gradients(step.losses(subject.objective, subject.method, subject.model, batch)[1])
    subject.model.zero_grad(set_to_none=True)
    return int(counter.get_total_flops())
