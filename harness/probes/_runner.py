"""One probe of one finished cell: measured in a process of its own, or read from what its attempt wrote. Torch-free."""

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
    """The module of a probe."""
    return importlib.import_module(f"{__package__}.{name}")


def take(store: Store, key: str, name: str, runtime: Runtime) -> dict[str, Any]:
    """Measure, and keep the result in the record, a failure too. UsageError for a cell that cannot be probed now."""
    store.check_writable()
    record = store.read(key)
    if record is None or record["status"] != "done":
        raise UsageError(f"cell {key[:12]} is {store.status(key)}: a probe needs a finished cell.")
    held = lease.acquire(store.leases, key)
    if held is None:
        raise UsageError(f"cell {key[:12]} is running somewhere: probe it when that has ended.")
    try:
        with lease.beating(held):
            found = _measured(store, key, name, record, runtime)
        number = int(record["attempt"])
        if not held.held():
            return {"status": "failed", "error": "another process took the cell over; take the probe again"}
        latest = store.record(key, number) or record  # others may have added their probes since
        probed = {**latest, "probes": {**(latest.get("probes") or {}), name: found}}
        store.attempt(key, number).write(RECORD, probed)
    finally:
        held.release()
    return found


def _measured(store: Store, key: str, name: str, record: Record, runtime: Runtime) -> dict[str, Any]:
    if hasattr(page(name), "read"):
        return _read(kept(store, key, record), name, runtime)
    cell = store.cell(key)
    delta = store.counting_file(key, attempt_folder.FILE)
    count = record.get("parameters") or {}
    if not delta.is_file() and (count.get("delta") or 0) + (count.get("head") or 0) > 0:
        return {"status": "failed", "error": f"it kept no {delta.name}: run it again with keep=delta rerun=done"}
    beside = partial(lease.beside, store.leases, key)
    before = beside()
    path = str(delta) if delta.is_file() else ""
    arguments = (name, identity.to_json(cell), runtime, path)
    try:
        found = forkserver.call(f"{__name__}:child", arguments, forkserver.preload({cell.model.family}))
    except (UsageError, RuntimeError, ChildProcessError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return {"status": "failed", "error": lines[-1]}
    return {
        "status": "done",
        **found,
        "cells_beside": max(before, beside()),
        "threads": runtime.threads,
        "ended": _now(),
    }


def kept(store: Store, key: str, record: Record) -> answers.Kept:
    """What the attempt that counts wrote."""
    tests = tuple((record.get("task_facts") or {}).get("tests") or ["test"])
    return answers.Kept(key, store.cell(key), store.attempt(key, int(record["attempt"])), tests)


def _read(found: answers.Kept, name: str, runtime: Runtime) -> dict[str, Any]:
    """Without a process of its own."""
    try:
        return {"status": "done", **page(name).read(found, runtime), "ended": _now()}
    except (UsageError, OSError, ValueError, KeyError, TypeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return {"status": "failed", "error": lines[-1], **({"unreachable": True} if _down(error) else {})}


def _down(error: Exception) -> bool:
    """Whether what a probe needs outside does not answer, so that the next cell would fare no better."""
    return bool(getattr(error, "unreachable", False))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def child(name: str, content: Mapping[str, Any], runtime: Runtime, delta: str) -> dict[str, Any]:
    """In a process of its own: put the cell together again and measure. delta: the file, "" where nothing trained."""
    import torch

    from harness.probes import _finished_cell
    from harness.training.determinism import choose_device

    torch.set_num_threads(runtime.threads)
    device = choose_device(runtime.device)
    probe = page(name)
    cell = _finished_cell.assemble(identity.from_json(content), runtime, Path(delta) if delta else None, device)
    return {**probe.measure(cell, device), "device": _finished_cell.name(device)}
