"""The precision in which a model is run forward.

Only objectives call a model, and each of their methods that does is `in_precision`. So nobody who asks an objective
for a loss or for predictions can forget the precision, and nobody else has a model to call.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import torch

if TYPE_CHECKING:
    from torch import nn

    from harness.training.batches import Batch

Result = TypeVar("Result")


def computing(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """What a forward pass runs in. fp32: as the tensors are. bf16: parameters stay what they are, and matrix products
    run in bfloat16, whatever of their two sides is kept in which.

    The meta device has no autocast: a forecast makes its casts itself (harness/forecast/cuda_rules.py).
    """
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def in_precision(run: Callable[..., Result]) -> Callable[..., Result]:
    """For a method (objective, model, batch) that runs the model: it computes in the precision of `reading`."""

    @wraps(run)
    def inside(objective: Any, model: "nn.Module", batch: "Batch") -> Result:
        with computing(objective.reading.precision, batch.inputs.device):
            return run(objective, model, batch)

    return inside
