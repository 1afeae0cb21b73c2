"""Storages of known bytes are counted as such, and being followed changes nothing."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.measurement.allocations import BLOCK, CATEGORIES, END, START, Live, Log


@contextmanager
def followed(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Live]:
    """Follow one step of a real training; afterwards `log().most()` is the peak of live bytes.

    Existing gradients and optimiser state are counted; memory outside this model and optimiser is not.
    """
    live = Live()
    live.watch(model)
    live.own(p.grad for p in model.parameters() if p.grad is not None)
    live.own(value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value))
    live.mark(START)
    with live:
        yield live
        live.mark(END)


def _log(work: Callable[[], Any]) -> Log:
    live = Live()
    live.mark(START)
    with live:
        kept = work()
        live.mark(END)
    del kept
    return live.log()


@pytest.mark.parametrize(("count", "bytes_"), [(1, 512), (128, 512), (129, 1024), (1000, 4096), (0, 0)])
def test_a_tensor_of_known_bytes(count: int, bytes_: int) -> None:
    assert _log(lambda: torch.zeros(count)).most() == bytes_


def test_views_and_changes_in_place_share_their_storage() -> None:
    def work() -> torch.Tensor:
        x = torch.zeros(64, 64)
        return x.t().reshape(64 * 64).view(64, 64) if x.add_(1).view(-1).sum() < 0 else x[3:].mul_(2)

    assert _log(work).most() == 64 * 64 * 4 + BLOCK + BLOCK  # the sum, and whether it is below zero


def test_what_is_gone_does_not_count() -> None:
    def work() -> None:
        for _ in range(5):
            torch.zeros(1024)

    log = _log(work)
    assert log.most() == 4096
    assert len(log.events) == 10


def test_a_step_of_known_bytes() -> None:
    """Weights [256, 128], their gradient, momentum; 32 rows in, 32 out, and their product's gradient."""
    model = nn.Linear(128, 256, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(live: Live | None) -> None:
        for phase in ("forward", "backward", "update"):
            if live is not None:
                live.mark(phase)
            if phase == "forward":
                loss = model(torch.ones(32, 128)).square().sum()
            elif phase == "backward":
                loss.backward()
            else:
                optimizer.step()
        optimizer.zero_grad()

    step(None)
    with followed(model, optimizer) as live:
        step(live)
    log, weights = live.log(), 256 * 128 * 4
    assert log.phases() == ("forward", "backward", "update")
    split = log.peak().split
    assert tuple(split) == CATEGORIES
    assert split["parameters"] == 2 * weights  # the momentum was there before
    assert (
        log.most("forward") == 2 * weights + 32 * 128 * 4 + 2 * 32 * 256 * 4 + BLOCK
    )  # input, output, its square, loss
    assert log.most("update") >= 3 * weights
    assert sum(split.values()) == log.most() == max(map(log.most, log.phases()))


def test_being_followed_changes_nothing() -> None:
    def train(follow: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.3), nn.LayerNorm(16), nn.Linear(16, 2))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, fused=True)
        for number in range(4):
            x, y = torch.randn(6, 8), torch.randint(2, (6,))

            def step(x: torch.Tensor = x, y: torch.Tensor = y) -> None:
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
                optimizer.zero_grad()

            if follow and number == 1:
                with followed(model, optimizer):
                    step()
            else:
                step()
        return [copy.deepcopy(p.detach()) for p in model.parameters()]

    assert all(map(torch.equal, train(False), train(True)))


def test_afterwards_nobody_listens() -> None:
    model = nn.Linear(4, 4)
    with followed(model, torch.optim.SGD(model.parameters())) as live:
        kept = model(torch.ones(2, 4)).sum()
    events = len(live.log().events)
    kept.backward()
    del kept
    assert len(live.log().events) == events
