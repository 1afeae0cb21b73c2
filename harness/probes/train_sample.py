"""The score on a sample of the training rows, the same rows for every method and seed.

A table of the generalisation gap sets it beside the score on the test rows. A cell does not score these rows itself,
because few tables need them, and they cost about a tenth of a cell of a large model with few steps.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from harness.probes._finished_cell import Finished

ROWS = 512
NAME = "train_sample"


def measure(finished: "Finished", device: "torch.device") -> dict[str, Any]:
    """Return the figures of the sample as of any set, and what each of its rows scored, packed."""
    from harness.training.score import score, tokenised
    from tasks.data import splits
    from tasks.metrics import row_figures

    task, train = finished.task, finished.task.splits.train
    rows, _ = splits.carve(train, min(ROWS, len(train)), seed=0)
    split = tokenised(finished.objective, rows)
    scored = score(finished.model, finished.objective, split, task.metric, finished.cell.recipe.evaluation_tokens)
    by_row = row_figures.of_rows(task.metric, split.targets, scored.answers)
    return {"sets": {NAME: scored.figures}, "row_scores": row_figures.pack(by_row) if by_row else None}


def describe(result: Mapping[str, Any]) -> list[str]:
    """Return a line with the figures."""
    figures = {name: value for name, value in result["sets"][NAME].items() if name != "n"}
    shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    return [f"{result['sets'][NAME]['n']} training rows: {shown}"]
