"""Ctrl-C that is not lost.

Python drops an exception that is raised while it starts a worker process or destroys an object: it prints
"Exception ignored in", and the work goes on. So a signal is also written down, and long work looks between
two batches.
"""

import signal
import threading
from types import FrameType

_asked = threading.Event()


def listen() -> None:
    """From now on SIGINT and SIGTERM raise KeyboardInterrupt. A shell's background jobs ignore SIGINT unless
    this is asked for. Only in the main thread."""
    _asked.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def raise_if_interrupted() -> None:
    """Raises KeyboardInterrupt where a signal came since `listen`, unless others take the signals by now."""
    if _asked.is_set() and signal.getsignal(signal.SIGINT) is _interrupt:
        raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt
