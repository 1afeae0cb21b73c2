"""The folder of one try at a cell: what a run may write there. Torch-free."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import atomic_files

RECORD = "record.json"
CURVE = "curve.jsonl"
LOG = "log.txt"
CHECKPOINT = "checkpoint.safetensors"
TRACE = "trace.txt"
RESUMED = "resumed.json"
"""What the child says of a checkpoint it found; the worker puts it into the record and removes it."""
OUTCOME = "outcome.json"
"""What the child leaves for the worker, which turns it into the record and removes it."""


class Trace:
    """Where a run is, told by one small write that outlives its sudden death; it costs a step some microseconds."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def mark(self, phase: str, step: int) -> None:
        with suppress(OSError):  # a full disk is found out by what matters more
            os.pwrite(self._file, f"{phase} {step}".ljust(63).encode() + b"\n", 0)

    def close(self) -> None:
        """Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@dataclass(frozen=True)
class AttemptFolder:
    """`store/cells/<k[:2]>/<key>/attempts/<n>/`."""

    path: Path

    @property
    def number(self) -> int:
        return int(self.path.name)

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """One JSON line, written through at once; non-finite numbers become null."""
        atomic_files.append_json(self._file(name), row)

    @contextmanager
    def atomic(self, name: str) -> Iterator[Path]:
        """A temporary path to write to, synced and renamed to `name` when the block succeeds."""
        with atomic_files.atomic(self._file(name)) as temporary:
            yield temporary

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """One JSON object, whole or not at all."""
        atomic_files.write_json(self._file(name), value)

    def create(self, name: str, value: Mapping[str, Any]) -> bool:
        """As `write`, but never in place of a file that is there: whether it was written."""
        return atomic_files.create(self._file(name), atomic_files.encode(value, indent=1))

    def trace(self) -> "Trace":
        """For the run, to say where it is."""
        return Trace(self._file(TRACE))

    def traced(self) -> dict[str, Any]:
        """{"phase", "step"} where a run ended: "start" before its first phase; the step it was in, or had done last."""
        try:
            phase, step = atomic_files.read_text(self._file(TRACE)).split()
            return {"phase": phase, "step": int(step)}
        except (OSError, ValueError):
            return {"phase": "start", "step": self.last_step()}

    def resumed(self) -> dict[str, Any]:
        """{"resumed_from": steps}, or {"restarted": the reason why a checkpoint was not used}, or {}."""
        try:
            told = atomic_files.read_json(self._file(RESUMED))
        except (OSError, ValueError):
            return {}
        return {name: told[name] for name in ("resumed_from", "restarted") if name in told}

    def tidy(self, checkpoint: bool) -> None:
        """Once the record is there: remove what only an unfinished attempt needs."""
        for name in (OUTCOME, TRACE, RESUMED, *([CHECKPOINT] if checkpoint else [])):
            self._file(name).unlink(missing_ok=True)
        for path in self.path.glob(".tmp-*"):  # of a process that was killed while it wrote
            path.unlink(missing_ok=True)

    def discard_outcome(self) -> None:
        """Nobody who closes this attempt later shall find what its child left."""
        self._file(OUTCOME).unlink(missing_ok=True)

    def last_step(self) -> int | None:
        """The step of the last point of the curve; None before the first."""
        rows = atomic_files.read_lines(self._file(CURVE))
        step = rows[-1].get("step") if rows else None
        return step if isinstance(step, int) else None

    def log_tail(self, lines: int = 50) -> list[str]:
        """The last lines the run printed; [] where it printed none."""
        return atomic_files.tail(self._file(LOG), lines)

    def _file(self, name: str) -> Path:
        if not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"not a plain file name: {name!r}")
        return self.path / name


FILE = "delta-best.safetensors"


LAST = "delta-last.safetensors"
PATTERN = "delta-step-*.safetensors"


def steps(total: int, count: int) -> tuple[int, ...]:
    """`count` equally spaced steps of a training of `total`, its last one among them; fewer where it is shorter."""
    return tuple(sorted({round(total * k / count) for k in range(1, count + 1)} - {0}))


def name(step: int) -> str:
    """The file that holds the delta after a step that is not the last."""
    return PATTERN.replace("*", str(step))


def files(folder: Path, total: int, count: int) -> dict[int, Path]:
    """step -> where the delta after it is, if it was kept."""
    return {step: folder / (LAST if step == total else name(step)) for step in steps(total, count)}
