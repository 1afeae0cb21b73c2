"""The gradients of several models in one forward and backward pass: they share what is frozen, and their trained
tensors are stacked.

The slow form, which the first step is compared with, is one pass for each model (step.losses).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.func import vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from harness.one_pass.exchange import exchanged
from harness.training import step
from harness.training.batches import Batch
from harness.training.course.work import Work
from methods.backbone.trainable_parameters import trainable

TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}
"""The largest difference of two gradients, as a share of their norm, that is rounding."""


class Unlike(RuntimeError):
    """One pass over the stacked models does not compute what a pass for each model does."""


def share(works: Sequence[Work]) -> None:
    """Let the models share the memory of their frozen tensors, which must have the same values."""
    mine = dict(works[0].model.named_parameters(remove_duplicate=False))
    for work in works[1:]:
        for name, parameter in work.model.named_parameters(remove_duplicate=False):
            if not parameter.requires_grad:
                parameter.data = mine[name].data


def add_gradients(works: Sequence[Work], batch: Batch) -> list[float]:
    """Add to each model's trained tensors their gradients of the loss on the batch; return the mean losses.

    batch: inputs [B, T]. Dropout, if any, draws the same numbers for all models, as it does when each trains alone.
    Raise Unlike for a tensor that the pass does not reach.
    """
    parameters = [dict(trainable(work.model)) for work in works]
    stacked = {name: torch.stack([own[name].detach() for own in parameters]) for name in parameters[0]}
    losses, gradients = _pass(works[0], stacked, batch)
    for place, own in enumerate(parameters):
        for name, parameter in own.items():
            gradient = gradients[name]
            parameter.grad = None if gradient is None else gradient[place]
    return [float(loss) for loss in losses.tolist()]


def check(works: Sequence[Work], batch: Batch) -> None:
    """Compare the gradients of the first and of the last model with those of a pass for each alone, and free them.

    Raise Unlike where they differ by more than rounding. Random states are as before.
    """
    device = batch.inputs.device
    for place in {0, len(works) - 1}:
        work = works[place]
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            add_gradients(works, batch)
        together = _taken(work.model)
        for other in works:
            _taken(other.model)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            step.add_gradients(step.losses(work.objective, work.method, work.model, batch)[1])
        _compare(together, _taken(work.model), TOLERANCE[work.recipe.precision])


def _pass(work: Work, stacked: Mapping[str, torch.Tensor], batch: Batch) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return the losses [N] and name -> gradient, stacked like the tensors: [N, …]."""
    leaves = {name: tensor.requires_grad_() for name, tensor in stacked.items()}

    def losses_of(own: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        with exchanged(work.model, own):
            return step.losses(work.objective, work.method, work.model, batch)

    # torch has no rule yet that stacks the CPU's fused attention, and its loop over the stack is slower.
    with sdpa_kernel(SDPBackend.MATH):
        losses, totals = vmap(losses_of, randomness="same")(leaves)
        step.add_gradients(totals.sum())
    return losses.detach(), {name: tensor.grad for name, tensor in leaves.items()}


def _taken(model: nn.Module) -> dict[str, torch.Tensor | None]:
    """Return name -> gradient of what trains, and free the gradients."""
    gradients = {name: parameter.grad for name, parameter in trainable(model)}
    for _, parameter in trainable(model):
        parameter.grad = None
    return gradients


def _compare(
    together: Mapping[str, torch.Tensor | None], alone: Mapping[str, torch.Tensor | None], tolerance: float
) -> None:
    """Raise Unlike where two gradients differ by more than a share of the norm of all of them."""
    whole = [gradient.float().norm() for gradient in alone.values() if gradient is not None]
    limit = tolerance * float(torch.stack(whole).norm()) if whole else 0.0
    for name, mine in alone.items():
        other = together[name]
        mine = torch.zeros_like(other) if mine is None and other is not None else mine
        other = torch.zeros_like(mine) if other is None and mine is not None else other
        if mine is not None and other is not None and not float((mine.float() - other.float()).norm()) <= limit:
            raise Unlike(f"the gradient of {name} in one pass is not that of a pass alone")
