"""A step in parts: a batch over the processes of a cell, and within each in turn (accumulation).

The loss of a batch is the mean over its items (target tokens, or rows). A part counts with its share of the items, so
the sum of the parts' gradients is the gradient of the whole batch, however it was cut.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import distributed, nn

from harness.config.schema import RecipeConfig, Runtime
from harness.errors import NotApplicable
from harness.models.text_tokens import IGNORED
from harness.training import process_group, step, trained_tensors
from harness.training.batches import Batch, Encoded
from harness.training.objectives.base import Objective
from methods.backbone import roles
from methods.backbone.trainable_parameters import trainable
from methods.base import Method


def split(recipe: RecipeConfig) -> bool:
    """Return whether the batch of a step is cut into parts, one after the other (accumulation) or over processes."""
    return recipe.accumulate > 1 or recipe.parallel != "none"


def place(model: Any, recipe: RecipeConfig, device: torch.device) -> None:
    """Move the model to the device. With fsdp, each process gets its share of every block.

    Raise NotApplicable for a model that cannot recompute its blocks, or whose blocks are not known.
    """
    if recipe.gradient_checkpointing:
        _recompute(model)
    if recipe.parallel == "fsdp":
        _shard(model, device)
    model.to(device)
    if recipe.parallel != "none":
        for tensor in (*model.parameters(), *model.buffers()):
            if not trained_tensors.sharded(tensor):
                distributed.broadcast(tensor.detach(), 0)


def gradients(
    model: nn.Module, objective: Objective, method: Method, recipe: RecipeConfig, encoded: Encoded, rows: Any, seed: int
) -> float:  # fmt: skip
    """Compute the gradients of the whole batch in every process, and return its mean loss.

    rows: [B] row numbers, the same in every process. seed: of the draws of dropout where there are several processes.
    """
    mine, device = process_group.mine(), next(model.parameters()).device
    all_items = items(recipe, encoded.batch(rows))
    value = torch.zeros((), dtype=torch.float64, device=device)
    for number in range(recipe.accumulate):
        own = rows[mine.rank * recipe.accumulate + number :: mine.size * recipe.accumulate]
        batch = encoded.batch(own if len(own) else rows[:1]).to(device)
        share = items(recipe, batch) / all_items if len(own) else 0.0  # all processes go forward equally often
        with _draws(seed, number) if mine.size > 1 else nullcontext():
            loss, total = step.losses(
                objective, method, model, batch, share=share, processes=mine.size, penalised=number == 0
            )
        step.add_gradients(total)
        value += loss.detach().double()
    if mine.size > 1:
        _average(p for _, p in trainable(model))
        distributed.all_reduce(value)
    return float(value)


def settings(recipe: RecipeConfig, runtime: Runtime) -> Runtime:
    """Return the runtime without checkpoints during training, because shards are not saved."""
    return replace(runtime, checkpoint_minutes=0.0, checkpoint_steps=0) if recipe.parallel == "fsdp" else runtime


def items(recipe: RecipeConfig, batch: Batch) -> int:
    """Return the number of items that the loss of this batch is the mean over."""
    if batch.targets is None:
        return len(batch.inputs)
    answers = int((batch.targets != IGNORED).sum())
    return answers + int(batch.mask.sum()) - len(batch.inputs) if recipe.loss_on == "all" else answers


def _recompute(model: Any) -> None:
    """Let the model compute the activations of its blocks again in the backward pass. Raise NotApplicable."""
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise NotApplicable(
            f"recipe.gradient_checkpointing: {type(model).__name__} cannot recompute its blocks in the backward pass."
        )
    step.recompute_blocks(model)


def _shard(model: nn.Module, device: torch.device) -> None:
    """Spread each block over the processes by itself, so that a call of any of the model's modules works.

    Parameters that blocks share stay whole in every process. Raise NotApplicable where no blocks are known.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    blocks = roles.find(model, "blocks")
    if not blocks:
        raise NotApplicable(f"recipe.parallel=fsdp: no blocks are known of {type(model).__name__}; take ddp.")
    holders: dict[nn.Parameter, int] = {}
    for block in blocks.values():
        for parameter in set(block.parameters()):
            holders[parameter] = holders.get(parameter, 0) + 1
    inside = {id(module) for block in blocks.values() for module in block.modules()}
    outside = {p for module in model.modules() if id(module) not in inside for p in module.parameters(recurse=False)}
    shared = {p for p, count in holders.items() if count > 1 or p in outside}
    mesh = init_device_mesh(device.type, (process_group.mine().size,))
    for block in blocks.values():
        # Usual for a block that is its own root would be to stay whole until a backward pass, which evaluation has not.
        fully_shard(block, mesh=mesh, reshard_after_forward=True, ignored_params=shared & set(block.parameters()))


def _average(parameters: Iterable[nn.Parameter]) -> None:
    """Average, in place, the gradients of parameters that are whole in every process; shards are averaged already."""
    for parameter in parameters:
        if not trained_tensors.sharded(parameter):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)
            parameter.grad /= process_group.mine().size


@contextmanager
def _draws(seed: int, part: int) -> Iterator[None]:
    """Draw random numbers of this process's own while the block runs; afterwards the generators are as before."""
    with torch.random.fork_rng():
        torch.manual_seed(seed + 7919 * (part * process_group.mine().size + process_group.mine().rank))
        yield
