"""Facts that are remembered between commands, in JSON files of the user's cache. Torch-free.

Each fact follows from its name, which is a digest of all that it depends on, so a fact is never wrong and may be lost:
where the cache cannot be read or written, it is found anew.
"""

import hashlib
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from harness.files import atomic_files, plain_files
from harness.paths import cached

Facts = Mapping[str, Any]


def known(file: str) -> Facts:
    """Return the facts of a file; none where it is absent or holds something else."""
    with suppress(OSError, ValueError, RuntimeError):
        place = cached(file)
        return _parsed(place, place.stat().st_mtime_ns)
    return {}


def remember(file: str, facts: Facts, most: int) -> None:
    """Add facts to a file. One that would have more than `most` begins anew with these."""
    together = {**known(file), **facts}
    with suppress(OSError, RuntimeError):
        place = cached(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.atomic(place, durable=False) as temporary:
            atomic_files.write_json(temporary, dict(facts) if len(together) > most else together)


def name(*depends_on: object) -> str:
    """Return the name of a fact that depends on these values, each of which has a repr of its own."""
    return hashlib.sha256(repr(depends_on).encode()).hexdigest()


@cache
def sources(*packages: str) -> str:
    """Return the digest of these packages' sources, as ("harness", "tasks"), and of the version of Python."""
    root = Path(__file__).parents[2]
    files = sorted(path for package in packages for path in (root / package).rglob("*.py"))
    return name(sys.version_info, *_contents(files))


def _contents(files: Iterable[Path]) -> list[str]:
    return [hashlib.sha256(plain_files.read_bytes(file, linked=True)).hexdigest() for file in files]


@cache
def _parsed(place: Path, changed: int) -> Facts:
    """Return the content of a file as it was when it had this time of change."""
    content = plain_files.read_json(place)
    if not isinstance(content, dict):
        raise ValueError("this is no map of facts")
    return content
