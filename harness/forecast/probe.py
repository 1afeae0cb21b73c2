"""One training step without values: a cell's own model, method, loss and optimiser on the meta device, followed.

The step is the second of a training: the optimiser has its state already.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import torch
from torch import nn

import methods
import tasks
from harness import models, objectives, optimizers, text
from harness.batches import Batch
from harness.config import Cell, RecipeConfig
from harness.errors import UsageError
from harness.forecast.attention import inside
from harness.forecast.live import Live
from harness.forecast.load import Load
from harness.forecast.log import END, START, Log
from harness.forecast.ways import Ways
from harness.objectives.base import Objective
from methods.base import Method, trainable
from tasks.base import Splits, Task

META = torch.device("meta")


@dataclass(frozen=True)
class Subject:
    """What takes the step. load: its lengths settled. ways: as on CUDA, or None for the meta device's own.

    counts: parameters of the delta, the head and the backbone.
    """

    model: Any
    method: Method
    objective: Objective
    recipe: RecipeConfig
    load: Load
    ways: Ways | None
    counts: dict[str, int]


def prepare(cell: Cell, load: Load, cuda: bool = True) -> Subject:
    """The cell's model with its method attached. UsageError as a run's."""
    backbone = replace(cell.model, weights="random")  # nothing is read but the architecture
    task, method = _task(cell), methods.make(cell.method)
    inputs, targets = load.input_tokens or task.max_input_tokens, load.target_tokens or task.max_target_tokens
    words = text.load(backbone, method.tokens_added())
    _check_room(words.room, inputs, cell)
    objective = objectives.make(cell.objective, task, words)
    model = models.outline(backbone, objective.head, cell.recipe.dropout)
    census = models.census(model)
    with META:
        method.attach(model)
    model.train()
    settled = replace(load, input_tokens=inputs, target_tokens=targets)
    ways = Ways(load.kernel, cell.recipe.precision == "bf16") if cuda else None
    if load.checkpointing:
        _checkpoint(model, cell, ways)
    return Subject(model, method, objective, cell.recipe, settled, ways, census.count(model))


def follow(subject: Subject, rows: int) -> Log:
    """The log of one step with so many rows in each part of the batch."""
    model, recipe, load = subject.model, subject.recipe, subject.load
    live = Live(inside if subject.ways is not None else None)
    with live, _fused_on_meta():
        live.watch(model)
        optimizer = optimizers.make(model, recipe) if any(True for _ in trainable(model)) else None
        live.mark("update")
        if optimizer is not None:
            optimizers.descend(optimizer, _touch(model), recipe.gradient_clip)
            optimizer.register_step_pre_hook(lambda *_: live.mark("update"))
        live.mark(START)
        for left in reversed(range(min(load.accumulation, 2))):  # from the second on they are all alike
            live.mark("forward")
            loss = _loss(subject, rows)
            live.mark("backward")
            if left:
                loss.backward()
            elif optimizer is not None:
                optimizers.descend(optimizer, loss, recipe.gradient_clip)
            del loss
        live.mark(END)
    return live.log()


def _loss(subject: Subject, rows: int) -> torch.Tensor:
    batch = synthetic(subject.load, rows)
    with subject.ways or nullcontext():
        loss = subject.objective.loss(subject.model, batch)
        penalty = subject.method.penalty(subject.model)
    return loss if penalty is None else loss + penalty


def synthetic(load: Load, rows: int) -> Batch:
    """A batch whose every row is as long as the load says."""
    assert load.input_tokens, "the lengths are settled"
    assert load.target_tokens, "the lengths are settled"

    def whole(*shape: int) -> torch.Tensor:
        return torch.zeros(shape, dtype=torch.long, device=META)

    inputs, targets = whole(rows, load.input_tokens), whole(rows, load.target_tokens)
    return Batch(inputs, torch.ones_like(inputs), targets=targets, labels=whole(rows))


def _touch(model: nn.Module) -> torch.Tensor:
    """A loss that reaches every trained tensor, so that the optimiser makes its state."""
    return torch.stack([p.sum() for _, p in trainable(model)]).sum()


def _task(cell: Cell) -> Task:
    """The task without its rows."""
    row = tasks.find(cell.task.name)
    return Task(
        name=cell.task.name, category=row.category, template=row.template, metric=row.metric,
        splits=Splits((), (), {}), label_words=row.label_words, answer=row.answer, chance=row.chance,
        max_input_tokens=cell.task.max_input_tokens or row.max_input_tokens, max_target_tokens=row.max_target_tokens,
    )  # fmt: skip


def _check_room(room: int | None, length: int, cell: Cell) -> None:
    if room is not None and length > room:
        raise UsageError(
            f"--input-tokens {length}: model {cell.model.name} has {room} positions for the input with "
            f"method {cell.method.name}. Give at most {room}."
        )


def _checkpoint(model: Any, cell: Cell, ways: Ways | None) -> None:
    """Block by block; what is computed again goes the same ways."""
    again = {} if ways is None else {"context_fn": lambda: (nullcontext(), ways.again())}
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    try:
        enable({"use_reentrant": False, **again})
    except ValueError as error:
        raise UsageError(f"--checkpointing: model {cell.model.name} cannot recompute its blocks ({error}).") from error


@contextmanager
def _fused_on_meta() -> Iterator[None]:
    """Torch refuses its fused optimisers on the meta device, where they allocate as they do on CUDA: nothing."""
    module = importlib.import_module("torch.optim.optimizer")  # torch.optim hides it
    known = [*module._get_fused_kernels_supported_devices(), "meta"]
    with mock.patch.object(module, "_get_fused_kernels_supported_devices", return_value=known):
        yield
