"""The optimisers of a recipe (a step with them: harness/training/step.py).

- adamw: weight decay decoupled (Loshchilov & Hutter 2019).
- adafactor: Shazeer & Stern 2018 as T5's tuning uses it: the rate is the recipe's, neither relative to the step nor
  scaled by the parameters; no momentum.
- sgd: no momentum.
- lomo: Lv et al. 2023 (arXiv 2306.09782): sgd whose update is fused into the backward pass. Each parameter moves as
  soon as its gradient is whole, and the gradient is freed at once, so memory holds one gradient and no state at all.
  To clip by the norm, which only a whole backward pass can tell, the pass is made twice, as in the paper (section
  3.3): once for the norm, once for the update. `recipe.gradient_clip=0` saves the first.
- galore: Adam on a projection of the gradients (harness/training/updating/galore.py).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness.config.schema import RecipeConfig
from harness.errors import UsageError
from harness.training.updating.galore import Galore
from methods.backbone.trainable_parameters import trainable

if TYPE_CHECKING:
    from methods.base import Group

Groups = list[dict[str, Any]]
FACTOR = "rate_factor"
"""The entry of a group of tensors with a multiple of the recipe's learning rate."""
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
        """Return the scalar by which the gradients are multiplied, as `clip_grad_norm_` does."""
        norms: list[torch.Tensor] = []
        self._pass(backward, lambda grad, p, group: norms.append(grad.norm()), again=True)
        return (clip / (torch.stack(norms).norm() + 1e-6)).clamp(max=1.0)

    def _pass(self, backward: Backward, act: Callable[..., None], again: bool = False) -> None:
        """Call `act(gradient, parameter, group)` as soon as a gradient is complete, and free the gradient after it.

        again: whether another backward pass follows, which needs the graph once more.
        """

        def hook(group: dict[str, Any], p: nn.Parameter) -> None:
            assert p.grad is not None, "the hook comes after it is accumulated"
            with torch.no_grad():
                act(p.grad, p, group)
            p.grad = None

        pairs = [(group, p) for group in self.param_groups for p in group["params"] if p.requires_grad]
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


def make(model: nn.Module, recipe: RecipeConfig, own: "Sequence[Group]" = ()) -> torch.optim.Optimizer:
    """Return the optimiser of what trains now.

    Weight decay is on matrices only, as is usual: not on biases, norms and other vectors. own: the groups of a method
    with a rate or a decay of their own. Raises UsageError for one that has no tensor of the model.
    """
    groups = [part for factors, tensors in _by_factors(model, own) for part in _decayed(tensors, recipe, *factors)]
    groups = [part for group in groups for part in _unmixed(group)]
    return _MAKERS[recipe.optimizer]([g for g in groups if g["params"]], recipe)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of a step; a group with a factor of its own has that multiple of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(FACTOR, 1.0)


def check_groups(model: nn.Module, own: "Sequence[Group]") -> None:
    """Raise UsageError for a group that has no tensor of the model: it would change nothing, and say nothing."""
    names = [name for name, _ in model.named_parameters()]
    for place, group in enumerate(own, start=1):
        if not any(map(group.trains, names)):
            raise UsageError(
                f"group {place} of the method's groups() has none of the {len(names)} parameters, such as {names[-1]}. "
                "Correct its pattern."
            )


def _by_factors(model: nn.Module, own: "Sequence[Group]") -> list[tuple[tuple[float, float], list[nn.Parameter]]]:
    """Return (factors on rate and decay, the tensors that have them), those without a group first."""
    check_groups(model, own)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {(1.0, 1.0): []}
    for name, p in trainable(model):
        mine = next((group for group in own if group.trains(name)), None)
        groups.setdefault((mine.rate, mine.decay) if mine else (1.0, 1.0), []).append(p)
    return list(groups.items())


def _decayed(tensors: list[nn.Parameter], recipe: RecipeConfig, rate: float, decay: float) -> Groups:
    """Return the group of the matrices, and that of the other tensors, which have no weight decay."""
    factor = {} if rate == 1.0 else {FACTOR: rate, "lr": rate * recipe.learning_rate}
    return [
        {"params": [p for p in tensors if p.ndim >= 2], "weight_decay": decay * recipe.weight_decay, **factor},
        {"params": [p for p in tensors if p.ndim < 2], "weight_decay": 0.0, **factor},
    ]


def _unmixed(group: dict[str, Any]) -> Groups:
    """Return the group in two where some of its tensors are spread over processes: no optimiser takes both at once."""
    spread = [p for p in group["params"] if hasattr(p, "full_tensor")]
    if not spread:
        return [group]
    return [{**group, "params": spread}, {**group, "params": [p for p in group["params"] if p not in set(spread)]}]


def _adamw(groups: Groups, recipe: RecipeConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)


def _adafactor(groups: Groups, recipe: RecipeConfig) -> torch.optim.Optimizer:
    from transformers import Adafactor  # here: only this one needs the library's largest module

    made: torch.optim.Optimizer = Adafactor(groups, lr=recipe.learning_rate, scale_parameter=False, relative_step=False)
    return made


def _sgd(groups: Groups, recipe: RecipeConfig) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=recipe.learning_rate)


def _lomo(groups: Groups, recipe: RecipeConfig) -> torch.optim.Optimizer:
    return Lomo(groups, recipe.learning_rate)


def _galore(groups: Groups, recipe: RecipeConfig) -> torch.optim.Optimizer:
    return Galore(
        groups, recipe.learning_rate, recipe.projection_rank, recipe.projection_every, recipe.projection_scale
    )


_MAKERS: dict[str, Callable[[Groups, RecipeConfig], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adafactor": _adafactor,
    "sgd": _sgd,
    "lomo": _lomo,
    "galore": _galore,
}
