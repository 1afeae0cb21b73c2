"""One cell in several processes, each with a device of its own and a share of every batch. Torch comes with the body.

The cell's process is the first; it forks the others before it touches a device, so all are in the cell's own process
group, share what is loaded, and end with it. Only the first one writes to the attempt's folder.
"""

import multiprocessing
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from harness import failure
from harness.config.schema import Cell, Runtime
from harness.environment import STOP_AT
from harness.files import atomic_files, plain_files
from harness.processes import child, gpu_leases, temporary_folders
from harness.store.attempt_folder import CHECKPOINT, AttemptFolder

PATIENCE_S = 20.0
"""After the death of one process, for the others to notice by themselves."""
Body = Callable[[Cell, Runtime, AttemptFolder], dict[str, Any]]


@dataclass(frozen=True)
class Team:
    """rank: 0 is the cell's own process. size: how many there are."""

    rank: int = 0
    size: int = 1


_mine = Team()


class Lost(RuntimeError):
    """Another process of the cell failed; `status` is what its error makes of the cell."""

    def __init__(self, rank: int, error_fields: dict[str, Any]) -> None:
        super().__init__(f"process {rank} of the cell: {error_fields.get('type')}: {error_fields.get('message')}")
        self.status = str(error_fields.get("status", "failed"))


def mine() -> Team:
    """Return this process's place in the group; it is alone outside of `spread`."""
    return _mine


def size(runtime: Runtime) -> int:
    """Return the number of processes: as requested, else one per device that this process may see. Touch no device."""
    if runtime.processes:
        return runtime.processes
    return max(1, len(gpu_leases.usable())) if runtime.device in ("auto", "cuda") else 1


def spread(body: Body, cell: Cell, runtime: Runtime, folder: AttemptFolder) -> dict[str, Any]:
    """Run `body` in all processes of the cell. Return what the first of them returns, with their number in its notes.

    Raise Lost where the error of another process is the cause.
    """
    count = size(runtime)
    cuda = runtime.device in ("auto", "cuda") and bool(gpu_leases.usable())
    with temporary_folders.folder() as place:
        context = multiprocessing.get_context("fork")
        others = []
        for rank in range(1, count):
            aside = _aside(place, rank, folder)
            arguments = (Team(rank, count), place, cuda, body, cell, runtime, aside)
            others.append(context.Process(target=_other, args=arguments))
        for process in others:
            process.start()
        threading.Thread(target=_watch, args=(others,), daemon=True).start()
        try:
            result = _join(Team(0, count), place, cuda, body, cell, runtime, folder)
            for process in others:
                process.join()
            return {**result, "notes": {**result["notes"], "processes": count}}
        except Exception as error:
            _blame(place, others, error)
            raise
        finally:
            for process in others:
                process.kill()


def _aside(place: Path, rank: int, folder: AttemptFolder) -> AttemptFolder:
    """Return a folder into which another process writes what nobody reads. The cell's checkpoint is copied into it."""
    aside = AttemptFolder(place / str(rank))
    aside.path.mkdir()
    if (folder.path / CHECKPOINT).exists():
        shutil.copyfile(folder.path / CHECKPOINT, aside.path / CHECKPOINT)
    return aside


def _other(
    team: Team, place: Path, cuda: bool, body: Body, cell: Cell, runtime: Runtime, folder: AttemptFolder
) -> None:
    child.die_with_parent()
    os.environ.pop(STOP_AT, None)  # only the first process stops, at its own checkpoint, and ends the others
    target = place / f"{team.rank}.error"

    def reported(cell: Cell, runtime: Runtime, folder: AttemptFolder) -> dict[str, Any]:
        try:
            return body(cell, runtime, folder)
        except Exception as error:  # written before the group ends, and with it the others: theirs are later
            _report(error, target)
            raise

    try:
        _join(team, place, cuda, reported, cell, replace(runtime, checkpoint_minutes=0.0, checkpoint_steps=0), folder)
    except Exception as error:
        traceback.print_exc()
        if not target.exists():
            _report(error, target)
        os._exit(1)


def _report(error: Exception, target: Path) -> None:
    """Write an error for the first process, which reads it and ends the cell."""
    error_fields = failure.describe(error)
    atomic_files.write_json(target, {"status": failure.status(error_fields["kind"]), **error_fields})


def _join(
    team: Team, place: Path, cuda: bool, body: Body, cell: Cell, runtime: Runtime, folder: AttemptFolder
) -> dict[str, Any]:
    """Run the body as a member of the group, and return its result."""
    from torch import distributed

    global _mine
    _mine = team
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the processes are all on this machine
    store = distributed.FileStore(str(place / "group"), team.size)
    backend = "nccl" if cuda else "gloo"
    distributed.init_process_group(backend, store=store, rank=team.rank, world_size=team.size)
    try:
        return body(cell, replace(runtime, device=f"cuda:{team.rank}") if cuda else runtime, folder)
    finally:
        _mine = Team()
        distributed.destroy_process_group()


def _blame(place: Path, others: Sequence[BaseProcess], error: Exception) -> None:
    """Raise Lost where another process failed first: the error here only follows from that.

    Where a signal ended another process, the same signal ends this one, so that the worker sees which it was.
    """
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        time.sleep(0.05)
        for rank, process in enumerate(others, start=1):
            if process.exitcode is not None and process.exitcode < 0:
                print(f"process {rank} of the cell was ended by {signal.Signals(-process.exitcode).name}", flush=True)
                os.kill(os.getpid(), -process.exitcode)
    for path in sorted(place.glob("*.error"), key=lambda file: file.stat().st_mtime_ns):
        error_fields = plain_files.read_json(path)
        if error_fields.get("type") != type(error).__name__ or error_fields.get("message") != failure.message(error):
            raise Lost(int(path.stem), error_fields) from error
        return


def _watch(others: Sequence[BaseProcess]) -> None:
    """End the cell soon after another process died, because the group would wait for it for many minutes."""
    waiting: dict[Any, BaseProcess] = {process.sentinel: process for process in others}
    while waiting:
        for sentinel in wait(list(waiting)):
            if waiting.pop(sentinel).exitcode:
                time.sleep(PATIENCE_S)
                os._exit(1)
