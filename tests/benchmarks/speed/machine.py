"""What a reader needs to judge a timing: the machine, the versions and the load. Torch is not imported."""

import os
import platform
import time
from pathlib import Path
from typing import Any

from harness.store import provenance

PACKAGES = ("peft", "accelerate")
"""Libraries of the other side."""
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "sve", "bf16")
"""Instruction sets on which kernels depend."""


def machine() -> dict[str, Any]:
    """Return the machine, its instruction sets, the commit and the versions."""
    made = provenance.gather()
    others = {name: provenance.installed(name) for name in PACKAGES}
    return {
        **made["machine"], "flags": _flags(), "python": made["python"], "packages": {**made["packages"], **others},
        "commit": made["git"], "changed": made["git_changed"], "threads": 1,
    }  # fmt: skip


def now() -> str:
    """Return the date and time (UTC)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def load() -> float:
    """Return the number of processes that ran or waited for a processor, averaged over the last minute."""
    return round(os.getloadavg()[0], 2)


def _flags() -> list[str]:
    """Return those instruction sets of `FLAGS` that the processor has; none where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return [platform.machine()]
    found = {word for line in lines if line.lower().startswith(("flags", "features")) for word in line.split()}
    return [flag for flag in FLAGS if flag in found]
