"""One training step: the loss of a part of a batch, its gradients, clipping, and the update.

Training, its profile and every forecast take their step here, so they agree on what a step is.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness.precision import computing
from harness.training import trained_tensors
from harness.training.optimizers import Lomo

if TYPE_CHECKING:
    from harness.training.batches import Batch
    from harness.training.objectives.base import Objective
    from methods.base import Method


def losses(
    objective: "Objective", method: "Method", model: nn.Module, batch: "Batch",
    share: float = 1.0, processes: int = 1, penalised: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Return (the part's share of the batch's loss, the loss to differentiate), scalars with gradient.

    The second is the first times `processes`, plus the method's penalty. batch: inputs [B, T].
    share: the share of this part in the batch's loss. processes: over how many the gradients are averaged later.
    penalised: whether this part asks for the penalty, which a batch has once.
    """
    with computing(objective.reading.precision, batch.inputs.device):
        loss, penalty = objective.loss(model, batch), method.penalty(model) if penalised else None
    if share != 1.0:
        loss = loss * share
    scaled = loss if processes == 1 else loss * processes
    return loss, scaled if penalty is None else scaled + penalty


def recompute_blocks(model: Any, **how: Any) -> None:
    """Recompute the activations of each block in the backward pass. `how`: arguments of torch's checkpoint function.

    transformers then lets the embeddings' output require gradients, as its older way of recomputing needs it. Ours does
    not, and frozen blocks below the lowest trained one would be computed again for gradients that nobody reads.
    Raise ValueError for a model that cannot do it.
    """
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False, **how})  # transformers is giving it another name
    model.disable_input_require_grads()


def add_gradients(loss: torch.Tensor, again: bool = False) -> None:
    """Add the gradients of a loss (scalar) to those that are there. again: whether a second pass follows."""
    loss.backward(retain_graph=again)


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor, clip: float) -> None:
    """Take one optimiser step against the gradient of a loss (scalar), and free all gradients.

    Gradients that are there already are added to (accumulation). clip: as of `update`.
    """
    if isinstance(optimizer, Lomo):
        optimizer.descend(partial(add_gradients, loss), clip)
        return
    add_gradients(loss)
    update(optimizer, clip)


def update(optimizer: torch.optim.Optimizer, clip: float) -> None:
    """Take one optimiser step with the gradients that are there, and free them.

    clip: the largest norm of all gradients together; 0 for any.
    """
    if clip:
        _clip([p for group in optimizer.param_groups for p in group["params"] if p.grad is not None], clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)  # here, not before backward: they would live through the next forward pass


def _clip(parameters: list[nn.Parameter], limit: float) -> None:
    """Scale the gradients so that their norm is at most `limit`."""
    if not any(trained_tensors.sharded(p) for p in parameters):
        nn.utils.clip_grad_norm_(parameters, limit)
        return
    # torch's function takes no mix of sharded and whole gradients.
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack([trained_tensors.whole(gradient.norm()) for gradient in gradients]).norm()
    scale = (limit / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.to(gradient.dtype))
