"""The page: what a cell is, from top to bottom."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from harness.config.schema import Cell, Runtime
from harness.measurement.meter import Meter
from harness.models import backbone, weight_files
from harness.store.attempt_folder import AttemptFolder
from harness.store.store import Store
from harness.training import checkpoint, determinism, outputs, process_group, step_parts, step_profile, trained_tensors
from harness.training.course.work import Work
from harness.training.determinism import choose_device, seed_for
from harness.training.fit import Asking, go_on, training
from harness.training.shared import compiled, kept
from harness.training.shared.compiled import Compiled
from methods import registry as methods

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
        method = methods.make(cell.method, lambda: backbone.outline(cell.model, kept.head_of(cell)))
        read = kept.rows(cell, method.tokens_added())
    with meter.phase("load"):
        model = kept.backbone(cell)
        census = backbone.census(model)
        determinism.seed(seed_for(cell, "method"))
        method.attach(model)
        backbone.masters(model)
        method.inherit(model, trained_tensors.load(Store(runtime.store), cell))
        method.read(model, read.words.encode)
        step_parts.place(model, cell.recipe, device)
    given = (model, method, read.objective, read.task, read.splits, cell.recipe, folder, meter, keeper)
    work = Work(*given, reuse_frozen=runtime.reuse_frozen, compiled=Compiled(model) if runtime.compile else None)
    fitted = yield from training(work, seed_for(cell, "order"), seed_for(cell, "dropout"))
    if runtime.keep == "delta":  # what was trained is on the disk before anything that may still fail
        outputs.deltas(folder, fitted, model)
    outputs.predictions(folder, fitted, read.task, read.splits)
    record = {
        "status": "done",
        "scores": outputs.scores(fitted),
        "best_step": fitted.best.step,
        "parameters": census.count(model),
        **(measured := meter.summary()),
        "time": {**measured["time"], **kept.note()},
        "flops": step_profile.operations(work, device, measured["device"]["name"] or ""),
        "notes": {
            **outputs.notes(work, device),
            **read.notes,
            **outputs.leaked(cell),
            **weight_files.note(cell.model),
            **determinism.note(device, lacking),
            **keeper.note(),
        },
        "task_facts": dict(read.facts),
    }
    counted = step_profile.counted(record, work, device, seed_for(cell, "order"))
    return outputs.unmeasured(counted, "compile", compiled.NOTE) if runtime.compile else counted
