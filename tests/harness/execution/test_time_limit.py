"""Which cells may still begin: by what the sweep has measured so far, seed by seed, after their parents."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from harness.config.schema import Cell
from harness.execution import attempts, launch, time_limit
from harness.execution.expected_times import Estimate, expected
from harness.execution.time_limit import Gate, TimeLimit
from harness.store import identity, lease
from harness.store.store import SCHEMA, Store

Make = Callable[..., Cell]


@pytest.fixture
def gate(store: Store) -> Callable[..., Gate]:
    """A gate with so many seconds left of 100, over cells with these estimated seconds (None for no estimate)."""

    def make(left: float, cells: Sequence[Cell], seconds: Sequence[float | None], rough: bool = False) -> Gate:
        keys = list(map(identity.key, cells))
        known = {key: Estimate(one, rough) for key, one in zip(keys, seconds, strict=True) if one is not None}
        deadline = time.time() + left
        return Gate(store, TimeLimit(deadline, deadline + 5, 100.0, expected(cells, known), dict.fromkeys(keys, 0)))

    return make


def _end(store: Store, one: Cell, wall_s: float, **about: object) -> None:
    key, folder = identity.key(one), store.begin(one)
    record = {"schema": SCHEMA, "key": key, "attempt": folder.number, "status": "done", "time": {"wall_s": wall_s}}
    store.finish(key, folder, {**record, **about, "cell": identity.to_json(one)})


def _opened(gate: Gate, cells: Sequence[Cell]) -> list[bool]:
    return [gate.opens(identity.key(one)) for one in cells]


def test_a_cell_begins_where_it_ends_in_time_and_where_nothing_is_known_of_it(
    gate: Callable[..., Gate], cell: Make
) -> None:
    cells = [cell(method) for method in ("lora", "full", "unknown")]
    assert _opened(gate(50.0, cells, (10.0, 60.0, None)), cells) == [True, False, True]
    assert _opened(gate(-1.0, cells, (10.0, 60.0, None)), cells) == [False, False, False]


def test_no_cell_of_a_later_seed_begins_while_one_of_an_earlier_seed_waits_in_vain(
    gate: Callable[..., Gate], cell: Make
) -> None:
    cells = [cell(method, seed) for seed in (0, 1) for method in ("lora", "full", "bitfit")]
    assert _opened(gate(50.0, cells, (10.0, 60.0, 5.0) * 2), cells) == [True, False, True, False, False, False]


def test_a_job_that_runs_the_last_cell_only_looks_at_those_before_it(gate: Callable[..., Gate], cell: Make) -> None:
    cells = [cell("lora"), cell("full"), cell("lora", 1)]
    assert not gate(50.0, cells, (10.0, 60.0, 10.0)).opens(identity.key(cells[2]))
    assert gate(50.0, cells, (10.0, 40.0, 10.0)).opens(identity.key(cells[2]))


def test_a_running_cell_of_an_earlier_seed_waits_for_nothing(
    gate: Callable[..., Gate], cell: Make, store: Store
) -> None:
    cells = [cell("full"), cell("lora", 1)]
    held = lease.acquire(store.leases, identity.key(cells[0]))
    assert held is not None
    assert gate(50.0, cells, (60.0, 10.0)).opens(identity.key(cells[1]))
    held.release()


def test_a_child_begins_only_where_its_parent_could(gate: Callable[..., Gate], cell: Make) -> None:
    parent = cell("full")
    child = replace(cell("soup"), parents=(("a", identity.key(parent)),))
    assert _opened(gate(50.0, [parent, child], (60.0, 1.0)), [parent, child]) == [False, False]


def test_a_cell_that_fits_no_such_command_begins_and_goes_on_in_the_next(gate: Callable[..., Gate], cell: Make) -> None:
    assert _opened(gate(50.0, [cell()], (500.0,)), [cell()]) == [True]


def test_guesses_from_elsewhere_give_way_to_what_the_sweep_measures(
    gate: Callable[..., Gate], cell: Make, store: Store
) -> None:
    """Guesses of 80 s on a machine that takes 10 s for each cell."""
    cells = [cell(method, seed) for seed in (0, 1) for method in ("lora", "full")]
    guessed = gate(30.0, cells, (80.0,) * 4, rough=True)
    assert _opened(guessed, cells[:2]) == [True, True]  # a third of the guess would fit
    _end(store, cells[0], 10.0)
    assert _opened(guessed, cells[2:]) == [True, True]
    late = gate(20.0, cells[1:], (80.0,) * 3, rough=True)
    assert _opened(late, cells[1:2]) == [False]


def test_what_ended_too_slowly_keeps_the_others_from_beginning(
    gate: Callable[..., Gate], cell: Make, store: Store
) -> None:
    cells = [cell("lora"), cell("lora", 1)]
    slow = gate(50.0, cells, (10.0, 10.0))
    assert slow.opens(identity.key(cells[0]))
    _end(store, cells[0], 60.0)
    assert not slow.opens(identity.key(cells[1]))


def test_a_cell_that_went_on_from_a_checkpoint_teaches_nothing(
    gate: Callable[..., Gate], cell: Make, store: Store
) -> None:
    cells = [cell("lora"), cell("lora", 1)]
    _end(store, cells[0], 1.0, resumed_from=90)
    assert not gate(5.0, cells, (10.0, 10.0)).opens(identity.key(cells[1]))


def test_running_cells_have_a_twentieth_of_the_time_to_stop() -> None:
    assert time_limit.limit(3600.0, 0.0) == TimeLimit(3600.0, 3780.0, 3600.0)
    assert time_limit.limit(10.0, 0.0).end == 12.0


def test_a_grid_is_looked_through_in_a_few_reads_of_each_cell(
    gate: Callable[..., Gate], cell: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [cell("lora", seed) for seed in range(40)]
    limit, reads, read = gate(50.0, cells, [0.1] * 40)._limit, list[str](), attempts.tried

    def counted(store: Store, key: str) -> int:
        reads.append(key)
        return read(store, key)

    monkeypatch.setattr(attempts, "tried", counted)
    keys = list(map(identity.key, cells))
    assert launch._pending(store, keys, dict.fromkeys(keys, 0), limit) == keys
    assert len(reads) <= 2 * len(keys)
