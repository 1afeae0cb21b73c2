"""Deltas that represent another weight of one linear, and their merge into it."""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.attachment.hooks import inserted, remove
from methods.attachment.tied_weights import untie
from methods.backbone.trainable_parameters import Delta


class Rewriting(Delta):
    """A delta that represents another weight of its host."""

    owns_weight: ClassVar[bool] = True

    def folded(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weight that does what host and delta do together: [d_out, d_in] for the host's weight: [d_out,
        d_in].
        """
        raise NotImplementedError


class Dropping(Rewriting):
    """A rewriting with a dropout of the share `dropout` on its input while it trains."""

    dropout: float = 0.0

    def dropped(self, x: torch.Tensor) -> torch.Tensor:
        """Return x after dropout, in the precision of the trained parameters: [B, T, d_in] for x: [B, T, d_in]."""
        return F.dropout(x.to(next(self.parameters()).dtype), self.dropout) if self.drops else x

    @property
    def drops(self) -> bool:
        """Return whether dropout acts now."""
        return self.dropout > 0 and self.training


class Update(Dropping):
    """A term added to the weight of one linear: `of` applies it, `weight` writes it out."""

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return the update's output: [B, T, d_out] for x: [B, T, d_in]."""
        raise NotImplementedError

    def weight(self) -> torch.Tensor:
        """Return what the update adds to the host's weight: [d_out, d_in]."""
        raise NotImplementedError

    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return two matrices whose product is `weight`: [d_out, R] and [R, d_in]."""
        raise NotImplementedError

    def added(self, output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return output + update of x: [B, T, d_out] for output: [B, T, d_out] and x: [B, T, d_in]."""
        return output + self.of(x).to(output.dtype)

    def forward(self, output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return output + update of x: [B, T, d_out] for the host's output: [B, T, d_out] and input x: [B, T, d_in]."""
        return self.added(output, self.dropped(x))

    def folded(self, weight: torch.Tensor) -> torch.Tensor:
        """Return weight + update: [d_out, d_in] for weight: [d_out, d_in]."""
        return weight + self.weight()


@torch.no_grad()
def fold(model: nn.Module, name: str) -> None:
    """Write the `folded` weight of every delta `name` into its host, and remove the delta."""
    for _, host, update in inserted(model, name, Rewriting):
        untie(model, host)
        weight = host.get_parameter("weight")
        weight.copy_(update.folded(weight.to(next(update.parameters()).dtype)))
        remove(host, name)
