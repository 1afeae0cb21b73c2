"""One probe of one finished cell: measured in a process of its own, or read from its attempt's files.

Torch is imported by the child only.
"""

import importlib
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harness.config.schema import Runtime
from harness.errors import UsageError
from harness.probes.judging import answers
from harness.processes import forkserver
from harness.store import attempt_folder, identity, lease
from harness.store.attempt_folder import RECORD
from harness.store.store import Store

Record = Mapping[str, Any]


def page(name: str) -> Any:
    """Return the module of a probe."""
    return importlib.import_module(f"{__package__}.{name}")


class Busy(UsageError):
    """Another process runs or probes the cell."""


def take(store: Store, key: str, name: str, runtime: Runtime) -> dict[str, Any]:
    """Take a probe, write its result or failure into the record, and return it.

    Raises UsageError for a cell that cannot be probed now, and Busy where another process has the cell.
    """
    store.check_writable()
    record = store.read(key)
    if record is None or record["status"] != "done":
        raise UsageError(f"cell {key[:12]} is {store.status(key)}: a probe needs a finished cell.")
    cell_lease = lease.acquire(store.leases, key)
    if cell_lease is None:
        raise Busy(f"cell {key[:12]} is running; probe it when it has ended.")
    try:
        with lease.beating(cell_lease):
            result = _measured(store, key, name, record, runtime)
        number = int(record["attempt"])
        if not cell_lease.held():
            return {"status": "failed", "error": "another process took the cell over; take the probe again"}
        latest = store.record(key, number) or record  # another process may have added probes since
        probed = {**latest, "probes": {**(latest.get("probes") or {}), name: result}}
        store.attempt(key, number).write(RECORD, probed)
    finally:
        cell_lease.release()
    return result


def _measured(store: Store, key: str, name: str, record: Record, runtime: Runtime) -> dict[str, Any]:
    """Return the result of a probe, or its failure."""
    if hasattr(page(name), "read"):
        return _read(stored_answers(store, key, record), name, runtime)
    cell = store.cell(key)
    delta = store.counting_file(key, attempt_folder.FILE)
    count = record.get("parameters") or {}
    if not delta.is_file() and (count.get("delta") or 0) + (count.get("head") or 0) > 0:
        return {"status": "failed", "error": f"it has no stored {delta.name}: run it again with keep=delta rerun=done"}
    beside = partial(lease.beside, store.leases, key)
    before = beside()
    path = str(delta) if delta.is_file() else ""
    arguments = (name, identity.to_json(cell), runtime, path)
    try:
        result = forkserver.call(f"{__name__}:child", arguments, forkserver.preload({cell.model.family}))
    except (UsageError, RuntimeError, ChildProcessError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return {"status": "failed", "error": lines[-1]}
    return {
        "status": "done",
        **result,
        "cells_beside": max(before, beside()),
        "threads": runtime.threads,
        "ended": _now(),
    }


def stored_answers(store: Store, key: str, record: Record) -> answers.StoredAnswers:
    """Return the answers of the attempt that counts."""
    tests = tuple((record.get("task_facts") or {}).get("tests") or ["test"])
    return answers.StoredAnswers(key, store.cell(key), store.attempt(key, int(record["attempt"])), tests)


def _read(stored: answers.StoredAnswers, name: str, runtime: Runtime) -> dict[str, Any]:
    """Return the result of a probe that reads an attempt's files, without a process of its own."""
    try:
        return {"status": "done", **page(name).read(stored, runtime), "ended": _now()}
    except (UsageError, OSError, ValueError, KeyError, TypeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return {"status": "failed", "error": lines[-1], **({"unreachable": True} if _down(error) else {})}


def _down(error: Exception) -> bool:
    """Return whether an outside service does not answer, so that the next cell would fail as well."""
    return bool(getattr(error, "unreachable", False))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def child(name: str, content: Mapping[str, Any], runtime: Runtime, delta: str) -> dict[str, Any]:
    """Rebuild the cell in a process of its own and measure it. delta: the file of trained tensors, "" where nothing
    trained.
    """
    import torch

    from harness.probes import _finished_cell
    from harness.training.determinism import choose_device

    torch.set_num_threads(runtime.threads)
    device = choose_device(runtime.device)
    probe = page(name)
    cell = _finished_cell.assemble(identity.from_json(content), runtime, Path(delta) if delta else None, device)
    return {**probe.measure(cell, device), "device": _finished_cell.name(device)}
