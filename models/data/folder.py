"""A folder with one subfolder per class; the same below train, validation or test."""

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

from models.counts import counted
from models.data.copies import in_several_classes
from models.data.files import FileSource
from models.data.images import ARRAY, SUFFIXES, UnreadableImage, is_image, open_image
from models.data.remote.location import Location, identity, name_below, walk
from models.data.skipped import FACES_LIST, not_read, suffix_of
from models.data.source import Item, NoParts, NoSuchPart, joined
from models.errors import UserError

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
LINK, HIDDEN = "link", "hidden"
TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
PREFERRED = ("test", "validation", "train")


class FolderSource(FileSource):
    """`root/<class>/**/<image>`; `split` chooses a subfolder named like a split, in any case. A subfolder
    without images is a class too; `note` names it, and counts skipped files by their suffix, and images
    beside the subfolders."""

    def __init__(self, root: Location, split: str | None = None):
        if not root.is_dir():
            raise UserError(
                f"No folder '{root}': give --data a folder with one subfolder a class, a table, or a data "
                "set's name."
            )
        self.base, self.split, beside = choose_split(root, split)
        self.root = str(self.base.resolve())
        self.name = f"{root.resolve().name}/{self.split}" if self.split else root.resolve().name
        skipped: Counter[str] = Counter()
        folders = _subfolders(self.base)
        own = _own_folders(folders)
        found = {
            folder.name: _images(folder, skipped, set(own) - {of for of, f in own.items() if f == folder})
            for folder in folders
        }
        self.classes = tuple(found)
        self.items = [
            Item(name_below(file, self.base), name) for name, files in found.items() for file in files
        ]
        _must_be_classes(root, self.classes)
        if not self.items:
            raise UserError(
                joined(_nothing_found(self.base, found, skipped).rstrip("."), _table_hint(root)) + "."
            )
        links, hidden = (skipped.pop(kind, 0) for kind in (LINK, HIDDEN))
        loose = _loose({root, self.base}, skipped)
        self.note = joined(
            f"not used: {', '.join(beside[:6])} beside the parts" if beside else "",
            f"no image of class {', '.join(self.empty[:6])}" if self.empty else "",
            links_note(links),
            _twice(self.base, found),
            in_several_classes(self.base, found),
            f"{loose} image{'s' * (loose != 1)} in no folder of a class not used" if loose else "",
            hidden_note(hidden),
            _table_beside(root, self.classes),
            not_read(skipped),
        )


def hidden_note(count: int) -> str:
    """On files whose names begin with a dot, which systems and editors leave beside the pictures."""
    return f"{count} hidden file{'s' * (count != 1)} (.name) not used" if count else ""


def links_note(count: int) -> str:
    return f"{count} links to folders that are read already not followed" if count else ""


def images_below(folder: Location, skipped: Counter[str]) -> list[Location]:
    """The images in a folder and below it, sorted; `skipped` counts other files by suffix."""
    return _images(folder, skipped, set())


def _subfolders(root: Location) -> list[Location]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def _own_folders(folders: list[Location]) -> dict[Hashable, Location]:
    """Which of the folders of classes each folder on disk is read as: itself, rather than a link to it."""
    links_first = sorted(folders, key=lambda folder: folder.is_symlink(), reverse=True)
    return {identity(folder): folder for folder in links_first}


def _twice(base: Location, found: dict[str, list[Location]]) -> str:
    """Images that are in several classes, by links to files."""
    links = [
        (file, name)
        for name, files in found.items()
        for file in files
        if isinstance(file, Path) and file.is_symlink()
    ]
    classes: dict[Path, dict[str, Location]] = {}
    for file, name in links:
        classes.setdefault(file.resolve(), {})[name] = file
    real = base.resolve()
    for file in classes:
        if (
            isinstance(real, Path)
            and file.is_relative_to(real)
            and (parts := file.relative_to(real).parts)[0] in found
        ):
            classes[file].setdefault(parts[0], base.joinpath(*parts))
    several = [list(each.values()) for each in classes.values() if len(each) > 1]
    shown = ", ".join(" and ".join(name_below(path, base) for path in paths) for paths in several[:3])
    count = f"{len(several)} image{'s' * (len(several) != 1)}"
    return f"{count} in several classes, by links, and counted in each ({shown})" if several else ""


def _images(folder: Location, skipped: Counter[str], visited: set[Hashable]) -> list[Location]:
    """The images below a folder, sorted; `skipped` counts other files by suffix. Of a file without a suffix
    the header is read. Links are followed, except to folders that were `visited`, those of other classes
    included."""
    images = []
    for where, folders, files in walk(folder):
        if (there := identity(where)) in visited:
            folders.clear()
            skipped[LINK] += 1
            continue
        visited.add(there)
        folders.sort()
        seen = [where / name for name in sorted(files) if not name.startswith(".")]
        dotted = sum(name.startswith(".") for name in files)
        if dotted:
            skipped[HIDDEN] += dotted
        named = {path.stem for path in seen if path.suffix.lower() in SUFFIXES}
        for path in seen:
            if _is_picture(path, named):
                images.append(path)
            elif where != folder or path.name != FACES_LIST:
                skipped[suffix_of(path.name)] += 1
    return images


def _is_picture(path: Location, named: set[str]) -> bool:
    """Of files without a suffix, and of arrays, the header is read. An array beside an image of the same name
    (`named`: names of images in its folder, without suffix) is something about this image: a mask, a map."""
    suffix = path.suffix.lower()
    if suffix == ARRAY:
        return path.stem not in named and is_image(path)
    return suffix in SUFFIXES or (not suffix and is_image(path))


def _loose(folders: set[Location], skipped: Counter[str]) -> int:
    """How many images lie in these folders themselves; `skipped` counts other files there."""
    loose = 0
    for path in (p for folder in folders for p in folder.iterdir()):
        if path.name.startswith(".") or path.name == FACES_LIST or not path.is_file():
            continue
        if path.suffix.lower() in SUFFIXES:
            loose += 1
        else:
            skipped[suffix_of(path.name)] += 1
    return loose


def _table_beside(root: Location, classes: Sequence[str]) -> str:
    """A hint at a table, where the one folder beside it is hardly a class."""
    return _table_hint(root) if len(classes) < 2 else ""


def _table_hint(root: Location) -> str:
    """A phrase on a table beside the folders; empty where there is none."""
    tables = sorted(
        (p.name for p in root.iterdir() if p.suffix.lower() in TABLES and p.name != FACES_LIST),
        key=lambda name: (_first_word(name) != "train", name),
    )
    return f"if {tables[0]} holds the labels, give --data '{root / tables[0]}'" if tables else ""


def _first_word(name: str) -> str:
    """The split that a name begins with, as train_images and train.csv do; empty for others."""
    return SPLITS.get(re.split(r"[^a-z]", name.lower(), maxsplit=1)[0], "")


def _must_be_classes(root: Location, names: Sequence[str]) -> None:
    """Raises UserError for folders such as train_images and test_images beside a table: they are parts, and
    the table holds the labels."""
    if len(names) > 1 and all(map(_first_word, names)) and (hint := _table_hint(root)):
        raise UserError(
            f"'{root}' holds folders named like parts ({', '.join(names[:4])}), not classes: {hint}; "
            "otherwise move this table away."
        )


def choose_split(root: Location, wanted: str | None) -> tuple[Location, str | None, list[str]]:
    """The folder of the split, its name, and folders beside the splits, which are not used.

    One folder with the name of a split may be a class; two or more are splits, whatever is beside them.
    """
    folders = _subfolders(root)
    splits = [p for p in folders if p.name.lower() in SPLITS]
    parts = {SPLITS[p.name.lower()]: p for p in splits}
    if (len(parts) < 2 and len(splits) < len(folders)) or not splits:
        if wanted:
            have = ", ".join(p.name for p in folders[:6]) or "no subfolder"
            raise NoParts(
                f"'{root}' has no split '{wanted}': it holds {have}. Leave --split out to use all of it."
            )
        return root, None, []
    key = SPLITS.get((wanted or next(s for s in PREFERRED if s in parts)).lower(), "")
    if key not in parts:
        raise NoSuchPart(f"'{root}' has no split '{wanted}': it has {', '.join(p.name for p in splits)}.")
    if len(same := [p.name for p in splits if SPLITS[p.name.lower()] == key]) > 1:
        raise UserError(f"'{root}' has {' and '.join(same)}, which both are {key}: rename one of them.")
    return parts[key], parts[key].name, [p.name for p in folders if p not in splits]


def _nothing_found(root: Location, found: dict[str, list[Location]], skipped: Counter[str]) -> str:
    suffixes = Counter(p.suffix.lower() for p in root.iterdir())
    loose = sum(suffixes[suffix] for suffix in SUFFIXES)
    if suffixes[".arrow"]:
        return (
            f"'{root}' holds .arrow files, as `save_to_disk` of Hugging Face's datasets writes them: write "
            "Parquet instead (`dataset.to_parquet('data.parquet')`)."
        )
    if loose:
        return (
            f"'{root}' holds {counted(loose, 'image')} but no class subfolders: put each class's images into "
            "a folder of its name."
        )
    unread = f" {not_read(skipped)}." if skipped else ""
    found_arrays: Iterator[Location] = root.rglob(f"*{ARRAY}")
    if (array := next(found_arrays, None)) is not None:
        unread += _why_unreadable(array, root)
    return (
        f"No images in '{root}' ({len(found)} subfolders): expected ROOT/<class>/<image> with "
        f"{', '.join(sorted(SUFFIXES)[:5])} ...{unread}"
    )


def _why_unreadable(path: Location, root: Location) -> str:
    """A sentence on why a file is no image; empty where it is one."""
    try:
        open_image(path)
    except UnreadableImage as error:
        return f" {name_below(path, root)}: {error}."
    return ""
