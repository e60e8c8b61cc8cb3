"""Where data lie: a path of this machine, or a URL of any file system that fsspec knows (`s3://`, `gs://`,
`https://`, `memory://`). For local paths fsspec is not imported.

https://filesystem-spec.readthedocs.io
"""

import io
import os
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from models.data.remote.path import RemotePath
from models.errors import UserError

Location = Path | RemotePath
T = TypeVar("T")
Found = TypeVar("Found")

_URL = re.compile(r"(\w+::)*[A-Za-z][A-Za-z0-9+.-]+://")  # two letters or more: C:/ is a disk
LOCAL = ("file", "local")
WRAPPERS = (
    "async_wrapper",
    "asyncwrapper",
    "blockcache",
    "cached",
    "data",
    "dir",
    "filecache",
    "generic",
    "git",
    "libarchive",
    "reference",
    "simplecache",
    "tar",
    "zip",
)
"""Protocols of fsspec that open something of another file system, or copy it to the disk."""
USER_NAMES = ("abfs", "abfss", "ftp", "hdfs", "sftp", "smb", "ssh", "webhdfs")
"""Protocols in whose URLs a name stands before '@' that is no secret: a container, or a user."""


def is_url(text: str) -> bool:
    """Whether a text begins as a URL does."""
    return bool(_URL.match(text))


def located(text: str) -> Location:
    """The path, or the URL, that a text is. Raises UserError for a URL that may hold credentials, and for a
    protocol that opens no file system."""
    if not is_url(text):
        return Path(text).expanduser()
    must_be_plain(text)
    protocol = text.partition("://")[0].lower()
    if protocol in LOCAL:
        return Path(url2pathname(urlsplit(text).path))
    return RemotePath.at(text)


def must_be_plain(text: str) -> None:
    """Raises UserError, without a word of what is secret, for a URL with credentials, and for one of several
    file systems."""
    if not is_url(text):
        return
    protocol, _, rest = text.partition("://")
    host, _, key = rest.partition("/")
    if "::" in text or protocol.lower() in WRAPPERS:
        raise UserError(
            f"'{protocol[:60]}://...' is a URL of a file system within another one: give a plain URL such as "
            "s3://bucket/folder; .tar and .parquet files are read where they lie."
        )
    user, at, _ = host.rpartition("@")
    if (at and (":" in user or protocol.lower() not in USER_NAMES)) or "?" in text or "#" in key:
        raise UserError(
            f"This {protocol[:40]}:// URL has {'a user or key before @' if at else 'a part after ? or #'}, "
            "which may be a secret, and a run would keep it: give the URL alone; keys and tokens are read "
            "from the environment (docs/remote_data.md)."
        )


def walk(folder: Location) -> Iterator[tuple[Location, list[str], list[str]]]:
    """As `os.walk` with links followed: each folder with the names of its folders and files."""
    if isinstance(folder, RemotePath):
        yield from folder.walk()
        return
    for where, folders, files in os.walk(folder, followlinks=True):
        yield Path(where), folders, files


def name_below(file: Location, base: Location) -> str:
    """The path of a file below a folder, with '/'."""
    return file.relative_to(base).as_posix()  # type: ignore[arg-type] # both are of one kind


def identity(folder: Location) -> Hashable:
    """The same for every path to a folder: device and inode, or the URL."""
    if isinstance(folder, RemotePath):
        return folder.url
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def stamp_of(file: Location) -> str:
    """Size and modification time of a file, or size and entity tag of one at a URL; empty where it is
    missing."""
    if isinstance(file, RemotePath):
        return file.stamp
    try:
        found = file.stat()
    except OSError:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}"


def size_of(file: Location) -> int | None:
    """In bytes; None where a server does not say it. Raises OSError for a local file that is missing."""
    return file.size if isinstance(file, RemotePath) else file.stat().st_size


def readable(file: Location) -> Any:
    """What pandas reads: the path, or the bytes at a URL."""
    return io.BytesIO(file.read_bytes()) if isinstance(file, RemotePath) else file


def seekable(file: Location) -> Any:
    """What PyArrow and Pillow read in parts: the path, or a stream of a URL."""
    return file.open("rb") if isinstance(file, RemotePath) else file


def each(function: Callable[[T], Found], values: Iterable[T], where: Location) -> list[Found]:
    """The results in order; by many threads at once where each waits for a server."""
    if isinstance(where, RemotePath):
        from models.data.remote.files import pool

        return list(pool().map(function, values))
    return [function(value) for value in values]
