"""GaLore: Adam on projected gradients, by its formula."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from harness.config.schema import RecipeConfig
from harness.errors import UsageError
from harness.experiments.grids.grid import expand
from harness.training import optimizers
from harness.training.updating.galore import Galore, basis


def run(shape: Sequence[int], gradients: Sequence[torch.Tensor], **fields: Any) -> tuple[torch.Tensor, Any]:
    """A parameter of zeros after one step for each gradient, and its state."""
    p = torch.nn.Parameter(torch.zeros(*shape, dtype=torch.float64))
    made = Galore([{"params": [p]}], lr=0.1, **{"rank": 2, "every": 2, "scale": 0.5, **fields})
    for gradient in gradients:
        p.grad = gradient.clone()
        made.step()
    return p.detach(), made.state[p]


def drawn(shape: Sequence[int], count: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(*shape, dtype=torch.float64) for _ in range(count)]


def adam(gradients: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The updates of torch's Adam for these gradients, in units of the rate."""
    p = torch.nn.Parameter(torch.zeros_like(gradients[0]))
    made, steps = torch.optim.Adam([p], lr=1.0), []
    for gradient in gradients:
        before, p.grad = p.detach().clone(), gradient.clone()
        made.step()
        steps.append(before - p.detach())
    return steps


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_a_matrix_moves_by_adam_on_its_projection(shape: tuple[int, int]) -> None:
    """Every second step finds the projection anew; Adam's state goes on."""
    gradients = drawn(shape, 5)
    moved, state = run(shape, gradients)
    tall, low, sides = shape[0] >= shape[1], [], []
    for step, gradient in enumerate(gradients):
        if step % 2 == 0:
            left, _, right = torch.linalg.svd(gradient, full_matrices=False)
            side = right[:2] if tall else left[:, :2]
        sides.append(side)
        low.append(gradient @ side.T if tall else side.T @ gradient)
    steps = zip(adam(low), sides, strict=True)
    wanted = -0.1 * 0.5 * sum(step @ side if tall else side @ step for step, side in steps)
    torch.testing.assert_close(moved, wanted, rtol=1e-4, atol=1e-6)
    assert state["mean"].shape == state["square"].shape == ((shape[0], 2) if tall else (2, shape[1]))


@pytest.mark.parametrize(("shape", "rank"), [((7,), 2), ((4, 6), 4), ((2, 3, 4), 1)])
def test_what_has_no_smaller_projection_moves_by_adam(shape: tuple[int, ...], rank: int) -> None:
    gradients = drawn(shape, 3)
    moved, _ = run(shape, gradients, rank=rank)
    torch.testing.assert_close(moved, -0.1 * sum(adam(gradients)), rtol=1e-5, atol=1e-7)


def test_the_projection_keeps_the_most_of_a_gradient() -> None:
    gradient = drawn((8, 5), 1)[0]
    values = torch.linalg.svdvals(gradient)
    kept = gradient @ basis(gradient, 2).T
    torch.testing.assert_close(kept.norm() ** 2, (values[:2] ** 2).sum(), rtol=1e-5, atol=0)


def test_weight_decay_is_decoupled() -> None:
    p = torch.nn.Parameter(torch.ones(4, 4))
    made = Galore([{"params": [p], "weight_decay": 0.5}], lr=0.1, rank=2, every=1, scale=1.0)
    p.grad = torch.zeros(4, 4)
    made.step()
    torch.testing.assert_close(p.detach(), torch.full((4, 4), 0.95))


def test_the_recipe_s_fields_reach_the_optimiser() -> None:
    recipe = RecipeConfig(optimizer="galore", projection_rank=3, projection_every=7, projection_scale=2.0)
    made = optimizers.make(torch.nn.Linear(4, 4), recipe)
    assert isinstance(made, Galore)
    assert (made.rank, made.every, made.scale) == (3, 7, 2.0)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"recipe.projection_rank": 4}, "recipe.projection_rank=4: only recipe.optimizer=galore projects gradients"),
        (
            {"recipe.optimizer": "galore", "recipe.projection_every": 0},
            "recipe.projection_every=0: it must be at least 1",
        ),
        ({"recipe.optimizer": "galore", "recipe.parallel": "fsdp"}, "recipe.optimizer=galore projects whole gradients"),
    ],
)
def test_what_cannot_be_is_one_sentence(fields: dict[str, Any], rule: str) -> None:
    block = {"method": "full", "model": "micro-t5-nano", "task": "micro/sentiment", "seed": 0, **fields}
    with pytest.raises(UsageError, match=rule):
        expand([block])
