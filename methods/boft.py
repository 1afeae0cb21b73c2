"""BOFT (Liu et al. 2024, arXiv 2311.06243): h = s * W R x, with R a product of sparse orthogonal factors, W frozen.

The transpose of R is the product of m = `factors` butterfly factors. Each has d_in / b blocks of b = `block_size`
inputs, made as OFT's, on its diagonal, after a permutation of the inputs by which the blocks of factor i mix halves of
2^(i-1) blocks of the first one. So each output of R depends on b 2^(m-1) inputs, with fewer parameters than a block of
that size has. s, a factor for each output of W, starts at 1 and leaves the bias alone, as in PEFT.
Parameters: m d_in (b - 1) / 2 + d_out for each target. The start is the backbone. With one factor R is OFT's. Without
a CUDA extension PEFT takes one factor, whatever its configuration says. Deviation: no dropout of blocks.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from methods.base import Linear, Shape, copy_outputs, parameter, rescaled
from methods.oft import OFT, Rotation, turned


def butterfly(width: int, block_size: int, factor: int) -> torch.Tensor:
    """Return the permutation of the inputs for factor i = `factor`, counted from 0: [d_in].

    In each group of 2^i blocks the halves of the blocks are numbered, and those of even number come first.
    """
    if factor == 0:
        return torch.arange(width)
    halves = torch.arange(width).view(-1, 2 ** (factor + 1), block_size // 2)
    return torch.cat((halves[:, ::2], halves[:, 1::2]), dim=1).flatten()


class Butterfly(Rotation):
    """Rotates the input of its host by m factors and scales its output.

    angles: [m, d_in / b, b (b - 1) / 2]; scale: [d_out]; orders: [m, d_in], the permutation of each factor; backs: [m,
    d_in], their inverses.
    """

    def __init__(self, host: Linear, *blocks: int) -> None:
        super().__init__(host, *blocks)
        self.scale = parameter(host.weight, host.out_features)
        nn.init.ones_(self.scale)
        orders = torch.stack([butterfly(host.in_features, self.block_size, i) for i in range(blocks[0])])
        for name, places in (("orders", orders), ("backs", orders.argsort(dim=1))):
            self.register_buffer(name, places.to(self.scale.device), persistent=False)

    def rotated(self, x: torch.Tensor) -> torch.Tensor:
        """Return R x in the precision of x: [B, T, d_in] for x: [B, T, d_in]."""
        for factor, blocks in reversed(list(enumerate(self.blocks().to(x.dtype)))):
            x = self._factor(x, factor, blocks)
        return x

    def _factor(self, x: torch.Tensor, factor: int, blocks: torch.Tensor) -> torch.Tensor:
        """Return x times one factor with these blocks: [..., d_in] for x: [..., d_in], blocks: [d_in / b, b, b]."""
        if factor == 0:
            return turned(x, blocks)
        return turned(x[..., self.get_buffer("backs")[factor]], blocks)[..., self.get_buffer("orders")[factor]]

    def forward(self, output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return s * W R x and the bias: [B, T, d_out] for the host's output: [B, T, d_out] and x: [B, T, d_in]."""
        return rescaled(super().forward(output, x), self.host[0].bias, self.scale - 1)

    def folded(self, weight: torch.Tensor) -> torch.Tensor:
        """Return s * W R: [d_out, d_in] for the weight W: [d_out, d_in]."""
        for factor, blocks in enumerate(self.blocks().mT):
            weight = self._factor(weight, factor, blocks)
        return self.scale[:, None] * weight


@dataclass(frozen=True)
class BOFT(OFT):
    """Rotations by butterfly factors, and factors on the outputs."""

    name: ClassVar[str] = "boft"

    block_size: int = 4
    factors: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.factors >= 1, "factors", "a rotation has at least 1 factor")
        halves = self.factors == 1 or self.block_size % 2 == 0
        self.require(halves, "block_size", "it must be even where there is more than one factor")

    def fits(self, path: str, host: Linear) -> None:
        super().fits(path, host)
        group = self.block_size * 2 ** (self.factors - 1)
        rule = f"{self.factors} factors mix {group} inputs, which must divide {host.in_features}, the inputs of {path}"
        self.require(host.in_features % group == 0, "factors", rule)

    def attach(self, model: nn.Module) -> None:
        super().attach(model)
        copy_outputs(model, self.name)

    def delta(self, host: Linear) -> Butterfly:
        """Return the rotation and the scale for one target."""
        return Butterfly(host, self.factors, host.in_features // self.block_size)

    def closed_form(self, shape: Shape) -> int:
        scales = sum(n * d_out for n, _, d_out in shape.linears(self.targets))
        return self.factors * super().closed_form(shape) + scales
