"""The folder of one attempt at a cell, and the files that a run may write there. Torch is not imported."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.files import atomic_files, plain_files, strict_json
from tasks.metrics import row_figures
from tasks.metrics.row_figures import Packed

_log = logging.getLogger("deltabench")
RECORD = "record.json"
CURVE = "curve.jsonl"
LOG = "log.txt"
PREDICTIONS = "predictions.jsonl.gz"
ROW_SCORES = "row_scores.json"
"""What each test row scored (tasks/metrics/row_figures.py): what the analysis needs of the predictions, in short."""
CHECKPOINT = "checkpoint.safetensors"
TRACE = "trace.txt"
RESUMED = "resumed.json"
"""The child's note on the checkpoint that it resumed from; the worker copies it into the record and removes the file.
"""
OUTCOME = "outcome.json"
"""The child's result for the worker, which turns it into the record and removes the file."""


class Trace:
    """The phase and step of a run, in one small write that outlives its sudden death. It costs a step some
    microseconds.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def mark(self, phase: str, step: int) -> None:
        """Write the current phase and step."""
        with suppress(OSError):  # a full disk fails the writes that matter, and they report it
            os.pwrite(self._file, f"{phase} {step}".ljust(63).encode() + b"\n", 0)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@dataclass(frozen=True)
class AttemptFolder:
    """The folder `store/cells/<k[:2]>/<key>/attempts/<n>/`."""

    path: Path

    @property
    def number(self) -> int:
        """Return the attempt's number."""
        return int(self.path.name)

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """Append one JSON line, written through at once; non-finite numbers become null."""
        atomic_files.append_json(self._file(name), row)

    @contextmanager
    def atomic(self, name: str) -> Iterator[Path]:
        """Yield a temporary path to write to; it is synced and renamed to `name` when the block succeeds."""
        with atomic_files.atomic(self._file(name)) as temporary:
            yield temporary

    def link(self, name: str, other: str) -> None:
        """Give the file `other` the further name `name`, without a second copy where the file system has hard links.

        No file of an attempt is written in place, so neither name ever changes the content of the other.
        """
        atomic_files.link(self._file(other), self._file(name))

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Write one JSON object, whole or not at all."""
        atomic_files.write_json(self._file(name), value)

    def create(self, name: str, value: Mapping[str, Any]) -> bool:
        """Write one JSON object unless the file exists; return whether it was written."""
        return atomic_files.create(self._file(name), strict_json.encode(value, indent=1))

    def trace(self) -> "Trace":
        """Return the file in which the run marks its phase and step."""
        return Trace(self._file(TRACE))

    def traced(self) -> dict[str, Any]:
        """Return {"phase", "step"} of the moment when a run ended.

        The phase is "start" before the first one. The step is the one in progress, or the last that was completed.
        """
        try:
            phase, step = plain_files.read_text(self._file(TRACE)).split()
            return {"phase": phase, "step": int(step)}
        except (OSError, ValueError):
            return {"phase": "start", "step": self.last_step()}

    def resumed(self) -> dict[str, Any]:
        """Return {"resumed_from": steps}, or {"restarted": the reason why a checkpoint was not used}, or {}."""
        try:
            note = plain_files.read_json(self._file(RESUMED))
        except (OSError, ValueError):
            return {}
        return {name: note[name] for name in ("resumed_from", "restarted") if name in note}

    def tidy(self, checkpoint: bool) -> None:
        """Remove the files that only an unfinished attempt needs, and half-written ones, once the record exists.

        checkpoint: whether the checkpoint goes, too.
        """
        for name in (OUTCOME, TRACE, RESUMED, *([CHECKPOINT] if checkpoint else [])):
            self._file(name).unlink(missing_ok=True)
        for path in self.path.glob(".tmp-*"):  # of a process that was killed while it wrote
            path.unlink(missing_ok=True)

    def discard_outcome(self) -> None:
        """Remove the child's result, so that no later worker records it for this attempt."""
        self._file(OUTCOME).unlink(missing_ok=True)

    def last_step(self) -> int | None:
        """Return the step of the last evaluation of the curve; None before the first."""
        rows = plain_files.read_lines(self._file(CURVE))
        step = rows[-1].get("step") if rows else None
        return step if isinstance(step, int) else None

    def row_scores(self, metric: str, tests: Sequence[str]) -> Packed:
        """Return what each row of the test sets scored, packed: from its own file, or else from the predictions.

        Empty where the metric is no mean over rows, or where neither file can be read; a warning names a damaged one.
        """
        own, predictions = self._file(ROW_SCORES), self._file(PREDICTIONS)
        try:
            return packed(plain_files.read_json(own))
        except (OSError, ValueError):
            pass
        try:
            return row_figures.of_lines(metric, plain_files.read_packed(predictions), tests)
        except (OSError, ValueError, KeyError, TypeError):
            if damaged := [str(path) for path in (own, predictions) if path.exists()]:
                _log.warning("%s: unreadable; intervals of this cell lack its test rows", " and ".join(damaged))
            return {}

    def log_tail(self, lines: int = 50) -> list[str]:
        """Return the last lines that the run printed; [] where it printed none."""
        return plain_files.tail(self._file(LOG), lines)

    def _file(self, name: str) -> Path:
        if not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"not a plain file name: {name!r}")
        return self.path / name


def packed(content: Mapping[str, Any]) -> Packed:
    """Return what a file of row scores holds. Raises ValueError for any other content."""
    sets = [text for sets in content.values() for text in (sets.values() if isinstance(sets, dict) else (None,))]
    if not all(isinstance(text, str) for text in sets):
        raise ValueError("row scores are a text for each checkpoint and set")
    return content


CHECKPOINTS = ("best", "last")
"""The checkpoints whose weights an attempt keeps."""


def delta_file(checkpoint: str) -> str:
    """Return the name of the file of the trained tensors at a checkpoint."""
    return f"delta-{checkpoint}.safetensors"


def is_delta(name: str) -> bool:
    """Return whether a file of an attempt holds trained tensors, at whichever checkpoint or step."""
    return fnmatchcase(name, delta_file("*"))


FILE = delta_file("best")
"""The file of the trained tensors at the best checkpoint."""
LAST = delta_file("last")
"""The file of the trained tensors after the last step."""
PATTERN = delta_file("step-*")
"""The files of the trained tensors after other steps."""


def steps(total: int, count: int) -> tuple[int, ...]:
    """Return `count` equally spaced steps of a training of `total` steps, the last among them; fewer where it is
    shorter.
    """
    return tuple(sorted({round(total * k / count) for k in range(1, count + 1)} - {0}))


def name(step: int) -> str:
    """Return the name of the file with the trained tensors after a step that is not the last."""
    return PATTERN.replace("*", str(step))


def files(folder: Path, total: int, count: int) -> dict[int, Path]:
    """Return step -> path of the trained tensors after it; the files need not exist."""
    return {step: folder / (LAST if step == total else name(step)) for step in steps(total, count)}
