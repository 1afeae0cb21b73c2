"""S2FT (Yang et al. 2024, arXiv 2412.06289): structured sparse tuning, h = (W + S) x, where S has few columns.

S has the columns of whole heads in each attention's output projection (o), and of whole channels in each feed-forward's
(ffn-out): what the other columns read stays as it is. Which ones is drawn for each module from a generator on the CPU
with `selection_seed`, so all seeds of a grid train the same columns and a delta holds only their values. Parameters:
`heads` K D for each attention module (cross-attention too) and `channels` D for each feed-forward, K the head width.
S is zero, so the start is the backbone. Deviations: the paper permutes heads and channels so that what trains is one
dense part of the weight, and trains it in place; here the change of the same columns is a matrix of its own. Of
the paper's ways to choose, only the random one.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import Linear, OnWeights, Shape, Update, linears, parameter, shape_of


class Columns(Update):
    """The update S. columns: [d_out, C], the columns that are not zero; places: [C], their indices."""

    def __init__(self, host: Linear, places: torch.Tensor) -> None:
        super().__init__()
        self.columns = parameter(host.weight, host.out_features, len(places))
        self.inputs = host.in_features
        nn.init.zeros_(self.columns)
        self.register_buffer("places", places.to(self.columns.device), persistent=False)

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return S x: [B, T, d_out] for x: [B, T, d_in]."""
        return F.linear(x[..., self.get_buffer("places")].to(self.columns.dtype), self.columns)

    def weight(self) -> torch.Tensor:
        """Return S: [d_out, d_in]."""
        whole = self.columns.new_zeros(len(self.columns), self.inputs)
        return whole.index_copy(1, self.get_buffer("places"), self.columns)


@dataclass(frozen=True)
class S2FT(OnWeights):
    """Columns of some heads and of some channels train."""

    name: ClassVar[str] = "s2ft"

    heads: int = 1
    channels: int = 16
    selection_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.heads >= 0, "heads", "the number of heads must be at least 0")
        self.require(self.channels >= 0, "channels", "the number of channels must be at least 0")
        self.require(self.heads + self.channels > 0, "heads", "method.heads and method.channels are not both 0")
        self.require(self.selection_seed >= 0, "selection_seed", "the seed must be at least 0")

    def attach(self, model: nn.Module) -> None:
        with torch.device("cpu"):
            generator = torch.Generator().manual_seed(self.selection_seed)
        sizes = shape_of(model)
        for role, field, count in (("o", "heads", self.heads), ("ffn-out", "channels", self.channels)):
            hosts = linears(model, [role], field) if count else {}
            groups = {path: sizes.head_width(path) if role == "o" else 1 for path in hosts}
            for path, host in hosts.items():
                most = host.in_features // groups[path]
                self.require(count <= most, field, f"{path} reads {most} {field}")
            for path, host in hosts.items():
                self.attach_each({path: host}, partial(drawn, generator, count, groups[path]))

    def closed_form(self, shape: Shape) -> int:
        heads = shape.encoder * shape.head_width() + 2 * shape.decoder * shape.head_width("decoder")
        blocks = sum(n for n, _, _ in shape.linears(["ffn-out"]))
        return (heads * self.heads + blocks * self.channels) * shape.width


def drawn(generator: torch.Generator, count: int, group: int, host: Linear) -> Columns:
    """Return the update of `count` groups of columns that are drawn, each of `group` columns side by side."""
    with torch.device("cpu"):
        firsts = torch.randperm(host.in_features // group, generator=generator)[:count].sort().values * group
        return Columns(host, (firsts[:, None] + torch.arange(group)).flatten())
