"""New processes in milliseconds: children of a forkserver that has torch and transformers loaded.

Torch is not imported here.

Each child has its own memory peaks and CUDA context, and its death affects nothing else. The server must have one
thread when it forks, because a lock held by another thread would stay locked in the child for ever. So the numeric
libraries are set to one thread before they are imported, and the child sets its own number.
"""

import multiprocessing
import multiprocessing.context
import os
import platform
import re
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import psutil

from harness import environment, failure
from harness.errors import UsageError
from harness.files.plain_files import read_json
from harness.processes import child, temporary_folders, termination

PRELOAD = ("torch", "torch._dynamo", "transformers", "harness.run")
"""The imports of every cell; the model families of the cells at hand are added."""
LAST = "harness.processes.preload_last"
"""Imported after all of ours, because it stores their source."""
SERVER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONSAFEPATH": "1",  # the server is `python -c …`, so the current folder would come first on its path
    "PYTHONHASHSEED": "0",  # the order of a set of names must not differ from attempt to attempt
}
LEAST = 4
"""The least items of a part of a call that is spread over several children."""
_LOST_SERVER = (EOFError, ConnectionError, FileNotFoundError, ChildProcessError)
"""Errors at a start whose server dies in that moment, or whose socket was removed as an old temporary file."""


def start(target: Callable[..., None], arguments: tuple[Any, ...], modules: Sequence[str]) -> ForkServerProcess:
    """Run `target(*arguments)` in a new child; `modules` should be loaded already (see `preload`).

    The first call of a process starts the server (seconds); later ones take some 20 ms. Raises ChildProcessError where
    the server dies at its start twice.
    """
    context = multiprocessing.get_context("forkserver")
    for again in (True, False):
        try:
            begin(modules)
            with _shielded():
                process = context.Process(target=target, args=arguments)
                process.start()  # waits for the server's imports; Ctrl-C works here
            return process
        except _LOST_SERVER as error:
            _forget_server()
            if not again:
                reason = f"{type(error).__name__}: {error}"
                raise ChildProcessError(
                    f"the process that starts the cells ended as soon as it was started ({reason})"
                ) from error
    raise AssertionError("unreachable: the second try returns or raises")


def begin(modules: Sequence[str]) -> None:
    """Start the server without waiting for its imports, unless it runs already."""
    temporary_folders.prepare()
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))
    _leave_no_server()
    with _shielded(), _server_environment():
        forkserver.ensure_running()


def call(target: str, arguments: tuple[Any, ...], modules: Sequence[str]) -> Any:
    """Return the value (plain values) of `target` ("module:function") in a new child.

    A child that dies is replaced once. Raises UsageError as `target` does, RuntimeError for its other errors, and
    ChildProcessError where both children died.
    """
    [value] = call_each(target, [arguments], modules)
    return value


def call_each(target: str, each: Sequence[tuple[Any, ...]], modules: Sequence[str]) -> list[Any]:
    """Return what `call` returns for each of these arguments, with all children at the same time."""
    contents = _ask(target, each, modules)
    for place, content in enumerate(contents):
        if "exit_code" in content:
            [contents[place]] = _ask(target, [each[place]], modules)
    return [_value(target, content) for content in contents]


def call_in_parts(target: str, items: Sequence[Any], modules: Sequence[str]) -> list[Any]:
    """Return the results of `target(items)`, a list with one for each item, from a child for each core.

    A child gets every n-th item, because neighbours take about the same time. It gets at least LEAST of them: fewer are
    not worth a child of their own.
    """
    count = max(1, min(_cores(), len(items) // LEAST))
    results: list[Any] = [None] * len(items)
    parts = call_each(target, [(items[start::count],) for start in range(count)], modules)
    for start, part in enumerate(parts):
        results[start::count] = part
    return results


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _value(target: str, content: dict[str, Any]) -> Any:
    """Return the value of an answer, or raise its error."""
    if "exit_code" in content:
        raise ChildProcessError(f"{target.partition(':')[0]}: {content['message']}, and a second process did too")
    if "error" in content:
        kind = UsageError if content["type"] in ("UsageError", "NotApplicable") else RuntimeError
        raise kind(content["error"] if kind is UsageError else content["trace"])
    return content["value"]


def _ask(target: str, each: Sequence[tuple[Any, ...]], modules: Sequence[str]) -> list[dict[str, Any]]:
    """Return the answer of a child for each of these arguments, or a description of its death."""
    with temporary_folders.folder() as folder:
        answers = [folder / f"answer-{place}.json" for place in range(len(each))]
        processes: list[ForkServerProcess] = []
        try:
            for arguments, answer in zip(each, answers, strict=True):
                processes.append(start(child.call, (target, arguments, answer), modules))
            for process in processes:
                process.join()
        finally:
            for process in processes:
                kill(process)
        return [
            read_json(answer) if answer.is_file() else failure.death(process.exitcode)
            for answer, process in zip(answers, processes, strict=True)
        ]


def preload(families: Iterable[str]) -> tuple[str, ...]:
    """Return the modules that a server for cells of these model families imports before it serves; missing ones are
    skipped.
    """
    return (*PRELOAD, LAST, *(_module(family) for family in sorted(set(families))))


@dataclass(frozen=True)
class Driver:
    """A process, distinguished from a later one of the same id and from one on another machine."""

    host: str
    pid: int
    started: float

    @classmethod
    def here(cls) -> "Driver":
        """Return this process."""
        return cls(platform.node(), os.getpid(), psutil.Process().create_time())

    def is_me(self) -> bool:
        """Return whether this is the calling process."""
        return self.pid == os.getpid() and self == Driver.here()

    def lives(self) -> bool:
        """Return whether the process lives on this machine."""
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 2 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


@cache
def end_with(driver: Driver) -> None:
    """End this process when its driver on this machine has ended: a killed driver cannot end its workers.

    The driver may already have ended while this process starts.
    """
    if driver.host != platform.node():
        return

    def watch() -> None:
        while driver.lives():
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def kill(process: Any) -> None:
    """Kill a child (a process, or a host's copy) now, even when the server that would report its end is gone."""
    if process.is_alive():
        process.kill()
        process.join()
    elif process.exitcode == 255 and process.pid:  # "the server does not answer": the child may live on
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _forget_server() -> None:
    """Stop the server, so that the next start makes a new one."""
    server: Any = forkserver._forkserver
    with suppress(OSError):
        server._stop()
    server._forkserver_pid = server._forkserver_address = server._forkserver_alive_fd = None


@cache
def _leave_no_server() -> None:
    """Kill the server when this process ends, after its children and before the server's folder is removed.

    A server that imports (seconds) does not notice the end of this process, and keeps its output open until then.
    """
    Finalize(None, _end_server, exitpriority=-50)


def _end_server() -> None:
    """Kill the server; it has nothing to write."""
    server: Any = forkserver._forkserver
    pid, server._forkserver_pid = server._forkserver_pid, None
    if pid is not None:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _module(family: str) -> str:
    """Return the module of a model_type; transformers uses an underscore where the type has a hyphen or a dot.

    Raises UsageError for a text that is no model_type.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", family):
        raise UsageError(f"model.family={family}: it must be a model_type of transformers, such as t5 or bert.")
    name = re.sub(r"[.-]", "_", family)
    return f"transformers.models.{name}.modeling_{name}"


@contextmanager
def _shielded() -> Iterator[None]:
    """Hide the start method and the main module of a launcher's worker, which a forkserver child cannot rebuild.

    The import path of a child names no current folder either.
    """
    default: Any = multiprocessing.context._default_context
    main, actual, path = sys.modules["__main__"], default._actual_context, sys.path
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.path = _import_path()
    multiprocessing.set_start_method(None, force=True)
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        sys.path = path
        default._actual_context = actual


def _import_path() -> list[str]:
    """Return our import path without the current folder, which a notebook or `python -c` has on it as "".

    The checkout that we are imported from stays, however it was found.
    """
    ours = str(Path(__file__).resolve().parents[2])
    path = [entry for entry in sys.path if entry]
    return path if ours in map(os.path.realpath, path) else [*path, ours]


@contextmanager
def _server_environment() -> Iterator[None]:
    """Set what the server inherits at its start: single-threaded libraries, our import path, no signal of a terminal.

    Ctrl-C and the end of a terminal reach all of its processes. Only the worker may act on them, and it records what it
    did.
    """
    variables = {**SERVER_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(_import_path())}
    with termination.children_ignoring_terminal(), environment.variables(variables):
        yield
