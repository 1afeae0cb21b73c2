"""A process that keeps its freed memory has it again at once, until it gives it back."""

import subprocess
import sys

import pytest

from harness import assets
from harness.measurement import freed_memory

SCRIPT = """
import psutil, sys
from harness.measurement import freed_memory
own = psutil.Process()
resident = lambda: own.memory_info().rss // 2**20
assert freed_memory.keep() is True
start = resident()
def fill(size):
    blocks = [bytearray(size) for _ in range(8)]
    for block in blocks:
        block[::4096] = b"x" * len(block[::4096])
fill(int(sys.argv[1]) * 2**20)
after = resident()
freed_memory.give_back()
print(after - start, resident() - start)
"""


def left(size: int) -> tuple[int, int]:
    """Return the MiB that stay after 8 blocks of `size` MiB each were freed: before they are given back, and after."""
    words = [sys.executable, "-c", SCRIPT, str(size)]
    done = subprocess.run(words, cwd=assets.root(), capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    return before, after


@pytest.mark.skipif(freed_memory._library() is None, reason="the C library is not glibc")
def test_freed_memory_stays_until_it_is_given_back() -> None:
    before, after = left(40)  # glibc's own rule never keeps a block of more than 32 MiB
    assert before >= 300
    assert after <= 20


@pytest.mark.skipif(freed_memory._library() is None, reason="the C library is not glibc")
def test_little_freed_memory_is_not_given_back() -> None:
    before, after = left(4)
    assert before == after >= 30


def test_another_c_library_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freed_memory, "_library", lambda: None)
    assert freed_memory.keep() is False
    freed_memory.give_back()
