"""Parts of runs whose damage was found after they were opened: which columns are read when a run is opened
says nothing of the others. The run is opened without them from then on."""

from pathlib import Path

_KNOWN: set[tuple[str, int, int]] = set()


def note_damage(path: Path) -> None:
    _KNOWN.add(_key(path))


def is_damaged(path: Path) -> bool:
    """Whether it was found to be damaged; one that was written again since is not."""
    return bool(_KNOWN) and _key(path) in _KNOWN


def _key(path: Path) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return str(path), -1, -1
    return str(path.resolve()), stat.st_size, stat.st_mtime_ns
