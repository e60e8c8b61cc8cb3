"""A file or folder at a URL, with the part of `pathlib.Path` that data sources use. fsspec is imported when
something is read."""

import io
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.data.remote.files import RemoteFiles


@dataclass(frozen=True, eq=False)
class RemotePath:
    """`url`: protocol, bucket or host, and names, without '.', '..' and '//'. `files`: what is known of the
    files there; paths made from one another share it, so that nothing is listed twice."""

    url: str
    files: "RemoteFiles" = field(repr=False)

    @classmethod
    def at(cls, url: str) -> "RemotePath":
        """With nothing known of it yet: its folders are listed anew."""
        from models.data.remote.files import RemoteFiles

        protocol, _, rest = url.partition("://")
        host, _, key = rest.partition("/")
        return cls(f"{protocol.lower()}://{host}", RemoteFiles()) / key

    def __reduce__(self) -> tuple[Any, ...]:
        return RemotePath.at, (self.url,)

    def __str__(self) -> str:
        return self.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self.url == other.url

    def __lt__(self, other: Any) -> bool:
        """In the order of local paths: name by name."""
        return self.url.split("/") < other.url.split("/")

    def __truediv__(self, name: str) -> "RemotePath":
        """Below this path, or beside it by '..', never on another host. An absolute path counts from the
        bucket or host."""
        root, key = self._parts
        made = posixpath.normpath(posixpath.join("/", key, name)).strip("/")
        return RemotePath(f"{root}/{made}" if made else root, self.files)

    def joinpath(self, *names: str) -> "RemotePath":
        return self / "/".join(names)

    @cached_property
    def _parts(self) -> tuple[str, str]:
        """(protocol and host, path below it)."""
        protocol, _, rest = self.url.partition("://")
        host, _, key = rest.partition("/")
        return f"{protocol}://{host}", key

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix if self._parts[1] else ""

    @property
    def parent(self) -> "RemotePath":
        return self / ".."

    def resolve(self) -> "RemotePath":
        return self

    def is_relative_to(self, other: Any) -> bool:
        return self.url == str(other) or self.url.startswith(f"{other}/")

    def relative_to(self, other: Any) -> PurePosixPath:
        """Raises ValueError where it is not below the other one."""
        if not self.is_relative_to(other):
            raise ValueError(f"'{self}' is not below '{other}'")
        return PurePosixPath(self.url[len(str(other)) + 1 :])

    # -- what is there; each raises UserError where this cannot be found out ---------------------------------

    def must_be_there(self) -> None:
        """Raises UserError where there is neither a file nor a folder."""
        self.files.must_be_there(self.url)

    def is_file(self) -> bool:
        found = self.files.entry(self.url)
        return found is not None and not found.folder

    def is_dir(self) -> bool:
        found = self.files.entry(self.url)
        return found is not None and found.folder

    def is_symlink(self) -> bool:
        return False

    @property
    def stamp(self) -> str:
        """Size and entity tag, or time; empty where it is missing."""
        found = self.files.entry(self.url, whole=True)
        return found.stamp if found else ""

    @property
    def size(self) -> int | None:
        """In bytes; None where it is missing, and where the server does not say it."""
        found = self.files.entry(self.url, whole=True)
        return found.size if found else None

    @property
    def content_tag(self) -> str:
        """Equal for files with equal bytes, where the listing has such a tag; otherwise empty."""
        found = self.files.entry(self.url)
        return found.tag if found else ""

    def iterdir(self) -> Iterator["RemotePath"]:
        """The files and folders in this folder, sorted."""
        return (self / name for name in sorted(self.files.listed(self.url)))

    def walk(self) -> Iterator[tuple["RemotePath", list[str], list[str]]]:
        """As `os.walk`, of one listing of all that is below: names of folders may be taken out or sorted."""
        self.files.list_below(self.url)
        yield from self._walk()

    def _walk(self) -> Iterator[tuple["RemotePath", list[str], list[str]]]:
        found = self.files.listed(self.url)
        folders = sorted(name for name, entry in found.items() if entry.folder)
        yield self, folders, sorted(name for name, entry in found.items() if not entry.folder)
        for name in folders:
            yield from (self / name)._walk()

    def rglob(self, pattern: str) -> Iterator["RemotePath"]:
        for where, _, names in self.walk():
            yield from (where / name for name in names if PurePosixPath(name).match(pattern))

    # -- reading ---------------------------------------------------------------------------------------------

    def read_bytes(self) -> bytes:
        """Raises `FileNotFoundError`, and UserError where it cannot be read."""
        return self.files.read(self.url)

    def read_range(self, offset: int, size: int) -> bytes:
        """So many bytes, fewer at the end of the file; errors as of `read_bytes`."""
        return self.files.blocks(self.url).read(offset, size)

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self.read_bytes().decode(encoding, errors)

    def open(self, mode: str = "r", encoding: str | None = None) -> Any:
        """A stream of bytes (mode rb) or text, of which the parts that are asked for are read."""
        raw = self.files.blocks(self.url).stream()
        stream = io.BufferedReader(raw, 16 * 1024)
        return stream if "b" in mode else io.TextIOWrapper(stream, encoding)
