"""The settings of a forecast that the cell itself does not fix. Torch is not imported."""

import re
from dataclasses import dataclass, fields
from typing import Any

from harness.errors import UsageError, near

PLAIN = "plain"
KERNELS = ("auto", "math", "flash", "memory_efficient", PLAIN)
"""Kernels of scaled-dot-product attention.

auto: torch's choice on a CUDA device. plain: the meta device's own step without any rule for CUDA, for comparison with
other memory trackers.
"""
_UNITS = {"": 1, "B": 1} | {
    f"{letter}{suffix}": base ** (place + 1)
    for place, letter in enumerate("KMGT")
    for suffix, base in (("iB", 1024), ("B", 1000), ("", 1024))
}

LEAST = 2**20
"""The bytes of the smallest device that a forecast takes."""


@dataclass(frozen=True)
class Load:
    """The lengths, the kernel, checkpointing and accumulation of a step, where the cell does not fix them.

    - input_tokens, target_tokens: the length of every row in tokens; None for the task's limits, the longest a batch
      can be.
    - kernel: one of KERNELS.
    - checkpointing: activations are recomputed in the backward pass, block by block.
    - accumulation: the number of parts of a batch, whose gradients are added up.

    Raises UsageError for a value outside its range.
    """

    input_tokens: int | None = None
    target_tokens: int | None = None
    kernel: str = "auto"
    checkpointing: bool = False
    accumulation: int = 1

    def __post_init__(self) -> None:
        for name, most in (("input_tokens", 1_000_000), ("target_tokens", 1_000_000), ("accumulation", 65_536)):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise UsageError(f"--{name.replace('_', '-')} {value}: it must be a whole number from 1 to {most}.")
        if self.kernel not in KERNELS:
            raise UsageError(f"--kernel {self.kernel}: it must be one of {', '.join(KERNELS)}.")


def declared(raw: Any) -> tuple[Load, int | None]:
    """Return (load, bytes of a device or None) of a YAML: {input_tokens: 128, kernel: math, device_memory: 80GiB}.

    Raises UsageError for an unknown field or a value of another type.
    """
    known = [*(field.name for field in fields(Load)), "device_memory"]
    if not isinstance(raw, dict):
        raise UsageError(f"{raw!r}: give a mapping with fields of {', '.join(known)}.")
    for name in raw:
        if name not in known:
            raise UsageError(f"there is no field '{name}'.{near(str(name), known)}")
    given = dict(raw)
    device = given.pop("device_memory", None)
    for name, value in given.items():
        wanted = {"kernel": str, "checkpointing": bool}.get(name, int)
        if type(value) is not wanted:
            raise UsageError(f"{name}: {value!r} must be {'text' if wanted is str else f'of type {wanted.__name__}'}.")
    return Load(**given), None if device is None else size("device_memory", str(device))


def whole(option: str, text: str | None) -> int | None:
    """Return a whole number, possibly negative; `Load` checks its range. Raises UsageError for anything else."""
    if text is None:
        return None
    if not re.fullmatch(r"-?\d{1,9}", text.strip()):
        raise UsageError(f"{option} {text}: it must be a whole number.")
    return int(text)


def size(option: str, text: str) -> int:
    """Return bytes: of "24GiB", "24G" (both 24 * 2**30), "80GB" (80 * 10**9) or "25769803776".

    Raises UsageError for any other text and for less than 1 MiB, where a unit was forgotten.
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]*)", text.strip())
    unit = {name.lower(): factor for name, factor in _UNITS.items()}.get(match[2].lower()) if match else None
    count = 0 if match is None or unit is None else int(float(match[1]) * unit)
    if count < LEAST:
        read = f"that is {count} bytes; " if count else ""
        raise UsageError(f"{option} {text}: {read}give a size of at least 1MiB, such as 24GiB, 80GB or 512MiB.")
    return count


def gib(count: int | float | None) -> str:
    """Return bytes in readable form: "3.51 GiB", "812 MiB"."""
    if count is None:
        return "unknown"
    return f"{count / 2**30:.2f} GiB" if abs(count) >= 2**30 else f"{count / 2**20:.0f} MiB"
