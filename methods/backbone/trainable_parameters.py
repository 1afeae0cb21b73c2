"""The trainable parameters of a model, and the module that a method inserts to hold new ones."""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import nn


class Delta(nn.Module):
    """A module that a method inserted, so that it is not part of the backbone.

    On a host it maps the host's output: forward(output, *inputs of the host) -> new output.
    owns_weight: whether it rewrites what its host's weight does, so that no other delta may (see `combine`).
    """

    owns_weight: ClassVar[bool] = False
    _hook: Any = None
    _before: Any = None  # the hook by which it also changes the host's input
    _seat: tuple[str, Any] = ("", None)  # its name and host; in a tuple, so that torch does not register the host

    def plain(self) -> "Delta":
        """Return what a file stores of it: itself, or the delta that a reparametrisation computes."""
        return self


def trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Return (name, parameter) of every trainable parameter, of whatever shape; each tensor comes once."""
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def freeze(model: nn.Module) -> None:
    """Make every parameter of the model untrainable."""
    for p in model.parameters():
        p.requires_grad_(False)


def parameter(like: torch.Tensor, *shape: int) -> nn.Parameter:
    """Return an uninitialised trainable tensor of `shape` on the device of `like`.

    Its precision is that of `like`, or float32 where that is a half or quantised one.
    """
    dtype = like.dtype if like.dtype in (torch.float32, torch.float64) else torch.float32
    return nn.Parameter(torch.empty(shape, device=like.device, dtype=dtype))
