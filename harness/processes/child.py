"""The body of an attempt's own process: run the cell and write its result. Torch is imported by the run only."""

import faulthandler
import fcntl
import importlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from harness import failure
from harness.config.schema import Runtime
from harness.files import strict_json
from harness.measurement import freed_memory
from harness.models import digest
from harness.store import fingerprint, identity
from harness.store.attempt_folder import LOG, OUTCOME, AttemptFolder

LINGER_S = 10.0
"""Seconds for which threads that a cell leaves behind may keep its process alive."""


@dataclass(frozen=True)
class Learnt:
    """Facts that the worker determines once, so that its children need not. code: of this cell. files: digests."""

    code: fingerprint.Learnt
    files: digest.Digests


def main(
    entry: str, cell: Mapping[str, Any], runtime: Runtime, folder: Path, environment: Mapping[str, str], learnt: Learnt
) -> None:
    """Run `entry` ("module:function") on a cell; write its result or its exception to `outcome.json`.

    environment: variables that are set before anything else, because the server's own environment was fixed at its
    start. The result names the code that made it, because the code may have changed when the record is written.
    """
    die_with_parent()
    os.environ.update(environment)
    attempt = AttemptFolder(folder)
    _redirect(folder / LOG)
    code = {"code": fingerprint.imported_parts(learnt.code), "keeps_freed_memory": freed_memory.keep()}
    digest.learn(learnt.files)
    try:
        _set_threads(runtime.threads)
        run = _find(entry)
        attempt.write(OUTCOME, {**run(identity.from_json(cell), runtime, attempt), "status": "done", **code})
    except BaseException as error:  # a cell's own failure, of whatever kind, is a record; it may call sys.exit
        with suppress(Exception):
            traceback.print_exc()
        attempt.write(OUTCOME, {**_outcome(error), **code})
    finally:
        _leave_soon()


def several(
    entry: str, cells: Sequence[Mapping[str, Any]], runtime: Runtime, folders: Sequence[Path],
    environment: Mapping[str, str], learnt: Sequence[Learnt],
) -> None:  # fmt: skip
    """Run `entry` on several cells at once, and write each one's result to the `outcome.json` of its folder.

    A cell whose error is not its own result, such as memory that the cells use together, gets none. The log of the
    first cell has what all of them print.
    """
    die_with_parent()
    os.environ.update(environment)
    _redirect(folders[0] / LOG)
    for folder in folders[1:]:
        (folder / LOG).write_text(
            f"It ran in one process with other cells, whose log is {folders[0] / LOG}\n", encoding="utf-8"
        )
    keeps = freed_memory.keep()
    for facts in learnt:
        digest.learn(facts.files)
    code = {folder: fingerprint.imported_parts(facts.code) for folder, facts in zip(folders, learnt, strict=True)}
    try:
        _set_threads(runtime.threads)
        attempts = [AttemptFolder(folder) for folder in folders]
        for attempt, result in _find(entry)([identity.from_json(cell) for cell in cells], runtime, attempts):
            outcome = _outcome(result) if isinstance(result, Exception) else {**result, "status": "done"}
            if outcome["status"] in ("done", "diverged"):
                attempt.write(OUTCOME, {**outcome, "code": code[attempt.path], "keeps_freed_memory": keeps})
    except BaseException:  # of whatever kind: the worker lets each cell run alone
        with suppress(Exception):
            traceback.print_exc()
    finally:
        _leave_soon()


def call(target: str, arguments: tuple[Any, ...], answer: Path) -> None:
    """Call `target` ("module:function") and write {"value": …} or {"error": …, "type": …} to the file `answer`."""
    die_with_parent()
    folder = AttemptFolder(answer.parent)
    try:
        content = {"value": _find(target)(*arguments)}
    except Exception as error:  # passed to the caller, which raises it again
        content = {"error": f"{error}", "type": type(error).__name__, "trace": traceback.format_exc()}
    folder.write(answer.name, content)


def _outcome(error: BaseException) -> dict[str, Any]:
    """Return the result of a cell that raised. `measured` holds what the meter knew by then, see Meter."""
    described = failure.describe(error)
    measured = failure.attribute(error, "measured")
    result = {
        **(measured if isinstance(measured, dict) else {}),
        "status": failure.status(described["kind"]),
        "error": described,
    }
    try:
        json.dumps(strict_json.finite(result))
    except (TypeError, ValueError, RecursionError):  # another class may define `measured` in its own way
        return {"status": result["status"], "error": described}
    return result


def _find(entry: str) -> Any:
    """Return the object "module:name"."""
    module, _, name = entry.partition(":")
    return getattr(importlib.import_module(module), name)


def _set_threads(count: int) -> None:
    """Set the cell's number of threads in torch; the server runs with one."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)


def _redirect(path: Path) -> None:
    """Send everything that this process prints, crash reports of native code included, to the attempt's log."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
    faulthandler.enable(file=2)
    if hasattr(faulthandler, "register"):  # the worker requests the stack of a cell that hangs before it kills it
        faulthandler.register(signal.SIGUSR1, file=2)


def die_with_parent(watched: bool = True) -> None:
    """End this process when its worker is killed, since a killed worker cannot end its child.

    Native code that never returns to Python would keep the watching thread from running. So Linux is also asked to kill
    this process once the pipe closes that only the worker holds open. watched: whether there is a thread for it, too.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, fcntl.fcntl(parent.sentinel, fcntl.F_GETFL) | os.O_ASYNC)

    if not watched:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _leave_soon() -> None:
    """End the process after `LINGER_S`, even where a cell's threads still run."""
    timer = threading.Timer(LINGER_S, os._exit, (0,))
    timer.daemon = True
    timer.start()
