"""Keep freed memory for the next batch. By default glibc maps every large tensor anew, and the kernel zeroes
it page by page: a fifth of a training step (`benchmarks/train_step.py`) and half of a forward pass of
MobileNetV2 (`benchmarks/forward.py`)."""

import ctypes
import sys
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def reuse_memory() -> None:
    """Make glibc serve large blocks from its heap and keep freed memory until the process ends. No effect
    without glibc."""
    if (mallopt := _of_glibc("mallopt")) is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)


def share_memory() -> None:
    """Let the threads to come share two heaps. Each would have its own, and a server with dozens of threads
    would keep in each what they needed at their busiest."""
    if (mallopt := _of_glibc("mallopt")) is not None:
        mallopt(M_ARENA_MAX, 2)


def give_back_memory() -> None:
    """Return free memory to the system: otherwise a server keeps the largest amount that each of its threads
    has needed."""
    if (malloc_trim := _of_glibc("malloc_trim")) is not None:
        malloc_trim(0)


def _of_glibc(name: str) -> Any:
    """A function of glibc; None elsewhere, as with musl."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
