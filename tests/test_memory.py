"""Heaps of the C library, which a server's threads share."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAPS = """
import ctypes, os, sys, threading
from models import memory
if sys.argv[1] == "shared": memory.share_memory()
inside = threading.Barrier(8)
def work():
    inside.wait(10)
    kept = [bytearray(2000) for _ in range(200)]  # too large for Python's own arenas
    inside.wait(10)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has these heaps")
@pytest.mark.parametrize(("how", "most"), [("shared", 2), ("alone", 9)])
def test_threads_share_two_heaps(how: str, most: int) -> None:
    """Without it, each of eight threads has one; `malloc_info` lists them."""
    root = Path(__file__).parent.parent
    run = [sys.executable, "-c", HEAPS, how]
    info = subprocess.run(run, cwd=root, capture_output=True, text=True, check=True, env={}).stdout
    count = info.count("<heap nr=")
    assert count <= most
    assert (count > 2) == (how == "alone")
