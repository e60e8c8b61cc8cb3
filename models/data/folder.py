"""A folder with one subfolder a class; the same below train, validation or test."""

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from models.data.images import SUFFIXES, open_image
from models.data.source import ImageSource, Item, NoParts, NoSuchPart
from models.errors import UserError

SPLITS = {"train": "train", "training": "train", "val": "validation", "valid": "validation",
          "validation": "validation", "test": "test", "testing": "test"}  # fmt: skip
_PREFERRED = ("test", "validation", "train")


class FolderSource(ImageSource):
    """`root/<class>/**/<image>`; `split` chooses a subfolder named like a split, in any case."""

    def __init__(self, root: Path, split: str | None = None):
        if not root.is_dir():
            raise UserError(f"No folder '{root}': give --data a folder with one subfolder a class, a table, or a data set's name.")
        self.base, self.split = _choose_split(root, split)
        self.root = str(self.base.resolve())
        self.name = f"{root.resolve().name}/{self.split}" if self.split else root.resolve().name
        found = {folder.name: list(_images(folder)) for folder in _subfolders(self.base)}
        self.classes = tuple(name for name, files in found.items() if files)
        self.items = [Item(file.relative_to(self.base).as_posix(), name) for name, files in found.items() for file in files]
        if not self.items:
            raise UserError(_nothing_found(self.base, found))

    def load(self, index: int) -> Image.Image:
        return open_image(self.base / self.items[index].id)


def _subfolders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def _images(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        yield from (Path(where, name) for name in sorted(files)
                    if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES)  # fmt: skip


def _choose_split(root: Path, wanted: str | None) -> tuple[Path, str | None]:
    folders = _subfolders(root)
    splits = {SPLITS[p.name.lower()]: p for p in folders if p.name.lower() in SPLITS}
    if not splits or len(splits) < len(folders):  # a class may be called "test"
        if wanted:
            have = ", ".join(p.name for p in folders[:6]) or "no subfolder"
            raise NoParts(f"'{root}' has no split '{wanted}': it holds {have}. Leave --split out to use all of it.")
        return root, None
    key = SPLITS.get((wanted or next(s for s in _PREFERRED if s in splits)).lower(), "")
    if key not in splits:
        raise NoSuchPart(f"'{root}' has no split '{wanted}': it has {', '.join(p.name for p in splits.values())}.")
    return splits[key], splits[key].name


def _nothing_found(root: Path, found: dict[str, list[Path]]) -> str:
    loose = sum(1 for p in root.iterdir() if p.suffix.lower() in SUFFIXES)
    if loose:
        return f"'{root}' holds {loose} images but no class subfolders: put each class's images into a folder of its name."
    return f"No images in '{root}' ({len(found)} subfolders): expected ROOT/<class>/<image> with {', '.join(sorted(SUFFIXES)[:5])} ..."
