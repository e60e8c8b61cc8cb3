"""A folder of runs: what is in each of them, read from the files that are written first and last, and kept as
long as they do not change."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from explain.run.format import MANIFEST, REQUEST, SAMPLES, Manifest, read_manifest
from models.errors import UserError

DEPTH = 2  # levels below the folder at which runs are found
EVERY = 1.0
MOST = 5_000
"""Runs that are listed, the first by name."""


@dataclass(frozen=True)
class RunEntry:
    """One run. `name`: its path below the folder, with slashes; `stamp`: changes with its manifest; `date`:
    when it ended, or began where it has not, as ISO text; `images`: None where the manifest does not say it;
    `problem`: in one line, why it cannot be opened."""

    name: str
    folder: Path
    stamp: tuple[int, ...]
    date: str = ""
    network: str = ""
    data: str = ""
    images: int | None = None
    status: str = ""
    problem: str = ""


class RunFolder:
    """The runs in a folder, and in its folders. `every`: seconds for which it is not looked into again."""

    def __init__(self, folder: Path, every: float = EVERY):
        self.folder, self._every = folder, every
        self._known: dict[str, RunEntry] = {}
        self._read: float | None = None
        self._lock = threading.Lock()

    def entries(self) -> list[RunEntry]:
        """All runs, by name. Only what has changed is read again."""
        with self._lock:
            now = time.monotonic()
            if self._read is not None and now - self._read < self._every:
                return list(self._known.values())
            self._read, found = now, dict[str, RunEntry]()
            for name, folder in _runs_in(self.folder):
                stamp, before = _stamp(folder), self._known.get(name)
                found[name] = before if before and before.stamp == stamp else _entry(name, folder, stamp)
                if len(found) == MOST:
                    break
            self._known = dict(sorted(found.items()))
            return list(self._known.values())

    def named(self, path: str) -> str:
        """The name of the run with which a path begins; empty where it begins with none. Nothing is read."""
        parts, known = path.split("/"), self._known
        for count in range(min(len(parts), DEPTH), 0, -1):
            if (name := "/".join(parts[:count])) in known:
                return name
        return ""

    def get(self, name: str) -> RunEntry:
        """A run as it is now. Raises UserError for a name that is none of the folder."""
        before = self._known.get(name)
        if before is None:
            raise UserError(f"There is no run '{name[:80]}' here: go back to the list of runs.")
        stamp = _stamp(before.folder)
        return before if stamp == before.stamp else _entry(name, before.folder, stamp)


def is_run(folder: Path) -> bool:
    return os.path.lexists(folder / REQUEST)


def _runs_in(folder: Path, above: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Path]]:
    """Names and folders of runs. Hidden folders, and those of a run, are not looked into."""
    below: list[tuple[str, Path]] = []
    with suppress(OSError), os.scandir(folder) as items:
        below = sorted((i.name, Path(i.path)) for i in items if not i.name.startswith(".") and _is_folder(i))
    for name, path in below:
        if is_run(path):
            yield above + name, path
        elif depth > 1:
            yield from _runs_in(path, f"{above}{name}/", depth - 1)


def _is_folder(item: "os.DirEntry[str]") -> bool:
    """A name that cannot be shown or linked is left out."""
    with suppress(OSError, UnicodeEncodeError):
        item.name.encode()
        return item.is_dir()
    return False


def _stamp(folder: Path) -> tuple[int, ...]:
    found: list[int] = []
    for name in (REQUEST, MANIFEST, SAMPLES):
        try:
            stat = (folder / name).stat()
            found += [stat.st_mtime_ns, stat.st_size]
        except OSError:
            found += [0, -1]
    return tuple(found)


def _entry(name: str, folder: Path, stamp: tuple[int, ...]) -> RunEntry:
    """Whatever is there: a run that cannot be read has its reason."""
    written = datetime.fromtimestamp(max(stamp[0], stamp[2]) / 1e9, UTC).isoformat(timespec="seconds")
    try:
        manifest = read_manifest(folder)
    except (UserError, OSError, ValueError, TypeError, RecursionError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return RunEntry(name, folder, stamp, written, status="unreadable", problem=first)
    images = sum(manifest.counts.values()) if manifest.counts else None
    data = manifest.request.data
    return RunEntry(
        name, folder, stamp, _date(manifest) or written, manifest.network, data, images, manifest.status
    )


def _date(manifest: Manifest) -> str:
    try:
        return datetime.fromisoformat(manifest.finished).astimezone(UTC).isoformat(timespec="seconds")
    except ValueError:
        return ""
