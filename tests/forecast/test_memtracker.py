"""A second implementation: torch.distributed's MemTracker, which needs minutes where a forecast needs a second."""

import warnings
from collections.abc import Callable

import pytest
import torch

from harness import optimizers
from harness.config import Cell
from harness.forecast import probe
from harness.forecast.load import Load

POINTS = [
    *((method, "micro-t5-nano", batch) for method in ("full", "lora", "adapter", "prefix") for batch in (2, 16)),
    ("full", "t5-base", 1),
    ("lora", "t5-base", 32),
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "model", "batch"), POINTS)
def test_memtracker_agrees(cell: Callable[..., Cell], method: str, model: str, batch: int) -> None:
    made, load = cell(method, model), Load(128, 8)
    ours = probe.follow(probe.prepare(made, load, as_cuda=False), batch).most()
    assert ours == pytest.approx(_theirs(made, load, batch), rel=0.02)


def _theirs(made: Cell, load: Load, batch: int) -> int:
    """Bytes at the peak of the second step, by MemTracker."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.distributed._tools.mem_tracker import MemTracker

    subject = probe.prepare(made, load, as_cuda=False)
    with probe._fused_on_meta():
        optimizer = optimizers.make(subject.model, made.recipe)
        tracker = MemTracker()
        tracker.track_external(subject.model, optimizer)
        with tracker, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(2):
                loss = subject.objective.loss(subject.model, probe.synthetic(subject.load, batch, probe.META))
                optimizers.descend(optimizer, loss, made.recipe.gradient_clip)
                del loss
    return int(tracker.get_tracker_snapshot("peak")[torch.device("meta")]["Total"])
