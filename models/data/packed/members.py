"""Images that lie as bytes within larger files: WebDataset shards and Parquet tables.

The id of such an image is the path of the larger file below the data root, followed by a name within it:
`test-000000.tar/000017.png`. Nothing is unpacked to the disk.
"""

import re
from abc import abstractmethod
from pathlib import Path

from models.data.arrays import MAX_BYTES
from models.data.files import FileSource
from models.data.folder import PREFERRED, SPLITS
from models.data.images import UnreadableImage
from models.data.remote.location import Location, stamp_of
from models.data.source import NoParts, NoSuchPart
from models.errors import UserError

ARCHIVES = (".tar", ".parquet")
"""Suffixes of files that images are read from by ids of this form."""


class PackedSource(FileSource):
    """Items whose bytes are read by `member(index)`. `files`: the larger files below `base`."""

    files: list[Location]

    @abstractmethod
    def member(self, index: int) -> bytes:
        """The bytes of the image's file. Raises `UnreadableImage` where they cannot be read."""

    def file(self, index: int) -> bytes:
        return self.member(index) if isinstance(self.base, Path) else self._ahead.take(index, self.member)

    def header(self, index: int) -> bytes:
        return self.member(index)

    def _read(self, index: int) -> bytes:
        return self.member(index)

    def path(self, index: int) -> Location:
        """The larger file that holds the image."""
        parts = within(self.items[index].id)
        return self.base / parts[0] if parts else self.base

    def stamp(self, index: int) -> str:
        return stamp_of(self.path(index))


def within(item_id: str) -> tuple[str, str] | None:
    """(path of the larger file, name within it) of an id; None for an id that is a path of its own."""
    parts = item_id.split("/")
    for i in range(1, len(parts)):
        if parts[i - 1].lower().endswith(ARCHIVES):
            return "/".join(parts[:i]), "/".join(parts[i:])
    return None


def must_be_small(size: int) -> None:
    """Raises `UnreadableImage` for a file that is too large to be read into memory."""
    if size > MAX_BYTES:
        raise UnreadableImage(
            f"a file of {size / 2**20:,.0f} MB: at most {MAX_BYTES // 2**20} MB are read within an archive"
        )


def is_safe_name(name: str) -> bool:
    """Whether a name within an archive is a plain relative path: it cannot be taken for another file."""
    parts = name.split("/")
    return bool(name) and "\0" not in name and "\\" not in name and not {"", ".", ".."} & set(parts)


# -- which files, and which split they belong to -----------------------------------------------------------


def packed_files(path: Location, suffix: str) -> list[Location]:
    """The files of this suffix that are the data at `path`: the file itself, those in a folder, or those in
    its subfolders; none where the folder holds other subfolders (classes), beside which such a file is
    something else."""
    if path.is_file():
        return [path] if path.suffix.lower() == suffix else []
    if not path.is_dir():
        return []
    folders = [p for p in path.iterdir() if p.is_dir() and not p.name.startswith((".", "__"))]
    found = _directly(path, suffix)
    for folder in folders:
        if not (inside := _directly(folder, suffix)):
            return []
        found += inside
    return sorted(found)


def _directly(folder: Location, suffix: str) -> list[Location]:
    return [
        p
        for p in folder.iterdir()
        if p.suffix.lower() == suffix and not p.name.startswith((".", "metadata.")) and p.is_file()
    ]


def choose_files(
    path: Location, files: list[Location], split: str | None
) -> tuple[list[Location], str | None]:
    """The files of a split, and its name. A file belongs to a split by its folder (`train/0.tar`) or by the
    first word of its name (`train-00000-of-00002.parquet`). Without a wish, test, otherwise validation, of
    data that has several.

    Raises `NoParts` where the files name less than two splits, `NoSuchPart` where they lack this one, and
    UserError for files of no split beside some that have one.
    """
    of = {file: _split_of(path, file) for file in files}
    parts = {part for part in of.values() if part}
    if len(parts) < 2 and (split is None or SPLITS.get(split.lower()) not in parts):
        if split:
            raise NoParts(f"'{path}' has no files of split '{split}': leave --split out to use all of it.")
        return files, None
    key = SPLITS.get((split or next(s for s in PREFERRED if s in parts)).lower(), "")
    if key not in parts:
        raise NoSuchPart(f"'{path}' has no split '{split}': it has {', '.join(sorted(parts))}.")
    if odd := [file.name for file, part in of.items() if not part]:
        raise UserError(f"'{path}' has files of splits, and '{odd[0]}' of none: rename it, or move it away.")
    return [file for file in files if of[file] == key], key


def _split_of(path: Location, file: Location) -> str:
    word = re.match(r"[A-Za-z]*", file.name)
    folder = file.parent.name.lower() if file.parent != path else ""
    return SPLITS.get(folder, "") or SPLITS.get(word.group().lower() if word else "", "")
