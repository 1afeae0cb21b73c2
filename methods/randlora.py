"""RandLoRA (Albert et al. 2025, arXiv 2502.00987): h = W x + scale sum_j B_j (l_j * A (g_j * x)), an update of full
rank from n random bases of rank r.

A: [r, m] and B_j: [M, r] are random, frozen and shared by all targets, where m and M are the smaller and the larger
side of a target; of a smaller target the first rows and columns are used. Where a target has more inputs than outputs,
A stands at the outputs. l_j: [r] and g_j: [m] train. n = m / r, rounded up: as many as give full rank. Parameters: n (r
+ m) for each target, the fewer the larger r = `basis_rank`. l is zero and g is 1/m, so the start is the backbone.
The rank is r until the g_j differ. scale is alpha/r. A and B_j are uniform, from one generator on the CPU with
`projection_seed`, divided by their standard deviation, as in PEFT, which draws in half precision. As there, the r n
rows of all l_j * A * g_j are numbered by rows of A first and the columns of all B_j by j first, so a row may meet a
column of another j; of independent columns that is another draw. `dropout` is on the input of the update while it
trains. Deviation: no sparse bases.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import Linear, Names, OnWeights, Shape, Update, linears, parameter


def draw(like: torch.Tensor, generator: torch.Generator, count: int, *shape: int) -> nn.Parameter:
    """Return a frozen tensor [rows, count, columns] for shape (rows, columns), with a standard deviation of 1."""
    made = parameter(like, shape[0], count, shape[1])
    made.requires_grad_(False)
    if not made.is_meta:
        blocks = [torch.empty(*shape).uniform_(-1, 1, generator=generator) for _ in range(count)]
        drawn = torch.stack(blocks, dim=1)
        made.copy_(drawn / drawn.std())
    return made


class Bases(Update):
    """The update scale sum_j B_j (l_j * A (g_j * x)). l: [r, n], g: [n, m]; A and B are frozen and may be larger."""

    def __init__(self, host: Linear, A: nn.Parameter, B: nn.Parameter, scale: float) -> None:
        super().__init__()
        self.A, self.B, self.scale = A, B, scale
        self.size = host.out_features, host.in_features
        rank, smaller = len(A), min(self.size)
        self.l = parameter(host.weight, rank, -(-smaller // rank))
        self.g = parameter(host.weight, self.l.shape[1], smaller)
        nn.init.zeros_(self.l)
        nn.init.constant_(self.g, 1 / max(self.g.shape))

    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return two matrices whose product is `weight`: [d_out, r n] and [r n, d_in]."""
        d_out, d_in = self.size
        scaled = (self.scale * self.l[:, :, None] * self.A[:, :, : min(self.size)] * self.g).flatten(0, 1)
        fixed = self.B[: max(self.size), : self.l.shape[1]].flatten(1)
        return (fixed, scaled) if d_in <= d_out else (scaled.T, fixed.T)

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return the update's output: [B, T, d_out] for x: [B, T, d_in]."""
        left, right = self.factors()
        return F.linear(F.linear(x.to(right.dtype), right), left)

    def weight(self) -> torch.Tensor:
        """Return the update: [d_out, d_in]."""
        left, right = self.factors()
        return left @ right


@dataclass(frozen=True)
class RandLoRA(OnWeights):
    """Vectors that scale shared random bases, together of full rank."""

    name: ClassVar[str] = "randlora"
    derived: ClassVar[dict[str, str]] = {"alpha": "20 * basis_rank"}

    basis_rank: int = 32
    alpha: float | None = None
    projection_seed: int = 0
    targets: Names = ("q", "v")
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.basis_rank >= 1, "basis_rank", "the rank of a basis must be at least 1")
        self.require(self.alpha is None or self.alpha > 0, "alpha", "alpha must be above 0 (null: 20 * basis_rank)")
        self.require(self.projection_seed >= 0, "projection_seed", "the seed must be at least 0")

    def attach(self, model: nn.Module) -> None:
        hosts = linears(model, self.targets)
        like = next(iter(hosts.values())).weight
        sizes = max(host.in_features for host in hosts.values()), max(host.out_features for host in hosts.values())
        with torch.device("cpu"):
            generator = torch.Generator().manual_seed(self.projection_seed)
            A = draw(like, generator, 1, self.basis_rank, min(sizes))
            B = draw(like, generator, self._count(min(sizes)), max(sizes), self.basis_rank)
        alpha = 20.0 * self.basis_rank if self.alpha is None else self.alpha
        self.attach_each(hosts, lambda host: Bases(host, A, B, alpha / self.basis_rank))

    def _count(self, smaller: int) -> int:
        """Return how many bases give full rank to a matrix with this smaller side."""
        return -(-smaller // self.basis_rank)

    def closed_form(self, shape: Shape) -> int:
        sized = ((n, min(d_in, d_out)) for n, d_in, d_out in shape.linears(self.targets))
        return sum(n * self._count(smaller) * (self.basis_rank + smaller) for n, smaller in sized)
