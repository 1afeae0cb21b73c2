"""MAM adapter (He et al. 2022, arXiv 2110.04366, section 4.6): a short prefix in every attention module and a
scaled parallel adapter beside every feed-forward.

Parameters: those of `prefix` and of `parallel` with beside=ffn. The defaults are the authors' for GLUE (prefix
16, bottleneck 16, scale 2); for summarisation and translation they take 30, 512 and 4.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from methods.base import Method, Shape
from methods.parallel import ParallelAdapter
from methods.prefix import PrefixTuning


@dataclass(frozen=True)
class MAMAdapter(Method):
    """A short prefix and a scaled parallel adapter."""

    name: ClassVar[str] = "mam"
    unchanged_at_start: ClassVar[bool] = False

    length: int = 16
    reparametrize: bool = False
    hidden: int = 64
    bottleneck: int = 16
    scale: float = 2.0

    def __post_init__(self) -> None:
        self.require(self.bottleneck >= 1, "bottleneck", "the bottleneck must be at least 1")
        self.require(self.length >= 1, "length", "the prefix length must be at least 1")
        assert self.parts  # which checks the rest

    @property
    def parts(self) -> tuple[Method, Method]:
        """Return the two methods that it consists of."""
        prefix = PrefixTuning(length=self.length, reparametrize=self.reparametrize, hidden=self.hidden)
        return prefix, ParallelAdapter(bottleneck=self.bottleneck, scale=self.scale, beside="ffn")

    def attach(self, model: nn.Module) -> None:
        for part in self.parts:
            part.attach(model)

    def closed_form(self, shape: Shape) -> int:
        return sum(part.closed_form(shape) for part in self.parts)

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        return {key: value for part in self.parts for key, value in part.notes(model).items()}
