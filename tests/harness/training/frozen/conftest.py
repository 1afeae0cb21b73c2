"""Training a tiny model with and without memory of its frozen parts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.config.schema import MethodConfig, ModelConfig, RecipeConfig
from harness.measurement.meter import Meter
from harness.models import backbone, tokenizer
from harness.store.attempt_folder import AttemptFolder
from harness.training.course.evaluations import Fitted
from harness.training.course.work import Work
from harness.training.fit import fit
from harness.training.objectives import registry as objectives
from harness.training.score import prepare
from methods import registry as methods
from tasks.base import Task

RECIPE = RecipeConfig(learning_rate=1e-2, steps=12, evaluate_every=4, batch_size=8, dropout=0.0)
Train = Callable[..., tuple[Work, Fitted]]


@pytest.fixture
def train(label_task: Task, tmp_path: Path, request: pytest.FixtureRequest) -> Train:
    """Train a method on a tiny model, which may be named by its fixture."""

    def do(
        model: ModelConfig | str,
        objective: str,
        method: str,
        reuse: bool,
        fields: dict[str, Any] | None = None,
        **recipe: Any,
    ) -> tuple[Work, Fitted]:
        model_config: ModelConfig = request.getfixturevalue(model) if isinstance(model, str) else model
        settings = replace(RECIPE, **recipe)
        made = objectives.make(objective, label_task, tokenizer.load(model_config))
        built = backbone.load(model_config, made.head, seed=0, dropout=settings.dropout)
        torch.manual_seed(0)
        delta = methods.make(MethodConfig(method, fields or {}))
        delta.attach(built)
        folder = AttemptFolder(tmp_path / str(len(list(tmp_path.iterdir()))))
        folder.path.mkdir()
        splits = prepare(made, label_task)
        meter = Meter(torch.device("cpu"))
        work = Work(built, delta, made, label_task, splits, settings, folder, meter, reuse_frozen=reuse)
        return work, fit(work, 1, 1)

    return do


def alike(one: Fitted, other: Fitted) -> bool:
    """Whether two trainings end with the same tensors, up to rounding."""
    mine, theirs = one.last.tensors, other.last.tensors
    return all(torch.allclose(tensor, theirs[name], rtol=1e-3, atol=1e-5) for name, tensor in mine.items())
