"""The folder of one try at a cell: what a run may write there. Torch-free."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import files

RECORD = "record.json"
CURVE = "curve.jsonl"
LOG = "log.txt"
CHECKPOINT = "checkpoint.safetensors"
RESUMED = "resumed.json"
"""What the child says of a checkpoint it found; the worker puts it into the record and removes it."""
OUTCOME = "outcome.json"
"""What the child leaves for the worker, which turns it into the record and removes it."""


@dataclass(frozen=True)
class AttemptFolder:
    """`store/cells/<k[:2]>/<key>/attempts/<n>/`."""

    path: Path

    @property
    def number(self) -> int:
        return int(self.path.name)

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """One JSON line, written through at once; non-finite numbers become null."""
        files.append_json(self._file(name), row)

    @contextmanager
    def atomic(self, name: str) -> Iterator[Path]:
        """A temporary path to write to, synced and renamed to `name` when the block succeeds."""
        with files.atomic(self._file(name)) as temporary:
            yield temporary

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """One JSON object, whole or not at all."""
        files.write_json(self._file(name), value)

    def last_step(self) -> int | None:
        """The step of the last point of the curve; None before the first."""
        rows = files.read_lines(self._file(CURVE))
        step = rows[-1].get("step") if rows else None
        return step if isinstance(step, int) else None

    def log_tail(self, lines: int = 50) -> list[str]:
        """The last lines the run printed; [] where it printed none."""
        try:
            text = self._file(LOG).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        return text.splitlines()[-lines:]

    def _file(self, name: str) -> Path:
        if not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"not a plain file name: {name!r}")
        return self.path / name
