"""What reading NVML beside training costs: the same steps with and without, in turns, in one process.

python tests/benchmarks/sampling.py [milliseconds between readings] [rounds]        aim: below 1 %

The library is a stand-in whose every call computes about 20 microseconds without Python's lock, as a driver's does.
Printed are the ratio of wall times, which other processes blur, and the sampling thread's processor time as a share
of the wall time, which they do not: what sampling costs where the thread has no core of its own.
"""

import hashlib
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch import nn

from harness.measurement.memory_sampler import Sampler
from harness.measurement.nvml import Device
from tests.harness.measurement.fake_nvml import FakeNvml, Gpu

STEPS = 20  # of one turn
WORK = bytes(20_000)  # hashing so much takes a driver's time, and releases the lock


class Driver(FakeNvml):
    """Answers after some work."""

    def _called(self, name: str) -> None:
        hashlib.sha256(WORK)


def turn(model: nn.Module, batch: torch.Tensor, optimizer: torch.optim.Optimizer) -> float:
    """Seconds of some training steps."""
    started = time.perf_counter()
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        model(batch).square().mean().backward()
        optimizer.step()
    return time.perf_counter() - started


def main(interval_ms: float, rounds: int) -> None:
    torch.set_num_threads(1)
    model = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
    batch = torch.randn(16, 32, 128)
    optimizer = torch.optim.AdamW(model.parameters())
    turn(model, batch, optimizer)
    walls, shares, samples = [], [], 0
    for _ in range(rounds):
        bare = turn(model, batch, optimizer)
        sampler = Sampler(Device(Driver(), Gpu()), interval_ms / 1000, lambda row: None)
        sampler.start()
        sampler.enter("train")
        watched = turn(model, batch, optimizer)
        sampler.stop()
        walls.append(watched / bare)
        shares.append(sampler.thread_s / watched)
        samples += sampler.samples
    print(f"a reading every {interval_ms:g} ms, {rounds} rounds of {STEPS} steps, {samples} readings; medians:")
    print(f"  a step without                               {1000 * bare / STEPS:.1f} ms")
    print(f"  wall time, with / without                    {statistics.median(walls):.4f}")
    print(f"  the sampling thread's share of the wall time {statistics.median(shares):.4f}")


if __name__ == "__main__":
    main(*(kind(word) for kind, word in zip((float, int), [*sys.argv[1:], "10", "30"][:2], strict=True)))
