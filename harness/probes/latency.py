"""Inference latency and throughput of a finished cell, before and after merging, beside the bare backbone.

Both sides of a comparison answer the same rows of the reported set in one process and in turns, so that what slows the
machine slows both; the ratio is taken within each turn. `unmerged` is the model as it was trained; `merged` has its
delta folded into the backbone, where the method can. Answering is what evaluation does: the likelihood of the options,
or generation, here always of as many tokens as the task allows.
"""

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil

from harness.errors import NotApplicable
from harness.measurement.step_timer import percentile

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.probes._finished_cell import Finished

BATCHES = (1, 32)
MOST, LEAST, SECONDS = 60, 9, 20.0
"""Turns of one comparison: MOST, or as many as fit into SECONDS, but at least LEAST."""
WARM_UP = 3


def measure(finished: "Finished", device: "torch.device") -> dict[str, Any]:
    """State -> batch size -> figures; and how many cores other work kept busy meanwhile."""
    wall, own, machine = time.perf_counter(), time.process_time(), _busy_s()
    rows = list(range(min(64, len(finished.reported.examples))))
    states: dict[str, Any] = {"unmerged": _compare(finished, device)}
    answers, why = _answers(finished, rows, device), {}
    try:
        finished.method.merge(finished.model)
        states["merged"] = _compare(finished, device)
        same = [one == other for one, other in zip(answers, _answers(finished, rows, device), strict=True)]
        agreeing: float | None = sum(same) / len(same)
    except NotApplicable as error:
        states["merged"], agreeing, why = None, None, {"merged": str(error)}
    spent = time.perf_counter() - wall
    others = None if machine is None else max(0.0, (_busy_s() or 0.0) - machine - (time.process_time() - own)) / spent
    if others is None:
        why["busy_beside"] = "the system does not count the time of its processors"
    return {**states, "same_answers": agreeing, "busy_beside": others, "why_null": why}


def told(result: Mapping[str, Any]) -> list[str]:
    """Two lines per state."""
    lines = []
    for state in ("unmerged", "merged"):
        for size, found in (result.get(state) or {}).items():
            lines.append(
                f"{state}, batch {size}: {found['ms']['median']:.3g} ms, {found['examples_per_s']:,.4g} examples/s, "
                f"{found['ratio']['median']:.3f} of the bare backbone's time "
                f"[{found['ratio']['low']:.3f}, {found['ratio']['high']:.3f}]"
            )
    lines += [f"no {name}: {why}" for name, why in (result.get("why_null") or {}).items()]
    if result.get("same_answers") not in (None, 1.0):
        lines.append(f"merging changed {1 - result['same_answers']:.1%} of the answers")
    if (result.get("busy_beside") or 0) > 0.2 or result.get("cells_beside"):
        lines.append(
            f"not alone: {result.get('cells_beside')} cells ran beside, and other work kept "
            f"{result.get('busy_beside') or 0:.1f} cores busy"
        )
    return lines


def _compare(finished: "Finished", device: "torch.device") -> dict[str, Any]:
    return {str(size): _figures(finished, size, device) for size in BATCHES}


def _figures(finished: "Finished", size: int, device: "torch.device") -> dict[str, Any]:
    """Milliseconds per batch of the bare backbone and of the model, and the ratio with its 95 % interval."""
    split = finished.reported
    count, tokens = len(split.examples), []
    turns: list[tuple[float, float]] = []
    began = time.perf_counter()
    while len(turns) < MOST + WARM_UP and (len(turns) < LEAST + WARM_UP or time.perf_counter() - began < SECONDS):
        rows = [(len(turns) * size + i) % count for i in range(min(size, count))]
        tokens.append(int(split.encoded.tokens[rows].sum()))
        order = (finished.plain, finished.model) if len(turns) % 2 else (finished.model, finished.plain)
        took = {id(model): _time(finished, model, rows, device) for model in order}
        turns.append((took[id(finished.plain)], took[id(finished.model)]))
    kept = turns[WARM_UP:]
    plain, model = (sorted(1000 * one for one in side) for side in zip(*kept, strict=True))
    median_s, mean_tokens = statistics.median(model) / 1000, statistics.fmean(tokens[WARM_UP:])
    return {
        "plain_ms": _spread(plain),
        "ms": _spread(model),
        "ratio": _interval([with_ / bare for bare, with_ in kept]),
        "examples_per_s": min(size, count) / median_s,
        "tokens_per_s": mean_tokens / median_s,
        "turns": len(kept),
    }


def _time(finished: "Finished", model: "nn.Module", rows: Sequence[int], device: "torch.device") -> float:
    """Seconds to answer these rows; making the batch is not in it."""
    batch = finished.reported.encoded.batch(rows).to(device)
    objective = _full_length(finished.objective)
    return clocked(lambda: objective.predict(model, batch), device)


def _full_length(objective: Any) -> Any:
    """With answers of one length: a tuned model that knows when to end would else seem faster than its backbone."""
    if (reading := getattr(objective, "reading", None)) is None:
        return objective
    return replace(objective, reading=replace(reading, full_length=True))


def clocked(call: Callable[[], Any], device: "torch.device") -> float:
    """Seconds of a call, the device waited for, without the collector of cycles."""
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
    import torch

    with torch.inference_mode():
        batch = finished.reported.encoded.batch(rows).to(device)
        return list(finished.objective.predict(finished.model, batch).answers)


def _spread(ordered: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(ordered), "p5": percentile(ordered, 0.05), "p95": percentile(ordered, 0.95)}


def _interval(ratios: Sequence[float]) -> dict[str, float]:
    """The median and its 95 % interval between order statistics (normal approximation of the binomial)."""
    ordered = sorted(ratios)
    reach = 0.98 * math.sqrt(len(ordered))
    low = max(0, math.floor(len(ordered) / 2 - reach))
    high = min(len(ordered) - 1, math.ceil(len(ordered) / 2 + reach) - 1)
    return {"median": statistics.median(ordered), "low": ordered[low], "high": ordered[high]}


def _busy_s() -> float | None:
    """Seconds that the machine's processors have worked, all of them together; None where that is not counted."""
    times = psutil.cpu_times()
    busy = times.user + times.system + getattr(times, "nice", 0.0)
    return busy if busy > 0 else None
