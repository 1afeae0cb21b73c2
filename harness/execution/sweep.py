"""Drain a list of cells: what is left to do goes to a launcher, what came of it is read from the store. Torch-free."""

import signal
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from harness.config import compose, launchers
from harness.config.launchers import Launcher
from harness.config.schema import Cell, Runtime
from harness.errors import UsageError
from harness.execution import launch, progress, worker
from harness.execution.launch import slots as slots
from harness.execution.trackers import follower
from harness.experiments import parent_order
from harness.experiments.grid import by_seed
from harness.probes import registry as probes
from harness.processes import forkserver
from harness.store import fingerprint, identity, lease, requested_grids
from harness.store.store import FINAL, STATUSES, Store
from harness.training.objectives.registry import BY_VOCABULARY

PREFLIGHT = "harness.execution.preflight:preflight"
RERUN = (*STATUSES, "stale")
LET_GO_S = 5.0


def drain(
    many: Sequence[Cell],
    runtime: Runtime,
    launcher: Launcher | str | None = None,
    jobs: int | None = None,
    deadline_s: float | None = None,
    rerun: Sequence[str] = (),
    entry: str = worker.ENTRY,
    check: str = PREFLIGHT,
    name: str = "",
    unprobed: Collection[int] = (),
) -> int:
    """Run every cell that has no result yet, seed by seed; the exit code (see `exit_code`).

    Safe to call again, and from several processes at once: that is how a sweep is resumed and shared.
    launcher: a name of conf/launcher, with fields of its own or not; None chooses by the number of cells, devices and
    cores. jobs: cells at once, where the launcher's own field does not say it.
    deadline_s: seconds after which no further cell starts. rerun: statuses (or "stale") to try once more.
    name: of the grid, under which `status` tells of it. unprobed: seeds whose cells no probe is taken of.
    """
    store, wanted = Store(runtime.store), probes.parse(runtime.probe)
    measured = [identity.key(cell) for cell in many if cell.seed not in unprobed]
    probes.ready(store, measured or map(identity.key, many), wanted)
    follower.check(runtime.tracker)
    chosen = Launcher(launcher) if isinstance(launcher, str) else launcher
    if chosen is not None:
        launchers.check(chosen.name)
    again = wanted if runtime.keep == "delta" else ()
    todo = _todo(store, by_seed(many), rerun, again, unprobed)
    seen = {key: worker.tried(store, key) for key in todo}
    # What another process ended meanwhile is not seen and not ours.
    todo = _todo(store, list(todo.values()), rerun, again, unprobed)
    if not todo:
        if not store.read_only:
            lease.clear(store.leases, map(identity.key, many))
        requested_grids.note(store, requested_grids.of(name, many))
        print(f"nothing left to do: {summary(store, many)}")
        return _probed(store, many, measured, wanted, runtime, None if deadline_s is None else time.time() + deadline_s)
    store.check_writable()
    parent_order.check(todo.values(), runtime.keep)
    parallel = any(cell.recipe.parallel != "none" for cell in todo.values())
    plan = launch.plan(chosen, jobs, runtime, len(todo), parallel)
    _preflight(list(todo.values()), "auto" if plan.elsewhere else runtime.device, check)
    _register(store, todo)
    requested_grids.note(store, requested_grids.of(name, many))
    deadline = None if deadline_s is None else time.time() + deadline_s
    tally = progress.Tally(store, todo, seen)
    print(_announce(todo, many, store, deadline_s))
    setup = _setup(store, todo, plan, deadline, probes.entry(entry, wanted))
    try:
        with _interruptible(), progress.shown(tally), follower.following(runtime.tracker, store, todo, seen):
            for keys in parent_order.waves(todo):
                launch.drain(store, keys, seen, setup, plan)
    except KeyboardInterrupt:
        compose.shut_down()
        _close(store, todo)
        print(f"interrupted: {summary(store, many)}. The same command goes on from here.", file=sys.stderr)
        if plan.fields.get("outlives"):
            print(f"jobs that launcher={plan.name} has taken run on; end them with its own tools.", file=sys.stderr)
        return 130
    _let_go(store, [key for key in todo if worker.tried(store, key) != seen[key]])
    lease.clear(store.leases, todo)
    print(summary(store, many))
    if deadline is not None and time.time() >= deadline and exit_code(store, many) == 130:
        print("stopped by the deadline; the same command goes on from here.")
    return _probed(store, many, measured, wanted, runtime, deadline)


def _let_go(store: Store, keys: Sequence[str]) -> None:
    """Wait until nobody holds these: a result is there a moment before the process that made it lets go of the cell."""
    until = time.time() + LET_GO_S
    while time.time() < until and any(store.is_running(key) for key in keys):
        time.sleep(0.05)


def exit_code(store: Store, many: Sequence[Cell]) -> int:
    """0: every cell done or oom; 1: some failed, diverged, timed out or are blocked; 130: some did not get to run."""
    found = {store.status(identity.key(cell)) for cell in many}
    if found & {"failed", "diverged", "timeout", "blocked"}:
        return 1
    return 130 if found & {"interrupted", "missing", "running"} else 0


def _probed(
    store: Store, many: Sequence[Cell], keys: Sequence[str], wanted: Sequence[str], runtime: Runtime,
    deadline: float | None,
) -> int:  # fmt: skip
    """Take the probes asked for of the cells `keys`, one at a time; the exit code."""
    failed = probes.drain(store, keys, wanted, runtime, deadline)
    return exit_code(store, many) or int(failed > 0)


def summary(store: Store, many: Sequence[Cell]) -> str:
    """ "54 cells: 53 done, 1 failed; 2 are stale"."""
    keys = [identity.key(cell) for cell in many]
    counts = Counter(store.status(key) for key in keys)
    told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    stale = sum(is_stale(store, key) for key in keys)
    told += f"; {stale} stale (rerun=stale runs them again)" if stale else ""
    return f"{len(many)} cell{'s' if len(many) != 1 else ''}: {told}"


def _todo(
    store: Store, many: Sequence[Cell], rerun: Sequence[str], probed: Sequence[str], unprobed: Collection[int] = ()
) -> dict[str, Cell]:
    """Cells without a result, those with a status that shall be tried again, and those that a probe takes inside."""
    for word in rerun:
        if word not in RERUN:
            raise UsageError(f"rerun={word}: it must be one of {', '.join(RERUN)}.")
    todo = {}
    for cell in many:
        key = identity.key(cell)
        status = store.status(key)
        again = status in rerun or ("stale" in rerun and is_stale(store, key))
        inside = probed if cell.seed not in unprobed else ()
        if status not in FINAL or again or (inside and probes.unkept(store, key, cell, inside)):
            todo[key] = cell
    return todo


def is_stale(store: Store, key: str) -> bool:
    """Done, but by other code than today's."""
    found = store.summary(key)
    return found is not None and fingerprint.is_stale(found)


def _preflight(todo: Sequence[Cell], device: str, check: str) -> None:
    """Attach every distinct method x model once, in one child: a bad target costs no training. And look for label words
    where they must be in the vocabulary."""
    attached = [(cell.method, cell.model, cell.objective) for cell in todo]
    read = [(cell.model, cell.objective, cell.task) for cell in todo if cell.objective in BY_VOCABULARY]
    pairs = list({repr(pair): pair for pair in [*attached, *read]}.values())
    modules = forkserver.preload(cell.model.family for cell in todo)
    messages = forkserver.call(check, (pairs, device), modules)
    wrong = list(dict.fromkeys(message for message in messages if message))
    if wrong:
        raise UsageError("; ".join(wrong[:5]))


def _register(store: Store, todo: Mapping[str, Cell]) -> None:
    try:
        for cell in todo.values():
            store.register(cell)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise UsageError(f"store={store.path}: it cannot be written ({error.strerror}{where}).") from error


def _setup(
    store: Store, todo: Mapping[str, Cell], plan: launch.Plan, deadline: float | None, entry: str
) -> worker.Setup:
    modules = forkserver.preload(cell.model.family for cell in todo.values())
    there = replace(plan.runtime, store=str(store.path.resolve()))
    outlives = bool(plan.fields.get("outlives"))
    return worker.Setup(there, modules, entry, deadline, devices=plan.leased, gpus=plan.gpus, outlives=outlives)


def _announce(todo: Mapping[str, Cell], many: Sequence[Cell], store: Store, deadline_s: float | None) -> str:
    limit = f", none starts after {progress.clock(deadline_s)}" if deadline_s is not None else ""
    return f"{len(todo)} of {len(many)} cells to run, store {store.path}{limit}"


@contextmanager
def _interruptible() -> Iterator[None]:
    """A polite request to end (SIGTERM) is an interruption, like Ctrl-C."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _close(store: Store, todo: Mapping[str, Cell]) -> None:
    """After an interruption: workers that were killed left attempts without a record; close them."""
    patience = time.monotonic() + 5
    for key, cell in todo.items():
        while store.unfinished(key) and time.monotonic() < patience:
            held = lease.acquire(store.leases, key)
            if held is None:
                time.sleep(0.1)
                continue
            worker.close_unfinished(store, key, cell)
            held.release()
