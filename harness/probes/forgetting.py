"""What training took from the backbone: its loss on held-out pretraining text, and its scores on tasks not trained.

As in "LoRA Learns Less and Forgets Less" (Biderman et al. 2024, arXiv 2405.09673), forgetting is measured on what the
model could do before, at several steps of the training. There it is the score on other benchmarks. Here it is the loss
on text as that of the pretraining, which the embedded backbones have (tasks/microworld/pretraining/held_out.py), and
the score on other tasks, before training and at the best checkpoint. Step 0 is the bare backbone.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import NotApplicable, UsageError

if TYPE_CHECKING:
    import torch

    from harness.config.schema import TaskConfig
    from harness.probes._finished_cell import Finished

SNAPSHOTS = 8
OTHERS, ROWS = 3, 128
"""How many other tasks are scored, and on how many rows of each."""
BY_LIKELIHOOD = ("label", "choice")
"""Answers of the other tasks: those that need no generation."""


def measure(finished: "Finished", device: "torch.device") -> dict[str, Any]:
    """Return the `steps`, the `pretraining_loss` at each in nats per word, and `others`: task -> before and after."""
    others, why = _others(finished), {}
    steps: list[int] = []
    losses: list[float] = []
    documents = 0
    try:
        steps, losses, documents = _losses(finished, device)
    except NotApplicable as error:
        why["pretraining_loss"] = str(error)
    if not others:
        why["others"] = (
            f"no other task of its suite is answered by likelihood under objective {finished.cell.objective}"
        )
    result = {"steps": steps, "pretraining_loss": losses, "documents": documents, "others": others}
    return {**result, "why_null": why}


def describe(result: Mapping[str, Any]) -> list[str]:
    """Return a line on the loss and one for each other task."""
    lines = []
    if losses := result["pretraining_loss"]:
        lines.append(
            f"loss on {result['documents']} held-out documents: {losses[0]:.3f} before, {losses[-1]:.3f} after step "
            f"{result['steps'][-1]}"
        )
    for name, scores in result["others"].items():
        lines.append(
            f"{name}, not trained: {100 * scores['before']:.1f} before, {100 * scores['after']:.1f} after "
            f"({scores['n']} rows)"
        )
    return lines + [f"no {name}: {why}" for name, why in (result.get("why_null") or {}).items()]


def _losses(finished: "Finished", device: "torch.device") -> tuple[list[int], list[float], int]:
    """Return the steps, the loss at each, and the number of documents."""
    from harness.probes.pretraining.held_out_loss import HeldOut
    from harness.training import finished_model
    from methods.attachment.delta_state import load_delta_state

    text = HeldOut(finished, device)
    steps, losses = [0], [text.loss(finished.plain)]
    for step, path in finished.deltas(SNAPSHOTS, "forgetting").items():
        load_delta_state(finished.model, finished_model.tensors(path))
        steps.append(step)
        losses.append(text.loss(finished.model))
    if finished.delta is not None:
        load_delta_state(finished.model, finished_model.tensors(finished.delta))
    return steps, losses, text.count


def _others(finished: "Finished") -> dict[str, dict[str, float]]:
    """Return task -> its score by the bare backbone and by the model, of other tasks of the same suite."""
    scores = {}
    for config in _other_tasks(finished.cell.task):
        try:
            before, after = (_score(finished, config, model) for model in (finished.plain, finished.model))
        except UsageError:  # its rows are not here, or this objective cannot read them
            continue
        scores[config.name] = {"before": before, "after": after, "n": ROWS}
    return scores


def _other_tasks(own: "TaskConfig") -> list["TaskConfig"]:
    """Return the first OTHERS tasks of the suite in other categories than the trained one, by name."""
    from harness.config.schema import TaskConfig
    from tasks import registry as tasks

    rows, suite = tasks.catalogue(), own.name.rpartition("/")[0]
    category = tasks.row(own).category
    names = [
        name
        for name, row in sorted(rows.items())
        if suite and name.startswith(f"{suite}/") and row.category != category and row.answer in BY_LIKELIHOOD
    ]
    return [TaskConfig(name, train_size=2, validation_size=2, test_size=ROWS) for name in names[:OTHERS]]


def _score(finished: "Finished", config: "TaskConfig", model: Any) -> float:
    """Return the score of a model on the first reported set of a task, 0 to 1."""
    from harness.training.objectives import registry as objectives
    from harness.training.score import Split, score
    from tasks import registry as tasks

    task = finished.words.marked(tasks.load(tasks.resolve(config)))
    objective = objectives.make(finished.cell.objective, task, finished.words, _reading(finished))
    rows = next(iter(task.splits.tests.values()))
    split = Split(rows, objective.encode(rows), [list(row.references) or objective.target(row) for row in rows])
    tokens = finished.cell.recipe.evaluation_tokens
    return float(score(model, objective, split, task.metric, tokens).figures[task.metric])


def _reading(finished: "Finished") -> Any:
    from harness.training.objectives import registry as objectives

    return objectives.Reading.of(finished.cell)
