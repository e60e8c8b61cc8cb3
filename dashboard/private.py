"""What must be told to Gradio before it is imported: no analytics, and a folder of our own for uploads that ends with us."""

import atexit
import os
import shutil
import tempfile
import time
from collections import deque
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

PREFIX = "vitrine-uploads-"
SOON = 60.0  # seconds after which a photo that was looked at is removed: another visitor may have sent the same at the same moment
OLD = 600.0  # seconds after which a file that came or went is forgotten
ABANDONED = 86400.0  # seconds after which the folder of a server that was killed is taken away; living ones touch theirs
ROOM = 500_000_000  # bytes of all uploads together

UPLOADS = "" if os.environ.get("GRADIO_TEMP_DIR") else tempfile.mkdtemp(prefix=PREFIX)
"""The folder that was made here; empty where the environment names one, which is left alone."""
_looked_at = deque[tuple[float, Path]]()


def remove_uploads() -> None:
    if UPLOADS:
        shutil.rmtree(UPLOADS, ignore_errors=True)


def keep_alive() -> None:
    """Say to other servers that this folder is in use."""
    if UPLOADS:
        Path(UPLOADS).touch()


def sweep(now: float | None = None) -> None:
    """Forget what was uploaded or handed out a while ago, and the folders of servers that were killed."""
    now = now or time.time()
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if str(folder) != UPLOADS and now - _changed(folder) > ABANDONED:
            shutil.rmtree(folder, ignore_errors=True)
    if UPLOADS:
        for file in _files():
            if now - _changed(file) > OLD:
                file.unlink(missing_ok=True)


def forget_later(file: Path) -> None:
    _looked_at.append((time.monotonic(), file))
    forget_due()


def forget_due() -> None:
    """Remove photos that were looked at a while ago, unless they were sent again since."""
    while _looked_at and time.monotonic() - _looked_at[0][0] >= SOON:
        _, file = _looked_at.popleft()
        if time.time() - _changed(file) >= SOON:
            file.unlink(missing_ok=True)
        elif file.exists():
            _looked_at.append((time.monotonic(), file))


def uploads_fit() -> bool:
    """Whether another upload may be taken."""
    return sum(_size(file) for file in _files()) < ROOM


def _files() -> list[Path]:
    return [file for file in Path(UPLOADS).rglob("*") if file.is_file()] if UPLOADS else []


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone by now
        return time.time()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


if UPLOADS:
    os.environ["GRADIO_TEMP_DIR"] = UPLOADS
    atexit.register(remove_uploads)
