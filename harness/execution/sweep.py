"""Running a list of cells: unfinished ones go to a launcher, and their results are read from the store.

Torch is not imported.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from harness.config import compose
from harness.config.launchers import Launcher
from harness.config.schema import Cell, Runtime
from harness.errors import Halted, UsageError
from harness.execution import attempts, expected_times, launch, outcome, progress, sweep_plan, time_limit, worker
from harness.execution.expected_times import Estimate
from harness.execution.launch import slots as slots
from harness.execution.sweep_plan import PREFLIGHT, SweepOptions, SweepPlan, is_stale
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
    many: Sequence[Cell],
    runtime: Runtime,
    launcher: Launcher | str | None = None,
    jobs: int | None = None,
    deadline_s: float | None = None,
    rerun: Sequence[str] = (),
    entry: str = worker.ENTRY,
    check: str = PREFLIGHT,
    name: str = "",
    unprobed: Collection[int] | None = (),
    role: str = "test",
    seconds: Callable[[Sequence[Cell], launch.Plan], Mapping[str, Estimate]] | None = None,
    holes: Sequence[Hole] = (),
    skip_impossible: bool = False,
    beside: Sequence[Cell] = (),
    share: Callable[[Sequence[Cell]], float | None] | None = None,
) -> int:
    """Run every cell that has no result yet, seed by seed; return the exit code (see `exit_code`).

    It may be called again, and from several processes at once: so a sweep is resumed and shared.

    - launcher: a name of conf/launcher, with or without fields; None chooses by the number of cells, devices and cores.
    - jobs: cells at once, unless the launcher's own field sets it.
    - deadline_s: seconds after which running cells stop at a checkpoint; no cell begins that would end later.
    - rerun: statuses (or "stale") that are run once more.
    - name: the name of the grid, under which `status` reports it.
    - unprobed: seeds whose cells get no probes; None where every cell gets them.
    - role: of the score in the lines of progress, test or validation.
    - seconds: returns key -> estimated seconds, for the deadline and the lines of progress; unknown ones are left out.
      The cells that end correct them.
    - holes: combinations of the grid that are known to be impossible. skip_impossible: run the other cells.
    - beside: further cells of the same grid, which ran before; `status` reports them, too, and names tell all apart.
    - share: returns the share of a GPU that each cell needs, for launcher.gpus=auto.

    Raises UsageError for a value that a person has to correct; nothing has run then. Raises Halted where no cell can go
    on, because workers are lost or a disk is full.
    """
    begun = time.time()
    limit = None if deadline_s is None else time_limit.limit(deadline_s, begun)
    store = Store(runtime.store)
    chosen = Launcher(launcher) if isinstance(launcher, str) else launcher
    options = SweepOptions(runtime, chosen, jobs, rerun, unprobed, skip_impossible, share)
    decided = sweep_plan.decide(store, many, options, holes, check)
    grid = requested_grids.of(name, [*beside, *many], holes_of_grid.gaps(decided.holes))
    many, todo, seen, wanted, plan = decided.cells, decided.todo, decided.seen, decided.probes, decided.handing
    measured = [identity.key(cell) for cell in many if cell.seed not in (unprobed or ())]
    if not todo:
        if not store.read_only:
            lease.clear(store.leases, map(identity.key, many))
        requested_grids.note(store, grid)
        print("\n".join((f"nothing left to do: {summary(store, many)}", *decided.skipped())))
        return _probed(store, many, measured, wanted, runtime, limit)
    store.check_writable()
    estimates = seconds(list(todo.values()), plan) if seconds is not None and (limit or len(todo) > 1) else {}
    expected = expected_times.expected(todo.values(), estimates)
    limit = limit and replace(limit, cells=expected, seen=seen)
    _register(store, todo, limit)
    requested_grids.note(store, grid)
    tally = progress.Tally(store, todo, seen, [*many, *beside], role, expected, plan.at_once)
    print("\n".join((_announce(todo, many, store, deadline_s), *sweep_plan.notes(todo.values()))))
    setup = replace(_setup(store, todo, plan, limit, probes.entry(entry, wanted)), begun=begun)
    with termination.interrupting():  # also while it records what ended it
        ran = _ran(store, decided, setup, tally, runtime.tracker)
    if not ran:
        return STOPPED
    print("\n".join((summary(store, many), *decided.skipped())))
    if limit is not None and exit_code(store, many) == STOPPED:
        print(_stopped(store, todo, limit))
    return _probed(store, many, measured, wanted, runtime, limit)


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


def _probed(
    store: Store, many: Sequence[Cell], keys: Sequence[str], wanted: Sequence[str], runtime: Runtime,
    limit: TimeLimit | None,
) -> int:  # fmt: skip
    """Take the probes asked for of the cells `keys`, one at a time; return the exit code."""
    failed = probes.measure_cells(store, keys, wanted, runtime, None if limit is None else limit.deadline)
    return exit_code(store, many) or int(failed > 0)


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


def _setup(
    store: Store, todo: Mapping[str, Cell], plan: launch.Plan, limit: TimeLimit | None, entry: str
) -> worker.Setup:
    """Return the setup for the workers."""
    modules = forkserver.preload(cell.model.family for cell in todo.values())
    there = replace(plan.runtime, store=str(store.path.resolve()))
    outlives = bool(plan.fields.get("outlives"))
    return worker.Setup(there, modules, entry, limit, devices=plan.leased, gpus=plan.gpus, outlives=outlives)


def _announce(todo: Mapping[str, Cell], many: Sequence[Cell], store: Store, deadline_s: float | None) -> str:
    """Return the first line of a sweep."""
    limit = f", at most {progress.clock(deadline_s)}" if deadline_s is not None else ""
    return f"{len(todo)} of {len(many)} cells to run, store {store.path}{limit}"


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
