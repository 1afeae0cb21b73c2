"""Cells that differ in their learning rate alone share a process, and each has its record whatever happens there."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.config.schema import Cell
from harness.execution import companions, worker
from harness.execution.worker import Pending, Setup
from harness.store import identity, lease
from harness.store.store import Store

Make = Callable[..., Cell]
RATES = (0.1, 0.2, 0.3)


@pytest.fixture
def rates(store: Store, cell: Make, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Cell]]:
    """Register cells that differ in their rates, and let stubs run them."""
    monkeypatch.setattr(worker, "ENTRY", "stubs:run")
    monkeypatch.setattr(companions, "ENTRY", "stubs:run_all")

    def make(method: str, **recipe: object) -> list[Cell]:
        plain = cell(method)
        cells = [replace(plain, recipe=replace(plain.recipe, learning_rate=rate, **recipe)) for rate in RATES]
        for one in cells:
            store.register(one)
        return cells

    return make


def _job(cells: list[Cell], setup: Setup) -> list[str]:
    return worker.job(None, setup, [Pending(identity.key(one), 0) for one in cells])


def _ends(store: Store, cells: list[Cell]) -> list[list[str]]:
    """The statuses of each cell's attempts."""
    return [[status for _, status in store.attempts(identity.key(one))] for one in cells]


def test_cells_of_a_group_run_in_one_process(
    store: Store, rates: Callable[..., list[Cell]], setup: Callable[..., Setup], runs: Callable[[], list[str]]
) -> None:
    cells = rates("good")
    assert _job(cells, setup(one_pass=2)) == ["done"] * 3
    assert runs() == ["2:good-0", "good-0"]
    assert _ends(store, cells) == [["done"]] * 3
    assert not lease.keys(store.leases)


@pytest.mark.parametrize(
    ("recipe", "runtime"), [({"accumulate": 2}, {"one_pass": 3}), ({"optimizer": "lomo"}, {"one_pass": 3}), ({}, {})]
)
def test_cells_that_cannot_or_need_not_share_run_alone(
    rates: Callable[..., list[Cell]], setup: Callable[..., Setup], runs: Callable[[], list[str]],
    recipe: dict[str, object], runtime: dict[str, float],
) -> None:  # fmt: skip
    assert _job(rates("good", **recipe), setup(**runtime)) == ["done"] * 3
    assert runs() == ["good-0"] * 3


@pytest.mark.parametrize("method", ["error", "die", "memory", "unwritable"])
def test_a_cell_without_a_result_runs_alone(
    store: Store, rates: Callable[..., list[Cell]], setup: Callable[..., Setup], method: str
) -> None:
    """Its own attempt says what is wrong with it: memory that cells use together is no cell's result."""
    cells = rates(method)
    alone = worker.attempt(store, replace(cells[0], seed=7), setup(retry=0))
    assert _job(cells, setup(one_pass=3, retry=0)) == [alone] * 3
    assert _ends(store, cells) == [["interrupted", alone]] * 3
    assert not lease.keys(store.leases)


def test_a_divergence_is_the_result_of_its_cell(
    store: Store, rates: Callable[..., list[Cell]], setup: Callable[..., Setup]
) -> None:
    cells = rates("diverge")
    assert _job(cells, setup(one_pass=3)) == ["diverged"] * 3
    assert _ends(store, cells) == [["diverged"]] * 3


def test_what_another_process_runs_is_left_to_it(
    store: Store, rates: Callable[..., list[Cell]], setup: Callable[..., Setup], runs: Callable[[], list[str]]
) -> None:
    cells = rates("good")
    taken = lease.acquire(store.leases, identity.key(cells[1]))
    assert taken is not None
    assert _job(cells, setup(one_pass=3)) == ["done", "done"]
    assert runs() == ["2:good-0"]


def test_cells_that_take_too_long_together_run_alone(
    store: Store, rates: Callable[..., list[Cell]], setup: Callable[..., Setup]
) -> None:
    cells = rates("slow_together")
    assert _job(cells, setup(one_pass=3, timeout=1.0)) == ["done"] * 3
    assert _ends(store, cells) == [["interrupted", "done"]] * 3
