"""Cells that differ in their learning rate alone end alike in one pass and apart, whatever their method."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import assets
from harness.config.schema import MethodConfig, ModelConfig, RecipeConfig
from harness.errors import NotApplicable, UsageError
from harness.measurement.meter import Meter
from harness.models import backbone
from harness.models.text_tokens import Text
from harness.one_pass import lockstep, stacked
from harness.store.attempt_folder import AttemptFolder
from harness.training.course.divergence import Diverged
from harness.training.course.evaluations import Fitted
from harness.training.course.work import Work
from harness.training.fit import fit, training, unsteady
from harness.training.objectives import registry as objectives
from harness.training.score import prepare
from methods import registry as methods
from tasks.base import Task

RATES = (1e-3, 1e-2)
RECIPE = RecipeConfig(learning_rate=1e-3, steps=4, evaluate_every=2, batch_size=8)
NAMES = sorted(path.stem for path in (assets.root() / "conf" / "method").glob("*.yaml"))
USUAL = ("adalora", "adapter", "dora", "full", "lora", "prefix", "prompt", "ptuning")
"""Methods of a usual run: each way to attach a delta, one that acts between steps, and one that cannot be stacked."""
UNSTACKED = {"ptuning": "aten::lstm"}
"""Methods whose cells train in turn since torch has no rule that stacks an operation of theirs."""
Make = Callable[..., list[Work]]


@pytest.fixture
def make(t5: ModelConfig, t5_text: Text, label_task: Task, tmp_path: Path) -> Make:
    """Return trainings of the tiny T5 that differ in their rates."""

    def works(method: str, rates: Sequence[float] = RATES, **recipe: Any) -> list[Work]:
        objective = objectives.make("seq2seq", label_task, t5_text)
        return [_work(method, objective, replace(RECIPE, learning_rate=rate, **recipe)) for rate in rates]

    def _work(name: str, objective: Any, recipe: RecipeConfig) -> Work:
        model = backbone.load(t5, objective.head, seed=0, dropout=recipe.dropout)
        torch.manual_seed(0)
        made = methods.make(MethodConfig(name, {}), lambda: backbone.outline(t5, objective.head))
        made.attach(model)
        backbone.masters(model)
        folder = AttemptFolder(tmp_path / str(len(list(tmp_path.iterdir()))))
        folder.path.mkdir()
        meter = Meter(torch.device("cpu"))
        return Work(model, made, objective, label_task, prepare(objective, label_task), recipe, folder, meter)

    return works


def _together(works: Sequence[Work], seed: int = 1) -> tuple[list[Fitted | Exception], str]:
    return lockstep.train([training(work, 1, seed) for work in works])


def _apart(works: Sequence[Work]) -> list[Fitted]:
    return [fit(work, 1, 1) for work in works]


def _close(one: Fitted, other: Fitted) -> bool:
    return all(
        torch.allclose(tensor, other.last.tensors[name], rtol=1e-2, atol=1e-4)
        for name, tensor in one.last.tensors.items()
    )


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in USUAL)) for name in NAMES])
def test_one_pass_ends_as_trainings_apart(make: Make, name: str) -> None:
    """Methods that act between steps train in turn, and few others do."""
    try:
        apart, together = make(name), make(name)
    except (NotApplicable, UsageError) as error:
        pytest.skip(str(error))
    results, reason = _together(together)
    assert UNSTACKED[name] in reason if name in UNSTACKED else reason == unsteady(together[0])
    for one, other in zip(results, _apart(apart), strict=True):
        assert isinstance(one, Fitted), one
        assert _close(one, other)
    assert [work.curve[-1]["learning_rate"] for work in together] == [work.curve[-1]["learning_rate"] for work in apart]


def test_layers_that_sleep_at_first_are_no_frozen_ones(make: Make) -> None:
    """They would share their memory, and train into each other later."""
    recipe = {"awake_layers": 1, "awake_every": 1}
    apart, together = make("full", **recipe), make("full", **recipe)
    results, reason = _together(together)
    assert "recipe.awake_layers" in reason
    for one, other in zip(results, _apart(apart), strict=True):
        assert isinstance(one, Fitted), one
        assert _close(one, other)


def test_one_diverges_and_the_others_go_on(make: Make) -> None:
    rates = (1e-3, 1e30, 1e-2)
    apart, together = make("full", rates), make("full", rates)
    results, reason = _together(together)
    assert not reason
    assert [type(result) for result in results] == [Fitted, Diverged, Fitted]
    for place in (0, 2):
        result = results[place]
        assert isinstance(result, Fitted)
        assert _close(result, fit(apart[place], 1, 1))


def test_dropout_draws_what_it_draws_apart_or_the_cells_train_in_turn(make: Make) -> None:
    apart, together = make("adapter", dropout=0.3), make("adapter", dropout=0.3)
    results, _ = _together(together, 5)
    for result, work in zip(results, apart, strict=True):
        assert isinstance(result, Fitted)
        assert _close(result, fit(work, 1, 5))


def test_an_error_in_a_step_ends_all_of_them(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    add, calls = stacked.add_gradients, 0

    def failing(*arguments: Any) -> list[float]:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise MemoryError("no memory")
        return add(*arguments)

    monkeypatch.setattr(stacked, "add_gradients", failing)
    results, _ = _together(make("lora"))
    assert [str(result) for result in results] == ["no memory"] * len(RATES)


def test_a_pass_that_computes_something_else_is_seen(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = stacked._pass

    def wrong(*arguments: Any) -> Any:
        losses, gradients = compute(*arguments)
        return losses, {name: 1.1 * gradient for name, gradient in gradients.items()}

    monkeypatch.setattr(stacked, "_pass", wrong)
    results, reason = _together(make("lora"))
    assert "Unlike: the gradient of " in reason
    assert all(_close(one, other) for one, other in zip(results, _apart(make("lora")), strict=True))
