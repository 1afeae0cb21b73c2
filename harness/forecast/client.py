"""Forecasts for the rest of the harness: cells in, figures out; torch works in a child process. Torch-free."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from itertools import product
from typing import Any, TypeVar

from harness.config import compose
from harness.config.building import build
from harness.config.schema import Cell, TaskConfig
from harness.config.step_load import Load
from harness.errors import UsageError
from harness.experiments.grids import grid, options
from harness.measurement import cuda_devices, nvml
from harness.processes import forkserver, remembered_answers
from harness.store import identity
from harness.training.objectives import registry as objectives
from tasks.registry import row

ANSWERS = "harness.forecast.compute:answers"
Figures = dict[str, Any]
T = TypeVar("T")


def ask(many: Sequence[Cell], load: Load, memory: int | None = None) -> list[Figures | str]:
    """Return for each cell its figures (see compute.py), or one sentence that says why there are none.

    memory: bytes of a device, to say whether the cell fits and which batch would.
    """
    groups: dict[str, list[int]] = {}
    for place, cell in enumerate(many):
        groups.setdefault(kind(cell), []).append(place)
    questions = [
        (identity.to_json(many[places[0]]), vars(load), [many[place].recipe.batch_size for place in places], memory)
        for places in groups.values()
    ]
    first = [many[places[0]] for places in groups.values()]
    texts = [repr((cell.model, question)) for cell, question in zip(first, questions, strict=True)]
    lasting = {text for text, cell in zip(texts, first, strict=True) if remembered_answers.lasts(cell, files=False)}
    modules = forkserver.preload({cell.model.family for cell in many})

    def ask(left: list[Any]) -> list[Any]:
        return forkserver.call_in_parts(ANSWERS, left, modules) if left else []

    answered = remembered_answers.answers(
        ANSWERS, dict(zip(texts, questions, strict=True)), lasting, ask, lambda answer: not isinstance(answer, str)
    )
    forecasts = [answered[text] for text in texts]
    figures: list[Figures | str] = [""] * len(many)
    for places, answer in zip(groups.values(), forecasts, strict=True):
        for order, place in enumerate(places):
            figures[place] = answer if isinstance(answer, str) else answer[order]
    return figures


def kind(cell: Cell) -> str:
    """Return a text that is the same for cells whose memory differs by the batch size only.

    Of a task, only its limits on tokens, its labels and its kind of answer count.
    """
    known = row(cell.task)
    limits = (cell.task.max_input_tokens or known.max_input_tokens, known.max_target_tokens, known.classes)
    answers = (known.kind, known.chance) if known.answer == "choice" else (known.kind,)
    task = replace(cell.task, name="", digest="", train_size=None, validation_size=None, test_size=None, split_seed=0)
    recipe = replace(cell.recipe, batch_size=1, learning_rate=1.0, steps=1, evaluate_every=1)
    return f"{identity.key(replace(cell, task=task, recipe=recipe, seed=0, parents=()))} {limits} {answers}"


def without_data(block: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """Return the cells of a block of choices without reading rows of tasks or weights of models.

    The tasks of parents are taken for those of the block: of cells that only evaluate finished ones on other tasks,
    those for further tasks are left out. Raise UsageError for a field that no task has, and NotApplicable for an
    objective that cannot give the answers.
    """
    own = {key: _parents(key, value) for key, value in block.items() if key.partition(".")[0] != "task"}
    own.setdefault("model.weights", ["random"])
    cells = grid.expand([own])
    names = [name for item in block.get("task") or [compose.defaults()["task"]] for name in options.match("task", item)]
    chosen = {key[len("task.") :]: list(value) for key, value in block.items() if key.startswith("task.")}
    known = {field.name for field in fields(TaskConfig)} - {"name", "digest"}
    for name in chosen:
        if name not in known:
            raise UsageError(f"task has no field {name!r} to set.")
    composed = compose.load(("task", name) for name in names)
    tasks = [
        build(TaskConfig, {**composed["task", name], **dict(zip(chosen, values, strict=True))}, "task")
        for name in names
        for values in product(*chosen.values())
    ]
    made = [replace(cell, task=task) for cell in cells for task in tasks]
    for cell in made:
        objectives.check(cell.objective, row(cell.task).kind)
    return made


def _parents(key: str, choices: Sequence[Any]) -> Sequence[Any]:
    """Return the choices, without the tasks in descriptions of parents, and of the parents of those."""
    return [_without_tasks(spec) for spec in choices] if key.startswith("parents.") else choices


def _without_tasks(description: Any) -> Any:
    if not isinstance(description, Mapping):
        return description
    return {
        axis: _without_tasks(value) if axis.startswith("parents.") else value
        for axis, value in description.items()
        if axis != "task"
    }


def device_memory() -> int | None:
    """Return the bytes of the first GPU that this process may use; None where there is none, or it does not report
    them.
    """
    return _of_device(lambda library, handle: int(library.nvmlDeviceGetMemoryInfo(handle).total))


def device_name() -> str | None:
    """Return NVML's name of the first GPU that this process may use; None where there is none."""
    return _of_device(lambda library, handle: nvml.text(library.nvmlDeviceGetName(handle)))


def _of_device(read: Callable[[Any, Any], T]) -> T | None:
    library, _ = nvml.library()
    if library is None or cuda_devices.listed(os.environ) == []:
        return None
    handle, _ = cuda_devices.find(library, 0, None)
    try:
        return read(library, handle) if handle is not None else None
    except Exception:  # NVML's own kind: whoever asks goes on without a device
        return None
