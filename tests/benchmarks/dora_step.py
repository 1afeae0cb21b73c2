"""What a step of DoRA takes, beside one of LoRA on the same linear layer, in alternation in one run.

python tests/benchmarks/dora_step.py [times] [out.json]        aim: time at most 1.08 (fp32) and 1.1 (bf16), memory 1.1

A step is forward and backward through one layer whose input has a gradient, on one thread. Its seconds are those of the
thread, which others on the machine do not lengthen. Its memory is what lives at its peak, without weight and input.
"""

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch import nn

from harness.config.schema import MethodConfig
from harness.measurement.allocations import END, START, Live
from harness.precision import computing
from methods import registry as methods

METHODS = ("lora", "dora")
SHAPES = ((1024, 4096), (4096, 1024), (4096, 4096))
"""(d_in, d_out)"""
TOKENS = (512, 2048)
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class OneLayer(nn.Module):
    """A backbone that is one linear layer."""

    def __init__(self, d_in: int, d_out: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type="one layer")
        self.layer = nn.Linear(d_in, d_out, bias=False, dtype=dtype)
        self.layer.weight.requires_grad_(False)


@dataclass(frozen=True)
class Step:
    """A step: forward and backward. there: the tensors that exist before it."""

    run: Callable[[], None]
    there: list[torch.Tensor]


def step(method: str, d_in: int, d_out: int, tokens: int, precision: str) -> Step:
    """Return one step of a method."""
    torch.manual_seed(0)
    model, dtype = OneLayer(d_in, d_out, PRECISIONS[precision]), PRECISIONS[precision]
    methods.make(MethodConfig(method, {"targets": ("layer",)})).attach(model)
    for name, p in model.named_parameters():
        if name.endswith(".B"):
            nn.init.normal_(p, std=0.01)
    x = torch.randn(1, tokens, d_in, dtype=dtype, requires_grad=True)
    gradient = torch.randn(1, tokens, d_out, dtype=dtype)

    def run() -> None:
        with computing(precision, torch.device("cpu")):
            output = model.layer(x)
        output.backward(gradient)
        model.zero_grad()
        x.grad = None

    return Step(run, [*model.parameters(), x, gradient])


def seconds(run: Callable[[], None]) -> float:
    started = time.thread_time()
    run()
    return time.thread_time() - started


def peak(step: Step) -> int:
    """Return the bytes that a step has at its peak, beside those that were there before it."""
    live = Live()
    live.own(step.there)
    live.mark(START)
    with live:
        step.run()
        live.mark(END)
    return int(live.log().most() - sum(tensor.nbytes for tensor in step.there))


def measure(d_in: int, d_out: int, tokens: int, precision: str, times: int) -> dict[str, Any]:
    """Return medians of seconds, bytes at the peak, and DoRA's share of LoRA's for both."""
    steps = {name: step(name, d_in, d_out, tokens, precision) for name in METHODS}
    for one in steps.values():
        one.run()
    taken: dict[str, list[float]] = {name: [] for name in METHODS}
    for _ in range(times):
        for name, one in steps.items():
            taken[name].append(seconds(one.run))
    ratios = [dora / lora for lora, dora in zip(*(taken[name] for name in METHODS), strict=True)]
    peaks = {name: peak(one) for name, one in steps.items()}
    return {
        "d_in": d_in,
        "d_out": d_out,
        "tokens": tokens,
        "precision": precision,
        "seconds": {name: statistics.median(values) for name, values in taken.items()},
        "time_ratio": statistics.median(ratios),
        "time_ratios": [min(ratios), max(ratios)],
        "peak_bytes": peaks,
        "peak_ratio": peaks["dora"] / peaks["lora"],
    }


def main(times: int, out: str) -> None:
    torch.set_num_threads(1)
    rows = []
    print(f"{'d_in':>5} {'d_out':>5} {'tokens':>6} {'':4}   lora ms   dora ms   ratio (least, most)    peak MiB")
    for precision in PRECISIONS:
        for d_in, d_out in SHAPES:
            for tokens in TOKENS:
                row = measure(d_in, d_out, tokens, precision, times)
                rows.append(row)
                lora, dora = (1e3 * row["seconds"][name] for name in METHODS)
                least, most = row["time_ratios"]
                memory = " ".join(f"{row['peak_bytes'][name] / 2**20:6.1f}" for name in METHODS)
                print(
                    f"{d_in:5} {d_out:5} {tokens:6} {precision} {lora:9.1f} {dora:9.1f}   {row['time_ratio']:.3f} "
                    f"({least:.2f}, {most:.2f})  {memory}  {row['peak_ratio']:.2f}",
                    flush=True,
                )
    if out:
        found = {"times": times, "torch": torch.__version__, "machine": platform.machine(), "rows": rows}
        Path(out).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["7"])[0]), (sys.argv[2:] or [""])[0])
