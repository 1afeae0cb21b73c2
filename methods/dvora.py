"""DVoRA (Liu et al. 2024, arXiv 2402.09353, section 5.4): DoRA whose direction is updated by VeRA instead of LoRA.

Parameters: R + 2 d_out for each target: VeRA's vectors d [R] and b [d_out], and DoRA's magnitude m [d_out].
The projection, the starts and `dropout` are those of `vera`; `detach` is that of `dora`.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from methods.base import Linear, Shape, copy_outputs
from methods.dora import Decomposed
from methods.vera import Scaled, VeRA


@dataclass(frozen=True)
class DVoRA(VeRA):
    """Magnitudes, and directions updated by VeRA."""

    name: ClassVar[str] = "dvora"

    detach: bool = True

    def attach(self, model: nn.Module) -> None:
        super().attach(model)
        copy_outputs(model, self.name)

    def delta(self, host: Linear, update: Scaled) -> Decomposed:
        """Return the delta of a linear: its magnitude, and the update of its direction."""
        return Decomposed(host, update, self.detach)

    def closed_form(self, shape: Shape) -> int:
        return super().closed_form(shape) + sum(n * d_out for n, _, d_out in shape.linears(self.targets))
