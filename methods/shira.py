"""SHiRA (Bhardwaj et al. 2024, arXiv 2406.13175): a few entries of each weight train, h = (W + S) x, S sparse.

Parameters: R (d_in + d_out) entries of each target, as many as LoRA of rank R has. They are drawn at random, without
repetition, from a generator on the CPU with `mask_seed` (SHiRA-Rand), so a saved delta holds only their
values and all seeds of a grid train the same entries. The values start at zero, so the start is the backbone.
`dropout` is on the input of the update while it trains.
Deviations: the paper trains W's entries in place, which a gradient mask does; here their changes are a vector.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import Linear, Names, OnWeights, Shape, Update, linears, parameter


class SparseUpdate(Update):
    """The update S. values: [R (d_in + d_out)], its entries; places: their indices in the flattened weight."""

    def __init__(self, host: Linear, count: int, generator: torch.Generator) -> None:
        super().__init__()
        self.size = host.out_features, host.in_features
        self.values = parameter(host.weight, count)
        nn.init.zeros_(self.values)
        with torch.device("cpu"):
            drawn = torch.randperm(host.out_features * host.in_features, generator=generator)[:count].sort().values
        self.register_buffer("places", drawn.to(host.weight.device), persistent=False)

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return S x: [B, T, d_out] for x: [B, T, d_in]."""
        return F.linear(x.to(self.values.dtype), self.weight())

    def weight(self) -> torch.Tensor:
        """Return S: [d_out, d_in]."""
        flat = self.values.new_zeros(self.size[0] * self.size[1])
        return flat.index_put((self.get_buffer("places"),), self.values).view(self.size)


@dataclass(frozen=True)
class SHiRA(OnWeights):
    """A few entries of each weight train."""

    name: ClassVar[str] = "shira"

    rank: int = 4
    mask_seed: int = 0
    targets: Names = ("q", "v")
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.mask_seed >= 0, "mask_seed", "the seed must be at least 0")

    def fits(self, path: str, host: Linear) -> None:
        most = host.in_features * host.out_features // (host.in_features + host.out_features)
        self.require(self.rank <= most, "rank", f"{path} has entries for a rank of at most {most}")

    def attach(self, model: nn.Module) -> None:
        with torch.device("cpu"):
            generator = torch.Generator().manual_seed(self.mask_seed)

        def delta(host: Linear) -> SparseUpdate:
            return SparseUpdate(host, self.rank * (host.in_features + host.out_features), generator)

        self.attach_each(linears(model, self.targets), delta)

    def closed_form(self, shape: Shape) -> int:
        return sum(n * self.rank * (d_in + d_out) for n, d_in, d_out in shape.linears(self.targets))
