"""TODO."""

from collections.abc import Iterator
from typing import Any, ClassVar

from torch import nn


class Delta(nn.Module):
    """A module that a method inserted, so not part of the backbone.

    On a host it maps the host's output: forward(output, *inputs of the host) -> new output.
    owns_weight: it rewrites what its host's weight does, so nothing else may (see `combine`).
    """

    owns_weight: ClassVar[bool] = False
    _hook: Any = None
    _seat: tuple[str, Any] = ("", None)  # its name and host; in a tuple, so that torch does not register the host

    def plain(self) -> "Delta":
        """What a file keeps of it: itself, or what a reparametrisation makes, as a delta that needs it no more."""
        return self


def trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """(name, parameter) of everything that trains, each tensor once."""
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)
