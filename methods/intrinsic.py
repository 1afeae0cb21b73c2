"""Intrinsic dimension, SAID (Aghajanyan et al. 2021, arXiv 2012.13255): W_i + lambda_b (P theta)_i for every
weight of the backbone; theta and one lambda for each block b (and one for what lies outside) are all that
trains.

Parameters: d, of which theta has d less the number of lambdas (section 3.1). theta starts at zero, so the
start is the backbone. P is the Fastfood transform H G Pi H B (Le et al. 2013, arXiv 1408.3060): for a tensor
of n numbers, blocks of the power of two above theta's length, stacked until they hold n, scaled so that in every
tensor P theta is about as long as theta. B, Pi and G are drawn on the CPU from `projection_seed`, tensor by
tensor, so a saved delta holds d numbers. Deviation: stacked blocks where the
authors' code takes one transform as long as the tensor.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import (
    Delta,
    Method,
    Overlay,
    Shape,
    backbone_modules,
    find,
    overlay,
    parameter,
    readers,
    uncast,
    write,
)

OUTSIDE = 1  # lambdas for what lies in no block
MOST_BITS = 5  # of an index, in one matrix of the transform: 32 x 32


def hadamard(x: torch.Tensor) -> torch.Tensor:
    """Return the Walsh-Hadamard transform along the last dimension, not normalised: [..., 2^n] for x: [..., 2^n].

    The transform is a Kronecker product of small ones, so each turn multiplies the last few bits of the index by a
    matrix and moves them to the front. After all turns, the bits have their old order again.
    """
    bits, like = x.shape[-1].bit_length() - 1, x.shape
    while bits:
        turn = min(bits, MOST_BITS)
        x = (x.reshape(*like[:-1], -1, 1 << turn) @ _matrix(turn, x.dtype, x.device)).transpose(-1, -2)
        bits -= turn
    return x.reshape(like)


@cache
def _matrix(bits: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return the Hadamard matrix: [2^bits, 2^bits]."""
    with torch.inference_mode(False):  # a matrix that is first used in scoring serves in training, too
        matrix = torch.ones(1, 1, dtype=dtype, device=device)
        for _ in range(bits):
            matrix = torch.kron(torch.tensor([[1, 1], [1, -1]], dtype=dtype, device=device), matrix)
        return matrix


class Space(Delta):
    """The parameters that all tensors share. theta: [d - lambdas], scales: [lambdas]."""

    def __init__(self, like: torch.Tensor, dimension: int, scales: int) -> None:
        super().__init__()
        self.theta, self.scales = parameter(like, dimension - scales), parameter(like, scales)
        nn.init.zeros_(self.theta)
        nn.init.ones_(self.scales)


class Projected(Overlay):
    """The map W + lambda P theta. signs, gauss, order: [blocks, 2^n], frozen and drawn again rather than saved."""

    def __init__(self, covered: nn.Parameter, space: Space, scale: int, generator: torch.Generator) -> None:
        super().__init__(covered)
        self.space, self.scale = space, scale
        length = 1 << math.ceil(math.log2(max(2, space.theta.numel())))
        blocks = -(-covered.numel() // length)
        with torch.device("cpu"):
            signs = torch.randint(2, (blocks, length), generator=generator) * 2.0 - 1.0
            order = torch.stack([torch.randperm(length, generator=generator) for _ in range(blocks)])
            gauss = torch.randn(blocks, length, generator=generator)
        like = space.theta
        for name, drawn in (("signs", signs), ("order", order), ("gauss", gauss)):
            self.register_buffer(name, drawn.to(like.device), persistent=False)

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return tensor + lambda P theta, of the same shape as `tensor`."""
        signs, gauss, order = self.get_buffer("signs"), self.get_buffer("gauss"), self.get_buffer("order")
        theta = self.space.theta
        length = signs.shape[1]
        with uncast(theta.device):
            mixed = hadamard(signs * F.pad(theta, (0, length - theta.numel())))
            moved = hadamard(gauss * mixed.gather(1, order)) / math.sqrt(length * tensor.numel())
        return tensor + self.space.scales[self.scale] * moved.flatten()[: tensor.numel()].view_as(tensor)


@dataclass(frozen=True)
class IntrinsicDimension(Method):
    """A random subspace of all weights."""

    name: ClassVar[str] = "intrinsic"
    mergeable: ClassVar[bool] = True

    dimension: int = 500
    projection_seed: int = 0

    def __post_init__(self) -> None:
        self.require(self.dimension >= 1, "dimension", "the dimension must be at least 1")

    def attach(self, model: Any) -> None:
        blocks = list(find(model, "blocks").values())
        least = len(blocks) + OUTSIDE + 1
        self.require(self.dimension >= least, "dimension", f"with a scale for each block it must be at least {least}")
        space = Space(next(model.parameters()), self.dimension, len(blocks) + OUTSIDE)
        with torch.device("cpu"):
            generator = torch.Generator().manual_seed(self.projection_seed)
        block_of = {id(module): i for i, block in enumerate(blocks) for module in block.modules()}

        def projected(host: nn.Module, covered: nn.Parameter) -> Projected:
            return Projected(covered, space, block_of.get(id(host), len(blocks)), generator)

        overlay("intrinsic", backbone_modules(model), projected, readers=readers(model))
        model.add_module("intrinsic", space)

    def merge(self, model: Any) -> None:
        write(model)
        if hasattr(model, "intrinsic"):
            del model.intrinsic

    def closed_form(self, shape: Shape) -> int:
        return self.dimension
