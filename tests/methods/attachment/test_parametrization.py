"""Deltas on parameters: sparse differences, masks and subspaces, by their papers' words."""

from typing import Any

import pytest
import torch

from harness.errors import UsageError
from methods.attachment.delta_state import delta_state, load_delta_state
from methods.attachment.parametrization import overlays
from methods.backbone.sizes import shape
from methods.backbone.trainable_parameters import trainable
from methods.base import Stage
from methods.diff_pruning import DiffPruning, Gated
from methods.intrinsic import Projected, hadamard
from methods.lt_sft import Sparse
from tests.methods.conftest import TOYS, attach, backbone, batch, disturb, logits, make


def steps(model: Any, method: Any, stage: Stage, number: int, lr: float = 0.01) -> None:
    """Train as harness.fit does in one stage."""
    toy = TOYS["t5"]
    stage.begin(model)
    moving = [p for name, p in trainable(model) if not stage.rests(name)]
    optimizer = torch.optim.Adam(moving, lr=lr)
    model.train()
    for _ in range(number):
        loss = model(**batch(toy)).loss
        extra = method.penalty(model)
        optimizer.zero_grad()
        (loss if extra is None else loss + extra).backward()
        optimizer.step()


@pytest.mark.parametrize("sparse", ["diff_pruning", "lt_sft"])
def test_a_sparse_difference_ends_within_its_fraction(sparse: str) -> None:
    model = backbone(TOYS["t5"])
    size = shape(model)
    method = attach(sparse, model, fraction=0.02)
    first, second = method.stages(model)
    assert first.share + second.share == 1
    steps(model, method, first, 4)
    dense = method.notes(model)["nonzero"]
    steps(model, method, second, 4)
    kept = method.notes(model)["nonzero"]
    assert dense > 0.3 * size.parameters
    assert 0.9 * 0.02 * size.parameters < kept <= 0.02 * size.parameters + 1
    other = backbone(TOYS["t5"])
    attach(sparse, other, seed=9, fraction=0.02)
    load_delta_state(other, delta_state(model))
    model.eval()
    assert torch.equal(logits(other, TOYS["t5"]), logits(model, TOYS["t5"])), "the file holds the mask"


def test_rewinding_starts_the_ticket_at_the_backbone() -> None:
    model = backbone(TOYS["t5"])
    before = logits(model, TOYS["t5"])
    method = attach("lt_sft", model, fraction=0.1)
    first, second = method.stages(model)
    steps(model, method, first, 2)
    largest = max(overlays(model).values(), key=lambda delta: float(delta.w.detach().abs().max()))
    index = int(largest.w.abs().argmax())
    second.begin(model)
    model.eval()
    torch.testing.assert_close(logits(model, TOYS["t5"]), before)
    assert largest.mask.flatten()[index] == 1, "what moved most is drawn"


def test_pruning_keeps_the_largest_as_they_are() -> None:
    model = backbone(TOYS["t5"])
    method: Sparse = attach("diff_pruning", model, fraction=0.1)
    disturb(model)
    before = torch.cat([delta.moved().detach().flatten() for delta in overlays(model).values()])
    method.prune(model)
    model.eval()
    after = torch.cat([delta.moved().detach().flatten() for delta in overlays(model).values()])
    kept = after != 0
    assert torch.equal(after[kept], before[kept])
    assert float(after[kept].abs().min()) >= float(before[~kept].abs().max())


def test_the_penalty_is_the_expected_share_of_open_gates_and_closes_them() -> None:
    """P(z > 0) = sigmoid(log alpha - log(-low / high)) (Louizos et al., equation 12); here sigmoid(2)."""
    model = backbone(TOYS["t5"])
    method: DiffPruning = attach("diff_pruning", model, sparsity_penalty=3.0)
    penalty = method.penalty(model)
    torch.testing.assert_close(penalty.detach(), 3 * torch.sigmoid(torch.tensor(2.0)))
    penalty.backward()
    assert all((delta.gates.grad > 0).all() for delta in overlays(model).values())
    for delta in overlays(model).values():
        delta.gates.requires_grad_(False)
    assert method.penalty(model) is None


def test_gates_draw_only_while_training() -> None:
    gate = Gated(torch.nn.Parameter(torch.zeros(1000)), start=0.5, rate=100.0)
    gate.w.data.fill_(1.0)
    gate.train()
    assert not torch.equal(gate.moved(), gate.moved())
    assert set(gate.moved().unique().tolist()) >= {0.0, 1.0}, "hard-concrete has mass at both ends"
    gate.eval()
    assert torch.equal(gate.moved(), gate.moved())


def test_a_mask_is_binary_and_takes_the_gradient_straight_through() -> None:
    model = backbone(TOYS["t5"])
    attach("mask", model, initial_sparsity=0.3)
    delta = next(iter(overlays(model).values()))
    weight = delta.covered[0]
    masked = delta(weight)
    assert set((masked / weight).round(decimals=5).unique().tolist()) == {0.0, 1.0}
    assert 0.15 < float((masked == 0).float().mean()) < 0.45
    gradient = torch.randn_like(weight)
    masked.backward(gradient)
    torch.testing.assert_close(delta.scores.grad, gradient * weight)


@pytest.mark.parametrize("bits", [0, 1, 3, 5, 6, 11])
def test_hadamard_is_its_definition(bits: int) -> None:
    matrix = torch.ones(1, 1)
    for _ in range(bits):
        matrix = torch.cat((torch.cat((matrix, matrix), 1), torch.cat((matrix, -matrix), 1)))
    x = torch.randn(2, 3, 1 << bits)
    torch.testing.assert_close(hadamard(x), x @ matrix, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_fastfood_keeps_lengths_and_is_linear() -> None:
    model = backbone(TOYS["t5"])
    attach("intrinsic", model, dimension=100)
    space = model.intrinsic
    space.theta.data.normal_()
    for delta in overlays(model).values():
        moved = delta(torch.zeros_like(delta.covered[0]))
        if moved.numel() >= 128:
            assert 0.5 < float(moved.norm() / space.theta.norm()) < 1.6
    delta = next(d for d in overlays(model).values() if isinstance(d, Projected))
    once = delta(torch.zeros_like(delta.covered[0]))
    space.theta.data.mul_(2)
    torch.testing.assert_close(delta(torch.zeros_like(delta.covered[0])), 2 * once)


def test_each_block_has_a_scale_and_a_dimension_below_that_is_refused() -> None:
    model = backbone(TOYS["t5"])
    attach("intrinsic", model, dimension=50)
    assert model.intrinsic.scales.shape == (5,)  # two encoder blocks, two decoder blocks, the rest
    used = {delta.scale for delta in overlays(model).values()}
    assert used == {0, 1, 2, 3, 4}
    with pytest.raises(UsageError, match="dimension=5: with a scale for each block it must be at least 6"):
        make("intrinsic", dimension=5).attach(backbone(TOYS["t5"]))


def test_tied_tensors_move_together() -> None:
    model = backbone(TOYS["t5"])
    attach("lt_sft", model)
    table = model.shared.weight
    covering = [delta for delta in overlays(model).values() if delta.covered[0] is table]
    assert len(covering) == 1
    assert model.lm_head.lt_sft_weight is model.shared.lt_sft_weight


@pytest.mark.parametrize(("fields", "rule"), [({"fraction": 0}, "above 0"), ({"first_share": 1}, "between 0 and 1")])
def test_bad_fractions(fields: dict[str, float], rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        make("diff_pruning", **fields)


def test_after_a_pass_the_backbone_shows_its_own_tensors_again() -> None:
    """Else a merge or a checkpoint would read what stood before them; also where the pass failed."""
    model = backbone(TOYS["t5"])
    attach("lt_sft", model)
    disturb(model)
    logits(model, TOYS["t5"])
    with pytest.raises(IndexError):
        model.shared(torch.tensor([10_000]))
    assert not any(key in module.__dict__ for module in model.modules() for key in module._parameters)
