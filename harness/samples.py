"""memory.jsonl: what was read when, in seconds since the run began. Rows wait in memory for a second. Torch-free."""

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

from harness import atomic_files
from harness.store.attempt_folder import AttemptFolder

FILE = "memory.jsonl"
FLUSH_S = 1.0


class Samples:
    """Rows of one run; None keeps none. A folder that cannot be written ends the rows, not the run."""

    def __init__(self, folder: AttemptFolder | None) -> None:
        self._folder = folder
        self._rows: list[Mapping[str, Any]] = []
        self._began = self._flushed = time.monotonic()
        self._lock = threading.Lock()

    def keep(self, row: Mapping[str, Any]) -> None:
        """Add a row; every second they are written."""
        if self._folder is None:
            return
        with self._lock:
            now = time.monotonic()
            self._rows.append({"seconds": round(now - self._began, 4), **row})
            if now - self._flushed >= FLUSH_S:
                self._flushed = now
                self._write()

    def close(self) -> None:
        with self._lock:
            self._write()

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        if self._folder is None or not rows:
            return
        lines = "".join(f"{json.dumps(atomic_files.finite(row), ensure_ascii=False)}\n" for row in rows)
        try:
            with (self._folder.path / FILE).open("a", encoding="utf-8") as file:
                file.write(lines)
        except OSError:
            self._folder = None
