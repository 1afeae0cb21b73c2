"""Deltas that stand for another weight of one linear: how they see their input, and how they are merged into it."""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.attachment.hooks import inserted, remove
from methods.attachment.tied_weights import untie
from methods.backbone.delta import Delta


class Rewriting(Delta):
    """A delta that stands for another weight of its host."""

    owns_weight: ClassVar[bool] = True

    def folded(self, weight: torch.Tensor) -> torch.Tensor:
        """[d_out, d_in] the weight that does what host (weight: [d_out, d_in]) and delta do together."""
        raise NotImplementedError


class Dropping(Rewriting):
    """A rewriting that sees its input with a share `dropout` of it left out while it trains."""

    dropout: float = 0.0

    def dropped(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, d_in] x, in the precision of what trains, without the share of it that is left out."""
        return F.dropout(x.to(next(self.parameters()).dtype), self.dropout) if self.drops else x

    @property
    def drops(self) -> bool:
        return self.dropout > 0 and self.training


class Update(Dropping):
    """What is added to the weight of one linear: `of` applies it, `weight` writes it out."""

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, d_out] for x: [B, T, d_in]."""
        raise NotImplementedError

    def weight(self) -> torch.Tensor:
        """[d_out, d_in] what the update adds to the host's weight."""
        raise NotImplementedError

    def forward(self, output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """output: [B, T, d_out] of the host for x: [B, T, d_in]."""
        return output + self.of(self.dropped(x)).to(output.dtype)

    def folded(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.weight()


@torch.no_grad()
def fold(model: nn.Module, name: str) -> None:
    """Write every delta `name`, which has a `folded` weight, into its host, and take it off."""
    for _, host, update in inserted(model, name, Rewriting):
        untie(model, host)
        weight = host.get_parameter("weight")
        weight.copy_(update.folded(weight.to(next(update.parameters()).dtype)))
        remove(host, name)
