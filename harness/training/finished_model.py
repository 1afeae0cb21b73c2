"""A finished cell's model again: its backbone with its method attached and what it trained put back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from harness.config.schema import Cell
from harness.errors import UsageError
from harness.files import plain_files
from harness.models import backbone as models
from harness.models import tensor_reader, tokenizer
from harness.store.attempt_folder import delta_file
from harness.store.store import Store
from harness.training import determinism, trained_tensors
from harness.training.determinism import seed_for
from harness.training.objectives import registry as objectives
from harness.training.score import prepare, score
from methods import registry as methods
from methods.attachment.delta_state import load_delta_state
from methods.backbone.trainable_parameters import trainable
from methods.base import Method
from tasks import registry as tasks
from tasks.data import few_shot

RUN_AGAIN = "Run the cell again with keep=delta rerun=done."


@dataclass(frozen=True)
class Built:
    """A model with its method attached, on the CPU and in evaluation mode."""

    cell: Cell
    model: PreTrainedModel
    method: Method


def finished(store: Store, key: str, checkpoint: str = "best") -> Built:
    """Return a finished cell's model with its trained tensors at a checkpoint ("best" or "last").

    Raise UsageError for a cell that is not done, and for one that kept no tensors.
    """
    cell, status = store.cell(key), store.status(key)
    if status != "done":
        raise UsageError(f"cell {key[:12]} is {status}: only a finished cell has weights.")
    model = backbone(cell)
    method = attached(cell, model)
    determinism.seed(seed_for(cell, "method"))
    method.inherit(model, trained_tensors.load(store, cell))
    if any(True for _ in trainable(model)):
        path = store.counting_file(key, delta_file(checkpoint))
        if not path.is_file():
            raise UsageError(f"cell {key[:12]} has no stored {path.name}: run it again with keep=delta rerun=done.")
        load_delta_state(model, tensors(path))
    return Built(cell, model, method)


def backbone(cell: Cell) -> PreTrainedModel:
    """Return the backbone of a cell before training, with the head that its seed draws."""
    head = objectives.head(cell.objective, tasks.row(cell.task).classes)
    return models.load(cell.model, head, seed_for(cell, "head"))


def attached(cell: Cell, model: PreTrainedModel) -> Method:
    """Attach the cell's method to `model` in place and return the method. The draws have the cell's own seed, which
    this process's generators have afterwards.
    """
    method = methods.make(cell.method)
    determinism.seed(seed_for(cell, "method"))
    method.attach(model)
    models.masters(model)
    method.read(model, tokenizer.load(cell.model, method.tokens_added()).encode)
    return method


def scores(built: Built, device: torch.device) -> dict[str, dict[str, float]]:
    """Return the scores on a device by name of the split, which is validation or a reported set.

    The model is on the device afterwards.
    """
    cell = built.cell
    words = tokenizer.load(cell.model, built.method.tokens_added())
    task = few_shot.put(words.marked(tasks.load(cell.task)), cell.task.shots, seed_for(cell, "shots"))
    objective = objectives.make(cell.objective, task, words, objectives.Reading.of(cell))
    splits, tokens = prepare(objective, task), cell.recipe.evaluation_tokens
    model = built.model.to(device)
    wanted = ["validation", *task.splits.tests]
    return {name: score(model, objective, splits[name], task.metric, tokens).figures for name in wanted}


def tensors(path: Path, advice: str = RUN_AGAIN) -> Mapping[str, torch.Tensor]:
    """Return the tensors of a safetensors file, in its shapes; nothing is ever unpickled.

    Raise UsageError with the advice for a file that is not whole.
    """
    try:
        return tensor_reader.load(path, plain_files.is_hub_link(path))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: expected a whole safetensors file ({error}). {advice}") from error
