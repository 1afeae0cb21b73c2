"""A finished cell rebuilt for a probe: its model (training/finished_model.py), its rows, and its files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from harness.config.schema import Cell, Runtime
from harness.errors import UsageError
from harness.models import tokenizer
from harness.models.text_tokens import Text
from harness.store import attempt_folder
from harness.store.store import Store
from harness.training import determinism, finished_model, trained_tensors
from harness.training.determinism import seed_for
from harness.training.objectives import registry as objectives
from harness.training.objectives.base import Objective
from harness.training.score import Split, prepare
from methods.attachment.delta_state import load_delta_state
from methods.base import Method
from tasks import registry as tasks
from tasks.base import Task
from tasks.data import few_shot


@dataclass(frozen=True)
class Finished:
    """A finished cell in memory.

    - model: the trained model in evaluation mode. plain: the backbone alone, as it was loaded.
    - words: the tokenizer.
    - delta: the file of the model's trained tensors, with others of the attempt beside it; None where nothing trained.
    """

    cell: Cell
    model: nn.Module
    plain: nn.Module
    method: Method
    task: Task
    objective: Objective
    splits: Mapping[str, Split]
    words: Text
    runtime: Runtime
    delta: Path | None

    def merged(self, delta: Path) -> nn.Module:
        """Return another backbone with one of the cell's deltas merged. Raises NotApplicable where the method cannot be
        merged.
        """
        model, method = _trained(self.cell, self.runtime, delta)
        method.merge(model)
        return model

    def deltas(self, count: int, probe: str) -> dict[int, Path]:
        """Return step -> the file of the delta at each of `count` steps, for a probe that looks at them; {} where
        nothing trained. Raise UsageError where one was not saved.
        """
        if self.delta is None:
            return {}
        files = attempt_folder.files(self.delta.parent, self.cell.recipe.steps, count)
        missing = [str(step) for step, path in files.items() if not path.is_file()]
        if missing:
            raise UsageError(
                f"it has no stored delta of step {', '.join(missing)}: run it with probe={probe}, which adds an "
                "attempt that stores them"
            )
        return files

    @property
    def reported(self) -> Split:
        """Return the first reported set."""
        return self.splits[next(iter(self.task.splits.tests))]


def assemble(cell: Cell, runtime: Runtime, delta: Path | None, device: torch.device) -> Finished:
    """Return the rebuilt cell. delta: the file of its trained tensors; None where nothing trained.

    Raises UsageError for a file that does not fit.
    """
    plain = finished_model.backbone(cell)
    model, method = _trained(cell, runtime, delta)
    words = tokenizer.load(cell.model, method.tokens_added())
    task = few_shot.put(words.marked(tasks.load(cell.task)), cell.task.shots, seed_for(cell, "shots"))
    objective = objectives.make(cell.objective, task, words, objectives.Reading.of(cell))
    splits = prepare(objective, task)
    models = model.to(device).eval(), plain.to(device).eval()
    return Finished(cell, *models, method, task, objective, splits, words, runtime, delta)


def _trained(cell: Cell, runtime: Runtime, delta: Path | None) -> tuple[nn.Module, Method]:
    model = finished_model.backbone(cell)
    method = finished_model.attached(cell, model)
    determinism.seed(seed_for(cell, "method"))
    method.inherit(model, trained_tensors.load(Store(runtime.store), cell))
    if delta is not None:
        load_delta_state(model, finished_model.tensors(delta))
    return model, method


def name(device: torch.device) -> str:
    """Return a device's name as records have it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
