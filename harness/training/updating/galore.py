"""GaLore (Zhao et al. 2024, arXiv 2403.03507): Adam on a projection of each matrix's gradient, so its state is small.

G: [m, n], the gradient of a matrix. Where m >= n, the state is of G Q^T: [m, R] with Q: [R, n], the first R right
singular vectors of G; else it is of P^T G: [R, n] with P: [m, R], the first left ones. Q or P is that of the gradient
of every `recipe.projection_every`-th step. Adam's update of the projection goes back through it and is multiplied by
`recipe.projection_scale`. Vectors, and matrices with a side of at most R = `recipe.projection_rank`, have Adam's
update itself. Weight decay is decoupled. As in the authors' code, the state of Adam stays when Q or P changes.
Deviation: eps = 1e-8 is added after the bias correction, as torch does.
"""

from typing import Any

import torch

BETAS = (0.9, 0.999)
EPS = 1e-8


class Galore(torch.optim.Optimizer):
    """rank, every, scale: the recipe's `projection_rank`, `projection_every` and `projection_scale`."""

    def __init__(self, groups: list[dict[str, Any]], lr: float, rank: int, every: int, scale: float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})
        self.rank, self.every, self.scale = rank, every, scale

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step with every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                update = self._update(self.state[p], p.grad)
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update.to(p.dtype), alpha=-group["lr"])

    def _update(self, state: dict[str, Any], gradient: torch.Tensor) -> torch.Tensor:
        """Return what is subtracted from a parameter, in units of the learning rate, and of its shape."""
        if gradient.ndim != 2 or self.rank >= min(gradient.shape):
            return _adam(state, gradient)
        if state.get("step", 0) % self.every == 0:
            state["basis"] = basis(gradient, self.rank)
        if gradient.shape[0] >= gradient.shape[1]:
            return self.scale * _adam(state, gradient @ state["basis"].T) @ state["basis"]
        return self.scale * state["basis"] @ _adam(state, state["basis"].T @ gradient)


def basis(gradient: torch.Tensor, rank: int) -> torch.Tensor:
    """Return Q: [R, n] or P: [m, R] for a gradient: [m, n], orthonormal along its longer side."""
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    return (right[:rank] if gradient.shape[0] >= gradient.shape[1] else left[:, :rank]).contiguous()


def _adam(state: dict[str, Any], gradient: torch.Tensor) -> torch.Tensor:
    """Return Adam's update for a gradient, of its shape, and count the step. The state is made at the first one."""
    if "step" not in state:
        state |= {"step": 0, "mean": torch.zeros_like(gradient), "square": torch.zeros_like(gradient)}
    state["step"] += 1
    state["mean"].lerp_(gradient, 1 - BETAS[0])
    state["square"].mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    mean = state["mean"] / (1 - BETAS[0] ** state["step"])
    return mean / ((state["square"] / (1 - BETAS[1] ** state["step"])).sqrt() + EPS)
