"""One training step without data: a cell's own model, method, loss and optimiser, on the meta device or a real one.

The step is the second of a training: the optimiser has its state already.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest import mock

import torch

import methods
import tasks
from harness import models, objectives, optimizers, text
from harness.batches import Batch
from harness.config import Cell, RecipeConfig
from harness.errors import UsageError
from harness.fit import precision
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
class Words(text.Text):
    """Every word is one token: which one does not matter for memory."""

    def encode(self, text: str) -> list[int]:
        return [self.pad]

    def knows(self, token: int) -> bool:
        return True


@dataclass(frozen=True)
class Subject:
    """What takes the step. load: its lengths settled. ways: as on CUDA; None for what the device itself does.

    counts: parameters of the delta, the head and the backbone.
    """

    model: Any
    method: Method
    objective: Objective
    recipe: RecipeConfig
    load: Load
    device: torch.device
    ways: Ways | None
    counts: dict[str, int]

    def forward(self) -> AbstractContextManager[Any]:
        """What the forward pass runs in."""
        if self.ways is not None:
            return self.ways
        return nullcontext() if self.device == META else precision(self.recipe, self.device)


def prepare(cell: Cell, load: Load, device: torch.device = META, as_cuda: bool = True) -> Subject:
    """The cell's model with its method attached; weights, on a real device, are random. UsageError as a run's."""
    backbone = replace(cell.model, weights="random")  # nothing is read but the architecture
    task, method = _task(cell), methods.make(cell.method)
    inputs, targets = load.input_tokens or task.max_input_tokens, load.target_tokens or task.max_target_tokens
    words = Words(**vars(text.load(backbone, method.tokens_added())))
    _check_room(words.room, inputs, cell)
    objective = objectives.make(cell.objective, task, words, objectives.Reading.of(cell))
    with device:
        if device == META:
            model = models.outline(backbone, objective.head, cell.recipe.dropout)
        else:
            model = models.load(backbone, objective.head, 0, cell.recipe.dropout)
        census = models.census(model)
        method.attach(model)
        models.masters(model)
    model.train()
    ways = Ways(load.kernel, cell.recipe.precision == "bf16") if device == META and as_cuda else None
    if load.checkpointing:
        _checkpoint(model, cell, ways)
    settled = replace(load, input_tokens=inputs, target_tokens=targets)
    return Subject(model, method, objective, cell.recipe, settled, device, ways, census.count(model))


def follow(subject: Subject, rows: int) -> Log:
    """The log of one step with so many rows in each part of the batch."""
    live = Live(inside if subject.ways is not None else None)
    with live, _fused_on_meta():
        live.watch(subject.model)
        optimizer = ready(subject, live.mark)
        live.mark(START)
        step(subject, optimizer, rows, live.mark)
        live.mark(END)
    return live.log()


def ready(subject: Subject, mark: Callable[[str], None]) -> torch.optim.Optimizer | None:
    """The optimiser with its state, as after a first step; None where nothing trains."""
    if not any(True for _ in trainable(subject.model)):
        return None
    optimizer = optimizers.make(subject.model, subject.recipe)
    mark("update")
    touched = torch.stack([p.sum() for _, p in trainable(subject.model)]).sum()
    optimizers.descend(optimizer, touched, subject.recipe.gradient_clip)
    optimizer.register_step_pre_hook(lambda *_: mark("update"))
    return optimizer


def step(
    subject: Subject, optimizer: torch.optim.Optimizer | None, rows: int, mark: Callable[[str], None] = lambda _: None
) -> None:
    """One step; of a batch in many parts the first and the last, as those between are all alike."""
    for left in reversed(range(min(subject.load.accumulation, 2))):
        mark("forward")
        batch = synthetic(subject.load, rows, subject.device)
        with subject.forward():
            loss = subject.objective.loss(subject.model, batch)
            penalty = subject.method.penalty(subject.model)
        loss = loss if penalty is None else loss + penalty
        mark("backward")
        if left:
            loss.backward()
        elif optimizer is not None:
            optimizers.descend(optimizer, loss, subject.recipe.gradient_clip)


def synthetic(load: Load, rows: int, device: torch.device) -> Batch:
    """A batch whose every row is as long as the load says; masked as one with padding is."""
    assert load.input_tokens, "the lengths are settled"
    assert load.target_tokens, "the lengths are settled"
    whole = partial(torch.zeros, dtype=torch.long, device=device)
    inputs, targets = whole(rows, load.input_tokens), whole(rows, load.target_tokens)
    mask = torch.ones_like(inputs)
    mask[0, load.input_tokens // 2 + 1 :] = 0  # a mask without a gap would be left out, and real ones have gaps
    return Batch(inputs, mask, targets=targets, labels=whole(rows))


def _task(cell: Cell) -> Task:
    """The task without its rows."""
    row = tasks.row(cell.task)
    return Task(
        name=cell.task.name, category=row.category, template=row.template, metric=row.metric,
        splits=Splits((), (), {}), label_words=row.label_words, answer=row.answer, chance=row.chance,
        max_input_tokens=cell.task.max_input_tokens or row.max_input_tokens, max_target_tokens=row.max_target_tokens,
        cloze=row.cloze, cloze_words=row.cloze_words,
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
