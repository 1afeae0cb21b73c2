"""What `--until-decided` may spend: the most seeds, the cells that it may add, and their time. Torch-free."""

import re
from collections.abc import Iterator, Sequence

from harness.config.schema import Cell
from harness.errors import UsageError, cut
from harness.execution import launch, progress
from harness.execution.sweep_plan import SweepOptions
from harness.experiments import more_seeds
from harness.experiments.exhibits import Exhibit
from harness.experiments.grids.blocks import RATE, Block, values
from harness.forecast.dry_run import Sources
from harness.store import identity
from harness.store.store import FINAL, Store


def check_claims(exhibit: Exhibit) -> None:
    """Raise UsageError where nothing of an exhibit can be decided by seeds."""
    why = "its numbers are forecasts, which have no seeds" if exhibit.forecast else ""
    why = why if exhibit.claims else "it has no claims"
    if why := why if exhibit.grids else "nothing of it can be run here":
        raise UsageError(f"--until-decided: no seeds can decide exhibit {exhibit.name}: {why}. Leave the option out.")


def most_seeds(exhibit: Exhibit, blocks: Sequence[Block], text: str | None) -> int:
    """Return the most seeds that `--max-seeds` allows. Raise UsageError for another number."""
    from harness.analysis.study.more_seeds import looks

    begun, highest = len(more_seeds.own(exhibit, blocks)), looks.LOOKS[-1]
    if text is None:
        return max(looks.USUAL_MOST, begun)
    if not re.fullmatch("[0-9]{1,9}", text) or not int(text):
        raise UsageError(f"--max-seeds {cut(text, 40)}: give a whole number of seeds such as {looks.USUAL_MOST}.")
    if int(text) < begun:
        raise UsageError(f"--max-seeds {text}: exhibit {exhibit.name} has {begun} seeds already; give {begun} or more.")
    if int(text) > highest:
        raise UsageError(
            f"--max-seeds {text}: the last declared look is after {highest} seeds; give {highest} or fewer."
        )
    return int(text)


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
    from harness.analysis.study.more_seeds import looks

    begun = len(more_seeds.own(exhibit, blocks))
    declared = [look for look in looks.LOOKS if look <= most]
    last = max([begun, *declared])
    yield f"looks: after {', '.join(map(str, declared)) or 'no'} seeds; the exhibit itself has {begun}"
    if last == begun:
        later = looks.following(begun)
        more = f"; the next look is after {later}, so give --max-seeds {later} or more" if later else ""
        yield f"no seeds are added{more}"
        return
    further = more_seeds.planned(exhibit, blocks, store, more_seeds.first(exhibit, blocks, last)[begun:])
    missing = [cell for cell in further.cells if store.status(identity.key(cell)) not in FINAL]
    number = len(missing) + further.waiting
    if not number:
        yield f"the cells up to {last} seeds have all been run: no cell is added"
        return
    alike = missing or planned
    seconds = seconds_of(store, exhibit, alike, options)
    took = f", about {progress.clock(seconds * number / len(alike))}" if seconds is not None and alike else ""
    several = any(len(values(block, RATE)) > 1 for block in blocks) and not further.waiting
    fewer = ", or fewer, since only chosen rates get seeds" if several else ""
    yield f"at most {number} more cells{fewer}, up to {last} seeds{took}, where nothing is decided earlier"


def check_time(store: Store, exhibit: Exhibit, cells: Sequence[Cell], duration_s: float | None) -> None:
    """Raise UsageError where the whole time is too short for the shortest of these cells."""
    least = shortest(store, exhibit, cells) if duration_s is not None else None
    if least is not None and duration_s is not None and least > duration_s:
        raise UsageError(
            f"--for {duration_s:g}s: the shortest cell takes about {progress.clock(max(1, least))}; give more time."
        )


def shortest(store: Store, exhibit: Exhibit, cells: Sequence[Cell]) -> float | None:
    """Return the least seconds of those cells that have no result; None where one of them is unknown, or none is left.

    A guess from another machine or model may be three times too long.
    """
    todo = [cell for cell in cells if store.status(identity.key(cell)) not in FINAL]
    sources = Sources(store, exhibit=exhibit.cells_of)
    estimators = ((cell, sources.find(cell.model.name)) for cell in todo)
    spent = [(estimator.cell(cell), estimator.whose) for cell, estimator in estimators if estimator]
    known = [seconds.total / (3 if whose or not seconds.alike else 1) for seconds, whose in spent if seconds]
    return min(known) if known and len(known) == len(todo) else None


def seconds_of(store: Store, exhibit: Exhibit, cells: Sequence[Cell], options: SweepOptions) -> float | None:
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
