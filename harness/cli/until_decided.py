"""Seeds until an exhibit is decided: `deltabench reproduce X --until-decided`. Torch is not imported.

After the exhibit's own cells, each comparison of its claims is judged at the declared looks
(analysis/study/more_seeds/looks.py). Those without a verdict get the cells of their own arms up to the next look, and
so on, until every comparison is decided, cannot be decided by seeds, or the seeds or the time are used up. The store
alone remembers what was done.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from harness.cli import seed_budget
from harness.cli.command_line import CommandLine
from harness.config.schema import Cell
from harness.execution import progress, sweep
from harness.execution.sweep import STOPPED
from harness.execution.sweep_plan import SweepOptions
from harness.experiments import more_seeds
from harness.experiments.exhibits import Exhibit
from harness.experiments.grids.blocks import Block
from harness.experiments.rates.rate_choice import FAILED
from harness.experiments.verdict import Comparison, Finding
from harness.store import archive, identity, requested_grids
from harness.store.store import FINAL, Store

ENDED = (*FINAL, *FAILED)
"""The status of a cell that has been run to its end."""


@dataclass(frozen=True)
class Loop:
    """What the loop works on: an exhibit that gets seeds until it is decided.

    options: of the sweep of the exhibit's own cells. most: the most seeds. deadline: when the time is over, by
    time.monotonic(); None without a limit.
    """

    exhibit: Exhibit
    blocks: Sequence[Block]
    store: Store
    options: SweepOptions
    most: int
    deadline: float | None = None


@dataclass
class Spent:
    """What the loop has spent: the largest number of seeds at a look, the forecast, and when it began."""

    seeds: int
    forecast_seeds: int | None = None
    forecast_s: float | None = None
    begun: float = field(default_factory=time.monotonic)


def grid_name(exhibit: Exhibit, scale: str, given: CommandLine) -> str:
    """Return the name of the grid that a command line chooses of an exhibit."""
    added = {f"+{axis}": chosen for axis, chosen in given.added.items()}
    words = (requested_grids.name_of(given.block), requested_grids.name_of(added))
    return requested_grids.exhibit_name(exhibit.name, scale, *words)


def before(store: Store, name: str) -> bool:
    """Return whether seeds were added to this grid until it was decided, so that it is judged over several looks."""
    return any(grid.name == f"{name} {requested_grids.UNTIL_DECIDED}" for grid in requested_grids.noted(store))


def with_present(exhibit: Exhibit, blocks: Sequence[Block], store: Store, planned: Sequence[Cell]) -> list[Cell]:
    """Return the planned cells and those at further seeds that the store has already."""
    from harness.analysis.study.more_seeds import looks

    cells, last = list(planned), len(more_seeds.own(exhibit, blocks))
    while last < looks.LOOKS[-1]:
        following = looks.following(last) or looks.LOOKS[-1]
        seeds = more_seeds.first(exhibit, blocks, following)[last:]
        further = more_seeds.planned(exhibit, blocks, store, seeds).cells
        present = [cell for cell in further if store.summary(identity.key(cell))]
        if not present:
            break
        cells, last = cells + present, following
    return list(identity.by_key(cells).values())


def run(loop: Loop, planned: Sequence[Cell], code: int, ran: bool) -> tuple[list[Cell], int]:
    """Add seeds until the exhibit is decided; return all its cells, and the exit code.

    code: of the exhibit's own cells, which have ended. ran: whether the command has run any of them. Raise UsageError
    where it has not, and the whole time is too short for one cell.
    """
    cells = with_present(loop.exhibit, loop.blocks, loop.store, planned)
    name = f"{loop.options.name} {requested_grids.UNTIL_DECIDED}"
    options = replace(loop.options, name=name, rerun=())  # the exhibit's own cells have been run again by now
    spent = Spent(len(more_seeds.own(loop.exhibit, loop.blocks)))
    while True:
        findings = _findings(loop, cells)
        rows = [row for finding in findings for row in finding.comparisons]
        print(_standing(rows))
        targets = dict(_targets(rows, loop.most))
        todo = _todo(loop, cells, targets)
        if not todo:
            break
        if spent.forecast_s is None:
            _forecast(loop, cells, targets, spent)
        left = None if loop.deadline is None else loop.deadline - time.monotonic()
        if left is not None:
            if not ran:
                seed_budget.check_time(loop.store, loop.exhibit, todo, options.deadline_s)
            if (seed_budget.shortest(loop.store, loop.exhibit, todo) or 0) > left or left <= 0:
                print("the time is over before the comparisons are decided. The same command goes on from here.")
                return cells, code or STOPPED
        ran = True
        seeds = max(targets.values())
        print(f"more seeds where comparisons are undecided ({len(targets)}): {len(todo)} cells, up to {seeds} seeds")
        ended = [cell for cell in cells if loop.store.status(identity.key(cell)) in FINAL]
        round_code = sweep.run_cells([*ended, *todo], replace(options, deadline_s=left))
        cells = list(identity.by_key([*cells, *todo]).values())
        code, spent.seeds = round_code or code, max(spent.seeds, seeds)
        if any(loop.store.status(identity.key(cell)) not in ENDED for cell in todo):
            return cells, code or STOPPED
    print("".join(f"{line}\n" for line in _end(rows, loop, spent)), end="")
    return cells, code


def _findings(loop: Loop, cells: Sequence[Cell]) -> list[Finding]:
    """Return the findings over all looks so far."""
    from harness.analysis import judging
    from harness.analysis.study import study

    runs = archive.from_store(loop.store, [identity.key(cell) for cell in cells])
    return judging.judge_all(loop.exhibit, study.studies(loop.exhibit, runs), over_looks=True)


def _targets(rows: Sequence[Comparison], most: int) -> Iterator[tuple[Comparison, int]]:
    """Yield each comparison that further seeds may decide, with the number of seeds at its next look."""
    from harness.analysis.study.more_seeds import looks

    for row in rows:
        if not looks.wants_seeds(row):
            continue
        seeds = looks.LOOKS[row.look or 0] if (row.look or 0) < len(looks.LOOKS) else None
        if seeds is not None and seeds <= most:
            yield row, seeds


def _todo(loop: Loop, cells: Sequence[Cell], targets: dict[Comparison, int]) -> list[Cell]:
    """Return the cells of these comparisons, up to their next looks, that have not ended."""
    by_key = identity.by_key(cells)
    todo: dict[str, Cell] = {}
    for number in sorted(set(targets.values())):
        keys = {key for row, target in targets.items() if target == number for key in row.keys}
        seeds = more_seeds.first(loop.exhibit, loop.blocks, number)
        further = more_seeds.planned(loop.exhibit, loop.blocks, loop.store, seeds).cells
        wanted_cells = [by_key[key] for key in keys if key in by_key]
        todo |= identity.by_key(more_seeds.like(further, wanted_cells))
    return [cell for key, cell in todo.items() if loop.store.status(key) not in ENDED]


def _forecast(loop: Loop, cells: Sequence[Cell], targets: dict[Comparison, int], spent: Spent) -> None:
    """Print how many seeds would do, and how long they take, before the first of them runs."""
    needed = {row: min(max(row.seeds or loop.most, seeds), loop.most) for row, seeds in targets.items()}
    spent.forecast_seeds = max((row.seeds for row in targets if row.seeds), default=None)
    spent.forecast_s = seed_budget.seconds_of(loop.store, loop.exhibit, _todo(loop, cells, needed), loop.options)
    names = [f"{row.seeds} seeds would do for {row.left} against {row.right}" for row in targets if row.seeds]
    names = names or [f"how many seeds would do is not known yet; the next look is after {max(targets.values())} seeds"]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    clock = f"; together about {progress.clock(spent.forecast_s)}" if spent.forecast_s is not None else ""
    print(f"forecast: {'; '.join(names[:4])}{more}{clock}")


def _standing(rows: Sequence[Comparison]) -> str:
    """Return how many comparisons are decided, and what the others wait for."""
    from harness.analysis.study.more_seeds import looks

    counts = (f"{number} {what}" for what, number in looks.counts(rows).items() if number)
    return f"comparisons: {', '.join(counts) or 'none'}"


def _end(rows: Sequence[Comparison], loop: Loop, spent: Spent) -> Iterator[str]:
    """Yield how the loop ended, and its forecast beside what it took."""
    from harness.analysis.study.more_seeds import looks

    if any(looks.wants_seeds(row) for row in rows):
        last = max((look for look in looks.LOOKS if look <= loop.most), default=None)
        made = f"the last look within {loop.most} seeds, after {last}, has been made" if last else ""
        yield f"{made or f'the first look is after {looks.LOOKS[0]} seeds'}; --max-seeds allows more"
    if spent.forecast_s is not None or spent.forecast_seeds is not None:
        seeds = f"{spent.forecast_seeds} seeds" if spent.forecast_seeds else ""
        clock = progress.clock(spent.forecast_s) if spent.forecast_s is not None else ""
        took = progress.clock(time.monotonic() - spent.begun)
        yield f"forecast: {' and '.join(filter(None, (seeds, clock)))}; it took {spent.seeds} seeds and {took}"
