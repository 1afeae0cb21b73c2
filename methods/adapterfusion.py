"""AdapterFusion (Pfeiffer et al. 2021, arXiv 2005.00247, equation 4): in every block, attention over the Pfeiffer
adapters of several tasks, which stay frozen: s + sum_t p_t V z_t, p = softmax_t(s Q . z_t K), z_t what task t's
adapter adds to the stream s. In a post-norm backbone the sum goes through the norm once more, as in `pfeiffer`.

Parameters: 3 d^2 for each block, however many tasks. Q and K start normal with sd 0.02, V as the identity plus
1e-6, and (V - I)^2 is penalised by `regularization`, all as in the authors' code. Deviations: Q and K have no
biases (paper: none; code: has them, K's being dead under softmax).
Parents: finished cells of `pfeiffer` on the same backbone. Without parents it changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import nn
from torch.nn import functional as F

from methods.adapter import Bottleneck
from methods.base import Method, Parent, Shape, UsageError, after, family, insert, inserted, parameter, shape_of
from methods.pfeiffer import OnStream

TENSORS = ("down", "down_bias", "up", "up_bias")


class Fusion(OnStream):
    """The change sum_t p_t V z_t. query, key, value: [D, D]; adapters: one of each task, by role."""

    def __init__(self, like: torch.Tensor, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (parameter(like, width, width) for _ in range(3))
        nn.init.normal_(self.query, std=0.02)
        nn.init.normal_(self.key, std=0.02)
        with torch.no_grad():
            nn.init.eye_(self.value).add_(1e-6)
        self.adapters = nn.ModuleDict()

    def change(self, stream: torch.Tensor) -> torch.Tensor:
        """Return sum_t p_t V z_t: [B, T, D] for stream: [B, T, D]; zeros where there are no adapters."""
        if not self.adapters:
            return torch.zeros_like(stream)
        s = stream.to(self.query.dtype)
        made = [cast(Bottleneck, adapter).change(s) for adapter in self.adapters.values()]
        z = torch.stack(made, dim=2)  # [B, T, tasks, D]
        scores = (F.linear(z, self.key) @ F.linear(s, self.query)[..., None])[..., 0]
        mixed = scores.softmax(-1)[..., None, :] @ F.linear(z, self.value)
        return mixed[..., 0, :].to(stream.dtype)


@dataclass(frozen=True)
class AdapterFusion(Method):
    """Attention over the frozen adapters of several tasks."""

    name: ClassVar[str] = "adapterfusion"
    parents: ClassVar[str] = "pfeiffer"
    unchanged_at_start: ClassVar[bool] = False

    activation: Literal["gelu", "relu", "tanh", "silu"] = "relu"
    regularization: float = 0.01

    def __post_init__(self) -> None:
        self.require(self.regularization >= 0, "regularization", "a penalty's weight cannot be negative")

    def attach(self, model: nn.Module) -> None:
        family(model)
        like, width = next(model.parameters()), shape_of(model).width
        for host in after(model, "stream").values():
            insert(host, "adapterfusion", Fusion(like, width))

    def inherit(self, model: nn.Module, parents: Mapping[str, Parent]) -> None:
        made = [
            (fusion, role, self._adapter(fusion, f"{path}.pfeiffer.bottleneck", role, parent.state))
            for path, _, fusion in inserted(model, self.name, Fusion)
            for role, parent in sorted(parents.items())
        ]
        for fusion, role, adapter in made:
            fusion.adapters[role] = adapter

    def _adapter(self, fusion: Fusion, path: str, role: str, state: Mapping[str, torch.Tensor]) -> Bottleneck:
        """Return the frozen adapter that a parent's delta has at `path`. state: tensors by name, each of its
        parameter's shape.
        """
        width, rank = len(fusion.query), len(state.get(f"{path}.down_bias", ()))
        adapter = Bottleneck(fusion.query, width, rank or 1, self.activation).requires_grad_(False)
        for name in TENSORS:
            own, given = adapter.get_parameter(name), state.get(f"{path}.{name}")
            if given is None or given.shape != own.shape or not bool(torch.isfinite(given).all()):
                shape = "missing" if given is None else f"{tuple(given.shape)}"
                raise UsageError(
                    f"parent {role}: {path}.{name} is {shape}, expected finite numbers of {tuple(own.shape)}: "
                    "it must be a finished pfeiffer cell on the same backbone"
                )
            own.copy_(given)
        return adapter

    def penalty(self, model: nn.Module) -> torch.Tensor | None:
        """Return the scalar regularization * sum over blocks of |V - I|^2, or None at regularization 0."""
        if self.regularization == 0:
            return None
        values = [fusion.value for _, _, fusion in inserted(model, self.name, Fusion)]
        return (
            self.regularization
            * torch.stack(
                [(value - torch.eye(len(value), device=value.device)).square().sum() for value in values]
            ).sum()
        )

    def closed_form(self, shape: Shape) -> int:
        return 3 * shape.width**2 * (shape.encoder + shape.decoder)

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        tasks = [len(fusion.adapters) for _, _, fusion in inserted(model, self.name, Fusion)]
        return {"fused_adapters": tasks[0] if tasks else 0}
