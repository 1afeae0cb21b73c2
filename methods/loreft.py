"""LoReFT (Wu et al. 2024, arXiv 2404.03592): h + R^T (W h + b - R h) on hidden states, with R of orthonormal rows.

h is what each block adds up to (the residual stream), at the `first` and the `last` positions of each row's own tokens,
padding left out; where a row has fewer tokens than both together, each is changed once, and counts among the first. In
an encoder-decoder these are positions of the encoder's input. In a decoder they are positions of the prompt: no token
of an answer is changed, neither when it is trained on nor when it is generated. Parameters: 2 R D + R for each block
(of the encoder) and for each of the two groups of positions; with `tied`, or where `first` or `last` is 0, one group.
R is orthonormalised in each forward pass by a QR decomposition of a free matrix (the authors' code has torch's own
parametrisation, which is another map to the same matrices). R starts at random, and W and b as torch's linears do, so
the start is not the backbone. Deviation: all blocks.
"""

import inspect
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import (
    Delta,
    Method,
    Shape,
    UsageError,
    after,
    family,
    find_stack,
    insert,
    parameter,
    prompt_width,
    shape_of,
    uncast,
)

ADDED = "method.parts: loreft counts positions, and another part adds some. Take one of the two."


class Places:
    """The positions that change in the forward pass under way.

    groups: for each group of positions ([B, N] their indices, [B, N] whether the row has such a position); empty where
    nothing changes. width: T, the number of positions that the stack was given.
    """

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last, self.width = first, last, 0
        self.groups: tuple[tuple[torch.Tensor, torch.Tensor], ...] = ()

    def find(self, mask: torch.Tensor) -> None:
        """Find the positions for a mask: [B, T], 1 at each row's own tokens, which stand together."""
        self.width = mask.shape[1]
        own = mask[:, : prompt_width()].long()
        start, count = own.argmax(dim=1, keepdim=True), own.sum(dim=1, keepdim=True)
        head = torch.arange(self.first, device=mask.device).expand(len(mask), -1)
        tail = count - self.last + torch.arange(self.last, device=mask.device)
        ranks = ((head, head < count), (tail, tail >= self.first))
        limit = own.shape[1] - 1
        self.groups = tuple(((start + rank).clamp(0, limit), there) for rank, there in ranks if rank.shape[1])

    def open(self, names: tuple[str, ...], _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Find the positions before the stack runs (`names`: of its positional arguments).

        What a cache follows is no prompt, so nothing changes there.
        """
        call = dict(zip(names, args, strict=False)) | kwargs
        cache, mask, ids = (call.get(name) for name in ("past_key_values", "attention_mask", "input_ids"))
        self.groups = ()
        if cache is not None and int(cache.get_seq_length()):
            return
        tokens = call["inputs_embeds"][..., 0] if ids is None else ids
        self.find(torch.ones_like(tokens, dtype=torch.long) if mask is None else mask)


class Intervention(Delta):
    """Changes the hidden states after one block. free, weight (W): [G, R, D], bias (b): [G, R], for G groups."""

    def __init__(self, like: torch.Tensor, groups: int, rank: int, width: int, places: Places) -> None:
        super().__init__()
        self.places = places
        self.free, self.weight = parameter(like, groups, rank, width), parameter(like, groups, rank, width)
        self.bias = parameter(like, groups, rank)
        nn.init.normal_(self.free, std=width**-0.5)
        for tensor in (self.weight, self.bias):
            nn.init.uniform_(tensor, -(width**-0.5), width**-0.5)

    def rows(self) -> torch.Tensor:
        """Return R for each group, with orthonormal rows: [G, R, D]."""
        with uncast(self.free.device):
            q, r = torch.linalg.qr(self.free.mT)
        signs = torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(q.dtype)
        return (q * signs[:, None]).mT

    def forward(self, output: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """Return the hidden states, changed at the places: [B, T, D] for output: [B, T, D].

        Raise UsageError where another part of the method has added positions in between.
        """
        if not self.places.groups:
            return output
        if output.shape[1] != self.places.width:
            raise UsageError(ADDED)
        rows, changed = self.rows(), output
        for number, (places, there) in enumerate(self.places.groups):
            group = min(number, len(rows) - 1)
            index = places[..., None].expand(-1, -1, output.shape[-1])
            h = output.gather(1, index).to(rows.dtype)
            inner = F.linear(h, self.weight[group] - rows[group], self.bias[group])
            change = F.linear(inner, rows[group].T) * there[..., None]
            changed = changed.scatter_add(1, index, change.to(output.dtype))
        return changed


@dataclass(frozen=True)
class LoReFT(Method):
    """Low-rank changes of hidden states at the first and the last positions."""

    name: ClassVar[str] = "loreft"
    unchanged_at_start: ClassVar[bool] = False

    rank: int = 4
    first: int = 2
    last: int = 2
    tied: bool = False

    def __post_init__(self) -> None:
        self.require(self.rank >= 1, "rank", "the rank must be at least 1")
        self.require(self.first >= 0, "first", "the number of positions must be at least 0")
        self.require(self.last >= 0, "last", "the number of positions must be at least 0")
        self.require(self.first + self.last > 0, "first", "method.first and method.last are not both 0")

    @property
    def sides(self) -> int:
        """Return for how many groups of positions there are parameters."""
        return 1 if self.tied or 0 in (self.first, self.last) else 2

    def attach(self, model: nn.Module) -> None:
        width = shape_of(model).width
        self.require(self.rank <= width, "rank", f"the rank must be at most {width}, the width of the model")
        stack, places = find_stack(model, family(model).stack), Places(self.first, self.last)
        assert stack is not None, "a row names the stack that takes the embeddings"
        if hasattr(stack, "prompt"):
            raise UsageError(ADDED)
        for host in self._hosts(model):
            insert(host, self.name, Intervention(next(model.parameters()), self.sides, self.rank, width, places))
        names = tuple(inspect.signature(stack.forward).parameters)
        stack.register_forward_pre_hook(partial(places.open, names), with_kwargs=True)

    def _hosts(self, model: nn.Module) -> list[nn.Module]:
        """Return the modules after which hidden states change, all of the stack that takes the embeddings."""
        stack = find_stack(model, family(model).stack)
        inside = {id(module) for module in stack.modules()} if stack is not None else set()
        return [host for host in after(model, "stream").values() if id(host) in inside]

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        return {"interventions": len(self._hosts(model))}

    def closed_form(self, shape: Shape) -> int:
        return shape.encoder * self.sides * (2 * self.rank * shape.width + self.rank)
