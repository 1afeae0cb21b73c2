"""Drain a list of cells: what is left to do goes to a launcher, what came of it is read from the store. Torch-free."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness import cell as cells
from harness import compose, fingerprint, isolate, lease, options, parents, progress, worker
from harness.config import Cell, Runtime
from harness.errors import UsageError
from harness.grid import by_seed
from harness.store import FINAL, STATUSES, Store

PREFLIGHT = "harness.preflight:preflight"
WAIT_S = 2.0
RERUN = (*STATUSES, "stale")


def drain(
    many: Sequence[Cell],
    runtime: Runtime,
    launcher: str | None = None,
    jobs: int | None = None,
    deadline_s: float | None = None,
    rerun: Sequence[str] = (),
    entry: str = worker.ENTRY,
    check: str = PREFLIGHT,
) -> int:
    """Run every cell that has no result yet, seed by seed; the exit code (see `exit_code`).

    Safe to call again, and from several processes at once: that is how a sweep is resumed and shared.
    launcher: a name of conf/hydra/launcher; None chooses by the number of cells and cores. jobs: cells at once.
    deadline_s: seconds after which no further cell starts. rerun: statuses (or "stale") to try once more.
    """
    store = Store(runtime.store)
    if launcher is not None:
        options.match("launcher", launcher)
    todo = _todo(store, by_seed(many), rerun)
    if not todo:
        print(f"nothing left to do: {summary(store, many)}")
        return exit_code(store, many)
    store.check_writable()
    parents.check(todo.values(), runtime.keep)
    _preflight(list(todo.values()), runtime.device, check)
    seen = {key: worker.tried(store, key) for key in todo}
    _register(store, todo)
    deadline = None if deadline_s is None else time.time() + deadline_s
    tally = progress.Tally(store, todo, seen)
    print(_announce(todo, many, store, deadline_s))
    setup = _setup(store, todo, runtime, deadline, entry)
    try:
        with _interruptible(), progress.shown(tally):
            for wave in parents.waves(todo):
                while left := [key for key in wave if worker.tried(store, key) == seen[key]]:
                    _launch([(key, seen[key]) for key in left], setup, launcher, jobs)
                    if not _wait_for_others(store, left, seen, deadline):
                        break
    except KeyboardInterrupt:
        _close(store, todo)
        print(f"interrupted: {summary(store, many)}. The same command goes on from here.", file=sys.stderr)
        return 130
    print(summary(store, many))
    if deadline is not None and time.time() >= deadline and exit_code(store, many) == 130:
        print("stopped by the deadline; the same command goes on from here.")
    return exit_code(store, many)


def exit_code(store: Store, many: Sequence[Cell]) -> int:
    """0: every cell done or oom; 1: some failed, diverged, timed out or are blocked; 130: some did not get to run."""
    found = {store.status(cells.key(cell)) for cell in many}
    if found & {"failed", "diverged", "timeout", "blocked"}:
        return 1
    return 130 if found & {"interrupted", "missing", "running"} else 0


def summary(store: Store, many: Sequence[Cell]) -> str:
    """ "54 cells: 53 done, 1 failed; 2 are stale"."""
    keys = [cells.key(cell) for cell in many]
    counts = Counter(store.status(key) for key in keys)
    told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    stale = sum(is_stale(store, key) for key in keys)
    told += f"; {stale} stale (rerun=stale runs them again)" if stale else ""
    return f"{len(many)} cell{'s' if len(many) != 1 else ''}: {told}"


def slots(runtime: Runtime) -> int:
    """How many cells at once: one per core's worth of threads; on a machine with a GPU one."""
    if runtime.device != "cpu" and Path("/dev/nvidiactl").exists():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // runtime.threads)


def _todo(store: Store, many: Sequence[Cell], rerun: Sequence[str]) -> dict[str, Cell]:
    """Cells without a result, and those with a status that shall be tried again."""
    for word in rerun:
        if word not in RERUN:
            raise UsageError(f"rerun={word}: it must be one of {', '.join(RERUN)}.")
    todo = {}
    for cell in many:
        key = cells.key(cell)
        status = store.status(key)
        if status not in FINAL or status in rerun or ("stale" in rerun and is_stale(store, key)):
            todo[key] = cell
    return todo


def is_stale(store: Store, key: str) -> bool:
    """Done, but by other code than today's."""
    found = store.summary(key)
    return found is not None and fingerprint.is_stale(found)


def _preflight(todo: Sequence[Cell], device: str, check: str) -> None:
    """Attach every distinct method x model once, in one child: a bad target costs no training."""
    pairs = list({repr(pair): pair for cell in todo for pair in [(cell.method, cell.model, cell.objective)]}.values())
    modules = isolate.preload(cell.model.family for cell in todo)
    messages = isolate.call(check, (pairs, device), modules)
    wrong = list(dict.fromkeys(message for message in messages if message))
    if wrong:
        raise UsageError("; ".join(wrong[:5]))


def _register(store: Store, todo: Mapping[str, Cell]) -> None:
    try:
        for cell in todo.values():
            store.register(cell)
    except OSError as error:
        raise UsageError(f"store={store.path}: it cannot be written ({error.strerror}).") from error


def _setup(
    store: Store, todo: Mapping[str, Cell], runtime: Runtime, deadline: float | None, entry: str
) -> worker.Setup:
    modules = isolate.preload(cell.model.family for cell in todo.values())
    there = replace(runtime, store=str(store.path.resolve()))
    return worker.Setup(runtime=there, modules=modules, entry=entry, deadline=deadline)


def _launch(left: Sequence[tuple[str, int]], setup: worker.Setup, launcher: str | None, jobs: int | None) -> None:
    """One pass over (key, attempt seen) through a launcher; what came of it is in the store."""
    at_once = min(jobs or slots(setup.runtime), len(left))
    name = launcher or ("joblib" if at_once > 1 else "basic")
    settings = {"n_jobs": at_once} if name == "joblib" else {}
    lists = [[f"key={key}", f"seen={seen}"] for key, seen in left]
    for error in compose.launch(name, settings, lists, partial(worker.job, setup=setup)):
        print(f"a worker stopped: {type(error).__name__}: {error}", file=sys.stderr)


def _wait_for_others(store: Store, keys: Sequence[str], seen: Mapping[str, int], deadline: float | None) -> bool:
    """Wait for cells that other processes hold. True when another pass has something to do."""
    waited = False
    while deadline is None or time.time() < deadline:
        left = [key for key in keys if worker.tried(store, key) == seen[key]]
        if not any(store.is_running(key) for key in left):
            return bool(left) and (waited or len(left) < len(keys))
        if not waited:
            print(f"waiting for {len(left)} cells that another process runs", file=sys.stderr)
        waited = True
        time.sleep(WAIT_S)
    return False


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
