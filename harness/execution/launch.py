"""Hand cells to a launcher, and notice when it loses them; what came of a cell is in the store. Torch-free."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.config import compose, launchers
from harness.config.launchers import Launcher
from harness.config.schema import Runtime
from harness.errors import UsageError
from harness.execution import worker
from harness.processes import forkserver, gpu_leases
from harness.store.store import Store

LOST = 3
"""Passes in a row that lose workers and end no cell, after which a sweep gives up."""
USUAL = "joblib"
BATCH = 40
"""Jobs for each worker that are handed over together: Hydra keeps the configuration of each (some 90 KB) until all of
them have ended, and at the end of each batch workers wait for the last cell."""
_LAPTOP = ("auto", "cuda")
"""Devices of which a cell may be given any; cuda:1 is a person's own choice."""


@dataclass(frozen=True)
class Plan:
    """How this sweep's cells are handed over.

    name: None takes `USUAL`, or `basic` for one cell at a time. fields: of the launcher's YAML, settled. at_once: jobs.
    runtime: the cells', with their threads. leased: the devices to lease, each cell `gpus` of them.
    """

    name: str | None
    fields: Mapping[str, Any]
    at_once: int
    runtime: Runtime
    leased: tuple[str, ...] = ()
    gpus: float = 1.0

    @property
    def elsewhere(self) -> bool:
        """Whether cells may run on other machines, whose devices this one does not see."""
        return bool(self.fields.get("outlives")) or self.fields.get("address") not in (None, compose.LOCAL)


def plan(launcher: Launcher | None, jobs: int | None, runtime: Runtime, cells: int, parallel: bool = False) -> Plan:
    """For so many cells; parallel: each wants several devices, if nothing is said all there are.

    UsageError for a launcher that is not there, and for fields that cannot be.
    """
    chosen = launcher or Launcher(USUAL)
    launchers.check(chosen.name)
    fields = compose.launcher(chosen)
    made = Plan(launcher.name if launcher else None, fields, 1, runtime)
    here = () if made.elsewhere or runtime.device not in _LAPTOP else gpu_leases.found()
    gpus = fields.get("gpus")
    if gpus is None:
        gpus = float(bool(here) or (made.elsewhere and runtime.device != "cpu"))
        gpus *= (runtime.processes or len(here) or 1) if parallel else 1
    elif not made.elsewhere and runtime.device in _LAPTOP:
        gpu_leases.check(here, gpus)
    one_by_one = chosen.name == "basic"
    wanted = 1 if one_by_one else fields.get("jobs") or jobs or _slots(runtime, here, gpus)
    at_once = max(1, min(wanted, -(-cells // fields.get("cells", 1))))
    leased = here if fields.get("devices", "leased") == "leased" else ()
    settled = {**fields, "gpus": int(gpus) if gpus == int(gpus) else gpus}
    return replace(made, fields=settled, at_once=at_once, runtime=_threads(made, at_once), leased=leased, gpus=gpus)


def slots(runtime: Runtime) -> int:
    """How many cells at once by default: one per GPU where there are any, else one per core's worth of threads."""
    return _slots(runtime, gpu_leases.found() if runtime.device in _LAPTOP else (), 1.0)


def hand_over(left: Sequence[tuple[str, int]], setup: worker.Setup, made: Plan, apart: bool = False) -> list[Exception]:
    """One pass over (key, attempt seen): what was lost on the way. A failed cell is no loss, it has a record.

    apart: one after the other, each with workers of its own, so that one which ends its worker ends no other's.
    """
    lost: list[Exception] = []
    at_once = 2 if apart else min(made.at_once, len(left))  # with one at once joblib would take this process
    name = made.name or (USUAL if at_once > 1 else "basic")
    threads = made.runtime.threads
    cpus = made.fields.get("cpus") or threads * (made.runtime.processes or 1)
    own = {
        "jobs": at_once,
        "cpus": cpus,
        "cores": None if made.elsewhere else at_once * cpus,
        "folder": str(Path(setup.runtime.store) / "launcher" / "%j"),
    }
    every = list(_jobs(left, made.fields.get("cells", 1)))
    if name == USUAL:
        leash(setup.driver)
    if made.fields.get("drains") and not apart:
        every = list(_jobs(left, len(left))) * at_once
    batch = made.fields.get("batch") or (len(every) if made.elsewhere else BATCH * at_once)
    for jobs in _parts(every, 1 if apart else batch):
        try:
            lost += compose.launch(name, {**made.fields, **own}, jobs, partial(worker.job, setup=setup))
        except SystemExit as error:  # how a driver of Ray answers a polite request to end
            raise KeyboardInterrupt from error
        except UsageError:
            raise
        except Exception as error:  # each launcher has its own way to say that a worker is gone
            lost.append(error)
    return lost


def leash(driver: forkserver.Driver) -> None:
    """joblib's workers end with their driver from their own start on, not from their first job.

    A driver that is killed while it hands a job over leaves a worker that waits for the rest of it for ever; others
    wait five minutes for a next one.
    """
    import joblib
    from joblib.parallel import LokyBackend

    joblib.register_parallel_backend("loky", partial(LokyBackend, initializer=forkserver.end_with, initargs=(driver,)))


def tell(lost: Sequence[Exception]) -> None:
    """One line for each kind of loss."""
    for text in dict.fromkeys(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}" for error in lost):
        print(f"a worker was lost: {text}", file=sys.stderr)


def pause(losses: int) -> None:
    """Before the cells of lost workers are handed over again: longer each time."""
    time.sleep(min(2.0**losses, 30.0))


def _slots(runtime: Runtime, here: Sequence[str], gpus: float) -> int:
    if here and gpus:
        return max(1, gpu_leases.at_once(here, gpus))
    if runtime.device != "cpu" and Path("/dev/nvidiactl").exists():  # a GPU that NVML does not tell of
        return 1
    return max(1, _cores() // (runtime.threads * (runtime.processes or 1)))


def _threads(made: Plan, at_once: int) -> Runtime:
    """No more threads than a cell has cores."""
    cores = made.fields.get("cpus") or (None if made.elsewhere else max(1, _cores() // at_once))
    cores = cores and max(1, cores // (made.runtime.processes or 1))
    if cores is None or made.runtime.threads <= cores:
        return made.runtime
    print(f"threads={made.runtime.threads}: {cores} for each cell, as there are no more cores for it")
    return replace(made.runtime, threads=cores)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _jobs(left: Sequence[tuple[str, int]], cells: int) -> Iterator[list[str]]:
    """Override lists, each of one job."""
    for some in _parts(left, cells):
        keys, seen = zip(*some, strict=True)
        yield [f"key=[{','.join(keys)}]", f"seen=[{','.join(map(str, seen))}]"]


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


WAIT_S = 2.0


def drain(store: Store, keys: Sequence[str], seen: Mapping[str, int], setup: worker.Setup, plan: Plan) -> None:
    """Cells that may run side by side, pass after pass; those of lost workers are handed over again, at last apart."""
    losses, apart = 0, False
    while left := [key for key in keys if worker.tried(store, key) == seen[key]]:
        apart = apart or losses == LOST - 1
        lost = hand_over([(key, seen[key]) for key in left], setup, plan, apart)
        tell(lost)
        ended = any(worker.tried(store, key) != seen[key] for key in left)
        losses = losses + 1 if lost and not ended else int(bool(lost))
        if losses == LOST:
            _give_up(store, left, lost)
            return
        if lost:
            pause(losses)
        elif not _wait_for_others(store, left, seen, setup.deadline):
            return


def _give_up(store: Store, left: Sequence[str], lost: Sequence[Exception]) -> None:
    """UsageError where not one cell has even begun: then it is not a cell that ends its worker."""
    if not any(store.unfinished(key) or store.summary(key) for key in left):
        raise UsageError(f"the launcher starts no cell: {' '.join(str(lost[-1]).split())[:500]}")
    print(f"gave up: workers were lost {LOST} times in a row and no cell ended", file=sys.stderr)


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
