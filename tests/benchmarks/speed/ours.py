"""Our side: the training of one cell by the harness, several times in one process."""

import copy
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.config.schema import Cell
from harness.measurement.meter import Meter
from harness.models import backbone, tokenizer
from harness.store.attempt_folder import AttemptFolder
from harness.training import determinism
from harness.training.batches import Order
from harness.training.checkpoint import Keeper
from harness.training.course.work import Work
from harness.training.determinism import seed_for
from harness.training.fit import fit
from harness.training.objectives import registry as objectives
from harness.training.score import Split, prepare
from methods import registry as methods
from methods.ia3 import InputScale
from tasks import registry as tasks
from tests.benchmarks.speed.theirs import Clock, Plan, Recipe, Rows

EVALUATED = 8
"""Rows of the splits that are scored around a block of steps, whose time is not part of it."""


class Ticking(Keeper):
    """Notes when steps end: the loop asks after each step whether a checkpoint is due."""

    clock: Clock

    def due(self, step: int) -> bool:
        """Return that no checkpoint is due."""
        self.clock.tick()
        return False


@dataclass
class Ours:
    """A cell that is ready for training. plain: its backbone as it was before the method was attached."""

    cell: Cell
    model: Any
    plain: Any
    method: Any
    objective: Any
    task: Any
    splits: dict[str, Split]

    @property
    def recipe(self) -> Recipe:
        """Return the recipe for the other side."""
        own = self.cell.recipe
        return Recipe(own.steps, own.batch_size, own.learning_rate, own.gradient_clip)

    @property
    def order(self) -> list[int]:
        """Return the row numbers of all batches, one after the other."""
        own = self.cell.recipe
        order = Order(self.splits["train"].encoded.lengths, own.batch_size, seed_for(self.cell, "order"))
        return [int(row) for row in np.concatenate([order.rows(step) for step in range(own.steps)])]

    def rows(self, split: str = "train") -> Rows:
        """Return a split's tokens for the other side."""
        encoded = self.splits[split].encoded
        labels = encoded.labels if self.cell.objective == "classifier" else encoded.targets
        assert labels is not None, "the objectives that are timed have labels or targets"
        return Rows.of(self.cell.objective, encoded.inputs, encoded.lengths, labels)

    def plan(self) -> Plan:
        """Return what PEFT is to build for the same method."""
        name = self.cell.method.name
        hosts = [path for path, module in self.model.named_modules() if hasattr(module, name)]
        if name == "layernorm":
            own = {path.rpartition(".")[0] for path, p in self.model.named_parameters() if p.requires_grad}
            hosts = sorted(
                own - {path.rpartition(".")[0] for path, p in self.plain.named_parameters() if p.requires_grad}
            )
        inner = [path for path in hosts if isinstance(getattr(self.model.get_submodule(path), name, None), InputScale)]
        return Plan(name, self.cell.objective, dict(self.cell.method.fields), hosts, inner)

    def train(self, steps: int, every: int) -> tuple[Clock, list[float]]:
        """Train, and return when the steps ended, and the mean training losses between evaluations.

        every: the steps between evaluations.
        """
        recipe = replace(self.cell.recipe, steps=steps, evaluate_every=every)
        keeper, device = Ticking(), torch.device("cpu")
        keeper.clock = Clock()
        few = {name: split if name == "train" else _few(split) for name, split in self.splits.items()}
        with tempfile.TemporaryDirectory() as place:
            folder = AttemptFolder(Path(place))
            meter = Meter(device, folder)
            work = Work(self.model, self.method, self.objective, self.task, few, recipe, folder, meter, keeper)
            fit(work, seed_for(self.cell, "order"), seed_for(self.cell, "dropout"))
            meter.close()
        return keeper.clock, [row["train_loss"] for row in work.curve[1:]]


def _few(split: Split) -> Split:
    encoded, n = split.encoded, EVALUATED
    parts = {name: getattr(encoded, name) for name in ("targets", "labels", "options")}
    cut = {name: part if part is None or len(part) == 1 else part[:n] for name, part in parts.items()}
    fewer = replace(encoded, inputs=encoded.inputs[:n], lengths=encoded.lengths[:n], **cut)
    return Split(split.examples[:n], fewer, split.targets[:n])


def build(cell: Cell, keep_plain: bool = True) -> Ours:
    """Return a cell with its model, method and rows, made as `harness/run.py` makes them.

    keep_plain: whether a second copy of the backbone is made, for the other side.
    """
    head = objectives.head(cell.objective, tasks.row(cell.task).classes)
    method = methods.make(cell.method, lambda: backbone.outline(cell.model, head))
    words = tokenizer.load(cell.model, method.tokens_added())
    task = words.marked(tasks.load(cell.task))
    objective = objectives.make(cell.objective, task, words, objectives.Reading.of(cell))
    splits = prepare(objective, task)
    model: nn.Module = backbone.load(cell.model, head, seed_for(cell, "head"), cell.recipe.dropout)
    plain = copy.deepcopy(model) if keep_plain else None
    determinism.seed(seed_for(cell, "method"))
    method.attach(model)
    backbone.masters(model)
    method.read(model, words.encode)
    return Ours(cell, model, plain, method, objective, task, splits)
