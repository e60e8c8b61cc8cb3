"""Find the images of a table that names them by ids, without folder or suffix: `00173` for
`images/00173.png`."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from models.counts import be, counted
from models.data.images import ARRAY, REFUSED, SUFFIXES, is_image
from models.data.remote.location import Location, identity, name_below, walk
from models.data.remote.path import RemotePath
from models.data.tables.paths import Located
from models.errors import UserError

MAX_FILES = 2_000_000  # that are looked at
FOLDERS = ("images", "image", "imgs", "img", "pictures", "photos")


def locate_ids(table: Location, ids: Sequence[str]) -> Located | None:
    """The images that are called as the ids, in any folder below the table's, or else below a folder beside
    it; None where there is none. If folders are called as the table (`train.csv`: `train`, or
    `train_images`), only images below them count; of several images of one id, the one beside the table, or
    below a folder `images`.

    Raises UserError for an id that several images have.
    """
    folder = table.resolve().parent
    places: list[tuple[Location, Location | None]] = [(folder, None), (folder.parent, folder)]
    for base, left_out in places[:1] if isinstance(folder, RemotePath) else places:  # not all of a bucket
        found = _called_as(base, set(ids), left_out)
        if found:
            return _located(base, ids, _usual(_of_this_table(found, table.stem)), table)
    return None


def _called_as(base: Location, ids: set[str], left_out: Location | None) -> dict[str, list[str]]:
    """Id -> paths below `base` of the images that have it as their name."""
    wanted = defaultdict(list)
    for name in ids:
        clean = posixpath.normpath(name.replace("\\", "/"))
        wanted[clean.rpartition("/")[2]].append((name, clean))
    found: dict[str, list[str]] = defaultdict(list)
    for path, stem in _images(base, left_out):
        for name, clean in wanted.get(stem.rpartition("/")[2], ()):
            if f"/{stem}".endswith(f"/{clean}") and (path != stem or is_image(base / path)):
                found[name].append(path)
    return {name: _best(paths) for name, paths in found.items()}


def _images(base: Location, left_out: Location | None) -> Iterator[tuple[str, str]]:
    """(path, path without suffix) of every file below `base` that may be an image; links are followed
    once."""
    visited, looked_at = set(), 0
    for where, folders, files in walk(base):
        if (there := identity(where)) in visited or where == left_out:
            folders.clear()
            continue
        visited.add(there)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        looked_at += len(files)
        if looked_at > MAX_FILES:
            raise UserError(
                f"More than {MAX_FILES:,} files are below '{base}': write paths with suffix into the table."
            )
        below = name_below(where, base)
        for name in sorted(files):
            stem, suffix = posixpath.splitext(name)
            if suffix.lower() in (*SUFFIXES, ARRAY, *REFUSED, ""):
                yield posixpath.normpath(f"{below}/{name}"), posixpath.normpath(f"{below}/{stem}")


def _best(paths: list[str]) -> list[str]:
    """An array beside an image of the same name is something about it: a mask, a map. Raises UserError for
    images of a format that is refused alone."""
    kept = [path for path in paths if not path.lower().endswith(tuple(REFUSED))]
    if not kept:
        name, remedy = REFUSED[posixpath.splitext(paths[0])[1].lower()]
        raise UserError(f"'{paths[0]}' is {name}, which is not read: {remedy}.")
    return [path for path in kept if not path.lower().endswith(ARRAY)] or kept


def _of_this_table(found: dict[str, list[str]], called: str) -> dict[str, list[str]]:
    """Only what is below folders that are called as the table, or begin with its first word, if there is any:
    an image of test is never taken for one of train."""
    exact = _below(found, lambda folder: folder.lower() == called.lower())
    return exact or _below(found, lambda folder: _first_word(folder) == _first_word(called)) or found


def _usual(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Where an id has several images: those beside the table, or else below a folder with a usual name."""
    if all(len(paths) < 2 for paths in found.values()):
        return found
    beside = {name: kept for name, paths in found.items() if (kept := [p for p in paths if "/" not in p])}
    return beside or _below(found, lambda folder: folder.lower() in FOLDERS) or found


def _below(found: dict[str, list[str]], fits: Callable[[str], bool]) -> dict[str, list[str]]:
    """The paths of which a folder fits; without ids that have none."""
    kept = {name: [p for p in paths if any(map(fits, p.split("/")[:-1]))] for name, paths in found.items()}
    return {name: paths for name, paths in kept.items() if paths}


def _first_word(name: str) -> str:
    return re.split(r"[^a-z0-9]", name.lower())[0]


def _located(base: Location, ids: Sequence[str], found: dict[str, list[str]], table: Location) -> Located:
    if several := next((name for name, paths in found.items() if len(paths) > 1), None):
        both = " and ".join(f"'{path}'" for path in found[several][:3])
        raise UserError(
            f"Id '{several[:80]}' of '{table}' is {both} below '{base}', which is ambiguous: write paths "
            "with suffix into the table."
        )
    missing = [name for name in ids if not found.get(name)]
    folders = {posixpath.dirname(paths[0]) for paths in found.values()}
    note = f"ids are images in '{base / folders.pop() if len(folders) == 1 else base}'"
    if missing:
        note += (
            f"; {len(ids) - len(missing):,} of {counted(len(ids), 'image')} found, {len(missing):,} "
            f"{be(len(missing))} missing (the first: {missing[0][:80]})"
        )
    names = [found[name][0] if found.get(name) else name for name in ids]
    return Located(base, names, len(ids) - len(missing), note)
