"""Temporary folders that are removed even after their process was killed: each has a lock, which the system
releases when the process ends."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX, LOCK = "vitrine-", ".in-use"
DAY = 86400.0  # seconds after which a folder without a lock is removed; a younger one may be in the making
_held: dict[Path, FileLock] = {}


@contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """An empty folder for this process; folders of killed processes are removed first."""
    sweep()
    folder = make(name)
    try:
        inside = folder / "files"
        inside.mkdir()
        yield inside
    finally:
        remove(folder)


def make(name: str) -> Path:
    """A new folder, locked by this process until it removes it or ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-"))
    hold(folder)
    return folder


def hold(folder: Path) -> None:
    """Mark the folder as in use; made first where it is gone."""
    if (old := _held.pop(folder, None)) is not None:
        with suppress(OSError):
            old.release(force=True)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    with suppress(NotImplementedError, OSError, Timeout):  # a file system without locks
        lock.acquire(timeout=0)
    _held[folder] = lock


def remove(folder: Path) -> None:
    if (lock := _held.pop(folder, None)) is not None:
        with suppress(OSError):
            lock.release(force=True)
    shutil.rmtree(folder, ignore_errors=True)


def sweep(now: float | None = None) -> None:
    """Remove the folders of killed processes. Raises nothing."""
    with suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            if folder not in _held and folder.is_dir() and _abandoned(folder, now or time.time()):
                shutil.rmtree(folder, ignore_errors=True)


def _abandoned(folder: Path, now: float) -> bool:
    try:
        if not (folder / LOCK).is_file():
            return now - folder.stat().st_mtime > DAY
        with FileLock(folder / LOCK, timeout=0):
            return True
    except (Timeout, NotImplementedError, OSError):  # in use, or another person's
        return False
