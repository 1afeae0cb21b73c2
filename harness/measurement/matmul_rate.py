"""The rate of large matrix products that a device reaches: a yardstick that was measured, beside the data sheet's."""

import statistics
import time

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TIMES = 10
WARM_UP = 3


def measure(device: torch.device, precision: str, size: int = 8192, times: int = TIMES) -> float:
    """Return the operations per second of products of two random square matrices [size, size], the median of `times`.

    A multiplication and an addition are two operations. Random values are taken, since products of zeros take less
    power and are faster on a GPU.
    """
    left, right = (torch.randn(size, size, device=device).to(DTYPES[precision]) for _ in range(2))
    taken = []
    for turn in range(WARM_UP + times):
        wait(device)
        started = time.perf_counter()
        torch.matmul(left, right)
        wait(device)
        if turn >= WARM_UP:
            taken.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(taken)


def wait(device: torch.device) -> None:
    """Wait until a GPU has done all that it was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
