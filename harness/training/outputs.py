"""What a run leaves: predictions and deltas of the best and the last point, and the scores and notes of its record."""

import gzip
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from harness.config.schema import Cell
from harness.store.attempt_folder import PREDICTIONS, ROW_SCORES, AttemptFolder, delta_file
from harness.training import trained_tensors
from harness.training.course.evaluations import Fitted
from harness.training.course.work import Work
from harness.training.score import Split
from methods.attachment.delta_state import delta_state
from tasks import registry as tasks
from tasks.base import Task
from tasks.metrics import row_figures

MEASURES = ("train_s", "data_s", "step_ms", "examples_per_s", "tokens_per_s", "steady_examples_per_s",
            "steady_tokens_per_s", "busy_beside")  # fmt: skip
"""What a record says of the time of training."""


def predictions(folder: AttemptFolder, fitted: Fitted, task: Task, splits: Mapping[str, Split]) -> None:
    """Write one JSON line per checkpoint, set and row: {"checkpoint", "set", "id", "prediction", "target"}. Beside
    them stands what each test row scored.
    """
    lines = [
        {"checkpoint": checkpoint, "set": name, "id": row.id, "prediction": answer, "target": target}
        for checkpoint, point in fitted.points().items()
        for name, scored in point.scores.items()
        for row, answer, target in zip(splits[name].examples, scored.answers, splits[name].targets, strict=True)
    ]
    with folder.atomic(PREDICTIONS) as path:
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        path.write_bytes(gzip.compress(text.encode(), compresslevel=3, mtime=0))
    folder.write(ROW_SCORES, row_figures.of_lines(task.metric, lines, tuple(task.splits.tests)))


def deltas(folder: AttemptFolder, fitted: Fitted, model: nn.Module) -> None:
    """Write `delta-best.safetensors` and `delta-last.safetensors`, without reparametrisations; none where nothing
    trained.

    The model gets the tensors of each point in turn. Where the last step is the best, one file has both names.
    """
    written: dict[int, str] = {}
    for checkpoint, point in fitted.points().items():
        if point.tensors and point.step in written:
            folder.link(delta_file(checkpoint), written[point.step])
        elif point.tensors:
            written[point.step] = delta_file(checkpoint)
            trained_tensors.restore(model, point.tensors)
            trained_tensors.save(folder, delta_file(checkpoint), delta_state(model))


def scores(fitted: Fitted) -> dict[str, dict[str, Any]]:
    """Return checkpoint -> the record's scores of it."""
    return {
        checkpoint: {"step": point.step, "sets": {name: score.figures for name, score in point.scores.items()}}
        for checkpoint, point in fitted.points().items()
    }


def notes(work: Work, device: torch.device) -> dict[str, Any]:
    """Return the record's notes: the method's own, truncated rows, notes on answers, the device and the precision."""
    cut = {name: split.encoded.truncated for name, split in work.splits.items() if split.encoded.truncated}
    answers: dict[str, dict[str, int]] = {}
    for name, split in work.splits.items():
        for note, count in split.encoded.notes.items():
            answers.setdefault(note, {})[name] = count
    return {
        **_method_notes(work),
        **({"truncated_rows": cut} if cut else {}),
        **answers,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": work.recipe.precision,
        **({"remembered": work.remembered.note()} if work.remembered else {}),
    }


def _method_notes(work: Work) -> dict[str, Any]:
    """Return the method's notes, or the reason why it has none: an error in them must not cost the run."""
    try:
        return dict(work.method.notes(work.model))
    except Exception as error:
        return {"notes": f"the method has none: {type(error).__name__}: {error}"}


def leaked(cell: Cell) -> dict[str, str]:
    """Return a note where rows of test or validation are also in train."""
    shared = tasks.leaked(cell.task)
    return {"leaked_rows": shared} if shared else {}


def unmeasured(record: Mapping[str, Any], mode: str, reason: str) -> dict[str, Any]:
    """Return the record without figures of time and memory, which a mode of running makes meaningless.

    mode: the name of the note that says why. reason: what it says.
    """
    flops = {**record["flops"], "per_s": None, "share": None}
    flops["why_null"] = {**flops["why_null"], "per_s": reason}
    device = {**dict.fromkeys(record["device"]), "name": record["device"]["name"], "why_null": {"nvml": reason}}
    return {
        **record,
        "time": {**record["time"], **dict.fromkeys(MEASURES)},
        "flops": flops,
        "device": device,
        "memory": {"why_null": {"memory": reason}},
        "notes": {**record["notes"], mode: reason},
    }
