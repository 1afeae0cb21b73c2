"""Prefix tuning (Li & Liang 2021, arXiv 2101.00190): P learnt keys and values before every attention module's
own.

Parameters: 2 P kv for each attention module (encoder self, decoder self, cross), kv the width of its keys.
With `reparametrize` a tanh MLP of width R makes them while training: P R + R^2 + R, then 2 kv (R + 1) per
module; its trunk is shared by all modules (paper: one MLP for each kind). Keys and values start normal with
sd `std`.
`attend` chooses the modules: the encoder's and the decoder's self-attention, and cross-attention (OpenDelta
leaves the last out, PEFT has decoder self-attention only in T5). A file keeps what the MLP makes, 2 P kv per
module, not the MLP. How a prefix gets into the attention:
methods/attachment/prefix_attention.py.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import (
    Delta,
    Method,
    Names,
    NotApplicable,
    Shape,
    UsageError,
    accept_prefixes,
    computing,
    find,
    find_stack,
    in_decoder,
    parameter,
    shape_of,
)

ATTENTIONS = ("cross", "decoder", "encoder")


class Prefix(Delta):
    """The prefix of one attention module. keys, values: [H, P, K] (H: its key heads)."""

    def __init__(self, like: torch.Tensor, heads: int, length: int, width: int, std: float) -> None:
        super().__init__()
        self.keys = parameter(like, heads, length, width)
        self.values = parameter(like, heads, length, width)
        nn.init.normal_(self.keys, std=std)
        nn.init.normal_(self.values, std=std)

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values: [H, P, K] each."""
        return self.keys, self.values


class Trunk(Delta):
    """The part of the MLP that all attention modules share. embeddings: [P, R], weight: [R, R], bias: [R]."""

    def __init__(self, like: torch.Tensor, length: int, hidden: int) -> None:
        super().__init__()
        self.embeddings = parameter(like, length, hidden)
        self.weight, self.bias = parameter(like, hidden, hidden), parameter(like, hidden)
        nn.init.normal_(self.embeddings)
        _start(self.weight, self.bias)

    def forward(self) -> torch.Tensor:
        """Return the hidden state of each prefix position: [P, R]."""
        return torch.tanh(F.linear(self.embeddings, self.weight, self.bias))


class MadePrefix(Delta):
    """The prefix of one attention module, computed by an MLP on the shared trunk. weight: [2 H K, R], bias: [2 H K]."""

    def __init__(self, trunk: Trunk, heads: int, width: int) -> None:
        super().__init__()
        self.trunk, self.heads, self.width = trunk, heads, width
        self.weight = parameter(trunk.weight, 2 * heads * width, trunk.weight.shape[0])
        self.bias = parameter(trunk.weight, 2 * heads * width)
        _start(self.weight, self.bias)

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values: [H, P, K] each."""
        with computing("fp32", self.weight.device):  # as `plain`, of which a file is made
            made = F.linear(self.trunk(), self.weight, self.bias).view(-1, 2, self.heads, self.width)
        keys, values = made.permute(1, 2, 0, 3)
        return keys, values

    @torch.no_grad()
    def plain(self) -> Prefix:
        """Return the prefix as an ordinary one, with keys and values: [H, P, K]."""
        keys, values = self()
        made = Prefix(self.weight, self.heads, keys.shape[1], self.width, std=0.0)
        made.keys.copy_(keys)
        made.values.copy_(values)
        return made


def _start(weight: torch.Tensor, bias: torch.Tensor) -> None:
    bound = weight.shape[1] ** -0.5  # torch's own for a linear
    nn.init.uniform_(weight, -bound, bound)
    nn.init.zeros_(bias)


@dataclass(frozen=True)
class PrefixTuning(Method):
    """Learnt keys and values in every attention module."""

    name: ClassVar[str] = "prefix"
    unchanged_at_start: ClassVar[bool] = False

    length: int = 16
    reparametrize: bool = False
    hidden: int = 64
    std: float = 0.02
    attend: Names = ("cross", "decoder", "encoder")

    def __post_init__(self) -> None:
        self.require(self.length >= 1, "length", "the prefix length must be at least 1")
        self.require(self.hidden >= 1, "hidden", "the width of the MLP must be at least 1")
        self.require(self.std >= 0, "std", "a standard deviation cannot be negative")
        known = ", ".join(ATTENTIONS)
        self.require(set(self.attend) <= set(ATTENTIONS), "attend", f"the attention modules are {known}")

    def attach(self, model: nn.Module) -> None:
        hosts = self.hosts(model)
        accept_prefixes(model)
        like, sizes = next(model.parameters()), shape_of(model)
        trunk = Trunk(like, self.length, self.hidden) if self.reparametrize else None
        for path, host in hosts.items():
            if hasattr(host, "prefix"):
                raise UsageError("a second prefix on one attention module: two methods own the same place")
            heads, width = sizes.key_heads(path), sizes.head_width(path)
            made = MadePrefix(trunk, heads, width) if trunk else Prefix(like, heads, self.length, width, self.std)
            host.add_module("prefix", made)

    def hosts(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return dotted name -> attention module that gets a prefix.

        A backbone of one stack has self-attention only, which counts as the encoder's whatever its name.
        """
        attention, cross = find(model, "attention"), find(model, "cross")
        if not attention:
            raise NotApplicable("method prefix: the attention of this backbone takes no prefix; take another method")
        two = find_stack(model, "decoder") is not None
        kinds = {path: "decoder" if two and in_decoder(path) else "encoder" for path in attention}
        kinds |= dict.fromkeys(cross, "cross")
        wanted = set(self.attend) if two else {"encoder" for name in self.attend if name != "cross"}
        hosts = {path: module for path, module in attention.items() if kinds[path] in wanted}
        if not hosts:
            raise NotApplicable(f"method.attend={','.join(self.attend)}: this backbone has no such attention module")
        return hosts

    def closed_form(self, shape: Shape) -> int:
        blocks = {"encoder": shape.encoder, "decoder": shape.decoder, "cross": shape.decoder}
        modules = sum(blocks[name] for name in self.attend)
        if not shape.decoder:
            modules = shape.encoder
        if not self.reparametrize:
            return 2 * self.length * shape.kv_width * modules
        trunk = self.length * self.hidden + self.hidden**2 + self.hidden
        return trunk + modules * 2 * shape.kv_width * (self.hidden + 1)

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        return {"prefixed_attention_modules": len(self.hosts(model))}
