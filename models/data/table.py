"""A CSV or Parquet table with a column of image paths and a column of labels."""

from contextlib import suppress
from functools import cached_property
from pathlib import Path

import pandas as pd
from PIL import Image

from models.classes import one_spelling
from models.data.columns import grouping_columns
from models.data.folder import SPLITS
from models.data.images import SUFFIXES, open_image
from models.data.source import ImageSource, Item, NoParts, NoSuchPart
from models.errors import UserError

IMAGE_COLUMNS = ("image", "path", "file", "filename", "file_name", "image_path", "filepath", "img", "subdirectory_filepath")
LABEL_COLUMNS = ("label", "class", "target", "category", "expression", "emotion", "y", "label_name", "class_name")
SPLIT_COLUMNS = ("split", "subset", "partition", "set")


class TableSource(ImageSource):
    """Paths are relative to the table's folder, or to one below or beside it. `note` says which columns were guessed. `split` keeps the rows that a
    column called split (or subset, partition, set) gives it."""

    def __init__(self, path: Path, image_col: str | None = None, label_col: str | None = None, split: str | None = None):
        whole = read_table(path)
        table = rows_of(whole, split, path) if split else whole
        self.image_col = find_column(table, image_col, IMAGE_COLUMNS, "--image-col", path)
        self.label_col = find_column(table, label_col, LABEL_COLUMNS, "--label-col", path)
        self.note = f"images from column '{self.image_col}', labels from column '{self.label_col}'"
        rows = table[[self.image_col, self.label_col]].set_axis(["image", "label"], axis=1).dropna().astype(str).drop_duplicates("image")
        self._others = table.drop(columns=[self.image_col, self.label_col]).loc[rows.index].reset_index(drop=True)
        if len(rows) < len(table):
            self.note += f"; {len(table) - len(rows)} rows without image or label, or naming an image again, left out"
        spelling = one_spelling(whole[self.label_col].dropna().astype(str).tolist())  # the same in every part
        if changed := sorted({name for name in rows["label"] if spelling[name] != name}):
            self.note += f"; {', '.join(changed[:4])} taken as another spelling of {', '.join(spelling[name] for name in changed[:4])}"
        self.base = image_folder(path.resolve().parent, rows["image"].tolist())
        if self.base != path.resolve().parent:
            self.note += f"; images are in '{self.base}'"
        self.root, self.name = str(self.base), f"{path.stem}/{split}" if split else path.stem
        self.items = [Item(image, spelling[label]) for image, label in rows.itertuples(index=False)]
        self.classes = tuple(sorted({item.label for item in self.items}, key=_natural))
        if not self.items:
            raise UserError(f"'{path}' has no row with both an image and a label: check --image-col and --label-col.")
        if all(Path(item.id).suffix.lower() not in SUFFIXES for item in self.items[:100]):
            raise UserError(f"Column '{self.image_col}' of '{path}' holds no image paths (first: '{self.items[0].id[:60]}'): "
                            f"name the right one with --image-col; columns: {', '.join(table.columns)}.")  # fmt: skip

    def load(self, index: int) -> Image.Image:
        return open_image(self.base / self.items[index].id)

    @cached_property
    def metadata(self) -> pd.DataFrame | None:
        """The table's other columns, as `grouping_columns` takes them."""
        found = grouping_columns(self._others)
        return found if len(found.columns) else None


def image_folder(base: Path, names: list[str]) -> Path:
    """What image paths are relative to: the table's own folder `base`, or the one below or beside it that holds more of them."""
    some = names[:: max(1, len(names) // 20)]
    tries = [base]
    for above in (base, base.parent):
        with suppress(OSError):  # a folder that must not be listed
            tries += sorted(p for p in above.iterdir() if p.is_dir())
    return max(tries, key=lambda folder: sum(_is_file(folder / name) for name in some))  # of equals the first


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that must not be entered
        return False


def rows_of(table: pd.DataFrame, split: str, path: Path) -> pd.DataFrame:
    column = next((c for c in table.columns if str(c).lower() in SPLIT_COLUMNS), None)
    if column is None:
        raise NoParts(f"'{path}' has no column {' or '.join(SPLIT_COLUMNS)}: leave --split out, or add one.")
    values = table[column].astype(str).str.lower().map(lambda v: SPLITS.get(v, v))
    kept = table[values == SPLITS.get(split.lower(), split.lower())]
    if kept.empty:
        raise NoSuchPart(f"'{path}' has no rows of split '{split}': column '{column}' holds {', '.join(sorted(set(values))[:6])}.")
    return kept


def _natural(label: str) -> tuple[bool, float, str]:
    return (False, float(label), "") if label.lstrip("-").isdigit() else (True, 0.0, label)


def read_table(path: Path, *, words: bool = False) -> pd.DataFrame:
    """CSV as text, Parquet as it is; rows are numbered anew. `words`: NA, None, null are words, and only a cell without anything is empty."""
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path).reset_index(drop=True)
        empty = {"keep_default_na": False, "na_values": [""]} if words else {}
        return pd.read_csv(path, sep=None, engine="python", dtype=str, **empty)
    except Exception as error:  # pandas and pyarrow each have their own kinds
        raise UserError(f"'{path}' cannot be read as a table ({str(error).splitlines()[0][:100]}): give CSV or Parquet.") from error


def find_column(table: pd.DataFrame, wanted: str | None, usual: tuple[str, ...], option: str, path: Path) -> str:
    """The column that was named, or else the first of the usual names that there is. Raises UserError, which lists the columns."""
    columns = [str(c) for c in table.columns]
    if wanted in columns:
        return str(wanted)
    if guess := None if wanted else guessed_column(table, usual):
        return guess
    got = f"no column '{wanted}'" if wanted else f"no column called {', '.join(usual[:4])} ..."
    raise UserError(f"'{path}' has {got}: choose one of {', '.join(columns[:12])} with {option}.")


def guessed_column(table: pd.DataFrame, usual: tuple[str, ...]) -> str | None:
    """The column with the first of the usual names that there is, whatever their case, spaces and signs."""
    named = {_letters(str(c)): str(c) for c in reversed(table.columns)}
    return next((named[_letters(name)] for name in usual if _letters(name) in named), None)


def _letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
