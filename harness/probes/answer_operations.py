"""Floating-point operations to answer rows, unmerged, beside those of the bare backbone.

Both answer the same rows of each reported set once, as in evaluation, under torch's counter (matrix products,
convolutions and attention; a multiplication and an addition are two). Generated answers have one length. The count is
exact and has no noise, unlike seconds (latency.py).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.probes._finished_cell import Finished
    from harness.training.batches import Batch

ROWS = 32


def measure(finished: "Finished", device: "torch.device") -> dict[str, Any]:
    """Return set -> `operations` and `plain`, of these `rows` together, and `extra`, the share that the delta adds."""
    sets = {}
    for name in finished.task.splits.tests:
        split = finished.splits[name]
        rows = list(range(min(ROWS, len(split.examples))))
        batch = split.encoded.batch(rows).to(device)
        plain, tuned = (_count(finished, model, batch) for model in (finished.plain, finished.model))
        sets[name] = {"operations": tuned, "plain": plain, "extra": tuned / plain - 1, "rows": len(rows)}
    return {"sets": sets}


def describe(result: Mapping[str, Any]) -> list[str]:
    """Return a line per set."""
    return [
        f"{name}: {figures['operations']:,} operations to answer {figures['rows']} rows, "
        f"{100 * figures['extra']:+.2f} % against the bare backbone"
        for name, figures in result["sets"].items()
    ]


def _count(finished: "Finished", model: "nn.Module", batch: "Batch") -> int:
    """Return the operations to answer a batch."""
    import torch

    from harness.probes.latency import full_length
    from harness.training import step_profile

    objective = full_length(finished.objective)
    with torch.no_grad(), step_profile.counter() as counter:
        objective.predict(model, batch)
    return int(counter.get_total_flops())
