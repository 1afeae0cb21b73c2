"""OFT (Qiu et al. 2023, arXiv 2306.07280): h = W R x, with R orthogonal and W frozen.

R has d_in / b blocks of b = `block_size` on its diagonal, each (I - S)^-1 (I + S) for a skew-symmetric S (Cayley), of
which the upper triangle trains. Parameters: d_in (b - 1) / 2 for each target. S is zero, so the start is the backbone.
R changes neither the lengths of W's rows nor the angles between them. The input is rotated before the host multiplies
it, so W is multiplied once; on rows of a fused linear, whose other rows read the same input, the change of the
input is multiplied once more. As in PEFT with `use_cayley_neumann=false` (by default PEFT sums five terms of a series
where the inverse is asked for), without its constraint (`coft`), shared blocks and dropout of blocks.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import (
    Linear,
    Names,
    OnWeights,
    Part,
    Rewriting,
    Shape,
    dense,
    insert_before,
    inserted,
    linears,
    parameter,
    uncast,
)


def turned(x: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
    """Return x times the matrix with these blocks on its diagonal: [..., n b] for x: [..., n b], blocks: [n, b, b]."""
    return torch.einsum("...nb,nbc->...nc", x.unflatten(-1, blocks.shape[:2]), blocks).flatten(-2)


class Rotation(Rewriting):
    """Rotates the input of its host. angles: [d_in / b, b (b - 1) / 2], the upper triangle of each block's S."""

    def __init__(self, host: Linear, *blocks: int) -> None:
        super().__init__()
        self.host, self.block_size = (host,), host.in_features // blocks[-1]  # in a tuple: it stays the backbone's
        self.angles = parameter(host.weight, *blocks, self.block_size * (self.block_size - 1) // 2)
        nn.init.zeros_(self.angles)

    def blocks(self) -> torch.Tensor:
        """Return the blocks of R, transposed: [d_in / b, b, b]."""
        rows, columns = torch.triu_indices(self.block_size, self.block_size, 1, device=self.angles.device)
        upper = self.angles.new_zeros(*self.angles.shape[:-1], self.block_size, self.block_size)
        upper[..., rows, columns] = self.angles
        skew, unit = upper - upper.mT, torch.eye(self.block_size, dtype=upper.dtype, device=upper.device)
        with uncast(upper.device):
            return torch.linalg.solve(unit + skew, unit - skew)

    def rotated(self, x: torch.Tensor) -> torch.Tensor:
        """Return R x in the precision of x: [B, T, d_in] for x: [B, T, d_in]."""
        return turned(x, self.blocks().to(x.dtype))

    def before(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[Any, ...]:
        """Return the host's inputs with x rotated. inputs: x: [B, T, d_in], and others that the host takes."""
        return self.rotated(inputs[0]).to(inputs[0].dtype), *inputs[1:]

    def forward(self, output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return W R x and the bias: [B, T, d_out] for the host's output: [B, T, d_out] and its input x: [B, T, d_in].

        That is the output itself where x has been rotated before.
        """
        if self._before is not None:
            return output
        weight = dense(self.host[0])
        return output + F.linear((self.rotated(x) - x).to(weight.dtype), weight).to(output.dtype)

    def folded(self, weight: torch.Tensor) -> torch.Tensor:
        """Return W R: [d_out, d_in] for the weight W: [d_out, d_in]."""
        return turned(weight, self.blocks().mT)


@dataclass(frozen=True)
class OFT(OnWeights):
    """Rotations of the inputs of linears."""

    name: ClassVar[str] = "oft"

    block_size: int = 16
    targets: Names = ("q", "v")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.block_size >= 2, "block_size", "a block turns at least 2 inputs")

    def fits(self, path: str, host: Linear) -> None:
        whole = host.in_features % self.block_size == 0
        self.require(whole, "block_size", f"it must divide {host.in_features}, the inputs of {path}")

    def attach(self, model: nn.Module) -> None:
        self.attach_each(linears(model, self.targets), self.delta)
        for _, host, delta in inserted(model, self.name, Rotation):
            if not (isinstance(host, Part) and host.label):
                insert_before(host, delta, delta.before)

    def delta(self, host: Linear) -> Rotation:
        """Return the rotation for one target."""
        return Rotation(host, host.in_features // self.block_size)

    def closed_form(self, shape: Shape) -> int:
        return sum(n * d_in * (self.block_size - 1) // 2 for n, d_in, _ in shape.linears(self.targets))
