"""What a process has read for the copies of itself that run cells (processes/hosts.py): rows, and a backbone's weights.

Nothing is kept anywhere else. A process that keeps something never trains. A copy of it takes the backbone out of the
copy's own memory, so the next cell starts from the weights as they were read. In every other process nothing is kept,
and `rows` and `backbone` read: that is the slow form, which the tests compare with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from harness.config.schema import Cell, ModelConfig
from harness.files import strict_json
from harness.models import architecture, tokenizer, unknown_tokens
from harness.models import backbone as models
from harness.models.head import Head
from harness.models.text_tokens import Text
from harness.store import identity
from harness.training.determinism import seed_for
from harness.training.objectives import registry as objectives
from harness.training.objectives.base import Objective
from harness.training.score import Split, facts, prepare
from tasks import registry as tasks
from tasks.base import Task
from tasks.data import few_shot


@dataclass(frozen=True)
class Rows:
    """A task as a model reads it. facts: of the record about the task. notes: of the record about unknown tokens."""

    words: Text
    task: Task
    objective: Objective
    splits: Mapping[str, Split]
    facts: Mapping[str, Any]
    notes: Mapping[str, Any]


_rows: dict[Any, Rows] = {}
_backbones: dict[Any, PreTrainedModel] = {}


def read(text: str) -> None:
    """Read what cells share, described by a cell as JSON (execution/shared_reading.py), and keep it for copies of this
    process.
    """
    cell = identity.from_json(strict_json.parse(text))
    _rows[_place(cell, 0)] = _read(cell, 0)
    tasks.leaked(cell.task)  # which keeps its own result
    if cell.model.weights == "pretrained":
        head = head_of(cell)
        _backbones[cell.model, head, cell.recipe.dropout] = models.pretrained(cell.model, head, cell.recipe.dropout)


def rows(cell: Cell, added: int) -> Rows:
    """Return the cell's rows. added: the positions that its method uses for itself."""
    read_before = _rows.get(_place(cell, added)) if _rows else None
    return read_before or _read(cell, added)


def backbone(cell: Cell) -> PreTrainedModel:
    """Return the cell's backbone, to be changed as one likes."""
    return models.load(cell.model, head_of(cell), seed_for(cell, "head"), cell.recipe.dropout, _take)


def head_of(cell: Cell) -> Head:
    """Return the head that the cell's objective puts on its backbone."""
    return objectives.head(cell.objective, tasks.row(cell.task).classes)


def note() -> dict[str, bool]:
    """Return what a record's `time` says of rows and weights that were read before its process began; {} for none."""
    return {"shared_reading": True} if _rows else {}


def _take(config: ModelConfig, head: Head, dropout: float | None) -> PreTrainedModel:
    """Return a backbone with its weights: the one that is kept, which is given away, or one that is read."""
    model = _backbones.pop((config, head, dropout), None)
    return models.pretrained(config, head, dropout) if model is None else model


def _place(cell: Cell, added: int) -> Any:
    """Return everything that the rows of a cell depend on."""
    room = tokenizer.room(architecture.read(cell.model), added)
    seed = seed_for(cell, "shots") if cell.task.shots else 0
    return cell.model, cell.task, cell.objective, objectives.Reading.of(cell), seed, room


def _read(cell: Cell, added: int) -> Rows:
    words = tokenizer.load(cell.model, added)
    task = few_shot.put(words.marked(tasks.load(cell.task)), cell.task.shots, seed_for(cell, "shots"))
    objective = objectives.make(cell.objective, task, words, objectives.Reading.of(cell))
    splits = prepare(objective, task)
    about = facts(task, splits)
    unknown = unknown_tokens.count(task, cell.objective, words.tokenizer, words.controls.unknown)
    return Rows(words, task, objective, splits, about, unknown_tokens.note(unknown))
