"""Seeds until an exhibit is decided: `deltabench reproduce X --until-decided`. Torch is not imported.

After the exhibit's own cells, each comparison of its claims is judged at the declared looks (analysis/study/looks.py).
Those without a verdict get the cells of their own arms up to the next look, and so on, until every comparison is
decided, cannot be decided by seeds, or the seeds or the time are used up. The store alone remembers what was done.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.cli.command_line import CommandLine
from harness.config.schema import Cell
from harness.errors import UsageError
from harness.execution import launch, progress, sweep
from harness.execution.sweep_plan import SweepOptions
from harness.experiments import more_seeds
from harness.experiments.exhibits import RATE, Block, Exhibit, values
from harness.experiments.verdict import Comparison, Finding
from harness.forecast.dry_run import Sources
from harness.store import archive, identity, requested_grids
from harness.store.store import FINAL, Store

MARK = "until decided"
"""What the name of a grid ends with whose cells were run until the exhibit was decided."""
ENDED = (*FINAL, "failed", "timeout", "blocked")


@dataclass(frozen=True)
class Wanted:
    """An exhibit that gets seeds until it is decided.

    name: of the grid. settings: further arguments of `sweep.run_cells`. most: the most seeds. deadline: when the time
    is over, by time.monotonic(), and duration_s: the whole time; None without a limit.
    """

    exhibit: Exhibit
    blocks: Sequence[Block]
    store: Store
    name: str
    options: SweepOptions
    settings: Mapping[str, Any]
    most: int
    deadline: float | None = None
    duration_s: float | None = None


@dataclass
class Course:
    """What a loop has done: the largest number of seeds at a look, the forecast and the seconds of the seeds added."""

    seeds: int
    forecast_seeds: int | None = None
    forecast_s: float | None = None
    begun: float = field(default_factory=time.monotonic)


def check_claims(exhibit: Exhibit) -> None:
    """Raise UsageError where nothing of an exhibit can be decided by seeds."""
    why = "its numbers are forecasts, which have no seeds" if exhibit.forecast else ""
    why = why if exhibit.claims else "it has no claims"
    if why := why if exhibit.grids else "nothing of it can be run here":
        raise UsageError(f"--until-decided: no seeds can decide exhibit {exhibit.name}: {why}. Leave the option out.")


def most_seeds(exhibit: Exhibit, blocks: Sequence[Block], text: str | None) -> int:
    """Return the most seeds that `--max-seeds` allows. Raise UsageError for another number."""
    from harness.analysis.study import looks

    begun, highest = len(more_seeds.own(exhibit, blocks)), looks.LOOKS[-1]
    if text is None:
        return max(looks.USUAL_MOST, begun)
    if not text.isdecimal() or not int(text):
        raise UsageError(f"--max-seeds {text}: give a whole number of seeds such as {looks.USUAL_MOST}.")
    if int(text) < begun:
        raise UsageError(f"--max-seeds {text}: exhibit {exhibit.name} has {begun} seeds already; give {begun} or more.")
    if int(text) > highest:
        raise UsageError(
            f"--max-seeds {text}: the last declared look is after {highest} seeds; give {highest} or fewer."
        )
    return int(text)


def grid_name(exhibit: Exhibit, scale: str, given: CommandLine) -> str:
    """Return the name of the grid that a command line chooses of an exhibit."""
    added = {f"+{axis}": chosen for axis, chosen in given.added.items()}
    words = (requested_grids.name_of(given.block), requested_grids.name_of(added))
    return " ".join(filter(None, (exhibit.name, f"scale={scale}", *words)))


def before(store: Store, name: str) -> bool:
    """Return whether seeds were added to this grid until it was decided, so that it is judged over several looks."""
    return any(grid.name == f"{name} {MARK}" for grid in requested_grids.noted(store))


def with_present(exhibit: Exhibit, blocks: Sequence[Block], store: Store, planned: Sequence[Cell]) -> list[Cell]:
    """Return the planned cells and those at further seeds that the store has already."""
    from harness.analysis.study import looks

    cells, last = list(planned), len(more_seeds.own(exhibit, blocks))
    while last < looks.LOOKS[-1]:
        following = looks.following(last) or looks.LOOKS[-1]
        seeds = more_seeds.first(exhibit, blocks, following)[last:]
        further = more_seeds.planned(exhibit, blocks, store, seeds).cells
        present = [cell for cell in further if store.summary(identity.key(cell))]
        if not present:
            break
        cells, last = cells + present, following
    return list({identity.key(cell): cell for cell in cells}.values())


def dry_run(
    exhibit: Exhibit,
    blocks: Sequence[Block],
    store: Store,
    options: SweepOptions,
    most: int,
    planned: Sequence[Cell],
) -> Iterator[str]:
    """Yield what the loop may add to the planned cells: the looks, the largest budget, and its time.

    Cells whose learning rate is not chosen yet take as long as the planned ones.
    """
    from harness.analysis.study import looks

    begun = len(more_seeds.own(exhibit, blocks))
    declared = [look for look in looks.LOOKS if look <= most]
    last = max([begun, *declared])
    yield f"looks: after {', '.join(map(str, declared)) or 'no'} seeds; it begins with {begun}"
    further = more_seeds.planned(exhibit, blocks, store, more_seeds.first(exhibit, blocks, last)[begun:])
    missing = [cell for cell in further.cells if store.status(identity.key(cell)) not in FINAL]
    number = len(missing) + further.waiting
    alike = missing or planned
    seconds = _seconds(store, exhibit, alike, options)
    took = f", about {progress.clock(seconds * number / len(alike))}" if seconds is not None and alike else ""
    several = any(len(values(block, RATE)) > 1 for block in blocks) and not further.waiting
    fewer = ", or fewer, since only chosen rates get seeds" if several else ""
    yield f"at most {number} more cells{fewer}, up to {last} seeds{took}, where nothing is decided earlier"


def run(wanted: Wanted, planned: Sequence[Cell], code: int, ran: bool) -> tuple[list[Cell], int]:
    """Add seeds until the exhibit is decided; return all its cells, and the exit code.

    code: of the exhibit's own cells, which have ended. ran: whether the command has run any of them. Raise UsageError
    where it has not, and the whole time is too short for one cell.
    """
    cells = with_present(wanted.exhibit, wanted.blocks, wanted.store, planned)
    settings = {**wanted.settings, "rerun": ()}  # the exhibit's own cells have been run again by now
    course = Course(len(more_seeds.own(wanted.exhibit, wanted.blocks)))
    while True:
        findings = _findings(wanted, cells)
        rows = [row for finding in findings for row in finding.comparisons]
        print(_standing(rows))
        targets = dict(_targets(rows, wanted.most))
        todo = _todo(wanted, cells, targets)
        if not todo:
            break
        if course.forecast_s is None:
            _forecast(wanted, cells, targets, course)
        left = None if wanted.deadline is None else wanted.deadline - time.monotonic()
        if left is not None:
            if not ran:
                check_time(wanted.store, wanted.exhibit, todo, wanted.duration_s)
            if (_shortest(wanted.store, wanted.exhibit, todo) or 0) > left or left <= 0:
                print("the time is over before the comparisons are decided. The same command goes on from here.")
                return cells, code or 130
        ran = True
        seeds = max(seeds for seeds in targets.values())
        print(f"more seeds where comparisons are undecided ({len(targets)}): {len(todo)} cells, up to {seeds} seeds")
        ended = [cell for cell in cells if wanted.store.status(identity.key(cell)) in FINAL]
        round_code = sweep.run_cells([*ended, *todo], **settings, name=f"{wanted.name} {MARK}", deadline_s=left)
        cells = list({identity.key(cell): cell for cell in [*cells, *todo]}.values())
        code, course.seeds = round_code or code, max(course.seeds, seeds)
        if any(wanted.store.status(identity.key(cell)) not in ENDED for cell in todo):
            return cells, code or 130
    print("".join(f"{line}\n" for line in _end(rows, wanted, course)), end="")
    return cells, code


def check_time(store: Store, exhibit: Exhibit, cells: Sequence[Cell], duration_s: float | None) -> None:
    """Raise UsageError where the whole time is too short for the shortest of these cells."""
    shortest = _shortest(store, exhibit, cells) if duration_s is not None else None
    if shortest is not None and duration_s is not None and shortest > duration_s:
        raise UsageError(
            f"--for {duration_s:g}s: the shortest cell takes about {progress.clock(max(1, shortest))}; give more time."
        )


def _shortest(store: Store, exhibit: Exhibit, cells: Sequence[Cell]) -> float | None:
    """Return the least seconds of those cells that have no result; None where one of them is unknown, or none is left.

    A guess from another machine or model may be three times too long.
    """
    todo = [cell for cell in cells if store.status(identity.key(cell)) not in FINAL]
    sources = Sources(store, exhibit=exhibit.cells_of)
    estimators = ((cell, sources.find(cell.model.name)) for cell in todo)
    spent = [(estimator.cell(cell), estimator.whose) for cell, estimator in estimators if estimator]
    known = [seconds.total / (3 if whose or not seconds.alike else 1) for seconds, whose in spent if seconds]
    return min(known) if known and len(known) == len(todo) else None


def _findings(wanted: Wanted, cells: Sequence[Cell]) -> list[Finding]:
    """Return the findings over all looks so far."""
    from harness.analysis import judging
    from harness.analysis.study import study

    runs = archive.from_store(wanted.store, [identity.key(cell) for cell in cells])
    return judging.judge_all(wanted.exhibit, study.studies(wanted.exhibit, runs), over_looks=True)


def _targets(rows: Sequence[Comparison], most: int) -> Iterator[tuple[Comparison, int]]:
    """Yield each comparison that further seeds may decide, with the number of seeds at its next look."""
    from harness.analysis.study import looks

    for row in rows:
        if not looks.wants_seeds(row):
            continue
        seeds = looks.LOOKS[row.look or 0] if (row.look or 0) < len(looks.LOOKS) else None
        if seeds is not None and seeds <= most:
            yield row, seeds


def _todo(wanted: Wanted, cells: Sequence[Cell], targets: dict[Comparison, int]) -> list[Cell]:
    """Return the cells of these comparisons, up to their next looks, that have not ended."""
    by_key = {identity.key(cell): cell for cell in cells}
    todo: dict[str, Cell] = {}
    for number in sorted(set(targets.values())):
        keys = {key for row, target in targets.items() if target == number for key in row.keys}
        seeds = more_seeds.first(wanted.exhibit, wanted.blocks, number)
        further = more_seeds.planned(wanted.exhibit, wanted.blocks, wanted.store, seeds).cells
        wanted_cells = [by_key[key] for key in keys if key in by_key]
        todo |= {identity.key(cell): cell for cell in more_seeds.like(further, wanted_cells)}
    return [cell for key, cell in todo.items() if wanted.store.status(key) not in ENDED]


def _seconds(store: Store, exhibit: Exhibit, cells: Sequence[Cell], options: SweepOptions) -> float | None:
    """Return the seconds that cells take together here; None where one is unknown."""
    sources = Sources(store, exhibit=exhibit.cells_of)
    total = 0.0
    for cell in cells:
        estimator = sources.find(cell.model.name)
        spent = estimator.cell(cell) if estimator else None
        if spent is None:
            return None
        total += spent.total
    return total / max(1, options.jobs or launch.slots(options.runtime))


def _forecast(wanted: Wanted, cells: Sequence[Cell], targets: dict[Comparison, int], course: Course) -> None:
    """Print how many seeds would do, and how long they take, before the first of them runs."""
    last = max(seeds for seeds in (*targets.values(),))
    needed = {row: min(max(row.seeds or wanted.most, seeds), wanted.most) for row, seeds in targets.items()}
    course.forecast_seeds = max((row.seeds for row in targets if row.seeds), default=None)
    course.forecast_s = _seconds(wanted.store, wanted.exhibit, _todo(wanted, cells, needed), wanted.options)
    names = [f"{row.seeds} seeds would do for {row.left} against {row.right}" for row in targets if row.seeds]
    names = names or [f"nothing says yet how many seeds would do; the next look is after {last} seeds"]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    clock = f"; together about {progress.clock(course.forecast_s)}" if course.forecast_s is not None else ""
    print(f"forecast: {'; '.join(names[:4])}{more}{clock}")


def _standing(rows: Sequence[Comparison]) -> str:
    """Return how many comparisons are decided, and what the others wait for."""
    from harness.analysis.study import looks

    counts = (f"{number} {what}" for what, number in looks.counts(rows).items() if number)
    return f"comparisons: {', '.join(counts) or 'none'}"


def _end(rows: Sequence[Comparison], wanted: Wanted, course: Course) -> Iterator[str]:
    """Yield how the loop ended, and its forecast beside what it took."""
    from harness.analysis.study import looks

    if any(looks.wants_seeds(row) for row in rows):
        last = max(look for look in looks.LOOKS if look <= wanted.most)
        yield f"the last look within {wanted.most} seeds, after {last}, has been made; --max-seeds allows more"
    if course.forecast_s is not None or course.forecast_seeds is not None:
        seeds = f"{course.forecast_seeds} seeds" if course.forecast_seeds else ""
        clock = progress.clock(course.forecast_s) if course.forecast_s is not None else ""
        took = progress.clock(time.monotonic() - course.begun)
        yield f"forecast: {' and '.join(filter(None, (seeds, clock)))}; it took {course.seeds} seeds and {took}"
