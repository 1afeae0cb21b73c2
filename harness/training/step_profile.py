"""Floating-point operations of one training step, and what share of the device's peak training reached.

Counted once, after training, when all that is kept has been written: one forward and backward pass under torch's
counter (matrix products, convolutions and attention; a multiplication and an addition are two). No timed region holds
it, and random state and gradients are as before.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils import flop_counter

from harness.measurement import peak_flops
from harness.measurement.allocations import END, START, Live, Log
from harness.training import optimizers, step
from harness.training.batches import POOL, Order
from harness.training.updating import awake
from methods.backbone.trainable_parameters import trainable

if TYPE_CHECKING:
    from harness.training.course.work import Work


def operations(work: "Work", device: torch.device, name: str) -> dict[str, Any]:
    """Return the record's `flops`: of one step, per second of steady training, and the share of the peak of device
    `name`.

    The rate is that step's operations per token times the steady tokens per second. `start`: those before the first
    step, where the method has any.
    """
    absent: dict[str, Any] = dict.fromkeys(("step", "rows", "tokens", "per_s", "peak_per_s", "peak_of", "share"))
    absent |= {} if work.start_flops is None else {"start": work.start_flops}
    if not dict(trainable(work.model)):
        return {**absent, "why_null": {"step": "nothing trains"}}
    rows = typical(work)
    try:
        with awake.as_in_a_step(work.model, work.recipe):
            operations = count(work, rows, device)
    except Exception as error:  # foreign methods and kernels may not stand a dispatch mode
        return {**absent, "why_null": {"step": f"not counted: {type(error).__name__}: {error}"}}
    tokens = int(work.splits["train"].encoded.tokens[rows].sum())
    rate = work.meter.steps.steady(work.meter.steps.tokens)
    per_s = None if rate is None else operations / tokens * rate
    peak, source = peak_flops.find(name, arithmetic(work.recipe.precision))
    share = per_s / peak if per_s and peak else None
    reasons = {} if peak else {"share": source}
    if per_s is None:
        reasons["per_s"] = "no step was trained here"
    counted = {"step": operations, "rows": len(rows), "tokens": tokens, "per_s": per_s, "peak_per_s": peak}
    return {**absent, **counted, "peak_of": source if peak else None, "share": share, "why_null": reasons}


def count(work: "Work", rows: Sequence[int], device: torch.device) -> int:
    """Return the floating-point operations of one forward and backward pass on these rows of train.

    Gradients are freed; mode and random state are as before.
    """
    batch = work.splits["train"].encoded.batch(rows).to(device)
    was_training = work.model.training
    work.model.train()
    try:
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            counter() as operations,
        ):
            step.add_gradients(step.losses(work.objective, work.method, work.model, batch)[1])
    finally:
        work.model.train(was_training)
        for parameter in work.model.parameters():
            parameter.grad = None
    return int(operations.get_total_flops())


def counter() -> flop_counter.FlopCounterMode:
    """Return torch's counter of floating-point operations, with the attention kernels of CPUs."""
    return flop_counter.FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION)


def typical(work: "Work") -> Sequence[int]:
    """Return the rows of a batch whose padded width is the (upper) median of the first pool of batches."""
    lengths = work.splits["train"].encoded.lengths
    order = Order(lengths, work.recipe.batch_size, 0)
    batches = sorted((order.rows(index) for index in range(POOL)), key=lambda rows: int(np.max(lengths.numpy()[rows])))
    return [int(row) for row in batches[POOL // 2]]


def arithmetic(precision: str) -> str:
    """Return the precision of matrix products: bf16, tf32 where float32 products may use it, or fp32."""
    if precision == "bf16":
        return "bf16"
    return "fp32" if torch.get_float32_matmul_precision() == "highest" else "tf32"


def _forward(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(flop_counter.sdpa_flop_count(query, key, value))


def _backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(flop_counter.sdpa_backward_flop_count(gradient, query, key, value))


_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _forward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward,
}
"""torch's counter knows the GPU's attention kernels only."""


MOST_STEPS = 5000
"""The widest batch is looked for among so many."""
PHASES = ("steady", "train")


def counted(record: dict[str, Any], work: "Work", device: torch.device, order_seed: int) -> dict[str, Any]:
    """Return the record with `live_bytes` in the memory of training, and `live`, their uses. The weights change."""
    memory, live = dict(record["memory"]), live_storages(work, device, order_seed)
    for phase in PHASES:
        if phase in memory:
            memory[phase] = {**memory[phase], "live_bytes": live["bytes"]}
    return {**record, "memory": {**memory, "why_null": {**memory["why_null"], **live["why_null"]}}, "live": live}


def live_storages(work: "Work", device: torch.device, order_seed: int) -> dict[str, Any]:
    """Return the bytes of the storages that live at the peak of a step, and their uses at that moment.

    bytes: each storage rounded up to the allocator's 512. split: use -> bytes.
    """
    absent: dict[str, Any] = dict.fromkeys(("bytes", "split", "rows", "tokens"))
    if device.type != "cpu":
        return {**absent, "why_null": {"live": "counted on the CPU only: on this device torch's allocator counts"}}
    if work.recipe.accumulate > 1 or work.recipe.parallel != "none":
        return {**absent, "why_null": {"live": "counted for a batch in one piece only"}}
    if not dict(trainable(work.model)) or not work.recipe.steps:
        return {**absent, "why_null": {"live": "nothing trains"}}
    rows = widest(work, order_seed)
    try:
        with torch.random.fork_rng(devices=[]), awake.as_in_a_step(work.model, work.recipe):
            peak = follow(work, rows, device).peak()
    except Exception as error:  # foreign methods and kernels may not stand a dispatch mode
        return {**absent, "why_null": {"live": f"not counted: {type(error).__name__}: {error}"}}
    tokens = int(work.splits["train"].encoded.tokens[rows].sum())
    return {"bytes": peak.bytes, "split": peak.split, "rows": len(rows), "tokens": tokens, "why_null": {}}


def follow(work: "Work", rows: Sequence[int], device: torch.device) -> Log:
    """Run two steps on these rows, which change the weights, and return the allocations of the second."""
    work.model.train()
    with Live() as live:
        live.watch(work.model)
        optimizer = optimizers.make(work.model, work.recipe, work.method.groups(work.model))
        optimizer.register_step_pre_hook(lambda *_: live.mark("update"))
        for start in (None, START):
            if start is not None:
                live.mark(start)
            live.mark("forward")
            batch = work.splits["train"].encoded.batch(rows).to(device)
            loss, total = step.losses(work.objective, work.method, work.model, batch)
            live.mark("backward")
            step.descend(optimizer, total, work.recipe.gradient_clip)
            del batch, loss, total
        live.mark(END)
    return live.log()


def widest(work: "Work", order_seed: int) -> list[int]:
    """Return the rows of the batch with the longest input, among the first MOST_STEPS steps."""
    lengths = work.splits["train"].encoded.lengths
    order, sizes = Order(lengths, work.recipe.batch_size, order_seed), lengths.numpy()
    steps = range(min(work.recipe.steps, MOST_STEPS))
    return [int(row) for row in max((order.rows(index) for index in steps), key=lambda rows: int(sizes[rows].max()))]
