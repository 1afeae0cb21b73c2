"""The digests of generated tasks, remembered between commands in the user's cache. Torch-free.

Rows that are generated follow from the sources of this package, the Python that runs them and the configuration alone,
and so does their digest. Making the rows takes some .1 s a task, and a command that looks at all exhibits asks for
dozens. Where the cache cannot be read or written, the rows are made each time.
"""

import hashlib
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

from harness import atomic_files
from harness.config.schema import TaskConfig
from harness.paths import cached

FILE = "generated-tasks.json"
MOST = 4096
"""The number of digests after which the file begins anew."""


def digest(config: TaskConfig, make: Callable[[], str]) -> str:
    """Return the digest of a generated task's rows: the remembered one, or that of `make`, which reads the rows."""
    name = hashlib.sha256(f"{_sources()} {sorted(asdict(config).items())}".encode()).hexdigest()
    known = dict(_read())
    if name not in known:
        known[name] = make()
        _write({name: known[name]} if len(known) > MOST else known)
    return known[name]


def _read() -> dict[str, str]:
    """Return the remembered digests; none where the file is absent or holds something else."""
    with suppress(OSError, ValueError, RuntimeError):
        place = cached(FILE)
        return _parsed(place, place.stat().st_mtime_ns)
    return {}


@cache
def _parsed(place: Path, changed: int) -> dict[str, str]:
    """Return the content of the file as it was when it had this time of change."""
    content = atomic_files.read_json(place)
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise ValueError("this is no map of digests")
    return content


def _write(known: dict[str, str]) -> None:
    with suppress(OSError, RuntimeError):
        place = cached(FILE)
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.atomic(place, durable=False) as temporary:
            atomic_files.write_json(temporary, known)


@cache
def _sources() -> str:
    """Return the sha256 of the sources that generated rows may depend on, and of the version of Python."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    contents = [hashlib.sha256(atomic_files.read_bytes(file, linked=True)).hexdigest() for file in files]
    return hashlib.sha256(f"{sys.version_info} {contents}".encode()).hexdigest()
