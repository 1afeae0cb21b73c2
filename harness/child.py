"""What happens inside an attempt's own process: run the cell, leave an outcome. Torch is imported by the run only."""

import faulthandler
import importlib
import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Mapping
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from harness import cell as cells
from harness.attempt import LOG, OUTCOME, AttemptFolder
from harness.config import Runtime

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


def main(entry: str, cell: Mapping[str, Any], runtime: Runtime, folder: Path) -> None:
    """Run `entry` ("module:function") on a cell; its result or its exception becomes `outcome.json`."""
    _die_with_parent()
    attempt = AttemptFolder(folder)
    _redirect(folder / LOG)
    try:
        _set_threads(runtime.threads)
        run = _find(entry)
        attempt.write(OUTCOME, {"status": "done", **run(cells.from_json(cell), runtime, attempt)})
    except Exception as error:  # a cell's own failure, of whatever kind, is a record
        traceback.print_exc()
        measured = getattr(error, "measured", {})  # by the phase it happened in, see Meter
        attempt.write(OUTCOME, {**measured, "status": classify(error), "error": describe(error)})


def call(target: str, arguments: tuple[Any, ...], answer: Path) -> None:
    """Call `target` ("module:function") and leave {"value": …} or {"error": …, "type": …} in the file `answer`."""
    _die_with_parent()
    folder = AttemptFolder(answer.parent)
    try:
        content = {"value": _find(target)(*arguments)}
    except Exception as error:  # handed to the caller, who raises it there
        content = {"error": f"{error}", "type": type(error).__name__, "trace": traceback.format_exc()}
    folder.write(answer.name, content)


def classify(error: Exception) -> str:
    """The status of a cell that ended with `error`; an exception may carry its own as `status`."""
    own = getattr(error, "status", None)
    if isinstance(own, str):
        return own
    text = f"{type(error).__name__} {error}".lower().replace("outofmemory", "out of memory")
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in text for sign in _OUT_OF_MEMORY)
    ):
        return "oom"
    return "failed"


def describe(error: Exception) -> dict[str, Any]:
    """The record's `error`: what it was, where, and what the exception itself has to tell (phase, step, rule)."""
    told = {name: getattr(error, name, None) for name in ("phase", "step", "rule")}
    plain = {name: value for name, value in told.items() if isinstance(value, str | int)}
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"
    return {"type": type(error).__name__, "message": str(error), "where": where, **plain}


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


def _die_with_parent() -> None:
    """A worker that was killed cannot end its child: the child watches for that itself."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
