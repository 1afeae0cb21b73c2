"""Reuse of a delta (transferability in Ding et al. 2022, arXiv 2203.06904): that of another task, evaluated as it is.

Parameters: 0, nothing trains. The parent's method is attached and its trained tensors are loaded, then everything is
frozen; so every method that a cell can have serves, whether it merges or not. A classifier head goes along with the
delta, and fits a task with as many label words only. The paper's code of this part is not public. Soft tokens take no
positions from the input's limit here, which matters to backbones with learnt positions alone.
Parents: exactly one finished cell, named with its method, on the same backbone. Without a parent it is the backbone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from methods import registry as methods
from methods.base import Method, NotApplicable, Parent, Shape, UsageError, freeze, load_delta_state


@dataclass(frozen=True)
class Reuse(Method):
    """The delta of another task, evaluated without training."""

    name: ClassVar[str] = "reuse"
    parents: ClassVar[str] = "*"
    single_parent: ClassVar[bool] = True
    evaluation_only: ClassVar[bool] = True
    unchanged_at_start: ClassVar[bool] = False

    def attach(self, model: nn.Module) -> None:
        """Do nothing: nothing trains, and `inherit` attaches the parent's method."""

    def inherit(self, model: nn.Module, parents: Mapping[str, Parent]) -> None:
        if not parents:
            return
        if len(parents) > 1:
            raise UsageError(
                f"method {self.name} takes one finished cell, and this has {len(parents)}: {', '.join(sorted(parents))}"
            )
        [(role, parent)] = parents.items()
        if methods.find(parent.method.name).parents:
            raise UsageError(f"parent {role} ({parent.method.name}) is not transferred: it builds on other cells")
        try:
            methods.make(parent.method).attach(model)
            load_delta_state(model, parent.state)
        except (NotApplicable, UsageError) as error:
            raise UsageError(f"parent {role} ({parent.method.name}) is not transferred: {error}") from error
        freeze(model)

    def closed_form(self, shape: Shape) -> int:
        return 0
