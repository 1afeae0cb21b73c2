"""What stays of a run beside its record: predictions and deltas of the best and the last point."""

import gzip
import json
from collections.abc import Mapping

from torch import nn

from harness.store.attempt_folder import AttemptFolder, delta_file
from harness.training import trained_tensors
from harness.training.fit import Fitted
from harness.training.score import Split
from methods.attachment.delta_state import delta_state

PREDICTIONS = "predictions.jsonl.gz"


def predictions(folder: AttemptFolder, fitted: Fitted, splits: Mapping[str, Split]) -> None:
    """One JSON line per checkpoint, set and row: {"checkpoint", "set", "id", "prediction", "target"}."""
    lines = [
        json.dumps({"checkpoint": checkpoint, "set": name, "id": row.id, "prediction": answer, "target": target})
        for checkpoint, point in fitted.points().items()
        for name, scored in point.scores.items()
        for row, answer, target in zip(splits[name].examples, scored.answers, splits[name].targets, strict=True)
    ]
    with folder.atomic(PREDICTIONS) as path:
        path.write_bytes(gzip.compress("\n".join([*lines, ""]).encode(), compresslevel=3, mtime=0))


def deltas(folder: AttemptFolder, fitted: Fitted, model: nn.Module) -> None:
    """`delta-best.safetensors` and `delta-last.safetensors`, without reparametrisations; none where nothing trained."""
    for checkpoint, point in fitted.points().items():
        if point.tensors:
            trained_tensors.restore(model, point.tensors)
            trained_tensors.save(folder, delta_file(checkpoint), delta_state(model))
