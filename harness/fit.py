"""Optimise what has `requires_grad`, and keep the curve. Selection is analysis; `best` only says what to keep."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from harness import delta, optimizers
from harness.attempt import AttemptFolder
from harness.batches import Order
from harness.config import RecipeConfig
from harness.meter import Meter
from harness.objectives.base import Objective
from harness.score import Scored, Split, score
from methods.base import Method, trainable
from tasks.base import Task


class Diverged(RuntimeError):
    """The loss is no longer a number: the cell's result, not a fault of the program."""

    status = "diverged"

    def __init__(self, step: int, rule: str) -> None:
        super().__init__(f"diverged at step {step}: {rule}")
        self.step, self.rule = step, rule


@dataclass(frozen=True)
class Point:
    """An evaluation: scores by split name, and the trained tensors as they were."""

    step: int
    scores: Mapping[str, Scored]
    tensors: Mapping[str, torch.Tensor]

    def rank(self, metric: str) -> tuple[float, float]:
        """Higher is better: the validation score, ties by the lower validation loss."""
        validation = self.scores["validation"]
        return validation.figures[metric], -validation.loss


@dataclass(frozen=True)
class Fitted:
    """best: of the evaluations after training began, the first that no other beats. last: after the last step."""

    best: Point
    last: Point

    def points(self) -> dict[str, Point]:
        return {"best": self.best, "last": self.last}


@dataclass
class Work:
    """Everything one training run works with."""

    model: nn.Module
    method: Method
    objective: Objective
    task: Task
    splits: Mapping[str, Split]
    recipe: RecipeConfig
    folder: AttemptFolder
    meter: Meter

    @property
    def evaluated(self) -> list[str]:
        return ["validation", *self.task.splits.tests]


def fit(work: Work, order_seed: int, dropout_seed: int) -> Fitted:
    """Train for `recipe.steps` steps (none where nothing trains). Diverged where a loss is not finite."""
    recipe, held = work.recipe, dict(trainable(work.model))
    steps = recipe.steps if held else 0
    best = last = _evaluate(work, 0, None, 0.0)
    if steps == 0:
        return Fitted(best, last)
    order = Order(work.splits["train"].encoded.lengths, recipe.batch_size, order_seed)
    torch.manual_seed(dropout_seed)
    work.model.train()
    first, share = 0, 0.0
    for stage in work.method.stages(work.model):
        share += stage.share
        own = range(first, round(share * steps))
        stage.begin(work.model)
        best, last = _train(work, order, own, last, partial(_only, held, stage.rests))
        first = own.stop
    return Fitted(best, last)


def _train(
    work: Work, order: Order, own: range, last: Point, only: Callable[[], AbstractContextManager[None]]
) -> tuple[Point, Point]:
    """The steps of one stage: the best evaluation in it (of those after training began), and the last one."""
    recipe, best = dataclasses.replace(work.recipe, steps=len(own)), last
    with only():
        optimizer = optimizers.make(work.model, recipe)

    def rate(i: int) -> float:
        return recipe.learning_rate * schedule(recipe, i + 1 - own.start)

    for start in range(own.start, own.stop, recipe.evaluate_every):
        end = min(start + recipe.evaluate_every, own.stop)
        with work.meter.phase("train"), only():
            losses = [_step(work, order.rows(i), optimizer, i + 1, rate(i)) for i in range(start, end)]
        last = _evaluate(work, end, sum(losses) / len(losses), optimizer.param_groups[0]["lr"])
        if best.step <= own.start or last.rank(work.task.metric) > best.rank(work.task.metric):
            best = last
    return best, last


@contextmanager
def _only(held: Mapping[str, nn.Parameter], rests: Callable[[str], bool]) -> Iterator[None]:
    """Meanwhile what rests in this stage has no `requires_grad`, so it costs neither gradient nor state."""
    for name, tensor in held.items():
        tensor.requires_grad_(not rests(name))
    try:
        yield
    finally:
        for tensor in held.values():
            tensor.requires_grad_(True)


def schedule(recipe: RecipeConfig, step: int) -> float:
    """The learning rate of a step (from 1) as a share of the peak: a linear rise, then towards 0 or constant.

    The peak is reached at the last step of the warm-up; no step has rate 0.
    """
    steps, warm = recipe.steps, round(recipe.warmup_share * recipe.steps)
    if step <= warm:
        return step / warm
    if recipe.schedule == "constant":
        return 1.0
    left = (steps - step + 1) / (steps - warm + (warm > 0))
    return left if recipe.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2


def _step(work: Work, rows: Any, optimizer: torch.optim.Optimizer, step: int, rate: float) -> float:
    """One optimiser step (from 1); the loss."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    encoded = work.splits["train"].encoded
    device = next(work.model.parameters()).device
    with work.meter.step(len(rows), int(encoded.tokens[rows].sum())):
        with work.meter.data():
            batch = encoded.batch(rows).to(device)
        with precision(work.recipe, device):
            loss = work.objective.loss(work.model, batch)
            penalty = work.method.penalty(work.model)
        total = loss if penalty is None else loss + penalty
        optimizers.descend(optimizer, total, work.recipe.gradient_clip)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise Diverged(step, f"the training loss is {value}")
        work.method.after_step(work.model, step)
    return value


def _evaluate(work: Work, step: int, train_loss: float | None, rate: float) -> Point:
    """Score validation and tests, and add a row to the curve."""
    device = next(work.model.parameters()).device
    size, metric = work.recipe.evaluation_batch_size, work.task.metric
    with work.meter.phase("evaluate"), precision(work.recipe, device):
        scores = {name: score(work.model, work.objective, work.splits[name], metric, size) for name in work.evaluated}
    validation = scores["validation"]
    work.folder.append("curve.jsonl", {
        "step": step, "train_loss": train_loss, "validation_loss": validation.loss, "learning_rate": rate,
        "tokens": work.meter.tokens, "seconds": work.meter.train_s,
        "scores": {name: scored.figures[metric] for name, scored in scores.items()},
    })  # fmt: skip
    if not math.isfinite(validation.loss):
        raise Diverged(step, f"the validation loss is {validation.loss}")
    return Point(step, scores, delta.tensors(work.model))


def precision(recipe: RecipeConfig, device: torch.device) -> torch.autocast:
    """fp32: as it is. bf16: parameters stay fp32, matrix products run in bfloat16."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.precision == "bf16")
