"""(IA)3 (Liu et al. 2022, arXiv 2205.05638): keys, values and the feed-forward's inner activations are scaled by
learnt vectors, l_k * K, l_v * V and (l_ff * f(W_1 x)) W_2 (section 3.3).

Parameters: 2 kv for each attention module (cross-attention too) and F for each feed-forward, kv the width of
its keys. All start at one, so the start is the backbone. `inputs` are the linears whose input is scaled (the
paper: feed-forward out), `outputs` those whose output is, bias included; null for none.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from methods.base import (
    Linear,
    Method,
    Names,
    Rewriting,
    Shape,
    insert,
    insert_before,
    inserted,
    linears,
    parameter,
    remove,
    untie,
)


class Scale(Rewriting):
    """Scales a linear's output. scale: [d_out]."""

    def __init__(self, host: Linear, width: int) -> None:
        super().__init__()
        self.scale = parameter(host.weight, width)
        nn.init.ones_(self.scale)

    def forward(self, output: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """Return output * scale: [B, T, d_out] for output: [B, T, d_out] of the host."""
        return (output * self.scale).to(output.dtype)

    def folded(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weight with scaled rows: [d_out, d_in] for weight: [d_out, d_in]."""
        return weight * self.scale[:, None]


class InputScale(Scale):
    """Scales a linear's input. scale: [d_in]. The host's own output passes unchanged."""

    def forward(self, output: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """Return output: [B, T, d_out] as it is."""
        return output

    def before(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[Any, ...]:
        """Return the host's inputs with x scaled. inputs: x: [B, T, d_in], and others that the host takes."""
        return (inputs[0] * self.scale).to(inputs[0].dtype), *inputs[1:]

    def folded(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weight with scaled columns: [d_out, d_in] for weight: [d_out, d_in]."""
        return weight * self.scale


@dataclass(frozen=True)
class IA3(Method):
    """Vectors that scale keys, values and inner activations."""

    name: ClassVar[str] = "ia3"
    mergeable: ClassVar[bool] = True

    outputs: Names | None = ("k", "v")
    inputs: Names | None = ("ffn-out",)

    def __post_init__(self) -> None:
        rule = "it and method.outputs cannot both be null, or nothing is scaled"
        self.require(bool(self.inputs or self.outputs), "inputs", rule)

    def attach(self, model: nn.Module) -> None:
        for host in linears(model, self.outputs or (), "outputs").values():
            insert(host, "ia3", Scale(host, host.out_features))
        for host in linears(model, self.inputs or (), "inputs").values():
            delta = InputScale(host, host.in_features)
            insert(host, "ia3", delta)
            insert_before(host, delta, delta.before)

    @torch.no_grad()
    def merge(self, model: nn.Module) -> None:
        for _, host, delta in inserted(model, "ia3", Scale):
            untie(model, host)
            weight, bias = host.get_parameter("weight"), host.bias
            weight.copy_(delta.folded(weight.to(delta.scale.dtype)))
            if not isinstance(delta, InputScale) and bias is not None:
                bias.mul_(delta.scale)
            remove(host, "ia3")

    def closed_form(self, shape: Shape) -> int:
        outputs = sum(n * d_out for n, _, d_out in shape.linears(self.outputs or ()))
        return outputs + sum(n * d_in for n, d_in, _ in shape.linears(self.inputs or ()))
