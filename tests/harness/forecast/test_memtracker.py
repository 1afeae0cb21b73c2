"""A second implementation: torch.distributed's MemTracker, which needs minutes where a forecast needs a second."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from harness.config.schema import Cell
from harness.config.step_load import Load
from harness.forecast import synthetic_step
from harness.forecast.prepared_cell import prepare
from harness.measurement.allocations import Live

POINTS = [
    *((method, "micro-t5-nano", batch) for method in ("full", "lora", "adapter", "prefix") for batch in (2, 16)),
    ("full", "t5-base", 1),
    ("lora", "t5-base", 32),
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "model", "batch"), POINTS)
def test_memtracker_agrees(cell: Callable[..., Cell], method: str, model: str, batch: int) -> None:
    made, load = cell(method, model), Load(128, 8)
    ours = synthetic_step.follow(prepare(made, load, as_cuda=False), batch).most()
    assert ours == pytest.approx(_theirs(made, load, batch), rel=0.02)


def _theirs(made: Cell, load: Load, batch: int) -> int:
    """Bytes at the peak of the same step, by MemTracker."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.distributed._tools.mem_tracker import MemTracker

    class Tracker(MemTracker):  # type: ignore[misc]
        """Its hooks on gradients tell categories only, and it puts them on frozen tensors too, which is an error."""

        def _track_module_params_and_buffers(self, module: nn.Module, install_grad_hooks: bool = True) -> Any:
            return super()._track_module_params_and_buffers(module, install_grad_hooks=False)

    subject, tracker = prepare(made, load, as_cuda=False), Tracker()
    with synthetic_step._fused_on_meta(), Live():  # Live answers what a mask holds, which meta tensors do not
        tracker.track_external(subject.model)
        with tracker, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer = synthetic_step.ready(subject, lambda _: None)
            synthetic_step.step(subject, optimizer, batch)
    return int(tracker.get_tracker_snapshot("peak")[torch.device("meta")]["Total"])
