"""The files of a bucket or server through fsspec: listed once, read in whole or in blocks, by many threads.

Credentials come from the environment and the configuration files of each driver alone. One line says what
cannot be reached.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from cachetools import LRUCache

from models.data.remote.blocks import Blocks
from models.data.remote.errors import Unreachable, refused, unreachable_until_now

READERS = 16  # requests at once
OPENED = 8  # files whose blocks are kept
SEVERAL = 8  # files of one folder from which it is listed, rather than asked for each of them
TAGS = ("md5Hash", "ETag")
"""What drivers call a tag of a file's bytes: gcsfs and s3fs."""
T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """A file, or folder. `tag`: equal where the bytes are equal, if the server has such tags; `changed`: that
    or a time. `parts`: whether the server sends parts of the file."""

    size: int | None = None
    folder: bool = False
    tag: str = ""
    changed: str = ""
    parts: bool = True

    @property
    def stamp(self) -> str:
        return f"{self.size}-{self.changed}"


class RemoteFiles:
    """What is known of the files at one place. Safe to be used by several threads."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, Entry]] = {}
        self._alone: dict[str, Entry | None] = {}
        self._blocks: LRUCache[str, Blocks] = LRUCache(OPENED)
        self._lock = threading.RLock()
        self._systems: dict[int, Any] = {}
        self._missing: tuple[str, Exception] = "", FileNotFoundError()  # the last one, and why

    def must_be_there(self, url: str) -> None:
        """Raises UserError where there is neither a file nor a folder."""
        if self.entry(url) is None:
            missing, why = self._missing
            raise refused(url, why if missing == url else FileNotFoundError())

    def entry(self, url: str, whole: bool = False) -> Entry | None:
        """The file or folder; None where there is none. `whole`: with its size and stamp, for which servers
        without full listings are asked."""
        parent, _, name = url.rpartition("/")
        found = self._folders.get(url)
        if found:
            return Entry(folder=True)
        if parent in self._folders:
            entry = self._folders[parent].get(name)
            if entry is None or entry.folder or not whole or entry.size is not None:
                return entry
        if url not in self._alone:
            self._alone[url] = self._asked(url)
        return self._alone[url]

    def _asked(self, url: str) -> Entry | None:
        def ask(system: Any, path: str) -> dict[str, Any]:
            found: dict[str, Any] = system.info(path)
            return found

        try:
            about = self.do(url, ask)
        except FileNotFoundError as error:
            about, self._missing = {"type": "directory"}, (url, error)
        entry = entry_of(about)
        if not entry.folder and about.get("mimetype") != "text/html":  # the list of a folder, as a page
            return entry
        return Entry(folder=True) if self.listed(url) else None if entry.folder else entry

    def listed(self, url: str) -> dict[str, Entry]:
        """Name -> file or folder, of those in a folder; empty where there is no such folder."""
        if url not in self._folders:

            def ask(system: Any, path: str) -> list[dict[str, Any]]:
                found: list[dict[str, Any]] = system.ls(path, detail=True)
                return found

            found = self._found(url, ask)
            self._folders[url] = {name: entry_of(about) for name, about in found if "/" not in name}
        return self._folders[url]

    def list_below(self, url: str) -> None:
        """All files below a folder, by as few requests as the server allows."""

        def ask(system: Any, path: str) -> list[dict[str, Any]]:
            return list(system.find(path, detail=True).values())

        made: dict[str, dict[str, Entry]] = {url: {}}
        for name, about in self._found(url, ask):
            where = url
            *folders, last = name.split("/")
            for folder in folders:
                made[where][folder] = Entry(folder=True)
                where = f"{where}/{folder}"
                made.setdefault(where, {})
            made[where][last] = entry_of(about)
        self._folders |= made

    def look_up(self, urls: Iterable[str]) -> None:
        """Learn of many files at once: folders with several of them are listed, others are asked for."""
        of: dict[str, list[str]] = {}
        for url in urls:
            of.setdefault(url.rpartition("/")[0], []).append(url)
        rest = list[str]()
        for folder, files in of.items():
            if folder in self._folders or (len(files) >= SEVERAL and self._lists(folder)):
                continue
            rest += files
        list(pool().map(self.entry, rest))

    def _lists(self, folder: str) -> bool:
        """Whether the folder could be listed: some may be read and not listed."""
        try:
            return bool(self.listed(folder))
        except Unreachable:
            raise
        except ValueError:  # UserError
            self._folders.pop(folder, None)
            return False

    def _found(self, url: str, ask: Callable[[Any, str], list[dict[str, Any]]]) -> list[tuple[str, Any]]:
        """(path below the folder, what is known) of a listing."""
        try:
            found = self.do(url, ask)
        except (FileNotFoundError, NotADirectoryError):
            return []
        start, names = self._path(url).rstrip("/") + "/", list[tuple[str, Any]]()
        for about in found:
            name = str(about["name"]).rstrip("/")
            if name.startswith(start) and not {"", ".", ".."} & set(name[len(start) :].split("/")):
                names.append((name[len(start) :], about))
        return names

    def read(self, url: str) -> bytes:
        """The whole file. Raises `FileNotFoundError`, and UserError where it cannot be read."""

        def ask(system: Any, path: str) -> bytes:
            return bytes(system.cat_file(path))

        return self.do(url, ask)

    def blocks(self, url: str) -> Blocks:
        """The file in blocks, which are kept for a while. Errors as of `read`."""
        with self._lock:
            found = self._blocks.get(url)
        if found is not None:
            return found
        entry = self.entry(url, whole=True)
        if entry is None or entry.folder:
            raise FileNotFoundError(url)
        whole = None if entry.parts and entry.size is not None else self.read(url)
        made = Blocks(entry.size, lambda start, end: self._range(url, start, end), whole)
        with self._lock:
            return self._blocks.setdefault(url, made)

    def _range(self, url: str, start: int, end: int) -> bytes:
        def ask(system: Any, path: str) -> bytes:
            return bytes(system.cat_file(path, start=start, end=end))

        return self.do(url, ask)

    def do(self, url: str, ask: Callable[[Any, str], T], done: str = "read") -> T:
        """What `ask` gets from fsspec's file system and the path there. `done`: "read" or "written". Raises
        `FileNotFoundError`, `FileExistsError`, `Unreachable`, or UserError."""
        unreachable_until_now(url)
        try:
            system, path = self._system(url)
            with nullcontext() if system.async_impl else self._lock:
                return ask(system, path)
        except (FileNotFoundError, NotADirectoryError) as error:
            if (told := refused(url, error, done)) and isinstance(told, Unreachable):
                raise told from error
            raise
        except FileExistsError:
            raise
        except (
            Exception
        ) as error:  # drivers raise OSError, errors of their own, and errors of botocore, aiohttp
            raise refused(url, error, done) from error

    def _system(self, url: str) -> tuple[Any, str]:
        """fsspec's file system, one for each process, and the path there."""
        if (process := os.getpid()) not in self._systems:
            self._systems = {process: open_system(url)}
        system = self._systems[process]
        return system, str(system._strip_protocol(url))

    def _path(self, url: str) -> str:
        return self._system(url)[1]


def open_system(url: str) -> Any:
    """The file system of a URL. Raises ImportError where its driver is not installed, ValueError for an
    unknown protocol."""
    from fsspec.core import url_to_fs

    protocol = url.partition("://")[0]
    options: dict[str, Any] = {}
    if protocol in ("s3", "s3a"):  # botocore's own are 5 attempts and 60 s each
        options["config_kwargs"] = {
            "connect_timeout": 10,
            "read_timeout": 30,  # for each piece of an answer
            "retries": {"mode": "standard", "max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", 3))},
        }
    system = url_to_fs(url, **options)[0]
    logger = logging.getLogger(type(system).__module__.partition(".")[0])
    if not logger.hasHandlers():  # a driver's errors are told in one line: not as its tracebacks, too
        logger.addHandler(logging.NullHandler())
    system.invalidate_cache()
    return system


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READERS, "remote")


def pool() -> ThreadPoolExecutor:
    """The threads of this process that wait for servers."""
    return _pool(os.getpid())


def entry_of(about: dict[str, Any]) -> Entry:
    """From what a driver tells of a file: each has names of its own for the same. `etag` (Google, Azure) is
    that of one write: equal bytes have others."""
    tag, written = (
        next((str(about[key]).strip('"') for key in keys if about.get(key)), "") for keys in (TAGS, ("etag",))
    )
    times = (about.get(key) for key in ("LastModified", "last_modified", "mtime", "updated", "created"))
    changed = tag or written or next((_time(at) for at in (*times, about.get("Last-Modified")) if at), "")
    size = about.get("size")
    return Entry(
        None if size is None else int(size),
        about.get("type") == "directory",
        tag,
        changed,
        bool(about.get("partial", "mimetype" not in about)),
    )


def _time(value: Any) -> str:
    return f"{value.timestamp() if isinstance(value, datetime) else value}"
