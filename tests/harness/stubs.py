"""Runs that stand in for training: what a cell's own code may do to the process it runs in."""

import ctypes
import errno
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.config.schema import Cell, Runtime
from harness.errors import UsageError
from harness.processes import child
from harness.store.attempt_folder import AttemptFolder


class Diverging(RuntimeError):
    status = "diverged"
    step = 7
    rule = "a rule"


def run(cell: Cell, runtime: Runtime, folder: AttemptFolder) -> dict[str, Any]:
    """What happens is the name of the cell's method."""
    with (Path(cell.task.data_dir or ".") / "runs.txt").open("a") as file:
        file.write(f"{cell.method.name}-{cell.seed}\n")
    folder.append("curve.jsonl", {"step": 0, "train_loss": float("nan"), "scores": {"validation": 0.5}})
    print("a word before the end")
    return globals()[cell.method.name](cell)


def run_all(
    cells: Sequence[Cell], runtime: Runtime, folders: Sequence[AttemptFolder]
) -> Iterator[tuple[AttemptFolder, dict[str, Any] | Exception]]:
    """What happens to cells in one process is the name of their method."""
    with (Path(cells[0].task.data_dir or ".") / "runs.txt").open("a") as file:
        file.write(f"{len(cells)}:{cells[0].method.name}-{cells[0].seed}\n")
    for cell, folder in zip(cells, folders, strict=True):
        if cell.method.name == "slow_together":
            time.sleep(600)
        try:
            yield folder, globals()[cell.method.name](cell)
        except Exception as error:
            yield folder, error


def slow_together(cell: Cell) -> dict[str, Any]:
    """Good, but `run_all` never ends."""
    return good(cell)


def good(cell: Cell) -> dict[str, Any]:
    scores = {"step": 0, "sets": {"test": {"accuracy": 0.5, "n": 2}}}
    return {"scores": {"best": scores, "last": scores}, "time": {"train_s": 0.5}}


def nap(cell: Cell) -> dict[str, Any]:
    time.sleep(0.3)
    return good(cell)


def error(cell: Cell) -> dict[str, Any]:
    raise ValueError("a fault of the cell")


def diverge(cell: Cell) -> dict[str, Any]:
    raise Diverging("no number")


def memory(cell: Cell) -> dict[str, Any]:
    raise MemoryError


def die(cell: Cell) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def leave(cell: Cell) -> dict[str, Any]:
    os._exit(3)


def crash(cell: Cell) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def hang(cell: Cell) -> dict[str, Any]:
    time.sleep(600)
    return {}


def stuck(cell: Cell) -> dict[str, Any]:
    """In native code that never lets another thread of Python run."""
    while ctypes.PyDLL(None).sleep(600):  # a signal ends it early
        pass
    return {}


def unwritable(cell: Cell) -> dict[str, Any]:
    return {"scores": {"best": object()}}


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__(lambda: None)


class Mute(Exception):
    """Cannot be told, asked, or changed."""

    __cause__ = property(lambda self: 1 / 0)  # type: ignore[assignment]
    status = property(lambda self: 1 / 0)

    def __str__(self) -> str:
        raise ValueError("no")

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("no")


def mute(cell: Cell) -> dict[str, Any]:
    raise Mute


def quit(cell: Cell) -> dict[str, Any]:
    raise SystemExit(3)


def interrupt(cell: Cell) -> dict[str, Any]:
    raise KeyboardInterrupt


def disk(cell: Cell) -> dict[str, Any]:
    raise OSError(errno.EIO, "Input/output error")


def absent(cell: Cell) -> dict[str, Any]:
    raise FileNotFoundError(errno.ENOENT, "No such file or directory", "data.jsonl")


def card(cell: Cell) -> dict[str, Any]:
    try:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    except RuntimeError as error:
        raise ValueError("the step failed") from error


def wrong_value(cell: Cell) -> dict[str, Any]:
    raise UsageError("method.rank=0: it must be at least 1.")


def odd_signal(cell: Cell) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGRTMIN + 1)
    return {}


def thread(cell: Cell) -> dict[str, Any]:
    """Done, but a thread of its own would keep the process for ever."""
    child.LINGER_S = 0.5
    threading.Thread(target=time.sleep, args=(600,)).start()
    return good(cell)


def second(cell: Cell) -> dict[str, Any]:
    """Killed the first time only."""
    mark = Path(cell.task.data_dir or ".") / f"second-{cell.seed}"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return good(cell)


def cut_off(cell: Cell, runtime: Runtime, folder: AttemptFolder) -> dict[str, Any]:
    """A real run; in the first attempt its process is killed in step 6."""
    from harness import run
    from harness.training import fit

    take = fit.take

    def until(step: fit.Step) -> float:
        loss = take(step)
        if (step.number, folder.number) == (6, 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    fit.take = until
    return run.run(cell, runtime, folder)


def once(mark: str) -> int:
    """Killed the first time only."""
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 7


def never() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def unpicklable(cell: Cell) -> dict[str, Any]:
    raise Unpicklable


def fine(pairs: list[Any], device: str) -> list[str | None]:
    return [None, *(None for _ in pairs)]


def wrong(pairs: list[Any], device: str) -> list[str | None]:
    return [None, *("a pattern matches nothing" for _ in pairs)]


def refuse(pairs: list[Any], device: str) -> list[str | None]:
    raise UsageError("a sentence")


def frozen() -> int:
    """Return the number of objects that this process's garbage collector leaves alone."""
    return gc.get_freeze_count()


def threads() -> int:
    """Threads of the server that this process was forked from (Linux)."""
    return len(os.listdir(f"/proc/{os.getppid()}/task"))


def device(cell: Cell) -> dict[str, Any]:
    """Says what it may see, and when."""
    started = time.monotonic()
    time.sleep(0.4)
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    with (Path(cell.task.data_dir or ".") / "devices.txt").open("a") as file:
        file.write(f"{seen} {started} {time.monotonic()}\n")
    return good(cell)


def murder(cell: Cell) -> dict[str, Any]:
    """The first time, its worker is killed."""
    done = Path(cell.task.data_dir or ".") / "murdered"
    if not done.exists():
        done.touch()
        parent = multiprocessing.parent_process()
        assert parent is not None
        assert parent.pid is not None
        os.kill(parent.pid, signal.SIGKILL)
        time.sleep(600)
    return good(cell)


def cursed(cell: Cell) -> dict[str, Any]:
    """Each time, its worker is killed."""
    (Path(cell.task.data_dir or ".") / "murdered").unlink(missing_ok=True)
    return murder(cell)


def preempted(cell: Cell) -> dict[str, Any]:
    """The first time, the scheduler wants its worker's machine for somebody else."""
    done = Path(cell.task.data_dir or ".") / "preempted"
    if not done.exists():
        done.touch()
        parent = multiprocessing.parent_process()
        assert parent is not None
        assert parent.pid is not None
        os.kill(parent.pid, signal.SIGUSR2)
        time.sleep(600)
    return good(cell)
