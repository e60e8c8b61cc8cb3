"""Whether the process that a file names still runs: another one may have its id by now."""

import os
from pathlib import Path

ENDED = "ended"


def birth(pid: int) -> str:
    """Start time of a process on Linux (clock ticks since boot); `ENDED` for a zombie; empty where it is not
    known."""
    try:
        after = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return ENDED if after[0] == "Z" else after[19]


def runs(pid: int, born: str) -> bool:
    """Whether the process with this id runs and was started at `born`, as `birth` says it."""
    if pid < 1:  # a group of processes, which a damaged file may name
        return False
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    now = birth(pid)
    return now == born if now else True  # where the start time of a process is not known
