"""Settings of Gradio that must be made before it is imported: no analytics, and a folder for uploads that is
removed at the end."""

import atexit
import os
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from models.files import temporary

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# Gradio sums up its last 10,000 events, for a page that is off here, after every single event
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "10")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")

NAME = "uploads"
# seconds after which a photo that was opened is removed: another visitor may have sent the same one at the
# same moment
SOON = 60.0
OLD = 600.0  # seconds after which an uploaded or downloaded file is removed
ROOM = 500_000_000  # bytes of all uploads together

UPLOADS = "" if os.environ.get("GRADIO_TEMP_DIR") else str(temporary.make(NAME))
"""The folder that was made here; empty where the environment names one, which is left alone."""
_looked_at = deque[tuple[float, Path, int]]()
_first_seen: dict[Path, tuple[float, int]] = {}


def remove_uploads() -> None:
    if UPLOADS:
        temporary.remove(Path(UPLOADS))


def sweep() -> None:
    """Remove files that are older than `OLD`, and those of killed processes. The age counts from when a file
    was first found here: file times can be changed."""
    temporary.sweep()
    now, files = time.monotonic(), {file: _changed(file) for file in _files()}
    for gone in set(_first_seen) - set(files):
        del _first_seen[gone]
    for file, changed in files.items():
        since, known = _first_seen.get(file, (now, changed))
        if known != changed:
            since = now
        _first_seen[file] = (since, changed)
        if now - since >= OLD:
            _unlink(file)


def forget_later(file: Path) -> None:
    _looked_at.append((time.monotonic(), file, _changed(file)))
    forget_due()


def forget_due() -> None:
    """Remove photos that were opened more than `SOON` ago, unless they were sent again since."""
    while _looked_at and time.monotonic() - _looked_at[0][0] >= SOON:
        _, file, changed = _looked_at.popleft()
        if _changed(file) == changed:
            _unlink(file)
        elif file.exists():
            _looked_at.append((time.monotonic(), file, _changed(file)))


def uploads_fit() -> bool:
    """Whether another upload may be taken; the folder is made again where somebody removed it."""
    if UPLOADS and not (Path(UPLOADS) / temporary.LOCK).is_file():
        with suppress(OSError):
            if not Path(UPLOADS).is_dir():
                Path(UPLOADS).unlink(missing_ok=True)
            temporary.hold(Path(UPLOADS))
    return sum(_size(file) for file in _files()) < ROOM


def _files() -> list[Path]:
    found: list[Path] = []
    if UPLOADS:
        with suppress(OSError):  # a folder that is removed while it is read
            found += [
                file for file in Path(UPLOADS).rglob("*") if file.name != temporary.LOCK and file.is_file()
            ]
    return found


def _unlink(file: Path) -> None:
    with suppress(OSError):
        file.unlink()


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # gone by now
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


if UPLOADS:
    os.environ["GRADIO_TEMP_DIR"] = UPLOADS
    atexit.register(remove_uploads)
