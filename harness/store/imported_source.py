"""The source of our modules as they were imported: a file may be edited while its cell runs. Torch-free.

The forkserver keeps the files of all that it has loaded (see processes/preload_last.py), and its children inherit that.
"""

import hashlib
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PACKAGES = ("harness", "methods", "tasks")
_sources: dict[str, bytes] = {}


def keep() -> None:
    """Remember the files of our modules that are loaded now, unless they are remembered."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PACKAGES and name not in _sources:
            with suppress(OSError, TypeError, AttributeError):  # a module without a file
                _sources[name] = Path(module.__file__ or "").read_bytes()


def keep_these(files: Iterable[tuple[str, Path]]) -> None:
    """Remember (module, file) pairs that are about to be imported, unless they are remembered."""
    for name, path in files:
        if name not in _sources:
            with suppress(OSError):
                _sources[name] = path.read_bytes()


def source(name: str, path: Path) -> bytes:
    """Return the source from which this process imported the module, if it is known; else the content of the file."""
    return _sources[name] if name in _sources else path.read_bytes()


def digest(content: bytes) -> str:
    """Return the digest of a source, byte by byte."""
    return hashlib.sha256(content).hexdigest()
