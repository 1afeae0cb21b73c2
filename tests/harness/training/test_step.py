"""There is one training step: one place computes losses with penalties, runs backward passes, and clips."""

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness import assets
from harness.training import step
from harness.training.batches import Batch
from harness.training.objectives.registry import Reading

HARNESS = assets.root() / "harness"
ONLY = {"backward", "clip_grad_norm_", "penalty"}
"""Calls that belong to a training step."""


def _calls(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    return {func.attr for func in called if isinstance(func, ast.Attribute)} & ONLY


def test_nobody_else_runs_a_backward_pass() -> None:
    found = {path.relative_to(HARNESS).as_posix(): _calls(path) for path in HARNESS.rglob("*.py")}
    assert {name: calls for name, calls in found.items() if calls} == {"training/step.py": ONLY}


class _Fixed:
    """Stands for an objective and for a method: its loss is 3 w, its penalty w."""

    reading = Reading()

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return 3 * model.get_parameter("w")

    def penalty(self, model: nn.Module) -> torch.Tensor:
        return 1 * model.get_parameter("w")


def _model() -> nn.Module:
    model = nn.Module()
    model.register_parameter("w", nn.Parameter(torch.tensor(2.0)))
    return model


@pytest.mark.parametrize(
    ("arguments", "loss", "gradient"),
    [
        ({}, 6.0, 4.0),
        ({"penalised": False}, 6.0, 3.0),
        ({"share": 0.5}, 3.0, 2.5),
        ({"share": 0.5, "processes": 2}, 3.0, 4.0),
        ({"share": 0.0, "penalised": False}, 0.0, 0.0),
    ],
)
def test_a_part_counts_by_its_share_and_the_penalty_once(arguments: Any, loss: float, gradient: float) -> None:
    fixed: Any = _Fixed()
    model = _model()
    value, total = step.losses(fixed, fixed, model, Batch(torch.zeros(1, 1), torch.ones(1, 1)), **arguments)
    step.add_gradients(total)
    assert float(value.detach()) == loss
    assert model.w.grad == gradient


@pytest.mark.parametrize(("clip", "moved"), [(0.0, 5.0), (10.0, 5.0), (1.0, 1.0)])
def test_a_step_is_clipped_by_the_norm_of_all_gradients(clip: float, moved: float) -> None:
    parts = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))]
    optimizer = torch.optim.SGD(parts, lr=1.0)
    step.descend(optimizer, 3 * parts[0].sum() + 4 * parts[1][0], clip)
    assert torch.cat([p.detach() for p in parts]).norm() == pytest.approx(moved)
    assert all(p.grad is None for p in parts)


def test_gradients_of_earlier_parts_count() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    step.add_gradients(weight.sum())
    step.descend(optimizer, 2 * weight.sum(), 0.0)
    assert weight.item() == -3.0
