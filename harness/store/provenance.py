"""Where and by what a record was made: for the reader, never part of the key. Torch-free."""

import os
import platform
import tomllib
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from harness import assets, atomic_files

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "datasets",
    "evaluate",
    "hydra-core",
)


@cache
def gather() -> dict[str, Any]:
    """Versions, the checkout's commit and the machine (no host or user name)."""
    return {
        "deltabench": own_version(),
        "git": commit(),
        "packages": {name: installed(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": {
            "system": platform.platform(terse=True),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
        },
    }


def own_version() -> str | None:
    """Of the installed package, else of the checkout that this code runs from."""
    with suppress(OSError, KeyError, tomllib.TOMLDecodeError):
        return str(tomllib.loads(atomic_files.read_text(assets.root() / "pyproject.toml"))["project"]["version"])
    return installed("deltabench")


def installed(name: str) -> str | None:
    """The version of an installed package, without importing it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of the checkout this code runs from; None for an installed copy."""
    folder = assets.root() / ".git"
    with suppress(OSError):
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        loose = folder / name
        if loose.is_file():
            return loose.read_text().strip()
        for line in (folder / "packed-refs").read_text().splitlines():
            if line.endswith(f" {name}"):
                return line.split()[0]
    return None


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
