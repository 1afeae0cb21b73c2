"""The peak operations per second of devices, dense, by name and arithmetic, with the source.

fp32: without tensor cores (torch's default for float32 products). tf32: float32 products on tensor cores, where
`torch.backends.cuda.matmul` allows it. bf16: tensor cores. A data sheet's figure with sparsity is halved. Torch is not
imported.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Peak:
    """A device's peak in TFLOPS; None where it lacks this arithmetic. marks: parts of its name, all in lower case."""

    marks: tuple[str, ...]
    fp32: float
    tf32: float | None
    bf16: float | None
    source: str


PEAKS = (
    Peak(("h100", "pcie"), 51, 378, 756, "NVIDIA H100 Tensor Core GPU data sheet"),
    Peak(("h100", "hbm3"), 67, 494.5, 989.5, "NVIDIA H100 Tensor Core GPU data sheet (SXM)"),
    Peak(("h200",), 67, 494.5, 989.5, "NVIDIA H200 Tensor Core GPU data sheet (SXM)"),
    Peak(("a100",), 19.5, 156, 312, "NVIDIA A100 Tensor Core GPU data sheet"),
    Peak(("a30",), 10.3, 82, 165, "NVIDIA A30 Tensor Core GPU data sheet"),
    Peak(("a10",), 31.2, 62.5, 125, "NVIDIA A10 Tensor Core GPU data sheet"),
    Peak(("l40s",), 91.6, 183, 362, "NVIDIA L40S data sheet"),
    Peak(("l4",), 30.3, 60, 121, "NVIDIA L4 Tensor Core GPU data sheet"),
    Peak(("v100", "sxm"), 15.7, None, None, "NVIDIA V100 Tensor Core GPU data sheet"),
    Peak(("v100", "pcie"), 14, None, None, "NVIDIA V100 Tensor Core GPU data sheet"),
    Peak(("t4",), 8.1, None, None, "NVIDIA T4 Tensor Core GPU data sheet"),
)


def find(name: str, arithmetic: str) -> tuple[float | None, str]:
    """Return (peak operations per second, the source), or (None, why it is unknown). arithmetic: fp32, tf32 or bf16."""
    lowered = name.lower().replace("-", " ")
    if "mig" in lowered.split():
        return None, f"{name} is a part of a device, for which no data sheet gives a peak"
    peak = None if "nvl" in lowered else next((row for row in PEAKS if _fits(row.marks, lowered)), None)
    if peak is None:
        return None, f"no peak is known for {name} (harness/measurement/peak_flops.py)"
    most = getattr(peak, arithmetic)
    if most is None:
        return None, f"{name} has no {arithmetic} arithmetic of its own"
    return most * 1e12, f"{peak.source}, {arithmetic}"


def _fits(marks: tuple[str, ...], lowered: str) -> bool:
    """Return whether a name has these marks.

    The first mark is the model's number, so it must be a separate word: an A100 is no A10. The others may be parts.
    """
    return marks[0] in lowered.split() and all(mark in lowered for mark in marks[1:])
