"""Find the images of a table: paths from another folder, another machine, or Windows."""

import posixpath
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from models.counts import be, counted
from models.data.remote.location import Location, is_url, located, must_be_plain
from models.data.remote.path import RemotePath
from models.errors import UserError

LOOKED_FOR = 20  # paths, evenly spread, by which the folder is found
DEPTH = 8  # leading folders that may be another machine's


@dataclass(frozen=True)
class Located:
    """`names`: paths below `base`, one for each given path; `found` of them are files. `note`: one line on
    what was changed and what is missing."""

    base: Location
    names: list[str]
    found: int
    note: str


def locate(table: Location, given: Sequence[str]) -> Located:
    """Find the files of the paths in `table` below its folder, or below a folder in or beside it: unchanged,
    with '\\' as '/', or without leading folders of another machine; of URLs, where these say.

    Raises UserError where no file is found, and for URLs of several buckets, or with credentials.
    """
    if any("://" in name for name in given):
        return _at_urls(table, given)
    folder, some = table.resolve().parent, given[:: max(1, len(given) // LOOKED_FOR)]
    for slashes, dropped in _readings(some):
        if dropped and len({_read(name, slashes, dropped) for name in given}) < len(given):
            continue  # two images would be one
        base = _base(folder, some, slashes, dropped, table.stem)
        if any(_present(base, [_read(name, slashes, dropped) for name in some])):
            break
    else:
        slashes, dropped, base = False, 0, folder
    names = [_below(base, _read(name, slashes, dropped)) for name in given]
    missing = [name for name, there in zip(names, _present(base, names), strict=True) if not there]
    if given and len(missing) == len(given):
        raise UserError(
            f"0 of {counted(len(given), 'image')} found: '{given[0][:80]}' is neither below '{folder}' nor "
            "below a folder beside it. Paths in a table are relative to the table: move the table, or "
            "correct its column of paths."
        )
    notes = [f"images are in '{base}'"] if base != folder else []
    notes += ["'\\' in paths read as '/'"] if slashes else []
    notes += [f"without their first {dropped} folder{'s' * (dropped > 1)}"] if dropped else []
    notes += _missing(given, missing)
    return Located(base, names, len(given) - len(missing), "; ".join(notes))


def _missing(given: Sequence[str], missing: Sequence[str]) -> list[str]:
    if not missing:
        return []
    return [
        f"{len(given) - len(missing):,} of {counted(len(given), 'image')} found, {len(missing):,} "
        f"{be(len(missing))} missing (the first: {missing[0][:80]})"
    ]


def _at_urls(table: Location, given: Sequence[str]) -> Located:
    """The files of URLs: they get names below the folder that all of them are in."""
    for number, name in enumerate(given, 1):
        try:
            must_be_plain(name)
        except UserError as error:  # which does not repeat what may be a secret
            raise UserError(f"Row {number} of '{table}': {error}") from error
    places = [located(name) if is_url(name) else None for name in given]
    if all(isinstance(place, Path) for place in places):
        return locate(table, [str(place) for place in places])
    urls = [place.url for place in places if isinstance(place, RemotePath)]
    roots = {"/".join(url.split("/")[:3]) for url in urls}
    if len(urls) < len(given) or len(roots) > 1:
        first = ", ".join(sorted(roots)[:3])
        raise UserError(
            f"'{table}' names images at {first}, and others elsewhere: give a table for each bucket, or "
            "host, or paths relative to the table."
        )
    [root] = roots
    common = posixpath.commonpath([posixpath.dirname(url[len(root) :]) or "/" for url in urls]).strip("/")
    base = located(f"{root}/{common}")
    names = [url[len(str(base)) + 1 :] for url in urls]
    missing = [name for name, there in zip(names, _present(base, names), strict=True) if not there]
    if len(missing) == len(given):
        raise UserError(
            f"0 of {counted(len(given), 'image')} found: nothing is at '{urls[0][:200]}', which '{table}' "
            "names: correct its column of paths."
        )
    notes = "; ".join([f"images are in '{base}'", *_missing(given, missing)])
    return Located(base, names, len(given) - len(missing), notes)


def _readings(some: Sequence[str]) -> list[tuple[bool, int]]:
    """(whether '\\' is read as '/', number of leading folders dropped), the smallest change first."""
    backslashes = any("\\" in name for name in some)
    kinds = [True, False] if backslashes else [False]  # a name with a backslash in it is rarer than Windows
    deepest = max((len(_read(name, True, 0).split("/")) for name in some), default=1)
    return [(slashes, 0) for slashes in kinds] + [
        (backslashes, dropped) for dropped in range(1, min(deepest, DEPTH))
    ]


def _read(name: str, slashes: bool, dropped: int) -> str:
    path = posixpath.normpath(name.replace("\\", "/") if slashes else name)
    return "/".join(path.strip("/").split("/")[dropped:]) if dropped else path


def _base(folder: Location, some: Sequence[str], slashes: bool, dropped: int, called: str) -> Location:
    """Where leading folders are dropped, only unambiguous folders count: with the name of the last dropped
    one, or with two more folders of the paths below. test/cat/0.png must not be found as cat/0.png of
    train."""
    if not dropped:
        return image_folder(folder, [_read(name, slashes, 0) for name in some], called)
    read = [name.replace("\\", "/").strip("/").split("/") for name in some]

    def fits(base: Location) -> bool:
        return all(len(parts) - dropped > 2 or parts[dropped - 1 : dropped] == [base.name] for parts in read)

    return next(
        (
            base
            for base in (folder, folder.parent)
            if fits(base) and any(_present(base, ["/".join(p[dropped:]) for p in read]))
        ),
        Path("-"),
    )


def _below(base: Location, name: str) -> str:
    """An absolute path below the folder as a relative one, so that no image has two names."""
    return (
        Path(name).relative_to(base).as_posix()
        if name.startswith("/") and isinstance(base, Path) and Path(name).is_relative_to(base)
        else name
    )


def image_folder(base: Location, names: Sequence[str], called: str = "") -> Location:
    """The folder that image paths are relative to: the table's own folder `base`, otherwise one in it,
    otherwise one beside it that has half of them.

    Of several candidates, the one with the name `called` (of the table), or the only one with the most
    images. Raises UserError where two have equally many: images of train must not be taken for those of
    test.
    """
    some = names[:: max(1, len(names) // LOOKED_FOR)]
    if _held(base, some):
        return base
    for above, least in ((base, 1), (base.parent, max(1, len(some) // 2))):
        held = {folder: _held(folder, some) for folder in _subfolders(above) if folder != base}
        held = {folder: n for folder, n in held.items() if n >= least}
        most = [folder for folder, n in held.items() if n == max(held.values())]
        named = [folder for folder in held if folder.name == called]
        if named or len(most) == 1:
            return (named or most)[0]
        if most:
            both = " and in ".join(repr(folder.name) for folder in most[:3])
            raise UserError(
                f"'{some[0][:80]}' lies in {both} of '{above}', which is ambiguous: write the "
                "folder into the table's paths."
            )
    return base


def _held(folder: Location, names: Sequence[str]) -> int:
    return sum(_present(folder, names))


def _subfolders(above: Location) -> list[Location]:
    with suppress(OSError, UserError):  # a folder that must not be listed
        return sorted(p for p in above.iterdir() if p.is_dir())
    return []


def _present(base: Location, names: Sequence[str]) -> Iterator[bool]:
    """Whether each of the names is a file below `base`."""
    if isinstance(base, RemotePath):
        base.files.look_up((base / name).url for name in names)
    return (_is_file(base / name) for name in names)


def _is_file(path: Location) -> bool:
    try:
        return path.is_file()
    except (
        OSError,
        ValueError,
    ):  # a name that is too long or holds a null, a folder that must not be entered
        return False
