"""Which instructions for matrix products in bfloat16 this machine's processor has, as its kernel lists them."""

from pathlib import Path

BF16 = ("avx512_bf16", "amx_bf16", "bf16", "svebf16")
"""The flags of x86 and of ARM processors that stand for such instructions."""
CPUINFO = Path("/proc/cpuinfo")


def bf16() -> tuple[str, ...] | None:
    """Return the flags of these instructions that the processor has, or None where no kernel lists any."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    words = next((line.split(":", 1)[1].split() for line in lines if line.startswith(("flags", "Features"))), None)
    return None if words is None else tuple(flag for flag in BF16 if flag in words)
