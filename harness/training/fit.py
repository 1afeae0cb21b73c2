"""Optimise what has `requires_grad`, and keep the curve (course/evaluations.py)."""

import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.training import determinism, optimizers, step_parts
from harness.training import step as training_step
from harness.training.batches import Order
from harness.training.checkpoint import Place, Stopped, Unusable
from harness.training.course import divergence, evaluations, learning_rates
from harness.training.course.evaluations import Fitted, Point
from harness.training.course.work import Work
from harness.training.frozen.remembering import remembering
from harness.training.updating import awake
from methods.backbone.trainable_parameters import trainable
from methods.base import Method, Training, UsageError


@dataclass(frozen=True)
class Step:
    """An optimiser step that a training asks for: on the rows [B] of train, numbered from 1, at a learning rate."""

    work: Work
    rows: Any
    optimizer: torch.optim.Optimizer
    number: int
    rate: float


Result = TypeVar("Result")
Asking = Generator[Step, float, Result]
"""A training that yields the steps to take, is sent the mean loss of each, and returns its result."""


def fit(work: Work, order_seed: int, dropout_seed: int) -> Fitted:
    """Train for `recipe.steps` steps (none where nothing trains), from a checkpoint where the folder has one.

    order_seed: of the order of the rows. dropout_seed: of all other draws while training.
    Raise Diverged where the loss is no number or hopeless, Unusable where the checkpoint does not fit the model, and
    Stopped where the time of the command is over.
    """
    return go_on(training(work, order_seed, dropout_seed))


def go_on(asking: Asking[Result], wanted: Step | None = None) -> Result:
    """Take each step that a training asks for, from its beginning or from `wanted` on, and return its result.

    An error in a step is raised where the training waits, so that the phase it stands in describes it.
    """
    try:
        wanted = wanted or next(asking)
        while True:
            try:
                loss = take(wanted)
            except Exception as error:  # of whatever kind; it comes back from here
                wanted = asking.throw(error)
            else:
                wanted = asking.send(loss)
    except StopIteration as end:
        result: Result = end.value
        return result


def unsteady(work: Work) -> str:
    """Return why tensors that are frozen when a training begins may change or train later; "" where they cannot."""
    method = work.method
    own = [getattr(getattr(method, name), "__func__", None) for name in ("after_step", "stages")]
    if own != [Method.after_step, Method.stages] or method.has_start:  # of the method itself, where a budget wraps it
        return f"method {method.name} acts between steps"
    return "recipe.awake_layers lets layers train in turn" if work.recipe.awake_layers is not None else ""


def training(work: Work, order_seed: int, dropout_seed: int) -> Asking[Fitted]:
    """Yield each step of a training, which goes on with the step's mean loss; return its result. See `fit`."""
    wanted = work.reuse_frozen and not unsteady(work)
    with remembering(work.model, wanted) as work.remembered:
        return (yield from _training(work, order_seed, dropout_seed))


def _training(work: Work, order_seed: int, dropout_seed: int) -> Asking[Fitted]:
    """Yield the steps of `training`."""
    recipe, trained = work.recipe, dict(trainable(work.model))
    steps = recipe.steps if trained else 0
    if trained and work.method.has_start:
        _start(work, order_seed)
    place = work.keeper.open(work.model) if steps else None
    last = evaluations.evaluate(work, 0, None, 0.0) if place is None else None
    if last is not None and steps == 0:
        return Fitted(last, last)
    order = Order(work.splits["train"].encoded.lengths, recipe.batch_size, order_seed)
    determinism.seed(dropout_seed)
    work.model.train()
    best, first, share = last, 0, 0.0
    for number, stage in enumerate(work.method.stages(work.model)):
        share += stage.share
        own = range(first, round(share * steps))
        first = own.stop
        with _fits(place):
            stage.begin(work.model)  # once more where it was resumed: a stage may move modules, not only tensors
        if place is None or number >= place.stage:
            here = place if place is not None and number == place.stage else Place(number, own.start)
            turns = awake.layers(work.model, recipe, dropout_seed, stage.rests)
            only = partial(_only, trained, stage.rests)
            best, last = yield from _train(work, order, own, here, last, trained, only, turns)
    assert best is not None, "a place is before the end of its stage"
    assert last is not None, "a place is before the end of its stage"
    return Fitted(best, last)


def _start(work: Work, order_seed: int) -> None:
    """Let the method set its tensors before the first step. Raise UsageError where each process has a part of them."""
    if work.recipe.parallel == "fsdp":
        raise UsageError(
            f"recipe.parallel=fsdp: method {work.method.name} has a start that needs whole matrices. "
            "Take recipe.parallel=ddp."
        )
    with work.meter.phase("begin"), FlopCounterMode(display=False) as counter:
        work.method.start(work.model, Training(work.recipe.steps, _first_losses(work, order_seed)))
    work.start_flops = int(counter.get_total_flops())


def _first_losses(work: Work, order_seed: int) -> Iterator[torch.Tensor]:
    """Yield the loss (a scalar) of each step's rows, from the first step on, without the method's penalty."""
    order = Order(work.splits["train"].encoded.lengths, work.recipe.batch_size, order_seed)
    encoded, device = work.splits["train"].encoded, next(work.model.parameters()).device
    for step in itertools.count():
        batch = encoded.batch(order.rows(step)).to(device)
        yield training_step.losses(work.objective, work.method, work.model, batch, penalised=False)[0]


def _train(
    work: Work, order: Order, own: range, place: Place, last: Point | None, trained: Mapping[str, nn.Parameter],
    only: Callable[[], AbstractContextManager[None]], turns: awake.Layers | None,
) -> Generator[Step, float, tuple[Point | None, Point | None]]:  # fmt: skip
    """Yield the steps of one stage from `place` on. Return its best evaluation (else `last`), and its last one."""
    recipe, losses = dataclasses.replace(work.recipe, steps=len(own)), list(place.losses)
    with only():
        optimizer = optimizers.make(work.model, recipe, work.method.groups(work.model))
    if place.curve:  # else it is the beginning of the stage
        work.keeper.resume(place, work.model, trained, optimizer, work.meter)
        work.curve[:] = place.curve
    best = evaluations.from_plain(place.best) if place.best else None
    i = place.step
    while i < own.stop:
        if work.keeper.due(i):
            now = Place(place.stage, i, losses, evaluations.as_plain(best) if best else None, work.curve)
            with work.meter.phase("checkpoint"):
                work.keeper.save(now, work.model, trained, optimizer, work.meter)
            if work.keeper.over():
                raise Stopped(i)
        end = evaluations.following(own, i, recipe.evaluate_every)
        with work.meter.phase("train"), only():
            while i < end and not (losses and work.keeper.due(i)):
                rate = recipe.learning_rate * learning_rates.schedule(recipe, i + 1 - own.start)
                if turns is not None:
                    turns.wake(i, optimizer)
                losses.append((yield Step(work, order.rows(i), optimizer, i + 1, rate)))
                i += 1
        if i == end:
            last = evaluations.evaluate(work, end, sum(losses) / len(losses), rate)
            losses = []
            if best is None or last.rank(work.task.metric) > best.rank(work.task.metric):
                best = last
    return best or last, last


@contextmanager
def _fits(place: Place | None) -> Iterator[None]:
    """Raise Unusable where a stage of a resumed training cannot begin again.

    The model has not been trained until then here, and what a stage does to such a model may fail.
    """
    try:
        yield
    except Exception as error:  # a method's own code, of whatever kind
        if place is None:
            raise
        raise Unusable(f"a stage could not begin again ({type(error).__name__}: {error})") from error


@contextmanager
def _only(trained: Mapping[str, nn.Parameter], rests: Callable[[str], bool]) -> Iterator[None]:
    """Take `requires_grad` from what rests in this stage, while the block runs: it costs neither gradient nor state."""
    for name, tensor in trained.items():
        tensor.requires_grad_(not rests(name))
    try:
        yield
    finally:
        for tensor in trained.values():
            tensor.requires_grad_(True)


def take(step: Step) -> float:
    """Take one optimiser step, and return its mean loss. Raise Diverged."""
    optimizers.set_rate(step.optimizer, step.rate)
    take_it = _take_in_parts if step_parts.split(step.work.recipe) else _take_whole
    with step.work.compiled.steps() if step.work.compiled is not None else nullcontext():
        return take_it(step)


def _take_whole(step: Step) -> float:
    """Take the step with the whole batch at once, and return its mean loss. Raise Diverged."""
    work, rows, optimizer = step.work, step.rows, step.optimizer
    encoded = work.splits["train"].encoded
    device = next(work.model.parameters()).device
    with work.meter.step(len(rows), int(encoded.tokens[rows].sum())):
        with work.meter.data():
            batch = encoded.batch(rows).to(device)
        loss, total = training_step.losses(work.objective, work.method, work.model, batch)
        training_step.descend(optimizer, total, work.recipe.gradient_clip)
        value = float(loss.detach())
        divergence.check_loss(value, step.number)
        work.method.after_step(work.model, step.number)
    return value


def _take_in_parts(step: Step) -> float:
    """Take the same step with the batch cut over processes and into parts, and return its mean loss. Raise Diverged."""
    work, rows = step.work, step.rows
    encoded = work.splits["train"].encoded
    with work.meter.step(len(rows), int(encoded.tokens[rows].sum())):
        value = step_parts.gradients(
            work.model, work.objective, work.method, work.recipe, encoded, rows, seed=torch.initial_seed() + step.number
        )
        divergence.check_loss(value, step.number)
        training_step.update(step.optimizer, work.recipe.gradient_clip)
        work.method.after_step(work.model, step.number)
    return value
