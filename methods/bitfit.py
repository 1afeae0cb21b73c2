"""BitFit (Ben-Zaken et al. 2022, arXiv 2106.10199): only the additive biases train.

Parameters of a BERT block: 7 d + F (q, k, v, o, two norms, feed-forward in and out), plus the embedding norm,
the pooler and the language-model head where there are such. T5's relative_attention_bias is a table, not a
bias. Where linears or norms have no bias (T5, LLaMA) `create_missing` gives them one at zero, so the start is
unchanged; the paper has no such case. Key biases are dead under softmax unless keys are rotated after the
projection.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from methods.base import (
    LINEAR_ROLES,
    Delta,
    Method,
    NotApplicable,
    Shape,
    backbone_modules,
    dead_key_biases,
    family,
    find,
    insert,
    inserted,
    is_bias,
    parameter,
)


class Bias(Delta):
    """A bias for a layer that has none. bias: [D] or [F]."""

    def __init__(self, host: nn.Module) -> None:
        super().__init__()
        weight = host.get_parameter("weight")
        self.bias = parameter(weight, weight.shape[0])
        nn.init.zeros_(self.bias)

    def forward(self, output: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        """Return output + bias: [B, T, D or F] for output of the same shape."""
        return output + self.bias.to(output.dtype)


@dataclass(frozen=True)
class BitFit(Method):
    """Additive biases train."""

    name: ClassVar[str] = "bitfit"
    mergeable: ClassVar[bool] = True

    create_missing: bool = True

    def attach(self, model: nn.Module) -> None:
        modules = backbone_modules(model)
        own = [p for m in modules for name, p in m.named_parameters(recurse=False) if is_bias(name) and p.ndim == 1]
        frozen = [p for p in own if not p.requires_grad]  # a head's biases train already
        if not frozen and not self.create_missing:
            kind = family(model).name
            raise NotApplicable(
                f"method bitfit: family {kind} has no biases; method.create_missing=true adds zero ones"
            )
        for p in frozen:
            p.requires_grad_(True)
        if self.create_missing:
            for host in self._without_bias(model):
                insert(host, "bitfit", Bias(host))

    @staticmethod
    def _without_bias(model: nn.Module) -> list[nn.Module]:
        roles = [role for role in (*LINEAR_ROLES, "norms") if role in family(model).roles]
        hosts = {path: host for role in roles for path, host in find(model, role).items()}
        return [host for host in hosts.values() if getattr(host, "bias", None) is None]

    def merge(self, model: nn.Module) -> None:
        """Do nothing where only the backbone's own biases train. Raise NotApplicable where biases were created."""
        if created := len(inserted(model, "bitfit", Bias)):
            raise NotApplicable(
                f"method bitfit cannot be merged here: the backbone has no place for {created} new biases"
            )

    def closed_form(self, shape: Shape) -> int:
        linears = sum(n * d_out for n, _, d_out in shape.linears(LINEAR_ROLES))
        return linears + shape.norms * shape.width + shape.biases_outside

    def dead(self, model: nn.Module) -> dict[str, str]:
        return dead_key_biases(model)

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        return {"biases_created": len(inserted(model, "bitfit", Bias))}
