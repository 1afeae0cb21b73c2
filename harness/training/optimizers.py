"""The optimisers of a recipe (a step with them: harness/training/step.py).

- adamw: weight decay decoupled (Loshchilov & Hutter 2019).
- adafactor: Shazeer & Stern 2018 as T5's tuning uses it: the rate is the recipe's, neither relative to the step nor
  scaled by the parameters; no momentum.
- sgd: no momentum.
- lomo: Lv et al. 2023 (arXiv 2306.09782): sgd whose update is fused into the backward pass. Each parameter moves as
  soon as its gradient is whole, and the gradient is freed at once, so memory holds one gradient and no state at all.
  To clip by the norm, which only a whole backward pass can tell, the pass is made twice, as in the paper (section
  3.3): once for the norm, once for the update. `recipe.gradient_clip=0` saves the first.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from harness.config.schema import RecipeConfig
from methods.backbone.delta import trainable

Groups = list[dict[str, Any]]
Backward = Callable[[bool], None]
"""Runs the backward pass of one loss; its argument says whether another pass follows."""


class Lomo(torch.optim.Optimizer):
    """Has no `step`: `descend` is backward pass and update in one. Between two of them no hook is left."""

    def __init__(self, groups: Groups, lr: float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})

    def descend(self, backward: Backward, clip: float) -> None:
        """Take one step. clip: the largest norm of all gradients together; 0 for any."""
        scale = self._scale(backward, clip) if clip else None
        self._pass(backward, partial(_move, scale))

    def _scale(self, backward: Backward, clip: float) -> torch.Tensor:
        """Scalar that the gradients are to be multiplied with, as `clip_grad_norm_` does."""
        norms: list[torch.Tensor] = []
        self._pass(backward, lambda grad, p, group: norms.append(grad.norm()), again=True)
        return (clip / (torch.stack(norms).norm() + 1e-6)).clamp(max=1.0)

    def _pass(self, backward: Backward, act: Callable[..., None], again: bool = False) -> None:
        """`act` gets each gradient, its parameter and its group as soon as the gradient is whole; then it is gone."""

        def hook(group: dict[str, Any], p: nn.Parameter) -> None:
            assert p.grad is not None, "the hook comes after it is accumulated"
            with torch.no_grad():
                act(p.grad, p, group)
            p.grad = None

        pairs = [(group, p) for group in self.param_groups for p in group["params"]]
        handles = [p.register_post_accumulate_grad_hook(partial(hook, group)) for group, p in pairs]
        try:
            backward(again)
        finally:
            for handle in handles:
                handle.remove()


def _move(scale: torch.Tensor | None, grad: torch.Tensor, p: nn.Parameter, group: dict[str, Any]) -> None:
    if scale is not None:
        grad.mul_(scale.to(grad.dtype))
    if group["weight_decay"]:
        grad.add_(p, alpha=group["weight_decay"])
    p.add_(grad, alpha=-group["lr"])


def make(model: nn.Module, recipe: RecipeConfig) -> torch.optim.Optimizer:
    """Of what trains now; weight decay on matrices only, as is usual: not on biases, norms and other vectors."""
    tensors = [p for _, p in trainable(model)]
    groups = [
        {"params": [p for p in tensors if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in tensors if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [one for group in groups for one in _unmixed(group)]
    return _MAKERS[recipe.optimizer]([g for g in groups if g["params"]], recipe.learning_rate)


def _unmixed(group: dict[str, Any]) -> Groups:
    """Tensors that are spread over processes apart from others: no optimiser takes both in one stride."""
    spread = [p for p in group["params"] if hasattr(p, "full_tensor")]
    if not spread:
        return [group]
    return [{**group, "params": spread}, {**group, "params": [p for p in group["params"] if p not in set(spread)]}]


def _adamw(groups: Groups, rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def _adafactor(groups: Groups, rate: float) -> torch.optim.Optimizer:
    from transformers import Adafactor  # here: only this one needs the library's largest module

    made: torch.optim.Optimizer = Adafactor(groups, lr=rate, scale_parameter=False, relative_step=False)
    return made


def _sgd(groups: Groups, rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=rate)


_MAKERS: dict[str, Callable[[Groups, float], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adafactor": _adafactor,
    "sgd": _sgd,
    "lomo": Lomo,
}
