"""A finished cell whose stored delta is read back and scored again. It runs in a process of its own."""

from typing import Any

import torch

from harness.store.store import Store
from harness.training import finished_model

CLOSE = 0.02
"""The largest difference of a score: on a GPU, products of other batches round differently, and ties may fall apart."""


def scores(store: str, key: str, device: str) -> dict[str, Any]:
    """Return the largest difference between the scores of the stored delta and those of the record.

    status: failed where it is above CLOSE.
    """
    records = Store(store, read_only=True)
    built = finished_model.finished(records, key, "last")
    again = finished_model.scores(built, torch.device(device))
    record = records.read(key)
    assert record is not None, "a finished cell has a record"
    before = record["scores"]["last"]["sets"]
    gap = max(abs(again[name][figure] - before[name][figure]) for name in again for figure in again[name])
    if gap > CLOSE:
        return {"status": "failed", "score_gap": gap, "reads_back": False,
                "error": f"the stored delta's scores differ from the record's by {gap:.3g}"}  # fmt: skip
    return {"score_gap": gap, "reads_back": True}
