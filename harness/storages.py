"""Bytes that live at once in a training step, counted where no allocator does: on the CPU.

After training, when all that is kept has been written, two steps run under the tracker that makes the forecast: the
first makes the optimiser's state, the second is judged. Its rows are those of the widest batch that training had. The
tokenised rows and the copies of the best tensors are not in it; host memory (process_bytes) holds those too, and some
500 MB of libraries.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from harness import precision
from harness.forecast.log import END, START, Log
from harness.measurement.allocations import Live
from harness.training import optimizers
from harness.training.batches import Order
from methods.base import trainable

if TYPE_CHECKING:
    from harness.training.fit import Work

MOST_STEPS = 5000
"""The widest batch is looked for among so many."""
PHASES = ("steady", "train")


def counted(record: dict[str, Any], work: "Work", device: torch.device, order_seed: int) -> dict[str, Any]:
    """The record with `live_bytes` in the memory of training, and `live`: what they are for. Moves the weights."""
    memory, live = dict(record["memory"]), told(work, device, order_seed)
    for phase in PHASES:
        if phase in memory:
            memory[phase] = {**memory[phase], "live_bytes": live["bytes"]}
    return {**record, "memory": {**memory, "why_null": {**memory["why_null"], **live["why_null"]}}, "live": live}


def told(work: "Work", device: torch.device, order_seed: int) -> dict[str, Any]:
    """bytes: at the peak, storages rounded to the allocator's 512. split: what they are for at that moment."""
    absent: dict[str, Any] = dict.fromkeys(("bytes", "split", "rows", "tokens"))
    if device.type != "cpu":
        return {**absent, "why_null": {"live": "counted on the CPU only: here torch's allocator tells"}}
    if work.recipe.accumulate > 1 or work.recipe.parallel != "none":
        return {**absent, "why_null": {"live": "counted for a batch in one piece only"}}
    if not dict(trainable(work.model)) or not work.recipe.steps:
        return {**absent, "why_null": {"live": "nothing trains"}}
    rows = widest(work, order_seed)
    try:
        with torch.random.fork_rng(devices=[]):
            peak = follow(work, rows, device).peak()
    except Exception as error:  # foreign methods and kernels may not stand a dispatch mode
        return {**absent, "why_null": {"live": f"not counted: {type(error).__name__}: {error}"}}
    tokens = int(work.splits["train"].encoded.tokens[rows].sum())
    return {"bytes": peak.bytes, "split": peak.split, "rows": len(rows), "tokens": tokens, "why_null": {}}


def follow(work: "Work", rows: Sequence[int], device: torch.device) -> Log:
    """The log of the second of two steps on these rows."""
    work.model.train()
    with Live() as live:
        live.watch(work.model)
        optimizer = optimizers.make(work.model, work.recipe)
        optimizer.register_step_pre_hook(lambda *_: live.mark("update"))
        for start in (None, START):
            if start is not None:
                live.mark(start)
            live.mark("forward")
            batch = work.splits["train"].encoded.batch(rows).to(device)
            loss, penalty = precision.losses(work.objective, work.method, work.model, batch)
            live.mark("backward")
            optimizers.descend(optimizer, loss if penalty is None else loss + penalty, work.recipe.gradient_clip)
            del batch, loss, penalty
        live.mark(END)
    return live.log()


def widest(work: "Work", order_seed: int) -> list[int]:
    """The rows of the batch with the most padded tokens."""
    lengths = work.splits["train"].encoded.lengths
    order, sizes = Order(lengths, work.recipe.batch_size, order_seed), lengths.numpy()
    steps = range(min(work.recipe.steps, MOST_STEPS))
    return [int(row) for row in max((order.rows(step) for step in steps), key=lambda rows: int(sizes[rows].max()))]
