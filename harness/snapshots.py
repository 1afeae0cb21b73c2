"""Deltas kept during training, for probes that look at it from inside: after which steps, in which files. Torch-free.

They stand in the attempt's folder beside those of the best and the last point; inside.py writes them.
"""

from pathlib import Path

LAST = "delta-last.safetensors"
PATTERN = "delta-step-*.safetensors"


def steps(total: int, count: int) -> tuple[int, ...]:
    """`count` equally spaced steps of a training of `total`, its last one among them; fewer where it is shorter."""
    return tuple(sorted({round(total * k / count) for k in range(1, count + 1)} - {0}))


def name(step: int) -> str:
    """The file that holds the delta after a step that is not the last."""
    return PATTERN.replace("*", str(step))


def files(folder: Path, total: int, count: int) -> dict[int, Path]:
    """step -> where the delta after it is, if it was kept."""
    return {step: folder / (LAST if step == total else name(step)) for step in steps(total, count)}
