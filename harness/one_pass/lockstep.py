"""Trainings side by side: at each step all of them wait until their gradients have been computed in one pass."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Generic

import torch

from harness.one_pass import stacked
from harness.training import fit, optimizers
from harness.training import step as training_step
from harness.training.batches import Batch
from harness.training.course import divergence
from harness.training.fit import Asking, Result, Step


class Arm(Generic[Result]):
    """One of the trainings. wanted: the step that it waits for. end: its result or its error, once it has ended."""

    def __init__(self, asking: Asking[Result]) -> None:
        """Run to the first step."""
        self._asking = asking
        self.wanted: Step | None = None
        self.end: Result | Exception | None = None
        self._go(lambda: next(asking))

    @property
    def step(self) -> Step:
        """Return the step that it waits for."""
        assert self.wanted is not None, "it has ended"
        return self.wanted

    def answer(self, loss: float) -> None:
        """Run to the next step, after the one that had this mean loss."""
        self._go(lambda: self._asking.send(loss))

    def fail(self, error: Exception) -> None:
        """Let the step that it waits for raise an error."""
        self._go(lambda: self._asking.throw(error))

    def alone(self) -> None:
        """Run to the end without the others."""
        step, self.wanted = self.step, None
        try:
            self.end = fit.go_on(self._asking, step)
        except Exception as error:  # the cell's own, of whatever kind
            self.end = error

    def _go(self, move: Callable[[], Step]) -> None:
        self.wanted = None
        try:
            self.wanted = move()
        except StopIteration as end:
            self.end = end.value
        except Exception as error:  # the cell's own, of whatever kind
            self.end = error


def train(trainings: Sequence[Asking[Result]]) -> tuple[list[Result | Exception], str]:
    """Run trainings that differ in their learning rate alone; return their results or errors, and why there was no
    common pass.

    The reason is "" where the steps were taken in one pass. Else the trainings have run one after the other.
    """
    arms = [Arm(asking) for asking in trainings]
    waiting = [arm for arm in arms if arm.wanted is not None]
    reason = obstacle([arm.step for arm in waiting]) if len(waiting) > 1 else ""
    if reason:
        _in_turn(waiting)
    while waiting := [arm for arm in waiting if arm.wanted is not None]:
        if len(waiting) == 1:
            waiting[0].alone()
        else:
            _step_together(waiting)
    return [arm.end for arm in arms if arm.end is not None], reason


def obstacle(steps: Sequence[Step]) -> str:
    """Return why the first steps of some cells cannot be taken in one pass; "" where they can.

    The cells share the memory of their frozen tensors from then on.
    """
    works = [step.work for step in steps]
    if reason := fit.unsteady(works[0]):
        return reason
    try:
        stacked.share(works)
        stacked.check(works, _batch(steps[0]))
    except Exception as error:  # foreign methods and kernels may not stand a stack
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    finally:
        for work in works:
            work.model.zero_grad(set_to_none=True)
    return ""


def take(steps: Sequence[Step]) -> list[float]:
    """Take the same step of several cells, and return their mean losses."""
    first = steps[0]
    tokens = int(first.work.splits["train"].encoded.tokens[first.rows].sum())
    with contextlib.ExitStack() as timers:
        for step in steps:
            timers.enter_context(step.work.meter.step(len(first.rows), tokens))
        losses = stacked.add_gradients([step.work for step in steps], _batch(first))
        for step in steps:
            optimizers.set_rate(step.optimizer, step.rate)
            training_step.update(step.optimizer, step.work.recipe.gradient_clip)
    return losses


def _in_turn(arms: Sequence[Arm[Result]]) -> None:
    """Run each training to its end, one after the other, all with the random numbers that follow now."""
    for arm in arms:
        device = _device(arm.step)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            arm.alone()


def _step_together(arms: Sequence[Arm[Result]]) -> None:
    """Take the step that all of these trainings wait for."""
    try:
        losses = take([arm.step for arm in arms])
    except Exception as error:  # it concerns all of them, such as memory that runs out
        for arm in arms:
            arm.fail(error)
        return
    for arm, loss in zip(arms, losses, strict=True):
        _go_on(arm, loss)


def _go_on(arm: Arm[Result], loss: float) -> None:
    """Let a training go on after its step, or diverge."""
    try:
        divergence.check_loss(loss, arm.step.number)
    except divergence.Diverged as error:
        arm.fail(error)
    else:
        arm.answer(loss)


def _batch(step: Step) -> Batch:
    return step.work.splits["train"].encoded.batch(step.rows).to(_device(step))


def _device(step: Step) -> torch.device:
    return next(step.work.model.parameters()).device
