"""The page: what a cell is, from top to bottom."""

import gzip
import hashlib
import json
from typing import Any

import torch

import methods
import tasks
from harness import delta, models, objectives, text
from harness.attempt import AttemptFolder
from harness.config import Cell, Runtime
from harness.fit import Fitted, Point, Run, fit
from harness.meter import Meter
from harness.score import facts, prepare, score


def run(cell: Cell, runtime: Runtime, folder: AttemptFolder) -> dict[str, Any]:
    """Train and score one cell. Returns what the record says of it; curve, predictions and deltas go to `folder`.

    fit.Diverged where a loss stops being a number, UsageError for what a person can put right.
    """
    device = choose_device(runtime.device)
    meter = Meter(device)
    with meter.phase("prepare"):
        task = tasks.load(cell.task)
        objective = objectives.make(cell.objective, task, text.load(cell.model))
        splits = prepare(objective, task)
    with meter.phase("load"):
        model = models.load(cell.model, objective.head, seed_for(cell, "head"), cell.recipe.dropout)
        census = models.census(model)
        method = methods.make(cell.method)
        torch.manual_seed(seed_for(cell, "method"))
        method.attach(model)
        model.to(device)
    work = Run(model, method, objective, task, splits, cell.recipe, folder, meter)
    fitted = fit(work, seed_for(cell, "order"), seed_for(cell, "dropout"))
    scores = {"best": _scores(work, fitted.best), "last": _scores(work, fitted.last)}
    _keep(work, fitted, runtime)
    return {
        "status": "done",
        "scores": scores,
        "best_step": fitted.best.step,
        "parameters": census.count(model),
        "memory": meter.memory(),
        "time": meter.time(),
        "notes": _notes(work, device),
        "task_facts": facts(task, splits),
    }


def choose_device(wanted: str) -> torch.device:
    """ "auto": the first GPU where there is one."""
    if wanted != "auto":
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seed_for(cell: Cell, purpose: str) -> int:
    """A seed of its own for each purpose, so that a method that draws more numbers shifts nobody else's."""
    return int.from_bytes(hashlib.sha256(f"{cell.seed}/{purpose}".encode()).digest()[:4], "big")


def _scores(work: Run, point: Point) -> dict[str, Any]:
    """The record's scores of a point; the sample of train is scored here, with the point's tensors put back."""
    delta.restore(work.model, point.tensors)
    with work.meter.phase("evaluate"):
        sample = score(
            work.model,
            work.objective,
            work.splits["train_sample"],
            work.task.metric,
            work.recipe.evaluation_batch_size,
        )
    sets = {**{name: scored.figures for name, scored in point.scores.items()}, "train_sample": sample.figures}
    return {"step": point.step, "sets": sets}


def _keep(work: Run, fitted: Fitted, runtime: Runtime) -> None:
    """Predictions of the best and the last point, and their deltas unless `keep=none`."""
    points = {"best": fitted.best, "last": fitted.last}
    with work.folder.atomic("predictions.jsonl.gz") as path, gzip.open(path, "wt", compresslevel=3) as file:
        for checkpoint, point in points.items():
            for name, scored in point.scores.items():
                split = work.splits[name]
                for row, answer, target in zip(split.examples, scored.answers, split.targets, strict=True):
                    line = {
                        "checkpoint": checkpoint,
                        "set": name,
                        "id": row.id,
                        "prediction": answer,
                        "target": target,
                    }
                    file.write(json.dumps(line) + "\n")
    if runtime.keep == "delta" and fitted.last.tensors:
        for checkpoint, point in points.items():
            delta.save(work.folder, f"delta-{checkpoint}.safetensors", point.tensors)


def _notes(work: Run, device: torch.device) -> dict[str, Any]:
    cut = {name: split.encoded.truncated for name, split in work.splits.items() if split.encoded.truncated}
    return {
        **work.method.notes(work.model),
        **({"truncated_rows": cut} if cut else {}),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": work.recipe.precision,
    }
