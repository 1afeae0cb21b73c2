"""AdaLoRA (Zhang et al. 2023, arXiv 2303.10512): h = W x + scale P diag(l) Q x, whose least important l go to zero.

Parameters: R (d_in + d_out + 1) for each target, R = `rank` at the start; at the end `target_rank` are left of each
target on average. P and Q are normal with sd 0.02 and l is zero, so the start is the backbone. scale is alpha/R.
Importance of a rank: that of its l, plus the means over its column of P and its row of Q, each the
smoothed |w dL/dw| (`beta1`) times its smoothed deviation (`beta2`). The number of ranks that are left falls from all to
the target by a cubic, after `first_share` of the steps and until `final_share` of them are left, and is
applied every `every` steps. The loss has `orthogonality` times the mean of ||P^T P - I|| and ||Q Q^T - I||, as in the
authors' code (the paper has squares, summed). As there, w is the weight after the step and dL/dw its gradient before.
`dropout` is on the input of the update while it trains.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from methods.base import (
    Linear,
    Names,
    OnWeights,
    Shape,
    Training,
    Update,
    computing,
    inserted,
    linears,
    parameter,
)

SPREAD = 0.02
"""The standard deviation of P and Q at the start, as in the authors' code."""
TRAINED = ("P", "values", "Q")


class Triplets(Update):
    """The update scale P diag(values) Q. P: [d_out, R], values: [R], Q: [R, d_in].

    alive: [R], which of them are left. steps: of the whole training. sensitivity_* and uncertainty_* are the smoothed
    scores of the trained tensors, each of its tensor's shape.
    """

    def __init__(self, host: Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.scale, self.steps = scale, 0
        self.P, self.Q = parameter(host.weight, host.out_features, rank), parameter(host.weight, rank, host.in_features)
        self.values = parameter(host.weight, rank)
        nn.init.normal_(self.Q, std=SPREAD)
        nn.init.zeros_(self.values)
        nn.init.normal_(self.P, std=SPREAD)
        self.register_buffer("alive", torch.ones_like(self.values, dtype=torch.bool), persistent=False)
        self._gradients: dict[str, torch.Tensor] = {}
        for name in TRAINED:
            tensor = self.get_parameter(name)
            for kind in ("sensitivity", "uncertainty"):
                self.register_buffer(f"{kind}_{name}", torch.zeros_like(tensor.detach()), persistent=False)
            tensor.register_post_accumulate_grad_hook(partial(self._note, name))

    def _note(self, name: str, p: torch.Tensor) -> None:
        """Remember the gradient of a trained tensor, of its shape: the optimiser frees it before `after_step`."""
        assert p.grad is not None, "the hook comes after it is accumulated"
        self._gradients[name] = p.grad

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return scale P diag(values) Q x: [B, T, d_out] for x: [B, T, d_in]."""
        return self.scale * F.linear(self.values * F.linear(x.to(self.Q.dtype), self.Q), self.P)

    def weight(self) -> torch.Tensor:
        """Return scale P diag(values) Q: [d_out, d_in]."""
        return self.scale * (self.P * self.values) @ self.Q

    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scale P diag(values): [d_out, R] and Q: [R, d_in]."""
        return self.scale * self.P * self.values, self.Q

    @torch.no_grad()
    def observe(self, beta1: float, beta2: float) -> None:
        """Add the gradients of this step to the smoothed scores, and forget these."""
        for name, gradient in self._gradients.items():
            now = (self.get_parameter(name) * gradient).abs()
            mean, deviation = self.get_buffer(f"sensitivity_{name}"), self.get_buffer(f"uncertainty_{name}")
            mean.mul_(beta1).add_(now, alpha=1 - beta1)
            deviation.mul_(beta2).add_((now - mean).abs(), alpha=1 - beta2)
        self._gradients.clear()

    def importance(self) -> torch.Tensor:
        """Return the importance of each rank: [R]."""
        P, values, Q = (self.get_buffer(f"sensitivity_{n}") * self.get_buffer(f"uncertainty_{n}") for n in TRAINED)
        return values + P.mean(dim=0) + Q.mean(dim=1)

    @torch.no_grad()
    def mask(self) -> None:
        """Set the values of the ranks that are not left to zero."""
        self.values.masked_fill_(~self.get_buffer("alive"), 0.0)

    def skew(self) -> list[torch.Tensor]:
        """Return ||P^T P - I|| and ||Q Q^T - I||, scalars."""
        unit = torch.eye(len(self.values), dtype=self.P.dtype, device=self.P.device)
        with computing("fp32", self.P.device):
            return [torch.linalg.norm(side - unit) for side in (self.P.T @ self.P, self.Q @ self.Q.T)]


@dataclass(frozen=True)
class AdaLoRA(OnWeights):
    """Low-rank updates whose ranks go where they matter."""

    name: ClassVar[str] = "adalora"
    derived: ClassVar[dict[str, str]] = {"alpha": "2 * rank"}

    rank: int = 6
    target_rank: int = 4
    alpha: float | None = None
    targets: Names = ("q", "v")
    dropout: float = 0.0
    first_share: float = 0.1
    final_share: float = 0.3
    every: int = 1
    beta1: float = 0.85
    beta2: float = 0.85
    orthogonality: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.target_rank >= 1, "target_rank", "the rank at the end is at least 1")
        self.require(self.alpha is None or self.alpha > 0, "alpha", "alpha must be above 0 (null: 2 * rank)")
        shares = self.first_share >= 0 and self.final_share >= 0 and self.first_share + self.final_share < 1
        self.require(shares, "first_share", "first_share and final_share are at least 0 and together below 1")
        self.require(self.every >= 1, "every", "ranks are taken away every 1 or more steps")
        for field in ("beta1", "beta2"):
            self.require(0 < getattr(self, field) < 1, field, "a share of the earlier score is between 0 and 1")
        self.require(self.orthogonality >= 0, "orthogonality", "the weight of a loss is at least 0")

    def attach(self, model: nn.Module) -> None:
        self.require(self.target_rank <= self.rank, "target_rank", f"it is at most the rank of the start, {self.rank}")
        alpha = 2.0 * self.rank if self.alpha is None else self.alpha
        self.attach_each(linears(model, self.targets), lambda host: Triplets(host, self.rank, alpha / self.rank))

    def fits(self, path: str, host: Linear) -> None:
        self.fits_rank(path, host)

    @property
    def has_start(self) -> bool:
        return True

    def start(self, model: nn.Module, training: Training) -> None:
        """Set the number of steps."""
        for delta in self._deltas(model):
            delta.steps = training.steps

    def _deltas(self, model: nn.Module) -> list[Triplets]:
        return [delta for _, _, delta in inserted(model, self.name, Triplets)]

    def after_step(self, model: nn.Module, step: int) -> None:
        """Compute the scores of the ranks, and set the values of those that are not left to zero."""
        deltas = self._deltas(model)
        steps = deltas[0].steps
        first, last = round(self.first_share * steps), steps - round(self.final_share * steps)
        for delta in deltas:
            delta.observe(self.beta1, self.beta2)
        if step <= last and (step == last or (step > first and step % self.every == 0)):
            self._choose(deltas, self.left(step, first, last))
        for delta in deltas:
            delta.mask()

    def left(self, step: int, first: int, last: int) -> float:
        """Return how many ranks are left of a target on average, after a step of those from `first` to `last`."""
        share = max(0.0, 1 - (step - first) / max(last - first, 1))
        return self.target_rank + (self.rank - self.target_rank) * share**3

    def _choose(self, deltas: list[Triplets], left: float) -> None:
        """Keep the `left` most important ranks of a target on average, over all targets together."""
        scores = torch.cat([delta.importance() for delta in deltas])
        fallen = len(scores) - int(left * len(deltas))
        lowest = scores.kthvalue(fallen).values if fallen else scores.new_tensor(-1.0)
        for delta in deltas:
            delta.get_buffer("alive").copy_(delta.importance() > lowest)

    def penalty(self, model: nn.Module) -> torch.Tensor:
        """Return the orthogonality loss, a scalar."""
        norms = [norm for delta in self._deltas(model) for norm in delta.skew()]
        return self.orthogonality * torch.stack(norms).mean()

    def notes(self, model: nn.Module) -> dict[str, str | int | float]:
        deltas = self._deltas(model)
        return {"ranks_left": sum(int(delta.get_buffer("alive").sum()) for delta in deltas if not delta.P.is_meta)}

    def closed_form(self, shape: Shape) -> int:
        return sum(n * self.rank * (d_in + d_out + 1) for n, d_in, d_out in shape.linears(self.targets))
