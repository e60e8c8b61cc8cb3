"""Where local copies of runs at URLs lie, what is known of their files, and how much room they may take.

runs/KEY/NAME/         the copy: a run folder. KEY: of the URL of the folder that the run is in
runs/KEY/NAME.files    one line per file and change: what was copied (`Journal`)
runs/KEY/NAME.lock     held while files are copied
runs/KEY/NAME.users/   the processes that have it open
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from models.data.remote.files import Entry
from models.errors import UserError
from models.files.cache_folder import cache_folder
from models.process_identity import birth, runs

FOLDER, FILES, LOCK, USERS = "runs", ".files", ".lock", ".users"
LIMIT, MOST_GB = "VITRINE_RUNS_GB", 50.0
"""Environment variable with the room for all copies; its default, in GB of 10⁹ bytes."""


@dataclass(frozen=True)
class Known:
    """A file when it was copied: `stamp` of the server; `size` and time of change (`changed`, nanoseconds) of
    the copy."""

    stamp: str
    size: int
    changed: int


class Journal:
    """What is known of each file of a copy. A line that a kill tore is skipped: its file is copied again."""

    def __init__(self, file: Path):
        self.file = file
        self.files = dict(_lines(file))

    def keep(self, name: str, entry: Entry, copy: Path) -> None:
        stat = copy.stat()
        self._add(name, Known(entry.stamp, stat.st_size, stat.st_mtime_ns))

    def owe(self, name: str, entry: Entry) -> None:
        """The copy has all that is there, and more, which is to be written."""
        self._add(name, Known(entry.stamp, -1, -1))

    def forget(self, name: str) -> None:
        if self.files.pop(name, None) is not None:
            self._append([name, None])

    def compact(self) -> None:
        """One line per file from here on."""
        lines = [json.dumps([name, vars(known)]) for name, known in self.files.items()]
        self.file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")

    def as_copied(self, name: str, copy: Path) -> bool:
        """Whether a file is as it was when it was copied."""
        known = self.files.get(name)
        if known is None:
            return False
        try:
            stat = copy.stat()
        except OSError:
            return False
        return (stat.st_size, stat.st_mtime_ns) == (known.size, known.changed)

    def _add(self, name: str, known: Known) -> None:
        self.files[name] = known
        self._append([name, vars(known)])

    def _append(self, line: list[object]) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _lines(file: Path) -> Iterator[tuple[str, Known]]:
    found = dict[str, Known]()
    with suppress(OSError):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, TypeError, KeyError):
                name, known = json.loads(line)
                if known is None:
                    found.pop(name, None)
                else:
                    found[name] = Known(str(known["stamp"]), int(known["size"]), int(known["changed"]))
    yield from found.items()


@dataclass(frozen=True)
class Place:
    """`folder`: the copy of the run at `url`."""

    url: str
    folder: Path

    @classmethod
    def of(cls, url: str) -> "Place":
        key = hashlib.sha256(url.rpartition("/")[0].encode()).hexdigest()[:16]
        name = re.sub(r"[^\w.-]", "_", url.rpartition("/")[2]) or "run"
        return cls(url, cache_folder().absolute() / FOLDER / key / name)

    @property
    def above(self) -> str:
        """The URL of the folder that the run is in."""
        return self.url.rpartition("/")[0]

    def beside(self, suffix: str) -> Path:
        return self.folder.with_name(self.folder.name + suffix)

    def use(self) -> None:
        """Mark the copy as open in this process. Raises UserError where the cache cannot be written."""
        try:
            users = self.beside(USERS)
            users.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(exist_ok=True)
            (users / str(os.getpid())).write_text(birth(os.getpid()))
            self.beside(FILES).touch()
        except OSError as error:
            raise UserError(
                f"'{cache_folder()}' cannot be written ({error.strerror or error}), where the run at "
                f"'{self.url}' is copied: set VITRINE_CACHE to a folder that can."
            ) from error


def require_room(place: Place, wanted: int) -> None:
    """Remove the copies that were opened longest ago until all of them, with `wanted` bytes for this one, are
    within the limit; copies in use stay. Raises UserError where the disk has less than that."""
    most = _limit()
    copies = sorted(_copies(), key=lambda folder: _opened(folder))
    total = wanted + sum(map(_bytes_of, copies))
    for folder in copies:
        if total > most and folder != place.folder and not _in_use(folder):
            total -= _bytes_of(folder)
            _remove(folder)
    free = shutil.disk_usage(place.folder).free
    if wanted > free:
        raise UserError(
            f"'{place.url}' needs {wanted / 1e9:.1f} GB on this machine, where {free / 1e9:.1f} GB are free "
            f"in '{cache_folder()}': free space, or set VITRINE_CACHE to a folder with more."
        )


def _limit() -> float:
    given = os.environ.get(LIMIT, "")
    try:
        return float(given or MOST_GB) * 1e9
    except ValueError:
        raise UserError(f"{LIMIT} is '{given[:40]}': give a number of gigabytes, such as 50.") from None


def _copies() -> list[Path]:
    return [file.with_suffix("") for file in (cache_folder().absolute() / FOLDER).glob(f"*/*{FILES}")]


def _opened(folder: Path) -> float:
    return folder.with_name(folder.name + FILES).stat().st_mtime


def _bytes_of(folder: Path) -> int:
    sizes = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                sizes += os.stat(os.path.join(where, name)).st_size
    return sizes


def _in_use(folder: Path) -> bool:
    """By a process that runs, or with results that were not written to the URL."""
    for user in folder.with_name(folder.name + USERS).glob("*"):
        with suppress(OSError, ValueError):
            if runs(int(user.name), user.read_text()):
                return True
            user.unlink()
    journal = Journal(folder.with_name(folder.name + FILES))
    return any(not journal.as_copied(file.name, file) for file in folder.glob("*.jsonl"))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for suffix in (FILES, LOCK):
        folder.with_name(folder.name + suffix).unlink(missing_ok=True)
    shutil.rmtree(folder.with_name(folder.name + USERS), ignore_errors=True)
