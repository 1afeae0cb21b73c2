"""Whether a process keeps the memory that it frees for its next tensors. Torch is not imported.

glibc maps a large block anew for each large tensor and gives it back afterwards, so the kernel clears its pages again
and again: up to a sixth of the time of a step of full fine-tuning. A process that keeps freed memory pays once. It
gives it back where its memory is read (memory.py), so that what a phase leaves does not count for the next.
"""

import ctypes
from functools import cache
from typing import Any

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Settings in glibc's malloc.h, there with the prefix M_: the bytes at the end of the heap above which they are given
back when they are freed, and the number of blocks that may be mapped by themselves."""
NEVER = 2**31 - 1
FEW = 64 * 2**20
"""Free bytes that are not worth giving back. glibc itself keeps as many, once a process has freed a large block."""


class _Usage(ctypes.Structure):
    """glibc's mallinfo2: all of its fields are sizes, and `fordblks` are the free bytes."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]  # fmt: skip


def keep() -> bool:
    """Keep what this process frees from now on. Return whether its C library can do so; glibc can."""
    library = _library()
    return library is not None and bool(library.mallopt(MMAP_MAX, 0) and library.mallopt(TRIM_THRESHOLD, NEVER))


def give_back() -> None:
    """Give the free pages back to the system where they are more than FEW, and where the C library can."""
    library = _library()
    if library is not None and library.mallinfo2().fordblks > FEW:
        library.malloc_trim(0)


@cache
def _library() -> Any:
    """Return glibc, or None where the process has another C library or an old one."""
    try:
        library = ctypes.CDLL(None)
        library.mallinfo2.restype = _Usage
    except (OSError, TypeError, AttributeError):  # TypeError: Windows
        return None
    return library
