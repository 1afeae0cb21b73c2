"""The contract of a method, and the helpers every method uses.

Shape alphabet, first in every tensor argument of this project: B batch, T tokens, D model width, F feed-forward
width, H heads, K head width, L layers, R rank or bottleneck, P prompt or prefix length, V vocabulary.

`requires_grad` is the only record of what trains: the optimiser, the parameter count and the saved file read it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn


@dataclass(frozen=True)
class Method:
    """A delta-tuning method: flat hyperparameters and what they do to a frozen backbone.

    Subclasses are frozen dataclasses with a `name`; their fields are the YAML's fields.
    """

    name: ClassVar[str]
    mergeable: ClassVar[bool] = False
    unchanged_at_start: ClassVar[bool] = True

    def attach(self, model: nn.Module) -> None:
        """Insert modules into the frozen backbone and/or set `requires_grad`. Raises UsageError/NotApplicable."""
        raise NotImplementedError

    def merge(self, model: nn.Module) -> None:
        """Fold the delta into the backbone; idempotent. Methods that cannot merge raise NotApplicable."""
        raise NotImplementedError

    def penalty(self, model: nn.Module) -> torch.Tensor | None:
        """An extra loss term (scalar), or None."""
        return None

    def after_step(self, model: nn.Module, step: int) -> None:
        """Called after each optimiser step (1-based)."""

    def dead(self, model: nn.Module) -> dict[str, str]:
        """Trainable tensors that can never have a gradient: parameter name -> reason."""
        return {}

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        """What the record should say about this attachment (insertion points, created biases, ...)."""
        return {}


def freeze(model: nn.Module) -> None:
    """No parameter of the backbone trains."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """(name, parameter) of everything that trains, each tensor once."""
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)
