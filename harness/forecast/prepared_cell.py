"""The cell of a forecast, ready for one training step: its model, method and loss, on the meta device or a real one."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from harness.config.schema import Cell, RecipeConfig
from harness.config.step_load import PLAIN, Load
from harness.errors import UsageError
from harness.forecast.cuda_rules import Ways
from harness.models import backbone as models
from harness.models import tokenizer
from harness.models.text_tokens import Text
from harness.training import step as training_step
from harness.training.objectives import registry as objectives
from harness.training.objectives.base import Objective
from harness.training.updating import awake
from methods import registry as methods
from methods.base import Method
from tasks import registry as tasks
from tasks.base import Splits, Task

META = torch.device("meta")


@dataclass(frozen=True)
class Words(Text):
    """A tokenizer for which every text is one token: which one does not matter for memory."""

    def encode(self, text: str) -> list[int]:
        """Return one token for a text."""
        return [self.pad]

    def knows(self, token: int) -> bool:
        """Return True: no token is unknown."""
        return True

    def tell_apart(self, words: Sequence[str], spelt: Sequence[Sequence[int]], limit: int) -> None:
        """Accept all label words, because their tokens do not matter."""


@dataclass(frozen=True)
class Subject:
    """A cell that is ready for a step.

    - load: with the lengths of inputs and targets filled in.
    - ways: a mode in which the forward pass allocates as on CUDA; None for what the device itself does.
    - counts: parameters of the delta, the head and the backbone.
    """

    model: Any
    method: Method
    objective: Objective
    recipe: RecipeConfig
    load: Load
    device: torch.device
    ways: Ways | None
    counts: dict[str, int]


def prepare(cell: Cell, load: Load, device: torch.device = META, as_cuda: bool = True) -> Subject:
    """Return the cell's model in training mode, with its method attached; on a real device its weights are random.

    as_cuda: on the meta device, allocate as on CUDA. Raise UsageError where a run would, for inputs that are longer
    than the model's positions, and where the load's kernel or checkpointing is not possible.
    """
    backbone = replace(cell.model, weights="random")  # nothing is read but the architecture
    task, method = _task(cell), methods.make(cell.method)
    inputs, targets = load.input_tokens or task.max_input_tokens, load.target_tokens or task.max_target_tokens
    words = Words(**vars(tokenizer.load(backbone, method.tokens_added())))
    _check_room(words.room, inputs, cell, "" if load.input_tokens else "task.max_input_tokens=")
    if load.kernel == PLAIN and cell.recipe.precision != "fp32":
        raise UsageError(
            f"--kernel plain: the meta device cannot compute it in {cell.recipe.precision}; take another kernel."
        )
    objective = objectives.make(cell.objective, task, words, objectives.Reading.of(cell))
    with device:
        if device == META:
            model = models.parted(models.outline(backbone, objective.head, cell.recipe.dropout), cell.model)
        else:
            model = models.load(backbone, objective.head, 0, cell.recipe.dropout)
        census = models.census(model)
        method.attach(model)
        models.masters(model)
    model.train()
    as_cuda = as_cuda and load.kernel != PLAIN
    ways = Ways(load.kernel, cell.recipe.precision == "bf16") if device == META and as_cuda else None
    if load.checkpointing:
        _checkpoint(model, cell, ways)
    settled, counts = replace(load, input_tokens=inputs, target_tokens=targets), census.count(model)
    if (turns := awake.layers(model, cell.recipe)) is not None:
        turns.wake(0)
    return Subject(model, method, objective, cell.recipe, settled, device, ways, counts)


def _task(cell: Cell) -> Task:
    """Return the task without its rows."""
    row = tasks.row(cell.task)
    return Task(
        name=cell.task.name, category=row.category, template=row.template, metric=row.metric,
        splits=Splits((), (), {}), label_words=row.label_words, answer=row.answer, chance=row.chance,
        max_input_tokens=cell.task.max_input_tokens or row.max_input_tokens, max_target_tokens=row.max_target_tokens,
        cloze=row.cloze, cloze_words=row.cloze_words,
    )  # fmt: skip


def _check_room(room: int | None, length: int, cell: Cell, field: str) -> None:
    """Raise UsageError where the inputs are longer than the positions. field: the choice that made them so long."""
    if room is not None and length > room:
        raise UsageError(
            f"inputs of {length} tokens: model {cell.model.name} has {room} positions for the input with "
            f"method {cell.method.name}. Give at most {field}{room}."
        )


def _checkpoint(model: Any, cell: Cell, ways: Ways | None) -> None:
    """Let the model recompute each block in the backward pass, through the same attention kernels."""
    again = {} if ways is None else {"context_fn": lambda: (nullcontext(), ways.again())}
    try:
        training_step.recompute_blocks(model, **again)
    except ValueError as error:
        raise UsageError(
            f"model {cell.model.name} cannot recompute its blocks ({error}): leave checkpointing out."
        ) from error
