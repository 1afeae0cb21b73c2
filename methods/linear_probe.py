"""Linear probe: the backbone is frozen and only its task head trains. 0 delta parameters; the head counts apart.

A backbone that answers in words has no head of its own, so there is nothing to probe.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from methods.base import Method, NotApplicable, Shape, heads


@dataclass(frozen=True)
class LinearProbe(Method):
    """Only the head trains."""

    name: ClassVar[str] = "linear_probe"
    mergeable: ClassVar[bool] = True

    def attach(self, model: nn.Module) -> None:
        if not heads(model):
            raise NotApplicable("method linear_probe: this backbone has no head that trains; use objective=classifier")

    def merge(self, model: nn.Module) -> None:
        """Do nothing: there is no delta."""

    def closed_form(self, shape: Shape) -> int:
        return 0
