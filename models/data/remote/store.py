"""The files below a URL, listed anew each time, copied to this machine, written and removed.

On object stores (S3, Google Cloud Storage, Azure) a file appears whole or not at all. Elsewhere it is written
under a temporary name and renamed.
"""

import errno
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from models.data.remote.errors import read_only, refused
from models.data.remote.files import Entry, RemoteFiles, entry_of
from models.data.remote.path import RemotePath
from models.errors import UserError
from models.files.atomic import SUFFIX, atomic

OBJECT_STORES = ("abfs", "abfss", "az", "gcs", "gs", "memory", "s3", "s3a")
"""Protocols that write whole files at once."""
BUCKETS = tuple(name for name in OBJECT_STORES if name != "memory")
READ_ONLY = ("http", "https")


class RemoteStore:
    """`url`: a folder, which need not be there yet. Safe to be used by several threads."""

    def __init__(self, url: str):
        self.url = url
        self._protocol = url.partition("://")[0]

    @cached_property
    def _files(self) -> RemoteFiles:
        return RemoteFiles()

    def listed(self) -> dict[str, Entry]:
        """Name below the folder -> file, of all files there now. Raises UserError where this cannot be found
        out, as for a bucket that there is not."""
        top, found = RemotePath.at(self.url), dict[str, Entry]()
        for where, _, names in top.walk():
            for name in names:
                file = where / name
                entry = file.files.entry(file.url, whole=True)
                if entry is not None:
                    found[file.relative_to(top).as_posix()] = entry
        if not found and self._protocol in BUCKETS:
            self._require_bucket()
        return found

    def _require_bucket(self) -> None:
        """Raises UserError where there is no such bucket; it may be empty."""
        bucket = "/".join(self.url.split("/")[:3])
        try:
            self._files.do(bucket, lambda system, path: system.ls(path))
        except FileNotFoundError as error:
            raise refused(bucket, error) from error

    def entry(self, name: str) -> Entry | None:
        """A file as it is there now; None where there is none. Raises UserError where this cannot be found
        out."""
        file = RemotePath.at(self._at(name))
        return file.files.entry(file.url, whole=True)

    def read(self, name: str) -> bytes:
        """Raises `FileNotFoundError`, and UserError where it cannot be read."""
        return self._files.read(self._at(name))

    def copy(self, name: str, to: Path) -> None:
        """Copy a file to this machine, whole or not at all. Errors as of `read`, and OSError of the disk."""
        to.parent.mkdir(parents=True, exist_ok=True)
        with atomic(to, shared=True) as temporary:

            def ask(system: Any, path: str) -> None:
                system.get_file(path, str(temporary))

            self._files.do(self._at(name), ask)

    def write(self, name: str, data: bytes, new: bool = False) -> Entry:
        """Write a file, in place of one that is there; returns it as the server lists it. `new`: raises
        `FileExistsError` where there is one; the server itself decides, where it can. Raises UserError where
        it cannot be written."""
        if self._protocol in READ_ONLY:
            raise read_only(self._at(name))

        def ask(system: Any, path: str) -> dict[str, Any]:
            if new:
                _create(system, path, data)
            elif self._protocol in OBJECT_STORES:
                system.pipe_file(path, data)
            else:
                _renamed(system, path, data)
            system.invalidate_cache()
            found: dict[str, Any] = system.info(path)
            return found

        try:
            return entry_of(self._files.do(self._at(name), ask, "written"))
        except FileNotFoundError as error:
            raise self._no_place(name, error) from error

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, one after the other; those that are gone are passed over. Raises UserError where they
        cannot be removed."""

        def ask(system: Any, path: str) -> None:
            system.rm_file(path)

        for name in names:
            try:
                self._files.do(self._at(name), ask, "written")
            except FileNotFoundError:
                continue

    def _at(self, name: str) -> str:
        return f"{self.url}/{name}"

    def _no_place(self, name: str, error: Exception) -> UserError:
        """As for a bucket that there is not."""
        return refused(self._at(name), error, "written")


def _create(system: Any, path: str, data: bytes) -> None:
    """Raises `FileExistsError` where there is a file. It is asked for first, as some servers ignore the
    condition of a write."""
    _make_parent(system, path)
    system.invalidate_cache()
    if system.exists(path):
        raise FileExistsError(path)
    try:
        system.pipe_file(path, data, mode="create")
    except (NotImplementedError, TypeError, ValueError):
        system.pipe_file(path, data)
    except OSError as error:
        if error.errno == errno.EBUSY:  # S3: another conditional write is under way
            raise FileExistsError(path) from error
        if error.errno != errno.ENOSYS:
            raise
        system.pipe_file(path, data)


def _renamed(system: Any, path: str, data: bytes) -> None:
    _make_parent(system, path)
    system.pipe_file(path + SUFFIX, data)
    if system.exists(path):  # not every server renames onto a file
        system.rm_file(path)
    system.mv(path + SUFFIX, path)


def _make_parent(system: Any, path: str) -> None:
    """Object stores have no folders, and would take it for the wish to make a bucket."""
    protocols = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    if not set(protocols) & set(OBJECT_STORES):
        system.makedirs(path.rpartition("/")[0], exist_ok=True)
