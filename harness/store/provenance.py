"""Where and by what a record was made: for the reader, never part of the key. Torch-free."""

import os
import platform
import subprocess
import tomllib
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from harness import assets
from harness.files import plain_files

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
    """Return versions, the checkout's commit and the machine, without a host's or a user's name."""
    return {
        "deltabench": own_version(),
        "git": commit(),
        "git_changed": changed(),
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
    """Return the version of the installed package, else that of the checkout that this code runs from."""
    with suppress(OSError, KeyError, tomllib.TOMLDecodeError):
        return str(tomllib.loads(plain_files.read_text(assets.root() / "pyproject.toml"))["project"]["version"])
    return installed("deltabench")


def installed(name: str) -> str | None:
    """Return the version of an installed package, without importing it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """Return the commit of the checkout that this code runs from; None for an installed copy."""
    with suppress(OSError):
        folder = _git_folder()
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        shared = folder / "commondir"
        branches = folder / shared.read_text().strip() if shared.is_file() else folder
        loose = branches / name
        if loose.is_file():
            return loose.read_text().strip()
        for line in (branches / "packed-refs").read_text().splitlines():
            if line.endswith(f" {name}"):
                return line.split()[0]
    return None


def _git_folder() -> Path:
    """Return the folder with HEAD. A linked worktree names it in a file, and its branches lie in `commondir`."""
    place = assets.root() / ".git"
    return place if place.is_dir() else place.parent / place.read_text().removeprefix("gitdir:").strip()


CODE = ("harness", "methods", "tasks", "conf", "pyproject.toml")
"""What a result depends on in a checkout."""


def changed() -> bool | None:
    """Return whether the code of the checkout differs from its commit; None where git cannot say."""
    root = assets.root()
    if not (root / ".git").exists():
        return None
    command = ["git", "--no-optional-locks", "-C", str(root), "status", "--porcelain", "--", *CODE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return bool(done.stdout.strip()) if done.returncode == 0 else None


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
