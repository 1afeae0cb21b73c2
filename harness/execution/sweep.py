"""Running a list of cells: unfinished ones go to a launcher, and their results are read from the store.

Torch is not imported.
"""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.config import compose
from harness.config.schema import Cell
from harness.errors import Halted, UsageError
from harness.execution import attempts, expected_times, launch, outcome, progress, sweep_plan, time_limit, worker
from harness.execution.expected_times import Expected
from harness.execution.launch import slots as slots
from harness.execution.sweep_plan import SweepOptions, SweepPlan, is_stale
from harness.execution.time_limit import TimeLimit
from harness.execution.trackers import follower
from harness.experiments.grids import holes as holes_of_grid
from harness.experiments.grids import parent_order
from harness.experiments.grids.holes import Hole
from harness.probes import registry as probes
from harness.processes import forkserver, termination
from harness.store import identity, lease, requested_grids
from harness.store.store import Store

STOPPED = termination.INTERRUPTED
"""The exit code of a sweep that was interrupted, or whose time was over."""
LET_GO_S = 5.0
"""The most seconds to wait until ended cells' leases are released."""


def run_cells(
    many: Sequence[Cell], options: SweepOptions, holes: Sequence[Hole] = (), beside: Sequence[Cell] = ()
) -> int:
    """Run every cell that has no result yet, seed by seed; return the exit code (see `exit_code`).

    It may be called again, and from several processes at once: so a sweep is resumed and shared.

    - holes: combinations of the grid that are known to be impossible.
    - beside: further cells of the same grid, which ran before; `status` reports them, too, and names tell all apart.

    Raises UsageError for a value that a person has to correct; nothing has run then. Raises Halted where no cell can go
    on, because workers are lost or a disk is full.
    """
    begun = time.time()
    limit = None if options.deadline_s is None else time_limit.limit(options.deadline_s, begun)
    store = Store(options.runtime.store)
    decided = sweep_plan.decide(store, many, options, holes)
    grid = requested_grids.of(options.name, [*beside, *decided.cells], holes_of_grid.gaps(decided.holes))
    if not decided.todo:
        if not store.read_only:
            lease.clear(store.leases, map(identity.key, decided.cells))
        requested_grids.note(store, grid)
        print("\n".join((f"nothing left to do: {summary(store, decided.cells)}", *decided.skipped())))
        return _probed(store, decided, options, limit)
    store.check_writable()
    expected = _expected(decided, options)
    limit = limit and replace(limit, cells=expected, seen=decided.seen)
    _register(store, decided.todo, limit)
    requested_grids.note(store, grid)
    named = [*decided.cells, *beside]
    tally = progress.Tally(store, decided.todo, decided.seen, named, options.role, expected, decided.handing.at_once)
    print("\n".join((_announce(store, decided, options), *sweep_plan.notes(decided.todo.values()))))
    setup = replace(_setup(store, decided, options, limit), begun=begun)
    with termination.interrupting():  # also while it records what ended it
        ran = _ran(store, decided, setup, tally, options.runtime.tracker)
    if not ran:
        return STOPPED
    print("\n".join((summary(store, decided.cells), *decided.skipped())))
    if limit is not None and exit_code(store, decided.cells) == STOPPED:
        print(_stopped(store, decided.todo, limit))
    return _probed(store, decided, options, limit)


def _expected(decided: SweepPlan, options: SweepOptions) -> dict[str, Expected]:
    """Return key -> each cell to run, with an estimate of its time where a deadline or the progress needs one."""
    todo = list(decided.todo.values())
    needed = options.deadline_s is not None or len(todo) > 1
    estimates = options.seconds(todo, decided.handing) if options.seconds is not None and needed else {}
    return expected_times.expected(todo, estimates)


def _ran(store: Store, decided: SweepPlan, setup: worker.Setup, tally: progress.Tally, tracker: str) -> bool:
    """Run the cells to run, each after its parents; return whether nobody interrupted them."""
    todo, seen, plan = decided.todo, decided.seen, decided.handing
    try:
        with progress.shown(tally), follower.following(tracker, store, todo, seen):
            for keys in parent_order.waves(todo):
                launch.run_pending(store, keys, seen, setup, plan)
                setup = replace(setup, begun=None)
    except KeyboardInterrupt as error:
        compose.shut_down()
        _close(store, todo, outcome.interruption(error))
        print(f"interrupted: {summary(store, decided.cells)}. The same command resumes from here.", file=sys.stderr)
        if plan.fields.get("outlives"):
            print(f"jobs that launcher={plan.name} has started go on; end them with its own tools.", file=sys.stderr)
        return False
    except Halted as error:
        compose.shut_down()
        lease.clear(store.leases, todo)
        raise Halted(f"{error}, and the same command resumes ({summary(store, decided.cells)}).") from error
    _let_go(store, [key for key in todo if attempts.tried(store, key) != seen[key]])
    lease.clear(store.leases, todo)
    return True


def _stopped(store: Store, todo: Mapping[str, Cell], limit: TimeLimit) -> str:
    """Return the line on a sweep that its time ended."""
    counts = Counter(store.status(key) for key in todo)
    cut = f"{counts['interrupted']} cells stopped at a checkpoint" if counts["interrupted"] else ""
    missing = f"{counts['missing']} cells have not begun" if counts["missing"] else ""
    early = ", since they would have ended too late" if missing and not limit.over() else ""
    reason = " and ".join(filter(None, (cut, missing))) or "other processes still run cells"
    return f"the time is over: {reason}{early}. The same command resumes from here."


def _let_go(store: Store, keys: Sequence[str]) -> None:
    """Wait until these leases are released: a result exists a moment before its process releases the cell."""
    until = time.time() + LET_GO_S
    while time.time() < until and any(store.is_running(key) for key in keys):
        time.sleep(0.05)


def exit_code(store: Store, many: Sequence[Cell]) -> int:
    """Return 0: every cell is done or oom; 1: some failed, diverged, timed out or are blocked; 130: some
    have not run.
    """
    statuses = {store.status(identity.key(cell)) for cell in many}
    if statuses & {"failed", "diverged", "timeout", "blocked"}:
        return 1
    return STOPPED if statuses & {"interrupted", "missing", "running"} else 0


def _probed(store: Store, decided: SweepPlan, options: SweepOptions, limit: TimeLimit | None) -> int:
    """Take the probes asked for of the finished cells, one at a time; return the exit code."""
    keys = [identity.key(cell) for cell in decided.cells if cell.seed not in (options.unprobed or ())]
    deadline = None if limit is None else limit.deadline
    failed = probes.measure_cells(store, keys, decided.probes, options.runtime, deadline)
    return exit_code(store, decided.cells) or int(failed > 0)


def summary(store: Store, many: Sequence[Cell]) -> str:
    """Return a sentence on the cells' statuses: "54 cells: 53 done, 1 failed; 2 are stale"."""
    keys = [identity.key(cell) for cell in many]
    counts = Counter(store.status(key) for key in keys)
    text = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    stale = sum(is_stale(store, key) for key in keys)
    text += f"; {stale} stale (rerun=stale runs them again)" if stale else ""
    return f"{len(many)} cell{'s' if len(many) != 1 else ''}: {text}"


def _register(store: Store, todo: Mapping[str, Cell], limit: TimeLimit | None) -> None:
    """Create the cells' folders, as long as a cell may begin. Raises UsageError where the store cannot be written."""
    try:
        for cell in todo.values():
            store.register(cell, durable=False)
            if limit is not None and limit.over():
                return
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise UsageError(f"store={store.path}: it cannot be written ({error.strerror}{where}).") from error


def _setup(store: Store, decided: SweepPlan, options: SweepOptions, limit: TimeLimit | None) -> worker.Setup:
    """Return the setup for the workers."""
    plan, entry = decided.handing, probes.entry(options.entry, decided.probes)
    modules = forkserver.preload(cell.model.family for cell in decided.todo.values())
    there = replace(plan.runtime, store=str(store.path.resolve()))
    outlives = bool(plan.fields.get("outlives"))
    return worker.Setup(there, modules, entry, limit, devices=plan.leased, gpus=plan.gpus, outlives=outlives)


def _announce(store: Store, decided: SweepPlan, options: SweepOptions) -> str:
    """Return the first line of a sweep."""
    limit = f", at most {progress.clock(options.deadline_s)}" if options.deadline_s is not None else ""
    return f"{len(decided.todo)} of {len(decided.cells)} cells to run, store {store.path}{limit}"


def _close(store: Store, todo: Mapping[str, Cell], why: str) -> None:
    """Record the attempts of killed workers as interrupted, after an interruption of the sweep."""
    patience = time.monotonic() + 5
    for key, cell in todo.items():
        while store.unfinished(key) and time.monotonic() < patience:
            cell_lease = lease.acquire(store.leases, key)
            if cell_lease is None:
                time.sleep(0.1)
                continue
            worker.close_unfinished(store, key, cell, why)
            cell_lease.release()
