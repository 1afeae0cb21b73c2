"""How often a row's right option is the likeliest of its options, for tasks that are answered by generation.

The options are those that the row itself lists (else the task's label words). Each is the whole answer that training
asked for, compared by the sum of its tokens' log-probabilities or by their mean (`task.option_score`). The figure
distinguishes a model that does not know the answer from one that does not give it in the format.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError

if TYPE_CHECKING:
    import torch

    from harness.probes._finished_cell import Finished


def measure(finished: "Finished", device: "torch.device") -> dict[str, Any]:
    """Return set -> share of its rows, and their number. Raises UsageError where rows have no options."""
    from harness.training.objectives import registry as objectives
    from harness.training.score import Split, score

    cell, task = finished.cell, replace(finished.task, answer="choice", metric="accuracy")
    for name, rows in task.splits.tests.items():
        if any(row.label is None or len(task.options(row)) < 2 for row in rows):
            raise UsageError(f"task {task.name}: rows of {name} list no options whose likelihood could be compared")
    reading = replace(objectives.Reading.of(cell), loss_on="answer", beams=1)
    objective = objectives.make(cell.objective, task, finished.words, reading)
    sets = {}
    for name, rows in task.splits.tests.items():
        split = Split(rows, objective.encode(rows), [objective.target(row) for row in rows])
        sets[name] = score(finished.model, objective, split, task.metric, cell.recipe.evaluation_tokens).figures
    return {"sets": sets}


def describe(result: Mapping[str, Any]) -> list[str]:
    """Return a line per set."""
    return [
        f"{name}: the right option is the likeliest in {figures['accuracy']:.1%} of {figures['n']} rows"
        for name, figures in result["sets"].items()
    ]
