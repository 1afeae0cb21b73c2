"""Files that are there whole or not at all. Torch-free.

A rename within one folder is atomic; the fsync before it keeps a crash of the machine from leaving an empty file
under the final name, and the fsync of the folder after it keeps the name itself.
"""

import json
import math
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` (same ending) to write to; it takes the name `path` when the block succeeds."""
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}-{path.name}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C too leaves no half-written file
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """`value` as JSON, atomically; non-finite numbers become null."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(finite(value), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def append_json(path: Path, row: Mapping[str, Any]) -> None:
    """One JSON line at the end of `path`, in one write, so that a reader sees at most a torn last line."""
    line = json.dumps(finite(row), ensure_ascii=False) + "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(line)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. ValueError where it is not one; FileNotFoundError where there is no file."""
    value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines; lines that do not parse (a torn last one, say) are left out."""
    rows = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    for line in text.splitlines():
        try:
            row = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def finite(value: Any) -> Any:
    """The same value with tuples as lists and every NaN or infinity as None: JSON has no such numbers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
