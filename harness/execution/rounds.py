"""Running a grid in rounds: first the cells that choose learning rates, then those at the chosen rates. Torch-free.

The trials of all arms whose search goes on run together. Each round begins when the one before has ended, because what
it tries depends on all of its scores. The last round has the cells that are reported.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from harness.config.schema import Cell
from harness.execution import sweep
from harness.execution.sweep import STOPPED
from harness.execution.sweep_plan import SweepOptions
from harness.experiments.grids import holes
from harness.experiments.grids.blocks import RATE, TUNED, Block
from harness.experiments.rates import rate_tuning
from harness.experiments.rates.planned import Planned
from harness.experiments.rates.rate_choice import FAILED, SKIPPED
from harness.experiments.rates.rate_search import REACH
from harness.formatting import count, rate
from harness.probes import registry as probes
from harness.store import identity
from harness.store.store import Store


def run(planned: Planned, blocks: Sequence[Block], options: SweepOptions) -> tuple[int, Planned]:
    """Run the cells of a plan, round by round; return the exit code, and the plan at the end.

    planned: `rate_tuning.expand` of the blocks, before anything has run. options: for all rounds together. The exit
    code is that of the last round. It is 1, too, where a trial failed or the search of an arm has found no rate. A
    trial that diverged is an answer of its search and no failure.
    """
    store, begun, deadline_s = Store(options.runtime.store), time.monotonic(), options.deadline_s
    spent: dict[str, Cell] = {}
    code = 0
    if not planned.cells and not planned.waiting:  # nothing reaches a sweep, which refuses what cannot run
        holes.check(planned.holes, 0)
    print("".join(f"{line}\n" for line in _unsearched(planned)), end="")
    trials_first = bool(options.rerun) or _unprobed(store, planned, options)
    while todo := _now(planned, spent, trials_first):
        left = None if deadline_s is None else max(0.0, deadline_s - (time.monotonic() - begun))
        trying = identity.key(todo[-1]) in planned.trials
        print("".join(f"{line}\n" for line in _announced(planned, trying, len(todo), bool(spent))), end="")
        code = _round(planned, todo, spent, trying, replace(options, deadline_s=left))
        spent |= identity.by_key(todo)
        if code == STOPPED or not (planned.waiting or trying):
            break
        planned = rate_tuning.expand(blocks, store, holes=True, spent=spent)
    print("".join(f"{line}\n" for line in _notes(planned)), end="")
    failed = any(store.status(key) in FAILED for key in planned.trials)
    return code or int(failed or any(not _skipped(planned, arm) for arm in planned.lost)), planned


def _unprobed(store: Store, planned: Planned, options: SweepOptions) -> bool:
    """Return whether trials get probes and one that has ended lacks one."""
    wanted = probes.parse(options.runtime.probe) if options.unprobed is None else ()
    records = filter(None, map(store.read, planned.trials if wanted else ()))
    return any(probes.lacks(record, name) for record in records for name in wanted)


def _round(
    planned: Planned, todo: Sequence[Cell], spent: Mapping[str, Cell], trying: bool, options: SweepOptions
) -> int:
    """Run the cells of one round; return its exit code. trying: they try rates, so a probe looks at them only where the
    options leave no seed unprobed.
    """
    own = identity.by_key(todo)
    beside = [cell for key, cell in {**spent, **planned.trials}.items() if key not in own]
    unprobed = () if options.unprobed is None else {*options.unprobed, *_seeds(planned)}
    role = "validation" if trying else options.role
    return sweep.run_cells(todo, replace(options, unprobed=unprobed, role=role), planned.holes, beside)


def _now(planned: Planned, spent: Mapping[str, Cell], trials_first: bool) -> list[Cell]:
    """Return the cells of the next round.

    trials_first: the first round has all trials, those that ended long ago, too: cells run again, or get probes.
    """
    cells = list(planned.trials.values()) if trials_first and planned.trials and not spent else planned.now
    return [cell for cell in cells if identity.key(cell) not in spent]


def _seeds(planned: Planned) -> set[int]:
    """Return the seeds on which searches try rates."""
    return {seed for search in planned.searches.values() for seed in search.seeds}


def _announced(planned: Planned, trying: bool, cells: int, later: bool) -> Iterable[str]:
    """Yield what a round is for, where a grid has several."""
    if trying:
        arms = planned.searching or len(planned.searches)
        yield f"learning rates: {count(cells, 'trial')} for {count(arms, 'arm')}"
    elif later:
        yield "the learning rates are chosen; the reported seeds run now"


def _unsearched(planned: Planned) -> Iterable[str]:
    """Yield which methods have no rate to search for."""
    if planned.unsearched:
        names = ", ".join(planned.unsearched)
        yield f"{RATE}={TUNED} changes nothing for {names}, which trains nothing: its cells run as they are"


def _skipped(planned: Planned, arm: str) -> bool:
    """Return whether an arm cannot run at all, as the sweep has printed with its reason."""
    return all(trial.outcome.status == SKIPPED for trial in planned.searches[arm].path)


def _notes(planned: Planned) -> Iterable[str]:
    """Yield a line for each arm whose search ended without a rate, or at an edge."""
    for arm, search in planned.searches.items():
        tried = ", ".join(f"{rate(trial.learning_rate)} {trial.outcome.status}" for trial in search.path)
        if arm in planned.lost and not _skipped(planned, arm):
            yield (
                f"{arm}: the search found no learning rate ({tried}), so its cells on the reported seeds do not run "
                f"({planned.lost[arm]}); `deltabench show KEY` shows why a trial failed, and {RATE}=NUMBER gives a rate"
            )
        elif not search.next and search.choice and search.choice.edge:
            yield (
                f"{arm}: its learning rate {rate(search.choice.learning_rate)} is at the edge of the search, the "
                f"{search.choice.edge} with a score within a factor of {REACH} from {rate(search.start)}; a better one "
                "may lie beyond it"
            )
