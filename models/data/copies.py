"""Identical copies of an image in folders of several classes: one of their labels is wrong."""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from models.counts import counted
from models.data.remote.location import Location, name_below
from models.data.remote.path import RemotePath

MOST_FILES, MOST_OPENED, MOST_BYTES = 200_000, 50_000, 200_000_000
"""Files whose sizes are compared, files of equal size that are opened, and bytes that are compared."""
PROBE = 64
"""Bytes from the middle of files of equal size that are compared before all of their bytes are."""
SHOWN = 3
Group = dict[Location, str]
"""Files that may be copies of each other -> their classes."""


def in_several_classes(base: Location, found: Mapping[str, Sequence[Location]]) -> str:
    """One line on files of different classes (class -> its files) with the same contents; empty where there
    are none. Links are left out. Only files of equal size are opened, those of the rarest sizes first; how
    many were not compared, because they are too many, is said."""
    total = sum(map(len, found.values()))
    step = max(1, -(-total // MOST_FILES))  # every class in its share
    files = {path: name for name, paths in found.items() for path in paths[::step]}
    if isinstance(base, RemotePath):  # by what the server tells of the contents: no file is read for this
        tags = {path: path.content_tag if isinstance(path, RemotePath) else "" for path in files}
        copies = _split({path: name for path, name in files.items() if tags[path]}, tags.__getitem__)
        return _line(copies, base, total - sum(map(bool, tags.values())), total)
    of_size = sorted(_split(files, _size), key=len)
    chosen, left = _affordable(of_size, lambda group: len(group), MOST_OPENED)
    alike = [part for group in chosen for part in _split(group, _probe)]
    alike, more = _affordable(alike, lambda group: len(group) * (_size(next(iter(group))) or 0), MOST_BYTES)
    copies = [part for group in alike for part in _split(group, _contents)]
    return _line(copies, base, total - len(files) + left + more, total)


def _line(copies: Sequence[Group], base: Location, unseen: int, total: int) -> str:
    told = [_named(copies, base)] if copies else []
    if unseen:
        told.append(
            f"copies in several classes were not looked for among {unseen:,} of {counted(total, 'image')}"
        )
    return "; ".join(told)


def _named(copies: Sequence[Group], base: Location) -> str:
    shown = ", ".join(
        " = ".join(name_below(path, base) for path in list(group)[:SHOWN])
        + (" = ..." if len(group) > SHOWN else "")
        for group in copies[:SHOWN]
    )
    are = "1 image is" if len(copies) == 1 else f"{len(copies)} images are"
    more = " ..." if len(copies) > SHOWN else ""
    return f"{are} in several classes, as identical copies, and counted in each ({shown}{more})"


def _split(files: Group, key: Callable[[Any], Hashable]) -> list[Group]:
    """The files with equal keys, where they are of several classes; those without a key are left out."""
    groups = defaultdict[Hashable, Group](dict)
    for path, name in files.items():
        try:
            groups[key(path)][path] = name
        except OSError:  # gone meanwhile: another line says so when it is read
            continue
    return [group for of, group in groups.items() if of is not None and len(set(group.values())) > 1]


def _affordable(groups: list[Group], cost: Callable[[Group], int], most: int) -> tuple[list[Group], int]:
    """The first groups that cost at most `most` together, and how many files are left out."""
    spent = 0
    for k, group in enumerate(groups):
        spent += cost(group)
        if spent > most:
            return groups[:k], sum(map(len, groups[k:]))
    return groups, 0


def _size(path: Location) -> int | None:
    """In bytes; None of a link, and of an empty file."""
    about = os.lstat(str(path))
    return about.st_size or None if stat.S_ISREG(about.st_mode) else None


def _probe(path: Location) -> bytes:
    with path.open("rb") as file:
        file.seek(os.fstat(file.fileno()).st_size // 2)
        return file.read(PROBE)


def _contents(path: Location) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()
