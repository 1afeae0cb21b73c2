"""No tuning: the frozen backbone as it is. 0 parameters. With a classifier head, the head alone trains."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from methods.base import Method, Shape


@dataclass(frozen=True)
class NoTuning(Method):
    """The frozen backbone as it is."""

    name: ClassVar[str] = "none"
    mergeable: ClassVar[bool] = True
    only_head: ClassVar[bool] = True

    def attach(self, model: nn.Module) -> None:
        """Do nothing: a head that trains already goes on training."""

    def merge(self, model: nn.Module) -> None:
        """Do nothing: there is no delta."""

    def closed_form(self, shape: Shape) -> int:
        return 0
