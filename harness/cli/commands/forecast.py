"""Forecast the peak training memory of cells, without their weights and without a GPU.

deltabench forecast model=t5-3b method=full,lora recipe.batch_size=1,8,32
deltabench forecast model=llama-7b method=lora recipe.precision=bf16 --device-memory 24GiB --checkpointing
deltabench forecast model=t5-base method=lora --input-tokens 128 --target-tokens 8 --kernel math

Choices are key=value as in `deltabench sweep`. No data and no weights are read. Rows are as long as the task's limits
allow, unless --input-tokens and --target-tokens are given. The forecast is for the second training step on a CUDA
device: the peak bytes of torch's allocator, split at the moment of the peak. The memory of CUDA and its libraries is
listed apart. With a GPU here, or --device-memory, the output shows what fits.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from harness import formatting
from harness.cli import command_line
from harness.config.schema import Cell
from harness.config.step_load import KERNELS, Load, gib, whole
from harness.errors import UsageError, together
from harness.forecast import client, device_fit
from harness.store import identity

HEAD = ("method", "model", "batch", "peak", "parameters", "gradients", "optimizer", "activations", "temporaries")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench forecast`."""
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--input-tokens", metavar="N", help="length of every input (default: the task's limit)")
    parser.add_argument("--target-tokens", metavar="N", help="length of every target (default: the task's limit)")
    parser.add_argument("--kernel", default="auto", metavar="|".join(KERNELS), help="the attention kernel")
    parser.add_argument("--checkpointing", action="store_true", help="recompute activations block by block")
    parser.add_argument(
        "--accumulation", default="1", metavar="N", help="number of parts of a batch (gradient accumulation)"
    )
    parser.add_argument("--device-memory", metavar="24GiB", help="memory of the device to fit (default: this GPU)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench forecast` and return its exit code."""
    given = command_line.parse(arguments.words, ())
    command_line.refuse_added(given)
    if given.runtime:
        raise UsageError(f"{next(iter(given.runtime))}: a forecast runs nothing, so leave it out.")
    load = Load(
        input_tokens=whole("--input-tokens", arguments.input_tokens),
        target_tokens=whole("--target-tokens", arguments.target_tokens),
        kernel=arguments.kernel,
        checkpointing=arguments.checkpointing,
        accumulation=whole("--accumulation", arguments.accumulation) or 0,
    )
    memory = device_fit.wanted(arguments.device_memory)
    planned = client.without_data(given.block)
    answers = client.ask(planned, load, memory)
    wrong = [answer for answer in answers if isinstance(answer, str)]
    if len(wrong) == len(answers):
        raise UsageError(together(wrong))
    if arguments.json:
        print(json.dumps([row(*pair) for pair in zip(planned, answers, strict=True)], indent=1))
        return 0
    print(table(planned, answers))
    return 0


def row(cell: Cell, answer: Any) -> dict[str, Any]:
    """Return a cell and its figures, or the reason why there are none."""
    return {"cell": identity.to_json(cell), **({"error": answer} if isinstance(answer, str) else answer)}


def table(planned: Sequence[Cell], answers: Sequence[Any]) -> str:
    """Return a line per cell, then notes that hold for all of them."""
    good = [answer for answer in answers if not isinstance(answer, str)]
    sized = "fits" in good[0]
    lines = [(*HEAD, *(("fits", "largest batch", "accumulation") if sized else ()))]
    wrong = []
    for cell, answer in zip(planned, answers, strict=True):
        if isinstance(answer, str):
            wrong.append(answer)
            continue
        split = (gib(answer["split"][name]) for name in HEAD[4:])
        line = (cell.method.name, cell.model.name, str(answer["batch_size"]), gib(answer["peak_bytes"]), *split)
        lines.append((*line, *device_fit.verdict(answer)) if sized else line)
    return "\n".join([formatting.aligned(lines, range(2, len(lines[0]))), "", *_notes(good), *dict.fromkeys(wrong)])


def _notes(good: Sequence[dict[str, Any]]) -> list[str]:
    """Return notes on the rows, the precision, the kernel and the memory beside the peak."""

    def each(name: str) -> str:
        values = [answer[name] if isinstance(answer[name], list) else [answer[name]] for answer in good]
        return ", ".join(dict.fromkeys(str(item) for value in values for item in value))

    first = good[0]
    notes = [
        f"rows of {each('input_tokens')} input and {each('target_tokens')} target tokens; {each('precision')}; "
        f"{each('optimizer')}; attention kernel {each('attention')}"
        + ("; blocks recomputed in the backward pass" if first["checkpointing"] else "")
        + (f"; in {first['accumulation']} parts" if first["accumulation"] > 1 else ""),
        f"not in the peak: {gib(first['workspace_bytes'])} for cuBLAS and about "
        f"{gib(first['needs_bytes'] - first['peak_bytes'] - first['workspace_bytes'])} for CUDA itself",
    ]
    if "device_bytes" in first:
        notes.append(
            f"on a device of {gib(first['device_bytes'])}; accumulation: the number of parts in which the batch fits"
        )
    return notes
