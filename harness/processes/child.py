"""What happens inside an attempt's own process: run the cell, leave an outcome. Torch is imported by the run only."""

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
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from harness import atomic_files, failure
from harness.config.schema import Runtime
from harness.models import digest
from harness.store import fingerprint, identity
from harness.store.attempt_folder import LOG, OUTCOME, AttemptFolder

LINGER_S = 10.0
"""Threads that a cell leaves behind may keep its process for so long."""


@dataclass(frozen=True)
class Learnt:
    """What the worker has found out once, so that each of its children need not. code: of this cell; files: digests."""

    code: fingerprint.Learnt
    files: digest.Digests


def main(
    entry: str, cell: Mapping[str, Any], runtime: Runtime, folder: Path, environment: Mapping[str, str], learnt: Learnt
) -> None:
    """Run `entry` ("module:function") on a cell; its result or its exception becomes `outcome.json`.

    environment: set before anything else; the server's own was frozen when it started. The outcome says which code it
    is of: who makes the record of it may have other code by then.
    """
    _die_with_parent()
    os.environ.update(environment)
    attempt = AttemptFolder(folder)
    _redirect(folder / LOG)
    code = {"code": fingerprint.imported_parts(learnt.code)}
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


def call(target: str, arguments: tuple[Any, ...], answer: Path) -> None:
    """Call `target` ("module:function") and leave {"value": …} or {"error": …, "type": …} in the file `answer`."""
    _die_with_parent()
    folder = AttemptFolder(answer.parent)
    try:
        content = {"value": _find(target)(*arguments)}
    except Exception as error:  # handed to the caller, who raises it there
        content = {"error": f"{error}", "type": type(error).__name__, "trace": traceback.format_exc()}
    folder.write(answer.name, content)


def _outcome(error: BaseException) -> dict[str, Any]:
    """What the record says of a cell that raised; `measured` is known by the phase it happened in, see Meter."""
    told = failure.describe(error)
    measured = failure.attribute(error, "measured")
    whole = {**(measured if isinstance(measured, dict) else {}), "status": failure.status(told["kind"]), "error": told}
    try:
        json.dumps(atomic_files.finite(whole))
    except (TypeError, ValueError, RecursionError):  # somebody's own `measured`
        return {"status": whole["status"], "error": told}
    return whole


def _find(entry: str) -> Any:
    module, _, name = entry.partition(":")
    return getattr(importlib.import_module(module), name)


def _set_threads(count: int) -> None:
    """The server runs with one thread; a cell with its own number."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)


def _redirect(path: Path) -> None:
    """Everything this process prints, crash reports of native code included, goes to the attempt's log."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
    faulthandler.enable(file=2)
    if hasattr(faulthandler, "register"):  # the worker asks where a cell hangs before it ends it
        faulthandler.register(signal.SIGUSR1, file=2)


def _die_with_parent() -> None:
    """A worker that was killed cannot end its child: the child watches for that itself.

    Native code that never comes back to Python keeps the thread from it, so Linux is asked, too, to kill this process
    once the pipe is closed that only the worker holds open.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, fcntl.fcntl(parent.sentinel, fcntl.F_GETFL) | os.O_ASYNC)

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _leave_soon() -> None:
    timer = threading.Timer(LINGER_S, os._exit, (0,))
    timer.daemon = True
    timer.start()
