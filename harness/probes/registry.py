"""Measurements of finished cells that are made on request: one file per probe, found by its name.

Torch is not imported.

A probe starts from the cell's saved tensors, so it is no part of a key and changes no trajectory. Its result is stored
in the attempt's record, under `probes`. A probe's file has `measure(finished, device)`, which returns plain values, and
`describe(result)`, which returns lines for people (`told` until this version). A probe that needs tensors of earlier
steps sets SNAPSHOTS, a number of equally spaced steps (_snapshot_run.py). An attempt with that probe saves its
tensors there, and a finished cell without them gets another attempt.

A probe that only reads an attempt's files has `read(stored, runtime)` instead (judging/answers.py): it loads no model
and needs no saved tensors. One that needs an outside service has `check()`, which raises UsageError before anything is
trained.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.config.schema import Cell, Runtime
from harness.errors import UsageError, near
from harness.probes._runner import Busy, page, take
from harness.probes._runner import stored_answers as stored_answers
from harness.store import attempt_folder
from harness.store.store import Store, trained

Record = Mapping[str, Any]
INSIDE = "harness.probes._snapshot_run:run"
INSTANT_S = 1.0
"""Seconds of a probe below which no line of its own is printed."""
WAIT_S = 0.2
"""Seconds between two looks at a cell that another process has."""


def names() -> tuple[str, ...]:
    """Return the names of all probes."""
    return tuple(
        sorted(
            path.stem
            for path in Path(__file__).parent.glob("*.py")
            if not path.stem.startswith("_") and path.stem != "registry"
        )
    )


def about(name: str) -> str:
    """Return the first line of a probe's docstring."""
    return (page(name).__doc__ or "").split("\n")[0].rstrip(".")


def parse(text: str) -> tuple[str, ...]:
    """Return the probes of "latency", of several with commas, or of "". Raises UsageError for one that does
    not exist.
    """
    wanted = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in wanted:
        if name not in names():
            raise UsageError(f"probe={name}: there is no such probe.{near(name, names())}")
    return wanted


def result(record: Record, name: str) -> Mapping[str, Any] | None:
    """Return a probe's result; None where it was not taken or failed."""
    probed = (record.get("probes") or {}).get(name) if isinstance(record.get("probes"), Mapping) else None
    return probed if isinstance(probed, Mapping) and probed.get("status") == "done" else None


def descriptions(record: Record) -> dict[str, list[str]]:
    """Return probe -> lines for people, for all probes of a record."""
    probed = record.get("probes") if isinstance(record.get("probes"), Mapping) else {}
    lines = {}
    for name, outcome in (probed or {}).items():
        if not isinstance(outcome, Mapping):
            continue
        if outcome.get("status") != "done":
            lines[name] = [f"failed: {outcome.get('error')}"]
        elif name in names():
            lines[name] = _describe(name)(outcome)
    return lines


def _describe(name: str) -> Callable[[Mapping[str, Any]], list[str]]:
    """Return a probe's function from its result to lines for people."""
    probe = page(name)
    if hasattr(probe, "describe"):
        return probe.describe
    warnings.warn(f"probe {name}: rename its function told(result) to describe(result).", DeprecationWarning, 2)
    return probe.told


def needs_weights(name: str) -> bool:
    """Return whether a probe reads a cell's trained weights, and not its stored answers alone."""
    return not hasattr(page(name), "read")


def with_probes(runtime: Runtime, wanted: Iterable[str]) -> Runtime:
    """Return the runtime with an exhibit's probes added to its own."""
    return replace(runtime, probe=",".join(dict.fromkeys([*parse(runtime.probe), *wanted])))


def check(name: str) -> None:
    """Raise UsageError where a probe lacks an outside service."""
    getattr(page(name), "check", lambda: None)()


def ready(store: Store, keys: Iterable[str], wanted: Iterable[str]) -> None:
    """Run `check` of every probe that one of these cells has no result of."""
    keys = tuple(keys)
    for name in wanted:
        if hasattr(page(name), "check") and any(result(store.read(key) or {}, name) is None for key in keys):
            check(name)


def snapshot_steps(wanted: Iterable[str], total: int) -> tuple[int, ...]:
    """Return the steps of a training of `total` steps after which these probes need the delta."""
    counts = [getattr(page(name), "SNAPSHOTS", 0) for name in wanted]
    return tuple(sorted({step for count in counts if count for step in attempt_folder.steps(total, count)}))


def entry(usual: str, wanted: Iterable[str]) -> str:
    """Return the function that runs cells: `usual`, or one that does the same and saves more."""
    return INSIDE if snapshot_steps(wanted, 1) else usual


def lacks_snapshots(store: Store, key: str, cell: Cell, wanted: Iterable[str]) -> bool:
    """Return whether a finished cell lacks the saved tensors of a probe: then it gets another attempt."""
    record = store.read(key)
    if record is None or record["status"] != "done" or not trained(store, key):
        return False
    steps = snapshot_steps((name for name in wanted if lacks(record, name)), cell.recipe.steps)
    inner = (attempt_folder.name(step) for step in steps if step != cell.recipe.steps)
    return any(not store.counting_file(key, name).is_file() for name in inner)


def stamps(store: Store, keys: Sequence[str], wanted: Iterable[str]) -> list[str]:
    """Return texts that change whenever a result changes, of these probes or of any in a record."""
    texts, named = [], tuple(wanted)
    for key in keys:
        record = store.read(key) or {}
        probed = record.get("probes") if isinstance(record.get("probes"), Mapping) else {}
        for name in dict.fromkeys([*named, *sorted(probed or {})]):
            texts.append(f"{key} {name} {(result(record, name) or {}).get('ended')}")
    return texts


def measure_cells(
    store: Store, keys: Sequence[str], wanted: Iterable[str], runtime: Runtime, deadline: float | None
) -> int:
    """Take every probe that a finished cell lacks, one after the other and without other cells; return the failures."""
    failed = 0
    for name in wanted:
        pending = [key for key in keys if (record := store.read(key)) and lacks(record, name)]
        for count, key in enumerate(pending, start=1):
            began = time.monotonic()
            try:
                outcome = _when_free(store, key, name, runtime, deadline)
            except TimeoutError:
                left = len(pending) - count + 1
                print(f"probe {name}: {left} cell{' was' if left == 1 else 's were'} not measured before the deadline")
                break
            if outcome is None:
                continue
            failed += outcome["status"] != "done"
            if count == len(pending) or outcome["status"] != "done" or time.monotonic() - began > INSTANT_S:
                message = f"{key[:8]} {outcome['status']} {outcome.get('error', '')}".rstrip()
                print(f"probe {name} [{count}/{len(pending)}] {message}")
            if outcome.get("unreachable"):
                failed += len(pending) - count
                break
    return failed


def _when_free(store: Store, key: str, name: str, runtime: Runtime, deadline: float | None) -> dict[str, Any] | None:
    """Take a probe once no other process has the cell; return None where that one has taken it meanwhile.

    Raise TimeoutError where the deadline comes before the probe starts.
    """
    while (record := store.read(key)) and lacks(record, name):
        if deadline is not None and time.time() >= deadline:
            raise TimeoutError
        try:
            return take(store, key, name, runtime)
        except Busy:
            time.sleep(WAIT_S)
    return None


def lacks(record: Record, name: str) -> bool:
    """Return whether a finished cell has no result of a probe."""
    return record["status"] == "done" and result(record, name) is None
