"""The precision in which a model is run forward.

Only objectives call a model, and each of their methods that does is `in_precision`. So nobody who asks an objective
for a loss or for predictions can forget the precision, and nobody else has a model to call.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch

if TYPE_CHECKING:
    from torch import nn

Result = TypeVar("Result")


class Inputs(Protocol):
    """What is read of a batch: its token ids `inputs` [B, T]."""

    inputs: torch.Tensor


def computing(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which a forward pass runs. fp32: tensors as they are. bf16: parameters stay as they are,
    and matrix products run in bfloat16, whatever the precision of their two sides is.

    The meta device has no autocast: a forecast makes its casts itself (harness/forecast/cuda_rules.py).
    """
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def uncast(device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which matrix products are in the precision of their two sides, inside `computing` too.

    On the meta device it is the casts of a forecast that it leaves out.
    """
    if device.type == "meta":
        return torch._C.DisableTorchFunction()
    return torch.autocast(device.type, enabled=False)


def in_precision(run: Callable[..., Result]) -> Callable[..., Result]:
    """Wrap a method (objective, model, batch) that runs a model, so that it computes in the precision of `reading`."""

    @wraps(run)
    def inside(objective: Any, model: "nn.Module", batch: Inputs) -> Result:
        with computing(objective.reading.precision, batch.inputs.device):
            return run(objective, model, batch)

    return inside
