"""SSF (Lian et al. 2022, arXiv 2210.08823): each linear's output is scaled and shifted by learnt vectors, g * y + b.

Parameters: 2 d_out for each target. The scales start at one and the shifts at zero, so the start is the
backbone. A merge writes the scale into weight and bias and the shift into the bias, so it needs linears with a bias.
Deviations: the authors draw scales and shifts near one and zero (sd 0.02), and also have a pair after each
normalisation, which here only `layernorm` changes.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from methods.base import (
    Linear,
    Method,
    Names,
    NotApplicable,
    Part,
    Shape,
    family,
    find,
    has_family,
    insert,
    inserted,
    linears,
    parameter,
    remove,
    untie,
)
from methods.ia3 import Scale


class ScaleShift(Scale):
    """Scales and shifts a linear's output. scale, shift: [d_out]."""

    def __init__(self, host: Linear, width: int) -> None:
        super().__init__(host, width)
        self.shift = parameter(host.weight, width)
        nn.init.zeros_(self.shift)

    def forward(self, output: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """Return output * scale + shift: [B, T, d_out] for output: [B, T, d_out] of the host."""
        return torch.addcmul(self.shift, output, self.scale).to(output.dtype)


@dataclass(frozen=True)
class SSF(Method):
    """Vectors that scale and shift what linears give."""

    name: ClassVar[str] = "ssf"
    mergeable: ClassVar[bool] = True

    targets: Names = ("q", "k", "v", "o", "ffn-in", "ffn-out")

    def attach(self, model: nn.Module) -> None:
        for host in linears(model, self.targets).values():
            insert(host, self.name, ScaleShift(host, host.out_features))

    @torch.no_grad()
    def merge(self, model: nn.Module) -> None:
        places = inserted(model, self.name, ScaleShift)
        without = next((path for path, host, _ in places if host.bias is None), None)
        if without is not None:
            raise NotApplicable(f"method ssf cannot be merged here: {without} has no bias to hold the shift")
        for _, host, delta in places:
            untie(model, host)
            weight, bias = host.get_parameter("weight"), host.bias
            weight.copy_(delta.folded(weight.to(delta.scale.dtype)))
            bias.mul_(delta.scale).add_(delta.shift)
            remove(host, self.name)

    def dead(self, model: nn.Module) -> dict[str, str]:
        """Return the shifts of keys, which softmax cancels where keys are not rotated."""
        if not has_family(model) or family(model).key_bias_matters:
            return {}
        keys = {id(module) for module in find(model, "k").values()}
        reason = "one constant on all keys shifts all scores of a query alike, and softmax forgets it"
        dead = {}
        for path, module in model.named_modules():
            if not isinstance(module, ScaleShift):
                continue
            host = module._seat[1]
            of_rows = isinstance(host, Part) and host.label == "k"  # the whole of a fused linear lives
            if of_rows or (id(host) in keys and not family(model).fused):
                dead[f"{path}.shift"] = reason
        return dead

    def closed_form(self, shape: Shape) -> int:
        return sum(2 * n * d_out for n, _, d_out in shape.linears(self.targets))
