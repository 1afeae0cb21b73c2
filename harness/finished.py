"""A finished cell put together again: its model with the delta it kept, its data, its objective."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

import methods
import tasks
from harness import determinism, models, objectives, parents, text
from harness.config import Cell, Runtime
from harness.errors import UsageError
from harness.objectives.base import Objective
from harness.run import seed_for
from harness.score import Split, prepare
from harness.store import Store
from methods.base import Method
from methods.kept import load_delta_state
from tasks import shots
from tasks.base import Task


@dataclass(frozen=True)
class Finished:
    """model: trained, in evaluation mode; plain: the backbone alone, as it was loaded."""

    cell: Cell
    model: nn.Module
    plain: nn.Module
    method: Method
    task: Task
    objective: Objective
    splits: Mapping[str, Split]

    @property
    def reported(self) -> Split:
        """The first set that is reported."""
        return self.splits[next(iter(self.task.splits.tests))]


def assemble(cell: Cell, runtime: Runtime, delta: Path | None, device: torch.device) -> Finished:
    """As run.py puts it together, then the saved delta. delta: None where nothing trained. UsageError for a file that
    does not fit.
    """
    task, method = tasks.load(cell.task), methods.make(cell.method)
    task = shots.put(task, cell.task.shots, seed_for(cell, "shots"))
    words = text.load(cell.model, method.tokens_added())
    objective = objectives.make(cell.objective, task, words, objectives.Reading.of(cell))
    model, plain = (
        models.load(cell.model, objective.head, seed_for(cell, "head"), cell.recipe.dropout) for _ in range(2)
    )
    determinism.seed(seed_for(cell, "method"))
    method.attach(model)
    method.inherit(model, parents.load(Store(runtime.store), cell))
    method.read(model, words.encode)
    if delta is not None:
        load_delta_state(model, _read(delta))
    splits = prepare(objective, task)
    return Finished(cell, model.to(device).eval(), plain.to(device).eval(), method, task, objective, splits)


def name(device: torch.device) -> str:
    """As records tell a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path.name} cannot be read ({error}): run the cell again with rerun=done.") from error
