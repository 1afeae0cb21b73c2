"""The page: what a cell is, from top to bottom."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from harness.config.schema import Cell, Runtime
from harness.measurement.meter import Meter
from harness.models import backbone, tokenizer, unknown_tokens, weight_files
from harness.store.attempt_folder import AttemptFolder
from harness.store.store import Store
from harness.training import checkpoint, determinism, outputs, process_group, step_parts, step_profile, trained_tensors
from harness.training.determinism import choose_device, seed_for
from harness.training.course.work import Work
from harness.training.fit import Asking, go_on, training
from harness.training.objectives import registry as objectives
from harness.training.score import facts, prepare
from methods import registry as methods
from tasks import registry as tasks
from tasks.data import few_shot

Keepers = Callable[[Cell, Runtime, AttemptFolder, torch.device], checkpoint.Keeper]


def run(cell: Cell, runtime: Runtime, folder: AttemptFolder, keepers: Keepers = checkpoint.keeper) -> dict[str, Any]:
    """Train and score one cell. Return the fields of its record; curve, predictions and deltas go to `folder`.

    keepers: makes the keeper of checkpoints, for a run that keeps more (probes/_snapshot_run.py).
    Raise Diverged where the training diverges, and UsageError for what a person has to correct.
    """
    if cell.recipe.parallel != "none":
        return process_group.spread(
            partial(_member, keepers=keepers), cell, step_parts.settings(cell.recipe, runtime), folder
        )
    return _member(cell, runtime, folder, keepers)


def _member(cell: Cell, runtime: Runtime, folder: AttemptFolder, keepers: Keepers) -> dict[str, Any]:
    """Train and score the cell in this process, anew where a checkpoint cannot be used. Other processes may do too."""
    keeper = keepers(cell, runtime, folder, choose_device(runtime.device))
    try:
        return go_on(steps(cell, runtime, folder, keeper))
    except checkpoint.Unusable as error:
        keeper.refuse(str(error))
        return go_on(steps(cell, runtime, folder, keeper))


def steps(cell: Cell, runtime: Runtime, folder: AttemptFolder, keeper: checkpoint.Keeper) -> Asking[dict[str, Any]]:
    """Yield the cell's training steps, each answered by its loss; return what `run` returns."""
    device = choose_device(runtime.device)
    lacking = determinism.ask(device) if runtime.deterministic else None
    meter = Meter(device, folder, runtime.sample_ms)
    with meter.phase("prepare"):
        head = objectives.head(cell.objective, tasks.row(cell.task).classes)
        method = methods.make(cell.method, lambda: backbone.outline(cell.model, head))
        words = tokenizer.load(cell.model, method.tokens_added())
        task = few_shot.put(words.marked(tasks.load(cell.task)), cell.task.shots, seed_for(cell, "shots"))
        objective = objectives.make(cell.objective, task, words, objectives.Reading.of(cell))
        splits = prepare(objective, task)
        task_facts = facts(task, splits)
        unknown = unknown_tokens.note(
            unknown_tokens.count(task, cell.objective, words.tokenizer, words.controls.unknown)
        )
    with meter.phase("load"):
        model = backbone.load(cell.model, head, seed_for(cell, "head"), cell.recipe.dropout)
        census = backbone.census(model)
        determinism.seed(seed_for(cell, "method"))
        method.attach(model)
        backbone.masters(model)
        method.inherit(model, trained_tensors.load(Store(runtime.store), cell))
        method.read(model, words.encode)
        step_parts.place(model, cell.recipe, device)
    work = Work(
        model, method, objective, task, splits, cell.recipe, folder, meter, keeper, reuse_frozen=runtime.reuse_frozen
    )
    fitted = yield from training(work, seed_for(cell, "order"), seed_for(cell, "dropout"))
    if runtime.keep == "delta":  # what was trained is on the disk before anything that may still fail
        outputs.deltas(folder, fitted, model)
    outputs.predictions(folder, fitted, splits)
    record = {
        "status": "done",
        "scores": outputs.scores(work, fitted),
        "best_step": fitted.best.step,
        "parameters": census.count(model),
        **(measured := meter.summary()),
        "flops": step_profile.operations(work, device, measured["device"]["name"] or ""),
        "notes": {
            **outputs.notes(work, device),
            **unknown,
            **outputs.leaked(cell),
            **weight_files.note(cell.model),
            **determinism.note(device, lacking),
            **keeper.note(),
        },
        "task_facts": task_facts,
    }
    return step_profile.counted(record, work, device, seed_for(cell, "order"))
