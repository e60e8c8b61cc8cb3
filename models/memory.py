"""Keep freed memory for the next batch. By itself glibc maps every large tensor anew, and the kernel zeroes
it page by page: that was a fifth of a training step (`benchmarks/train_step.py`) and half of a forward pass
of MobileNetV2 (`benchmarks/forward.py`)."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def reuse_memory() -> None:
    """Tell glibc to serve large blocks from its heap, and to give nothing back before the process ends;
    elsewhere nothing."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
