"""Which cells may still begin: by the estimate, seed by seed, after their parents."""

from collections.abc import Callable
from dataclasses import replace

from harness.config.schema import Cell
from harness.execution import time_limit
from harness.store import identity

Make = Callable[..., Cell]


def test_a_cell_may_begin_as_long_as_it_ends_in_time(cell: Make) -> None:
    cells = [cell(method) for method in ("lora", "full", "unknown")]
    seconds = dict(zip(map(identity.key, cells), (10.0, 40.0), strict=False))
    assert time_limit.latest(1000.0, 100.0, cells, seconds) == {
        identity.key(cells[0]): 990.0,
        identity.key(cells[1]): 960.0,
    }


def test_a_later_seed_begins_only_while_all_of_the_earlier_ones_may(cell: Make) -> None:
    cells = [cell(method, seed) for seed in (0, 1) for method in ("lora", "full")]
    seconds = dict(zip(map(identity.key, cells), (10.0, 40.0, 10.0, 20.0), strict=True))
    begins = time_limit.latest(1000.0, 100.0, cells, seconds)
    assert [begins[identity.key(one)] for one in cells] == [990.0, 960.0, 960.0, 960.0]


def test_a_child_begins_only_while_its_parent_may(cell: Make) -> None:
    parent = cell("full")
    child = replace(cell("soup"), parents=(("a", identity.key(parent)),))
    begins = time_limit.latest(1000.0, 100.0, [parent, child], {identity.key(parent): 50.0})
    assert begins == {identity.key(parent): 950.0, identity.key(child): 950.0}


def test_a_cell_that_fits_no_such_command_begins_and_goes_on_in_the_next(cell: Make) -> None:
    assert time_limit.latest(1000.0, 100.0, [cell()], {identity.key(cell()): 500.0}) == {}


def test_running_cells_have_a_twentieth_of_the_time_to_stop() -> None:
    assert time_limit.limit(3600.0, 0.0) == time_limit.TimeLimit(3600.0, 3780.0)
    assert time_limit.limit(10.0, 0.0).end == 12.0
