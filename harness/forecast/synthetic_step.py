"""One training step without data, on the meta device or a real one.

The step is the second of a training: the optimiser has its state already.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from unittest import mock

import torch

from harness.config.step_load import Load
from harness.forecast.attention_kernels import inside
from harness.forecast.prepared_cell import Subject
from harness.measurement.allocations import END, START, Live, Log
from harness.measurement.meta_results import MetaResults
from harness.models.text_tokens import IGNORED
from harness.training import optimizers
from harness.training import step as training_step
from harness.training.batches import Batch
from methods.backbone.trainable_parameters import trainable

PARTS = 2
"""The most parts of a batch that are run: the first and the last, as those between are like the last."""
_RESULTS = MetaResults()
"""Of all steps of this process: the steps of one model have most of their calls in common."""


def follow(subject: Subject, rows: int) -> Log:
    """Return the allocations of one step with `rows` rows in each part of the batch, the optimiser's state included."""
    results = _RESULTS if subject.device.type == "meta" else None
    live = Live(inside if subject.ways is not None else None, count=True, results=results)
    with live, _fused_on_meta():
        live.watch(subject.model)
        optimizer = ready(subject, live.mark)
        parts = parts_run(subject)
        if parts < min(subject.load.accumulation, PARTS):
            live.mark("backward")
            accumulated(subject)
        live.mark(START)
        step(subject, optimizer, rows, live.mark, parts)
        live.mark(END)
    return live.log()


def ready(subject: Subject, mark: Callable[[str], None]) -> torch.optim.Optimizer | None:
    """Return the optimiser with its state, as after a first step; None where nothing trains."""
    if not any(True for _ in trainable(subject.model)):
        return None
    optimizer = optimizers.make(subject.model, subject.recipe, subject.method.groups(subject.model))
    mark("update")
    touched = torch.stack([p.sum() for _, p in trainable(subject.model)]).sum()
    training_step.descend(optimizer, touched, subject.recipe.gradient_clip)
    optimizer.register_step_pre_hook(lambda *_: mark("update"))
    return optimizer


def parts_run(subject: Subject) -> int:
    """Return how many parts of a batch `follow` runs.

    The last part has the step's peak, so it alone is run on the meta device, where no value counts. LOMO passes back
    twice in the last part: the first is run, too, so that its operations are not counted as those of every part.
    """
    alone = subject.device.type == "meta" and subject.recipe.optimizer != "lomo"
    return 1 if alone else min(subject.load.accumulation, PARTS)


def accumulated(subject: Subject) -> None:
    """Give each trainable parameter a gradient, as earlier parts of the batch leave it."""
    for _, parameter in trainable(subject.model):
        parameter.grad = torch.zeros_like(parameter)


def step(
    subject: Subject,
    optimizer: torch.optim.Optimizer | None,
    rows: int,
    mark: Callable[[str], None] = lambda _: None,
    parts: int | None = None,
) -> None:
    """Run one step, with `rows` rows in each part of the batch; without an optimiser only the forward pass.

    mark: is called with the name of each phase when it begins. parts: how many parts of the batch are run; None for the
    first and the last, as those between are like the last.
    """
    for left in reversed(range(parts or min(subject.load.accumulation, PARTS))):
        mark("forward")
        batch = synthetic(subject.load, rows, subject.device, options_read(subject))
        with subject.ways or nullcontext():
            loss, total = training_step.losses(subject.objective, subject.method, subject.model, batch)
        mark("backward")
        if left:
            training_step.add_gradients(total)
        elif optimizer is not None:
            training_step.descend(optimizer, total, subject.recipe.gradient_clip)
        del batch, loss, total  # the next part would count them


def options_read(subject: Subject) -> int:
    """Return the number of options that a step reads with each row's text; 0 where it reads the text alone.

    The rows are not read, so the number follows from the score of guessing, and is two where that is not known.
    """
    task = getattr(subject.objective, "task", None)
    if task is None or task.answer != "choice" or not subject.objective.head.labels:
        return 0
    return round(1 / task.chance) if task.chance else 2


def synthetic(load: Load, rows: int, device: torch.device, options: int = 0) -> Batch:
    """Return a batch whose rows are all as long as the load says, with the mask of a batch that has padding.

    inputs, mask: [rows, T]. labels: [rows]. targets: [rows, U], or with `options` above 0 the texts with an option
    each, [rows, options, T], which a head compares.
    """
    assert load.input_tokens, "the lengths are settled"
    assert load.target_tokens, "the lengths are settled"
    whole = partial(torch.zeros, dtype=torch.long, device=device)
    inputs, targets = whole(rows, load.input_tokens), whole(rows, load.target_tokens)
    mask = torch.ones_like(inputs)
    mask[0, load.input_tokens // 2 + 1 :] = 0  # a mask without a gap would be left out, and real ones have gaps
    if options:
        texts = inputs.masked_fill(mask == 0, IGNORED)[:, None].expand(-1, options, -1)
        return Batch(inputs, mask, labels=whole(rows), options=texts)
    return Batch(inputs, mask, targets=targets, labels=whole(rows))


@contextmanager
def _fused_on_meta() -> Iterator[None]:
    """Let torch use its fused optimisers on the meta device while the block runs.

    Torch refuses them there, though they allocate as they do on CUDA: nothing.
    """
    module = importlib.import_module("torch.optim.optimizer")  # torch.optim hides it
    known = [*module._get_fused_kernels_supported_devices(), "meta"]
    with mock.patch.object(module, "_get_fused_kernels_supported_devices", return_value=known):
        yield
