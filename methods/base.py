"""The contract of a method. How a delta is hung into a model is in insertion.py, what a file keeps of it in kept.py.

Shape alphabet, first in every tensor argument of this project: B batch, T tokens, D model width, F
feed-forward width, H heads, K head width, L layers, R rank or bottleneck, P prompt or prefix length, V
vocabulary.

`requires_grad` is the only record of what trains: the optimiser, the parameter count and the saved file read
it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from harness.config.schema import MethodConfig
from harness.errors import NotApplicable, UsageError

if TYPE_CHECKING:
    from methods.backbone.sizes import Shape  # which itself needs to know a delta


def _nothing(_: nn.Module) -> None:
    pass


def _none(_: str) -> bool:
    return False


@dataclass(frozen=True)
class Stage:
    """One run of a fresh optimiser, with a schedule of its own, over `share` of the recipe's steps.

    begin(model) comes before its first step. rests(name of a trained tensor): whether that tensor stays as it is
    during the stage; it keeps its place in the delta (its count, its file). Only the last stage's evaluations
    are the method's. Where training goes on from a checkpoint, a new model begins every stage so far once more before
    its tensors are put back.
    """

    share: float = 1.0
    begin: Callable[[nn.Module], None] = _nothing
    rests: Callable[[str], bool] = _none


@dataclass(frozen=True)
class Parent:
    """A finished cell that another builds on: its method with all fields, and what it trained (its `delta_state`)."""

    method: MethodConfig
    state: Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Method:
    """A delta-tuning method: flat hyperparameters and what they do to a frozen backbone.

    Subclasses are frozen dataclasses with a `name`; their fields are the YAML's fields and their
    `__post_init__` checks ranges. `derived` says what a field at null becomes, as arithmetic over the other
    fields.
    """

    name: ClassVar[str]
    derived: ClassVar[Mapping[str, str]] = {}
    mergeable: ClassVar[bool] = False
    unchanged_at_start: ClassVar[bool] = True
    parents: ClassVar[str] = ""  # the method whose finished deltas this one builds on; "*" for any
    evaluation_only: ClassVar[bool] = False  # nothing of it ever trains, so that its cells have recipe.steps=0

    def attach(self, model: nn.Module) -> None:
        """Insert modules into the frozen backbone and/or set `requires_grad`. Raises
        UsageError/NotApplicable.

        Draws from torch's global generator only, and works on the meta device.
        """
        raise NotImplementedError

    def merge(self, model: nn.Module) -> None:
        """Fold the delta into the backbone; idempotent. Methods that cannot merge raise NotApplicable."""
        raise NotApplicable(f"method {self.name} cannot be merged: it adds computation that no weight holds")

    def inherit(self, model: nn.Module, parents: Mapping[str, Parent]) -> None:
        """Called after `attach` with what the cell builds on, by role. UsageError for tensors that do not fit."""

    def read(self, model: nn.Module, encode: Callable[[str], Sequence[int]]) -> None:
        """Called after `attach` with text -> token ids (no special tokens), for starts that are text."""

    def closed_form(self, shape: "Shape") -> int:
        """The number of delta parameters from the backbone's sizes alone, as the paper counts them."""
        raise NotImplementedError

    def tokens_added(self) -> int:
        """Positions that the method adds to the (encoder's) input."""
        return 0

    def penalty(self, model: nn.Module) -> torch.Tensor | None:
        """An extra loss term (scalar), or None."""
        return None

    def after_step(self, model: nn.Module, step: int) -> None:
        """Called after each optimiser step (1-based).

        What changes here is kept in checkpoints where the model holds it: parameters, buffers, and attributes of its
        modules that are tensors, numbers, text or random generators; the rest through `nn.Module.get_extra_state`.
        """

    def stages(self, model: nn.Module) -> tuple[Stage, ...]:
        """What training consists of; the shares add up to 1."""
        return (Stage(),)

    def dead(self, model: nn.Module) -> dict[str, str]:
        """Trainable tensors that can never have a gradient: parameter name -> reason."""
        return {}

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        """What the record should say about this attachment (insertion points, created biases, ...)."""
        return {}

    def require(self, rule: bool, field: str, text: str) -> None:
        """UsageError "method.field=value: text" unless the rule holds."""
        if not rule:
            raise UsageError(f"method.{field}={getattr(self, field)}: {text}")


def parameter(like: torch.Tensor, *shape: int) -> nn.Parameter:
    """An uninitialised trainable tensor on the device of `like`; float32 where that is half or quantised."""
    dtype = like.dtype if like.dtype in (torch.float32, torch.float64) else torch.float32
    return nn.Parameter(torch.empty(shape, device=like.device, dtype=dtype))


def freeze(model: nn.Module) -> None:
    """No parameter of the backbone trains."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
