"""Measurements of finished cells that are made when somebody asks: one file per probe, found by its name. Torch-free.

A probe starts from the delta that the cell kept, so it is no part of a key and changes no trajectory. Its result
stands in the record of the attempt, under `probes`. A probe's file has `measure(finished, device)`, which gives plain
values, and `told(result)`, which gives lines for people. One that looks at training from inside says CHECKPOINTS, at
how many equally spaced steps (snapshots.py): an attempt that knows of it keeps its delta there, and a finished cell
that kept none gets another attempt.

A probe that only reads what an attempt wrote has `read(kept, runtime)` instead (judging/answers.py): it loads no model
and needs no delta. One that needs something outside has `check()`: UsageError before anything is trained.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.config.schema import Cell, Runtime
from harness.errors import UsageError, near
from harness.probes._runner import kept as kept
from harness.probes._runner import page, take
from harness.store import attempt_folder
from harness.store.store import Store, trained

Record = Mapping[str, Any]
INSIDE = "harness.probes._snapshot_run:run"
INSTANT_S = 1.0
"""Seconds of a probe that are not worth a line of their own."""


def names() -> tuple[str, ...]:
    """Every probe."""
    return tuple(
        sorted(
            path.stem
            for path in Path(__file__).parent.glob("*.py")
            if not path.stem.startswith("_") and path.stem != "registry"
        )
    )


def about(name: str) -> str:
    """The first line of the probe's page."""
    return (page(name).__doc__ or "").split("\n")[0].rstrip(".")


def parse(text: str) -> tuple[str, ...]:
    """ "latency" or several with commas; "" is none. UsageError for one that does not exist."""
    wanted = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in wanted:
        if name not in names():
            raise UsageError(f"probe={name}: there is no such probe.{near(name, names())}")
    return wanted


def result(record: Record, name: str) -> Mapping[str, Any] | None:
    """What a probe measured; None where it was not asked or failed."""
    found = (record.get("probes") or {}).get(name) if isinstance(record.get("probes"), Mapping) else None
    return found if isinstance(found, Mapping) and found.get("status") == "done" else None


def told(record: Record) -> dict[str, list[str]]:
    """Probe -> lines for people, of all that a record holds."""
    held = record.get("probes") if isinstance(record.get("probes"), Mapping) else {}
    lines = {}
    for name, found in (held or {}).items():
        if not isinstance(found, Mapping):
            continue
        if found.get("status") != "done":
            lines[name] = [f"failed: {found.get('error')}"]
        elif name in names():
            lines[name] = page(name).told(found)
    return lines


def asked(runtime: Runtime, wanted: Iterable[str]) -> Runtime:
    """With the probes that an exhibit needs, beside those that were said."""
    return replace(runtime, probe=",".join(dict.fromkeys([*parse(runtime.probe), *wanted])))


def check(name: str) -> None:
    """UsageError where a probe lacks what it needs outside."""
    getattr(page(name), "check", lambda: None)()


def ready(store: Store, keys: Iterable[str], wanted: Iterable[str]) -> None:
    """`check` of every probe that one of these cells has no result of."""
    keys = tuple(keys)
    for name in wanted:
        if hasattr(page(name), "check") and any(result(store.read(key) or {}, name) is None for key in keys):
            check(name)


def kept_at(wanted: Iterable[str], total: int) -> tuple[int, ...]:
    """The steps of a training of `total` after which these probes need the delta."""
    counts = [getattr(page(name), "CHECKPOINTS", 0) for name in wanted]
    return tuple(sorted({step for count in counts if count for step in attempt_folder.steps(total, count)}))


def entry(usual: str, wanted: Iterable[str]) -> str:
    """The function that runs cells: `usual`, or one that does the same and keeps more."""
    return INSIDE if kept_at(wanted, 1) else usual


def unkept(store: Store, key: str, cell: Cell, wanted: Iterable[str]) -> bool:
    """Whether a finished cell lacks a probe that it did not keep the deltas for: then it takes another attempt."""
    record = store.read(key)
    if record is None or record["status"] != "done" or not trained(store, key):
        return False
    steps = kept_at((name for name in wanted if lacks(record, name)), cell.recipe.steps)
    inner = (attempt_folder.name(step) for step in steps if step != cell.recipe.steps)
    return any(not store.counting_file(key, name).is_file() for name in inner)


def stamps(store: Store, keys: Sequence[str], wanted: Iterable[str]) -> list[str]:
    """What changes whenever a result does of these probes, or of any that a record holds."""
    found, named = [], tuple(wanted)
    for key in keys:
        record = store.read(key) or {}
        held = record.get("probes") if isinstance(record.get("probes"), Mapping) else {}
        for name in dict.fromkeys([*named, *sorted(held or {})]):
            found.append(f"{key} {name} {(result(record, name) or {}).get('ended')}")
    return found


def drain(store: Store, keys: Sequence[str], wanted: Iterable[str], runtime: Runtime, deadline: float | None) -> int:
    """Take every probe that a finished cell lacks, one after the other, nothing of ours beside it; how many failed."""
    failed = 0
    for name in wanted:
        left = [key for key in keys if (record := store.read(key)) and lacks(record, name)]
        for count, key in enumerate(left, start=1):
            if deadline is not None and time.time() >= deadline:
                print(f"probe {name}: {len(left) - count + 1} cells left when the time was over")
                break
            began = time.monotonic()
            found = take(store, key, name, runtime)
            failed += found["status"] != "done"
            if count == len(left) or found["status"] != "done" or time.monotonic() - began > INSTANT_S:
                told = f"{key[:8]} {found['status']} {found.get('error', '')}".rstrip()
                print(f"probe {name} [{count}/{len(left)}] {told}")
            if found.get("unreachable"):
                failed += len(left) - count
                break
    return failed


def lacks(record: Record, name: str) -> bool:
    """Whether a finished cell has no result of a probe."""
    return record["status"] == "done" and result(record, name) is None
