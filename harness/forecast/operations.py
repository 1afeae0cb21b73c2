"""Floating-point operations of one training step, counted on the meta device. Works in a child process.

As harness/flops.py counts them in a run: matrix products, convolutions and attention; a multiplication and an addition
are two. A quantised base counts as the dense one that its products are made with.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from torch.utils.flop_counter import FlopCounterMode

from harness import forward
from harness.forecast import answer, probe, quantised
from harness.forecast.live import Live
from harness.forecast.load import Load
from harness.forecast.subject import Subject, prepare
from methods.base import trainable


def answers(asked: Sequence[answer.Asked]) -> list[list[dict[str, Any]] | str]:
    """(cell as JSON, fields of Load, batch sizes, ignored) -> {"operations"} at each size, or what is wrong with it."""
    return answer.each(asked, _figures)


def _figures(cell: Any, load: Load, sizes: Sequence[int], _: int | None) -> list[dict[str, Any]]:
    """Operations are linear in the rows: a method's work on weights alone is the same for any number of them."""
    with quantised.stood_in():
        subject = prepare(cell, load)
        one, two = (_count(subject, rows) for rows in (1, 2))
    return [{"operations": one + (rows - 1) * (two - one)} for rows in sizes]


def _count(subject: Subject, rows: int) -> int:
    if not any(True for _ in trainable(subject.model)):
        return 0
    batch = probe.synthetic(subject.load, rows, subject.device)
    ways = subject.ways or nullcontext()
    with FlopCounterMode(display=False) as counter, Live(), ways:  # Live: who reads a value gets none
        loss, penalty = forward.losses(subject.objective, subject.method, subject.model, batch)
        (loss if penalty is None else loss + penalty).backward()
    subject.model.zero_grad(set_to_none=True)
    return int(counter.get_total_flops())
