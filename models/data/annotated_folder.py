"""A folder of images with their labels in `metadata.csv`, `metadata.jsonl` or `metadata.parquet` beside them.

The layout: https://huggingface.co/docs/datasets/image_dataset#imagefolder (column `file_name`).
"""

from collections import Counter
from collections.abc import Sequence

from models.counts import counted
from models.data.folder import HIDDEN, LINK, SPLITS, choose_split, hidden_note, images_below
from models.data.remote.location import Location, name_below
from models.data.skipped import not_read
from models.data.source import joined
from models.data.tables.files import read_table
from models.data.tables.table import LABEL_COLUMNS, TableSource, guessed_column
from models.data.tables.votes import VoteColumns
from models.errors import UserError

FILES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


class AnnotatedFolder(TableSource):
    """The images that the metadata name; `note` counts those below the folder that they do not, and other
    files. Splits are folders with metadata each, or a column."""

    def __init__(
        self,
        root: Location,
        image_col: str | None = None,
        label_col: str | None = None,
        split: str | None = None,
        known: Sequence[str] = (),
        labels_as: str = "",
        votes: VoteColumns | None = None,
    ):
        """Raises UserError as `TableSource`."""
        file, part = metadata_file(root), None
        beside: list[str] = []
        if file is None:
            folder, part, beside = choose_split(root, split)
            file = metadata_file(folder)
        if file is None:
            raise UserError(f"'{root}' has no {FILES[0]}: write one, or use folders of classes.")
        super().__init__(file, image_col, label_col, None if part else split, known, labels_as, votes)
        self.name = "/".join(filter(None, (root.resolve().name, part or split)))
        named, skipped = {item.id for item in self.items}, Counter[str]()
        images = images_below(file.parent, skipped)
        extra = sum(name_below(path, file.parent) not in named for path in images)
        skipped[file.suffix.lower()] -= 1
        del skipped[LINK]
        hidden = skipped.pop(HIDDEN, 0)
        self.note = joined(
            f"labels from {file.name}",
            self.note,
            f"not used: {', '.join(beside[:6])} beside the parts" if beside else "",
            f"{counted(extra, 'image')} that {file.name} does not name not used"
            if extra and not split
            else "",
            hidden_note(hidden),
            not_read(+skipped),
        )


def metadata_file(folder: Location) -> Location | None:
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def has_labels(path: Location, named: str | bool | None = None) -> bool:
    """Whether `path` is a folder whose metadata, or those of its splits, name a label for each image.
    `named`: whether a column of labels is asked for."""
    if not path.is_dir():
        return False
    file = metadata_file(path)
    if file is None:
        parts = [p for p in path.iterdir() if p.is_dir() and p.name.lower() in SPLITS]
        file = next((found for part in parts if (found := metadata_file(part))), None)
    if file is None:
        return False
    if named or not any(p.is_dir() and not p.name.startswith(".") for p in file.parent.iterdir()):
        return True  # there are no folders of classes
    try:
        return guessed_column(read_table(file, words=True), LABEL_COLUMNS) is not None
    except UserError:
        return False
