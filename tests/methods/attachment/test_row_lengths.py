"""The closed form of the rows' lengths beside its definition, and what it remembers of a weight."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from methods.attachment import row_lengths
from methods.attachment.row_lengths import RowLengths, direct
from methods.backbone.linears import Linear, Part, dense

D_IN, D_OUT, R = 24, 15, 4


def in_eight_bits() -> nn.Linear:
    """A linear as bitsandbytes stores it: a row of largest values beside whole numbers."""
    host = nn.Linear(D_IN, D_OUT)
    stored = nn.Parameter(torch.randint(-127, 128, (D_OUT, D_IN), dtype=torch.int8), requires_grad=False)
    stored.SCB = torch.rand(D_OUT) + 0.5  # type: ignore[attr-defined]
    host.weight = stored
    return host


LAYOUTS: dict[str, Callable[[], Linear]] = {
    "linear": lambda: nn.Linear(D_IN, D_OUT),
    "rows of a fused one": lambda: Part(nn.Linear(D_IN, 3 * D_OUT), slice(D_OUT, 2 * D_OUT), "k"),
    "transposed": lambda: Part(Conv1D(D_OUT, D_IN)),
    "in eight bits": in_eight_bits,
    "rows of a transposed one": lambda: Part(Conv1D(3 * D_OUT, D_IN), slice(0, D_OUT), "q"),
}


def update(sd: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    return (sd * torch.randn(D_OUT, R)).requires_grad_(), torch.randn(R, D_IN).requires_grad_()


def frozen(host: Linear) -> Linear:
    (host.module if isinstance(host, Part) else host).requires_grad_(False)
    return host


def exact(host: Linear, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return direct(dense(host).double(), left.double(), right.double())


@pytest.fixture(autouse=True)
def terms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small weights be computed by the terms, too."""
    monkeypatch.setattr(row_lengths, "SMALL", 0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("small", [0, D_OUT * D_IN])
def test_it_is_the_definition_in_every_layout(
    layout: str, dtype: torch.dtype, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_lengths, "SMALL", small)
    host = frozen(LAYOUTS[layout]())
    if dense(host).dtype == host.weight.dtype:
        (host.module if isinstance(host, Part) else host).to(dtype)
    left, right = update(sd=0.03)
    rows = RowLengths(host, torch.float32)
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 2e-3}[dtype]  # the products R w_i are as precise as W
    torch.testing.assert_close(rows.updated(left, right).double(), exact(host, left, right), rtol=tolerance, atol=0.0)
    torch.testing.assert_close(rows.own(), dense(host).float().square().sum(dim=1), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("trains", [False, True])
def test_its_gradients_are_those_of_the_definition(trains: bool) -> None:
    host = frozen(nn.Linear(D_IN, D_OUT).double())
    assert isinstance(host, nn.Linear)
    host.weight.requires_grad_(trains)
    left, right = (side.detach().double().requires_grad_() for side in update())
    sides = (left, right, host.weight)[: 3 if trains else 2]
    weighing = torch.arange(D_OUT, dtype=torch.float64)
    ours = torch.autograd.grad(weighing @ RowLengths(host, torch.float64).updated(left, right).sqrt(), sides)
    theirs = torch.autograd.grad(weighing @ direct(host.weight, left, right).sqrt(), sides)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_that_its_update_nearly_cancels_is_computed_by_the_definition(dtype: torch.dtype) -> None:
    """A thousandth of row 3 is left, and nothing of row 5; row 7 is zero, and so is its update."""
    host = nn.Linear(D_IN, D_OUT).to(dtype).requires_grad_(False)
    left, right = (side.detach() for side in update(sd=0.01))
    with torch.no_grad():
        host.weight[5], host.weight[7] = host.weight[3], 0
        right[0] = host.weight[3].float()
        left[3], left[5], left[7] = torch.tensor([[1e-3 - 1, 0, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 0]])
    found = RowLengths(host, torch.float32).updated(left, right)
    by_definition = exact(host, left, right)
    torch.testing.assert_close(found[3], by_definition[3].float(), rtol=1e-3, atol=0.0)
    assert found[5] == found[7] == by_definition[7] == 0
    others = [row for row in range(D_OUT) if row not in (3, 5, 7)]
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 2e-3}[dtype]
    torch.testing.assert_close(found[others].double(), by_definition[others], rtol=tolerance, atol=0.0)


def test_parts_of_an_update_that_cancel_each_other_are_seen() -> None:
    host = nn.Linear(D_IN, D_OUT).requires_grad_(False)
    nn.init.zeros_(host.weight)
    left, right = (side.detach() for side in update())
    right[1] = right[0] + 1e-4 * right[2]
    left[:] = torch.tensor([1, -1, 0, 0])
    found = RowLengths(host, torch.float32).updated(left, right)
    torch.testing.assert_close(found.double(), exact(host, left, right), rtol=1e-3, atol=0.0)  # of float32 inputs


class Counted:
    """How often the squares of a weight are computed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times, plain = 0, row_lengths._squares

        def squares(*arguments: Any) -> torch.Tensor:
            self.times += 1
            return plain(*arguments)

        monkeypatch.setattr(row_lengths, "_squares", squares)


def doubled(host: nn.Linear) -> None:
    with torch.no_grad():
        host.weight.mul_(2)


def loaded(host: nn.Linear) -> None:
    host.load_state_dict({name: 3 * tensor for name, tensor in host.state_dict().items()})


def assigned(host: nn.Linear) -> None:
    host.load_state_dict({name: 3 * tensor for name, tensor in host.state_dict().items()}, assign=True)
    host.requires_grad_(False)


def replaced(host: nn.Linear) -> None:
    host.weight = nn.Parameter(torch.randn_like(host.weight), requires_grad=False)


def pointed(host: nn.Linear) -> None:
    host.weight.data = torch.randn_like(host.weight)


def rounded(host: nn.Linear) -> None:
    host.bfloat16().float()


@pytest.mark.parametrize("change", [doubled, loaded, assigned, replaced, pointed, rounded])
def test_a_weight_that_changed_is_squared_again(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    host = nn.Linear(D_IN, D_OUT).requires_grad_(False)
    rows, counted = RowLengths(host, torch.float32), Counted(monkeypatch)
    for _ in range(3):
        rows.own()
    assert counted.times == 1
    change(host)
    for _ in range(2):
        torch.testing.assert_close(rows.own(), host.weight.square().sum(dim=1))
    assert counted.times == 2


def test_a_weight_that_trains_is_squared_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    host = nn.Linear(D_IN, D_OUT).requires_grad_(False)
    rows, counted = RowLengths(host, torch.float32), Counted(monkeypatch)
    rows.own()
    host.requires_grad_(True)
    optimizer = torch.optim.AdamW(host.parameters(), lr=0.1, fused=True)  # torch does not count its writes
    for _ in range(2):
        found = rows.own()
        torch.testing.assert_close(found, host.weight.square().sum(dim=1))
        found.sum().backward()
        optimizer.step()
    host.requires_grad_(False)
    torch.testing.assert_close(rows.own(), host.weight.square().sum(dim=1))
    assert counted.times == 4


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_has_a_host_of_its_own(again: Callable[[Any], Any]) -> None:
    rows = RowLengths(nn.Linear(D_IN, D_OUT).requires_grad_(False), torch.float32)
    before = rows.own().clone()
    other = again(rows)
    doubled(other.host)
    torch.testing.assert_close(other.own(), 4 * before)
    torch.testing.assert_close(rows.own(), before)
