"""What this room reads of a method. `methods.base.Method` is the whole contract, and it imports this room."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

from torch import nn

from methods.backbone.sizes import Shape


class Attachable(Protocol):
    """A method that can be attached to a backbone and counted; the functions are those of `methods.base.Method`."""

    name: ClassVar[str]

    def attach(self, model: nn.Module) -> None:
        """Insert the method's modules into the backbone."""

    def closed_form(self, shape: Shape) -> int:
        """Return the number of delta parameters from the backbone's sizes."""

    def tokens_added(self) -> int:
        """Return the number of positions that the method adds to an input."""

    def notes(self, model: nn.Module) -> Mapping[str, str | int | float]:
        """Return facts about the attached method for the record."""
