"""What devices can compute at most, dense, in operations per second: by name, arithmetic, and with the source.

fp32: without tensor cores (torch's default for float32 products); tf32: float32 products on tensor cores, where
`torch.backends.cuda.matmul` allows it; bf16: tensor cores. A data sheet's figure with sparsity is halved. Torch-free.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Peak:
    """marks: all must stand in the device's name, in lower case. TFLOPS; None: the device lacks this arithmetic."""

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
    """(operations per second at most, their source), or (None, why it is not known). arithmetic: fp32, tf32, bf16."""
    said = name.lower().replace("-", " ")
    if "mig" in said.split():
        return None, f"{name} is a part of a device: no data sheet says what it can compute"
    peak = None if "nvl" in said else next((one for one in PEAKS if _fits(one.marks, said)), None)
    if peak is None:
        return None, f"no peak is known for {name} (harness/measurement/peak_flops.py)"
    most = getattr(peak, arithmetic)
    if most is None:
        return None, f"{name} has no {arithmetic} arithmetic of its own"
    return most * 1e12, f"{peak.source}, {arithmetic}"


def _fits(marks: tuple[str, ...], said: str) -> bool:
    """The first mark is the model's number, so a word of its own: an A100 is no A10. The others may be parts."""
    return marks[0] in said.split() and all(mark in said for mark in marks[1:])
