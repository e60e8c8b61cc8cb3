"""A folder with one subfolder per class; the same below train, validation or test."""

import os
from collections import Counter
from pathlib import Path

from models.data.files import FileSource
from models.data.images import SUFFIXES, is_image
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
LINK = "link"
_PREFERRED = ("test", "validation", "train")


class FolderSource(FileSource):
    """`root/<class>/**/<image>`; `split` chooses a subfolder named like a split, in any case. A subfolder
    without images is a class too; `note` names it, and counts skipped files by their suffix."""

    def __init__(self, root: Path, split: str | None = None):
        if not root.is_dir():
            raise UserError(
                f"No folder '{root}': give --data a folder with one subfolder a class, a table, or a data "
                "set's name."
            )
        self.base, self.split, beside = _choose_split(root, split)
        self.root = str(self.base.resolve())
        self.name = f"{root.resolve().name}/{self.split}" if self.split else root.resolve().name
        skipped: Counter[str] = Counter()
        folders = _subfolders(self.base)
        found = {
            folder.name: _images(folder, skipped, {_identity(f) for f in folders if f != folder})
            for folder in folders
        }
        self.classes = tuple(found)
        self.items = [
            Item(file.relative_to(self.base).as_posix(), name)
            for name, files in found.items()
            for file in files
        ]
        if not self.items:
            raise UserError(_nothing_found(self.base, found, skipped))
        links = skipped.pop(LINK, 0)
        self.note = joined(
            f"not used: {', '.join(beside[:6])} beside the parts" if beside else "",
            f"no image of class {', '.join(self.empty[:6])}" if self.empty else "",
            f"{links} links to folders that are read already not followed" if links else "",
            _not_read(skipped),
        )


def _subfolders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def _identity(folder: Path | str) -> tuple[int, int]:
    """Device and inode: the same for every path to the folder."""
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def _images(folder: Path, skipped: Counter[str], visited: set[tuple[int, int]]) -> list[Path]:
    """The images below a folder, sorted; `skipped` counts other files by suffix. Of a file without a suffix
    the header is read. Links are followed, except to folders that were `visited`, those of other classes
    included."""
    images = []
    for where, folders, files in os.walk(folder, followlinks=True):
        if (there := _identity(where)) in visited:
            folders.clear()
            skipped[LINK] += 1
            continue
        visited.add(there)
        folders.sort()
        for path in (Path(where, name) for name in sorted(files) if not name.startswith(".")):
            suffix = path.suffix.lower()
            if suffix in SUFFIXES or (not suffix and is_image(path)):
                images.append(path)
            else:
                skipped[suffix or "no suffix"] += 1
    return images


def _not_read(skipped: Counter[str]) -> str:
    if not skipped:
        return ""
    total = skipped.total()
    kinds = ", ".join(
        f"{suffix} {count}"
        for suffix, count in sorted(skipped.items(), key=lambda kind: (-kind[1], kind[0]))[:6]
    )
    return (
        f"{total} file{'s' * (total != 1)} not read, {'it is' if total == 1 else 'they are'} no picture "
        f"of a known format ({kinds})"
    )


def _choose_split(root: Path, wanted: str | None) -> tuple[Path, str | None, list[str]]:
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
    key = SPLITS.get((wanted or next(s for s in _PREFERRED if s in parts)).lower(), "")
    if key not in parts:
        raise NoSuchPart(f"'{root}' has no split '{wanted}': it has {', '.join(p.name for p in splits)}.")
    if len(same := [p.name for p in splits if SPLITS[p.name.lower()] == key]) > 1:
        raise UserError(f"'{root}' has {' and '.join(same)}, which both are {key}: rename one of them.")
    return parts[key], parts[key].name, [p.name for p in folders if p not in splits]


def _nothing_found(root: Path, found: dict[str, list[Path]], skipped: Counter[str]) -> str:
    loose = sum(1 for p in root.iterdir() if p.suffix.lower() in SUFFIXES)
    if loose:
        return (
            f"'{root}' holds {loose} images but no class subfolders: put each class's images into a "
            "folder of its name."
        )
    unread = f" {_not_read(skipped)}." if skipped else ""
    return (
        f"No images in '{root}' ({len(found)} subfolders): expected ROOT/<class>/<image> with "
        f"{', '.join(sorted(SUFFIXES)[:5])} ...{unread}"
    )
