"""A run at a URL and its copy on this machine, a run folder like any other: what changed there is fetched
when the run is opened, and what changed here is written there. The listing of the URL decides."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from explain.run.format import (
    BY_LABEL,
    COLUMNS,
    DERIVED,
    MANIFEST,
    MAPS,
    METADATA,
    MODEL,
    NOTES,
    NOTES_LOCK,
    REQUEST,
    REVIEW,
    SAMPLES,
    TRUST,
)
from explain.run.format import LOCK as WRITES
from explain.run.people.appended import PATIENCE
from explain.run.remote.mirror_cache import FILES, LOCK, Journal, Place, require_room
from explain.run.remote.mirrors import mirror_of
from explain.run.remote.writer_lock import FILE as WRITER
from explain.run.remote.writer_lock import WriterLock
from models.data.remote.files import Entry, pool
from models.data.remote.store import RemoteStore
from models.errors import UserError
from models.files.atomic import SUFFIX, atomic
from models.files.shown_paths import show_as

APPENDED = (NOTES, REVIEW)
"""Files of people, to which lines are added: those of both sides are kept."""
OWN = (REQUEST, MANIFEST, METADATA, MODEL, SAMPLES, MAPS)
"""What the run itself wrote, files and folders; who only reads it changes none of them."""
FOLDERS = (SAMPLES, MAPS, TRUST, BY_LABEL)
TOP = (REQUEST, MANIFEST, METADATA, MODEL, *APPENDED, *(name for name in DERIVED if name != COLUMNS))
"""Files that are copied, besides those in `FOLDERS`. `COLUMNS` is of the copies of the parts here."""


def opened_mirror(url: str) -> "Mirror":
    """The run at a URL, with its copy brought up to date; one for each URL and process. Raises UserError
    where that cannot be read."""
    place = Place.of(url)
    known = mirror_of(place.folder)
    mirror = known if isinstance(known, Mirror) else Mirror(place)
    if not mirror.writes:  # its copy is newer then
        mirror.open()
    return mirror


@dataclass(eq=False)
class Mirror:
    """`place`: of the copy. Safe to be used by several threads and processes."""

    place: Place
    _lock: WriterLock | None = None  # while this process writes the run
    _threads: threading.RLock = field(default_factory=threading.RLock)
    _restored: set[str] = field(default_factory=set)
    _uploads: Future[None] | None = None

    @property
    def url(self) -> str:
        return self.place.url

    @property
    def writes(self) -> bool:
        return self._lock is not None

    @property
    def folder(self) -> Path:
        return self.place.folder

    @cached_property
    def store(self) -> RemoteStore:
        return RemoteStore(self.url)

    @cached_property
    def _journal(self) -> Journal:
        return Journal(self.place.beside(FILES))

    @cached_property
    def _processes(self) -> FileLock:
        return FileLock(self.place.beside(LOCK), thread_local=False)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._threads, self._processes:
            yield

    # -- from the URL ----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Make the copy, with all that is at the URL. Raises UserError where that cannot be read."""
        self.place.use()
        show_as(self.folder, self.url)
        show_as(self.folder.parent, self.place.above)
        with self._alone():
            self._journal.compact()
        self.fetch()

    def fetch(self) -> None:
        """Bring the copy up to date; files that did not change are not fetched again. Nothing is done while
        another process of this machine writes the run."""
        with self._alone():
            if not self.writes and _is_written(self.folder):
                return
            listed = self.store.listed()
            if self.writes and REQUEST not in listed and (others := set(listed) - {WRITER}):
                raise UserError(
                    f"'{self.url}' holds other files, such as {min(others)[:60]}, and is no run: choose "
                    "another --out."
                )
            there = {name: entry for name, entry in listed.items() if is_of_run(name)}
            here = set(self._here())
            gone = [n for n in here - set(there) if self._is_gone(n)]
            stale = [n for n in there if not self._is_copied(n, there[n])]
            if any(_is_own(name) for name in (*gone, *stale)):  # no one sees a complete run meanwhile
                (self.folder / MANIFEST).unlink(missing_ok=True)
                stale = list(dict.fromkeys([*stale, *(n for n in (MANIFEST,) if n in there)]))
            for name in gone:
                (self.folder / name).unlink(missing_ok=True)
                self._journal.forget(name)
            self._fetch_all(stale, there)

    def _is_gone(self, name: str) -> bool:
        """Whether a file that is not at the URL was there before, or has to be; not where only this machine
        has it: that is to be written."""
        if name in APPENDED:
            return self._journal.as_copied(name, self.folder / name)
        return name in self._journal.files or _is_own(name)

    def _is_copied(self, name: str, there: Entry) -> bool:
        """Whether the copy of a file has what is there; also where it has more, which is to be written."""
        known = self._journal.files.get(name)
        same = known is not None and known.stamp == there.stamp
        file = self.folder / name
        return same and (self._journal.as_copied(name, file) or (not _is_own(name) and file.is_file()))

    def _fetch_all(self, names: list[str], there: Mapping[str, Entry]) -> None:
        require_room(self.place, sum(there[name].size or 0 for name in names))
        first = [name for name in names if _order(name) < _order(MANIFEST)]
        with tqdm(total=len(names), desc=f"copy {self.url}", unit="file", delay=1, leave=False) as bar:
            for some in (first, [name for name in names if name not in set(first)]):
                for name in pool().map(lambda name: self._copy(name, there[name]), some):
                    if name not in APPENDED:
                        self._journal.keep(name, there[name], self.folder / name)
                    bar.update()

    def _copy(self, name: str, there: Entry) -> str:
        file = self.folder / name
        if name in APPENDED:
            self._merge(name)
            return name
        try:
            self.store.copy(name, file)
        except FileNotFoundError as error:
            raise UserError(
                f"'{self.url}/{name}' was removed while it was read: start the same command again."
            ) from error
        except OSError as error:
            raise UserError(
                f"'{file.parent}' cannot be written ({error.strerror or error}): free space, or set "
                "VITRINE_CACHE to another folder."
            ) from error
        if there.size is not None and file.stat().st_size != there.size:
            file.unlink()
            raise UserError(
                f"'{self.url}/{name}' has changed while it was read: start the same command again."
            )
        return name

    def restored(self, file: Path) -> bool:
        """Whether a damaged file was fetched again, as the copy alone may be damaged; once for each file."""
        name = self._name(file)
        with self._alone():
            if name not in self._journal.files or name in self._restored:
                return False
            self._restored.add(name)
            if (there := self.store.entry(name)) is None:
                return False
            self._copy(name, there)
            self._journal.keep(name, there, file)
            return True

    @contextmanager
    def writing(self, say: Callable[[str], None]) -> Iterator[None]:
        """The URL is locked, and the copy up to date, until the block ends. Raises UserError where another
        process writes the run, and where the URL cannot be written or holds other files."""
        lock = WriterLock(self.store, say)
        lock.acquire()
        try:
            self._lock = lock
            self.fetch()
            yield
        finally:
            try:
                self._wait()
            finally:
                self._lock = None
                lock.release()

    # -- to the URL ------------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Write what is new or changed here, and, of a run that this process writes, remove what is gone: the
        manifest first, and written last. Raises UserError where it cannot be written."""
        self._wait()
        with self._alone():
            here = set(self._here(own=self.writes))
            if self._lock is not None:
                self._lock.require()
                gone = sorted(set(self._journal.files) - here, key=_order, reverse=True)
                for name in gone:
                    self.store.remove([name])
                    self._journal.forget(name)
            changed = (n for n in here if not self._journal.as_copied(n, self.folder / n))
            for name in sorted(changed, key=lambda name: (_order(name), name)):
                self._write(name)

    def put(self, files: Sequence[Path]) -> None:
        """Write files of a run that this process writes, one after the other, while it goes on. Raises
        UserError where those of the call before could not be written."""
        self._wait()
        self._uploads = _uploader().submit(self._put, files)

    def _put(self, files: Sequence[Path]) -> None:
        with self._alone():
            if self._lock is not None:
                self._lock.require()
            for file in files:
                self._write(self._name(file))

    def _wait(self) -> None:
        """Until what `put` got is written. Raises UserError where it could not be."""
        uploads, self._uploads = self._uploads, None
        if uploads is not None:
            uploads.result()

    def _write(self, name: str) -> None:
        file = self.folder / name
        if name in APPENDED:
            self._merge(name)
        try:
            before, data = file.stat(), file.read_bytes()
        except FileNotFoundError:  # derived files come and go
            return
        entry = self.store.write(name, data)
        if file.is_file() and file.stat().st_mtime_ns == before.st_mtime_ns:  # else it is written again later
            self._journal.keep(name, entry, file)

    def _merge(self, name: str) -> None:
        """Lines of other machines into a file of people, in the order of their times."""
        known, there, file = self._journal.files.get(name), self.store.entry(name), self.folder / name
        if there is None or (known is not None and known.stamp == there.stamp and file.is_file()):
            return
        with FileLock(self.folder / NOTES_LOCK, timeout=PATIENCE):
            theirs = self.store.read(name).decode("utf-8", "replace").splitlines()
            mine = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
            lines = list(dict.fromkeys([*theirs, *mine]))
            with atomic(file) as temporary:
                temporary.write_text("".join(f"{line}\n" for line in sorted(lines, key=_time)), "utf-8")
            if lines == theirs:
                self._journal.keep(name, there, file)
            else:
                self._journal.owe(name, there)

    # -- what a copy holds -----------------------------------------------------------------------------------

    def _here(self, own: bool = True) -> Iterator[str]:
        """Names of the files of the run in the copy. `own`: with those that the run itself wrote."""
        for name in TOP:
            if (own or name not in OWN) and (self.folder / name).is_file():
                yield name
        for top in FOLDERS:
            if own or top not in OWN:
                for file in (self.folder / top).rglob("*"):
                    if file.is_file() and is_of_run(name := self._name(file)):
                        yield name

    def _name(self, file: Path) -> str:
        return file.relative_to(self.folder).as_posix()


@cache
def _uploader() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "upload")


def is_of_run(name: str) -> bool:
    """Whether a name below a run's URL is that of a file of a run: other files are not copied."""
    top, _, below = name.partition("/")
    return name in TOP or (bool(below) and top in FOLDERS and not name.endswith((SUFFIX, ".lock", COLUMNS)))


def _is_own(name: str) -> bool:
    return name.partition("/")[0] in OWN


def _order(name: str) -> int:
    """In which order files are written; they are removed in the opposite one. A part says that its maps are
    there, derived JSON that derived tables are, and the manifest that all is."""
    top = name.partition("/")[0]
    if top == MANIFEST:
        return 6
    if top in (REQUEST, METADATA, MODEL):
        return 0
    if top in (MAPS, SAMPLES):
        return 1 if top == MAPS else 2
    return 4 if name.endswith(".json") else 3


def _time(line: str) -> str:
    with suppress(ValueError):
        found = json.loads(line)
        if isinstance(found, dict):
            return str(found.get("at", ""))
    return ""


def _is_written(folder: Path) -> bool:
    """Whether a process of this machine writes the run."""
    lock = FileLock(folder / WRITES)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (NotImplementedError, OSError):
        return False
    lock.release()
    return False
