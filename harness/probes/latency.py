"""Inference latency and throughput of a finished cell, before and after merging, beside the bare backbone.

Both sides of a comparison answer the same rows of the reported set in one process and in turns, so that a load on the
machine slows both. The ratio is computed within each turn. `unmerged` is the model as it was trained. `merged` has its
delta merged into the backbone, where the method can. Answering is the same as in evaluation: the likelihood of the
options, or generation, here always of as many tokens as the task allows.
"""

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.errors import NotApplicable
from harness.measurement.busy_cores import NOTICED, UNCOUNTED, BusyCores
from harness.measurement.step_timer import percentile

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.probes._finished_cell import Finished

BATCHES = (1, 32)
MOST, LEAST, SECONDS = 60, 9, 20.0
"""The turns of one comparison: MOST, or as many as fit into SECONDS, but at least LEAST."""
WARM_UP = 3


def measure(finished: "Finished", device: "torch.device") -> dict[str, Any]:
    """Return state -> batch size -> figures, and how many cores other work kept busy in the meantime."""
    beside = BusyCores()
    with beside.during():
        rows = list(range(min(64, len(finished.reported.examples))))
        states: dict[str, Any] = {"unmerged": _compare(finished, device)}
        answers, why = _answers(finished, rows, device), {}
        try:
            finished.method.merge(finished.model)
            states["merged"] = _compare(finished, device)
            same = [answer == other for answer, other in zip(answers, _answers(finished, rows, device), strict=True)]
            agreeing: float | None = sum(same) / len(same)
        except NotApplicable as error:
            states["merged"], agreeing, why = None, None, {"merged": str(error)}
    if beside.cores is None:
        why["busy_beside"] = UNCOUNTED
    return {**states, "same_answers": agreeing, "busy_beside": beside.cores, "why_null": why}


def describe(result: Mapping[str, Any]) -> list[str]:
    """Return two lines per state."""
    lines = []
    for state in ("unmerged", "merged"):
        for size, figures in (result.get(state) or {}).items():
            lines.append(
                f"{state}, batch {size}: {figures['ms']['median']:.3g} ms, "
                f"{figures['examples_per_s']:,.4g} examples/s, "
                f"{figures['ratio']['median']:.3f} of the bare backbone's time "
                f"[{figures['ratio']['low']:.3f}, {figures['ratio']['high']:.3f}]"
            )
    lines += [f"no {name}: {why}" for name, why in (result.get("why_null") or {}).items()]
    if result.get("same_answers") not in (None, 1.0):
        lines.append(f"merging changed {1 - result['same_answers']:.1%} of the answers")
    if (result.get("busy_beside") or 0) > NOTICED or result.get("cells_beside"):
        lines.append(
            f"the machine was shared: {result.get('cells_beside')} other cells ran, and other work kept "
            f"{result.get('busy_beside') or 0:.1f} cores busy"
        )
    return lines


def _compare(finished: "Finished", device: "torch.device") -> dict[str, Any]:
    """Return batch size -> figures."""
    return {str(size): _figures(finished, size, device) for size in BATCHES}


def _figures(finished: "Finished", size: int, device: "torch.device") -> dict[str, Any]:
    """Return the milliseconds per batch of the bare backbone and of the model, and the ratio with its 95 % interval."""
    split = finished.reported
    count, tokens = len(split.examples), []
    turns: list[tuple[float, float]] = []
    began = time.perf_counter()
    while len(turns) < MOST + WARM_UP and (len(turns) < LEAST + WARM_UP or time.perf_counter() - began < SECONDS):
        rows = [(len(turns) * size + i) % count for i in range(min(size, count))]
        tokens.append(int(split.encoded.tokens[rows].sum()))
        order = (finished.plain, finished.model) if len(turns) % 2 else (finished.model, finished.plain)
        seconds = {id(model): _time(finished, model, rows, device) for model in order}
        turns.append((seconds[id(finished.plain)], seconds[id(finished.model)]))
    measured = turns[WARM_UP:]
    plain, model = (sorted(1000 * value for value in side) for side in zip(*measured, strict=True))
    median_s, mean_tokens = statistics.median(model) / 1000, statistics.fmean(tokens[WARM_UP:])
    return {
        "plain_ms": _spread(plain),
        "ms": _spread(model),
        "ratio": _interval([with_ / bare for bare, with_ in measured]),
        "examples_per_s": min(size, count) / median_s,
        "tokens_per_s": mean_tokens / median_s,
        "turns": len(measured),
    }


def _time(finished: "Finished", model: "nn.Module", rows: Sequence[int], device: "torch.device") -> float:
    """Return the seconds to answer these rows, without making the batch."""
    batch = finished.reported.encoded.batch(rows).to(device)
    objective = full_length(finished.objective)
    return clocked(lambda: objective.predict(model, batch), device)


def full_length(objective: Any) -> Any:
    """Return the objective with answers of one length: a tuned model that ends early would else seem faster."""
    if (reading := getattr(objective, "reading", None)) is None:
        return objective
    return replace(objective, reading=replace(reading, full_length=True))


def clocked(call: Callable[[], Any], device: "torch.device") -> float:
    """Return the seconds of a call, including the device's work, with the garbage collector off."""
    import torch

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    collecting = gc.isenabled()
    gc.disable()
    try:
        with torch.inference_mode():
            wait()
            start = time.perf_counter()
            call()
            wait()
            return time.perf_counter() - start
    finally:
        if collecting:
            gc.enable()


def _answers(finished: "Finished", rows: Sequence[int], device: "torch.device") -> list[Any]:
    """Return the model's answers to these rows."""
    import torch

    with torch.inference_mode():
        batch = finished.reported.encoded.batch(rows).to(device)
        return list(finished.objective.predict(finished.model, batch).answers)


def _spread(ordered: Sequence[float]) -> dict[str, float]:
    """Return the median and two percentiles of sorted values."""
    return {"median": statistics.median(ordered), "p5": percentile(ordered, 0.05), "p95": percentile(ordered, 0.95)}


def _interval(ratios: Sequence[float]) -> dict[str, float]:
    """Return the median and its 95 % interval between order statistics (normal approximation of the binomial)."""
    ordered = sorted(ratios)
    reach = 0.98 * math.sqrt(len(ordered))
    low = max(0, math.floor(len(ordered) / 2 - reach))
    high = min(len(ordered) - 1, math.ceil(len(ordered) / 2 + reach) - 1)
    return {"median": statistics.median(ordered), "low": ordered[low], "high": ordered[high]}
