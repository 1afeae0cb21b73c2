"""Handing cells to a launcher, and detecting lost workers; the cells' results are in the store. Torch is
not imported.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from harness import environment, failure, formatting
from harness.config import compose, launchers
from harness.config.launchers import Launcher
from harness.config.schema import Runtime
from harness.errors import Halted, UsageError
from harness.execution import worker
from harness.execution.attempts import tried
from harness.execution.time_limit import Gate, TimeLimit
from harness.processes import forkserver, gpu_leases, termination
from harness.store.store import Store

LOST = 3
"""The number of consecutive passes that lose workers and end no cell after which a sweep gives up."""
USUAL = "joblib"
"""The launcher where none is named."""
_LAPTOP = ("auto", "cuda")
"""Devices that leave the choice of the GPU to the sweep; cuda:1 is a person's own choice."""


@dataclass(frozen=True)
class Plan:
    """The way in which a sweep's cells are handed over.

    - name: the launcher; None means `USUAL`, or `basic` for one cell at a time.
    - fields: those of the launcher's YAML, settled.
    - at_once: the number of jobs at once.
    - runtime: the cells' runtime, with their threads.
    - leased: the devices to lease, `gpus` of them for each cell.
    """

    name: str | None
    fields: Mapping[str, Any]
    at_once: int
    runtime: Runtime
    leased: tuple[str, ...] = ()
    gpus: float = 1.0

    @property
    def elsewhere(self) -> bool:
        """Return whether cells may run on other machines, whose devices this one does not see."""
        return bool(self.fields.get("outlives")) or self.fields.get("address") not in (None, compose.LOCAL)


def plan(launcher: Launcher | None, jobs: int | None, runtime: Runtime, cells: int, parallel: bool = False) -> Plan:
    """Return the plan for this number of cells.

    parallel: each cell uses several devices, by default all of them. Raises UsageError for a launcher that does not
    exist and for impossible fields.
    """
    chosen = launcher or Launcher(USUAL)
    launchers.check(chosen.name)
    fields = compose.launcher(chosen)
    draft = Plan(launcher.name if launcher else None, fields, 1, runtime)
    here = () if draft.elsewhere or runtime.device not in _LAPTOP else gpu_leases.usable()
    gpus = fields.get("gpus")
    if gpus is None:
        gpus = float(bool(here) or (draft.elsewhere and runtime.device != "cpu"))
        gpus *= (runtime.processes or len(here) or 1) if parallel else 1
    elif not draft.elsewhere and runtime.device in _LAPTOP:
        gpu_leases.check(here, gpus)
    one_by_one = chosen.name == "basic"
    wanted = 1 if one_by_one else fields.get("jobs") or jobs or _slots(runtime, here, gpus)
    at_once = max(1, min(wanted, -(-cells // fields.get("cells", 1))))
    leased = here if fields.get("devices", "leased") == "leased" else ()
    settled = {**fields, "gpus": int(gpus) if gpus == int(gpus) else gpus}
    return replace(draft, fields=settled, at_once=at_once, runtime=_threads(draft, at_once), leased=leased, gpus=gpus)


def slots(runtime: Runtime) -> int:
    """Return the default number of cells at once: one per GPU if there are any, else one per group of
    `threads` cores.
    """
    return _slots(runtime, gpu_leases.usable() if runtime.device in _LAPTOP else (), 1.0)


def hand_over(
    pending: Sequence[tuple[str, int]], setup: worker.Setup, plan: Plan, apart: bool = False
) -> list[Exception]:
    """Run one pass over (key, attempt seen), and return the errors of lost workers. A failed cell is no loss: it has a
    record.

    On this machine each job works through all cells that no other job has begun, so a launcher takes as many jobs as
    run at once, and its work for each (some 70 ms and 90 KB of the driver) does not grow with the cells.

    apart: cells run one after the other, each with workers of its own, so that a cell that ends its worker ends no
    other.
    """
    lost: list[Exception] = []
    if setup.limit is not None and setup.limit.over():  # to start workers takes seconds
        return lost
    # With one job at once joblib would run it in this process.
    at_once = 2 if apart else min(plan.at_once, len(pending))
    name, settled = _settled(plan, at_once, Path(setup.runtime.store))
    if name == USUAL:
        leash(setup.driver)
    if not plan.elsewhere and not apart:
        store = Store(setup.runtime.store)
        jobs: list[list[str]] = [[]] * at_once
        waiting = [worker.Pending(key, seen, max(store.numbers(key), default=0)) for key, seen in pending]
        return _launch(name, settled, jobs, partial(worker.job, setup=setup, pending=waiting))
    for some in _batches(pending, plan, apart):
        if setup.limit is not None and setup.limit.over():
            break
        lost += _launch(name, settled, some, partial(worker.job, setup=setup))
    return lost


def first_batch(plan: Plan, pending: Sequence[tuple[str, int]], folder: Path) -> list[Exception]:
    """Hand the first batch of jobs over, with the launcher's files in `folder`; return the errors."""
    at_once = min(plan.at_once, len(pending))
    name, settled = _settled(plan, at_once, folder)
    return _launch(name, settled, next(_batches(pending, plan)), print)


def refuse(lost: Sequence[Exception]) -> NoReturn:
    """Raise the UsageError of a launcher that starts nothing."""
    raise UsageError(f"the launcher starts no cell: {' '.join(str(lost[-1]).split())[:500] if lost else 'no reason'}")


def _settled(plan: Plan, at_once: int, folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the launcher's name and all values that its YAML may refer to."""
    cpus = plan.fields.get("cpus") or plan.runtime.threads * (plan.runtime.processes or 1)
    extra = {
        "jobs": at_once,
        "cpus": cpus,
        "cores": None if plan.elsewhere else at_once * cpus,
        "folder": str(folder / "launcher" / "%j"),
    }
    return plan.name or (USUAL if at_once > 1 else "basic"), {**plan.fields, **extra}


def _batches(pending: Sequence[tuple[str, int]], plan: Plan, apart: bool = False) -> Iterator[Sequence[list[str]]]:
    """Yield the jobs (override lists) that are handed over together."""
    jobs = list(_jobs(pending, plan.fields.get("cells", 1)))
    yield from _parts(jobs, 1 if apart else plan.fields.get("batch") or len(jobs))


def _launch(
    name: str, settled: Mapping[str, Any], jobs: Sequence[Sequence[str]], task: Callable[..., Any]
) -> list[Exception]:
    """Run one batch of jobs, and return the errors of lost workers."""
    try:
        return compose.launch(name, settled, jobs, task)
    except SystemExit as error:  # Ray's driver raises it on SIGTERM
        raise KeyboardInterrupt from error
    except UsageError:
        raise
    except Exception as error:  # each launcher has its own error for a lost worker
        return [error]


def leash(driver: forkserver.Driver) -> None:
    """End joblib's workers with their driver from their own start on, not only from their first job.

    Their tracker of shared memory, which ends with them, outlives the signals of a terminal: another one would be
    started in its place, which knows nothing of what is to be removed. A driver that is killed while it hands a job
    over leaves a worker that waits for the rest of it for ever. Other workers wait five minutes for the next job.
    """
    import joblib
    from joblib.externals.loky.backend import resource_tracker
    from joblib.parallel import LokyBackend

    with termination.children_ignoring_terminal(), environment.variables(compose.SAFE_PATH):
        resource_tracker.ensure_running()
    joblib.register_parallel_backend("loky", partial(LokyBackend, initializer=forkserver.end_with, initargs=(driver,)))


def tell(lost: Sequence[Exception]) -> None:
    """Print one line for each kind of loss."""
    for text in dict.fromkeys(map(_ending, lost)):
        print(text, file=sys.stderr)


def _ending(error: Exception) -> str:
    """Return what ended a job: its worker's end, or a disk that the worker could not read or write."""
    what = "the disk failed" if failure.is_disk_error(error) else "a worker process ended unexpectedly"
    return f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def pause(losses: int) -> None:
    """Wait before the cells of lost workers are handed over again, longer each time."""
    time.sleep(min(2.0**losses, 30.0))


def _slots(runtime: Runtime, here: Sequence[str], gpus: float) -> int:
    """Return the number of cells at once on these devices or, without any, on this machine's cores."""
    if here and gpus:
        return max(1, gpu_leases.at_once(here, gpus))
    if runtime.device != "cpu" and Path("/dev/nvidiactl").exists():  # a GPU that NVML does not list
        return 1
    return max(1, _cores() // (runtime.threads * (runtime.processes or 1)))


def _threads(made: Plan, at_once: int) -> Runtime:
    """Return the runtime with no more threads than a cell has cores."""
    cores = made.fields.get("cpus") or (None if made.elsewhere else max(1, _cores() // at_once))
    cores = cores and max(1, cores // (made.runtime.processes or 1))
    if cores is None or made.runtime.threads <= cores:
        return made.runtime
    print(f"threads={made.runtime.threads}: {cores} for each cell, as there are no more cores for it")
    return replace(made.runtime, threads=cores)


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _jobs(pending: Sequence[tuple[str, int]], cells: int) -> Iterator[list[str]]:
    """Yield override lists, each of one job."""
    for some in _parts(pending, cells):
        keys, seen = zip(*some, strict=True)
        yield [f"key=[{','.join(keys)}]", f"seen=[{','.join(map(str, seen))}]"]


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield consecutive slices of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


WAIT_S = 2.0


def run_pending(store: Store, keys: Sequence[str], seen: Mapping[str, int], setup: worker.Setup, plan: Plan) -> None:
    """Run cells that may run side by side, pass after pass, until none is left.

    The cells of lost workers are handed over again, in the last pass one by one. Raises Halted where no pass ends a
    cell any more, and where a disk is full.
    """
    losses, apart = 0, False
    while pending := _pending(store, keys, seen, setup.limit):
        apart = apart or losses == LOST - 1
        lost = hand_over([(key, seen[key]) for key in pending], setup, plan, apart)
        setup = replace(setup, begun=None)
        _check_room(store, lost)
        tell(lost)
        ended = any(tried(store, key) != seen[key] for key in pending)
        losses = losses + 1 if lost and not ended else int(bool(lost))
        if losses == LOST:
            _give_up(store, pending, lost)
        if lost:
            pause(losses)
        elif not _wait_for_others(store, pending, seen, setup.limit):
            return


def _check_room(store: Store, lost: Sequence[Exception]) -> None:
    """Raise Halted where a worker could not write: another pass could not either."""
    for error in lost:
        code = failure.without_room(error)
        if code is not None:
            file = getattr(error, "filename", None)
            inside = file is None or Path(file).is_relative_to(store.path.resolve())
            place, at = (f"store={store.path}", f": {file}" if file else "") if inside else (file, "")
            raise Halted(
                f"{place}: it cannot be written ({os.strerror(code)}{at}). {failure.REMEDIES[code]}"
            ) from error


def _give_up(store: Store, pending: Sequence[str], lost: Sequence[Exception]) -> NoReturn:
    """Raise Halted. Raises UsageError where no cell has even begun: then the launcher is at fault."""
    if not any(store.unfinished(key) or store.summary(key) for key in pending):
        refuse(lost)
    raise Halted(f"no cell ended in {LOST} passes in a row, each of which lost workers. Mend what the lines above say")


def _pending(store: Store, keys: Sequence[str], seen: Mapping[str, int], limit: TimeLimit | None) -> list[str]:
    """Return the cells that nobody has tried since, and that may still begin."""
    gate = Gate(store, limit)
    return [key for key in keys if tried(store, key) == seen[key] and gate.opens(key, anew=False)]


def _wait_for_others(store: Store, keys: Sequence[str], seen: Mapping[str, int], limit: TimeLimit | None) -> bool:
    """Wait for cells that other processes are running. Returns True when another pass has something to do."""
    waited = False
    while limit is None or not limit.over():
        pending = _pending(store, keys, seen, limit)
        if not any(store.is_running(key) for key in pending):
            return bool(pending) and (waited or len(pending) < len(keys))
        if not waited:
            cells = formatting.count(len(pending), "cell")
            print(f"waiting for {cells} that another process runs", file=sys.stderr)
        waited = True
        time.sleep(WAIT_S)
    return False
