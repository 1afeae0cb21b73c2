"""DoRA (Liu et al. 2024, arXiv 2402.09353): W' = m (W + s B A) / ||W + s B A||, a magnitude m for each output
of a linear times a direction that LoRA updates (equation 5; the paper writes weights transposed, so its
columns are the rows here).

Parameters: R (d_in + d_out) + d_out for each target, d_out for each of `magnitude_targets`, whose direction
stays (tuning granularity, section 5.6). m starts as the norm, B as zero, so the start is the backbone. A row of
zeros has no direction: it stays at zero, where the equation (and PEFT) would divide by zero.
`detach` takes the norm for a constant in the backward pass (section 4.3; the paper's default, and PEFT's
only way). The host's bias is not scaled. `dropout` is on the input of everything but the frozen product, as in the
authors' layer and in PEFT: W x + (m / ||.|| - 1) W x' + (m / ||.||) s B A x', x' the input after dropout.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import (
    Dropping,
    Linear,
    Names,
    RowLengths,
    Shape,
    Update,
    copy_outputs,
    dense,
    insert,
    linears,
    parameter,
    rescaled,
)
from methods.lora import LoRA, LowRank


def norm(weight: torch.Tensor) -> torch.Tensor:
    """Return the length of each row: [d_out] for weight: [d_out, d_in]."""
    return torch.linalg.vector_norm(weight, dim=1)


def divisor(squares: torch.Tensor) -> torch.Tensor:
    """Return what rows are divided by for their direction: [d_out] for their squared lengths: [d_out].

    It is a row's length, or 1 where that is 0.
    """
    return squares.masked_fill(squares == 0, 1.0).sqrt()


class Direction(LowRank):
    """LoRA's update, added in one product; the scale multiplies B, which is smaller than the output."""

    def added(self, output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return output + scale B A x: [B, T, d_out] for output: [B, T, d_out] and x: [B, T, d_in]."""
        A, B = self.pair()
        inner = F.linear(x, A.to(x.dtype)).to(output.dtype)
        left = (self.scale * B).to(output.dtype)
        return torch.addmm(output.flatten(0, -2), inner.flatten(0, -2), left.T).view_as(output)


class Decomposed(Dropping):
    """Magnitude times direction. magnitude: [d_out]; `direction` updates the host's weight, None leaves it as it is."""

    def __init__(self, host: Linear, direction: Update | None, detach: bool = True) -> None:
        super().__init__()
        self.direction, self.detach = direction, detach
        self.magnitude = parameter(host.weight, host.out_features)
        self._rows = RowLengths(host, self.magnitude.dtype)
        with torch.no_grad():
            self.magnitude.copy_(self._rows.own().sqrt())

    def lengths(self) -> torch.Tensor:
        """Return the lengths of the updated weight's rows: [d_out]."""
        return self._squares().sqrt()

    def _squares(self) -> torch.Tensor:
        return self._rows.own() if self.direction is None else self._rows.updated(*self.direction.factors())

    def _change(self) -> torch.Tensor:
        """Return magnitude over the norm of the updated weight, less 1: [d_out]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach):
            length = divisor(self._squares())
        return self.magnitude / length - 1

    def forward(self, output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's new output: [B, T, d_out] for output: [B, T, d_out] of the host and its input x: [B, T,
        d_in].
        """
        x = self.dropped(x)
        if not self.drops:
            return rescaled(self._moved(output, x), self._rows.host.bias, self._change())
        weight = dense(self._rows.host)
        seen = F.linear(x.to(weight.dtype), weight).to(output.dtype)
        return rescaled(self._moved(seen, x), None, self._change()) + (output - seen)

    def _moved(self, output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return output if self.direction is None else self.direction.added(output, x)

    def folded(self, weight: torch.Tensor) -> torch.Tensor:
        """Return m (W + update) / ||W + update||: [d_out, d_in] for weight W: [d_out, d_in]."""
        updated = weight if self.direction is None else self.direction.folded(weight)
        return (self.magnitude / divisor(norm(updated).square()))[:, None] * updated


@dataclass(frozen=True)
class DoRA(LoRA):
    """Magnitudes, and directions updated in low rank."""

    name: ClassVar[str] = "dora"

    detach: bool = True
    magnitude_targets: Names | None = None

    def attach(self, model: nn.Module) -> None:
        super().attach(model)
        for host in linears(model, self.magnitude_targets or (), "magnitude_targets").values():
            delta = Decomposed(host, None)
            delta.dropout = self.dropout
            insert(host, self.name, delta)
        copy_outputs(model, self.name)

    def delta(self, host: Linear) -> Decomposed:
        """Return the delta of a linear: its magnitude, and the update of its direction."""
        return Decomposed(host, Direction(host, self.rank, self.scale, self.subtracted), self.detach)

    def low_rank(self, delta: Dropping) -> LowRank | None:
        """Return the update of a delta's direction, or None where it has a magnitude only."""
        direction = delta.direction if isinstance(delta, Decomposed) else None
        return direction if isinstance(direction, LowRank) else None

    def closed_form(self, shape: Shape) -> int:
        sized = (*shape.linears(self.targets), *shape.linears(self.magnitude_targets or ()))
        return super().closed_form(shape) + sum(n * d_out for n, _, d_out in sized)
