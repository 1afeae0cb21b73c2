"""Training is a function of the cell: evaluation does not disturb it, the tests do not select, the seed decides."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.config.schema import MethodConfig, ModelConfig, RecipeConfig
from harness.errors import UsageError
from harness.measurement.meter import Meter
from harness.models import backbone
from harness.models.text_tokens import Text
from harness.store.attempt_folder import AttemptFolder
from harness.training import trained_tensors
from harness.training.course import evaluations
from harness.training.course.divergence import Diverged
from harness.training.course.evaluations import Fitted, Point
from harness.training.course.work import Work
from harness.training.fit import fit
from harness.training.objectives import registry as objectives
from harness.training.score import prepare, score
from methods import registry as methods
from methods.backbone.trainable_parameters import trainable
from methods.base import Method, Stage, Training
from methods.lora import LoRA
from methods.peft import Peft
from tasks.base import Task

RECIPE = RecipeConfig(learning_rate=1e-2, steps=12, evaluate_every=4, batch_size=8)


@dataclass
class Done:
    work: Work
    fitted: Fitted
    curve: list[dict[str, Any]]

    def at(self, step: int) -> dict[str, Any]:
        return next(row for row in self.curve if row["step"] == step)


Train = Callable[..., Done]


@pytest.fixture
def train(t5: ModelConfig, t5_text: Text, label_task: Task, tmp_path: Path) -> Train:
    """Train the tiny T5; `seed` is the data order's and dropout's."""

    def do(method: str | Method = "lora", seed: int = 1, task: Task = label_task, **recipe: Any) -> Done:
        settings = replace(RECIPE, **recipe)
        objective = objectives.make("seq2seq", task, t5_text)
        model = backbone.load(t5, objective.head, seed=0, dropout=settings.dropout)
        torch.manual_seed(0)
        made = methods.make(MethodConfig(method, {})) if isinstance(method, str) else method
        made.attach(model)
        folder = AttemptFolder(tmp_path / str(len(list(tmp_path.iterdir()))))
        folder.path.mkdir()
        meter = Meter(torch.device("cpu"))
        work = Work(model, made, objective, task, prepare(objective, task), settings, folder, meter)
        fitted = fit(work, seed, seed)
        curve = [json.loads(line) for line in (folder.path / "curve.jsonl").read_text().splitlines()]
        return Done(work, fitted, curve)

    return do


def same(one: Done, other: Done) -> bool:
    mine, theirs = one.fitted.last.tensors, other.fitted.last.tensors
    return all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())


def test_the_same_cell_gives_the_same_bits(train: Train) -> None:
    one, again, other = train(), train(), train(seed=2)
    timeless = [{k: v for k, v in row.items() if k != "seconds"} for row in one.curve]
    assert timeless == [{k: v for k, v in row.items() if k != "seconds"} for row in again.curve]
    assert same(one, again)
    assert not same(one, other)


def test_a_start_sees_the_rows_of_the_first_steps_and_is_counted(train: Train) -> None:
    """Its time and operations are apart from those of training, and it draws nothing: a repeat gives the same bits."""
    seen: list[float] = []

    class Watching(LoRA):
        def start(self, model: nn.Module, training: Training) -> None:
            assert training.steps == RECIPE.steps
            assert not model.training
            seen.extend(next(training.losses).item() for _ in range(2))
            super().start(model, training)

    one, again = train(Watching(init="eva", start_batches=1)), train(Watching(init="eva", start_batches=1))
    assert seen[:2] == seen[2:]
    assert seen[0] != seen[1]
    assert same(one, again)
    assert one.work.start_flops
    assert one.work.meter.seconds["begin"] > 0
    plain = train()
    assert plain.work.start_flops is None
    assert "begin" not in plain.work.meter.seconds
    with pytest.raises(UsageError, match=r"recipe.parallel=fsdp: method lora has a start that needs whole matrices"):
        train(LoRA(init="pissa"), parallel="fsdp")


@pytest.mark.parametrize("init", ["pissa", "milora", "olora", "eva", "corda", "lora_ga"])
def test_an_evaluation_without_steps_is_that_of_the_start(train: Train, init: str) -> None:
    still, moved = (train(LoRA(init=init), steps=steps, learning_rate=1e-30) for steps in (0, 1))
    drawn = train(steps=0).fitted.last.tensors
    assert still.work.start_flops is not None
    assert still.fitted.last.step == 0
    assert still.fitted.last.tensors.keys() == moved.fitted.last.tensors.keys()
    for name, tensor in still.fitted.last.tensors.items():
        assert torch.allclose(tensor, moved.fitted.last.tensors[name], rtol=1e-6, atol=1e-20), name
        assert not name.endswith(".A") or not torch.allclose(tensor, drawn[name])


@pytest.mark.parametrize("method", ["adalora", "peft"])
def test_a_method_that_must_know_the_steps_is_evaluated_without_any(train: Train, method: str) -> None:
    chosen = Peft(peft_type="ADALORA") if method == "peft" else method
    assert train(chosen, steps=0).fitted.last.step == 0


def test_evaluation_does_not_change_the_trajectory(train: Train) -> None:
    often, seldom = train(evaluate_every=2), train(evaluate_every=6)
    for step in (0, 6, 12):
        for figure in ("validation_loss", "scores", "learning_rate", "tokens"):
            assert often.at(step)[figure] == seldom.at(step)[figure]
    assert same(often, seldom)


def test_the_evaluation_batch_does_not_change_the_trajectory(train: Train) -> None:
    assert same(train(evaluation_tokens=40), train(evaluation_tokens=4096))


def test_the_tests_do_not_select(train: Train, label_task: Task) -> None:
    changed = tuple(replace(row, label=1) for row in label_task.splits.tests["test"])
    other = replace(label_task, splits=replace(label_task.splits, tests={"test": changed}))
    honest, fooled = train(evaluate_every=1), train(task=other, evaluate_every=1)
    assert [row["scores"]["test"] for row in honest.curve] != [row["scores"]["test"] for row in fooled.curve]
    assert honest.fitted.best.step == fooled.fitted.best.step
    assert same(honest, fooled)


def test_every_method_sees_the_same_rows(train: Train) -> None:
    tokens = [[row["tokens"] for row in train(name, evaluate_every=1).curve] for name in ("full", "lora", "bitfit")]
    assert tokens[0] == tokens[1] == tokens[2]


def test_the_best_point_is_the_best_validation_score_after_training_began(train: Train) -> None:
    done = train("full", evaluate_every=1)
    trained = done.curve[1:]
    best = max(trained, key=lambda row: (row["scores"]["validation"], -row["validation_loss"]))
    assert done.fitted.best.step == best["step"]
    assert done.fitted.last.step == RECIPE.steps


def test_a_kept_delta_gives_its_scores_again(train: Train) -> None:
    done = train("full", evaluate_every=1)
    work, best = done.work, done.fitted.best
    trained_tensors.restore(work.model, best.tensors)
    again = score(work.model, work.objective, work.splits["test"], "accuracy", 16)
    assert again.answers == best.scores["test"].answers


def test_the_last_step_is_always_evaluated(train: Train) -> None:
    assert [row["step"] for row in train(steps=7, evaluate_every=3).curve] == [0, 3, 6, 7]


@pytest.mark.parametrize(("method", "recipe"), [("none", {}), ("lora", {"steps": 0})])
def test_without_training_there_is_one_evaluation(train: Train, method: str, recipe: dict) -> None:
    done = train(method, **recipe)
    assert [row["step"] for row in done.curve] == [0]
    assert done.fitted.best == done.fitted.last
    assert done.work.meter.time()["step_ms"] is None


def test_training_learns(train: Train) -> None:
    done = train("full", steps=60, evaluate_every=20)
    assert done.curve[-1]["train_loss"] < 0.5 * done.curve[1]["train_loss"]


def test_a_loss_that_is_no_number_is_divergence_with_its_step(train: Train) -> None:
    with pytest.raises(Diverged, match="diverged at step") as caught:
        train("full", learning_rate=1e30, gradient_clip=0.0)
    assert caught.value.status == "diverged"
    assert 1 <= caught.value.step <= RECIPE.steps
    assert "loss" in caught.value.rule


class Counting(Method):
    """Trains one bias-like vector; its penalty pulls it to one."""

    name = "counting"

    def __init__(self) -> None:
        object.__setattr__(self, "seen", [])

    def attach(self, model: nn.Module) -> None:
        model.extra = nn.Parameter(torch.zeros(3))  # type: ignore[assignment]

    def penalty(self, model: nn.Module) -> torch.Tensor:
        return ((model.extra - 1) ** 2).sum()  # type: ignore[operator]

    def after_step(self, model: nn.Module, step: int) -> None:
        self.seen.append(step)  # type: ignore[attr-defined]


def test_hooks_of_a_method_are_called(train: Train) -> None:
    method = Counting()
    done = train(method)
    assert method.seen == list(range(1, RECIPE.steps + 1))  # type: ignore[attr-defined]
    assert (done.fitted.last.tensors["extra"] > 0).all()
    losses = [row["validation_loss"] for row in done.curve]
    assert losses == [losses[0]] * len(losses), "a penalty is no part of the reported loss"


def test_weight_decay_shrinks_matrices_and_spares_vectors(train: Train) -> None:
    plain, decayed = (train("bitfit", weight_decay=wd).fitted.last.tensors for wd in (0.0, 0.5))
    assert all(torch.equal(plain[name], decayed[name]) for name in plain if plain[name].ndim < 2)
    plain, decayed = (train("lora", weight_decay=wd).fitted.last.tensors for wd in (0.0, 0.5))
    assert not all(torch.equal(plain[name], decayed[name]) for name in plain)


@dataclass(frozen=True)
class TwoStages(Method):
    """Trains one half of LoRA's tensors, then the other."""

    name = "two-stages"

    def attach(self, model: nn.Module) -> None:
        methods.make(MethodConfig("lora", {})).attach(model)

    def stages(self, model: nn.Module) -> tuple[Stage, ...]:
        first = Stage(0.5, rests=lambda name: name.endswith(".A"))
        return first, Stage(0.5, self.shrink, lambda name: name.endswith(".B"))

    @staticmethod
    def shrink(model: nn.Module) -> None:
        SEEN[:] = [{name: p.detach().clone() for name, p in trainable(model)}]


SEEN: list[dict[str, torch.Tensor]] = []


def test_stages_have_their_own_schedule_and_the_last_is_the_result(train: Train) -> None:
    done = train(TwoStages(), evaluate_every=3)
    assert [row["step"] for row in done.curve] == [0, 3, 6, 9, 12]
    rates = {row["step"]: row["learning_rate"] for row in done.curve}
    assert rates[6] == rates[12] < rates[3] == rates[9]
    assert done.fitted.best.step in (9, 12)


def test_what_rests_in_a_stage_stays_and_is_still_part_of_the_delta(train: Train) -> None:
    start = train(TwoStages(), steps=0).fitted.last.tensors
    done = train(TwoStages(), steps=6, evaluate_every=3)
    between, end = SEEN[0], done.fitted.last.tensors
    assert set(start) == set(end) == {name for name, _ in trainable(done.work.model)}
    for name in end:
        first, second = not torch.equal(between[name], start[name]), not torch.equal(end[name], between[name])
        assert (first, second) == ((False, True) if name.endswith(".A") else (True, False))


def test_a_better_score_in_an_earlier_stage_is_not_the_method(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are made to fall with every step, so the first evaluation of the last stage is its best."""
    evaluate = evaluations.evaluate

    def falling(work: Work, step: int, *given: Any) -> Point:
        point = evaluate(work, step, *given)
        figures = {work.task.metric: 1 - step / 100}
        return replace(point, scores={name: replace(s, figures=figures) for name, s in point.scores.items()})

    monkeypatch.setattr(evaluations, "evaluate", falling)
    done = train(TwoStages(), evaluate_every=3)
    assert done.fitted.best.step == 9
